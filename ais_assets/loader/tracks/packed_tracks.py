"""Tracks as arrays that a window can be cut from at any row.

    positions   12 bytes each: `transforms.windows` has the layout, with the flags of held SOG and COG in spare bits
    channels    2 bytes each, where asked for: heading in bits 0-8 (511: none), navigational status in 9-13 (31: none)
    anchors     the Unix time of every 64th row, 4 bytes: any other row's is that and the dt_seconds since
    tracks      a few numbers for each track

A shard's rows are padded to whole blocks, so that all shards' files, mapped one behind the other, are one array.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import tee
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.transforms.kernels import run_starts, stored_integers
from ais_assets.transforms.split import split_at_rows
from ais_assets.transforms.windows import COLUMNS, DT_MASK, HELD_COLUMNS, pack_tables

ANCHOR_ROWS: Final = 64
ANCHOR_SHIFT: Final = 6
BLOCK_ROWS: Final = ANCHOR_ROWS * mmap.PAGESIZE // 4
"""Rows whose anchors are a page, and so whose other arrays are whole pages, too."""

HEADING_BITS: Final = 9
NO_HEADING: Final = (1 << HEADING_BITS) - 1
NO_STATUS: Final = 31
PACKED_COLUMNS: Final = (*COLUMNS, *HELD_COLUMNS, "split")
"""Columns of the track files that `positions`, `anchors` and `tracks` are made from."""
CHANNEL_COLUMNS: Final = ("heading", "nav_status")
"""Columns of the track files that `channels` holds."""
TRACK_NUMBERS: Final = ("track", "row", "positions", "end", "split")
"""Columns of `tracks`, int64: its id, its first row, how many it has, Unix time of its last position, and its split's
place in `schema.SPLITS`."""


class PackedRows(NamedTuple):
    """The rows of all shards with their padding, mapped: what kernels read."""

    positions: NDArray[np.uint32]
    """(rows, 3)."""
    channels: NDArray[np.uint16]
    """(rows,); empty where not asked for."""
    anchors: NDArray[np.uint32]
    """(rows / 64,)."""


@dataclass(frozen=True)
class PackedTracks:
    """All tracks.

    Attributes:
        rows: their positions.
        track, row, count, end, split: int64 (tracks,) each; `row` counts over all shards.
    """

    rows: PackedRows
    track: NDArray[np.int64]
    row: NDArray[np.int64]
    count: NDArray[np.int64]
    end: NDArray[np.int64]
    split: NDArray[np.int64]

    @property
    def start(self) -> NDArray[np.int64]:
        """Unix time of each track's first position, seconds: int64 (tracks,)."""
        return starts_of(self.track)

    @property
    def mmsi(self) -> NDArray[np.int64]:
        """Each track's vessel: int64 (tracks,)."""
        return vessels_of(self.track)


@dataclass(frozen=True)
class PackedPart:
    """A table of a track file and what becomes of it: packed positions (n, 3), channels (n,), times in seconds (n,)."""

    table: pa.Table
    positions: NDArray[np.uint32]
    channels: NDArray[np.uint16]
    times: NDArray[np.int64]
    track: NDArray[np.int64]


def starts_of(track: NDArray[np.int64]) -> NDArray[np.int64]:
    """When tracks of these ids begin, Unix time in seconds."""
    return track & 0xFFFFFFFF


def vessels_of(track: NDArray[np.int64]) -> NDArray[np.int64]:
    """The MMSI of tracks of these ids."""
    return track >> 32


def padded(rows: int) -> int:
    """Rows of whole blocks."""
    return -(-rows // BLOCK_ROWS) * BLOCK_ROWS


def packed_parts(tables: Iterable[pa.Table], *, channels: bool) -> Iterator[PackedPart]:
    """Packs a track file's tables, in order.

    Raises ValueError where a table is no `schema.TRACK_POSITIONS`, or a column of channels is missing.
    """
    for_positions, others = tee(tables)
    for positions, table in zip(pack_tables(for_positions), others, strict=True):
        yield PackedPart(
            table,
            positions,
            _channels(table) if channels else np.empty(0, np.uint16),
            stored_integers(table, "t", schema.TRACK_POSITIONS) // 1_000,
            stored_integers(table, "track", schema.TRACK_POSITIONS),
        )


def _channels(table: pa.Table) -> NDArray[np.uint16]:
    for name in CHANNEL_COLUMNS:
        if name not in table.column_names:
            raise ValueError(
                f"the tracks have no column {name!r}, which a channel needs: materialize track_shards again, or "
                "leave the channel out of features"
            )
    heading = _integers(table["heading"].combine_chunks(), NO_HEADING)
    status = table["nav_status"].combine_chunks()
    if not pa.types.is_integer(status.type):
        names = status.cast(pa.string())
        status = pc.index_in(names, pa.array(schema.NAV_STATUSES))  # pyright: ignore[reportAttributeAccessIssue]
    return heading | (_integers(status, NO_STATUS) << np.uint16(HEADING_BITS))


def _integers(column: Any, missing: int) -> NDArray[np.uint16]:
    return column.fill_null(missing).to_numpy(zero_copy_only=False).astype(np.uint16)


class TrackList:
    """Collects the tracks of a file's tables, each of which may begin in one and go on in the next."""

    def __init__(self) -> None:
        self._columns: list[NDArray[np.int64]] = []
        self._rows = 0
        self._open = -1

    def add(self, part: PackedPart) -> None:
        """Adds a table."""
        if not len(part.track):
            return
        begins = run_starts(part.track)
        ends = np.append(begins[1:], len(part.track))
        begun = np.stack(
            [
                part.track[begins],
                begins + self._rows,
                ends - begins,
                part.times[ends - 1],
                split_at_rows(part.table, begins).astype(np.int64),
            ],
            axis=1,
        )
        if begun[0, 0] == self._open:
            last = self._columns[-1][-1]
            last[2] += begun[0, 2]
            last[3] = begun[0, 3]
            begun = begun[1:]
        if len(begun):
            self._columns.append(begun)
        self._open = int(part.track[-1])
        self._rows += len(part.track)

    def numbers(self) -> NDArray[np.int64]:
        """Int64 (tracks, 5): `TRACK_NUMBERS`."""
        return np.concatenate([np.empty((0, len(TRACK_NUMBERS)), np.int64), *self._columns])


@njit(cache=True, nogil=True)
def time_at(packed: PackedRows, row: Any, first_row: Any, start: Any) -> np.int64:
    """Unix time of a row, for compiled kernels; of a track with this first row and Unix time of its start."""
    anchored = (row >> ANCHOR_SHIFT) << ANCHOR_SHIFT
    if anchored >= first_row:
        time = np.int64(packed.anchors[row >> ANCHOR_SHIFT])
    else:
        anchored = first_row
        time = np.int64(start)
    for before in range(anchored + 1, row + 1):
        time += np.int64(packed.positions[before, 2] & DT_MASK)
    return time


@njit(cache=True, nogil=True)
def first_row_from(packed: PackedRows, stretch: tuple[int, int, int], time: int) -> np.int64:
    """The first row at or after a Unix time, or the row behind the last: times ascend, so by halving.

    Args:
        packed: all rows.
        stretch: the first row, how many rows, and the first one's Unix time; all of one track.
        time: Unix time in seconds.
    """
    first_row, count, start = stretch
    low, high = np.int64(first_row), np.int64(first_row + count)
    while low < high:
        middle = (low + high) >> 1
        if time_at(packed, middle, first_row, start) < time:
            low = middle + 1
        else:
            high = middle
    return low
