"""The baseline that every model must beat: from the last position a model sees, hold speed and course.

On a sphere of the Earth's mean radius:

- The forecast holds SOG and COG, so it runs along a rhumb line, as a ship on a constant course does; at a pole,
  where every rhumb line ends, it stays. (A great circle that sets out with the same course is 0.1 nautical
  miles away after 20 of them at 60° N.)
- The truth is interpolated in time along the chord between the two positions around the horizon, which lies
  below their great circle; over 15 minutes at 50 knots, chord and arc agree to a centimetre.
- The error is the great-circle distance between the two.

Source of the rhumb line: G. G. Bennett, Practical Rhumb Line Calculations on the Spheroid, J. Navigation 49 (1996),
in its spherical case.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.transforms.geodesy import EARTH_RADIUS_METRES, METRES_PER_NAUTICAL_MILE

LONGEST_SILENCE_SECONDS: Final = 900
"""A horizon inside a longer silence (15 min) is not scored: where the ship was is not known well enough."""

_RADIUS_NM: Final = EARTH_RADIUS_METRES / METRES_PER_NAUTICAL_MILE
_LAT, _LON, _SOG, _COG, _DT = (schema.FEATURE_NAMES.index(name) for name in ("lat", "lon", "sog", "cog", "dt_seconds"))
_SAME_LATITUDE: Final = 1e-9
"""Radians, 6 mm: below it a rhumb line's stretched latitude is a quotient of rounding errors."""

_Vector = tuple[float, float, float]


def forecast_errors(features: NDArray[np.float32], seq_len: int, minutes: Sequence[float]) -> NDArray[np.float64]:
    """How far dead reckoning is from the ship's true position, by window and horizon.

    Args:
        features: windows, float32, shape (n, window_len, 5), columns as in `schema.FEATURES`.
        seq_len: positions that a model sees. The forecast starts from the last of them, index seq_len - 1.
        minutes: horizons, from the time of that position on.

    Returns:
        Nautical miles, float64, shape (n, len(minutes)). NaN where the window ends before the horizon, or where
        the horizon lies inside a silence of more than LONGEST_SILENCE_SECONDS.

    Raises:
        ValueError: `features` has another shape, `seq_len` is no position of it, or a horizon is not positive.
    """
    if features.ndim != 3 or features.shape[2] != schema.FEATURE_COUNT:
        raise ValueError(f"features have shape {features.shape}; expected is (n, window_len, {schema.FEATURE_COUNT})")
    if not 1 <= seq_len <= features.shape[1]:
        raise ValueError(f"seq_len is {seq_len}; windows of {features.shape[1]} positions have 1 to as many to see")
    horizons = np.array([60 * minute for minute in minutes], np.float64)
    if not np.all(horizons > 0):
        raise ValueError(f"the horizons are {list(minutes)} minutes; each must be more than 0")
    errors = np.empty((len(features), len(horizons)), np.float64)
    _forecast_errors(np.asarray(features, np.float32), seq_len - 1, horizons, LONGEST_SILENCE_SECONDS, errors)
    return errors


def summarise(errors: NDArray[np.floating[Any]], minutes: Sequence[float]) -> dict[str, dict[str, float | int | None]]:
    """What the errors of all windows amount to, by horizon.

    Args:
        errors: nautical miles, shape (n, len(minutes)), as `forecast_errors` returns them.
        minutes: their horizons.

    Returns:
        For each horizon, keyed by its minutes as text: "windows" that were scored, and their error's "mean",
        "median" and 90th percentile "p90" in nautical miles, None without windows.
    """
    summary: dict[str, dict[str, float | int | None]] = {}
    for minute, column in zip(minutes, errors.T, strict=True):
        scored = column[~np.isnan(column)].astype(np.float64)
        summary[f"{minute:g}"] = {
            "windows": len(scored),
            "mean": float(np.mean(scored)) if len(scored) else None,
            "median": float(np.median(scored)) if len(scored) else None,
            "p90": float(np.quantile(scored, 0.9)) if len(scored) else None,
        }
    return summary


class ForecastErrors:
    """Collects the errors of batch after batch; keeps 4 bytes a window and horizon, which the quantiles need."""

    def __init__(self, seq_len: int, minutes: Sequence[float]) -> None:
        self._seq_len = seq_len
        self._minutes = list(minutes)
        self._errors = [np.empty((0, len(self._minutes)), np.float32)]

    def add(self, features: NDArray[np.float32]) -> None:
        """Adds a batch of windows, float32, shape (n, window_len, 5)."""
        self._errors.append(forecast_errors(features, self._seq_len, self._minutes).astype(np.float32))

    def summary(self) -> dict[str, Any]:
        """`summarise` of all batches, with "windows", scored or not, and the "unit" of the errors."""
        errors = np.concatenate(self._errors)
        return {"windows": len(errors), "unit": "nautical mile", **summarise(errors, self._minutes)}


@njit(cache=True, nogil=True)
def _forecast_errors(
    features: NDArray[np.float32],
    last_seen: int,
    horizons: NDArray[np.float64],
    longest_silence: float,
    errors: NDArray[np.float64],
) -> None:
    for i in range(features.shape[0]):
        window = features[i]
        for k in range(len(horizons)):
            after, elapsed = _first_position_from(window, last_seen, horizons[k])
            silence = float(window[after, _DT])
            if elapsed < horizons[k] or (silence > longest_silence and elapsed > horizons[k]):
                errors[i, k] = np.nan
                continue
            truth = _between(window[after - 1], window[after], 1 - (elapsed - horizons[k]) / silence)
            errors[i, k] = _RADIUS_NM * _angle(_dead_reckoning(window[last_seen], horizons[k]), truth)


@njit(cache=True, nogil=True)
def _first_position_from(window: NDArray[np.float32], last_seen: int, horizon: float) -> tuple[int, float]:
    """The first position at or after the horizon, or the window's last one, and its seconds after `last_seen`."""
    position = last_seen
    elapsed = 0.0
    while elapsed < horizon and position + 1 < len(window):
        position += 1
        elapsed += float(window[position, _DT])
    return position, elapsed


@njit(cache=True, nogil=True)
def _dead_reckoning(position: NDArray[np.float32], seconds: float) -> _Vector:
    """Where a rhumb line with this position's SOG and COG leads in so many seconds."""
    lat, lon = _radians(position)
    course = math.radians(float(position[_COG]))
    travelled = float(position[_SOG]) * seconds / 3600 / _RADIUS_NM
    end = lat + travelled * math.cos(course)
    if abs(end) >= math.pi / 2:
        return 0.0, 0.0, math.copysign(1.0, end)
    # Degrees of latitude a degree of stretched latitude (Mercator's), which is the length of a degree of longitude.
    stretch = math.cos(lat)
    if abs(end - lat) > _SAME_LATITUDE:
        stretch = (end - lat) / (math.asinh(math.tan(end)) - math.asinh(math.tan(lat)))
    return _unit_vector(end, lon + travelled * math.sin(course) / stretch)


@njit(cache=True, nogil=True)
def _between(before: NDArray[np.float32], after: NDArray[np.float32], share: float) -> _Vector:
    """The point at this share of the chord between two positions: not of unit length, which `_angle` ignores."""
    a = _unit_vector(*_radians(before))
    b = _unit_vector(*_radians(after))
    return a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]), a[2] + share * (b[2] - a[2])


@njit(cache=True, nogil=True)
def _radians(position: NDArray[np.float32]) -> tuple[float, float]:
    """Latitude and longitude in double precision: sines of float32 would be off by a metre."""
    return math.radians(float(position[_LAT])), math.radians(float(position[_LON]))


@njit(cache=True, nogil=True)
def _unit_vector(lat: float, lon: float) -> _Vector:
    return math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)


@njit(cache=True, nogil=True)
def _angle(a: _Vector, b: _Vector) -> float:
    """The angle between two directions in radians, exact for small and large ones alike."""
    x = a[1] * b[2] - a[2] * b[1]
    y = a[2] * b[0] - a[0] * b[2]
    z = a[0] * b[1] - a[1] * b[0]
    return math.atan2(math.sqrt(x * x + y * y + z * z), a[0] * b[0] + a[1] * b[1] + a[2] * b[2])
