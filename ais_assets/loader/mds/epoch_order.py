"""The order of an epoch's samples, mosaicml-streaming's own, and each process's part of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ais_assets.loader.errors import LoaderError
from ais_assets.loader.mds.order import Order
from ais_assets.loader.mds.partition import divided, evened
from ais_assets.loader.mds.py1e import py1e_order
from ais_assets.loader.mosaicml import order_of_samples
from ais_assets.loader.world import World

_PIECE: Final = 1 << 20
_DIMENSIONS: Final = 5
_HEAD_BYTES: Final = 8 * _DIMENSIONS


def epoch_order(order: Order, world: World, epoch: int, sample_in_epoch: int) -> NDArray[np.unsignedinteger]:
    """The samples of an epoch, or of what is left of it, divided over processes.

    Args:
        order: what it goes by.
        world: the processes to divide among.
        epoch: keys the shuffle.
        sample_in_epoch: samples, on all ranks, that were yielded before.

    Returns:
        (nodes, ranks a node, workers a rank, batches a worker, batch size) of the order's kind, whose largest number
        pads.
    """
    kind = order.kind
    if not order.is_plain:
        # Its padding, −1, becomes the largest number of an unsigned type.
        return evened(order_of_samples(order, world, epoch, sample_in_epoch).astype(kind))
    places = divided(
        order.epoch_size,
        world,
        canonical_nodes=order.canonical_nodes,
        first_nodes=order.dealt_first,
        batch_size=order.batch_size,
        before=sample_in_epoch,
        kind=kind,
    )
    places = np.ascontiguousarray(places)
    if order.shuffle:
        shuffled = py1e_order(
            order.samples_per_shard,
            canonical_nodes=order.canonical_nodes,
            seed=order.seed,
            epoch=epoch,
            block_size=order.block_size,
            kind=kind,
        )
        flat = places.reshape(-1)
        for begin in range(0, flat.size, _PIECE):
            piece = flat[begin : begin + _PIECE]
            there = piece != np.iinfo(piece.dtype).max
            piece[there] = shuffled[piece[there]]
    return places


def own_share(
    process: tuple[int, int, int],
    make: Callable[[], NDArray[np.unsignedinteger]] | None,
    path: Path,
    wait: Callable[[], None] | None,
    kind: np.dtype,
) -> NDArray[np.unsignedinteger]:
    """A process's samples, in order, of the order that one process of its machine makes for all of them.

    Args:
        process: its node, rank and worker.
        make: makes the order, of five dimensions, in one of the processes; None in the others.
        path: of a file in memory, which is there until all processes have their part.
        wait: returns when all of the machine's processes have called it; None: there is but this one.
        kind: the order's type.

    Raises LoaderError when the machine has too little shared memory.
    """
    if wait is None:
        assert make is not None
        return _without_padding(make()[process], kind)
    try:
        if make is not None:
            _write_order(path, make())
        wait()
        shape = tuple(np.fromfile(path, np.int64, _DIMENSIONS).tolist())
        # A map of no bytes cannot be.
        order = np.memmap(path, kind, "r", _HEAD_BYTES, shape) if all(shape) else np.empty(shape, kind)
        share = _without_padding(order[process], kind)
        wait()
        return share
    finally:
        if make is not None:
            path.unlink(missing_ok=True)


def _without_padding(order: NDArray[np.unsignedinteger], kind: np.dtype) -> NDArray[np.unsignedinteger]:
    return np.asarray(order[order != np.iinfo(kind).max])


def _write_order(path: Path, order: NDArray[np.unsignedinteger]) -> None:
    """The order with its shape before it, as a file in memory."""
    # Of a start whose processes were killed; one of them may still have it mapped, so it is not written over.
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        try:
            if hasattr(os, "posix_fallocate"):
                # Of what Linux only promises, a process may use too much, which kills it.
                os.posix_fallocate(file.fileno(), 0, _HEAD_BYTES + order.nbytes)
        except OSError as error:
            raise LoaderError(
                f"the machine's shared memory has no room for the epoch's order, {_HEAD_BYTES + order.nbytes:,} bytes "
                f"({error.strerror}): enlarge /dev/shm (docker run --shm-size, or an emptyDir of medium Memory), "
                "or iterate without DataLoader workers"
            ) from error
        np.array(order.shape, np.int64).tofile(file)
        np.ascontiguousarray(order).tofile(file)
