"""`ais releases`: what was published in this lake, and what of it can still be read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.table import Table

from ais_assets.cli.terminal import failures, open_lake, settings_or_fail, terminal
from ais_assets.io.releases import ListedRelease


@click.command("releases")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(*, as_json: bool) -> None:
    """What was published in this lake, newest first, and which of it can still be read.

    Loaders are given one as `release=`; `ais diff` compares two; `ais prune` takes files of those that nobody keeps.
    """
    settings = settings_or_fail()
    with failures():
        releases = open_lake(settings).releases()
    if as_json:
        listed = [_as_json(each, settings.pinned_releases) for each in releases]
        click.echo(json.dumps({"lake": settings.lake, "releases": listed}, indent=1))
    elif not releases:
        click.echo(f"{settings.lake} has no release: `ais build` publishes one")
    else:
        terminal().print(release_table(releases, settings.pinned_releases))


def release_table(releases: Sequence[ListedRelease], pinned: Sequence[str]) -> Table:
    """The releases, for people: in a terminal of 80 columns, too."""
    table = Table(title="Releases", title_justify="left")
    table.add_column("release", no_wrap=True)
    table.add_column("published, UTC", no_wrap=True)
    for column in ("days", "vessels", "tracks", "windows", "MB"):
        table.add_column(column, justify="right")
    table.add_column("settings", no_wrap=True)
    for each in releases:
        release = each.release
        table.add_row(
            f"{release.release}\n{_state(each, pinned)}",
            f"{_utc(each.since):%F}\n{_utc(each.since):%R}",
            f"{len(release.days):,}",
            f"{release.of_all_splits('vessels'):,}",
            f"{release.of_all_splits('tracks'):,}",
            f"{sum(release.windows.values()):,}",
            f"{sum(release.bytes.values()) / 1e6:,.1f}",
            release.settings_digest[:8],
        )
    return table


def _as_json(each: ListedRelease, pinned: Sequence[str]) -> dict[str, Any]:
    release = each.release
    return {
        "release": release.release,
        "published": f"{_utc(each.since):%FT%TZ}",
        "current": each.is_current,
        "readable": each.is_readable,
        "pinned": release.release in pinned,
        "days": sorted(release.days),
        "splits": release.splits,
        "windows": release.windows,
        "bytes": release.bytes,
        "settings_digest": release.settings_digest,
        "settings": release.settings,
        "code": release.code,
    }


def _state(each: ListedRelease, pinned: Sequence[str]) -> str:
    states = ["current"] if each.is_current else []
    states += ["pinned"] if each.release.release in pinned else []
    states += [] if each.is_readable else ["files are gone"]
    return ", ".join(states) or "can be read"


def _utc(unix_time: float) -> datetime:
    return datetime.fromtimestamp(unix_time, UTC)
