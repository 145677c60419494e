"""What takes part in the loader's bench; every function can be called in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import import_module
from itertools import count
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, Final

import numpy as np
import torch
import zstandard
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from ais_assets import schema
from ais_assets.bench._loader_data import Windows
from ais_assets.bench._loader_s3 import Bucket

Epoch = Callable[[], Iterator[torch.Tensor]]
"""Begins an epoch: batches of (B, window_len, 5) float32."""

WORKERS: Final = 4
"""Processes of the stock DataLoader that has any."""
_SEED: Final = 9176
_TAR_SHUFFLE: Final = 1_000


def stacked(samples: Sequence[dict[str, Any]]) -> torch.Tensor:
    """A batch of samples with `features` bytes, as a training script without this package would make it."""
    rows = np.stack([np.frombuffer(sample["features"], np.float32) for sample in samples])
    return torch.from_numpy(rows.reshape(len(samples), -1, schema.FEATURE_COUNT))


def ours(windows: Windows, batch_size: int, **options: Any) -> Epoch:
    """`AISMDSDataset` over a warm cache."""
    from ais_assets.io.streaming_loader import AISMDSDataset  # noqa: PLC0415 - takes seconds to import

    return AISMDSDataset(str(windows.mds), str(windows.cache), batch_size, **options).__iter__


def stock(windows: Windows, batch_size: int, workers: int = 0) -> Epoch:
    """`StreamingDataset` over the same unpacked shards, in a DataLoader with so many workers."""
    from streaming import StreamingDataset  # noqa: PLC0415

    dataset = StreamingDataset(remote=str(windows.mds), local=str(windows.cache), shuffle=True, batch_size=batch_size)
    return DataLoader(
        dataset, batch_size, collate_fn=stacked, num_workers=workers, persistent_workers=workers > 0
    ).__iter__


def litdata(windows: Windows, batch_size: int) -> Epoch:
    """litdata's own dataset and loader."""
    from litdata import StreamingDataLoader, StreamingDataset  # noqa: PLC0415  # pyright: ignore[reportMissingImports]

    dataset = StreamingDataset(str(windows.folder / "litdata"), shuffle=True)
    return StreamingDataLoader(dataset, batch_size=batch_size).__iter__


def webdataset(windows: Windows, batch_size: int) -> Epoch:
    """webdataset over tar files, shuffled in a buffer."""
    from webdataset import WebDataset  # noqa: PLC0415  # pyright: ignore[reportMissingImports]

    tars = sorted(str(tar) for tar in (windows.folder / "webdataset").iterdir())
    dataset = WebDataset(tars, shardshuffle=len(tars)).shuffle(_TAR_SHUFFLE)
    return dataset.batched(batch_size, collation_fn=stacked, partial=True).__iter__


def datasets(windows: Windows, batch_size: int) -> Epoch:
    """Hugging Face datasets, shuffled, read as Arrow: its fastest format."""
    from datasets import load_from_disk  # noqa: PLC0415  # pyright: ignore[reportMissingImports]

    dataset = load_from_disk(str(windows.folder / "datasets")).with_format("arrow")
    seeds = count(_SEED)

    def epoch() -> Iterator[torch.Tensor]:
        for table in dataset.shuffle(seed=next(seeds), keep_in_memory=True).iter(batch_size):
            rows = table["features"].combine_chunks().flatten().to_numpy()
            yield torch.tensor(rows.reshape(table.num_rows, -1, schema.FEATURE_COUNT))

    return epoch


def memmap(windows: Windows, batch_size: int) -> Epoch:
    """The bound: random rows of one memory-mapped array, copied into new tensors."""
    matrix: NDArray[np.float32] = np.load(windows.matrix, mmap_mode="r")
    generator = np.random.default_rng(_SEED)

    def epoch() -> Iterator[torch.Tensor]:
        order = generator.permutation(len(matrix))
        for first in range(0, len(order), batch_size):
            rows = order[first : first + batch_size]
            batch = torch.empty((len(rows), *matrix.shape[1:]))
            # "clip" writes straight into `out`; the default checks in a buffer first.
            np.take(matrix, rows, axis=0, out=batch.numpy(), mode="clip")
            yield batch

    return epoch


LOADERS: Final[dict[str, Callable[[Windows, int], Epoch]]] = {
    "StreamingDataset": stock,
    "AISMDSDataset": ours,
    f"StreamingDataset, {WORKERS} workers": partial(stock, workers=WORKERS),
    "litdata": litdata,
    "webdataset": webdataset,
    "HF datasets": datasets,
    "memmap gather": memmap,
}


@lru_cache(maxsize=1)
def _opened(loader: str, windows: Windows, batch_size: int) -> Epoch:
    return LOADERS[loader](windows, batch_size)


def prepare_warm(loader: str, windows: Windows, batch_size: int, seconds: float) -> None:
    """Opens the dataset and reads an epoch: files are in memory, workers started."""
    torch.set_num_threads(1)
    for _ in _opened(loader, windows, batch_size)():
        pass


def read_warm(loader: str, windows: Windows, batch_size: int, seconds: float) -> float:
    """Reads whole epochs until the time is over; returns their samples."""
    return read_for(_opened(loader, windows, batch_size), seconds)


def read_for(epoch: Epoch, seconds: float) -> float:
    """Reads whole epochs, one at least, until the time is over; returns their samples."""
    samples = 0
    deadline = time.perf_counter() + seconds
    while True:
        samples += sum(len(batch) for batch in epoch())
        if time.perf_counter() >= deadline:
            return samples


@dataclass(frozen=True)
class Remote:
    """Where a dataset is read from into an empty cache.

    Attributes:
        uri: a folder, or s3://bucket/prefix.
        scratch: a folder; every cache is a new one below it.
        s3: the bucket, if it is one.
    """

    uri: str
    scratch: Path
    s3: Bucket | None = None

    def open(self, loader: str, batch_size: int, cache: str | None = None) -> Epoch:
        """The loader over a cache: an empty one if none is named."""
        if cache is None:
            # Turns come one after another. What the former ones left would still be on its way to the disk.
            for former in self.scratch.glob("cold-*"):
                rmtree(former)
            cache = mkdtemp(prefix="cold-", dir=self.scratch)
        if loader == "AISMDSDataset":
            from ais_assets.io.streaming_loader import AISMDSDataset  # noqa: PLC0415

            access = None if self.s3 is None else self.s3.s3.for_loaders()
            return AISMDSDataset(self.uri, cache, batch_size, s3=access).__iter__
        if loader == "TrackWindowDataset":
            from ais_assets.io.streaming_loader import TrackWindowDataset  # noqa: PLC0415

            access = None if self.s3 is None else self.s3.s3.for_loaders()
            return TrackWindowDataset(self.uri, cache, batch_size, s3=access).__iter__
        from streaming import StreamingDataset  # noqa: PLC0415

        dataset = StreamingDataset(remote=self.uri, local=cache, shuffle=True, batch_size=batch_size)
        return DataLoader(dataset, batch_size, collate_fn=stacked).__iter__


@lru_cache(maxsize=1)
def _opened_cold(loader: str, remote: Remote, batch_size: int) -> Epoch:
    return remote.open(loader, batch_size)


def prepare_cold(loader: str, remote: Remote, batch_size: int) -> None:
    """Reads an epoch, so that the process has its memory; then opens the dataset over another empty cache."""
    torch.set_num_threads(1)
    read_cold(loader, remote, batch_size)
    _opened_cold.cache_clear()
    _opened_cold(loader, remote, batch_size)


def read_cold(loader: str, remote: Remote, batch_size: int) -> float:
    """Reads an epoch; returns its samples."""
    return read_for(_opened_cold(loader, remote, batch_size), 0.0)


def download(bucket: Bucket, windows: Windows, threads: int) -> float:
    """Downloads and unpacks every shard into memory, in threads; returns their samples."""
    client = bucket.client(threads)

    def fetch(entry: dict[str, Any]) -> int:
        key = f"{bucket.prefix}/{entry['zip_data']['basename']}"
        data = client.get_object(Bucket=bucket.name, Key=key)["Body"].read()
        raw = zstandard.ZstdDecompressor().decompress(data, max_output_size=entry["raw_data"]["bytes"])
        if len(raw) != entry["raw_data"]["bytes"]:
            raise RuntimeError(f"{bucket.uri}: {key} unpacks to {len(raw):,} bytes")
        return entry["samples"]

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(fetch, windows.entries()))


def import_loader(loader: str, *_: object) -> None:
    """Imports what the loader is made of."""
    import_module("streaming" if loader == "StreamingDataset" else "ais_assets.io.streaming_loader")


def first_batch(loader: str, remote: Remote, cache: str | None, batch_size: int) -> float:
    """Opens the dataset and takes a batch; returns 1."""
    batches = _kept(remote.open(loader, batch_size, cache)())
    next(batches)
    return 1.0


@lru_cache(maxsize=1)
def _kept(batches: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Keeps an iterator, so that its end is not a part of what is timed."""
    return batches


def construct(loader: str, index: Path, batch_size: int) -> float:
    """Opens the dataset of an index; returns 1."""
    _constructed(loader, index, batch_size)
    return 1.0


def prepare_epoch(loader: str, index: Path, batch_size: int) -> None:
    """Opens the dataset of an index."""
    _constructed(loader, index, batch_size)


def begin_epoch(loader: str, index: Path, batch_size: int) -> float:
    """Makes an epoch's order and this process's part of it, before any shard is asked for; returns 1."""
    dataset = _constructed(loader, index, batch_size)
    if loader == "AISMDSDataset":
        samples = dataset._begin_epoch()
    else:
        # What its __iter__ does before it starts its threads.
        dataset._unique_worker_world = dataset._unique_rank_world.detect_workers()
        dataset._parallel_worker_world = dataset._parallel_rank_world.detect_workers()
        samples = dataset._get_work(*dataset._resume_incr_epoch())
    if np.count_nonzero(samples >= 0) != dataset.num_samples:
        raise RuntimeError(f"{loader}: an epoch of {len(samples):,} samples, not {dataset.num_samples:,}")
    return 1.0


@lru_cache(maxsize=1)
def _constructed(loader: str, index: Path, batch_size: int) -> Any:
    """A dataset of which there is only the index, shuffled."""
    cache = mkdtemp(prefix="index-", dir=index.parent)
    if loader == "AISMDSDataset":
        from ais_assets.io.streaming_loader import AISMDSDataset  # noqa: PLC0415

        return AISMDSDataset(str(index), cache, batch_size)
    from streaming import StreamingDataset  # noqa: PLC0415

    return StreamingDataset(remote=str(index), local=cache, shuffle=True, batch_size=batch_size)
