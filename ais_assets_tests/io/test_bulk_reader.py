"""What BulkWriter wrote is read as pyarrow reads it, and damage is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ais_assets import schema
from ais_assets.io import bulk_writer, pages
from ais_assets.io.bulk_reader import BulkFile, DamagedFileError
from ais_assets_tests.io.test_bulk_writer import EXTREMES, ROUND_A_BLOCK, integers, positions, windows, written


def read(path: Path, group: int = 0, columns: list[str] | None = None) -> pa.Table:
    with pa.OSFile(str(path)) as source, BulkFile(source, str(path)) as file:
        return file.read_row_group(group, columns)


def assert_read_as_pyarrow_does(path: Path, columns: list[str] | None = None) -> None:
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            expected = file.read_row_group(group, columns)
            table = read(path, group, columns)
            table.validate(full=True)
            assert table.equals(expected)
            assert table.schema.equals(expected.schema, check_metadata=True)


@pytest.mark.parametrize("rows", ROUND_A_BLOCK)
def test_positions(tmp_path: Path, rows: int) -> None:
    assert_read_as_pyarrow_does(written(tmp_path / "p.parquet", [positions(rows), positions(7)]))


@pytest.mark.parametrize("columns", [["lat"], ["cog", "mmsi"], ["mobile_type"], ["lon", "mobile_type"], []])
def test_some_columns_come_in_their_order(tmp_path: Path, columns: list[str]) -> None:
    assert_read_as_pyarrow_does(written(tmp_path / "p.parquet", [positions(300)]), columns)


def test_windows(tmp_path: Path) -> None:
    assert_read_as_pyarrow_does(written(tmp_path / "w.parquet", [windows(5)]))


def test_a_file_of_another_writer(tmp_path: Path) -> None:
    pq.write_table(positions(300), tmp_path / "p.parquet")
    assert read(tmp_path / "p.parquet").equals(pq.read_table(tmp_path / "p.parquet"))


def test_columns_of_many_pages_far_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_writer, "PAGE_BYTES", 512)
    monkeypatch.setattr("ais_assets.io.bulk_reader._MOST_BETWEEN", 0)
    assert_read_as_pyarrow_does(written(tmp_path / "p.parquet", [positions(1_001)]), ["mmsi", "lon", "cog"])


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from([pa.int16(), pa.int32(), pa.int64(), schema.UTC, schema.DEGREES]))
def test_any_integers(tmp_path: Path, data: st.DataObject, kind: pa.DataType) -> None:
    low, high = (-(2**15), 2**15 - 1) if kind.bit_width == 16 else EXTREMES[kind.bit_width]
    if kind == schema.DEGREES:
        low, high = -999_999_999, 999_999_999
    values = data.draw(st.lists(st.none() | st.integers(low, high) | st.integers(-3, 3), max_size=300))
    assert_read_as_pyarrow_does(written(tmp_path / "x.parquet", [integers(kind, values)]))


@pytest.mark.parametrize("bits", EXTREMES)
@pytest.mark.parametrize("width", [1, 7, 31, 32, 33, 56, 57, 58, 63, 64])
def test_values_of_every_width(tmp_path: Path, bits: int, width: int) -> None:
    low, high = EXTREMES[bits]
    steps = np.random.default_rng(width).integers(0, 2 ** min(width, bits - 1), 500, endpoint=True, dtype=np.uint64)
    values = [max(low, min(high, int(step) - (high if width >= bits else 0))) for step in steps]
    kind = pa.int32() if bits == 32 else pa.int64()
    assert_read_as_pyarrow_does(written(tmp_path / "x.parquet", [integers(kind, values, nullable=False)]))


def test_every_damaged_byte_of_a_column_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path / "p.parquet", [positions(300)])
    whole = path.read_bytes()
    chunk = pq.read_metadata(path).row_group(0).column(2)
    assert chunk.path_in_schema == "lat"
    expected = read(path)["lat"]
    unnoticed = []
    for at in range(chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        try:
            assert read(path)["lat"].equals(expected)
        except DamagedFileError as damage:
            said = str(damage)
        else:
            unnoticed.append(at - chunk.data_page_offset)
            continue
        assert f"{path}: column 'lat' of row group 0 is damaged" in said
        assert said.endswith("materialize this partition again")
    # The header says some things that nobody needs, such as which encoding its levels have.
    assert all(at < 40 for at in unnoticed)
    assert len(unnoticed) < 10


def test_a_file_that_became_shorter_while_it_was_open(tmp_path: Path) -> None:
    path = written(tmp_path / "p.parquet", [positions(3_000)])
    with pa.OSFile(str(path)) as source, BulkFile(source, str(path)) as file:
        with path.open("r+b") as shorter:
            shorter.truncate(100)
        with pytest.raises(DamagedFileError, match="ends at byte 100, inside of row group 0"):
            file.read_row_group(0)


@given(st.binary(min_size=1, max_size=200), st.integers(1, 400))
@settings(deadline=None, max_examples=200)
def test_bytes_that_are_no_deltas(data: bytes, count: int) -> None:
    assert -1 <= pages.take_deltas(np.frombuffer(data, np.uint8), np.empty(count, np.int64)) <= len(data)


@given(st.integers(1, 300), st.data())
@settings(deadline=None, max_examples=60)
def test_deltas_with_a_wrong_byte_are_taken_or_refused(count: int, data: st.DataObject) -> None:
    packed = np.empty(pages.delta_bound(count, 8), np.uint8)
    size = pages.put_deltas(np.arange(count, dtype=np.int64) ** 2, packed)
    wrong = packed[:size].copy()
    wrong[data.draw(st.integers(0, size - 1))] = data.draw(st.integers(0, 255))
    assert -1 <= pages.take_deltas(wrong, np.empty(count, np.int64)) <= size
