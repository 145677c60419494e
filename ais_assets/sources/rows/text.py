"""Bytes of a block of text, as the compiled readers look at them: letters, ends of fields and lines, hashes.

Places in a block are byte numbers, never negative. PADDING must follow a block: eight bytes are looked at at a time.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from ais_assets.sources.rows.compiled import compiled

PADDING: Final = b"\n" * 32
"""Must follow the last byte of a block: words of eight bytes and whole timestamps are looked at before their end."""

QUOTE = 34
PLUS = 43
MINUS = 45
POINT = 46
ZERO = 48
NINE = 57
NEWLINE = 10
RETURN = 13
SPACE = 32
SLASH = 47
COLON = 58
COMMA = 44
LESS = 60
MORE = 62
BACKSLASH = 92
LOWER_E = 101
UPPER_E = 69
A = 65
C = 67
E = 69
G = 71
L = 76
M = 77
N = 78
LETTER_O = 79
P = 80
T = 84
U = 85
Z = 90
YEAR = 89
MONTH = 77
DAY = 68
HOUR = 104
MINUTE = 109
SECOND = 115

EIGHT_ONES = np.uint64(0x0101010101010101)
HIGH_BITS = np.uint64(0x8080808080808080)
_NEWLINES = np.uint64(0x0A0A0A0A0A0A0A0A)
_ALL_BITS = np.uint64(0xFFFFFFFFFFFFFFFF)
HASH_SEED = np.uint64(0x9E3779B97F4A7C15)
HASH_PRIME = np.uint64(0xC2B2AE3D27D4EB4F)
_HALF = np.uint64(32)
_TOP_BYTE = np.uint64(56)


@compiled
def byte_at(text, at):
    """text[at] for an `at` that is never negative: without Python's wrap-around the kernel is twice as fast."""
    return text[np.uint64(at)]


@compiled
def upper_at(text, at):
    """The same as a capital where it is one of the letters a to z."""
    byte = byte_at(text, at)
    return byte - 32 if 97 <= byte <= 122 else byte


@compiled
def word_at(text, at):
    """Eight bytes as one little-endian integer; LLVM makes a single load of it."""
    return (
        np.uint64(byte_at(text, at))
        | np.uint64(byte_at(text, at + 1)) << np.uint64(8)
        | np.uint64(byte_at(text, at + 2)) << np.uint64(16)
        | np.uint64(byte_at(text, at + 3)) << np.uint64(24)
        | np.uint64(byte_at(text, at + 4)) << np.uint64(32)
        | np.uint64(byte_at(text, at + 5)) << np.uint64(40)
        | np.uint64(byte_at(text, at + 6)) << np.uint64(48)
        | np.uint64(byte_at(text, at + 7)) << np.uint64(56)
    )


@compiled
def zero_bytes(word):
    """Marks bytes of value 0 in their top bits; exact up to the first of them, which is all that is used of it."""
    return (word - EIGHT_ONES) & ~word & HIGH_BITS


@compiled
def first_marked(marks):
    """Index of the lowest marked byte: the bytes up to it, counted by a multiplication."""
    lowest = marks & (~marks + np.uint64(1))
    return np.int64(((lowest - np.uint64(1)) & EIGHT_ONES) * EIGHT_ONES >> _TOP_BYTE) - 1


@compiled
def line_end(text, at):
    """Index of the first newline at or after `at`; the block's padding guarantees one."""
    while True:
        marks = zero_bytes(word_at(text, at) ^ _NEWLINES)
        if marks:
            return at + first_marked(marks)
        at += 8


@compiled
def field_end(text, at, delimiters):
    """Index of the first delimiter or newline at or after `at`; `delimiters`: a word of eight of them."""
    while True:
        word = word_at(text, at)
        marks = zero_bytes(word ^ delimiters) | zero_bytes(word ^ _NEWLINES)
        if marks:
            return at + first_marked(marks)
        at += 8


@compiled
def span_hash(text, start, end):
    """64-bit hash of text[start:end], the same on every machine. At least 8 bytes must follow `end`."""
    value = HASH_SEED ^ np.uint64(end - start)
    at = start
    while at + 8 <= end:
        value = (value ^ word_at(text, at)) * HASH_PRIME
        value ^= value >> _HALF
        at += 8
    if at < end:
        rest = word_at(text, at) & (_ALL_BITS >> np.uint64(8 * (8 - (end - at))))
        value = (value ^ rest) * HASH_PRIME
        value ^= value >> _HALF
    value *= HASH_PRIME
    value ^= value >> _HALF
    return value if value != 0 else np.uint64(1)


@compiled
def add_to_set(seen, value):
    """Adds a hash to an open-addressed set; True where it is new. The set must have room; 0 is taken for 1."""
    value = value if value != 0 else np.uint64(1)
    mask = np.uint64(seen.size - 1)
    slot = value & mask
    while seen[slot] != 0:
        if seen[slot] == value:
            return False
        slot = (slot + np.uint64(1)) & mask
    seen[slot] = value
    return True


@njit(cache=True, nogil=True)
def grown(seen):
    """The same set with twice the room."""
    larger = np.zeros(seen.size * 2, np.uint64)
    for value in seen:
        if value != 0:
            add_to_set(larger, value)
    return larger
