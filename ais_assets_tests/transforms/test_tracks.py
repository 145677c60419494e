"""Tracks: known answers, hostile inputs against a slow reference, and real ships."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ais_assets import schema
from ais_assets.stream import RecordStream
from ais_assets.transforms import tracks as module
from ais_assets.transforms.kernels import run_starts
from ais_assets.transforms.split import is_validation
from ais_assets.transforms.tracks import (
    DT_EDGES,
    OPEN_SEGMENTS,
    POSITION_TOLERANCE_METRES,
    SHORTEST_SECONDS,
    build_tracks,
)
from ais_assets_tests.blank_columns import with_blanks

SHIP = 219_000_734
OTHER = 257_706_000
NOON = 1_709_294_400
GAP = schema.MAX_GAP_SECONDS
DEGREE = schema.MICRODEGREES
NAUTICAL_MILE = DEGREE // 60
"""Of latitude, in micro-degrees."""


class Report(NamedTuple):
    """A clean position report: seconds, micro-degrees, tenths."""

    mmsi: int
    t: int
    lat: int
    lon: int
    sog: int | None = 100
    cog: int | None = 900


class Position(NamedTuple):
    """A row of the result."""

    mmsi: int
    track: int
    t: int
    lat: int
    lon: int
    sog: int
    cog: int


@dataclasses.dataclass(frozen=True)
class Rule:
    """Arguments of `build_tracks`."""

    max_gap_seconds: int = GAP
    max_speed_knots: float = 50.0
    min_track_positions: int = 2
    validation_fraction: float = 0.0
    seed: int = 17
    thin_seconds: int = 0
    stationary_seconds: int = 0
    stationary_knots: float = 0.5


def clean_table(reports: Sequence[Report]) -> pa.Table:
    """Reports as CLEAN_RECORDS, in the order given."""
    columns: list[list[Any]] = [list(column) for column in zip(*reports, strict=True)] or [[] for _ in Report._fields]
    mmsi, t, lat, lon, sog, cog = columns
    filled = {
        "mmsi": pa.array(mmsi, pa.int32()),
        "t": pa.array([1_000 * second for second in t], schema.UTC),
        "lat_microdegrees": pa.array(lat, pa.int32()),
        "lon_microdegrees": pa.array(lon, pa.int32()),
        "sog_tenths": pa.array(sog, pa.int32()),
        "cog_tenths": pa.array(cog, pa.int32()),
        "mobile_type": pa.array(["class A"] * len(mmsi), schema.CLEAN_RECORDS.field("mobile_type").type),
    }
    return pa.table(with_blanks(filled, schema.CLEAN_RECORDS, len(mmsi)), schema=schema.CLEAN_RECORDS)


def built(tables: Sequence[pa.Table], rule: Rule) -> tuple[list[pa.Table], RecordStream]:
    """All tables of `build_tracks`, and its stream, whose account must add up."""
    stream = build_tracks(iter(tables), **dataclasses.asdict(rule))
    result = list(stream.tables)
    stream.ledger.balance("test")
    assert all(table.schema.equals(schema.TRACK_POSITIONS, check_metadata=True) for table in result)
    return result, stream


def positions_of(tables: Sequence[pa.Table]) -> list[Position]:
    """The rows of track tables as whole numbers."""
    table = pa.concat_tables([schema.TRACK_POSITIONS.empty_table(), *tables])
    columns = [table["mmsi"].to_pylist(), table["track"].to_pylist()]
    columns.append([int(moment.timestamp()) for moment in table["t"].to_pylist()])
    columns += [table[of.column].to_pylist() for of in schema.STORED_AS.values()]
    return [Position(*row) for row in zip(*columns, strict=True)]


def tracks_of(reports: Sequence[Report], rule: Rule = Rule()) -> list[list[Position]]:
    """The tracks of one table of reports, each a list of its positions."""
    found: dict[int, list[Position]] = {}
    for position in positions_of(built([clean_table(reports)], rule)[0]):
        found.setdefault(position.track, []).append(position)
    return list(found.values())


def times_of(tracks: Sequence[Sequence[Position]]) -> list[list[int]]:
    """Seconds since NOON of each track's positions."""
    return [[position.t - NOON for position in track] for track in tracks]


def straight(
    mmsi: int, start: int, count: int, *, lat: int, lon: int, step: int = 10, north: int = 100
) -> list[Report]:
    """A ship heading north from a place, a report every `step` seconds."""
    return [Report(mmsi, NOON + start + k * step, lat + k * north, lon) for k in range(count)]


# The reference: the module's rule, read out sentence by sentence.


def distance_millimetres(a: Report, b: Report) -> int:
    """The angle between two unit vectors, by its tangent: another formula than the module's."""
    vectors = []
    for report in (a, b):
        lat, lon = math.radians(report.lat / DEGREE), math.radians(report.lon / DEGREE)
        vectors.append((math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)))
    p, q = vectors
    cross = (p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0])
    angle = math.atan2(math.sqrt(sum(x * x for x in cross)), sum(x * y for x, y in zip(p, q, strict=True)))
    return round(angle * 6_371_008.8 * 1_000)


def reference_segments(reports: Sequence[Report], rule: Rule) -> list[list[Report]]:
    """One vessel's segments, thinned."""
    segments: list[list[Report]] = []
    open_segments: list[list[Report]] = []
    for report in reports:
        open_segments = [s for s in open_segments if report.t - s[-1].t <= rule.max_gap_seconds]
        reachable = []
        for segment in open_segments:
            seconds = max(2, report.t - segment[-1].t)
            reach = math.floor(rule.max_speed_knots * 1_852 * 1_000 / 3_600 * seconds) + 20_000
            distance = distance_millimetres(segment[-1], report)
            if distance <= reach:
                reachable.append((distance, -segment[-1].t, segment))
        if reachable:
            nearest = min(reachable, key=lambda candidate: candidate[:2])[2]
            if report.t - nearest[-1].t >= rule.thin_seconds:
                nearest.append(report)
            continue
        if len(open_segments) == 8:
            open_segments.remove(min(open_segments, key=lambda segment: segment[-1].t))
        segments.append([report])
        open_segments.append(segments[-1])
    return segments


def reference_moving(segment: Sequence[Report]) -> list[Report]:
    """A segment's reports with the last known SOG and COG, from where both are known."""
    sog = cog = None
    moving = []
    for report in segment:
        sog = report.sog if report.sog is not None else sog
        cog = report.cog if report.cog is not None else cog
        if sog is not None and cog is not None:
            moving.append(report._replace(sog=sog, cog=cog))
    return moving


def reference_stretches(moving: Sequence[Report], rule: Rule) -> list[list[Report]]:
    """What is between the stretches for which a ship lies still."""
    if not rule.stationary_seconds:
        return [list(moving)]
    parts: list[list[Report]] = [[]]
    for slow, group in groupby(moving, key=lambda report: (report.sog or 0) / 10 < rule.stationary_knots):
        stretch = list(group)
        if slow and stretch[-1].t - stretch[0].t >= rule.stationary_seconds:
            parts.append([])
        else:
            parts[-1] += stretch
    return parts


def reference_tracks(reports: Sequence[Report], rule: Rule) -> tuple[list[Position], Counter[str]]:
    """All vessels' track positions in order, and the counts of what was dropped."""
    positions: list[Position] = []
    dropped: Counter[str] = Counter()
    for mmsi in {report.mmsi for report in reports}:
        of_vessel = [report for report in reports if report.mmsi == mmsi]
        segments = reference_segments(of_vessel, rule)
        dropped["thinned"] += len(of_vessel) - sum(len(segment) for segment in segments)
        for segment in segments:
            moving = reference_moving(segment)
            dropped["no_motion_yet"] += len(segment) - len(moving)
            parts = reference_stretches(moving, rule)
            dropped["stationary"] += len(moving) - sum(len(part) for part in parts)
            for part in parts:
                if len(part) < rule.min_track_positions:
                    dropped["stray_position"] += len(part)
                    continue
                track = mmsi * 2**32 + part[0].t
                positions += [Position(r.mmsi, track, r.t, r.lat, r.lon, r.sog or 0, r.cog or 0) for r in part]
    return sorted(positions), dropped


def reference_dt(positions: Sequence[Position]) -> list[int]:
    """dt_seconds of sorted positions."""
    before: dict[int, int] = {}
    result = []
    for position in positions:
        result.append(position.t - before.get(position.track, position.t))
        before[position.track] = position.t
    return result


places = st.sampled_from(
    [
        (0, 0),
        (0, 180 * DEGREE),
        (0, -180 * DEGREE),
        (10, 180 * DEGREE - 15),
        (-10, 15 - 180 * DEGREE),
        (90 * DEGREE, 0),
        (90 * DEGREE - 40, 120 * DEGREE),
        (90 * DEGREE - 40, -60 * DEGREE),
        (-90 * DEGREE, 77 * DEGREE),
        (55 * DEGREE, 10 * DEGREE),
        (55 * DEGREE + 600, 10 * DEGREE),
        (55 * DEGREE - 600, 10 * DEGREE),
        (55 * DEGREE, 10 * DEGREE + 1_000),
        (56 * DEGREE, 10 * DEGREE),
        (56 * DEGREE, 13 * DEGREE),
    ]
)
steps = st.sampled_from([1, 2, 3, 10, 60, 600, 3_600, GAP - 1, GAP, GAP + 1, 90_000])
tenths = st.sampled_from([None, None, 0, 1, 102, 1_022])
courses = st.sampled_from([None, 0, 1, 3_599, 3_600])


@st.composite
def reports_of_vessels(draw: st.DrawFn) -> list[Report]:
    """Sorted reports of a few vessels among hostile places, times and gaps."""
    reports = []
    for mmsi in draw(st.lists(st.sampled_from([SHIP, OTHER, 201_000_000, 775_999_999]), unique=True, max_size=3)):
        t = NOON
        for _ in range(draw(st.integers(1, 40))):
            t += draw(steps)
            lat, lon = draw(places)
            reports.append(Report(mmsi, t, lat, lon, draw(tenths), draw(courses)))
    return sorted(reports)


rules = st.builds(
    Rule,
    max_gap_seconds=st.sampled_from([1, 60, 3_600, GAP]),
    max_speed_knots=st.sampled_from([0.1, 30.0, 50.0, 102.2, 1e6]),
    min_track_positions=st.integers(1, 4),
    thin_seconds=st.sampled_from([0, 0, 1, 2, 10, 61, 3_600]),
    stationary_seconds=st.sampled_from([0, 0, 1, 10, 600, 3_601]),
    stationary_knots=st.sampled_from([0.1, 0.3, 0.5, 11.0]),
)


@settings(max_examples=300, deadline=None)
@given(reports_of_vessels(), rules)
def test_tracks_are_those_of_the_reference(reports: list[Report], rule: Rule) -> None:
    rule = dataclasses.replace(rule, thin_seconds=min(rule.thin_seconds, rule.max_gap_seconds))
    expected, dropped = reference_tracks(reports, rule)
    tables, stream = built([clean_table(reports)], rule)
    assert positions_of(tables) == expected
    assert Counter(stream.ledger.dropped) == dropped
    assert stream.ledger.rows_in == len(reports)
    assert stream.ledger.notes["tracks"] == len({position.track for position in expected})
    assert stream.ledger.notes["vessels"] == len({position.mmsi for position in expected})
    bins = np.searchsorted(DT_EDGES, reference_dt(expected))
    assert stream.facts["dt_seconds"]["counts"] == np.bincount(bins, minlength=len(DT_EDGES)).tolist()


@pytest.mark.parametrize("place", [(0, 179_990_000), (89_000_000, 0), (-55_000_000, -180_000_000)])
def test_years_of_one_vessel_are_those_of_the_reference(place: tuple[int, int]) -> None:
    """More than two years that go back and forth over an edge of the map, with a second ship now and then."""
    rng = np.random.default_rng(abs(place[0]))
    reports, t = [], NOON
    for _ in range(2_000):
        t += int(rng.choice([1, 10, 60, 3_600, GAP, GAP + 1, 200_000], p=[0.1, 0.1, 0.1, 0.2, 0.1, 0.1, 0.3]))
        lat = min(90_000_000, place[0] + int(rng.integers(-20_000, 20_000)))
        lon = place[1] + int(rng.integers(-20_000, 20_000))
        if rng.random() < 0.1:
            lat -= 3 * DEGREE
        lon = (lon + 180_000_000) % 360_000_000 - 180_000_000
        reports.append(Report(SHIP, t, lat, lon, int(rng.integers(0, 300)), int(rng.integers(0, 3_600))))
    assert t - NOON > 2 * 365 * 86_400
    days = [
        [report for report in reports if report.t // 86_400 == day] for day in range(NOON // 86_400, t // 86_400 + 1)
    ]
    tables, _ = built([clean_table(day) for day in days if day], Rule())
    assert positions_of(tables) == reference_tracks(reports, Rule())[0]


@settings(max_examples=60, deadline=None)
@given(reports_of_vessels(), st.lists(st.integers(NOON, NOON + 400_000), max_size=4), st.integers(1, 20))
def test_how_days_and_tables_are_cut_does_not_matter(reports: list[Report], cuts: list[int], most: int) -> None:
    edges = [0, *sorted(cuts), 2**32]
    days = [clean_table([report for report in reports if low <= report.t < high]) for low, high in pairwise(edges)]
    whole, stream = built([clean_table(reports)], Rule())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TABLE_POSITIONS", most)
        parts, cut_stream = built(days, Rule())
    assert positions_of(parts) == positions_of(whole)
    assert cut_stream.ledger == stream.ledger
    assert cut_stream.facts == stream.facts


def test_a_gap_of_exactly_the_limit_stays_in_the_track() -> None:
    here = {"lat": 55 * DEGREE, "lon": 10 * DEGREE}
    at_limit = [Report(SHIP, NOON + t, **here) for t in (0, 10, 10 + GAP, 20 + GAP)]
    beyond = [Report(SHIP, NOON + t, **here) for t in (0, 10, 11 + GAP, 21 + GAP)]
    assert times_of(tracks_of(at_limit)) == [[0, 10, 10 + GAP, 20 + GAP]]
    assert times_of(tracks_of(beyond)) == [[0, 10], [11 + GAP, 21 + GAP]]


def test_a_gap_of_a_day_and_five_minutes_ends_the_track() -> None:
    # A known defect elsewhere: the seconds of a timedelta, without its days, are only 300 here.
    reports = [Report(SHIP, NOON + t, 55 * DEGREE, 10 * DEGREE) for t in (0, 10, 86_710, 86_720)]
    assert times_of(tracks_of(reports)) == [[0, 10], [86_710, 86_720]]


def test_a_single_jump_is_left_out_and_harms_nobody() -> None:
    ship = straight(SHIP, 0, 6, lat=55 * DEGREE, lon=10 * DEGREE)
    ship[3] = ship[3]._replace(lat=57 * DEGREE)
    tables, stream = built([clean_table(ship)], Rule())
    assert [position.t - NOON for position in positions_of(tables)] == [0, 10, 20, 40, 50]
    assert stream.ledger.dropped == {"no_motion_yet": 0, "stray_position": 1}


def test_a_jump_that_lasts_is_a_new_track() -> None:
    before = straight(SHIP, 0, 3, lat=55 * DEGREE, lon=10 * DEGREE)
    after = straight(SHIP, 30, 3, lat=57 * DEGREE, lon=10 * DEGREE)
    assert times_of(tracks_of(before + after)) == [[0, 10, 20], [30, 40, 50]]


def test_two_ships_under_one_mmsi_are_two_tracks() -> None:
    first = straight(SHIP, 0, 40, lat=55 * DEGREE, lon=10 * DEGREE)
    second = straight(SHIP, 5, 40, lat=36 * DEGREE, lon=-5 * DEGREE)
    tracks = tracks_of(sorted(first + second))
    assert [[position.lat for position in track] for track in tracks] == [
        [report.lat for report in ship] for ship in (first, second)
    ]


def test_the_nearest_track_is_joined_and_of_equal_ones_that_heard_last() -> None:
    # Both ships could have come to the last position, which is a little nearer to the earlier one.
    south, north = Report(SHIP, NOON, 55 * DEGREE, 0), Report(SHIP, NOON + 1, 55 * DEGREE + NAUTICAL_MILE, 0)
    rule = Rule(min_track_positions=1)
    nearer_south = Report(SHIP, NOON + 600, 55 * DEGREE + NAUTICAL_MILE // 2 - 1, 0)
    assert times_of(tracks_of([south, north, nearer_south], rule)) == [[0, 600], [1]]
    assert NAUTICAL_MILE % 2 == 0
    between = nearer_south._replace(lat=55 * DEGREE + NAUTICAL_MILE // 2)
    assert times_of(tracks_of([south, north, between], rule)) == [[0], [1, 600]]


@pytest.mark.parametrize("seconds", [1, 2, 3, 60])
def test_the_speed_limit_is_the_distance_that_it_says(seconds: int) -> None:
    # Along a meridian the great-circle distance is the difference of latitude times the radius.
    metres = 50 * 1_852 / 3_600 * max(seconds, SHORTEST_SECONDS) + POSITION_TOLERANCE_METRES
    step = math.degrees(metres / 6_371_008.8) * DEGREE
    start = Report(SHIP, NOON, 20 * DEGREE, 7 * DEGREE)
    for lat, tracks in ((math.floor(step), 1), (math.ceil(step), 2)):
        ahead = start._replace(t=NOON + seconds, lat=start.lat + lat)
        assert len(tracks_of([start, ahead], Rule(min_track_positions=1))) == tracks


def test_a_ship_may_be_just_as_far_as_it_can_go() -> None:
    start = Report(SHIP, NOON, 20 * DEGREE, 7 * DEGREE)
    ahead = start._replace(t=NOON + 1_000, lat=start.lat + DEGREE // 10)
    millimetres = distance_millimetres(start, ahead)
    for reach, tracks in ((millimetres, 1), (millimetres - 1, 2)):
        # Half a millimetre more, which the rule rounds down, so that this does not hang on the last digit.
        metres_per_second = (reach + 0.5 - 1_000 * POSITION_TOLERANCE_METRES) / 1_000 / 1_000
        rule = Rule(max_speed_knots=metres_per_second * 3_600 / 1_852, min_track_positions=1)
        assert len(tracks_of([start, ahead], rule)) == tracks


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((10 * DEGREE, 180 * DEGREE - 300), (10 * DEGREE, 300 - 180 * DEGREE)),
        ((-64 * DEGREE, -180 * DEGREE), (-64 * DEGREE, 180 * DEGREE)),
        ((90 * DEGREE, -135 * DEGREE), (90 * DEGREE, 45 * DEGREE)),
        ((90 * DEGREE - 300, 0), (90 * DEGREE - 300, 180 * DEGREE)),
        ((300 - 90 * DEGREE, -179 * DEGREE), (300 - 90 * DEGREE, 1 * DEGREE)),
    ],
)
def test_the_antimeridian_and_the_poles_are_no_jumps(before: tuple[int, int], after: tuple[int, int]) -> None:
    reports = [Report(SHIP, NOON, *before), Report(SHIP, NOON + 10, *after)]
    assert times_of(tracks_of(reports)) == [[0, 10]]


def test_the_longest_silent_of_too_many_open_segments_is_closed() -> None:
    apart = [Report(SHIP, NOON + k, (50 + k) * DEGREE, 10 * DEGREE) for k in range(OPEN_SEGMENTS + 1)]
    back_at_second = apart[1]._replace(t=NOON + 100)
    rule = Rule(min_track_positions=1)
    assert [1, 100] in times_of(tracks_of([*apart, back_at_second], rule))
    back_at_first = apart[0]._replace(t=NOON + 100)
    assert [100] in times_of(tracks_of([*apart, back_at_first], rule))
    assert [0, 100] in times_of(tracks_of([*apart[:-1], back_at_first], rule))


def test_missing_sog_and_cog_hold_the_last_known_of_the_same_track() -> None:
    motion = [(None, 10), (5, None), (None, None), (7, 20), (None, 30)]
    ship = [Report(SHIP, NOON + k, 55 * DEGREE, 10 * DEGREE, *values) for k, values in enumerate(motion)]
    tables, stream = built([clean_table(ship)], Rule())
    assert [(p.t - NOON, p.sog, p.cog) for p in positions_of(tables)] == [
        (1, 5, 10),
        (2, 5, 10),
        (3, 7, 20),
        (4, 7, 30),
    ]
    assert stream.ledger.dropped == {"no_motion_yet": 1, "stray_position": 0}
    assert stream.ledger.notes == {"vessels": 1, "tracks": 1, "sog_held": 2, "cog_held": 2}


def test_a_course_between_350_and_10_is_not_made_up_through_180() -> None:
    way = [
        Report(SHIP, NOON + 10 * k, 55_000_000 + 100 * k, 10_000_000, 100, cog)
        for k, cog in enumerate([3_500, None, 100])
    ]
    assert [position.cog for position in tracks_of(way)[0]] == [3_500, 3_500, 100]


def test_a_cut_is_where_the_jump_is_though_rows_before_it_were_dropped() -> None:
    """A peer took its indices from the array that was left after filtering, and cut the unfiltered one there."""
    way = straight(SHIP, 0, 10, lat=55_000_000, lon=10_000_000)
    jumped = straight(SHIP, 100, 10, lat=56_000_000, lon=10_000_000)
    silent = [report._replace(sog=None) for report in way[:3]]
    stray = [Report(SHIP, NOON + 45, 40_000_000, 10_000_000)]
    tracks = tracks_of(sorted([*silent, *way[3:], *stray, *jumped]))
    assert times_of(tracks) == [list(range(30, 100, 10)), list(range(100, 200, 10))]


def test_motion_is_not_held_across_tracks() -> None:
    first = straight(SHIP, 0, 3, lat=55 * DEGREE, lon=10 * DEGREE)
    second = [r._replace(sog=None) for r in straight(SHIP, 5, 3, lat=36 * DEGREE, lon=10 * DEGREE)]
    tables, stream = built([clean_table(sorted(first + second))], Rule())
    assert {position.lat // DEGREE for position in positions_of(tables)} == {55}
    assert stream.ledger.dropped == {"no_motion_yet": 3, "stray_position": 0}


def test_thinning_counts_from_the_last_position_kept() -> None:
    reports = [Report(SHIP, NOON + second, 0, 0) for second in (0, 4, 9, 10, 13, 19, 20, 29, 45)]
    rule = Rule(thin_seconds=10)
    assert times_of(tracks_of(reports, rule)) == [[0, 10, 20, 45]]
    assert built([clean_table(reports)], rule)[1].ledger.dropped["thinned"] == 5


def test_a_thinned_track_has_no_silence_over_the_limit() -> None:
    # Thinned after the cut, the two positions kept would be 14,459 s apart in one track.
    reports = [Report(SHIP, NOON + second, 0, 0) for second in (0, 59, 59 + GAP, 119 + GAP)]
    assert times_of(tracks_of(reports)) == [[0, 59, 59 + GAP, 119 + GAP]]
    assert times_of(tracks_of(reports, Rule(thin_seconds=60, min_track_positions=1))) == [[0], [59 + GAP, 119 + GAP]]


def test_two_ships_under_one_mmsi_are_thinned_apart() -> None:
    here = [Report(SHIP, NOON + 10 * k, 0, 0) for k in range(6)]
    there = [Report(SHIP, NOON + 10 * k + 5, 10 * DEGREE, 0) for k in range(6)]
    assert times_of(tracks_of(sorted(here + there), Rule(thin_seconds=20))) == [[0, 20, 40], [5, 25, 45]]


def still(first: int, last: int, sog: int = 4) -> list[Report]:
    """A ship lying still, a report every minute from `first` to `last`, in minutes after noon."""
    return [Report(SHIP, NOON + 60 * minute, 0, 0, sog) for minute in range(first, last + 1)]


def test_a_stretch_at_anchor_is_left_out_and_ends_the_track() -> None:
    reports = [*still(0, 4, 50), *still(5, 35), *still(36, 39, 50)]
    assert len(tracks_of(reports)) == 1
    rule = Rule(stationary_seconds=30 * 60)
    assert times_of(tracks_of(reports, rule)) == [[60 * k for k in range(5)], [60 * k for k in range(36, 40)]]
    assert built([clean_table(reports)], rule)[1].ledger.dropped["stationary"] == 31


def test_a_shorter_or_faster_stretch_is_a_part_of_the_voyage() -> None:
    reports = [*still(0, 4, 50), *still(5, 35), *still(36, 39, 50)]
    assert len(tracks_of(reports, Rule(stationary_seconds=30 * 60 + 1))) == 1
    assert len(tracks_of(reports, Rule(stationary_seconds=60, stationary_knots=0.4))) == 1
    assert len(tracks_of(reports, Rule(stationary_seconds=60, stationary_knots=0.5))) == 2
    # A single faster report in the middle makes two stretches of it, both too short.
    moved = [*still(0, 14), *still(15, 15, 5), *still(16, 31)]
    assert len(tracks_of(moved, Rule(stationary_seconds=30 * 60))) == 1


def test_length_counts_what_is_left_after_motion() -> None:
    # Three positions, two of them before SOG is known: one is left, fewer than two.
    ship = straight(SHIP, 0, 3, lat=55 * DEGREE, lon=10 * DEGREE)
    ship = [report._replace(sog=None) for report in ship[:2]] + ship[2:]
    tables, stream = built([clean_table(ship)], Rule())
    assert positions_of(tables) == []
    assert stream.ledger.dropped == {"no_motion_yet": 2, "stray_position": 1}
    assert stream.ledger.notes["tracks"] == stream.ledger.notes["vessels"] == 0


def test_the_id_is_the_mmsi_and_the_first_kept_second() -> None:
    ship = straight(SHIP, 0, 4, lat=55 * DEGREE, lon=10 * DEGREE)
    ship[0] = ship[0]._replace(cog=None)
    (track,) = tracks_of(ship)
    assert {position.track for position in track} == {(SHIP << 32) | (NOON + 10)}


def test_tracks_are_by_the_start_of_what_is_kept() -> None:
    # The southern ship's segment opens first, but its SOG is known only after the northern one's.
    south = [r._replace(sog=None if k < 2 else 10) for k, r in enumerate(straight(SHIP, 0, 5, lat=0, lon=0))]
    north = straight(SHIP, 5, 5, lat=55 * DEGREE, lon=0)
    tracks = tracks_of(sorted(south + north))
    assert times_of(tracks) == [[5, 15, 25, 35, 45], [20, 30, 40]]


def test_the_split_is_by_vessel() -> None:
    vessels = range(201_000_000, 201_000_300)
    reports = [report for mmsi in vessels for report in straight(mmsi, 0, 3, lat=0, lon=0)]
    tables, _ = built([clean_table(reports)], Rule(validation_fraction=0.3))
    table = pa.concat_tables(tables)
    kept_out = is_validation(np.array(table["mmsi"], np.int32), 0.3, 17)
    assert table["split"].to_pylist() == [schema.SPLITS[int(value)] for value in kept_out]
    assert 0 < kept_out.sum() < len(kept_out)


def test_tables_are_cut_between_tracks_and_inside_of_longer_ones_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TABLE_POSITIONS", 10)
    lengths = {201_000_001: 4, 201_000_002: 5, 201_000_003: 3, 201_000_004: 23, 201_000_005: 10}
    reports = [r for mmsi, count in lengths.items() for r in straight(mmsi, 0, count, lat=0, lon=0)]
    # A vessel with more than a table's positions, in tracks of 6, 4, 5 and 2.
    reports += [
        report
        for start, count in ((0, 6), (2 * GAP, 4), (4 * GAP, 5), (6 * GAP, 2))
        for report in straight(201_000_006, start, count, lat=0, lon=0)
    ]
    tables, _ = built([clean_table(reports)], Rule())
    assert [table.num_rows for table in tables] == [9, 3, 10, 10, 3, 10, 10, 7]


def test_no_positions_make_no_tracks() -> None:
    for days in ([], [clean_table([])], [clean_table([]), clean_table([])]):
        tables, stream = built(days, Rule())
        assert tables == []
        assert stream.ledger.rows_in == 0
        assert stream.facts["dt_seconds"]["counts"] == [0] * len(DT_EDGES)


def test_facts_say_how_it_was_built() -> None:
    rule = Rule(3_600, 40.0, 3, 0.25, 99)
    facts = built([], rule)[1].facts
    assert {name: facts[name] for name in dataclasses.asdict(rule)} == dataclasses.asdict(rule)
    assert facts["dt_seconds"]["edges"] == list(DT_EDGES)


def test_chunks_and_slices_are_read_as_they_are() -> None:
    reports = straight(SHIP, 0, 20, lat=55 * DEGREE, lon=10 * DEGREE)
    reports[7] = reports[7]._replace(sog=None)
    whole = clean_table(reports)
    chunked = pa.concat_tables([whole.slice(0, 6), whole.slice(6, 3), whole.slice(9)])
    padded = pa.concat_tables([clean_table([Report(1, 0, 0, 0)]), whole]).combine_chunks().slice(1)
    expected = positions_of(built([whole], Rule())[0])
    assert len(expected) == 20
    for table in (chunked, padded):
        assert positions_of(built([table], Rule())[0]) == expected


@pytest.mark.parametrize(
    ("days", "message"),
    [
        (lambda r: [[r[0], r[2], r[1]]], r"table 0, row 2: .*2024-03-01T12:00:10.*sorted by \(mmsi, t\)"),
        (lambda r: [[r[0], r[0]]], r"table 0, row 1: .*one a vessel and second"),
        (lambda r: [[r[0]._replace(mmsi=OTHER), r[1]]], r"table 0, row 1: .*sorted by \(mmsi, t\)"),
        (lambda r: [[r[1]], [r[0]]], rf"table 1: MMSI {SHIP} begins at 2024-03-01T12:00:00.*in their order"),
        (lambda r: [[r[0]], [r[0]]], r"table 1: .*not later than its last position"),
    ],
)
def test_disorder_is_refused(days: Any, message: str) -> None:
    tables = [clean_table(day) for day in days(straight(SHIP, 0, 3, lat=0, lon=0))]
    with pytest.raises(ValueError, match=message):
        built(tables, Rule())


def test_a_time_of_part_of_a_second_is_refused() -> None:
    table = clean_table([Report(SHIP, NOON, 0, 0)])
    late = table.set_column(1, schema.CLEAN_RECORDS.field("t"), pa.array([NOON * 1_000 + 1], schema.UTC))
    with pytest.raises(ValueError, match="whole seconds"):
        built([late], Rule())


def test_other_columns_are_refused() -> None:
    table = clean_table([Report(SHIP, NOON, 0, 0)])
    with pytest.raises(ValueError, match="table 0: there is no column 'lat_microdegrees'"):
        built([table.drop_columns(["lat_microdegrees"])], Rule())
    with pytest.raises(ValueError, match="table 0: column 'lat_microdegrees' is double; it must be int32"):
        built([table.set_column(2, "lat_microdegrees", pa.array([55.0]))], Rule())
    with pytest.raises(ValueError, match="table 0: column 'lon_microdegrees' has 1 nulls"):
        built([table.set_column(3, "lon_microdegrees", pa.array([None], pa.int32()))], Rule())


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_gap_seconds": 0},
        {"max_gap_seconds": GAP + 1},
        {"max_speed_knots": 0.0},
        {"max_speed_knots": math.nan},
        {"max_speed_knots": math.inf},
        {"min_track_positions": 0},
        {"thin_seconds": -1},
        {"stationary_seconds": -1},
        {"stationary_knots": 0.0},
        {"stationary_knots": math.nan},
    ],
)
def test_arguments_out_of_range_are_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        build_tracks(iter(()), **(dataclasses.asdict(Rule()) | wrong))


def test_run_starts() -> None:
    assert run_starts(np.array([], np.int64)).tolist() == []
    assert run_starts(np.array([7, 7, 8, 9, 9])).tolist() == [0, 2, 3]


def _tenths(text: str, missing: float) -> int | None:
    return None if not text or float(text) >= missing else round(float(text) * 10)


def _norwegian(path: Path) -> Iterator[Report]:
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter=";"):
            moment = datetime.strptime(row["date_time_utc"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
            yield Report(
                int(row["mmsi"]),
                int(moment.timestamp()),
                round(float(row["lat"]) * DEGREE),
                round(float(row["lon"]) * DEGREE),
                _tenths(row["sog"], 102.3),
                _tenths(row["cog"], 360),
            )


def test_real_ships_of_one_day(real_data: Path) -> None:
    path = real_data / "norway" / "vestland-2022-09-01-five-ships.csv"
    if not path.is_file():
        pytest.skip(f"{path} is not among the real data")
    first_of_second = {(r.mmsi, r.t): r for r in sorted(_norwegian(path), reverse=True)}
    reports = sorted(first_of_second.values())
    tables, stream = built([clean_table(reports)], Rule())
    expected, dropped = reference_tracks(reports, Rule())
    assert positions_of(tables) == expected
    assert Counter(stream.ledger.dropped) == dropped
    assert stream.ledger.notes["vessels"] == 5
    # Five ships in good reception all day: nearly everything is in a few long tracks.
    assert stream.ledger.rows_out > 0.95 * stream.ledger.rows_in
    assert stream.ledger.notes["tracks"] < 40
