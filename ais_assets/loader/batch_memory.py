"""Memory of batches that nobody has any more, for the next ones.

Fresh memory costs a page fault every 4 kB, which takes longer than to cut the windows that it is for; and threads that
cut them wait for one another there.
"""

from __future__ import annotations

import math
import mmap
import weakref
from collections import defaultdict
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray

_KINDS: Final = {torch.float32: np.float32, torch.int64: np.int64, torch.bool: np.bool_}
_MOST_KEPT: Final = 16
"""Blocks of a size that are kept for later; a loop has a few batches at a time."""


class BatchMemory:
    """Lends memory to tensors, and lends it again once the last tensor over it is gone."""

    def __init__(self) -> None:
        self._free: defaultdict[int, list[NDArray[np.uint8]]] = defaultdict(list)

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        """Another process has memory of its own."""
        return type(self), ()

    def tensor(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """A tensor of any content."""
        kind = np.dtype(_KINDS[dtype])
        size = max(1, math.prod(shape) * kind.itemsize)
        free = self._free[size]
        try:
            block = free.pop()
        except IndexError:
            block = np.frombuffer(mmap.mmap(-1, size), np.uint8)
        # A new array object, which the tensor keeps and nobody else has: its end is that of the last tensor over it.
        lent = block[: math.prod(shape) * kind.itemsize].view(kind).reshape(shape)
        weakref.finalize(lent, _give_back, free, block).atexit = False
        return torch.from_numpy(lent)


def _give_back(free: list[NDArray[np.uint8]], block: NDArray[np.uint8]) -> None:
    if len(free) < _MOST_KEPT:
        free.append(block)
