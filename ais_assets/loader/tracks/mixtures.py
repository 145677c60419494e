"""Several datasets in given shares, as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ais_assets.loader.device import Batch
from ais_assets.loader.tracks.dataset import TrackWindowDataset
from ais_assets.loader.tracks.epochs import EpochDataset
from ais_assets.loader.tracks.permutation import Permutation

SOURCE = "dataset"
"""What says of a window which of the datasets it is from, in batches with more than features."""


class WindowMixture(EpochDataset):
    """Windows of several datasets in given shares, with the guarantees of each.

    An epoch holds exactly its share of each dataset, in a random order over all of them. A dataset's own epochs follow
    one another whatever the mixture's are: each of its windows comes once before any comes again (or is drawn by its
    weights). The datasets' own batch sizes, devices and threads are of no account.

    Args:
        datasets: with windows of one length, the same features and the same else asked for.
        shares: of each, above 0; only how they relate to one another counts.
        batch_size: windows a batch, on each rank.
        epoch_size: windows of an epoch; None: as many as the datasets' epochs together.
        seed: keys the order over the datasets.
        drop_last, device, pin_memory, threads: as `TrackWindowDataset` has them.

    Yields:
        as the datasets do; where they yield more than features, also "dataset", int64 (B,): which one it is from.

    Raises ValueError where the datasets do not go together, or a share cannot be.
    """

    def __init__(
        self,
        datasets: Sequence[TrackWindowDataset],
        shares: Sequence[float],
        batch_size: int = 64,
        *,
        epoch_size: int | None = None,
        seed: int = 9176,
        drop_last: bool = False,
        device: str | torch.device | None = None,
        pin_memory: bool = False,
        threads: int | None = None,
    ) -> None:
        _check_alike(datasets)
        self._datasets = tuple(datasets)
        places = sum(dataset.places for dataset in datasets) if epoch_size is None else epoch_size
        self._counts = _shared_out(shares, len(datasets), places)
        self._ends = np.cumsum(self._counts)
        self._seed = seed
        super().__init__(
            places,
            batch_size=batch_size,
            drop_last=drop_last,
            device=device,
            pin_memory=pin_memory,
            threads=threads,
        )

    @property
    def counts(self) -> tuple[int, ...]:
        """Windows of each dataset in an epoch."""
        return tuple(self._counts.tolist())

    def drawn_report(self) -> list[str]:
        """What each dataset gives of every epoch, a line each."""
        return [
            f"dataset {number}: {count:,} of {self.places:,} windows, {count / self.places:.2%}"
            for number, count in enumerate(self.counts)
        ]

    def batches_of(self, epoch: int, stretches: Sequence[tuple[int, int]]) -> Iterator[Batch]:
        """As `EpochDataset.batches_of`."""
        return (self._batch_of(epoch, *stretch) for stretch in stretches)

    def _batch_of(self, epoch: int, first: int, last: int) -> Batch:
        numbers = Permutation(self._seed, epoch, self.places).at(np.arange(first, last))
        of = np.searchsorted(self._ends, numbers, side="right")
        batch: dict[str, torch.Tensor] = {}
        for source in np.unique(of).tolist():
            there = np.flatnonzero(of == source)
            within = numbers[there] - (self._ends[source] - self._counts[source])
            part = self._datasets[source].at_places(epoch * int(self._counts[source]) + within)
            features, others = part if isinstance(part, tuple) else (part, {})
            for name, tensor in {"": features, **others}.items():
                if name not in batch:
                    shape = len(numbers), *tensor.shape[1:]
                    batch[name] = self._batch_memory.tensor(shape, tensor.dtype)
                batch[name][torch.from_numpy(there)] = tensor
        features = batch.pop("")
        if not batch:
            return features
        batch[SOURCE] = self._batch_memory.tensor((len(numbers),), torch.int64)
        batch[SOURCE].numpy()[:] = of
        return features, batch

    def identity(self) -> dict[str, Any]:
        """As `EpochDataset.identity`."""
        return {
            "mixture": [dataset.identity() for dataset in self._datasets],
            "counts": list(self.counts),
            "epoch_size": self.places,
            "seed": self._seed,
        }


def _check_alike(datasets: Sequence[TrackWindowDataset]) -> None:
    if not datasets:
        raise ValueError("a mixture of no datasets; give one or more")
    first, *others = ((of.window_len, of.features, of.mask, of.times, of.provenance) for of in datasets)
    for number, other in enumerate(others, 1):
        if other != first:
            raise ValueError(
                f"dataset {number} has (window, features, mask, times, provenance) = {other}, dataset 0 {first}: they "
                "must be the same in a mixture"
            )


def _shared_out(shares: Sequence[float], datasets: int, places: int) -> NDArray[np.int64]:
    """Windows of each dataset: whole numbers that add up, each off its exact share by less than 1."""
    exact = np.asarray(shares, np.float64)
    if len(exact) != datasets or not np.isfinite(exact).all() or (exact <= 0).any():
        raise ValueError(f"shares are {list(shares)}; there must be one above 0 for each of {datasets} datasets")
    exact = exact * (places / exact.sum())
    counts = np.floor(exact).astype(np.int64)
    most_left = np.argsort(counts - exact, kind="stable")
    counts[most_left[: places - int(counts.sum())]] += 1
    return counts
