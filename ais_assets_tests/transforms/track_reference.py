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


def reckoned(report: Report, seconds: int) -> complex | None:
    """Where SOG and COG lead."""
    if report.sog is None or report.cog is None:
        return None
    metres = report.sog / 10 * KNOT * min(seconds, 1_800)
    return metres * complex(math.cos(math.radians(report.cog / 10)), math.sin(math.radians(report.cog / 10)))


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
    expected = [place for place in (reckoned(report, b.t - a.t) for report in counts) if place is not None]
    return int(max(abs(way(a, b) - place) for place in expected or [0j]))


def reference_links(reports: Sequence[Report], rule: Rule) -> list[int | None]:
    """Steps 2 and 3, for one vessel."""
    previous: list[int | None] = []
    ends: list[list[int]] = []  # a report, and its chain's positions
    for i, report in enumerate(reports):
        ends = [end for end in ends if report.t - reports[end[0]].t <= rule.max_gap_seconds]
        costs: list[tuple[int, int, int, list[int]]] = []
        for end in ends:
            back: int | None = end[0]
            for links in range(4):
                if back is not None and reachable(reports[back], report, rule):
                    tentative = 500 + 2 * (report.t - reports[back].t) if end[1] < 10 else 0
                    cost = metres_off(reports[back], report, rule) + tentative + 250 * links
                    costs.append((cost, -back, links, end))
                back = None if back is None else previous[back]
        if not costs:
            previous.append(None)
        else:
            # Of ends that branch at the same report, the one with the least links, and of these the first.
            _, back, links, end = min(costs, key=lambda cost: cost[:3])
            previous.append(-back)
            if links == 0:
                end[:] = [i, end[1] + 1]
                continue
            end[1] = min(end[1], links)
        if len(ends) == 32:
            ends.remove(min(ends, key=lambda end: (end[1], -end[0])))
        ends.append([i, 1])
    return previous


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


def agrees(who: Report, a: Report, b: Report) -> bool:
    """Whether a report's SOG and COG lead from a to b."""
    place = reckoned(who, b.t - a.t)
    coarse = 131 * (a.coarse + b.coarse)
    return place is not None and abs(way(a, b) - place) <= 100 + 0.2 * abs(place) + coarse


def reference_even(chain: Sequence[Report]) -> list[Report]:
    """Step 5."""
    even: list[Report] = []
    for b, c in pairwise([*chain, None]):
        a = even[-1] if even else None
        assert b is not None
        if (
            a is None
            or c is None
            or c.t - a.t > 600
            or agrees(a, a, b)
            or agrees(c, b, c)
            or not (agrees(a, a, c) and agrees(c, a, c))
        ):
            even.append(b)
    return even


def reference_ships(chains: Sequence[Sequence[Report]], rule: Rule) -> list[Sequence[Report]]:
    """Step 6."""

    def during_another(chain: Sequence[Report]) -> bool:
        return any(other[0].t <= chain[-1].t and chain[0].t <= other[-1].t for other in chains if len(other) >= 10)

    enough = [chain for chain in chains if len(chain) >= rule.min_track_positions]
    return [chain for chain in enough if len(chain) >= 10 or not during_another(chain)]


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
        even = [reference_even(chain) for chain in chains]
        dropped["odd_one_out"] += sum(map(len, chains)) - sum(map(len, even))
        ships = reference_ships(even, rule)
        dropped["stray_position"] += sum(map(len, even)) - sum(map(len, ships))
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
