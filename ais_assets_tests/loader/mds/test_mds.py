"""The training loader: the samples, their order and resumption, with mosaicml-streaming's own iteration as judge."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from ais_assets import schema
from ais_assets.io.mds import write_shards
from ais_assets.io.streaming_loader import (
    AISMDSDataset,
    LoaderError,
    ResumableDataLoader,
    ValidationDataset,
    normalize_batch,
    split_input_target,
)
from ais_assets.loader.mds import gather
from ais_assets.loader.mds.job_memory import remove_leftovers
from ais_assets_tests.loader.mds.mds_datasets import (
    COLUMNS,
    WINDOW,
    bytes_in,
    numbers,
    stock_batches,
    stock_dataset,
    windows,
    windows_table,
    write_dataset,
    write_windows,
)

COUNT = 203
BATCH = 8

pytestmark = [
    # Python 3.12 warns of any fork of a process with threads; DataLoader forks.
    pytest.mark.filterwarnings("ignore:.*use of fork\\(\\) may lead to deadlocks:DeprecationWarning"),
    # mosaicml-streaming leaves the closing of shards to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed file .*/stock:ResourceWarning"),
]


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    """The windows of `remote`."""
    return windows(COUNT)


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory, features: np.ndarray) -> str:
    """A published dataset."""
    return str(write_dataset(tmp_path_factory.mktemp("mds") / "remote", features))


def test_the_snippet_of_the_readme_runs(tmp_path: Path) -> None:
    full = windows(70, window_len=schema.SEQ_LEN + schema.MAX_HORIZON)
    dataset = AISMDSDataset(remote=str(write_dataset(tmp_path / "mds", full, limit=1 << 20)), local=str(tmp_path / "c"))
    shapes = []
    for batch in dataset:
        assert batch.dtype == torch.float32
        seen, ahead = split_input_target(normalize_batch(batch))
        shapes.append((tuple(seen.shape), tuple(ahead.shape)))
    assert shapes == [((64, 128, 5), (64, 800, 5)), ((6, 128, 5), (6, 800, 5))]


@pytest.mark.parametrize("compression", ["zstd:1", "gz", None])
@pytest.mark.parametrize("hashes", [["sha1"], ["sha256", "xxh64"], []])
def test_every_sample_comes_once_and_bit_equal(
    tmp_path: Path, features: np.ndarray, compression: str | None, hashes: list[str]
) -> None:
    folder = write_dataset(tmp_path / "mds", features, compression=compression, hashes=hashes)
    for _ in range(2):  # the second time from the cache
        got = torch.cat(list(AISMDSDataset(str(folder), str(tmp_path / "cache"), batch_size=BATCH))).numpy()
        assert len(got) == COUNT
        assert got[np.argsort(got[:, 0, 0])].tobytes() == features.tobytes()


def test_a_dataset_with_features_alone_and_one_with_columns_of_any_size(tmp_path: Path, features: np.ndarray) -> None:
    bare = write_dataset(tmp_path / "bare", features, columns={"features": "bytes"})
    for batch, provenance in AISMDSDataset(str(bare), str(tmp_path / "a"), batch_size=BATCH, provenance=True):
        assert provenance == {}
        assert batch.shape[1:] == (WINDOW, schema.FEATURE_COUNT)
    # "cargo" sorts before "features", so windows lie at another place in every sample.
    more = write_dataset(tmp_path / "more", features, columns={**COLUMNS, "cargo": "str"})
    seen = []
    for batch, provenance in AISMDSDataset(str(more), str(tmp_path / "b"), batch_size=BATCH, provenance=True):
        index = batch[:, 0, 0].int()
        assert torch.equal(batch, torch.from_numpy(features[index.numpy()]))
        assert torch.equal(provenance["track"] >> 33, index.long())
        seen += index.tolist()
    assert sorted(seen) == list(range(COUNT))


def test_provenance_is_of_the_same_sample(tmp_path: Path, remote: str) -> None:
    for batch, where in AISMDSDataset(remote, str(tmp_path), batch_size=BATCH, provenance=True):
        index = batch[:, 0, 0].long()
        assert {name: column.dtype for name, column in where.items()} == dict.fromkeys(where, torch.int64)
        assert torch.equal(where["mmsi"], index + 201_000_000)
        assert torch.equal(where["start"], index + 1_700_000_000)
        assert torch.equal(where["track"], index << 33)


@pytest.mark.parametrize(
    "options",
    [
        {"shuffle": True},
        {"shuffle": False},
        {"shuffle": True, "num_canonical_nodes": 7, "shuffle_block_size": 60},
        {"shuffle": True, "shuffle_algo": "py1br"},
        {"shuffle": True, "shuffle_algo": "py2s", "num_canonical_nodes": 29},
        {"shuffle": True, "epoch_size": 100},
        {"shuffle": True, "epoch_size": 300, "sampling_method": "fixed"},
    ],
)
def test_the_order_is_mosaicml_streamings(tmp_path: Path, remote: str, options: dict[str, Any]) -> None:
    ours = AISMDSDataset(remote, str(tmp_path / "ours"), batch_size=BATCH, seed=3, **options)
    stock = stock_dataset(remote=remote, local=str(tmp_path / "stock"), batch_size=BATCH, shuffle_seed=3, **options)
    epochs = [numbers(ours) for _ in range(3)]
    assert epochs == [stock_batches(stock) for _ in range(3)]
    assert (epochs[0] != epochs[1]) == options["shuffle"]
    assert [len(epoch) for epoch in epochs] == [len(ours)] * 3


@pytest.mark.parametrize(("workers", "context"), [(2, "fork"), (3, "fork"), (1, "spawn")])
def test_the_order_with_workers_is_mosaicml_streamings(tmp_path: Path, remote: str, workers: int, context: str) -> None:
    ours = AISMDSDataset(remote, str(tmp_path / "ours"), batch_size=BATCH, seed=5)
    stock = stock_dataset(remote=remote, local=str(tmp_path / "stock"), batch_size=BATCH, shuffle=True, shuffle_seed=5)
    loader = DataLoader(ours, batch_size=None, num_workers=workers, multiprocessing_context=context)
    got = numbers(loader)
    assert got == stock_batches(stock, workers)
    assert len(got) == len(loader) == len(ours)
    assert sorted(chain.from_iterable(got)) == list(range(COUNT))


def test_iterating_here_and_then_with_workers(tmp_path: Path, remote: str) -> None:
    dataset = AISMDSDataset(remote, str(tmp_path), batch_size=BATCH)
    first = numbers(dataset)
    second = numbers(DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context="spawn"))
    assert sorted(chain.from_iterable(first)) == sorted(chain.from_iterable(second)) == list(range(COUNT))


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("workers", [0, 3])
def test_drop_last_and_len(tmp_path: Path, remote: str, drop_last: bool, workers: int) -> None:
    dataset = AISMDSDataset(remote, str(tmp_path), batch_size=BATCH, drop_last=drop_last)
    sizes = [len(batch) for batch in DataLoader(dataset, batch_size=None, num_workers=workers)]
    assert sorted(sizes) == [COUNT % BATCH] * (not drop_last) + [BATCH] * (COUNT // BATCH)
    assert len(dataset) == len(sizes)


def test_resuming_at_every_batch_equals_the_uninterrupted_run(tmp_path: Path, remote: str) -> None:
    dataset = AISMDSDataset(remote, str(tmp_path / "a"), batch_size=BATCH)
    states, whole = [dataset.state_dict()], []
    for _ in range(2):
        for batch in dataset:
            whole += numbers([batch])
            states.append(dataset.state_dict())
    resumed = AISMDSDataset(remote, str(tmp_path / "b"), batch_size=BATCH)
    third = AISMDSDataset(remote, str(tmp_path / "b"), batch_size=BATCH)
    third.load_state_dict({**states[0], "epoch": 2})
    in_an_epoch = len(whole) // 2
    for begin, state in enumerate(states):
        resumed.load_state_dict(json.loads(json.dumps(state)))
        assert resumed.state_dict() == state
        got = numbers(resumed)
        # A state after an epoch's last batch is the beginning of the next.
        end = (begin // in_an_epoch + 1) * in_an_epoch
        assert got == (whole[begin:end] or numbers(third)), f"resumed at batch {begin}"


def test_resuming_twice_counts_from_the_epochs_beginning(tmp_path: Path, remote: str) -> None:
    dataset = AISMDSDataset(remote, str(tmp_path / "a"), batch_size=BATCH)
    whole = numbers(dataset)
    state: dict[str, Any] = {}
    got = []
    for _ in range(4):
        again = AISMDSDataset(remote, str(tmp_path / "a"), batch_size=BATCH)
        if state:
            again.load_state_dict(state)
        for count, batch in enumerate(again, start=1):
            got += numbers([batch])
            if count == 3:
                break
        state = again.state_dict()
    assert got == whole[:12]


def test_a_stock_state_resumes_here_and_ours_there(tmp_path: Path, remote: str) -> None:
    stock = stock_dataset(remote=remote, local=str(tmp_path / "stock"), batch_size=BATCH, shuffle=True)
    whole = stock_batches(stock)
    state = stock.state_dict(5 * BATCH, from_beginning=True)
    ours = AISMDSDataset(remote, str(tmp_path / "ours"), batch_size=BATCH)
    ours.load_state_dict(state)
    batches = iter(ours)
    assert numbers([next(batches), next(batches)]) == whole[5:7]
    again = stock_dataset(remote=remote, local=str(tmp_path / "stock2"), batch_size=BATCH, shuffle=True)
    again.load_state_dict(ours.state_dict())
    assert stock_batches(again) == whole[7:]


def test_resuming_with_workers_through_a_loader_that_counts(tmp_path: Path, remote: str) -> None:
    whole = numbers(AISMDSDataset(remote, str(tmp_path / "a"), batch_size=BATCH))
    dataset = AISMDSDataset(remote, str(tmp_path / "b"), batch_size=BATCH)
    loader = ResumableDataLoader(dataset, num_workers=2)
    batches = iter(loader)
    got = numbers([next(batches) for _ in range(7)])
    with pytest.raises(ValueError, match="ResumableDataLoader"):
        dataset.state_dict()
    state = loader.state_dict()
    del batches, loader
    resumed = ResumableDataLoader(AISMDSDataset(remote, str(tmp_path / "c"), batch_size=BATCH), num_workers=2)
    resumed.load_state_dict(state)
    batches = iter(resumed)
    got += numbers([next(batches) for _ in range(4)])
    again = AISMDSDataset(remote, str(tmp_path / "d"), batch_size=BATCH)
    again.load_state_dict(resumed.state_dict())
    assert got + numbers(again) == whole


def test_a_state_is_of_epochs_iterated_here_alone(tmp_path: Path, remote: str) -> None:
    dataset = AISMDSDataset(remote, str(tmp_path), batch_size=BATCH)
    assert len(numbers(dataset)) == len(dataset)
    batches = iter(DataLoader(dataset, batch_size=None, num_workers=2))
    next(batches)
    with pytest.raises(ValueError, match="ResumableDataLoader"):
        dataset.state_dict()
    del batches
    next(iter(dataset))
    state = dataset.state_dict()
    assert (state["epoch"], state["sample_in_epoch"]) == (2, BATCH)
    dataset.load_state_dict(state)
    batches = iter(DataLoader(dataset, batch_size=None, num_workers=2))
    next(batches)
    with pytest.raises(ValueError, match="ResumableDataLoader"):
        dataset.state_dict()


def test_a_loaded_state_is_the_state_until_an_epoch_is_begun(tmp_path: Path, remote: str) -> None:
    dataset = AISMDSDataset(remote, str(tmp_path), batch_size=BATCH)
    for _ in range(2):
        next(iter(dataset))
    state = dataset.state_dict()
    assert (state["epoch"], state["sample_in_epoch"]) == (1, BATCH)
    fresh = AISMDSDataset(remote, str(tmp_path), batch_size=BATCH)
    fresh.load_state_dict(state)
    assert fresh.state_dict() == state
    rest = numbers(fresh)
    fresh.load_state_dict(state)
    assert (fresh.state_dict(), numbers(fresh)) == (state, rest)


def test_a_state_of_another_publication_is_refused(tmp_path: Path, remote: str) -> None:
    other = write_dataset(tmp_path / "other", windows(50))
    state = AISMDSDataset(str(other), str(tmp_path / "a"), batch_size=BATCH).state_dict()
    with pytest.raises(LoaderError, match="another publication"):
        AISMDSDataset(remote, str(tmp_path / "b"), batch_size=BATCH).load_state_dict(state)


@pytest.mark.parametrize("context", ["fork", "forkserver"])
def test_persistent_workers_and_an_epoch_left_early(tmp_path: Path, remote: str, context: str) -> None:
    dataset = AISMDSDataset(remote, str(tmp_path), batch_size=BATCH)
    loader = DataLoader(
        dataset, batch_size=None, num_workers=2, persistent_workers=True, multiprocessing_context=context
    )
    for number, _ in enumerate(loader):
        if number == 2:
            break
    for _ in range(2):
        assert sorted(chain.from_iterable(numbers(loader))) == list(range(COUNT))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are not listed here")
@pytest.mark.parametrize("way", ["closed", "forgotten"])
def test_a_dataset_gives_back_what_it_holds(tmp_path: Path, remote: str, way: str) -> None:
    state, descriptors = None, []
    for _ in range(3):
        with AISMDSDataset(remote, str(tmp_path), batch_size=BATCH) if way == "closed" else nullcontext() as opened:
            dataset = opened or AISMDSDataset(remote, str(tmp_path), batch_size=BATCH)
            if state:
                dataset.load_state_dict(state)
            assert len(numbers(dataset)) == len(dataset)
            state = dataset.state_dict()
            folder = dataset._memory.folder
            assert folder.is_dir()
        del dataset, opened
        gc.collect()
        assert not folder.exists()
        descriptors.append(len(list(Path("/proc/self/fd").iterdir())))
    assert descriptors[-1] <= descriptors[0]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_a_closed_dataset_says_so(tmp_path: Path, remote: str, workers: int, context: str) -> None:
    dataset = AISMDSDataset(remote, str(tmp_path), batch_size=BATCH)
    whole = numbers(dataset)
    state = dataset.state_dict()
    dataset.close()
    uses: list[Callable[[], Any]] = [
        lambda: next(iter(dataset)),
        lambda: dataset[0],
        lambda: dataset.next_epoch,
        dataset.state_dict,
        lambda: dataset.load_state_dict(state),
        lambda: next(
            iter(
                DataLoader(
                    dataset,
                    batch_size=None,
                    num_workers=workers,
                    multiprocessing_context=context if workers else None,
                )
            )
        ),
    ]
    for use in uses:
        with pytest.raises(ValueError, match="this dataset is closed"):
            use()
    assert len(dataset) == len(whole)
    dataset.close()


def test_a_dataset_closed_under_its_workers_ends_them_with_an_error(tmp_path: Path, remote: str) -> None:
    dataset = AISMDSDataset(remote, str(tmp_path), batch_size=BATCH)
    loader = DataLoader(dataset, batch_size=None, num_workers=2, persistent_workers=True)
    assert sorted(chain.from_iterable(numbers(loader))) == list(range(COUNT))
    folder = dataset._memory.folder
    dataset.close()
    # The workers have it still, and go on with it.
    assert sorted(chain.from_iterable(numbers(loader))) == list(range(COUNT))
    del loader
    remove_leftovers()
    assert not folder.exists()


def test_an_epoch_begun_anew_ends_the_former_one_with_an_error(tmp_path: Path, remote: str) -> None:
    dataset = AISMDSDataset(remote, str(tmp_path), batch_size=BATCH)
    former = iter(dataset)
    next(former)
    next(iter(dataset))
    with pytest.raises(RuntimeError, match="another epoch"):
        next(former)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_cache_limit_holds_and_the_epoch_is_whole(tmp_path: Path, workers: int) -> None:
    limit, cache = 60_000, tmp_path / "cache"
    remote = write_dataset(tmp_path / "mds", windows(500))
    # Blocks of the shuffle that are small beside the cache, or every shard would be wanted all the time.
    dataset = AISMDSDataset(str(remote), str(cache), batch_size=BATCH, cache_limit=limit, shuffle_block_size=40)
    for _ in range(2):
        seen, largest = [], 0
        for batch in DataLoader(dataset, batch_size=None, num_workers=workers):
            seen += numbers([batch])[0]
            largest = max(largest, bytes_in(cache))
        assert sorted(seen) == list(range(500))
        assert limit / 2 < largest <= limit
    assert len(list(cache.glob("*.mds"))) < len(list(remote.glob("*.zstd")))


@pytest.mark.parametrize(("threads", "workers"), [(8, 0), (8, 3)])
def test_a_cache_limit_of_four_shards_is_enough_for_many_threads(tmp_path: Path, threads: int, workers: int) -> None:
    remote = write_dataset(tmp_path / "mds", windows(1000))
    index = json.loads((remote / "index.json").read_text())["shards"]
    largest = max(shard["raw_data"]["bytes"] + shard["zip_data"]["bytes"] for shard in index)
    limit = (remote / "index.json").stat().st_size + 4 * largest
    dataset = AISMDSDataset(
        str(remote), str(tmp_path / "cache"), batch_size=64, cache_limit=limit, threads=threads, shuffle_block_size=40
    )
    loader = DataLoader(dataset, batch_size=None, num_workers=workers)
    assert sorted(chain.from_iterable(numbers(loader))) == list(range(1000))
    assert bytes_in(tmp_path / "cache") <= limit


def test_a_cache_limit_over_the_only_copy_is_refused(tmp_path: Path, features: np.ndarray) -> None:
    folder = write_dataset(tmp_path / "mds", features, compression=None)
    before = sorted(folder.iterdir())
    for remote in (None, str(folder)):
        with pytest.raises(ValueError, match="only copy"):
            AISMDSDataset(remote, str(folder), cache_limit="100kb")
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("split", [None, "train"])
@pytest.mark.parametrize("name", ["{0}", "file://{0}", "{0}/../link", "{0}/../other/../mds"])
def test_a_cache_limit_over_the_only_copy_under_another_name_is_refused(
    tmp_path: Path, features: np.ndarray, name: str, split: str | None
) -> None:
    folder = tmp_path / "mds"
    written = write_dataset(folder / (split or ""), features, compression=None)
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "other").mkdir()
    before = sorted(written.iterdir())
    remote = name.format(folder)
    local = str(tmp_path / "link") if remote in (str(folder), f"file://{folder}") else str(folder)
    with pytest.raises(ValueError, match="only copy"):
        AISMDSDataset(remote, local, split=split, cache_limit="100kb")
    assert sorted(written.iterdir()) == before


@pytest.mark.parametrize("compression", ["zstd:1", None])
def test_a_dataset_in_place(tmp_path: Path, features: np.ndarray, compression: str | None) -> None:
    folder = write_dataset(tmp_path / "mds", features, compression=compression)
    originals = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    for remote in (None, str(folder)):
        assert sorted(chain.from_iterable(numbers(AISMDSDataset(remote, str(folder), batch_size=BATCH)))) == list(
            range(COUNT)
        )
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in originals} == originals


def test_a_split_is_a_folder_inside(tmp_path: Path, features: np.ndarray) -> None:
    write_dataset(tmp_path / "mds" / "train", features)
    dataset = AISMDSDataset(str(tmp_path / "mds"), str(tmp_path / "cache"), batch_size=BATCH, split="train")
    assert sorted(chain.from_iterable(numbers(dataset))) == list(range(COUNT))
    assert list((tmp_path / "cache" / "train").glob("*.mds"))


def test_one_sample_by_its_number(tmp_path: Path, remote: str, features: np.ndarray) -> None:
    dataset = AISMDSDataset(remote, str(tmp_path), batch_size=BATCH)
    assert dataset[17]["features"] == features[17].tobytes()
    assert dataset[-1]["track"] == (COUNT - 1) << 33
    with pytest.raises(IndexError, match="there is no sample 203 of 203"):
        dataset[COUNT]


def test_samples_are_those_of_mosaicml_streamings_reader(tmp_path: Path, features: np.ndarray) -> None:
    columns = {**COLUMNS, "cargo": "str"}
    folder = write_dataset(tmp_path / "mds", features[:40], columns=columns)
    ours = AISMDSDataset(folder, tmp_path / "ours")
    stock = stock_dataset(remote=str(folder), local=str(tmp_path / "stock"), batch_size=1)
    assert [ours[number] for number in range(40)] == [stock[number] for number in range(40)]


def test_another_cloud_is_read_by_mosaicml_streaming(
    tmp_path: Path, remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streaming.base.storage import download

    class FolderAsCloud(download.LocalDownloader):
        """The dataset as if it were on a cloud that only mosaicml-streaming knows."""

        @staticmethod
        def _client_identifier() -> str:
            return "cloud"

        def _download_file_impl(self, remote: str, local: str, timeout: float) -> None:
            super()._download_file_impl(remote.replace("cloud:/", str(Path(there).parent)), local, timeout)

    there = remote
    monkeypatch.setitem(download.DOWNLOADER_MAPPINGS, "cloud", FolderAsCloud)
    address = f"cloud://{Path(remote).name}"
    ours = torch.cat(list(AISMDSDataset(address, str(tmp_path / "cache"), batch_size=10)))
    assert torch.equal(ours, torch.cat(list(AISMDSDataset(remote, str(tmp_path / "here"), batch_size=10))))
    with pytest.raises(LoaderError, match="cloud://nowhere"):
        AISMDSDataset("cloud://nowhere", str(tmp_path / "nowhere"), download_retry=0)
    monkeypatch.setitem(sys.modules, "streaming.base.storage.download", None)
    with pytest.raises(LoaderError, match=rf"an address such as {address} needs mosaicml-streaming"):
        AISMDSDataset(address, str(tmp_path / "without"), download_retry=0)


def test_more_shards_than_stay_mapped(tmp_path: Path, remote: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = torch.cat(list(AISMDSDataset(remote, str(tmp_path), batch_size=3)))
    monkeypatch.setattr(gather, "MOST_MAPPED", 1)
    dataset = AISMDSDataset(remote, str(tmp_path), batch_size=3)
    assert torch.equal(torch.cat(list(dataset)), whole)


@pytest.mark.parametrize(("given", "samples"), [("0.1k", 100), ("0.0001M", 100), ("203", 203), (7, 7)])
def test_an_epoch_of_so_many_samples(tmp_path: Path, remote: str, given: int | str, samples: int) -> None:
    dataset = AISMDSDataset(remote, str(tmp_path), batch_size=10, epoch_size=given, num_canonical_nodes=1)
    assert [len(batch) for batch in dataset] == [10] * (samples // 10) + [samples % 10] * bool(samples % 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"threads": 0}, "threads is 0"),
        ({"window_len": 0}, "window_len is 0"),
        ({"normalize": "minmax"}, "normalize is 'minmax'"),
        ({"normalize": {"features": {}}}, "no mean and std of every feature"),
        ({"batching_method": "stratified"}, "only 'random' delivers every sample"),
        ({"cache_limit": 0}, "cache_limit is 0; it must be at least 1 byte, or None"),
        ({"cache_limit": "0gb"}, "cache_limit is 0"),
        ({"cache_limit": "lots"}, "cache_limit is 'lots'; it must be a number of bytes"),
        ({"cache_limit": "4kb"}, "cache_limit is 4,096 bytes; it must be at least .*: the index and 4 shards"),
        ({"shuffle_algo": "py3"}, "shuffle_algo is 'py3'; there is 'py1e'"),
        ({"epoch_size": "many"}, "epoch_size is 'many'"),
        ({"epoch_size": 0}, "epoch_size is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"replication": 2}, "replication is 2; it must divide the number of ranks, 1"),
        ({"num_canonical_nodes": 2}, "2 canonical nodes would have 1 of 203 samples come twice"),
        ({"shuffle_algo": "py2s"}, "64 canonical nodes would have 53 of 203 samples come twice"),
        ({"remote": ""}, "remote is empty; it must be a folder or an address"),
        ({"local": ""}, "local is empty; it must be a folder"),
    ],
)
def test_a_wrong_option_is_refused(tmp_path: Path, remote: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AISMDSDataset(**{"remote": remote, "local": str(tmp_path), **options})


@pytest.mark.parametrize(
    ("option", "instead"),
    [
        ("shuffle_seed", "use seed"),
        ("streams", "use remote and local"),
        ("stream_config", "use download_retry"),
        ("predownload", "use threads"),
        ("validate_hash", "leave it out: every shard is checked"),
        ("keep_zip", "leave it out"),
        ("num_workers", "DataLoader"),
        ("allow_unsafe_types", "nothing here is unpickled"),
        ("shufle", r"did you mean shuffle\?"),
        ("batchsize", r"did you mean batch_size\?"),
        ("cach_limit", r"did you mean cache_limit\?"),
        ("zzz", "there are batch_size, split, "),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(tmp_path: Path, remote: str, option: str, instead: str) -> None:
    options: dict[str, Any] = {option: 1}
    with pytest.raises(TypeError, match=f"no option {option}: .*{instead}"):
        AISMDSDataset(remote, str(tmp_path), **options)


@pytest.mark.parametrize(
    ("name", "near"), [("bogus", "there are endpoint_url"), ("region", "did you mean region_name")]
)
def test_an_s3_setting_that_there_is_not_is_refused(tmp_path: Path, remote: str, name: str, near: str) -> None:
    with pytest.raises(TypeError, match=f"s3 has no option {name}: {near}"):
        AISMDSDataset(remote, str(tmp_path), s3={name: "1"})


@pytest.mark.parametrize("drop_last", [True, False])
def test_a_state_of_an_epochs_end_is_the_next_ones_beginning(tmp_path: Path, remote: str, drop_last: bool) -> None:
    dataset = AISMDSDataset(remote, str(tmp_path / "a"), batch_size=BATCH, drop_last=drop_last)
    numbers(dataset)
    state = dataset.state_dict()
    assert (state["epoch"], state["sample_in_epoch"]) == (1, 0)
    second = numbers(dataset)
    stock = {"epoch": 0, "sample_in_epoch": COUNT // BATCH * BATCH if drop_last else COUNT}
    for of_end in (state, {**state, **stock}):
        resumed = AISMDSDataset(remote, str(tmp_path / "b"), batch_size=BATCH, drop_last=drop_last)
        resumed.load_state_dict(of_end)
        assert numbers(resumed) == second


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_in_epoch": 10**6}, "sample 1,000,000 of epoch 0, and an epoch has 203"),
        ({"sample_in_epoch": -1}, "sample -1"),
        ({"epoch": -3}, "epoch -3"),
    ],
)
def test_a_state_that_cannot_be_is_refused(tmp_path: Path, remote: str, change: dict[str, int], message: str) -> None:
    dataset = AISMDSDataset(remote, str(tmp_path), batch_size=BATCH)
    state = dataset.state_dict()
    with pytest.raises(ValueError, match=message):
        dataset.load_state_dict({**state, **change})
    with pytest.raises(ValueError, match="this is no state of a dataset: it has no 'shuffle_seed'"):
        dataset.load_state_dict({name: value for name, value in state.items() if name != "shuffle_seed"})


def test_a_resumed_seed_is_the_seed_of_every_later_epoch_of_workers(tmp_path: Path, remote: str) -> None:
    first = AISMDSDataset(remote, str(tmp_path / "a"), batch_size=BATCH, seed=77)
    expected = [numbers(first) for _ in range(3)]
    resumed = AISMDSDataset(remote, str(tmp_path / "b"), batch_size=BATCH)
    resumed.load_state_dict(AISMDSDataset(remote, str(tmp_path / "c"), batch_size=BATCH, seed=77).state_dict())
    loader = DataLoader(resumed, batch_size=None, num_workers=2)
    assert [numbers(loader) for _ in range(3)] == expected


def test_paths_are_places_too(tmp_path: Path, remote: str) -> None:
    assert len(next(iter(AISMDSDataset(Path(remote), tmp_path, batch_size=COUNT)))) == COUNT


def test_windows_of_another_length_are_refused(tmp_path: Path, remote: str) -> None:
    assert len(next(iter(AISMDSDataset(remote, str(tmp_path), window_len=WINDOW)))) == 64
    with pytest.raises(LoaderError, match=f"windows of {WINDOW} positions; expected are 928"):
        next(iter(AISMDSDataset(remote, str(tmp_path), window_len=928)))


def test_windows_are_as_long_as_the_dataset_says_or_as_the_schema_has_it(tmp_path: Path) -> None:
    longer = windows(9, window_len=2 * 928)
    doubles = write_dataset(tmp_path / "doubles", longer, limit=1 << 20)  # as 928 positions of float64 look
    assert next(iter(AISMDSDataset(doubles, tmp_path / "a"))).shape == (9, 2 * 928, 5)
    (doubles / "statistics.json").unlink()
    with pytest.raises(
        LoaderError, match=r"1856 positions; expected are 928\. If they are float32, give window_len=18"
    ):
        next(iter(AISMDSDataset(doubles, tmp_path / "b")))
    assert next(iter(AISMDSDataset(doubles, tmp_path / "b", window_len=2 * 928))).shape == (9, 2 * 928, 5)


def test_data_loader_workers_do_not_pin_memory(tmp_path: Path, remote: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    dataset = AISMDSDataset(remote, str(tmp_path), pin_memory=True)
    with pytest.raises(ValueError, match=r"a DataLoader worker cannot pin memory: .*the DataLoader's pin_memory"):
        list(DataLoader(dataset, batch_size=None, num_workers=1))


def test_normalized_batches(tmp_path: Path, features: np.ndarray) -> None:
    folder = write_dataset(tmp_path / "mds", features)
    raw = next(iter(AISMDSDataset(str(folder), str(tmp_path / "c"), batch_size=BATCH, device="cpu")))
    ranges = AISMDSDataset(str(folder), str(tmp_path / "c"), batch_size=BATCH, normalize="ranges", provenance=True)
    assert torch.equal(next(iter(ranges))[0], normalize_batch(raw))
    (folder / "statistics.json").unlink()
    with pytest.raises(LoaderError, match=r"no statistics\.json"):
        AISMDSDataset(str(folder), str(tmp_path / "c"), normalize="statistics")
    statistics = {"features": {name: {"mean": 2.0, "std": 4.0} for name in schema.FEATURE_NAMES}}
    given = AISMDSDataset(
        str(folder), str(tmp_path / "c"), batch_size=BATCH, normalize=statistics, window_len=WINDOW, shuffle=True
    )
    assert torch.equal(next(iter(given)), (raw - 2) / 4)
    (folder / "statistics.json").write_text(json.dumps(statistics))
    z_scores = AISMDSDataset(
        str(folder), str(tmp_path / "c"), batch_size=BATCH, normalize="statistics", window_len=WINDOW
    )
    assert torch.equal(next(iter(z_scores)), (raw - 2) / 4)


def test_samples_are_bit_equal_to_the_parquet_of_the_same_pile(tmp_path: Path, features: np.ndarray) -> None:
    write_windows(tmp_path / "pile.parquet", windows_table(features), 50)
    write_shards([windows_table(features)], tmp_path / "mds", window_len=WINDOW, size_limit=1 << 12, level=1, threads=2)
    dataset = AISMDSDataset(
        str(tmp_path / "mds"), str(tmp_path / "c"), batch_size=BATCH, shuffle=False, provenance=True, window_len=WINDOW
    )
    stored = ValidationDataset(tmp_path / "pile.parquet", batch_size=BATCH, provenance=True)
    pairs = list(zip(dataset, stored, strict=True))
    assert len(pairs) == len(dataset) == len(stored)
    for (ours, where), (theirs, there) in pairs:
        assert ours.numpy().tobytes() == theirs.numpy().tobytes()
        assert {name: column.tolist() for name, column in where.items()} == {
            name: column.tolist() for name, column in there.items()
        }
