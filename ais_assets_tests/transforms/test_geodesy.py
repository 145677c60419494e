"""Geodesy: against geographiclib, the reference implementation of Karney's algorithms, and known answers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from geographiclib.geodesic import Geodesic
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from ais_assets.transforms.geodesy import (
    EARTH_RADIUS_METRES,
    METRES_PER_NAUTICAL_MILE,
    curvature_metres,
    ellipsoid_metres,
    great_circle_bearing,
    great_circle_destination,
    great_circle_metres,
    great_circle_millimetres,
    great_circle_point,
    rhumb_destination,
    wrapped,
)

WGS84: Any = Geodesic.WGS84
SPHERE: Any = Geodesic(EARTH_RADIUS_METRES, 0.0)

latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)
bearings = st.floats(0, 360)


def apart(lat_a: float, lon_a: float, lat_b: float, lon_b: float) -> float:
    """Metres on the ellipsoid by geographiclib, which knows poles and ±180°."""
    return WGS84.Inverse(lat_a, lon_a, lat_b, lon_b)["s12"]


@settings(max_examples=300, deadline=None)
@given(latitudes, longitudes, bearings, st.floats(0, 500_000))
def test_short_distances_on_the_ellipsoid(lat: float, lon: float, bearing: float, metres: float) -> None:
    end = WGS84.Direct(lat, lon, bearing, metres)
    tolerance = 0.001 if metres <= 100_000 else 0.1
    assert ellipsoid_metres(lat, lon, end["lat2"], end["lon2"]) == pytest.approx(metres, abs=tolerance)


@settings(max_examples=300, deadline=None)
@given(latitudes, longitudes, bearings, st.floats(0, 10_000_000))
def test_long_distances_are_known_to_what_they_promise(lat: float, lon: float, bearing: float, metres: float) -> None:
    end = WGS84.Direct(lat, lon, bearing, metres)
    relative = 2e-5 if metres <= 3_000_000 else 0.002
    assert ellipsoid_metres(lat, lon, end["lat2"], end["lon2"]) == pytest.approx(metres, rel=relative, abs=0.001)
    assert great_circle_metres(lat, lon, end["lat2"], end["lon2"]) == pytest.approx(metres, rel=0.006, abs=0.001)


@settings(max_examples=200, deadline=None)
@given(latitudes, longitudes, bearings, st.floats(0, 10_000_000))
def test_great_circles_are_geodesics_of_the_sphere(lat: float, lon: float, bearing: float, metres: float) -> None:
    end = SPHERE.Direct(lat, lon, bearing, metres)
    lat_b, lon_b = great_circle_destination(lat, lon, bearing, metres)
    assert SPHERE.Inverse(lat_b, lon_b, end["lat2"], end["lon2"])["s12"] < 0.001
    assert great_circle_metres(lat, lon, lat_b, lon_b) == pytest.approx(metres, abs=0.01)
    assert -180 <= lon_b < 180


@settings(max_examples=200, deadline=None)
@given(latitudes, longitudes, latitudes, longitudes)
def test_the_bearing_leads_there(lat_a: float, lon_a: float, lat_b: float, lon_b: float) -> None:
    bearing = great_circle_bearing(lat_a, lon_a, lat_b, lon_b)
    metres = great_circle_metres(lat_a, lon_a, lat_b, lon_b)
    assert 0 <= bearing < 360
    end = great_circle_destination(lat_a, lon_a, bearing, metres)
    assert SPHERE.Inverse(*end, lat_b, lon_b)["s12"] < 1


@settings(max_examples=100, deadline=None)
@given(st.floats(-85, 85), longitudes, bearings, st.floats(1, 100_000), st.floats(0, 1))
def test_a_point_of_a_great_circle_divides_it(
    lat: float, lon: float, bearing: float, metres: float, share: float
) -> None:
    end = great_circle_destination(lat, lon, bearing, metres)
    point = great_circle_point(lat, lon, *end, share)
    assert great_circle_metres(lat, lon, *point) == pytest.approx(share * metres, abs=0.01)
    assert great_circle_metres(*point, *end) == pytest.approx((1 - share) * metres, abs=0.01)


@settings(max_examples=100, deadline=None)
@given(st.floats(-80, 80), longitudes, bearings, st.floats(0, 200_000))
def test_a_rhumb_line_is_many_short_geodesics_of_one_course(
    lat: float, lon: float, course: float, metres: float
) -> None:
    here_lat, here_lon = lat, lon
    steps = 200
    for _ in range(steps):
        # The geodesic that has the course half-way is the rhumb line, but for the cube of so short a step.
        half = WGS84.Direct(here_lat, here_lon, course, metres / steps / 2)
        middle = WGS84.Direct(here_lat, here_lon, course - (half["azi2"] - half["azi1"]), metres / steps)
        here_lat, here_lon = middle["lat2"], middle["lon2"]
    assert apart(*rhumb_destination(lat, lon, course, metres), here_lat, here_lon) < 0.1


def test_rhumb_lines_along_meridian_and_parallel() -> None:
    north = rhumb_destination(55.0, 179.9, 0.0, 100_000.0)
    assert apart(*north, WGS84.Direct(55, 179.9, 0, 100_000)["lat2"], 179.9) < 0.001
    lat, lon = rhumb_destination(60.0, 179.9, 90.0, 50_000.0)
    _, prime_vertical = curvature_metres(60.0)
    assert lat == pytest.approx(60, abs=1e-9)
    assert lon == pytest.approx(179.9 - 360 + math.degrees(50_000 / prime_vertical / 0.5), abs=1e-9)


@pytest.mark.parametrize("course", [0.0, 30.0, 300.0])
def test_a_rhumb_line_ends_at_the_pole(course: float) -> None:
    assert rhumb_destination(89.9, 12.0, course, 40_000.0) == (90, 12)
    assert rhumb_destination(-89.9, 12.0, course + 180, 40_000.0) == (-90, 12)


def test_curvature_where_it_is_known() -> None:
    # NGA.STND.0036 and Snyder's table: 40° is between the extremes at equator and pole.
    assert curvature_metres(0.0) == pytest.approx((6_335_439.327, 6_378_137.0), abs=0.001)
    assert curvature_metres(90.0) == pytest.approx((6_399_593.626, 6_399_593.626), abs=0.001)


def test_one_place_is_no_distance() -> None:
    for lat in (-90.0, 0.0, 55.0, 90.0):
        assert ellipsoid_metres(lat, 180.0, lat, -180.0) == pytest.approx(0, abs=1e-8)
        assert great_circle_metres(lat, 180.0, lat, -180.0) == pytest.approx(0, abs=1e-8)
        assert great_circle_bearing(lat, 10.0, lat, 10.0) == 0


def test_arrays_and_scalars_in_kernels_are_alike() -> None:
    @njit
    def scalar_by_scalar(lat: Any, metres: Any) -> Any:
        out = np.empty((len(lat), 4))
        for k in range(len(lat)):
            out[k, 0], out[k, 1] = rhumb_destination(lat[k], 10.0, 45.0, metres[k])
            out[k, 2] = ellipsoid_metres(lat[k], 10.0, out[k, 0], out[k, 1])
            out[k, 3] = great_circle_metres(lat[k], 10.0, out[k, 0], out[k, 1])
        return out

    lat, metres = np.linspace(-89, 89, 50), np.linspace(0, 100_000, 50)
    out = scalar_by_scalar(lat, metres)
    np.testing.assert_allclose(np.transpose(rhumb_destination(lat, 10.0, 45.0, metres)), out[:, :2], rtol=1e-13)
    np.testing.assert_allclose(ellipsoid_metres(lat, 10.0, out[:, 0], out[:, 1]), out[:, 2], atol=1e-6)
    np.testing.assert_allclose(great_circle_metres(lat, 10.0, out[:, 0], out[:, 1]), out[:, 3], atol=1e-6)


def test_longitudes_are_wrapped() -> None:
    assert [wrapped(lon) for lon in (0.0, 180.0, -180.0, 190.0, -190.0, 725.0)] == [0, -180, -180, -170, 170, 5]


def test_millimetres_of_whole_microdegrees() -> None:
    mile = round(2_000 * math.pi * EARTH_RADIUS_METRES / 360 / 60)
    assert great_circle_millimetres(55_000_000, 0, 55_000_000 + 1_000_000 // 60, 0) == pytest.approx(mile, abs=80)
    assert great_circle_millimetres(0, 179_999_999, 0, -179_999_999) == 222
    assert mile / 1_000 == pytest.approx(METRES_PER_NAUTICAL_MILE, abs=1.5)
