"""Sealed Parquet: every byte is what was written, or it is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ais_assets import schema
from ais_assets.io.parquet import write_parquet
from ais_assets.ledger import Ledger
from ais_assets.store.sealed_parquet import DamagedFileError, SealedFile, seal
from ais_assets.stream import RecordStream

CURE = "materialize x again"
NAMES = schema.RAW_RECORDS.field("mobile_type").type
SOMETHING = {pa.int32(): 1, pa.int64(): 1, pa.bool_(): True, schema.UTC: 1, NAMES: "class A"}
"""By type a value for columns that have no nulls."""


def written(path: Path, table: pa.Table, asset: str) -> bytes:
    """The bytes of a file of two row groups."""
    tables = [table, table.slice(0, 7)]
    rows = sum(each.num_rows for each in tables)
    stream = RecordStream(table.schema, iter(tables), Ledger(rows, rows))
    write_parquet(stream, path, asset=asset, partition="0", level=1)
    return path.read_bytes()


def filled(columns: dict[str, pa.Array], like: pa.Schema, rows: int) -> pa.Table:
    """A table of these columns and the schema's others: null where they may be, else of SOMETHING."""
    others = {
        field.name: pa.array([None if field.nullable else SOMETHING[field.type]] * rows, field.type)
        for field in like
        if field.name not in columns
    }
    return pa.table(columns | others, like)


def records(rows: int) -> pa.Table:
    """Raw records of every kind of column: integers, times, names, texts, floats and bits, some null."""
    rng = np.random.default_rng(5)
    columns = {
        "t": pa.array(1_709_251_200_000 + 1_000 * np.arange(rows), schema.UTC),
        "mmsi": pa.array(rng.integers(2_000_000, 800_000_000, rows).astype(np.int32)),
        "lat_microdegrees": pa.array([None if k % 5 == 0 else 55_000_000 + 7 * k for k in range(rows)], pa.int32()),
        "name": pa.array([None if k % 3 else f"SHIP {k % 7}" for k in range(rows)]),
        "length": pa.array([None if k % 3 else 7.5 + k for k in range(rows)], pa.float32()),
    }
    return filled(columns, schema.RAW_RECORDS, rows)


def windows(rows: int) -> pa.Table:
    """Windows of two positions."""
    fields = schema.windows_schema(2)
    features = np.random.default_rng(6).random(rows * 10).astype(np.float32)
    kind = fields.field("features").type
    return filled({"features": pa.FixedSizeListArray.from_arrays(pa.array(features), type=kind)}, fields, rows)


def read(data: bytes) -> list[pa.Table]:
    """Every row group, read as the lake reads it."""
    with SealedFile(pa.BufferReader(data), "here.parquet", CURE) as file:
        return [file.read_row_group(group) for group in range(file.num_row_groups)]


@pytest.mark.parametrize(("table", "asset"), [(records(40), "raw_records"), (windows(30), "validation")])
def test_whatever_bit_is_flipped_the_file_is_refused_or_says_the_same(
    tmp_path: Path, table: pa.Table, asset: str
) -> None:
    """In every third byte, each time another bit; a page's header has bits that mean nothing to a reader."""
    data = written(tmp_path / "x.parquet", table, asset)
    expected = read(data)
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    harmless = 0
    for place in range(0, len(data), 3):
        damaged = bytearray(data)
        damaged[place] ^= 1 << (place // 3) % 8
        try:
            found = read(bytes(damaged))
        except DamagedFileError as error:
            assert str(error).startswith("here.parquet is ")  # noqa: PT017 - some flips are harmless
            assert str(error).endswith(CURE)  # noqa: PT017
        else:
            harmless += 1
            assert place < footer
            assert all(a.equals(b) for a, b in zip(found, expected, strict=True))
        with pytest.raises(DamagedFileError, match=r"here\.parquet is "):
            SealedFile(pa.BufferReader(bytes(damaged)), "here.parquet", CURE).verified_digest()
    assert harmless < len(data) / 3 / 3


def test_whatever_bit_of_a_dictionarys_header_is_flipped_every_code_has_its_name(tmp_path: Path) -> None:
    data = written(tmp_path / "x.parquet", records(40), "raw_records")
    expected = read(data)
    with SealedFile(pa.BufferReader(data), "here.parquet", CURE) as file:
        column = file.metadata.row_group(0).column(schema.RAW_RECORDS.get_field_index("mobile_type"))
    refused = 0
    for place in range(column.dictionary_page_offset, column.data_page_offset):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[place] ^= 1 << bit
            try:
                found = read(bytes(damaged))
            except DamagedFileError:
                refused += 1
            else:
                assert found == expected
    assert refused > 100


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 100, -1, -8, -9, -200])
def test_a_file_that_ends_early_is_refused(tmp_path: Path, kept: int) -> None:
    data = written(tmp_path / "x.parquet", records(40), "raw_records")
    with pytest.raises(DamagedFileError, match=rf"here\.parquet is .*: {CURE}"):
        read(data[:kept])


def test_a_footer_longer_than_the_first_read_is_read_whole(tmp_path: Path) -> None:
    rows = RecordStream(schema.REJECTS, iter([schema.REJECTS.empty_table()]), Ledger(), {"long": "x" * 200_000})
    write_parquet(rows, tmp_path / "x.parquet", asset="rejects", partition="0", level=1)
    assert read((tmp_path / "x.parquet").read_bytes())[0].num_rows == 0


def test_a_file_of_another_writer_is_no_sealed_one(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "x.parquet")
    with pytest.raises(DamagedFileError, match="no file of this lake"):
        read((tmp_path / "x.parquet").read_bytes())
    with pytest.raises(ValueError, match=r"no ais\.seal"):
        seal(tmp_path / "x.parquet")


def test_a_seal_is_put_on_once(tmp_path: Path) -> None:
    written(tmp_path / "x.parquet", records(3), "raw_records")
    with pytest.raises(ValueError, match="has a seal already"):
        seal(tmp_path / "x.parquet")


def test_other_readers_read_it(tmp_path: Path) -> None:
    written(tmp_path / "x.parquet", records(40), "raw_records")
    assert pq.read_table(tmp_path / "x.parquet", page_checksum_verification=True).num_rows == 47
