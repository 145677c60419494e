"""From a sample back to where it came from: its window, track, vessel, clean records, typed records, lines of files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ais_assets import schema
from ais_assets.assets.ingest import pseudonyms_of
from ais_assets.io.lake import Lake
from ais_assets.operating.samples import Sample, plain, positions_of_window, sample_of, utc
from ais_assets.settings import Settings
from ais_assets.sources.record_lines import LINE, records_by_line
from ais_assets.sources.source import Source
from ais_assets.store.objects import StoreError

_LAT, _LON = (schema.STORED_AS[name].column for name in ("lat", "lon"))
_REPORT: Final = ("mmsi", "t", _LAT, _LON)
"""By which a position is found in the records that it came from: no stage changes these."""
_GIGABYTE: Final = 1_000_000_000


class _Report(NamedTuple):
    """A position report of the vessel: Unix time in milliseconds, and where, in micro-degrees."""

    t: int
    lat: int
    lon: int


class _Read(NamedTuple):
    """How archives are read: the words that name the vessel in them, and the bytes that one may unpack to."""

    words: Sequence[bytes]
    max_bytes: int


@dataclass(frozen=True)
class RawRow:
    """A typed record that a position came from; duplicates of it are several.

    Attributes:
        day: of its partition of raw_records.
        row: its number in there, from 0.
        file: of raw_archives, that has it; None where its line is not known.
        line: of that file, the first one being 1; None where records of this source have no lines of their own.
    """

    day: str
    row: int
    file: str | None
    line: int | None


@dataclass(frozen=True)
class TracedPosition:
    """A position of the window.

    Attributes:
        values: as the track has them: time, degrees, knots, and whether SOG and COG were received with it.
        clean: the partition of clean_records that has it, and its row there.
        raw: the typed records, the one that was kept and its duplicates.
    """

    values: dict[str, Any]
    clean: tuple[str, int] | None
    raw: tuple[RawRow, ...]


@dataclass(frozen=True)
class Trace:
    """Where a sample came from.

    Attributes:
        sample: the window.
        split: of its vessel.
        track: its row of `tracks`; None where that is not there.
        vessel: her row of `vessels`; None where that is not there.
        positions: of the window, in order.
        not_read: why lines of some files are not known, by file.
    """

    sample: Sample
    split: str
    track: dict[str, Any] | None
    vessel: dict[str, Any] | None
    positions: tuple[TracedPosition, ...]
    not_read: dict[str, str]


def trace(lake: Lake, settings: Settings, source: Source, name: str) -> Trace:
    """Traces the sample of this name, see `samples.sample_of`; reads the whole archives of the window's days.

    Raises UnknownNameError where there is no such sample, PartitionMissingError where a stage's partition is missing.
    """
    sample = sample_of(lake, settings, name)
    window = positions_of_window(lake, settings, sample)
    reports = _reports(window)
    days = sorted({utc(report.t)[:10] for report in reports})
    vessel = known_vessel(lake, sample.mmsi)
    sent_by = sender_of(settings, sample.mmsi)
    clean: dict[_Report, tuple[str, int]] = {}
    raw: dict[_Report, list[RawRow]] = {}
    not_read: dict[str, str] = {}
    most_bytes = int(settings.max_archive_gigabytes * _GIGABYTE)
    for day in days:
        for report, (row,) in _rows_of(lake, "clean_records", day, sample.mmsi, set(reports)).items():
            clean[report] = day, row
        rows = _rows_of(lake, "raw_records", day, sent_by, set(reports))
        lines, why = _lines_of(lake, source, day, sent_by, _Read(_words(sent_by, vessel), most_bytes))
        not_read |= why
        for report, numbers in rows.items():
            raw[report] = list(_with_lines(day, numbers, lines[report]))
    positions = [
        TracedPosition(values, clean.get(report), tuple(raw.get(report, ())))
        for values, report in zip(_values(window), reports, strict=True)
    ]
    return Trace(
        sample, window["split"][0].as_py(), known_track(lake, sample.track), vessel, tuple(positions), not_read
    )


def sender_of(settings: Settings, number: int) -> int:
    """The MMSI in the source's records of the vessel that the lake has under this number.

    They differ under AIS_IDENTITIES. Raises ValueError for a number that stands for no MMSI then.
    """
    pseudonyms = pseudonyms_of(settings)
    return number if pseudonyms is None else int(pseudonyms.mmsis(np.array([number], np.int32))[0])


def number_of(settings: Settings, mmsi: int) -> int:
    """The number under which the lake has a vessel: her MMSI, or what stands for it; of such a number itself."""
    pseudonyms = pseudonyms_of(settings)
    if pseudonyms is None or mmsi >= schema.FIRST_IDENTITY:
        return mmsi
    return int(pseudonyms.numbers(np.array([mmsi], np.int32))[0])


def known_vessel(lake: Lake, mmsi: int) -> dict[str, Any] | None:
    """The vessel's row of `vessels`; None where there is none."""
    return _row(lake, "vessels", "mmsi", mmsi)


def known_track(lake: Lake, track: int) -> dict[str, Any] | None:
    """The track's row of `tracks`; None where there is none."""
    return _row(lake, "tracks", "track", track)


def _row(lake: Lake, asset: str, column: str, value: int) -> dict[str, Any] | None:
    if (asset == "vessels" and not lake.has(asset)) or (asset == "tracks" and not lake.partitions(asset)):
        return None
    found = lake.sql(f"select * from {asset} where {column} = {value}").to_arrow_table().to_pylist()
    return plain(found[0]) if found else None


def _reports(rows: pa.Table) -> list[_Report]:
    t, lat, lon = rows["t"].cast(pa.int64()), rows[_LAT], rows[_LON]
    return [_Report(*of) for of in zip(t.to_pylist(), lat.to_pylist(), lon.to_pylist(), strict=True)]


def _values(window: pa.Table) -> Iterator[dict[str, Any]]:
    t = window["t"].cast(pa.int64()).to_pylist()
    for row, milliseconds in zip(window.to_pylist(), t, strict=True):
        quantities = {name: row[of.column] / of.steps for name, of in schema.STORED_AS.items()}
        yield {"t": utc(milliseconds), **quantities, "sog_held": row["sog_held"], "cog_held": row["cog_held"]}


def _rows_of(lake: Lake, asset: str, day: str, mmsi: int, wanted: set[_Report]) -> dict[_Report, list[int]]:
    """Rows of a day's partition that are these reports of the vessel."""
    found: dict[_Report, list[int]] = defaultdict(list)
    before = 0
    for table in lake.row_groups(asset, day, _REPORT):
        rows = np.flatnonzero(table["mmsi"].to_numpy() == mmsi)
        for row, report in zip(rows.tolist(), _reports(table.take(pa.array(rows))), strict=True):
            if report in wanted:
                found[report].append(before + row)
        before += table.num_rows
    return found


def _lines_of(
    lake: Lake, source: Source, day: str, mmsi: int, read: _Read
) -> tuple[dict[_Report, list[tuple[str, int]]], dict[str, str]]:
    """File and line of each of the vessel's reports of the day, in the order of files, and why some are not known."""
    lines: dict[_Report, list[tuple[str, int]]] = defaultdict(list)
    why: dict[str, str] = {}
    for file in lake.manifest("raw_archives", day)["facts"].get("files", []):
        name = file["file"]
        try:
            with lake.local_file("raw_archives", day, name) as path:
                records = records_by_line(source, path, date.fromisoformat(day), *read)
        except (FileNotFoundError, StoreError) as error:
            why[name] = f"is not in the lake any more ({error})"
            continue
        if records is None:
            why[name] = f"records of AIS_SOURCE={source.name} in such a file are not read from lines of their own"
            continue
        # Her digits may be in other fields of other vessels' lines.
        records = records.filter(pc.equal(records["mmsi"], mmsi))  # pyright: ignore[reportAttributeAccessIssue]
        for report, line in zip(_reports(records), records[LINE].to_pylist(), strict=True):
            lines[report].append((name, line))
    return lines, why


def _words(mmsi: int, vessel: dict[str, Any] | None) -> list[bytes]:
    """How a file may name the vessel."""
    if mmsi >= schema.FIRST_IDENTITY and vessel is not None:
        return [identity.encode() for identity in vessel["identities"]]
    return [str(mmsi).encode()]


def _with_lines(day: str, rows: Sequence[int], lines: Sequence[tuple[str, int]]) -> Iterator[RawRow]:
    # Both are in the order of the files, so the n-th of one is the n-th of the other.
    known = lines if len(lines) == len(rows) else [(None, None)] * len(rows)
    for row, (file, line) in zip(rows, known, strict=True):
        yield RawRow(day, row, file, line)
