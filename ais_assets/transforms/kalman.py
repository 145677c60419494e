"""A Kalman filter over the positions seen: the classical forecast, which smooths what dead reckoning takes as it is.

The ship moves at a constant velocity but for white noise of acceleration, on the plane that touches the ellipsoid at
the last position seen; she is measured by her position and by the velocity that SOG and COG say. From the filtered
state the forecast runs along a rhumb line, as dead reckoning's does.

Source: Bar-Shalom, Li, Kirubarajan, Estimation with Applications to Tracking and Navigation (Wiley 2001), 6.2.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ais_assets.transforms.dead_reckoning import COG, DT, LAT, LON, SOG, Places, Values, places_ahead
from ais_assets.transforms.geodesy import METRES_PER_NAUTICAL_MILE, curvature_metres, wrapped

_POSITION_VARIANCE: Final = 10.0**2
"""Square metres: the accuracy that a transponder's flag calls high (ITU-R M.1371-5, table 47)."""
_VELOCITY_VARIANCE: Final = 0.3**2
"""Square metres per second squared, of SOG and COG: half a knot."""
_ACCELERATION: Final = 1e-3
"""Spectral density of the acceleration's noise, m²/s³: 1.5 knots of speed unaccounted for in ten minutes."""
_LEAST_COSINE: Final = 1e-6
"""At a pole a longitude says nothing; the plane must not be of no width."""
_KNOT: Final = METRES_PER_NAUTICAL_MILE / 3600


def kalman_places(features: NDArray[np.float32], seq_len: int, minutes: Sequence[float]) -> Places:
    """Where the filtered speed leads on the filtered course.

    Args:
        features: windows, float32, shape (n, window_len, 5), columns as in `schema.FEATURES`.
        seq_len: positions that are seen.
        minutes: horizons, from the time of the last of them on.
    """
    last = features[:, seq_len - 1].astype(np.float64)
    meridian, prime_vertical = curvature_metres(np.ascontiguousarray(last[:, LAT]))
    cosine = np.maximum(np.cos(np.radians(last[:, LAT])), _LEAST_COSINE)
    metres = np.stack([np.radians(meridian), np.radians(prime_vertical) * cosine], axis=1)
    states = np.empty((len(features), 4), np.float64)
    _filtered(np.ascontiguousarray(features[:, :seq_len], np.float32), metres, states)
    north, east, north_speed, east_speed = states.T
    return places_ahead(
        np.clip(last[:, LAT] + north / metres[:, 0], -90, 90),
        wrapped(last[:, LON] + east / metres[:, 1]),
        np.hypot(north_speed, east_speed) / _KNOT,
        np.degrees(np.arctan2(east_speed, north_speed)),
        minutes=minutes,
    )


@njit(cache=True, nogil=True)
def _filtered(features: NDArray[np.float32], metres: Values, states: Values) -> None:
    """Each window's state at its last position: metres north and east of it, and metres a second north and east.

    The two axes are measured alike, so they share their covariances.
    """
    for i in range(features.shape[0]):
        window = features[i]
        lat, lon = float(window[-1, LAT]), float(window[-1, LON])
        place, speed = np.zeros(2), np.zeros(2)
        seen, seen_speed = np.zeros(2), np.zeros(2)
        of_place, of_both, of_speed = _POSITION_VARIANCE, 0.0, _VELOCITY_VARIANCE
        for k in range(len(window)):
            course = math.radians(float(window[k, COG]))
            seen[0] = (float(window[k, LAT]) - lat) * metres[i, 0]
            seen[1] = ((float(window[k, LON]) - lon + 180.0) % 360.0 - 180.0) * metres[i, 1]
            seen_speed[0] = float(window[k, SOG]) * _KNOT * math.cos(course)
            seen_speed[1] = float(window[k, SOG]) * _KNOT * math.sin(course)
            if k == 0:
                place[:], speed[:] = seen, seen_speed
                continue
            dt = float(window[k, DT])
            place += speed * dt
            of_place += 2 * dt * of_both + dt * dt * of_speed + _ACCELERATION * dt**3 / 3
            of_both += dt * of_speed + _ACCELERATION * dt**2 / 2
            of_speed += _ACCELERATION * dt
            gain, gain_speed = of_place / (of_place + _POSITION_VARIANCE), of_both / (of_place + _POSITION_VARIANCE)
            off = seen - place
            place += gain * off
            speed += gain_speed * off
            of_speed -= gain_speed * of_both
            of_place, of_both = (1 - gain) * of_place, (1 - gain) * of_both
            gain, gain_speed = of_both / (of_speed + _VELOCITY_VARIANCE), of_speed / (of_speed + _VELOCITY_VARIANCE)
            off = seen_speed - speed
            place += gain * off
            speed += gain_speed * off
            of_place -= gain * of_both
            of_both, of_speed = (1 - gain_speed) * of_both, (1 - gain_speed) * of_speed
        states[i, :2], states[i, 2:] = place, speed
