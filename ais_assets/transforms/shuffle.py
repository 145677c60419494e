"""The global shuffle: a uniformly random order of all training windows, in two passes, by reference.

Pass 1 (`throw_windows`, once a vessel shard) throws every window's reference into one of P piles, drawn
independently and uniformly for each window. Pass 2 (`pile_windows`, once a pile) puts a pile's references
into a uniformly random order and gathers the windows. The dataset is pile 0, then pile 1, and so on.

Why that order is uniform (Rao 1961; Sandelius 1962): give each of n windows an infinite string of independent
uniform digits in base P and sort by it. The strings are independent and almost surely distinct, so by
symmetry each of the n! orders is equally likely. The first digit decides the pile. Given all first digits,
the rest of the strings in a pile are again independent and uniform, so the pile's order is a uniform
permutation, independent of the other piles: exactly what the two passes draw, the digit in pass 1 and the
permutation in pass 2. The argument needs a draw for *each window*: where whole tracks are thrown, or windows
in turn, some orders cannot occur. It also makes a pile's size binomial, not fixed.

Random streams are keyed on (seed, pass, partition), so partitions can be built in any order, again, and
anywhere. They are read as raw 64-bit words, and bounded by rejection here: NumPy promises the words of PCG64 and
SeedSequence for ever, but not what Generator makes of them (NEP 19).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from isal import isal_zlib
from numba import njit
from numpy.typing import DTypeLike, NDArray

from ais_assets import schema
from ais_assets.stream import RecordStream, arrow_array
from ais_assets.transforms.kernels import run_starts, stored_integers
from ais_assets.transforms.split import split_at_rows
from ais_assets.transforms.statistics import WindowStatistics
from ais_assets.transforms.windows import coverage, gather, gather_shard, window_counts, windows_table

PASS_THROW: Final = 1
PASS_PERMUTE: Final = 2
"""Keys of the two passes' random streams."""

_PILE_OF_SPLIT: Final = np.array([0, schema.VALIDATION_PILE, schema.TEST_PILE], np.int16)
"""By place in `schema.SPLITS`; a training window's is drawn."""

TABLE_WINDOWS: Final = 1 << 10
"""Windows of a table, hence of a row group: 19 MB at the contract's length. Measured with zstd-1, 1,024 were written
and read as fast as any number from 512 to 2,048, and buffers under 32 MB are reused by the allocator, which
makes the gather half as fast again."""


@dataclass(frozen=True)
class _Throw:
    """What pass 1 of a shard was asked for."""

    shard: int
    piles: int
    window_len: int
    stride: int
    seed: int
    holdout_from: int | None
    with_test: bool


@dataclass(frozen=True)
class _Pile:
    """What pass 2 of a pile was asked for."""

    pile: int
    seed: int
    window_len: int


@dataclass(frozen=True)
class _Sweep:
    """How `sweep_piles` was asked to go about it."""

    read: Callable[[int], NDArray[np.uint32]]
    window_len: int
    seed: int
    most: int
    batch: int


class _Tracks(NamedTuple):
    """One entry a track, in the order of rows."""

    track: NDArray[np.int64]
    row: NDArray[np.int64]
    """The track's first row in the shard."""
    positions: NDArray[np.int64]
    before: NDArray[np.int64]
    """How many of them are before held-out time."""
    split: NDArray[np.int8]
    """Its vessel's: the place in `schema.SPLITS`."""


class PileOrder(NamedTuple):
    """A pile's windows in their final order: where each one is, and what it is called."""

    shard: NDArray[np.int32]
    row: NDArray[np.int64]
    track: NDArray[np.int64]
    start: NDArray[np.int64]
    """Unix time in milliseconds."""


class SweptPile(NamedTuple):
    """A pile of `sweep_piles`."""

    pile: int
    windows: int
    sweeps: int
    """How many times the shards were or will be read for it: 1, more where it outgrows the bound."""
    stream: RecordStream


def throw_windows(
    tracks: Iterator[pa.Table],
    *,
    shard: int,
    piles: int,
    window_len: int,
    stride: int,
    seed: int,
    holdout_from: int | None = None,
    with_test: bool = False,
) -> RecordStream:
    """Pass 1: throws a reference to every window of a shard into a pile.

    A training window's pile is uniform on 0 to piles − 1 and independent of all others; a validation vessel's
    windows go to `schema.VALIDATION_PILE`, those of a vessel kept for the last test to `schema.TEST_PILE`. Of held-out
    time, a window that begins in it goes to `schema.HOLDOUT_PILE`, whosever it is, and one that begins before and
    reaches into it to no pile: no model may be trained or chosen on positions that it is to be tested on. The result
    does not depend on how the tables are cut.

    Args:
        tracks: the shard's `schema.TRACK_POSITIONS` in order; of it track, t and split are read. Read when
            the first table is asked for.
        shard: the shard's number, which keys its random stream.
        piles: number of training piles, 1 to 32,767.
        window_len: positions of a window.
        stride: positions from one window's start to the next one's in the same track.
        seed: keys the shuffle, 0 or more.
        holdout_from: when held-out time begins, Unix time in milliseconds; None: there is none.
        with_test: whether vessels may be kept for the last test.

    Returns:
        `schema.WINDOW_REFERENCES` in a table for each of `piles_in_order`, some perhaps empty, each by row. Ledger:
        rows in are the windows that the tracks hold by `window_counts`, rows out the references,
        `reaches_into_holdout` those left out; notes count tracks, tracks that are too short for a window, windows of
        each split, and positions: in all, in windows, and in none by the reasons of `windows.coverage`. Facts: the
        arguments.

    Raises:
        ValueError: for an argument out of range; while iterating, for tables that are not in order or have
            other columns.
    """
    if not 1 <= piles <= np.iinfo(np.int16).max:
        raise ValueError(f"piles is {piles}; it must be 1 to {np.iinfo(np.int16).max:,}")
    if shard < 0 or seed < 0:
        raise ValueError(f"shard is {shard} and seed {seed}; neither can be negative")
    if window_len < 1 or stride < 1:
        raise ValueError(f"window_len is {window_len} and stride {stride}; both must be at least 1")
    throw = _Throw(shard, piles, window_len, stride, seed, holdout_from, with_test)
    facts = {name: value for name, value in asdict(throw).items() if value is not None}
    stream = RecordStream(schema.WINDOW_REFERENCES, iter(()), facts=facts)
    stream.tables = _thrown(tracks, stream, throw)
    return stream


def _thrown(tables: Iterator[pa.Table], stream: RecordStream, throw: _Throw) -> Iterator[pa.Table]:
    tracks, strided_times = _tracks_and_strides(tables, throw.stride, throw.holdout_from)
    windows = window_counts(tracks.positions, throw.window_len, throw.stride)
    ledger = stream.ledger
    ledger.rows_in = int(windows.sum())
    ledger.note("positions", int(tracks.positions.sum()))
    for name, positions in coverage(tracks.positions, tracks.before, throw.window_len, throw.stride).items():
        ledger.note(name, positions)
    ledger.note("tracks", len(tracks.track))
    ledger.note("tracks_too_short", int((windows == 0).sum()))

    of_track = np.repeat(np.arange(len(windows)), windows)
    number = np.arange(len(of_track)) - np.repeat(np.cumsum(windows) - windows, windows)
    strides = -(-tracks.positions // throw.stride)
    start = strided_times[(np.cumsum(strides) - strides)[of_track] + number]
    row = tracks.row[of_track] + throw.stride * number
    before = tracks.before[of_track]
    held_out = throw.stride * number >= before
    reaching = ~held_out & (throw.stride * number + throw.window_len > before)
    apart = _PILE_OF_SPLIT[tracks.split[of_track]]
    if not throw.with_test and (apart == schema.TEST_PILE).any():
        raise ValueError(
            "track positions have the split 'test', which these windows are to have no pile for: build the tracks "
            "again with this AIS_TEST_FRACTION"
        )
    pile = np.where(held_out, schema.HOLDOUT_PILE, apart).astype(np.int16)
    training = np.flatnonzero((pile == _PILE_OF_SPLIT[0]) & ~reaching)
    ledger.note("windows_training", len(training))
    ledger.note("windows_validation", int(((pile == schema.VALIDATION_PILE) & ~reaching).sum()))
    if throw.with_test:
        ledger.note("windows_test", int(((pile == schema.TEST_PILE) & ~reaching).sum()))
    if throw.holdout_from is not None:
        ledger.note("windows_holdout", int(held_out.sum()))
        ledger.drop("reaches_into_holdout", int(reaching.sum()))
    pile[training] = _uniform(_stream(throw.seed, PASS_THROW, throw.shard), throw.piles, len(training))

    # Stable, so that each pile stays in the order of rows.
    order = np.argsort(pile, kind="stable")
    order = order[~reaching[order]]
    in_order = piles_in_order(throw.piles, with_holdout=throw.holdout_from is not None, with_test=throw.with_test)
    bounds = (np.searchsorted(pile[order], np.asarray(in_order), side=side) for side in ("left", "right"))
    for first, end in zip(*bounds, strict=True):
        chosen = order[first:end]
        ledger.rows_out += len(chosen)
        yield _references(pile[chosen], row[chosen], tracks.track[of_track[chosen]], start[chosen])


def piles_in_order(piles: int, *, with_holdout: bool, with_test: bool) -> list[int]:
    """The piles of the tables of `throw_windows`: validation's, 0 to piles − 1, held-out time's and test's, if any."""
    apart = [schema.HOLDOUT_PILE] * with_holdout + [schema.TEST_PILE] * with_test
    return [schema.VALIDATION_PILE, *range(piles), *apart]


def _references(
    pile: NDArray[np.int16], row: NDArray[np.int64], track: NDArray[np.int64], start: NDArray[np.int64]
) -> pa.Table:
    columns = {
        "pile": pa.array(pile),
        "row": pa.array(row),
        "track": pa.array(track),
        "start": arrow_array(schema.UTC, start),
    }
    arrays = [columns[name] for name in schema.WINDOW_REFERENCES.names]
    return pa.Table.from_arrays(arrays, schema=schema.WINDOW_REFERENCES)


def _tracks_and_strides(
    tables: Iterator[pa.Table], stride: int, holdout_from: int | None
) -> tuple[_Tracks, NDArray[np.int64]]:
    """A shard's tracks, and the times (ms) of position 0, stride, 2 stride, … of each: wherever a window may start.

    These few are all that has to be kept: which of them do start a window is known when the track ends.
    """
    ids, rows, before, splits, times = [], [], [], [], []
    seen = 0
    open_track, open_positions = -1, 0
    for number, table in enumerate(tables):
        if table.num_rows == 0:
            continue
        try:
            track = stored_integers(table, "track", schema.TRACK_POSITIONS)
            t = stored_integers(table, "t", schema.TRACK_POSITIONS)
        except ValueError as error:
            raise ValueError(f"track positions, table {number}: {error}") from error
        starts = run_starts(track)
        continues = int(track[0]) == open_track
        times.append(_every_stride(t, np.append(starts, len(t)), open_positions if continues else 0, stride))
        open_positions = len(t) - int(starts[-1]) + (open_positions if continues and len(starts) == 1 else 0)
        open_track = int(track[-1])
        early = np.full(len(t), True) if holdout_from is None else t < holdout_from
        before_holdout = np.add.reduceat(early, starts, dtype=np.int64)
        if continues:
            before[-1][-1] += before_holdout[0]
        begun = starts[1:] if continues else starts
        if len(begun):
            before.append(before_holdout[len(starts) - len(begun) :])
        ids.append(track[begun])
        rows.append(begun + seen)
        splits.append(split_at_rows(table, begun))
        seen += len(t)
    track, row = _joined(ids, np.int64), _joined(rows, np.int64)
    astray = np.flatnonzero(np.diff(track) <= 0)
    if len(astray):
        raise ValueError(
            f"track positions, row {row[astray[0] + 1]:,}: track {track[astray[0] + 1]} comes after "
            f"{track[astray[0]]}; rows must be by (mmsi, track, t), and a shard's tables in their order"
        )
    positions = np.diff(np.append(row, seen))
    tracks = _Tracks(track, row, positions, _joined(before, np.int64), _joined(splits, np.int8))
    return tracks, _joined(times, np.int64)


def _joined(parts: Iterable[NDArray[Any]], dtype: DTypeLike) -> NDArray[Any]:
    """The parts one after the other; also of no parts."""
    return np.concatenate([np.empty(0, dtype), *parts])


def shuffle_pile(references: Sequence[pa.Table], seed: int, pile: int) -> PileOrder:
    """Pass 2 without the windows: a pile's references in a uniformly random order.

    Args:
        references: for each shard, in the order of shards, its table for this pile of `throw_windows`.
        seed: keys the shuffle, 0 or more.
        pile: the pile's number, or validation's, held-out time's or test's; with the seed it keys the random stream.

    Returns:
        Shard, row, track and start, each of shape (n,).

    Raises:
        ValueError: a table has other columns or holds references of another pile.
    """
    for shard, table in enumerate(references):
        others = [value for value in table["pile"].unique().to_pylist() if value != pile]
        if others:
            raise ValueError(f"shard {shard} has references of pile {others[0]} where those of pile {pile} should be")
    shard = np.repeat(np.arange(len(references), dtype=np.int32), [table.num_rows for table in references])
    row, track, start = (
        _joined((stored_integers(table, name, schema.WINDOW_REFERENCES) for table in references), np.int64)
        for name in ("row", "track", "start")
    )
    # Keys of streams are not negative, and those of held-out time and test are far from any other pile's.
    key = (pile - schema.VALIDATION_PILE) % 2**32
    order = _permutation(_stream(seed, PASS_PERMUTE, key), len(row))
    return PileOrder(shard[order], row[order], track[order], start[order])


def pile_windows(
    references: Sequence[pa.Table],
    packed: Sequence[NDArray[np.uint32]],
    *,
    window_len: int,
    seed: int,
    pile: int,
    batch: int = TABLE_WINDOWS,
) -> RecordStream:
    """Pass 2: a pile's windows in a uniformly random order, from positions that can be read at any place.

    `sweep_piles` makes the same of shards that are read one after the other.

    Args:
        references: for each shard, in the order of shards, its table for this pile of `throw_windows`.
        packed: for each shard its packed positions, uint32 (n, 3); see `windows.pack_tables`.
        window_len: positions of a window, as in pass 1.
        seed: keys the shuffle, 0 or more.
        pile: the pile's number, −1 for validation.
        batch: windows of a table. Rows and statistics are the same for any; only row groups differ.

    Returns:
        `schema.windows_schema(window_len)`, a table for each `batch` windows. Ledger: references in, windows
        out. Facts: pile, seed, window_len, statistics as `WindowStatistics.to_json` has them, and the CRC-32 of all
        features in order, which tells whether two ways to store a pile were given the same windows.

        Peak memory: 28 bytes a reference, twice over while they are put in order, and two tables.

    Raises:
        ValueError: the references are not of this pile or not of these positions; see `windows.gather`.
    """
    if batch < 1:
        raise ValueError(f"batch is {batch}; it must be 1 or more")
    if len(references) != len(packed):
        raise ValueError(f"references of {len(references)} shards but positions of {len(packed)}")
    stream = _pile_stream(_Pile(pile, seed, window_len))
    stream.tables = _gathered(references, packed, stream, batch)
    return stream


def _pile_stream(wanted: _Pile) -> RecordStream:
    return RecordStream(schema.windows_schema(wanted.window_len), iter(()), facts=asdict(wanted))


def _gathered(
    references: Sequence[pa.Table], packed: Sequence[NDArray[np.uint32]], stream: RecordStream, batch: int
) -> Iterator[pa.Table]:
    order = shuffle_pile(references, stream.facts["seed"], stream.facts["pile"])
    parts = (slice(first, first + batch) for first in range(0, len(order.row), batch))
    blocks = (gather(packed, order.shard[part], order.row[part], stream.facts["window_len"]) for part in parts)
    yield from _tables_of(order, blocks, stream)


def _tables_of(order: PileOrder, blocks: Iterable[NDArray[np.float32]], stream: RecordStream) -> Iterator[pa.Table]:
    """A table for each block of features, which come in the pile's order; keeps the stream's account."""
    ledger = stream.ledger
    ledger.rows_in = len(order.row)
    statistics = WindowStatistics()
    crc = 0
    for features in blocks:
        part = slice(ledger.rows_out, ledger.rows_out + len(features))
        statistics.add(features)
        crc = isal_zlib.crc32(features.data, crc)
        ledger.rows_out += len(features)
        yield windows_table(features, order.track[part], order.start[part], stream.facts["window_len"])
    stream.facts["statistics"] = statistics.to_json()
    stream.facts["features_crc32"] = crc


def sweep_piles(
    piles: Iterable[int],
    references: Callable[[int], Sequence[pa.Table]],
    read: Callable[[int], NDArray[np.uint32]],
    *,
    window_len: int,
    seed: int,
    most_windows: int,
    batch: int = TABLE_WINDOWS,
) -> Iterator[SweptPile]:
    """Pass 2 in bounded memory: reads the shards once for as many consecutive piles as fit, and fills these together.

    A pile that outgrows the bound is filled part by part, with a sweep over the shards for each part. What is
    made is equal to what `pile_windows` makes, row group by row group.

    Args:
        piles: their numbers, −1 for validation.
        references: gives, for a pile, each shard's table of `throw_windows`, in the order of shards.
        read: gives a shard's packed positions, uint32 (n, 3); called in the order of shards in each sweep.
        window_len: positions of a window, as in pass 1.
        seed: keys the shuffle, 0 or more.
        most_windows: windows held at a time; in effect a multiple of `batch`, and no less than it.
        batch: windows of a table.

    Yields:
        Each pile in turn, with a stream as `pile_windows` returns, to be read before the next one is asked for.

        Peak memory: `most_windows` windows, what `read` gives for one shard, 28 bytes a reference of the piles
        that fit and of one more, twice over while they are put in order, and three tables.

    Raises:
        ValueError: for an argument out of range, and as `pile_windows` does.
    """
    if batch < 1 or most_windows < 1:
        raise ValueError(f"batch is {batch} and most_windows {most_windows}; both must be at least 1")
    sweep = _Sweep(read, window_len, seed, max(batch, most_windows // batch * batch), batch)
    for group in _groups(piles, references, sweep):
        yield from _swept_group(group, sweep)


def _groups(
    piles: Iterable[int], references: Callable[[int], Sequence[pa.Table]], sweep: _Sweep
) -> Iterator[dict[int, PileOrder]]:
    """Consecutive piles that fit into a sweep together, or one that does not fit."""
    group: dict[int, PileOrder] = {}
    for pile in piles:
        order = shuffle_pile(references(pile), sweep.seed, pile)
        if group and sum(len(other.row) for other in group.values()) + len(order.row) > sweep.most:
            yield group
            group = {}
        group[pile] = order
    if group:
        yield group


def _swept_group(group: dict[int, PileOrder], sweep: _Sweep) -> Iterator[SweptPile]:
    whole = PileOrder._make(np.concatenate(columns) for columns in zip(*group.values(), strict=True))
    # One that does not fit is alone in its group; its windows are gathered as its tables are asked for.
    sweeps = max(1, -(-len(whole.row) // sweep.most))
    features = _swept(whole, slice(0, None), sweep) if sweeps == 1 else None
    first = 0
    for pile, order in group.items():
        if features is None:
            blocks = _swept_in_parts(order, sweep)
        else:
            blocks = _blocks(features[first : first + len(order.row)], sweep.batch)
        stream = _pile_stream(_Pile(pile, sweep.seed, sweep.window_len))
        stream.tables = _tables_of(order, blocks, stream)
        yield SweptPile(pile, len(order.row), sweeps, stream)
        first += len(order.row)


def _swept_in_parts(order: PileOrder, sweep: _Sweep) -> Iterator[NDArray[np.float32]]:
    for first in range(0, len(order.row), sweep.most):
        yield from _blocks(_swept(order, slice(first, first + sweep.most), sweep), sweep.batch)


def _blocks(features: NDArray[np.float32], batch: int) -> Iterator[NDArray[np.float32]]:
    for first in range(0, len(features), batch):
        # A copy, since a view would keep the whole sweep in memory for as long as its table is.
        yield features[first : first + batch].copy()


def _swept(order: PileOrder, part: slice, sweep: _Sweep) -> NDArray[np.float32]:
    """Part of the windows, each in its place, from one reading of the shards that hold them."""
    shard, row = order.shard[part], order.row[part]
    features = np.empty((len(row), sweep.window_len, schema.FEATURE_COUNT), np.float32)
    # By row within a shard, so that the packed positions are read forwards.
    by_place = np.lexsort((row, shard))
    bounds = np.append(run_starts(shard[by_place]), len(row))
    for start, end in pairwise(bounds):
        number = int(shard[by_place[start]])
        gather_shard(sweep.read(number), number, row, by_place[start:end], features)
    return features


def _stream(seed: int, stage: int, partition: int) -> Callable[[int], NDArray[np.uint64]]:
    """Raw 64-bit words of the random stream keyed on (seed, stage, partition): call it for the next n."""
    words = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(stage, partition)))
    return lambda count: np.asarray(words.random_raw(count), np.uint64)


def _uniform(words: Callable[[int], NDArray[np.uint64]], bound: int, count: int) -> NDArray[np.int64]:
    """`count` independent integers, uniform on 0 to bound − 1."""
    values = np.empty(count, np.int64)
    done = 0
    while done < count:
        done = _fill_uniform(words(count - done), bound, values, done)
    return values


def _permutation(words: Callable[[int], NDArray[np.uint64]], count: int) -> NDArray[np.int64]:
    """A uniformly random permutation of 0 to count − 1."""
    order = np.arange(count, dtype=np.int64)
    left = count
    while left > 1:
        left = _swap_down(words(left - 1), order, left)
    return order


@njit(cache=True, nogil=True)
def _first_rejected(bound: np.uint64) -> np.uint64:
    """The largest multiple of `bound` in 64 bits. Words below it are spread evenly over the remainders.

    2^64 mod bound is (2^64 − bound) mod bound, which 64 bits can express; where it is 0, so is the result,
    for 2^64 itself: no word is rejected.
    """
    return np.uint64(0) - (np.uint64(0) - bound) % bound


@njit(cache=True, nogil=True)
def _fill_uniform(words: NDArray[np.uint64], bound: int, values: NDArray[np.int64], done: int) -> int:
    """Writes one value for each word that is not rejected, from values[done] on; returns the new `done`."""
    divisor = np.uint64(bound)
    rejected = _first_rejected(divisor)
    for word in words:
        if rejected == 0 or word < rejected:
            values[done] = word % divisor
            done += 1
    return done


@njit(cache=True, nogil=True)
def _swap_down(words: NDArray[np.uint64], order: NDArray[np.int64], left: int) -> int:
    """Fisher-Yates from the end (Durstenfeld 1964), a step for each word not rejected.

    order[left:] is done; returns the new `left`.
    """
    for word in words:
        divisor = np.uint64(left)
        rejected = _first_rejected(divisor)
        if rejected == 0 or word < rejected:
            other = np.int64(word % divisor)
            left -= 1
            order[left], order[other] = order[other], order[left]
    return left


@njit(cache=True, nogil=True)
def _every_stride(
    t: NDArray[np.int64], bounds: NDArray[np.int64], positions_before: int, stride: int
) -> NDArray[np.int64]:
    """Times at position 0, stride, 2 stride, … of each track, of which run k is rows bounds[k] to bounds[k + 1].

    `positions_before`: how many positions of the first run's track the tables before this one had.
    """
    times = np.empty(len(t) // stride + len(bounds), np.int64)
    count = 0
    for run in range(len(bounds) - 1):
        skip = (-positions_before) % stride if run == 0 else 0
        for i in range(bounds[run] + skip, bounds[run + 1], stride):
            times[count] = t[i]
            count += 1
    return times[:count]
