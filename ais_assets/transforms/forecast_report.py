"""What forecasts are worth: their errors beside the baselines', for ships of a kind, with confidence by vessel.

Neighbouring windows share 896 of 928 positions, so windows are no independent samples: an interval that resampled them
would be about five times too narrow. Vessels are drawn with replacement instead, each with all of her windows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ais_assets.transforms.dead_reckoning import SOG, Places, dead_reckoned, error_miles, last_places, true_places
from ais_assets.transforms.kalman import kalman_places

MOVING_KNOTS: Final = 0.5
"""A ship that says less at the last position seen lies still."""
STRATA: Final = {"easy": (0.0, 0.5), "middle": (0.5, 2.0), "hard": (2.0, np.inf)}
"""By how fast dead reckoning and the ship come apart, in knots: its error over the horizon; from, and to below."""
BASELINES: Final = {"last_position": last_places, "dead_reckoning": dead_reckoned, "kalman": kalman_places}
_DRAWN_AT_ONCE: Final = 1 << 16
"""Vessels, of several draws: each by itself would be all calls."""
_DRAWS: Final = 1_000
_SEED: Final = 17
_INTERVAL: Final = (0.025, 0.975)

Summary = dict[str, Any]


class ForecastErrors:
    """Collects the errors of batch after batch; keeps 4 bytes a window, method and horizon, which the quantiles need.

    Args:
        seq_len: positions that a model sees.
        minutes: horizons.
    """

    def __init__(self, seq_len: int, minutes: Sequence[float]) -> None:
        self._seq_len = seq_len
        self._minutes = list(minutes)
        self._errors: dict[str, list[NDArray[np.float32]]] = {}
        self._vessels: list[NDArray[np.int64]] = []
        self._moving: list[NDArray[np.bool_]] = []

    def add(
        self, features: NDArray[np.float32], vessels: NDArray[np.int64], models: Mapping[str, Places] | None = None
    ) -> None:
        """Adds a batch of windows.

        Args:
            features: float32, shape (n, window_len, 5).
            vessels: the windows' MMSI, (n,).
            models: by the model's name, its forecasts at the horizons; the baselines' are made here.
        """
        truth = true_places(features, self._seq_len, self._minutes)
        forecasts = {
            **(models or {}),
            **{name: made(features, self._seq_len, self._minutes) for name, made in BASELINES.items()},
        }
        for name, forecast in forecasts.items():
            self._errors.setdefault(name, []).append(error_miles(forecast, truth).astype(np.float32))
        self._vessels.append(vessels)
        self._moving.append(features[:, self._seq_len - 1, SOG] >= MOVING_KNOTS)

    def joined(self, others: Iterable[ForecastErrors]) -> ForecastErrors:
        """These errors and those of others, as of other ranks, with the same horizons."""
        whole = ForecastErrors(self._seq_len, self._minutes)
        for part in (self, *others):
            for name, errors in part._errors.items():
                whole._errors.setdefault(name, []).extend(errors)
            whole._vessels += part._vessels
            whole._moving += part._moving
        return whole

    def summary(self) -> Summary:
        """What the errors amount to.

        Returns:
            "windows", scored or not, their "vessels", the "unit"; and by method ("last_position", "dead_reckoning",
            "kalman" and the models), by kind of ship ("all", "moving" and STRATA), `summarise`.
        """
        vessels = np.concatenate([np.empty(0, np.int64), *self._vessels])
        moving = np.concatenate([np.empty(0, np.bool_), *self._moving])
        none = np.empty((0, len(self._minutes)), np.float32)
        errors = {name: np.concatenate([none, *self._errors.get(name, [])]) for name in {**BASELINES, **self._errors}}
        apart = errors["dead_reckoning"] / (np.array(self._minutes) / 60)
        kinds = {
            "all": np.ones(apart.shape, np.bool_),
            "moving": np.broadcast_to(moving[:, None], apart.shape),
            **{name: (low <= apart) & (apart < high) for name, (low, high) in STRATA.items()},
        }
        return {
            "windows": len(vessels),
            "vessels": len(np.unique(vessels)),
            "unit": "nautical mile",
            **{
                name: {
                    kind: summarise(np.where(chosen, of_method, np.nan), self._minutes, vessels)
                    for kind, chosen in kinds.items()
                }
                for name, of_method in errors.items()
            },
        }


def summarise(errors: NDArray[np.floating[Any]], minutes: Sequence[float], vessels: NDArray[np.int64]) -> Summary:
    """What errors amount to, by horizon.

    Args:
        errors: nautical miles, shape (n, len(minutes)); NaN where a window is not scored.
        minutes: their horizons.
        vessels: the windows' MMSI, (n,).

    Returns:
        For each horizon, keyed by its minutes as text: "windows" that were scored and the "vessels" that they are of;
        their error's "mean", "median" and 90th percentile "p90" in nautical miles, None without windows; and the mean's
        95 % "interval", None with fewer than two vessels.
    """
    summary: Summary = {}
    for minute, column in zip(minutes, errors.T, strict=True):
        there = ~np.isnan(column)
        scored = column[there].astype(np.float64)
        numbers, of_vessel = np.unique(vessels[there], return_inverse=True)
        summary[f"{minute:g}"] = {
            "windows": len(scored),
            "vessels": len(numbers),
            "mean": float(np.mean(scored)) if len(scored) else None,
            "median": float(np.median(scored)) if len(scored) else None,
            "p90": float(np.quantile(scored, 0.9)) if len(scored) else None,
            "interval": _interval(scored, of_vessel, len(numbers)),
        }
    return summary


def _interval(errors: NDArray[np.float64], of_vessel: NDArray[np.int64], vessels: int) -> list[float] | None:
    """Where 95 % of the means lie of as many vessels drawn with replacement; the same draws every time."""
    if vessels < 2:
        return None
    sums = np.bincount(of_vessel, errors, vessels)
    counts = np.bincount(of_vessel, minlength=vessels)
    rng = np.random.default_rng(_SEED)
    means, at_once = np.empty(_DRAWS), max(1, _DRAWN_AT_ONCE // vessels)
    for first in range(0, _DRAWS, at_once):
        drawn = rng.integers(0, vessels, (min(at_once, _DRAWS - first), vessels))
        means[first : first + at_once] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, _INTERVAL)
    return [float(low), float(high)]
