"""Distances, bearings and destinations on the earth: on a sphere, and on the WGS 84 ellipsoid.

Every function takes and returns degrees and metres in float64, scalars or arrays that broadcast, and is a compiled one:
call it from Python with arrays, or from another compiled function with scalars. None of them has an edge at ±180°.

Which to take: forecasts and their errors are on the ellipsoid (`ellipsoid_metres`, `rhumb_destination`), where a
sphere errs by up to 0.6 % (0.1 nautical miles in an hour at 20 knots). A threshold of a rule is as good on the sphere.

Results are those of the platform's sines, which may differ in the last digit between machines; where the same bytes are
promised, round them first (`great_circle_millimetres`).
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit

from ais_assets import schema

METRES_PER_NAUTICAL_MILE: Final = 1_852

EARTH_RADIUS_METRES: Final = 6_371_008.8
"""Mean radius of the WGS 84 ellipsoid (IUGG, R1). The sphere errs by 0.6 % at most."""

EQUATOR_METRES: Final = 6_378_137.0
"""Semi-major axis of WGS 84 (NGA.STND.0036)."""

FLATTENING: Final = 1 / 298.257223563
"""Of WGS 84 (NGA.STND.0036)."""

_ECCENTRICITY_SQUARED: Final = FLATTENING * (2 - FLATTENING)
_ECCENTRICITY: Final = math.sqrt(_ECCENTRICITY_SQUARED)
_N: Final = FLATTENING / (2 - FLATTENING)
"""Third flattening, in which the series of the meridian converge fastest."""
_RECTIFYING_METRES: Final = EQUATOR_METRES / (1 + _N) * (1 + _N**2 / 4 + _N**4 / 64)
"""Radius of the circle that is as long as a meridian."""
_RECTIFYING: Final = (
    -3 / 2 * _N + 9 / 16 * _N**3,
    15 / 16 * _N**2 - 15 / 32 * _N**4,
    -35 / 48 * _N**3,
    315 / 512 * _N**4,
)
"""Of sin 2kφ in the rectifying latitude (Karney, On auxiliary latitudes, Survey Review 56, 2024, eq. A5)."""
_GEOGRAPHIC: Final = (
    3 / 2 * _N - 27 / 32 * _N**3,
    21 / 16 * _N**2 - 55 / 32 * _N**4,
    151 / 96 * _N**3,
    1097 / 512 * _N**4,
)
"""Of sin 2kμ in the geographic latitude of a rectifying one (the same, eq. A6)."""
_EVEN: Final = 1e-6
"""Radians, 6 m: a smaller difference of latitude would be lost in the rounding of what is divided by it."""
_RADIANS_PER_STEP: Final = math.pi / 180 / schema.MICRODEGREES

Degrees = Any
"""float64, a scalar or an array."""
Metres = Any
"""float64, a scalar or an array."""


@njit(cache=True, nogil=True)
def great_circle_metres(lat_a: Degrees, lon_a: Degrees, lat_b: Degrees, lon_b: Degrees) -> Metres:
    """Great-circle distance on the sphere of EARTH_RADIUS_METRES, by the haversine."""
    half_lat = np.sin(np.radians(lat_b - lat_a) / 2)
    half_lon = np.sin(np.radians(lon_b - lon_a) / 2)
    haversine = half_lat**2 + np.cos(np.radians(lat_a)) * np.cos(np.radians(lat_b)) * half_lon**2
    return 2 * EARTH_RADIUS_METRES * np.arcsin(np.sqrt(np.minimum(haversine, 1.0)))


@njit(cache=True, nogil=True)
def great_circle_bearing(lat_a: Degrees, lon_a: Degrees, lat_b: Degrees, lon_b: Degrees) -> Degrees:
    """Course at a of the great circle to b, 0 ≤ result < 360; 0 where the two are one."""
    phi_a, phi_b, ahead = np.radians(lat_a), np.radians(lat_b), np.radians(lon_b - lon_a)
    east = np.sin(ahead) * np.cos(phi_b)
    # cos φ₁ sin φ₂ − sin φ₁ cos φ₂ cos Δλ, without the loss of digits of close points.
    north = np.sin(phi_b - phi_a) + 2 * np.sin(phi_a) * np.cos(phi_b) * np.sin(ahead / 2) ** 2
    return np.degrees(np.arctan2(east, north)) % 360.0 % 360.0


@njit(cache=True, nogil=True)
def great_circle_destination(lat: Degrees, lon: Degrees, bearing: Degrees, metres: Metres) -> tuple[Degrees, Degrees]:
    """Where a great circle that sets out on this bearing leads: latitude, and longitude from −180 up to below 180."""
    phi, alpha, sigma = np.radians(lat), np.radians(bearing), metres / EARTH_RADIUS_METRES
    # Components of the destination along the local vertical's axis, the meridian and the parallel.
    outward = np.cos(phi) * np.cos(sigma) - np.sin(phi) * np.sin(sigma) * np.cos(alpha)
    east = np.sin(sigma) * np.sin(alpha)
    up = np.sin(phi) * np.cos(sigma) + np.cos(phi) * np.sin(sigma) * np.cos(alpha)
    return np.degrees(np.arctan2(up, np.hypot(outward, east))), wrapped(lon + np.degrees(np.arctan2(east, outward)))


@njit(cache=True, nogil=True)
def great_circle_point(
    lat_a: Degrees, lon_a: Degrees, lat_b: Degrees, lon_b: Degrees, share: Any
) -> tuple[Degrees, Degrees]:
    """The point at this share, 0 to 1, of the great circle from a to b: latitude, and longitude in −180 … 180."""
    sigma = great_circle_metres(lat_a, lon_a, lat_b, lon_b) * share
    return great_circle_destination(lat_a, lon_a, great_circle_bearing(lat_a, lon_a, lat_b, lon_b), sigma)


@njit(cache=True, nogil=True)
def wrapped(lon: Degrees) -> Degrees:
    """A longitude, or a difference of two, as −180 ≤ result < 180."""
    return (lon + 180.0) % 360.0 - 180.0


@njit(cache=True, nogil=True)
def curvature_metres(lat: Degrees) -> tuple[Metres, Metres]:
    """Radii of curvature of the WGS 84 ellipsoid at a latitude: of the meridian, and of the prime vertical.

    A small step north is the first times its angle, a small step east the second times cos(lat) times its angle.
    Source: Snyder, Map Projections (USGS 1395), eqs. 4-18 and 4-20.
    """
    w = 1 - _ECCENTRICITY_SQUARED * np.sin(np.radians(lat)) ** 2
    prime_vertical = EQUATOR_METRES / np.sqrt(w)
    return prime_vertical * (1 - _ECCENTRICITY_SQUARED) / w, prime_vertical


@njit(cache=True, nogil=True)
def ellipsoid_metres(lat_a: Degrees, lon_a: Degrees, lat_b: Degrees, lon_b: Degrees) -> Metres:
    """Distance on the WGS 84 ellipsoid: the chord, bent to the ellipsoid's curvature half-way in its direction.

    Within a millimetre of the geodesic to 100 km and 10 cm to 500 km, 2e-5 of it to 3,000 km, 0.2 %
    to 10,000 km; for ways farther than that, take the sphere's.
    Neither an iteration nor an edge. Source: Euler's theorem on the curvature of a normal section.
    """
    half = np.radians(lon_b - lon_a) / 2
    across_a, along_a = _from_axis(lat_a)
    across_b, along_b = _from_axis(lat_b)
    # Seen from the meridian half-way between the two.
    outward, middle_outward = (across_b - across_a) * np.cos(half), (across_b + across_a) * np.cos(half) / 2
    east = (across_b + across_a) * np.sin(half)
    up, middle_up = along_b - along_a, (along_b + along_a) / 2
    phi = np.arctan2(middle_up, (1 - _ECCENTRICITY_SQUARED) * middle_outward)
    north = up * np.cos(phi) - outward * np.sin(phi)
    meridian, prime_vertical = curvature_metres(np.degrees(phi))
    bearing = np.arctan2(east, north)
    radius = 1 / (np.cos(bearing) ** 2 / meridian + np.sin(bearing) ** 2 / prime_vertical)
    chord = np.sqrt(outward**2 + east**2 + up**2)
    return 2 * radius * np.arcsin(np.minimum(chord / (2 * radius), 1.0))


@njit(cache=True, nogil=True)
def rhumb_destination(lat: Degrees, lon: Degrees, course: Degrees, metres: Metres) -> tuple[Degrees, Degrees]:
    """Where a ship comes that holds her course so far on the WGS 84 ellipsoid: latitude, longitude in −180 … 180.

    At a pole, where every rhumb line ends, she stays, on the longitude that she set out from. Exact to a millimetre.
    Source: Bennett, Practical Rhumb Line Calculations on the Spheroid, J. Navigation 49 (1996).
    """
    alpha, phi = np.radians(course), np.radians(lat)
    rectifying = _rectifying(phi) + metres * np.cos(alpha) / _RECTIFYING_METRES
    at_pole = np.abs(rectifying) >= math.pi / 2 * (1 - 1e-12)
    rectifying = np.minimum(np.maximum(rectifying, -math.pi / 2), math.pi / 2)
    end = rectifying + _series(_GEOGRAPHIC, rectifying)
    # Radians of longitude to the east a radian of the meridian: over the way, or about it where the way runs along a
    # parallel.
    even = np.abs(end - phi) < _EVEN
    low, high = np.where(even, (phi + end) / 2 - _EVEN, phi), np.where(even, (phi + end) / 2 + _EVEN, end)
    stretch = (_isometric(high) - _isometric(low)) / (_rectifying(high) - _rectifying(low))
    east = np.where(at_pole, 0.0, metres * np.sin(alpha) / _RECTIFYING_METRES * stretch)
    return np.where(at_pole, np.copysign(90.0, end), np.degrees(end)), wrapped(lon + np.degrees(east))


@njit(cache=True, nogil=True)
def _from_axis(lat: Degrees) -> tuple[Metres, Metres]:
    """A point of the ellipsoid: its distance from the axis, and along the axis from the equator's plane."""
    _, prime_vertical = curvature_metres(lat)
    phi = np.radians(lat)
    return prime_vertical * np.cos(phi), prime_vertical * (1 - _ECCENTRICITY_SQUARED) * np.sin(phi)


@njit(cache=True, nogil=True)
def _series(coefficients: tuple[float, float, float, float], angle: Any) -> Any:
    first, second, third, fourth = coefficients
    return (
        first * np.sin(2 * angle) + second * np.sin(4 * angle) + third * np.sin(6 * angle) + fourth * np.sin(8 * angle)
    )


@njit(cache=True, nogil=True)
def _rectifying(phi: Any) -> Any:
    """Rectifying latitude in radians: in proportion to the distance from the equator along the meridian."""
    return phi + _series(_RECTIFYING, phi)


@njit(cache=True, nogil=True)
def _isometric(phi: Any) -> Any:
    """Isometric latitude: in proportion to the distance from the equator on Mercator's map (Snyder, eq. 3-7)."""
    return np.arcsinh(np.tan(phi)) - _ECCENTRICITY * np.arctanh(_ECCENTRICITY * np.sin(phi))


@njit(cache=True, nogil=True)
def great_circle_millimetres(lat_a: Any, lon_a: Any, lat_b: Any, lon_b: Any) -> int:
    """Haversine distance of two positions in whole micro-degrees, rounded to a millimetre.

    Rounded, since mathematical libraries differ in the last digit and the output may not.
    """
    half_lat = math.sin((lat_b - lat_a) * _RADIANS_PER_STEP / 2)
    half_lon = math.sin((lon_b - lon_a) * _RADIANS_PER_STEP / 2)
    across = math.cos(lat_a * _RADIANS_PER_STEP) * math.cos(lat_b * _RADIANS_PER_STEP)
    haversine = min(1.0, half_lat * half_lat + across * half_lon * half_lon)
    return round(2_000 * EARTH_RADIUS_METRES * math.asin(math.sqrt(haversine)))
