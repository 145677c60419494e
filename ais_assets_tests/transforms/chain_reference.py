"""The rule of `chains` once more, read out step by step as the README of that room states it: slow, and plain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ais_assets_tests.transforms.track_reports import DEGREE, Report, Rule

EARTH_RADIUS = 6_371_008.8
METRES_PER_STEP = EARTH_RADIUS * math.pi / 180 / DEGREE
KNOT = 1_852 / 3_600
OPEN_CHAINS = 32


class End(NamedTuple):
    """Of an open chain, or of a branch of one."""

    first: int
    """The report that the chain began with."""
    last: int
    positions: int
    """Since it began or branched."""


def metres_apart(a: Report, b: Report) -> float:
    """The chord between two vectors from the centre of the earth: another formula than the module's."""
    vectors = []
    for report in (a, b):
        lat, lon = math.radians(report.lat / DEGREE), math.radians(report.lon / DEGREE)
        vectors.append((math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)))
    return EARTH_RADIUS * math.dist(*vectors)


def way(a: Report, b: Report) -> complex:
    """Metres north and, as the imaginary part, east."""
    east = b.lon - a.lon
    east -= 360 * DEGREE * round(east / (360 * DEGREE))
    return complex(b.lat - a.lat, east * math.cos(math.radians(abs(a.lat) // 10_000 / 100))) * METRES_PER_STEP


def says_motion(who: Report) -> bool:
    return who.sog is not None and (who.cog is not None or who.sog <= 5)


def led(who: Report | None, a: Report, b: Report) -> float:
    """How far a report's SOG and COG lead past b from a; without them, the distance."""
    if who is None or not who.sog or who.cog is None:
        return abs(way(a, b))
    ahead = complex(math.cos(math.radians(who.cog / 10)), math.sin(math.radians(who.cog / 10)))
    return abs(way(a, b) - who.sog / 10 * KNOT * min(b.t - a.t, 1_800) * ahead)


def coarse_metres(*reports: Report) -> int:
    return 131 * sum(report.coarse for report in reports)


def reachable(a: Report, b: Report, rule: Rule) -> bool:
    """Step 1."""
    sogs = sorted(report.sog / 10 for report in (a, b) if report.sog is not None)
    knots = most = rule.max_speed_knots
    if sogs:
        said = 1.25 * max(min(sogs[-1], most), sogs[0] if len(sogs) == 2 else 0)
        knots = max(said, min(said + 20, most))
    reach = 20 + coarse_metres(a, b) + knots * KNOT * max(2, b.t - a.t)
    return b.t - a.t <= rule.max_gap_seconds and metres_apart(a, b) <= reach


def off(a: Report, b: Report, rule: Rule) -> int:
    """Step 2: whole metres. A SOG over the limit that the other's does not bear out leads nowhere."""
    is_over = {report: (report.sog or 0) > 10 * rule.max_speed_knots for report in (a, b)}
    who = (said for said, other in ((a, b), (b, a)) if says_motion(said) and is_over[said] <= is_over[other])
    return int(led(next(who, None), a, b))


def allowed(seconds: int) -> int:
    """Step 2: the most metres that are expected."""
    return 250 + 5 * seconds


def is_expected(a: Report, b: Report, rule: Rule) -> bool:
    """Step 2."""
    sailed = min((report.sog / 10 for report in (a, b) if report.sog is not None), default=0.0) * KNOT * (b.t - a.t)
    stands_still = (a.lat, a.lon) == (b.lat, b.lon) and sailed > 20 + coarse_metres(a, b)
    return not stands_still and off(a, b, rule) <= allowed(b.t - a.t)


def cost(a: Report, b: Report, row: int, left_out: int, behind: int, rule: Rule) -> float:
    """Step 3: of b's going on from a, which is so many in a row; infinite where it cannot."""
    seconds, metres, lacking = b.t - a.t, off(a, b, rule), max(0, 10 - row)
    leads_too_far = lacking and seconds > 1_800 and metres > allowed(1_800)
    if leads_too_far or not reachable(a, b, rule):
        return math.inf
    return metres + (5 * left_out + lacking + behind) * allowed(seconds) // 5


def is_near(a: Report, b: Report, rule: Rule) -> bool:
    """Step 3: enough for the end of an only chain."""
    return off(a, b, rule) <= 250 and is_expected(a, b, rule) and reachable(a, b, rule)


def reference_links(reports: Sequence[Report], rule: Rule) -> tuple[list[int], NDArray[np.int64]]:
    """Steps 3 and 4: which of a vessel's reports each goes on from (−1: none), and how many up to it do as expected."""
    paths: list[list[int]] = []
    row: list[int] = []
    ends: list[End] = []
    for i, here in enumerate(reports):
        ends = [end for end in ends if here.t - reports[end.last].t <= rule.max_gap_seconds]
        found: list[tuple[float, int, End, int]] = []
        for end in ends:
            path = paths[end.last]
            behind = max(other.positions for other in ends if other.first == end.first) - end.positions
            proven = next((links for links, back in enumerate(path) if row[back] >= 10), 0)
            is_taken = len(ends) == 1 and is_near(reports[end.last], here, rule)
            for links in [0] if is_taken else [0, 1, 2, 3, proven]:
                if links < len(path):
                    metres = cost(reports[path[links]], here, row[path[links]], links, behind, rule)
                    found.append((metres, path[links], end, links))
        found = [one for one in found if one[0] < math.inf]
        if not found:
            paths.append([i])
            row.append(1)
            ends = [*longest(ends, OPEN_CHAINS - 1), End(i, i, 1)]
            continue
        _, back, end, links = min(found, key=lambda one: (one[0], -one[1], -one[2].last))
        paths.append([i, *paths[back]])
        row.append(row[back] + 1 if is_expected(reports[back], here, rule) else 1)
        ends.remove(end)
        if links:
            branched = end._replace(positions=min(end.positions, links))
            ends = [*longest(ends, OPEN_CHAINS - 2), branched, End(end.first, i, 1)]
        else:
            least = end.positions - 9 if row[i] >= 10 else 0
            ends = [other for other in ends if other.first != end.first or other.positions > least]
            ends.append(End(end.first, i, end.positions + 1))
    return [path[1] if len(path) > 1 else -1 for path in paths], np.array(row, np.int64)


def longest(ends: list[End], room: int) -> list[End]:
    """As many as there is room for: those of the most positions, of several those heard first."""
    return sorted(ends, key=lambda end: (-end.positions, end.last))[:room]


def reference_chains(previous: Sequence[int]) -> list[NDArray[np.int64]]:
    """Step 4: the longest branch goes on, of several the first."""
    reports = range(len(previous))
    length = np.ones(len(previous) + 1, np.int64)
    for i in reversed(reports):
        length[previous[i]] = max(length[previous[i]], length[i] + 1)
    onward = {previous[i]: i for i in sorted(reports, key=lambda i: (length[i], -i))}
    chain_of: dict[int, list[int]] = {}
    for i in reports:
        goes_on = previous[i] >= 0 and onward[previous[i]] == i
        chain_of[i] = chain_of[previous[i]] if goes_on else []
        chain_of[i].append(i)
    return [np.array(chain) for i, chain in chain_of.items() if chain[0] == i]


def is_odd(a: Report, b: Report, c: Report) -> bool:
    """Step 5: whether b's neighbours can do without it."""
    from_a, from_c = (said if says_motion(said) else other for said, other in ((a, c), (c, a)))
    if not says_motion(from_a) or c.t - a.t > 600:
        return False
    to, back, without = led(from_a, a, b), led(from_c, b, c), max(led(from_a, a, c), led(from_c, a, c))
    return to > 75 + coarse_metres(a, b) and back > 75 + coarse_metres(b, c) and without <= min(to, back)


def without_odd_ones(chain: NDArray[np.int64], reports: Sequence[Report]) -> NDArray[np.int64]:
    """Step 5: what stays of a chain."""
    even = [chain[0]]
    for b, c in pairwise(chain[1:]):
        if not is_odd(reports[even[-1]], reports[b], reports[c]):
            even.append(b)
    return np.array([*even, *chain[1:][-1:]])


def reference_ships(reports: Sequence[Report], rule: Rule) -> tuple[list[list[Report]], int]:
    """A vessel's reports by ship, without those that step 5 drops, and how many of them are odd ones out."""
    previous, row = reference_links(reports, rule)
    chains = [without_odd_ones(chain, reports) for chain in reference_chains(previous)]
    runs = [np.split(chain, np.flatnonzero(row[chain[1:]] == 1) + 1) for chain in chains]
    long = [[run for run in of_chain if len(run) >= 10] for of_chain in runs]
    proven = [(of_chain[0][0], of_chain[-1][-1]) for of_chain in long if of_chain]

    def is_stray(run: NDArray[np.int64]) -> bool:
        return len(run) < 10 and any(first <= run[-1] and run[0] <= last for first, last in proven)

    ships = [[reports[i] for run in of_chain if not is_stray(run) for i in run] for of_chain in runs]
    return [ship for ship in ships if len(ship) >= rule.min_track_positions], len(reports) - sum(map(len, chains))
