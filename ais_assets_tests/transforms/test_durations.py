"""Durations of windows: the quantiles of the plain definition, whatever the batches and the order."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.transforms.durations import QUANTILES, WindowDurations
from ais_assets.transforms.windows import windows_table

DT = schema.FEATURE_NAMES.index("dt_seconds")


def windows_of(dt: NDArray[np.integer]) -> NDArray[np.float32]:
    """Windows with these dt_seconds, shape (k, window_len); the other features must not matter."""
    features = np.full((*dt.shape, schema.FEATURE_COUNT), -7.0, np.float32)
    features[..., DT] = dt
    return features


@st.composite
def intervals(draw: st.DrawFn) -> NDArray[np.int64]:
    """dt_seconds of some windows: short, long, and of very different lengths together."""
    count, window_len = draw(st.integers(1, 30)), draw(st.integers(1, 6))
    one = st.one_of(st.integers(0, 12), st.integers(0, schema.MAX_GAP_SECONDS), st.just(schema.MAX_GAP_SECONDS))
    values = draw(st.lists(one, min_size=count * window_len, max_size=count * window_len))
    return np.array(values, np.int64).reshape(count, window_len)


def durations_of(seq_len: int, *batches: NDArray[np.float32]) -> WindowDurations:
    """Durations of batches, added in turn."""
    durations = WindowDurations(seq_len, batches[0].shape[1])
    for batch in batches:
        durations.add(batch)
    return durations


@settings(deadline=None)
@given(intervals(), st.data())
def test_quantiles_are_those_of_the_sorted_durations(dt: NDArray[np.int64], data: st.DataObject) -> None:
    seq_len = data.draw(st.integers(1, dt.shape[1]))
    summary = durations_of(seq_len, windows_of(dt)).summary()
    for name, positions in (("input", seq_len), ("window", dt.shape[1])):
        seconds = sorted(dt[:, 1:positions].sum(axis=1).tolist())
        found = summary[name]
        assert (found["positions"], found["windows"]) == (positions, len(dt))
        assert (found["min"], found["max"]) == (seconds[0], seconds[-1])
        for share in QUANTILES:
            exact = seconds[max(1, math.ceil(share * len(seconds))) - 1]
            assert exact <= found["quantiles"][f"{share:g}"] <= (exact if exact < 256 else exact * (1 + 2**-7))


@settings(deadline=None)
@given(intervals(), st.integers(1, 3))
def test_batches_order_and_merging_do_not_matter(dt: NDArray[np.int64], size: int) -> None:
    features = windows_of(dt)
    whole = durations_of(1, features)
    order = np.random.default_rng(size).permutation(len(features))
    batches = [features[order[start : start + size]] for start in range(0, len(order), size)]
    assert durations_of(1, *batches).to_json() == whole.to_json()
    parts = [WindowDurations.from_json(json.loads(json.dumps(durations_of(1, batch).to_json()))) for batch in batches]
    nothing = WindowDurations.from_json(json.loads(json.dumps(WindowDurations(1, dt.shape[1]).to_json())))
    assert WindowDurations.merged([nothing, *reversed(parts), nothing]).summary() == whole.summary()


def test_the_contracts_windows_at_ten_seconds_and_at_a_minute() -> None:
    length = schema.SEQ_LEN + schema.MAX_HORIZON
    dt = np.repeat([[10], [60]], length, axis=1)
    summary = durations_of(schema.SEQ_LEN, windows_of(dt)).summary()
    assert (summary["input"]["min"], summary["input"]["max"]) == (1_270, 7_620)
    assert (summary["window"]["min"], summary["window"]["max"]) == (9_270, 55_620)


def test_the_longest_windows_have_a_bin() -> None:
    dt = np.full((1, 20_000), schema.MAX_GAP_SECONDS)
    summary = durations_of(2, windows_of(dt)).summary()
    assert summary["input"]["quantiles"]["0.5"] == schema.MAX_GAP_SECONDS
    assert summary["window"]["quantiles"]["0.5"] == 19_999 * schema.MAX_GAP_SECONDS


def test_tables_are_watched_as_they_pass() -> None:
    features = windows_of(np.arange(60).reshape(10, 6))
    table = windows_table(features, np.full(10, 219_000_001 << 32), np.zeros(10, np.int64), 6)
    durations = WindowDurations(4, 6)
    passed = list(durations.watch([table.slice(0, 3), table.slice(3, 0), table.slice(3)]))
    assert [part.num_rows for part in passed] == [3, 0, 7]
    assert durations.to_json() == durations_of(4, features).to_json()


@pytest.mark.parametrize("value", [np.nan, -1, schema.MAX_GAP_SECONDS + 1])
def test_intervals_that_no_track_has_are_refused_and_change_nothing(value: float) -> None:
    features = windows_of(np.ones((3, 4), np.int64))
    durations = durations_of(2, features)
    before = durations.to_json()
    features[1, 2, DT] = value
    with pytest.raises(ValueError, match=r"at position 2 of window 1 of a batch; it must be 0 to 14,400"):
        durations.add(features)
    assert durations.to_json() == before


@pytest.mark.parametrize("features", [np.zeros((1, 4, 5)), np.zeros((1, 3, 5), np.float32)])
def test_other_shapes_are_refused(features: NDArray[np.float32]) -> None:
    with pytest.raises(ValueError, match=r"must be float32 \(1, 4, 5\)"):
        WindowDurations(2, 4).add(features)


@pytest.mark.parametrize("seq_len", [0, 5])
def test_an_input_is_a_part_of_the_window(seq_len: int) -> None:
    with pytest.raises(ValueError, match="must be 1 to window_len, which is 4"):
        WindowDurations(seq_len, 4)


def test_no_windows_and_other_windows() -> None:
    with pytest.raises(ValueError, match="no windows"):
        WindowDurations(2, 4).summary()
    with pytest.raises(ValueError, match="materialize mds_shards of every pile again"):
        WindowDurations.merged([WindowDurations(2, 4), WindowDurations(3, 4)])
