"""Several files mapped into memory one behind the other, as one array."""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_longlong,
)
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_FAILED: Final = ctypes.c_void_p(-1).value
_NO_ACCESS: Final = 0
_FIXED: Final = 0x10
_NO_RESERVE: Final = 0x4000


class MappedPart(NamedTuple):
    """A file and the bytes that it has in the array, a whole number of pages; the file may be shorter by a hole."""

    path: Path
    size: int


def mapped_in_a_row(parts: Sequence[MappedPart], dtype: DTypeLike, width: int = 1) -> NDArray[Any]:
    """The parts' bytes as one read-only array (n,), or (n, width) for a width over 1.

    It takes address space, and memory only where it is read: pages of the files, which processes share. Python's own
    mmap keeps a file descriptor for each map, of which a process often has no more than 1,024; an epoch maps thousands.

    Raises FileNotFoundError where a file is missing, OSError where the system has no room for another map, ValueError
    where a file's size is not the part's.
    """
    total = sum(part.size for part in parts)
    kind = np.dtype(dtype)
    if not total:
        array = np.empty(0, kind)
        return array if width == 1 else array.reshape(0, width)
    address = _map(None, total, _NO_ACCESS, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE)
    held = (ctypes.c_uint8 * total).from_address(address)
    # Not at exit: a thread may still read.
    weakref.finalize(held, _libc.munmap, address, total).atexit = False
    at = address
    for part in parts:
        _map_file(part, at)
        at += part.size
    array = np.frombuffer(memoryview(held), kind)
    array.flags.writeable = False
    return array if width == 1 else array.reshape(-1, width)


def _map_file(part: MappedPart, address: int) -> None:
    if not part.size:
        return
    with part.path.open("rb") as file:
        found = os.fstat(file.fileno()).st_size
        if found != part.size:
            raise ValueError(f"{part.path} has {found:,} bytes; it must have {part.size:,}")
        _map(address, part.size, mmap.PROT_READ, mmap.MAP_SHARED | _FIXED, file=file)


def _map(address: int | None, size: int, protection: int, flags: int, *, file: BinaryIO | None = None) -> int:
    mapped = _libc.mmap(address, size, protection, flags, -1 if file is None else file.fileno(), 0)
    if mapped == _FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "memory" if file is None else file.name)
    return mapped
