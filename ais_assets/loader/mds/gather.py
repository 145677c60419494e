"""Batches gathered from memory-mapped shards, which threads open ahead of their first use."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Event
from typing import Final, cast

import numpy as np
import torch
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.loader.batch_memory import BatchMemory
from ais_assets.loader.device import Batch
from ais_assets.loader.mds.rows import ShardRows
from ais_assets.loader.remote import give_up_when

MOST_MAPPED: Final = 8192
"""Shards mapped at once by an epoch; Linux allows a process 65,530 maps by default."""
_LOOK_AHEAD: Final = 1 << 15
"""Samples whose shards are looked up at once."""


class OpenShards:
    """Shards mapped, and threads that fetch and map the next ones.

    Args:
        open_shard: fetches, checks and maps a shard; called in threads.
        is_cached: whether a shard is still in the cache: a map of one that is not keeps its disk space.
        threads: their number.
        ahead: shards opened or being opened that no batch has used yet, at most.
    """

    def __init__(
        self, open_shard: Callable[[int], ShardRows], is_cached: Callable[[int], bool], *, threads: int, ahead: int
    ) -> None:
        self._open_shard = open_shard
        self._is_cached = is_cached
        self._ahead = ahead
        self._closed = Event()
        self._pool = ThreadPoolExecutor(
            threads, thread_name_prefix="shards", initializer=give_up_when, initargs=(self._closed,)
        )
        self._wanted: deque[int] = deque()
        self._opening: dict[int, Future[ShardRows]] = {}
        self._mapped: dict[int, ShardRows] = {}

    def want(self, shards: Iterable[int]) -> None:
        """Opens these shards ahead, in this order, as far as that is allowed."""
        known = self._mapped.keys() | self._opening.keys() | set(self._wanted)
        self._wanted.extend(shard for shard in shards if shard not in known)
        self._start()

    def get(self, shards: set[int]) -> dict[int, ShardRows]:
        """All mapped shards, among them these; waits for them. Raises what opening one of them raised."""
        missing = shards - self._mapped.keys()
        if missing:
            # A shard that left the cache is mapped no longer than until the next one comes.
            for shard in [shard for shard in self._mapped if not self._is_cached(shard)]:
                del self._mapped[shard]
            missing = shards - self._mapped.keys()
        for shard in missing:
            if shard not in self._opening:
                self._submit(shard)
        opening = {self._opening[shard]: shard for shard in missing}
        while opening:
            done, _ = wait(opening, return_when=FIRST_COMPLETED)
            for future in done:
                # The first error is the one raised, not that of the first shard.
                shard = opening.pop(future)
                del self._opening[shard]
                self._mapped[shard] = future.result()
            self._start()
        if len(self._mapped) > MOST_MAPPED:
            # Shards are used for a stretch of an epoch, so the one mapped first is the one done with.
            for shard in [shard for shard in self._mapped if shard not in shards][: len(self._mapped) - MOST_MAPPED]:
                del self._mapped[shard]
        return self._mapped

    def close(self) -> None:
        """Ends the threads once the read that they are at is done or given up; waits for nothing."""
        self._closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> None:
        while self._wanted and len(self._opening) < self._ahead:
            shard = self._wanted.popleft()
            if shard not in self._mapped and shard not in self._opening:
                self._submit(shard)

    def _submit(self, shard: int) -> None:
        self._opening[shard] = self._pool.submit(self._open_shard, shard)


class _Provenance:
    """The columns of a stretch of samples, filled in shard by shard, at a shard's first use."""

    def __init__(self, of_shard: NDArray[np.int64], numbers: NDArray[np.int64]) -> None:
        order = np.argsort(of_shard, kind="stable")
        shards, firsts = np.unique(of_shard[order], return_index=True)
        self._places = dict(zip(shards.tolist(), np.split(order, firsts[1:]), strict=True))
        self._numbers = numbers
        self._columns: dict[str, NDArray[np.int64]] = {}

    def fill(self, shards: set[int], mapped: dict[int, ShardRows]) -> None:
        """Reads the samples of these shards, unless it has."""
        for shard in shards & self._places.keys():
            places = self._places.pop(shard)
            for name, values in mapped[shard].provenance.items():
                column = self._columns.setdefault(name, np.empty(len(self._numbers), np.int64))
                column[places] = _chosen(values, self._numbers[places])

    def tensors(self, first: int, last: int, memory: BatchMemory) -> dict[str, torch.Tensor]:
        """The columns of the samples from `first` to before `last`."""
        return {name: memory.column(column[first:last]) for name, column in self._columns.items()}


def _chosen(values: Sequence[NDArray[np.integer]], numbers: NDArray[np.int64]) -> NDArray[np.integer]:
    if isinstance(values, np.ndarray):
        return cast("NDArray[np.integer]", values)[numbers, 0]
    return np.array([values[number][0] for number in numbers.tolist()])


def gathered(
    sample_ids: NDArray[np.unsignedinteger],
    first_samples: NDArray[np.int64],
    shards: OpenShards,
    *,
    batch_size: int,
    drop_last: bool,
    provenance: bool,
    memory: BatchMemory,
    on_use: Callable[[set[int]], None],
) -> Iterator[Batch]:
    """Batches of samples, in their order.

    Args:
        sample_ids: (n,).
        first_samples: each shard's first sample, and the number of all samples: (shards + 1,).
        shards: to gather from; closed at the end.
        batch_size: samples a batch.
        drop_last: whether to drop the last batch if it is smaller.
        provenance: whether to yield the columns of `loader_rows.PROVENANCE` too.
        memory: to gather into.
        on_use: told of each batch's shards.
    """
    total = len(sample_ids) - (len(sample_ids) % batch_size if drop_last else 0)
    stretch = max(1, _LOOK_AHEAD // batch_size) * batch_size

    def located(begin: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        ids = sample_ids[begin : min(begin + stretch, total)].astype(np.int64)
        of_shard = np.searchsorted(first_samples, ids, side="right") - 1
        _, first_uses = np.unique(of_shard, return_index=True)
        shards.want(of_shard[np.sort(first_uses)].tolist())
        return of_shard, ids - first_samples[of_shard]

    try:
        upcoming = located(0)
        for begin in range(0, total, stretch):
            (of_shard, numbers), upcoming = upcoming, located(begin + stretch)
            columns = _Provenance(of_shard, numbers) if provenance else None
            for first in range(0, len(of_shard), batch_size):
                last = first + batch_size
                wanted = of_shard[first:last].tolist()
                distinct = set(wanted)
                mapped = shards.get(distinct)
                on_use(distinct)
                rows = [mapped[shard] for shard in wanted]
                features = _features(rows, numbers[first:last].tolist(), memory)
                if columns is None:
                    yield features
                else:
                    columns.fill(distinct, mapped)
                    yield features, columns.tensors(first, last, memory)
    finally:
        shards.close()


def _features(rows: list[ShardRows], numbers: list[int], memory: BatchMemory) -> torch.Tensor:
    """The windows with these numbers in these shards, as one batch."""
    features = memory.tensor((len(rows), rows[0].window_len, schema.FEATURE_COUNT), torch.float32)
    into = features.numpy().reshape(len(rows), -1).view(np.uint8)
    for place, (shard, number) in enumerate(zip(rows, numbers, strict=True)):
        into[place] = shard.features[number]
    return features
