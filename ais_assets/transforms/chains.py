"""Chains: which of an MMSI's position reports follow one another, and which are strays. The rule of tracks.

1. A ship can have come from one report to a later one if the silence is at most `max_gap_seconds` and the distance at
   most reach: POSITION_TOLERANCE_METRES, COARSE_METRES more for each coarse position, and speed × time (at least
   SHORTEST_SECONDS). The speed is 1.25 × reported + 20 knots, at most `max_speed_knots` or 1.25 × reported, whichever
   is more, where "reported" is the greater SOG of the two, above `max_speed_knots` the smaller one; without any SOG
   it is `max_speed_knots`.
2. A report goes on from the end of a chain, or branches off it up to FORK_POSITIONS before: of what it can have come
   from, from the one of least cost. That is how far it is from where the SOG and COG there lead, or its own lead back
   to, whichever is more (a SOG over the limit counts if both are); FORK_METRES more for each position that it leaves
   out; and where the chain has fewer than TENTATIVE_POSITIONS, TENTATIVE_METRES and 2 m for each second of the silence.
   Of equal costs, that heard last counts.
3. If it can have come from none, it begins a chain.
4. Where a chain branches, the branch with the most positions goes on; the others are chains of their own.
5. A position is dropped as the odd one out if its neighbours agree with each other, and neither with it.
6. A chain is dropped that has fewer than `min_track_positions`, or fewer than TENTATIVE_POSITIONS during another that
   has as many.

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
"""For so long a ship is expected to hold speed and course, then to stay."""

TENTATIVE_POSITIONS: Final = 10
"""A chain of fewer may be strays."""
TENTATIVE_METRES: Final = 500
TENTATIVE_METRES_PER_SECOND: Final = 2
"""What going on from such a chain costs more, and more for each second of its silence."""

FORK_POSITIONS: Final = 3
"""So many strays in a row, that each can have come from the one before, are still told from the ship that goes on."""
FORK_METRES: Final = 250
"""What leaving a position out costs: a ship that turns is off by less from one report to the next."""

OPEN_CHAINS: Final = 32
"""Chains of one MMSI that may be open at a time; for one more, that of the fewest positions is closed, and of several
that which was heard last, so that of very many ships under one MMSI the first ones are kept."""

ODD_METRES: Final = 100
ODD_SHARE: Final = 0.2
"""How far an odd one out is from where its neighbours reckon it, at least: this, this share of the way they reckon, and
what coarse positions may be off."""
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
    """Ends of the chains that are open: the report, and how many there are since the chain began or branched."""

    end: NDArray[np.int64]
    positions: NDArray[np.int64]


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
def _reckoned(who: Fix, seconds: Any) -> tuple[Metres, Metres]:
    """Metres to the north and to the east that a report's SOG and COG lead in so many seconds."""
    metres = who.sog * METRES_PER_TENTH_KNOT_SECOND * min(seconds, EXPECTED_SECONDS)
    return metres * _COURSE_COSINE[who.cog], metres * _COURSE_SINE[who.cog]


@njit(cache=True, nogil=True)
def _says_motion(who: Fix) -> bool:
    return MISSING not in (who.sog, who.cog)


@njit(cache=True, nogil=True)
def metres_off(a: Fix, b: Fix, limits: ChainLimits) -> Any:
    """How far report b is from where a's SOG and COG lead, or a from where b's lead back to, whichever is more.

    Whole metres. One that has no SOG or COG, or alone a SOG over the limit, does not count; where neither counts, it is
    the distance.
    """
    north, east = way_between(a, b)
    most = -1.0
    if _reckons(a, b, limits):
        reckoned_north, reckoned_east = _reckoned(a, seconds_between(a, b))
        most = (north - reckoned_north) ** 2 + (east - reckoned_east) ** 2
    if _reckons(b, a, limits):
        reckoned_north, reckoned_east = _reckoned(b, seconds_between(a, b))
        most = max(most, (north - reckoned_north) ** 2 + (east - reckoned_east) ** 2)
    return int(math.sqrt(most if most >= 0 else north * north + east * east))


@njit(cache=True, nogil=True)
def _reckons(who: Fix, other: Fix, limits: ChainLimits) -> bool:
    """Whether a report's SOG and COG say where it is to be or was, the other's SOG bearing out one over the limit."""
    within = who.sog <= limits.max_speed_tenths or other.sog > limits.max_speed_tenths
    return _says_motion(who) and within


@njit(cache=True, nogil=True)
def _cost(a: Fix, b: Fix, positions: Any, limits: ChainLimits) -> Any:
    """Of going on to report b from report a of a chain of so many positions."""
    cost = metres_off(a, b, limits)
    if positions < TENTATIVE_POSITIONS:
        cost += TENTATIVE_METRES + TENTATIVE_METRES_PER_SECOND * seconds_between(a, b)
    return cost


@njit(cache=True, nogil=True)
def link(block: VesselReports, limits: ChainLimits, previous: NDArray[np.int64]) -> None:
    """Writes for every report the one that it goes on from, or branches off; −1 where it begins a chain (1 to 3)."""
    reports = block.reports
    chains = _OpenChains(np.empty(OPEN_CHAINS, np.int64), np.empty(OPEN_CHAINS, np.int64))
    for vessel in range(len(block.vessels)):
        count = 0
        for i in range(block.starts[vessel], block.starts[vessel + 1]):
            if count == 1 and _surely_goes_on(fix_at(reports, chains.end[0]), fix_at(reports, i), limits):
                previous[i] = chains.end[0]
                chains.end[0] = i
                chains.positions[0] += 1
                continue
            count = _close_silent(reports, i, limits, chains, count)
            previous[i], chosen, branch = _where_from(reports, i, limits, chains, count, previous)
            if chosen >= 0 and branch == 0:
                chains.end[chosen] = i
                chains.positions[chosen] += 1
                continue
            if chosen >= 0:
                # The report branches off: what comes after the branching has to prove itself, on either side.
                chains.positions[chosen] = min(chains.positions[chosen], branch)
            if count == OPEN_CHAINS:
                count = _close_least(chains, count)
            chains.end[count] = i
            chains.positions[count] = 1
            count += 1


@njit(cache=True, nogil=True)
def _surely_goes_on(end: Fix, here: Fix, limits: ChainLimits) -> bool:
    """Whether a report goes on from the end of the only open chain: to leave that out would cost more."""
    return can_have_come(end, here, limits) and metres_off(end, here, limits) <= FORK_METRES


@njit(cache=True, nogil=True)
def _close_silent(reports: PositionReports, i: Row, limits: ChainLimits, chains: _OpenChains, count: int) -> int:
    """Closes the chains that report i comes too late for; returns how many are open."""
    still_open = 0
    for k in range(count):
        if np.int64(reports.t[i]) - np.int64(reports.t[chains.end[k]]) <= limits.max_gap_seconds:
            chains.end[still_open] = chains.end[k]
            chains.positions[still_open] = chains.positions[k]
            still_open += 1
    return still_open


@njit(cache=True, nogil=True)
def _close_least(chains: _OpenChains, count: int) -> int:
    """Closes the chain of the fewest positions, of several the one heard last; returns how many are open."""
    least = 0
    for k in range(1, count):
        if (chains.positions[k], -chains.end[k]) < (chains.positions[least], -chains.end[least]):
            least = k
    chains.end[least] = chains.end[count - 1]
    chains.positions[least] = chains.positions[count - 1]
    return count - 1


@njit(cache=True, nogil=True)
def _where_from(
    reports: PositionReports, i: Row, limits: ChainLimits, chains: _OpenChains, count: int, previous: NDArray[np.int64]
) -> tuple[Row, int, int]:
    """The report that i goes on from, its open chain, and its links from that one's end; −1 each where i begins one."""
    here = fix_at(reports, i)
    chosen = chosen_links = -1
    chosen_back = np.int64(-1)
    least = np.int64(0)
    for links in range(FORK_POSITIONS + 1):
        if chosen >= 0 and least < links * FORK_METRES:
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
            cost = _cost(there, here, chains.positions[k], limits) + links * FORK_METRES
            if chosen < 0 or cost < least or (cost == least and back > chosen_back):
                chosen, chosen_back, chosen_links, least = k, back, links, cost
    return chosen_back, chosen, chosen_links


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

    Returns how many. The former neighbour is the last position that stays, which both have SOG and COG.
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
    """Whether a's and c's SOG and COG agree on a's way to c, and neither's with b's being between them."""
    if not (_says_motion(a) and _says_motion(c)) or seconds_between(a, c) > ODD_SECONDS:
        return False
    return (not _agrees(a, a, b) and not _agrees(c, b, c) and _agrees(a, a, c)) and _agrees(c, a, c)


@njit(cache=True, nogil=True)
def _agrees(who: Fix, a: Fix, b: Fix) -> bool:
    """Whether a report's SOG and COG lead from report a to report b."""
    seconds = seconds_between(a, b)
    north, east = way_between(a, b)
    reckoned_north, reckoned_east = _reckoned(who, seconds)
    reckoned = who.sog * METRES_PER_TENTH_KNOT_SECOND * min(seconds, EXPECTED_SECONDS)
    allowed = ODD_METRES + ODD_SHARE * reckoned + _coarse_metres(a, b)
    return (north - reckoned_north) ** 2 + (east - reckoned_east) ** 2 <= allowed * allowed


@njit(cache=True, nogil=True)
def drop_strays(block: VesselReports, chains: int, limits: ChainLimits, chain_of: NDArray[np.int32]) -> int:
    """Takes the positions of strays' chains out of them (step 6); returns how many."""
    positions = np.zeros(chains, np.int64)
    last = np.zeros(chains, np.int64)
    for i in range(len(chain_of)):
        if chain_of[i] >= 0:
            positions[chain_of[i]] += 1
            last[chain_of[i]] = i
    strays = 0
    for vessel in range(len(block.vessels)):
        first, end = block.starts[vessel], block.starts[vessel + 1]
        covered = np.zeros(end - first + 1, np.int64)
        _count_long_chains(first, end, positions, last, chain_of, covered)
        seen = np.int64(-1)
        for i in range(first, end):
            chain = chain_of[i]
            # Chains are numbered by their first report.
            if chain <= seen:
                continue
            seen = chain
            few = positions[chain] < limits.min_track_positions
            if not few and positions[chain] < TENTATIVE_POSITIONS:
                few = covered[last[chain] - first + 1] > covered[i - first]
            if few:
                positions[chain] = 0
    for i in range(len(chain_of)):
        if chain_of[i] >= 0 and positions[chain_of[i]] == 0:
            chain_of[i] = NO_CHAIN
            strays += 1
    return strays


@njit(cache=True, nogil=True)
def _count_long_chains(
    first: int,
    end: int,
    positions: NDArray[np.int64],
    last: NDArray[np.int64],
    chain_of: NDArray[np.int32],
    covered: NDArray[np.int64],
) -> None:
    """Writes how many of a vessel's reports before each one lie within a chain of TENTATIVE_POSITIONS or more."""
    within_until = np.int64(-1)
    for i in range(first, end):
        chain = chain_of[i]
        if chain >= 0 and positions[chain] >= TENTATIVE_POSITIONS:
            within_until = max(within_until, last[chain])
        covered[i - first + 1] = covered[i - first] + (i <= within_until)
