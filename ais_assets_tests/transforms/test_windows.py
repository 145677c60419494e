"""Windows: the count, packed positions against the source's decimals, and the gather."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.transforms import windows as module
from ais_assets.transforms.windows import (
    LastPosition,
    gather,
    pack_positions,
    pack_tables,
    window_counts,
    windows_table,
)
from ais_assets_tests.blank_columns import integers_or_array, with_blanks

SHIP = 219_000_734
NOON = 1_709_294_400
WINDOW = schema.SEQ_LEN + schema.MAX_HORIZON


def track_table(lengths: Sequence[int], seed: int = 0, columns: Mapping[str, NDArray[Any]] | None = None) -> pa.Table:
    """TRACK_POSITIONS of some tracks with these numbers of positions, each of a vessel of its own, at random places.

    Args:
        lengths: positions of each track.
        seed: of the random values.
        columns: stored integers to have instead, by column name.
    """
    rng = np.random.default_rng(seed)
    rows = sum(lengths)
    mmsi = np.repeat(SHIP + np.arange(len(lengths)), lengths).astype(np.int32)
    first = np.cumsum([0, *lengths])[:-1]
    dt = rng.choice([1, 2, 10, 600, schema.MAX_GAP_SECONDS], rows)
    dt[first[np.array(lengths, np.int64) > 0]] = 0
    clock = np.cumsum(dt)
    heads = np.repeat(first, lengths).astype(np.int64)
    t = (NOON + clock - clock[heads]) if rows else clock
    values: dict[str, NDArray[Any]] = {
        "mmsi": mmsi,
        "track": (mmsi.astype(np.int64) << 32) | NOON,
        "t": 1_000 * t.astype(np.int64),
        "lat_microdegrees": rng.integers(-90_000_000, 90_000_001, rows).astype(np.int32),
        "lon_microdegrees": rng.integers(-180_000_000, 180_000_001, rows).astype(np.int32),
        "sog_tenths": rng.integers(0, 1_024, rows).astype(np.int32),
        "cog_tenths": rng.integers(0, 3_601, rows).astype(np.int32),
        "split": np.array(schema.SPLITS)[mmsi % 2],
    }
    values |= columns or {}
    fields = schema.TRACK_POSITIONS
    filled = with_blanks(values, fields, rows) | {"split": pa.array(values["split"]).cast(fields.field("split").type)}
    arrays = [integers_or_array(filled[field.name], field) for field in fields]
    return pa.Table.from_arrays(arrays, schema=fields)


def reference_features(table: pa.Table) -> NDArray[np.float32]:
    """Every position's five features, by way of the decimals that a text file would print."""
    names = ("track", "t", *(of.column for of in schema.STORED_AS.values()))
    places = [of.places for of in schema.STORED_AS.values()]
    rows = zip(*(table[name].to_pylist() for name in names), strict=True)
    features, before = [], {}
    for track, t, *values in rows:
        dt = (t - before[track]).total_seconds() if track in before else 0.0
        before[track] = t
        features.append([*(float(f"{value}e-{n}") for value, n in zip(values, places, strict=True)), dt])
    return np.array(features, np.float64).astype(np.float32).reshape(-1, schema.FEATURE_COUNT)


def test_window_count_at_the_contract() -> None:
    counts = {
        0: 0,
        1: 0,
        WINDOW - 1: 0,
        WINDOW: 1,
        WINDOW + 1: 1,
        WINDOW + schema.STRIDE - 1: 1,
        WINDOW + schema.STRIDE: 2,
        10 * WINDOW: 262,
    }
    assert window_counts(np.array(list(counts)), WINDOW, schema.STRIDE).tolist() == list(counts.values())


@given(st.integers(0, 400), st.integers(1, 50), st.integers(1, 60))
def test_window_count_is_the_number_of_starts_that_fit(positions: int, window_len: int, stride: int) -> None:
    starts = [start for start in range(0, positions, stride) if start + window_len <= positions]
    assert window_counts(np.array([positions]), window_len, stride).tolist() == [len(starts)]


@pytest.mark.parametrize(("window_len", "stride"), [(0, 1), (1, 0), (-1, 1)])
def test_window_count_refuses_nonsense(window_len: int, stride: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        window_counts(np.array([10]), window_len, stride)


@settings(deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(0, 2**32))
def test_packing_loses_nothing(lengths: list[int], seed: int) -> None:
    table = track_table(lengths, seed)
    packed = pack_positions(table)
    assert packed.shape == (table.num_rows, 3)
    assert packed.dtype == np.uint32
    expected = reference_features(table)
    found = gather([packed], np.zeros(len(packed), np.int64), np.arange(len(packed)), 1)
    assert found.tobytes() == expected.tobytes()


def test_the_extremes_fit() -> None:
    extremes = {
        "lat_microdegrees": [-90_000_000, 90_000_000, 0],
        "lon_microdegrees": [-180_000_000, 180_000_000, 0],
        "sog_tenths": [0, 1_022, 1_023],
        "cog_tenths": [0, 3_600, 3_599],
        "t": [1_000 * NOON, 1_000 * (NOON + schema.MAX_GAP_SECONDS), 1_000 * (NOON + schema.MAX_GAP_SECONDS + 1)],
    }
    columns = {name: np.array(values, np.int64 if name == "t" else np.int32) for name, values in extremes.items()}
    found = gather([pack_positions(track_table([3], columns=columns))], np.zeros(1, np.int64), np.zeros(1, np.int64), 3)
    expected = [[-90, -180, 0, 0, 0], [90, 180, 102.2, 360, schema.MAX_GAP_SECONDS], [0, 0, 102.3, 359.9, 1]]
    np.testing.assert_array_equal(found[0], np.array(expected, np.float32))


@njit
def _first_that_differs(low: int, high: int, unit: float, steps: float) -> int:
    for step in range(low, high + 1):
        if np.float32(step * unit) != np.float32(step / steps):
            return step
    return high + 1


def test_multiplying_gives_the_float32_that_division_gives_for_every_value() -> None:
    lon = 180 * schema.MICRODEGREES
    assert _first_that_differs(-lon, lon, module.DEGREES_PER_STEP, float(schema.MICRODEGREES)) == lon + 1
    assert _first_that_differs(0, 3_600, module.TENTH, 10.0) == 3_601


@settings(deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=5), st.lists(st.integers(0, 100), max_size=5))
def test_tables_may_be_cut_anywhere(lengths: list[int], cuts: list[int]) -> None:
    table = track_table(lengths)
    bounds = [0, *sorted(min(cut, table.num_rows) for cut in cuts), table.num_rows]
    parts = [table.slice(low, high - low) for low, high in pairwise(bounds)]
    assert np.concatenate(list(pack_tables(parts))).tobytes() == pack_positions(table).tobytes()


def test_a_track_that_goes_on_needs_the_position_before() -> None:
    table = track_table([10])
    rest = table.slice(4)
    with pytest.raises(ValueError, match=rf"row 0 \(MMSI {SHIP}.* goes on .*pass the position before it"):
        pack_positions(rest)
    before = LastPosition(table["track"][3].as_py(), table["t"][3].value)
    assert pack_positions(rest, before).tobytes() == pack_positions(table)[4:].tobytes()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("lat", 90_000_001),
        ("lat", -90_000_001),
        ("lon", 180_000_001),
        ("lon", -180_000_001),
        ("sog", 1_024),
        ("sog", -1),
        ("cog", 3_601),
        ("cog", -1),
    ],
)
def test_a_value_that_no_position_has_is_refused(column: str, value: int) -> None:
    values = np.zeros(5, np.int32)
    values[3] = value
    with pytest.raises(ValueError, match=rf"row 3 .*'{column}': {value}"):
        pack_positions(track_table([5], columns={schema.stored_name(column): values}))


@pytest.mark.parametrize("seconds", [0, -1, schema.MAX_GAP_SECONDS + 1])
def test_times_of_a_track_ascend_within_the_longest_gap(seconds: int) -> None:
    t = 1_000 * np.array([NOON, NOON + seconds])
    with pytest.raises(ValueError, match=rf"row 1 .*comes {seconds} s after"):
        pack_positions(track_table([2], columns={"t": t}))


def test_windows_come_in_the_order_asked_for_from_arrays_and_maps(tmp_path: Path) -> None:
    tables = [track_table([40], seed) for seed in range(3)]
    packed: list[NDArray[np.uint32]] = [pack_positions(table) for table in tables]
    packed[1].tofile(tmp_path / "packed")
    packed[1] = np.memmap(tmp_path / "packed", np.uint32, mode="r").reshape(-1, 3)
    packed.append(np.empty((0, 3), np.uint32))
    rng = np.random.default_rng(3)
    shard, row = rng.integers(0, 3, 200), rng.integers(0, 31, 200)
    found = gather(packed, shard.astype(np.int32), row, 10)
    features = [reference_features(table) for table in tables]
    expected = np.stack([features[s][r : r + 10] for s, r in zip(shard, row, strict=True)])
    assert found.tobytes() == expected.tobytes()
    assert gather(packed, shard[:0], row[:0], 10).shape == (0, 10, schema.FEATURE_COUNT)


def test_a_window_keeps_the_time_since_the_position_before_it() -> None:
    table = track_table([5])
    features = gather([pack_positions(table)], np.zeros(2, np.int64), np.array([0, 2]), 3)
    times = [moment.timestamp() for moment in table["t"].to_pylist()]
    assert features[0, 0, 4] == 0
    assert features[1, 0, 4] == times[2] - times[1] > 0


@pytest.mark.parametrize(
    ("shard", "row", "message"),
    [
        (2, 0, "window 1 is in shard 2; there are 2 shards"),
        (-1, 0, "window 1 is in shard -1"),
        (1, -1, "window 1 is rows -1 to 9 of shard 1, but it has 20 positions"),
        (1, 11, "window 1 is rows 11 to 21 of shard 1, but it has 20 positions"),
        (0, 1, "window 1 is rows 1 to 11 of shard 0, but a track begins inside"),
        (0, 9, "window 1 is rows 9 to 19 of shard 0, but a track begins inside"),
    ],
)
def test_what_is_not_there_is_refused(shard: int, row: int, message: str) -> None:
    packed = [pack_positions(track_table([10, 10])), pack_positions(track_table([20]))]
    with pytest.raises(ValueError, match=message):
        gather(packed, np.array([0, shard]), np.array([0, row]), 10)


def test_other_shapes_are_refused() -> None:
    zero = np.zeros(1, np.int64)
    with pytest.raises(ValueError, match="2 shards but 1 rows"):
        gather([], np.zeros(2, np.int64), zero, 1)
    with pytest.raises(ValueError, match=r"shard 0 is int64 \(5, 3\)"):
        gather([np.zeros((5, 3), np.int64)], zero, zero, 1)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"shard 0 is uint32 \(15,\)"):
        gather([np.zeros(15, np.uint32)], zero, zero, 1)


def test_windows_table_is_the_contract_without_a_copy() -> None:
    features = np.arange(2 * 4 * 5, dtype=np.float32).reshape(2, 4, 5)
    track = np.array([(SHIP << 32) | NOON, (257_706_000 << 32) | 5])
    table = windows_table(features, track, 1_000 * np.array([NOON, 5]), 4)
    table.validate(full=True)
    assert table.schema.equals(schema.windows_schema(4), check_metadata=True)
    assert table["mmsi"].to_pylist() == [SHIP, 257_706_000]
    assert table["track"].to_pylist() == track.tolist()
    assert [moment.timestamp() for moment in table["start"].to_pylist()] == [NOON, 5]
    stored = table["features"].chunk(0).values
    np.testing.assert_array_equal(stored.to_numpy().reshape(2, 4, 5), features)
    assert stored.buffers()[1].address == features.ctypes.data


@pytest.mark.parametrize(
    "change",
    [
        lambda features: features.astype(np.float64),
        lambda features: features[:, :3],
        lambda features: features[..., :4],
        lambda features: features[:, :, ::-1],
        lambda features: features[:1],
    ],
)
def test_windows_table_refuses_other_shapes(change: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
    with pytest.raises(ValueError, match=r"must be contiguous float32|1 windows but 2 tracks"):
        windows_table(change(np.zeros((2, 4, 5), np.float32)), np.zeros(2, np.int64), np.zeros(2, np.int64), 4)
