"""A random order of any length, computed and not stored: which sample comes at a place is a function of the place.

A Feistel network over pairs. Every number below n is a pair (left, right) with left < a and right < b, where a × b is
the least rectangle near the square that holds n. A round adds to one half a hash of the other half, modulo its size;
then the halves change parts. Each round can be undone, so the whole is a permutation of the rectangle. A result of n or
more is put in again until one below n comes out (cycle walking), which makes it a permutation of 0 to n − 1; since the
rectangle is hardly larger than n, that is rarely needed.

Sources: Luby, Rackoff: How to construct pseudorandom permutations from pseudorandom functions (SIAM J. Comput. 17,
1988); Black, Rogaway: Ciphers with arbitrary finite domains (CT-RSA 2002) for rectangles and cycle walking. With ideal
hashes, the distance from a uniform permutation, computed exactly for n up to 6, halves at least with every two rounds;
it is under 10^-7 after the rounds that so short orders get here. Longer ones have so many hashes a round that few will
do: Patarin (CRYPTO 2004) proves seven to be enough against any number of queries under 2^(bits of a half).
"""

from __future__ import annotations

from math import isqrt
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ais_assets.transforms.split import mix64

_ROUNDS: Final = 8
_MORE_ROUNDS_BELOW: Final = 64
"""Numbers of a half: shorter orders get more rounds, as each of theirs has few hashes and mixes little."""
_HALF_BITS: Final = np.uint64(32)
_MOST: Final = 1 << 40


class Permutation:
    """A random order of 0 to length − 1, the same for the same seed, stream and length on any machine.

    Args:
        seed: any integer of at most 64 bits.
        stream: 0 or more; orders of one seed and different streams have nothing in common.
        length: how many numbers, 1 or more.

    Raises ValueError for a length out of range.
    """

    def __init__(self, seed: int, stream: int, length: int) -> None:
        if not 1 <= length <= _MOST:
            raise ValueError(f"a permutation of {length:,} numbers; it must be of 1 to {_MOST:,}")
        left = isqrt(length - 1) + 1
        self._sizes = np.array([left, -(-length // left)], np.uint64)
        self._keys = round_keys(seed, stream, length, _ROUNDS + 2 * -(-_MORE_ROUNDS_BELOW // left))
        self.length = length

    def at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers at these places of the order: int64 (k,), for places of 0 to length − 1."""
        numbers = np.empty(len(places), np.int64)
        _permute(np.ascontiguousarray(places, np.int64), self._sizes, self._keys, np.uint64(self.length), numbers)
        return numbers


def round_keys(seed: int, stream: int, purpose: int, count: int) -> NDArray[np.uint64]:
    """Independent 64-bit keys, uint64 (count,), a function of the three numbers."""
    keys = np.empty(count, np.uint64)
    _fill_keys(np.uint64(seed % 2**64), np.uint64(stream % 2**64), np.uint64(purpose % 2**64), keys)
    return keys


@njit(cache=True, nogil=True)
def _fill_keys(seed: np.uint64, stream: np.uint64, purpose: np.uint64, keys: NDArray[np.uint64]) -> None:
    state = mix64(mix64(mix64(seed) ^ stream) ^ purpose)
    for k in range(len(keys)):
        state = mix64(state)
        keys[k] = state


@njit(cache=True, nogil=True)
def below(bits: np.uint64, bound: np.uint64) -> np.uint64:
    """⌊bits × bound / 2^32⌋ of the upper 32 bits: for a bound under 2^20 uniform below it, but for 2^-12 of each share.

    Source: Lemire, Fast random integer generation in an interval (ACM TOMACS 29, 2019), without its rejection.
    """
    return ((bits >> _HALF_BITS) * bound) >> _HALF_BITS


# With Python's lock held, as `_locate` of window_plan: to let go of it for some microseconds, and wait for it then,
# takes longer than that where several threads cut windows.
@njit(cache=True)
def _permute(
    places: NDArray[np.int64],
    sizes: NDArray[np.uint64],
    keys: NDArray[np.uint64],
    length: np.uint64,
    numbers: NDArray[np.int64],
) -> None:
    left_size, right_size = sizes
    for k in range(len(places)):
        number = np.uint64(places[k])
        while True:
            left = number // right_size
            right = number - left * right_size
            for r in range(0, len(keys), 2):
                # Modulo the size without a branch, which nothing could foretell: below zero is above everything.
                left += below(mix64(right ^ keys[r]), left_size)
                left = min(left, left - left_size)
                right += below(mix64(left ^ keys[r + 1]), right_size)
                right = min(right, right - right_size)
            number = left * right_size + right
            if number < length:
                break
        numbers[k] = np.int64(number)
