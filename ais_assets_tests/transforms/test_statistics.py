"""Statistics: exact, whatever the batches, the order and the values."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.transforms import statistics as module
from ais_assets.transforms.statistics import WindowStatistics

any_float32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def windows(draw: st.DrawFn) -> NDArray[np.float32]:
    """Some windows of any finite float32: huge, subnormal and negative zero included."""
    count, window_len = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    size = count * window_len * schema.FEATURE_COUNT
    values = draw(st.lists(any_float32, min_size=size, max_size=size))
    return np.array(values, np.float32).reshape(count, window_len, schema.FEATURE_COUNT)


def statistics_of(*batches: NDArray[np.float32]) -> WindowStatistics:
    """Statistics of batches, added in turn."""
    statistics = WindowStatistics()
    for batch in batches:
        statistics.add(batch)
    return statistics


def root(value: Fraction) -> float:
    """The square root, from 60 digits of it."""
    scale = 10**120
    return float(Fraction(math.isqrt(int(value * scale * scale)), scale)) if value else 0.0


@settings(deadline=None)
@given(windows())
def test_they_are_those_of_exact_arithmetic(features: NDArray[np.float32]) -> None:
    summary = statistics_of(features).summary()
    for column, name in enumerate(schema.FEATURE_NAMES):
        values = [Fraction(float(value)) for value in features[..., column].ravel()]
        mean = sum(values, Fraction(0)) / len(values)
        variance = sum(((value - mean) ** 2 for value in values), Fraction(0)) / len(values)
        found = summary[name]
        assert found["count"] == len(values)
        assert found["min"] == min(values)
        assert found["max"] == max(values)
        assert found["mean"] == float(mean)
        assert found["std"] == pytest.approx(root(variance), rel=1e-15, abs=0)


@settings(deadline=None)
@given(windows(), st.integers(1, 3))
def test_batches_order_and_merging_do_not_matter(features: NDArray[np.float32], size: int) -> None:
    whole = statistics_of(features).to_json()
    order = np.random.default_rng(size).permutation(len(features))
    batches = [features[order[start : start + size]] for start in range(0, len(order), size)]
    assert statistics_of(*batches).to_json() == whole
    parts = [statistics_of(batch) for batch in batches]
    assert WindowStatistics.merged(parts).to_json() == whole
    assert WindowStatistics.merged([*reversed(parts), WindowStatistics()]).to_json() == whole


@settings(deadline=None)
@given(windows())
def test_json_and_back(features: NDArray[np.float32]) -> None:
    statistics = statistics_of(features)
    text = json.dumps(statistics.to_json(), allow_nan=False)
    again = WindowStatistics.from_json(json.loads(text))
    assert again.to_json() == statistics.to_json()
    assert again.summary() == statistics.summary()


def test_a_spread_far_smaller_than_the_values_is_not_lost() -> None:
    # Two neighbouring float32: mean² and the mean of squares agree in the first 15 digits.
    low = np.float32(179.0)
    high = np.nextafter(low, np.float32(180), dtype=np.float32)
    features = np.full((100, 50, schema.FEATURE_COUNT), low, np.float32)
    features[50:] = high
    summary = statistics_of(features).summary()["lon"]
    assert summary["std"] == (float(high) - float(low)) / 2
    assert summary["mean"] == (float(high) + float(low)) / 2


def test_more_positions_than_are_summed_up_at_once() -> None:
    # All squares of mantissas as large as can be, over several limbs.
    largest = np.float32(2.0) - np.finfo(np.float32).eps
    positions = 3 * module._POSITIONS_AT_ONCE + 5
    features = np.full((1, positions, schema.FEATURE_COUNT), largest, np.float32)
    for values in statistics_of(features).summary().values():
        assert values == {"count": positions, "min": largest, "max": largest, "mean": largest, "std": 0.0}


def test_slices_are_read_as_they_are() -> None:
    features = np.random.default_rng(0).normal(size=(6, 8, 5)).astype(np.float32)
    assert statistics_of(features[::2, 1:7]).to_json() == statistics_of(features[::2, 1:7].copy()).to_json()


def test_the_sign_of_zero_does_not_depend_on_the_order() -> None:
    features = np.zeros((2, 1, schema.FEATURE_COUNT), np.float32)
    features[0] = -0.0
    assert json.dumps(statistics_of(features).to_json()) == json.dumps(statistics_of(features[::-1]).to_json())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused_and_changes_nothing(value: float) -> None:
    features = np.ones((3, 4, schema.FEATURE_COUNT), np.float32)
    statistics = statistics_of(features)
    before = statistics.to_json()
    features[2, 1, 3] = value
    with pytest.raises(ValueError, match=f"cog is {value} at position 1 of window 2"):
        statistics.add(features)
    assert statistics.to_json() == before


@pytest.mark.parametrize(
    "features", [np.zeros((1, 2, 5)), np.zeros((1, 2, 4), np.float32), np.zeros((2, 5), np.float32)]
)
def test_other_shapes_are_refused(features: NDArray[np.float32]) -> None:
    with pytest.raises(ValueError, match=r"must be float32 \(windows, positions, 5\)"):
        statistics_of(features)


def test_no_windows_have_no_mean() -> None:
    nothing = statistics_of(np.empty((0, 8, schema.FEATURE_COUNT), np.float32))
    with pytest.raises(ValueError, match="no windows"):
        nothing.summary()
    again = WindowStatistics.from_json(json.loads(json.dumps(nothing.to_json(), allow_nan=False)))
    some = statistics_of(np.ones((1, 2, schema.FEATURE_COUNT), np.float32))
    assert WindowStatistics.merged([again, some]).to_json() == some.to_json()


def test_statistics_of_other_features_are_refused() -> None:
    values = WindowStatistics().to_json()
    values["features"]["altitude"] = values["features"].pop("lat")
    with pytest.raises(ValueError, match=r"altitude; they must be of lat, lon, sog, cog, dt_seconds"):
        WindowStatistics.from_json(values)
