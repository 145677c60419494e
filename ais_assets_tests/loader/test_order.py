"""The order of an epoch, against mosaicml-streaming's own functions on shards, processes and blocks of any number."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from streaming.base.batching.random import generate_work_random_batching
from streaming.base.shuffle.py1e import get_shuffle_py1e
from streaming.base.spanner import Spanner
from streaming.base.world import World

from ais_assets.loader import order as loader_order
from ais_assets.loader.order import ShardBounds, epoch_order, is_plain, py1e_order

KIND = np.dtype(np.uint32)
PADDING = np.iinfo(KIND).max

shards = st.lists(st.integers(1, 40), min_size=1, max_size=40).map(lambda sizes: np.array(sizes, np.int64))


@dataclass
class AnEpoch:
    """What mosaicml-streaming asks a dataset for when it makes an epoch of every sample once."""

    samples_per_shard: NDArray[np.int64]
    num_canonical_nodes: int
    batch_size: int
    shuffle: bool = True
    shuffle_algo: str = "py1e"
    shuffle_seed: int = 9176
    shuffle_block_size: int = 100
    partition_algo: str = "relaxed"
    batching_method: str = "random"
    initial_physical_nodes: int | None = None
    num_streams: int = 1
    streams: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Takes every sample once."""
        self.num_samples = self.epoch_size = int(self.samples_per_shard.sum())
        self.streams = [SimpleNamespace(choose=self.num_samples)]

    def resample_streams(self, _epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The shards' samples, and which sample each one is."""
        return self.samples_per_shard, np.arange(self.num_samples)


@pytest.mark.filterwarnings("ignore:.*block size was smaller:UserWarning", "ignore:shuffle_block_size:UserWarning")
@given(
    sizes=shards,
    nodes=st.integers(1, 8),
    seed=st.integers(0, 2**32),
    epoch=st.integers(0, 5),
    block=st.integers(2, 600),
    at_once=st.integers(1, 300),
)
@settings(deadline=None)
def test_the_shuffle_is_py1e(
    sizes: NDArray[np.int64], nodes: int, seed: int, epoch: int, block: int, at_once: int
) -> None:
    assume(sizes.sum() > nodes)
    with mock.patch.object(loader_order, "_SORTED_AT_ONCE", at_once):
        ours = py1e_order(sizes, canonical_nodes=nodes, seed=seed, epoch=epoch, block_size=block, kind=KIND)
    assert ours.dtype == KIND
    assert ours.tolist() == get_shuffle_py1e(sizes, nodes, seed, epoch, block).tolist()


@pytest.mark.filterwarnings("ignore:.*block size was smaller:UserWarning", "ignore:shuffle_block_size:UserWarning")
@pytest.mark.filterwarnings("ignore:Attempting to partition:UserWarning")
@given(
    sizes=shards,
    canonical=st.sampled_from([1, 2, 4]),
    nodes=st.sampled_from([1, 2, 4]),
    ranks=st.integers(1, 4),
    workers=st.integers(1, 3),
    batch=st.integers(1, 9),
    shuffle=st.booleans(),
    already=st.integers(0, 1),
)
@settings(deadline=None)
def test_the_division_is_mosaicml_streamings(
    sizes: NDArray[np.int64],
    canonical: int,
    nodes: int,
    ranks: int,
    workers: int,
    batch: int,
    shuffle: bool,
    already: int,
) -> None:
    assume(sizes.sum() > max(canonical, nodes) * ranks)
    epoch = cast("Any", AnEpoch(sizes, canonical, batch, shuffle=shuffle))
    assert is_plain(epoch)
    world = World(num_nodes=nodes, ranks_per_node=ranks, workers_per_rank=workers, worker=0)
    yielded = already * nodes * ranks
    try:
        stock = generate_work_random_batching(epoch, world, 3, yielded)
    except ValueError:
        # It cannot divide so few samples at all, such as five of one canonical node among four.
        reject()
    ours = epoch_order(epoch, world, 3, yielded, KIND)
    assert ours.shape == stock.shape
    assert np.array_equal(np.where(ours == PADDING, -1, ours.astype(np.int64)), stock)


@pytest.mark.parametrize(
    "change",
    [
        {"epoch_size": 7},
        {"streams": [SimpleNamespace(choose=7)]},
        {"num_streams": 2},
        {"shuffle_algo": "py1s"},
        {"batching_method": "stratified"},
        {"num_canonical_nodes": 30},
    ],
)
def test_another_kind_of_epoch_is_left_to_mosaicml_streaming(change: dict[str, Any]) -> None:
    epoch = cast("Any", AnEpoch(np.array([10, 10, 10]), 1, 4))
    assert is_plain(epoch)
    for name, value in change.items():
        setattr(epoch, name, value)
    assert not is_plain(epoch)


def test_blocks_smaller_than_shards_are_said_so() -> None:
    with pytest.warns(UserWarning, match="shuffle_block_size=4 is less than a shard"):
        py1e_order(np.array([10, 10]), canonical_nodes=1, seed=0, epoch=0, block_size=4, kind=KIND)


@given(sizes=st.lists(st.integers(0, 40), min_size=1, max_size=40).map(lambda sizes: np.array(sizes, np.int64)))
def test_a_samples_shard_is_the_one_that_mosaicml_streaming_finds(sizes: NDArray[np.int64]) -> None:
    assume(sizes.sum() > 0)
    ours, stock = ShardBounds(sizes), Spanner(sizes, span_size=8)
    assert [ours[sample] for sample in range(sizes.sum())] == [stock[sample] for sample in range(sizes.sum())]
    for beyond in (-1, int(sizes.sum())):
        with pytest.raises(IndexError, match=f"no sample {beyond} of"):
            ours[beyond]
