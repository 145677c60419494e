"""The shuffle: every window once, uniformly random, and the same however it is cut, batched or run."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.transforms import shuffle as module
from ais_assets.transforms.shuffle import pile_windows, shuffle_pile, sweep_piles, throw_windows
from ais_assets.transforms.statistics import WindowStatistics
from ais_assets.transforms.windows import IN_NO_WINDOW, IN_WINDOWS, gather, pack_positions, window_counts
from ais_assets_tests.blank_columns import integers_or_array, with_blanks

NOON = 1_709_294_400
FIRST_VESSEL = 201_000_000


@dataclasses.dataclass(frozen=True)
class Throw:
    """Arguments of `throw_windows`."""

    shard: int = 0
    piles: int = 3
    window_len: int = 4
    stride: int = 2
    seed: int = 17


def tracks_table(
    lengths: Sequence[int],
    validation: Sequence[int] = (),
    first_vessel: int = FIRST_VESSEL,
    test: Sequence[int] = (),
) -> pa.Table:
    """TRACK_POSITIONS: a track a vessel, of so many positions; those numbered in `validation` and `test` are apart."""
    rows = sum(lengths)
    vessel = np.repeat(np.arange(len(lengths)), lengths)
    k = np.arange(rows) - np.repeat(np.cumsum([0, *lengths])[:-1], lengths)
    mmsi = (first_vessel + vessel).astype(np.int32)
    zeros = np.zeros(rows, np.int32)
    columns = {
        "mmsi": mmsi,
        "track": (mmsi.astype(np.int64) << 32) | NOON,
        "t": 1_000 * (NOON + 10 * k),
        "lat_microdegrees": (1_000 * vessel + k).astype(np.int32),
        "lon_microdegrees": zeros,
        "sog_tenths": zeros,
        "cog_tenths": zeros,
    }
    codes = np.select([np.isin(vessel, list(validation)), np.isin(vessel, list(test))], [1, 2])
    split = pa.array(np.array(schema.SPLITS)[codes], pa.string())
    columns = with_blanks(columns, schema.TRACK_POSITIONS, rows)
    columns["split"] = split.cast(schema.TRACK_POSITIONS.field("split").type)
    arrays = [integers_or_array(columns[field.name], field) for field in schema.TRACK_POSITIONS]
    return pa.Table.from_arrays(arrays, schema=schema.TRACK_POSITIONS)


def thrown(tables: Sequence[pa.Table], throw: Throw) -> list[pa.Table]:
    """The piles of `throw_windows`, whose account must add up."""
    stream = throw_windows(iter(tables), **dataclasses.asdict(throw))
    result = list(stream.tables)
    stream.ledger.balance("test")
    assert stream.ledger.rows_out == sum(table.num_rows for table in result)
    assert {name: stream.facts[name] for name in dataclasses.asdict(throw)} == dataclasses.asdict(throw)
    assert all(table.schema.equals(schema.WINDOW_REFERENCES, check_metadata=True) for table in result)
    return result


def reference_windows(table: pa.Table, throw: Throw) -> set[tuple[int, int, int, bool]]:
    """(row, track, start in ms, validation) of every window, found by looking at each row."""
    track, t, split = table["track"].to_pylist(), table["t"].cast(pa.int64()).to_pylist(), table["split"].to_pylist()
    found = set()
    for row in range(len(track) - throw.window_len + 1):
        of_this_track = row - track.index(track[row])
        if of_this_track % throw.stride == 0 and track[row + throw.window_len - 1] == track[row]:
            found.add((row, track[row], t[row], split[row] == "validation"))
    return found


def rows_of(pile: pa.Table) -> list[tuple[int, int, int]]:
    """(row, track, start in ms) of references."""
    columns = (pile["row"], pile["track"], pile["start"].cast(pa.int64()))
    return list(zip(*(column.to_pylist() for column in columns), strict=True))


throws = st.builds(
    Throw,
    shard=st.integers(0, 100),
    piles=st.integers(1, 5),
    window_len=st.integers(1, 6),
    stride=st.integers(1, 9),
    seed=st.integers(0, 2**63 - 1),
)


@settings(deadline=None)
@given(st.lists(st.integers(1, 25), max_size=6), st.sets(st.integers(0, 5)), throws)
def test_every_window_is_in_one_pile(lengths: list[int], validation: set[int], throw: Throw) -> None:
    table = tracks_table(lengths, sorted(validation))
    expected = reference_windows(table, throw)
    piles = thrown([table], throw)
    assert len(piles) == throw.piles + 1
    for number, pile in enumerate(piles, start=-1):
        assert set(pile["pile"].to_pylist()) <= {number}
        assert pile["row"].to_pylist() == sorted(pile["row"].to_pylist())
    assert len(expected) == window_counts(np.array(lengths, np.int64), throw.window_len, throw.stride).sum()
    assert set(rows_of(piles[0])) == {window[:3] for window in expected if window[3]}
    training = list(itertools.chain.from_iterable(rows_of(pile) for pile in piles[1:]))
    assert sorted(training) == sorted(window[:3] for window in expected if not window[3])


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([1, 4, 9, 25]), max_size=6),
    st.sets(st.integers(0, 2)),
    st.sets(st.integers(3, 5)),
    throws,
    st.one_of(st.none(), st.integers(-5, 260)),
)
def test_windows_of_the_last_test_have_a_pile_of_their_own(
    lengths: list[int], validation: set[int], test: set[int], throw: Throw, holdout_seconds: int | None
) -> None:
    asked: dict[str, Any] = dataclasses.asdict(throw)
    if holdout_seconds is not None:
        asked["holdout_from"] = held_out_from(holdout_seconds)
    without = tracks_table(lengths, sorted(validation))
    *before, _ = [*throw_windows(iter([without]), **asked).tables, None]
    table = tracks_table(lengths, sorted(validation), test=sorted(test))
    stream = throw_windows(iter([table]), **asked, with_test=True)
    *others, of_test = stream.tables
    stream.ledger.balance("test")
    assert set(of_test["pile"].to_pylist()) <= {schema.TEST_PILE}
    assert of_test.num_rows == stream.ledger.notes["windows_test"]
    # They are taken from training; validation and held-out time have what they had.
    assert [others[0], *others[throw.piles + 1 :]] == [before[0], *before[throw.piles + 1 :]]
    tested = {(FIRST_VESSEL + number) << 32 | NOON for number in test}
    former = [row for pile in before[1 : throw.piles + 1] for row in rows_of(pile)]
    assert sorted(rows_of(of_test)) == sorted(row for row in former if row[1] in tested)
    training = [row for pile in others[1 : throw.piles + 1] for row in rows_of(pile)]
    assert sorted(training) == sorted(row for row in former if row[1] not in tested)


def test_windows_at_the_contract() -> None:
    window, stride = schema.SEQ_LEN + schema.MAX_HORIZON, schema.STRIDE
    lengths = [window - 1, window, window + 1, window + stride - 1, window + stride, 1]
    table = tracks_table(lengths, validation=[4])
    stream = throw_windows(iter([table]), shard=0, piles=2, window_len=window, stride=stride, seed=17)
    rows = [row for pile in stream.tables for row, _, _ in rows_of(pile)]
    first = np.cumsum([0, *lengths])
    assert sorted(rows) == [first[1], first[2], first[3], first[4], first[4] + stride]
    assert stream.ledger.notes == {
        "positions": sum(lengths),
        "positions_in_windows": 4 * window + stride,
        "positions_of_short_tracks": window,
        "positions_behind_the_last_window": stride,
        "positions_between_windows": 0,
        "positions_around_holdout": 0,
        "tracks": 6,
        "tracks_too_short": 2,
        "windows_training": 3,
        "windows_validation": 2,
    }


@settings(deadline=None)
@given(st.lists(st.integers(1, 25), max_size=6), st.lists(st.integers(0, 150), max_size=6), st.integers(1, 6), throws)
def test_how_tables_are_cut_does_not_matter(lengths: list[int], cuts: list[int], chunk: int, throw: Throw) -> None:
    table = tracks_table(lengths, [1])
    bounds = [0, *sorted(min(cut, table.num_rows) for cut in cuts), table.num_rows]
    parts = [table.slice(low, high - low) for low, high in itertools.pairwise(bounds)]
    chunked = pa.concat_tables([schema.TRACK_POSITIONS.empty_table(), *parts])
    whole = thrown([table], throw)
    assert thrown(parts, throw) == whole
    assert thrown([chunked], throw) == whole


def test_streams_differ_by_seed_shard_and_pass() -> None:
    table = tracks_table([200])
    throws = [Throw(), Throw(shard=1), Throw(seed=18), Throw(seed=17 + (1 << 32))]
    piles = [tuple(pile.num_rows for pile in thrown([table], throw)) for throw in throws]
    rows = [tuple(rows_of(thrown([table], throw)[1])) for throw in throws]
    assert len(set(rows)) == len(throws), piles
    words = {tuple(module._stream(5, stage, part)(4)) for stage in (1, 2) for part in (0, 1, 2)}
    assert len(words) == 6


def test_the_streams_are_what_they_were() -> None:
    # A changed stream would change every dataset that is built again: this is a decision, not a refactoring.
    assert module._uniform(module._stream(17, 1, 0), 10, 12).tolist() == [8, 2, 5, 6, 0, 6, 2, 7, 4, 4, 4, 0]
    assert module._permutation(module._stream(17, 2, 0), 12).tolist() == [6, 2, 1, 9, 0, 10, 4, 8, 5, 7, 3, 11]


def held_out_from(seconds: int) -> int:
    """So many seconds after the first position of every track, as `throw_windows` takes it."""
    return 1_000 * (NOON + seconds)


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 25), max_size=6),
    st.sets(st.integers(0, 5)),
    throws,
    st.integers(-5, 260),
    st.lists(st.integers(0, 150), max_size=6),
)
def test_held_out_time_is_in_no_other_window(
    lengths: list[int], validation: set[int], throw: Throw, seconds: int, cuts: list[int]
) -> None:
    table = tracks_table(lengths, validation=sorted(validation))
    bounds = sorted({0, table.num_rows, *(cut for cut in cuts if cut < table.num_rows)})
    tables = [table.slice(first, end - first) for first, end in itertools.pairwise(bounds)]
    start = held_out_from(seconds)
    stream = throw_windows(iter(tables), **dataclasses.asdict(throw), holdout_from=start)
    *others, holdout = stream.tables
    stream.ledger.balance("test")
    assert len(others) == throw.piles + 1
    times = [int(moment.timestamp() * 1_000) for moment in table["t"].to_pylist()]
    held_out, early = set(), {True: set(), False: set()}
    for row, _, _, kept_for_validation in reference_windows(table, throw):
        if times[row] >= start:
            held_out.add(row)
        elif times[row + throw.window_len - 1] < start:
            early[kept_for_validation].add(row)
    assert set(holdout["row"].to_pylist()) == held_out
    assert set(holdout["pile"].to_pylist()) <= {schema.HOLDOUT_PILE}
    assert set(others[0]["row"].to_pylist()) == early[True]
    assert {row for pile in others[1:] for row in pile["row"].to_pylist()} == early[False]
    left_out = len(reference_windows(table, throw)) - len(held_out) - len(early[True]) - len(early[False])
    assert stream.ledger.dropped == {"reaches_into_holdout": left_out}
    assert stream.ledger.notes["windows_training"] == len(early[False])
    assert stream.ledger.notes["windows_validation"] == len(early[True])
    notes = stream.ledger.notes
    assert notes["windows_holdout"] == len(held_out)
    kept = held_out | early[True] | early[False]
    in_windows = {row + k for row in kept for k in range(throw.window_len)}
    every = {window[0] + k for window in reference_windows(table, throw) for k in range(throw.window_len)}
    assert notes["positions_in_windows"] == len(in_windows)
    assert notes["positions_around_holdout"] == len(every - in_windows)
    assert notes["positions_of_short_tracks"] == sum(n for n in lengths if n < throw.window_len)
    assert sum(notes[name] for name in (IN_WINDOWS, *IN_NO_WINDOW)) == notes["positions"] == sum(lengths)
    if throw.stride <= throw.window_len:
        assert notes["positions_between_windows"] == 0


def test_held_out_time_after_the_end_changes_no_pile() -> None:
    table, throw = tracks_table([30, 3, 18], validation=[2]), Throw(piles=2, window_len=5, stride=3)
    stream = throw_windows(iter([table]), **dataclasses.asdict(throw), holdout_from=held_out_from(10**6))
    *others, holdout = stream.tables
    assert others == thrown([table], throw)
    assert holdout.num_rows == 0


def test_the_hold_out_is_shuffled_like_a_pile_and_by_a_stream_of_its_own() -> None:
    rows = list(range(0, 80, 2))
    orders = [shuffle_pile([references(rows, pile)], 17, pile).row.tolist() for pile in (-2, -1, 0, 1)]
    assert all(sorted(order) == rows for order in orders)
    assert len({tuple(order) for order in orders}) == 4


def _words(values: Sequence[int]) -> Any:
    """A stream of these words, which must suffice."""
    left = iter(values)
    return lambda count: np.fromiter(itertools.islice(left, count), np.uint64)


def test_words_beyond_the_last_multiple_are_rejected() -> None:
    # 2^64 = 3 × 6148914691236517205 + 1: the highest word alone would make 0 likelier than 1 and 2.
    highest = 2**64 - 1
    assert module._uniform(_words([highest, 5, highest, highest, 1]), 3, 2).tolist() == [2, 1]
    assert module._uniform(_words([highest, 0]), 2**15, 2).tolist() == [2**15 - 1, 0]
    assert module._uniform(_words([highest]), 1, 1).tolist() == [0]
    # Fisher-Yates from the end: swap 2 with word % 3, then 1 with word % 2.
    assert module._permutation(_words([highest, 4, highest]), 3).tolist() == [0, 2, 1]
    assert module._permutation(_words([]), 1).tolist() == [0]
    assert module._permutation(_words([]), 0).tolist() == []


def references(rows: Sequence[int], pile: int = 0) -> pa.Table:
    """References of a pile to windows at these rows of vessel FIRST_VESSEL's track."""
    count = len(rows)
    return pa.table(
        {
            "pile": pa.array([pile] * count, pa.int16()),
            "row": pa.array(rows, pa.int64()),
            "track": pa.array([(FIRST_VESSEL << 32) | NOON] * count, pa.int64()),
            "start": pa.array([1_000 * (NOON + 10 * row) for row in rows], schema.UTC),
        },
        schema=schema.WINDOW_REFERENCES,
    )


def chi_square(counts: NDArray[np.int64], expected: NDArray[np.float64]) -> float:
    """How many standard deviations Pearson's statistic is above its mean; its degrees of freedom are large."""
    freedom = counts.size - 1
    statistic = float((((counts - expected) ** 2) / expected).sum())
    return (statistic - freedom) / math.sqrt(2 * freedom)


def global_order(table: pa.Table, throw: Throw) -> tuple[int, ...]:
    """The rows of all training windows in the order of the dataset."""
    piles = thrown([table], throw)[1:]
    return tuple(
        row for number, pile in enumerate(piles) for row in shuffle_pile([pile], throw.seed, number)[1].tolist()
    )


@pytest.mark.parametrize("piles", [1, 2, 3])
def test_all_orders_of_four_windows_are_equally_likely(piles: int) -> None:
    # Two tracks of two windows each, the smallest case in which throwing whole tracks shows.
    table = tracks_table([6, 6])
    seeds = 2_400
    found = Counter(global_order(table, Throw(piles=piles, seed=seed)) for seed in range(seeds))
    counts = np.array([found[order] for order in itertools.permutations((0, 2, 6, 8))])
    assert counts.sum() == seeds
    assert chi_square(counts, np.full(24, seeds / 24)) < 4


def test_piles_are_drawn_independently_for_each_window() -> None:
    # Of three windows in a row, each of the 27 ways to fall into three piles.
    table = tracks_table([8])
    seeds = 2_700
    found: Counter[tuple[int, ...]] = Counter()
    for seed in range(seeds):
        fallen = {row: pile for pile, p in enumerate(thrown([table], Throw(seed=seed))) for row, _, _ in rows_of(p)}
        found[tuple(fallen[row] for row in sorted(fallen))] += 1
    counts = np.array([found[way] for way in itertools.product((1, 2, 3), repeat=3)])
    assert counts.sum() == seeds
    assert chi_square(counts, np.full(27, seeds / 27)) < 4


def test_neighbours_are_of_one_track_no_more_often_than_by_chance() -> None:
    lengths = [200] * 40
    per_track = int(window_counts(np.array([200]), 4, 2)[0])
    throw = Throw(piles=4)
    order = np.array(global_order(tracks_table(lengths), throw)) // 200
    pairs, same = len(order) - 1, int((order[1:] == order[:-1]).sum())
    chance = (per_track - 1) / (len(order) - 1)
    assert abs(same - pairs * chance) < 4 * math.sqrt(pairs * chance * (1 - chance))
    # Nor are they nearby in the file: the mean distance of two random places of n is n / 3.
    places = np.array(global_order(tracks_table(lengths), throw))
    assert np.abs(np.diff(places)).mean() == pytest.approx(sum(lengths) / 3, rel=0.05)


def _shards() -> tuple[list[pa.Table], Throw]:
    first = tracks_table([30, 3, 18], validation=[2])
    second = tracks_table([], first_vessel=FIRST_VESSEL + 100)
    third = tracks_table([12, 40], first_vessel=FIRST_VESSEL + 200)
    return [first, second, third], Throw(piles=2, window_len=5, stride=3)


def _pile(pile: int, batch: int) -> tuple[pa.Table, Any, list[int]]:
    shards, throw = _shards()
    thrown_shards = [thrown([t], dataclasses.replace(throw, shard=k)) for k, t in enumerate(shards)]
    stream = pile_windows(
        [piles[pile + 1] for piles in thrown_shards],
        [pack_positions(table) for table in shards],
        window_len=throw.window_len,
        seed=throw.seed,
        pile=pile,
        batch=batch,
    )
    tables = list(stream.tables)
    stream.ledger.balance("test")
    whole = pa.concat_tables([stream.schema.empty_table(), *tables])
    assert stream.ledger.rows_out == whole.num_rows
    return whole, stream.facts, [table.num_rows for table in tables]


@pytest.mark.parametrize("pile", [-1, 0, 1])
def test_batches_do_not_matter(pile: int) -> None:
    whole, facts, _ = _pile(pile, 1_000)
    assert whole.num_rows > 1
    for batch in (1, 3):
        table, batch_facts, sizes = _pile(pile, batch)
        assert table.equals(whole)
        assert batch_facts == facts
        assert set(sizes[:-1]) <= {batch}
        assert 0 < sizes[-1] <= batch


def _swept(piles: Sequence[int], most: int, batch: int) -> tuple[dict[int, Any], list[int]]:
    """Each pile of `sweep_piles`: its sweeps, facts, tables; and the shards in the order they were read."""
    shards, throw = _shards()
    thrown_shards = [thrown([t], dataclasses.replace(throw, shard=k)) for k, t in enumerate(shards)]
    read: list[int] = []

    def packed(shard: int) -> NDArray[np.uint32]:
        read.append(shard)
        return pack_positions(shards[shard])

    result = {}
    for swept in sweep_piles(
        piles,
        lambda pile: [tables[pile + 1] for tables in thrown_shards],
        packed,
        window_len=throw.window_len,
        seed=throw.seed,
        most_windows=most,
        batch=batch,
    ):
        tables = list(swept.stream.tables)
        swept.stream.ledger.balance("test")
        assert swept.windows == swept.stream.ledger.rows_out
        result[swept.pile] = (swept.sweeps, swept.stream.facts, tables)
    return result, read


@pytest.mark.parametrize("most", [1, 2, 5, 9, 17, 1_000])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("piles", [[-1, 0, 1], [1], [1, 0]])
def test_a_sweep_makes_what_reading_anywhere_makes(piles: list[int], most: int, batch: int) -> None:
    result, _ = _swept(piles, most, batch)
    assert list(result) == piles
    for pile, (_, facts, tables) in result.items():
        whole, mapped_facts, sizes = _pile(pile, batch)
        assert pa.concat_tables(tables).equals(whole)
        assert facts == mapped_facts
        assert [table.num_rows for table in tables] == sizes


def test_the_shards_are_read_once_for_as_many_piles_as_fit() -> None:
    _, read = _swept([-1, 0, 1], 1_000, 3)
    assert read == [0, 2]
    sizes = {pile: _pile(pile, 1_000)[0].num_rows for pile in (0, 1)}
    together = sum(sizes.values())
    assert [sweeps for sweeps, _, _ in _swept([0, 1], together, 1)[0].values()] == [1, 1]
    assert _swept([0, 1], together, 1)[1] == [0, 2]
    assert _swept([0, 1], together - 1, 1)[1] == [0, 2, 0, 2]


def test_a_pile_that_outgrows_the_bound_says_so() -> None:
    size = _pile(0, 1_000)[0].num_rows
    result, _ = _swept([0], 4, 2)
    assert result[0][0] == -(-size // 4) > 1


def test_a_sweep_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="most_windows 0"):
        next(
            sweep_piles([0], lambda _: [], lambda _: np.empty((0, 3), np.uint32), window_len=4, seed=1, most_windows=0)
        )


def test_every_window_is_delivered_once_with_what_it_says() -> None:
    shards, throw = _shards()
    positions = {
        (track, t): (lat / schema.MICRODEGREES, dt)
        for table in shards
        for track, t, lat, dt in zip(
            *(table[name].to_pylist() for name in ("track", "t", "lat_microdegrees")), _dt(table), strict=True
        )
    }
    delivered = []
    for pile in (-1, 0, 1):
        windows, facts, _ = _pile(pile, 4)
        features = windows["features"].combine_chunks().values.to_numpy().reshape(-1, throw.window_len, 5)
        statistics = WindowStatistics()
        statistics.add(features)
        assert facts["statistics"] == statistics.to_json()
        for sample, mmsi, track, start in zip(
            features, *(windows[name].to_pylist() for name in ("mmsi", "track", "start")), strict=True
        ):
            times = [key for key in positions if key[0] == track and key[1] >= start][: throw.window_len]
            expected = np.array([positions[key] for key in times], np.float32)
            np.testing.assert_array_equal(sample[:, [0, 4]], expected)
            assert mmsi == track >> 32
            delivered.append((track, int(start.timestamp() * 1_000), pile == -1))
    expected_windows = set().union(*(reference_windows(table, throw) for table in shards))
    assert len(delivered) == len(expected_windows)
    assert set(delivered) == {window[1:] for window in expected_windows}


def _dt(table: pa.Table) -> Iterator[float]:
    before = None
    for track, t in zip(table["track"].to_pylist(), table["t"].to_pylist(), strict=True):
        yield (t - before[1]).total_seconds() if before is not None and before[0] == track else 0.0
        before = (track, t)


def test_shuffle_pile_says_where_each_window_is() -> None:
    shard, row, track, start = shuffle_pile([references([0, 2]), references([]), references([4, 6, 8])], 17, 0)
    assert (shard.dtype, row.dtype, track.dtype, start.dtype) == (np.int32, np.int64, np.int64, np.int64)
    assert sorted(zip(shard.tolist(), row.tolist(), strict=True)) == [(0, 0), (0, 2), (2, 4), (2, 6), (2, 8)]
    assert start.tolist() == [1_000 * (NOON + 10 * value) for value in row.tolist()]
    assert set(track.tolist()) == {(FIRST_VESSEL << 32) | NOON}


def test_a_pile_without_windows_has_empty_statistics() -> None:
    stream = pile_windows([references([])], [np.empty((0, 3), np.uint32)], window_len=4, seed=17, pile=0)
    assert list(stream.tables) == []
    assert stream.ledger.rows_in == stream.ledger.rows_out == 0
    assert WindowStatistics.from_json(stream.facts["statistics"]).to_json() == WindowStatistics().to_json()


def test_no_tracks_have_empty_piles() -> None:
    for tables in ([], [schema.TRACK_POSITIONS.empty_table()]):
        assert [pile.num_rows for pile in thrown(tables, Throw(piles=4))] == [0] * 5


def test_references_of_another_pile_are_refused() -> None:
    with pytest.raises(ValueError, match="shard 1 has references of pile 3 where those of pile 2"):
        shuffle_pile([references([0], 2), references([0], 3)], 17, 2)


def test_references_of_other_tracks_are_refused() -> None:
    packed = pack_positions(tracks_table([6, 6]))
    with pytest.raises(ValueError, match="not of the same tracks"):
        list(pile_windows([references([4])], [packed], window_len=4, seed=17, pile=0).tables)
    with pytest.raises(ValueError, match="references of 1 shards but positions of 2"):
        pile_windows([references([4])], [packed, packed], window_len=4, seed=17, pile=0)
    with pytest.raises(ValueError, match="batch is 0"):
        pile_windows([references([4])], [packed], window_len=4, seed=17, pile=0, batch=0)
    assert gather([packed], np.zeros(1, np.int64), np.array([2]), 4).shape == (1, 4, 5)


def test_tracks_out_of_order_are_refused() -> None:
    first, second = tracks_table([5]), tracks_table([5], first_vessel=FIRST_VESSEL + 1)
    with pytest.raises(ValueError, match=r"row 5: track .* must be by \(mmsi, track, t\)"):
        thrown([second, first], Throw())
    with pytest.raises(ValueError, match=r"row 10: track .* comes after"):
        thrown([first, second, first], Throw())


def test_other_columns_are_refused() -> None:
    table = tracks_table([5])
    with pytest.raises(ValueError, match="table 0: there is no column 't'"):
        thrown([table.drop_columns(["t"])], Throw())
    with pytest.raises(ValueError, match="no column 'split'"):
        thrown([table.drop_columns(["split"])], Throw())
    with pytest.raises(ValueError, match="split 'test', which these windows are to have no pile for"):
        thrown([tracks_table([5], test=[0])], Throw())
    tested = table.set_column(table.column_names.index("split"), "split", pa.array(["holdout"] * 5))
    with pytest.raises(ValueError, match="split 'holdout'; it must be train or validation or test"):
        thrown([tested], Throw())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"piles": 0}, "piles is 0"),
        ({"piles": 32_768}, "piles is 32768"),
        ({"shard": -1}, "shard is -1"),
        ({"seed": -1}, "seed -1"),
        ({"stride": 0}, "stride 0"),
        ({"window_len": 0}, "window_len is 0"),
    ],
)
def test_arguments_out_of_range_are_refused_at_once(wrong: dict[str, int], message: str) -> None:
    arguments: dict[str, Any] = {**dataclasses.asdict(Throw()), **wrong}
    with pytest.raises(ValueError, match=message):
        throw_windows(iter(()), **arguments)
