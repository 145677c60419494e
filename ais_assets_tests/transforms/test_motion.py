"""Motion: SOG and COG that were not received, and how chains become tracks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ais_assets.transforms.motion import HOLD_SECONDS, course_tenths
from ais_assets_tests.transforms.track_reports import (
    DEGREE,
    GAP,
    NOON,
    SHIP,
    Report,
    Rule,
    built,
    clean_table,
    positions_of,
    sailing,
    times_of,
    tracks_of,
)


def test_a_missing_value_is_the_last_one_received_a_minute_long_then_what_the_positions_say() -> None:
    ship = sailing(60, step=10, knots=15, course=40)
    silent = [report._replace(sog=None, cog=None) for report in ship[1:]]
    ship = [ship[0]._replace(sog=120, cog=300), *silent]
    tables, stream = built([clean_table(ship)], Rule())
    positions = positions_of(tables)
    held = HOLD_SECONDS // 10 + 1
    assert [(p.sog, p.cog) for p in positions[:held]] == [(120, 300)] * held
    assert {p.sog for p in positions[held:]} <= {149, 150, 151}
    assert all(abs(p.cog - 400) <= 3 for p in positions[held:])
    assert tables[0]["sog_held"].to_pylist() == tables[0]["cog_held"].to_pylist() == [False] + [True] * 59
    assert stream.ledger.notes | {"sog_held": 59, "cog_held": 59} == stream.ledger.notes


def test_twelve_knots_are_not_held_at_a_berth() -> None:
    under_way = sailing(20, step=10, knots=12)
    moored = [
        report._replace(t=report.t + 200, lat=under_way[-1].lat, lon=under_way[-1].lon, sog=None, cog=None)
        for report in sailing(1_000, step=180, knots=0)
    ]
    (track,) = tracks_of([*under_way, *moored])
    assert {p.sog for p in track[21:]} == {0}
    assert {p.cog for p in track} == {0}


def test_a_held_0_kn_does_not_make_a_sailing_ship_stationary() -> None:
    ship = sailing(400, step=10, knots=12)
    ship = [report._replace(sog=0 if k == 0 else None) for k, report in enumerate(ship)]
    _, stream = built([clean_table(ship)], Rule(stationary_seconds=30))
    assert stream.ledger.dropped["stationary"] == 0


def test_102_kn_of_a_moored_ship_are_not_taken_for_received() -> None:
    ship = sailing(100, step=10, knots=0)
    ship[50] = ship[50]._replace(sog=1_022)
    tables, stream = built([clean_table(ship)], Rule())
    assert {p.sog for p in positions_of(tables)} == {0}
    assert tables[0]["sog_held"].to_pylist() == [k == 50 for k in range(100)]
    assert stream.ledger.notes["sog_not_borne_out"] == 1


def test_a_course_is_kept_where_she_does_not_move_and_before_it_is_that_of_her_first_way() -> None:
    moored = [report._replace(cog=None) for report in sailing(10, step=180, knots=0)]
    away = [report._replace(cog=None) for report in sailing(10, step=60, knots=10, course=90, start=1_800)]
    tables, _ = built([clean_table([*moored, *away])], Rule())
    assert [p.cog for p in positions_of(tables)] == [900] * 20
    assert tables[0]["cog_held"].to_pylist() == [True] * 20
    north = moored[-1]._replace(lat=moored[-1].lat + 30)
    assert {p.cog for p in tracks_of([*moored[:-1], north])[0]} == {0}


@given(st.floats(0, 359.99), st.floats(1, 1e6))
def test_course_of_a_way(course: float, metres: float) -> None:
    north, east = metres * np.cos(np.radians(course)), metres * np.sin(np.radians(course))
    off = (course_tenths(north, east) - 10 * course + 1_800) % 3_600 - 1_800
    assert abs(off) <= 0.51


@pytest.mark.parametrize(
    ("north", "east", "tenths"), [(0.0, 0.0, 0), (1.0, 0.0, 0), (0.0, 1.0, 900), (-1.0, 0.0, 1_800)]
)
def test_course_along_the_axes(north: float, east: float, tenths: int) -> None:
    assert course_tenths(north, east) == tenths


def test_the_id_is_the_mmsi_and_the_first_second() -> None:
    (track,) = tracks_of(sailing(20, knots=0))
    assert {position.track for position in track} == {(SHIP << 32) | NOON}


def test_a_course_between_350_and_10_is_not_made_up_through_180() -> None:
    way = [
        Report(SHIP, NOON + 10 * k, 55_000_000 + 100 * k, 10_000_000, 100, cog)
        for k, cog in enumerate([3_500, None, 100])
    ]
    assert [position.cog for position in tracks_of(way)[0]] == [3_500, 3_500, 100]


def test_thinning_counts_from_the_last_position_kept() -> None:
    reports = [Report(SHIP, NOON + second, 0, 0) for second in (0, 4, 9, 10, 13, 19, 20, 29, 45)]
    rule = Rule(thin_seconds=10)
    assert times_of(tracks_of(reports, rule)) == [[0, 10, 20, 45]]
    assert built([clean_table(reports)], rule)[1].ledger.dropped["thinned"] == 5


def test_a_thinned_track_has_no_silence_over_the_limit() -> None:
    # Thinned after the cut, the two positions kept would be 14,459 s apart in one track.
    reports = [Report(SHIP, NOON + second, 0, 0, sog=0) for second in (0, 59, 59 + GAP, 119 + GAP)]
    assert times_of(tracks_of(reports)) == [[0, 59, 59 + GAP, 119 + GAP]]
    assert times_of(tracks_of(reports, Rule(thin_seconds=60, min_track_positions=1))) == [[0], [59 + GAP, 119 + GAP]]


def test_two_ships_under_one_mmsi_are_thinned_apart() -> None:
    here = [Report(SHIP, NOON + 10 * k, 0, 0) for k in range(12)]
    there = [Report(SHIP, NOON + 10 * k + 5, 10 * DEGREE, 0) for k in range(12)]
    assert times_of(tracks_of(sorted(here + there), Rule(thin_seconds=20))) == [
        [0, 20, 40, 60, 80, 100],
        [5, 25, 45, 65, 85, 105],
    ]


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
