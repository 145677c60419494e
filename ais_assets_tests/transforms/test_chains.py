"""Chains: known answers of every kind of fault, and what any single fix in a clean voyage does."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ais_assets.transforms.chains import OPEN_CHAINS, POSITION_TOLERANCE_METRES, SHORTEST_SECONDS, TENTATIVE_POSITIONS
from ais_assets_tests.transforms.track_reference import reference_tracks
from ais_assets_tests.transforms.track_reports import (
    DEGREE,
    GAP,
    NAUTICAL_MILE,
    NOON,
    SHIP,
    Report,
    Rule,
    ahead,
    built,
    clean_table,
    positions_of,
    sailing,
    straight,
    times_of,
    tracks_of,
)

MILE = 1_852
KNOT = MILE / 3_600
METRES_PER_STEP = 6_371_008.8 * math.pi / 180 / DEGREE


def lengths(reports: list[Report]) -> list[int]:
    """Positions of each track."""
    return [len(track) for track in tracks_of(sorted(reports))]


def ferry() -> list[Report]:
    """A day between two berths 10 nautical miles apart: half an hour at each, half an hour under way at 20 knots."""
    reports = []
    for second in range(0, 86_400, 10):
        phase = second % 7_200
        under_way = phase // 1_800 % 2 == 1
        share = min(phase / 1_800 - 1, 1.0) if phase >= 1_800 else 0.0
        share = share if phase < 5_400 else 1 - (phase - 5_400) / 1_800
        course = 0 if phase < 5_400 else 180
        place = ahead(55 * DEGREE, 10 * DEGREE, 0, share * 10 * MILE)
        reports.append(Report(SHIP, NOON + second, *place, 200 * under_way, 10 * course))
    return reports


def test_a_fix_of_the_other_berth_heard_late_is_dropped_and_revives_nothing() -> None:
    reports = ferry()
    late = (3_600 + 1_500 - 1_500 % 10) // 10
    reports[late] = reports[late]._replace(lat=reports[0].lat, lon=reports[0].lon)
    assert lengths(reports) == [len(reports) - 1]


@pytest.mark.parametrize("knots", [15.0, 0.0])
def test_a_fix_far_ahead_on_her_own_course_adopts_nothing(knots: float) -> None:
    reports = sailing(180, step=60)
    place = ahead(reports[10].lat, reports[10].lon, 0, 20 * MILE)
    reports[10] = reports[10]._replace(lat=place[0], lon=place[1], sog=round(10 * knots))
    assert lengths(reports) == [179]


@pytest.mark.parametrize("metres", [-250, 250, 600, -5_000])
def test_a_fix_near_by_on_her_own_course_costs_itself(metres: int) -> None:
    reports = sailing(360)
    place = ahead(reports[50].lat, reports[50].lon, 0, metres)
    reports[50] = reports[50]._replace(lat=place[0], lon=place[1])
    assert lengths(reports) == [359]


def test_a_late_stamp_costs_itself() -> None:
    reports = sailing(360, knots=20)
    late = reports[50]._replace(t=reports[50].t + 8)
    assert lengths([*reports[:50], late, *reports[51:]]) == [359]
    assert lengths([*reports, late]) == [360]


@pytest.mark.parametrize(("knots", "step"), [(55, 10), (60, 2), (80, 30)])
def test_a_fast_craft_that_says_so_is_whole(knots: float, step: int) -> None:
    assert lengths(sailing(400, knots=knots, step=step, course=30)) == [400]


def test_a_ship_that_says_5_knots_does_not_do_43() -> None:
    later = sailing(60, step=60, knots=5, start=3_600 + 12_600, lat=57.5 * DEGREE)
    assert lengths([*sailing(60, step=60, knots=5), *later]) == [60, 60]


def test_many_ships_under_one_mmsi_are_told_apart() -> None:
    ships = [
        sailing(100, step=90, knots=8, course=40 * k, start=k, lat=(55 + k / 5) * DEGREE, lon=(10 + k / 10) * DEGREE)
        for k in range(OPEN_CHAINS + 8)
    ]
    assert lengths([report for ship in ships[:9] for report in ship]) == [100] * 9
    # For more there is no room: the first are kept.
    found = lengths([report for ship in ships for report in ship])
    assert len(found) >= OPEN_CHAINS - 1
    assert set(found) == {100}


def test_two_moored_ships_under_one_mmsi_five_miles_apart_are_two_tracks() -> None:
    here = sailing(300, step=180, knots=0)
    there = sailing(300, step=180, knots=0, start=77, lat=55 * DEGREE + 5.1 * NAUTICAL_MILE)
    assert lengths([*here, *there]) == [300, 300]


def test_two_strays_in_one_place_are_no_track() -> None:
    reports = sailing(360)
    strays = [reports[k]._replace(lat=reports[k].lat + 23 * NAUTICAL_MILE) for k in (50, 51)]
    assert lengths([*reports[:50], *strays, *reports[52:]]) == [358]


def test_a_short_track_that_stands_alone_is_one() -> None:
    few = TENTATIVE_POSITIONS - 1
    assert lengths([*sailing(few), *sailing(100, start=2 * GAP)]) == [few, 100]


def test_an_odd_one_out_is_dropped_where_its_neighbours_agree() -> None:
    reports = sailing(60, step=60)
    place = ahead(reports[30].lat, reports[30].lon, 90, 220)
    reports[30] = reports[30]._replace(lat=place[0], lon=place[1])
    _, stream = built([clean_table(reports)], Rule())
    assert stream.ledger.dropped == {"odd_one_out": 1, "stray_position": 0}
    # A turn is not odd: the course before it and the course after it do not agree with each other.
    turn = sailing(30, step=60)
    back = sailing(30, step=60, course=90, start=30 * 60, lat=turn[-1].lat, lon=turn[-1].lon + 5_000)
    assert lengths([*turn, *back]) == [60]


def test_a_coarse_position_may_be_a_tenth_of_a_minute_off() -> None:
    reports = sailing(200, step=10, knots=3)
    off = reports[100]._replace(lat=reports[100].lat + 1_000, coarse=True)
    assert lengths([*reports[:100], off, *reports[101:]]) == [200]
    # Another that is not coarse cannot have been there.
    assert lengths([*reports[:100], off._replace(coarse=False, lat=off.lat + 800), *reports[101:]]) == [199]


@st.composite
def clean_voyages(draw: st.DrawFn) -> list[Report]:
    """A ship on a steady course, or moored, at any place; 12 to 60 reports."""
    return sailing(
        draw(st.integers(12, 60)),
        step=draw(st.sampled_from([2, 10, 60, 180, 600])),
        knots=draw(st.sampled_from([0.0, 3.0, 15.0, 30.0, 60.0])),
        course=draw(st.integers(0, 359)),
        lat=draw(st.integers(-60, 60)) * DEGREE,
        lon=draw(st.integers(-170, 170)) * DEGREE,
    )


@settings(max_examples=400, deadline=None)
@given(clean_voyages(), st.data())
def test_any_single_fix_costs_at_most_itself_and_its_second(voyage: list[Report], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(voyage) - 1))
    of = voyage[at]
    late = data.draw(st.integers(-30, 30))
    metres = data.draw(st.sampled_from([0, 5, 30, 60, 100, 250, 400, 700, 1_500, 9_000, 40_000, 400_000]))
    place = ahead(of.lat, of.lon, data.draw(st.integers(0, 359)), metres)
    sog, cog = (
        data.draw(st.sampled_from([of.sog, None, 0, 150, 1_022])),
        data.draw(st.sampled_from([of.cog, None, 1_800])),
    )
    stray = Report(SHIP, of.t + late, *place, sog, cog)
    reports = sorted([report for report in voyage if report.t != stray.t] + [stray])
    (track,) = tracks_of(reports)
    kept = {position.t for position in track} - {stray.t}
    assert kept == {report.t for report in voyage} - {stray.t}


@st.composite
def turning_voyages(draw: st.DrawFn) -> list[Report]:
    """A ship that keeps her course for a while and then turns at a steady rate; 20 to 60 reports, each truly so."""
    count, step = draw(st.integers(20, 60)), draw(st.sampled_from([2, 6, 10]))
    metres = draw(st.sampled_from([5.0, 12.0, 25.0])) * KNOT
    begin, rate = draw(st.integers(0, count * step)), draw(st.sampled_from([-1.0, -0.3, 0.2, 0.5, 1.0]))
    course, place = float(draw(st.integers(0, 359))), (draw(st.integers(-60, 60)) * DEGREE, 10.0 * DEGREE)
    reports = []
    for second in range(count * step):
        if second % step == 0:
            tenths = round(10 * course) % 3_600
            reports.append(
                Report(SHIP, NOON + second, round(place[0]), round(place[1]), round(10 * metres / KNOT), tenths)
            )
        course += rate if second >= begin else 0.0
        # On a plane at her latitude, without the rounding that would add up from second to second.
        north, east = (metres * part(math.radians(course)) for part in (math.cos, math.sin))
        place = (
            place[0] + north / METRES_PER_STEP,
            place[1] + east / METRES_PER_STEP / math.cos(math.radians(place[0] / DEGREE)),
        )
    return reports


@settings(max_examples=200, deadline=None)
@given(turning_voyages(), st.data())
def test_a_late_stamp_in_a_turn_costs_at_most_itself_and_its_second(voyage: list[Report], data: st.DataObject) -> None:
    of = voyage[data.draw(st.integers(0, len(voyage) - 1))]
    late = of._replace(t=of.t + data.draw(st.integers(1, 60)))
    true = [report for report in voyage if report != of and report.t != late.t]
    (track,) = tracks_of(sorted([*true, late]))
    assert {position.t for position in track} - {late.t} == {report.t for report in true}


def test_a_single_jump_is_left_out_and_harms_nobody() -> None:
    ship = straight(SHIP, 0, 6, lat=55 * DEGREE, lon=10 * DEGREE)
    ship[3] = ship[3]._replace(lat=57 * DEGREE)
    tables, stream = built([clean_table(ship)], Rule())
    assert [position.t - NOON for position in positions_of(tables)] == [0, 10, 20, 40, 50]
    assert stream.ledger.dropped == {"odd_one_out": 0, "stray_position": 1}


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


@pytest.mark.parametrize("sog", [None, 0, 100, 240, 450, 600])
@pytest.mark.parametrize("seconds", [1, 2, 3, 60])
def test_the_reach_is_the_distance_that_it_says(seconds: int, sog: int | None) -> None:
    knots = {None: 50, 0: 20, 100: 32.5, 240: 50, 450: 56.25, 600: 75}[sog]
    metres = knots * KNOT * max(seconds, SHORTEST_SECONDS) + POSITION_TOLERANCE_METRES
    # Along a meridian the great-circle distance is the difference of latitude times the radius.
    step = math.degrees(metres / 6_371_008.8) * DEGREE
    start = Report(SHIP, NOON, 20 * DEGREE, 7 * DEGREE, sog)
    for lat, tracks in ((math.floor(step), 1), (math.ceil(step), 2)):
        there = start._replace(t=NOON + seconds, lat=start.lat + lat)
        assert len(tracks_of([start, there], Rule(min_track_positions=1))) == tracks


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


@pytest.mark.parametrize("lat", [-55, 0, 80])
@pytest.mark.parametrize("at", [(0,), (359,), (100, 160), (100, 101)])
def test_strays_of_one_place_at_either_end_and_twice_cost_themselves(at: tuple[int, ...], lat: int) -> None:
    reports = sailing(360, course=90, lat=lat * DEGREE, lon=179.9 * DEGREE)
    reports = [report._replace(lon=(report.lon + 180 * DEGREE) % (360 * DEGREE) - 180 * DEGREE) for report in reports]
    for k in at:
        reports[k] = reports[k]._replace(lat=reports[0].lat + 20_000, lon=reports[0].lon)
    assert lengths(reports) == [360 - len(at)]


def test_three_ships_under_one_mmsi_are_three_tracks() -> None:
    ships = [sailing(200, step=30, knots=12, course=80 * k, start=7 * k, lat=(54 + k) * DEGREE) for k in range(3)]
    assert lengths([report for ship in ships for report in ship]) == [200, 200, 200]


def test_half_an_hour_of_jamming_leaves_the_ship_whole() -> None:
    reports = sailing(720)
    for k in range(200, 380, 3):
        reports[k] = reports[k]._replace(lat=reports[0].lat + 30 * NAUTICAL_MILE, lon=reports[0].lon)
    assert lengths(reports) == [660]


@pytest.mark.parametrize("coarse", [False, True])
def test_a_ship_heard_every_three_minutes_loses_the_stray_alone(coarse: bool) -> None:
    reports = [report._replace(coarse=coarse) for report in sailing(120, step=180, knots=8, course=30)]
    reports[60] = reports[60]._replace(lat=reports[60].lat + 3 * NAUTICAL_MILE)
    assert lengths(reports) == [119]


def test_a_stray_without_sog_before_an_outage_does_not_take_the_ship_with_it() -> None:
    before = sailing(60, knots=10)
    stray = before[40]._replace(t=before[-1].t + 1, sog=None)
    after = sailing(60, knots=10, course=270, start=4_200, lat=55.1 * DEGREE)
    assert lengths([*before, stray, *after]) == [120]


def test_strays_do_not_live_for_hours() -> None:
    first = sailing(1, knots=12, lat=54 * DEGREE)
    later = sailing(60, knots=12, course=90, start=9_000, lat=54.4 * DEGREE)
    assert lengths([*first, *later]) == [60]


def noisy_ships(rng: random.Random) -> list[Report]:
    """One to three ships under one MMSI, on steady courses from places near one another, and bad fixes among theirs.

    Rows in the making, where a rule's clauses meet: each ship has about as many reports as prove a row, a bad fix says
    her place again as often as it is off it, and silences are about as long as chains stay open.
    """
    heard: dict[int, Report] = {}
    for _ in range(rng.choice([1, 1, 2, 3])):
        ship = sailing(
            rng.randint(6, 20),
            step=rng.choice([60, 180]),
            knots=rng.choice([3.0, 15.0]),
            course=rng.randint(0, 359),
            start=rng.randint(0, 300),
            lat=(55 + rng.choice([0.0, 0.01, 0.05, 0.3])) * DEGREE,
        )
        heard |= {report.t: report for report in ship}
    for _ in range(rng.randint(0, 16)):
        of = heard[rng.choice(sorted(heard))]
        place = ahead(of.lat, of.lon, rng.randint(0, 359), rng.choice([0, 0, 0, 100, 9_000, 40_000]))
        sog, cog = rng.choice([of.sog, None, 0, 150, 1_022]), rng.choice([of.cog, None, 1_800])
        bad = Report(SHIP, of.t + rng.randint(-40, 40), *place, sog, cog, coarse=rng.random() < 0.1)
        heard[bad.t] = bad
    return sorted(heard.values())


@settings(max_examples=200, deadline=None)
@given(st.randoms(use_true_random=False).map(noisy_ships), st.sampled_from([200, 600, 900]))
def test_noisy_ships_are_those_of_the_reference(reports: list[Report], max_gap_seconds: int) -> None:
    rule = Rule(max_gap_seconds=max_gap_seconds)
    expected, dropped = reference_tracks(reports, rule)
    tables, stream = built([clean_table(reports)], rule)
    assert positions_of(tables) == expected
    assert stream.ledger.dropped == dropped


def test_a_chain_that_is_alone_since_this_report_is_taken_at_once() -> None:
    elsewhere = [Report(SHIP, NOON, 56 * DEGREE, 10 * DEGREE)]
    ship = sailing(8, step=600, knots=3, course=116, start=GAP - 3_600)
    # The seventh is heard twice, at first with a SOG that leads far past it; with the eighth, the other is too old.
    early = ship[6]._replace(t=ship[6].t - 15, sog=1_022)
    assert lengths([*elsewhere, *ship, early]) == [9]


def test_a_place_that_she_left_and_says_again_lying_still_goes_on_from_its_last() -> None:
    ship = sailing(9, step=600)
    again = ship[-1]._replace(t=ship[-1].t + 10)
    still = again._replace(t=again.t + 22, sog=0)
    assert lengths([*ship, again, still]) == [11]
