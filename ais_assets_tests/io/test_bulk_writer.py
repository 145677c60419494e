"""Files of positions, references and windows, as other readers see them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ais_assets import schema
from ais_assets.io import bulk_writer, thrift
from ais_assets.io.bulk_writer import BulkWriter, is_bulk

EXTREMES = {32: (-(2**31), 2**31 - 1), 64: (-(2**63), 2**63 - 1)}
ROUND_A_BLOCK = (0, 1, 2, 127, 128, 129, 130, 257)
WINDOW = 7


def written(path: Path, tables: Sequence[pa.Table], level: int = 1) -> Path:
    with BulkWriter(path, tables[0].schema, level) as writer:
        for table in tables:
            writer.write_table(table)
    return path


def integers(kind: pa.DataType, values: Sequence[int | None] | np.ndarray, *, nullable: bool = True) -> pa.Table:
    """One column "x" of the kind, over these stored integers."""
    width = kind.bit_width
    stored = pa.array(values, {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[width])
    return pa.table([stored.view(kind)], schema=pa.schema([pa.field("x", kind, nullable=nullable)]))


def windows(count: int, width: int = WINDOW * schema.FEATURE_COUNT) -> pa.Table:
    rng = np.random.default_rng(count)
    features = pa.FixedSizeListArray.from_arrays(
        pa.array(rng.normal(size=count * width).astype(np.float32)),
        type=schema.windows_schema(WINDOW).field("features").type,
    )
    numbers = pa.array(np.arange(count, dtype=np.int64))
    return pa.table(
        [features, numbers.cast(pa.int32()), numbers, numbers.cast(schema.UTC)], schema=schema.windows_schema(WINDOW)
    )


def positions(rows: int) -> pa.Table:
    """Clean records of every kind of column, with nulls."""
    rng = np.random.default_rng(rows)
    missing = rng.random(rows) < 0.3
    columns = {
        "mmsi": pa.array(np.sort(rng.integers(201_000_000, 775_000_000, rows)).astype(np.int32)),
        "t": pa.array(rng.integers(0, 2**31, rows) * 1000).view(schema.UTC),
        "lat": pa.array(rng.integers(-90_000_000, 90_000_000, rows).astype(np.int32)).view(schema.DEGREES),
        "lon": pa.array(rng.integers(-180_000_000, 180_000_000, rows).astype(np.int32)).view(schema.DEGREES),
        "sog": pa.array(rng.integers(0, 1023, rows).astype(np.int32), mask=missing).view(schema.TENTHS),
        "cog": pa.array(rng.integers(0, 3600, rows).astype(np.int32)).view(schema.TENTHS),
        "mobile_type": pa.DictionaryArray.from_arrays(
            pa.array(rng.integers(0, len(schema.MOBILE_TYPES), rows).astype(np.int8)), pa.array(schema.MOBILE_TYPES)
        ),
    }
    return pa.table(list(columns.values()), schema=schema.CLEAN_RECORDS)


def assert_all_readers_agree(path: Path, table: pa.Table) -> None:
    read = pq.read_table(path, page_checksum_verification=True)
    assert read.equals(table)
    assert read.schema.equals(table.schema, check_metadata=True)
    assert pl.read_parquet(path).equals(pl.DataFrame(pl.from_arrow(table)))
    rows = duckdb.connect(config={"threads": 1}).sql(f"select * from '{path}'").to_arrow_table()
    assert rows.num_rows == table.num_rows
    for name in table.column_names:
        values = rows[name]
        if pa.types.is_dictionary(table[name].type):
            assert values.cast(pa.string()).to_pylist() == table[name].cast(pa.string()).to_pylist()
        else:
            assert values.to_pylist() == table[name].to_pylist()


def test_what_is_bulk() -> None:
    bulk = [schema.RAW_RECORDS, schema.CLEAN_RECORDS, schema.TRACK_POSITIONS, schema.WINDOW_REFERENCES]
    assert all(is_bulk(each) for each in [*bulk, schema.windows_schema(928)])
    assert not any(is_bulk(each) for each in (schema.VESSELS, schema.TRACKS))


def records(rows: int, share: float) -> pa.Table:
    """RAW_RECORDS with this share of values in the columns that may be null."""
    rng = np.random.default_rng(rows)
    columns = []
    for field in schema.RAW_RECORDS:
        missing = rng.random(rows) >= share if field.nullable else None
        numbers = rng.integers(0, 20, rows)
        if pa.types.is_dictionary(field.type):
            names = schema.MOBILE_TYPES if field.name == "mobile_type" else schema.NAV_STATUSES
            codes = pa.array((numbers % len(names)).astype(np.int8), mask=missing)
            columns.append(pa.DictionaryArray.from_arrays(codes, pa.array(names)))
        elif field.type == pa.string():
            texts = np.array(["", "ØRESUND", "x" * 300, 'a "quoted", text'], object)[numbers % 4]
            columns.append(pa.array(texts, pa.string(), mask=missing))
        elif pa.types.is_decimal(field.type):
            columns.append(pa.array(numbers.astype(np.int32), mask=missing).view(field.type))
        else:
            columns.append(pa.array(numbers, mask=missing).cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema.RAW_RECORDS)


@pytest.mark.parametrize("rows", [0, 1, 33, 1_000])
@pytest.mark.parametrize("share", [0.0, 0.03, 0.9, 1.0])
def test_records_are_what_every_reader_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, share: float
) -> None:
    monkeypatch.setattr(bulk_writer, "PAGE_BYTES", 512)
    table = records(rows, share)
    if share == 0.0:
        # Where no row has a value, pyarrow does not read the names.
        status = table.schema.get_field_index("nav_status")
        nulls = pa.DictionaryArray.from_arrays(pa.nulls(rows, pa.int8()), pa.array([], pa.string()))
        table = table.set_column(status, schema.RAW_RECORDS.field("nav_status"), nulls)
    assert_all_readers_agree(written(tmp_path / "r.parquet", [table]), table)


@pytest.mark.parametrize("rows", ROUND_A_BLOCK)
def test_positions_are_what_every_reader_sees(tmp_path: Path, rows: int) -> None:
    table = positions(rows)
    assert_all_readers_agree(written(tmp_path / "p.parquet", [table]), table)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_windows_are_what_every_reader_sees(tmp_path: Path, count: int) -> None:
    table = windows(count)
    assert_all_readers_agree(written(tmp_path / "w.parquet", [table]), table)


def test_columns_of_many_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_writer, "PAGE_BYTES", 512)
    monkeypatch.setattr(bulk_writer, "WINDOW_PAGE_BYTES", 512)
    assert_all_readers_agree(written(tmp_path / "p.parquet", [positions(1_001)]), positions(1_001))
    assert_all_readers_agree(written(tmp_path / "w.parquet", [windows(29)]), windows(29))


def test_a_table_is_a_row_group(tmp_path: Path) -> None:
    tables = [positions(rows) for rows in (130, 0, 5)]
    path = written(tmp_path / "p.parquet", tables)
    with pq.ParquetFile(path) as file:
        assert [file.metadata.row_group(group).num_rows for group in range(3)] == [130, 0, 5]
        assert all(file.read_row_group(group).equals(table) for group, table in enumerate(tables))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from([pa.int16(), pa.int32(), pa.int64(), schema.UTC, schema.DEGREES]))
def test_any_integers(tmp_path: Path, data: st.DataObject, kind: pa.DataType) -> None:
    low, high = (-(2**15), 2**15 - 1) if kind.bit_width == 16 else EXTREMES[kind.bit_width]
    if kind == schema.DEGREES:
        low, high = -999_999_999, 999_999_999
    values = data.draw(st.lists(st.none() | st.integers(low, high) | st.integers(-3, 3), max_size=300))
    table = integers(kind, values)
    path = written(tmp_path / "x.parquet", [table])
    assert pq.read_table(path, page_checksum_verification=True).equals(table)
    assert pl.read_parquet(path).equals(pl.DataFrame(pl.from_arrow(table)))


@pytest.mark.parametrize("bits", EXTREMES)
def test_steps_over_the_whole_range_wrap_around(tmp_path: Path, bits: int) -> None:
    kind = pa.int32() if bits == 32 else pa.int64()
    table = integers(kind, list(EXTREMES[bits]) * 70, nullable=False)
    assert_all_readers_agree(written(tmp_path / "x.parquet", [table]), table)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 60)), max_size=40))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_names_in_runs_long_and_short(tmp_path: Path, runs: list[tuple[int, int]]) -> None:
    indices = np.repeat([name for name, _ in runs], [length for _, length in runs]).astype(np.int8)
    names = pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(["a", "Ærø", "", "d", "e"]))
    table = pa.table([names], schema=pa.schema([pa.field("x", names.type, nullable=False)]))
    read = pq.read_table(written(tmp_path / "x.parquet", [table]))
    assert read["x"].cast(pa.string()).to_pylist() == table["x"].cast(pa.string()).to_pylist()


def test_slices_and_chunks_are_written_as_they_read(tmp_path: Path) -> None:
    whole = pa.concat_tables([positions(300), positions(41)])
    part = whole.slice(17, 311)
    assert pq.read_table(written(tmp_path / "p.parquet", [part])).equals(part)
    some = windows(20).slice(3, 11)
    assert pq.read_table(written(tmp_path / "w.parquet", [some])).equals(some)


def test_bounds_and_nulls_are_in_the_footer(tmp_path: Path) -> None:
    table = integers(pa.int32(), [5, None, -7, 3])
    chunk = pq.read_metadata(written(tmp_path / "x.parquet", [table])).row_group(0).column(0)
    assert (chunk.statistics.min, chunk.statistics.max, chunk.statistics.null_count) == (-7, 5, 1)
    assert chunk.num_values == 4


def test_noise_is_not_compressed_and_the_rest_is(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(*EXTREMES[32], 5_000).astype(np.int32)
    table = pa.table({"noise": noise, "waves": np.resize(noise[:100], 5_000)})
    metadata = pq.read_metadata(written(tmp_path / "x.parquet", [table])).row_group(0)
    assert [metadata.column(k).compression for k in range(2)] == ["UNCOMPRESSED", "ZSTD"]


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    path = written(tmp_path / "p.parquet", [positions(5_000)])
    chunk = pq.read_metadata(path).row_group(0).column(2)
    content = bytearray(path.read_bytes())
    content[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(OSError, match="CRC"):
        pq.read_table(path, page_checksum_verification=True)


def test_another_schema_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    with pytest.raises(ValueError, match="this file's is"), BulkWriter(path, schema.CLEAN_RECORDS, 1) as writer:
        writer.write_table(windows(1))
    with pytest.raises(pa.ArrowInvalid):
        pq.read_metadata(path)


def test_its_own_metadata_stand_beside_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    with BulkWriter(path, schema.CLEAN_RECORDS, 1) as writer:
        writer.add_key_value_metadata({b"ais.facts": "ærø"})
    assert pq.read_metadata(path).metadata[b"ais.facts"].decode() == "ærø"
    assert pq.read_schema(path).field("lat").metadata[b"unit"] == b"degree"


STRUCTS = st.recursive(
    st.dictionaries(
        st.integers(1, 300),
        st.one_of(
            st.tuples(st.just(thrift.I64), st.integers(-(2**63), 2**63 - 1)),
            st.tuples(st.just(thrift.BINARY), st.binary(max_size=200)),
            st.just((thrift.TRUE, True)),
            st.just((thrift.FALSE, False)),
            st.tuples(st.just(thrift.I8), st.binary(min_size=1, max_size=1)),
            st.tuples(st.just(thrift.LIST), st.tuples(st.just(thrift.I32), st.lists(st.integers(-9, 9), max_size=20))),
        ),
        max_size=5,
    ),
    lambda inner: st.dictionaries(st.integers(1, 20), st.tuples(st.just(thrift.STRUCT), inner), max_size=3),
)


@given(STRUCTS)
def test_structures_are_read_as_they_were_written(struct: dict[int, tuple[int, Any]]) -> None:
    assert thrift.decoded(thrift.encoded(struct)) == struct


@pytest.mark.parametrize("data", [b"", b"\x15", b"\x18\x05abc", b"\x1b"])
def test_what_is_no_structure_is_refused(data: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        thrift.decoded(data)


def test_nulls_where_there_must_be_none_are_refused(tmp_path: Path) -> None:
    field = pa.field("n", pa.int32(), nullable=False)
    table = pa.Table.from_arrays([pa.array([1, None, 3], pa.int32())], schema=pa.schema([field]))
    with pytest.raises(ValueError, match="column 'n' has 1 nulls"):
        written(tmp_path / "x.parquet", [table])


@pytest.mark.parametrize("at", ["window", "value"])
def test_null_windows_are_refused(tmp_path: Path, at: str) -> None:
    table = windows(3)
    field = table.schema.field("features")
    values = np.zeros(3 * field.type.list_size, np.float32)
    missing = np.zeros(len(values), np.bool_)
    missing[7] = at == "value"
    gone = pa.array([False, at == "window", False])
    features = pa.FixedSizeListArray.from_arrays(pa.array(values, mask=missing), type=field.type, mask=gone)
    table = table.set_column(table.schema.get_field_index("features"), field, features)
    with pytest.raises(ValueError, match="column 'features' has 1 nulls"):
        written(tmp_path / "x.parquet", [table])
