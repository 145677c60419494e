"""Numbers, times and hashes of the row kernel against Python's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ais_assets.sources.rows.numbers import decimal
from ais_assets.sources.rows.text import PADDING, add_to_set, grown, line_end, span_hash
from ais_assets.sources.rows.times import (
    COARSE_TIME,
    DAY_FIRST,
    UNKNOWN_ZONE,
    counted_milliseconds,
    formatted_milliseconds,
    text_milliseconds,
)
from ais_assets.sources.rows.zones import AMBIGUOUS_LOCAL_TIME, NO_SUCH_LOCAL_TIME, zone_of


def as_text(raw: bytes) -> np.ndarray:
    return np.frombuffer(raw + PADDING, np.uint8)


def read_decimal(raw: str, places: int) -> int | None:
    ok, value = decimal(as_text(raw.encode()), 0, len(raw), places)
    return value if ok else None


def read_time(raw: str) -> int:
    return text_milliseconds(as_text(raw.encode()), 0, len(raw), DAY_FIRST, *zone_of("UTC"))


@given(st.decimals(min_value=-1000, max_value=1000, places=9), st.sampled_from([0, 1, 6]))
def test_a_decimal_is_rounded_half_away_from_zero(value: Decimal, places: int) -> None:
    expected = int((value * 10**places).quantize(Decimal(1), ROUND_HALF_UP))
    assert read_decimal(f"{value:f}", places) == expected


@given(st.floats(min_value=-1e3, max_value=1e3, allow_nan=False))
def test_what_python_prints_of_a_float_is_read_exactly(value: float) -> None:
    expected = int((Decimal(repr(value)) * 10**6).quantize(Decimal(1), ROUND_HALF_UP))
    assert read_decimal(repr(value), 6) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("12.5", 12_500_000),
        ("+1", 1_000_000),
        ("-0.0000005", -1),
        ("0.00000049999999999999999999999", 0),
        ("5e-06", 5),
        ("1.5E+1", 15_000_000),
        ("1e-99", 0),
        ("00057.5", 57_500_000),
        ("7.", 7_000_000),
        (".5", 500_000),
    ],
)
def test_forms_of_a_decimal(raw: str, expected: int) -> None:
    assert read_decimal(raw, 6) == expected


@pytest.mark.parametrize(
    "raw", ["", "-", ".", "1.2.3", "12a", "nan", "inf", "1e", "1e+", "1e5.0", "1,5,", "--1", "1 2", "e5"]
)
def test_what_is_no_decimal(raw: str) -> None:
    assert read_decimal(raw, 6) is None


@pytest.mark.parametrize("raw", ["9" * 40, "1" + "0" * 25 + ".5", "1e30", "9e999"])
def test_a_huge_decimal_stays_huge(raw: str) -> None:
    value = read_decimal(raw, 6)
    assert value is not None
    assert value >= 2**62


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2199, 12, 31)))  # noqa: DTZ001
def test_a_timestamp_in_both_forms(moment: datetime) -> None:
    whole = moment.replace(microsecond=0, tzinfo=UTC)
    expected = int(whole.timestamp()) * 1000
    for form in ("%d/%m/%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"):
        assert read_time(whole.strftime(form)) == expected
    assert read_time(moment.replace(tzinfo=UTC).isoformat()) == expected


@given(st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2100, 1, 1)), st.integers(-1439, 1439))  # noqa: DTZ001
def test_an_offset_is_taken_off(moment: datetime, minutes: int) -> None:
    there = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    assert read_time(there.isoformat()) == int(there.timestamp()) * 1000


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "01/03/2024",
        "30/02/2024 00:00:00",
        "29/02/2023 00:00:00",
        "03/13/2024 00:00:00",
        "00/01/2024 00:00:00",
        "01/03/2024 24:00:00",
        "01/03/2024 00:60:00",
        "01/03/2024 00:00:60",
        "01/03/1969 00:00:00",
        "2024-03-01_00:00:00",
        "13:00:00 PM 2024-03-01",
        "2024-03-01 13:00 PM",
        "2024-03-01 00:00 AM",
        "0a/03/2024 00:00:00",
    ],
)
def test_what_is_no_timestamp(raw: str) -> None:
    assert read_time(raw) == -1


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2199, 12, 31)))  # noqa: DTZ001
def test_a_timestamp_by_a_format(moment: datetime) -> None:
    whole = moment.replace(microsecond=0, tzinfo=UTC)
    expected = int(whole.timestamp()) * 1000
    for form, spelt in (
        ("%m/%d/%Y %H:%M:%S", "MM/DD/YYYY hh:mm:ss"),
        ("%Y%m%d%H%M%S", "YYYYMMDDhhmmss"),
        ("%S''%M'%H on %d.%m.%Y", "ss''mm'hh on DD.MM.YYYY"),
    ):
        raw = whole.strftime(form)
        by = np.frombuffer(spelt.encode(), np.uint8)
        assert formatted_milliseconds(as_text(raw.encode()), 0, len(raw), by, *zone_of("UTC")) == expected
        assert formatted_milliseconds(as_text(raw.encode()), 0, len(raw) - 1, by, *zone_of("UTC")) == -1


@given(st.integers(0, 2**32), st.integers(0, 10**9 - 1))
def test_a_count_since_1970_in_every_unit(seconds: int, nanoseconds: int) -> None:
    count = seconds * 10**9 + nanoseconds
    for places in (9, 6, 3, 0):
        raw = str(Decimal(count).scaleb(-places).quantize(Decimal(1), ROUND_DOWN))
        assert counted_milliseconds(as_text(raw.encode()), 0, len(raw), places) == seconds * 1000
    raw = f"{Decimal(count).scaleb(-9):f}"
    assert counted_milliseconds(as_text(raw.encode()), 0, len(raw), 9) == seconds * 1000


@pytest.mark.parametrize("raw", ["", "x", "-1", "1e40", "2024-03-01"])
def test_what_is_no_count(raw: str) -> None:
    assert counted_milliseconds(as_text(raw.encode()), 0, len(raw), 9) == -1


@given(st.binary(max_size=100), st.integers(0, 40))
def test_a_line_ends_at_its_first_newline(raw: bytes, start: int) -> None:
    text = as_text(raw)
    assert line_end(text, min(start, len(raw))) == (raw + PADDING).index(b"\n", min(start, len(raw)))


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(min_size=8, max_size=8))
def test_a_hash_is_of_its_span_and_of_nothing_beside_it(one: bytes, other: bytes, after: bytes) -> None:
    def hashed(raw: bytes) -> int:
        return int(span_hash(np.frombuffer(after + raw + after + PADDING, np.uint8), 8, 8 + len(raw)))

    alone = int(span_hash(as_text(one), 0, len(one)))
    assert hashed(one) == alone
    assert (hashed(one) == hashed(other)) == (one == other)


@given(st.lists(st.integers(1, 2**64 - 1), unique=True, max_size=60))
def test_a_set_keeps_what_it_has_when_it_grows(values: list[int]) -> None:
    seen = np.zeros(64, np.uint64)
    assert all(add_to_set(seen, np.uint64(value)) for value in values)
    larger = grown(seen)
    assert larger.size == 128
    assert not any(add_to_set(larger, np.uint64(value)) for value in values)


@pytest.mark.parametrize(
    "raw",
    [
        "2024-03-01 12:00:00+00",
        "2024-03-01 13:00:00.123456789+01",
        "2024-03-01T12:00:00+0000",
        "2024-03-01 12:00:00 +00:00",
        "2024-03-01 12:00:00 UTC",
        "2024-03-01t12:00:00.5z",
        "2024-03-01 12:00:00,123 gmt",
        "2024-03-01 12:00:00.000 +0000 UTC",
        "2024-03-01T06:30-0530",
        "2024-03-01T12:00Z",
        "2024-03-01 12:00",
        "01/03/2024 12:00",
        "1.3.2024 12:00:00",
        "01-03-2024 12:00:00 PM",
        "1/3/2024 12:00 pm",
        "2024/3/1 12:00:00",
        "20240301T120000Z",
        "20240301 1200",
    ],
)
def test_forms_of_noon(raw: str) -> None:
    assert read_time(raw) == int(datetime(2024, 3, 1, 12, tzinfo=UTC).timestamp()) * 1000


@pytest.mark.parametrize("raw", ["CET", "+1", "+01:0", "-24:00", "+01:00 UTC", "Europe/Copenhagen", "[UTC]", "."])
def test_an_offset_that_is_not_understood_is_said(raw: str) -> None:
    assert read_time(f"2024-03-01 12:00:00{raw}") == UNKNOWN_ZONE
    assert read_time(f"2024-03-01 12:00:00 {raw}") == UNKNOWN_ZONE


@pytest.mark.parametrize("raw", ["1.70929E+12", "1.7092944E12", "17e11"])
def test_a_count_that_is_too_coarse_is_said(raw: str) -> None:
    assert counted_milliseconds(as_text(raw.encode()), 0, len(raw), 6) == COARSE_TIME


@given(st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2090, 1, 1)))  # noqa: DTZ001
def test_a_local_time_is_the_one_that_the_zone_has_or_none(local: datetime) -> None:
    zone = ZoneInfo("America/New_York")
    local = local.replace(microsecond=0)
    both = {local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    there = {moment for moment in both if moment.astimezone(zone).replace(tzinfo=None) == local}
    raw = local.isoformat()
    found = text_milliseconds(as_text(raw.encode()), 0, len(raw), DAY_FIRST, *zone_of("America/New_York"))
    if len(there) == 1:
        assert found == int(there.pop().timestamp()) * 1000
    else:
        assert found == (AMBIGUOUS_LOCAL_TIME if there else NO_SUCH_LOCAL_TIME)


@pytest.mark.parametrize(
    ("raw", "expected"), [("2024-03-10T02:30:00", NO_SUCH_LOCAL_TIME), ("2024-11-03T01:30:00", AMBIGUOUS_LOCAL_TIME)]
)
def test_gaps_and_repeats_of_a_zone(raw: str, expected: int) -> None:
    zone = zone_of("America/New_York")
    assert text_milliseconds(as_text(raw.encode()), 0, len(raw), DAY_FIRST, *zone) == expected
