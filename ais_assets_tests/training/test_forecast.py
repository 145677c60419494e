"""What the example sees and forecasts, against known answers and against transforms.dead_reckoning."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from geographiclib.geodesic import Geodesic
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ais_assets.training.forecast import INPUTS, OUTPUTS, corrected, corrections, inputs
from ais_assets.training.model import Forecaster
from ais_assets.training.trainer import Plan, loss_of
from ais_assets.transforms.dead_reckoning import error_miles, forecast_errors, true_places
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


@pytest.mark.parametrize("turn", [1.0, -1.0])
def test_a_ship_that_turns_is_to_that_side_of_where_she_is_reckoned(turn: float) -> None:
    off = corrections(voyages(5, turn=turn), MINUTES, SEQ_LEN)[0]
    assert ((off[..., 1] > 0) == (turn > 0)).all()
    assert ((off[..., 3] > 0) == (turn > 0)).all()


def test_motion_is_off_by_what_she_has_turned() -> None:
    features = voyages(20, turn=0.7)
    speed = features[:, :1, 2]
    turned = np.radians(0.7 * np.array([MINUTES]))
    off, _ = corrections(features, MINUTES, SEQ_LEN)
    assert off[..., 2].numpy() == pytest.approx(speed * (np.cos(turned) - 1), abs=1e-3)
    assert off[..., 3].numpy() == pytest.approx(speed * np.sin(turned), abs=1e-3)


def test_motion_between_two_positions_is_between_theirs() -> None:
    window = straight(90.0)
    window[0, SEQ_LEN + 9, 2], window[0, SEQ_LEN + 10, 2] = 14.0, 18.0
    off, _ = corrections(window.numpy(), (10.75,), SEQ_LEN)
    assert off[0, 0, 2:].tolist() == pytest.approx([14 + 0.75 * 4 - 12, 0], abs=1e-5)


def place(minute: int) -> int:
    """The position so many minutes after the last one seen."""
    return SEQ_LEN - 1 + minute


@pytest.mark.parametrize(
    ("column", "silent"),
    [(0, [0, 1]), (1, [0, 1]), (2, [2, 3]), (3, [2, 3]), (4, [])],
    ids=["lat", "lon", "sog", "cog", "dt"],
)
def test_a_held_truth_has_no_gradient(column: int, silent: list[int]) -> None:
    plan = Plan(minutes=MINUTES, seq_len=SEQ_LEN)
    batch = torch.from_numpy(voyages(4, turn=0.7))
    received = torch.ones_like(batch, dtype=torch.bool)
    received[1, place(30), column] = False
    forecast = torch.zeros(4, len(MINUTES), len(OUTPUTS), requires_grad=True)
    loss_of(forecast, batch, plan, received).backward()
    assert forecast.grad is not None
    untaught = torch.nonzero(forecast.grad == 0).tolist()
    assert untaught == [[1, MINUTES.index(30.0), output] for output in silent]
    of_all = torch.zeros_like(forecast, requires_grad=True)
    loss_of(of_all, batch, plan).backward()
    assert of_all.grad is not None
    assert torch.count_nonzero(of_all.grad) == of_all.grad.numel()


def test_a_truth_between_two_positions_needs_both() -> None:
    features = voyages(4)
    minutes = (10.5,)
    for number, held in enumerate([place(9), place(10), place(11), place(12)]):
        received = np.ones(features.shape, np.bool_)
        received[:, held] = False
        _, scored = corrections(features, minutes, SEQ_LEN, received)
        assert bool(scored.any()) == bool(scored.all()) == (number in (0, 3))


def test_what_is_to_be_learned_is_the_way_from_the_reckoned_place_to_the_true_one() -> None:
    features = voyages(20, turn=0.7)
    miles, scored = corrections(features, MINUTES, SEQ_LEN)
    assert scored.all()
    distances = torch.linalg.vector_norm(miles[..., :2], dim=-1).numpy()
    assert distances == pytest.approx(forecast_errors(features, SEQ_LEN, MINUTES), rel=1e-5)
    truth = true_places(features, SEQ_LEN, MINUTES)
    off = error_miles(corrected(miles.numpy(), features, MINUTES, SEQ_LEN), truth)
    # The way there is sailed on the ellipsoid, and its direction is the sphere's.
    assert (off < 0.005 * distances + 1e-3).all()


def test_what_was_held_is_said_of_the_positions_seen() -> None:
    window = straight(30.0)
    received = torch.ones_like(window, dtype=torch.bool)
    received[0, 3, 2] = received[0, 5, 3] = received[0, SEQ_LEN, 2] = False
    seen = inputs(window, SEQ_LEN, received)
    assert seen.shape == (1, SEQ_LEN, len(INPUTS))
    assert torch.nonzero(seen[0, :, -2:]).tolist() == [[3, 0], [5, 1]]
    assert torch.equal(seen[..., :-2], inputs(window, SEQ_LEN)[..., :-2])
    assert not inputs(window, SEQ_LEN)[..., -2:].any()


@pytest.mark.parametrize("lat", [0.0, 55.0, -75.0])
def test_a_mile_to_starboard_is_a_mile_to_starboard(lat: float) -> None:
    window = straight(0.0, lat=lat, lon=179.999, knots=0.0).numpy()
    there = corrected(np.array([[[0.0, 1.0]] * 3], np.float32), window, MINUTES, SEQ_LEN)
    lat, lon = window[0, SEQ_LEN - 1, :2].tolist()
    way = Geodesic.WGS84.Inverse(lat, lon, there.lat[0, 0], there.lon[0, 0])
    assert way["s12"] == pytest.approx(1852, abs=0.5)
    assert way["azi1"] == pytest.approx(90, abs=0.05)


def test_what_is_seen_does_not_depend_on_place_or_course() -> None:
    seen = [inputs(straight(course, lon=lon), SEQ_LEN) for course, lon in ((0.0, 0.0), (90.0, 179.99))]
    assert seen[0].shape == (1, SEQ_LEN, len(INPUTS))
    assert torch.allclose(seen[0], seen[1], atol=1e-3)
    assert seen[0][0, -1, :2].tolist() == [0, 0]


@settings(deadline=None, max_examples=30)
@example(922, 1.5625)
@given(st.integers(0, 2**32 - 1), st.floats(-3, 3))
def test_an_untrained_network_is_dead_reckoning(seed: int, turn: float) -> None:
    features = voyages(8, seed, turn=turn)
    rng = np.random.default_rng(seed)
    features[..., 4] = rng.choice([2, 10, 60, 600, 900, 901, 7200], features.shape[:2])
    with torch.no_grad():
        miles = Forecaster(MINUTES, seq_len=SEQ_LEN)(torch.from_numpy(features)).numpy()
    truth = true_places(features, SEQ_LEN, MINUTES)
    ours = error_miles(corrected(miles, features, MINUTES, SEQ_LEN), truth)
    theirs = forecast_errors(features, SEQ_LEN, MINUTES)
    scored = corrections(features, MINUTES, SEQ_LEN)[1].numpy()
    assert (scored == ~np.isnan(theirs)[..., None]).all()
    assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9, nan_ok=True)
