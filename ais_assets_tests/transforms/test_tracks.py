"""The stage: shards of days to tracks, hostile inputs against the slow reference, and real ships."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ais_assets import schema
from ais_assets.transforms import tracks as module
from ais_assets.transforms.kernels import run_starts
from ais_assets.transforms.split import split_codes
from ais_assets.transforms.tracks import DT_EDGES, build_tracks
from ais_assets_tests.transforms.track_reference import reference_dt, reference_tracks
from ais_assets_tests.transforms.track_reports import (
    DEGREE,
    GAP,
    NOON,
    OTHER,
    SHIP,
    Report,
    Rule,
    built,
    clean_table,
    positions_of,
    sailing,
    straight,
    times_of,
    tracks_of,
)

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
@given(
    reports_of_vessels(),
    st.lists(st.integers(NOON, NOON + 400_000), max_size=4),
    st.integers(1, 20),
    st.integers(1, 20),
)
def test_how_days_blocks_and_tables_are_cut_does_not_matter(
    reports: list[Report], cuts: list[int], most: int, block: int
) -> None:
    edges = [0, *sorted(cuts), 2**32]
    days = [clean_table([report for report in reports if low <= report.t < high]) for low, high in pairwise(edges)]
    whole, stream = built([clean_table(reports)], Rule())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TABLE_POSITIONS", most)
        patch.setattr(module, "BLOCK_POSITIONS", block)
        parts, cut_stream = built(days, Rule())
    assert positions_of(parts) == positions_of(whole)
    assert cut_stream.ledger == stream.ledger
    assert cut_stream.facts == stream.facts


def test_a_gap_of_exactly_the_limit_stays_in_the_track() -> None:
    here = (55 * DEGREE, 10 * DEGREE)
    at_limit = [Report(SHIP, NOON + t, *here, sog=0) for t in (0, 10, 10 + GAP, 20 + GAP)]
    beyond = [Report(SHIP, NOON + t, *here, sog=0) for t in (0, 10, 11 + GAP, 21 + GAP)]
    assert times_of(tracks_of(at_limit)) == [[0, 10, 10 + GAP, 20 + GAP]]
    assert times_of(tracks_of(beyond)) == [[0, 10], [11 + GAP, 21 + GAP]]


def test_a_gap_of_a_day_and_five_minutes_ends_the_track() -> None:
    # A known defect elsewhere: the seconds of a timedelta, without its days, are only 300 here.
    reports = [Report(SHIP, NOON + t, 55 * DEGREE, 10 * DEGREE) for t in (0, 10, 86_710, 86_720)]
    assert times_of(tracks_of(reports)) == [[0, 10], [86_710, 86_720]]


def test_a_rebroadcast_over_midnight_without_sog_is_dropped() -> None:
    ship = sailing(200, start=43_200 - 1_000)
    heard_again = ship[90]._replace(t=ship[90].t + 125, sog=None)
    days = [sorted(report for report in [*ship, heard_again] if report.t // 86_400 == day) for day in (19_783, 19_784)]
    assert heard_again in days[1]
    assert ship[90] in days[0]
    tables, stream = built([clean_table(day) for day in days], Rule())
    assert {position.t for position in positions_of(tables)} == {report.t for report in ship}
    assert stream.ledger.dropped["stray_position"] + stream.ledger.dropped["odd_one_out"] == 1


def test_the_split_is_by_vessel() -> None:
    vessels = range(201_000_000, 201_000_300)
    reports = [report for mmsi in vessels for report in straight(mmsi, 0, 3, lat=0, lon=0)]
    tables, _ = built([clean_table(reports)], Rule(validation_fraction=0.3))
    table = pa.concat_tables(tables)
    mmsi = np.array(table["mmsi"], np.int32)
    codes = split_codes(mmsi, validation_fraction=0.3, test_fraction=0.0, seed=17)
    assert table["split"].to_pylist() == [schema.SPLITS[code] for code in codes]
    assert set(codes) == {0, 1}


@pytest.mark.parametrize("split", schema.SPLITS)
def test_a_vessel_is_split_as_her_hull_is(split: str) -> None:
    vessels = range(201_000_000, 201_000_100)
    reports = [report for mmsi in vessels for report in straight(mmsi, 0, 3, lat=0, lon=0)]
    mmsi = np.array(vessels, np.int32)
    codes = split_codes(mmsi, validation_fraction=0.3, test_fraction=0.2, seed=17)
    hull = int(mmsi[codes == schema.SPLITS.index(split)][0])
    stream = build_tracks(
        iter([clean_table(reports)]),
        max_gap_seconds=GAP,
        max_speed_knots=50.0,
        min_track_positions=2,
        validation_fraction=0.3,
        seed=17,
        hulls=dict.fromkeys(vessels, hull),
        test_fraction=0.2,
    )
    assert {name for table in stream.tables for name in table["split"].to_pylist()} == {split}


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
    # Worked on a few vessels at a time, the former of which have 9, 3, 23, 10 and 17 positions.
    monkeypatch.setattr(module, "BLOCK_POSITIONS", 10)
    monkeypatch.setattr(module, "TABLE_POSITIONS", 20)
    tables, _ = built([clean_table(reports)], Rule())
    assert [table.num_rows for table in tables] == [12, 20, 13, 17]


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
