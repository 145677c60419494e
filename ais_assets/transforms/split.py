"""Which shard a vessel's days fall into, and which vessels are kept for validation and for the last test: hashes.

Both are functions of the vessel alone, so that every day of a vessel falls into one shard, and no vessel is in two
splits. They use different hashes: with one, validation would be whole shards.

The split is one hash a hull on a line from 0 to 2^64: validation is its lower end, test its upper end, training what
is between. So another fraction of either moves hulls between it and training only: what a model was chosen on never
becomes what it is tested on.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.transforms.kernels import run_starts

_INCREMENT: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST_FACTOR: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND_FACTOR: Final = np.uint64(0x94D049BB133111EB)

MOST_OF_A_HULL: Final = 8
"""MMSIs that one ship has had, at most: she changes it with her flag."""

_SPLIT_SALT: Final = 0x76616C6964617465
"""ASCII "validate". Keeps the hash of the split apart from the shard hash for every seed."""
_VALIDATION, _TEST = (np.int8(schema.SPLITS.index(name)) for name in ("validation", "test"))


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
def _shards(mmsi: NDArray[np.int32], shards: int) -> NDArray[np.int32]:
    result = np.empty(mmsi.size, np.int32)
    for row in range(mmsi.size):
        result[row] = vessel_shard(mmsi[row], shards)
    return result


@njit(cache=True, nogil=True)
def _split_codes(
    hull: NDArray[np.int32], key: np.uint64, validation_below: np.uint64, test_below: np.uint64
) -> NDArray[np.int8]:
    """`test_below` is counted from the line's upper end."""
    result = np.zeros(hull.size, np.int8)
    for row in range(hull.size):
        place = mix64(np.uint64(hull[row]) ^ key)
        if place < validation_below:
            result[row] = _VALIDATION
        elif ~place < test_below:
            result[row] = _TEST
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


def split_codes(
    hull: NDArray[np.int32], *, validation_fraction: float, test_fraction: float, seed: int
) -> NDArray[np.int8]:
    """The split of each hull: validation where its salted hash is below validation_fraction × 2^64, test where it is
    within test_fraction × 2^64 of the other end.

    A larger fraction keeps every hull that a smaller one kept, and leaves the other fraction's alone.

    Args:
        hull: int32, shape (n,), as `hulls` has it.
        validation_fraction: expected share of hulls, 0 ≤ fraction < 1.
        test_fraction: likewise; both together less than 1.
        seed: 0 ≤ seed < 2^64; another seed draws other hulls.

    Returns:
        int8, shape (n,): places in `schema.SPLITS`.

    Raises:
        TypeError: `hull` is not int32.
        ValueError: a fraction or `seed` is out of range.
    """
    _require_int32(hull)
    fractions = (validation_fraction, test_fraction)
    if not all(0 <= fraction < 1 for fraction in fractions) or sum(fractions) >= 1:
        raise ValueError(
            f"the validation fraction is {validation_fraction} and the test fraction {test_fraction}; each must be at "
            "least 0, and both together less than 1"
        )
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed is {seed}; it must be at least 0 and less than 2^64")
    # Compiled functions return Python integers; as an int64 the key would turn the hash into a float.
    key = np.uint64(mix64(np.uint64(seed ^ _SPLIT_SALT)))
    # Exact: a float times a power of two is not rounded.
    validation_below, test_below = (np.uint64(math.ceil(fraction * 2.0**64)) for fraction in fractions)
    return _split_codes(hull, key, validation_below, test_below)


def split_at_rows(table: pa.Table, rows: NDArray[np.int64]) -> NDArray[np.int8]:
    """The split of these rows of `schema.TRACK_POSITIONS`: int8, shape (k,), places in `schema.SPLITS`.

    Raises ValueError where there is no such column, or another split in it.
    """
    if "split" not in table.column_names:
        raise ValueError(f"track positions have no column 'split', only {', '.join(table.column_names)}")
    names = table["split"].take(pa.array(rows)).cast(pa.string()).combine_chunks()
    codes = pc.index_in(names, pa.array(schema.SPLITS))  # pyright: ignore[reportAttributeAccessIssue]
    if codes.null_count:
        unknown = names.filter(codes.is_null())[0].as_py()
        raise ValueError(f"track positions have the split {unknown!r}; it must be {' or '.join(schema.SPLITS)}")
    return codes.to_numpy().astype(np.int8)


def _require_int32(mmsi: NDArray[np.int32]) -> None:
    if mmsi.dtype != np.int32:
        raise TypeError(f"MMSIs are {mmsi.dtype}; they must be int32, so that each vessel has one exact number")
