"""The order of an epoch, against mosaicml-streaming's own functions on shards, processes and blocks of any number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ais_assets.loader.mds import py1e
from ais_assets.loader.mds.epoch_order import epoch_order
from ais_assets.loader.mds.order import Order
from ais_assets.loader.mds.py1e import py1e_order
from ais_assets.loader.mosaicml import order_of_samples
from ais_assets.loader.world import World

KIND = np.dtype(np.uint32)
PADDING = np.iinfo(KIND).max

shards = st.lists(st.integers(1, 40), min_size=1, max_size=40).map(lambda sizes: np.array(sizes, np.int64))


def order_over(sizes: NDArray[np.int64], canonical: int, batch: int, **options: Any) -> Order:
    """The order of every sample once, in blocks of a hundred."""
    return Order(sizes, int(sizes.sum()), batch, canonical, given_block_size=100, **options)


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
    from streaming.base.shuffle.py1e import get_shuffle_py1e

    assume(sizes.sum() > nodes)
    with mock.patch.object(py1e, "_SORTED_AT_ONCE", at_once):
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
    already=st.integers(0, 7),
    first_nodes=st.sampled_from([None, 1, 2, 3]),
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
    first_nodes: int | None,
) -> None:
    assume(sizes.sum() > max(canonical, nodes) * ranks)
    order = order_over(sizes, canonical, batch, shuffle=shuffle, first_nodes=first_nodes)
    assert order.is_plain
    world = World(nodes, ranks, workers, 0)
    yielded = already * nodes * ranks
    try:
        stock = order_of_samples(order, world, 3, yielded)
    except ValueError:
        # It cannot divide so few samples at all, such as five of one canonical node among four.
        reject()
    ours = epoch_order(order, world, 3, yielded)
    assert ours.shape == stock.shape
    assert np.array_equal(np.where(ours == PADDING, -1, ours.astype(np.int64)), stock)


@pytest.mark.parametrize(
    "change", [{"epoch_size": 7}, {"epoch_size": 70}, {"shuffle_algo": "py1s"}, {"canonical_nodes": 30}]
)
def test_another_kind_of_epoch_is_left_to_mosaicml_streaming(change: dict[str, Any]) -> None:
    order = order_over(np.array([10, 10, 10]), 1, 4)
    assert order.is_plain
    assert not replace(order, **change).is_plain


def test_blocks_smaller_than_shards_are_said_so() -> None:
    with pytest.warns(UserWarning, match="shuffle_block_size=4 is less than a shard"):
        py1e_order(np.array([10, 10]), canonical_nodes=1, seed=0, epoch=0, block_size=4, kind=KIND)
