"""`ais build`: materializes every stage."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from typing import Any

import click

from ais_assets.cli.progress import BuildProgress
from ais_assets.cli.summary import Summary, show
from ais_assets.cli.terminal import Failure, failures, open_instance, open_lake, settings_or_fail, terminal
from ais_assets.io.layout import PLACES
from ais_assets.io.stages import stages, turns
from ais_assets.operating.builders import OtherBuildError
from ais_assets.operating.building import BuildError, Watch, build
from ais_assets.operating.launched_runs import NotStartedError
from ais_assets.settings import Settings


@click.command("build")
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), help="First day; default: AIS_FIRST_DAY.")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), help="Last day; default: AIS_LAST_DAY.")
@click.option("--only", "assets", multiple=True, help="Build this asset only; may be repeated.")
@click.option("--all", "anew", is_flag=True, help="Also what is there and not stale.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default: one a core, as fit into memory.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def command(*, first: Any, last: Any, assets: Sequence[str], anew: bool, workers: int | None, as_json: bool) -> None:
    """Materializes what is missing or stale of every stage: days from --from to --to, then all shards, then all piles.

    A build that was interrupted goes on where it was when it is asked for again.
    """
    settings = settings_or_fail()
    days = days_between(settings, first.date() if first else None, last.date() if last else None)
    built = run_build(settings, days=days, assets=assets or None, anew=anew, workers=workers, quiet=as_json)
    with failures():
        summary = Summary.of(open_lake(settings), settings, built.seconds)
    if as_json:
        click.echo(json.dumps({**summary.as_json(), "warnings": built.notes}, indent=1))
    else:
        show(terminal(), summary, settings.lake)


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
    anew: bool = False,
    quiet: bool,
) -> BuildProgress:
    """Builds with progress on the terminal; returns what that has seen."""
    known = stages(settings)
    for asset in assets or ():
        if asset not in known:
            cure = "; AIS_WINDOW_FORMATS says which windows are stored" if asset in PLACES else ""
            raise Failure(f"no asset {asset!r}; there are {', '.join(known)}{cure}")
    progress = BuildProgress(quiet=quiet)
    with failures(), open_instance() as instance, progress:
        try:
            build(
                turns(settings),
                open_lake(settings),
                settings,
                instance,
                days=days,
                assets=assets,
                anew=anew,
                workers=workers,
                watch=Watch(progress.start, progress.advance, progress.note),
            )
        except (BuildError, NotStartedError, OtherBuildError) as error:
            raise Failure(str(error)) from None
        except KeyboardInterrupt:
            raise Failure(
                "interrupted. What was built is kept; runs that were under way have left nothing half-made. "
                "`ais build` goes on with what is missing or stale"
            ) from None
    return progress
