"""Shards and the validation split: known answers, independence, uniformity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ais_assets.transforms.split import (
    MOST_OF_A_HULL,
    hulls,
    is_validation,
    mix64,
    shard_of,
    validation_key,
    vessel_held_out,
    vessel_shard,
)

VESSELS = np.arange(219_000_000, 219_040_000, dtype=np.int32)


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
    st.integers(0, 2**64 - 1),
)
def test_validation_is_a_hash_below_the_exact_threshold(numbers: list[int], fraction: float, seed: int) -> None:
    result = is_validation(np.array(numbers, np.int32), fraction, seed)
    key, threshold = validation_key(fraction, seed)
    numerator, denominator = fraction.as_integer_ratio()
    expected = [splitmix64(mmsi ^ int(key)) * denominator < numerator * 2**64 for mmsi in numbers]
    assert result.tolist() == expected
    assert [bool(vessel_held_out(mmsi, key, threshold)) for mmsi in numbers] == expected


def test_shards_are_even() -> None:
    counts = np.bincount(shard_of(VESSELS, 16), minlength=16)
    expected = VESSELS.size / 16
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < 37.7  # 99.9 % quantile of 15 degrees of freedom


@pytest.mark.parametrize("seed", [0, 17, 2**63 - 1])
@pytest.mark.parametrize("fraction", [0.05, 0.5])
def test_every_shard_has_its_share_of_validation(fraction: float, seed: int) -> None:
    held_out = is_validation(VESSELS, fraction, seed)
    for shard in range(8):
        share = held_out[shard_of(VESSELS, 8) == shard]
        deviation = abs(share.mean() - fraction) / np.sqrt(fraction * (1 - fraction) / share.size)
        assert deviation < 4.5


def test_another_seed_draws_other_vessels() -> None:
    one, other = is_validation(VESSELS, 0.5, 1), is_validation(VESSELS, 0.5, 2)
    assert abs((one == other).mean() - 0.5) < 0.02


def test_a_larger_fraction_keeps_what_a_smaller_one_kept() -> None:
    small, large = is_validation(VESSELS, 0.05, 17), is_validation(VESSELS, 0.2, 17)
    assert not (small & ~large).any()
    assert large.sum() > small.sum()


def test_no_fraction_is_no_vessel() -> None:
    assert not is_validation(VESSELS, 0.0, 17).any()


def test_a_float_mmsi_is_refused() -> None:
    with pytest.raises(TypeError, match=r"float64.*int32"):
        shard_of(np.array([219_000_001.0]), 4)  # pyright: ignore[reportArgumentType] - that is the test
    with pytest.raises(TypeError, match=r"float64.*int32"):
        is_validation(np.array([219_000_001.0]), 0.1, 1)  # pyright: ignore[reportArgumentType] - that is the test


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="shards is 0"):
        shard_of(VESSELS, 0)
    for fraction in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="fraction"):
            is_validation(VESSELS, fraction, 0)
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match="seed"):
            is_validation(VESSELS, 0.1, seed)


def test_none_of_a_thousand_hulls_under_two_flags_is_torn() -> None:
    rng = np.random.default_rng(3)
    mmsi = rng.choice(np.arange(201_000_000, 776_000_000, 1_003), 2_500, replace=False).astype(np.int32)
    imo = np.concatenate([np.tile(9_000_000 + np.arange(1_000), 2), np.zeros(500)]).astype(np.int32)
    hull = hulls(mmsi, imo)
    validation = is_validation(hull, 0.05, 17)
    assert (validation[:1_000] == validation[1_000:2_000]).all()
    assert 0 < validation.sum() < 300
    np.testing.assert_array_equal(hull[:1_000], np.minimum(mmsi[:1_000], mmsi[1_000:2_000]))
    np.testing.assert_array_equal(hull[2_000:], mmsi[2_000:])
    # By MMSI, one in ten is.
    apart = is_validation(mmsi[:1_000], 0.05, 17) != is_validation(mmsi[1_000:2_000], 0.05, 17)
    assert 50 < apart.sum() < 150


def test_a_number_that_too_many_show_is_no_hull() -> None:
    mmsi = np.arange(201_000_000, 201_000_000 + MOST_OF_A_HULL + 1, dtype=np.int32)
    np.testing.assert_array_equal(hulls(mmsi, np.full(len(mmsi), 9_074_729, np.int32)), mmsi)
    assert set(hulls(mmsi[1:], np.full(len(mmsi) - 1, 9_074_729, np.int32)).tolist()) == {201_000_001}
