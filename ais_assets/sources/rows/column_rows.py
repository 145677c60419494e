"""Typed columns of rows as the compiled reader of columns takes them: values by role, hashes of static data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ais_assets.sources.rows.column_kernel import BELOW, BLANK, KNOWN, OTHER, hash_texts, judge_rows, read_texts
from ais_assets.sources.rows.header import Header
from ais_assets.sources.rows.numbers import HUGE
from ais_assets.sources.rows.parquet_rows import nan_as_null, row_lines
from ais_assets.sources.rows.row_kernel import PLACES
from ais_assets.sources.rows.row_plan import TIME_IS_TEXT, Found, Meaning, Progress, Records, Role, RowPlan
from ais_assets.sources.rows.text import HASH_PRIME, PADDING
from ais_assets.sources.rows.times import BAD_TIME

_SECONDS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_YEAR_10000 = 253_402_300_800  # in seconds since 1970: text has years of four digits
_MOST_MMSI = 10**9
# A double's product with a power of ten is as near as this to the decimal's; nearer to a half the text decides.
_NEAR_HALF = 1e-3
_EXACT_STEPS = 1e10
_LEAST_BELOW = 5e-6  # what `is_below` takes for less

_Read = tuple[NDArray[np.int64], NDArray[np.uint8]]


class ColumnRows:
    """The rows of one batch.

    Args:
        batch: columns of the header's, in its order.
        delimiter: of the rows as text, for samples.
        header, plan: of the file.
    """

    def __init__(self, batch: pa.RecordBatch, delimiter: str, header: Header, plan: RowPlan) -> None:
        self._batch = batch
        self._delimiter = delimiter
        self.stop = batch.num_rows
        self._roles = np.array([header.roles[place] for place in sorted(header.roles)], np.int64)
        self._values = np.zeros((len(Role), self.stop), np.int64)
        self._states = np.full((len(Role), self.stop), BLANK, np.uint8)
        for place, role in header.roles.items():
            self._values[role], self._states[role] = _read(batch.column(place), role, plan.meaning)
        if plan.columns.has_clock:
            place = {role: place for place, role in header.roles.items()}
            clocks = batch.column(place[Role.CLOCK])
            self._values[Role.CLOCK] = column_times(batch.column(place[Role.TIME]), clocks, plan.meaning)
            self._states[Role.CLOCK] = KNOWN
        self._static = np.zeros(self.stop, np.uint64)
        for place in sorted(header.static.values()):
            self._static = (self._static ^ _hashes(batch.column(place))) * HASH_PRIME

    def parse(self, plan: RowPlan, begin: Progress, out: Records, found: Found) -> Progress:
        """See `judge_rows`."""
        return judge_rows(self._values, self._states, self._static, self._roles, plan, begin, out, found)

    def texts(self, spans: list[tuple[int, int]]) -> list[bytes]:
        """Rows as text, each by its number and the next."""
        return row_lines(self._batch, [row for row, _ in spans], self._delimiter) if spans else []


def column_times(times: pa.Array, clocks: pa.Array | None, meaning: Meaning) -> NDArray[np.int64]:
    """Milliseconds since 1970 UTC of a column of times, or of one of dates and one of times of day.

    Negative where there is none: one of the reasons of `times`.
    """
    if clocks is None:
        return _read(times, Role.TIME, meaning)[0]
    return _read_texts(_pairs(times, clocks), Role.CLOCK, meaning)[0]


def _read(column: pa.Array, role: Role, meaning: Meaning) -> _Read:
    """The values of a column by its Role, as of `read_texts`."""
    kind = column.type
    if role == Role.TIME and pa.types.is_timestamp(kind):
        return _moments(column)
    if role == Role.TIME and pa.types.is_integer(kind) and meaning.time_places != TIME_IS_TEXT:
        return _counted(column, meaning.time_places)
    if role == Role.MMSI and (pa.types.is_integer(kind) or pa.types.is_float64(kind)):
        return _mmsis(column)
    if role >= Role.LATITUDE and meaning.scales[role] == 1.0:
        if pa.types.is_integer(kind):
            return _integers(column, role)
        if pa.types.is_float64(kind):
            return _doubles(column, role, meaning)
    return _read_texts(column, role, meaning)


def _read_texts(column: pa.Array, role: Role, meaning: Meaning) -> _Read:
    text, offsets, places = _distinct(column)
    values, states = read_texts(text, offsets, role, meaning)
    return values[places], states[places]


def _moments(column: pa.Array) -> _Read:
    """Timestamps, a fraction of a second cut off."""
    seconds = column.cast(pa.int64()).fill_null(-1).to_numpy() // _SECONDS[column.type.unit]
    good = (seconds >= 0) & (seconds < _YEAR_10000)
    return _known(np.where(good, seconds * 1000, BAD_TIME))


def _counted(column: pa.Array, places: int) -> _Read:
    """Whole numbers since 1970, `places` decimal places short of nanoseconds."""
    counts = _whole(column, -1)
    good = (counts >= 0) & (counts < -(-HUGE // 10**places))
    return _known(np.where(good, counts // 10 ** (9 - places) * 1000, BAD_TIME))


def _mmsis(column: pa.Array) -> _Read:
    if pa.types.is_integer(column.type):
        numbers = _whole(column, -1)
        return _known(np.where((numbers >= 0) & (numbers < _MOST_MMSI), numbers, -1))
    numbers = column.fill_null(np.nan).to_numpy()
    good = (numbers >= 0) & ~np.signbit(numbers) & (numbers < _MOST_MMSI) & (np.floor(numbers) == numbers)
    return _known(np.where(good, numbers, -1).astype(np.int64))


def _integers(column: pa.Array, role: Role) -> _Read:
    power = 10 ** int(PLACES[role])
    # No quantity comes near to what is cut off.
    numbers = np.clip(_whole(column, 0), -HUGE // power, HUGE // power)
    return numbers * power, np.where(_valid(column), KNOWN, BLANK).astype(np.uint8)


def _doubles(column: pa.Array, role: Role, meaning: Meaning) -> _Read:
    """Doubles, to the step that their shortest decimal is rounded to."""
    numbers = column.fill_null(np.nan).to_numpy()
    there, finite = ~np.isnan(numbers), np.isfinite(numbers)
    with np.errstate(over="ignore"):
        steps = np.where(finite, numbers, 0.0) * 10.0 ** PLACES[role]
    steps = np.clip(steps, -_EXACT_STEPS, _EXACT_STEPS)
    size = np.abs(steps)
    whole = np.floor(size + 0.5)
    values = np.where(steps < 0, -whole, whole).astype(np.int64)
    states = np.where(finite, np.where(values - steps > _LEAST_BELOW, BELOW, KNOWN), OTHER)
    states = np.where(there, states, BLANK).astype(np.uint8)
    unsure = np.flatnonzero(np.abs(size - np.floor(size) - 0.5) < _NEAR_HALF)
    if len(unsure):
        values[unsure], states[unsure] = _read_texts(column.take(pa.array(unsure)), role, meaning)
    return values, states


def _hashes(column: pa.Array) -> NDArray[np.uint64]:
    """Hashes of a column's values as texts."""
    text, offsets, places = _distinct(column)
    return hash_texts(text, offsets)[places]


def _distinct(column: pa.Array) -> tuple[NDArray[np.uint8], NDArray[Any], NDArray[np.int64]]:
    """A column's distinct values as texts: (one after the other and PADDING, their ends, which one each row has).

    The last is empty, and what a row without a value has.
    """
    coded = column if isinstance(column, pa.DictionaryArray) else nan_as_null(column).dictionary_encode()
    places = coded.indices.cast(pa.int64()).fill_null(-1).to_numpy()
    dictionary = coded.dictionary
    if len(dictionary) > len(column):
        # Of a whole row group.
        shown = np.unique(places[places >= 0])
        places = np.where(places < 0, -1, np.searchsorted(shown, places))
        dictionary = dictionary.take(pa.array(shown))
    if pa.types.is_timestamp(dictionary.type):
        dictionary = dictionary.cast(pa.timestamp(dictionary.type.unit, "UTC"))
    texts = pa.concat_arrays([nan_as_null(dictionary).cast(pa.string()).fill_null(""), pa.array([""])])
    _, ends, data = texts.buffers()
    offsets = np.frombuffer(ends, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    text = np.frombuffer(b"".join((data or b"", PADDING)), np.uint8)
    return text, offsets, places


def _pairs(dates: pa.Array, clocks: pa.Array) -> pa.Array:
    """Dates and times of day as texts of both, a newline between."""
    texts = [_strings(column) for column in (dates, clocks)]
    return pc.call_function("binary_join_element_wise", [*texts, "\n"])


def _strings(column: pa.Array) -> pa.Array:
    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    return nan_as_null(column).cast(pa.string()).fill_null("")


def _whole(column: pa.Array, missing: int) -> NDArray[np.int64]:
    """Whole numbers, of unsigned ones what is too large as the largest."""
    if pa.types.is_uint64(column.type):
        return np.minimum(column.fill_null(0).to_numpy(), np.uint64(HUGE)).astype(np.int64) + np.where(
            _valid(column), 0, missing
        )
    return column.cast(pa.int64()).fill_null(missing).to_numpy()


def _valid(column: pa.Array) -> NDArray[np.bool_]:
    return column.is_valid().to_numpy(zero_copy_only=False)


def _known(values: NDArray[np.int64]) -> _Read:
    return values, np.full(len(values), KNOWN, np.uint8)
