"""The rules of `motion` once more, read out sentence by sentence: slow, and plain; and tracks by both references."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

from ais_assets_tests.transforms.chain_reference import KNOT, metres_apart, reference_ships, way
from ais_assets_tests.transforms.track_reports import Position, Report, Rule


class Moved(NamedTuple):
    """A report of a chain with the motion that it gets: tenths."""

    report: Report
    sog: int
    cog: Any
    held: bool
    """Its SOG was not received."""


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
        sent = [report for report in reports if report.mmsi == mmsi]
        ships, odd = reference_ships(sent, rule)
        dropped["odd_one_out"] += odd
        dropped["stray_position"] += len(sent) - odd - sum(map(len, ships))
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
