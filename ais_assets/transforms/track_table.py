"""The track table: one row for each track of a shard, with what it is chosen by.

Distances are great circles on the sphere that the tracks themselves are cut by, each leg rounded to a millimetre
and added up as whole numbers, so that the same positions give the same bytes everywhere.

A bounding box follows the track around the earth. Where it crosses ±180°, its west is greater than its east, as
RFC 7946, section 5.2 (GeoJSON) has it; a track all around the earth has −180° to 180°.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.stream import RecordStream, arrow_array
from ais_assets.transforms.geodesy import METRES_PER_NAUTICAL_MILE, great_circle_millimetres
from ais_assets.transforms.kernels import run_starts, stored_integers
from ais_assets.transforms.split import split_at_rows
from ais_assets.transforms.tracks import TRACK_SHIFT
from ais_assets.transforms.windows import window_counts

_HALF_TURN: Final = 180 * schema.MICRODEGREES
_FULL_TURN: Final = 360 * schema.MICRODEGREES
_MILLIMETRES_PER_NAUTICAL_MILE: Final = 1_000 * METRES_PER_NAUTICAL_MILE


class _Positions(NamedTuple):
    """The columns of `schema.TRACK_POSITIONS` that are measured, as stored integers."""

    track: NDArray[np.int64]
    t: NDArray[np.int64]
    lat: NDArray[np.int32]
    lon: NDArray[np.int32]


class _Extents(NamedTuple):
    """What is known of tracks so far, int64 (n,) each: milliseconds, micro-degrees, millimetres."""

    track: NDArray[np.int64]
    positions: NDArray[np.int64]
    """0: a track that has not begun."""
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    length: NDArray[np.int64]
    south: NDArray[np.int64]
    north: NDArray[np.int64]
    west: NDArray[np.int64]
    east: NDArray[np.int64]
    """West and east as the track goes on: beyond ±180° where it crosses the antimeridian."""
    lat: NDArray[np.int64]
    lon: NDArray[np.int64]
    """The last position, its longitude as west and east are."""


def track_table(tracks: Iterator[pa.Table], vessels: pa.Table, *, window_len: int, stride: int) -> RecordStream:
    """One row for each track of a shard.

    Args:
        tracks: the shard's `schema.TRACK_POSITIONS` in order, cut anywhere. Read when the first table is asked for.
        vessels: `schema.VESSELS`, of which class and type are taken; null for an MMSI that it lacks.
        window_len: positions of a window.
        stride: positions from one window's start to the next one's in the same track.

    Returns:
        `schema.TRACKS` by (mmsi, start), one table, or none without tracks: Hugging Face's `datasets` does not read a
        file whose first row group has no row. Ledger: tracks in and out; notes count their positions,
        windows and seconds. Facts: window_len and stride.

        Peak memory: one table of positions, and some 200 bytes a track.

    Raises:
        ValueError: for an argument out of range; while iterating, for tables that are not in order or have
            other columns.
    """
    if window_len < 1 or stride < 1:
        raise ValueError(f"window_len is {window_len} and stride {stride}; both must be at least 1")
    stream = RecordStream(schema.TRACKS, iter(()), facts={"window_len": window_len, "stride": stride})
    stream.tables = _one_table(tracks, vessels, window_len, stride, stream)
    return stream


def _one_table(
    tables: Iterator[pa.Table], vessels: pa.Table, window_len: int, stride: int, stream: RecordStream
) -> Iterator[pa.Table]:
    extents, splits = _measured(tables)
    astray = np.flatnonzero(np.diff(extents.track) <= 0)
    if len(astray):
        raise ValueError(
            f"track positions: track {extents.track[astray[0] + 1]} comes after {extents.track[astray[0]]}; "
            "rows must be by (mmsi, track, t), and a shard's tables in their order"
        )
    windows = window_counts(extents.positions, window_len, stride)
    table = _table(extents, splits, windows, vessels)
    ledger = stream.ledger
    ledger.rows_in = len(extents.track)
    ledger.rows_out = table.num_rows
    ledger.note("positions", int(extents.positions.sum()))
    ledger.note("windows", int(windows.sum()))
    ledger.note("seconds", int((extents.end - extents.start).sum()) // 1_000)
    if table.num_rows:
        yield table


def _measured(tables: Iterator[pa.Table]) -> tuple[_Extents, NDArray[np.int8]]:
    """Every track's extent, and the code of its split."""
    parts, splits = [_unbegun(np.empty(0, np.int64))], [np.empty(0, np.int8)]
    for number, table in enumerate(tables):
        if table.num_rows == 0:
            continue
        try:
            positions = _Positions._make(
                stored_integers(table, schema.stored_name(name), schema.TRACK_POSITIONS) for name in _Positions._fields
            )
        except ValueError as error:
            raise ValueError(f"track positions, table {number}: {error}") from error
        starts = run_starts(positions.track)
        extents = _unbegun(positions.track[starts])
        continues = len(parts[-1].track) > 0 and parts[-1].track[-1] == extents.track[0]
        if continues:
            for column, before in zip(extents, parts[-1], strict=True):
                column[0] = before[-1]
            parts[-1] = _Extents._make(column[:-1] for column in parts[-1])
        _extend(positions, np.append(starts, table.num_rows), extents)
        parts.append(extents)
        splits.append(split_at_rows(table, starts[1:] if continues else starts))
    return _Extents._make(np.concatenate(columns) for columns in zip(*parts, strict=True)), np.concatenate(splits)


def _unbegun(track: NDArray[np.int64]) -> _Extents:
    return _Extents(track.copy(), *(np.zeros(len(track), np.int64) for _ in _Extents._fields[1:]))


def _table(extents: _Extents, splits: NDArray[np.int8], windows: NDArray[np.int64], vessels: pa.Table) -> pa.Table:
    mmsi = (extents.track >> TRACK_SHIFT).astype(np.int32)
    rows = {vessel: row for row, vessel in enumerate(vessels["mmsi"].to_pylist())}
    of_vessel = pa.array([rows.get(vessel) for vessel in mmsi.tolist()], pa.int64())
    west, east = _around(extents.west, extents.east)
    columns = {
        "track": pa.array(extents.track),
        "mmsi": pa.array(mmsi),
        "start": arrow_array(schema.UTC, extents.start),
        "end": arrow_array(schema.UTC, extents.end),
        "duration": pa.array(((extents.end - extents.start) // 1_000).astype(np.int32)),
        "positions": pa.array(extents.positions),
        "length_nm": pa.array(extents.length / _MILLIMETRES_PER_NAUTICAL_MILE),
        "south": pa.array(extents.south / schema.MICRODEGREES),
        "north": pa.array(extents.north / schema.MICRODEGREES),
        "west": pa.array(west / schema.MICRODEGREES),
        "east": pa.array(east / schema.MICRODEGREES),
        "mobile_type": vessels["mobile_type"].take(of_vessel).combine_chunks(),
        "ship_type": vessels["ship_type"].take(of_vessel).combine_chunks(),
        "split": pa.DictionaryArray.from_arrays(pa.array(splits), pa.array(schema.SPLITS)),
        "windows": pa.array(windows),
    }
    return pa.Table.from_arrays([columns[name] for name in schema.TRACKS.names], schema=schema.TRACKS)


def _around(west: NDArray[np.int64], east: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """West and east within ±180°: west greater than east where the antimeridian is between them."""
    all_around = east - west >= _FULL_TURN
    turns = (west + _HALF_TURN) // _FULL_TURN
    # A track that keeps to 180° is not turned to −180°: its east would then be on the other side.
    turns -= (west == _HALF_TURN) & (east == _HALF_TURN)
    west, east = west - turns * _FULL_TURN, east - turns * _FULL_TURN
    east = np.where(east > _HALF_TURN, east - _FULL_TURN, east)
    return np.where(all_around, -_HALF_TURN, west), np.where(all_around, _HALF_TURN, east)


@njit(cache=True, nogil=True)
def _extend(positions: _Positions, bounds: NDArray[np.int64], extents: _Extents) -> None:
    """Adds rows bounds[k] to bounds[k + 1] to track k, which may have begun before."""
    for k in range(len(bounds) - 1):
        for i in range(bounds[k], bounds[k + 1]):
            lat = np.int64(positions.lat[i])
            lon = np.int64(positions.lon[i])
            if extents.positions[k] == 0:
                extents.start[k] = positions.t[i]
                extents.south[k] = extents.north[k] = lat
                extents.west[k] = extents.east[k] = lon
            else:
                extents.length[k] += great_circle_millimetres(extents.lat[k], extents.lon[k], lat, lon)
                # The short way round, from −180° up to but without 180°.
                step = (lon - extents.lon[k] + _HALF_TURN) % _FULL_TURN - _HALF_TURN
                lon = extents.lon[k] + step
                extents.south[k] = min(extents.south[k], lat)
                extents.north[k] = max(extents.north[k], lat)
                extents.west[k] = min(extents.west[k], lon)
                extents.east[k] = max(extents.east[k], lon)
            extents.positions[k] += 1
            extents.end[k] = positions.t[i]
            extents.lat[k] = lat
            extents.lon[k] = lon
