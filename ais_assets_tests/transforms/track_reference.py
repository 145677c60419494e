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


def off(who: Report, a: Report, b: Report) -> float | None:
    """How far a report's SOG and COG lead past b from a; None where it has none."""
    seconds, there = b.t - a.t, way(a, b)
    if who.sog is None or (who.cog is None and who.sog > 5):
        return None
    if who.sog == 0 or who.cog is None:
        return abs(there)
    ahead = complex(math.cos(math.radians(who.cog / 10)), math.sin(math.radians(who.cog / 10)))
    metres = who.sog / 10 * KNOT * seconds
    if seconds > 1_800:
        metres = min(max((there * ahead.conjugate()).real, max(3_600 - seconds, 0) / seconds * metres), metres)
    return abs(there - metres * ahead)


def reachable(a: Report, b: Report, rule: Rule) -> bool:
    """Step 1."""
    knots = rule.max_speed_knots
    sogs = sorted(sog / 10 for sog in (a.sog, b.sog) if sog is not None)
    if sogs:
        reported = 1.25 * max(sogs[0] if len(sogs) == 2 else 0.0, min(sogs[-1], rule.max_speed_knots))
        knots = max(reported, min(reported + 20, rule.max_speed_knots))
    reach = 20 + 131 * (a.coarse + b.coarse) + knots * KNOT * max(2, b.t - a.t)
    return b.t - a.t <= rule.max_gap_seconds and metres_apart(a, b) <= reach


def metres_off(a: Report, b: Report, rule: Rule) -> int:
    """How far from the expected place, the one way or the other."""
    most = 10 * rule.max_speed_knots
    counts = [who for who, other in ((a, b), (b, a)) if (who.sog or 0) <= most or (other.sog or 0) > most]
    ways = [metres for metres in (off(report, a, b) for report in counts) if metres is not None]
    return int(max(ways, default=abs(way(a, b))))


def is_expected(a: Report, b: Report, rule: Rule) -> bool:
    """Whether b is about where a ship is to be that sent a."""
    sogs = [report.sog / 10 for report in (a, b) if report.sog is not None]
    led = min(sogs, default=0.0) * KNOT * (b.t - a.t)
    stands_still = (a.lat, a.lon) == (b.lat, b.lon) and led > 20 + 131 * (a.coarse + b.coarse)
    return not stands_still and metres_off(a, b, rule) <= 250 + 5 * (b.t - a.t)


class End(NamedTuple):
    """Of an open chain, or of a branch of one."""

    first: int
    """The report that the chain began with."""
    last: int
    positions: int
    """Since it began or branched."""


def reference_links(reports: Sequence[Report], rule: Rule) -> list[int | None]:
    """Steps 2 and 3, for one vessel."""
    previous: list[int | None] = []
    in_a_row: list[int] = []
    ends: list[End] = []
    for i, report in enumerate(reports):
        ends = [end for end in ends if report.t - reports[end.last].t <= rule.max_gap_seconds]
        costs: list[tuple[int, int, int, int]] = []
        for k, end in enumerate(ends):
            behind = max(other.positions for other in ends if other.first == end.first) - end.positions
            back: int | None = end.last
            for links in range(4):
                seconds = 0 if back is None else report.t - reports[back].t
                lives = back is not None and (
                    in_a_row[back] >= 10
                    or seconds <= 1_800
                    or metres_off(reports[back], report, rule) <= 250 + 5 * 1_800
                )
                if back is not None and lives and reachable(reports[back], report, rule):
                    tentative = (max(10 - in_a_row[back], 0) + behind) * (50 + seconds)
                    cost = metres_off(reports[back], report, rule) + tentative + links * (250 + 5 * seconds)
                    # Of ends that branch at the same report, the one with the least links, and of these the first.
                    costs.append((cost, -back, links, k))
                back = None if back is None else previous[back]
        if not costs:
            previous.append(None)
            in_a_row.append(1)
            ends = [*fitting(ends, None), End(i, i, 1)]
            continue
        _, back, links, k = min(costs)
        previous.append(-back)
        in_a_row.append(in_a_row[-back] + 1 if is_expected(reports[-back], report, rule) else 1)
        end = ends[k]
        if links:
            ends[k] = end._replace(positions=min(end.positions, links))
            ends = [*fitting(ends, ends[k]), End(end.first, i, 1)]
        else:
            ends[k] = end._replace(last=i, positions=end.positions + 1)
            ends = [other for other in ends if other.first != end.first or end.positions + 1 - other.positions < 10]
    return previous


def fitting(ends: list[End], kept: End | None) -> list[End]:
    """The ends, or where 32 are open all but the least, in whose place comes the last."""
    if len(ends) < 32:
        return ends
    least = min((end for end in ends if end != kept), key=lambda end: (end.positions, -end.last))
    *others, last = ends
    return [last if end == least else end for end in others]


def reference_chains(reports: Sequence[Report], rule: Rule) -> list[list[Report]]:
    """Step 4."""
    previous = reference_links(reports, rule)
    longest = [1] * len(reports)
    onward: list[int | None] = [None] * len(reports)
    for i in reversed(range(len(reports))):
        branches = [k for k, back in enumerate(previous) if back == i]
        if branches:
            onward[i] = min(branches, key=lambda k, i=i: (-longest[k], metres_off(reports[i], reports[k], rule), k))
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
    """Whether b's neighbours can do without it."""

    def off_by(who: Report, start: Report, end: Report) -> float:
        found = [off(said, start, end) for said in (who, c if who is a else a)]
        return next((metres for metres in found if metres is not None), 0.0)

    to, back, without = off_by(a, a, b), off_by(c, b, c), max(off_by(a, a, c), off_by(c, a, c))
    is_off = to > 75 + 131 * (a.coarse + b.coarse) and back > 75 + 131 * (b.coarse + c.coarse)
    return c.t - a.t <= 600 and is_off and min(to, back) >= 2 * without


def reference_even(chain: Sequence[Report]) -> list[Report]:
    """Step 5."""
    even: list[Report] = []
    for b, c in pairwise([*chain, None]):
        assert b is not None
        if not even or c is None or not is_odd(even[-1], b, c):
            even.append(b)
    return even


def reference_ships(chains: Sequence[Sequence[Report]], rule: Rule) -> list[list[Report]]:
    """Step 6, of chains as step 4 leaves them; those of step 5 are taken out of the runs."""
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
