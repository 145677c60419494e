"""The Kalman filter against the textbook's matrices, and against ships whose end is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ais_assets.transforms.dead_reckoning import dead_reckoned, error_miles, true_places
from ais_assets.transforms.kalman import kalman_places

SEEN = 30
HORIZONS = (10, 30, 60)
KNOT = 1852 / 3600


def noisy(count: int, *, lon: float = 11.0, seed: int = 0) -> NDArray[np.float32]:
    """Ships at 12 knots to the north, 60 s apart; positions off by 10 m, SOG by half a knot, COG by 5 degrees."""
    rng = np.random.default_rng(seed)
    windows = np.empty((count, 100, 5), np.float32)
    windows[..., 0] = 55 + np.arange(100) * 0.2 / 60.1 + rng.normal(0, 10 / 111_000, (count, 100))
    windows[..., 1] = (lon + rng.normal(0, 10 / 64_000, (count, 100)) + 180) % 360 - 180
    windows[..., 2] = 12 + rng.normal(0, 0.5, (count, 100))
    windows[..., 3] = rng.normal(0, 5, (count, 100)) % 360
    windows[..., 4] = 60
    return windows


@pytest.mark.parametrize("lon", [11.0, 180.0])
def test_it_smooths_what_dead_reckoning_takes_as_it_is(lon: float) -> None:
    windows = noisy(200, lon=lon)
    truth = true_places(windows, SEEN, HORIZONS)
    ours = error_miles(kalman_places(windows, SEEN, HORIZONS), truth).mean(axis=0)
    theirs = error_miles(dead_reckoned(windows, SEEN, HORIZONS), truth).mean(axis=0)
    assert (ours < 0.7 * theirs).all()


def test_a_steady_ship_is_forecast_as_by_dead_reckoning() -> None:
    windows = noisy(1)
    windows[..., 0], windows[..., 1] = 55, 11
    windows[..., 2] = windows[..., 3] = 0
    ours = kalman_places(windows, SEEN, HORIZONS)
    assert error_miles(ours, dead_reckoned(windows, SEEN, HORIZONS)) == pytest.approx(0, abs=1e-6)


def test_it_is_the_textbooks_filter() -> None:
    windows = noisy(3, seed=5)
    windows[..., 4] = np.random.default_rng(1).integers(2, 700, windows.shape[:2])
    for window in windows:
        state, covariance = textbook(window[:SEEN].astype(np.float64))
        place = kalman_places(window[None], SEEN, [10])
        lat = window[SEEN - 1, 0] + state[0] / METRES_NORTH
        reached = lat + state[2] * 600 / METRES_NORTH
        # On so short a way the rhumb line and the plane are one.
        assert place.lat[0, 0] == pytest.approx(reached, abs=5e-5)
        assert np.linalg.eigvalsh(covariance).min() > 0


METRES_NORTH = 111_341.0
"""A degree of latitude at 55 degrees north on WGS 84, to 0.02 %."""
METRES_EAST = 63_994.0


def textbook(window: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """State (north, east, and a second of each) and covariance, by matrices of four."""
    metres = np.array([METRES_NORTH, METRES_EAST])
    course = np.radians(window[:, 3])
    speed = window[:, 2, None] * KNOT * np.stack([np.cos(course), np.sin(course)], axis=1)
    measured = np.hstack([(window[:, :2] - window[-1, :2]) * metres, speed])
    noise = np.diag([100.0, 100.0, 0.09, 0.09])
    state, covariance = measured[0], noise.copy()
    for measurement, dt in zip(measured[1:], window[1:, 4], strict=True):
        step = np.eye(4)
        step[0, 2] = step[1, 3] = dt
        drift = np.kron(1e-3 * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]]), np.eye(2))
        state, covariance = step @ state, step @ covariance @ step.T + drift
        gain = covariance @ np.linalg.inv(covariance + noise)
        state, covariance = state + gain @ (measurement - state), (np.eye(4) - gain) @ covariance
    return state, covariance
