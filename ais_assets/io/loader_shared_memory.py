"""Shared memory and lock files that killed jobs leave behind.

mosaicml-streaming numbers its jobs on a machine by a prefix of the names of its shared memory and lock files. It
removes the memory at exit, so not after a kill, and never the lock files. Here a job holds a lock on an owner's file
for as long as one of its processes lives; whatever belongs to a prefix whose owner's lock can be taken is left behind.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Final

from streaming.base.constant import BARRIER_FILELOCK, CACHE_FILELOCK, SHM_TO_CLEAN

_OWNER: Final = "ais_loader_owner"
_held: list[int] = []
"""Descriptors of this process's owner's files, open and so locked until it ends."""


def own(prefix: int) -> None:
    """Marks the prefix as this process's, until it and the processes that it forks have ended."""
    place = _owner_file(prefix)
    unlocked = place.with_name(f"{place.name}.{os.getpid()}")
    descriptor = os.open(unlocked, os.O_WRONLY | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    # Locked before it has its name, so that no other process takes it for left behind.
    unlocked.replace(place)
    _held.append(descriptor)


def remove_leftovers() -> list[int]:
    """Removes what ended jobs have left behind; returns their prefixes."""
    removed = []
    for place in sorted(Path(tempfile.gettempdir()).glob(f"[0-9]*_{_OWNER}")):
        prefix = int(place.name.partition("_")[0])
        try:
            with place.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(prefix)
                place.unlink(missing_ok=True)
        except (BlockingIOError, FileNotFoundError, PermissionError):
            # Its job lives, another process is removing it, or it is another user's.
            continue
        removed.append(prefix)
    return removed


def _owner_file(prefix: int) -> Path:
    return Path(tempfile.gettempdir()) / f"{prefix:06}_{_OWNER}"


def _remove(prefix: int) -> None:
    for name in SHM_TO_CLEAN:
        try:
            memory = SharedMemory(f"{prefix:06}_{name}")
        except FileNotFoundError:
            continue
        memory.close()
        memory.unlink()
    for name in (BARRIER_FILELOCK, CACHE_FILELOCK):
        (Path(tempfile.gettempdir()) / f"{prefix:06}_{name}").unlink(missing_ok=True)
