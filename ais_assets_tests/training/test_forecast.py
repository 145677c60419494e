"""What the example sees and forecasts, against known answers and against transforms.dead_reckoning."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ais_assets.training.forecast import dead_reckoned, error_miles, inputs, truths
from ais_assets.training.model import Forecaster
from ais_assets.transforms.dead_reckoning import forecast_errors
from ais_assets_tests.training.voyages import POSITIONS, SECONDS, SEQ_LEN, voyages

MINUTES = (10.0, 30.0, 60.0)


def straight(course: float, lat: float = 55.0, lon: float = 10.0, knots: float = 12.0) -> torch.Tensor:
    """One window of a ship that holds a course; north and east ones alone are exact on a sphere."""
    hours = torch.arange(POSITIONS) * SECONDS / 3600
    miles = knots * hours * 1852 / (math.radians(1) * 6_371_008.8)  # degrees
    window = torch.empty(1, POSITIONS, 5)
    window[0, :, 0] = lat + miles * math.cos(math.radians(course))
    window[0, :, 1] = lon + miles * math.sin(math.radians(course)) / math.cos(math.radians(lat))
    window[0, :, 1] = (window[0, :, 1] + 180) % 360 - 180
    window[0, :, 2], window[0, :, 3], window[0, :, 4] = knots, course, SECONDS
    return window


@pytest.mark.parametrize(
    ("course", "lon"), [(0.0, 10.0), (90.0, 10.0), (90.0, 179.9), (270.0, -179.95), (180.0, 180.0)]
)
def test_a_steady_ship_is_as_far_ahead_as_it_goes(course: float, lon: float) -> None:
    window = straight(course, lon=lon)
    truth, scored = truths(window, MINUTES, SEQ_LEN)
    assert scored.all()
    assert truth[0, :, 0].tolist() == pytest.approx([2.0, 6.0, 12.0], abs=0.003)
    assert truth[0, :, 1].tolist() == pytest.approx([0.0] * 3, abs=0.003)
    assert error_miles(dead_reckoned(window, MINUTES, SEQ_LEN), truth, window, SEQ_LEN).max() < 0.005


def test_starboard_is_to_the_right() -> None:
    truth, _ = truths(torch.from_numpy(voyages(5, turn=1.0)), MINUTES, SEQ_LEN)
    assert (truth[..., 1] > 0).all()
    truth, _ = truths(torch.from_numpy(voyages(5, turn=-1.0)), MINUTES, SEQ_LEN)
    assert (truth[..., 1] < 0).all()


def test_a_mile_is_a_mile_anywhere() -> None:
    window = torch.from_numpy(voyages(50))
    ahead = dead_reckoned(window, MINUTES, SEQ_LEN)
    beside = ahead + torch.tensor([0.3, 0.4])
    assert error_miles(ahead, beside, window, SEQ_LEN).numpy() == pytest.approx(0.5, rel=0.01)


def test_what_is_seen_does_not_depend_on_place_or_course() -> None:
    seen = [inputs(straight(course, lon=lon), SEQ_LEN) for course, lon in ((0.0, 0.0), (90.0, 179.99))]
    assert seen[0].shape == (1, SEQ_LEN, 6)
    assert torch.allclose(seen[0], seen[1], atol=1e-3)
    assert seen[0][0, -1, :2].tolist() == [0, 0]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(-3, 3))
def test_an_untrained_network_is_dead_reckoning(seed: int, turn: float) -> None:
    features = voyages(8, seed, turn=turn)
    rng = np.random.default_rng(seed)
    features[..., 4] = rng.choice([2, 10, 60, 600, 900, 901, 7200], features.shape[:2])
    batch = torch.from_numpy(features)
    truth, scored = truths(batch, MINUTES, SEQ_LEN)
    with torch.no_grad():
        ours = error_miles(Forecaster(MINUTES, seq_len=SEQ_LEN)(batch), truth, batch, SEQ_LEN).numpy()
    theirs = forecast_errors(features, SEQ_LEN, MINUTES)
    assert np.array_equal(scored.numpy(), ~np.isnan(theirs))
    # One is a plane, the other a rhumb line on the sphere.
    assert ours[scored.numpy()] == pytest.approx(theirs[~np.isnan(theirs)], rel=0.02, abs=0.05)
