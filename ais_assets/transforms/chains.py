"""Chains: which of an MMSI's position reports follow one another, and which are strays. The rule of tracks.

1. A ship can have come from one report to a later one if the silence is at most `max_gap_seconds` and the distance at
   most reach: POSITION_TOLERANCE_METRES, COARSE_METRES more for each coarse position, and speed × time (at least
   SHORTEST_SECONDS). The speed is 1.25 × reported + 20 knots, at most `max_speed_knots` or 1.25 × reported, whichever
   is more, where "reported" is the greater SOG of the two, above `max_speed_knots` the smaller one; without any SOG
   it is `max_speed_knots`.
   From a row (3) of fewer than TENTATIVE_POSITIONS a ship can come after EXPECTED_SECONDS only as far as by then.
2. A report goes on from the end of a chain, or branches off it up to FORK_POSITIONS before: of what it can have come
   from, from the one of least cost; if from none, it begins a chain. The cost is how far it is off: from where the SOG
   and COG there lead, or its own lead back to, whichever is more (over EXPECTED_SECONDS, for as much of the time as
   fits best; a SOG over the limit counts if both are). For each position that it leaves out, what 3 allows more; and
   TENTATIVE_METRES, with 1 m for each second of the silence, for each that there lacks of TENTATIVE_POSITIONS in a
   row, and for each that its branch is behind another of its chain. Of equal costs, that heard last counts.
3. A row goes on as long as each report is as expected: off by at most EXPECTED_METRES and 10 knots × time, and not at
   the very place of the one before though the SOG leads away from it.
4. Where a chain branches, the branch with the most positions goes on; the others are chains of their own. One that is
   TENTATIVE_POSITIONS behind is given up: nothing goes on from it.
5. A position is dropped as the odd one out if it is over ODD_METRES off where the SOG and COG of the one before lead,
   and so off where those of the one after lead back to, and at least ODD_TIMES as far as these two are off each other.
6. A row is dropped that has fewer than TENTATIVE_POSITIONS and overlaps the time from the first to the last row of a
   chain that have as many. A chain is dropped that has fewer than `min_track_positions` left.

So a stray is a chain or a branch of its own, whether far or near, ahead or astern; what comes after it goes on from
what came before it; it adopts nothing, as the ship's own chain is nearer to what is expected; and two ships that send
under one MMSI are two chains. Only reported values count here, none that is held.

Nearness to the expected place, both ways in time, and segments that have to prove themselves are gpsdio-segment's ideas
(Global Fishing Watch); the longest branch is what makes a wrong guess repairable. Only + − × ÷ and square roots are
used, which IEEE 754 makes exact, so that every machine decides alike.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.transforms.geodesy import EARTH_RADIUS_METRES, METRES_PER_NAUTICAL_MILE

SHORTEST_SECONDS: Final = 2
"""A shorter time counts as this long. Reports carry whole seconds, so a second apart may be almost two."""

POSITION_TOLERANCE_METRES: Final = 20
"""What two positions may be off together: 10 m each, AIS's bound of a high-accuracy fix (ITU-R M.1371-5).
It also covers the sources that print four decimals of a degree, where rounding alone moves a fix by 8 m."""

COARSE_METRES: Final = 131
"""What a coarse position may be off: half a tenth of a minute, 93 m, both ways (ITU-R M.1371-5, message 27)."""

FREE_KNOTS: Final = 20
"""By which a ship may have been faster, unheard, than she says: she may have sailed from berth to berth."""
SPEED_FACTOR: Final = 1.25
"""By which she may have been faster besides."""

EXPECTED_SECONDS: Final = 1_800
"""For so long a ship is expected to hold speed and course, in a longer silence for at least as much less, and then as
fits best: after twice as long, for any part of it."""
EXPECTED_METRES: Final = 250
EXPECTED_METRES_PER_SECOND: Final = 5
"""By which she may be off, 10 knots × time, and still be about where she was expected: in a turn it is less."""

STILL_TENTHS: Final = 5
"""Half a knot: of a ship that says no COG, lying still."""

TENTATIVE_POSITIONS: Final = 10
"""A chain of fewer may be strays, and so may a branch that is so many behind."""
TENTATIVE_METRES: Final = 50
TENTATIVE_METRES_PER_SECOND: Final = 1
"""What each of them that such a chain lacks makes going on from it cost more, and for each second of its silence."""

FORK_POSITIONS: Final = 3
"""So many strays in a row, that each can have come from the one before, are still told from the ship that goes on."""

OPEN_CHAINS: Final = 32
"""Chains of one MMSI that may be open at a time; for one more, that of the fewest positions is closed, and of several
that which was heard last, so that of very many ships under one MMSI the first ones are kept."""

ODD_METRES: Final = 75
"""How far an odd one out is from where its neighbours reckon it, beside what coarse positions may be off."""
ODD_TIMES: Final = 2
"""How much farther, at least, than its neighbours are from where they reckon each other. What a turn, or a course that
is a little wrong, puts a true position off, it puts the neighbours off twice as much, the time between them being
twice as long."""
ODD_SECONDS: Final = 600
"""Between the neighbours, at most: in more, a ship may have been anywhere and back."""

MISSING: Final = np.iinfo(np.int16).min
"""What stands for a SOG, COG or heading that is not available."""
NO_STATUS: Final = -1
"""What stands for a navigational status that is not available."""
SOG_HELD, COG_HELD, COARSE = 1, 2, 4
"""Flags of a position report."""

NO_CHAIN: Final = -1
"""The chain of a position that is in none."""

_STEPS_AROUND: Final = 360 * schema.MICRODEGREES
_RADIANS_PER_STEP: Final = math.pi / 180 / schema.MICRODEGREES
METRES_PER_STEP: Final = EARTH_RADIUS_METRES * _RADIANS_PER_STEP
"""Of latitude, a micro-degree."""
METRES_PER_TENTH_KNOT_SECOND: Final = METRES_PER_NAUTICAL_MILE / 3_600 / 10
_QUARTER_TURN: Final = 90 * schema.MICRODEGREES


Row = Any
"""Of a report: an integer."""
Metres = Any
"""A float, or a float64 of NumPy's where a compiled function is called from Python."""


class PositionReports(NamedTuple):
    """Position reports in compact form, 20 bytes each: a column an array."""

    t: NDArray[np.uint32]
    """Unix time in seconds."""
    lat: NDArray[np.int32]
    lon: NDArray[np.int32]
    """Micro-degrees."""
    sog: NDArray[np.int16]
    cog: NDArray[np.int16]
    """Tenths of a knot or degree; MISSING where not available."""
    heading: NDArray[np.int16]
    """Degrees; MISSING where not available."""
    nav_status: NDArray[np.int8]
    """Code in `schema.NAV_STATUSES`; NO_STATUS where not available."""
    flags: NDArray[np.uint8]
    """SOG_HELD, COG_HELD and COARSE."""


class VesselReports(NamedTuple):
    """Reports by (vessel, time): those of vessels[k], an MMSI, are rows starts[k] to starts[k + 1]."""

    vessels: NDArray[np.int32]
    starts: NDArray[np.int64]
    reports: PositionReports


class ChainLimits(NamedTuple):
    """What the settings say of chains."""

    max_gap_seconds: int
    max_speed_tenths: float
    """Tenths of a knot."""
    min_track_positions: int


class _OpenChains(NamedTuple):
    """The chains of a vessel that are open, and the branches of each."""

    first: NDArray[np.int64]
    """The report that the chain began with, which its branches share."""
    end: NDArray[np.int64]
    """The last report."""
    positions: NDArray[np.int64]
    """Since the chain began or branched."""


def sine(angle: Any) -> Any:
    """Sine of an angle of up to 90° either way, in radians, to 1e-11: the same on every machine, unlike a library's."""
    square = angle * angle
    series = 1.0
    for k in (14, 12, 10, 8, 6, 4, 2):
        series = 1.0 - series * square / (k * (k + 1))
    return angle * series


_sine = njit(cache=True, nogil=True)(sine)
_LATITUDES_PER_DEGREE: Final = 100
_COSINE: Final = sine(np.radians(90 - np.arange(90 * _LATITUDES_PER_DEGREE + 1) / _LATITUDES_PER_DEGREE))
"""Of a latitude in hundredths of a degree."""
_LATITUDE_STEP: Final = schema.MICRODEGREES // _LATITUDES_PER_DEGREE
_TENTHS_AROUND: Final = 3_600
_FOLDED: Final = (np.arange(_TENTHS_AROUND + 1) + 900) % _TENTHS_AROUND - 900
_COURSE_SINE: Final = sine(np.radians(np.where(_FOLDED > 900, 1_800 - _FOLDED, _FOLDED) / 10))
"""Of a course in tenths of a degree."""
_COURSE_COSINE: Final = _COURSE_SINE[(np.arange(_TENTHS_AROUND + 1) + 900) % _TENTHS_AROUND]


class Fix(NamedTuple):
    """One position report: of its columns what the rule needs, as int64."""

    t: Any
    lat: Any
    lon: Any
    sog: Any
    cog: Any
    coarse: Any
    """1 or 0."""


@njit(cache=True, nogil=True, inline="always")
def fix_at(reports: PositionReports, row: Row) -> Fix:
    """A row of the reports. Kernels hand over one of these instead of the columns, which takes ten times as long."""
    return Fix(
        np.int64(reports.t[row]),
        np.int64(reports.lat[row]),
        np.int64(reports.lon[row]),
        np.int64(reports.sog[row]),
        np.int64(reports.cog[row]),
        np.int64(reports.flags[row] & COARSE != 0),
    )


@njit(cache=True, nogil=True)
def seconds_between(a: Fix, b: Fix) -> np.int64:
    """From report a to report b."""
    return b.t - a.t


@njit(cache=True, nogil=True)
def metres_between(a: Fix, b: Fix) -> Metres:
    """The chord between two reports' places on the sphere, which for any distance that matters is the great circle."""
    lat_a, lat_b = a.lat, b.lat
    half_lat = _sine((lat_b - lat_a) * (_RADIANS_PER_STEP / 2))
    half_lon = _sine(steps_east(a, b) * (_RADIANS_PER_STEP / 2))
    across = _sine((_QUARTER_TURN - abs(lat_a)) * _RADIANS_PER_STEP) * _sine(
        (_QUARTER_TURN - abs(lat_b)) * _RADIANS_PER_STEP
    )
    return 2 * EARTH_RADIUS_METRES * math.sqrt(half_lat * half_lat + across * half_lon * half_lon)


@njit(cache=True, nogil=True)
def steps_east(a: Fix, b: Fix) -> np.int64:
    """Micro-degrees of longitude from report a to report b, the short way round."""
    east = b.lon - a.lon
    if east > _STEPS_AROUND // 2:
        return east - _STEPS_AROUND
    if east < -_STEPS_AROUND // 2:
        return east + _STEPS_AROUND
    return east


@njit(cache=True, nogil=True)
def way_between(a: Fix, b: Fix) -> tuple[Metres, Metres]:
    """Metres to the north and to the east from report a to report b, on a plane at a's latitude, to 0.01°.

    For short ways: where a ship is expected, not how far apart two reports are.
    """
    parallel = abs(a.lat) // _LATITUDE_STEP
    north = (b.lat - a.lat) * METRES_PER_STEP
    return north, steps_east(a, b) * METRES_PER_STEP * _COSINE[parallel]


@njit(cache=True, nogil=True)
def _reach_metres(a: Fix, b: Fix, limits: ChainLimits) -> Metres:
    """How far a ship can have come from report a to report b."""
    most = limits.max_speed_tenths
    sog_a, sog_b = a.sog, b.sog
    if sog_a == MISSING and sog_b == MISSING:
        speed = most
    else:
        slower, faster = min(sog_a, sog_b), max(sog_a, sog_b)
        reported = SPEED_FACTOR * max(float(slower), min(float(faster), most))
        speed = max(reported, min(reported + 10 * FREE_KNOTS, most))
    tolerance = POSITION_TOLERANCE_METRES + _coarse_metres(a, b)
    seconds = max(seconds_between(a, b), SHORTEST_SECONDS)
    return tolerance + speed * METRES_PER_TENTH_KNOT_SECOND * seconds


@njit(cache=True, nogil=True)
def _coarse_metres(a: Fix, b: Fix) -> int:
    """What report a and report b may be off together for being coarse."""
    return COARSE_METRES * (a.coarse + b.coarse)


@njit(cache=True, nogil=True)
def can_have_come(a: Fix, b: Fix, limits: ChainLimits) -> bool:
    """Whether one ship can have sent report a and then report b."""
    if seconds_between(a, b) > limits.max_gap_seconds:
        return False
    reach = _reach_metres(a, b, limits)
    north = abs(b.lat - a.lat) * METRES_PER_STEP
    # No way is shorter than its part along the meridian (a chord by less than 1e-4 of it up to 300 nautical miles);
    # none longer than meridian and equator. Nearly always one of the two decides, which needs no sines.
    if north * 0.99 > reach:
        return False
    if north + abs(steps_east(a, b)) * METRES_PER_STEP <= reach:
        return True
    return metres_between(a, b) <= reach


@njit(cache=True, nogil=True)
def _square_off(who: Fix, a: Fix, b: Fix) -> Metres:
    """How far a report's SOG and COG lead past report b from report a, squared."""
    north, east = way_between(a, b)
    if who.cog == MISSING or who.sog == 0:
        return north * north + east * east
    seconds = seconds_between(a, b)
    metres = who.sog * METRES_PER_TENTH_KNOT_SECOND * seconds
    cosine, sine_ = _COURSE_COSINE[who.cog], _COURSE_SINE[who.cog]
    if seconds > EXPECTED_SECONDS:
        least = max(2 * EXPECTED_SECONDS - seconds, 0) / seconds * metres
        metres = min(max(north * cosine + east * sine_, least), metres)
    return (north - metres * cosine) ** 2 + (east - metres * sine_) ** 2


@njit(cache=True, nogil=True)
def _says_motion(who: Fix) -> bool:
    """Whether a report says where it leads: it has SOG and COG, or lies still, when many sets give no COG."""
    return who.sog != MISSING and (who.cog != MISSING or who.sog <= STILL_TENTHS)


@njit(cache=True, nogil=True)
def metres_off(a: Fix, b: Fix, limits: ChainLimits) -> Any:
    """How far report b is from where a's SOG and COG lead, or a from where b's lead back to, whichever is more.

    Whole metres. One that has no SOG or COG, or alone a SOG over the limit, does not count; where neither counts, it is
    the distance.
    """
    return int(math.sqrt(_square_metres_off(a, b, limits)))


@njit(cache=True, nogil=True)
def _square_metres_off(a: Fix, b: Fix, limits: ChainLimits) -> Metres:
    most = -1.0
    if _reckons(a, b, limits):
        most = _square_off(a, a, b)
    if _reckons(b, a, limits):
        most = max(most, _square_off(b, a, b))
    if most < 0:
        north, east = way_between(a, b)
        most = north * north + east * east
    return most


@njit(cache=True, nogil=True)
def _reckons(who: Fix, other: Fix, limits: ChainLimits) -> bool:
    """Whether a report's SOG and COG say where it is to be or was, the other's SOG bearing out one over the limit."""
    within = who.sog <= limits.max_speed_tenths or other.sog > limits.max_speed_tenths
    return _says_motion(who) and within


@njit(cache=True, nogil=True)
def _is_expected(a: Fix, b: Fix, off: Metres) -> bool:
    """Whether report b, so many metres off, is about where a ship is to be that sent report a (step 3)."""
    return off <= _most_off(seconds_between(a, b)) and not _stands_still(a, b)


@njit(cache=True, nogil=True)
def _most_off(seconds: Any) -> Any:
    """Metres that a ship may be off after so long, and still be about where she was expected."""
    return EXPECTED_METRES + EXPECTED_METRES_PER_SECOND * seconds


@njit(cache=True, nogil=True)
def _stands_still(a: Fix, b: Fix) -> bool:
    """Whether two reports say the very same place, and SOGs that lead away from it by more than both may be off."""
    if a.lat != b.lat or a.lon != b.lon:
        return False
    slower = min(a.sog, b.sog) if MISSING not in (a.sog, b.sog) else max(a.sog, b.sog)
    metres = slower * METRES_PER_TENTH_KNOT_SECOND * seconds_between(a, b)
    return metres > POSITION_TOLERANCE_METRES + _coarse_metres(a, b)


@njit(cache=True, nogil=True)
def link(block: VesselReports, limits: ChainLimits, previous: NDArray[np.int64], in_a_row: NDArray[np.int32]) -> None:
    """Writes for every report the one that it goes on from, or branches off; −1 where it begins a chain (1 to 4).

    Args:
        block: the reports, n of them.
        limits: what the settings say.
        previous: filled in, int64, (n,).
        in_a_row: filled in, int32, (n,): how many up to each report go on from one another as expected.
    """
    reports = block.reports
    room = np.empty((3, OPEN_CHAINS), np.int64)
    chains = _OpenChains(room[0], room[1], room[2])
    for vessel in range(len(block.vessels)):
        count = 0
        for i in range(block.starts[vessel], block.starts[vessel + 1]):
            here = fix_at(reports, i)
            ship = _without_rival(chains, count, here, reports, in_a_row)
            if ship >= 0 and _surely_goes_on(fix_at(reports, chains.end[ship]), here, limits):
                previous[i] = chains.end[ship]
                in_a_row[i] = in_a_row[chains.end[ship]] + 1
                chains.end[ship] = i
                chains.positions[ship] += 1
                continue
            count = _close_silent(reports, i, limits, chains, count)
            back, chosen, links, off = _where_from(reports, i, limits, chains, count, previous, in_a_row)
            previous[i] = back
            in_a_row[i] = 1
            if back >= 0 and _is_expected(fix_at(reports, back), here, off):
                in_a_row[i] = in_a_row[back] + 1
            if links == 0:
                chains.end[chosen] = i
                chains.positions[chosen] += 1
                if count > 1:
                    count = _give_up_behind(chains, count, chosen)
                continue
            if count == OPEN_CHAINS:
                count, chosen = _close_least(chains, count, chosen)
            chains.end[count] = i
            chains.positions[count] = 1
            chains.first[count] = i
            if chosen >= 0:
                chains.positions[chosen] = min(chains.positions[chosen], links)
                chains.first[count] = chains.first[chosen]
            count += 1


@njit(cache=True, nogil=True)
def _without_rival(
    chains: _OpenChains, count: int, here: Fix, reports: PositionReports, in_a_row: NDArray[np.int32]
) -> int:
    """The only open chain, or the one heard last if any other costs over EXPECTED_METRES for being tentative; −1: none.

    Nearly every report goes on from that one, and need not look at the others.
    """
    if count <= 1:
        return count - 1
    ship = 0
    for k in range(1, count):
        if chains.end[k] > chains.end[ship]:
            ship = k
    if in_a_row[chains.end[ship]] < TENTATIVE_POSITIONS:
        return -1
    for k in range(count):
        if k == ship:
            continue
        end = chains.end[k]
        lacking = TENTATIVE_POSITIONS - in_a_row[end]
        least = lacking * (TENTATIVE_METRES + TENTATIVE_METRES_PER_SECOND * (here.t - np.int64(reports.t[end])))
        if chains.first[k] == chains.first[ship] or lacking <= 0 or least <= EXPECTED_METRES:
            return -1
    return ship


@njit(cache=True, nogil=True)
def _surely_goes_on(end: Fix, here: Fix, limits: ChainLimits) -> bool:
    """Whether a report goes on from the end of a chain without rival: to leave that out would cost more."""
    if not can_have_come(end, here, limits) or _stands_still(end, here):
        return False
    return _square_metres_off(end, here, limits) < (EXPECTED_METRES + 1) ** 2


@njit(cache=True, nogil=True)
def _close_silent(reports: PositionReports, i: Row, limits: ChainLimits, chains: _OpenChains, count: int) -> int:
    """Closes the chains that report i comes too late for; returns how many are open."""
    heard_since = np.int64(reports.t[i]) - limits.max_gap_seconds
    still_open = 0
    for k in range(count):
        if np.int64(reports.t[chains.end[k]]) >= heard_since:
            _move(chains, k, still_open)
            still_open += 1
    return still_open


@njit(cache=True, nogil=True)
def _give_up_behind(chains: _OpenChains, count: int, leader: int) -> int:
    """Closes the branches that are TENTATIVE_POSITIONS behind another of their chain; returns how many are open."""
    first, least = chains.first[leader], chains.positions[leader] - TENTATIVE_POSITIONS
    still_open = 0
    for k in range(count):
        if chains.first[k] != first or chains.positions[k] > least:
            _move(chains, k, still_open)
            still_open += 1
    return still_open


@njit(cache=True, nogil=True)
def _close_least(chains: _OpenChains, count: int, chosen: int) -> tuple[int, int]:
    """Closes the chain of the fewest positions, of several the one heard last, but for the one that is branched off.

    Returns how many are open, and the place of that one.
    """
    least = -1
    for k in range(count):
        if k != chosen and (
            least < 0 or (chains.positions[k], -chains.end[k]) < (chains.positions[least], -chains.end[least])
        ):
            least = k
    _move(chains, count - 1, least)
    return count - 1, least if chosen == count - 1 else chosen


@njit(cache=True, nogil=True)
def _move(chains: _OpenChains, there: int, here: int) -> None:
    if here != there:
        chains.first[here] = chains.first[there]
        chains.end[here] = chains.end[there]
        chains.positions[here] = chains.positions[there]


@njit(cache=True, nogil=True)
def _where_from(
    reports: PositionReports,
    i: Row,
    limits: ChainLimits,
    chains: _OpenChains,
    count: int,
    previous: NDArray[np.int64],
    in_a_row: NDArray[np.int32],
) -> tuple[Row, int, int, Metres]:
    """The report that i goes on from, its open chain, its links from that one's end, and by how many metres it is off;
    −1 each where i begins a chain."""
    here = fix_at(reports, i)
    chosen = chosen_links = -1
    chosen_back = chosen_off = np.int64(-1)
    least = np.int64(0)
    for links in range(FORK_POSITIONS + 1):
        if chosen >= 0 and least < links * EXPECTED_METRES:
            break
        for k in range(count):
            back = chains.end[k]
            for _ in range(links):
                if back >= 0:
                    back = previous[back]
            if back < 0:
                continue
            there = fix_at(reports, back)
            if not can_have_come(there, here, limits):
                continue
            seconds, off = seconds_between(there, here), metres_off(there, here, limits)
            is_tentative = in_a_row[back] < TENTATIVE_POSITIONS
            if is_tentative and seconds > EXPECTED_SECONDS and off > _most_off(EXPECTED_SECONDS):
                continue
            cost = off + links * _most_off(seconds)
            lacking = max(TENTATIVE_POSITIONS - in_a_row[back], 0) + _behind(chains, count, k)
            if lacking > 0:
                cost += lacking * (TENTATIVE_METRES + TENTATIVE_METRES_PER_SECOND * seconds)
            if chosen < 0 or cost < least or (cost == least and back > chosen_back):
                chosen, chosen_back, chosen_links, chosen_off, least = k, back, links, off, cost
    return chosen_back, chosen, chosen_links, chosen_off


@njit(cache=True, nogil=True)
def _behind(chains: _OpenChains, count: int, k: int) -> int:
    """By how many positions a branch is behind another of its chain."""
    most = chains.positions[k]
    for other in range(count):
        if chains.first[other] == chains.first[k]:
            most = max(most, chains.positions[other])
    return most - chains.positions[k]


@njit(cache=True, nogil=True)
def choose_branches(
    reports: PositionReports, limits: ChainLimits, previous: NDArray[np.int64], chain_of: NDArray[np.int32]
) -> int:
    """Numbers the chain of every report once each has gone on with its longest branch (step 4); returns how many.

    Of equally long branches, the one of least `metres_off` goes on, of these the first.
    """
    longest = np.ones(len(previous), np.int32)
    onward = np.full(len(previous), -1, np.int64)
    for i in range(len(previous) - 1, -1, -1):
        back = previous[i]
        if back < 0:
            continue
        rival = onward[back]
        if rival >= 0 and longest[rival] > longest[i]:
            continue
        if rival >= 0 and longest[rival] == longest[i] and _is_nearer(reports, limits, back, rival, i):
            continue
        onward[back] = i
        longest[back] = longest[i] + 1
    chains = 0
    for i in range(len(previous)):
        back = previous[i]
        if back >= 0 and onward[back] == i:
            chain_of[i] = chain_of[back]
        else:
            chain_of[i] = chains
            chains += 1
    return chains


@njit(cache=True, nogil=True)
def _is_nearer(reports: PositionReports, limits: ChainLimits, back: Row, a: Row, b: Row) -> bool:
    """Whether report a is less `metres_off` from a report that both go on from than report b."""
    there = fix_at(reports, back)
    return metres_off(there, fix_at(reports, a), limits) < metres_off(there, fix_at(reports, b), limits)


@njit(cache=True, nogil=True)
def drop_odd_ones(reports: PositionReports, chains: int, chain_of: NDArray[np.int32]) -> int:
    """Takes positions out of their chains whose neighbours agree with each other but neither with it (step 5).

    Returns how many. The former neighbour is the last position that stays; of two of which one has no SOG or COG, both
    are taken to have the other's.
    """
    # Of each chain: the last position that stays, and the one after it, which the next decides on.
    before = np.full(chains, -1, np.int64)
    between = np.full(chains, -1, np.int64)
    odd = 0
    for i in range(len(chain_of)):
        chain = chain_of[i]
        a, b = before[chain], between[chain]
        if a >= 0 and _is_odd(fix_at(reports, a), fix_at(reports, b), fix_at(reports, i)):
            chain_of[b] = NO_CHAIN
            odd += 1
        else:
            before[chain] = b
        between[chain] = i
    return odd


@njit(cache=True, nogil=True)
def _is_odd(a: Fix, b: Fix, c: Fix) -> bool:
    """Whether b is off where a's and c's SOG and COG lead to and back, these leading to each other much better."""
    if seconds_between(a, c) > ODD_SECONDS or not (_says_motion(a) or _says_motion(c)):
        return False
    from_a = a if _says_motion(a) else c
    from_c = c if _says_motion(c) else a
    off = _square_off(from_a, a, b)
    least = ODD_METRES + _coarse_metres(a, b)
    if off <= least * least:
        return False
    back = _square_off(from_c, b, c)
    least = ODD_METRES + _coarse_metres(b, c)
    if back <= least * least:
        return False
    without = max(_square_off(from_a, a, c), _square_off(from_c, a, c))
    return ODD_TIMES * ODD_TIMES * without <= min(off, back)


@njit(cache=True, nogil=True)
def drop_strays(
    block: VesselReports,
    chains: int,
    limits: ChainLimits,
    in_a_row: NDArray[np.int32],
    run_of: NDArray[np.int32],
    chain_of: NDArray[np.int32],
) -> int:
    """Takes the positions of strays out of their chains (step 6); returns how many.

    Args:
        block: the reports, n of them.
        chains: how many chains there are.
        limits: what the settings say.
        in_a_row: of each report, int32 (n,), as `link` writes it.
        run_of: filled in, int32 (n,): the run of each report.
        chain_of: the chain of each report, int32 (n,); NO_CHAIN where it is in none.
    """
    of_chain = np.zeros(chains, np.int64)
    run = np.full(chains, -1, np.int32)
    of_run = np.zeros(len(chain_of), np.int32)
    last = np.zeros(len(chain_of), np.int64)
    runs = 0
    for i in range(len(chain_of)):
        chain = chain_of[i]
        if chain < 0:
            continue
        of_chain[chain] += 1
        if run[chain] < 0 or in_a_row[i] == 1:
            run[chain] = runs
            runs += 1
        run_of[i] = run[chain]
        of_run[run_of[i]] += 1
        last[run_of[i]] = i
    strays = 0
    for vessel in range(len(block.vessels)):
        first, end = block.starts[vessel], block.starts[vessel + 1]
        covered = np.zeros(end - first + 1, np.int64)
        _count_proven(first, end, of_run, run_of, chain_of, covered)
        seen = -1
        for i in range(first, end):
            # Runs are numbered by their first report.
            if chain_of[i] >= 0 and run_of[i] > seen:
                seen = run_of[i]
                if of_run[seen] < TENTATIVE_POSITIONS and covered[last[seen] - first + 1] > covered[i - first]:
                    of_chain[chain_of[i]] -= of_run[seen]
                    of_run[seen] = 0
    for i in range(len(chain_of)):
        if chain_of[i] >= 0 and (of_run[run_of[i]] == 0 or of_chain[chain_of[i]] < limits.min_track_positions):
            chain_of[i] = NO_CHAIN
            strays += 1
    return strays


@njit(cache=True, nogil=True)
def _count_proven(
    first: int,
    end: int,
    of_run: NDArray[np.int32],
    run_of: NDArray[np.int32],
    chain_of: NDArray[np.int32],
    covered: NDArray[np.int64],
) -> None:
    """Writes how many of a vessel's reports before each one lie within the proven part of a chain.

    That is from the beginning of its first run of TENTATIVE_POSITIONS to the end of its last one.
    """
    lowest, chains = 0, 0
    for i in range(first, end):
        if chain_of[i] >= 0:
            lowest = chain_of[i] if chains == 0 else min(lowest, chain_of[i])
            chains = max(chains, chain_of[i] - lowest + 1)
    until = np.full(chains, -1, np.int64)
    for i in range(first, end):
        if chain_of[i] >= 0 and of_run[run_of[i]] >= TENTATIVE_POSITIONS:
            until[chain_of[i] - lowest] = i
    within_until = np.int64(-1)
    for i in range(first, end):
        if chain_of[i] >= 0 and of_run[run_of[i]] >= TENTATIVE_POSITIONS:
            within_until = max(within_until, until[chain_of[i] - lowest])
        covered[i - first + 1] = covered[i - first] + (i <= within_until)
