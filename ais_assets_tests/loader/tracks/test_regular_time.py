"""Windows on a regular time grid: great circles as geographiclib has them, no silence bridged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from geographiclib.geodesic import Geodesic

from ais_assets import schema
from ais_assets.io.streaming_loader import TrackWindowDataset
from ais_assets.loader.tracks.channels import NAMES
from ais_assets.transforms.geodesy import EARTH_RADIUS_METRES
from ais_assets_tests.loader.tracks.track_datasets import publish, with_channels
from ais_assets_tests.transforms.test_windows import NOON, SHIP, track_table

SPHERE = Geodesic(EARTH_RADIUS_METRES, 0)
EVERY = 600


def voyage(times: list[int], **columns: list[int]) -> pa.Table:
    """One training vessel's track with positions at these seconds after noon; columns as stored integers."""
    start = NOON + times[0]
    given: dict[str, Any] = {
        "mmsi": np.full(len(times), SHIP, np.int32),
        "track": np.full(len(times), (SHIP << 32) | start),
        "t": 1000 * (NOON + np.array(times)),
        **{schema.stored_name(name): np.array(values, np.int32) for name, values in columns.items()},
    }
    return track_table([len(times)], columns=given)


def only_window(
    tmp_path: Path, table: pa.Table, steps: int, **options: Any
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Features, mask and times of the only window of so many steps."""
    publish(tmp_path / "lake", [table])
    options = {"every_seconds": EVERY, "mask": True, "times": True, "stride": 1, **options}
    dataset = TrackWindowDataset(tmp_path / "lake", tmp_path / "cache", seq_len=1, max_horizon=steps - 1, **options)
    assert dataset.windows == 1
    features, others = dataset.batch([0])
    return features[0].numpy(), others["mask"][0].numpy(), others["times"][0].tolist()


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((55.0, 10.0), (55.5, 11.0)),
        ((10.0, 179.9), (10.2, -179.8)),
        ((-33.0, -179.5), (-32.0, 179.5)),
        ((80.0, 20.0), (80.0, 26.0)),
        ((80.0, 179.0), (80.3, -177.0)),
        ((0.0, 0.0), (0.0, 0.5)),
    ],
)
def test_a_ship_is_on_the_great_circle_between_two_positions(
    tmp_path: Path, a: tuple[float, float], b: tuple[float, float]
) -> None:
    lat, lon = ([round(1e6 * position[k]) for position in (a, b)] for k in (0, 1))
    table = voyage([0, 3000], lat=lat, lon=lon)
    features, mask, times = only_window(tmp_path, table, 6)
    assert times == [NOON + EVERY * k for k in range(6)]
    line = SPHERE.InverseLine(*a, *b)
    ellipsoid = Geodesic.WGS84.InverseLine(*a, *b)
    for step, (lat, lon, *_) in enumerate(features.astype(np.float64).tolist()):
        there = line.Position(line.s13 * step / 5)
        # A float32 of a longitude is exact to 1e-5 degree.
        assert lat == pytest.approx(there["lat2"], abs=1e-5)
        assert abs((lon - there["lon2"] + 180) % 360 - 180) < 2e-5
        on_ellipsoid = ellipsoid.Position(ellipsoid.s13 * step / 5)
        off = Geodesic.WGS84.Inverse(lat, lon, on_ellipsoid["lat2"], on_ellipsoid["lon2"])["s12"]
        assert off < 60
    assert mask[:, :2].tolist() == [[True, True], *[[False, False]] * 4, [True, True]]


def test_courses_turn_the_shorter_way_through_north(tmp_path: Path) -> None:
    table = voyage([0, 1200], cog=[3500, 100], sog=[100, 200])
    table = with_headings(table, [350, 10])
    features, _, _ = only_window(tmp_path, table, 3, features=("cog", "heading", "course_sin", "course_cos", "sog"))
    np.testing.assert_allclose(features[:, 0], [350, 0, 10], atol=1e-4)
    np.testing.assert_allclose(features[:, 1], [350, 0, 10], atol=1e-4)
    np.testing.assert_allclose(features[:, 2], np.sin(np.radians([350, 0, 10])), atol=1e-6)
    np.testing.assert_allclose(features[:, 3], np.cos(np.radians([350, 0, 10])), atol=1e-6)
    np.testing.assert_allclose(features[:, 4], [10, 15, 20], atol=1e-5)


def with_headings(table: pa.Table, headings: list[int | None]) -> pa.Table:
    """The table with these headings, all else received."""
    table = with_channels(table)
    columns = {
        "heading": pa.array(headings, pa.int16()),
        "nav_status": pa.array([schema.NAV_STATUSES[0]] * table.num_rows).dictionary_encode(),
        "sog_held": pa.array([False] * table.num_rows),
        "cog_held": pa.array([False] * table.num_rows),
    }
    for name, column in columns.items():
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def test_a_heading_is_not_made_up_where_one_side_has_none(tmp_path: Path) -> None:
    table = with_headings(voyage([0, 900, 1800]), [100, None, 120])
    features, mask, _ = only_window(tmp_path, table, 4, features=("heading", "nav_status", "sog_held"))
    assert np.isnan(features[:, 0]).tolist() == [False, True, True, False]
    assert mask[:, 0].tolist() == [True, False, False, True]
    assert features[:, 1].tolist() == [0, 0, 0, 0]
    assert mask[:, 1].tolist() == [True, False, False, True]
    assert features[:, 2].tolist() == [0, 1, 1, 0]


def test_no_window_reaches_over_a_silence_longer_than_the_limit(tmp_path: Path) -> None:
    table = voyage([0, 1800, 1800 + 3601, 9000])
    publish(tmp_path / "lake", [table])

    def times(limit: int) -> list[list[int]]:
        dataset = TrackWindowDataset(
            tmp_path / "lake",
            tmp_path / "cache",
            seq_len=2,
            max_horizon=1,
            stride=1,
            every_seconds=EVERY,
            max_silence_seconds=limit,
            times=True,
            shuffle=False,
        )
        return ((dataset.batch(np.arange(dataset.windows))[1]["times"] - NOON) // EVERY).tolist()

    assert times(3600) == [[0, 1, 2], [1, 2, 3], [10, 11, 12], [11, 12, 13], [12, 13, 14], [13, 14, 15]]
    assert times(3601) == [[k, k + 1, k + 2] for k in range(14)]
    assert times(3602) == times(3601)


def test_steps_are_at_whole_multiples_and_a_stretch_may_have_none(tmp_path: Path) -> None:
    table = voyage([1, 599, 601, 1300])
    publish(tmp_path / "lake", [table])
    dataset = TrackWindowDataset(
        tmp_path / "lake", tmp_path / "cache", seq_len=1, max_horizon=1, stride=1, every_seconds=EVERY, times=True
    )
    assert NOON % EVERY == 0
    assert dataset.batch([0])[1]["times"].tolist() == [[NOON + 600, NOON + 1200]]
    with pytest.raises(ValueError, match="holds no train window"):
        TrackWindowDataset(tmp_path / "lake", tmp_path / "cache", seq_len=1, max_horizon=1, every_seconds=5000)


def test_where_two_positions_are_at_the_steps_a_grid_is_what_was_received(tmp_path: Path) -> None:
    table = with_channels(voyage([EVERY * k for k in range(20)]))
    publish(tmp_path / "lake", [table])
    options: dict[str, Any] = {"features": NAMES, "mask": True, "times": True, "provenance": True}
    geometry = {"seq_len": 3, "max_horizon": 4, "stride": 2}
    by_position = TrackWindowDataset(tmp_path / "lake", tmp_path / "cache", **geometry, **options)
    on_grid = TrackWindowDataset(tmp_path / "lake", tmp_path / "cache", every_seconds=EVERY, **geometry, **options)
    assert by_position.windows == on_grid.windows > 1
    positions, of_positions = by_position.batch(np.arange(by_position.windows))
    steps, of_steps = on_grid.batch(np.arange(on_grid.windows))
    # dt_seconds is 0 at a track's first position, and that of a step everywhere on a grid.
    positions[0, 0, NAMES.index("dt_seconds")] = EVERY
    np.testing.assert_allclose(steps.numpy(), positions.numpy(), atol=1e-6, equal_nan=True)
    for name, tensor in of_positions.items():
        np.testing.assert_array_equal(of_steps[name].numpy(), tensor.numpy())


def test_windows_of_a_grid_are_chosen_by_facts_and_kept_from_held_out_time(tmp_path: Path) -> None:
    table = voyage([700 * k for k in range(60)])
    publish(tmp_path / "lake", [table], {"holdout_from": NOON + 20_000})
    options: dict[str, Any] = {"seq_len": 2, "max_horizon": 3, "stride": 1, "every_seconds": EVERY, "times": True}
    training = TrackWindowDataset(tmp_path / "lake", tmp_path / "cache", **options)
    assert training.batch(np.arange(training.windows))[1]["times"].max() < NOON + 20_000
    held_out = TrackWindowDataset(tmp_path / "lake", tmp_path / "cache", split="holdout", **options)
    assert held_out.batch(np.arange(held_out.windows))[1]["times"].min() == NOON + 20_400
    chosen = TrackWindowDataset(tmp_path / "lake", tmp_path / "cache", where="span_seconds <= 2800", **options)
    assert 0 < chosen.windows < training.windows
