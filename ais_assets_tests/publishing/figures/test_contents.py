"""What is drawn is what the numbers say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle, StepPatch

from ais_assets.ledger import Ledger
from ais_assets.publishing.figures.days import dropped_by_day, hours_by_day, largest_first, volume_by_day
from ais_assets.publishing.figures.forecast import error_by_horizon
from ais_assets.publishing.figures.funnel import funnel
from ais_assets.publishing.figures.maps import Box, box_of, density, sample_windows, traffic_density
from ais_assets.publishing.figures.sample import plot_sample
from ais_assets.publishing.figures.spans import lengths_and_durations, reporting_intervals
from ais_assets.publishing.figures.vessels import types_and_flags
from ais_assets.publishing.figures.windows import by_chance, feature_distributions, shared_vessel, shuffle_evidence
from ais_assets_tests.publishing.figures.drawn import DAYS, ROWS, SEEN, positions, report, windows


def steps(axes: Axes) -> dict[str, Any]:
    """What was drawn in steps, by label: `values`, `edges`, `baseline`; matplotlib is typed as a plain tuple."""
    return {str(patch.get_label()): patch.get_data() for patch in axes.patches if isinstance(patch, StepPatch)}


def widths(axes: Axes) -> list[float]:
    """Of bars that lie, in the order in which they were drawn."""
    return [patch.get_width() for patch in axes.patches if isinstance(patch, Rectangle)]


def test_volume_is_by_day_and_an_absent_day_is_none() -> None:
    top, bottom = volume_by_day(DAYS, ROWS, ROWS / 2, ROWS / 10).figure.axes
    np.testing.assert_array_equal(steps(top)["rows of the source's files"].values, ROWS)
    np.testing.assert_array_equal(steps(top)["clean positions"].values, ROWS / 2)
    np.testing.assert_array_equal(steps(bottom)["vessels"].values, ROWS / 10)
    assert [label.get_text() for label in bottom.get_xticklabels()] == ["1 Mar", "2 Mar", "3 Mar", "4 Mar", "5 Mar"]
    assert len([patch for patch in top.patches if isinstance(patch, Rectangle)]) == 1, "the day that is not there"


def test_rules_are_stacked_as_shares_of_the_days_rows() -> None:
    dropped = {"same_second": np.array([1.0, 2, 0, 5, 0]), "exact_duplicate": np.array([50.0, 20, 0, 5, 40])}
    (axes,) = dropped_by_day(DAYS, dropped, ROWS).figure.axes
    duplicates, seconds = steps(axes)["exact duplicate"], steps(axes)["same second"]
    np.testing.assert_allclose(duplicates.values, [0.5, 0.1, 0, 0.1, 0.1])
    np.testing.assert_allclose(seconds.values - seconds.baseline, [0.01, 0.01, 0, 0.1, 0])
    np.testing.assert_array_equal(seconds.baseline, duplicates.values)


def test_rules_beyond_the_seventh_are_one() -> None:
    dropped = {f"rule_{k:02}": np.array([float(k)]) for k in range(1, 13)} | {"none": np.zeros(1)}
    ranked = largest_first(dropped)
    assert list(ranked)[:2] == ["rule_12", "rule_11"]
    assert len(ranked) == 8
    assert sum(counts.sum() for counts in ranked.values()) == sum(counts.sum() for counts in dropped.values())


def test_hours_without_a_position_are_marked_and_days_that_are_not_there_are_empty() -> None:
    positions_by_hour = np.arange(5 * 24, dtype=float).reshape(5, 24)
    positions_by_hour[2] = np.nan
    axes = hours_by_day(DAYS, positions_by_hour).figure.axes[0]
    heard, silent = (mesh.get_array() for mesh in axes.collections if isinstance(mesh, QuadMesh))
    assert np.ma.count(silent) == 1, "the first hour"
    assert np.ma.count(heard) == 4 * 24 - 1
    np.testing.assert_array_equal(np.ma.filled(heard, np.nan)[:, 4], positions_by_hour[4])


def test_every_position_is_counted_in_its_cell() -> None:
    box = Box(50.0, 52.0, 10.0, 12.0)
    lat, lon = np.array([50.1, 50.1, 51.9, 53.0]), np.array([10.1, 10.1, 11.9, 11.0])
    counts = density(lat, lon, box, cells=4)
    assert counts.sum() == 3, "one is outside"
    assert counts[0, 0] == 2
    assert counts[-1, -1] == 1


def test_the_map_shows_the_density_and_the_coast() -> None:
    lat, lon = positions()
    axes = traffic_density(lat, lon, of="a day").figure.axes[0]
    (image,) = (child for child in axes.get_children() if isinstance(child, AxesImage))
    counts = image.get_array()
    assert counts is not None
    assert np.ma.sum(counts) == pytest.approx(len(lat), rel=0.01), "but for outliers"
    west, east, south, north = image.get_extent()
    assert south < lat.min()
    assert lat.max() < north
    assert west < lon.min()
    assert lon.max() < east
    assert len(axes.collections) >= 2, "land and its coast"


def test_a_box_crosses_the_antimeridian_where_its_ships_do() -> None:
    box = box_of(np.array([10.0, 12.0]), np.array([179.0, -179.0]))
    assert (box.west, box.east) == (179.0, 181.0)
    assert str(box) == "10°N to 12°N, 179°E to 179°W"
    assert density(np.array([11.0]), np.array([-179.5]), box).sum() == 1
    around = box_of(np.zeros(360), np.arange(-180.0, 180.0))
    assert (around.west, around.east) == (-180.0, 179.0)


def test_windows_are_seen_to_the_last_position_seen_and_forecast_from_there() -> None:
    picture = sample_windows(windows(2), ["Cargo", "Tug"], seq_len=SEEN, of="two")
    first = picture.figure.axes[0]
    forecast, seen = first.lines[:2]
    np.testing.assert_allclose(np.asarray(seen.get_ydata()), windows()[0, :SEEN, 0])
    np.testing.assert_allclose(np.asarray(forecast.get_ydata()), windows()[0, SEEN - 1 :, 0])
    assert first.get_title("left") == "Cargo\n0:16 h, 6.81 nm"
    assert picture.alt == "2 maps of a window each: Cargo, 0:16 h, 6.81 nm; Tug, 0:16 h, 6.81 nm."


def test_intervals_leave_out_where_tracks_begin() -> None:
    (axes,) = reporting_intervals((0, 2, 10, 60, 3_600), (90, 1, 2, 3, 4)).figure.axes
    heights = [patch.get_height() for patch in axes.patches if isinstance(patch, Rectangle)]
    np.testing.assert_allclose(heights, [0.1, 0.2, 0.3, 0.4])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1–2 s", "3–10 s", "to 1 min", "to 1 h"]


def test_tracks_and_windows_are_shares_that_sum_to_one() -> None:
    rng = np.random.default_rng(3)
    spans = [rng.exponential(5, 70) for _ in range(4)]
    for axes in lengths_and_durations(*spans).figure.axes[:2]:
        for patch in axes.patches:
            assert isinstance(patch, StepPatch)
            drawn: Any = patch.get_data()
            assert drawn.values.sum() == pytest.approx(1)


def test_types_and_flags_are_counted_once() -> None:
    types = {f"type {k}": {"class A": k + 1, "class B": 1} for k in range(20)}
    left, right = types_and_flags(types, {"DK": 4, "SE": 9}).figure.axes
    assert sum(widths(left)) == sum(sum(of.values()) for of in types.values())
    assert left.get_yticklabels()[0].get_text() == "type 19"
    assert left.get_yticklabels()[-1].get_text() == "7 others"
    assert widths(right) == [9, 4]


def test_a_name_of_the_source_is_not_drawn_as_a_formula() -> None:
    picture = types_and_flags({"$\\frac{1}{0}$ \n<b>船": {"class A": 1}}, {})
    assert picture.png
    assert "\n" not in picture.figure.axes[0].get_yticklabels()[0].get_text()


def test_features_are_drawn_by_split() -> None:
    values = {name: np.array([10.0, 10.0, 90.0]) for name in ("lat", "lon", "sog", "cog", "dt_seconds")}
    axes = feature_distributions({"train": values, "validation": values}).figure.axes
    assert [each.get_title("left").partition(",")[0] for each in axes] == list(values)
    for each in axes:
        trained, validated = steps(each)
        assert trained == "train (3 positions)"
        assert validated == "validation (3 positions)"
        np.testing.assert_allclose(sorted(steps(each)[trained].values)[-2:], [1 / 3, 2 / 3])


def test_a_shuffle_is_told_from_the_order_of_tracks() -> None:
    sorted_vessels = np.repeat(np.arange(30), 40)
    shuffled = np.random.default_rng(4).permutation(sorted_vessels)
    chance = by_chance(sorted_vessels)
    assert chance == pytest.approx(39 / 1_199)
    assert shared_vessel(sorted_vessels, [1])[0] > 0.9
    assert shared_vessel(shuffled, [1])[0] == pytest.approx(chance, abs=0.02)
    right = shuffle_evidence(np.zeros(len(shuffled)), shuffled, 0.0, 86_400.0).figure.axes[1]
    found = next(line for line in right.lines if line.get_label() == "found")
    np.testing.assert_allclose(np.asarray(found.get_ydata()), shared_vessel(shuffled, [2**k for k in range(9)]))


def test_errors_are_by_horizon_with_their_intervals() -> None:
    moving = error_by_horizon(report()).figure.axes[0]
    mean = moving.lines[0]
    np.testing.assert_array_equal(mean.get_xdata(), [10, 60])
    np.testing.assert_allclose(np.asarray(mean.get_ydata()), [1.0, 6.0])
    band = moving.collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == (0.5, 9.0)


def test_a_funnel_has_what_went_on_and_what_did_not() -> None:
    stages = {"rows": Ledger(100, 80, {"bad_mmsi": 5, "bad_time": 15}), "windows": Ledger(80, 80)}
    (axes,) = funnel(stages).figure.axes
    np.testing.assert_allclose(widths(axes), [0.8, 0.2, 1.0, 0.0], atol=1e-12)
    said = [text.get_text() for text in axes.texts]
    assert said[0] == "rows: 100 in, 80 on"
    assert said[1] == "dropped: bad time 15.0%, bad mmsi 5.0%"


def test_a_sample_is_drawn_as_it_is() -> None:
    sample = windows(1)[0]
    picture = plot_sample(sample, seq_len=SEEN, forecast=sample[SEEN : SEEN + 9, :2] + 0.5, of="train:0")
    place, *reports = picture.figure.axes
    ways = {line.get_label(): np.column_stack([line.get_ydata(), line.get_xdata()]) for line in place.lines}
    np.testing.assert_allclose(ways["seen"], sample[:SEEN, :2], atol=1e-5)
    np.testing.assert_allclose(ways["to forecast"], sample[SEEN - 1 :, :2], atol=1e-5)
    np.testing.assert_allclose(ways["forecast"][0], sample[SEEN - 1, :2], atol=1e-5)
    np.testing.assert_allclose(ways["forecast"][1:], sample[SEEN : SEEN + 9, :2] + 0.5, atol=1e-5)
    for axes, column in zip(reports, sample[:, 2:].T, strict=True):
        seen, ahead = (np.array(line.get_data()) for line in axes.lines[:2])
        np.testing.assert_array_equal(np.append(seen[1], ahead[1]), column)
        assert ahead[0][-1] == pytest.approx(99 * 10 / 3600)
    assert picture.title == "Sample: train:0"
    assert [place.yaxis.get_major_formatter()(degrees) for degrees in (57.745, -0.005)] == ["57.745°N", "0.005°S"]


def test_a_sample_across_the_antimeridian_is_one_line() -> None:
    sample = windows(1)[0]
    sample[:, 1] = (179.95 + np.arange(100) * 1e-3 + 180) % 360 - 180
    (seen, ahead) = plot_sample(sample, seq_len=SEEN).figure.axes[0].lines[:2]
    assert np.ptp(np.append(seen.get_xdata(), ahead.get_xdata())) == pytest.approx(0.099, abs=1e-4)


@pytest.mark.parametrize(
    ("sample", "more", "message"),
    [
        (windows(2), {}, r"shape \(2, 100, 5\); it must be \(window_len, 5\), such as batch\[0\]"),
        (windows(1)[0] / 7, {}, "before they are normalized"),
        (windows(1)[0], {"seq_len": 101}, "the sample has 100 positions"),
        (windows(1)[0], {"forecast": windows(1)[0, :85, :2]}, "with n of at most 80"),
    ],
)
def test_what_is_no_sample_is_refused(sample: Any, more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_sample(sample, **{"seq_len": SEEN, **more})
