"""The order of an epoch, against mosaicml-streaming's own functions on shards, processes and blocks of any number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, example, given, reject, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ais_assets.loader.mds import py1e
from ais_assets.loader.mds.epoch_order import epoch_order
from ais_assets.loader.mds.order import Order
from ais_assets.loader.mds.partition import divided, samples_of_rank
from ais_assets.loader.mds.py1e import py1e_order
from ais_assets.loader.mosaicml import order_of_samples
from ais_assets.loader.world import World

KIND = np.dtype(np.uint32)
PADDING = np.iinfo(KIND).max

MANY_SHARDS = np.arange(400, dtype=np.int64) * 7 % 40 + 1
"""Of more samples than are sorted at once."""
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
@example(sizes=MANY_SHARDS, nodes=1, seed=9176, epoch=0, block=60, at_once=1)
@example(sizes=MANY_SHARDS, nodes=3, seed=7, epoch=2, block=300, at_once=1)
@example(sizes=MANY_SHARDS, nodes=2, seed=7, epoch=1, block=2, at_once=500)
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
    canonical=st.sampled_from([1, 2, 3, 4, 6]),
    nodes=st.integers(1, 4),
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
    ours = np.where(ours == PADDING, -1, ours.astype(np.int64))
    if first_nodes is None or canonical % nodes == 0 or nodes % canonical == 0:
        assert np.array_equal(ours, stock)
        return
    # As a job has it that is resumed on so many machines: but for the last batch, of which stock gives some ranks less.
    for of_ours, of_stock in zip(in_turn(ours), in_turn(stock), strict=True):
        if (of_stock >= 0).all() or (of_stock < 0).all():
            assert np.array_equal(of_ours, of_stock)
        else:
            assert set(of_ours[of_ours >= 0]) == set(of_stock[of_stock >= 0])
            assert len(set((of_ours >= 0).sum(axis=1))) == 1


def in_turn(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Batches one after the other: (batches, ranks, batch size)."""
    nodes, ranks, *_, size = order.shape
    return order.transpose(3, 2, 0, 1, 4).reshape(-1, nodes * ranks, size)


@given(
    samples=st.integers(7, 400),
    canonical=st.integers(1, 6),
    world=st.builds(World, st.integers(1, 5), st.integers(1, 3), st.integers(1, 3), st.just(0)),
    batch=st.sampled_from([1, 2, 6, 12]),
    first_nodes=st.sampled_from([None, 1, 2, 3, 4]),
    steps=st.integers(0, 3),
)
def test_ranks_have_equally_many_samples_and_all_of_them(
    samples: int, canonical: int, world: World, batch: int, first_nodes: int | None, steps: int
) -> None:
    options: dict[str, Any] = {"canonical_nodes": canonical, "first_nodes": first_nodes}
    of_epoch: dict[str, Any] = {**options, "batch_size": batch, "kind": KIND}
    try:
        whole = divided(samples, world, before=0, **of_epoch)
    except ValueError:
        # Neither the machines of now nor the first ones divide by the canonical nodes, or batches do not by them.
        reject()
    counts = (whole != PADDING).sum(axis=(2, 3, 4))
    assert np.all(counts == samples_of_rank(samples, world, canonical, first_nodes))
    assert np.array_equal(np.unique(whole[whole != PADDING]), np.arange(samples))
    before = min(steps, int(counts.flat[0]) // batch) * batch * world.ranks
    rest = divided(samples, world, before=before, **of_epoch)
    assert np.all((rest != PADDING).sum(axis=(2, 3, 4)) == counts - before // world.ranks)


@pytest.mark.parametrize(
    ("first_nodes", "why"),
    [
        (None, "num_canonical_nodes is 2 and there are 3 machines: one must be a multiple of the other"),
        (2, "12 samples, do not divide among the 2 machines of the job's first run with 4 ranks each: keep ranks"),
    ],
)
def test_what_does_not_divide_is_said(first_nodes: int | None, why: str) -> None:
    of_epoch: dict[str, Any] = {"canonical_nodes": 2, "first_nodes": first_nodes, "batch_size": 1, "kind": KIND}
    with pytest.raises(ValueError, match=why):
        divided(100, World(3, 4, 1, 0), before=0, **of_epoch)


@pytest.mark.parametrize(
    "change", [{"epoch_size": 7}, {"epoch_size": 70}, {"shuffle_algo": "py1s"}, {"canonical_nodes": 30}]
)
def test_another_kind_of_epoch_is_left_to_mosaicml_streaming(change: dict[str, Any]) -> None:
    order = order_over(np.array([10, 10, 10]), 1, 4)
    assert order.is_plain
    assert not replace(order, **change).is_plain


@pytest.mark.parametrize("size", [25, 27, 70, 71])
def test_ranks_have_equally_many_of_another_kind_of_epoch(size: int) -> None:
    """Of one that was begun on three machines, on two."""
    world = World(2, 1, 2, 0)
    order = replace(order_over(np.array([10, 10, 10]), 3, 3, first_nodes=3), epoch_size=size)
    counts = (epoch_order(order, world, 0, 0) != PADDING).sum(axis=(2, 3, 4))
    assert counts.tolist() == [[samples_of_rank(size, world, 3, 3)]] * 2


def test_blocks_smaller_than_shards_are_said_so() -> None:
    with pytest.warns(UserWarning, match="shuffle_block_size=4 is less than a shard"):
        py1e_order(np.array([10, 10]), canonical_nodes=1, seed=0, epoch=0, block_size=4, kind=KIND)
