"""JSON of AIS-catcher, gpsd, aisstream.io and Digitraffic, in the forms that they document; the ships are invented."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from ais_assets.sources import json_lines
from ais_assets.sources.json_lines import JsonLinesSource
from ais_assets.sources.rows import day_log
from ais_assets_tests.sources.csv_rows import MAX_BYTES

DAY = date(2024, 3, 1)
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
T = 1_709_294_400
CATCHER = {
    "class": "AIS", "device": "AIS-catcher", "channel": "A", "rxuxtime": T, "rxtime": "20240301120000", "type": 1,
    "mmsi": 219000101, "status": 0, "speed": 10.5, "lon": 12.5, "lat": 55.5, "course": 90.0, "heading": 91, "second": 5,
}  # fmt: skip
STREAM = {
    "MessageType": "PositionReport",
    "MetaData": {
        "MMSI": 219000101, "latitude": 1, "longitude": 2, "time_utc": "2024-03-01 12:00:00.123456789 +0000 UTC",
    },
    "Message": {
        "PositionReport": {
            "UserID": 219000101, "Latitude": 55.5, "Longitude": 12.5, "Sog": 10.5, "Cog": 90, "TrueHeading": 91,
            "NavigationalStatus": 0, "Timestamp": 5,
        }
    },
}  # fmt: skip
FEATURE = {
    "mmsi": 219000101, "type": "Feature", "geometry": {"type": "Point", "coordinates": [12.5, 55.5]},
    "properties": {
        "sog": 10.5, "cog": 90.0, "navStat": 0, "heading": 91, "timestamp": 5, "timestampExternal": T * 1000,
    },
}  # fmt: skip
GPSD = {
    "class": "AIS", "scaled": False, "type": 1, "mmsi": 219000101, "status": 0, "speed": 105, "lon": 7_500_000,
    "lat": 33_300_000, "course": 900, "heading": 91, "rxtime": "20240301120000",
}  # fmt: skip


def read(folder: Path, *lines: Any) -> tuple[list[dict[str, Any]], dict[str, int]]:
    path = folder / f"ais-{DAY}.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    stream = JsonLinesSource(str(folder), max_bytes=MAX_BYTES).read(path, DAY)
    records = [record for table in stream.tables for record in table.to_pylist()]
    stream.ledger.balance(path.name)
    return records, {k: v for k, v in {**stream.ledger.dropped, **stream.ledger.notes}.items() if v}


@pytest.mark.parametrize("said", [CATCHER, STREAM, FEATURE, GPSD, {"features": [FEATURE]}])
def test_a_position_in_each_form(tmp_path: Path, said: dict[str, Any]) -> None:
    (record,), counts = read(tmp_path, said)
    assert counts == {}
    assert (record["t"], record["mmsi"], record["nav_status"]) == (NOON, 219000101, "under way using engine")
    assert (record["lat_microdegrees"], record["lon_microdegrees"]) == (55_500_000, 12_500_000)
    assert (record["sog_tenths"], record["cog_tenths"], record["heading"]) == (105, 900, 91)


def test_static_data(tmp_path: Path) -> None:
    catcher = {
        "class": "AIS", "type": 5, "mmsi": 219000101, "rxuxtime": T, "imo": 9074729, "callsign": "OXAB",
        "shipname": "FENJA",
        "shiptype": 70, "to_bow": 100, "to_stern": 20, "to_port": 8, "to_starboard": 9, "draught": 6.5,
        "destination": "AARHUS",
    }  # fmt: skip
    digitraffic = {
        "mmsi": 219000102, "timestamp": T * 1000, "name": "FENJA", "callSign": "OXAB", "imo": 9074729, "type": 70,
        "refA": 100, "refB": 20, "refC": 8, "refD": 9, "draught": 65, "destination": "AARHUS",
    }  # fmt: skip
    records, counts = read(tmp_path, catcher, digitraffic)
    assert counts == {"no_position": 2}
    for record in records:
        assert record["t"] == NOON
        assert (record["name"], record["callsign"], record["imo"]) == ("FENJA", "OXAB", 9074729)
        assert (record["length"], record["width"], record["draught"]) == (120, 17, 6.5)
        assert (record["ship_type"], record["destination"]) == ("70", "AARHUS")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mmsi": "x"}, "bad_mmsi"),
        ({"lat": 92}, "bad_latitude"),
        ({"lon": -190.5}, "bad_longitude"),
        ({"rxuxtime": None, "rxtime": None}, "no_time"),
        ({"rxuxtime": None, "rxtime": "2024-03-01 12:00:00 CET"}, "unknown_zone"),
        ({"rxuxtime": T + 86_400 * 40}, "outside_file"),
    ],
)
def test_rejects(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    records, counts = read(tmp_path, CATCHER, {**CATCHER, **change})
    assert len(records) == 1
    assert counts == {reason: 1}


def test_lines_that_are_no_messages_cost_no_neighbour(tmp_path: Path) -> None:
    broken = '{"class":"AIS","mmsi":2190'
    records, counts = read(tmp_path, CATCHER, broken, "", "[1, 2]", {"class": "VERSION"}, CATCHER)
    assert len(records) == 2
    assert counts == {"not_json": 2, "other_message": 1, "blank_lines": 1}


@pytest.mark.parametrize(
    ("change", "column", "value"),
    [
        ({"course": 359.97}, "cog_tenths", 0),
        ({"course": 360}, "cog_tenths", None),
        ({"speed": 102.27}, "sog_tenths", 1022),
        ({"speed": 102.3}, "sog_tenths", None),
        ({"heading": 511}, "heading", None),
        ({"heading": 359.7}, "heading", 0),
        ({"lat": 91, "lon": 181}, "lat_microdegrees", None),
        ({"speed": 150}, "sog_tenths", None),
        ({"course": -1}, "cog_tenths", None),
        ({"heading": 400}, "heading", None),
    ],
)
@pytest.mark.parametrize("beside", [{}, {"crew": "ø"}])
def test_values_at_the_ends(
    tmp_path: Path, change: dict[str, Any], column: str, value: int | None, beside: dict[str, str]
) -> None:
    """In a plain line, which the compiled reader reads, and in one that the json module reads."""
    line = json.dumps({**CATCHER, **change, **beside}, ensure_ascii=False)
    (record,), _ = read(tmp_path, line)
    assert record[column] == value


def test_a_day_of_many_ships_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However little room there is at first for what was said before, and for what is new at once."""
    named = {"class": "AIS", "type": 5, "rxuxtime": T}
    said = [
        {**named, "mmsi": 219000101 + number % 50, "shipname": f"SHIP {number % 50} {number // 150}"}
        for number in range(300)
    ]
    expected, counts = read(tmp_path, *said)
    assert [record["name"] for record in expected if record["name"]] == [
        f"SHIP {number} {voyage}" for voyage in range(2) for number in range(50)
    ]
    monkeypatch.setattr(json_lines, "_SEEN_AT_FIRST", 4)
    monkeypatch.setattr(json_lines, "_MOST_FRESH", 3)
    assert read(tmp_path, *said) == (expected, counts)


@pytest.mark.parametrize("beside", [{}, {"crew": "ø"}])
def test_a_day_of_many_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: dict[str, str]) -> None:
    said = [
        json.dumps({**CATCHER, **beside, "mmsi": 219000101 + number, "rxuxtime": T + number}, ensure_ascii=False)
        for number in range(10)
    ]
    expected = read(tmp_path, *said)
    monkeypatch.setattr(day_log, "TABLE_ROWS", 3)
    assert read(tmp_path, *said) == expected
    assert len(expected[0]) == 10
