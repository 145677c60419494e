"""Windows cut from tracks while training: the same samples, every one once, in an order that any job can go on with."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from ais_assets import schema
from ais_assets.io.streaming_loader import LoaderError, TrackWindowDataset, normalize_batch
from ais_assets.loader.tracks.channels import NAMES
from ais_assets.loader.tracks.packed_tracks import BLOCK_ROWS
from ais_assets_tests.loader.tracks.track_datasets import GEOMETRY, numbers, publish, shard_tables, with_channels
from ais_assets_tests.patience import PATIENCE_SECONDS
from ais_assets_tests.transforms.test_windows import reference_features

WINDOW = 16
STRIDE = 4


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Published tracks of some vessels, all of them with every channel."""
    publish(tmp_path / "lake", [with_channels(table) for table in shard_tables()])
    return tmp_path / "lake"


def expected_windows(split: str, window: int = WINDOW, stride: int = STRIDE) -> list[tuple[int, NDArray[np.float32]]]:
    """The windows of a split by the words of the contract: each one's track, and its features, in order."""
    windows = []
    for table in shard_tables():
        features = np.array(reference_features(table), np.float32).reshape(-1, 5)
        tracks = table["track"].to_pylist()
        splits = table["split"].to_pylist()
        for _, group in itertools.groupby(range(len(tracks)), key=tracks.__getitem__):
            rows = list(group)
            for first in range(0, len(rows) - window + 1, stride):
                if splits[rows[0]] == split:
                    windows.append((tracks[rows[0]], features[rows[first] : rows[first] + window]))
    return windows


def flat(lists: Iterable[list[int]]) -> list[int]:
    """The lists one after the other."""
    return list(itertools.chain.from_iterable(lists))


@pytest.mark.parametrize("split", schema.SPLITS[:2])
def test_windows_are_those_of_the_contract(lake: Path, cache: Path, split: str) -> None:
    expected = expected_windows(split)
    dataset = TrackWindowDataset(lake, cache, 7, split, provenance=True)
    assert dataset.windows == len(expected) > 0
    features, provenance = dataset.batch(np.arange(dataset.windows))
    assert features.dtype == torch.float32
    np.testing.assert_array_equal(features.numpy(), np.stack([window for _, window in expected]))
    assert provenance["track"].tolist() == [track for track, _ in expected]
    assert provenance["mmsi"].tolist() == [track >> 32 for track, _ in expected]


def test_any_length_and_stride_is_cut_from_the_same_tracks(lake: Path, cache: Path) -> None:
    expected = expected_windows("train", 5, 3)
    dataset = TrackWindowDataset(lake, cache, seq_len=2, max_horizon=3, stride=3, shuffle=False)
    batches = torch.cat(list(dataset))
    np.testing.assert_array_equal(batches.numpy(), np.stack([window for _, window in expected]))


def test_an_epoch_is_every_window_once_and_each_has_an_order_of_its_own(lake: Path, cache: Path) -> None:
    dataset = TrackWindowDataset(lake, cache, 7, provenance=True)
    epochs = [flat(numbers(dataset, dataset)) for _ in range(3)]
    assert all(sorted(epoch) == list(range(dataset.windows)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    again = TrackWindowDataset(lake, cache, 7, provenance=True)
    assert flat(numbers(again, again)) == epochs[0]
    other = TrackWindowDataset(lake, cache, 7, provenance=True, seed=1)
    assert flat(numbers(other, other)) != epochs[0]


def test_batches_have_the_size_asked_for_but_for_the_last(lake: Path, cache: Path) -> None:
    dataset = TrackWindowDataset(lake, cache, 7)
    sizes = [len(batch) for batch in dataset]
    assert len(dataset) == len(sizes)
    assert sizes == [7] * (dataset.windows // 7) + ([dataset.windows % 7] if dataset.windows % 7 else [])
    dropping = TrackWindowDataset(lake, cache, 7, drop_last=True)
    assert [len(batch) for batch in dropping] == [7] * (dataset.windows // 7)
    assert len(dropping) == dataset.windows // 7


def test_times_are_those_of_the_positions(lake: Path, cache: Path) -> None:
    dataset = TrackWindowDataset(lake, cache, times=True, provenance=True)
    features, others = dataset.batch(np.arange(dataset.windows))
    times = others["times"]
    assert times.dtype == torch.int64
    np.testing.assert_array_equal(
        times[:, 1:] - times[:, :-1], features[:, 1:, schema.FEATURE_NAMES.index("dt_seconds")]
    )
    assert others["start"].tolist() == times[:, 0].tolist()
    known = {
        (track, int(t.timestamp()))
        for table in shard_tables()
        for track, t in zip(table["track"].to_pylist(), table["t"].to_pylist(), strict=True)
    }
    assert {
        (track, t) for track, row in zip(others["track"].tolist(), times.tolist(), strict=True) for t in row
    } <= known


def test_channels_say_what_was_received(lake: Path, cache: Path) -> None:
    dataset = TrackWindowDataset(lake, cache, features=NAMES, mask=True, seq_len=1, max_horizon=1, stride=1)
    features, others = dataset.batch(np.arange(dataset.windows))
    first, received = features[:, 0].numpy(), others["mask"][:, 0].numpy()
    tables = [with_channels(table) for table in shard_tables()]
    rows = [row for table in tables for row in _rows_that_begin_windows(table)]
    by_name = dict(zip(NAMES, first.T, strict=True))
    mask = dict(zip(NAMES, received.T, strict=True))
    assert len(rows) == dataset.windows
    heading = np.array([np.nan if row["heading"] is None else row["heading"] for row in rows])
    status = np.array(
        [np.nan if row["nav_status"] is None else schema.NAV_STATUSES.index(row["nav_status"]) for row in rows]
    )
    np.testing.assert_array_equal(by_name["heading"], heading)
    np.testing.assert_array_equal(by_name["nav_status"], status)
    np.testing.assert_allclose(by_name["heading_sin"], np.sin(np.radians(heading)), atol=1e-6)
    np.testing.assert_allclose(by_name["heading_cos"], np.cos(np.radians(heading)), atol=1e-6)
    course = by_name["cog"].astype(np.float64)
    np.testing.assert_allclose(by_name["course_sin"], np.sin(np.radians(course)), atol=1e-6)
    np.testing.assert_allclose(by_name["course_cos"], np.cos(np.radians(course)), atol=1e-6)
    for name in ("sog", "cog"):
        held = np.array([row[f"{name}_held"] for row in rows])
        np.testing.assert_array_equal(by_name[f"{name}_held"], held)
        np.testing.assert_array_equal(mask[name], ~held)
    np.testing.assert_array_equal(mask["course_sin"], mask["cog"])
    np.testing.assert_array_equal(mask["heading_cos"], ~np.isnan(heading))
    np.testing.assert_array_equal(mask["nav_status"], ~np.isnan(status))
    assert mask["lat"].all()
    assert mask["dt_seconds"].all()


def _rows_that_begin_windows(table: pa.Table) -> list[dict[str, Any]]:
    """Positions of training vessels with another one of the same track behind them."""
    rows = table.to_pylist()
    return [a for a, b in itertools.pairwise(rows) if a["track"] == b["track"] and a["split"] == "train"]


def test_the_five_features_do_not_depend_on_what_else_is_asked_for(lake: Path, cache: Path) -> None:
    five = TrackWindowDataset(lake, cache).batch(range(20))
    more = TrackWindowDataset(lake, cache, features=("cog", "heading", *schema.FEATURE_NAMES[::-1][:1], "lat")).batch(
        range(20)
    )
    names = [schema.FEATURE_NAMES.index(name) for name in ("cog", "dt_seconds", "lat")]
    np.testing.assert_array_equal(more[:, :, [0, 2, 3]].numpy(), five[:, :, names].numpy())


@pytest.mark.parametrize("count", range(1, len(NAMES)))
def test_so_many_channels_are_those_of_all_of_them(lake: Path, cache: Path, count: int) -> None:
    # A window has a last block that is not full.
    every, everything = TrackWindowDataset(lake, cache, features=NAMES, mask=True).batch(range(5))
    chosen = [(3 + 5 * place) % len(NAMES) for place in range(count)]
    some, others = TrackWindowDataset(lake, cache, features=[NAMES[place] for place in chosen], mask=True).batch(
        range(5)
    )
    np.testing.assert_array_equal(some.numpy(), every[:, :, chosen].numpy())
    np.testing.assert_array_equal(others["mask"].numpy(), everything["mask"][:, :, chosen].numpy())


def test_ranges_are_scaled_as_normalize_batch_does(lake: Path, cache: Path) -> None:
    raw = TrackWindowDataset(lake, cache).batch(range(20))
    scaled = TrackWindowDataset(lake, cache, normalize="ranges").batch(range(20))
    np.testing.assert_array_equal(scaled.numpy(), normalize_batch(raw).numpy())
    statistics = {"features": {name: {"mean": 2.0, "std": 4.0} for name in schema.FEATURE_NAMES}}
    chosen = TrackWindowDataset(lake, cache, normalize=statistics, features=("course_sin", "sog")).batch(range(20))
    np.testing.assert_array_equal(chosen[:, :, 1].numpy(), ((raw[:, :, 2] - 2) / 4).numpy())
    assert chosen[:, :, 0].abs().max() <= 1


@pytest.mark.parametrize("geometry", [{}, {"seq_len": 3, "max_horizon": 4, "stride": 9}])
def test_statistics_are_those_of_all_training_windows(lake: Path, cache: Path, geometry: dict[str, Any]) -> None:
    training = TrackWindowDataset(lake, cache, **geometry)
    features = training.batch(np.arange(training.windows)).numpy().astype(np.float64).reshape(-1, 5)
    for split in ("train", "validation"):
        plain = TrackWindowDataset(lake, cache, split=split, **geometry).batch([0, 1]).numpy()
        scaled = TrackWindowDataset(lake, cache, split=split, normalize="statistics", **geometry).batch([0, 1])
        expected = (plain - features.mean(axis=0)) / features.std(axis=0)
        np.testing.assert_allclose(scaled.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert len(list((cache / "tracks").glob("*.statistics-*[0-9].json"))) == 1


def test_statistics_of_a_time_grid_are_not_made_up(lake: Path, cache: Path) -> None:
    with pytest.raises(ValueError, match="is of positions, not of a time grid"):
        TrackWindowDataset(lake, cache, every_seconds=600, normalize="statistics")


def test_held_out_time_is_in_no_other_split(tmp_path: Path, cache: Path) -> None:
    tables = shard_tables()
    times = np.concatenate([table["t"].cast("int64").to_numpy() // 1000 for table in tables])
    holdout = int(np.quantile(times, 0.4))
    publish(tmp_path / "lake", tables, {**GEOMETRY, "holdout_from": holdout})
    found = {
        split: TrackWindowDataset(tmp_path / "lake", cache, split=split, times=True, provenance=True)
        for split in ("train", "validation", "holdout")
    }
    spans = {name: of.batch(np.arange(of.windows))[1]["times"] for name, of in found.items()}
    assert all(len(span) for span in spans.values())
    assert spans["train"].max() < holdout
    assert spans["validation"].max() < holdout
    assert spans["holdout"][:, 0].min() >= holdout
    everything = len(expected_windows("train")) + len(expected_windows("validation"))
    reaching = sum(
        times[first] < holdout <= times[first + WINDOW - 1]
        for times in _tracks_times(tables)
        for first in range(0, len(times) - WINDOW + 1, STRIDE)
    )
    assert sum(map(len, spans.values())) == everything - reaching


def _tracks_times(tables: list[pa.Table]) -> list[list[int]]:
    times: dict[int, list[int]] = {}
    for table in tables:
        for track, t in zip(table["track"].to_pylist(), table["t"].to_pylist(), strict=True):
            times.setdefault(track, []).append(int(t.timestamp()))
    return list(times.values())


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_a_resumed_epoch_goes_on_at_the_very_window(
    lake: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, ranks: int
) -> None:
    def of_rank(rank: int) -> TrackWindowDataset:
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(ranks))
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(ranks))
        return TrackWindowDataset(lake, cache, 12 // ranks, provenance=True)

    monkeypatch.setenv("WORLD_SIZE", "1")
    whole = TrackWindowDataset(lake, cache, 12, provenance=True)
    two_epochs = [sorted(batch) for _ in range(2) for batch in numbers(whole, whole)]
    batches = len(whole)
    for stop in range(batches + 1):
        dataset = of_rank(0)
        for _ in itertools.islice(iter(dataset), stop):
            pass
        state = json.loads(json.dumps(dataset.state_dict()))
        rest: list[list[list[int]]] = []
        for rank in range(ranks):
            resumed = of_rank(rank)
            resumed.load_state_dict(state)
            epochs = 2 if 0 < stop < batches else 1
            rest.append([batch for _ in range(epochs) for batch in numbers(resumed, resumed)])
        together = [sorted(flat(of_step)) for of_step in zip(*rest, strict=True)]
        assert together == (two_epochs[stop:] if stop else two_epochs[:batches])


def test_ranks_have_equally_many_batches_and_together_every_window_once(
    lake: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = TrackWindowDataset(lake, cache).windows
    for ranks, batch_size in itertools.product((2, 3, 5, 7), (2, 3, 4, 11)):
        had = []
        counts = set()
        for rank in range(ranks):
            monkeypatch.setenv("RANK", str(rank))
            monkeypatch.setenv("WORLD_SIZE", str(ranks))
            dataset = TrackWindowDataset(lake, cache, batch_size, provenance=True)
            batches = numbers(dataset, dataset)
            assert all(0 < len(batch) <= batch_size for batch in batches)
            assert len(batches) == len(dataset)
            counts.add(len(batches))
            had += flat(batches)
        assert len(counts) == 1
        assert sorted(had) == list(range(windows))
        monkeypatch.delenv("RANK")
        monkeypatch.setenv("WORLD_SIZE", "1")


def test_what_cannot_be_dealt_out_evenly_is_refused(lake: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = TrackWindowDataset(lake, cache).windows
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert windows % 4
    with pytest.raises(ValueError, match=f"{windows:,} samples cannot be dealt out to 4 ranks"):
        TrackWindowDataset(lake, cache, 1)
    assert len(TrackWindowDataset(lake, cache, 1, drop_last=True)) == windows // 4


@pytest.mark.parametrize(("workers", "start"), [(0, None), (3, "fork"), (2, "spawn")])
def test_workers_yield_what_one_process_does(lake: Path, cache: Path, workers: int, start: str | None) -> None:
    alone = TrackWindowDataset(lake, cache, 7, provenance=True)
    expected = [numbers(alone, alone) for _ in range(2)]
    dataset = TrackWindowDataset(lake, cache, 7, provenance=True)
    loader = DataLoader(dataset, batch_size=None, num_workers=workers, multiprocessing_context=start)
    epochs = 1 if start == "spawn" else 2
    assert [numbers(alone, loader) for _ in range(epochs)] == expected[:epochs]
    assert len(loader) == len(expected[0])


def test_workers_that_stay_go_on_to_the_next_epoch(lake: Path, cache: Path) -> None:
    alone = TrackWindowDataset(lake, cache, 7, provenance=True)
    expected = [numbers(alone, alone) for _ in range(3)]
    dataset = TrackWindowDataset(lake, cache, 7, provenance=True)
    loader = DataLoader(dataset, batch_size=None, num_workers=2, persistent_workers=True)
    assert [numbers(alone, loader) for _ in range(2)] == expected[:2]
    with pytest.raises(ValueError, match="pass num_samples"):
        dataset.state_dict()
    state = dataset.state_dict(num_samples=14, from_beginning=True)
    resumed = TrackWindowDataset(lake, cache, 7, provenance=True)
    resumed.load_state_dict(state)
    assert numbers(resumed, resumed) == expected[1][2:]


def test_a_state_goes_on_in_workers(lake: Path, cache: Path) -> None:
    alone = TrackWindowDataset(lake, cache, 7, provenance=True)
    expected = numbers(alone, alone)
    dataset = TrackWindowDataset(lake, cache, 7, provenance=True)
    dataset.load_state_dict({**alone.state_dict(), "epoch": 0, "sample_in_epoch": 21})
    assert numbers(alone, DataLoader(dataset, batch_size=None, num_workers=2)) == expected[3:]


def test_a_state_of_an_epochs_end_begins_the_next_one(lake: Path, cache: Path) -> None:
    for drop_last in (False, True):
        dataset = TrackWindowDataset(lake, cache, 7, provenance=True, drop_last=drop_last)
        for _ in dataset:
            pass
        state = dataset.state_dict()
        assert (state["epoch"], state["sample_in_epoch"]) == (1, 0)
        resumed = TrackWindowDataset(lake, cache, 7, provenance=True, drop_last=drop_last)
        resumed.load_state_dict(state)
        assert numbers(resumed, resumed) == numbers(dataset, dataset)


def test_epochs_shorter_and_longer_than_all_windows_go_on_where_the_former_ended(lake: Path, cache: Path) -> None:
    whole = TrackWindowDataset(lake, cache, 7, provenance=True)
    passes = flat(flat(numbers(whole, whole)) for _ in range(3))
    for size in (10, whole.windows + 25):
        dataset = TrackWindowDataset(lake, cache, 7, provenance=True, epoch_size=size)
        epochs = [flat(numbers(dataset, dataset)) for _ in range(2)]
        assert epochs == [passes[:size], passes[size : 2 * size]]


def test_threads_and_options_of_memory_do_not_change_the_batches(lake: Path, cache: Path) -> None:
    one, four = (TrackWindowDataset(lake, cache, 7, threads=threads) for threads in (1, 4))
    for ours, theirs in zip(one, four, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    on_cpu = TrackWindowDataset(lake, cache, 7, device="cpu")
    np.testing.assert_array_equal(
        torch.cat(list(on_cpu)).numpy(), torch.cat(list(TrackWindowDataset(lake, cache))).numpy()
    )


def test_a_state_of_something_else_is_refused(lake: Path, cache: Path, tmp_path: Path) -> None:
    state = TrackWindowDataset(lake, cache).state_dict()
    others: tuple[dict[str, Any], ...] = ({"seed": 3}, {"stride": 5}, {"split": "validation"}, {"shuffle": False})
    for other in others:
        with pytest.raises(ValueError, match="start the epoch anew"):
            TrackWindowDataset(lake, cache, **other).load_state_dict(state)
    publish(tmp_path / "other", shard_tables([(50, 60)]))
    with pytest.raises(LoaderError, match="another publication"):
        TrackWindowDataset(tmp_path / "other", cache).load_state_dict(state)


def test_a_closed_dataset_says_so(lake: Path, cache: Path) -> None:
    dataset = TrackWindowDataset(lake, cache)
    going_on = iter(dataset)
    with dataset:
        next(going_on)
        state = dataset.state_dict()
    for use in (
        lambda: next(iter(dataset)),
        lambda: next(going_on),
        lambda: dataset.batch([0]),
        dataset.state_dict,
        lambda: dataset.load_state_dict(state),
        lambda: next(iter(DataLoader(dataset, batch_size=None, num_workers=1))),
    ):
        with pytest.raises(ValueError, match="is closed"):
            use()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"features": ("lat", "headng")}, "is 'heading' meant"),
        ({"features": ()}, "name one or more"),
        ({"features": ("lat", "lat")}, "each once"),
        ({"split": "test-set"}, "must be one of train, validation"),
        ({"seq_len": 0}, "seq_len is 0"),
        ({"stride": -1}, "stride is -1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"threads": 0}, "threads is 0"),
        ({"epoch_size": 0}, "epoch_size is 0"),
        ({"seq_len": 10_000}, "holds no train window of 10008 positions"),
        ({"normalize": "statistic"}, "normalize is 'statistic'"),
        ({"pin_memory": True}, "need a CUDA device"),
    ],
)
def test_an_option_that_cannot_be_is_refused(lake: Path, cache: Path, options: dict[str, Any], said: str) -> None:
    if "pin_memory" in options and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device, where memory can be pinned")
    with pytest.raises(ValueError, match=said):
        TrackWindowDataset(lake, cache, **options)


def test_the_lake_or_its_tracks_are_the_address(lake: Path, cache: Path) -> None:
    assert TrackWindowDataset(lake / "track_shards", cache).windows == TrackWindowDataset(f"{lake}/", cache).windows
    with pytest.raises(LoaderError, match="materialize training_dataset, or correct the address"):
        TrackWindowDataset(lake / "nowhere", cache)
    with pytest.raises(ValueError, match="remote is empty"):
        TrackWindowDataset("", cache)
    with pytest.raises(ValueError, match="local is empty"):
        TrackWindowDataset(lake, "")


def test_shards_longer_than_a_block_are_one_array(tmp_path: Path, cache: Path) -> None:
    lengths = ((BLOCK_ROWS + 3, 50), (40,), (20, BLOCK_ROWS - 70))
    tables = shard_tables(lengths)
    publish(tmp_path / "lake", tables, row_group=10_000)
    dataset = TrackWindowDataset(tmp_path / "lake", cache, split="validation", times=True, provenance=True)
    last = dataset.batch([dataset.windows - 1])
    reference = np.array(reference_features(tables[2].slice(tables[2].num_rows - 200)), np.float32)
    first = (BLOCK_ROWS - 70 - WINDOW) // STRIDE * STRIDE + 20 - (tables[2].num_rows - 200)
    np.testing.assert_array_equal(last[0][0, 1:].numpy(), reference[first + 1 : first + WINDOW])
    assert last[1]["times"][0, 0] == tables[2]["t"][first + tables[2].num_rows - 200].as_py().timestamp()


def test_training_code_needs_torch_alone(lake: Path, cache: Path) -> None:
    code = (
        "import sys\n"
        "from ais_assets.io.streaming_loader import TrackWindowDataset\n"
        f"next(iter(TrackWindowDataset({str(lake)!r}, {str(cache)!r})))\n"
        "print([name for name in ('dagster', 'streaming', 'duckdb', 'boto3') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
        env=dict(os.environ),
    )
    assert done.stdout.strip() == "[]"
