"""What the order of a job's epochs goes by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from ais_assets.loader.mds.partition import samples_of_rank
from ais_assets.loader.options import check_positive, count_of
from ais_assets.loader.world import World

_STRETCHES_OF_OLD: Final = 64
"""Canonical nodes a machine that mosaicml-streaming takes for its former shuffles, unless it is told."""


@dataclass(frozen=True)
class Order:
    """What the order of a job's epochs goes by; the names of the options are mosaicml-streaming's.

    Attributes:
        samples_per_shard: (shards,) int64.
        epoch_size: samples of an epoch.
        batch_size: samples a batch, on each rank.
        canonical_nodes: parts of the order that stay the same on any number of machines.
        seed: keys the shuffle, with the epoch's number.
        first_nodes: machines of the job's first run; None: this is the first.
        shuffle: whether samples are shuffled.
        shuffle_algo: how.
        given_block_size: how many samples are mixed, about; None: as many as `block_size` has it.
        partition_algo: "relaxed" or "orig".
        sampling_method: where an epoch has fewer or more samples than there are: "balanced" or "fixed".
        sampling_granularity: and from a shard how many at a time.
    """

    samples_per_shard: NDArray[np.int64]
    epoch_size: int
    batch_size: int
    canonical_nodes: int = 1
    seed: int = 9176
    first_nodes: int | None = None
    shuffle: bool = True
    shuffle_algo: str = "py1e"
    given_block_size: int | None = None
    partition_algo: str = "relaxed"
    sampling_method: str = "balanced"
    sampling_granularity: int = 1

    @property
    def samples(self) -> int:
        """Of the dataset."""
        return int(self.samples_per_shard.sum())

    @property
    def block_size(self) -> int:
        """How many samples are mixed, about."""
        return self.given_block_size or max(4_000_000 // self.canonical_nodes, 1 << 18)

    @property
    def kind(self) -> np.dtype:
        """An unsigned type that holds one number more than there are samples: a year's are 0.9 GB as int64."""
        return np.dtype(np.uint32 if self.samples < np.iinfo(np.uint32).max else np.uint64)

    @property
    def is_plain(self) -> bool:
        """Whether an epoch is every sample once, shuffled by py1e or not at all: made here, and not by the package."""
        return (
            self.epoch_size == self.samples
            and (not self.shuffle or self.shuffle_algo == "py1e")
            and self.epoch_size > self.canonical_nodes
        )

    @property
    def dealt_first(self) -> int | None:
        """Machines that an epoch is dealt out to before those of now share it; None: those of now alone."""
        return self.first_nodes if self.partition_algo == "relaxed" else None

    def resumed(self, *, canonical_nodes: int, seed: int, first_nodes: int | None) -> Self:
        """The order as a state that was loaded says."""
        return replace(self, canonical_nodes=canonical_nodes, seed=seed, first_nodes=first_nodes)


def first_order(
    samples_per_shard: NDArray[np.int64],
    world: World,
    batch_size: int,
    *,
    shuffle: bool,
    seed: int,
    epoch_size: int | str | None = None,
    sampling_method: str = "balanced",
    sampling_granularity: int = 1,
    partition_algo: str = "relaxed",
    num_canonical_nodes: int | None = None,
    shuffle_algo: str = "py1e",
    shuffle_block_size: int | None = None,
    batching_method: str = "random",
) -> Order:
    """The order of a job that begins on these ranks, by `streaming.StreamingDataset`'s options.

    Raises ValueError when an option cannot be, or would have samples come twice on a single rank.
    """
    for name, value, known in (
        ("batching_method", batching_method, ("random",)),
        ("sampling_method", sampling_method, ("balanced", "fixed")),
        ("partition_algo", partition_algo, ("relaxed", "orig")),
        ("shuffle_algo", shuffle_algo, ("py1e", "py1br", "py1s", "py2s", "naive")),
    ):
        if value not in known:
            many = "; over one dataset only 'random' delivers every sample" if name == "batching_method" else ""
            raise ValueError(f"{name} is {value!r}; there is {', '.join(map(repr, known))}{many}")
    if not 0 <= seed < 1 << 63:
        raise ValueError(f"seed is {seed}; it must be at least 0 and less than 2^63")
    check_positive(
        sampling_granularity=sampling_granularity,
        num_canonical_nodes=num_canonical_nodes,
        shuffle_block_size=shuffle_block_size,
    )
    samples = int(samples_per_shard.sum())
    of_epoch = samples if epoch_size is None else count_of("epoch_size", epoch_size)
    by_default = world.nodes * (_STRETCHES_OF_OLD if shuffle_algo in ("py1s", "py2s") else 1)
    canonical_nodes = num_canonical_nodes or by_default
    repeated = samples_of_rank(of_epoch, world, canonical_nodes) * world.ranks - of_epoch
    if world.ranks == 1 and repeated:
        raise ValueError(
            f"{canonical_nodes} canonical nodes would have {repeated} of {of_epoch:,} samples come twice: give "
            "num_canonical_nodes=1, or a divisor of the number of samples"
        )
    return Order(
        samples_per_shard,
        of_epoch,
        batch_size,
        canonical_nodes,
        seed,
        None,
        shuffle,
        shuffle_algo,
        shuffle_block_size,
        partition_algo,
        sampling_method,
        sampling_granularity,
    )
