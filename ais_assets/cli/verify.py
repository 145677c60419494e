"""`ais verify`: holds the dataset against what it was made from."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table

from ais_assets.cli.terminal import failures, open_lake, settings_or_fail, terminal
from ais_assets.io.releases import found_release
from ais_assets.io.stages import in_order
from ais_assets.operating.release_verification import release_verification
from ais_assets.operating.verification import Part, verification


@click.command("verify")
@click.option(
    "--windows",
    type=click.IntRange(min=0),
    default=64,
    show_default=True,
    help="Of each pile, to cut anew from the tracks; 0: all.",
)
@click.option(
    "--release",
    metavar="ID",
    help="Hold a release, which may be superseded, against itself: its id or the beginning of it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(*, windows: int, release: str | None, as_json: bool) -> None:
    """Whether the dataset is what it says: chain, every byte, indexes, splits, and windows cut anew from the tracks.

    Reads everything that is stored, or all that a release is read by. Exits with 1 where anything is wrong, and names
    it.
    """
    settings = settings_or_fail()
    parts: list[Part] = []
    with failures():
        lake = open_lake(settings)
        progress = Console(stderr=True, markup=False)
        if release is None:
            looking = verification(lake, in_order(settings), settings, windows)
        else:
            looking = release_verification(lake, found_release(lake.releases(), release, lake.uri), windows)
        for part in looking:
            parts.append(part)
            if not as_json:
                progress.print(f"{part.name}: {part.looked_at:,} {part.unit}, {len(part.faults):,} faults")
    faults = [fault for part in parts for fault in part.faults]
    if as_json:
        click.echo(json.dumps({"lake": settings.lake, "parts": [asdict(part) for part in parts]}, indent=1))
    elif faults:
        table = Table(title=f"{len(faults):,} faults", title_justify="left")
        for name in ("where", "what"):
            table.add_column(name, overflow="fold")
        for fault in faults:
            table.add_row(fault.where, fault.what)
        terminal().print(table)
    else:
        click.echo(f"{settings.lake} is what it says" if release is None else f"the release {release} is what it says")
    if faults:
        sys.exit(1)
