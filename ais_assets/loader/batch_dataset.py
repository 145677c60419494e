"""What all datasets of batches have in common: their size, their memory, their way to a device, and their end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import torch
from torch.utils.data import IterableDataset, get_worker_info

from ais_assets.loader.batch_memory import BatchMemory
from ais_assets.loader.device import Batch, check_worker, delivered, destination
from ais_assets.loader.options import check_positive
from ais_assets.loader.world import World, check_not_shared_out_again


class BatchDataset(IterableDataset):
    """Batches for a plain loop or `DataLoader(dataset, batch_size=None)`, one epoch at a time.

    Args:
        batch_size: samples a batch, on each rank.
        drop_last: whether to drop an epoch's last batch if it is smaller.
        device: copy batches there, one ahead.
        pin_memory: make batches in pinned host memory.

    Raises ValueError for an option that cannot be.
    """

    def __init__(
        self, *, batch_size: int, drop_last: bool, device: str | torch.device | None, pin_memory: bool
    ) -> None:
        super().__init__()
        check_positive(batch_size=batch_size)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.device, self.pin_memory = destination(device, pin_memory)
        self._batch_memory = BatchMemory(pin_memory=self.pin_memory)
        self._world = World.detect()
        self._epochs_begun = 0

    def close(self) -> None:
        """Gives back what the dataset holds; it cannot be used afterwards."""

    def __enter__(self) -> Self:
        """The dataset, closed at the end of the `with` block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes it."""
        self.close()

    def _check_may_begin(self) -> None:
        """Raises ValueError where no epoch can be iterated: by this DataLoader worker, or this loader of accelerate."""
        if get_worker_info() is not None:
            check_worker(self.device, pin_memory=self.pin_memory)
        check_not_shared_out_again(self._world)

    def _delivered(self, batches: Iterator[Batch], device: torch.device | None) -> Iterator[Batch]:
        """The batches of the epoch that was begun last, on the device. Raises RuntimeError once another one is."""
        return delivered(batches, device, lambda: self._epochs_begun)
