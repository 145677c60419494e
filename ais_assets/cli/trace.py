"""`ais trace`: from a sample back to the lines of the files that it came from."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from ais_assets.cli.terminal import failures, open_lake, settings_or_fail, terminal
from ais_assets.operating.samples import utc
from ais_assets.operating.tracing import RawRow, Trace, trace

_SHOWN: Final = 12
"""Positions that a table shows, of its beginning and of its end together."""
_OF_VESSEL: Final = ("name", "callsign", "imo", "ship_type", "mobile_type", "country")


@click.command("trace")
@click.argument("sample")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with every position, instead of tables.")
def command(*, sample: str, as_json: bool) -> None:
    """Traces a SAMPLE to its track, vessel, clean records, typed records, and lines of the source's files.

    A sample is SPLIT:NUMBER such as train:17, in the stored order from 0 on, or TRACK@TIME, a window that begins there.
    The archives of its days are read through.
    """
    settings = settings_or_fail()
    with failures():
        from ais_assets.resources.source import SourceResource  # noqa: PLC0415 - Dagster takes a second to import

        found = trace(open_lake(settings), settings, SourceResource.from_settings(settings).open(), sample)
    if as_json:
        click.echo(json.dumps(_as_json(found), indent=1))
    else:
        show(terminal(), found)


def show(console: Console, found: Trace) -> None:
    """Prints the window, its track and vessel, and where its first and last positions came from."""
    sample = found.sample
    facts = Table(title=f"Sample {sample.name}", title_justify="left", show_header=False)
    facts.add_row("stored as", sample.stored or "only in its track")
    facts.add_row("split of the vessel", found.split)
    facts.add_row("window", f"{len(found.positions):,} positions from {utc(sample.start)} on")
    facts.add_row("track", str(sample.track))
    if found.track is not None:
        facts.add_row("", f"{found.track['start']} to {found.track['end']}, {found.track['positions']:,} positions")
    facts.add_row("vessel", str(sample.mmsi))
    for name in _OF_VESSEL:
        if found.vessel is not None and found.vessel[name] is not None:
            facts.add_row("", f"{name.replace('_', ' ')}: {found.vessel[name]}")
    console.print(facts)
    console.print(_positions(found))
    for file, why in found.not_read.items():
        console.print(f"{file}: {why}", highlight=False, markup=False, soft_wrap=True)


def _positions(found: Trace) -> Table:
    table = Table(title="Where its positions came from", title_justify="left")
    table.add_column("position", justify="right")
    table.add_column("time, UTC", no_wrap=True)
    table.add_column("clean_records")
    table.add_column("raw_records, file: lines", overflow="fold")
    half = _SHOWN // 2
    for number, position in enumerate(found.positions):
        if half <= number < len(found.positions) - half:
            if number == half:
                table.add_row("…", f"{len(found.positions) - _SHOWN:,} more", "--json has all", "")
            continue
        clean = "" if position.clean is None else f"row {position.clean[1]:,}"
        table.add_row(f"{number:,}", position.values["t"], clean, "\n".join(map(_line, position.raw)))
    return table


def _line(raw: RawRow) -> str:
    line = "" if raw.line is None else f", {raw.file}: line {raw.line:,}"
    return f"{raw.day} row {raw.row:,}{line}"


def _as_json(found: Trace) -> dict[str, Any]:
    return {
        "sample": {**asdict(found.sample), "start": utc(found.sample.start)},
        "split": found.split,
        "track": found.track,
        "vessel": found.vessel,
        "positions": [
            {
                **position.values,
                "clean_records": None
                if position.clean is None
                else dict(zip(("day", "row"), position.clean, strict=True)),
                "raw_records": [asdict(raw) for raw in position.raw],
            }
            for position in found.positions
        ],
        "files_without_lines": found.not_read,
    }
