"""Which shard a vessel's days fall into, and which vessels are kept for validation: hashes of the MMSI.

Both are functions of the vessel alone, so that every day of a vessel falls into one shard, and no vessel is
in training and in validation. They use different hashes: with one, validation would be whole shards.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ais_assets.transforms.kernels import run_starts

_INCREMENT: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST_FACTOR: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND_FACTOR: Final = np.uint64(0x94D049BB133111EB)

MOST_OF_A_HULL: Final = 8
"""MMSIs that one ship has had, at most: she changes it with her flag."""

_VALIDATION_SALT: Final = 0x76616C6964617465
"""ASCII "validate". Keeps the validation hash apart from the shard hash for every seed."""


@njit(cache=True, nogil=True)
def mix64(value: np.uint64) -> np.uint64:
    """One output of splitmix64: a bijection of uint64 whose bits all depend on all bits of `value`.

    Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators (OOPSLA 2014), variant 13 constants.
    """
    mixed = np.uint64(value) + _INCREMENT
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST_FACTOR
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND_FACTOR
    return mixed ^ (mixed >> np.uint64(31))


@njit(cache=True, nogil=True)
def vessel_shard(mmsi: int, shards: int) -> np.int64:
    """The shard of one vessel, for compiled kernels: 0 ≤ result < shards."""
    return np.int64(mix64(np.uint64(mmsi)) % np.uint64(shards))


@njit(cache=True, nogil=True)
def vessel_held_out(mmsi: int, key: np.uint64, threshold: np.uint64) -> np.bool_:
    """Whether one vessel is kept for validation, for compiled kernels; see `validation_key`."""
    return mix64(np.uint64(mmsi) ^ key) < threshold


@njit(cache=True, nogil=True)
def _shards(mmsi: NDArray[np.int32], shards: int) -> NDArray[np.int32]:
    result = np.empty(mmsi.size, np.int32)
    for row in range(mmsi.size):
        result[row] = vessel_shard(mmsi[row], shards)
    return result


@njit(cache=True, nogil=True)
def _held_out(mmsi: NDArray[np.int32], key: np.uint64, threshold: np.uint64) -> NDArray[np.bool_]:
    result = np.empty(mmsi.size, np.bool_)
    for row in range(mmsi.size):
        result[row] = vessel_held_out(mmsi[row], key, threshold)
    return result


def shard_of(mmsi: NDArray[np.int32], shards: int) -> NDArray[np.int32]:
    """Shard of each vessel: splitmix64 of its MMSI, modulo `shards`.

    No seed goes in, so that day files stay valid when the seed of the split or of the shuffle changes.

    Args:
        mmsi: int32, shape (n,).
        shards: their number, at least 1.

    Returns:
        int32, shape (n,), 0 to shards - 1.

    Raises:
        TypeError: `mmsi` is not int32. A float MMSI with stray decimals would tear a vessel apart.
        ValueError: `shards` is less than 1.
    """
    _require_int32(mmsi)
    if shards < 1:
        raise ValueError(f"shards is {shards}; vessels need at least 1")
    return _shards(mmsi, shards)


def hulls(mmsi: NDArray[np.int32], imo: NDArray[np.int32]) -> NDArray[np.int32]:
    """The hull of each vessel: the least MMSI of those that share its IMO number, so that they are split together.

    A number that more than MOST_OF_A_HULL vessels show is nobody's: a default, or typed by many.

    Args:
        mmsi: int32, shape (n,), each once.
        imo: int32, shape (n,): a number that was verified, or 0 for none.

    Returns:
        int32, shape (n,); the vessel's own MMSI where it shares none.
    """
    result = mmsi.copy()
    order = np.lexsort((mmsi, imo))
    order = order[imo[order] != 0]
    for first, end in pairwise(np.append(run_starts(imo[order]), len(order))):
        if end - first <= MOST_OF_A_HULL:
            result[order[first:end]] = mmsi[order[first]]
    return result


def is_validation(mmsi: NDArray[np.int32], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Which vessels are kept for validation: those whose salted hash is below fraction × 2^64.

    A larger fraction keeps every vessel that a smaller one kept.

    Args:
        mmsi: int32, shape (n,).
        fraction: expected share of vessels, 0 ≤ fraction < 1.
        seed: 0 ≤ seed < 2^64; another seed draws other vessels.

    Returns:
        bool, shape (n,).

    Raises:
        TypeError: `mmsi` is not int32.
        ValueError: `fraction` or `seed` is out of range.
    """
    _require_int32(mmsi)
    key, threshold = validation_key(fraction, seed)
    return _held_out(mmsi, key, threshold)


def validation_key(fraction: float, seed: int) -> tuple[np.uint64, np.uint64]:
    """What `vessel_held_out` needs: the hash key of a seed, and the threshold of a fraction.

    The threshold is exact: a float times a power of two is not rounded.

    Raises ValueError when `fraction` is not in [0, 1) or `seed` not in [0, 2^64).
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"validation fraction is {fraction}; it must be at least 0 and less than 1")
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed is {seed}; it must be at least 0 and less than 2^64")
    # Compiled functions return Python integers; as an int64 the key would turn the hash into a float.
    key = np.uint64(mix64(np.uint64(seed ^ _VALIDATION_SALT)))
    return key, np.uint64(math.ceil(fraction * 2.0**64))


def _require_int32(mmsi: NDArray[np.int32]) -> None:
    if mmsi.dtype != np.int32:
        raise TypeError(f"MMSIs are {mmsi.dtype}; they must be int32, so that each vessel has one exact number")
