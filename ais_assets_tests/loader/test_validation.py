"""The validation loader: every window of the file once or an error, and the training loader's interface."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from ais_assets import schema
from ais_assets.io.lake import Lake, OtherReleaseError, PartitionMissingError
from ais_assets.io.streaming_loader import AISMDSDataset, LoaderError, ValidationDataset, normalize_batch
from ais_assets.ledger import Ledger
from ais_assets.stream import RecordStream
from ais_assets_tests.loader.mds.mds_datasets import flip_a_bit, numbers, windows, windows_table, write_windows

BATCH = 8
COUNT = 203
# DataLoader forks; Python 3.12 warns of any fork of a process with threads.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork\\(\\) may lead to deadlocks:DeprecationWarning")
STATISTICS = {"features": {name: {"mean": 2.0, "std": 4.0} for name in schema.FEATURE_NAMES}}


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    """The windows of the file."""
    return windows(COUNT)


@pytest.fixture
def file(tmp_path: Path, features: np.ndarray) -> Path:
    """A file of several row groups, as the lake writes it."""
    tables = [windows_table(features).slice(begin, 50) for begin in range(0, COUNT, 50)]
    stream = RecordStream(tables[0].schema, iter(tables), Ledger(COUNT, COUNT))
    Lake(tmp_path / "lake").write("validation", None, stream)
    return tmp_path / "lake/materialized/validation.parquet"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(0, 60), group=st.integers(1, 25), batch=st.integers(1, 30), workers=st.integers(1, 4))
def test_validation_windows_come_once_whatever_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, group: int, batch: int, workers: int
) -> None:
    file = tmp_path / "validation.parquet"
    all_windows = windows(count)
    write_windows(file, windows_table(all_windows), group)
    got = []
    for rank in range(workers):
        for name, value in {"RANK": rank, "WORLD_SIZE": workers, "LOCAL_WORLD_SIZE": workers}.items():
            monkeypatch.setenv(name, str(value))
        share = ValidationDataset(file, batch_size=batch)
        batches = list(share)
        assert len(batches) == len(share)
        assert all(len(one) == batch for one in batches[:-1])
        got += [one.numpy() for one in batches]
    assert np.concatenate([np.empty_like(all_windows[:0]), *got]).tobytes() == all_windows.tobytes()


def test_validation_with_data_loader_workers(tmp_path: Path, features: np.ndarray) -> None:
    write_windows(tmp_path / "v.parquet", windows_table(features), 50)
    dataset = ValidationDataset(tmp_path / "v.parquet", batch_size=BATCH, normalize="ranges", device="cpu")
    with_workers = DataLoader(
        ValidationDataset(tmp_path / "v.parquet", batch_size=BATCH), batch_size=None, num_workers=2
    )
    assert sorted(chain.from_iterable(numbers(with_workers))) == list(range(COUNT))
    assert torch.equal(torch.cat(list(dataset)), normalize_batch(torch.from_numpy(features)))


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("workers", [1, 3, 4, 40])
def test_its_length_is_that_of_what_workers_bring(file: Path, drop_last: bool, workers: int) -> None:
    dataset = ValidationDataset(file, batch_size=BATCH, drop_last=drop_last)
    loader = DataLoader(dataset, batch_size=None, num_workers=workers)
    sizes = sorted(map(len, loader), reverse=True)
    assert sizes == [BATCH] * (COUNT // BATCH) + [COUNT % BATCH] * (not drop_last)
    assert len(loader) == len(dataset) == len(sizes)


@pytest.mark.parametrize("drop_last", [True, False])
def test_a_state_of_an_epochs_end_is_the_next_ones_beginning(file: Path, drop_last: bool) -> None:
    dataset = ValidationDataset(file, batch_size=BATCH, drop_last=drop_last)
    whole = numbers(dataset)
    state = dataset.state_dict()
    assert (state["epoch"], state["sample_in_epoch"]) == (1, 0)
    for done in (0, sum(map(len, whole))):
        resumed = ValidationDataset(file, batch_size=BATCH, drop_last=drop_last)
        resumed.load_state_dict({**state, "epoch": 0, "sample_in_epoch": done})
        assert numbers(resumed) == whole
        assert resumed.state_dict()["epoch"] == (2 if done else 1)


def test_a_parquet_file_without_windows_is_refused(tmp_path: Path) -> None:
    write_windows(tmp_path / "x.parquet", pa.table({"features": [1.0]}), 1)
    with pytest.raises(LoaderError, match="holds no windows"):
        ValidationDataset(tmp_path / "x.parquet")


def test_no_bit_flips_unnoticed(file: Path, features: np.ndarray) -> None:
    with pq.ParquetFile(file) as whole:
        column = whole.metadata.row_group(2).column(0)
    whole_bytes = file.read_bytes()
    # Of a page's header not every bit says anything, so the pages' content alone is damaged here.
    begin, end = column.data_page_offset + 100, column.data_page_offset + column.total_compressed_size
    for at in np.linspace(begin, end - 1, 40).astype(int).tolist():
        flip_a_bit(file, at)
        with pytest.raises(LoaderError, match=r"validation\.parquet is damaged.*restore it, or materialize"):
            list(ValidationDataset(file, batch_size=BATCH))
        file.write_bytes(whole_bytes)
    assert torch.cat(list(ValidationDataset(file))).numpy().tobytes() == features.tobytes()


@pytest.mark.parametrize("damage", [lambda data: data[:-20], lambda data: b"PAR1", lambda data: b""])
def test_a_truncated_file_is_refused(file: Path, damage: Callable[[bytes], bytes]) -> None:
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(LoaderError, match=r"validation\.parquet is no whole Parquet file"):
        ValidationDataset(file)


def test_a_missing_file_is_named(file: Path) -> None:
    dataset = ValidationDataset(file)
    file.unlink()
    with pytest.raises(LoaderError, match=r"validation\.parquet cannot be read"):
        next(iter(dataset))


@pytest.mark.parametrize("count", [COUNT - 60, COUNT, COUNT + 60])
def test_a_file_replaced_since_is_refused(file: Path, count: int) -> None:
    dataset = ValidationDataset(file, batch_size=BATCH)
    assert len(list(dataset)) == len(dataset)
    reading = iter(dataset)
    first = next(reading)
    table = windows_table(windows(count, seed=5))
    Lake(file.parents[1]).write("validation", None, RecordStream(table.schema, iter([table]), Ledger(count, count)))
    # Who has it open reads what was there to its end.
    assert sum(map(len, reading)) + len(first) == COUNT
    with pytest.raises(LoaderError, match="was replaced since this loader was made"):
        next(iter(dataset))


def test_fewer_windows_than_promised_are_an_error(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = ValidationDataset(file, batch_size=BATCH)
    pieces = dataset._pieces
    monkeypatch.setattr(dataset, "_pieces", lambda first, last: islice(pieces(first, last), 3))
    with pytest.raises(LoaderError, match="gave 24 of the 203 windows"):
        list(dataset)


def test_its_options_are_the_training_loaders() -> None:
    ours = inspect.signature(ValidationDataset).parameters
    # Those that say where the shards are and how they are fetched, and in which order they come.
    of_shards = {"remote", "local", "split", "shuffle", "seed", "cache_limit", "threads", "s3", "options"}
    of_shards |= {"download_retry", "download_timeout", "release"}
    assert set(inspect.signature(AISMDSDataset).parameters) - of_shards == set(ours) - {"path", "filesystem"}


def test_normalized_by_the_lakes_own_statistics(file: Path, features: np.ndarray) -> None:
    lake = Lake(file.parents[1])
    with pytest.raises(PartitionMissingError, match=r"mds has no statistics\.json: materialize training_dataset"):
        lake.validation_loader(normalize="statistics")
    with pytest.raises(PartitionMissingError, match=r"mds has no statistics\.json"):
        lake.validation_loader(normalize="statistics")
    index = b"{}"
    lake.store.publish_bytes(index, "mds/index.json")
    said = {**STATISTICS, "release": "one", "index": hashlib.sha256(index).hexdigest()}
    lake.store.publish_bytes(json.dumps(said).encode(), "mds/statistics.json")
    made_from = {"validation": {"": lake.describe("validation").fingerprint}}
    lake.write_json("training_dataset", {"release": "one", "made_from": made_from})
    expected = normalize_batch(torch.from_numpy(features), STATISTICS)
    for dataset in (lake.validation_loader(normalize="statistics"), ValidationDataset(file, normalize=STATISTICS)):
        assert torch.equal(torch.cat(list(dataset)), expected)
    assert lake.validation_loader().release == "one"
    with pytest.raises(ValueError, match=r"use Lake\.validation_loader"):
        ValidationDataset(file, normalize="statistics")


@pytest.mark.parametrize("other", ["release of the index", "release of the statistics", "index", "windows"])
def test_statistics_of_another_publication_are_refused(file: Path, other: str) -> None:
    lake = Lake(file.parents[1])
    lake.store.publish_bytes(b"{}", "mds/index.json")
    said = {**STATISTICS, "release": "one", "index": hashlib.sha256(b"{}").hexdigest()}
    fingerprint = lake.describe("validation").fingerprint
    index = {"release": "one", "made_from": {"validation": {"": fingerprint}}}
    if other == "release of the index":
        index["release"] = "two"
    elif other == "release of the statistics":
        said["release"] = "two"
    elif other == "index":
        said["index"] = "0" * 64
    else:
        table = windows_table(windows(9, seed=5))
        lake.write("validation", None, RecordStream(table.schema, iter([table]), Ledger(9, 9)))
    lake.store.publish_bytes(json.dumps(said).encode(), "mds/statistics.json")
    lake.write_json("training_dataset", index)
    with pytest.raises(OtherReleaseError, match=r"statistics\.json is of release .*materialize training_dataset"):
        lake.validation_loader(normalize="statistics")
    assert lake.validation_loader().release == (None if other == "windows" else index["release"])


def test_a_last_batch_that_is_smaller_may_be_dropped(file: Path) -> None:
    dataset = ValidationDataset(file, batch_size=BATCH, drop_last=True)
    assert [len(batch) for batch in dataset] == [BATCH] * (COUNT // BATCH)
    assert len(dataset) == COUNT // BATCH


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"normalize": "minmax"}, "normalize is 'minmax'"),
        ({"window_len": 928}, "windows of 8 positions; expected are 928"),
        pytest.param(
            {"pin_memory": True},
            "need a CUDA device",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one"),
        ),
    ],
)
def test_a_wrong_option_is_refused(file: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, LoaderError), match=message):
        ValidationDataset(file, **options)


def test_data_loader_workers_have_no_device(file: Path) -> None:
    with pytest.raises(ValueError, match="a DataLoader worker cannot copy to a device"):
        list(DataLoader(ValidationDataset(file, device="cpu"), batch_size=None, num_workers=1))


def test_gone_on_with_at_every_batch(file: Path) -> None:
    whole = numbers(ValidationDataset(file, batch_size=BATCH))
    for batches in range(len(whole)):
        dataset = ValidationDataset(file, batch_size=BATCH)
        list(dataset)
        reading = iter(dataset)
        before = numbers(islice(reading, batches)) if batches else []
        if not batches:
            next(reading)
            dataset = ValidationDataset(file, batch_size=BATCH)
        state = json.loads(json.dumps(dataset.state_dict()))
        assert state["epoch"] == (1 if batches else 0)
        resumed = ValidationDataset(file, batch_size=BATCH)
        resumed.load_state_dict(state)
        assert resumed.state_dict() == state
        assert before + numbers(resumed) == whole
        assert numbers(resumed) == whole, "the next epoch"


def test_a_state_of_another_file_or_of_other_ranks_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = ValidationDataset(file)
    with pytest.raises(LoaderError, match="state is not of"):
        dataset.load_state_dict({**dataset.state_dict(), "index": "other"})
    state = dataset.state_dict()
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="state is of 1 ranks, and these are 2"):
        ValidationDataset(file).load_state_dict(state)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_state_is_not_made_up_where_workers_iterate(file: Path, start: str) -> None:
    dataset = ValidationDataset(file, batch_size=BATCH)
    loader = DataLoader(dataset, batch_size=None, num_workers=1, multiprocessing_context=start)
    assert sorted(chain.from_iterable(numbers(loader))) == list(range(COUNT))
    with pytest.raises(ValueError, match="iterated by DataLoader workers"):
        dataset.state_dict()
    assert dataset.state_dict(16, from_beginning=True)["sample_in_epoch"] == 16
