"""Real files of the Danish Maritime Authority, beside an independent reading by the csv module."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ais_assets import schema
from ais_assets.io.views import in_degrees_and_knots
from ais_assets.sources.dma import DmaSource
from ais_assets.sources.file_days import span_in_name
from ais_assets_tests.sources.csv_rows import MAX_BYTES

FILES = {
    "2021-09-07-extra-columns.csv": (99, {}),
    "aisdk-2018-02-08-22-columns.csv": (10, {}),
    "aisdk-2022-09-17-midday.csv": (10_001, {"no_position": 157}),
    "aisdk-2024-09-09-head.csv": (10_000, {"no_position": 452}),
    "aisdk-2024-09-09-head-padded.csv.gz": (10_000, {"no_position": 452}),
    "ferry-2022-10-15.csv": (735, {}),
    "ferry-2022-10-15-hand-edited.csv": (34, {"implausible_cog": 12}),
}


def read(path: Path) -> tuple[pa.Table, dict[str, int], dict[str, int]]:
    span = span_in_name(path.name)
    assert span is not None
    stream = DmaSource(str(path.parent), max_bytes=MAX_BYTES).read(path, span.first)
    table = in_degrees_and_knots(pa.concat_tables(list(stream.tables)))
    table.validate(full=True)
    stream.ledger.balance(path.name)
    return table, stream.ledger.dropped, stream.ledger.notes


def rows_by_csv_module(path: Path) -> list[dict[str, str]]:
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    header, *rows = csv.reader(text.decode().splitlines())
    return [dict(zip((name.strip() for name in header), (value.strip() for value in row), strict=True)) for row in rows]


def number(text: str, places: str) -> float | None:
    return float(Decimal(text).quantize(Decimal(places))) if text else None


@pytest.mark.parametrize("name", FILES)
def test_every_row_is_a_record_and_the_faults_are_counted(real_data: Path, name: str) -> None:
    table, dropped, notes = read(real_data / "dma" / name)
    rows, expected_notes = FILES[name]
    assert table.num_rows == rows
    assert set(dropped.values()) == {0}
    assert {note: count for note, count in notes.items() if count} == expected_notes


@pytest.mark.parametrize("name", FILES)
def test_values_are_those_the_csv_module_reads(real_data: Path, name: str) -> None:
    path = real_data / "dma" / name
    table = read(path)[0]
    rows = rows_by_csv_module(path)
    moments = [datetime.strptime(row["# Timestamp"], "%d/%m/%Y %H:%M:%S").replace(tzinfo=UTC) for row in rows]
    assert table["t"].to_pylist() == moments
    assert table["mmsi"].to_pylist() == [int(row["MMSI"]) for row in rows]
    for column, header in (("lat", "Latitude"), ("lon", "Longitude")):
        expected = [None if float(row["Latitude"]) == 91 else number(row[header], "0.000001") for row in rows]
        assert table[column].to_pylist() == expected
    sog = [number(row["SOG"], "0.1") for row in rows]
    cog = [number(row["COG"], "0.1") for row in rows]
    assert table["sog"].to_pylist() == [None if value is None or value > 102.2 else value for value in sog]
    assert table["cog"].to_pylist() == [None if value is None or value >= 360 else value for value in cog]
    heading = [None if row["Heading"] == "" else int(float(row["Heading"])) for row in rows]
    assert table["heading"].to_pylist() == [None if value is None or value >= 360 else value for value in heading]
    types = {"Class A": 1, "Class B": 2, "Base Station": 3, "AtoN": 4}
    assert table["mobile_type"].to_pylist() == [schema.MOBILE_TYPES[types[row["Type of mobile"]]] for row in rows]
    unknown = [row["Navigational status"] == "Unknown value" for row in rows]
    assert [value is None for value in table["nav_status"].to_pylist()] == unknown


@pytest.mark.parametrize("name", FILES)
def test_static_data_stand_on_the_first_row_that_shows_them(real_data: Path, name: str) -> None:
    path = real_data / "dma" / name
    table = read(path)[0]
    seen: set[Any] = set()
    expected: list[tuple[str | None, str | None, float | None]] = []
    for row in rows_by_csv_module(path):
        texts = (row["IMO"], row["Callsign"], row["Name"], row["Ship type"], row["Destination"])
        known = tuple(None if text in ("", "Unknown", "Undefined") else text for text in texts)
        sizes = tuple(float(row[key]) if row[key] else None for key in ("Length", "Width", "Draught"))
        key = (row["MMSI"], known, sizes)
        new = key not in seen and any(value is not None for value in (*known, *sizes))
        seen.add(key)
        expected.append((known[2], known[4], sizes[0]) if new else (None, None, None))
    found = zip(*(table[column].to_pylist() for column in ("name", "destination", "length")), strict=True)
    assert list(found) == expected


def test_padding_changes_nothing(real_data: Path) -> None:
    plain = read(real_data / "dma" / "aisdk-2024-09-09-head.csv")[0]
    padded = read(real_data / "dma" / "aisdk-2024-09-09-head-padded.csv.gz")[0]
    assert padded.equals(plain)


def test_quoted_texts(real_data: Path) -> None:
    table = read(real_data / "dma" / "aisdk-2022-09-17-midday.csv")[0]
    assert table["name"].to_pylist().count('DANPILOT."SPICA"') == 1
    assert {"TYNE,UK", "SZCZECIN, POLAND"} <= set(table["destination"].to_pylist())
