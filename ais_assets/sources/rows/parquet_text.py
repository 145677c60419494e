"""Parquet files as delimited text, so that the one parser judges their rows, by the same rules and with line numbers.

Line 1 is the header, line n + 2 the file's row n (from 0).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from ais_assets.sources.source import SourceError, bomb

_BATCH_ROWS = 1 << 13
_LONGITUDE = "longitude"
_LATITUDE = "latitude"
_COORDINATES = frozenset({_LONGITUDE, _LATITUDE, "lon", "lat"})
# Well-known binary of a point (OGC 06-103r4, 8.2): little-endian, type 1, two doubles.
_WKB_POINT = np.dtype([("little", "u1"), ("type", "<u4"), ("x", "<f8"), ("y", "<f8")])


def parquet_text(
    path: Path, delimiter: str, block_bytes: int, max_bytes: int, wanted: Callable[[str], bool]
) -> Iterator[bytes]:
    """The file's flat columns as text, at most `block_bytes` at a time; those not `wanted` by name are blank.

    Times become ISO 8601 in UTC, missing values and NaN blanks, line breaks in text spaces. Nested and binary columns
    are left out, but the points of a GeoParquet file without longitude and latitude become these two columns.

    Raises SourceError where the file is damaged, its geometries are no points, or it unpacks to more than `max_bytes`.
    """
    try:
        with pq.ParquetFile(path) as closed:
            texts = [column.name for column in closed.schema_arrow if pa.types.is_string(column.type)]
        # Texts as a dictionary, which takes no more memory than the file says: one of a few kilobytes can hold a long
        # one a million times.
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            points = _point_column(file.schema_arrow)
            flat = [column.name for column in file.schema_arrow if _is_flat(column.type)]
            names = [name for name in file.schema_arrow.names if name == points or (name in flat and wanted(name))]
            blank = [name for name in flat if name not in names]
            _check_size(file, names, path.name, max_bytes)
            row = 0
            for batch in file.iter_batches(_BATCH_ROWS, columns=names):
                _check_texts(batch, path.name, max_bytes)
                table = _flat(batch, points, blank, f"{path.name}: rows from {row:,}")
                text = _text(table, delimiter, header=row == 0)
                row += batch.num_rows
                yield from (text[k : k + block_bytes] for k in range(0, len(text), block_bytes))
            if row == 0:
                nothing = {_one_line(name): pa.array([], pa.string()) for name in (*names, *blank)}
                yield _text(pa.table(nothing), delimiter, header=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path.name}: not a whole Parquet file ({error}); fetch it again") from error


def _check_size(file: pq.ParquetFile, names: list[str], where: str, max_bytes: int) -> None:
    """Raises SourceError when the columns' pages unpack to more than `max_bytes`, as the footer has it."""
    groups = (file.metadata.row_group(number) for number in range(file.metadata.num_row_groups))
    chunks = (group.column(number) for group in groups for number in range(group.num_columns))
    size = sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.partition(".")[0] in names)
    if size > max_bytes:
        raise bomb(where, max_bytes)


def _check_texts(batch: pa.RecordBatch, where: str, max_bytes: int) -> None:
    """Raises SourceError when the batch's texts, written out, have more than `max_bytes` bytes."""
    size = 0
    for column in batch.columns:
        if isinstance(column, pa.DictionaryArray) and column.type.value_type in (pa.string(), pa.large_string()):
            lengths = pc.call_function("binary_length", [column.dictionary])
            size += pc.call_function("sum", [lengths.take(column.indices).cast(pa.int64())]).as_py() or 0
    if size > max_bytes:
        raise bomb(where, max_bytes)


def _text(table: pa.Table | pa.RecordBatch, delimiter: str, *, header: bool) -> bytes:
    target = BytesIO()
    options = pyarrow.csv.WriteOptions(include_header=header, delimiter=delimiter, quoting_header="needed")
    pyarrow.csv.write_csv(table, target, options)
    return target.getvalue()


def _is_flat(type_: pa.DataType) -> bool:
    if isinstance(type_, pa.DictionaryType):
        return _is_flat(type_.value_type)
    binary = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    return not pa.types.is_nested(type_) and not any(is_of(type_) for is_of in binary)


def _point_column(schema: pa.Schema) -> str | None:
    """The column whose points are the only coordinates of a GeoParquet file; None where there is none such."""
    geo = (schema.metadata or {}).get(b"geo")
    if geo is None or _COORDINATES & {name.lower() for name in schema.names}:
        return None
    try:
        return json.loads(geo)["primary_column"]
    except (ValueError, KeyError, TypeError):
        return None


def _flat(batch: pa.RecordBatch, points: str | None, blank: list[str], where: str) -> pa.Table:
    columns = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name == points:
            columns[_LONGITUDE], columns[_LATITUDE] = _coordinates(column, where)
        else:
            columns[_one_line(name)] = _plain(column)
    nothing = pa.nulls(len(batch))
    return pa.table({**columns, **{_one_line(name): nothing for name in blank}})


def _one_line(name: str) -> str:
    return name.replace("\r", " ").replace("\n", " ")


def _plain(column: pa.Array) -> pa.Array:
    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    type_ = column.type
    if pa.types.is_floating(type_):
        # From pandas: NaN becomes null.
        return pa.array(column.to_numpy(zero_copy_only=False), type_, from_pandas=True)
    if pa.types.is_timestamp(type_):
        return column.cast(pa.timestamp(type_.unit, "UTC"))
    if pa.types.is_integer(type_) or pa.types.is_null(type_):
        return column
    text = column.cast(pa.string())
    for line_break in ("\r", "\n"):
        options = pc.ReplaceSubstringOptions(line_break, " ")
        text = pc.call_function("replace_substring", [text], options)
    return text


def _coordinates(column: pa.Array, where: str) -> tuple[pa.Array, pa.Array]:
    """Longitudes and latitudes of an array of points, as WKB or as GeoArrow's struct of x and y."""
    if isinstance(column, pa.StructArray) and {"x", "y"} <= {field.name for field in column.type}:
        x, y = (column.flatten()[column.type.get_field_index(axis)] for axis in ("x", "y"))
        return _plain(x), _plain(y)
    raw = b"".join(column.drop_null().cast(pa.large_binary()).to_pylist())
    present = len(column) - column.null_count
    shapes = np.frombuffer(raw, _WKB_POINT) if len(raw) == present * _WKB_POINT.itemsize else np.empty(0, _WKB_POINT)
    if len(shapes) != present or not ((shapes["little"] == 1) & (shapes["type"] == 1)).all():
        raise SourceError(
            f"{where}: the geometry column {column.type} holds something else than points (little-endian WKB); "
            "write the file with longitude and latitude columns"
        )
    there = column.is_valid().to_numpy(zero_copy_only=False)
    longitude, latitude = (np.full(len(column), np.nan) for _ in range(2))
    longitude[there], latitude[there] = shapes["x"], shapes["y"]
    return _plain(pa.array(longitude)), _plain(pa.array(latitude))
