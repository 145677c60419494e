"""Dead reckoning against courses whose end is known."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from ais_assets.transforms.dead_reckoning import (
    LONGEST_SILENCE_SECONDS,
    error_miles,
    forecast_errors,
    last_places,
    true_places,
)

SEEN = 10
"""Positions that the forecast is made from."""
NORTH_AT_EQUATOR = 110_574.3 / 1852
"""Nautical miles a degree of latitude has at the equator of WGS 84 (NGA.STND.0036: 110,574.3 m)."""
EAST_AT_EQUATOR = 111_319.5 / 1852
"""The same of longitude."""
FLOAT32_NM = 0.005
"""Positions are float32: near 180° one step is 1.7 m at the equator, and an error holds a few roundings."""
HORIZONS = (10, 30, 60)


def window(lat: ArrayLike, lon: ArrayLike, sog: ArrayLike, cog: ArrayLike, dt: ArrayLike) -> NDArray[np.float32]:
    """One window, (1, positions, 5), from columns that broadcast."""
    return np.stack(np.broadcast_arrays(lat, lon, sog, cog, dt), axis=-1).astype(np.float32)[None]


def sailed(
    lat: float, lon: float, knots: float, course: float, *, dt: float = 60.0, count: int = 100
) -> NDArray[np.float32]:
    """A ship on a rhumb line, in small steps: an integration, where the code under test has a closed form."""
    steps = 500
    step = knots * 1852 * dt / 3600 / steps
    north, east = (step * turn(math.radians(course)) for turn in (math.cos, math.sin))
    lats, lons = [lat], [lon]
    for _ in range(count - 1):
        for _ in range(steps):
            half_way = lat + math.degrees(north / 6_371_000 / 2)
            # Radii of curvature of WGS 84, in metres.
            w = 1 - 0.00669438 * math.sin(math.radians(half_way)) ** 2
            lat += math.degrees(north / (6_378_137 * (1 - 0.00669438) / w**1.5))
            lon += math.degrees(east / (6_378_137 / math.sqrt(w)) / math.cos(math.radians(half_way)))
        lats.append(lat)
        lons.append((lon + 180) % 360 - 180)
    return window(lats, lons, knots, course, dt)


def lost(*, minutes: Sequence[float] = HORIZONS, **columns: ArrayLike) -> NDArray[np.float64]:
    """Errors of one window of 100 positions, a minute apart and at 55° N 11° E, unless `columns` say other."""
    at_anchor: dict[str, ArrayLike] = {"lat": 55.0, "lon": 11.0, "sog": 0.0, "cog": 0.0, "dt": np.full(100, 60.0)}
    columns = {name: np.broadcast_to(column, 100) for name, column in (at_anchor | columns).items()}
    return forecast_errors(window(**columns), SEEN, minutes)[0]


@pytest.mark.parametrize("course", [0.0, 45.0, 90.0, 137.0, 180.0, 270.0, 359.9])
@pytest.mark.parametrize(("lat", "lon"), [(0.0, 0.0), (55.0, 11.0), (-70.0, -130.0), (10.0, 179.95), (-5.0, -179.95)])
def test_a_ship_that_holds_speed_and_course_is_forecast_exactly(lat: float, lon: float, course: float) -> None:
    assert forecast_errors(sailed(lat, lon, 18.0, course), SEEN, HORIZONS)[0] == pytest.approx(0, abs=FLOAT32_NM)


def test_a_ship_that_stops_is_missed_by_what_she_would_have_sailed() -> None:
    assert lost(sog=12.0, cog=180.0) == pytest.approx([2, 6, 12], rel=1e-4)


def test_a_ship_that_turns_is_missed_by_the_other_two_sides_difference() -> None:
    # From 0° N 0° E, east at 12 knots is forecast and north at 12 knots is sailed: a right angle, small enough
    # to be flat.
    minutes = np.arange(100.0)
    north = np.maximum(minutes - (SEEN - 1), 0) * 0.2 / NORTH_AT_EQUATOR
    errors = lost(lat=north, lon=0.0, sog=12.0, cog=90.0)
    assert errors == pytest.approx([2 * math.sqrt(2), 6 * math.sqrt(2), 12 * math.sqrt(2)], rel=1e-4)


def test_only_the_last_position_seen_is_held() -> None:
    sog, cog = np.full(100, 40.0), np.full(100, 123.0)
    sog[SEEN - 1], cog[SEEN - 1] = 6.0, 300.0
    assert lost(sog=sog, cog=cog) == pytest.approx([1, 3, 6], rel=1e-4)


def test_horizons_count_from_the_last_position_seen() -> None:
    dt = np.full(100, 60.0)
    dt[:SEEN] = 14_400
    assert lost(dt=dt, sog=12.0) == pytest.approx([2, 6, 12], rel=1e-4)


@pytest.mark.parametrize("dt", [7.0, 61.0, 420.0, 900.0])
def test_truth_is_interpolated_in_time_between_positions(dt: float) -> None:
    ship = sailed(55.0, 11.0, 12.0, 30.0, dt=dt, count=SEEN + 1 + int(3600 / dt))
    assert forecast_errors(ship, SEEN, [5.5, 13])[0] == pytest.approx(0, abs=FLOAT32_NM)


def test_truth_is_interpolated_across_the_antimeridian() -> None:
    # At anchor on one side of it, then 0.1° of the equator further on the other: never half-way round.
    lon = np.where(np.arange(100) < SEEN, 179.95, -179.95)
    assert lost(lat=0.0, lon=lon, dt=600.0, minutes=[5, 10]) == pytest.approx(
        [0.05 * EAST_AT_EQUATOR, 0.1 * EAST_AT_EQUATOR], abs=FLOAT32_NM
    )


def test_a_horizon_after_the_window_is_not_scored() -> None:
    # 90 positions follow, a minute apart.
    assert np.isnan(lost(minutes=[89, 90, 90.5, 600])).tolist() == [False, False, True, True]


def test_a_window_without_positions_to_forecast_is_not_scored() -> None:
    assert np.isnan(forecast_errors(sailed(55.0, 11.0, 12.0, 0.0, count=SEEN), SEEN, HORIZONS)).all()


def test_a_horizon_inside_a_long_silence_is_not_scored() -> None:
    # Heard every minute up to the fifth after the last position seen, and again after the silence.
    dt = np.full(100, 60.0)
    dt[SEEN + 5] = LONGEST_SILENCE_SECONDS + 60
    begin, end = 5, 5 + LONGEST_SILENCE_SECONDS / 60 + 1
    scored = ~np.isnan(lost(dt=dt, minutes=[begin - 1, begin, begin + 0.5, end - 0.1, end, end + 0.5]))
    assert scored.tolist() == [True, True, False, False, True, True]


def test_the_longest_silence_itself_is_scored() -> None:
    assert lost(dt=float(LONGEST_SILENCE_SECONDS), sog=12.0) == pytest.approx([2, 6, 12], rel=1e-4)


@given(
    lat=st.floats(-90, 90),
    lon=st.floats(-180, 180),
    sog=st.floats(0, 102.2),
    cog=st.floats(0, 360),
)
def test_no_place_and_no_course_is_undefined(lat: float, lon: float, sog: float, cog: float) -> None:
    errors = lost(lat=lat, lon=lon, sog=sog, cog=cog)
    # Held at one place, no ship is missed by more than she would have sailed.
    assert np.all(errors >= 0)
    assert np.all(errors <= sog * np.array(HORIZONS) / 60 + FLOAT32_NM)


@pytest.mark.parametrize("lat", [-90.0, 90.0])
@pytest.mark.parametrize("cog", [0.0, 90.0, 180.0, 360.0])
def test_a_ship_at_a_pole(lat: float, cog: float) -> None:
    leaves = math.copysign(1, lat) * math.cos(math.radians(cog)) < -0.5
    expected = [2.0, 6.0, 12.0] if leaves else [0.0, 0.0, 0.0]
    assert lost(lat=lat, lon=np.linspace(-180, 180, 100), sog=12.0, cog=cog) == pytest.approx(expected, abs=FLOAT32_NM)


def test_windows_do_not_touch_each_other() -> None:
    ships = [sailed(lat, 11.0, knots, 77.0) for lat, knots in ((10.0, 5.0), (60.0, 20.0), (-60.0, 0.0))]
    ships[1][0, SEEN:, 0] += 1
    apart = [forecast_errors(ship, SEEN, HORIZONS)[0] for ship in ships]
    together = forecast_errors(np.concatenate(ships), SEEN, HORIZONS)
    assert together.shape == (3, 3)
    assert together.dtype == np.float64
    assert np.array_equal(together, apart)
    assert forecast_errors(np.concatenate(ships)[:0], SEEN, HORIZONS).shape == (0, 3)


@pytest.mark.parametrize(
    ("shape", "seq_len", "minutes", "says"),
    [
        ((2, 5), 1, [10], r"shape \(2, 5\)"),
        ((2, 20, 4), 10, [10], r"expected is \(n, window_len, 5\)"),
        ((2, 20, 5), 0, [10], "seq_len is 0"),
        ((2, 20, 5), 21, [10], "seq_len is 21"),
        ((2, 20, 5), 10, [10, 0], "more than 0"),
        ((2, 20, 5), 10, [-1], "more than 0"),
    ],
)
def test_wrong_arguments_are_refused(shape: tuple[int, ...], seq_len: int, minutes: list[float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        forecast_errors(np.zeros(shape, np.float32), seq_len, minutes)


def test_who_lies_still_is_where_she_was() -> None:
    at_anchor = window(np.full(100, 55.0), 11.0, 0.0, 0.0, 60.0)
    assert error_miles(last_places(at_anchor, SEEN, HORIZONS), true_places(at_anchor, SEEN, HORIZONS)).max() == 0
    sailing = sailed(55.0, 11.0, 12.0, 30.0)
    missed = error_miles(last_places(sailing, SEEN, HORIZONS), true_places(sailing, SEEN, HORIZONS))[0]
    assert missed == pytest.approx([2, 6, 12], abs=FLOAT32_NM)


def test_real_ships_are_missed_by_more_at_longer_horizons(real_data: Path) -> None:
    file = real_data / "norway" / "vestland-2022-09-01-five-ships.csv"
    if not file.exists():
        pytest.skip(f"{file} is absent")
    with file.open(newline="") as text:
        rows = sorted(csv.DictReader(text, delimiter=";"), key=lambda row: (row["mmsi"], row["date_time_utc"]))
    windows = []
    for _, ship in groupby(rows, lambda row: row["mmsi"]):
        fixes = {row["date_time_utc"]: [float(row[name]) for name in ("lat", "lon", "sog", "cog")] for row in ship}
        times = np.array(list(fixes), "datetime64[s]").astype(np.int64)
        track = np.column_stack([np.array(list(fixes.values())), np.diff(times, prepend=times[0])])
        windows += [track[first : first + 500] for first in range(0, len(track) - 499, 50)]
    errors = forecast_errors(np.array(windows, np.float32), 128, HORIZONS)
    median = np.nanmedian(errors, axis=0)
    assert 0 < median[0] < median[1] < median[2] < 20
    assert np.count_nonzero(~np.isnan(errors[:, 0])) > 50
