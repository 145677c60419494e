"""What stands for identities: another number for each MMSI, led back by the key alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ais_assets import schema
from ais_assets.transforms.pseudonyms import MMSIS, Pseudonyms

OURS, OTHER = Pseudonyms(b"k" * 32, keeps_texts=True), Pseudonyms(b"l" * 32, keeps_texts=True)


@given(st.lists(st.integers(0, MMSIS - 1), max_size=50))
def test_numbers_lead_back_and_are_no_mmsis(mmsis: list[int]) -> None:
    mmsi = np.array(mmsis, np.int32)
    numbers = OURS.numbers(mmsi)
    assert numbers.dtype == np.int32
    assert np.all(numbers >= schema.FIRST_IDENTITY)
    np.testing.assert_array_equal(OURS.mmsis(numbers), mmsi)


def test_no_two_ships_get_one_number_and_neighbours_none_in_a_row() -> None:
    mmsi = np.arange(219_000_000, 219_200_000, dtype=np.int32)
    numbers = OURS.numbers(mmsi).astype(np.int64)
    assert len(np.unique(numbers)) == len(mmsi)
    # As of numbers drawn at random: 64 equal parts of the range hold about as many each.
    parts = np.bincount((numbers - schema.FIRST_IDENTITY) * 64 // MMSIS, minlength=64)
    expected = len(mmsi) / 64
    assert ((parts - expected) ** 2 / expected).sum() < 120, "chi-square of 63 degrees of freedom, p < 1e-5"
    assert abs(np.corrcoef(mmsi, numbers)[0, 1]) < 0.02
    assert np.count_nonzero(numbers == OTHER.numbers(mmsi)) < 5


def test_what_is_no_mmsi_is_refused() -> None:
    with pytest.raises(ValueError, match="1000000000 is not an MMSI: AIS_IDENTITIES=hash and drop are for MMSIs"):
        OURS.numbers(np.array([1, schema.FIRST_IDENTITY], np.int32))
    with pytest.raises(ValueError, match="219000001 is not what stands for an MMSI"):
        OURS.mmsis(np.array([219_000_001], np.int32))


def test_texts_are_equal_where_they_were_and_left_out_where_asked() -> None:
    assert OURS.text("EMMA") == OURS.text("EMMA") != OURS.text("EMMY")
    assert OURS.text("EMMA") != OTHER.text("EMMA")
    assert OURS.text(None) is None
    assert OURS.imo(9_321_483) == OURS.imo(9_321_483) != OURS.imo(9_321_484)
    dropping = Pseudonyms(b"k" * 32, keeps_texts=False)
    assert (dropping.text("EMMA"), dropping.imo(9_321_483), dropping.all_of(["EMMA"], dropping.text)) == (
        None,
        None,
        [],
    )
    np.testing.assert_array_equal(dropping.numbers(np.array([5], np.int32)), OURS.numbers(np.array([5], np.int32)))
