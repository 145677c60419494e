"""Locks on files: who is at something, and whether whoever made a file still lives.

There are two ways to use them, and no third. `exclusively`: by one process or thread at a time, or `if_free`, by one
and else not at all. And a sign of life: whoever makes a file, or a folder by a file in it, holds a lock on it for as
long as it lives; a file whose lock can be taken was left behind (`left_behind`). The kernel takes locks back from
processes that are killed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_ASK_AGAIN_SECONDS: Final = 0.002


@contextmanager
def exclusively(path: str | Path, wait_seconds: float = 600.0) -> Iterator[None]:
    """Lets nobody else, in this process or another, be between the same lines meanwhile.

    The file is made where it is missing. Each use opens it anew: a forked process shares its parent's locks.

    Raises TimeoutError when another holds it for longer than this is willing to wait.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + wait_seconds
        while not _locked(descriptor):
            if time.monotonic() > deadline:
                held = f"another process has held it for over {wait_seconds:g} s: end that if it hangs"
                raise TimeoutError(errno.ETIMEDOUT, held, str(path))
            time.sleep(_ASK_AGAIN_SECONDS)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def if_free(path: str | Path) -> Iterator[bool]:
    """As `exclusively`, but without waiting: whether nobody else is there."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _locked(descriptor)
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sign_of_life(path: Path, *, anew: bool) -> int | None:
    """Locks a file for as long as the descriptor that is returned is open, here or in a forked process.

    Args:
        path: of the file; several processes may hold such a lock on it.
        anew: whether to make the file.

    Returns None where the file was taken for left behind and removed in between.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if anew else 0), 0o600)
    except FileNotFoundError:
        return None
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    if os.fstat(descriptor).st_nlink:
        return descriptor
    os.close(descriptor)
    return None


@contextmanager
def left_behind(path: Path) -> Iterator[bool]:
    """Whether whoever made this file has ended; if so, nobody else is told so within the context.

    Another user's file, and one on a disk that cannot be written, is somebody else's to remove.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        yield False
        return
    try:
        yield _locked(descriptor) and os.fstat(descriptor).st_nlink > 0
    finally:
        os.close(descriptor)
