"""The memory that batches are made in: what nobody has any more, for the next ones.

Fresh memory costs a page fault every 4 kB, which takes longer than to cut the windows that it is for; and threads that
cut them wait for one another there.
"""

from __future__ import annotations

import math
import mmap
from collections import defaultdict
from contextlib import suppress
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import get_worker_info

_KINDS: Final = {torch.float32: np.float32, torch.int64: np.int64, torch.bool: np.bool_}
_HUGE_PAGE: Final = 1 << 21
"""Memory in pages of this size, where the system has them, is found by one entry of the processor's table of addresses
in place of 512: two threads cut windows 6 % faster for it in batches of 64, 16 % in batches of 256."""
_MOST_KEPT: Final = 16
"""Blocks of a size that are kept for later; a loop has a few batches at a time."""


class BatchMemory:
    """Lends memory to tensors, and lends it again once the last tensor over it is gone.

    Pinned memory is lent again by torch. A DataLoader worker's tensors go to another process, and are made where that
    one can see them, so that they are not copied on their way there.

    Args:
        pin_memory: whether it is to be pinned.
    """

    def __init__(self, *, pin_memory: bool = False) -> None:
        self._pin_memory = pin_memory
        self._free: defaultdict[int, list[mmap.mmap]] = defaultdict(list)

    def __getstate__(self) -> dict[str, bool]:
        """Another process has memory of its own."""
        return {"pin_memory": self._pin_memory}

    def __setstate__(self, state: dict[str, bool]) -> None:
        """Has none yet."""
        self.__init__(**state)

    def tensor(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """A tensor of any content."""
        if self._pin_memory:
            return torch.empty(shape, dtype=dtype, pin_memory=True)
        if get_worker_info() is not None:
            return torch.empty(shape, dtype=dtype).share_memory_()
        return torch.from_numpy(self._lent(shape, np.dtype(_KINDS[dtype])))

    def column(self, values: NDArray[np.int64]) -> torch.Tensor:
        """A tensor with these values, (n,) int64."""
        column = self.tensor(values.shape, torch.int64)
        column.numpy()[:] = values
        return column

    def _lent(self, shape: tuple[int, ...], kind: np.dtype) -> NDArray:
        size = math.prod(shape) * kind.itemsize
        free = self._free[size]
        try:
            block = free.pop()
        except IndexError:
            block = _fresh(size)
        lent = _Lent(shape, kind, block)
        lent.free, lent.block = free, block
        return lent


def _fresh(size: int) -> mmap.mmap:
    """Memory for so many bytes, in whole huge pages where it is half of one or more."""
    if size >= _HUGE_PAGE // 2:
        size = -(-size // _HUGE_PAGE) * _HUGE_PAGE
    # Private: what a process forks shall not write into its batches.
    block = mmap.mmap(-1, max(1, size), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if size >= _HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):
        # A Linux that was built without them refuses; the memory is as good.
        with suppress(OSError):
            block.madvise(mmap.MADV_HUGEPAGE)
    return block


class _Lent(np.ndarray):
    """An array that the tensor keeps and nobody else has: its end is that of the last tensor over it."""

    free: list[mmap.mmap]
    block: mmap.mmap

    def __del__(self) -> None:
        if len(self.free) < _MOST_KEPT:
            self.free.append(self.block)
