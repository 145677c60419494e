"""The rules of `chains` and `motion` once more, read out sentence by sentence: slow, and plain."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Any, NamedTuple

from ais_assets_tests.transforms.track_reports import DEGREE, Position, Report, Rule


class Moved(NamedTuple):
    """A report of a chain with the motion that it gets: tenths."""

    report: Report
    sog: int
    cog: Any
    held: bool
    """Its SOG was not received."""


METRES_PER_STEP = 6_371_008.8 * math.pi / 180 / DEGREE
KNOT = 1_852 / 3_600


def metres_apart(a: Report, b: Report) -> float:
    """The angle between two unit vectors, by its tangent: another formula than the module's."""
    vectors = []
    for report in (a, b):
        lat, lon = math.radians(report.lat / DEGREE), math.radians(report.lon / DEGREE)
        vectors.append((math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)))
    p, q = vectors
    cross = (p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0])
    angle = math.atan2(math.sqrt(sum(x * x for x in cross)), sum(x * y for x, y in zip(p, q, strict=True)))
    return angle * 6_371_008.8


def way(a: Report, b: Report) -> complex:
    """Metres north and, as the imaginary part, east."""
    east = (b.lon - a.lon + 180 * DEGREE) % (360 * DEGREE) - 180 * DEGREE
    if east == -180 * DEGREE < b.lon - a.lon:
        east = 180 * DEGREE
    return complex(b.lat - a.lat, east * math.cos(math.radians(abs(a.lat) // 10_000 / 100))) * METRES_PER_STEP


def says_motion(who: Report) -> bool:
    """Whether it leads anywhere."""
    return who.sog is not None and (who.cog is not None or who.sog <= 5)


def led(who: Report, a: Report, b: Report) -> float:
    """How far a report's SOG and COG lead past b from a."""
    if not who.sog or who.cog is None:
        return abs(way(a, b))
    ahead = complex(math.cos(math.radians(who.cog / 10)), math.sin(math.radians(who.cog / 10)))
    return abs(way(a, b) - who.sog / 10 * KNOT * min(b.t - a.t, 1_800) * ahead)


def borne_out(a: Report, b: Report, rule: Rule) -> tuple[Report, Report]:
    """Both, without a SOG over the limit that the other's does not bear out."""
    over = [(report.sog or 0) > 10 * rule.max_speed_knots for report in (a, b)]
    return (a._replace(sog=None) if over == [True, False] else a, b._replace(sog=None) if over == [False, True] else b)


def tolerance(*reports: Report) -> int:
    return 131 * sum(report.coarse for report in reports)


def reachable(a: Report, b: Report, rule: Rule) -> bool:
    """Step 1."""
    sogs = sorted(report.sog / 10 for report in (a, b) if report.sog is not None)
    knots = most = rule.max_speed_knots
    if sogs:
        said = 1.25 * max(min(sogs[-1], most), sogs[0] if len(sogs) == 2 else 0)
        knots = max(said, min(said + 20, most))
    reach = 20 + tolerance(a, b) + knots * KNOT * max(2, b.t - a.t)
    return b.t - a.t <= rule.max_gap_seconds and metres_apart(a, b) <= reach


def off(a: Report, b: Report, rule: Rule) -> int:
    """Step 2."""
    who = next((said for said in borne_out(a, b, rule) if says_motion(said)), None)
    return int(abs(way(a, b)) if who is None else led(who, a, b))


def allowed(seconds: int) -> int:
    return 250 + 5 * seconds


def is_expected(a: Report, b: Report, rule: Rule) -> bool:
    sailed = min((report.sog / 10 for report in (a, b) if report.sog is not None), default=0.0) * KNOT * (b.t - a.t)
    stands_still = (a.lat, a.lon) == (b.lat, b.lon) and sailed > 20 + tolerance(a, b)
    return not stands_still and off(a, b, rule) <= allowed(b.t - a.t)


class Node(NamedTuple):
    """A report with the reports that led to it, from itself back to the first of its chain."""

    path: list[int]
    row: int
    """How many go on from one another as expected."""


class End(NamedTuple):
    """Of an open chain, or of a branch of one."""

    first: int
    """The report that the chain began with."""
    last: int
    positions: int
    """Since it began or branched."""


def reference_nodes(reports: Sequence[Report], rule: Rule) -> list[Node]:
    """Steps 3 and 4, for one vessel."""
    nodes: list[Node] = []
    ends: list[End] = []
    for i, report in enumerate(reports):
        ends = [end for end in ends if report.t - reports[end.last].t <= rule.max_gap_seconds]
        costs: list[tuple[int, int, int, int, int]] = []
        for k, end in enumerate(ends):
            path = nodes[end.last].path
            proven = next((links for links, back in enumerate(path) if nodes[back].row >= 10), 0)
            last = reports[end.last]
            is_near = (
                off(last, report, rule) <= 250 and is_expected(last, report, rule) and reachable(last, report, rule)
            )
            behind = max(other.positions for other in ends if other.first == end.first) - end.positions
            for step, links in enumerate([0] if len(ends) == 1 and is_near else [0, 1, 2, 3, proven]):
                if links < step or links >= len(path):
                    continue
                there, lacking = reports[path[links]], max(0, 10 - nodes[path[links]].row)
                seconds, metres = report.t - there.t, off(there, report, rule)
                is_too_old = lacking and seconds > 1_800 and metres > allowed(1_800)
                if reachable(there, report, rule) and not is_too_old:
                    cost = metres + (5 * links + lacking + behind) * allowed(seconds) // 5
                    costs.append((cost, -path[links], step, links, k))
        if not costs:
            nodes.append(Node([i], 1))
            ends = [*fitting(ends, None), End(i, i, 1)]
            continue
        _, back, _, links, k = min(costs, key=lambda found: (*found[:3], found[4]))
        before, end = nodes[-back], ends[k]
        nodes.append(Node([i, *before.path], before.row + 1 if is_expected(reports[-back], report, rule) else 1))
        if links:
            ends[k] = end._replace(positions=min(end.positions, links))
            ends = [*fitting(ends, ends[k]), End(end.first, i, 1)]
        else:
            ends[k] = end._replace(last=i, positions=end.positions + 1)
            least = end.positions - 9 if nodes[-1].row >= 10 else 0
            ends = [other for other in ends if other.first != end.first or other.positions > least]
    return nodes


def fitting(ends: list[End], kept: End | None) -> list[End]:
    """The ends, or where 32 are open all but the least, in whose place comes the last."""
    if len(ends) < 32:
        return ends
    least = min((end for end in ends if end != kept), key=lambda end: (end.positions, -end.last))
    *others, last = ends
    return [last if end == least else end for end in others]


def reference_chains(reports: Sequence[Report], rule: Rule) -> list[list[Report]]:
    """Step 4: the longest branch goes on."""
    previous = [node.path[1] if len(node.path) > 1 else None for node in reference_nodes(reports, rule)]
    longest = [1] * len(reports)
    onward: list[int | None] = [None] * len(reports)
    for i in reversed(range(len(reports))):
        branches = [k for k, back in enumerate(previous) if back == i]
        if branches:
            onward[i] = max(branches, key=lambda k: (longest[k], -k))
            longest[i] = 1 + max(longest[k] for k in branches)
    chains = []
    for i, back in enumerate(previous):
        if back is None or onward[back] != i:
            chain: list[Report] = []
            at: int | None = i
            while at is not None:
                chain.append(reports[at])
                at = onward[at]
            chains.append(chain)
    return chains


def is_odd(a: Report, b: Report, c: Report) -> bool:
    """Step 5: whether b's neighbours can do without it."""
    from_a, from_c = (said if says_motion(said) else other for said, other in ((a, c), (c, a)))
    if not says_motion(from_a) or c.t - a.t > 600:
        return False
    to, back, without = led(from_a, a, b), led(from_c, b, c), max(led(from_a, a, c), led(from_c, a, c))
    return to > 75 + tolerance(a, b) and back > 75 + tolerance(b, c) and without <= min(to, back)


def reference_even(chain: Sequence[Report]) -> list[Report]:
    """A chain without its odd ones."""
    even: list[Report] = []
    for b, c in pairwise([*chain, None]):
        assert b is not None
        if not even or c is None or not is_odd(even[-1], b, c):
            even.append(b)
    return even


def reference_ships(chains: Sequence[Sequence[Report]], rule: Rule) -> list[list[Report]]:
    """Step 5: what is left without odd ones and strays of chains as step 4 leaves them."""
    runs: list[list[list[Report]]] = []
    for chain in chains:
        even = reference_even(chain)
        runs.append([[]])
        for a, b in pairwise([None, *chain]):
            assert b is not None
            if a is not None and not is_expected(a, b, rule) and b in even:
                runs[-1].append([])
            if b in even:
                runs[-1][-1].append(b)
    proven = []
    for of_chain in runs:
        long = [run for run in of_chain if len(run) >= 10]
        if long:
            proven.append((long[0][0].t, long[-1][-1].t))

    def is_stray(run: Sequence[Report]) -> bool:
        return len(run) < 10 and any(first <= run[-1].t and run[0].t <= last for first, last in proven)

    ships = [[report for run in of_chain if run and not is_stray(run) for report in run] for of_chain in runs]
    return [ship for ship in ships if len(ship) >= rule.min_track_positions]


def reference_moving(chain: Sequence[Report], rule: Rule) -> list[Moved]:
    """A chain with a SOG and a COG for each position."""

    def tenths(a: Report, b: Report) -> float:
        return metres_apart(a, b) / max(2, b.t - a.t) / KNOT * 10

    reports = []
    for k, report in enumerate(chain):
        ways = [tenths(chain[n], chain[n + 1]) for n in (k - 1, k) if 0 <= n < len(chain) - 1]
        believed = (
            report.sog is None or report.sog <= 10 * rule.max_speed_knots or max(ways, default=0) >= report.sog / 2
        )
        reports.append(report if believed else report._replace(sog=None))
    moving: list[Moved] = []
    last_cog: int | None = None
    for k, report in enumerate(reports):
        older = [other for other in reports[:k] if report.t - other.t >= 60]
        a, b = (older[-1] if older else reports[0], report) if k else (report, reports[min(1, len(reports) - 1)])
        heard = [other for other in reports[: k + 1] if report.t - other.t <= 60]
        sogs = [other.sog for other in heard if other.sog is not None]
        cogs = [other.cog for other in heard if other.cog is not None]
        sog = sogs[-1] if sogs else min(1_022, int(tenths(a, b) + 0.5))
        if cogs:
            last_cog = cogs[-1]
        elif metres_apart(a, b) > 20:
            north_east = way(a, b)
            last_cog = int(math.degrees(math.atan2(north_east.imag, north_east.real)) % 360 * 10 + 0.5) % 3_600
        moving.append(Moved(report, sog, last_cog, report.sog is None))
    whole = way(chain[0], chain[-1])
    of_all = int(math.degrees(math.atan2(whole.imag, whole.real)) % 360 * 10 + 0.5) % 3_600
    first_cog = next((position.cog for position in moving if position.cog is not None), of_all)
    return [position if position.cog is not None else position._replace(cog=first_cog) for position in moving]


def reference_tracks_of(moving: Sequence[Moved], rule: Rule, dropped: Counter[str]) -> list[list[Moved]]:
    """A chain's tracks, thinned and without the stretches for which she lies still."""
    tracks: list[list[Moved]] = []
    for position in moving:
        if tracks and position.report.t - tracks[-1][-1].report.t < rule.thin_seconds:
            dropped["thinned"] += 1
        elif tracks and position.report.t - tracks[-1][-1].report.t <= rule.max_gap_seconds:
            tracks[-1].append(position)
        else:
            tracks.append([position])
    if not rule.stationary_seconds:
        return tracks
    parts: list[list[Moved]] = []
    for track in tracks:
        slow = [None if position.held else position.sog / 10 < rule.stationary_knots for position in track]
        taken: set[int] = set()
        for k in range(len(track)):
            end = next((n for n in range(k, len(track)) if slow[n] is False), len(track))
            still = [n for n in range(k, end) if slow[n]]
            if slow[k] and track[still[-1]].report.t - track[k].report.t >= rule.stationary_seconds:
                taken |= set(range(k, still[-1] + 1))
        dropped["stationary"] += len(taken)
        parts += [
            [track[n] for n in group]
            for out, group in groupby(range(len(track)), key=lambda n, taken=taken: n in taken)
            if not out
        ]
    return parts


def reference_tracks(reports: Sequence[Report], rule: Rule) -> tuple[list[Position], Counter[str]]:
    """All vessels' track positions in order, and the counts of what was dropped."""
    positions: list[Position] = []
    dropped: Counter[str] = Counter()
    for mmsi in {report.mmsi for report in reports}:
        chains = reference_chains([report for report in reports if report.mmsi == mmsi], rule)
        odd = sum(len(chain) - len(reference_even(chain)) for chain in chains)
        ships = reference_ships(chains, rule)
        dropped["odd_one_out"] += odd
        dropped["stray_position"] += sum(map(len, chains)) - odd - sum(map(len, ships))
        for chain in ships:
            moving = reference_moving(chain, rule)
            for part in reference_tracks_of(moving, rule, dropped):
                if len(part) < rule.min_track_positions:
                    dropped["stray_position"] += len(part)
                    continue
                track = mmsi * 2**32 + part[0].report.t
                positions += [Position(mmsi, track, r.t, r.lat, r.lon, sog, cog) for r, sog, cog, _ in part]
    return sorted(positions), dropped


def reference_dt(positions: Sequence[Position]) -> list[int]:
    """dt_seconds of sorted positions."""
    before: dict[int, int] = {}
    result = []
    for position in positions:
        result.append(position.t - before.get(position.track, position.t))
        before[position.track] = position.t
    return result
