"""Reads what BulkWriter wrote: its integers by decoders of our own, all else by pyarrow.

pyarrow takes 12 ns to unpack a position's five numbers, these decoders take 4; and they check every page's checksum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from isal import isal_zlib
from numpy.typing import NDArray

from ais_assets.io import pages, thrift
from ais_assets.io.bulk_writer import WRITER, is_integral
from ais_assets.transforms.kernels import array_from_pool

_MOST_BETWEEN: Final = 1 << 20
"""Bytes between two columns that are rather read along than asked for apart."""
_LONGEST_HEADER: Final = 1 << 10


class DamagedFileError(ValueError):
    """A page is not what was written; the message says of which file and column, and what to do."""


class BulkFile(pq.ParquetFile):
    """A Parquet file like pyarrow's, quicker where BulkWriter wrote it.

    Args:
        source: the open file.
        where: its address, for messages.
        options: as pyarrow's.
    """

    def __init__(self, source: pa.NativeFile, where: str, **options: Any) -> None:
        super().__init__(source, **options)
        self._source = source
        self._where = where

    def read_row_group(
        self,
        i: int,
        columns: Sequence[str] | None = None,
        use_threads: bool = True,
        use_pandas_metadata: bool = False,
    ) -> pa.Table:
        """A row group's table. Raises DamagedFileError for a page whose checksum is wrong."""
        schema = self.schema_arrow
        names = schema.names if columns is None else list(columns)
        quick = self._bulk_columns(i, names)
        slow = [name for name in names if name not in quick]
        if not quick:
            return super().read_row_group(i, names, use_threads, use_pandas_metadata)
        read = {name: self._integers(i, name, data, quick[name]) for name, data in self._chunks(i, quick)}
        if slow:
            rest = super().read_row_group(i, slow, use_threads, use_pandas_metadata)
            read |= {name: rest[name] for name in slow}
        found = pa.schema([schema.field(name) for name in names], metadata=schema.metadata)
        return pa.Table.from_arrays([read[name] for name in names], schema=found)

    def _bulk_columns(self, group: int, names: Sequence[str]) -> dict[str, pq.ColumnChunkMetaData]:
        """Those of the columns that are integers of BulkWriter's."""
        if not self.metadata.created_by.startswith(WRITER):
            return {}
        row_group, schema = self.metadata.row_group(group), self.schema_arrow
        chunks = [row_group.column(number) for number in range(row_group.num_columns)]
        return {
            chunk.path_in_schema: chunk
            for chunk in chunks
            if chunk.path_in_schema in names and is_integral(schema.field(chunk.path_in_schema).type)
        }

    def _chunks(self, group: int, columns: dict[str, pq.ColumnChunkMetaData]) -> Iterator[tuple[str, memoryview]]:
        """The bytes of each column; neighbours are read at once."""
        spans: list[list[tuple[int, int, str]]] = []
        for chunk in sorted(columns.values(), key=lambda chunk: chunk.data_page_offset):
            start, end = chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size
            if spans and start - spans[-1][-1][1] <= _MOST_BETWEEN:
                spans[-1].append((start, end, chunk.path_in_schema))
            else:
                spans.append([(start, end, chunk.path_in_schema)])
        for span in spans:
            begin, end = span[0][0], span[-1][1]
            self._source.seek(begin)
            data = memoryview(self._source.read_buffer(end - begin))
            if len(data) < end - begin:
                raise DamagedFileError(
                    f"{self._where} ends at byte {begin + len(data):,}, inside of row group {group}: "
                    "materialize this partition again"
                )
            for first, last, name in span:
                yield name, data[first - begin : last - begin]

    def _integers(self, group: int, name: str, data: memoryview, chunk: pq.ColumnChunkMetaData) -> pa.Array:
        """A column of a row group."""
        field, rows = self.schema_arrow.field(name), self.metadata.row_group(group).num_rows
        values = array_from_pool(rows, np.int64 if field.type.bit_width == 64 else np.int32)
        valid = np.ones(rows, np.bool_) if field.nullable else None
        at = done = 0
        while done < rows:
            try:
                header, page_start = thrift.decoded_at(data[: at + _LONGEST_HEADER], at)
                count = header[5][1][1][1]
                page = _page(header, data[page_start : page_start + header[3][1]], chunk.compression)
                here = None if valid is None else valid[done : done + count]
                _take_page(page, values[done : done + count], here)
            except (ValueError, LookupError, TypeError, OSError) as error:
                raise DamagedFileError(
                    f"{self._where}: column {name!r} of row group {group} is damaged in the page at byte "
                    f"{chunk.data_page_offset + at:,} ({error}): materialize this partition again"
                ) from error
            at = page_start + header[3][1]
            done += count
        if field.type.bit_width == 16:
            values = values.astype(np.int16)
        nulls = None if valid is None or valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))
        return pa.Array.from_buffers(field.type, rows, [nulls, pa.py_buffer(values)])


_ZSTD = pa.Codec("zstd")


def _page(header: thrift.Struct, stored: memoryview, compression: str) -> NDArray[np.uint8]:
    """A page's bytes as they were before compression. Raises ValueError when they are not what was written."""
    size, stored_size, crc = header[2][1], header[3][1], header[4][1] & 0xFFFFFFFF
    if len(stored) != stored_size or isal_zlib.crc32(stored) != crc:
        raise ValueError("its checksum is wrong")
    data = stored if compression == "UNCOMPRESSED" else _ZSTD.decompress(stored, size)
    return np.frombuffer(data, np.uint8)


def _take_page(page: NDArray[np.uint8], values: NDArray[Any], valid: NDArray[np.bool_] | None) -> None:
    """Unpacks a page. Raises ValueError where it does not hold as many values as there are rows.

    Args:
        page: uint8, with levels before its values where `valid` is given.
        values: int32 or int64, shape (rows,): filled in, 0 where null.
        valid: bool, shape (rows,): filled in; None where no value can be null.
    """
    start = 0
    if valid is not None:
        start = 4 + int.from_bytes(page[:4].tobytes(), "little")
        _take_levels(page[4:start], valid)
    if valid is None or valid.all():
        if len(values):
            _take_values(page[start:], values)
        return
    present = int(np.count_nonzero(valid))
    if present:
        _take_values(page[start:], values[:present])
    pages.spread(values, valid, present)


def _take_values(data: NDArray[np.uint8], values: NDArray[Any]) -> None:
    if pages.take_deltas(data, values) != len(data):
        raise ValueError(f"it does not hold {len(values):,} values")


def _take_levels(levels: NDArray[np.uint8], valid: NDArray[np.bool_]) -> None:
    """Fills in which rows have a value: all (a run), or those whose bit is set."""
    head, at = (int(number) for number in pages.take_varint(levels, np.uint64(0)))
    if head & 1:
        valid[:] = np.unpackbits(levels[at:], count=len(valid), bitorder="little")
    elif head >> 1 == len(valid):
        valid[:] = levels[at] != 0
    else:
        raise ValueError(f"it has levels of {head >> 1:,} rows instead of {len(valid):,}")
