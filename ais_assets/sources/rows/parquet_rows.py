"""Parquet files of position reports: their columns as they are typed, and text where it is text.

Line 1 is the header, line n + 2 the file's row n (from 0), as in the delimited text of the same table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from ais_assets.sources.source import SourceError, bomb

BATCH_ROWS: Final = 1 << 14
"""Rows read at a time: their columns are still in the cache when they are judged."""
_LONGITUDE = "longitude"
_LATITUDE = "latitude"
_COORDINATES = frozenset({_LONGITUDE, _LATITUDE, "lon", "lat"})
# Well-known binary of a point (OGC 06-103r4, 8.2): little-endian, type 1, two doubles.
_WKB_POINT = np.dtype([("little", "u1"), ("type", "<u4"), ("x", "<f8"), ("y", "<f8")])


def parquet_batches(path: Path, max_bytes: int, wanted: Callable[[str], bool]) -> Iterator[pa.RecordBatch]:
    """The file's flat columns, at least one batch of them and BATCH_ROWS rows at most; those not `wanted` are null.

    Texts are dictionaries. The points of a GeoParquet file without longitude and latitude become these two columns.

    Raises SourceError where the file is damaged, a wanted column or a geometry is of a type that cannot be read, or
    the columns unpack to more than `max_bytes`.
    """
    try:
        with pq.ParquetFile(path) as closed:
            texts = [column.name for column in closed.schema_arrow if pa.types.is_string(column.type)]
        # Texts as a dictionary, which takes no more memory than the file says: one of a few kilobytes can hold a long
        # one a million times.
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            points = _point_column(file.schema_arrow)
            names, blank = _names(file.schema_arrow, points, path.name, wanted)
            _check_size(file, names, path.name, max_bytes)
            row = size = 0
            for batch in file.iter_batches(BATCH_ROWS, columns=names):
                size += _unpacked_bytes(batch)
                if size > max_bytes:
                    raise bomb(path.name, max_bytes)
                yield _flat(batch, points, blank, f"{path.name}: rows from {row:,}")
                row += batch.num_rows
            if row == 0:
                nothing = [_one_line(name) for name in (*names, *blank)]
                yield pa.RecordBatch.from_arrays([pa.nulls(0)] * len(nothing), nothing)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path.name}: not a whole Parquet file ({error}); fetch it again") from error


def header_line(batch: pa.RecordBatch, delimiter: str) -> bytes:
    """The columns' names as the first line of delimited text, without a line break."""
    return _text(batch.slice(0, 0), delimiter, header=True).rstrip(b"\n")


def row_lines(batch: pa.RecordBatch, rows: Iterable[int], delimiter: str) -> list[bytes]:
    """These rows of the batch as delimited text: times in ISO 8601 in UTC, missing values blank, line breaks spaces."""
    taken = batch.take(pa.array(rows, pa.int64()))
    plain = [_plain(column) for column in taken.columns]
    text = _text(pa.RecordBatch.from_arrays(plain, batch.schema.names), delimiter, header=False)
    return text.split(b"\n")[:-1]


def nan_as_null(column: pa.Array) -> pa.Array:
    """The same with null for NaN, as pandas has it."""
    if not pa.types.is_floating(column.type):
        return column
    return pa.array(column.to_numpy(zero_copy_only=False), column.type, from_pandas=True)


def _names(
    schema: pa.Schema, points: str | None, where: str, wanted: Callable[[str], bool]
) -> tuple[list[str], list[str]]:
    """The columns to read and the flat ones that need not be."""
    for column in schema:
        if wanted(column.name) and column.name != points and not _is_flat(column.type):
            raise SourceError(
                f"{where}: the column {column.name} has the type {column.type}, which is no single value of a row; "
                "write it as a number, a text or a timestamp"
            )
    flat = [column.name for column in schema if _is_flat(column.type)]
    names = [name for name in schema.names if name == points or (name in flat and wanted(name))]
    unread = [column.name for column in schema if not pa.types.is_nested(column.type) and _holds_rows(column.type)]
    return names, [name for name in unread if name not in names]


def _check_size(file: pq.ParquetFile, names: list[str], where: str, max_bytes: int) -> None:
    """Raises SourceError when the columns' pages unpack to more than `max_bytes`, as the footer has it."""
    groups = (file.metadata.row_group(number) for number in range(file.metadata.num_row_groups))
    chunks = (group.column(number) for group in groups for number in range(group.num_columns))
    size = sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.partition(".")[0] in names)
    if size > max_bytes:
        raise bomb(where, max_bytes)


def _unpacked_bytes(batch: pa.RecordBatch) -> int:
    """What the batch's values take, the texts of a dictionary as often as they stand in it."""
    size = 0
    for column in batch.columns:
        if isinstance(column, pa.DictionaryArray) and column.type.value_type in (pa.string(), pa.large_string()):
            lengths = pc.call_function("binary_length", [column.dictionary])
            size += pc.call_function("sum", [lengths.take(column.indices).cast(pa.int64())]).as_py() or 0
        else:
            size += column.nbytes
    return size


def _text(batch: pa.RecordBatch, delimiter: str, *, header: bool) -> bytes:
    target = BytesIO()
    options = pyarrow.csv.WriteOptions(include_header=header, delimiter=delimiter, quoting_header="needed")
    pyarrow.csv.write_csv(batch, target, options)
    return target.getvalue()


def _is_flat(type_: pa.DataType) -> bool:
    """Whether a value of the type can be a quantity of a row."""
    if isinstance(type_, pa.DictionaryType):
        return _is_flat(type_.value_type)
    return _holds_rows(type_) and not (pa.types.is_duration(type_) or pa.types.is_interval(type_))


def _holds_rows(type_: pa.DataType) -> bool:
    if isinstance(type_, pa.DictionaryType):
        return _holds_rows(type_.value_type)
    binary = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    other = isinstance(type_, pa.BaseExtensionType) or pa.types.is_nested(type_)
    return not other and not any(is_of(type_) for is_of in binary)


def _point_column(schema: pa.Schema) -> str | None:
    """The column whose points are the only coordinates of a GeoParquet file; None where there is none such."""
    geo = (schema.metadata or {}).get(b"geo")
    if geo is None or _COORDINATES & {name.lower() for name in schema.names}:
        return None
    try:
        return json.loads(geo)["primary_column"]
    except (ValueError, KeyError, TypeError):
        return None


def _flat(batch: pa.RecordBatch, points: str | None, blank: list[str], where: str) -> pa.RecordBatch:
    columns = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name == points:
            columns[_LONGITUDE], columns[_LATITUDE] = _coordinates(column, where)
        else:
            columns[_one_line(name)] = column
    columns |= {_one_line(name): pa.nulls(len(batch)) for name in blank}
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def _one_line(name: str) -> str:
    return name.replace("\r", " ").replace("\n", " ")


def _plain(column: pa.Array) -> pa.Array:
    """A column as its text is written."""
    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    type_ = column.type
    if pa.types.is_timestamp(type_):
        return column.cast(pa.timestamp(type_.unit, "UTC"))
    if pa.types.is_floating(type_) or pa.types.is_integer(type_) or pa.types.is_null(type_):
        return nan_as_null(column)
    text = column.cast(pa.string())
    for line_break in ("\r", "\n"):
        options = pc.ReplaceSubstringOptions(line_break, " ")
        text = pc.call_function("replace_substring", [text], options)
    return text


def _coordinates(column: pa.Array, where: str) -> tuple[pa.Array, pa.Array]:
    """Longitudes and latitudes of an array of points, as WKB or as GeoArrow's struct of x and y."""
    if isinstance(column, pa.StructArray) and {"x", "y"} <= {field.name for field in column.type}:
        x, y = (column.flatten()[column.type.get_field_index(axis)] for axis in ("x", "y"))
        return x, y
    raw = b"".join(column.drop_null().cast(pa.large_binary()).to_pylist())
    points = len(column) - column.null_count
    whole = len(raw) == points * _WKB_POINT.itemsize
    shapes = np.frombuffer(raw, _WKB_POINT) if whole else np.empty(0, _WKB_POINT)
    if len(shapes) != points or not ((shapes["little"] == 1) & (shapes["type"] == 1)).all():
        raise SourceError(
            f"{where}: the geometry column {column.type} holds something else than points (little-endian WKB); "
            "write the file with longitude and latitude columns"
        )
    there = column.is_valid().to_numpy(zero_copy_only=False)
    longitude, latitude = (np.full(len(column), np.nan) for _ in range(2))
    longitude[there], latitude[there] = shapes["x"], shapes["y"]
    return pa.array(longitude), pa.array(latitude)
