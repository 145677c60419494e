"""Random numbers that are a function of a key: the same on every machine, with every version of every library.

SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014), in Python for plans and
compiled for kernels. NumPy promises no fixed stream of its distributions from one version to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import numpy as np
from numba import njit

T = TypeVar("T")

_MASK: Final = 2**64 - 1
_GAMMA: Final = 0x9E3779B97F4A7C15
_MIX_1: Final = 0xBF58476D1CE4E5B9
_MIX_2: Final = 0x94D049BB133111EB
_U_GAMMA, _U_MIX_1, _U_MIX_2 = np.uint64(_GAMMA), np.uint64(_MIX_1), np.uint64(_MIX_2)
_U11, _U16, _U27, _U30, _U31, _U32, _U48 = (np.uint64(bits) for bits in (11, 16, 27, 30, 31, 32, 48))
_LOW_16: Final = np.uint64(0xFFFF)


def key(*parts: int) -> int:
    """A 64-bit key for a purpose, in the order of its parts."""
    value = 0
    for part in parts:
        value = _mixed((value ^ (part & _MASK)) + _GAMMA)
    return value


def _mixed(value: int) -> int:
    value &= _MASK
    value = ((value ^ (value >> 30)) * _MIX_1) & _MASK
    value = ((value ^ (value >> 27)) * _MIX_2) & _MASK
    return value ^ (value >> 31)


class Draws:
    """A stream of draws of its own for every key."""

    def __init__(self, *parts: int) -> None:
        self._state = key(*parts)

    def word(self) -> int:
        """64 random bits."""
        self._state = (self._state + _GAMMA) & _MASK
        return _mixed(self._state)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Evenly between two bounds, the upper one excluded."""
        return low + (high - low) * ((self.word() >> 11) * 2.0**-53)

    def integer(self, low: int, high: int) -> int:
        """A whole number of low … high - 1."""
        return low + int(self.uniform() * (high - low))

    def pick(self, choices: Sequence[T]) -> T:
        """One of several, each as likely."""
        return choices[self.integer(0, len(choices))]

    def bell(self) -> float:
        """About normal, mean 0 and deviation 1: the sum of four even draws (Irwin-Hall), within ±3.5."""
        word = self.word()
        total = sum((word >> shift) & 0xFFFF for shift in (0, 16, 32, 48))
        return (total / 65536.0 - 2.0) * 1.7320508075688772


@njit(cache=True, nogil=True)
def draw(seed: np.uint64, number: int) -> np.uint64:
    """Word `number` (from 0) of the stream that begins at `seed`: what the n-th `Draws.word` of that state is."""
    value = seed + (np.uint64(number) + np.uint64(1)) * _U_GAMMA
    value = (value ^ (value >> _U30)) * _U_MIX_1
    value = (value ^ (value >> _U27)) * _U_MIX_2
    return value ^ (value >> _U31)


@njit(cache=True, nogil=True)
def even(word: np.uint64) -> float:
    """A word as a number of 0 … 1, 1 excluded."""
    return float(word >> _U11) * 1.1102230246251565e-16


@njit(cache=True, nogil=True)
def bell(word: np.uint64) -> float:
    """A word as `Draws.bell` makes it."""
    total = (word & _LOW_16) + ((word >> _U16) & _LOW_16) + ((word >> _U32) & _LOW_16) + (word >> _U48)
    return (float(total) / 65536.0 - 2.0) * 1.7320508075688772
