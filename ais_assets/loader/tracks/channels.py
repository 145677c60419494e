"""What a position of a window may hold, and the kernels that cut windows out of packed tracks."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.loader.tracks.packed_tracks import (
    HEADING_BITS,
    NO_HEADING,
    NO_STATUS,
    PackedRows,
    PackedTracks,
    starts_of,
    time_at,
)
from ais_assets.transforms.kernels import prefetch
from ais_assets.transforms.windows import (
    COG_MASK,
    DEGREES_PER_STEP,
    DT_BITS,
    DT_MASK,
    LAT_BITS,
    LAT_MASK,
    LAT_OFFSET,
    LON_BITS,
    LON_MASK,
    LON_OFFSET,
    PACKED_WORDS,
    SOG_HIGH_SHIFT,
    SOG_LOW_BITS,
    WORDS_OF_LINE,
    gather_shard,
    unpacked,
)


class Channel(NamedTuple):
    """A value of a position.

    `low` and `high` are what `normalize="ranges"` makes 0 and 1.
    """

    name: str
    unit: str
    low: float
    high: float
    description: str
    packed: bool = False
    """Whether it needs `PackedTracks.channels`."""


CHANNELS: Final = (
    *(Channel(*feature) for feature in schema.FEATURES),
    Channel("course_sin", "1", 0.0, 1.0, "sine of the course over ground"),
    Channel("course_cos", "1", 0.0, 1.0, "its cosine"),
    Channel("sog_held", "1", 0.0, 1.0, "1 where the SOG was not received but is the last one known"),
    Channel("cog_held", "1", 0.0, 1.0, "1 where the COG was not received but is the last one known"),
    Channel("heading", "degree", 0.0, 360.0, "true heading; NaN where not available", packed=True),
    Channel("heading_sin", "1", 0.0, 1.0, "its sine; NaN where not available", packed=True),
    Channel("heading_cos", "1", 0.0, 1.0, "its cosine; NaN where not available", packed=True),
    Channel(
        "nav_status", "1", 0.0, 1.0, "navigational status, its place in `schema.NAV_STATUSES`; NaN: none", packed=True
    ),
)
"""All channels; those whose range is 0 to 1 are not scaled by `normalize`."""
NAMES: Final = tuple(channel.name for channel in CHANNELS)
(LAT, LON, SOG, COG, DT, COURSE_SIN, COURSE_COS, SOG_HELD, COG_HELD, HEADING, HEADING_SIN, HEADING_COS, STATUS) = range(
    len(CHANNELS)
)
_FIVE: Final = tuple(range(schema.FEATURE_COUNT))
_BLOCK: Final = 128
"""Positions whose values are made at a time, so that they stay in the nearest of the processor's caches."""

SINES: Final = np.array([math.sin(math.radians(tenth / 10)) for tenth in range(3601)], np.float32)
COSINES: Final = np.array([math.cos(math.radians(tenth / 10)) for tenth in range(3601)], np.float32)
"""By tenths of a degree. From a table, so that they are the same on any machine."""


def channel_numbers(names: Sequence[str]) -> NDArray[np.int64]:
    """The places in `CHANNELS` of these names. Raises ValueError for an unknown or repeated one, or none at all."""
    for name in names:
        if name not in NAMES:
            near = difflib.get_close_matches(name, NAMES, 1)
            meant = f"; is {near[0]!r} meant?" if near else ""
            raise ValueError(f"there is no feature {name!r}{meant} There are {', '.join(NAMES)}")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"features are {', '.join(names) or 'none'}; name one or more, each once")
    return np.array([NAMES.index(name) for name in names], np.int64)


def needs_channels(numbers: NDArray[np.int64]) -> bool:
    """Whether one of these channels is not in the packed positions."""
    return any(CHANNELS[number].packed for number in numbers.tolist())


def cut_windows(
    packed: PackedRows,
    begin: NDArray[np.int64],
    channels: NDArray[np.int64],
    features: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
) -> None:
    """Fills windows of consecutive positions.

    Args:
        packed: all rows.
        begin: int64 (k,), each window's first row.
        channels: int64 (c,), as `channel_numbers` has them.
        features: float32 (k, window_len, c), written.
        mask: bool (k, window_len, c), written: what was received, not held or missing; None: not asked for.

    Raises ValueError where a window is not inside of one track: the rows are not those of the plan.
    """
    if tuple(channels.tolist()) == _FIVE:
        gather_shard(packed.positions, 0, begin, np.arange(len(begin)), features)
    else:
        _fill(packed, begin, channels, features)
    if mask is not None:
        _fill_mask(packed, begin, channels, mask)


def window_times(
    tracks: PackedTracks, track: NDArray[np.int64], begin: NDArray[np.int64], times: NDArray[np.int64]
) -> None:
    """Fills the Unix time of each position: int64 (k, window_len), of windows at these rows of these tracks (k,)."""
    _fill_times(tracks.rows, begin, tracks.row[track], starts_of(tracks.track[track]), times)


@njit(cache=True, nogil=True)
def _fill(
    packed: PackedRows, begin: NDArray[np.int64], channels: NDArray[np.int64], features: NDArray[np.float32]
) -> None:
    """Block by block: its words, each channel of it in one piece, and then the channels side by side."""
    words = packed.positions.reshape(-1)
    values = features.reshape(-1)
    window_len, count = features.shape[1], len(channels)
    of_block = np.empty((PACKED_WORDS, _BLOCK), np.uint32)
    columns = np.empty((count, _BLOCK), np.float32)
    for w in range(len(begin)):
        coming = PACKED_WORDS * begin[min(w + 1, len(begin) - 1)]
        for p in range(0, window_len, _BLOCK):
            # The next window is far away in memory.
            for word in range(PACKED_WORDS * p, PACKED_WORDS * (p + _BLOCK), WORDS_OF_LINE):
                prefetch(words, coming + word)  # pyright: ignore[reportCallIssue] - numba gives the context
            row, place = begin[w] + p, count * (window_len * w + p)
            positions = min(_BLOCK, window_len - p)
            _separate(words[PACKED_WORDS * row : PACKED_WORDS * (row + positions)], of_block)
            for c in range(count):
                if channels[c] < COURSE_SIN:
                    _fill_feature(of_block, channels[c], columns[c])
                elif channels[c] < HEADING:
                    _fill_course(of_block, channels[c], columns[c])
                else:
                    _fill_posture(packed.channels[row : row + positions], channels[c], columns[c])
            _interleave(columns, values[place : place + count * positions])


@njit(cache=True, nogil=True)
def _separate(rows: NDArray[np.uint32], words: NDArray[np.uint32]) -> None:
    """The words of positions, each kind in one piece: what follows then takes many positions at once."""
    for p in range(len(rows) // PACKED_WORDS):
        words[0, p] = rows[3 * p]
        words[1, p] = rows[3 * p + 1]
        words[2, p] = rows[3 * p + 2]


@njit(cache=True, nogil=True)
def _interleave(columns: NDArray[Any], values: NDArray[Any]) -> None:
    """Columns side by side, as many positions as `values` has room for.

    Where their number is a constant, the compiler shuffles many positions at once: 0.1 ns a value, not 0.3.
    """
    count = len(columns)
    if count == 2:
        _side_by_side(columns, values, 2)
    elif count == 3:
        _side_by_side(columns, values, 3)
    elif count == 4:
        _side_by_side(columns, values, 4)
    elif count == 5:
        _side_by_side(columns, values, 5)
    elif count == 6:
        _side_by_side(columns, values, 6)
    elif count == 7:
        _side_by_side(columns, values, 7)
    elif count == 8:
        _side_by_side(columns, values, 8)
    else:
        for c in range(count):
            column, places = columns[c], values[c:]
            for p in range(len(values) // count):
                places[np.uint64(count) * np.uint64(p)] = column[p]


@njit(inline="always")
def _side_by_side(columns: NDArray[Any], values: NDArray[Any], count: int) -> None:
    for p in range(len(values) // count):
        for c in range(count):
            values[count * p + c] = columns[c, p]


@njit(cache=True, nogil=True, error_model="numpy")
def _fill_feature(words: NDArray[np.uint32], channel: int, column: NDArray[np.float32]) -> None:
    """One of the five features of each position; as `transforms.windows` has it."""
    first, second, third = words[0], words[1], words[2]
    if channel == LAT:
        for p in range(len(column)):
            column[p] = np.int32(np.int32(first[p] & LAT_MASK) - LAT_OFFSET) * DEGREES_PER_STEP
    elif channel == LON:
        for p in range(len(column)):
            column[p] = np.int32(np.int32(second[p] & LON_MASK) - LON_OFFSET) * DEGREES_PER_STEP
    elif channel == SOG:
        for p in range(len(column)):
            sog = np.int32((first[p] >> LAT_BITS) | ((third[p] >> SOG_HIGH_SHIFT) << SOG_LOW_BITS))
            column[p] = np.float32(sog) / np.float32(10)
    elif channel == COG:
        for p in range(len(column)):
            column[p] = np.float32(np.int32((third[p] >> DT_BITS) & COG_MASK)) / np.float32(10)
    else:
        for p in range(len(column)):
            column[p] = np.float32(np.int32(third[p] & DT_MASK))


@njit(cache=True, nogil=True)
def _fill_course(words: NDArray[np.uint32], channel: int, column: NDArray[np.float32]) -> None:
    """The course's sine or cosine, or what was held, of each position."""
    second, third = words[1], words[2]
    if channel in (COURSE_SIN, COURSE_COS):
        directions = SINES if channel == COURSE_SIN else COSINES
        for p in range(len(column)):
            column[p] = directions[(third[p] >> DT_BITS) & COG_MASK]
    else:
        held = np.uint32(1 << LON_BITS if channel == SOG_HELD else 2 << LON_BITS)
        for p in range(len(column)):
            column[p] = np.float32(second[p] & held != 0)


@njit(cache=True, nogil=True)
def _fill_posture(packed: NDArray[np.uint16], channel: int, column: NDArray[np.float32]) -> None:
    """Headings or statuses of each position; NaN where there is none."""
    none = np.float32(np.nan)
    if channel == STATUS:
        for p in range(len(packed)):
            status = np.int32(packed[p] >> HEADING_BITS)
            column[p] = none if status == NO_STATUS else np.float32(status)
    elif channel == HEADING:
        for p in range(len(packed)):
            heading = np.int32(packed[p] & NO_HEADING)
            column[p] = none if heading == NO_HEADING else np.float32(heading)
    else:
        directions = SINES if channel == HEADING_SIN else COSINES
        for p in range(len(packed)):
            heading = np.int32(packed[p] & NO_HEADING)
            column[p] = none if heading == NO_HEADING else directions[10 * heading]


@njit(cache=True, nogil=True)
def _fill_mask(
    packed: PackedRows, begin: NDArray[np.int64], channels: NDArray[np.int64], mask: NDArray[np.bool_]
) -> None:
    words = packed.positions.reshape(-1)
    flags = mask.reshape(-1)
    window_len, count = mask.shape[1], len(channels)
    # What is not looked at below is always received.
    columns = np.ones((count, _BLOCK), np.bool_)
    for w in range(len(begin)):
        for p in range(0, window_len, _BLOCK):
            row, place = begin[w] + p, count * (window_len * w + p)
            positions = min(_BLOCK, window_len - p)
            second = words[PACKED_WORDS * row + 1 : PACKED_WORDS * (row + positions)]
            of_channels = packed.channels[row : row + positions]
            for c in range(count):
                if channels[c] in (SOG, COG, COURSE_SIN, COURSE_COS):
                    held = np.uint32(1 << LON_BITS if channels[c] == SOG else 2 << LON_BITS)
                    for n in range(positions):
                        columns[c, n] = second[PACKED_WORDS * n] & held == 0
                elif channels[c] >= HEADING:
                    missing = np.uint16(NO_STATUS << HEADING_BITS if channels[c] == STATUS else NO_HEADING)
                    for n in range(positions):
                        columns[c, n] = of_channels[n] & missing != missing
            _interleave(columns, flags[place : place + count * positions])


@njit(cache=True, nogil=True)
def was_received(packed: PackedRows, row: int, channel: int) -> bool:
    """Whether a position's value of a channel is what the ship sent, for compiled kernels."""
    if channel == SOG:
        return (unpacked(packed.positions, row)[5] & 1) == 0
    if channel in (COG, COURSE_SIN, COURSE_COS):
        return (unpacked(packed.positions, row)[5] & 2) == 0
    if channel == STATUS:
        return (packed.channels[row] >> HEADING_BITS) != NO_STATUS
    if channel >= HEADING:
        return (packed.channels[row] & NO_HEADING) != NO_HEADING
    return True


@njit(cache=True, nogil=True)
def _fill_times(
    packed: PackedRows,
    begin: NDArray[np.int64],
    first_rows: NDArray[np.int64],
    starts: NDArray[np.int64],
    times: NDArray[np.int64],
) -> None:
    for w in range(len(begin)):
        time = time_at(packed, begin[w], first_rows[w], starts[w])
        for p in range(times.shape[1]):
            if p:
                time += unpacked(packed.positions, begin[w] + p)[4]
            times[w, p] = time
