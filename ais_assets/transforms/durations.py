"""How long windows last: the seconds that their input and the whole of them span, as distributions.

A window has a fixed number of positions, not a fixed duration: 928 positions are 2.6 hours of a ship that reports
every 10 seconds and 15 hours of one that is heard once a minute. Durations are counted in bins of whole seconds up
to `_EXACT_SECONDS`, and from there on in bins of less than 0.8 % of what they hold (the bins of G. Tene's
HdrHistogram), so that distributions of piles add up to that of the dataset, in any order, in a few kilobytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from ais_assets import schema

QUANTILES: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

_BITS: Final = 7
"""A bin above `_EXACT_SECONDS` is at most 2^-7 of its least value wide."""
_EXACT_SECONDS: Final = 1 << (_BITS + 1)
_BINS: Final = (41 - _BITS) << _BITS
"""Enough for durations below 2^40 s, and 76 million positions span no more."""
_DT: Final = schema.FEATURE_NAMES.index("dt_seconds")
_LONGEST_DT: Final = schema.MAX_GAP_SECONDS


@dataclass(frozen=True)
class _Spread:
    """Durations of some windows: how many are in each bin, int64 (_BINS,), and the extremes in seconds."""

    counts: NDArray[np.int64]
    low: int
    high: int

    def __add__(self, other: _Spread) -> _Spread:
        return _Spread(self.counts + other.counts, min(self.low, other.low), max(self.high, other.high))

    def quantile(self, share: float) -> int:
        """The least duration that at least this share of windows do not exceed, rounded up to the end of its bin."""
        reached = np.cumsum(self.counts)
        rank = max(1, int(np.ceil(share * reached[-1])))
        return min(self.high, _last_second(int(np.searchsorted(reached, rank))))

    def to_json(self) -> dict[str, Any]:
        """Counts by the last second of their bin."""
        return {
            "min": self.low,
            "max": self.high,
            "counts": {str(_last_second(int(bin_))): int(self.counts[bin_]) for bin_ in np.flatnonzero(self.counts)},
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> _Spread:
        """The inverse of `to_json`."""
        counts = np.zeros(_BINS, np.int64)
        for last_second, count in stored["counts"].items():
            counts[_bin_of(int(last_second))] = count
        return cls(counts, stored["min"], stored["max"])


class WindowDurations:
    """Distributions of the durations of windows and of their inputs.

    A duration is the time from the first of the positions to the last, so that n positions have n − 1 steps: the
    first dt_seconds of a window, which leads to it from the position before, is not a part of it.

    Args:
        seq_len: positions of the input, 1 to `window_len`.
        window_len: positions of a window.

    Raises:
        ValueError: `seq_len` is out of range.
    """

    def __init__(self, seq_len: int, window_len: int) -> None:
        if not 1 <= seq_len <= window_len:
            raise ValueError(f"seq_len is {seq_len}; it must be 1 to window_len, which is {window_len}")
        self._positions = {"input": seq_len, "window": window_len}
        self._spreads: dict[str, _Spread] | None = None

    def add(self, features: NDArray[np.float32]) -> None:
        """Adds windows.

        Args:
            features: float32, shape (k, window_len, 5), with dt_seconds in whole seconds.

        Raises:
            ValueError: another type or shape, or a dt_seconds that is not from 0 to `schema.MAX_GAP_SECONDS`.
        """
        shape = (len(features), self._positions["window"], schema.FEATURE_COUNT)
        if features.dtype != np.float32 or features.shape != shape:
            raise ValueError(f"features are {features.dtype} {features.shape}; they must be float32 {shape}")
        if len(features) == 0:
            return
        seconds = np.empty((len(self._positions), len(features)), np.int64)
        bad = _durations(features, self._positions["input"], seconds)
        if bad >= 0:
            dt = features[bad, 1:, _DT]
            step = int(np.flatnonzero(~((dt >= 0) & (dt <= _LONGEST_DT)))[0])
            raise ValueError(
                f"dt_seconds is {dt[step]} at position {step + 1} of window {bad} of a batch; it must be 0 to "
                f"{_LONGEST_DT:,}"
            )
        added = {
            name: _Spread(_counted(of_name), int(of_name.min()), int(of_name.max()))
            for name, of_name in zip(self._positions, seconds, strict=True)
        }
        self._take(added)

    def watch(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The tables, of `schema.windows_schema(window_len)`, as they are; each one's windows are added in passing."""
        shape = (-1, self._positions["window"], schema.FEATURE_COUNT)
        for table in tables:
            for features in table["features"].chunks:
                self.add(features.flatten().to_numpy().reshape(shape))
            yield table

    @classmethod
    def merged(cls, parts: Iterable[WindowDurations]) -> WindowDurations:
        """The distributions over all windows of the parts, in any order.

        Raises ValueError when there are no parts, or when their windows or inputs differ in positions.
        """
        first, *others = parts
        whole = cls(first._positions["input"], first._positions["window"])
        for part in (first, *others):
            if part._positions != whole._positions:
                raise ValueError(
                    f"durations of {part._positions} positions do not add to those of {whole._positions}: "
                    "materialize mds_shards of every pile again"
                )
            if part._spreads is not None:
                whole._take(part._spreads)
        return whole

    def summary(self) -> dict[str, dict[str, Any]]:
        """Of "input" and "window": positions, windows, and min, max and `QUANTILES` of the seconds they span.

        A quantile is exact up to 255 s and at most 0.8 % too long from there on. Raises ValueError when no
        window was added.
        """
        if self._spreads is None:
            raise ValueError("there are no durations of no windows: does any track have as many positions as a window?")
        return {
            name: {
                "positions": self._positions[name],
                "windows": int(spread.counts.sum()),
                "min": spread.low,
                "quantiles": {f"{share:g}": spread.quantile(share) for share in QUANTILES},
                "max": spread.high,
            }
            for name, spread in self._spreads.items()
        }

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which `from_json` makes equal distributions."""
        spreads = self._spreads
        return {
            "positions": self._positions,
            "seconds": None if spreads is None else {name: spread.to_json() for name, spread in spreads.items()},
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> WindowDurations:
        """The distributions that `to_json` wrote."""
        durations = cls(stored["positions"]["input"], stored["positions"]["window"])
        if stored["seconds"] is not None:
            durations._spreads = {name: _Spread.from_json(stored["seconds"][name]) for name in durations._positions}
        return durations

    def _take(self, added: dict[str, _Spread]) -> None:
        ours = self._spreads
        self._spreads = added if ours is None else {name: ours[name] + spread for name, spread in added.items()}


@njit(cache=True, nogil=True)
def _durations(features: NDArray[np.float32], seq_len: int, seconds: NDArray[np.int64]) -> int:
    """Seconds of each window's input, seconds[0], and of all of it, seconds[1]; returns the first bad window, or −1."""
    for w in range(len(features)):
        total = np.int64(0)
        of_input = np.int64(0)
        for p in range(1, features.shape[1]):
            if p == seq_len:
                of_input = total
            dt = features[w, p, _DT]
            # Put so that it also is true of NaN.
            if not 0 <= dt <= _LONGEST_DT:
                return w
            total += np.int64(dt)
        seconds[0, w] = total if seq_len == features.shape[1] else of_input
        seconds[1, w] = total
    return -1


@njit(cache=True, nogil=True)
def _counted(seconds: NDArray[np.int64]) -> NDArray[np.int64]:
    counts = np.zeros(_BINS, np.int64)
    for duration in seconds:
        counts[_bin_of(duration)] += 1
    return counts


@njit(cache=True, nogil=True)
def _bin_of(seconds: int) -> int:
    shift = 0
    while seconds >> shift >= _EXACT_SECONDS:
        shift += 1
    return (shift << _BITS) + (seconds >> shift)


def _last_second(bin_: int) -> int:
    """The greatest duration that `_bin_of` puts there."""
    shift = max(0, (bin_ >> _BITS) - 1)
    return ((bin_ - (shift << _BITS) + 1) << shift) - 1
