"""Which shards a job has in its cache, by all of a machine's processes: fetched once, evicted where a limit is set."""

from __future__ import annotations

import os
import time
from enum import IntEnum
from typing import Final

import numpy as np

from ais_assets.loader.errors import LoaderError
from ais_assets.loader.mds.barrier import TICK_SECONDS
from ais_assets.loader.mds.job_memory import CACHE_BYTES, JobMemory
from ais_assets.loader.mds.published import PublishedShards
from ais_assets.loader.mds.rows import ShardRows
from ais_assets.loader.remote import given_up
from ais_assets.machine import is_alive

_LARGEST_PROCESS: Final = 1 << 22
"""Linux numbers processes up to this; a time in nanoseconds is more."""
_SMALLEST_LIMIT: Final = 4
"""Shards that a limit must leave room for: some are fetched while others are read."""
_ATTEMPTS: Final = 8
"""At reading a shard that another job evicts again and again."""


class ShardState(IntEnum):
    """Of a shard, in the job's memory."""

    REMOTE = 0
    PREPARING = 1
    LOCAL = 2


class ShardCache:
    """A job's shards in the cache.

    Args:
        published: where they come from.
        memory: what the machine's processes share.
        limit: bytes that the index and the raw shards may take; None: no limit.
    """

    def __init__(self, published: PublishedShards, memory: JobMemory, limit: int | None) -> None:
        self._published = published
        self._memory = memory
        self.limit = limit

    def set_up(self) -> None:
        """Notes what the cache has already, by one process of each machine before the others look."""
        there = self._published.set_up_cache(limited=self.limit is not None)
        used = sum(shard.raw.size for shard, is_there in zip(self._published.shards, there, strict=True) if is_there)
        self._memory.numbers[CACHE_BYTES] = self._published.index_bytes + used
        self._memory.shard_states[:] = np.where(there, ShardState.LOCAL, ShardState.REMOTE)
        self._memory.access_times[:] = time.time_ns()

    def ahead(self, threads: int, processes: int) -> int:
        """Shards that each of a machine's processes may be opening before it uses them."""
        ahead = 2 * threads
        if self.limit is not None:
            ahead = min(ahead, self.limit // processes // (2 * largest(self._published)))
        return max(1, ahead)

    def open(self, number: int) -> ShardRows:
        """Maps a shard, fetched if need be. Raises LoaderError when it cannot be had."""
        shard = self._published.shards[number]
        for _ in range(_ATTEMPTS):
            self._prepare(number)
            try:
                return self._published.open_rows(shard)
            except FileNotFoundError:
                # Gone since, by another job's cache_limit or somebody's hand; or written to.
                self._forget(number)
        raise LoaderError(
            f"{self._published.raw_path(shard)} was removed {_ATTEMPTS} times before it could be read: "
            "raise cache_limit, also of other jobs over this folder"
        )

    def has(self, number: int) -> bool:
        """Whether a shard is in the cache."""
        return self._memory.shard_states[number] == ShardState.LOCAL

    def used(self, numbers: set[int]) -> None:
        """Notes that shards were used, for the choice of which to evict."""
        if self.limit is not None:
            self._memory.access_times[list(numbers)] = time.time_ns()

    def _prepare(self, number: int) -> None:
        """Fetches a shard into the cache unless it is there, and makes room for it.

        A failure or a killed process leaves the shard to the next one who wants it, room is reserved before it is
        taken, and waiting for another process ends.
        """
        shard, states = self._published.shards[number], self._memory.shard_states
        # Another process takes at most as long as this one would; and again, if it gives up.
        remote = self._published.remote
        deadline = time.monotonic() + 2 * (2 + remote.retries) * remote.longest_read
        while True:
            if states[number] == ShardState.LOCAL:
                return
            with self._memory.changing():
                if self._reserve(number, shard.raw.size):
                    break
            if time.monotonic() > deadline:
                raise LoaderError(
                    f"{self._published.raw_path(shard)}, or one that has to make room for it, is being fetched by "
                    "another process of this job, which does not come to an end: is it stopped? Start the job again"
                )
            if given_up().wait(TICK_SECONDS):
                raise LoaderError(f"{self._published.raw_path(shard)}: given up, with the epoch that wanted it")
        prepared = False
        try:
            self._published.prepare(shard)
            prepared = True
        finally:
            with self._memory.changing():
                self._memory.access_times[number] = time.time_ns()
                states[number] = ShardState.LOCAL if prepared else ShardState.REMOTE
                self._memory.numbers[CACHE_BYTES] -= 0 if prepared else shard.raw.size

    def _reserve(self, number: int, size: int) -> bool:
        """Takes on a shard and its room, if both can be had now; the caller holds the memory's lock."""
        states = self._memory.shard_states
        if states[number] == ShardState.REMOTE:
            if not self._make_room(size):
                return False
            self._memory.numbers[CACHE_BYTES] += size
        elif states[number] != ShardState.PREPARING or self._is_at_it(number):
            return False
        # Its room is reserved already if it was a killed process's. Of a shard that is not there yet there is no time
        # of access; and the process may be killed in between these two lines.
        self._memory.access_times[number] = os.getpid()
        states[number] = ShardState.PREPARING
        return True

    def _is_at_it(self, number: int) -> bool:
        """Whether the process that took a shard on is still there.

        Not known where another has meanwhile written a time, having used the shard before it was evicted: then two
        fetch it, and either may be the last to publish it.
        """
        process = int(self._memory.access_times[number])
        return process <= _LARGEST_PROCESS and is_alive(process)

    def _make_room(self, size: int) -> bool:
        """Evicts the least recently used shards until `size` bytes fit; the caller holds the memory's lock.

        Returns whether they do. If not, those who are fetching shards will soon have some to evict.
        """
        numbers, states = self._memory.numbers, self._memory.shard_states
        while self.limit is not None and numbers[CACHE_BYTES] + size > self.limit:
            there = np.flatnonzero(states == ShardState.LOCAL)
            if not len(there):
                if (states == ShardState.PREPARING).any():
                    return False
                raise LoaderError(
                    f"cache_limit={self.limit} leaves no room for a shard of {size:,} bytes beside the index: raise it"
                )
            coldest = int(there[np.argmin(self._memory.access_times[there])])
            states[coldest] = ShardState.REMOTE
            shard = self._published.shards[coldest]
            numbers[CACHE_BYTES] -= shard.raw.size
            self._published.raw_path(shard).unlink(missing_ok=True)
        return True

    def _forget(self, number: int) -> None:
        with self._memory.changing():
            if self._memory.shard_states[number] == ShardState.LOCAL:
                self._memory.shard_states[number] = ShardState.REMOTE
                self._memory.numbers[CACHE_BYTES] -= self._published.shards[number].raw.size


def largest(published: PublishedShards) -> int:
    """Bytes of the largest raw shard."""
    return max(shard.raw.size for shard in published.shards)


def check_limit(published: PublishedShards, limit: int | None) -> None:
    """Raises ValueError for a limit that cannot be kept, or would delete the only copy."""
    if limit is None:
        return
    if published.in_place:
        raise ValueError(
            f"cache_limit would delete the only copy: {published.folder} is the dataset itself, not a cache of it"
        )
    least = published.index_bytes + _SMALLEST_LIMIT * largest(published)
    if limit < least:
        raise ValueError(
            f"cache_limit is {limit:,} bytes; it must be at least {least:,}: the index and {_SMALLEST_LIMIT} shards of "
            f"{largest(published):,} bytes"
        )
