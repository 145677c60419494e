"""A day's measures, against known answers and a plain count, and the rule that names days unlike those before."""

from __future__ import annotations

import statistics
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ais_assets import schema
from ais_assets.ledger import Ledger
from ais_assets.stream import RecordStream
from ais_assets.transforms.quality import (
    CLEAN_COLUMNS,
    FEWEST_DAYS,
    RAW_COLUMNS,
    SHARE,
    SMALLEST_SHARE,
    WARNED_DAYS,
    day_quality,
    departures,
    measures_of_facts,
    newest,
)
from ais_assets_tests.transforms.test_vessels import raw_table, record

DAY = date(2024, 2, 29)
MIDNIGHT = int(datetime(2024, 2, 29, tzinfo=UTC).timestamp())
SHIP, OTHER_SHIP, THIRD_SHIP = 219_000_001, 265_000_002, 211_000_003
MONTH, FAR = 30, 5.0


def clean_table(reports: list[tuple[int, int]]) -> pa.Table:
    """Of CLEAN_RECORDS what is needed, from (MMSI, second of the day) in order."""
    return pa.table(
        {
            "mmsi": pa.array([mmsi for mmsi, _ in reports], pa.int32()),
            "t": pa.array([1000 * (MIDNIGHT + second) for _, second in reports], pa.int64()).cast(schema.UTC),
        }
    )


def measured(
    raw: list[dict[str, Any]], clean: list[list[tuple[int, int]]], rejected: dict[str, int], dropped: dict[str, int]
) -> tuple[dict[str, float], RecordStream]:
    """The measures of a day with such accounts, after the checks that hold for any day."""
    positions = sum(map(len, clean))
    raw_account = Ledger(len(raw) + sum(rejected.values()), len(raw), rejected)
    clean_account = Ledger(len(raw), positions, dropped)
    stream = day_quality(
        DAY,
        iter([raw_table(raw).select(list(RAW_COLUMNS))]),
        iter([clean_table(reports).select(list(CLEAN_COLUMNS)) for reports in clean]),
        raw_account,
        clean_account,
    )
    (table,) = stream.tables
    table.validate(full=True)
    assert table.schema.equals(schema.DAILY_QUALITY, check_metadata=True)
    assert set(table["day"].to_pylist()) <= {DAY}
    of_facts = measures_of_facts({DAY: {**stream.facts, "made_from": {"raw_records": {}}, "published": True}})
    assert of_facts.schema.equals(schema.DAILY_QUALITY, check_metadata=True)
    assert of_facts.sort_by("measure").equals(table.sort_by("measure")), "as the facts tell them"
    shares = [row["value"] for row in table.to_pylist() if row["unit"] == SHARE]
    assert all(0 <= share <= 1 for share in shares)
    return dict(zip(table["measure"].to_pylist(), table["value"].to_pylist(), strict=True)), stream


def test_every_measure_of_a_small_day() -> None:
    raw = [
        record(1, SHIP, sog=1, cog=2, heading=3, nav_status="moored", lat=55, lon=10, name="A", length=10.0),
        record(2, SHIP, lat=55, lon=10, sog=1),
        record(3, OTHER_SHIP, lat=55, lon=10, callsign="C"),
        record(4, 2_190_045, "base station"),
    ]
    clean = [[(SHIP, 10), (SHIP, 12), (SHIP, 22)], [(OTHER_SHIP, 3_600), (OTHER_SHIP, 3_700), (THIRD_SHIP, 86_399)]]
    # Accounts need not come from these very rows.
    measures, stream = measured(raw * 3, clean, {"bad_time": 3}, {"not_a_vessel": 6})
    assert measures["source_rows"] == 15
    assert measures["records"] == 12
    assert measures["positions"] == 6
    assert measures["vessels"] == 3
    assert measures["rejected_bad_time"] == 3 / 15
    assert measures["dropped_not_a_vessel"] == 6 / 12
    assert [measures[f"no_{field}"] for field in ("position", "sog", "cog", "heading", "nav_status")] == [
        1 / 4,
        2 / 4,
        3 / 4,
        3 / 4,
        3 / 4,
    ]
    assert measures["vessels_without_name"] == measures["vessels_without_callsign"] == 2 / 3
    assert measures["vessels_without_imo"] == 1
    assert measures["hours_without_positions"] == 21
    assert [measures[f"positions_{hour:02}h"] for hour in (0, 1, 2, 23)] == [3, 2, 0, 1]
    assert measures["median_interval_seconds"] == 10
    assert (stream.ledger.rows_in, stream.ledger.rows_out) == (15, 6)
    assert stream.ledger.dropped == {"bad_time": 3, "not_a_vessel": 6}
    stream.ledger.balance("test")
    assert stream.facts["positions_by_hour"] == [3, 2, *[0] * 21, 1]
    assert stream.facts["vessels"] == 3


def test_a_day_that_was_never_published_has_no_measures() -> None:
    measures, stream = measured([], [[], []], {}, {})
    assert (measures, stream.facts) == ({}, {})


def test_a_day_of_rejects_alone() -> None:
    measures, _ = measured([], [[]], {"bad_time": 7}, {})
    assert measures["rejected_bad_time"] == 1
    assert measures["hours_without_positions"] == 24
    assert "median_interval_seconds" not in measures


def test_stages_of_different_runs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"2024-02-29: parsing gave 5 records and cleaning took in 4: materialize"):
        day_quality(DAY, iter([]), iter([]), Ledger(5, 5), Ledger(4, 4))


@settings(deadline=None)
@given(
    st.sets(st.tuples(st.sampled_from([SHIP, OTHER_SHIP, THIRD_SHIP]), st.integers(0, 86_399)), min_size=1),
    st.integers(1, 3),
)
def test_coverage_and_interval_as_counted_one_by_one(reports: set[tuple[int, int]], shards: int) -> None:
    by_vessel = sorted(reports)
    clean = [[report for report in by_vessel if report[0] % shards == shard] for shard in range(shards)]
    measures, _ = measured([record()] * len(reports), clean, {}, {})
    between = [b[1] - a[1] for a, b in pairwise(by_vessel) if a[0] == b[0]]
    assert measures.get("median_interval_seconds") == (statistics.median(between) if between else None)
    hours = [second // 3_600 for _, second in reports]
    assert [measures[f"positions_{hour:02}h"] for hour in range(24)] == [hours.count(hour) for hour in range(24)]
    assert measures["vessels"] == len({mmsi for mmsi, _ in reports})


def history(values: list[float | None], unit: str = "1", measure: str = "vessels") -> pa.Table:
    """DAILY_QUALITY of one measure on consecutive days; None: a day without it."""
    rows = [
        {"day": DAY + timedelta(days=number), "measure": measure, "value": value, "unit": unit}
        for number, value in enumerate(values)
        if value is not None
    ]
    return pa.Table.from_pylist(rows, schema.DAILY_QUALITY)


def departing(values: list[float | None], unit: str = "1", **options: Any) -> list[int]:
    """Which of consecutive days depart."""
    found = departures(history(values, unit), **{"days": MONTH, "deviations": FAR, **options})
    return sorted((departure.day - DAY).days for departure in found)


WEEKS = [100.0, 101.0, 99.0, 100.0, 102.0, 90.0, 88.0] * 5
"""A measure with quiet weekends."""


@pytest.mark.parametrize(
    ("last", "departs"), [(100.0, False), (88.0, False), (110.0, False), (40.0, True), (160.0, True)]
)
def test_a_day_unlike_the_month_before(last: float, departs: bool) -> None:
    assert departing([*WEEKS, last]) == ([len(WEEKS)] if departs else [])


def test_what_a_departure_says() -> None:
    (found,) = departures(history([*[100.0] * 10, 40.0]), days=MONTH, deviations=FAR)
    assert (found.day, found.measure) == (DAY + timedelta(days=10), "vessels")
    assert (found.value, found.usual, found.allowed) == (40.0, 100.0, 25.0)


def test_an_odd_day_does_not_hide_the_next() -> None:
    assert departing([*WEEKS, 40.0, 100.0, 40.0, 40.0]) == [35, 37, 38]


def test_small_changes_of_something_steady_are_no_news() -> None:
    assert departing([*[1000.0] * 10, 1249.0]) == []
    assert departing([*[1000.0] * 10, 1251.0]) == [10]
    assert departing([*[0.0] * 10, SMALLEST_SHARE / 2], SHARE) == []
    assert departing([*[0.0] * 10, SMALLEST_SHARE * 2], SHARE) == [10]


def test_a_first_reject_reason_of_a_count_is_news() -> None:
    assert departing([*[0.0] * 10, 1.0]) == [10]


def test_there_is_no_usual_before_a_week() -> None:
    assert departing([*[100.0] * (FEWEST_DAYS - 1), 1.0]) == []
    assert departing([*[100.0] * FEWEST_DAYS, 1.0]) == [FEWEST_DAYS]
    gaps: list[float | None] = [100.0, None] * (FEWEST_DAYS - 1)
    assert departing([*gaps, 1.0]) == []
    assert departing([*[100.0] * FEWEST_DAYS, *[None] * MONTH, 1.0]) == []


def test_only_the_days_before_say_what_is_usual() -> None:
    values: list[float | None] = [*[10.0] * 20, *[100.0] * 20]
    assert departing([*values, 100.0], days=10) == list(range(20, 25))
    assert departing([*values, 10.0], days=10)[-1] == 40


@pytest.mark.parametrize(("after", "warned"), [(0, True), (WARNED_DAYS - 1, True), (WARNED_DAYS, False), (90, False)])
def test_an_odd_day_is_a_warning_for_a_week_and_then_history(after: int, warned: bool) -> None:
    quality = history([*[100.0] * 40, 10.0, *[100.0] * after])
    found = departures(quality, days=MONTH, deviations=FAR)
    assert [departure.value for departure in found] == [10.0]
    assert newest(found, quality) == (found if warned else [])


def test_no_day_at_all_is_no_warning() -> None:
    assert newest([], history([])) == []


def test_every_order_of_rows_gives_the_same() -> None:
    table = history([*WEEKS, 40.0, 160.0])
    shuffled = table.take(np.random.default_rng(1).permutation(table.num_rows))
    assert departures(shuffled, days=MONTH, deviations=FAR) == departures(table, days=MONTH, deviations=FAR)


@pytest.mark.parametrize(("days", "deviations"), [(FEWEST_DAYS - 1, FAR), (MONTH, 0.0)])
def test_settings_that_make_no_sense(days: int, deviations: float) -> None:
    with pytest.raises(ValueError, match="at least 7 and above 0"):
        departures(history([]), days=days, deviations=deviations)
