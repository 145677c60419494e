"""Shards and splits: known answers, independence, uniformity."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ais_assets.transforms.split import (
    MOST_OF_A_HULL,
    hulls,
    mix64,
    shard_of,
    split_at_rows,
    split_codes,
    vessel_shard,
)

VESSELS = np.arange(219_000_000, 219_040_000, dtype=np.int32)


def codes(hull: NDArray[np.int32], validation: float, test: float, seed: int) -> NDArray[np.int8]:
    """As `split_codes`."""
    return split_codes(hull, validation_fraction=validation, test_fraction=test, seed=seed)


def splitmix64(state: int) -> int:
    """The generator's published form, in Python's unbounded integers."""
    word = (1 << 64) - 1
    z = (state + 0x9E3779B97F4A7C15) & word
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & word
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & word
    return z ^ (z >> 31)


@pytest.mark.parametrize(("state", "output"), [(0, 0xE220A8397B1DCDAF), (1_234_567, 6_457_827_717_110_365_317)])
def test_mix64_gives_the_published_outputs(state: int, output: int) -> None:
    assert int(mix64(np.uint64(state))) == output


@given(st.integers(0, 2**64 - 1))
def test_mix64_is_splitmix64(state: int) -> None:
    assert int(mix64(np.uint64(state))) == splitmix64(state)


@given(st.lists(st.integers(0, 999_999_999), max_size=20), st.integers(1, 4096))
def test_a_shard_is_the_hash_modulo_the_number_of_shards(numbers: list[int], shards: int) -> None:
    result = shard_of(np.array(numbers, np.int32), shards)
    assert result.dtype == np.int32
    assert result.tolist() == [splitmix64(mmsi) % shards for mmsi in numbers]
    assert [int(vessel_shard(mmsi, shards)) for mmsi in numbers] == result.tolist()


@given(
    st.lists(st.integers(0, 999_999_999), max_size=20),
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 2**64 - 1),
)
def test_the_split_is_a_hash_near_an_end_by_exact_thresholds(
    numbers: list[int], validation: float, test: float, seed: int
) -> None:
    assume(validation + test < 1)
    result = codes(np.array(numbers, np.int32), validation, test, seed)
    key = splitmix64(seed ^ int.from_bytes(b"validate", "big"))
    expected = []
    for number in numbers:
        place = splitmix64(number ^ key)
        below, above = (Fraction(fraction) * 2**64 for fraction in (validation, test))
        expected.append(1 if place < below else 2 if 2**64 - 1 - place < above else 0)
    assert result.dtype == np.int8
    assert result.tolist() == expected


def test_shards_are_even() -> None:
    counts = np.bincount(shard_of(VESSELS, 16), minlength=16)
    expected = VESSELS.size / 16
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < 37.7  # 99.9 % quantile of 15 degrees of freedom


@pytest.mark.parametrize("seed", [0, 17, 2**63 - 1])
@pytest.mark.parametrize("fraction", [0.05, 0.5])
def test_every_shard_has_its_share_of_each_split(fraction: float, seed: int) -> None:
    split = codes(VESSELS, fraction, 0.3, seed)
    for code, expected in ((1, fraction), (2, 0.3)):
        for shard in range(8):
            share = (split == code)[shard_of(VESSELS, 8) == shard]
            deviation = abs(share.mean() - expected) / np.sqrt(expected * (1 - expected) / share.size)
            assert deviation < 4.5


def test_another_seed_draws_other_vessels() -> None:
    one, other = codes(VESSELS, 0.5, 0.0, 1), codes(VESSELS, 0.5, 0.0, 2)
    assert abs((one == other).mean() - 0.5) < 0.02


def test_fractions_move_hulls_between_training_and_their_own_split_only() -> None:
    small = codes(VESSELS, 0.05, 0.1, 17)
    for larger, code in ((codes(VESSELS, 0.2, 0.1, 17), 1), (codes(VESSELS, 0.05, 0.3, 17), 2)):
        moved = small != larger
        assert moved.any()
        assert set(small[moved]) == {0}
        assert set(larger[moved]) == {code}


def test_no_fraction_is_no_vessel() -> None:
    assert not codes(VESSELS, 0.0, 0.0, 17).any()


def test_a_float_mmsi_is_refused() -> None:
    with pytest.raises(TypeError, match=r"float64.*int32"):
        shard_of(np.array([219_000_001.0]), 4)  # pyright: ignore[reportArgumentType] - that is the test
    with pytest.raises(TypeError, match=r"float64.*int32"):
        codes(np.array([219_000_001.0]), 0.1, 0.1, 1)  # pyright: ignore[reportArgumentType] - that is the test


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="shards is 0"):
        shard_of(VESSELS, 0)
    for fraction in (-0.1, 1.0, float("nan")):
        for fractions in ((fraction, 0.0), (0.0, fraction)):
            with pytest.raises(ValueError, match="fraction"):
                codes(VESSELS, *fractions, 0)
    with pytest.raises(ValueError, match="both together less than 1"):
        codes(VESSELS, 0.5, 0.5, 0)
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match="seed"):
            codes(VESSELS, 0.1, 0.0, seed)


def test_none_of_a_thousand_hulls_under_two_flags_is_torn() -> None:
    rng = np.random.default_rng(3)
    mmsi = rng.choice(np.arange(201_000_000, 776_000_000, 1_003), 2_500, replace=False).astype(np.int32)
    imo = np.concatenate([np.tile(9_000_000 + np.arange(1_000), 2), np.zeros(500)]).astype(np.int32)
    hull = hulls(mmsi, imo)
    split = codes(hull, 0.05, 0.1, 17)
    assert (split[:1_000] == split[1_000:2_000]).all()
    assert set(split) == {0, 1, 2}
    np.testing.assert_array_equal(hull[:1_000], np.minimum(mmsi[:1_000], mmsi[1_000:2_000]))
    np.testing.assert_array_equal(hull[2_000:], mmsi[2_000:])
    # By MMSI, one in ten is.
    apart = codes(mmsi[:1_000], 0.05, 0.0, 17) != codes(mmsi[1_000:2_000], 0.05, 0.0, 17)
    assert 50 < apart.sum() < 150


def test_a_number_that_too_many_show_is_no_hull() -> None:
    mmsi = np.arange(201_000_000, 201_000_000 + MOST_OF_A_HULL + 1, dtype=np.int32)
    np.testing.assert_array_equal(hulls(mmsi, np.full(len(mmsi), 9_074_729, np.int32)), mmsi)
    assert set(hulls(mmsi[1:], np.full(len(mmsi) - 1, 9_074_729, np.int32)).tolist()) == {201_000_001}


def test_an_unknown_split_is_refused() -> None:
    rows = np.array([1, 0])
    assert split_at_rows(pa.table({"split": ["test", "validation"]}), rows).tolist() == [1, 2]
    with pytest.raises(ValueError, match="the split 'holdout'; it must be train or validation or test"):
        split_at_rows(pa.table({"split": ["test", "holdout"]}), rows)
    with pytest.raises(ValueError, match="no column 'split', only t"):
        split_at_rows(pa.table({"t": [1, 2]}), rows)
