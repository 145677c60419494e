"""`ais inspect`: what the lake has of a vessel, a track or a sample, as a table and as a map."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from ais_assets.cli.terminal import failures, open_lake, settings_or_fail, terminal
from ais_assets.io.lake import Lake
from ais_assets.operating.samples import (
    FIRST_TRACK,
    Sample,
    positions_of_track,
    positions_of_vessel,
    positions_of_window,
    sample_of,
    utc,
    vessel_or_track,
)
from ais_assets.operating.tracing import number_of
from ais_assets.operating.vessel_account import VesselAccount, account_of
from ais_assets.settings import Settings

_SHOWN: Final = 20
"""Days and tracks that a table shows."""
_OF_VESSEL: Final = ("name", "callsign", "imo", "ship_type", "mobile_type", "country", "length", "width", "draught")
_DAY = click.DateTime(["%Y-%m-%d"])


@dataclass(frozen=True)
class _Named:
    """What was asked for: a vessel, perhaps one track of hers, perhaps one window of it."""

    mmsi: int
    track: int | None = None
    sample: Sample | None = None


@click.command("inspect")
@click.argument("what", metavar="MMSI|TRACK|SAMPLE")
@click.option(
    "--map", "picture", type=click.Path(dir_okay=False, path_type=Path), help="Draw a map into this PNG file."
)
@click.option(
    "--geoparquet",
    "lines",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write her tracks, or the one that is named, as lines into this GeoParquet file.",
)
@click.option("--from", "first", type=_DAY, help="Count her records from this day on.  [default: AIS_FIRST_DAY]")
@click.option("--to", "last", type=_DAY, help="Up to this day.  [default: AIS_LAST_DAY]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def command(
    *,
    what: str,
    picture: Path | None,
    lines: Path | None,
    first: datetime | None,
    last: datetime | None,
    as_json: bool,
) -> None:
    """What the lake has of a vessel, a track or a sample, and what became of each of her rows.

    A sample is SPLIT:NUMBER such as train:17, in the stored order from 0 on, or TRACK@TIME. Her rows are read from
    every day's typed records, cleaned and tracked once more, she alone: of a long range give --from and --to.
    """
    settings = settings_or_fail()
    with failures():
        lake = open_lake(settings)
        named = _named(lake, settings, what)
        wanted = [day for day in settings.day_keys if _within(day, first, last)]
        account = account_of(lake, settings, named.mmsi, wanted)
        if picture is not None:
            picture.write_bytes(_map(lake, settings, named, account))
        if lines is not None:
            pq.write_table(_lines(lake, named), lines)
    if as_json:
        click.echo(json.dumps(_as_json(named, account), indent=1))
        return
    show(terminal(), account, named.track, named.sample)
    if picture is not None:
        click.echo(f"map: {picture}")
    if lines is not None:
        click.echo(f"tracks: {lines}")


def show(console: Console, account: VesselAccount, track: int | None, sample: Sample | None) -> None:
    """Prints who she is, what there is of her by day, what became of her rows, and her tracks."""
    console.print(_facts(account, sample))
    console.print(_days(account))
    console.print(_drops(account))
    console.print(_tracks(account, track))


def _named(lake: Lake, settings: Settings, what: str) -> _Named:
    number = vessel_or_track(what)
    if number is None:
        sample = sample_of(lake, settings, what)
        return _Named(sample.mmsi, sample.track, sample)
    if number < FIRST_TRACK:
        return _Named(number_of(settings, number))
    return _Named(number // FIRST_TRACK, number)


def _within(day: str, first: datetime | None, last: datetime | None) -> bool:
    return (first is None or f"{first:%F}" <= day) and (last is None or day <= f"{last:%F}")


def _map(lake: Lake, settings: Settings, named: _Named, account: VesselAccount) -> bytes:
    from ais_assets.publishing.figures.maps import voyages  # noqa: PLC0415 - loads matplotlib

    window = None if named.sample is None else _line(positions_of_window(lake, settings, named.sample))
    if named.track is None:
        positions = positions_of_vessel(lake, settings, named.mmsi)
        tracks = [positions.filter(positions["track"] == track) for track in positions["track"].unique()]
    else:
        tracks = [positions_of_track(lake, settings, named.track)]
    known = account.vessel or {}
    of = f"{known.get('name') or 'MMSI'} {named.mmsi}"
    return voyages([_line(track) for track in tracks], of=of, window=window, seq_len=settings.seq_len).png


def _lines(lake: Lake, named: _Named) -> pa.Table:
    lines = lake.track_lines([named.mmsi])
    return lines if named.track is None else lines.filter(pc.equal(lines["track"], named.track))  # pyright: ignore[reportAttributeAccessIssue]


def _line(positions: pa.Table) -> Any:
    from ais_assets.io.views import in_degrees_and_knots  # noqa: PLC0415

    degrees = in_degrees_and_knots(positions)
    return degrees["lat"].to_numpy(), degrees["lon"].to_numpy()


def _facts(account: VesselAccount, sample: Sample | None) -> Table:
    vessel: Mapping[str, Any] = account.vessel or {}
    table = Table(title=f"Vessel {account.mmsi}", title_justify="left", show_header=False)
    for name in _OF_VESSEL:
        if vessel.get(name) is not None:
            table.add_row(name.replace("_", " "), str(vessel[name]))
    for name in ("names", "callsigns", "imos", "identities"):
        if len(vessel.get(name) or []) > 1 or (name == "identities" and vessel.get(name)):
            table.add_row(f"every {name}" if name != "identities" else name, ", ".join(map(str, vessel[name])))
    table.add_row("split", vessel.get("split", "not known"))
    table.add_row("tracks", f"{len(account.tracks):,}")
    for split, windows in account.windows.items():
        table.add_row(f"windows, {split}", f"{windows:,}")
    if sample is not None:
        table.add_row("sample", f"{sample.name}: track {sample.track} from {utc(sample.start)} on")
        table.add_row("stored as", sample.stored or "only in its track")
    return table


def _days(account: VesselAccount) -> Table:
    table = Table("day", title="Her days", title_justify="left", caption=_more(len(account.days)))
    for column in ("typed records", "clean positions"):
        table.add_column(column, justify="right")
    for day, counts in list(account.days.items())[:_SHOWN]:
        table.add_row(day, *(f"{count:,}" for count in counts.values()))
    return table


def _drops(account: VesselAccount) -> Table:
    table = Table("what", title="What became of her rows", title_justify="left")
    table.add_column("rows", justify="right")
    for what, of in (("typed records", account.cleaned), ("clean positions", account.tracked)):
        table.add_row(what, f"{of.rows_in:,}")
        for rule, rows in of.dropped.items():
            if rows:
                table.add_row(f"  dropped: {rule}", f"{rows:,}")
    table.add_row("positions of tracks", f"{account.tracked.rows_out:,}")
    return table


def _tracks(account: VesselAccount, track: int | None) -> Table:
    tracks = [of for of in account.tracks if track in (None, of["track"])]
    table = Table("track", title="Tracks", title_justify="left", caption=_more(len(tracks)))
    table.add_column("from, to", no_wrap=True)
    for column in ("positions", "nm", "windows"):
        table.add_column(column, justify="right")
    for of in tracks[:_SHOWN]:
        span = f"{of['start']}\n{of['end']}"
        table.add_row(str(of["track"]), span, f"{of['positions']:,}", f"{of['length_nm']:.1f}", f"{of['windows']:,}")
    return table


def _more(there: int) -> str | None:
    return f"and {there - _SHOWN:,} more: --json has all" if there > _SHOWN else None


def _as_json(named: _Named, account: VesselAccount) -> dict[str, Any]:
    found = {
        "mmsi": account.mmsi,
        "vessel": account.vessel,
        "days": account.days,
        "windows": account.windows,
        "typed_records": asdict(account.cleaned),
        "clean_positions": asdict(account.tracked),
        "tracks": [of for of in account.tracks if named.track in (None, of["track"])],
    }
    sample = named.sample
    if sample is not None:
        found["sample"] = {**asdict(sample), "start": utc(sample.start)}
    return found
