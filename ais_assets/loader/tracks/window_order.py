"""Which window comes at which place of an epoch, computed and not stored."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ais_assets.loader.tracks.permutation import Permutation


class WindowOrder(Protocol):
    """A function of (epoch, place)."""

    def windows(self, epoch: int, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The windows at these places of an epoch, in whatever order they are asked for: int64 (k,)."""
        ...


class PassOrder:
    """Every window once a pass, in a new random order each (or in the dataset's); epochs cut the passes up.

    Args:
        windows: their number.
        epoch_size: places of an epoch: its places are those that follow the former epoch's in the passes, so that an
            epoch of all windows is a pass, and others hold every window as often as any other, but for 1.
        seed: keys the order.
        shuffle: False: the dataset's order.
    """

    def __init__(self, windows: int, epoch_size: int, *, seed: int, shuffle: bool) -> None:
        self._windows = windows
        self._epoch_size = epoch_size
        self._seed = seed
        self._shuffle = shuffle
        self._last: tuple[int, Permutation] | None = None

    def windows(self, epoch: int, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """As `WindowOrder.windows`."""
        passes, within = np.divmod(epoch * self._epoch_size + places, self._windows)
        if not self._shuffle:
            return within
        if len(passes) and (passes == passes[0]).all():
            return self._permutation(int(passes[0])).at(within)
        windows = np.empty(len(places), np.int64)
        for number in np.unique(passes).tolist():
            there = passes == number
            windows[there] = self._permutation(number).at(within[there])
        return windows

    def _permutation(self, number: int) -> Permutation:
        last = self._last
        if last is None or last[0] != number:
            last = self._last = number, Permutation(self._seed, number, self._windows)
        return last[1]
