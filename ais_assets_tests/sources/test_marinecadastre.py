"""MarineCadastre's forms since 2015, all to the same records."""

from __future__ import annotations

import csv
import json
import struct
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from pyarrow.csv import read_csv

from ais_assets import schema
from ais_assets.io.views import in_degrees_and_knots
from ais_assets.sources.marinecadastre import MarineCadastreSource
from ais_assets.sources.source import SourceError
from ais_assets_tests.sources.csv_rows import MARINECADASTRE_HEADER as HEADER
from ais_assets_tests.sources.csv_rows import MAX_BYTES

DAY = date(2024, 1, 1)


def read(path: Path, day: date = DAY) -> tuple[pa.Table, dict[str, int]]:
    stream = MarineCadastreSource(str(path.parent), max_bytes=MAX_BYTES).read(path, day)
    table = in_degrees_and_knots(pa.concat_tables(list(stream.tables)))
    table.validate(full=True)
    stream.ledger.balance(path.name)
    return table, {name: count for name, count in {**stream.ledger.dropped, **stream.ledger.notes}.items() if count}


def row(folder: Path, header: str = HEADER, **fields: str) -> tuple[dict[str, Any], dict[str, int]]:
    """The record of one row; fields by the header's names."""
    values = {
        "MMSI": "367702220",
        "BaseDateTime": "2024-01-01T00:00:01",
        "LAT": "29.78763",
        "LON": "-95.08070",
        "SOG": "0.1",
        "COG": "226.5",
        "Heading": "340.0",
        **fields,
    }
    path = folder / "AIS_2024_01_01.csv"
    path.write_text(f"{header}\n{','.join(values.get(name, '') for name in header.split(','))}\n")
    table, counts = read(path)
    return table.to_pylist()[0], counts


@pytest.fixture
def head(real_data: Path) -> Path:
    return real_data / "marinecadastre" / "AIS_2024_01_01-head.csv"


def test_values_are_those_the_csv_module_reads(head: Path) -> None:
    table, _ = read(head)
    with head.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert table["mmsi"].to_pylist() == [int(row["MMSI"]) for row in rows]
    assert table["t"].to_pylist() == [datetime.fromisoformat(row["BaseDateTime"]).replace(tzinfo=UTC) for row in rows]
    assert table["lat"].to_pylist() == [float(row["LAT"]) for row in rows]
    assert table["lon"].to_pylist() == [float(row["LON"]) for row in rows]
    for column, name, none in (("sog", "SOG", "102.3"), ("cog", "COG", "360.0"), ("heading", "Heading", "511.0")):
        assert table[column].to_pylist() == [None if row[name] == none else float(row[name]) for row in rows]
    assert table["mobile_type"].to_pylist() == [f"class {row['TransceiverClass']}" for row in rows]
    codes = [row["Status"] for row in rows]
    assert table["nav_status"].to_pylist() == [
        None if code in ("", "15") else schema.NAV_STATUSES[int(code)] for code in codes
    ]
    imos = {int(row["IMO"].removeprefix("IMO")) for row in rows if row["IMO"]}
    assert set(table["imo"].drop_null().to_pylist()) == {imo for imo in imos if 0 < imo <= 9_999_999}


def zipped(text: bytes, folder: Path) -> Path:
    path = folder / "AIS_2024_01_01.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("AIS_2024_01_01.csv", text)
    return path


def zstd(text: bytes, folder: Path) -> Path:
    path = folder / "ais-2024-01-01.csv.zst"
    path.write_bytes(zstandard.compress(text))
    return path


def parquet(text: bytes, folder: Path) -> Path:
    path = folder / "ais-2024-01-01.parquet"
    pq.write_table(read_csv(pa.BufferReader(text)), path)
    return path


def geoparquet(text: bytes, folder: Path) -> Path:
    """Points in place of the two coordinates, as GeoParquet 1.1 has them."""
    table = read_csv(pa.BufferReader(text))
    points = [
        struct.pack("<BIdd", 1, 1, lon, lat)
        for lon, lat in zip(table["LON"].to_pylist(), table["LAT"].to_pylist(), strict=True)
    ]
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": {"encoding": "WKB"}}}
    table = table.drop_columns(["LAT", "LON"]).append_column("geometry", pa.array(points, pa.binary()))
    path = folder / "ais-2024-01-01.parquet"
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)
    return path


@pytest.mark.parametrize("packed", [zipped, zstd, parquet, geoparquet])
def test_every_packing_gives_the_same_records(
    head: Path, tmp_path: Path, packed: Callable[[bytes, Path], Path]
) -> None:
    straight, counts = read(head)
    table, packed_counts = read(packed(head.read_bytes(), tmp_path))
    assert table.equals(straight)
    assert packed_counts == counts


def test_a_geometry_that_is_no_point_is_refused(tmp_path: Path) -> None:
    line = struct.pack("<BIIdddd", 1, 2, 2, 0.0, 1.0, 2.0, 3.0)
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {}}
    table = pa.table({"MMSI": [1], "geometry": pa.array([line], pa.binary())})
    path = tmp_path / "ais-2024-01-01.parquet"
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)
    with pytest.raises(SourceError, match=r"rows from 0: the geometry column binary holds something else than points"):
        read(path)


def test_the_lower_case_form_has_the_longitude_first(real_data: Path) -> None:
    table, _ = read(real_data / "marinecadastre" / "ais-2026-03-31-lowercase.csv", date(2026, 3, 31))
    assert table["lat"].to_pylist() == [38.40362, 40.51168]
    assert table["lon"].to_pylist() == [-82.55641, -80.11748]
    assert table["t"].to_pylist() == [datetime(2026, 3, 31, tzinfo=UTC)] * 2
    assert table["callsign"].to_pylist() == ["WDK7088", "WDQ5513"]


def test_a_misspelt_header(real_data: Path) -> None:
    table, _ = read(real_data / "marinecadastre" / "AIS_2020_01_01-head.csv", date(2020, 1, 1))
    assert set(table["mobile_type"].to_pylist()) <= {"class A", "class B"}


def test_the_sixteen_columns_of_2017(real_data: Path) -> None:
    table, _ = read(real_data / "marinecadastre" / "2017-ten.csv", date(2017, 12, 1))
    assert set(table["mobile_type"].to_pylist()) == {"unknown"}
    assert table["nav_status"].to_pylist()[:4] == ["moored", None, "under way using engine", "at anchor"]
    assert table["ship_type"].to_pylist()[0] == "1004"
    # -97.8 + 409.6 and so on: a course that ran over.
    assert [float(cog) for cog in table["cog"].to_pylist()[4:7]] == [311.8, 341.2, 232.0]


def test_a_zone_and_month_in_a_zip_as_they_were_until_2017(tmp_path: Path) -> None:
    """By the names and columns that the authority published; no real file was at hand."""
    name = "AIS_2015_01_Zone10"
    row_of = "{mmsi},2015-01-{day:02d}T23:59:59,48.11965,-123.42,0,-49.6,511,NAME,IMO9107370,WDA1,30,moored,20,6,,"
    rows = [row_of.format(mmsi=mmsi, day=day) for mmsi, day in ((367000001, 31), (367000002, 1), (367000003, 2))]
    with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
        text = "\n".join([HEADER.removesuffix(",TransceiverClass"), *rows, ""])
        archive.writestr(f"AIS_ASCII_by_UTM_Month/2015/{name}.csv", text)
    assert [_landed_mmsis(tmp_path, date(2015, 1, day)) for day in (1, 2, 3, 31)] == [
        [367000002],
        [367000003],
        [],
        [367000001],
    ]


@pytest.mark.parametrize(
    "header",
    [
        "X,Y,SOG,COG,Heading,ROT,BaseDateTime,Status,VoyageID,MMSI,ReceiverType,ReceiverID",
        "POINT_X,POINT_Y,SOG,COG,Heading,ROT,BaseDateTime,Status,VoyageID,MMSI,ReceiverType,ReceiverID",
    ],
)
def test_a_geodatabase_of_2009_exported_to_csv(tmp_path: Path, header: str) -> None:
    """By the published columns of its table Broadcast, times as GDAL writes them; no real file was at hand."""
    path = tmp_path / "Zone10_2009_01.csv"
    path.write_text(
        f"{header}\n"
        "-123.438233,48.119655,12,275,511,128,2009/01/31 00:00:00,0,1,367000001,b,003669706\n"
        "-123.438234,48.119656,0,360,90,0,2009/01/01 00:01:00,15,2,367000002,r,\n"
    )
    table, counts = read(path, date(2009, 1, 31))
    assert counts == {"other_day": 1}
    (record,) = table.to_pylist()
    assert {name: value for name, value in record.items() if value is not None} == {
        "t": datetime(2009, 1, 31, tzinfo=UTC),
        "mmsi": 367000001,
        "mobile_type": "unknown",
        "lat": 48.119655,
        "lon": -123.438233,
        "sog": 12.0,
        "cog": 275.0,
        "nav_status": "under way using engine",
        "coarse": False,
    }
    assert _landed_mmsis(tmp_path, date(2009, 1, 1)) == [367000002]


def _landed_mmsis(folder: Path, day: date) -> list[int]:
    source = MarineCadastreSource(str(folder), max_bytes=MAX_BYTES)
    into = folder / f"landed-{day}"
    into.mkdir()
    stream = source.read_all([archive.path for archive in source.land(day, into)], day)
    return [mmsi for table in stream.tables for mmsi in table["mmsi"].to_pylist()]


@pytest.mark.parametrize(
    ("field", "text", "value", "note"),
    [
        ("COG", "-49.6", None, None),
        ("COG", "-49.7", 359.9, None),
        ("COG", "-204.8", 204.8, None),
        ("COG", "-409.6", 0, None),
        ("COG", "-0.1", None, "implausible_cog"),
        ("COG", "-409.7", None, "implausible_cog"),
        ("COG", "360.0", None, None),
        ("SOG", "-0.1", None, None),
        ("SOG", "-0.2", 102.2, None),
        ("SOG", "-51.2", 51.2, None),
        ("SOG", "-102.5", None, "implausible_sog"),
        ("SOG", "102.3", None, None),
        ("Heading", "511.0", None, None),
        ("Heading", "-1", None, "implausible_heading"),
    ],
)
def test_motion(tmp_path: Path, field: str, text: str, value: object, note: str | None) -> None:
    found, counts = row(tmp_path, **{field: text})
    assert found[field.lower()] == value
    assert counts == ({note: 1} if note else {})


@pytest.mark.parametrize(
    ("damage", "status", "class_"),
    [
        (lambda line: line.replace("SONJA", '"SONJA'), None, "unknown"),
        (lambda line: line.replace("SONJA", '"SON" JA'), None, "unknown"),
        (lambda line: line.replace("SONJA", "SONJA, THE"), None, "unknown"),
        (lambda line: line[: line.index("2.9,") + 3], "moored", "unknown"),
        (lambda line: line[: line.index("SONJA") + 2], None, "unknown"),
    ],
)
def test_damage_behind_the_position_costs_what_stands_behind_it(
    tmp_path: Path, damage: Callable[[str], str], status: str | None, class_: str
) -> None:
    line = "367702220,2024-01-01T00:00:01,29.78763,-95.08070,0.1,226.5,340.0,SONJA,IMO9107370,WX,5,5,54,15,2.9,5,A"
    path = tmp_path / "AIS_2024_01_01.csv"
    path.write_text("\n".join([HEADER, line.replace("SONJA", "FENJA"), damage(line), line, ""]))
    table, counts = read(path)
    assert counts == {"damaged_rest": 1}
    assert table["lat"].to_pylist() == [29.78763] * 3
    assert table["cog"].to_pylist() == [226.5] * 3
    assert table["nav_status"].to_pylist() == ["moored", status, "moored"]
    assert table["mobile_type"].to_pylist() == ["class A", class_, "class A"]
    assert table["name"].to_pylist() == ["FENJA", None, "SONJA"]


@pytest.mark.parametrize(
    ("text", "imo"), [("IMO9107370", 9107370), ("IMO0000000", None), ("", None), ("9107370", 9107370)]
)
def test_imo(tmp_path: Path, text: str, imo: int | None) -> None:
    found, counts = row(tmp_path, IMO=text, VesselName="SONJA H")
    assert (found["imo"], found["name"]) == (imo, "SONJA H")
    assert counts == {}


@pytest.mark.parametrize("header", [HEADER.replace("LAT", "LATITUDES"), HEADER + ",Latitude"])
def test_an_incomplete_or_ambiguous_header_is_refused(tmp_path: Path, header: str) -> None:
    fault = "has LAT or latitude more than once" if header.endswith("Latitude") else "lacks LAT or latitude"
    with pytest.raises(SourceError, match=rf"the header {fault}\. Found 'MMSI,"):
        row(tmp_path, header)
