"""Typed records under construction, and the tables of `schema.RAW_RECORDS` that they become."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.sources.rows.row_plan import NULL, NULL_CODE, NULL_HEADING, Records
from ais_assets.stream import arrow_array

TABLE_ROWS: Final = 1 << 18
"""Records of a table, and so of a row group: they stay in the processor's caches from the parser to the file, which
takes 7 % less time for the day than four times as many do, and than half as many."""
SAMPLE_CHARACTERS: Final = 200
"""Of a rejected row, in facts["rejects"]."""

_LARGEST_LENGTH = float(np.finfo(np.float32).max)

_NOBODYS_IMO = 1_234_567

StaticValue = str | int | float | None


class StaticData:
    """Static data of a table under construction: kept where a sender shows this very combination for the first time."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, tuple[StaticValue, ...]]] = set()
        self._rows: list[int] = []
        self._values: list[tuple[StaticValue, ...]] = []

    def add(self, row: int, mmsi: int, values: tuple[StaticValue, ...]) -> None:
        """Takes the values of schema.STATIC_COLUMNS, in this order, that a sender showed in a row of the table."""
        if all(value is None for value in values) or (mmsi, values) in self._seen:
            return
        self._seen.add((mmsi, values))
        self._rows.append(row)
        self._values.append(values)

    def take_columns(self, rows: int) -> dict[str, pa.Array]:
        """The static columns of the table, which has `rows` rows; what was seen in it stays known for the next."""
        kinds = [(column, schema.RAW_RECORDS.field(column).type) for column in schema.STATIC_COLUMNS]
        columns = {
            column: _spread([values[k] for values in self._values], kind, self._rows, rows)
            for k, (column, kind) in enumerate(kinds)
        }
        self._rows, self._values = [], []
        return columns


def empty_records(rows: int) -> Records:
    """Room for so many records."""
    return Records(
        t=np.empty(rows, np.int64),
        mmsi=np.empty(rows, np.int32),
        mobile_type=np.empty(rows, np.int8),
        lat=np.empty(rows, np.int32),
        lon=np.empty(rows, np.int32),
        sog=np.empty(rows, np.int32),
        cog=np.empty(rows, np.int32),
        heading=np.empty(rows, np.int16),
        nav_status=np.empty(rows, np.int8),
    )


def record_table(records: Records, rows: int, static: StaticData, coarse: NDArray[np.bool_] | None = None) -> pa.Table:
    """The first `rows` records and the static data found in them. The table keeps the records' memory.

    Args:
        records: room for at least so many.
        rows: how many there are.
        static: of these records.
        coarse: whether a position has message 27's resolution, bool (rows,); None: none has.
    """
    records = Records._make(column[:rows] for column in records)
    columns = {
        "t": arrow_array(schema.UTC, records.t),
        "mmsi": arrow_array(pa.int32(), records.mmsi),
        "mobile_type": _dictionary(records.mobile_type, schema.MOBILE_TYPES),
        "lat_microdegrees": arrow_array(pa.int32(), records.lat, records.lat != NULL),
        "lon_microdegrees": arrow_array(pa.int32(), records.lon, records.lon != NULL),
        "sog_tenths": arrow_array(pa.int32(), records.sog, records.sog != NULL),
        "cog_tenths": arrow_array(pa.int32(), records.cog, records.cog != NULL),
        "heading": arrow_array(pa.int16(), records.heading, records.heading != NULL_HEADING),
        "nav_status": _dictionary(records.nav_status, schema.NAV_STATUSES),
        "coarse": pa.array(np.zeros(rows, np.bool_) if coarse is None else coarse),
        **static.take_columns(rows),
    }
    return pa.table(columns, schema.RAW_RECORDS)


def metres(value: float) -> float | None:
    """A length as a file has it, in the type of its column; None for 0, which means not available.

    (ITU-R M.1371-5, tables 48 and 52.) Raises ValueError for what no ship can have.
    """
    if not 0 <= value <= _LARGEST_LENGTH:
        raise ValueError(f"{value} is no length")
    return float(np.float32(value)) or None


def imo_number(value: int) -> int | None:
    """An IMO number as a file has it; None where it cannot be one (seven digits, IMO Resolution A.1117).

    1234567, which passes the check digit, is typed in by those who have none.
    """
    return value if 0 < value < 10_000_000 and value != _NOBODYS_IMO else None


def _spread(values: list[StaticValue], kind: pa.DataType, places: list[int], rows: int) -> pa.Array:
    """An array of `rows` rows that has these values at these ascending places and nulls elsewhere."""
    known = np.array([value is not None for value in values], np.bool_)
    at = np.array(places, np.int64)[known]
    new = pa.array([value for value in values if value is not None], kind)
    if not len(new):
        return pa.nulls(rows, kind)
    # Arrow's own take costs 2 to 4 ns a row and column, which nearly all have nothing.
    shown = np.zeros(rows, np.bool_)
    shown[at] = True
    if not pa.types.is_string(kind):
        spread = np.zeros(rows, kind.to_pandas_dtype())
        spread[at] = new.to_numpy()
        return arrow_array(kind, spread, shown)
    _, ends, text = new.buffers()
    # A text begins where the one before it ends. They are few: to add up all rows' lengths takes ten times as long.
    offsets = np.empty(rows + 1, np.int32)
    begins = [0, *(at + 1).tolist(), rows + 1]
    for (first, last), end in zip(pairwise(begins), np.frombuffer(ends, np.int32).tolist(), strict=False):
        offsets[first:last] = end
    validity = pa.py_buffer(np.packbits(shown, bitorder="little"))
    return pa.Array.from_buffers(kind, rows, [validity, pa.py_buffer(offsets), text])


def _dictionary(codes: NDArray[np.int8], names: tuple[str, ...]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(arrow_array(pa.int8(), codes, codes != NULL_CODE), pa.array(names))
