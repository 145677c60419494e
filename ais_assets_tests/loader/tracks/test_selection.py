"""Windows chosen and weighed by their facts, and mixtures: what SQL says, in an order that can be gone on with."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from ais_assets import schema
from ais_assets.io.streaming_loader import LoaderError, TrackWindowDataset, WindowMixture
from ais_assets.loader.tracks import selection
from ais_assets.loader.tracks.alias import WeightedOrder, alias_table
from ais_assets.loader.tracks.selection import Selection
from ais_assets.loader.tracks.window_facts import FACTS
from ais_assets.transforms.dead_reckoning import forecast_errors
from ais_assets.transforms.geodesy import METRES_PER_NAUTICAL_MILE, great_circle_metres
from ais_assets_tests.conftest import PROJECT
from ais_assets_tests.loader.tracks.track_datasets import numbers, publish, shard_tables, with_channels
from ais_assets_tests.transforms.test_windows import SHIP

TYPES = {2: "Cargo", 4: "Fishing", 6: "Tanker"}
"""Of the training vessels by their numbers; nobody knows the first."""


def vessels_table() -> pa.Table:
    """Who the ships of the tracks are, but for the first."""
    count = 12
    columns: dict[str, Any] = {
        "mmsi": pa.array(SHIP + 1 + np.arange(count), pa.int32()),
        "ship_type": pa.array([TYPES.get(1 + k) for k in range(count)]),
        "length": pa.array([None if k == 3 else 50.0 + k for k in range(count)], pa.float32()),
    }
    arrays = [
        columns[field.name].cast(field.type) if field.name in columns else pa.nulls(count, field.type)
        for field in schema.VESSELS
    ]
    return pa.table(arrays, names=schema.VESSELS.names)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Published tracks and vessels."""
    publish(tmp_path / "lake", [with_channels(table) for table in shard_tables()], vessels=vessels_table())
    return tmp_path / "lake"


def every_window(lake: Path, cache: Path, **options: Any) -> tuple[NDArray[np.float64], dict[str, NDArray[np.int64]]]:
    """All windows, and what is said of them."""
    dataset = TrackWindowDataset(lake, cache, provenance=True, times=True, mask=True, **options)
    features, others = dataset.batch(np.arange(dataset.windows))
    return features.numpy().astype(np.float64), {name: tensor.numpy() for name, tensor in others.items()}


def test_facts_are_what_the_positions_say(lake: Path, cache: Path) -> None:
    features, others = every_window(lake, cache)
    TrackWindowDataset(lake, cache, where="true")
    (path,) = (cache / "tracks").glob("*.facts-8-8-4-train.parquet")
    facts = pq.read_table(path)
    assert facts["window_number"].to_pylist() == list(range(len(features)))
    times = others["times"]
    np.testing.assert_array_equal(facts["start"].cast(pa.int64()).to_numpy(), 1000 * times[:, 0])
    np.testing.assert_array_equal(facts["span_seconds"], times[:, -1] - times[:, 0])
    np.testing.assert_array_equal(facts["longest_gap_seconds"], np.diff(times).max(axis=1))
    legs = great_circle_metres(features[:, :-1, 0], features[:, :-1, 1], features[:, 1:, 0], features[:, 1:, 1])
    np.testing.assert_allclose(facts["moved_nm"], legs.sum(axis=1) / METRES_PER_NAUTICAL_MILE, rtol=1e-5)
    np.testing.assert_allclose(facts["mean_sog"], features[:, :, 2].mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(facts["share_slow"], (features[:, :, 2] < 0.45).mean(axis=1), rtol=1e-6)
    held = ~(others["mask"][:, :, 2] & others["mask"][:, :, 3])
    np.testing.assert_allclose(facts["share_held"], held.mean(axis=1), rtol=1e-6)
    expected = forecast_errors(features.astype(np.float32), 8, [30])[:, 0].astype(np.float32)
    found = facts["reckoning_error_nm"].to_pylist()
    assert found == [None if np.isnan(error) else error for error in expected.tolist()]
    assert 0 < facts["reckoning_error_nm"].null_count < len(features)


@pytest.mark.parametrize(
    "where",
    [
        "span_seconds < 45000 and longest_gap_seconds >= 14400",
        "mean_sog > 50 and share_held < 0.7",
        f"mmsi > {SHIP + 2}",
        "ship_type = 'Cargo' or ship_type is null",
        "length > 52",
        "track_positions >= 100",
        "start > track_start -- later windows",
        "reckoning_error_nm is not null",
    ],
)
def test_a_condition_leaves_the_windows_for_which_it_is_true(lake: Path, cache: Path, where: str) -> None:
    everything = TrackWindowDataset(lake, cache, provenance=True)
    chosen = TrackWindowDataset(lake, cache, provenance=True, where=where)
    assert 0 < chosen.windows < everything.windows
    had = [number for batch in numbers(everything, chosen) for number in batch]
    assert len(set(had)) == len(had) == chosen.windows
    rest = TrackWindowDataset(lake, cache, provenance=True, where=f"not coalesce({where}\n, false)")
    others = [number for batch in numbers(everything, rest) for number in batch]
    assert sorted(had + others) == list(range(everything.windows))


def test_conditions_on_vessels_and_tracks_are_joined_rightly(lake: Path, cache: Path) -> None:
    cargo = {row["mmsi"] for row in vessels_table().to_pylist() if row["ship_type"] == "Cargo"}
    of_all = TrackWindowDataset(lake, cache, provenance=True)
    expected = of_all.batch(np.arange(of_all.windows))[1]["mmsi"]
    chosen = TrackWindowDataset(lake, cache, provenance=True, where="ship_type = 'Cargo'")
    found = chosen.batch(np.arange(chosen.windows))[1]["mmsi"]
    assert found.tolist() == [mmsi for mmsi in expected.tolist() if mmsi in cargo]


def test_what_was_evaluated_once_is_kept(lake: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"where": "mean_sog > 10", "weights": "1 + moved_nm", "groups": "ship_type"}
    first = TrackWindowDataset(lake, cache, provenance=True, **options)
    monkeypatch.setattr(Selection, "_evaluated", None)
    again = TrackWindowDataset(lake, cache, provenance=True, **options)
    everything = TrackWindowDataset(lake, cache, provenance=True)
    assert numbers(everything, again) == numbers(everything, first)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"where": "speed > 3"}, r"where='speed > 3' is no expression.*There are start, span_seconds.*ship_type"),
        ({"where": "mean_sog >"}, "is no expression"),
        ({"where": "true) union select 1 --"}, "is no expression"),
        ({"where": "mean_sog < 0"}, "holds no train window of 16 positions for which mean_sog < 0"),
        ({"weights": "mean_sog - 1000"}, "a weight is 0 or more"),
        ({"weights": "1", "where": "mean_sog < 0"}, "holds no train window of 16 positions for which mean_sog < 0"),
        ({"weights": "length"}, "coalesce"),
        ({"weights": "0"}, "some must be more"),
        ({"weights": "ship_type"}, "is no expression"),
        ({"weights": {"Cargo": 1.0}}, "so groups must say"),
        ({"groups": "ship_type"}, "give weights, too"),
        ({"weights": {"Cargo": 1.0}, "groups": "ship_type"}, "groups without a weight are.*Tanker"),
        (
            {"weights": {"Cargo": 1.0, "Tanker": 1, "Fishing": 1, "null": 1, "Tug": 1}, "groups": "ship_type"},
            "weights without a window Tug",
        ),
    ],
)
def test_an_expression_that_is_wrong_is_refused_with_what_there_is(
    lake: Path, cache: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        TrackWindowDataset(lake, cache, **options)


def test_groups_beyond_what_can_be_counted(lake: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "MOST_GROUPS", 2)
    with pytest.raises(ValueError, match=r"groups='start' gives \d+ groups; there can be 2"):
        TrackWindowDataset(lake, cache, weights="1", groups="start")
    # Nobody asked for these: by each weight they would be too many.
    assert list(TrackWindowDataset(lake, cache, weights="1 + window_number").drawn(0)) == ["all"]


def test_tracks_without_vessels_can_be_chosen_by_all_else(tmp_path: Path, cache: Path) -> None:
    publish(tmp_path / "plain", shard_tables())
    assert TrackWindowDataset(tmp_path / "plain", cache, where="mean_sog > 10").windows
    with pytest.raises(ValueError, match="ship_type"):
        TrackWindowDataset(tmp_path / "plain", cache, where="ship_type = 'Cargo'")


def test_damaged_vessels_are_refused(lake: Path, cache: Path) -> None:
    path = lake / "track_shards" / "vessels-0.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LoaderError, match=r"vessels-0\.parquet is damaged"):
        TrackWindowDataset(lake, cache, where="length > 1", download_retry=0)


def test_an_alias_table_holds_the_weights_exactly() -> None:
    weights = np.random.default_rng(0).exponential(size=1000) ** 3
    weights[::7] = 0
    share, alias = alias_table(weights)
    held = share.astype(np.float64)
    np.add.at(held, alias, 1 - share.astype(np.float64))
    np.testing.assert_allclose(held / len(weights), weights / weights.sum(), atol=1e-9)
    assert alias_table([3.0])[0].tolist() == [1.0]


def test_draws_come_in_proportion_to_the_weights() -> None:
    weights = np.array([1.0, 2.0, 0.0, 5.0, 0.5])
    order = WeightedOrder(*alias_table(weights), seed=3)
    count = 200_000
    drawn = np.bincount(order.windows(0, np.arange(count)), minlength=5)
    expected = count * weights / weights.sum()
    assert drawn[2] == 0
    some = weights > 0
    assert ((drawn[some] - expected[some]) ** 2 / expected[some]).sum() < 18.47  # 999 of 1,000 are below
    assert (order.windows(1, np.arange(100)) != order.windows(0, np.arange(100))).any()
    np.testing.assert_array_equal(order.windows(0, np.arange(50, 60)), order.windows(0, np.arange(100))[50:60])


def test_groups_get_the_shares_asked_for_and_the_state_says_what_they_got(lake: Path, cache: Path) -> None:
    shares = {"Cargo": 6.0, "Tanker": 1.0, "Fishing": 1.0, "null": 2.0}
    options: dict[str, Any] = {"weights": shares, "groups": "ship_type", "epoch_size": 20_000, "provenance": True}
    dataset = TrackWindowDataset(lake, cache, 500, **options)
    of = {row["mmsi"]: row["ship_type"] or "null" for row in vessels_table().to_pylist()}
    counted = dict.fromkeys(shares, 0)
    for batch in itertools.islice(iter(dataset), 20):
        for mmsi in batch[1]["mmsi"].tolist():
            counted[of.get(mmsi, "null")] += 1
    state = json.loads(json.dumps(dataset.state_dict()))
    assert state["drawn"] == {name: count for name, count in counted.items() if count}
    assert sum(counted.values()) == 10_000
    present = {name: share for name, share in shares.items() if counted[name]}
    for name, share in present.items():
        assert counted[name] == pytest.approx(10_000 * share / sum(present.values()), abs=250)
    assert sum(dataset.drawn(0).values()) == 20_000
    report = dataset.drawn_report(0)
    asked = present["Cargo"] / sum(present.values())
    got = dataset.drawn(0)["Cargo"]
    assert f"Cargo: {got:,} of 20,000 windows, {got / 20_000:.2%} ({asked:.2%} asked for)" in report
    assert len(report) == len(present)


@pytest.mark.parametrize(
    "options",
    [
        {"where": "mean_sog > 45"},
        {"weights": "1 + mean_sog", "epoch_size": 61},
        {"where": "share_held < 0.6", "weights": {"true": 1.0, "false": 3.0}, "groups": "mean_sog > 50"},
    ],
)
def test_a_chosen_and_weighed_epoch_is_gone_on_with_at_every_batch(
    lake: Path, cache: Path, options: dict[str, Any]
) -> None:
    def dataset() -> TrackWindowDataset:
        return TrackWindowDataset(lake, cache, 5, provenance=True, **options)

    everything = TrackWindowDataset(lake, cache, provenance=True)
    whole = dataset()
    batches = numbers(everything, whole)
    following = numbers(everything, whole)
    for stop in range(1, len(batches) + 1):
        going = dataset()
        for _ in itertools.islice(iter(going), stop):
            pass
        resumed = dataset()
        resumed.load_state_dict(json.loads(json.dumps(going.state_dict())))
        assert numbers(everything, resumed) == (batches[stop:] or following)


def mixture(lake: Path, cache: Path, batch_size: int = 10, **options: Any) -> WindowMixture:
    """Fast and slow windows, three of the one to one of the other."""
    parts = [
        TrackWindowDataset(lake, cache, where=where, provenance=True, times=True)
        for where in ("mean_sog > 50", "mean_sog <= 50")
    ]
    return WindowMixture(parts, [3, 1], batch_size, **options)


def test_a_mixture_has_its_shares_exactly_and_each_window_as_often_as_any_other(lake: Path, cache: Path) -> None:
    mixed = mixture(lake, cache, epoch_size=120)
    assert mixed.counts == (90, 30)
    assert mixed.drawn_report() == ["dataset 0: 90 of 120 windows, 75.00%", "dataset 1: 30 of 120 windows, 25.00%"]
    seen: list[tuple[int, int, int]] = []
    for _ in range(4):
        epoch = list(mixed)
        sources = np.concatenate([others["dataset"].numpy() for _, others in epoch])
        assert np.bincount(sources).tolist() == [90, 30]
        assert 0 < np.flatnonzero(sources).mean() < 119
        for features, others in epoch:
            fast = features[:, :, 2].numpy().mean(axis=1) > 50
            np.testing.assert_array_equal(fast, others["dataset"].numpy() == 0)
            seen += zip(others["dataset"].tolist(), others["track"].tolist(), others["start"].tolist(), strict=True)
    for source in (0, 1):
        counts = np.unique([hash(name) for name in seen if name[0] == source], return_counts=True)[1]
        assert counts.max() - counts.min() <= 1


def names(batches: Any) -> list[list[tuple[int, int]]]:
    """The windows of each batch by track and time."""
    return [list(zip(of["track"].tolist(), of["start"].tolist(), strict=True)) for _, of in batches]


def test_a_mixture_is_gone_on_with_at_every_batch(lake: Path, cache: Path) -> None:
    whole = mixture(lake, cache)
    batches, following = names(whole), names(whole)
    for stop in range(1, len(batches) + 1):
        going = mixture(lake, cache)
        for _ in itertools.islice(iter(going), stop):
            pass
        resumed = mixture(lake, cache)
        resumed.load_state_dict(json.loads(json.dumps(going.state_dict())))
        assert names(resumed) == (batches[stop:] or following)


def test_a_mixture_is_the_same_for_any_number_of_ranks(
    lake: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [set(batch) for batch in names(mixture(lake, cache, 12))]
    monkeypatch.setenv("WORLD_SIZE", "2")
    ranks = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        ranks.append(names(mixture(lake, cache, 6)))
    assert [set(a) | set(b) for a, b in zip(*ranks, strict=True)] == expected


@pytest.mark.parametrize(
    "options",
    [
        {"where": "mean_sog > 45"},
        {"where": "share_held < 0.6", "weights": "1 + mean_sog", "epoch_size": 64},
        {"mixture": True, "epoch_size": 64},
    ],
    ids=["where", "weights", "mixture"],
)
def test_the_order_is_the_same_for_any_number_of_ranks_and_workers(
    lake: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    def steps(ranks: int, workers: int) -> list[list[tuple[int, int]]]:
        """What all ranks have of each step of an epoch and a bit."""
        monkeypatch.setenv("WORLD_SIZE", str(ranks))
        of_ranks = []
        for rank in range(ranks):
            monkeypatch.setenv("RANK", str(rank))
            size = 12 // ranks
            if "mixture" in options:
                dataset = mixture(lake, cache, size, epoch_size=options["epoch_size"])
            else:
                dataset = TrackWindowDataset(lake, cache, size, provenance=True, **options)
            loader = DataLoader(dataset, batch_size=None, num_workers=workers) if workers else dataset
            of_ranks.append([*names(loader), *names(itertools.islice(iter(dataset), 2))])
        return [sorted(itertools.chain.from_iterable(step)) for step in zip(*of_ranks, strict=True)]

    alone = steps(1, 0)
    assert len(alone) > 3
    for ranks, workers in ((2, 0), (4, 0), (1, 3), (4, 3)):
        assert steps(ranks, workers) == alone, (ranks, workers)


def test_datasets_that_do_not_go_together_are_refused(lake: Path, cache: Path) -> None:
    plain, other = TrackWindowDataset(lake, cache), TrackWindowDataset(lake, cache, times=True)
    with pytest.raises(ValueError, match="dataset 1 has"):
        WindowMixture([plain, other], [1, 1])
    with pytest.raises(ValueError, match="no datasets"):
        WindowMixture([], [])
    for shares in ([1], [1, 0], [1, float("nan")]):
        with pytest.raises(ValueError, match="shares are"):
            WindowMixture([plain, plain], shares)


def test_every_fact_is_documented() -> None:
    page = (PROJECT / "ais_assets" / "loader" / "README.md").read_text()
    assert all(f"`{fact.name}`" in page for fact in FACTS)
