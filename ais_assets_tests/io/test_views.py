"""Degrees and knots of what is stored as whole numbers: exact, in Arrow and in SQL."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ais_assets import schema
from ais_assets.io.lake import Lake
from ais_assets.io.views import in_degrees_and_knots
from ais_assets.ledger import Ledger
from ais_assets.stream import RecordStream
from ais_assets_tests.blank_columns import with_blanks

EDGE = 180 * schema.MICRODEGREES


@given(st.lists(st.none() | st.integers(-EDGE, EDGE), max_size=50))
def test_degrees_are_the_float64_of_the_decimal_and_round_to_the_same_integer(values: list[int | None]) -> None:
    degrees = in_degrees_and_knots(pa.table({"lon_microdegrees": pa.array(values, pa.int32())}))["lon"].to_pylist()
    assert degrees == [None if value is None else float(f"{value}e-6") for value in values]
    assert [None if value is None else round(value * schema.MICRODEGREES) for value in degrees] == values


def test_every_tenth_is_the_float64_of_the_decimal() -> None:
    tenths = list(range(3_601))
    viewed = in_degrees_and_knots(pa.table({"cog_tenths": pa.array(tenths, pa.int32())}))
    assert viewed["cog"].to_pylist() == [float(f"{value}e-1") for value in tenths]


def test_the_view_has_the_units_and_the_order_of_the_columns() -> None:
    viewed = in_degrees_and_knots(schema.CLEAN_RECORDS.empty_table()).schema
    assert viewed.names[:6] == ["mmsi", "t", "lat", "lon", "sog", "cog"]
    assert viewed.names[6:] == schema.CLEAN_RECORDS.names[6:]
    assert [viewed.field(name).metadata[b"unit"] for name in ("lat", "sog", "cog")] == [b"degree", b"knot", b"degree"]


def test_a_table_without_positions_is_its_own_view() -> None:
    table = schema.REJECTS.empty_table()
    assert in_degrees_and_knots(table).equals(table)


@settings(deadline=None, max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(-EDGE // 2, EDGE // 2), st.none() | st.integers(0, 1_022)), min_size=1))
def test_sql_and_tables_show_the_same(tmp_path: Path, rows: list[tuple[int, int | None]]) -> None:
    lat, sog = (list(column) for column in zip(*rows, strict=True))
    count = len(rows)
    columns = {
        "mmsi": pa.array(range(count), pa.int32()),
        "t": pa.array([0] * count, schema.UTC),
        "lat_microdegrees": pa.array(lat, pa.int32()),
        "lon_microdegrees": pa.array(lat, pa.int32()),
        "sog_tenths": pa.array(sog, pa.int32()),
        "cog_tenths": pa.array(sog, pa.int32()),
        "mobile_type": pa.array(["class A"] * count).cast(schema.CLEAN_RECORDS.field("mobile_type").type),
    }
    table = pa.table(with_blanks(columns, schema.CLEAN_RECORDS, count), schema.CLEAN_RECORDS)
    lake = Lake(tmp_path)
    lake.write("clean_records", "2024-03-01", RecordStream(schema.CLEAN_RECORDS, iter([table]), Ledger(count, count)))
    found = lake.sql("select lat, lon, sog, cog from clean_records order by mmsi").fetchall()
    shown = lake.table("clean_records").select(["lat", "lon", "sog", "cog"])
    assert found == [tuple(row.values()) for row in shown.to_pylist()]
    above = lake.sql("select mmsi from clean_records where lat > 55").fetchall()
    assert len(above) == sum(value > 55 * schema.MICRODEGREES for value in lat)


def test_a_wrong_query_says_which_columns_there_are(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    stream = RecordStream(schema.CLEAN_RECORDS, iter([schema.CLEAN_RECORDS.empty_table()]), Ledger())
    lake.write("clean_records", "2024-03-01", stream)
    with pytest.raises(duckdb.BinderException, match='"lat"'):
        lake.sql("select latitude from clean_records")
