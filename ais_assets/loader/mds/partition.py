"""Which place of an epoch's order falls to which process: mosaicml-streaming's division, in a quarter of its memory.

Its rule ("relaxed", and "orig" where that is a special case of it): the order is cut into one stretch for each
canonical node, a number that stays the same when a job is resumed on other machines; the stretches are dealt out to
the machines, their samples in turn to the machine's ranks, and batches in turn to a rank's workers. What does not
divide is made up by samples that come twice. Where the rule leaves ranks with unequal shares, so that those with more
would wait for the others for ever, it is not followed: in the last batch of a job that is resumed on a number of
machines which the canonical nodes do not divide by (`evened`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ais_assets.loader.world import World

Places = NDArray[np.unsignedinteger]


def divided(
    samples: int,
    world: World,
    *,
    canonical_nodes: int,
    first_nodes: int | None,
    batch_size: int,
    before: int,
    kind: np.dtype,
) -> Places:
    """The places of an epoch's order, divided over processes.

    Args:
        samples: of the epoch; more than there are canonical nodes.
        world: the processes to divide among.
        canonical_nodes: stretches of the order; a multiple of the machines, or they of it.
        first_nodes: machines of the job's first run; None: these.
        batch_size: samples a batch.
        before: samples, on all ranks, that were yielded before.
        kind: an unsigned type that holds one number more than the samples.

    Returns:
        (nodes, ranks a node, workers a rank, batches a worker, batch size); the type's largest number pads.

    Raises ValueError when the numbers do not divide as they have to.
    """
    of_epoch: Any = {"canonical_nodes": canonical_nodes, "before": before, "kind": kind}
    if first_nodes is None or _divide(canonical_nodes, world.nodes):
        return _dealt(samples, world, world.nodes, batch_size=batch_size, **of_epoch)
    # As the first run had it, with its batches; then dealt out to the machines of now.
    global_batch = world.ranks * batch_size
    if global_batch % (first_nodes * world.ranks_per_node):
        raise ValueError(
            f"the batches of all ranks together, {global_batch} samples, do not divide among the {first_nodes} "
            f"machines of the job's first run with {world.ranks_per_node} ranks each: keep ranks × batch_size as it was"
        )
    of_first = global_batch // (first_nodes * world.ranks_per_node)
    first = _dealt(samples, world, first_nodes, batch_size=of_first, **of_epoch)
    in_turn = first.transpose(3, 2, 0, 1, 4).reshape(
        -1, world.workers_per_rank, world.nodes, world.ranks_per_node, batch_size
    )
    return evened(in_turn.transpose(2, 3, 1, 0, 4))


def evened(places: Places) -> Places:
    """The same places with equally many on each rank, for which some of the epoch's last come twice.

    (nodes, ranks a node, workers a rank, batches a worker, batch size), before as after; the type's largest number
    pads, at the end alone.
    """
    nodes, ranks_per_node, workers, _, batch_size = places.shape
    ranks, padding = nodes * ranks_per_node, np.iinfo(places.dtype).max
    batches = places.transpose(3, 2, 0, 1, 4).reshape(-1, ranks * batch_size)
    for batch in batches[-workers:]:
        left = batch[batch != padding]
        if 0 < len(left) < len(batch):
            each = -(-len(left) // ranks)
            of_ranks = batch.reshape(ranks, batch_size)
            of_ranks[:, :each] = np.resize(left, (ranks, each))
            of_ranks[:, each:] = padding
    return batches.reshape(-1, workers, nodes, ranks_per_node, batch_size).transpose(2, 3, 1, 0, 4)


def samples_of_rank(samples: int, world: World, canonical_nodes: int, first_nodes: int | None = None) -> int:
    """Samples of an epoch on each rank, those that come twice included; arguments as `divided`'s."""
    nodes = world.nodes if first_nodes is None or _divide(canonical_nodes, world.nodes) else first_nodes
    of_stretch = -(-samples // canonical_nodes)
    if canonical_nodes < nodes:
        parts = nodes // canonical_nodes
        of_stretch = -(-of_stretch // parts) * parts
    of_first = -(-(canonical_nodes * of_stretch // nodes) // world.ranks_per_node)
    return -(-of_first * nodes // world.nodes)


def _divide(canonical_nodes: int, nodes: int) -> bool:
    return canonical_nodes % nodes == 0 or nodes % canonical_nodes == 0


def _dealt(
    samples: int, world: World, nodes: int, *, canonical_nodes: int, batch_size: int, before: int, kind: np.dtype
) -> Places:
    """Places for so many machines, each with the ranks and workers of `world`."""
    if not _divide(canonical_nodes, nodes):
        raise ValueError(
            f"num_canonical_nodes is {canonical_nodes} and there are {nodes} machines: one must be a multiple of the "
            "other"
        )
    places = _stretches(samples, nodes, canonical_nodes, kind).T.reshape(-1)
    places = places[before - before % nodes :].reshape(-1, nodes).T
    places = _filled_up(places, -len(places[0]) % world.ranks_per_node, world.ranks_per_node)
    of_ranks = places.reshape(nodes, -1, world.ranks_per_node).transpose(0, 2, 1)
    step = world.workers_per_rank * batch_size
    missing = -of_ranks.shape[2] % step
    if missing:
        padding = np.full((nodes, world.ranks_per_node, missing), np.iinfo(kind).max, kind)
        of_ranks = np.concatenate([of_ranks, padding], 2)
    batches = of_ranks.reshape(nodes, world.ranks_per_node, -1, world.workers_per_rank, batch_size)
    return batches.transpose(0, 1, 3, 2, 4)


def _stretches(samples: int, nodes: int, canonical_nodes: int, kind: np.dtype) -> Places:
    """The places of each canonical node: (canonical nodes, places)."""
    length = -(-samples // canonical_nodes)
    parts = nodes // canonical_nodes if canonical_nodes < nodes else 1
    padding = -length % parts
    counts = np.arange(canonical_nodes + 1, dtype=np.int64) * samples // canonical_nodes
    stretches = np.empty((canonical_nodes, length + padding), kind)
    for row, begin, end in zip(stretches, counts, counts[1:], strict=False):
        row[:length] = np.arange(begin, begin + length, dtype=kind)
        if end - begin < length:
            row[length - 1] -= kind.type(1)
        if padding:
            row[length:] = row[length + 1 - parts - padding : length + 1 - parts].copy()
    return stretches


def _filled_up(places: Places, missing: int, ranks: int) -> Places:
    """The places of each machine, (nodes, n), with so many that come twice at the end."""
    if not missing:
        return places
    count = places.shape[1]
    if ranks + missing - 1 <= count:
        # Not the very last ones, or the same samples would be in the same batch.
        again = places[:, count - ranks - missing + 1 : count - ranks + 1]
    else:
        again = np.tile(places, (1, -(-missing // count)))[:, :missing]
    return np.concatenate([places, again], 1)
