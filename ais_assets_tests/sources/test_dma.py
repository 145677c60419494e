"""Real files of the Danish Maritime Authority, beside an independent reading by the csv module."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ais_assets import schema
from ais_assets.io.views import in_degrees_and_knots
from ais_assets.sources.dma import DmaSource
from ais_assets.sources.file_days import span_in_name
from ais_assets_tests.sources.csv_rows import HEADER, MAX_BYTES, write_zip

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


# The columns of the authority's list (DMA_README_information_CSV_files.txt), times and numbers as in its examples.
OLD_ROW = (
    "31/12/2015 23:59:59;Class A;219000101;57,8794;17,9125;Engaged in fishing;0,0;12,3;359,9;358;9074729;OXAB;FENJA;"
    "Cargo;No additional information;17;120;GPS;6,5;AARHUS;01/01/2016 06:00:00;AIS;100;20;8;9"
)
OLD_DAY = date(2015, 12, 31)


class TestTheDialectBefore2016:
    """Semicolons, decimal commas, no header. No real file was at hand: this is the authority's list, to the letter."""

    def read(self, path: Path, day: date = OLD_DAY) -> tuple[list[dict[str, Any]], dict[str, int]]:
        stream = DmaSource(str(path.parent), max_bytes=MAX_BYTES).read(path, day)
        tables = [in_degrees_and_knots(table) for table in stream.tables]
        stream.ledger.balance(path.name)
        counts = {name: rows for name, rows in {**stream.ledger.dropped, **stream.ledger.notes}.items() if rows}
        return [record for table in tables for record in table.to_pylist()], counts

    def write(self, folder: Path, *lines: str, newline: str = "\r\n") -> Path:
        path = folder / "aisdk_20151231.csv"
        path.write_bytes("".join(line + newline for line in lines).encode("latin-1"))
        return path

    @pytest.mark.parametrize("newline", ["\n", "\r\n"])
    def test_every_value_of_a_row(self, tmp_path: Path, newline: str) -> None:
        (record,), counts = self.read(self.write(tmp_path, OLD_ROW, newline=newline))
        assert counts == {}
        assert record == {
            "t": datetime(2015, 12, 31, 23, 59, 59, tzinfo=UTC),
            "mmsi": 219000101,
            "mobile_type": "class A",
            "lat": 57.8794,
            "lon": 17.9125,
            "sog": 12.3,
            "cog": 359.9,
            "heading": 358,
            "nav_status": "engaged in fishing",
            "coarse": False,
            "imo": 9074729,
            "callsign": "OXAB",
            "name": "FENJA",
            "ship_type": "Cargo",
            "length": 120.0,
            "width": 17.0,
            "draught": 6.5,
            "destination": "AARHUS",
            "identity": None,
        }

    def test_the_22_columns_before_the_sizes(self, tmp_path: Path) -> None:
        row = OLD_ROW.rpartition(";100;")[0]
        records, counts = self.read(self.write(tmp_path, row, row.replace(";12,3;", ";;")))
        assert [record["sog"] for record in records] == [12.3, None]
        assert [record["draught"] for record in records] == [6.5, None]
        assert counts == {}

    def test_rejects_have_the_lines_of_a_file_without_a_header(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, OLD_ROW, OLD_ROW.replace("57,8794", "N"), "", OLD_ROW.replace("219000101", "x"))
        records, counts = self.read(path)
        assert (len(records), counts) == (1, {"bad_latitude": 1, "bad_mmsi": 1, "blank_lines": 1})
        stream = DmaSource(str(tmp_path), max_bytes=MAX_BYTES).read(path, OLD_DAY)
        list(stream.tables)
        assert [reject["line"] for reject in stream.facts["rejects"]] == [2, 4]

    def test_a_first_row_that_is_damaged_is_a_row(self, tmp_path: Path) -> None:
        """It is no header either: none of its fields is a column's name."""
        records, counts = self.read(self.write(tmp_path, OLD_ROW.replace("31/12/2015", "x"), OLD_ROW))
        assert (len(records), counts) == (1, {"bad_timestamp": 1})

    def test_the_same_with_a_header(self, tmp_path: Path) -> None:
        header = HEADER.replace(",", ";")
        (record,), counts = self.read(self.write(tmp_path, header, OLD_ROW))
        assert (record["lat"], record["draught"], counts) == (57.8794, 6.5, {})

    @pytest.mark.parametrize("style", ["aisdk_{day:%Y%m%d}.csv", "aisdk-{day}.csv", "2006/03/AIS {day:%Y_%m_%d}.csv"])
    def test_days_of_a_month(self, tmp_path: Path, style: str) -> None:
        """A zip a month, as they are from 2006 on, a member a day under names of several styles."""
        days = [date(2006, 3, day) for day in (1, 2, 31)]
        lines = {day: OLD_ROW.replace("31/12/2015", f"{day:%d/%m/%Y}") for day in days}
        members = {style.format(day=day): f"{line}\r\n{line}\r\n".encode() for day, line in lines.items()}
        (tmp_path / "feed").mkdir()
        write_zip(tmp_path / "feed" / "aisdk-2006-03.zip", members)
        source = DmaSource(str(tmp_path / "feed"), max_bytes=MAX_BYTES)
        for day in (*days, date(2006, 3, 15)):
            landed = source.land(day, tmp_path)
            assert len(landed) == (day in days)
            for archive in landed:
                records, counts = self.read(archive.path, day)
                assert [record["t"].date() for record in records] == [day, day]
                assert counts == {}
