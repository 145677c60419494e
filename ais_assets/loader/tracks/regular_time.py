"""Windows on a regular time grid, interpolated between the positions of a track.

Steps are at whole multiples of `every_seconds` in Unix time, so that ships can be compared at the same moments. Between
two positions a ship is on their great circle, at the share of the time that has passed; SOG is interpolated linearly,
courses and headings by way of their sine and cosine. A navigational status is that of the position before. Nothing is
interpolated over a silence longer than the limit: there a stretch ends, and no window reaches over it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ais_assets.loader.tracks.channels import (
    COG,
    COG_HELD,
    COURSE_SIN,
    DT,
    HEADING,
    HEADING_COS,
    HEADING_SIN,
    LAT,
    LON,
    SOG,
    SOG_HELD,
    was_received,
)
from ais_assets.loader.tracks.packed_tracks import (
    HEADING_BITS,
    NO_HEADING,
    NO_STATUS,
    PackedRows,
    PackedTracks,
    first_row_from,
    starts_of,
    time_at,
)
from ais_assets.loader.tracks.window_plan import Geometry, Stretches, WindowPlan, share_of_split
from ais_assets.transforms.geodesy import great_circle_point
from ais_assets.transforms.windows import DEGREES_PER_STEP, TENTH, unpacked

_NO_DIRECTION = 1e-9
"""Of a mean of two directions: opposite ones have none."""

_Columns = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def grid_plan(tracks: PackedTracks, geometry: Geometry, split: str, holdout_from: int | None) -> WindowPlan:
    """The windows of a split on the geometry's time grid.

    Args and errors: as `window_plan.position_plan`. All positions are looked at once, for the silences.
    """
    assert geometry.every_seconds is not None
    every = geometry.every_seconds
    of_track = (tracks.row, tracks.count, tracks.start)
    silences = _count_silences(tracks.rows, of_track, geometry.max_silence_seconds)
    parts = np.empty((3, len(tracks.row) + silences), np.int64)
    _fill_parts(tracks.rows, of_track, geometry.max_silence_seconds, parts)
    track, begin, end = parts
    first = -(-begin // every)
    steps = np.maximum(end // every - first + 1, 0)
    before = steps if holdout_from is None else np.clip(-(-holdout_from // every) - first, 0, steps)
    skipped, count = share_of_split(tracks.split[track], geometry, split, steps, before)
    return WindowPlan(geometry, Stretches(track, first + skipped * geometry.stride, count))


def cut_on_grid(
    tracks: PackedTracks,
    where: tuple[NDArray[np.int64], NDArray[np.int64]],
    every: int,
    channels: NDArray[np.int64],
    parts: tuple[NDArray[np.float32], NDArray[np.bool_]],
) -> None:
    """Fills windows on a time grid.

    Args:
        tracks: all tracks.
        where: of each window its track, and its first step: int64 (k,) each.
        every: seconds of a step.
        channels: int64 (c,), as `channel_numbers` has them.
        parts: features, float32 (k, window_len, c), and mask, bool, of what was received at that very time.
    """
    track, begin = where
    of_track = (tracks.row[track], tracks.count[track], starts_of(tracks.track[track]))
    _fill_grid(tracks.rows, of_track, (begin, every), channels, parts)


@njit(cache=True, nogil=True)
def _count_silences(packed: PackedRows, tracks: _Columns, most: int) -> Any:
    silences = 0
    for k in range(len(tracks[0])):
        for row in range(tracks[0][k] + 1, tracks[0][k] + tracks[1][k]):
            silences += unpacked(packed.positions, row)[4] > most
    return silences


@njit(cache=True, nogil=True)
def _fill_parts(packed: PackedRows, tracks: _Columns, most: int, parts: NDArray[np.int64]) -> None:
    """Fills track, and times of the first and the last position, of each part of a track between long silences."""
    part = 0
    for k in range(len(tracks[0])):
        time = tracks[2][k]
        parts[0, part], parts[1, part] = k, time
        for row in range(tracks[0][k] + 1, tracks[0][k] + tracks[1][k]):
            dt = unpacked(packed.positions, row)[4]
            if dt > most:
                parts[2, part] = time
                part += 1
                parts[0, part], parts[1, part] = k, time + dt
            time += dt
        parts[2, part] = time
        part += 1


@njit(cache=True, nogil=True)
def _fill_grid(
    packed: PackedRows,
    tracks: _Columns,
    grid: tuple[NDArray[np.int64], int],
    channels: NDArray[np.int64],
    parts: tuple[NDArray[np.float32], NDArray[np.bool_]],
) -> None:
    """`grid`: each window's first step, and seconds of a step."""
    begin, every = grid
    features, mask = parts
    for w in range(len(begin)):
        first_row, count, start = tracks[0][w], tracks[1][w], tracks[2][w]
        time = begin[w] * every
        row = first_row_from(packed, (first_row, count, start), time + 1) - 1
        heard = time_at(packed, row, first_row, start)
        for p in range(features.shape[1]):
            while row + 1 < first_row + count and heard + unpacked(packed.positions, row + 1)[4] <= time:
                row += 1
                heard += unpacked(packed.positions, row)[4]
            exact = heard == time
            after = row if exact else row + 1
            share = 0.0 if exact else (time - heard) / unpacked(packed.positions, after)[4]
            for c in range(len(channels)):
                if channels[c] == DT:
                    features[w, p, c] = every
                else:
                    features[w, p, c] = _between(packed, (row, after), share, channels[c])
                mask[w, p, c] = exact and was_received(packed, row, channels[c])
            time += every


@njit(cache=True, nogil=True)
def _between(packed: PackedRows, rows: tuple[Any, Any], share: Any, channel: Any) -> Any:
    """A channel's value at this share of the time from one position to the next."""
    if channel >= HEADING:
        return _posture(packed.channels, rows, share, channel)
    a, b = unpacked(packed.positions, rows[0]), unpacked(packed.positions, rows[1])
    if channel in (LAT, LON):
        if share == 0.0:
            return a[channel] * DEGREES_PER_STEP
        point = great_circle_point(
            a[0] * DEGREES_PER_STEP, a[1] * DEGREES_PER_STEP, b[0] * DEGREES_PER_STEP, b[1] * DEGREES_PER_STEP, share
        )
        return point[channel]
    if channel == SOG:
        return (a[2] + share * (b[2] - a[2])) * TENTH
    if channel in (SOG_HELD, COG_HELD):
        return np.float64(1 if share > 0.0 else (a[5] >> (channel - SOG_HELD)) & 1)
    return _direction(a[3] * TENTH, b[3] * TENTH, share, channel - COURSE_SIN if channel != COG else -1)


@njit(cache=True, nogil=True)
def _posture(channels: NDArray[np.uint16], rows: tuple[Any, Any], share: Any, channel: Any) -> Any:
    """Heading and navigational status."""
    if channel not in (HEADING, HEADING_SIN, HEADING_COS):
        status = channels[rows[0]] >> HEADING_BITS
        return np.nan if status == NO_STATUS else np.float64(status)
    a, b = channels[rows[0]] & NO_HEADING, channels[rows[1]] & NO_HEADING
    if NO_HEADING in (a, b):
        return np.nan
    return _direction(np.float64(a), np.float64(b), share, channel - HEADING_SIN if channel != HEADING else -1)


@njit(cache=True, nogil=True)
def _direction(a: Any, b: Any, share: Any, part: Any) -> Any:
    """The direction between two, in degrees: 0 up to below 360; its sine (part 0) or its cosine (part 1)."""
    if share == 0.0 or a == b:
        angle = a
    else:
        east = (1 - share) * math.sin(math.radians(a)) + share * math.sin(math.radians(b))
        north = (1 - share) * math.cos(math.radians(a)) + share * math.cos(math.radians(b))
        # Of two opposite directions, that of the position before.
        angle = a if math.hypot(east, north) < _NO_DIRECTION else math.degrees(math.atan2(east, north)) % 360.0
        # A hair west of north is north in float32.
        angle = 0.0 if np.float32(angle) == np.float32(360.0) else angle
    if part == 0:
        return math.sin(math.radians(angle))
    if part == 1:
        return math.cos(math.radians(angle))
    return angle
