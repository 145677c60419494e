"""Exact statistics of windows: count, minimum, maximum, mean and standard deviation of each feature.

A float32 is an integer of 24 bits times a power of two, and so are sums of float32, and sums of their squares,
integers times a power of two. They are kept as such, without any rounding: the mean and the variance are
quotients of integers, rounded once when they are asked for. There is no cancellation in the variance, however
little a feature varies, and the order of windows, the batches and the merging of piles do not matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ais_assets import schema

_MANTISSA_BITS: Final = 23
_EXPONENTS: Final = 256
_NOT_FINITE: Final = 255
_LIMB_BITS: Final = 32
# The lowest bit that any float32 can have is 2^-149, so sums count multiples of it, and squares of its square.
_SUM_UNIT: Final = 1 << 149
_SQUARES_UNIT: Final = _SUM_UNIT**2
_POSITIONS_AT_ONCE: Final = 1 << 12
"""Positions whose squared mantissas, of 48 bits each, are summed up in an int64 before it is split into limbs."""


@dataclass(frozen=True)
class _Moments:
    """One feature. `total` is the sum in units of 2^-149, `squares` the sum of squares in units of 2^-298."""

    low: float
    high: float
    total: int
    squares: int

    def __add__(self, other: _Moments) -> _Moments:
        return _Moments(
            min(self.low, other.low),
            max(self.high, other.high),
            self.total + other.total,
            self.squares + other.squares,
        )


class _Sums(NamedTuple):
    """Sums of mantissas by feature and exponent, int64 (5, 256); of squared mantissas in two limbs."""

    mantissas: NDArray[np.int64]
    squares_low: NDArray[np.int64]
    squares_high: NDArray[np.int64]


_NOTHING: Final = _Moments(math.inf, -math.inf, 0, 0)


class WindowStatistics:
    """Statistics over all positions of all windows added, feature by feature.

    A position counts as often as windows hold it. Any way to batch, order and merge gives the same numbers.
    """

    def __init__(self) -> None:
        self._count = 0
        self._moments = [_NOTHING] * schema.FEATURE_COUNT

    def add(self, features: NDArray[np.float32]) -> None:
        """Adds windows.

        Args:
            features: float32, shape (k, window_len, 5).

        Raises:
            ValueError: another type or shape, or a value that is not finite.
        """
        if features.dtype != np.float32 or features.ndim != 3 or features.shape[2] != schema.FEATURE_COUNT:
            raise ValueError(
                f"features are {features.dtype} {features.shape}; they must be float32 "
                f"(windows, positions, {schema.FEATURE_COUNT})"
            )
        if features.size == 0:
            return
        positions = features.reshape(-1, schema.FEATURE_COUNT)
        sums = _Sums._make(np.zeros((schema.FEATURE_COUNT, _EXPONENTS), np.int64) for _ in _Sums._fields)
        low = np.full(schema.FEATURE_COUNT, np.inf, np.float32)
        high = np.full(schema.FEATURE_COUNT, -np.inf, np.float32)
        _accumulate(positions, positions.view(np.int32), low, high, sums)
        bad = np.flatnonzero(sums.squares_high[:, _NOT_FINITE] | sums.squares_low[:, _NOT_FINITE])
        if len(bad):
            window, position = np.argwhere(~np.isfinite(features[:, :, bad[0]]))[0]
            name, value = schema.FEATURE_NAMES[bad[0]], features[window, position, bad[0]]
            raise ValueError(f"{name} is {value} at position {position} of window {window} of a batch")
        self._count += len(positions)
        self._moments = [
            moments + _of_sums(sums, feature, float(low[feature]), float(high[feature]))
            for feature, moments in enumerate(self._moments)
        ]

    @classmethod
    def merged(cls, parts: Iterable[WindowStatistics]) -> WindowStatistics:
        """Statistics of all windows of the parts together; exact, in any order."""
        whole = cls()
        for part in parts:
            whole._count += part._count
            whole._moments = [ours + theirs for ours, theirs in zip(whole._moments, part._moments, strict=True)]
        return whole

    def summary(self) -> dict[str, dict[str, Any]]:
        """By feature name: count of values, min, max, mean, and std (of the population, as np.std).

        Raises ValueError when no window was added, as there is no mean then.
        """
        if self._count == 0:
            raise ValueError(
                "there are no statistics of no windows: does any track have as many positions as a window?"
            )
        return {
            name: {
                "count": self._count,
                "min": moments.low,
                "max": moments.high,
                "mean": float(Fraction(moments.total, self._count * _SUM_UNIT)),
                "std": math.sqrt(
                    Fraction(self._count * moments.squares - moments.total**2, self._count**2 * _SQUARES_UNIT)
                ),
            }
            for name, moments in zip(schema.FEATURE_NAMES, self._moments, strict=True)
        }

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which `from_json` makes equal statistics. The exact sums are hexadecimal strings."""
        return {
            "count": self._count,
            "features": {
                name: {
                    "min": moments.low if self._count else None,
                    "max": moments.high if self._count else None,
                    "sum": hex(moments.total),
                    "squares": hex(moments.squares),
                }
                for name, moments in zip(schema.FEATURE_NAMES, self._moments, strict=True)
            },
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> WindowStatistics:
        """The statistics that `to_json` wrote. Raises ValueError when they are of other features."""
        features = values["features"]
        if set(features) != set(schema.FEATURE_NAMES):
            raise ValueError(f"statistics of {', '.join(features)}; they must be of {', '.join(schema.FEATURE_NAMES)}")
        statistics = cls()
        statistics._count = values["count"]
        if statistics._count:
            statistics._moments = [
                _Moments(stored["min"], stored["max"], int(stored["sum"], 16), int(stored["squares"], 16))
                for stored in (features[name] for name in schema.FEATURE_NAMES)
            ]
        return statistics


def _of_sums(sums: _Sums, feature: int, low: float, high: float) -> _Moments:
    total = squares = 0
    for exponent in range(_NOT_FINITE):
        # Exponents 0 (subnormal) and 1 have the same unit, 2^-149.
        shift = max(exponent, 1) - 1
        total += int(sums.mantissas[feature, exponent]) << shift
        square = (int(sums.squares_high[feature, exponent]) << _LIMB_BITS) + int(sums.squares_low[feature, exponent])
        squares += square << (2 * shift)
    # Adding zero turns −0.0, which equals 0.0 but prints otherwise, into 0.0.
    return _Moments(low + 0.0, high + 0.0, total, squares)


@njit(cache=True, nogil=True)
def _accumulate(
    positions: NDArray[np.float32],
    bits: NDArray[np.int32],
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    sums: _Sums,
) -> None:
    """Adds every value, whose `bits` are sign (1), exponent (8) and mantissa (23), to its exponent's sums."""
    implicit = 1 << _MANTISSA_BITS
    squares = np.zeros(sums.mantissas.shape, np.int64)
    for start in range(0, len(positions), _POSITIONS_AT_ONCE):
        end = min(start + _POSITIONS_AT_ONCE, len(positions))
        for f in range(positions.shape[1]):
            least, most = low[f], high[f]
            for p in range(start, end):
                least = min(least, positions[p, f])
                most = max(most, positions[p, f])
                word = bits[p, f]
                exponent = (word >> _MANTISSA_BITS) & (_EXPONENTS - 1)
                mantissa = word & (implicit - 1)
                if exponent > 0:
                    mantissa |= implicit
                sums.mantissas[f, exponent] += -mantissa if word < 0 else mantissa
                squares[f, exponent] += mantissa * mantissa
            low[f], high[f] = least, most
            for exponent in range(_EXPONENTS):
                sums.squares_low[f, exponent] += squares[f, exponent] & ((1 << _LIMB_BITS) - 1)
                sums.squares_high[f, exponent] += squares[f, exponent] >> _LIMB_BITS
                squares[f, exponent] = 0
