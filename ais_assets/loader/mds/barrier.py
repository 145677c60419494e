"""Where a machine's processes of a job wait for one another at the start of an epoch.

A count of who comes would never come out even again after a start that was broken off, because a process was killed or
its DataLoader dropped. So each process has a place of its own, and a later start takes the places of one that was
broken off; and waiting ends.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ais_assets.loader.errors import LoaderError
from ais_assets.loader.world import World
from ais_assets.machine import is_alive
from ais_assets.store.file_locks import exclusively

TICK_SECONDS: Final = 0.007
"""Between two looks at whether others have come."""
_MOST_SECONDS: Final = 1800.0
"""As torch.distributed has it: one rank may validate or write a checkpoint while the others wait."""
_COLUMNS: Final = 4
"""Of the file: int64. The first row counts the meetings; a place's row has the last meeting that its process came to,
the process, and its start (two numbers)."""


class Place(NamedTuple):
    """Who a process is among those that meet.

    Attributes:
        number: of the process on its machine.
        of_rank: processes of each rank.
        start: what a rank's processes of one start have in common, and no others.
        parent: the process that ends this one with it, if there is such a one.
    """

    number: int
    of_rank: int
    start: tuple[int, int]
    parent: int | None


class EpochBarrier:
    """Lets a number of processes go on when all are there.

    Args:
        path: of a file that the processes share.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._place = Place(0, 1, (0, 0), None)

    def take_place(self, world: World, start: tuple[int, int], *, is_worker: bool) -> None:
        """Says who this process is, before it comes to an epoch's first meeting."""
        parent = os.getppid() if is_worker else None
        self._place = Place(world.worker_of_node, world.workers_per_rank, start, parent)

    def __call__(self, processes: int) -> None:
        """Waits until so many processes have come. Raises LoaderError when they do not, or the parent has ended."""
        if processes == 1:
            return
        # Held open: the first to go on may be the last to need the file, and remove it.
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._meet(descriptor, processes)
        finally:
            os.close(descriptor)

    def _meet(self, descriptor: int, processes: int) -> None:
        deadline = time.monotonic() + _MOST_SECONDS
        with self._rows(descriptor, processes) as rows:
            meeting = rows[0, 0] + 1
            rows[1 + self._place.number] = (meeting, os.getpid(), *self._place.start)
            if all(self._has_come(rows[1 + number], number, meeting) for number in range(processes)):
                rows[0, 0] = meeting
        while int.from_bytes(os.pread(descriptor, 8, 0), "little") < meeting:
            if self._place.parent is not None and os.getppid() != self._place.parent:
                raise LoaderError("the process that iterates this DataLoader worker's dataset has ended")
            if time.monotonic() > deadline:
                raise LoaderError(
                    f"not all of this machine's {processes} processes have begun the epoch within {_MOST_SECONDS:g} s: "
                    "has one ended, or is it stopped? Start the job again"
                )
            time.sleep(TICK_SECONDS)

    def _has_come(self, row: NDArray[np.int64], number: int, meeting: np.int64) -> bool:
        """Whether the place's process has come to this meeting, and not one of a start that was broken off."""
        if row[0] != meeting or not is_alive(int(row[1])):
            return False
        of_this_rank = number // self._place.of_rank == self._place.number // self._place.of_rank
        return not of_this_rank or tuple(row[2:].tolist()) == self._place.start

    @contextmanager
    def _rows(self, descriptor: int, processes: int) -> Iterator[NDArray[np.int64]]:
        """The file's rows, to be changed, with nobody else at them."""
        with exclusively(self._path):
            size = os.fstat(descriptor).st_size
            rows = np.zeros((max(1 + processes, size // (8 * _COLUMNS)), _COLUMNS), np.int64)
            stored = np.frombuffer(os.pread(descriptor, size, 0), np.int64)
            rows.reshape(-1)[: len(stored)] = stored
            yield rows
            os.pwrite(descriptor, rows.tobytes(), 0)
