"""Chains: which of an MMSI's position reports follow one another, and which are strays. The rule of tracks.

The rule is stated in this room's README, step by step; the numbers of the steps are those of there. This module has its
numbers, and what it leaves open:

- A time between two reports counts for SHORTEST_SECONDS at least where it bounds a distance.
- Of equal costs, the report heard last counts, and of branches that share it, the one heard last; of equally long
  branches, the first goes on. At most OPEN_CHAINS are open.
- A report that has a SOG and no COG says how it moves only up to STILL_TENTHS; one that has neither is reckoned by the
  other's, and two such by their distance.

So a stray is a chain or a branch of its own, whether far or near, ahead or astern; what comes after it goes on from
what came before it; it adopts nothing, as the ship's own chain is nearer to what is expected; and two ships that send
under one MMSI are two chains. Only reported values count here, none that is held.

Nearness to the expected place, and segments that have to prove themselves are gpsdio-segment's ideas (Global Fishing
Watch); the longest branch is what makes a wrong guess repairable. Only + − × ÷ and square roots are used, which IEEE
754 makes exact, so that every machine decides alike.
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
"""For so long a ship is expected to hold speed and course; in a longer silence, to be where she then was."""
EXPECTED_METRES: Final = 250
EXPECTED_METRES_PER_SECOND: Final = 5
"""By which she may be off, 10 knots × time, and still be about where she was expected: in a turn it is less."""

STILL_TENTHS: Final = 5
"""Half a knot: of a ship that says no COG, lying still."""

TENTATIVE_POSITIONS: Final = 10
"""A chain of fewer may be strays, and so may a branch that is so many behind."""
TENTATIVE_SHARE: Final = 5
"""Of what a position may be off: by a fifth of it going on costs more for each of them that is lacking."""

FORK_POSITIONS: Final = 3
"""So many strays in a row, that each can have come from the one before, are told from the ship that goes on, and so is
any number that is no row of TENTATIVE_POSITIONS."""

OPEN_CHAINS: Final = 32
"""Chains of one MMSI that may be open at a time; for one more, that of the fewest positions is closed, and of several
that which was heard last, so that of very many ships under one MMSI the first ones are kept."""

ODD_METRES: Final = 75
"""How far an odd one out is from where its neighbours reckon it, beside what coarse positions may be off."""
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

REPORT: Final = np.dtype(
    [
        ("t", np.uint32),
        ("lat", np.int32),
        ("lon", np.int32),
        ("sog", np.int16),
        ("cog", np.int16),
        ("heading", np.int16),
        ("nav_status", np.int8),
        ("flags", np.uint8),
    ],
    align=True,
)
"""A position report, 20 bytes: Unix time in seconds, micro-degrees, tenths of a knot and of a degree, degrees, the
place in `schema.NAV_STATUSES`, and SOG_HELD, COG_HELD and COARSE. MISSING or NO_STATUS where not available."""

Reports = NDArray[Any]
"""Of REPORT, (n,)."""


class VesselReports(NamedTuple):
    """Reports by (vessel, time): those of vessels[k], an MMSI, are rows starts[k] to starts[k + 1]."""

    vessels: NDArray[np.int32]
    starts: NDArray[np.int64]
    reports: Reports


class Chains(NamedTuple):
    """Reports by (vessel, chain, time): those of chain k, which mmsi[k] sent, are rows bounds[k] to bounds[k + 1]."""

    mmsi: NDArray[np.int32]
    bounds: NDArray[np.int64]
    reports: Reports


class ChainLimits(NamedTuple):
    """What the settings say of chains."""

    max_gap_seconds: int
    max_speed_tenths: float
    """Tenths of a knot."""
    min_track_positions: int


_OpenChains = NDArray[Any]
"""Of _OPEN, (OPEN_CHAINS,)."""
_OPEN: Final = np.dtype([("first", np.int64), ("end", np.int64), ("positions", np.int64)])
"""A chain that is open, or a branch of one: the report that it began with, which all its branches share; its last
report; and how many there are since it began or branched."""


_Links = Any
"""An array of _LINK, one for each of a vessel's reports."""
_LINK: Final = np.dtype([("previous", np.int32), ("in_a_row", np.int32), ("proven", np.int32), ("depth", np.int32)])
"""Of a report: the one that it goes on from, or branches off, −1 for none; how many up to it go on from one another as
expected; the last up to it that is at least the TENTATIVE_POSITIONSth in a row, −1 for none; how many are before it
since its chain began."""


class _Room(NamedTuple):
    """Room for what is found out of each of a vessel's reports, chains and runs: one for each report."""

    links: _Links
    longest: NDArray[np.int32]
    """Of each report, positions of its longest branch."""
    onward: NDArray[np.int32]
    """Of each report, the one that this goes on with."""
    chain_of: NDArray[np.int32]
    """Of each report, its chain; NO_CHAIN where it is in none."""
    before: NDArray[np.int32]
    between: NDArray[np.int32]
    """Of each chain, the last position that stays, and the one after it."""
    of_chain: NDArray[np.int32]
    """Positions of each chain."""
    run_of_chain: NDArray[np.int32]
    """Of each chain, its last run."""
    run_of: NDArray[np.int32]
    """Of each report, its run."""
    of_run: NDArray[np.int32]
    """Positions of each run."""
    last: NDArray[np.int32]
    """Of each run, its last report."""
    until: NDArray[np.int32]
    """Of each chain, the last report of its last run of TENTATIVE_POSITIONS."""
    covered: NDArray[np.int32]
    """How many reports before each one are within the proven part of a chain; one more."""


_ROOM: Final = len(_Room._fields) - 1
"""Fields that are int32."""


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


@njit(cache=True, nogil=True)
def fix_of(report: Any) -> Fix:
    """What the rule needs of a REPORT."""
    return Fix(
        np.int64(report.t),
        np.int64(report.lat),
        np.int64(report.lon),
        np.int64(report.sog),
        np.int64(report.cog),
        np.int64(report.flags & COARSE != 0),
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
def _counted(who: Fix, other: Fix, limits: ChainLimits) -> Any:
    """A report's SOG; MISSING where it is over the limit and the other's does not bear it out."""
    return who.sog if who.sog <= limits.max_speed_tenths or other.sog > limits.max_speed_tenths else MISSING


@njit(cache=True, nogil=True)
def _reach_metres(a: Fix, b: Fix, limits: ChainLimits) -> Metres:
    """How far a ship can have come from report a to report b."""
    speed = limits.max_speed_tenths
    slower, faster = min(a.sog, b.sog), max(a.sog, b.sog)
    if faster != MISSING:
        reported = SPEED_FACTOR * max(float(slower), min(float(faster), speed))
        speed = max(reported, min(reported + 10 * FREE_KNOTS, speed))
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
    if who.cog != MISSING and who.sog != 0:
        metres = who.sog * METRES_PER_TENTH_KNOT_SECOND * min(seconds_between(a, b), EXPECTED_SECONDS)
        north -= metres * _COURSE_COSINE[who.cog]
        east -= metres * _COURSE_SINE[who.cog]
    return north * north + east * east


@njit(cache=True, nogil=True)
def _says_motion(who: Fix) -> bool:
    """Whether a report says where it leads: it has SOG and COG, or lies still, when many sets give no COG."""
    return who.sog != MISSING and (who.cog != MISSING or who.sog <= STILL_TENTHS)


@njit(cache=True, nogil=True)
def metres_off(a: Fix, b: Fix, limits: ChainLimits) -> Any:
    """How far report b is from where a's SOG and COG lead, or if a has none, a from where b's lead back to.

    Whole metres. Where neither has them, it is the distance.
    """
    return int(math.sqrt(_square_metres_off(a, b, limits)))


@njit(cache=True, nogil=True)
def _square_metres_off(a: Fix, b: Fix, limits: ChainLimits) -> Metres:
    if _says_motion(a) and _counted(a, b, limits) != MISSING:
        return _square_off(a, a, b)
    if _says_motion(b) and _counted(b, a, limits) != MISSING:
        return _square_off(b, a, b)
    north, east = way_between(a, b)
    return north * north + east * east


@njit(cache=True, nogil=True)
def _is_expected(a: Fix, b: Fix, off: Metres) -> bool:
    """Whether report b, so many metres off, is about where a ship is to be that sent report a (step 2)."""
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
def find_chains(block: VesselReports, limits: ChainLimits, into: Chains) -> tuple[int, int, int]:
    """Writes the reports chain by chain, without those that are dropped.

    Args:
        block: the reports, n of them.
        limits: what the settings say.
        into: filled in from the front; has room for n chains of n reports.

    Returns:
        How many chains there are, reports of them, and odd ones out.
    """
    most = 0
    for vessel in range(len(block.vessels)):
        most = max(most, block.starts[vessel + 1] - block.starts[vessel])
    links, space = np.empty(most, _LINK), np.empty((_ROOM, most + 1), np.int32)
    open_chains = np.empty(OPEN_CHAINS, _OPEN)
    chains = rows = odd = 0
    into.bounds[0] = 0
    for vessel in range(len(block.vessels)):
        first, end = block.starts[vessel], block.starts[vessel + 1]
        reports, own = block.reports[first:end], _room_for(links, space, end - first)
        link(reports, limits, open_chains, own.links)
        count = choose_branches(own)
        odd += drop_odd_ones(reports, count, own)
        drop_strays(limits, count, own)
        chain_of, next_row = own.chain_of, own.of_chain
        for chain in range(count):
            positions, next_row[chain] = next_row[chain], rows
            rows += positions
            into.mmsi[chains + chain] = block.vessels[vessel]
            into.bounds[chains + chain + 1] = rows
        chains += count
        for i in range(len(reports)):
            if chain_of[i] >= 0:
                into.reports[next_row[chain_of[i]]] = reports[i]
                next_row[chain_of[i]] += 1
    return chains, rows, odd


@njit(cache=True, nogil=True)
def _room_for(links: _Links, space: NDArray[np.int32], rows: int) -> _Room:
    return _Room(
        links[:rows],
        space[0, :rows],
        space[1, :rows],
        space[2, :rows],
        space[3, :rows],
        space[4, :rows],
        space[5, :rows],
        space[6, :rows],
        space[7, :rows],
        space[8, :rows],
        space[9, :rows],
        space[10, :rows],
        space[11, : rows + 1],
    )


@njit(cache=True, nogil=True)
def link(reports: Reports, limits: ChainLimits, chains: _OpenChains, links: _Links) -> None:
    """Writes for every report of a vessel the one that it goes on from, or branches off, and what follows of it.

    Args:
        reports: the vessel's, by time.
        limits: what the settings say.
        chains: room for those that are open.
        links: filled in. One array, as each that is handed on costs what a report does.
    """
    count = i = 0
    while i < len(reports):
        here = fix_of(reports[i])
        # Before rivals are looked for: a chain that this report comes too late for is none.
        count = _close_silent(reports, here, limits, chains, count)
        ship = _without_rival(chains, count, here, reports, links)
        if ship >= 0:
            i = _follow(reports, i, limits, chains[ship], links)
            if i == len(reports):
                break
            here = fix_of(reports[i])
            count = _close_silent(reports, here, limits, chains, count)
        back, chosen, left_out, off = _where_from(reports, here, limits, chains, count, links)
        row, last_proven, depth = 1, -1, 0
        if back >= 0:
            before = links[back]
            if _is_expected(fix_of(reports[back]), here, off):
                row += before.in_a_row
            last_proven = i if row >= TENTATIVE_POSITIONS else before.proven
            depth = before.depth + 1
        _write(links[i], back, row, last_proven, depth)
        if left_out == 0:
            chains[chosen].end = i
            chains[chosen].positions += 1
            if count > 1 and row >= TENTATIVE_POSITIONS:
                count = _give_up_behind(chains, count, chosen)
            i += 1
            continue
        if count == OPEN_CHAINS:
            count, chosen = _close_least(chains, count, chosen)
        chains[count].end = i
        chains[count].positions = 1
        chains[count].first = i
        if chosen >= 0:
            chains[chosen].positions = min(chains[chosen].positions, left_out)
            chains[count].first = chains[chosen].first
        count += 1
        i += 1


@njit(cache=True, nogil=True)
def _without_rival(chains: _OpenChains, count: int, here: Fix, reports: Reports, links: _Links) -> int:
    """The only open chain, or the one heard last if any other costs over EXPECTED_METRES for being tentative; −1: none.

    Nearly every report goes on from that one, and need not look at the others, nor at what is before its end.
    """
    if count <= 1:
        return count - 1
    ship = 0
    for k in range(1, count):
        if chains[k].end > chains[ship].end:
            ship = k
    if links[chains[ship].end].in_a_row < TENTATIVE_POSITIONS:
        return -1
    for k in range(count):
        if k == ship:
            continue
        end = chains[k].end
        lacking = TENTATIVE_POSITIONS - links[end].in_a_row
        least = lacking * _most_off(here.t - fix_of(reports[end]).t) // TENTATIVE_SHARE
        if chains[k].first == chains[ship].first or lacking <= 0 or least <= EXPECTED_METRES:
            return -1
    return ship


@njit(cache=True, nogil=True)
def _follow(reports: Reports, i: int, limits: ChainLimits, ship: Any, links: _Links) -> int:
    """Has a chain without rival go on with report i and those after it for as long as they surely do.

    While they do, no rival can come up: those that there are grow only older. Returns the first that does not.
    """
    first, end = i, ship.end
    there, of_end = fix_of(reports[end]), links[end]
    row, last_proven, depth = of_end.in_a_row, of_end.proven, of_end.depth
    while i < len(reports):
        here = fix_of(reports[i])
        if not _surely_goes_on(there, here, limits):
            break
        row += 1
        depth += 1
        if row >= TENTATIVE_POSITIONS:
            last_proven = i
        _write(links[i], end, row, last_proven, depth)
        end, there = i, here
        i += 1
    ship.end = end
    ship.positions += i - first
    return i


@njit(cache=True, nogil=True)
def _write(link: Any, previous: Row, in_a_row: Any, proven: Row, depth: Any) -> None:
    link.previous = previous
    link.in_a_row = in_a_row
    link.proven = proven
    link.depth = depth


@njit(cache=True, nogil=True)
def _surely_goes_on(end: Fix, here: Fix, limits: ChainLimits) -> Any:
    """Whether a report goes on from the end of a chain without rival: at most EXPECTED_METRES off, and as expected."""
    seconds = seconds_between(end, here)
    # No way is longer, and wherever the SOGs lead, she is off by no more than her way and theirs together. That nearly
    # always decides, without a look at any course.
    way = (abs(here.lat - end.lat) + abs(steps_east(end, here))) * METRES_PER_STEP
    sailed = max(end.sog, here.sog, 0) * METRES_PER_TENTH_KNOT_SECOND * seconds
    stays = way == 0 and sailed > POSITION_TOLERANCE_METRES
    if way + sailed <= EXPECTED_METRES and way <= _reach_metres(end, here, limits) and not stays:
        return seconds <= limits.max_gap_seconds
    if not can_have_come(end, here, limits) or _stands_still(end, here):
        return False
    return _square_metres_off(end, here, limits) < (EXPECTED_METRES + 1) ** 2


@njit(cache=True, nogil=True)
def _close_silent(reports: Reports, here: Fix, limits: ChainLimits, chains: _OpenChains, count: int) -> int:
    """Closes the chains that a report comes too late for; returns how many are open."""
    still_open = 0
    for k in range(count):
        if here.t - fix_of(reports[chains[k].end]).t <= limits.max_gap_seconds:
            _move(chains, k, still_open)
            still_open += 1
    return still_open


@njit(cache=True, nogil=True)
def _give_up_behind(chains: _OpenChains, count: int, leader: int) -> int:
    """Closes the branches that are TENTATIVE_POSITIONS behind one that is proven; returns how many are open."""
    first, least = chains[leader].first, chains[leader].positions - TENTATIVE_POSITIONS
    still_open = 0
    for k in range(count):
        if chains[k].first != first or chains[k].positions > least:
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
            least < 0 or (chains[k].positions, -chains[k].end) < (chains[least].positions, -chains[least].end)
        ):
            least = k
    _move(chains, count - 1, least)
    return count - 1, least if chosen == count - 1 else chosen


@njit(cache=True, nogil=True)
def _move(chains: _OpenChains, there: int, here: int) -> None:
    if here != there:
        chains[here] = chains[there]


@njit(cache=True, nogil=True)
def _where_from(
    reports: Reports, here: Fix, limits: ChainLimits, chains: _OpenChains, count: int, links: _Links
) -> tuple[Any, int, int, Metres]:
    """The report that this one goes on from, its open chain, how many that leaves out, and by how many metres this is
    off; −1 each where it begins a chain."""
    chosen = chosen_left_out = -1
    chosen_back = chosen_off = np.int64(-1)
    least = np.int64(0)
    for step in range(FORK_POSITIONS + 2):
        # None costs less than what it leaves out, which is a step or more each.
        if chosen >= 0 and least < step * EXPECTED_METRES:
            break
        for k in range(count):
            end = np.int64(chains[k].end)
            back = _before(end, step, links)
            if back < 0:
                continue
            left_out = links[end].depth - links[back].depth
            # One that leaves out fewer was looked at.
            if left_out < step or (chosen >= 0 and least < left_out * EXPECTED_METRES):
                continue
            there = fix_of(reports[back])
            if not can_have_come(there, here, limits):
                continue
            seconds, off = seconds_between(there, here), metres_off(there, here, limits)
            lacking = max(TENTATIVE_POSITIONS - links[back].in_a_row, 0)
            if lacking > 0 and seconds > EXPECTED_SECONDS and off > _most_off(EXPECTED_SECONDS):
                continue
            lacking += _behind(chains, count, k)
            cost = off + (TENTATIVE_SHARE * left_out + lacking) * _most_off(seconds) // TENTATIVE_SHARE
            is_later = back > chosen_back or (back == chosen_back and end > chains[chosen].end)
            if chosen < 0 or cost < least or (cost == least and is_later):
                chosen, chosen_back, chosen_left_out, chosen_off, least = k, back, left_out, off, cost
    return chosen_back, chosen, chosen_left_out, chosen_off


@njit(cache=True, nogil=True)
def _behind(chains: _OpenChains, count: int, k: int) -> int:
    """By how many positions a branch is behind another of its chain."""
    most = chains[k].positions
    for other in range(count):
        if chains[other].first == chains[k].first:
            most = max(most, chains[other].positions)
    return most - chains[k].positions


@njit(cache=True, nogil=True)
def _before(end: Row, step: int, links: _Links) -> Row:
    """The report so many before a chain's end, or after FORK_POSITIONS steps its last proven one; −1: none."""
    if step > FORK_POSITIONS:
        return np.int64(links[end].proven)
    for _ in range(step):
        if end >= 0:
            end = np.int64(links[end].previous)
    return end


@njit(cache=True, nogil=True)
def choose_branches(room: _Room) -> int:
    """Numbers the chain of every report once each has gone on with its longest branch (step 4); returns how many.

    Of equally long branches, the first goes on.
    """
    links, chain_of, longest, onward = room.links, room.chain_of, room.longest, room.onward
    longest[:] = 1
    onward[:] = -1
    for i in range(len(links) - 1, -1, -1):
        back = links[i].previous
        if back < 0:
            continue
        rival = onward[back]
        if rival >= 0 and longest[rival] > longest[i]:
            continue
        onward[back] = i
        longest[back] = longest[i] + 1
    chains = 0
    for i in range(len(links)):
        back = links[i].previous
        if back >= 0 and onward[back] == i:
            chain_of[i] = chain_of[back]
        else:
            chain_of[i] = chains
            chains += 1
    return chains


@njit(cache=True, nogil=True)
def drop_odd_ones(reports: Reports, chains: int, room: _Room) -> int:
    """Takes positions out of their chains whose neighbours agree with each other but neither with it (step 5).

    Returns how many. The former neighbour is the last position that stays; of two of which one has no SOG or COG, both
    are taken to have the other's.
    """
    # Of each chain, which report stays last is known, and the next decides on the one after it.
    chain_of, before, between = room.chain_of, room.before, room.between
    before[:chains] = -1
    between[:chains] = -1
    odd = 0
    for i in range(len(reports)):
        chain = chain_of[i]
        a, b = before[chain], between[chain]
        if a >= 0 and _is_odd(fix_of(reports[a]), fix_of(reports[b]), fix_of(reports[i])):
            chain_of[b] = NO_CHAIN
            odd += 1
        else:
            before[chain] = b
        between[chain] = i
    return odd


@njit(cache=True, nogil=True)
def _is_odd(a: Fix, b: Fix, c: Fix) -> bool:
    """Whether b is off where a's and c's SOG and COG lead to and back, these leading to each other no worse."""
    least = ODD_METRES + _coarse_metres(a, b)
    if _says_motion(a) and _square_off(a, a, b) <= least * least:
        return False
    if seconds_between(a, c) > ODD_SECONDS or not (_says_motion(a) or _says_motion(c)):
        return False
    from_a = a if _says_motion(a) else c
    from_c = c if _says_motion(c) else a
    off = _square_off(from_a, a, b)
    if off <= least * least:
        return False
    back = _square_off(from_c, b, c)
    least = ODD_METRES + _coarse_metres(b, c)
    if back <= least * least:
        return False
    without = max(_square_off(from_a, a, c), _square_off(from_c, a, c))
    return without <= min(off, back)


@njit(cache=True, nogil=True)
def drop_strays(limits: ChainLimits, chains: int, room: _Room) -> None:
    """Takes the positions of strays out of their chains (step 5), and writes how many each chain is left with."""
    chain_of, of_chain, run_of, of_run = room.chain_of, room.of_chain, room.run_of, room.of_run
    runs = _count_runs(chains, room)
    if runs > 1 and of_run[:runs].min() < TENTATIVE_POSITIONS:
        covered, last = room.covered, room.last
        _count_proven(chains, room)
        seen = -1
        for i in range(len(chain_of)):
            # Runs are numbered by their first report.
            if chain_of[i] >= 0 and run_of[i] > seen:
                seen = run_of[i]
                if of_run[seen] < TENTATIVE_POSITIONS and covered[last[seen] + 1] > covered[i]:
                    of_chain[chain_of[i]] -= of_run[seen]
                    of_run[seen] = 0
    for i in range(len(chain_of)):
        if chain_of[i] >= 0 and (of_run[run_of[i]] == 0 or of_chain[chain_of[i]] < limits.min_track_positions):
            chain_of[i] = NO_CHAIN
    for chain in range(chains):
        if of_chain[chain] < limits.min_track_positions:
            of_chain[chain] = 0


@njit(cache=True, nogil=True)
def _count_runs(chains: int, room: _Room) -> int:
    """Numbers the run of every report, and counts those of each and of each chain; returns how many runs there are."""
    chain_of, links, run_of, of_run, last = room.chain_of, room.links, room.run_of, room.of_run, room.last
    of_chain, run = room.of_chain, room.run_of_chain
    of_chain[:chains] = 0
    run[:chains] = -1
    runs = 0
    for i in range(len(chain_of)):
        chain = chain_of[i]
        if chain < 0:
            continue
        of_chain[chain] += 1
        if run[chain] < 0 or links[i].in_a_row == 1:
            run[chain] = runs
            of_run[runs] = 0
            runs += 1
        run_of[i] = run[chain]
        of_run[run[chain]] += 1
        last[run[chain]] = i
    return runs


@njit(cache=True, nogil=True)
def _count_proven(chains: int, room: _Room) -> None:
    """Writes how many reports before each one lie within the proven part of a chain.

    That is from the beginning of its first run of TENTATIVE_POSITIONS to the end of its last one.
    """
    chain_of, run_of, of_run, until, covered = room.chain_of, room.run_of, room.of_run, room.until, room.covered
    until[:chains] = -1
    for i in range(len(chain_of)):
        if chain_of[i] >= 0 and of_run[run_of[i]] >= TENTATIVE_POSITIONS:
            until[chain_of[i]] = i
    within_until = -1
    covered[0] = 0
    for i in range(len(chain_of)):
        if chain_of[i] >= 0 and of_run[run_of[i]] >= TENTATIVE_POSITIONS:
            within_until = max(within_until, until[chain_of[i]])
        covered[i + 1] = covered[i] + (i <= within_until)
