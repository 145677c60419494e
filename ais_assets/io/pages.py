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
_OVER: Final = 9
"""Bytes from the one in which a value begins that are looked at to unpack it."""


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


@njit(cache=True, nogil=True)
def take_deltas(data: NDArray[np.uint8], out: NDArray[Any]) -> int:
    """Unpacks integers that `put_deltas` packed; returns at which byte they end, or −1 where these are none such.

    Args:
        data: uint8, what is left of the page.
        out: int32 or int64, shape (n,), n ≥ 1: as many as were packed.
    """
    at = _U(0)
    for wanted in (BLOCK, _MINIBLOCKS, len(out)):
        number, at = take_varint(data, at)
        if number != _U(wanted):
            return -1
    first, at = take_varint(data, at)
    value = _unzigzag(first)
    out[0] = value
    spare = np.zeros(8 * MINIBLOCK + _OVER, np.uint8)
    done = _U(1)
    while done < _U(len(out)):
        smallest, at = take_varint(data, at)
        step = _unzigzag(smallest)
        widths = at
        at += _U(_MINIBLOCKS)
        if at > _U(len(data)):
            return -1
        for miniblock in range(_U(_MINIBLOCKS)):
            rows = (done, min(done + _U(MINIBLOCK), _U(len(out))))
            width = _U(data[widths + miniblock])
            size = width * _U(MINIBLOCK // 8)
            if width > _U(64) or at + size > _U(len(data)):
                return -1
            if at + size + _U(_OVER) <= _U(len(data)):
                value = _take_miniblock(data, (at, width), (step, value), out, rows)
            else:
                spare[:size] = data[at : at + size]
                value = _take_miniblock(spare, (_U(0), width), (step, value), out, rows)
            at += size
            done = rows[1]
    return int(at)


@njit(cache=True, nogil=True)
def spread(values: NDArray[Any], valid: NDArray[np.bool_], present: int) -> None:
    """Moves the first `present` values to the rows that are valid, in place; the others become 0."""
    taken = _U(present)
    for k in range(_U(len(values))):
        row = _U(len(values)) - _U(1) - k
        if valid[row]:
            taken -= _U(1)
            values[row] = values[taken]
        else:
            values[row] = 0


@njit(cache=True, nogil=True, inline="always")
def _take_miniblock(
    data: NDArray[np.uint8],
    at_and_width: tuple[np.uint64, np.uint64],
    step_and_value: tuple[np.int64, np.int64],
    out: NDArray[Any],
    rows: tuple[np.uint64, np.uint64],
) -> np.int64:
    """Unpacks a miniblock into rows from the first to before the second; returns the last value.

    Reads up to _OVER bytes beyond the miniblock.
    """
    at, width = at_and_width
    step, value = step_and_value
    first, end = rows
    if width == _U(0):
        for row in range(first, end):
            value += step
            out[row] = value
        return value
    keep = ~_U(0) >> (_U(64) - width)
    bit = at << _U(3)
    if width <= _U(57):
        for row in range(first, end):
            value += step + np.int64((_word(data, bit >> _U(3)) >> (bit & _U(7))) & keep)
            out[row] = value
            bit += width
        return value
    for row in range(first, end):
        word = _word(data, bit >> _U(3)) >> (bit & _U(7))
        if bit & _U(7):
            word |= _U(data[(bit >> _U(3)) + _U(8)]) << (_U(64) - (bit & _U(7)))
        value += step + np.int64(word & keep)
        out[row] = value
        bit += width
    return value


@njit(cache=True, nogil=True, inline="always")
def _word(data: NDArray[np.uint8], at: np.uint64) -> np.uint64:
    """Eight bytes, the lowest first; the compiler makes one load of them."""
    return (
        _U(data[at])
        | _U(data[at + _U(1)]) << _U(8)
        | _U(data[at + _U(2)]) << _U(16)
        | _U(data[at + _U(3)]) << _U(24)
        | _U(data[at + _U(4)]) << _U(32)
        | _U(data[at + _U(5)]) << _U(40)
        | _U(data[at + _U(6)]) << _U(48)
        | _U(data[at + _U(7)]) << _U(56)
    )


@njit(cache=True, nogil=True)
def take_varint(data: NDArray[np.uint8], at: np.uint64) -> tuple[Any, Any]:
    """A number and where it ends; one that does not end in 64 bits or in the data ends beyond the data."""
    value = _U(0)
    for shift in range(_U(0), _U(70), _U(7)):
        if at >= _U(len(data)):
            break
        byte = _U(data[at])
        at += _U(1)
        value |= (byte & _U(0x7F)) << shift
        if byte < _U(0x80):
            return value, _U(at)
    return _U(0), _U(len(data)) + _U(1)


@njit(cache=True, nogil=True)
def _unzigzag(value: np.uint64) -> np.int64:
    return np.int64(value >> _U(1)) ^ -np.int64(value & _U(1))


@njit(cache=True, nogil=True)
def bounds(values: NDArray[Any]) -> tuple[int, int]:
    """The least and the greatest of some integers, shape (n,), n ≥ 1."""
    low = high = values[0]
    for k in range(_U(len(values))):
        low = min(low, values[k])
        high = max(high, values[k])
    return low, high


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
    for i in range(_U(1), _U(len(values))):
        runs += values[i] != values[i - _U(1)]
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
