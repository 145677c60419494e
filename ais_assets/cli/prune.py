"""`ais prune`: deletes what nothing names any more."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.table import Table

from ais_assets.cli.terminal import failures, open_lake, settings_or_fail, terminal
from ais_assets.operating.prune import Leftover, leftovers, releases_to_keep, remove, unnamed_partitions


class Hours(click.FloatRange):
    """A count of hours: neither infinite nor nan, which is smaller than nothing and larger than nothing."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number. Fails of one that is not finite."""
        hours = super().convert(value, param, ctx)
        if not math.isfinite(hours):
            self.fail(f"{value!r} is no number of hours", param, ctx)
        return hours


@click.command("prune")
@click.option("--older-than", type=Hours(min=0), default=24.0, show_default=True, help="Hours that nothing names them.")
@click.option("--dry-run", is_flag=True, help="Show what would go, and delete nothing.")
@click.option("--archives", is_flag=True, help="Also archives of days that the settings do not name.")
@click.option(
    "--keep-releases",
    type=click.IntRange(min=1),
    help="Newest releases that can be read afterwards.  [default: AIS_KEEP_RELEASES]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(*, older_than: float, dry_run: bool, archives: bool, keep_releases: int | None, as_json: bool) -> None:
    """Deletes what nothing names any more: former archives, tracks and MDS shards, and what AIS_CACHE has of them.

    And partitions of former settings: days out of the range, and shards and piles that there were more of, once the
    last run, too, was cut as the settings say. Their archives only with --archives.

    Releases that were superseded go, with the files that only they name, but for the newest AIS_KEEP_RELEASES and those
    of AIS_PINNED_RELEASES; what they were stays in `ais releases` and `ais diff`.

    So it does with downloads and uploads that no run goes on with, and with what killed runs had not published yet.

    A rebuilt partition leaves its former folder to those who read it. A training run that began with a former index
    needs its files to the end: give it more hours than it takes. Not while a build is running.
    """
    settings = settings_or_fail()
    with failures():
        lake = open_lake(settings)
        before = lake.store.now() - 3600 * older_than
        keep = releases_to_keep(lake, keep_releases or settings.keep_releases, settings.pinned_releases)
        unnamed = unnamed_partitions(lake, settings, before, archives=archives)
        found = leftovers(lake, settings.cache, before, unnamed, keep)
        for leftover in [] if dry_run else found:
            remove(lake, leftover)
    if as_json:
        rows = [
            {"asset": of.asset, "where": of.where, "bytes": of.size, "since": f"{_utc(of.since):%FT%TZ}"}
            for of in found
        ]
        click.echo(json.dumps({"lake": settings.lake, "deleted": not dry_run, "leftovers": rows}, indent=1))
    else:
        terminal().print(leftover_table(found, deleted=not dry_run))


def leftover_table(found: Sequence[Leftover], *, deleted: bool) -> Table:
    """What goes, for people."""
    table = Table(title="Deleted" if deleted else "Would be deleted", title_justify="left", show_footer=True)
    table.add_column("asset", "all", no_wrap=True)
    table.add_column("where", f"{len(found):,}", overflow="fold")
    table.add_column("bytes", f"{sum(of.size for of in found):,}", justify="right", no_wrap=True)
    table.add_column("named by nothing since", justify="right", no_wrap=True)
    for of in found:
        table.add_row(of.asset, of.where, f"{of.size:,}", f"{_utc(of.since):%F %R} UTC")
    return table


def _utc(unix_time: float) -> datetime:
    return datetime.fromtimestamp(unix_time, UTC)
