"""Windows cut while training: bytes, cold starts, warm rates and a year's start, beside windows from disk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import click
from rich.table import Table

from ais_assets.bench._loader_data import windows_on_disk
from ais_assets.bench._simulated import simulated_traffic, traffic_options
from ais_assets.bench._tracks_data import publish_copies
from ais_assets.bench.race import Race, machine, preload, report
from ais_assets.cli.terminal import terminal

PARTS: Final = ("stored", "cold", "warm", "year")
_LOADERS: Final = ("ais_assets.loader.mds.dataset", "ais_assets.loader.tracks.dataset")


@click.command()
@traffic_options
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="Parts to run; default: all.")
@click.option("--windows", type=click.IntRange(min=1), default=100_000, show_default=True, help="On disk, at most.")
@click.option("--all-windows", type=click.IntRange(min=1), default=5_000_000, show_default=True, help="Of all fleets.")
@click.option("--seconds", type=click.FloatRange(min=0), default=1.0, show_default=True, help="A warm turn, at least.")
@click.option("--year-windows", type=click.IntRange(min=1), default=109_000_000, show_default=True)
@click.option("--year-tracks", type=click.IntRange(min=1), default=651_000, show_default=True)
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="With room; default: a temporary one.")
def command(
    *,
    as_json: bool,
    repeat: int,
    vessels: int,
    days: int,
    seed: int,
    only: tuple[str, ...],
    windows: int,
    all_windows: int,
    seconds: float,
    year_windows: int,
    year_tracks: int,
    folder: Path | None,
) -> None:
    """Windows cut from tracks beside windows from disk; all parts take some five minutes.

    The fleet's tracks are published as they are, beside the same windows on disk, and once more with as many copies of
    the fleet as --all-windows asks for.
    """
    from ais_assets.bench import _tracks_races as run  # noqa: PLC0415 - imports torch, which `--help` need not

    preload("ais_assets.bench._tracks_contenders", *_LOADERS)
    parts = set(only or PARTS)
    found: dict[str, Any] = {}
    races: list[Race] = []
    with (
        TemporaryDirectory(prefix="ais-bench-", dir=folder) as name,
        simulated_traffic(vessels, days, seed) as traffic,
        windows_on_disk(traffic, windows) as on_disk,
    ):
        fleet = publish_copies(traffic, Path(name) / "fleet", 1)
        copies = max(1, round(all_windows / traffic.windows)) if parts - {"year"} else 1
        fleets = publish_copies(traffic, Path(name) / "fleets", copies)
        found["set"] = {
            "fleet": {"vessels": vessels, "positions": fleet.positions, "windows": traffic.windows},
            "windows on disk": on_disk.samples,
            "all fleets": {"fleets": copies, "positions": fleets.positions, "windows": copies * traffic.windows},
        }
        if "stored" in parts:
            found["stored"] = run.stored(traffic, fleets, on_disk)
        if "cold" in parts:
            found["cold"] = run.cold(fleet, fleets, on_disk, repeat)
        if "warm" in parts:
            races = run.warm(fleets, on_disk, repeat, seconds)
        if "year" in parts:
            found["year"] = run.year(Path(name) / "year", fleet, year_windows, year_tracks, repeat)
    if as_json:
        click.echo(json.dumps({"machine": machine(), **found, "races": [asdict(race) for race in races]}, indent=1))
        return
    for title, figures in found.items():
        terminal().print(_table(title, figures))
    report(races, as_json=False)


def _table(title: str, figures: Mapping[str, Any]) -> Table:
    table = Table(title=title.capitalize(), title_justify="left", show_header=False)
    table.add_column("", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    for name, value in _rows(figures):
        table.add_row(name, value)
    return table


def _rows(figures: Mapping[str, Any], of: str = "") -> Iterator[tuple[str, str]]:
    """Each figure with its name, those of a part after the part's."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _rows(value, f"{of}{name}, ")
        elif not isinstance(value, list):
            text = f"{value:,}" if isinstance(value, int) else f"{value:,.3f}" if isinstance(value, float) else value
            yield f"{of}{name}".replace("_", " "), text
