"""Parquet for the tables that are most of the lake's bytes: records, positions, references and windows.

Columns of fixed width need little of what a general writer does. pyarrow takes 6 ns to pack a value of a position, and
23 µs for a window beside the 25 µs that zstd takes; these encoders take 1 ns and 5 µs. The files are plain Parquet,
which pyarrow, DuckDB and Polars read; their schema, and with it the greater part of the footer, is pyarrow's.

https://parquet.apache.org/docs/file-format/
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from isal import isal_zlib
from numpy.typing import NDArray

from ais_assets.io import pages, thrift
from ais_assets.io.thrift import BINARY, I16, I32, I64, LIST, STRUCT, Struct
from ais_assets.transforms.kernels import array_from_pool

PAGE_BYTES: Final = 1 << 20
"""Of a page's values before they are packed, about."""
WINDOW_PAGE_BYTES: Final = 1 << 22
"""Of windows more: they compress by 3 % better for it, and whoever reads one reads many."""

WRITER: Final = "ais_assets"
"""Files that BulkWriter wrote say so."""

_MAGIC = b"PAR1"
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2
_PLAIN, _RLE, _DELTA_BINARY_PACKED, _RLE_DICTIONARY, _BYTE_STREAM_SPLIT = 0, 3, 5, 8, 9
_UNCOMPRESSED, _ZSTD = 0, 6
_TYPES: Final = {"INT32": 1, "INT64": 2, "FLOAT": 4, "BYTE_ARRAY": 6}
_NO_DELTAS = b"\x80\x01\x04\x00\x00"
"""DELTA_BINARY_PACKED of no value: blocks of 128, 4 miniblocks, 0 values, the first one 0."""
_WORTH_IT = 0.97
"""A column whose first page keeps more of its size than this is not compressed: its packed bits are noise."""
_BEHIND_BYTES: Final = 1 << 25
"""That are handed to the disk at a time. Left to itself the system keeps some gigabytes back, and whoever then waits
until a file is safe waits for all of them."""
_SEARCH_LESS: Final = 2
"""Levels of zstd by which packed bits are searched less: few of them repeat, so that it makes 2 % of a file's size and
takes half the time."""


@dataclass(frozen=True)
class _Leaf:
    """A column as the footer names it."""

    column: str
    path: list[bytes]
    physical_type: int


@dataclass(frozen=True)
class _Page:
    """A page before compression; its header says `values` and `encoding`."""

    data: bytes | memoryview
    values: int
    encoding: int
    kind: int = _DATA_PAGE


@dataclass(frozen=True)
class _Chunk:
    """A column of a row group: its pages, how many values they hold with those that are null, and their bounds."""

    values: int
    encodings: list[int]
    pages: Iterator[_Page]
    statistics: Struct = field(default_factory=dict)


def is_bulk(schema: pa.Schema) -> bool:
    """Whether every column has one of the types that BulkWriter knows."""
    return all(_is_known(column) for column in schema)


def _is_known(column: pa.Field) -> bool:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return kind.index_type == pa.int8() and kind.value_type == pa.string()
    if pa.types.is_fixed_size_list(kind):
        return not column.nullable and not kind.value_field.nullable and kind.value_type == pa.float32()
    return is_integral(kind) or kind in (pa.float32(), pa.string())


def is_integral(kind: pa.DataType) -> bool:
    """Whether a column of this type is packed by deltas."""
    if pa.types.is_timestamp(kind):
        return kind.unit == "ms"
    return kind in (pa.int16(), pa.int32(), pa.int64()) or pa.types.is_decimal32(kind)


class BulkWriter:
    """Writes tables of a schema that `is_bulk` to a file, a row group a table.

    Integers, decimals and times are packed by deltas, floats and windows split into byte streams, names are indices
    into a dictionary, texts stand as they are; every page has a checksum.

    Args:
        path: of the file.
        schema: of every table.
        level: of zstd.
    """

    def __init__(self, path: Path, schema: pa.Schema, level: int) -> None:
        self._schema = schema
        self._footer, self._leaves = _template(schema)
        self._compressor = zstandard.ZstdCompressor(level=level)
        self._compressor_of_bits = zstandard.ZstdCompressor(level=level - _SEARCH_LESS)
        self._row_groups: list[Struct] = []
        self._rows = 0
        self._metadata: dict[bytes, bytes] = {}
        self._pages = hashlib.sha256()
        self._file = path.open("wb")
        self._file.write(_MAGIC)
        self._on_its_way = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the file; without a footer after an error, so that nobody takes it for a whole one."""
        with self._file:
            if kind is None:
                self._write_footer()

    @property
    def digest(self) -> str:
        """Of the pages written so far, hexadecimal: of their headers, which hold size and checksum of each."""
        return self._pages.hexdigest()

    def add_key_value_metadata(self, metadata: Mapping[bytes, str]) -> None:
        """Adds to what the footer says of the file."""
        self._metadata |= {key: value.encode() for key, value in metadata.items()}

    def write_table(self, table: pa.Table, row_group_size: int | None = None) -> None:
        """Writes a table as a row group, whatever its size.

        Raises ValueError when it has another schema, or a null where that allows none.
        """
        del row_group_size
        if not table.schema.equals(self._schema):
            raise ValueError(f"the table's schema is {table.schema}; this file's is {self._schema}")
        start = self._file.tell()
        columns = [self._write_chunk(leaf, _chunk(table, leaf.column)) for leaf in self._leaves]
        self._rows += table.num_rows
        self._row_groups.append(
            {
                1: (LIST, (STRUCT, [{2: (I64, 0), 3: (STRUCT, column)} for column in columns])),
                2: (I64, sum(column[6][1] for column in columns)),
                3: (I64, table.num_rows),
                5: (I64, start),
                6: (I64, sum(column[7][1] for column in columns)),
                7: (I16, len(self._row_groups)),
            }
        )
        self._write_behind()

    def _write_behind(self) -> None:
        """Has the disk begin with what is not on its way yet."""
        new = self._file.tell() - self._on_its_way
        if new >= _BEHIND_BYTES and hasattr(os, "posix_fadvise"):
            self._file.flush()
            # Linux begins to write what is not to be kept in memory; until it is written, it stays there.
            os.posix_fadvise(self._file.fileno(), self._on_its_way, new, os.POSIX_FADV_DONTNEED)
            self._on_its_way += new

    def _write_chunk(self, leaf: _Leaf, chunk: _Chunk) -> Struct:
        """Writes a column's pages; returns its ColumnMetaData."""
        offsets: dict[int, int] = {}
        codec = _ZSTD
        # Times are packed in whole bytes, for the search to find.
        is_of_bits = chunk.encodings[-1] == _DELTA_BINARY_PACKED and leaf.physical_type == _TYPES["INT32"]
        compressor = self._compressor_of_bits if is_of_bits else self._compressor
        raw_size, start = 0, self._file.tell()
        for number, page in enumerate(chunk.pages):
            stored = compressor.compress(page.data) if codec == _ZSTD else page.data
            if number == 0 and len(stored) > _WORTH_IT * len(page.data):
                codec, stored = _UNCOMPRESSED, page.data
            header = _page_header(page, stored)
            offsets.setdefault(page.kind, self._file.tell())
            self._pages.update(header)
            self._file.write(header)
            self._file.write(stored)
            raw_size += len(header) + len(page.data)
        metadata: Struct = {
            1: (I32, leaf.physical_type),
            2: (LIST, (I32, chunk.encodings)),
            3: (LIST, (BINARY, leaf.path)),
            4: (I32, codec),
            5: (I64, chunk.values),
            6: (I64, raw_size),
            7: (I64, self._file.tell() - start),
            9: (I64, offsets.get(_DATA_PAGE, start)),
        }
        if _DICTIONARY_PAGE in offsets:
            metadata[11] = (I64, offsets[_DICTIONARY_PAGE])
        if chunk.statistics:
            metadata[12] = (STRUCT, chunk.statistics)
        return metadata

    def _write_footer(self) -> None:
        footer = self._footer
        footer[3] = (I64, self._rows)
        footer[4] = (LIST, (STRUCT, self._row_groups))
        kept = footer[5][1][1] if 5 in footer else []
        added = [{1: (BINARY, key), 2: (BINARY, value)} for key, value in self._metadata.items()]
        footer[5] = (LIST, (STRUCT, kept + added))
        footer[6] = (BINARY, f"{WRITER} version {version('ais_assets')}".encode())
        data = thrift.encoded(footer)
        self._file.write(data + len(data).to_bytes(4, "little") + _MAGIC)


def _template(schema: pa.Schema) -> tuple[Struct, list[_Leaf]]:
    """The footer that pyarrow writes of an empty file, and the leaf of each column."""
    sink = BytesIO()
    pq.ParquetWriter(sink, schema, store_decimal_as_integer=True).close()
    data = sink.getvalue()
    end = len(data) - len(_MAGIC) - 4
    footer = thrift.decoded(data[end - int.from_bytes(data[end : end + 4], "little") : end])
    described = pq.read_metadata(BytesIO(data)).schema
    leaves = [described.column(number) for number in range(len(described))]
    return footer, [
        _Leaf(name, leaf.path.encode().split(b"."), _TYPES[leaf.physical_type])
        for name, leaf in zip(schema.names, leaves, strict=True)
    ]


def _page_header(page: _Page, stored: bytes | memoryview) -> bytes:
    crc = isal_zlib.crc32(stored)
    header: Struct = {
        1: (I32, page.kind),
        2: (I32, len(page.data)),
        3: (I32, len(stored)),
        4: (I32, crc - (1 << 32) if crc >> 31 else crc),
    }
    if page.kind == _DICTIONARY_PAGE:
        header[7] = (STRUCT, {1: (I32, page.values), 2: (I32, page.encoding)})
    else:
        header[5] = (STRUCT, {1: (I32, page.values), 2: (I32, page.encoding), 3: (I32, _RLE), 4: (I32, _RLE)})
    return thrift.encoded(header)


def _chunk(table: pa.Table, name: str) -> _Chunk:
    column, nullable = table[name], table.schema.field(name).nullable
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    nulls = array.null_count + (array.values.null_count if pa.types.is_fixed_size_list(array.type) else 0)
    if nulls and not nullable:
        raise ValueError(f"column {name!r} has {nulls:,} nulls; this file's schema allows none")
    if pa.types.is_fixed_size_list(array.type):
        pages_of_windows = _pages_of_windows(array.flatten().to_numpy(), array.type.list_size)
        return _Chunk(len(array) * array.type.list_size, [_RLE, _BYTE_STREAM_SPLIT], pages_of_windows)
    valid = array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None
    rows, present = _Rows(len(array), valid, nullable), array.drop_null() if array.null_count else array
    if pa.types.is_dictionary(array.type):
        return _Chunk(len(array), [_PLAIN, _RLE, _RLE_DICTIONARY], _pages_of_names(present, rows))
    statistics: Struct = {3: (I64, array.null_count)}
    if array.type == pa.string():
        return _Chunk(len(array), [_RLE, _PLAIN], _pages_of_text(present, rows), statistics)
    if array.type == pa.float32():
        return _Chunk(len(array), [_RLE, _BYTE_STREAM_SPLIT], _pages_of_floats(present.to_numpy(), rows), statistics)
    pages_of_deltas = _pages_of_deltas(_integers(present), rows, statistics)
    return _Chunk(len(array), [_RLE, _DELTA_BINARY_PACKED], pages_of_deltas, statistics)


def _integers(array: pa.Array) -> NDArray[Any]:
    """The integers behind an array without nulls, in the width that Parquet has them."""
    if array.type.bit_width == 16:
        return array.to_numpy().astype(np.int32)
    return array.view(pa.int32() if array.type.bit_width == 32 else pa.int64()).to_numpy()


@dataclass(frozen=True)
class _Rows:
    """A column's rows, and which of them have a value."""

    count: int
    valid: NDArray[np.bool_] | None
    """None: all."""
    nullable: bool

    def pages(self, most: int, encoding: int, encode: Callable[[int, int], bytes | memoryview]) -> Iterator[_Page]:
        """Pages of up to `most` rows; `encode` makes the bytes of the values from one up to another."""
        taken = 0
        for first in range(0, self.count, most):
            count = min(most, self.count - first)
            here = None if self.valid is None else self.valid[first : first + count]
            present = count if here is None else int(np.count_nonzero(here))
            data = encode(taken, taken + present)
            taken += present
            if self.nullable:
                levels = _ones(count) if here is None else _bits(here)
                data = b"".join((_sized(levels), data))
            yield _Page(data, count, encoding)


def _pages_of_deltas(values: NDArray[Any], rows: _Rows, statistics: Struct) -> Iterator[_Page]:
    """Pages of a column of integers.

    Args:
        values: int32 or int64, shape (n,): those that are not null.
        rows: of the column.
        statistics: gets the greatest and the least value in the end.
    """
    page_rows = PAGE_BYTES // values.itemsize
    packed = array_from_pool(pages.delta_bound(min(page_rows, len(values)), values.itemsize), np.uint8)
    bounds = []

    def encode(first: int, end: int) -> bytes | memoryview:
        if first == end:
            return _NO_DELTAS
        # Page by page, while it is in the processor's cache.
        bounds.append(pages.bounds(values[first:end]))
        return packed[: pages.put_deltas(values[first:end], packed)].data

    yield from rows.pages(page_rows, _DELTA_BINARY_PACKED, encode)
    if bounds:
        low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
        statistics |= {field: (BINARY, values.dtype.type(bound).tobytes()) for field, bound in ((5, high), (6, low))}


def _pages_of_names(array: pa.DictionaryArray, rows: _Rows) -> Iterator[_Page]:
    """The page of a dictionary's names, and those of the indices into it."""
    names = [name.encode() for name in array.dictionary.to_pylist()]
    yield _Page(_plain(names), len(names), _PLAIN, _DICTIONARY_PAGE)
    indices = array.indices.to_numpy().view(np.uint8)
    width = max(1, (len(names) - 1).bit_length())
    runs = np.empty(pages.run_bound(min(PAGE_BYTES, len(indices))), np.uint8)

    def encode(first: int, end: int) -> bytes:
        return bytes([width]) + runs[: pages.put_runs(indices[first:end], width, runs)].tobytes()

    yield from rows.pages(PAGE_BYTES, _RLE_DICTIONARY, encode)


def _pages_of_text(array: pa.StringArray, rows: _Rows) -> Iterator[_Page]:
    """Pages of texts, of which there are few: static data are kept where they are new."""
    texts = array.cast(pa.binary()).to_pylist()
    yield from rows.pages(PAGE_BYTES // 4, _PLAIN, lambda first, end: _plain(texts[first:end]))


def _pages_of_floats(values: NDArray[np.float32], rows: _Rows) -> Iterator[_Page]:
    """Pages of float32, split into byte streams."""

    def encode(first: int, end: int) -> bytes | memoryview:
        streams = np.empty(4 * (end - first), np.uint8)
        pages.put_byte_streams(values[first:end].view(np.uint32), streams)
        return streams.data

    yield from rows.pages(PAGE_BYTES // 4, _BYTE_STREAM_SPLIT, encode)


def _plain(texts: Sequence[bytes]) -> bytes:
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def _pages_of_windows(values: NDArray[np.float32], width: int) -> Iterator[_Page]:
    """Pages of whole windows, split into byte streams.

    Args:
        values: float32, shape (windows × width,).
        width: values of a window.
    """
    page_values = max(1, WINDOW_PAGE_BYTES // (4 * width)) * width
    # A window's first value repeats the row (0), the others repeat the list (1).
    window_levels = b"\x02\x00" + (_run(width - 1, 1) if width > 1 else b"")
    for first in range(0, len(values), page_values):
        here = values[first : first + page_values]
        levels = _sized(window_levels * (len(here) // width)) + _sized(_ones(len(here)))
        data = array_from_pool(len(levels) + 4 * len(here), np.uint8)
        data[: len(levels)] = np.frombuffer(levels, np.uint8)
        pages.put_byte_streams(here.view(np.uint32), data[len(levels) :])
        yield _Page(data.data, len(here), _BYTE_STREAM_SPLIT)


def _ones(count: int) -> bytes:
    """Levels of values that are all there."""
    return _run(count, 1)


def _run(count: int, level: int) -> bytes:
    """A level so many times (RLE)."""
    return thrift.varint(count << 1) + bytes([level])


def _bits(valid: NDArray[np.bool_]) -> bytes:
    """Levels bit by bit, counted in groups of eight."""
    packed = np.packbits(valid, bitorder="little").tobytes()
    return thrift.varint(len(packed) << 1 | 1) + packed


def _sized(levels: bytes) -> bytes:
    return len(levels).to_bytes(4, "little") + levels
