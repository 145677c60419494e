"""What takes part in the bench of windows cut while training; every function runs in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from ais_assets.bench._loader_contenders import Remote, import_loader, ours, read_for
from ais_assets.bench._loader_data import Windows
from ais_assets.bench._tracks_data import PublishedTracks, bytes_on_disk, shard_bytes
from ais_assets.bench.race import TURN_SECONDS, peak_bytes

TRACKS: Final = "TrackWindowDataset"
MDS: Final = "AISMDSDataset"
STOCK: Final = "StreamingDataset"
WARM_WINDOWS: Final = 200_000
"""Of an epoch over warm tracks, however many there are."""
WITH_MORE: Final[dict[str, Any]] = {
    "features": ("lat", "lon", "sog", "cog", "dt_seconds", "heading", "nav_status"),
    "mask": True,
}
"""Two more channels, and a mask of what was received."""


@dataclass(frozen=True)
class ColdStart:
    """What an epoch over an empty cache took.

    Attributes:
        first_seconds: from the dataset's construction to its first batch.
        seconds: to the end of its first epoch.
        windows: of the epoch.
        moved_bytes: read from the published files until the first batch.
        cached_bytes: that the cache takes after the epoch.
    """

    first_seconds: float
    seconds: float
    windows: int
    moved_bytes: int
    cached_bytes: int


def cold_start(loader: str, remote: Remote, batch_size: int, entries: list[dict[str, Any]]) -> ColdStart:
    """A first epoch; the process has the loader's libraries and compiled kernels, the cache nothing.

    Args:
        loader: its name.
        remote: what it reads.
        batch_size: windows a batch.
        entries: the index's of MDS, by which what mosaicml-streaming has moved is counted.
    """
    torch.set_num_threads(1)
    import_loader(loader)
    if loader != STOCK:
        for _ in remote.open(loader, batch_size)():
            pass
    moved = _count_reads()
    begun = time.perf_counter()
    batches = remote.open(loader, batch_size)()
    windows = len(next(batches))
    first = time.perf_counter() - begun
    (cache,) = remote.scratch.glob("cold-*")
    moved_bytes = sum(moved) if loader != STOCK else sum(shard_bytes(entries, cache))
    windows += sum(len(batch) for batch in batches)
    return ColdStart(first, time.perf_counter() - begun, windows, moved_bytes, bytes_on_disk(cache))


def first_batch(remote: Remote, batch_size: int, small: Remote) -> float:
    """Seconds from the construction of a dataset of tracks over an empty cache to its first batch.

    `small` is what a batch is read of before the clock starts.
    """
    torch.set_num_threads(1)
    next(small.open(TRACKS, batch_size)())
    begun = time.perf_counter()
    next(remote.open(TRACKS, batch_size)())
    return time.perf_counter() - begun


def pack(tracks: PublishedTracks) -> None:
    """Packs the tracks with all that any contender reads of them."""
    from ais_assets.io.streaming_loader import TrackWindowDataset  # noqa: PLC0415 - loads torch

    TrackWindowDataset(tracks.lake, tracks.cache, **WITH_MORE).close()


def _count_reads() -> list[int]:
    """A list that the bytes of every file that this package's loaders read are added to from now on."""
    from ais_assets.loader.remote import Remote as Published  # noqa: PLC0415 - loads torch

    moved: list[int] = []
    read = Published.read

    def counted(self: Published, name: str) -> bytes:
        data = read(self, name)
        moved.append(len(data))
        return data

    Published.read = counted
    return moved


def prepare_tracks(tracks: PublishedTracks, batch_size: int, threads: int, seconds: float, **options: Any) -> None:
    """Reads an epoch: files are in memory, kernels compiled."""
    torch.set_num_threads(1)
    for _ in _opened_tracks(tracks, batch_size, threads, tuple(options.items()))():
        pass


def read_tracks(tracks: PublishedTracks, batch_size: int, threads: int, seconds: float, **options: Any) -> float:
    """Reads epochs until the time is over; returns their windows."""
    return read_for(_opened_tracks(tracks, batch_size, threads, tuple(options.items())), seconds)


def prepare_two_processes(tracks: PublishedTracks, batch_size: int, seconds: float) -> None:
    """As `prepare_tracks`, in this process and in another one."""
    prepare_tracks(tracks, batch_size, 1, seconds)
    _other_process().apply_async(prepare_tracks, (tracks, batch_size, 1, seconds)).get(TURN_SECONDS)


def read_in_two_processes(tracks: PublishedTracks, batch_size: int, seconds: float) -> float:
    """As `read_tracks` by two processes that have nothing in common: what the machine's second core is worth."""
    others = _other_process().apply_async(read_tracks, (tracks, batch_size, 1, seconds))
    return read_tracks(tracks, batch_size, 1, seconds) + others.get(TURN_SECONDS)


@lru_cache(maxsize=1)
def _other_process() -> Pool:
    return get_context("spawn").Pool(1)


def prepare_more(tracks: PublishedTracks, batch_size: int, threads: int, seconds: float) -> None:
    """As `prepare_tracks`, with more of each position."""
    prepare_tracks(tracks, batch_size, threads, seconds, **WITH_MORE)


def read_more(tracks: PublishedTracks, batch_size: int, threads: int, seconds: float) -> float:
    """As `read_tracks`, with more of each position."""
    return read_tracks(tracks, batch_size, threads, seconds, **WITH_MORE)


@lru_cache(maxsize=1)
def _opened_tracks(tracks: PublishedTracks, batch_size: int, threads: int, options: tuple[tuple[str, Any], ...]) -> Any:
    from ais_assets.io.streaming_loader import TrackWindowDataset  # noqa: PLC0415 - loads torch

    dataset = TrackWindowDataset(tracks.lake, tracks.cache, batch_size, threads=threads, **dict(options))
    if dataset.windows > WARM_WINDOWS:
        dataset = TrackWindowDataset(
            tracks.lake, tracks.cache, batch_size, threads=threads, epoch_size=WARM_WINDOWS, **dict(options)
        )

    def epoch() -> Iterator[torch.Tensor]:
        return (batch if isinstance(batch, torch.Tensor) else batch[0] for batch in dataset)

    return epoch


@lru_cache(maxsize=1)
def _opened_mds(windows: Windows, batch_size: int) -> Any:
    return ours(windows, batch_size)


def prepare_mds(windows: Windows, batch_size: int, seconds: float) -> None:
    """Reads an epoch of windows from disk: files are in memory."""
    torch.set_num_threads(1)
    for _ in _opened_mds(windows, batch_size)():
        pass


def read_mds(windows: Windows, batch_size: int, seconds: float) -> float:
    """Reads whole epochs of windows from disk until the time is over; returns their windows."""
    return read_for(_opened_mds(windows, batch_size), seconds)


@dataclass(frozen=True)
class YearStart:
    """What starting over a year's tracks took.

    Attributes:
        windows: of an epoch.
        construction_seconds: of the dataset, over a cache that is complete.
        epoch_seconds: from the beginning of an epoch to its first batch.
        resume_seconds: from a state in the middle of an epoch to the batch that follows.
        memory_bytes: the process's greatest resident set meanwhile, less what it had before; pages of the map that
            these batches touched are among them.
    """

    windows: int
    construction_seconds: float
    epoch_seconds: float
    resume_seconds: float
    memory_bytes: int


def start_over_a_year(year: PublishedTracks, batch_size: int, small: PublishedTracks, seed: int) -> YearStart:
    """Opens the dataset, takes an epoch's first batch, and one after a state at a random place of another epoch."""
    torch.set_num_threads(1)
    options: dict[str, Any] = {"features": ("lat", "lon"), "threads": 1}
    from ais_assets.io.streaming_loader import TrackWindowDataset  # noqa: PLC0415 - loads torch

    # What is loaded and compiled once is so before the clock starts. Holes hold no positions, so no feature is asked
    # for that says where tracks begin.
    next(iter(TrackWindowDataset(small.lake, small.cache, batch_size, **options)))
    _forget_peak()
    before = peak_bytes()
    begun = time.perf_counter()
    dataset = TrackWindowDataset(year.lake, year.cache, batch_size, **options)
    constructed = time.perf_counter()
    next(iter(dataset))
    started = time.perf_counter()
    place = int(np.random.default_rng(seed).integers(dataset.windows))
    dataset.load_state_dict({**dataset.state_dict(), "epoch": 3, "sample_in_epoch": place})
    next(iter(dataset))
    resumed = time.perf_counter()
    return YearStart(
        dataset.windows, constructed - begun, started - constructed, resumed - started, peak_bytes() - before
    )


def _forget_peak() -> None:
    """Lets the kernel count this process's largest resident set from now on (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")
