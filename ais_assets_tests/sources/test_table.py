"""Tables of anyone's own: columns, units and forms by the settings."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow.csv import write_csv

from ais_assets.io.views import in_degrees_and_knots
from ais_assets.resources.source import SourceResource
from ais_assets.settings import SettingsError, load_settings
from ais_assets.settings.table_mapping import TableMapping
from ais_assets.sources.source import SourceError
from ais_assets.sources.table import TableSource
from ais_assets_tests.sources.csv_rows import MAX_BYTES

DAY = date(2024, 3, 1)
NOON = datetime(2024, 3, 1, 12, 0, 1, tzinfo=UTC)
PLAIN = {
    "t": {"column": "when"},
    "mmsi": {"column": "id"},
    "lat": {"column": "y"},
    "lon": {"column": "x"},
}


def read(path: Path, columns: dict[str, Any], delimiter: str = ",") -> tuple[pa.Table, dict[str, int]]:
    mapping = TableMapping.model_validate(columns)
    source = TableSource(str(path.parent), mapping=mapping, delimiter=delimiter, max_bytes=MAX_BYTES)
    stream = source.read(path, DAY)
    stored = pa.Table.from_batches([b for t in stream.tables for b in t.to_batches()], stream.schema)
    table = in_degrees_and_knots(stored)
    table.validate(full=True)
    stream.ledger.balance(path.name)
    return table, {name: count for name, count in {**stream.ledger.dropped, **stream.ledger.notes}.items() if count}


def one(folder: Path, columns: dict[str, Any], **extra: str) -> tuple[dict[str, Any], dict[str, int]]:
    """The record of one row of a CSV with these columns; values by the table's own names."""
    values = {"when": "2024-03-01 12:00:01", "id": "219000873", "y": "56.5", "x": "10.25", **extra}
    path = folder / "2024-03-01.csv"
    path.write_text(f"{','.join(values)}\n{','.join(values.values())}\n")
    table, counts = read(path, {**PLAIN, **columns})
    return (table.to_pylist() or [{}])[0], counts


def test_four_columns_are_enough(tmp_path: Path) -> None:
    found, counts = one(tmp_path, {})
    assert {name: value for name, value in found.items() if value is not None} == {
        "t": NOON,
        "mmsi": 219000873,
        "mobile_type": "unknown",
        "coarse": False,
        "lat": 56.5,
        "lon": 10.25,
    }
    assert counts == {}


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ({}, "01/03/2024 12:00:01"),
        ({}, "2024-03-01T13:00:01+01:00"),
        ({"format": "MM/DD/YYYY hh:mm:ss"}, "03/01/2024 12:00:01"),
        ({"format": "YYYYMMDDThhmmss"}, "20240301T120001Z"),
        ({"format": "YYYY.MM.DD hh:mm:ss"}, "2024.03.01 14:00:01.75+02:00"),
        ({"unit": "unix s"}, "1709294401"),
        ({"unit": "unix s"}, "1709294401.999"),
        ({"unit": "unix s"}, "1.709294401e9"),
        ({"unit": "unix ms"}, "1709294401250"),
        ({"unit": "unix us"}, "1709294401250000"),
        ({"unit": "unix ns"}, "1709294401999999999"),
    ],
)
def test_times(tmp_path: Path, form: dict[str, str], text: str) -> None:
    found, counts = one(tmp_path, {"t": {"column": "when", **form}}, when=text)
    assert found["t"] == NOON
    assert counts == {}


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ({"format": "MM/DD/YYYY hh:mm:ss"}, "13/01/2024 12:00:01"),
        ({"format": "MM/DD/YYYY hh:mm:ss"}, "03-01-2024 12:00:01"),
        ({"format": "MM/DD/YYYY hh:mm:ss"}, "03/01/2024 12:00"),
        ({"unit": "unix s"}, "2024-03-01 12:00:01"),
        ({"unit": "unix s"}, "-1"),
        ({"unit": "unix s"}, "1e300"),
        ({"unit": "unix ms"}, ""),
    ],
)
def test_what_is_no_such_time(tmp_path: Path, form: dict[str, str], text: str) -> None:
    assert one(tmp_path, {"t": {"column": "when", **form}}, when=text) == ({}, {"bad_timestamp": 1})


@pytest.mark.parametrize(
    ("name", "unit", "text", "value"),
    [
        ("sog", None, "12.3", "12.3"),
        ("sog", "0.1 knot", "123", "12.3"),
        ("sog", "0.1 knot", "1023", None),
        ("sog", "m/s", "5.144444", "10"),
        ("sog", "m/s", "52.62777", None),
        ("sog", "km/h", "18.52", "10"),
        ("sog", "mph", "11.5078", "10"),
        ("cog", "radian", "3.14159265", "180"),
        ("cog", "0.1 degree", "3600", None),
        ("cog", "0.1 degree", "3599", "359.9"),
        ("heading", "radian", "1.5707963", "90"),
        ("lat", "microdegree", "-56500000", "-56.5"),
        ("lat", "microdegree", "-56500000.4", "-56.5"),
        ("lat", "1/10000 minute", "33900000", "56.5"),
        ("lat", "1/10000 minute", "54600000", None),
        ("lat", "radian", "0.9861110273767961", "56.5"),
        ("length", "foot", "100", "30.48"),
        ("draught", "decimetre", "29", "2.9"),
        ("width", None, "15", "15"),
    ],
)
def test_units(tmp_path: Path, name: str, unit: str | None, text: str, value: str | None) -> None:
    columns: dict[str, Any] = {name: {"column": "quantity", "unit": unit}}
    found, counts = one(tmp_path, columns, quantity=text)
    if name in ("length", "draught", "width"):
        assert found[name] == pytest.approx(float(value or "nan"))
    else:
        assert found[name] == (None if value is None else float(value))
    assert counts == ({"no_position": 1} if name == "lat" and value is None else {})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(st.integers(-90_000_000, 90_000_000), min_size=1, max_size=50))
def test_microdegrees_are_exact(tmp_path: Path, latitudes: list[int]) -> None:
    path = tmp_path / "2024-03-01.csv"
    path.write_text("when,id,y,x\n" + "".join(f"2024-03-01 12:00:01,1,{lat},0\n" for lat in latitudes))
    table, _ = read(path, {**PLAIN, "lat": {"column": "y", "unit": "microdegree"}})
    assert [round(lat * 1e6) for lat in table["lat"].to_pylist()] == latitudes


def test_meanings_of_texts(tmp_path: Path) -> None:
    columns = {
        "mobile_type": {"column": "kind", "values": {"sat-A": "class A"}},
        "nav_status": {"column": "status", "values": {"stopped": "moored"}},
    }
    assert one(tmp_path, columns, kind="sat-A", status="stopped")[0]["nav_status"] == "moored"
    assert one(tmp_path, columns, kind="B", status="1.0")[0]["mobile_type"] == "class B"
    found, counts = one(tmp_path, columns, kind="buoy", status="99")
    assert (found["mobile_type"], found["nav_status"]) == ("unknown", None)
    assert counts == {"unknown_mobile_type": 1, "unknown_nav_status": 1}


def test_a_parquet_file_gives_what_its_text_gives(tmp_path: Path) -> None:
    """Every type a column may have, gaps and line breaks in it."""
    table = pa.table(
        {
            "when": pa.array([NOON, NOON.replace(hour=1), None], pa.timestamp("us", "Europe/Copenhagen")),
            "id": pa.array([219000873.0, 1.0, 219000874.0], pa.float64()),
            "y": pa.array([Decimal("56.5"), None, Decimal("56.5")], pa.decimal128(12, 6)),
            "x": pa.array([10.25, np.nan, 10.25], pa.float32()),
            "knots": pa.array([12, None, 1], pa.uint8()),
            "who": pa.array(['A "B"\nC,D', None, "E"]).dictionary_encode(),
            "tags": pa.array([[1], [2], None]),
            "raw": pa.array([b"\n", b'"', None]),
            "nothing": pa.nulls(3),
        }
    )
    path = tmp_path / "2024-03-01.parquet"
    pq.write_table(table, path)
    columns = {**PLAIN, "sog": {"column": "knots"}, "name": {"column": "who"}}
    found, counts = read(path, columns, delimiter=";")
    assert found.select(["t", "mmsi", "lat", "lon", "sog", "name"]).to_pylist() == [
        {
            "t": NOON,
            "mmsi": 219000873,
            "lat": 56.5,
            "lon": 10.25,
            "sog": 12,
            "name": 'A "B" C,D',
        },
        {"t": NOON.replace(hour=1), "mmsi": 1, "lat": None, "lon": None, "sog": None, "name": None},
    ]
    assert counts == {"bad_timestamp": 1, "no_position": 1}


def test_points_of_geoarrow_are_coordinates(tmp_path: Path) -> None:
    points = pa.StructArray.from_arrays([pa.array([10.25, -0.5]), pa.array([56.5, 51.0])], ["x", "y"])
    path = tmp_path / "2024-03-01.parquet"
    table = pa.table({"when": [NOON, NOON], "id": [219000873, 219000874], "where": points})
    geo = {"version": "1.1.0", "primary_column": "where", "columns": {"where": {"encoding": "point"}}}
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)
    columns = {**PLAIN, "lat": {"column": "latitude"}, "lon": {"column": "longitude"}}
    found, counts = read(path, columns)
    assert found.select(["mmsi", "lat", "lon"]).to_pylist() == [
        {"mmsi": 219000873, "lat": 56.5, "lon": 10.25},
        {"mmsi": 219000874, "lat": 51.0, "lon": -0.5},
    ]
    assert counts == {}


def test_times_that_a_parquet_file_has_once_each_and_refers_to(tmp_path: Path) -> None:
    zone = pa.timestamp("ms", "Europe/Copenhagen")
    times = pa.array([NOON, NOON, None, NOON.replace(hour=1)], zone).dictionary_encode()
    path = tmp_path / "2024-03-01.parquet"
    pq.write_table(pa.table({"when": times, "id": [219000873] * 4, "y": [56.5] * 4, "x": [10.25] * 4}), path)
    found, counts = read(path, PLAIN)
    assert found["t"].to_pylist() == [NOON, NOON, NOON.replace(hour=1)]
    assert counts == {"bad_timestamp": 1}


def test_a_rejected_row_of_a_parquet_file_has_its_number(tmp_path: Path) -> None:
    count = 20_000
    ids = [219000873] * count
    ids[18_345] = -5
    path = tmp_path / "2024-03-01.parquet"
    pq.write_table(pa.table({"when": ["2024-03-01 12:00:01"] * count, "id": ids, "y": [1] * count, "x": ids}), path)
    source = TableSource(str(tmp_path), mapping=TableMapping.model_validate(PLAIN), delimiter=",", max_bytes=MAX_BYTES)
    stream = source.read(path, DAY)
    list(stream.tables)
    assert stream.facts["rejects"][0]["line"] == 2
    assert stream.ledger.dropped["bad_longitude"] == count - 1
    assert [reject["line"] for reject in stream.facts["rejects"] if reject["reason"] == "bad_mmsi"] == [18_347]


def test_texts_of_more_rows_than_are_read_at_a_time(tmp_path: Path) -> None:
    """The dictionary of a row group is longer than a batch of it."""
    names = [f"SHIP {k}" if k % 3 else None for k in range(40_000)]
    path = tmp_path / "2024-03-01.parquet"
    same = {"when": ["2024-03-01 12:00:01"] * len(names), "y": [1] * len(names), "x": [1] * len(names)}
    pq.write_table(pa.table({**same, "id": range(len(names)), "who": names}), path)
    table, counts = read(path, {**PLAIN, "name": {"column": "who"}})
    assert table["name"].to_pylist() == names
    assert counts == {}


@pytest.mark.parametrize("values", [pa.array([[1]]), pa.array([b"1"]), pa.array([1], pa.duration("s"))])
def test_a_column_of_no_single_value_is_refused(tmp_path: Path, values: pa.Array) -> None:
    path = tmp_path / "2024-03-01.parquet"
    pq.write_table(pa.table({"when": ["2024-03-01 12:00:01"], "id": values, "y": [56.5], "x": [10.0]}), path)
    with pytest.raises(SourceError, match=r"the column id has the type .*, which is no single value of a row; write"):
        read(path, PLAIN)


def test_a_date_and_a_time_of_day_in_two_typed_columns(tmp_path: Path) -> None:
    path = tmp_path / "2024-03-01.parquet"
    columns = {"day": [DAY, DAY, None], "hour": [NOON.time(), None, NOON.time()], "id": [1, 2, 3]}
    pq.write_table(pa.table({**columns, "y": [56.5] * 3, "x": [10.0] * 3}), path)
    table, counts = read(path, {**PLAIN, "t": {"column": "day", "clock": "hour"}})
    assert table["t"].to_pylist() == [NOON]
    assert counts == {"bad_timestamp": 2}


WORDS = st.sampled_from(["", "NULL", "NaN", "None", "NA", "n/a", "x", "-", "1e2", "+7", "7.0", "12,5"])
NUMBERS = st.one_of(
    st.none(),
    st.floats(),
    st.floats(-190, 190),
    st.integers(-1_900_000_000, 1_900_000_000).map(lambda tenths: tenths / 1e7),
    st.sampled_from([0.0, -0.0, 0.05, 91.0, 181.0, 102.2, 102.25, 102.27, 102.3, 359.95, 359.97, 360.0, 511.0, 359.5]),
)
WHOLE = st.one_of(st.none(), st.integers(-2, 1100), st.integers(0, 2**32 - 1))
QUANTITIES = [
    (NUMBERS, pa.float64()),
    (
        NUMBERS.map(lambda number: None if number is None else float(np.float32(min(max(number, -1e9), 1e9)))),
        pa.float32(),
    ),
    (st.one_of(WHOLE, st.integers()), pa.int64()),
    (WHOLE.map(lambda number: None if number is None else abs(number)), pa.uint64()),
    (st.one_of(st.none(), st.decimals(-200, 200, places=7)), pa.decimal128(12, 7)),
    (st.one_of(st.none(), WORDS, NUMBERS.map(str)), pa.string()),
    (st.none(), pa.null()),
]
TIMES = [
    (
        st.one_of(st.none(), st.integers(-(10**6), 10**6).map(lambda s: NOON.timestamp() + s / 7)),
        pa.timestamp("us", "UTC"),
    ),
    (st.one_of(st.none(), st.integers(-(2**40), 2**40)), pa.timestamp("s")),
    (
        st.sampled_from([None, "2024-03-01 12:00:01", "2024-03-01T12:00:01Z", "1 March", "2024-03-01 25:00"]),
        pa.string(),
    ),
]
CODES = [(st.sampled_from([None, "A", "B", "NULL", "moored", "15", "buoy"]), pa.string()), (WHOLE, pa.int64())]
STATIC = [
    (st.sampled_from([None, "", "A, B", 'C "D"', "NULL", "9074729", "12.5", "-1"]), pa.string()),
    (WHOLE, pa.int64()),
]
KINDS = {
    "t": TIMES,
    "mmsi": QUANTITIES,
    **dict.fromkeys(("lat", "lon", "sog", "cog", "heading"), QUANTITIES),
    **dict.fromkeys(("mobile_type", "nav_status"), CODES),
    **dict.fromkeys(("name", "imo", "length"), STATIC),
}


def column_of(draw: st.DrawFn, name: str, rows: int) -> pa.Array:
    values, kind = draw(st.sampled_from(KINDS[name]))
    drawn = draw(st.lists(values, min_size=rows, max_size=rows))
    if name == "t" and kind == pa.timestamp("us", "UTC"):
        drawn = [None if moment is None else round(moment * 1e6) for moment in drawn]
    if kind in (pa.int64(), pa.uint64()):
        drawn = [None if number is None else min(max(number, -(2**63)), 2**63 - 1) for number in drawn]
    return pa.array(drawn, kind)


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Columns of any type in any order; where the MMSI is drawn a good one, more rows are records."""
    rows = draw(st.integers(1, 12))
    columns = {name: column_of(draw, name, rows) for name in draw(st.permutations(list(KINDS)))}
    for name, good in {"t": ["2024-03-01 12:00:01"], "mmsi": [219000873], "lat": [56.5], "lon": [10.25]}.items():
        if draw(st.booleans()):
            columns[name] = pa.array(good * rows)
    return pa.table(columns)


def account(
    path: Path, names: Iterable[str] = KINDS, **time: str
) -> tuple[list[Any], dict[str, int], dict[str, int], list[tuple[int, str]]]:
    """Records, what was dropped, notes, and the line and the reason of the rejects shown."""
    columns = {name: {"column": name} for name in names}
    mapping = TableMapping.model_validate({**columns, "t": {"column": "t", **time}})
    stream = TableSource(str(path.parent), mapping=mapping, delimiter=",", max_bytes=MAX_BYTES).read(path, DAY)
    records = [row for table in stream.tables for row in table.to_pylist()]
    rejects = [(reject["line"], reject["reason"]) for reject in stream.facts["rejects"]]
    return records, stream.ledger.dropped, stream.ledger.notes, rejects


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(tables())
def test_csv_and_parquet_of_a_table_give_the_same_records_and_rejects(tmp_path: Path, table: pa.Table) -> None:
    text, typed = tmp_path / "2024-03-01.csv", tmp_path / "2024-03-01.parquet"
    in_utc = [
        column.cast(pa.timestamp(column.type.unit, "UTC")) if pa.types.is_timestamp(column.type) else column
        for column in table.columns
    ]
    write_csv(pa.table(in_utc, table.column_names), text)
    pq.write_table(table, typed)
    assert account(typed) == account(text)


# Of a text that ends at 2^62 nanoseconds, in 2116, eighteen digits count.
MOST_COUNT = 2**62 - 10


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@pytest.mark.parametrize(("unit", "second"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
@given(
    counts=st.lists(st.none() | st.floats(-1e5, 1e5) | st.integers(-MOST_COUNT, MOST_COUNT), min_size=1),
    whole=st.booleans(),
)
def test_counted_times_of_csv_and_parquet_are_the_same(
    tmp_path: Path, unit: str, second: int, counts: list[float | None], whole: bool
) -> None:
    text, typed = tmp_path / "2024-03-01.csv", tmp_path / "2024-03-01.parquet"
    times = [
        count if count is None or isinstance(count, int) else (NOON.timestamp() + count) * second for count in counts
    ]
    kept = [None if time is None else int(time) if whole else float(time) for time in times]
    table = pa.table({"t": pa.array(kept), **dict.fromkeys(("mmsi", "lat", "lon"), [1] * len(kept))})
    write_csv(table, text)
    pq.write_table(table, typed)
    names = table.column_names
    assert account(typed, names, unit=f"unix {unit}") == account(text, names, unit=f"unix {unit}")


@pytest.mark.parametrize("damage", [lambda raw: raw[:-10], lambda raw: b"PAR1" + raw[500:], lambda _: b"PAR1PAR1"])
def test_a_damaged_parquet_file_is_refused(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "2024-03-01.parquet"
    pq.write_table(
        pa.table({"when": ["2024-03-01 12:00:01"] * 100, "id": range(100), "y": [1] * 100, "x": [1] * 100}), path
    )
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(SourceError, match=r"2024-03-01\.parquet: not a whole Parquet file"):
        read(path, PLAIN)


def test_a_parquet_file_without_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "2024-03-01.parquet"
    pq.write_table(pa.table({name: pa.array([], pa.int64()) for name in ("when", "id", "y", "x")}), path)
    with pytest.raises(SourceError, match="a header and no rows"):
        read(path, PLAIN)


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"the header lacks knots\. Found 'when,id,y,x'; a table file needs"):
        one(tmp_path, {"sog": {"column": "knots"}})


class TestSettings:
    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ("{", "Invalid JSON"),
            ('{"t": {"column": "when"}}', "lacks mmsi, lat, lon; a position report needs"),
            ({"speed": {"column": "v"}}, "has speed; known are t, mmsi"),
            ({"sog": {"column": "v", "unit": "furlong"}}, "sog has the unit 'furlong'; known are knot, 0.1 knot"),
            ({"name": {"column": "v", "unit": "knot"}}, "name has the unit 'knot'; it has none"),
            ({"t": {"column": "when", "unit": "unix"}}, "t has the unit 'unix'; known are unix s"),
            ({"t": {"column": "when", "format": "YY-MM-DD"}}, "must have YYYY, MM, DD, hh, mm and ss once each"),
            ({"sog": {"column": "v", "format": "YYYY"}}, "sog has a format; only t has one"),
            ({"sog": {"column": " X"}}, "uses the column x more than once"),
            ({"nav_status": {"column": "v", "values": {"a": "asleep"}}}, "nav_status has the values asleep; known are"),
            ({"sog": {"column": "v", "values": {}}}, "sog has values; only mobile_type and nav_status have"),
            ({"sog": {"colum": "v"}}, "sog.column: Field required"),
        ],
    )
    def test_a_mapping_that_cannot_be_is_refused_at_start(
        self, monkeypatch: pytest.MonkeyPatch, columns: Any, message: str
    ) -> None:
        text = columns if isinstance(columns, str) else json.dumps({**PLAIN, **columns})
        monkeypatch.setenv("AIS_TABLE_COLUMNS", text)
        with pytest.raises(SettingsError, match=r"AIS_TABLE_COLUMNS: .*") as refusal:
            load_settings(source="table", source_uri="data/raw")
        assert message in str(refusal.value)

    def test_a_table_without_a_mapping_is_refused_at_start(self) -> None:
        with pytest.raises(SettingsError, match="AIS_SOURCE=table needs AIS_TABLE_COLUMNS"):
            load_settings(source="table", source_uri="data/raw")

    @pytest.mark.parametrize("delimiter", ["", "ab", '"', "\n", "1", "."])
    def test_a_delimiter_that_cannot_be_is_refused_at_start(self, delimiter: str) -> None:
        with pytest.raises(SettingsError, match="AIS_TABLE_DELIMITER: must be one of"):
            load_settings(table_delimiter=delimiter)

    def test_the_settings_reach_the_source(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIS_TABLE_COLUMNS", json.dumps({**PLAIN, "t": {"column": "when", "unit": "unix s"}}))
        monkeypatch.setenv("AIS_TABLE_DELIMITER", r"\t")
        chosen = load_settings(source="table", source_uri=str(tmp_path))
        path = tmp_path / "2024-03-01.csv"
        path.write_text("id\twhen\ty\tx\n7\t1709294401\t1\t2\n")
        table = next(SourceResource.from_settings(chosen).open().read(path, DAY).tables)
        assert table["t"].to_pylist() == [NOON]


class TestColumnsThatAreNotMapped:
    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("geom, wkt", pa.array(["POINT (1 2)", 'a "quoted", one'])),
            ('a "b"', pa.array(["x", "y"])),
            ("two\nlines", pa.array(["x", "y"])),
            ("uuid", pa.array([b"0123456789abcdef"] * 2, pa.uuid())),
            ("duration", pa.array([1, 2], pa.duration("s"))),
        ],
    )
    def test_of_a_parquet_file_are_not_read(self, tmp_path: Path, name: str, values: pa.Array) -> None:
        path = tmp_path / "2024-03-01.parquet"
        columns = {name: values, "when": ["2024-03-01 12:00:01"] * 2, "id": [219000873, 219000874]}
        pq.write_table(pa.table({**columns, "y": [56.5, 57.5], "x": [10.25, 10.5]}), path)
        table, counts = read(path, PLAIN)
        assert counts == {}
        assert table["mmsi"].to_pylist() == [219000873, 219000874]
        assert table["lat"].to_pylist() == [56.5, 57.5]

    def test_are_named_where_a_needed_one_is_missing(self, tmp_path: Path) -> None:
        path = tmp_path / "2024-03-01.parquet"
        pq.write_table(pa.table({"when": ["2024-03-01 12:00:01"], "ship": [219000873], "y": [56.5], "x": [10.0]}), path)
        with pytest.raises(SourceError, match=r"lacks id\. Found '.*ship"):
            read(path, PLAIN)

    def test_may_have_a_delimiter_in_their_name_where_they_are(self, tmp_path: Path) -> None:
        path = tmp_path / "2024-03-01.parquet"
        columns = {"when": ["2024-03-01 12:00:01"], "id": [219000873], "y, degrees": [56.5], "x": [10.0]}
        pq.write_table(pa.table(columns), path)
        table, _ = read(path, {**PLAIN, "lat": {"column": "y, degrees"}})
        assert table["lat"].to_pylist() == [56.5]
