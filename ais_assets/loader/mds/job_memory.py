"""What a job's processes on one machine share: where its epochs are, and which shards its cache has.

It is a folder of small files, mapped into memory, that the machine's first process makes. Each process holds a sign of
life in it, so a start of any job can remove what jobs that were killed have left.
"""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from ais_assets.loader.errors import LoaderError
from ais_assets.store.file_locks import exclusively, left_behind, sign_of_life

_SHARED_MEMORY: Final = Path("/dev/shm")
"""Where Linux has files in memory; elsewhere they are temporary ones."""
_PREFIX: Final = "ais_loader_"
_ALIVE, _STATE, _LOCK = "alive", "state", "lock"
NEXT_EPOCH, CACHE_BYTES, RESUMED_EPOCH, RESUMED_SAMPLE, CANONICAL_NODES, SEED, FIRST_NODES = range(7)
"""Numbers of a job: which epoch is the next to begin; bytes reserved in the cache; the epoch, and the sample in it on
all ranks, that the last state loaded said to go on at; and what the order goes by: see `order.Order`."""
_NUMBERS: Final = 7


class JobMemory:
    """A job's memory on a machine, from the first process or joined.

    It can be pickled for a spawned process of the same machine, which then joins it.

    Attributes:
        name: by which other processes of the machine join it.
        numbers: (7,) int64: see NEXT_EPOCH and the others.
        shard_states: (shards,) uint8.
        access_times: (shards,) int64.
        is_open: whether it can be used.

    Raises ValueError wherever it is used after `close`.
    """

    def __init__(self, shards: int, name: int | None = None) -> None:
        """Makes the memory, or joins the one of this name.

        Raises LoaderError when there is no room for it, or none of that name.
        """
        self._shards = shards
        if name is None:
            self.name, alive = _new(_NUMBERS * 8 + shards * 9)
        else:
            self.name, alive = name, _joined(name)
        self._map(alive)

    def _map(self, alive: int) -> None:
        whole = np.memmap(self.folder / _STATE, np.uint8, "r+").view(np.ndarray)
        head, times = 8 * _NUMBERS, 8 * self._shards
        self._numbers: NDArray[np.int64] = whole[:head].view(np.int64)
        self._access_times: NDArray[np.int64] = whole[head : head + times].view(np.int64)
        self._shard_states: NDArray[np.uint8] = whole[head + times :]
        self._finalizer = finalize(self, _leave, os.getpid(), alive, self.folder)
        self.is_open = True

    def __getstate__(self) -> dict[str, Any]:
        self._check_open()
        return {"name": self.name, "_shards": self._shards}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._map(_joined(self.name))

    @property
    def folder(self) -> Path:
        """Where the job's files are; others than those of this class may be there, too."""
        return _folder(self.name)

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The job's numbers."""
        self._check_open()
        return self._numbers

    @property
    def shard_states(self) -> NDArray[np.uint8]:
        """Whether each shard is in the cache: see `shard_cache.ShardState`."""
        self._check_open()
        return self._shard_states

    @property
    def access_times(self) -> NDArray[np.int64]:
        """When each shard was used last, Unix time in nanoseconds."""
        self._check_open()
        return self._access_times

    @property
    def lock_file(self) -> str:
        """For `exclusively`, around changes that must not be seen in part."""
        return f"{self.folder}/{_LOCK}"

    def changing(self) -> Any:
        """A context in which no other process or thread changes the memory."""
        self._check_open()
        return exclusively(self.lock_file)

    def close(self) -> None:
        """Gives the memory back: it is removed when the last of the machine's processes has left it."""
        self.is_open = False
        self._finalizer()

    def _check_open(self) -> None:
        if not self.is_open:
            raise ValueError("this dataset is closed")


def remove_leftovers() -> None:
    """Removes what ended jobs of this user have left behind."""
    for folder in sorted(_root().glob(f"{_PREFIX}*")):
        _remove_if_left(folder)
        # Of a process that was killed before it could give a sign of life; not empty, it is not ours to judge.
        with suppress(OSError):
            folder.rmdir()


def _root() -> Path:
    return _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())


def _folder(name: int) -> Path:
    return _root() / f"{_PREFIX}{name:015x}"


def _new(size: int) -> tuple[int, int]:
    """A new memory of so many bytes, zero; its name, and the descriptor of this process's sign of life."""
    while True:
        # Below 2^60: a name is told to other ranks as an int64.
        name = secrets.randbits(60)
        folder = _folder(name)
        try:
            folder.mkdir(mode=0o700)
            alive = sign_of_life(folder / _ALIVE, anew=True)
            if alive is None:
                # A job that started just then has taken the folder for left behind.
                continue
            with (folder / _STATE).open("wb") as file:
                os.truncate(file.fileno(), size)
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
            return name, alive
        except FileExistsError:
            continue
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise LoaderError(
                f"{folder} cannot be made, which the job's processes share ({error.strerror}): free some space there, "
                "or enlarge /dev/shm (docker run --shm-size, or an emptyDir of medium Memory)"
            ) from error


def _joined(name: int) -> int:
    alive = sign_of_life(_folder(name) / _ALIVE, anew=False)
    if alive is None:
        raise LoaderError(
            f"{_folder(name)} is gone, which the job's processes share: the dataset was closed, or is of a process "
            "that has ended. Make the dataset anew"
        )
    return alive


def _leave(process: int, alive: int, folder: Path) -> None:
    """Withdraws a process's sign of life, and removes the memory after the last one."""
    # A forked process inherits its parent's, and ends with it open.
    if os.getpid() == process:
        os.close(alive)
        if not _remove_if_left(folder):
            _left_to_others.add(folder)


_left_to_others: set[Path] = set()
"""Memory that this process has closed while others, as its workers, had not."""


@atexit.register
def _remove_what_others_left() -> None:
    for folder in _left_to_others:
        _remove_if_left(folder)


def _remove_if_left(folder: Path) -> bool:
    """Removes a memory that none of its processes uses any more; returns whether it is gone."""
    with left_behind(folder / _ALIVE) as ended:
        if ended:
            for file in folder.iterdir():
                if file.name != _ALIVE:
                    file.unlink(missing_ok=True)
            # The last, so that whoever is killed in between leaves what others can remove.
            (folder / _ALIVE).unlink(missing_ok=True)
            folder.rmdir()
    return ended or not folder.exists()
