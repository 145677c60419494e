"""Which windows the tracks hold, for any geometry: how many, and where the n-th one begins.

Windows are numbered by (shard, track, start). The number of windows before each track is all that is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.loader.options import check_positive
from ais_assets.loader.tracks.packed_tracks import PackedTracks, first_row_from
from ais_assets.transforms.windows import window_counts

HOLDOUT: Final = "holdout"
"""Windows that begin in held-out time, of all vessels; windows that reach into it from before are in no split."""
SPLITS: Final = (*schema.SPLITS, HOLDOUT)


@dataclass(frozen=True)
class Geometry:
    """What a window is: positions to see, positions to forecast, and from one window's start to the next one's.

    With `every_seconds`, steps of that many seconds in place of positions; they are interpolated over silences of at
    most `max_silence_seconds`. Raises ValueError for a number that cannot be.
    """

    seq_len: int
    max_horizon: int
    stride: int
    every_seconds: int | None = None
    max_silence_seconds: int = schema.MAX_GAP_SECONDS

    def __post_init__(self) -> None:
        check_positive(
            seq_len=self.seq_len,
            max_horizon=self.max_horizon,
            stride=self.stride,
            every_seconds=self.every_seconds,
            max_silence_seconds=self.max_silence_seconds,
        )

    @property
    def window_len(self) -> int:
        """Positions (or steps) of a window."""
        return self.seq_len + self.max_horizon

    @property
    def name(self) -> str:
        """For files that are made for it."""
        times = "" if self.every_seconds is None else f"-{self.every_seconds}s-{self.max_silence_seconds}s"
        return f"{self.seq_len}-{self.max_horizon}-{self.stride}{times}"


class Stretches(NamedTuple):
    """Parts of tracks that windows are cut from: one entry each, in the order of rows."""

    track: NDArray[np.int64]
    """Its place among the packed tracks."""
    begin: NDArray[np.int64]
    """Where its first window begins: a row; on a time grid a step, Unix time over `every_seconds`."""
    windows: NDArray[np.int64]
    """How many it has, 1 or more."""


class WindowPlan:
    """The windows of a split.

    Attributes:
        geometry: what a window is.
        stretches: what they are cut from.
        windows: their number.
    """

    def __init__(self, geometry: Geometry, stretches: Stretches) -> None:
        some = stretches.windows > 0
        self.geometry = geometry
        self.stretches = Stretches._make(column[some] for column in stretches)
        self._ends = np.cumsum(self.stretches.windows)
        self.windows = int(self._ends[-1]) if len(self._ends) else 0

    def locate(self, windows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The stretch of each of these windows, and where it begins there, as `Stretches.begin`: int64 (k,) each."""
        stretch = np.empty(len(windows), np.int64)
        begin = np.empty(len(windows), np.int64)
        _locate(windows, (self._ends, self.stretches.begin), self.geometry.stride, stretch, begin)
        return stretch, begin


def position_plan(tracks: PackedTracks, geometry: Geometry, split: str, holdout_from: int | None) -> WindowPlan:
    """The windows of consecutive positions of a split.

    Args:
        tracks: all tracks.
        geometry: without `every_seconds`.
        split: one of `SPLITS`.
        holdout_from: when held-out time begins, Unix time in seconds; None: there is none.

    Raises ValueError for another split.
    """
    before = _positions_before(tracks, holdout_from)
    first, count = share_of_split(tracks.split, geometry, split, tracks.count, before)
    return WindowPlan(geometry, Stretches(np.arange(len(first)), tracks.row + first * geometry.stride, count))


def share_of_split(
    of: NDArray[np.int64], geometry: Geometry, split: str, positions: NDArray[np.int64], before: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The number of a split's first window in each stretch, and how many it has there: int64 (stretches,) each.

    Args:
        of: each stretch's split, as `PackedTracks.split`.
        geometry: what a window is.
        split: one of `SPLITS`.
        positions: of each stretch; on a time grid its steps.
        before: how many of them are before held-out time.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; it must be one of {', '.join(SPLITS)}")
    if split == HOLDOUT:
        windows = window_counts(positions, geometry.window_len, geometry.stride)
        first = -(-before // geometry.stride)
        return first, np.maximum(windows - first, 0)
    windows = window_counts(before, geometry.window_len, geometry.stride)
    return np.zeros_like(windows), np.where(of == schema.SPLITS.index(split), windows, 0)


def _positions_before(tracks: PackedTracks, holdout_from: int | None) -> NDArray[np.int64]:
    """How many positions each track has before held-out time."""
    before = tracks.count.copy()
    if holdout_from is None:
        return before
    starts = tracks.start
    before[starts >= holdout_from] = 0
    for number in np.flatnonzero((starts < holdout_from) & (tracks.end >= holdout_from)).tolist():
        row, count, start = (int(column[number]) for column in (tracks.row, tracks.count, starts))
        before[number] = first_row_from(tracks.rows, (row, count, start), holdout_from) - row
    return before


# With Python's lock held, as `_permute` of permutation.
@njit(cache=True)
def _locate(
    windows: NDArray[np.int64],
    stretches: tuple[NDArray[np.int64], NDArray[np.int64]],
    stride: int,
    stretch: NDArray[np.int64],
    begin: NDArray[np.int64],
) -> None:
    """`stretches`: how many windows there are up to the end of each, and where its first one begins."""
    ends, begins = stretches
    for k in range(len(windows)):
        low, high = 0, len(ends) - 1
        while low < high:
            middle = (low + high) >> 1
            if ends[middle] <= windows[k]:
                low = middle + 1
            else:
                high = middle
        number = windows[k] - (ends[low - 1] if low else 0)
        stretch[k] = low
        begin[k] = begins[low] + number * stride
