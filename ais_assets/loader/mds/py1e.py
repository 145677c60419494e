"""mosaicml-streaming's default shuffle (py1e), number for number, in a third of its memory.

It mixes the samples of shards that are near one another in a random order of the shards: every sample is moved by a
random distance within a block. mosaicml-streaming sorts a canonical node's samples at once, as 8-byte numbers, with
several copies. No sample moves further than a block, so here they are sorted block by block, in threads, and by whole
numbers first.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Span = tuple[int, int]
"""Samples of (a part of) a shard: the first, and the last + 1."""
_SHORTEST, _LONGEST = 0.75, 1.25
"""Lengths of py1e's blocks, as parts of block_size."""
_SORTED_AT_ONCE: Final = 1 << 20
_THREADS: Final = 4
_index: Final = np.uint64
"""Of rows: over signed ones, loops allow for counting from the end, which costs more than what they do."""


class _Chunk(NamedTuple):
    """Some samples of a canonical node: where in its order they begin, where each lands, and which it is."""

    begin: int
    places: NDArray[np.float64]
    samples: NDArray[np.unsignedinteger]


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
    spans, nodes = _divided_spans(spans, ends[-1], canonical_nodes)
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


def _divided_spans(spans: list[Span], samples: int, parts: int) -> tuple[list[Span], list[tuple[int, int]]]:
    """Spans cut where parts of (nearly) equally many samples end; and of each part, its first span and last + 1."""
    cut: list[Span] = []
    of_parts: list[tuple[int, int]] = []
    waiting = deque(spans)
    so_far = 0
    for part in range(parts):
        first = len(cut)
        end_of_part = samples * (part + 1) // parts
        # Shards without samples belong to the part that they follow.
        while waiting and (so_far < end_of_part or waiting[0][0] == waiting[0][1]):
            begin, end = waiting.popleft()
            taken = min(end - begin, end_of_part - so_far)
            cut.append((begin, begin + taken))
            if begin + taken < end:
                waiting.appendleft((begin + taken, end))
            so_far += taken
        of_parts.append((first, len(cut)))
    return cut, of_parts


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
            counts[_index(place - begin) + _index(1)] += np.int32(1)


@njit(cache=True, nogil=True)
def _put(chunk: _Chunk, ends: NDArray[np.int32], into: _Chunk) -> None:
    """Puts each sample where those of its whole number go; what was the number's begin becomes its end."""
    for k in range(_index(len(chunk.places))):
        place = chunk.places[k]
        if into.begin <= place < into.begin + len(ends) - 1:
            number = _index(place - into.begin)
            row = _index(ends[number])
            ends[number] += np.int32(1)
            into.places[row] = place
            into.samples[row] = chunk.samples[k]


@njit(cache=True, nogil=True)
def _sort(places: NDArray[np.float64], samples: NDArray[np.unsignedinteger]) -> None:
    """Sorts by place, in place; those of one whole number, one or two, are all that is out of order."""
    for k in range(_index(1), _index(len(places))):
        place, sample = places[k], samples[k]
        row = k
        while row > _index(0) and places[row - _index(1)] > place:
            places[row], samples[row] = places[row - _index(1)], samples[row - _index(1)]
            row -= _index(1)
        places[row], samples[row] = place, sample


def _longest(spans: list[Span]) -> int:
    return max(end - begin for begin, end in spans)
