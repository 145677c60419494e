"""Windows: how many a track holds, packed positions to read them from, and the gather itself.

A window is `window_len` consecutive positions of one track, and starts at the track's position 0, S, 2S, …
for a stride of S. Windows overlap 29-fold at the contract's lengths, so they are never stored on the way: a
window is named by the row of its first position, and gathered from packed positions when its turn comes.

A packed position is three uint32, 12 bytes, lossless at the sources' resolution (bit 0 is the lowest):

    word 0   bits 0-27   latitude in micro-degrees + 90,000,000
             bits 28-31  the low 4 bits of SOG in tenths of a knot
    word 1   bits 0-28   longitude in micro-degrees + 180,000,000
             bit 29      SOG was not received but held, where the tracks say so
             bit 30      COG likewise
    word 2   bits 0-13   dt_seconds: since the track's previous position, 0 at its first
             bits 14-25  COG in tenths of a degree
             bits 26-31  the high 6 bits of SOG
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.stream import arrow_array
from ais_assets.transforms.kernels import prefetch, run_starts, stored_integers
from ais_assets.transforms.tracks import TRACK_SHIFT

PACKED_WORDS: Final = 3
"""uint32 words of a packed position."""

LAT_OFFSET: Final = 90 * schema.MICRODEGREES
LON_OFFSET: Final = 180 * schema.MICRODEGREES
LAT_BITS: Final = 28
LON_BITS: Final = 29
DT_BITS: Final = 14
COG_BITS: Final = 12
_SOG_BITS: Final = 10
SOG_LOW_BITS: Final = 32 - LAT_BITS
SOG_HIGH_SHIFT: Final = DT_BITS + COG_BITS
LAT_MASK: Final = (1 << LAT_BITS) - 1
LON_MASK: Final = (1 << LON_BITS) - 1
DT_MASK: Final = (1 << DT_BITS) - 1
COG_MASK: Final = (1 << COG_BITS) - 1
_SOG_LOW_MASK: Final = (1 << SOG_LOW_BITS) - 1
_MAX_SOG: Final = (1 << _SOG_BITS) - 1
_MAX_COG: Final = 3_600
_MAX_DT: Final = schema.MAX_GAP_SECONDS
HELD_COLUMNS: Final = ("sog_held", "cog_held")
DEGREES_PER_STEP: Final = 1 / schema.MICRODEGREES
TENTH: Final = 0.1
_FEATURES: Final = schema.FEATURE_COUNT
_BLOCK: Final = 32
"""Positions decoded between two fetches of what comes next."""
WORDS_OF_LINE: Final = 16
"""Of a processor's cache."""
_SECONDS_OF_TRACK: Final = (1 << TRACK_SHIFT) - 1


class LastPosition(NamedTuple):
    """The last position of the rows before a table: what its first dt_seconds is counted from."""

    track: int
    t: int
    """Unix time in milliseconds."""


class _Columns(NamedTuple):
    """The columns of `schema.TRACK_POSITIONS` that are packed, as stored integers."""

    track: NDArray[np.int64]
    t: NDArray[np.int64]
    lat: NDArray[np.int32]
    lon: NDArray[np.int32]
    sog: NDArray[np.int32]
    cog: NDArray[np.int32]


COLUMNS: Final = tuple(schema.stored_name(name) for name in _Columns._fields)
"""Of `schema.TRACK_POSITIONS`, that are packed; beside them HELD_COLUMNS, where there are any."""


def window_counts(positions: NDArray[np.int64], window_len: int, stride: int) -> NDArray[np.int64]:
    """Windows that tracks of so many positions hold: ⌊(positions − window_len) / stride⌋ + 1, or 0 if too short.

    int64, shape (n,), for int64 positions of shape (n,). Raises ValueError when `window_len` or `stride` is below 1.
    """
    if window_len < 1 or stride < 1:
        raise ValueError(f"window_len is {window_len} and stride {stride}; both must be at least 1")
    return np.maximum((positions - window_len) // stride + 1, 0)


IN_WINDOWS: Final = "positions_in_windows"
IN_NO_WINDOW: Final = (
    "positions_of_short_tracks",
    "positions_behind_the_last_window",
    "positions_between_windows",
    "positions_around_holdout",
)
"""Why a position is in no window: its track is shorter than one; fewer than a stride are left behind the track's last
window; windows are further apart than they are long; the only windows that it is in reach into held-out time."""


def coverage(positions: NDArray[np.int64], before: NDArray[np.int64], window_len: int, stride: int) -> dict[str, int]:
    """Positions of tracks that are in a window, or more, and those that are in none by reason; they add up.

    Args:
        positions: of each track, int64 (n,).
        before: how many of them, its first ones, are before held-out time; a window that begins there and reaches into
            held-out time is none.
        window_len: positions of a window.
        stride: positions from one window's start to the next one's.

    Returns:
        IN_WINDOWS and each of IN_NO_WINDOW.
    """
    windows = window_counts(positions, window_len, stride)
    early = window_counts(before, window_len, stride)
    # Held-out time's windows begin at the first start in it.
    first_late = -(-before // stride)
    late = np.maximum(windows - first_late, 0)
    # A window has positions of its own as far as the next one begins, the last one all of its.
    own = min(window_len, stride)
    covered = [np.where(count > 0, (count - 1) * own + window_len, 0) for count in (early, late)]
    # Early windows end before held-out time begins, and late ones begin in it: they share no position.
    in_windows = covered[0] + covered[1]
    whole = np.where(windows > 0, (windows - 1) * own + window_len, 0)
    spanned = np.where(windows > 0, (windows - 1) * stride + window_len, 0)
    short = np.where(windows > 0, 0, positions)
    counts = (in_windows, short, np.where(windows > 0, positions - spanned, 0), spanned - whole, whole - in_windows)
    return {name: int(count.sum()) for name, count in zip((IN_WINDOWS, *IN_NO_WINDOW), counts, strict=True)}


def pack_positions(table: pa.Table, before: LastPosition | None = None) -> NDArray[np.uint32]:
    """Packs a table of `schema.TRACK_POSITIONS`; see `pack_tables` for a shard in several tables.

    Args:
        table: positions by (mmsi, track, t).
        before: the last position of the rows before this table. Needed only when its first row goes on
            with a track that began there.

    Returns:
        uint32, shape (n, 3): packed positions as this module's docstring lays them out.

    Raises:
        ValueError: the first row goes on with a track and `before` is not of that track; times of a track do
            not ascend; or a value does not fit. A track's id holds the time of its first position, so a
            missing `before` is never mistaken for a track's beginning.
    """
    columns = _Columns._make(stored_integers(table, name, schema.TRACK_POSITIONS) for name in COLUMNS)
    track, t = (before.track, before.t) if before is not None else (-1, -1)
    packed = np.empty((table.num_rows, PACKED_WORDS), np.uint32)
    bad = _pack(columns, track, t, packed)
    if bad >= 0:
        raise ValueError(_why_not_packed(columns, bad, LastPosition(track, t)))
    for bit, name in enumerate(HELD_COLUMNS, LON_BITS):
        if name in table.column_names:
            held = table[name].combine_chunks().to_numpy(zero_copy_only=False)
            packed[:, 1] |= held.astype(np.uint32) << np.uint32(bit)
    return packed


def pack_tables(tables: Iterable[pa.Table]) -> Iterator[NDArray[np.uint32]]:
    """Packs a shard's tables in order, each as `pack_positions` does, with tracks that go on from one to the next."""
    before = None
    for table in tables:
        yield pack_positions(table, before)
        if table.num_rows:
            last = table.slice(table.num_rows - 1)
            before = LastPosition(
                int(stored_integers(last, "track", schema.TRACK_POSITIONS)[0]),
                int(stored_integers(last, "t", schema.TRACK_POSITIONS)[0]),
            )


def _why_not_packed(columns: _Columns, row: int, before: LastPosition) -> str:
    track, t = int(columns.track[row]), int(columns.t[row])
    last = LastPosition(int(columns.track[row - 1]), int(columns.t[row - 1])) if row else before
    values = {name: int(column[row]) for name, column in zip(_Columns._fields, columns, strict=True)}
    where = f"track positions, row {row} (MMSI {track >> TRACK_SHIFT}, track {track})"
    if last.track != track and t != (track & _SECONDS_OF_TRACK) * 1_000:
        return f"{where} goes on with a track that this table does not begin: pass the position before it"
    if last.track == track and not 0 < t - last.t <= _MAX_DT * 1_000:
        return (
            f"{where} comes {(t - last.t) / 1_000:g} s after the position before it; "
            f"within a track that must be 1 to {_MAX_DT:,} s: build the tracks again"
        )
    return f"{where} has a value that no position can have: {values} (micro-degrees, tenths, milliseconds)"


def gather(
    packed: Sequence[NDArray[np.uint32]], shard: NDArray[np.integer], row: NDArray[np.integer], window_len: int
) -> NDArray[np.float32]:
    """Windows from packed positions, in the order asked for.

    Args:
        packed: packed positions of each shard, uint32 (n, 3): arrays or memory maps.
        shard: shape (k,): whose positions each window is in.
        row: shape (k,): each window's first position.
        window_len: positions of a window.

    Returns:
        float32, shape (k, window_len, 5): lat and lon in degrees, sog in knots, cog in degrees and dt_seconds.
        Each value is the float32 nearest to the decimal number in the source. A window's first dt_seconds is
        the time since the track's position before it, 0 where the window begins the track.

    Raises:
        ValueError: a shard or row is out of range, or a window runs from one track into the next.
    """
    if len(shard) != len(row):
        raise ValueError(f"{len(shard)} shards but {len(row)} rows; each window needs one of each")
    shards, rows = np.asarray(shard, np.int64), np.asarray(row, np.int64)
    features = np.empty((len(rows), window_len, schema.FEATURE_COUNT), np.float32)
    unknown = np.flatnonzero((shards < 0) | (shards >= len(packed)))
    if len(unknown):
        raise ValueError(f"window {unknown[0]} is in shard {shards[unknown[0]]}; there are {len(packed)} shards")
    # Shard by shard: a compiled call wants one array, and neighbouring reads hit the same pages.
    order = np.argsort(shards, kind="stable")
    bounds = np.append(run_starts(shards[order]), len(order))
    for start, end in pairwise(bounds):
        windows = order[start:end]
        number = int(shards[windows[0]])
        gather_shard(packed[number], number, rows, windows, features)
    return features


def gather_shard(
    packed: NDArray[np.uint32],
    shard: int,
    rows: NDArray[np.int64],
    windows: NDArray[np.int64],
    features: NDArray[np.float32],
) -> None:
    """Gathers those windows that are in one shard into their places.

    Args:
        packed: the shard's packed positions, uint32 (n, 3).
        shard: its number, for messages.
        rows: int64, shape (k,): each window's first position.
        windows: int64, shape (m,): which of the k windows are in this shard.
        features: float32, shape (k, window_len, 5), as `gather` returns; features[windows] are written.

    Raises:
        ValueError: as `gather` does.
    """
    positions = np.asarray(packed)
    if positions.dtype != np.uint32 or positions.ndim != 2 or positions.shape[1] != PACKED_WORDS:
        raise ValueError(
            f"shard {shard} is {positions.dtype} {positions.shape}; packed positions are uint32 (n, {PACKED_WORDS})"
        )
    # One type for arrays and read-only maps, so that the kernel is compiled once.
    positions = positions.view()
    positions.flags.writeable = False
    bad = _gather(positions, rows, windows, features)
    if bad >= 0:
        window_len = features.shape[1]
        row = int(rows[bad])
        if row < 0 or row + window_len > len(positions):
            reason = f"it has {len(positions):,} positions"
        else:
            reason = "a track begins inside of it; references and packed positions are not of the same tracks"
        raise ValueError(f"window {bad} is rows {row:,} to {row + window_len:,} of shard {shard}, but {reason}")


def windows_table(
    features: NDArray[np.float32], track: NDArray[np.int64], start: NDArray[np.int64], window_len: int
) -> pa.Table:
    """Windows as a table of `schema.windows_schema(window_len)`, without copying them.

    Args:
        features: float32, shape (k, window_len, 5), in C order.
        track: int64, shape (k,): each window's track.
        start: int64, shape (k,): time of its first position, Unix time in milliseconds.
        window_len: positions of a window.

    Raises:
        ValueError: shapes or types do not fit each other.
    """
    shape = (len(features), window_len, schema.FEATURE_COUNT)
    if features.shape != shape or features.dtype != np.float32 or not features.flags.c_contiguous:
        raise ValueError(f"features are {features.dtype} {features.shape}; they must be contiguous float32 {shape}")
    if len(track) != len(features) or len(start) != len(features):
        raise ValueError(f"{len(features)} windows but {len(track)} tracks and {len(start)} starts")
    layout = schema.windows_schema(window_len)
    columns = {
        "features": pa.Array.from_buffers(
            layout.field("features").type, len(features), [None], children=[pa.array(features.reshape(-1))]
        ),
        "mmsi": pa.array((track >> TRACK_SHIFT).astype(np.int32)),
        "track": pa.array(track),
        "start": arrow_array(schema.UTC, start),
    }
    return pa.Table.from_arrays([columns[name] for name in layout.names], schema=layout)


def features_of(windows: pa.Table) -> NDArray[np.float32]:
    """The features of such a table.

    Args:
        windows: k rows with the column "features", in one chunk or several.

    Returns:
        float32, shape (k, window_len, 5); read-only.
    """
    column = windows["features"].combine_chunks()
    return column.flatten().to_numpy().reshape(-1, column.type.list_size // schema.FEATURE_COUNT, schema.FEATURE_COUNT)


@njit(cache=True, nogil=True)
def _pack(columns: _Columns, last_track: int, last_t: int, packed: NDArray[np.uint32]) -> int:
    """Packs all rows; returns the first one that cannot be, or −1. `last_*`: of the row before the first."""
    for i in range(len(packed)):
        track = columns.track[i]
        t = columns.t[i]
        if track == last_track:
            dt = (t - last_t) // 1_000
            if dt < 1 or dt > _MAX_DT:
                return i
        else:
            dt = 0
            if t != (track & _SECONDS_OF_TRACK) * 1_000:
                return i
        lat = columns.lat[i] + LAT_OFFSET
        lon = columns.lon[i] + LON_OFFSET
        sog = columns.sog[i]
        cog = columns.cog[i]
        if lat < 0 or lat > 2 * LAT_OFFSET or lon < 0 or lon > 2 * LON_OFFSET:
            return i
        if sog < 0 or sog > _MAX_SOG or cog < 0 or cog > _MAX_COG:
            return i
        packed[i, 0] = lat | ((sog & _SOG_LOW_MASK) << LAT_BITS)
        packed[i, 1] = lon
        packed[i, 2] = dt | (cog << DT_BITS) | ((sog >> SOG_LOW_BITS) << SOG_HIGH_SHIFT)
        last_track = track
        last_t = t
    return -1


@njit(cache=True, nogil=True)
def unpacked(
    positions: NDArray[np.uint32], row: Any
) -> tuple[np.int64, np.int64, np.int64, np.int64, np.int64, np.int64]:
    """A packed position, for compiled kernels.

    Latitude and longitude in micro-degrees, SOG and COG in tenths, dt_seconds, and the held flags: bit 0 SOG's, bit 1
    COG's.
    """
    first = np.int64(positions[row, 0])
    second = np.int64(positions[row, 1])
    third = np.int64(positions[row, 2])
    return (
        (first & LAT_MASK) - LAT_OFFSET,
        (second & LON_MASK) - LON_OFFSET,
        (first >> LAT_BITS) | ((third >> SOG_HIGH_SHIFT) << SOG_LOW_BITS),
        (third >> DT_BITS) & COG_MASK,
        third & DT_MASK,
        second >> LON_BITS,
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _gather(
    positions: NDArray[np.uint32], rows: NDArray[np.int64], windows: NDArray[np.int64], features: NDArray[np.float32]
) -> int:
    """Fills features[w] from positions[rows[w]:] for each w of `windows`; returns the first bad w, or −1.

    Windows are far apart in memory: while one is decoded, block by block, the next one is fetched, which takes a
    quarter of the time off.
    """
    words = positions.reshape(-1)
    values = features.reshape(-1)
    window_len = features.shape[1]
    for k in range(len(windows)):
        w = windows[k]
        row = rows[w]
        if row < 0 or row + window_len > len(positions):
            return w
        packed = words[PACKED_WORDS * row : PACKED_WORDS * (row + window_len)]
        window = values[_FEATURES * window_len * w : _FEATURES * window_len * (w + 1)]
        coming = PACKED_WORDS * rows[windows[min(k + 1, len(windows) - 1)]]
        inner_starts = 0
        for p in range(0, window_len, _BLOCK):
            for word in range(PACKED_WORDS * p, PACKED_WORDS * (p + _BLOCK), WORDS_OF_LINE):
                prefetch(words, coming + word)  # pyright: ignore[reportCallIssue] - numba gives the context
            count = min(_BLOCK, window_len - p)
            inner_starts += _decode(
                packed[PACKED_WORDS * p : PACKED_WORDS * (p + count)], window[_FEATURES * p : _FEATURES * (p + count)]
            )
        # A window may begin with its track's first position, and with no other.
        if inner_starts - (packed[2] & DT_MASK == 0) > 0:
            return w
    return -1


@njit(inline="always")
def _decode(packed: NDArray[np.uint32], features: NDArray[np.float32]) -> int:
    """Fills the features of packed positions, both flat; returns how many positions begin a track: have dt 0.

    Flat slices, 32-bit integers and no branch, so that the compiler takes many positions at once: that is 2.5 times as
    fast as a position at a time by `unpacked`. Multiplying by 1e-6 gives the float32 that division gives: a quotient of
    integers n / 10^6 is never halfway between two float32, and off any such midpoint by 2^-45 of itself at least (their
    difference is an integer over 2^25 × 10^6), while the product in double precision errs by 2^-52. Tenths are divided
    in float32, in which both numbers are exact.
    """
    starts = 0
    for p in range(len(packed) // PACKED_WORDS):
        first, second, third = packed[3 * p], packed[3 * p + 1], packed[3 * p + 2]
        dt = np.int32(third & DT_MASK)
        # Times within a track differ by a second at least.
        starts += dt == 0
        sog = np.int32((first >> LAT_BITS) | ((third >> SOG_HIGH_SHIFT) << SOG_LOW_BITS))
        features[5 * p] = np.int32(np.int32(first & LAT_MASK) - LAT_OFFSET) * DEGREES_PER_STEP
        features[5 * p + 1] = np.int32(np.int32(second & LON_MASK) - LON_OFFSET) * DEGREES_PER_STEP
        features[5 * p + 2] = np.float32(sog) / np.float32(10)
        features[5 * p + 3] = np.float32(np.int32((third >> DT_BITS) & COG_MASK)) / np.float32(10)
        features[5 * p + 4] = np.float32(dt)
    return starts
