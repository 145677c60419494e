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
from ais_assets.transforms.windows import DEGREES_PER_STEP, TENTH, gather_shard, unpacked


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
    # Channel by channel: which one it is, is then foreseen by the processor, and the window stays in its cache.
    for w in range(len(begin)):
        for c in range(len(channels)):
            channel = channels[c]
            for p in range(features.shape[1]):
                row = begin[w] + p
                if channel < HEADING:
                    features[w, p, c] = _of_position(packed.positions, row, channel)
                else:
                    features[w, p, c] = _of_channels(packed.channels, row, channel)


@njit(cache=True, nogil=True)
def _of_position(positions: NDArray[np.uint32], row: int, channel: int) -> np.float32:
    lat, lon, sog, cog, dt, held = unpacked(positions, row)
    if channel == COURSE_SIN:
        return SINES[cog]
    if channel == COURSE_COS:
        return COSINES[cog]
    if channel == LAT:
        value = lat * DEGREES_PER_STEP
    elif channel == LON:
        value = lon * DEGREES_PER_STEP
    elif channel == SOG:
        value = sog * TENTH
    elif channel == COG:
        value = cog * TENTH
    elif channel == DT:
        value = np.float64(dt)
    else:
        value = np.float64((held >> (channel - SOG_HELD)) & 1)
    return np.float32(value)


@njit(cache=True, nogil=True)
def _of_channels(channels: NDArray[np.uint16], row: int, channel: int) -> np.float32:
    heading, status = np.int64(channels[row] & NO_HEADING), np.int64(channels[row] >> HEADING_BITS)
    if channel == STATUS:
        return np.float32(np.nan) if status == NO_STATUS else np.float32(status)
    if heading == NO_HEADING:
        return np.float32(np.nan)
    if channel == HEADING_SIN:
        return SINES[10 * heading]
    if channel == HEADING_COS:
        return COSINES[10 * heading]
    return np.float32(heading)


@njit(cache=True, nogil=True)
def _fill_mask(
    packed: PackedRows, begin: NDArray[np.int64], channels: NDArray[np.int64], mask: NDArray[np.bool_]
) -> None:
    for w in range(len(begin)):
        for c in range(len(channels)):
            for p in range(mask.shape[1]):
                mask[w, p, c] = was_received(packed, begin[w] + p, channels[c])


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
