"""Batches for training code: (B, window, 5) float32 from MDS shards, on top of mosaicml-streaming.

The order of the samples, elastic determinism, resumption and the choice of what stays in the cache are
mosaicml-streaming's own. This adds whole batches gathered from memory-mapped shards, shards fetched in threads ahead of
their use and checked against the published index, and an epoch that either delivers every sample or raises.

    normalize             scaling, and division into input and target
    validation            the same interface over a Parquet file of windows
    gather                shards opened ahead, and batches gathered from them
    cache                 the index, and the folder of raw shards
    remote                reads that end
    rows                  a raw shard as arrays
    order                 the order of an epoch, in little memory
    barrier               an epoch's start, with all of a machine's processes
    device                copies to the accelerator
    shared_memory         what killed jobs leave behind
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from copy import copy
from math import ceil
from os import PathLike, fspath
from typing import Any, Final, Literal, Self, get_args
from weakref import finalize

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from streaming import StreamingDataset
from streaming.base import dataset as streaming_dataset
from streaming.base.batching import generate_work
from streaming.base.constant import BARRIER_FILELOCK, EPOCH_DATA, TICK
from streaming.base.dataset import _ShardState  # the states that it keeps in shared memory
from streaming.base.shared import SharedMemory
from streaming.base.shared import prefix as streaming_prefix
from streaming.base.shared.prefix import _get_path  # the names of its shared memory
from streaming.base.world import World
from torch.utils.data import get_worker_info

from ais_assets import schema
from ais_assets.loader.barrier import EpochBarrier
from ais_assets.loader.cache import INDEX_FILE, PublishedStream
from ais_assets.loader.device import Batch, check_worker, destination, features_of, on_device
from ais_assets.loader.gather import OpenShards, gathered
from ais_assets.loader.normalize import (
    check_normalize,
    normalize_in_place,
)
from ais_assets.loader.order import bounds_for_spans, epoch_order, is_plain, own_share
from ais_assets.loader.remote import LoaderError, given_up
from ais_assets.loader.rows import ShardRows
from ais_assets.loader.shared_memory import a_turn_to_start, disown, let_go, own, remembered, remove_leftovers
from ais_assets.machine import is_alive, usable_cores

STATISTICS_FILE: Final = "statistics.json"
_STARTS: Final = 20
"""Attempts to find a free number for this job's shared memory."""
Normalization = Literal["ranges", "statistics"]
_WINDOW_LEN: Final = schema.SEQ_LEN + schema.MAX_HORIZON

_STREAMING_OPTIONS: Final = (
    "epoch_size",
    "sampling_method",
    "sampling_granularity",
    "partition_algo",
    "num_canonical_nodes",
    "shuffle_algo",
    "shuffle_block_size",
    "batching_method",
    "allow_unsafe_types",
    "replication",
)
"""Of `streaming.StreamingDataset`: which samples an epoch has, in which order, and on which rank."""
_INSTEAD: Final = {
    "shuffle_seed": "use seed",
    "streams": "use remote and local: a loader is over one dataset",
    "stream_name": "use remote and local: a loader is over one dataset",
    "stream_config": "use download_retry, download_timeout and s3",
    "predownload": "use threads, which open shards ahead of their use",
    "validate_hash": "leave it out: every shard is checked against all that the index says",
    "keep_zip": "leave it out: shards are unpacked from memory, and only raw ones are kept",
    "num_workers": "one process is enough; or give it to DataLoader(dataset, batch_size=None, num_workers=…)",
}
"""Options that others have, and what to use here."""


_LARGEST_PROCESS: Final = 1 << 22
"""Linux numbers processes up to this; a time in nanoseconds is more."""


class AISMDSDataset(StreamingDataset):
    """Training windows as batches, for a plain loop or `DataLoader(dataset, batch_size=None)`.

    One process is enough: batches are gathered at the speed of memory, and shards are fetched and unpacked in
    threads. Under `torchrun` each rank gets its share; ranks get equally many samples, for which mosaicml-streaming
    repeats a few when they do not divide. On one rank an epoch is every sample exactly once.

    Args:
        remote: the folder with the published index: a path, s3://bucket/prefix/mds, or another address that
            mosaicml-streaming knows. None: `local` is the dataset itself.
        local: a cache folder; jobs may share it.
        batch_size: windows a batch, on each rank.
        split: a folder inside both, as mosaicml-streaming has it.
        shuffle: a new order in every epoch; False: the order of the dataset, which is itself random.
        seed: keys the order.
        cache_limit: bytes (or "200gb") that raw shards may take in `local`; the least recently used ones go. Jobs that
            share a folder count for themselves. None: no limit.
        drop_last: whether to drop an epoch's last batch if it is smaller.
        window_len: positions of a window; None: as the dataset's statistics.json has it, or 928.
        provenance: yield (features, {"mmsi", "track", "start"}) instead of features alone: int64 (B,) each, as
            far as the dataset has these columns; `start` is Unix time in seconds.
        normalize: "ranges", "statistics" (the dataset's own) or other statistics: see `normalize_batch`.
        device: copy batches there, one ahead; on CUDA from pinned memory without waiting.
        pin_memory: yield batches, and their provenance, in pinned host memory.
        threads: that fetch, check and unpack shards; None: one a core, at most 8. DataLoader workers share them.
        download_retry: further attempts to read a file, after a timeout or to replace a damaged one.
        download_timeout: seconds for one attempt.
        s3: settings where the standard AWS ones are not enough: endpoint_url, region_name, profile_name.
        options: of `streaming.StreamingDataset`, as far as they say which samples an epoch has and in which order:
            epoch_size, sampling_method, sampling_granularity, partition_algo, num_canonical_nodes, shuffle_algo,
            shuffle_block_size, batching_method ("random"), allow_unsafe_types, replication.

    Yields:
        torch.float32 tensors (batch_size, window, 5); see `schema.FEATURES`.

    Raises:
        ValueError: an option cannot be.
        TypeError: there is no such option; the message says what to use instead.
        LoaderError: at once, when the index cannot be had; while iterating, when a shard cannot be had or is damaged.
    """

    def __init__(
        self,
        remote: str | PathLike[str] | None,
        local: str | PathLike[str],
        batch_size: int = 64,
        *,
        split: str | None = None,
        shuffle: bool = True,
        seed: int = 9176,
        cache_limit: int | str | None = None,
        drop_last: bool = False,
        window_len: int | None = None,
        provenance: bool = False,
        normalize: Normalization | Mapping[str, Any] | None = None,
        device: str | torch.device | None = None,
        pin_memory: bool = False,
        threads: int | None = None,
        download_retry: int = 2,
        download_timeout: float = 60.0,
        s3: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        _check_options(options, batch_size=batch_size, threads=threads, window_len=window_len)
        check_normalize(normalize, get_args(Normalization))
        remote, local = None if remote is None else _place("remote", remote), _place("local", local)
        self.drop_last = drop_last
        self.provenance = provenance
        self.normalize = normalize
        self.device, self.pin_memory = destination(device, pin_memory)
        self.threads = threads or min(8, usable_cores())
        self.stream = PublishedStream(
            remote,
            local,
            split,
            retries=download_retry,
            timeout=download_timeout,
            s3=s3,
            limited=bool(cache_limit),
        )
        if cache_limit and self.stream.in_place:
            raise ValueError(
                f"cache_limit would delete the only copy: {local} is the dataset itself, not a cache of it"
            )
        # The other ranks follow their leader, at mosaicml-streaming's barriers. Where these span machines there are no
        # turns: of two jobs, each could have its turn on one machine and wait for the other's on the next.
        world = World.detect()
        leads = world.is_local_leader
        with a_turn_to_start() if leads and not world.is_multinode else nullcontext(), bounds_for_spans():
            if leads:
                remove_leftovers()
            for left in reversed(range(_STARTS)):
                # mosaicml-streaming settles a stream's options in place, once.
                stream = copy(self.stream)
                try:
                    with remembered(streaming_prefix) as opened:
                        super().__init__(
                            streams=[stream],
                            batch_size=batch_size,
                            shuffle=shuffle,
                            shuffle_seed=seed,
                            cache_limit=cache_limit,
                            **options,
                        )
                    let_go([memory for memory in opened if memory is not self._locals_shm])
                    self.stream = stream
                    break
                except FileExistsError as error:
                    # Another dataset, of those that take no turns, took the number of this one's shared memory.
                    if world.num_ranks > 1 or not left:
                        raise LoaderError(
                            f"another job of this machine, which started at the same moment, took {error.filename}, "
                            "a name for shared memory: start the job again"
                        ) from error
            if leads:
                own(self._shm_prefix_int)
        self._held = self._memories()
        self._finalizer = finalize(self, _release, os.getpid(), self._held, self._shm_prefix_int if leads else None)
        # At exit each of them does it by itself.
        self._finalizer.atexit = False
        barrier = _get_path(self._shm_prefix_int, BARRIER_FILELOCK)
        self._shared_barrier = EpochBarrier(f"{self._filelock_root}/{barrier}")
        self._statistics = normalize if isinstance(normalize, Mapping) else None
        if normalize == "statistics":
            self._statistics = self._read_statistics()
        self._window_len = window_len
        self._epochs_begun = 0
        self._samples_yielded = 0
        # What next_epoch is as long as no DataLoader worker begins one.
        self._next_epoch_here = 0

    def close(self) -> None:
        """Gives the dataset's shared memory and file descriptors back; it cannot be iterated afterwards.

        Otherwise that happens when the dataset is forgotten. On several ranks, when all are done with it.
        """
        self._finalizer()

    def __enter__(self) -> Self:
        """The dataset, closed at the end of the `with` block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes it."""
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        """For spawned DataLoader workers, which have nothing to give back."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_finalizer", "_held")}

    def _memories(self) -> list[SharedMemory]:
        arrays = (self._next_epoch.arr, self._cache_usage.arr, self._shard_states, self._shard_access_times)
        barrier = self._shared_barrier._arr  # pyright: ignore[reportAttributeAccessIssue] - mosaicml-streaming's own yet
        return [*(array.shm for array in (*arrays, barrier)), self._locals_shm]

    def __len__(self) -> int:
        """Batches of an epoch on this rank, whatever the number of DataLoader workers."""
        batches = self._samples_per_rank() / self._batch
        return int(batches) if self.drop_last else ceil(batches)

    @property
    def _batch(self) -> int:
        assert self.batch_size is not None
        return self.batch_size

    def _samples_per_rank(self) -> int:
        """Samples of an epoch on each rank, as `streaming.base.partition` divides them."""
        world = self._parallel_rank_world
        canonical = self.num_canonical_nodes or world.num_nodes * (64 if self.shuffle_algo in ("py1s", "py2s") else 1)
        a_canonical_node = ceil(self.epoch_size / canonical)
        if canonical < world.num_nodes:
            nodes_each = world.num_nodes // canonical
            a_canonical_node = ceil(a_canonical_node / nodes_each) * nodes_each
        return ceil(canonical * a_canonical_node // world.num_nodes / world.ranks_per_node)

    def __iter__(self) -> Iterator[Any]:
        """The batches of the next epoch, or of the rest of one after `load_state_dict`."""
        sample_ids = self._begin_epoch()
        this_epoch = self._epochs_begun
        batches: Iterator[Batch] = self._gathered(sample_ids)
        if self.device is not None:
            batches = on_device(batches, self.device)
        for batch in batches:
            if this_epoch != self._epochs_begun:
                raise RuntimeError("another epoch of this dataset was begun: one can be iterated at a time")
            features = features_of(batch)
            self._samples_yielded += len(features)
            if self.normalize is not None:
                normalize_in_place(features, self._statistics)
            yield batch

    def state_dict(self, num_samples: int | None = None, from_beginning: bool = False) -> dict[str, Any]:
        """Where the epoch is, as JSON values for `load_state_dict`.

        Args:
            num_samples: samples yielded on all ranks; None: as counted by this dataset, which it can where it is
                iterated in this process. With DataLoader workers use `streaming.StreamingDataLoader`, which counts.
            from_beginning: whether `num_samples` counts from the epoch's first sample or from where it was resumed.
        """
        if num_samples is None:
            if self.next_epoch != self._next_epoch_here:
                raise ValueError(
                    "this dataset is iterated by DataLoader workers, which are ahead of the training loop: use "
                    "streaming.StreamingDataLoader, whose state_dict counts what it has yielded, or pass num_samples"
                )
            num_samples = self._samples_yielded * self._parallel_rank_world.num_ranks
            from_beginning = False
        state = super().state_dict(num_samples, from_beginning)
        # Before the first epoch it says −1.
        return {**state, "epoch": max(0, state["epoch"]), "index": self.stream.index_digest}

    def load_state_dict(self, obj: dict[str, Any]) -> None:
        """Continues, at the next `iter`, where the state says; one of a stock StreamingDataset will do.

        The number of ranks may be another one; the order is the same as long as ranks × batch_size is.

        Raises LoaderError when the state belongs to another publication of the dataset.
        """
        if obj.get("index", self.stream.index_digest) != self.stream.index_digest:
            raise LoaderError(
                f"the state is of another publication of {self.stream.published.uri}: its samples are not these. "
                "Start the epoch anew, or put the former index.json back"
            )
        super().load_state_dict(obj)
        self._held.insert(0, self._resume_shm)
        # Otherwise a state of an epoch that this process has already begun would be taken for stale.
        self.next_epoch = self._next_epoch_here = obj["epoch"]
        self._samples_yielded = 0

    def _resume(self, world: World, epoch: int) -> tuple[int, int]:
        """As mosaicml-streaming's, which leaves the memory of a loaded state open every time that it looks there."""
        with remembered(streaming_dataset) as opened:
            try:
                return super()._resume(world, epoch)
            finally:
                let_go(opened)

    def get_item(self, sample_id: int, retry: int = 7) -> dict[str, Any]:
        """One sample as a dictionary of its columns, as mosaicml-streaming has it."""
        shard_id, number = self.spanner[sample_id]
        self._open_shard(int(shard_id), retry)
        return self.shards[shard_id][number]

    def prepare_shard(self, shard_id: int, blocking: bool = True) -> None:
        """Fetches a shard into the cache unless it is there, and makes room for it.

        As mosaicml-streaming's, but a failure or a killed process leaves the shard to the next one who wants it, room
        is reserved before it is taken, and waiting for another process ends.
        """
        shard = self.shards[shard_id]
        size = shard.get_raw_size()
        # Another process takes at most as long as this one would; and again, if it gives up.
        deadline = time.monotonic() + 2 * (2 + self.stream.published.retries) * self.stream.published.longest_read
        while True:
            if self._shard_states[shard_id] == _ShardState.LOCAL:
                return
            with FileLock(self._cache_filelock_path):
                if self._reserve(shard_id, size):
                    break
            if not blocking:
                return
            if time.monotonic() > deadline:
                raise LoaderError(
                    f"{self.stream.raw_path(shard)}, or one that has to make room for it, is being fetched by another "
                    "process of this job, which does not come to an end: is it stopped? Start the job again"
                )
            if given_up().wait(TICK):
                raise LoaderError(f"{self.stream.raw_path(shard)}: given up, with the epoch that wanted it")
        prepared = False
        try:
            self.stream.prepare_shard(shard)
            prepared = True
        finally:
            with FileLock(self._cache_filelock_path):
                self._shard_access_times[shard_id] = time.time_ns()
                self._shard_states[shard_id] = _ShardState.LOCAL if prepared else _ShardState.REMOTE
                self.cache_usage -= 0 if prepared else size

    def _reserve(self, shard_id: int, size: int) -> bool:
        """Takes on a shard and its room, if both can be had now; the caller holds the cache's lock."""
        if self._shard_states[shard_id] == _ShardState.REMOTE:
            if not self._make_room(size):
                return False
            self.cache_usage += size
        elif self._shard_states[shard_id] != _ShardState.PREPARING or self._is_at_it(shard_id):
            return False
        # Its room is reserved already if it was a killed process's. Of a shard that is not there yet there is no time
        # of access; and the process may be killed in between these two lines.
        self._shard_access_times[shard_id] = os.getpid()
        self._shard_states[shard_id] = _ShardState.PREPARING
        return True

    def _is_at_it(self, shard_id: int) -> bool:
        """Whether the process that took a shard on is still there.

        Not known where another has meanwhile written a time, having used the shard before it was evicted: then two
        fetch it, and either may be the last to publish it.
        """
        process = int(self._shard_access_times[shard_id])
        return process <= _LARGEST_PROCESS and is_alive(process)

    def _begin_epoch(self) -> NDArray[np.unsignedinteger]:
        """This process's samples of the epoch, in order."""
        if get_worker_info() is not None:
            check_worker(self.device, pin_memory=self.pin_memory)
        elif not self._finalizer.alive:
            raise ValueError("this dataset is closed")
        self._unique_worker_world = self._unique_rank_world.detect_workers()
        self._parallel_worker_world = self._parallel_rank_world.detect_workers()
        self._epochs_begun += 1
        self._samples_yielded = 0
        worker = get_worker_info()
        # A DataLoader draws a seed for each start of its workers.
        start = (0 if worker is None else worker.seed - worker.id, self._epochs_begun)
        self._shared_barrier.take_place(self._unique_worker_world, start, is_worker=worker is not None)
        epoch, sample_in_epoch = self._resume_incr_epoch()
        self._next_epoch_here = epoch + 1
        return self._share_of(epoch, sample_in_epoch)

    def _share_of(self, epoch: int, sample_in_epoch: int) -> NDArray[np.unsignedinteger]:
        """This process's samples of an epoch from there on, in order."""
        # A year's samples are 0.9 GB as int64.
        kind = np.dtype(np.uint32 if self.num_samples < np.iinfo(np.uint32).max else np.uint64)
        local, world = self._unique_worker_world, self._parallel_worker_world

        def order() -> NDArray[np.unsignedinteger]:
            if is_plain(self):
                return epoch_order(self, world, epoch, sample_in_epoch, kind)
            return generate_work(self.batching_method, self, world, epoch, sample_in_epoch).astype(kind)

        return own_share(
            (world.node, world.rank_of_node, world.worker_of_rank),
            order if local.is_local_leader else None,
            _get_path(self._shm_prefix_int, EPOCH_DATA),
            (lambda: self._shared_barrier(local.workers_per_node)) if local.workers_per_node > 1 else None,
            kind,
        )

    def _gathered(self, sample_ids: NDArray[np.unsignedinteger]) -> Iterator[Batch]:
        threads = max(2, self.threads // self._unique_worker_world.workers_per_node)
        ahead = 2 * threads
        if self.cache_limit:
            share = int(self.cache_limit) // self._unique_worker_world.workers_per_node
            ahead = max(1, min(ahead, share // (2 * self.max_shard_size_across_all_streams)))
            threads = min(threads, ahead)
        shards = OpenShards(self._open_shard, self._is_cached, threads=threads, ahead=ahead)
        return gathered(
            sample_ids,
            np.append(self.sample_offset_per_shard, self.num_samples),
            shards,
            batch_size=self._batch,
            drop_last=self.drop_last,
            provenance=self.provenance,
            pin_memory=self.pin_memory,
            on_use=self._touch,
        )

    def _open_shard(self, shard_id: int, retry: int = 7) -> ShardRows:
        """Maps a shard, prepared if need be."""
        shard = self.shards[shard_id]
        for _ in range(1 + retry):
            self.prepare_shard(shard_id)
            try:
                rows = self.stream.open_rows(shard)
            except FileNotFoundError:
                # Gone since, by another job's cache_limit or somebody's hand; or written to.
                self._forget(shard_id)
                continue
            if self._window_len is None:
                self._window_len = _WINDOW_LEN if rows.window_len == _WINDOW_LEN else self._stated_window_len()
            if rows.window_len != self._window_len:
                raise LoaderError(
                    f"{self.stream.raw_path(shard)} holds windows of {rows.window_len} positions; "
                    f"expected are {self._window_len}. If they are float32, give window_len={rows.window_len}"
                )
            return rows
        raise LoaderError(
            f"{self.stream.raw_path(shard)} was removed {1 + retry} times before it could be read: "
            "raise cache_limit, also of other jobs over this folder"
        )

    def _is_cached(self, shard_id: int) -> bool:
        return self._shard_states[shard_id] == _ShardState.LOCAL

    def _touch(self, shard_ids: set[int]) -> None:
        """Notes that shards were used, for the choice of which to evict."""
        if self.cache_limit:
            self._shard_access_times.numpy()[list(shard_ids)] = time.time_ns()

    def _forget(self, shard_id: int) -> None:
        with FileLock(self._cache_filelock_path):
            if self._shard_states[shard_id] == _ShardState.LOCAL:
                self._shard_states[shard_id] = _ShardState.REMOTE
                self.cache_usage -= self.shards[shard_id].get_raw_size()

    def _make_room(self, size: int) -> bool:
        """Evicts the least recently used shards until `size` bytes fit; the caller holds the cache's lock.

        Returns whether they do. If not, those who are fetching shards will soon have some to evict.
        """
        while self.cache_limit and self.cache_usage + size > int(self.cache_limit):
            states, times = self._shard_states.numpy(), self._shard_access_times.numpy()
            there = np.flatnonzero(states == _ShardState.LOCAL)
            if not len(there):
                if (states == _ShardState.PREPARING).any():
                    return False
                raise LoaderError(
                    f"cache_limit={self.cache_limit} leaves no room for a shard of {size:,} bytes beside the index: "
                    "raise it"
                )
            coldest = int(there[np.argmin(times[there])])
            states[coldest] = _ShardState.REMOTE
            self.cache_usage -= self.shards[coldest].get_raw_size()
            self.stream.raw_path(self.shards[coldest]).unlink(missing_ok=True)
        return True

    def _stated_window_len(self) -> int:
        """Positions of a window as the dataset says, or as it must be where it says nothing."""
        try:
            statistics = json.loads(self.stream.published.read(STATISTICS_FILE))
            return int(statistics["duration_seconds"]["window"]["positions"])
        except (FileNotFoundError, KeyError):
            return _WINDOW_LEN

    def _read_statistics(self) -> dict[str, Any]:
        try:
            statistics = json.loads(self.stream.published.read(STATISTICS_FILE))
        except FileNotFoundError:
            raise LoaderError(
                f"{self.stream.published.uri} has no {STATISTICS_FILE}: materialize training_dataset, "
                "or normalize='ranges'"
            ) from None
        if statistics.get("index", self.stream.index_digest) != self.stream.index_digest:
            raise LoaderError(
                f"{self.stream.published.uri}/{STATISTICS_FILE} is of another {INDEX_FILE} than the one beside it: a "
                "publication is going on or was cut off. Start again once training_dataset is materialized"
            )
        return statistics


def _release(process: int, memories: list[SharedMemory], prefix: int | None) -> None:
    """What a dataset holds, in the process that made it; `prefix`: of the leader."""
    if os.getpid() != process:
        return
    # The locals are the first that a job makes, and the last that it removes.
    let_go(memories)
    if prefix is not None:
        disown(prefix)


def _check_options(options: Mapping[str, Any], *, batch_size: int, threads: int | None, window_len: int | None) -> None:
    for name in options:
        if name not in _STREAMING_OPTIONS:
            instead = _INSTEAD.get(name, f"of mosaicml-streaming's there are {', '.join(_STREAMING_OPTIONS)}")
            raise TypeError(f"AISMDSDataset has no option {name}: {instead}")
    if (method := options.get("batching_method", "random")) != "random":
        raise ValueError(f"batching_method is {method!r}; over one dataset only 'random' delivers every sample")
    for name, value in {"batch_size": batch_size, "threads": threads, "window_len": window_len}.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")


def _place(name: str, path: str | PathLike[str]) -> str:
    if not fspath(path):
        raise ValueError(f"{name} is empty; it must be a folder" + (" or an address" if name == "remote" else ""))
    return fspath(path)
