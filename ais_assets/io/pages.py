"""The encodings of Parquet's data pages, compiled: deltas, split byte streams, dictionary indices, levels.

https://parquet.apache.org/docs/file-format/data-pages/encodings/
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

BLOCK: Final = 128
"""Values of a block of deltas, as most writers have it."""
MINIBLOCK: Final = 32
"""Values of a block that are packed with one width."""

_U: Final = np.uint64
"""Of indices: the compiler would make loops over signed ones count from the end where they are negative, and then
could not take several values at a time, which is 20 times as fast."""

_MINIBLOCKS: Final = BLOCK // MINIBLOCK
_HEADER_BYTES: Final = 40
_BLOCK_HEADER_BYTES: Final = 10 + _MINIBLOCKS


def delta_bound(values: int, item_size: int) -> int:
    """Bytes that `put_deltas` writes at most for so many values of `item_size` bytes."""
    return _HEADER_BYTES + (values // BLOCK + 1) * (_BLOCK_HEADER_BYTES + BLOCK * item_size)


@njit(cache=True, nogil=True)
def put_deltas(values: NDArray[Any], out: NDArray[np.uint8]) -> int:
    """Packs integers by DELTA_BINARY_PACKED; returns how many bytes that takes.

    Args:
        values: int32 or int64, shape (n,), n ≥ 1.
        out: uint8, `delta_bound` long.
    """
    integer = values.dtype.type
    keep = ~_U(0) >> _U(64 - 8 * values.itemsize)
    # Steps of times in whole bytes: zstd makes a fifth less of them, since equal steps are then equal bytes.
    align = _U(8 if values.itemsize == 8 else 1)
    at = _put_varint(_U(BLOCK), out, _U(0))
    at = _put_varint(_U(_MINIBLOCKS), out, at)
    at = _put_varint(_U(len(values)), out, at)
    at = _put_varint(_zigzag(np.int64(values[0])), out, at)
    deltas = np.zeros(BLOCK, values.dtype)
    words = np.empty(MINIBLOCK, np.uint64)
    for first in range(_U(1), _U(len(values)), _U(BLOCK)):
        count = min(_U(BLOCK), _U(len(values)) - first)
        smallest = integer(values[first] - values[first - _U(1)])
        for k in range(count):
            # A step of more than half the integers' range goes the other way around, as in the reader.
            delta = integer(values[first + k] - values[first + k - _U(1)])
            deltas[k] = delta
            smallest = integer(min(smallest, delta))
        for k in range(count):
            deltas[k] = integer(deltas[k] - smallest)
        for k in range(count, _U(BLOCK)):
            deltas[k] = integer(0)
        at = _put_varint(_zigzag(np.int64(smallest)), out, at)
        widths = at
        at += _U(_MINIBLOCKS)
        for miniblock in range(_U(_MINIBLOCKS)):
            start = miniblock * _U(MINIBLOCK)
            together = deltas[start]
            for k in range(start, start + _U(MINIBLOCK)):
                together |= deltas[k]
            width = (_bit_length(_U(together) & keep) + align - _U(1)) // align * align
            # Miniblocks after the last value have width 0, and so no bytes.
            out[widths + miniblock] = width
            if width:
                for k in range(_U(MINIBLOCK)):
                    words[k] = _U(deltas[start + k]) & keep
                at = _put_words(words, width, out, at)
    return int(at)


@njit(cache=True, nogil=True, inline="always")
def _bit_length(value: np.uint64) -> np.uint64:
    length = _U(0)
    while value:
        value >>= _U(1)
        length += _U(1)
    return length


@njit(cache=True, nogil=True)
def _put_words(words: NDArray[np.uint64], width: np.uint64, out: NDArray[np.uint8], at: np.uint64) -> np.uint64:
    """Packs MINIBLOCK words of `width` bits, the first in the lowest bits; returns where it ends."""
    # Joined two by two while two fit into a word, which is quicker than one after the other.
    count = _U(MINIBLOCK)
    while width <= _U(32) and count > _U(1):
        count >>= _U(1)
        for k in range(count):
            words[k] = words[_U(2) * k] | (words[_U(2) * k + _U(1)] << width)
        width <<= _U(1)
    held = _U(0)
    used = _U(0)
    for k in range(count):
        held |= words[k] << used
        used += width
        if used >= _U(64):
            at = _put_bytes(held, _U(8), out, at)
            used -= _U(64)
            held = words[k] >> (width - used) if used else _U(0)
    # MINIBLOCK × width bits are whole bytes.
    return _put_bytes(held, used >> _U(3), out, at)


@njit(cache=True, nogil=True, inline="always")
def _put_bytes(word: np.uint64, count: np.uint64, out: NDArray[np.uint8], at: np.uint64) -> np.uint64:
    for k in range(count):
        out[at + k] = (word >> (_U(8) * k)) & _U(0xFF)
    return at + count


@njit(cache=True, nogil=True)
def _zigzag(value: np.int64) -> np.uint64:
    return (np.uint64(value) << np.uint64(1)) ^ np.uint64(value >> np.int64(63))


@njit(cache=True, nogil=True)
def _put_varint(value: np.uint64, out: NDArray[np.uint8], at: np.uint64) -> np.uint64:
    while value >= _U(0x80):
        out[at] = (value & _U(0x7F)) | _U(0x80)
        value >>= _U(7)
        at += _U(1)
    out[at] = value
    return at + _U(1)


@njit(cache=True, nogil=True)
def put_byte_streams(values: NDArray[np.uint32], out: NDArray[np.uint8]) -> None:
    """Splits 32-bit values into four streams of bytes, the lowest first (BYTE_STREAM_SPLIT).

    Args:
        values: uint32, shape (n,).
        out: uint8, shape (4n,).
    """
    count = _U(len(values))
    for stream in range(_U(4)):
        start = stream * count
        shift = np.uint32(8 * stream)
        for k in range(count):
            out[start + k] = np.uint8((values[k] >> shift) & np.uint32(0xFF))


def run_bound(values: int) -> int:
    """Bytes that `put_runs` writes at most for so many values."""
    return 32 + 2 * values


@njit(cache=True, nogil=True)
def put_runs(values: NDArray[np.uint8], width: int, out: NDArray[np.uint8]) -> int:
    """Writes small integers as runs (RLE), or bit by bit where runs are short; returns how many bytes that takes.

    Args:
        values: uint8, shape (n,), each below 2^width.
        width: bits, 1 to 8.
        out: uint8, `run_bound` long.
    """
    runs = 0
    for i in range(1, len(values)):
        runs += values[i] != values[i - 1]
    at = _U(0)
    if runs > len(values) // 16:
        words = np.empty(MINIBLOCK, np.uint64)
        miniblocks = (len(values) + MINIBLOCK - 1) // MINIBLOCK
        # Counted in groups of eight; what is beyond the last value is ignored.
        at = _put_varint(_U((miniblocks * MINIBLOCK // 8) << 1 | 1), out, at)
        for first in range(0, len(values), MINIBLOCK):
            for k in range(MINIBLOCK):
                words[k] = values[first + k] if first + k < len(values) else 0
            at = _put_words(words, _U(width), out, at)
        return int(at)
    first = 0
    for i in range(1, len(values) + 1):
        if i == len(values) or values[i] != values[first]:
            at = _put_varint(_U((i - first) << 1), out, at)
            out[at] = values[first]
            at += _U(1)
            first = i
    return int(at)
