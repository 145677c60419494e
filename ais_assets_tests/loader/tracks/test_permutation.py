"""The computed order: a permutation, uniform over seeds, and the same numbers for ever."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ais_assets.loader.tracks.permutation import Permutation

CHI_SQUARE_AT_999 = {1: 10.83, 5: 20.52, 23: 49.73, 119: 174.0, 29: 58.30, 9: 27.88}
"""By degrees of freedom: what 999 of 1,000 uniform samples stay below."""


def order(seed: int, epoch: int, length: int) -> list[int]:
    return Permutation(seed, epoch, length).at(np.arange(length)).tolist()


@settings(deadline=None)
@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**40), st.integers(1, 3000))
def test_every_number_comes_once(seed: int, epoch: int, length: int) -> None:
    assert sorted(order(seed, epoch, length)) == list(range(length))


@settings(deadline=None)
@given(st.integers(1, 2**40), st.integers(0, 2**32), st.lists(st.integers(0, 2**40), min_size=1, max_size=50))
def test_any_place_of_a_long_order_can_be_asked_for(length: int, seed: int, places: list[int]) -> None:
    within = np.array(sorted({place % length for place in places}))
    numbers = Permutation(seed, 0, length).at(within)
    assert len(set(numbers.tolist())) == len(within)
    assert numbers.min() >= 0
    assert numbers.max() < length


@pytest.mark.parametrize("length", [2, 3, 4, 5])
def test_every_order_of_few_is_as_likely_as_any_other(length: int) -> None:
    known = {of: number for number, of in enumerate(permutations(range(length)))}
    seeds = 40 * len(known) + 2000
    counts = np.zeros(len(known))
    for seed in range(seeds):
        counts[known[tuple(order(seed, 0, length))]] += 1
    assert chi_square(counts) < CHI_SQUARE_AT_999[len(known) - 1]


@pytest.mark.parametrize("length", [10, 30])
def test_a_number_is_as_likely_at_one_place_as_at_any_other(length: int) -> None:
    orders = np.array([order(seed, 7, length) for seed in range(3000)])
    # A few of these statistics may be beyond what 999 of 1,000 stay below.
    beyond = sum(
        chi_square(np.bincount(orders[:, place], minlength=length)) > CHI_SQUARE_AT_999[length - 1]
        for place in range(length)
    )
    assert beyond <= 1


def test_neighbours_of_one_order_are_anywhere_in_it() -> None:
    length = 6
    pairs = np.zeros((length, length))
    for seed in range(6000):
        first, second = Permutation(seed, 1, length).at(np.array([2, 3])).tolist()
        pairs[first, second] += 1
    assert np.diag(pairs).sum() == 0
    assert chi_square(pairs[~np.eye(length, dtype=bool)]) < CHI_SQUARE_AT_999[29]


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = [tuple(order(seed, epoch, 200)) for seed in range(5) for epoch in range(5)]
    assert len(set(orders)) == 25
    agreeing = [sum(a == b for a, b in zip(orders[0], other, strict=True)) for other in orders[1:]]
    assert max(agreeing) < 10


def test_the_numbers_of_an_order_are_what_they_ever_were() -> None:
    # A checkpoint of an older release is gone on with by these very numbers.
    assert order(9176, 0, 10) == RECORDED
    assert Permutation(9176, 3, 109_000_000).at(np.array([0, 1, 54_321_000, 108_999_999])).tolist() == RECORDED_LONG


@pytest.mark.parametrize("length", [0, -1, 2**40 + 1])
def test_a_length_that_cannot_be_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="it must be of 1 to"):
        Permutation(0, 0, length)


def chi_square(counts: np.ndarray) -> float:
    """Pearson's statistic of counts that are to be equal."""
    expected = counts.sum() / counts.size
    return float(((counts - expected) ** 2 / expected).sum())


RECORDED = [9, 4, 7, 2, 1, 3, 0, 5, 8, 6]
RECORDED_LONG = [74152960, 20431380, 92167059, 19576633]
