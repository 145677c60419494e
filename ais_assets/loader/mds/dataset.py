"""Batches for training code: (B, window, 5) float32 from MDS shards.

The format, the order of the samples on any number of ranks and workers, and the states that training resumes from are
mosaicml-streaming's; they are read and made here, without it. Whole batches are gathered from memory-mapped shards,
which threads fetch ahead of their use and check against the published index; an epoch delivers every sample or raises.

    normalize             scaling, and division into input and target
    validation            the same interface over a Parquet file of windows
    gather                shards opened ahead, and batches gathered from them
    published, unpacking  shards fetched, checked, unpacked into the cache
    shard_cache           which shards the cache has, and which one has to go
    shard_index, rows     the index; a raw shard as arrays
    remote                reads that end
    order, epoch_order    the order of an epoch, and each process's part of it: partition, py1e
    world, start, barrier, job_memory, file_locks
                          processes of a job: who is who, how they start, meet, and share memory
    batch_dataset         what all datasets of batches have in common
    batch_memory, device  where batches are made; copies to the accelerator
    data_loader           a DataLoader that knows where it is
    mosaicml              what is mosaicml-streaming's after all, where it is asked for
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import ceil
from os import PathLike
from typing import Any, Final, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import get_worker_info

from ais_assets import schema
from ais_assets.loader.batch_dataset import BatchDataset
from ais_assets.loader.device import Batch, features_of
from ais_assets.loader.errors import LoaderError
from ais_assets.loader.mds.barrier import EpochBarrier
from ais_assets.loader.mds.epoch_order import epoch_order, own_share
from ais_assets.loader.mds.gather import OpenShards, gathered
from ais_assets.loader.mds.job_memory import (
    CANONICAL_NODES,
    FIRST_NODES,
    NEXT_EPOCH,
    RESUMED_EPOCH,
    RESUMED_SAMPLE,
    SEED,
    JobMemory,
    remove_leftovers,
)
from ais_assets.loader.mds.order import Order, first_order
from ais_assets.loader.mds.partition import samples_of_rank
from ais_assets.loader.mds.published import PublishedShards
from ais_assets.loader.mds.rows import ShardRows
from ais_assets.loader.mds.shard_cache import ShardCache, check_limit
from ais_assets.loader.mds.shard_index import INDEX_FILE
from ais_assets.loader.normalize import check_normalize, normalize_in_place
from ais_assets.loader.options import bytes_of, check_names, check_positive, place
from ais_assets.loader.start import told_to_all
from ais_assets.loader.world import check_not_shared_out_again
from ais_assets.machine import usable_cores

STATISTICS_FILE: Final = "statistics.json"
Normalization = Literal["ranges", "statistics"]
_WINDOW_LEN: Final = schema.SEQ_LEN + schema.MAX_HORIZON
_MOST_THREADS: Final = 8
_MOST_TWICE: Final = 1 << 16
"""Samples of an epoch that come twice: fewer than there are ranks and canonical nodes."""
_NEVER: Final = -1
"""The epoch of a state where none was loaded."""

_ORDER_OPTIONS: Final = (
    "epoch_size",
    "sampling_method",
    "sampling_granularity",
    "partition_algo",
    "num_canonical_nodes",
    "shuffle_algo",
    "shuffle_block_size",
    "batching_method",
    "replication",
)
"""Of `streaming.StreamingDataset`: which samples an epoch has, in which order, and on which rank."""
_OPTIONS: Final = (
    *("batch_size", "split", "shuffle", "seed", "cache_limit", "drop_last", "window_len", "provenance", "normalize"),
    *("device", "pin_memory", "threads", "download_retry", "download_timeout", "s3", "release", *_ORDER_OPTIONS),
)
_INSTEAD: Final = {
    "shuffle_seed": "use seed",
    "streams": "use remote and local: a loader is over one dataset",
    "stream_name": "use remote and local: a loader is over one dataset",
    "stream_config": "use download_retry, download_timeout and s3",
    "predownload": "use threads, which open shards ahead of their use",
    "validate_hash": "leave it out: every shard is checked against all that the index says",
    "keep_zip": "leave it out: shards are unpacked from memory, and only raw ones are kept",
    "allow_unsafe_types": "leave it out: nothing here is unpickled",
    "num_workers": "one process is enough; or give it to DataLoader(dataset, batch_size=None, num_workers=…)",
}
"""Options that others have, and what to use here."""


class AISMDSDataset(BatchDataset):
    """Training windows as batches, for a plain loop or `DataLoader(dataset, batch_size=None)`.

    One process is enough: batches are gathered at the speed of memory, and shards are fetched and unpacked in
    threads. Under `torchrun` each rank gets its share; ranks get equally many samples, for which a few come twice when
    they do not divide. On one rank an epoch is every sample exactly once, unless `epoch_size` asks for more or fewer.

    accelerate's `prepare()` takes the dataset itself as it is; a DataLoader over it, which it would share out among
    the ranks once more, is refused when it is iterated.

    Args:
        remote: the folder with the published index: a path, s3://bucket/prefix/mds, or another address that
            mosaicml-streaming knows, if that is installed. None: `local` is the dataset itself.
        local: a cache folder; jobs may share it.
        batch_size: windows a batch, on each rank.
        release: the one to read, by its id; None: the current one.
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
        s3: settings where the standard AWS ones are not enough: endpoint_url, region_name, profile_name,
            requester_pays, anonymous; what is not given is as the variables AIS_S3_* say.
        options: of `streaming.StreamingDataset`, as far as they say which samples an epoch has and in which order:
            epoch_size, sampling_method, sampling_granularity, partition_algo, num_canonical_nodes, shuffle_algo,
            shuffle_block_size, batching_method ("random"), replication. An epoch_size, or a shuffle_algo other than
            py1e, needs mosaicml-streaming.

    Yields:
        torch.float32 tensors (batch_size, window, 5); see `schema.FEATURES`.

    Raises:
        ValueError: an option cannot be; or the dataset is closed.
        TypeError: there is no such option; the message says what was probably meant.
        LoaderError: at once, when the index cannot be had, or there is no such release; while iterating, when a shard
            cannot be had or is damaged.
    """

    def __init__(
        self,
        remote: str | PathLike[str] | None,
        local: str | PathLike[str],
        batch_size: int = 64,
        *,
        release: str | None = None,
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
        s3: Mapping[str, str | bool] | None = None,
        **options: Any,
    ) -> None:
        check_names("AISMDSDataset", options, _OPTIONS, _INSTEAD)
        super().__init__(batch_size=batch_size, drop_last=drop_last, device=device, pin_memory=pin_memory)
        check_positive(threads=threads, window_len=window_len)
        check_normalize(normalize, get_args(Normalization))
        self.provenance = provenance
        self.normalize = normalize
        self.threads = threads or min(_MOST_THREADS, usable_cores())
        limit = None if cache_limit is None else bytes_of("cache_limit", cache_limit)
        self._published = PublishedShards(
            None if remote is None else place("remote", remote),
            place("local", local),
            split,
            retries=download_retry,
            timeout=download_timeout,
            s3=s3,
            release=release,
        )
        check_limit(self._published, limit)
        samples = np.array([shard.samples for shard in self._published.shards], np.int64)
        self.replication = options.pop("replication", None) or 1
        self._sharing = self._world.replicated(self.replication)
        self._order = first_order(samples, self._sharing, batch_size, shuffle=shuffle, seed=seed, **options)
        self._first_samples = np.append(0, samples.cumsum())
        self._memory = self._shared_memory(limit)
        self._cache = ShardCache(self._published, self._memory, limit)
        self._barrier = EpochBarrier(f"{self._memory.folder}/barrier")
        self._statistics = normalize if isinstance(normalize, Mapping) else None
        if normalize == "statistics":
            self._statistics = self._read_statistics()
        self._window_len = window_len
        self._samples_yielded = 0
        # What next_epoch is as long as no DataLoader worker begins one.
        self._next_epoch_here = 0

    def _shared_memory(self, limit: int | None) -> JobMemory:
        """The memory of this machine's processes, set up by the first of them, which is done when this returns."""
        memory = self._new_memory(limit) if self._world.leads_node else None
        digest = int.from_bytes(bytes.fromhex(self._published.index_digest)[:8], "little", signed=True)
        told = told_to_all(self._world, (digest, 0 if memory is None else memory.name))
        if any(other != digest for other, _ in told):
            raise LoaderError(
                f"{self._published.remote.uri} was published anew while this job's ranks were starting: "
                "start the job again"
            )
        leader = self._world.node * self._world.ranks_per_node
        return memory or JobMemory(len(self._published.shards), told[leader][1])

    def _new_memory(self, limit: int | None) -> JobMemory:
        remove_leftovers()
        memory = JobMemory(len(self._published.shards))
        ShardCache(self._published, memory, limit).set_up()
        memory.numbers[[NEXT_EPOCH, RESUMED_EPOCH, RESUMED_SAMPLE]] = 0, _NEVER, 0
        memory.numbers[[CANONICAL_NODES, SEED, FIRST_NODES]] = self._order.canonical_nodes, self._order.seed, 0
        return memory

    def close(self) -> None:
        """Gives the dataset's shared memory and file descriptors back; it cannot be used afterwards.

        Otherwise that happens when the dataset is forgotten.
        """
        self._memory.close()

    def __getstate__(self) -> dict[str, Any]:
        """For spawned DataLoader workers. Raises ValueError when the dataset is closed."""
        check_not_shared_out_again(self._world)
        return self.__dict__.copy()

    def __len__(self) -> int:
        """Batches of an epoch on this rank, whatever the number of DataLoader workers."""
        batches = self._samples_of_rank / self.batch_size
        return int(batches) if self.drop_last else ceil(batches)

    @property
    def release(self) -> str | None:
        """Of the dataset: a digest of all that it was made from; None where its index says none."""
        return self._published.release

    @property
    def num_samples(self) -> int:
        """Windows of the dataset."""
        return int(self._first_samples[-1])

    @property
    def next_epoch(self) -> int:
        """The number of the epoch that the next `iter` begins, or goes on with. Raises ValueError when closed."""
        return int(self._memory.numbers[NEXT_EPOCH])

    @property
    def _samples_of_rank(self) -> int:
        """Samples of an epoch on each rank."""
        order = self._order_now()
        return samples_of_rank(order.epoch_size, self._sharing, order.canonical_nodes, order.dealt_first)

    def _order_now(self) -> Order:
        """The order's rule, which a state that was loaded has changed for all of the job's processes."""
        if not self._memory.is_open:
            return self._order
        numbers = self._memory.numbers
        return self._order.resumed(
            canonical_nodes=int(numbers[CANONICAL_NODES]),
            seed=int(numbers[SEED]),
            first_nodes=int(numbers[FIRST_NODES]) or None,
        )

    def __iter__(self) -> Iterator[Any]:
        """The batches of the next epoch, or of the rest of one after `load_state_dict`."""
        sample_ids = self._begin_epoch()
        for batch in self._delivered(self._gathered(sample_ids), self.device):
            features = features_of(batch)
            self._samples_yielded += len(features)
            if self.normalize is not None:
                normalize_in_place(features, self._statistics)
            yield batch

    def __getitem__(self, number: int) -> dict[str, Any]:
        """One sample as a dictionary of its columns, as mosaicml-streaming's reader has it.

        Raises IndexError when there is no such sample; negative numbers count from the end.
        """
        if not -self.num_samples <= number < self.num_samples:
            raise IndexError(f"there is no sample {number} of {self.num_samples:,}")
        number %= self.num_samples
        shard = int(np.searchsorted(self._first_samples, number, side="right")) - 1
        return self._open_shard(shard).sample(number - int(self._first_samples[shard]))

    def state_dict(self, num_samples: int | None = None, from_beginning: bool = False) -> dict[str, Any]:
        """Where the epoch is, as JSON values for `load_state_dict`, here or of a `streaming.StreamingDataset`.

        At an epoch's end it is the beginning of the next.

        Args:
            num_samples: samples yielded on all ranks; None: as counted by this dataset, which it can where it is
                iterated in this process. With DataLoader workers use `ResumableDataLoader`, which counts.
            from_beginning: whether `num_samples` counts from the epoch's first sample or from where it was resumed.
        """
        if num_samples is None:
            if self.next_epoch != self._next_epoch_here:
                raise ValueError(
                    "this dataset is iterated by DataLoader workers, which are ahead of the training loop: use "
                    "ResumableDataLoader, whose state_dict counts what it has yielded, or pass num_samples"
                )
            num_samples = self._samples_yielded * self._sharing.ranks
            from_beginning = False
        epoch, offset = self._begun_or_loaded(self.next_epoch - 1)
        # Before the first epoch it is −1.
        epoch, sample = self._not_at_an_end(max(0, epoch), num_samples + (0 if from_beginning else offset))
        order = self._order_now()
        return {
            "epoch": epoch,
            "sample_in_epoch": sample,
            "num_canonical_nodes": order.canonical_nodes,
            "shuffle_seed": order.seed,
            "initial_physical_nodes": order.first_nodes or self._sharing.nodes,
            "index": self._published.index_digest,
        }

    def load_state_dict(self, obj: dict[str, Any]) -> None:
        """Continues, at the next `iter`, where the state says; one of a `streaming.StreamingDataset` will do.

        The number of ranks may be another one; the order is the same as long as ranks × batch_size is.

        Raises LoaderError when the state belongs to another publication of the dataset, ValueError when it is none.
        """
        if obj.get("index", self._published.index_digest) != self._published.index_digest:
            raise LoaderError(
                f"the state is of another publication of {self._published.remote.uri}: its samples are not these. "
                "Start the epoch anew, or put the former index.json back"
            )
        try:
            epoch, sample = int(obj["epoch"]), int(obj["sample_in_epoch"])
            order = int(obj["num_canonical_nodes"] or self._order.canonical_nodes), int(obj["shuffle_seed"])
        except KeyError as error:
            raise ValueError(f"this is no state of a dataset: it has no {error}, but {', '.join(obj)}") from error
        if epoch < 0 or not 0 <= sample <= self._order.epoch_size + _MOST_TWICE:
            raise ValueError(
                f"the state is at sample {sample:,} of epoch {epoch}, and an epoch has {self._order.epoch_size:,} "
                "samples: it is of another dataset"
            )
        numbers = self._memory.numbers
        numbers[[CANONICAL_NODES, SEED, FIRST_NODES]] = *order, obj.get("initial_physical_nodes") or 0
        epoch, sample = self._not_at_an_end(epoch, sample)
        numbers[[RESUMED_EPOCH, RESUMED_SAMPLE]] = epoch, sample
        numbers[NEXT_EPOCH] = self._next_epoch_here = epoch
        self._samples_yielded = 0

    def _not_at_an_end(self, epoch: int, sample_in_epoch: int) -> tuple[int, int]:
        """The same place, or the beginning of the next epoch where no batch of this one is left."""
        left = self._samples_of_rank - sample_in_epoch // self._sharing.ranks
        return (epoch + 1, 0) if left < (self.batch_size if self.drop_last else 1) else (epoch, sample_in_epoch)

    def _begun_or_loaded(self, epoch: int) -> tuple[int, int]:
        """The epoch that was begun, or that of a state that was loaded since, and the sample that it went on at."""
        loaded = int(self._memory.numbers[RESUMED_EPOCH])
        if loaded != _NEVER and loaded >= epoch:
            return loaded, int(self._memory.numbers[RESUMED_SAMPLE])
        return epoch, 0

    def _begin_epoch(self) -> NDArray[np.unsignedinteger]:
        """This process's samples of the epoch, in order."""
        self._check_may_begin()
        worker = get_worker_info()
        world = self._world.with_workers()
        epoch, sample_in_epoch = self._begun_or_loaded(self.next_epoch)
        self._epochs_begun += 1
        self._samples_yielded = 0
        # A DataLoader draws a seed for each start of its workers.
        start = (0 if worker is None else worker.seed - worker.id, self._epochs_begun)
        self._barrier.take_place(world, start, is_worker=worker is not None)
        # All have read which epoch it is before the first sets the next.
        self._barrier(world.workers_per_node)
        if world.leads_node:
            self._memory.numbers[NEXT_EPOCH] = epoch + 1
        self._next_epoch_here = epoch + 1
        return self._share_of(epoch, sample_in_epoch)

    def _share_of(self, epoch: int, sample_in_epoch: int) -> NDArray[np.unsignedinteger]:
        """This process's samples of an epoch from there on, in order."""
        local, sharing = self._world.with_workers(), self._sharing.with_workers()
        order = self._order_now()
        return own_share(
            (sharing.node, sharing.rank_of_node, sharing.worker_of_rank),
            (lambda: epoch_order(order, sharing, epoch, sample_in_epoch)) if local.leads_node else None,
            self._memory.folder / "order",
            (lambda: self._barrier(local.workers_per_node)) if local.workers_per_node > 1 else None,
            order.kind,
        )

    def _gathered(self, sample_ids: NDArray[np.unsignedinteger]) -> Iterator[Batch]:
        processes = self._world.with_workers().workers_per_node
        threads = max(2, self.threads // processes)
        ahead = self._cache.ahead(threads, processes)
        return gathered(
            sample_ids,
            self._first_samples,
            OpenShards(self._open_shard, self._cache.has, threads=min(threads, ahead), ahead=ahead),
            batch_size=self.batch_size,
            drop_last=self.drop_last,
            provenance=self.provenance,
            memory=self._batch_memory,
            on_use=self._cache.used,
        )

    def _open_shard(self, number: int) -> ShardRows:
        """Maps a shard, fetched if need be. Raises LoaderError when it cannot be had, or its windows are too long."""
        rows = self._cache.open(number)
        if self._window_len is None:
            self._window_len = _WINDOW_LEN if rows.window_len == _WINDOW_LEN else self._stated_window_len()
        if rows.window_len != self._window_len:
            raise LoaderError(
                f"{self._published.raw_path(self._published.shards[number])} holds windows of {rows.window_len} "
                f"positions; expected are {self._window_len}. If they are float32, give window_len={rows.window_len}"
            )
        return rows

    def _stated_window_len(self) -> int:
        """Positions of a window as the dataset says, or as it must be where it says nothing."""
        try:
            statistics = json.loads(self._published.read_beside(STATISTICS_FILE))
            return int(statistics["duration_seconds"]["window"]["positions"])
        except (FileNotFoundError, KeyError):
            return _WINDOW_LEN

    def _read_statistics(self) -> dict[str, Any]:
        uri = self._published.remote.uri
        try:
            statistics = json.loads(self._published.read_beside(STATISTICS_FILE))
        except FileNotFoundError:
            raise LoaderError(
                f"{uri} has no {STATISTICS_FILE}: materialize training_dataset, or normalize='ranges'"
            ) from None
        if statistics.get("index", self._published.index_digest) != self._published.index_digest:
            raise LoaderError(
                f"{uri}/{STATISTICS_FILE} is of another {INDEX_FILE} than the one beside it: a "
                "publication is going on or was cut off. Start again once training_dataset is materialized"
            )
        return statistics
