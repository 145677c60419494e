"""Motion: the SOG and COG of every position of a chain, and what of a chain is left of it as tracks.

First, a SOG over the limit that no way to either neighbour bears out by half is not taken for received. A SOG that was
not received is the last one received, if that is at most HOLD_SECONDS old, else what the positions say: the way since
the last position that is as old, over the time. A COG likewise; where the ship has not moved by more than
POSITION_TOLERANCE_METRES since, it is the last one known, or before there is one, the first; that of a chain that has
none at all is the course of its whole way, however short. What was not received is marked as held.

Then every position is kept or dropped by the first of these that applies to it:

1. `thinned`, off by default. A position less than `thin_seconds` after the last one kept. What is kept of a chain is
   cut where it is silent for more than `max_gap_seconds`, since dt_seconds must not be more.
2. `stationary`, off by default, as lying still is a part of what ships do. A stretch of positions whose received SOGs
   are all below `stationary_knots`, and that lasts `stationary_seconds` from the first to the last of these, is a ship
   moored or at anchor. It is dropped whole and ends the track: hours without a position would else be inside of one.
   SOG and not the distance covered tells, as a ship swings around her anchor; below 0.5 kn for long is what DIPAAL,
   Global Fishing Watch and GeoTrackNet take. A SOG that is held neither begins nor ends a stretch.
3. `stray_position`. What is left with fewer than `min_track_positions`.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.transforms.chains import (
    COG_HELD,
    METRES_PER_TENTH_KNOT_SECOND,
    MISSING,
    POSITION_TOLERANCE_METRES,
    SHORTEST_SECONDS,
    SOG_HELD,
    Fix,
    Reports,
    fix_of,
    metres_between,
    seconds_between,
    way_between,
)

HOLD_SECONDS: Final = 60
"""For so long a received SOG or COG is better than what the positions say, which are 10 m off themselves."""

BORNE_OUT: Final = 0.5
"""Of a SOG over the limit, the share that the way to a neighbour must show."""

NO_TRACK: Final = -1
"""The track of a position that is in none."""
_TAKEN_OUT: Final = -2

_MAX_SOG: Final = round(schema.FEATURES[schema.FEATURE_NAMES.index("sog")].high * 10)
_DEGREES: Final = 57.29577951308232
_ARCTANGENT: Final = (
    -0.0161657367,
    0.0429096138,
    -0.0752896400,
    0.1065626393,
    -0.1420889944,
    0.1999355085,
    -0.3333314528,
)
"""Coefficients of Abramowitz and Stegun 4.4.49, after 0.0028662257."""


class MotionLimits(NamedTuple):
    """What the settings say of motion."""

    max_gap_seconds: int
    max_speed_tenths: float
    """Tenths of a knot."""
    min_track_positions: int
    thin_seconds: int
    """0: off."""
    stationary_seconds: int
    """0: off."""
    slow: int
    """Tenths of a knot; a SOG below is that of a ship lying still."""


class MotionCounts(NamedTuple):
    """What became of the positions of all chains."""

    sog_not_borne_out: int
    thinned: int
    stationary: int


@njit(cache=True, nogil=True)
def course_tenths(north: float, east: float) -> int:
    """Course of a way in tenths of a degree, 0 to 3599; 0 for none. By + − × ÷ alone, the same on every machine."""
    if north == 0.0 and east == 0.0:
        return 0
    ratio = min(abs(north), abs(east)) / max(abs(north), abs(east))
    square = ratio * ratio
    angle = 0.0028662257
    for coefficient in _ARCTANGENT:
        angle = angle * square + coefficient
    angle = (angle * square + 1.0) * ratio * _DEGREES
    if abs(east) > abs(north):
        angle = 90.0 - angle
    if north < 0:
        angle = 180.0 - angle
    if east < 0:
        angle = 360.0 - angle
    return int(10 * angle + 0.5) % 3_600


@njit(cache=True, nogil=True)
def fill_motion(
    reports: Reports, bounds: NDArray[np.int64], limits: MotionLimits, track_of: NDArray[np.int32]
) -> tuple[int, MotionCounts]:
    """Fills in SOG and COG in place, and numbers the track of every position; NO_TRACK where it is dropped.

    Args:
        reports: by chain, then time: those of chain k are rows bounds[k] to bounds[k + 1].
        bounds: see there, int64 (chains + 1,).
        limits: as the settings have them.
        track_of: filled in, int32, a row a report.

    Returns:
        How many tracks there are, of which some may be left with too few positions, and the counts.
    """
    not_borne_out = thinned = stationary = 0
    tracks = 0
    for chain in range(len(bounds) - 1):
        first, end = bounds[chain], bounds[chain + 1]
        not_borne_out += _drop_sog_not_borne_out(reports, first, end, limits.max_speed_tenths)
        _hold(reports, first, end)
        before = tracks
        tracks, dropped = _thin(reports, first, end, limits, track_of, tracks)
        thinned += dropped
        if limits.stationary_seconds:
            tracks, dropped = _cut_stationary(reports, first, end, limits, track_of, before)
            stationary += dropped
    return tracks, MotionCounts(not_borne_out, thinned, stationary)


@njit(cache=True, nogil=True)
def _drop_sog_not_borne_out(reports: Reports, first: int, end: int, most: float) -> int:
    """Takes SOGs over the limit for missing where no way to a neighbour bears them out by half; returns how many."""
    dropped = 0
    for i in range(first, end):
        sog = reports[i].sog
        if sog <= most:
            continue
        least = BORNE_OUT * sog
        before = i > first and _speed_tenths(fix_of(reports[i - 1]), fix_of(reports[i])) >= least
        after = i + 1 < end and _speed_tenths(fix_of(reports[i]), fix_of(reports[i + 1])) >= least
        if not (before or after):
            reports[i].sog = MISSING
            dropped += 1
    return dropped


@njit(cache=True, nogil=True)
def _speed_tenths(a: Fix, b: Fix) -> Any:
    """Tenths of a knot from report a to report b."""
    seconds = max(seconds_between(a, b), SHORTEST_SECONDS)
    return metres_between(a, b) / (seconds * METRES_PER_TENTH_KNOT_SECOND)


@njit(cache=True, nogil=True)
def _hold(reports: Reports, first: int, end: int) -> None:
    """Fills in what was not received of a chain, and marks it."""
    heard_sog = heard_cog = -1
    known_cog = MISSING
    since = first
    known = end
    for i in range(first, end):
        while since + 1 < i and seconds_between(fix_of(reports[since + 1]), fix_of(reports[i])) >= HOLD_SECONDS:
            since += 1
        # The first position has only the way ahead of it.
        a, b = (since, i) if i > first else (i, min(i + 1, end - 1))
        if reports[i].sog != MISSING:
            heard_sog = i
        else:
            reports[i].flags |= SOG_HELD
            if heard_sog >= 0 and seconds_between(fix_of(reports[heard_sog]), fix_of(reports[i])) <= HOLD_SECONDS:
                reports[i].sog = reports[heard_sog].sog
            else:
                reports[i].sog = min(int(_speed_tenths(fix_of(reports[a]), fix_of(reports[b])) + 0.5), _MAX_SOG)
        if reports[i].cog != MISSING:
            heard_cog = i
        else:
            reports[i].flags |= COG_HELD
            if heard_cog >= 0 and seconds_between(fix_of(reports[heard_cog]), fix_of(reports[i])) <= HOLD_SECONDS:
                reports[i].cog = reports[heard_cog].cog
            elif metres_between(fix_of(reports[a]), fix_of(reports[b])) > POSITION_TOLERANCE_METRES:
                north, east = way_between(fix_of(reports[a]), fix_of(reports[b]))
                reports[i].cog = course_tenths(north, east)
            else:
                reports[i].cog = known_cog
        known_cog = reports[i].cog
        if known == end and known_cog != MISSING:
            known = i
    if known > first and end > first:
        north, east = way_between(fix_of(reports[first]), fix_of(reports[end - 1]))
        cog = reports[known].cog if known < end else course_tenths(north, east)
        for i in range(first, known):
            reports[i].cog = cog


@njit(cache=True, nogil=True)
def _thin(
    reports: Reports, first: int, end: int, limits: MotionLimits, track_of: NDArray[np.int32], tracks: int
) -> tuple[int, int]:
    """Numbers tracks from `tracks` on, leaving out what comes too soon.

    Returns how many tracks there are, and how many positions were left out.
    """
    thinned = 0
    last = -1
    for i in range(first, end):
        if last >= 0 and seconds_between(fix_of(reports[last]), fix_of(reports[i])) < limits.thin_seconds:
            track_of[i] = NO_TRACK
            thinned += 1
            continue
        if last < 0 or seconds_between(fix_of(reports[last]), fix_of(reports[i])) > limits.max_gap_seconds:
            tracks += 1
        track_of[i] = tracks - 1
        last = i
    return tracks, thinned


@njit(cache=True, nogil=True)
def _cut_stationary(
    reports: Reports,
    first: int,
    end: int,
    limits: MotionLimits,
    track_of: NDArray[np.int32],
    before: int,
) -> tuple[int, int]:
    """Takes long slow stretches out of a chain's tracks, which are numbered anew from `before` on.

    Returns how many tracks there are, and how many positions were taken out.
    """
    taken = 0
    since = still = -1
    track = NO_TRACK
    for i in range(first, end):
        if track_of[i] == NO_TRACK:
            continue
        is_received = reports[i].flags & SOG_HELD == 0
        if track_of[i] != track or (is_received and reports[i].sog >= limits.slow):
            taken += _take_out(reports, since, still, limits, track_of)
            since = -1
            track = track_of[i]
        if is_received and reports[i].sog < limits.slow:
            still = i
            if since < 0:
                since = i
    taken += _take_out(reports, since, still, limits, track_of)

    tracks = before
    track = NO_TRACK
    for i in range(first, end):
        if track_of[i] == _TAKEN_OUT:
            track_of[i] = NO_TRACK
            track = NO_TRACK
        elif track_of[i] != NO_TRACK:
            if track_of[i] != track:
                track = track_of[i]
                tracks += 1
            track_of[i] = tracks - 1
    return tracks, taken


@njit(cache=True, nogil=True)
def _take_out(reports: Reports, since: int, still: int, limits: MotionLimits, track_of: NDArray[np.int32]) -> int:
    """Takes the stretch from `since` (−1: none) to `still` out of its track if it lasts; returns how many positions."""
    if since < 0 or seconds_between(fix_of(reports[since]), fix_of(reports[still])) < limits.stationary_seconds:
        return 0
    taken = 0
    for i in range(since, still + 1):
        if track_of[i] != NO_TRACK:
            track_of[i] = _TAKEN_OUT
            taken += 1
    return taken
