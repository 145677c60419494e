"""The baselines that every model must beat, and where ships really were: places at horizons of time, and their errors.

- The horizons are times, counted from the last position that a model sees: a horizon by number of positions would be
  minutes for one ship and hours for another.
- The truth is interpolated in time along the great circle between the two positions around the horizon.
- Dead reckoning holds SOG and COG, so it runs along a rhumb line, as a ship on a constant course does.
- The last position is the forecast that she does not move.
- An error is the distance on the WGS 84 ellipsoid, in nautical miles: see `transforms.geodesy`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.transforms.geodesy import (
    METRES_PER_NAUTICAL_MILE,
    ellipsoid_metres,
    great_circle_point,
    rhumb_destination,
)

LONGEST_SILENCE_SECONDS: Final = 900
"""A horizon inside a longer silence (15 min) is not scored: where the ship was is not known well enough."""

LAT, LON, SOG, COG, DT = (schema.FEATURE_NAMES.index(name) for name in ("lat", "lon", "sog", "cog", "dt_seconds"))

Values = NDArray[np.float64]


class Places(NamedTuple):
    """Places of windows at horizons, each (n, horizons) in degrees; NaN where it is not known well enough."""

    lat: Values
    lon: Values


class Around(NamedTuple):
    """The positions before and at or after each window's horizons: int64 (n, horizons) each.

    `share` says how far the horizon is between them, 0 to 1; NaN where it is not scored.
    """

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    share: Values


def forecast_errors(features: NDArray[np.float32], seq_len: int, minutes: Sequence[float]) -> Values:
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
    truth = true_places(features, seq_len, minutes)
    return error_miles(dead_reckoned(features, seq_len, minutes), truth)


def true_places(features: NDArray[np.float32], seq_len: int, minutes: Sequence[float]) -> Places:
    """Where the ship really was; arguments, NaN and errors as of `forecast_errors`."""
    before, after, share = around_horizons(features, seq_len, minutes)
    scored = ~np.isnan(share)
    rows = np.arange(len(features))[:, None]
    lat, lon = (features[..., column].astype(np.float64) for column in (LAT, LON))
    places = great_circle_point(
        lat[rows, before], lon[rows, before], lat[rows, after], lon[rows, after], np.where(scored, share, 0.0)
    )
    return Places(*(np.where(scored, degrees, np.nan) for degrees in places))


def around_horizons(features: NDArray[np.float32], seq_len: int, minutes: Sequence[float]) -> Around:
    """The positions that say where the ship was at the horizons; arguments and errors as of `forecast_errors`."""
    if features.ndim != 3 or features.shape[2] != schema.FEATURE_COUNT:
        raise ValueError(f"features have shape {features.shape}; expected is (n, window_len, {schema.FEATURE_COUNT})")
    if not 1 <= seq_len <= features.shape[1]:
        raise ValueError(f"seq_len is {seq_len}; windows of {features.shape[1]} positions have 1 to as many to see")
    horizons = _seconds(minutes)
    if not np.all(horizons > 0):
        raise ValueError(f"the horizons are {list(minutes)} minutes; each must be more than 0")
    after = np.empty((len(features), len(horizons)), np.int64)
    share = np.empty(after.shape, np.float64)
    _around(np.asarray(features, np.float32), seq_len - 1, horizons, after, share)
    # Where a window ends with the last position seen, there is none before and after the horizon.
    return Around(np.maximum(after - 1, 0), after, share)


def dead_reckoned(features: NDArray[np.float32], seq_len: int, minutes: Sequence[float]) -> Places:
    """Where the last speed leads on the last course."""
    last = features[:, seq_len - 1].astype(np.float64)
    return places_ahead(last[:, LAT], last[:, LON], last[:, SOG], last[:, COG], minutes=minutes)


def places_ahead(lat: Values, lon: Values, sog: Values, cog: Values, *, minutes: Sequence[float]) -> Places:
    """Where ships, each (n,), come that hold their speed in knots and course: on rhumb lines."""
    metres = sog[:, None] * METRES_PER_NAUTICAL_MILE / 3600 * _seconds(minutes)
    lat, lon, cog = (np.broadcast_to(column[:, None], metres.shape).copy() for column in (lat, lon, cog))
    return Places(*rhumb_destination(lat, lon, cog, metres))


def last_places(features: NDArray[np.float32], seq_len: int, minutes: Sequence[float]) -> Places:
    """The last position seen, at every horizon."""
    last = np.repeat(features[:, seq_len - 1, None].astype(np.float64), len(minutes), axis=1)
    return Places(last[..., LAT], last[..., LON])


def error_miles(forecast: Places, truth: Places) -> Values:
    """Nautical miles between forecast and truth, (n, horizons); NaN where the truth is."""
    lat, lon = (np.ascontiguousarray(degrees) for degrees in forecast)
    return ellipsoid_metres(lat, lon, *truth) / METRES_PER_NAUTICAL_MILE


def _seconds(minutes: Sequence[float]) -> Values:
    return np.array([60 * minute for minute in minutes], np.float64)


@njit(cache=True, nogil=True)
def _around(
    features: NDArray[np.float32], last_seen: int, horizons: Values, after: NDArray[np.int64], share: Values
) -> None:
    """Of each window and horizon: the first position at or after it, and how far the horizon is between that one and
    the position before, 0 to 1; NaN where it is not scored."""
    for i in range(features.shape[0]):
        window = features[i]
        for k in range(len(horizons)):
            position, elapsed = _first_position_from(window, last_seen, horizons[k])
            silence = float(window[position, DT])
            after[i, k] = position
            share[i, k] = np.nan
            if elapsed >= horizons[k] and (silence <= LONGEST_SILENCE_SECONDS or elapsed == horizons[k]):
                share[i, k] = 1 - (elapsed - horizons[k]) / silence


@njit(cache=True, nogil=True)
def _first_position_from(window: Any, last_seen: int, horizon: float) -> tuple[int, float]:
    """The first position at or after the horizon, or the window's last one, and its seconds after `last_seen`."""
    position = last_seen
    elapsed = 0.0
    while elapsed < horizon and position + 1 < len(window):
        position += 1
        elapsed += float(window[position, DT])
    return position, elapsed
