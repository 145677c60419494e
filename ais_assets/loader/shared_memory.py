"""Shared memory and lock files that killed jobs leave behind.

mosaicml-streaming numbers its jobs on a machine by a prefix of the names of its shared memory and lock files. It
removes the memory at exit, so not after a kill, and never the lock files. Here a job holds a lock on an owner's file
for as long as one of its processes lives; whatever belongs to a prefix whose owner's lock can be taken is left behind.
Two jobs that start at the same moment could take the same number: they take turns.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, Final

from streaming.base.constant import BARRIER_FILELOCK, CACHE_FILELOCK, LOCALS, SHM_TO_CLEAN
from streaming.base.shared import SharedMemory as StreamingMemory

_OWNER: Final = "ais_loader_owner"
_MEMORY: Final = Path("/dev/shm")
"""Where Linux shows shared memory; elsewhere its names cannot be listed."""
_START_SECONDS: Final = 120.0
"""A start takes a second; of this many jobs at most one can be in the middle of its own."""
_TICK: Final = 0.02
_held: dict[int, tuple[int, int]] = {}
"""By the prefix that is this process's: the process that took it, as forked ones inherit them, and the descriptor."""


@contextmanager
def a_turn_to_start() -> Iterator[None]:
    """Lets no other job of this user take a prefix meanwhile. Raises TimeoutError when its turn does not come."""
    place = Path(tempfile.gettempdir()) / f"ais_loader_start_{os.getuid()}"
    deadline = time.monotonic() + _START_SECONDS
    with place.open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"another job has been starting for {_START_SECONDS:g} s and holds {place}: "
                        "is it stopped? End it, and start again"
                    ) from None
                time.sleep(_TICK)
        try:
            yield
        finally:
            # A process forked meanwhile has the file open, too.
            fcntl.flock(file, fcntl.LOCK_UN)


@contextmanager
def remembered(module: Any) -> Iterator[list[StreamingMemory]]:
    """What a module of mosaicml-streaming opens meanwhile: it leaves open what it only looks into."""
    opened: list[StreamingMemory] = []

    def open_memory(*words: Any, **options: Any) -> StreamingMemory:
        opened.append(StreamingMemory(*words, **options))
        return opened[-1]

    module.SharedMemory = open_memory
    try:
        yield opened
    finally:
        module.SharedMemory = StreamingMemory


def let_go(memories: list[StreamingMemory]) -> None:
    """Closes shared memory, and removes what was made here."""
    for memory in memories:
        atexit.unregister(memory.cleanup)
        memory.cleanup()


def own(prefix: int) -> None:
    """Marks the prefix as this process's, until it and the processes that it forks have ended."""
    place = _owner_file(prefix)
    unlocked = place.with_name(f"{place.name}.{os.getpid()}")
    descriptor = os.open(unlocked, os.O_WRONLY | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    # Locked before it has its name, so that no other process takes it for left behind.
    unlocked.replace(place)
    # The descriptor stays open, and so locked, in this process and in those that it forks.
    _held[prefix] = (os.getpid(), descriptor)


def disown(prefix: int) -> None:
    """Removes the files of this process's prefix, whose shared memory is removed already, and its lock."""
    process, descriptor = _held[prefix]
    if process != os.getpid():
        return
    del _held[prefix]
    # Without its locks the number is another job's to take, and the owner's file then that job's.
    _owner_file(prefix).unlink(missing_ok=True)
    _remove_locks(prefix)
    os.close(descriptor)


@atexit.register
def _leave() -> None:
    """Removes this process's files; mosaicml-streaming, registered later and so called earlier, its memory."""
    for prefix in list(_held):
        disown(prefix)


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
    _remove_orphans()
    return removed


def _remove_orphans() -> None:
    """Removes memory whose job is over: the first that a job makes, its `locals`, is the last that it removes.

    mosaicml-streaming's search for a free number takes one for free on account of some names and not of others, and
    would give two later jobs the same number because of it.
    """
    for name in SHM_TO_CLEAN:
        for place in _MEMORY.glob(f"{'[0-9]' * 6}_{name}") if name != LOCALS else ():
            if not place.with_name(f"{place.name[:6]}_{LOCALS}").exists():
                with suppress(FileNotFoundError, PermissionError):
                    place.unlink()


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
    _remove_locks(prefix)


def _remove_locks(prefix: int) -> None:
    for name in (BARRIER_FILELOCK, CACHE_FILELOCK):
        (Path(tempfile.gettempdir()) / f"{prefix:06}_{name}").unlink(missing_ok=True)
