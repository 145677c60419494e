"""A DataLoader that knows where it is: with workers, only whoever receives their batches does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from ais_assets.loader.device import features_of
from ais_assets.loader.world import World


class ResumableDataLoader(DataLoader):
    """`DataLoader(dataset, batch_size=None, …)` over a dataset of this package, with its state.

    Args:
        dataset: an `AISMDSDataset`, or another with its `state_dict` and `load_state_dict`.
        options: of `torch.utils.data.DataLoader`: num_workers, prefetch_factor, pin_memory and the like.
    """

    def __init__(self, dataset: Any, **options: Any) -> None:
        super().__init__(dataset, batch_size=None, **options)
        self._samples_yielded = 0

    def __iter__(self) -> Iterator[Any]:  # pyright: ignore[reportIncompatibleMethodOverride] - iterators differ there
        """The batches of the next epoch, or of the rest of one after `load_state_dict`."""
        self._samples_yielded = 0
        for batch in super().__iter__():
            self._samples_yielded += len(features_of(batch))
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Where the training loop is in the epoch, whatever the workers have read ahead."""
        dataset: Any = self.dataset
        ranks = World.detect().ranks // getattr(dataset, "replication", 1)
        return dataset.state_dict(self._samples_yielded * ranks)

    def load_state_dict(self, obj: dict[str, Any]) -> None:
        """Continues, at the next `iter`, where the state says."""
        dataset: Any = self.dataset
        dataset.load_state_dict(obj)
        self._samples_yielded = 0
