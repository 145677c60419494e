"""The rules on several reports of one vessel."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.transforms.reports.packed import (
    LAT_BITS,
    LAT_MASK,
    NO_SOG,
    fix_code,
    latitude_code,
    second_of,
    sog_of,
)
from ais_assets.transforms.reports.sorting import sort_reports
from ais_assets.transforms.split import mix64

EXACT_DUPLICATE: Final = "exact_duplicate"
"""The same in every column as a report kept: one message through several base stations (40 to 47 % of a DMA day)."""

REBROADCAST: Final = "rebroadcast"
"""A ship that says it moves (SOG ≥ `moving_knots`) with exactly the position, SOG and COG of an earlier second, up
to `repeat_seconds` after it: the old message again under a new time (as gpsdio-segment has it; up to 95 s late
in DMA data). Kept, it makes the ship stand still and then leap, or jump back.

Counted from the first appearance, not from the last: a delay is a delay since the message was sent, and a
receiver stuck on one fix still shows up every `repeat_seconds` instead of never again. Below `moving_knots` the
same values again are what a moored ship sends, and are kept.

Where a source prints positions with fewer decimals, a ship that moves can stay in one step of them for a while (11 m of
latitude at four decimals: 20 seconds at 1 kn). There a fix is an old one only if the ship must have left the step by
then: if SOG × time is more than the step's diagonal. The step is that of the day's coarser coordinate."""

SAME_SECOND: Final = "same_second"
"""Another report of this vessel and second is preferred (MobilityDB keeps one a second too; a track has no two
positions at once). The preferred one is not coarse; has SOG, then COG; is from class A, then B, then unknown; then has
the least latitude, status, longitude, SOG, COG, heading. After REBROADCAST, since where a vessel has two reports in a
second one of them is often (9 of 41 times in slices of DMA days) an old one, which the values alone don't show."""

MOVING_KNOTS: Final = 0.5
"""A ship at this speed is under way: DIPAAL, Global Fishing Watch and GeoTrackNet draw the line here. It is
also 0.26 m/s: from one second to the next, the shortest time between two clean positions, the ship leaves the
step of a position in AIS (1/10,000 minute, 0.19 m of latitude), so that an unchanged position is an old one."""

_METRES_PER_MICRODEGREE: Final = 1852 * 60 / schema.MICRODEGREES
_METRES_PER_TENTH_KNOT_SECOND: Final = 1852 / 3600 / 10


class RepeatRule(NamedTuple):
    """REBROADCAST, as the settings have it."""

    seconds: int  # 0: off
    moving_sog: int  # tenths of a knot
    travel_within_step: int  # see the function of this name


def travel_within_step(step: int) -> int:
    """SOG × seconds, in tenths of a knot, up to which a ship may still be in one step of a position's last decimal.

    Args:
        step: micro-degrees; 1 for none, since every ship that moves leaves it within a second.
    """
    if step == 1:
        return 0
    return math.floor(math.sqrt(2) * step * _METRES_PER_MICRODEGREE / _METRES_PER_TENTH_KNOT_SECOND)


@njit(cache=True, nogil=True)
def judge_vessels(
    packed: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64], repeats: RepeatRule
) -> tuple[int, int, int]:
    """Sorts each vessel's reports and applies the rules on several rows, in place; moves `ends` to what is left.

    Returns the rows dropped as exact duplicates, as rebroadcasts and for another of the same second.
    """
    largest = 0
    for vessel in range(starts.size):
        largest = max(largest, ends[vessel] - starts[vessel])
    scratch = np.empty((largest, 2), np.int64)
    duplicates = rebroadcasts = losers = 0
    for vessel in range(starts.size):
        first, end = starts[vessel], ends[vessel]
        sort_reports(packed, first, end, scratch)
        distinct = _drop_equal(packed, first, end)
        fresh = distinct
        if repeats.seconds > 0:
            fresh = _drop_repeats(packed, first, distinct, repeats)
        last = _drop_same_second(packed, first, fresh)
        duplicates += end - distinct
        rebroadcasts += distinct - fresh
        losers += fresh - last
        ends[vessel] = last
    return duplicates, rebroadcasts, losers


@njit(cache=True, nogil=True)
def _drop_equal(reports: NDArray[np.int64], first: int, end: int) -> int:
    """EXACT_DUPLICATE: moves the distinct of the sorted reports[first:end] to the front, returns their end."""
    write = first
    for report in range(first, end):
        a, b = reports[report, 0], reports[report, 1]
        if write == first or a != reports[write - 1, 0] or b != reports[write - 1, 1]:
            reports[write, 0] = a
            reports[write, 1] = b
            write += 1
    return write


@njit(cache=True, nogil=True)
def _drop_repeats(reports: NDArray[np.int64], first: int, end: int, repeats: RepeatRule) -> int:
    """REBROADCAST: moves what is fresh of the sorted reports[first:end] to the front, returns their end.

    One look into a hash table a report, so that no length of time makes this slow.
    """
    slots = 2
    while slots < 2 * (end - first):
        slots *= 2
    mask = slots - 1
    # Of each fix: the second of its first appearance with its latitude (-1: free slot), and the rest of it.
    seen = np.empty((slots, 2), np.int64)
    seen[:, 0] = -1
    write = first
    for report in range(first, end):
        a, b = reports[report, 0], reports[report, 1]
        second, lat, fix, sog = second_of(a), latitude_code(a), fix_code(b), sog_of(b)
        fresh = True
        if sog >= repeats.moving_sog and sog != NO_SOG:
            slot = np.int64(mix64(np.uint64(fix) ^ mix64(np.uint64(lat))) & np.uint64(mask))
            while seen[slot, 0] >= 0 and (seen[slot, 0] & LAT_MASK != lat or seen[slot, 1] != fix):
                slot = (slot + 1) & mask
            age = second - (seen[slot, 0] >> LAT_BITS)
            if seen[slot, 0] < 0 or age > repeats.seconds:
                seen[slot, 0] = second << LAT_BITS | lat
                seen[slot, 1] = fix
            else:
                # Age 0 is the same fix from another class of transponder: for SAME_SECOND to decide.
                fresh = age == 0 or sog * age <= repeats.travel_within_step
        if fresh:
            reports[write, 0] = a
            reports[write, 1] = b
            write += 1
    return write


@njit(cache=True, nogil=True)
def _drop_same_second(reports: NDArray[np.int64], first: int, end: int) -> int:
    """SAME_SECOND: moves the first of each second of the sorted reports[first:end] to the front, returns their end."""
    write = first
    for report in range(first, end):
        a, b = reports[report, 0], reports[report, 1]
        if write == first or second_of(a) != second_of(reports[write - 1, 0]):
            reports[write, 0] = a
            reports[write, 1] = b
            write += 1
    return write
