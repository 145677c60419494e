"""Draws with replacement in proportion to weights, each a function of its place in the epoch.

Source: Walker, An efficient method for generating discrete random variables with general distributions (ACM TOMS 3,
1977), with Vose's construction (IEEE TSE 17, 1991): a draw takes one place of a table, and then it or its alias.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ais_assets.loader.tracks.permutation import round_keys
from ais_assets.transforms.split import mix64

_PURPOSE: Final = 0x616C696173
"""ASCII "alias": keeps draws apart from permutations of the same seed and epoch."""
_HALF_BITS: Final = np.uint64(32)
_LOW_HALF: Final = np.uint64(0xFFFFFFFF)
_MOST: Final = 1 << 32


class WeightedOrder:
    """Windows drawn with replacement: which one comes at a place is a function of (seed, epoch, place).

    Args:
        share, alias: the table, as `alias_table` makes it.
        seed: keys the draws.
    """

    def __init__(self, share: NDArray[np.float32], alias: NDArray[np.uint32], seed: int) -> None:
        self._share = share
        self._alias = alias
        self._seed = seed

    def windows(self, epoch: int, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The windows at these places of an epoch, int64 (k,)."""
        key = round_keys(self._seed, epoch, _PURPOSE, 1)[0]
        windows = np.empty(len(places), np.int64)
        _draw(np.ascontiguousarray(places, np.int64), key, self._share, self._alias, windows)
        return windows


def alias_table(weights: NDArray[np.float64] | Sequence[float]) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """The table of these weights, (n,): how much of each place is its own, and whose the rest is.

    Raises ValueError for no weight, or more than 2^32.
    """
    given = np.asarray(weights, np.float64)
    if not 0 < len(given) < _MOST:
        raise ValueError(f"there are {len(given):,} weights; there must be 1 to 2^32 - 1")
    scaled = given * (len(given) / given.sum())
    share = np.ones(len(given), np.float32)
    alias = np.arange(len(given), dtype=np.uint32)
    _fill_table(scaled, share, alias)
    return share, alias


@njit(cache=True, nogil=True)
def _fill_table(scaled: NDArray[np.float64], share: NDArray[np.float32], alias: NDArray[np.uint32]) -> None:
    """Fills each place of a small weight up with a large one, whose rest is then small or still large."""
    small = np.empty(len(scaled), np.uint32)
    large = np.empty(len(scaled), np.uint32)
    smalls, larges = 0, 0
    for k in range(len(scaled)):
        if scaled[k] < 1.0:
            small[smalls] = k
            smalls += 1
        else:
            large[larges] = k
            larges += 1
    while smalls and larges:
        smalls -= 1
        below, above = small[smalls], large[larges - 1]
        share[below] = scaled[below]
        alias[below] = above
        scaled[above] -= 1.0 - scaled[below]
        if scaled[above] < 1.0:
            larges -= 1
            small[smalls] = above
            smalls += 1


@njit(cache=True, nogil=True)
def _draw(
    places: NDArray[np.int64],
    key: np.uint64,
    share: NDArray[np.float32],
    alias: NDArray[np.uint32],
    windows: NDArray[np.int64],
) -> None:
    count = np.uint64(len(share))
    for k in range(len(places)):
        bits = mix64(mix64(np.uint64(places[k]) ^ key))
        # The product's upper half is the place, the rest of it the coin.
        product_low = (bits & _LOW_HALF) * count
        product = (bits >> _HALF_BITS) * count + (product_low >> _HALF_BITS)
        place = product >> _HALF_BITS
        coin = np.float64(product & _LOW_HALF) / 4294967296.0
        windows[k] = np.int64(place) if coin < share[place] else np.int64(alias[place])
