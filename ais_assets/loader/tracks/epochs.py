"""An epoch as batches: who yields which of its places, and where it is gone on with.

What a sample is, a subclass says; here an epoch is a number of places, 0 to n − 1. A step is a batch of every rank: the
next ranks × batch_size places, of which each rank has its stretch. So the order of the places, and what each step
holds, is the same for any number of ranks as long as ranks × batch_size is, and for any number of DataLoader workers,
each of which has every so-manieth step.

Every place is yielded once. Where the places do not divide into whole steps, the last step is smaller, and its places
are dealt out evenly; where they are fewer than the ranks, the last two steps share theirs. So every rank has as many
batches as any other, as training in step needs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

import torch
from torch.utils.data import get_worker_info

from ais_assets.loader.batch_dataset import BatchDataset
from ais_assets.loader.device import Batch
from ais_assets.loader.errors import LoaderError
from ais_assets.loader.options import check_positive
from ais_assets.loader.tracks.ahead import ahead
from ais_assets.machine import own_temporary_folder, usable_cores
from ais_assets.store.file_locks import exclusively

MOST_THREADS: Final = 8
_AT_ONCE: Final = 128
"""Samples of the batches that are made together."""
_NEXT, _CURRENT, _DONE, _RESUMED, _SEED, _BEGUN, _BY_WORKERS = range(7)
"""Of the numbers that a rank's processes share: the next epoch; the one that goes on, and how many of its places were
yielded before; how many of the next one's were; whose start it is, by its DataLoader's seed and the worker's count; and
whether DataLoader workers iterate."""


class Steps:
    """The steps of an epoch, or of what is left of it.

    Args:
        places: of the epoch.
        done: yielded before, on all ranks.
        ranks: their number.
        batch_size: of each rank.
        drop_last: leave out the last step if it is smaller.

    Raises ValueError where the places cannot be dealt out so that each rank has as many batches as any other.
    """

    def __init__(self, places: int, done: int, *, ranks: int, batch_size: int, drop_last: bool) -> None:
        self._done = done
        self._step = ranks * batch_size
        self._ranks = ranks
        full, rest = divmod(max(0, places - done), self._step)
        self._tail: list[int] = []
        """Places of the last steps, where they are other than usual."""
        if rest and not drop_last:
            if rest < ranks and full:
                full -= 1
                rest += self._step
                self._tail = [-(-rest // 2), rest // 2]
            else:
                self._tail = [rest]
            if min(self._tail) < ranks:
                raise ValueError(
                    f"{places - done:,} samples cannot be dealt out to {ranks} ranks, each as many batches of at most "
                    f"{batch_size} and each sample once: take another batch_size or drop_last=True"
                )
        self._full = full
        self.count = full + len(self._tail)

    def bounds(self, step: int) -> tuple[int, int]:
        """The places of a step, the first and the last + 1."""
        beyond = step - self._full
        begin = self._done + min(step, self._full) * self._step + sum(self._tail[: max(0, beyond)])
        return begin, begin + (self._step if beyond < 0 else self._tail[beyond])

    def settled(self, reached: int) -> int:
        """The places that were yielded, where a rank counts so many by its own: its last batches may be 1 smaller."""
        usual = self._done + self._full * self._step
        if reached <= usual:
            return reached
        ends = [usual + sum(self._tail[:k]) for k in range(len(self._tail) + 1)]
        return min(ends, key=lambda end: abs(end - reached))

    def share(self, step: int, rank: int) -> tuple[int, int]:
        """Those of them that are a rank's."""
        first, last = self.bounds(step)
        places = last - first
        return first + places * rank // self._ranks, first + places * (rank + 1) // self._ranks


class EpochDataset(BatchDataset, ABC):
    """Batches of an epoch's places, for a plain loop or `DataLoader(dataset, batch_size=None)`.

    Args:
        places: of an epoch.
        batch_size, drop_last, device, pin_memory, threads: as `TrackWindowDataset` has them.

    Raises ValueError for an option that cannot be.
    """

    def __init__(
        self,
        places: int,
        *,
        batch_size: int,
        drop_last: bool,
        device: str | torch.device | None,
        pin_memory: bool,
        threads: int | None,
    ) -> None:
        super().__init__(batch_size=batch_size, drop_last=drop_last, device=device, pin_memory=pin_memory)
        check_positive(threads=threads)
        self.places = places
        self.threads = threads or min(MOST_THREADS, usable_cores())
        self._lock = own_temporary_folder() / "epoch.lock"
        self._steps(0)
        self._shared = torch.zeros(7, dtype=torch.int64).share_memory_()
        self._reached = 0
        self._closed = False

    @abstractmethod
    def batches_of(self, epoch: int, stretches: Sequence[tuple[int, int]]) -> Iterator[Batch]:
        """The samples at places of an epoch, from a first one to before a last one each; called in threads."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What a state must agree in to be gone on with here, as JSON values."""

    def finished(self, batch: Batch) -> Batch:
        """What is yielded: the batch, on its device, changed there if need be."""
        return batch

    def threads_ahead(self) -> int:
        """That make batches ahead of their use; 1: the caller's own."""
        return self.threads

    def copied_to(self) -> torch.device | None:
        """The device that batches are copied to, one ahead; None: they stay where they are made."""
        return self.device

    def __len__(self) -> int:
        """Batches of an epoch on this rank, whatever the number of DataLoader workers."""
        return self._steps(0).count

    def __iter__(self) -> Iterator[Any]:
        """The batches of the next epoch, or of the rest of one after `load_state_dict`."""
        self._check_may_begin()
        self._check_open()
        world = self._world.with_workers()
        epoch, done = self._begin_epoch()
        steps = self._steps(done)
        mine = range(world.worker_of_rank, steps.count, world.workers_per_rank)

        # Small batches some at a time: to hand one over from a thread takes as long as to cut twenty windows.
        at_once = max(1, _AT_ONCE // self.batch_size)

        def made(begin: int) -> Iterator[Batch]:
            return self.batches_of(epoch, [steps.share(step, world.rank) for step in mine[begin : begin + at_once]])

        threads = max(1, self.threads_ahead() // world.workers_per_rank)
        # A thread is through with what it hands over; the caller's own makes a batch when it is asked for.
        make = made if threads == 1 else lambda begin: _handed_over(deque(made(begin)))
        cut = chain.from_iterable(ahead(make, range(0, len(mine), at_once), threads))
        batches = self._delivered(cut, self.copied_to())
        for step, batch in zip(mine, batches, strict=True):
            self._check_open()
            self._reached = steps.bounds(step)[1]
            yield self.finished(batch)

    def close(self) -> None:
        """As `BatchDataset.close`."""
        self._closed = True

    def state_dict(self, num_samples: int | None = None, from_beginning: bool = False) -> dict[str, Any]:
        """Where the epoch is, as JSON values for `load_state_dict`, on any number of ranks.

        Args:
            num_samples: samples yielded on all ranks; None: as counted by this dataset, which it can where it is
                iterated in this process.
            from_beginning: whether `num_samples` counts from the epoch's first sample or from where it was resumed.

        Raises ValueError where DataLoader workers iterate and num_samples is None, or the dataset is closed.
        """
        self._check_open()
        shared = self._shared.tolist()
        if shared[_BEGUN] == 0 or shared[_RESUMED]:
            # Nothing was yielded of the epoch that comes next.
            epoch, reached = shared[_NEXT], shared[_RESUMED]
        else:
            epoch = shared[_CURRENT]
            if num_samples is not None:
                counted = num_samples + (0 if from_beginning else shared[_DONE])
                reached = self._steps(shared[_DONE]).settled(counted)
            elif shared[_BY_WORKERS]:
                raise ValueError(
                    "this dataset is iterated by DataLoader workers, which are ahead of the training loop: pass "
                    "num_samples, the samples that the loop has had on all ranks"
                )
            else:
                reached = self._reached
        if not self._left(reached):
            epoch, reached = epoch + 1, 0
        return {**self.identity(), "epoch": epoch, "sample_in_epoch": reached}

    def load_state_dict(self, obj: Mapping[str, Any]) -> None:
        """Continues, at the next `iter`, where the state says; the number of ranks may be another one.

        Raises LoaderError when the state is of other tracks, ValueError when it is of other windows of them or another
        order, or the dataset is closed.
        """
        self._check_open()
        for name, ours in self.identity().items():
            theirs = obj.get(name)
            if theirs == ours:
                continue
            if name == "index":
                raise LoaderError(
                    "the state is of another publication of these tracks: its samples are not these. Start the epoch "
                    "anew, or read the former publication"
                )
            raise ValueError(f"the state is of {name}={theirs!r}, this dataset of {ours!r}: start the epoch anew")
        epoch, reached = int(obj["epoch"]), int(obj["sample_in_epoch"])
        if not self._left(reached):
            epoch, reached = epoch + 1, 0
        self._steps(reached)
        self._shared[_NEXT], self._shared[_RESUMED] = epoch, reached
        self._shared[_SEED] = self._shared[_BEGUN] = self._shared[_BY_WORKERS] = 0

    def _left(self, reached: int) -> bool:
        return self._steps(reached).count > 0

    def _steps(self, done: int) -> Steps:
        world = self._world
        return Steps(self.places, done, ranks=world.ranks, batch_size=self.batch_size, drop_last=self.drop_last)

    def _begin_epoch(self) -> tuple[int, int]:
        """The epoch that begins, and how many of its places were yielded before, equal in all of a rank's workers."""
        worker = get_worker_info()
        self._epochs_begun += 1
        # A DataLoader draws a seed for each start of its workers; those that stay count their epochs.
        seed = 0 if worker is None else worker.seed - worker.id
        with exclusively(self._lock):
            shared = self._shared
            if worker is None or (int(shared[_SEED]), int(shared[_BEGUN])) != (seed, self._epochs_begun):
                shared[_CURRENT], shared[_DONE] = shared[_NEXT].item(), shared[_RESUMED].item()
                shared[_NEXT] += 1
                shared[_RESUMED] = 0
                shared[_SEED], shared[_BEGUN] = seed, self._epochs_begun
                shared[_BY_WORKERS] = worker is not None
            self._reached = int(shared[_DONE])
            return int(shared[_CURRENT]), int(shared[_DONE])

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("this dataset is closed: make it anew")


def _handed_over(batches: deque[Batch]) -> Iterator[Batch]:
    """Each in its turn, and then no more: what nobody has any more is memory for the next ones."""
    while batches:
        yield batches.popleft()
