"""What a position of a window may hold, and the kernels that cut windows out of packed tracks."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

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
    words = packed.positions.reshape(-1)
    values = features.reshape(-1)
    window_len, count = features.shape[1], len(channels)
    for w in range(len(begin)):
        rows = words[PACKED_WORDS * begin[w] : PACKED_WORDS * (begin[w] + window_len)]
        of_channels = packed.channels[begin[w] : begin[w] + window_len]
        window = values[count * window_len * w : count * window_len * (w + 1)]
        coming = PACKED_WORDS * begin[min(w + 1, len(begin) - 1)]
        share = PACKED_WORDS * window_len // count
        # Channel by channel: a loop without a branch for each of them, and the window stays in the processor's cache.
        for c in range(count):
            # The next window is far away in memory.
            for word in range(c * share, (c + 1) * share, WORDS_OF_LINE):
                prefetch(words, coming + word)  # pyright: ignore[reportCallIssue] - numba gives the context
            if channels[c] < COURSE_SIN:
                _fill_feature(rows, channels[c], window[c:], count)
            elif channels[c] < HEADING:
                _fill_course(rows, channels[c], window[c:], count)
            else:
                _fill_posture(of_channels, channels[c], window[c:], count)


@njit(cache=True, nogil=True, error_model="numpy")
def _fill_feature(rows: NDArray[np.uint32], channel: int, column: NDArray[np.float32], step: int) -> None:
    """One of the five features of each position into every step-th place; as `transforms.windows` has it."""
    positions = len(rows) // PACKED_WORDS
    if channel == LAT:
        for p in range(positions):
            column[step * p] = np.int32(np.int32(rows[3 * p] & LAT_MASK) - LAT_OFFSET) * DEGREES_PER_STEP
    elif channel == LON:
        for p in range(positions):
            column[step * p] = np.int32(np.int32(rows[3 * p + 1] & LON_MASK) - LON_OFFSET) * DEGREES_PER_STEP
    elif channel == SOG:
        for p in range(positions):
            sog = np.int32((rows[3 * p] >> LAT_BITS) | ((rows[3 * p + 2] >> SOG_HIGH_SHIFT) << SOG_LOW_BITS))
            column[step * p] = np.float32(sog) / np.float32(10)
    elif channel == COG:
        for p in range(positions):
            column[step * p] = np.float32(np.int32((rows[3 * p + 2] >> DT_BITS) & COG_MASK)) / np.float32(10)
    else:
        for p in range(positions):
            column[step * p] = np.float32(np.int32(rows[3 * p + 2] & DT_MASK))


@njit(cache=True, nogil=True)
def _fill_course(rows: NDArray[np.uint32], channel: int, column: NDArray[np.float32], step: int) -> None:
    """The course's sine or cosine, or what was held, of each position into every step-th place."""
    positions = len(rows) // PACKED_WORDS
    if channel in (COURSE_SIN, COURSE_COS):
        directions = SINES if channel == COURSE_SIN else COSINES
        for p in range(positions):
            column[step * p] = directions[(rows[3 * p + 2] >> DT_BITS) & COG_MASK]
    else:
        bit = np.uint32(LON_BITS + channel - SOG_HELD)
        for p in range(positions):
            column[step * p] = np.float32((rows[3 * p + 1] >> bit) & 1)


@njit(cache=True, nogil=True)
def _fill_posture(packed: NDArray[np.uint16], channel: int, column: NDArray[np.float32], step: int) -> None:
    """Headings or statuses of each position into every step-th place; NaN where there is none."""
    none = np.float32(np.nan)
    if channel == STATUS:
        for p in range(len(packed)):
            status = packed[p] >> HEADING_BITS
            column[step * p] = none if status == NO_STATUS else np.float32(status)
    elif channel == HEADING:
        for p in range(len(packed)):
            heading = packed[p] & NO_HEADING
            column[step * p] = none if heading == NO_HEADING else np.float32(heading)
    else:
        directions = SINES if channel == HEADING_SIN else COSINES
        for p in range(len(packed)):
            heading = packed[p] & NO_HEADING
            column[step * p] = none if heading == NO_HEADING else directions[10 * np.int64(heading)]


@njit(cache=True, nogil=True)
def _fill_mask(
    packed: PackedRows, begin: NDArray[np.int64], channels: NDArray[np.int64], mask: NDArray[np.bool_]
) -> None:
    words = packed.positions.reshape(-1)
    mask[:] = True
    flags = mask.reshape(-1)
    window_len, count = mask.shape[1], len(channels)
    for w in range(len(begin)):
        rows = words[PACKED_WORDS * begin[w] : PACKED_WORDS * (begin[w] + window_len)]
        of_channels = packed.channels[begin[w] : begin[w] + window_len]
        window = flags[count * window_len * w : count * window_len * (w + 1)]
        for c in range(count):
            if channels[c] in (SOG, COG, COURSE_SIN, COURSE_COS):
                bit = np.uint32(LON_BITS if channels[c] == SOG else LON_BITS + 1)
                for p in range(window_len):
                    window[count * p + c] = ((rows[3 * p + 1] >> bit) & 1) == 0
            elif channels[c] == STATUS:
                for p in range(window_len):
                    window[count * p + c] = (of_channels[p] >> HEADING_BITS) != NO_STATUS
            elif channels[c] >= HEADING:
                for p in range(window_len):
                    window[count * p + c] = (of_channels[p] & NO_HEADING) != NO_HEADING


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
