"""`ais build`: materializes every stage."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from typing import Any

import click

from ais_assets.cli.progress import BuildProgress
from ais_assets.cli.summary import show, stage_summary
from ais_assets.cli.terminal import Failure, open_instance, open_lake, settings_or_fail, terminal
from ais_assets.definitions import platform_assets
from ais_assets.operating.building import BuildError, Watch, build
from ais_assets.operating.stages import turns
from ais_assets.settings import Settings


@click.command("build")
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), help="First day; default: AIS_FIRST_DAY.")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), help="Last day; default: AIS_LAST_DAY.")
@click.option("--only", "assets", multiple=True, help="Build this asset only; may be repeated.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default: one a core, as fit into memory.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def command(*, first: Any, last: Any, assets: Sequence[str], workers: int | None, as_json: bool) -> None:
    """Materializes every stage: days from --from to --to, then all shards, then all piles."""
    settings = settings_or_fail()
    days = days_between(settings, first.date() if first else None, last.date() if last else None)
    seconds = run_build(settings, days=days, assets=assets or None, workers=workers, quiet=as_json)
    summary = stage_summary(open_lake(settings), platform_assets(settings).values(), seconds)
    if as_json:
        click.echo(json.dumps({"stages": [row.as_json() for row in summary]}, indent=1))
    else:
        show(terminal(), summary)


def days_between(settings: Settings, first: date | None, last: date | None) -> list[str] | None:
    """Partition keys from `first` to `last`, both inclusive; None for the whole range."""
    if first is None and last is None:
        return None
    first, last = first or settings.first_day, last or settings.last_day
    if first > last:
        raise Failure(f"--from {first} is after --to {last}")
    if first < settings.first_day or last > settings.last_day:
        raise Failure(
            f"{first} to {last} leaves the range {settings.first_day} to {settings.last_day}: "
            "widen AIS_FIRST_DAY and AIS_LAST_DAY"
        )
    return [day.isoformat() for day in settings.days if first <= day <= last]


def run_build(
    settings: Settings,
    *,
    days: Sequence[str] | None,
    assets: Sequence[str] | None,
    workers: int | None,
    quiet: bool,
) -> dict[str, float]:
    """Builds with progress on the terminal; returns each asset's seconds from its first run's start to its last's."""
    known = platform_assets(settings)
    for asset in assets or ():
        if asset not in known:
            raise Failure(f"no asset {asset!r}; there are {', '.join(known)}")
    progress = BuildProgress(quiet=quiet)
    with open_instance() as instance, progress:
        try:
            build(
                turns(known.values()),
                open_lake(settings),
                settings,
                instance,
                days=days,
                assets=assets,
                workers=workers,
                watch=Watch(progress.start, progress.advance, progress.note),
            )
        except BuildError as error:
            raise Failure(str(error)) from None
    return progress.seconds
