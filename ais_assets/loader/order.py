"""The order of an epoch's samples: mosaicml-streaming's own, number for number, in a third of its memory.

Its default shuffle (py1e) mixes the samples of shards that are near one another in a random order of the shards: every
sample is moved by a random distance within a block. It sorts a canonical node's samples at once, as 8-byte numbers,
with several copies. No sample moves further than a block, so here they are sorted block by block, in threads, and by
whole numbers first.
"""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from streaming.base import dataset as streaming_dataset
from streaming.base.partition import get_partitions
from streaming.base.shared import SharedMemory
from streaming.base.shuffle.py1s import divide_spans
from streaming.base.spanner import Spanner
from streaming.base.world import World

from ais_assets.loader.remote import LoaderError

if TYPE_CHECKING:
    from streaming import StreamingDataset

Span = tuple[int, int]
"""Samples of (a part of) a shard: the first, and the last + 1."""
_SHORTEST, _LONGEST = 0.75, 1.25
"""Lengths of py1e's blocks, as parts of block_size."""
_SORTED_AT_ONCE: Final = 1 << 20
_THREADS: Final = 4
_PIECE: Final = 1 << 20
_DIMENSIONS: Final = 5
_HEAD_BYTES: Final = 8 * _DIMENSIONS
_U: Final = np.uint64
"""Of indices: over signed ones, loops allow for counting from the end, which costs more than what they do."""


class _Chunk(NamedTuple):
    """Some samples of a canonical node: where in its order they begin, where each lands, and which it is."""

    begin: int
    places: NDArray[np.float64]
    samples: NDArray[np.unsignedinteger]


class ShardBounds(Spanner):
    """The map from a sample to its shard and its number there, as mosaicml-streaming's.

    That one makes an array of all samples for a moment: 0.9 GB and up to two seconds for a year.
    """

    def __init__(self, shard_sizes: NDArray[np.int64]) -> None:
        self.num_samples = int(shard_sizes.sum())
        self.shard_bounds = np.append(0, shard_sizes.cumsum())

    def __getitem__(self, index: int) -> tuple[int, int]:
        """The sample's shard, and its number there. Raises IndexError when there is no such sample."""
        if not 0 <= index < self.num_samples:
            raise IndexError(f"there is no sample {index} of {self.num_samples:,}")
        shard = int(np.searchsorted(self.shard_bounds, index, side="right")) - 1
        return shard, int(index - self.shard_bounds[shard])


@contextmanager
def bounds_for_spans() -> Iterator[None]:
    """Lets a dataset that is constructed meanwhile have `ShardBounds`: it takes no other map by argument."""
    streaming_dataset.Spanner = ShardBounds  # pyright: ignore[reportPrivateImportUsage]
    try:
        yield
    finally:
        streaming_dataset.Spanner = Spanner  # pyright: ignore[reportPrivateImportUsage]


def is_plain(dataset: StreamingDataset) -> bool:
    """Whether an epoch of the dataset is every sample once, shuffled by py1e or not at all."""
    return (
        dataset.num_streams == 1
        and dataset.streams[0].choose == dataset.epoch_size == dataset.num_samples
        and dataset.batching_method == "random"
        and (not dataset.shuffle or dataset.shuffle_algo == "py1e")
        and dataset.num_samples > (dataset.num_canonical_nodes or 1)
    )


def epoch_order(
    dataset: StreamingDataset, world: World, epoch: int, sample_in_epoch: int, kind: np.dtype
) -> NDArray[np.unsignedinteger]:
    """The samples of a plain epoch, or of what is left of it, divided over processes.

    Args:
        dataset: see `is_plain`.
        world: the processes to divide among.
        epoch: keys the shuffle.
        sample_in_epoch: samples, on all ranks, that were yielded before.
        kind: an unsigned type that holds one number more than the dataset's samples.

    Returns:
        (nodes, ranks a node, workers a rank, batches a worker, batch size); the type's largest number pads.
    """
    assert dataset.num_canonical_nodes is not None
    assert dataset.batch_size is not None
    # Its padding, −1, becomes the largest number of an unsigned type.
    places = get_partitions(
        dataset.partition_algo,
        dataset.epoch_size,
        dataset.num_canonical_nodes,
        world.num_nodes,
        world.ranks_per_node,
        world.workers_per_rank,
        dataset.batch_size,
        sample_in_epoch,
        dataset.initial_physical_nodes,
    ).astype(kind, order="C")
    if dataset.shuffle:
        assert dataset.shuffle_block_size is not None
        shuffled = py1e_order(
            dataset.samples_per_shard,
            canonical_nodes=dataset.num_canonical_nodes,
            seed=dataset.shuffle_seed,
            epoch=epoch,
            block_size=dataset.shuffle_block_size,
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
    name: str,
    wait: Callable[[], None] | None,
    kind: np.dtype,
) -> NDArray[np.unsignedinteger]:
    """A process's samples, in order, of the order that one process of its machine makes for all of them.

    Args:
        process: its node, rank and worker.
        make: makes the order, of five dimensions, in one of the processes; None in the others.
        name: of shared memory, which is there until all processes have their part.
        wait: returns when all of the machine's processes have called it; None: there is but this one.
        kind: the order's type.

    Raises LoaderError when the machine has too little shared memory.
    """
    if wait is None:
        assert make is not None
        return _without_padding(make()[process], kind)
    memory: SharedMemory | None = None
    try:
        if make is None:
            wait()
            memory = SharedMemory(name, create=False, auto_cleanup=False)
            shape = np.ndarray(_DIMENSIONS, np.int64, memory.buf).tolist()
        else:
            made = make()
            shape = made.shape
            memory = _new_memory(name, _HEAD_BYTES + made.nbytes)
            np.ndarray(_DIMENSIONS, np.int64, memory.buf)[:] = shape
            np.ndarray(shape, kind, memory.buf, _HEAD_BYTES)[:] = made
            del made
            wait()
        share = _without_padding(np.ndarray(shape, kind, memory.buf, _HEAD_BYTES)[process], kind)
        wait()
        return share
    finally:
        if memory is not None:
            memory.cleanup()


def _without_padding(order: NDArray[np.unsignedinteger], kind: np.dtype) -> NDArray[np.unsignedinteger]:
    return order[order != np.iinfo(kind).max]


def _new_memory(name: str, size: int) -> SharedMemory:
    """Shared memory that is there: of what Linux only promises, a process may use too much, which kills it."""
    try:
        memory = SharedMemory(name, create=True, size=size, auto_cleanup=False)
    except FileExistsError:
        # Of a start whose processes were killed.
        left = SharedMemory(name, create=False, auto_cleanup=False)
        left.created_shms.append(left.opened_shms.pop())
        left.cleanup()
        memory = SharedMemory(name, create=True, size=size, auto_cleanup=False)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(memory.shm._fd, 0, size)  # pyright: ignore[reportAttributeAccessIssue]
    except OSError as error:
        memory.cleanup()
        raise LoaderError(
            f"the machine's shared memory has no room for the epoch's order, {size:,} bytes ({error.strerror}): "
            "enlarge /dev/shm (docker run --shm-size, or an emptyDir of medium Memory), "
            "or iterate without DataLoader workers"
        ) from error
    return memory


def py1e_order(
    samples_per_shard: NDArray[np.int64],
    *,
    canonical_nodes: int,
    seed: int,
    epoch: int,
    block_size: int,
    kind: np.dtype,
) -> NDArray[np.unsignedinteger]:
    """The shuffled order of all samples, as `streaming.base.shuffle.py1e.get_shuffle_py1e` has it.

    Two samples that land on the very same place, about one pair in a hundred million, may be the other way round;
    mosaicml-streaming leaves that to the processor, too.

    Args:
        samples_per_shard: (shards,).
        canonical_nodes: parts of the order that share no samples; fewer than there are samples.
        seed: of the training run.
        epoch: added to the seed.
        block_size: how many samples are mixed, about.
        kind: an unsigned type that holds the number of samples.
    """
    ends = np.cumsum(samples_per_shard).tolist()
    spans: list[Span] = list(zip([0, *ends[:-1]], ends, strict=True))
    np.random.default_rng(seed).shuffle(spans)
    spans, nodes = divide_spans(spans, ends[-1], canonical_nodes)
    rng = np.random.default_rng(seed + epoch)
    for begin, end in nodes:
        of_node = spans[begin:end]
        rng.shuffle(of_node)
        spans[begin:end] = of_node
    order = np.empty(ends[-1], kind)
    first = 0
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="order") as pool:
        for begin, end in nodes:
            of_node = spans[begin:end]
            samples = order[first : first + sum(end - begin for begin, end in of_node)]
            _fill(samples, of_node, rng)
            _displace(samples, of_node, rng, block_size, pool)
            first += len(samples)
    return order


def _fill(samples: NDArray[np.unsignedinteger], spans: list[Span], rng: np.random.Generator) -> None:
    """Writes each span's samples, shuffled."""
    counted = np.arange(_longest(spans), dtype=samples.dtype)
    at = 0
    for begin, end in spans:
        part = samples[at : at + end - begin]
        np.add(counted[: end - begin], samples.dtype.type(begin), out=part)
        rng.shuffle(part)
        at += end - begin


def _displace(
    samples: NDArray[np.unsignedinteger],
    spans: list[Span],
    rng: np.random.Generator,
    block_size: int,
    pool: ThreadPoolExecutor,
) -> None:
    """Moves every sample by a random distance within a block, in place."""
    sorting: deque[Future[NDArray[np.unsignedinteger]]] = deque()
    settled = 0

    def settle(at_most: int) -> None:
        nonlocal settled
        while len(sorting) > at_most:
            done = sorting.popleft().result()
            samples[settled : settled + len(done)] = done
            settled += len(done)

    chunks: deque[_Chunk] = deque(maxlen=3)
    for begin, places in _moved(spans, rng, block_size):
        chunks.append(_Chunk(begin, places, samples[begin : begin + len(places)].copy()))
        if len(chunks) > 1:
            sorting.append(pool.submit(_landed, chunks[-2], list(chunks)))
            settle(_THREADS)
    sorting.append(pool.submit(_landed, chunks[-1], list(chunks)[-2:]))
    settle(0)


def _moved(spans: list[Span], rng: np.random.Generator, block_size: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Where samples land, for a chunk of them at a time: its first sample, and places in its node's order.

    A chunk is no shorter than the farthest move, so a sample lands in its own chunk or in one beside it.
    """
    shortest = max(_SORTED_AT_ONCE, int(_LONGEST * block_size / 2))
    total = sum(end - begin for begin, end in spans)
    counted = np.arange(_longest(spans), dtype=np.float64)
    at, chunk_begin = 0, 0
    places: list[NDArray[np.float64]] = []
    too_long = False
    for begin, end in spans:
        size = end - begin
        farthest = (rng.integers(int(_SHORTEST * block_size), int(_LONGEST * block_size)) - size) / 2
        too_long |= farthest < 0
        farthest = max(0.0, farthest)
        moves = rng.uniform(max(-farthest, -at), min(farthest, total - at - size), size)
        places.append(counted[:size] + at + moves)
        at += size
        if at - chunk_begin >= shortest or at == total:
            yield chunk_begin, np.concatenate(places)
            chunk_begin, places = at, []
    if too_long:
        warnings.warn(
            f"shuffle_block_size={block_size} is less than a shard has samples: such shards are not mixed with others",
            stacklevel=2,
        )


def _landed(here: _Chunk, chunks: list[_Chunk]) -> NDArray[np.unsignedinteger]:
    """The samples that land where one chunk was, in order; from it and those beside it."""
    ends = np.zeros(len(here.places) + 1, np.int32)
    for chunk in chunks:
        _count(chunk.places, here.begin, ends)
    np.cumsum(ends, out=ends)
    landed = _Chunk(here.begin, np.empty(ends[-1], np.float64), np.empty(ends[-1], here.samples.dtype))
    for chunk in chunks:
        _put(chunk, ends, landed)
    _sort(landed.places, landed.samples)
    return landed.samples


@njit(cache=True, nogil=True)
def _count(places: NDArray[np.float64], begin: int, counts: NDArray[np.int32]) -> None:
    """Counts the places of every whole number from `begin` on, each in the row after its own."""
    for place in places:
        if begin <= place < begin + len(counts) - 1:
            counts[_U(place - begin) + _U(1)] += np.int32(1)


@njit(cache=True, nogil=True)
def _put(chunk: _Chunk, ends: NDArray[np.int32], into: _Chunk) -> None:
    """Puts each sample where those of its whole number go; what was the number's begin becomes its end."""
    for k in range(_U(len(chunk.places))):
        place = chunk.places[k]
        if into.begin <= place < into.begin + len(ends) - 1:
            number = _U(place - into.begin)
            row = _U(ends[number])
            ends[number] += np.int32(1)
            into.places[row] = place
            into.samples[row] = chunk.samples[k]


@njit(cache=True, nogil=True)
def _sort(places: NDArray[np.float64], samples: NDArray[np.unsignedinteger]) -> None:
    """Sorts by place, in place; those of one whole number, one or two, are all that is out of order."""
    for k in range(_U(1), _U(len(places))):
        place, sample = places[k], samples[k]
        row = k
        while row > _U(0) and places[row - _U(1)] > place:
            places[row], samples[row] = places[row - _U(1)], samples[row - _U(1)]
            row -= _U(1)
        places[row], samples[row] = place, sample


def _longest(spans: list[Span]) -> int:
    return max(end - begin for begin, end in spans)
