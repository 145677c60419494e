"""What errors amount to: known answers, kinds of ships, and intervals that know that windows overlap."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ais_assets.transforms.dead_reckoning import Places, true_places
from ais_assets.transforms.forecast_report import ForecastErrors, summarise

SEEN = 10
HORIZONS = (10, 30, 60)


def ships(knots: list[float], *, drift: float = 0.0) -> NDArray[np.float32]:
    """Ships that sail north from 55 degrees, a minute apart, and say so many knots; they do `drift` more."""
    windows = np.zeros((len(knots), 100, 5), np.float32)
    said = np.array(knots)[:, None]
    sailed = (said + drift) * np.arange(100) / 60
    windows[..., 0] = 55 + sailed * 1852 / 111_341
    windows[..., 1], windows[..., 2], windows[..., 4] = 11, said, 60
    return windows


def test_a_summary_leaves_out_what_was_not_scored() -> None:
    errors = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan], [8.0, np.nan]])
    nothing = dict.fromkeys(("mean", "median", "p90", "interval"))
    summary = summarise(errors, [10, 2.5], np.array([1, 1, 2, 1]))
    assert summary == {
        "10": {"windows": 3, "vessels": 1, "mean": 4.0, "median": 3.0, "p90": pytest.approx(7.0), "interval": None},
        "2.5": {"windows": 0, "vessels": 0, **nothing},
    }


def test_the_interval_holds_the_mean_of_all_vessels_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(60):
        # Each vessel has an error of her own, in which her hundred windows hardly differ.
        of_vessel = rng.normal(2.0, 1.0, 40)
        errors = np.repeat(of_vessel, 100) + rng.normal(0, 0.01, 4000)
        low, high = summarise(errors[:, None], [10], np.repeat(np.arange(40), 100))["10"]["interval"]
        held += low < 2.0 < high
        # Had it resampled windows, it would be ten times narrower.
        assert 1.2 < (high - low) / (2 * 1.96 * 1.0 / np.sqrt(40)) * 2 < 2.8
    assert 50 <= held <= 60


def test_an_interval_is_the_same_every_time_whatever_the_numbers_of_vessels() -> None:
    errors = np.random.default_rng(0).normal(2, 1, (300, 1))
    vessels = np.repeat(np.arange(30), 10)
    assert summarise(errors, [10], vessels) == summarise(errors, [10], vessels * 7 + 201_000_000)


def test_ships_at_rest_are_apart_and_strata_are_by_how_fast_forecast_and_ship_part() -> None:
    errors = ForecastErrors(SEEN, HORIZONS)
    for drift in (0.0, 1.0, 5.0):
        errors.add(ships([0.0, 12.0, 20.0], drift=drift), np.array([1, 2, 3]))
    summary = errors.summary()
    assert (summary["windows"], summary["vessels"], summary["unit"]) == (9, 3, "nautical mile")
    reckoned = summary["dead_reckoning"]
    for kind, windows in {"all": 9, "moving": 6, "easy": 3, "middle": 3, "hard": 3}.items():
        assert {minutes: of_kind["windows"] for minutes, of_kind in reckoned[kind].items()} == dict.fromkeys(
            ("10", "30", "60"), windows
        )
    assert reckoned["middle"]["30"]["mean"] == pytest.approx(0.5, abs=0.01)
    assert summary["last_position"]["easy"]["60"]["mean"] == pytest.approx((0 + 12 + 20) / 3, abs=0.02)


def test_a_model_stands_beside_the_baselines_and_parts_sum_up_to_the_whole() -> None:
    windows, vessels = ships([0.0, 5.0, 12.0, 20.0], drift=1.0), np.array([1, 2, 3, 4])
    perfect: Places = true_places(windows, SEEN, HORIZONS)
    whole = ForecastErrors(SEEN, HORIZONS)
    whole.add(windows, vessels, {"model": perfect})
    parts = []
    for rows in (slice(0, 1), slice(1, 4)):
        parts.append(ForecastErrors(SEEN, HORIZONS))
        parts[-1].add(windows[rows], vessels[rows], {"model": Places(perfect.lat[rows], perfect.lon[rows])})
    assert whole.summary() == parts[0].joined(parts[1:]).summary()
    assert whole.summary()["model"]["all"]["60"]["mean"] == 0
    assert set(whole.summary()) == {"windows", "vessels", "unit", "model", "last_position", "dead_reckoning", "kalman"}


def test_nothing_is_summed_up_as_nothing() -> None:
    summary = ForecastErrors(SEEN, HORIZONS).summary()
    assert (summary["windows"], summary["vessels"]) == (0, 0)
    assert summary["kalman"]["moving"]["10"]["mean"] is None
