"""Tracks: all positions of one vessel shard, told apart by ship, freed of strays, cut at long silences.

Days are merged by vessel; `chains` says which positions follow one another, `motion` gives each its SOG and COG and
cuts the chains into tracks. This module holds the shard: what comes in, what goes out, and the account between.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.ledger import Ledger
from ais_assets.stream import RecordStream, arrow_array
from ais_assets.transforms.chains import (
    COARSE,
    COG_HELD,
    MISSING,
    NO_STATUS,
    REPORT,
    SOG_HELD,
    ChainLimits,
    Chains,
    Reports,
    VesselReports,
    find_chains,
    fix_of,
)
from ais_assets.transforms.kernels import empty_columns, run_starts, stored_integers
from ais_assets.transforms.motion import MotionLimits, fill_motion
from ais_assets.transforms.ship_types import OTHER_TYPE, positions_of
from ais_assets.transforms.split import split_codes

CLEAN_COLUMNS: Final = (
    "mmsi",
    "t",
    *(of.column for of in schema.STORED_AS.values()),
    "heading",
    "nav_status",
    "coarse",
)
"""Columns of `schema.CLEAN_RECORDS` that tracks are made of."""

TABLE_POSITIONS: Final = 1 << 20
"""Positions a table holds at most. Tables are row groups, which readers take into memory whole."""

BLOCK_POSITIONS: Final = 1 << 18
"""Positions that are worked on at a time, but for a vessel that has more. Room for four times as many is no longer at
hand in the processor's caches, and is asked of the system anew each time: a tenth of the whole stage's time."""

DT_EDGES: Final = (0, 2, 5, 10, 30, 60, 180, 600, 3_600, schema.MAX_GAP_SECONDS)
"""Upper edges in seconds, inclusive, of the dt_seconds histogram. The first counts the tracks' first positions."""

TRACK_SHIFT: Final = 32
"""A track's id is its MMSI shifted by so many bits, and the Unix time in seconds of its first position."""

_INVERSE_OF_125: Final = np.uint32(pow(125, -1, 1 << 32))
_DT_BIN: Final = np.searchsorted(DT_EDGES, np.arange(schema.MAX_GAP_SECONDS + 1)).astype(np.uint8)
"""Of every dt_seconds, its place in `DT_EDGES`."""


class _TrackColumns(NamedTuple):
    """Positions of tracks in the order and the types of `schema.TRACK_POSITIONS`."""

    mmsi: NDArray[np.int32]
    track: NDArray[np.int64]
    t: NDArray[np.int64]
    lat: NDArray[np.int32]
    lon: NDArray[np.int32]
    sog: NDArray[np.int32]
    cog: NDArray[np.int32]
    heading: NDArray[np.int16]
    nav_status: NDArray[np.int8]
    sog_held: NDArray[np.bool_]
    cog_held: NDArray[np.bool_]
    split: NDArray[np.int8]


class _Split(NamedTuple):
    """What decides which tracks are kept for validation and for the last test."""

    validation_fraction: float
    test_fraction: float
    seed: int
    hulls: dict[int, int]

    def codes(self, vessels: list[int]) -> NDArray[np.int8]:
        """The split of these vessels: int8 (n,)."""
        hull = np.array([self.hulls.get(vessel, vessel) for vessel in vessels], np.int32)
        return split_codes(
            hull, validation_fraction=self.validation_fraction, test_fraction=self.test_fraction, seed=self.seed
        )


class _DayColumns(NamedTuple):
    """CLEAN_COLUMNS of a day, (n,) each; MISSING and NO_STATUS where null."""

    mmsi: NDArray[np.int32]
    milliseconds: NDArray[np.int64]
    lat: NDArray[np.int32]
    lon: NDArray[np.int32]
    sog: NDArray[np.int32]
    cog: NDArray[np.int32]
    heading: NDArray[np.int16]
    nav_status: NDArray[np.int8]
    coarse: NDArray[np.bool_]


class _Tracks(NamedTuple):
    """The tracks of a block: by id, those of track[k] being rows bounds[k] to bounds[k + 1]."""

    track: NDArray[np.int64]
    bounds: NDArray[np.int64]
    of_report: NDArray[np.int32]
    """Number of the track of every report; −1 where it is in none."""
    next_row: NDArray[np.int64]
    """Of every number; −1 where it has too few positions."""


def build_tracks(
    days: Iterator[pa.Table],
    *,
    max_gap_seconds: int,
    max_speed_knots: float,
    min_track_positions: int,
    validation_fraction: float,
    seed: int,
    thin_seconds: int = 0,
    stationary_seconds: int = 0,
    stationary_knots: float = 0.5,
    hulls: Mapping[int, int] | None = None,
    test_fraction: float = 0.0,
    vessels: NDArray[np.int32] | None = None,
) -> RecordStream:
    """Tracks of one vessel shard, by the rules of `chains` and `motion`.

    A track's id is mmsi × 2^32 + the Unix time in seconds of its first position, so it stays the same when the
    shard is built again with more days after it.

    Args:
        days: the shard's `schema.CLEAN_RECORDS`, at least CLEAN_COLUMNS of it, one table a day in the order of days,
            each sorted by (mmsi, t) with one position a vessel and second. Read when the first table is asked for.
        max_gap_seconds: a longer silence ends a track; 1 to `schema.MAX_GAP_SECONDS`.
        max_speed_knots: a greater speed is only that of a ship that says so herself; above 0.
        min_track_positions: a track with fewer is dropped; 1 or more.
        validation_fraction: share of hulls kept for validation, from 0 up to but without 1.
        seed: keys the split.
        thin_seconds: a position is dropped when it is less than this after the last one kept; 0: none is.
        stationary_seconds: drop stretches below `stationary_knots` that last at least this long; 0: none.
        stationary_knots: see there; above 0.
        hulls: of vessels that are split as another, `schema.VESSELS`' hull by MMSI; the others' is their own.
        test_fraction: share of hulls kept for the last test; with the former less than 1.
        vessels: those that are wanted, positions of others being OTHER_TYPE; None: all.

    Returns:
        `schema.TRACK_POSITIONS` by (mmsi, track, t), in tables of up to `TABLE_POSITIONS` cut between
        tracks, and inside only of a longer track. Ledger: positions in, out, and dropped by rule; notes count vessels
        (with a track), tracks, positions with a held SOG or COG, and SOGs not borne out. Facts: the arguments, and the
        distribution of dt_seconds: counts[k] positions with edges[k − 1] < dt_seconds ≤ edges[k].

        Peak memory: 20 bytes for each of the shard's positions, and some 170 for each position of a
        table or of the vessel with the most, whichever are more.

    Raises:
        ValueError: for an argument out of range; while iterating, for a day that has other columns, is not
            sorted, or is not later than the day before it.
    """
    if not 1 <= max_gap_seconds <= schema.MAX_GAP_SECONDS:
        raise ValueError(f"max_gap_seconds is {max_gap_seconds}; it must be 1 to {schema.MAX_GAP_SECONDS:,}")
    if not (max_speed_knots > 0 and math.isfinite(max_speed_knots)):
        raise ValueError(f"max_speed_knots is {max_speed_knots}; it must be above 0 and finite")
    if min_track_positions < 1:
        raise ValueError(f"min_track_positions is {min_track_positions}; it must be 1 or more")
    if thin_seconds < 0 or stationary_seconds < 0:
        raise ValueError(
            f"thin_seconds is {thin_seconds} and stationary_seconds {stationary_seconds}; 0 is off, less means nothing"
        )
    if thin_seconds > max_gap_seconds:
        raise ValueError(
            f"thin_seconds is {thin_seconds}, over max_gap_seconds, {max_gap_seconds}: no track would have two"
        )
    if not (stationary_knots > 0 and math.isfinite(stationary_knots)):
        raise ValueError(f"stationary_knots is {stationary_knots}; it must be above 0 and finite")
    most = 10 * max_speed_knots
    chain_limits = ChainLimits(max_gap_seconds, most, min_track_positions)
    # Rounded first: in floating point 0.3 × 10 is a little over 3.
    slow = math.ceil(round(stationary_knots * 10, 6))
    motion_limits = MotionLimits(max_gap_seconds, most, min_track_positions, thin_seconds, stationary_seconds, slow)
    stream = RecordStream(schema.TRACK_POSITIONS, iter(()))
    stream.facts = {
        "max_gap_seconds": max_gap_seconds,
        "max_speed_knots": max_speed_knots,
        "min_track_positions": min_track_positions,
        "validation_fraction": validation_fraction,
        "test_fraction": test_fraction,
        "seed": seed,
        "thin_seconds": thin_seconds,
        "stationary_seconds": stationary_seconds,
        "stationary_knots": stationary_knots,
        "dt_seconds": {"edges": list(DT_EDGES), "counts": [0] * len(DT_EDGES)},
    }
    split = _Split(validation_fraction, test_fraction, seed, dict(hulls or {}))
    if vessels is not None:
        days = _of_vessels(days, vessels, stream.ledger)
    stream.tables = _together(_track_tables(days, chain_limits, motion_limits, split, stream))
    return stream


def _track_tables(
    days: Iterator[pa.Table],
    chain_limits: ChainLimits,
    motion_limits: MotionLimits,
    split: _Split,
    stream: RecordStream,
) -> Iterator[pa.Table]:
    ledger = stream.ledger
    for rule in ("odd_one_out", "stray_position"):
        ledger.drop(rule, 0)
    for name in ("vessels", "tracks", "sog_held", "cog_held", "sog_not_borne_out"):
        ledger.note(name, 0)
    compact = [_compact_day(table, number) for number, table in enumerate(days)]
    ledger.rows_in = sum(len(day.reports) for day in compact) + ledger.dropped.get(OTHER_TYPE, 0)
    histogram = np.zeros(len(DT_EDGES), np.int64)
    for block in _blocks(compact):
        chains = _by_chain(block, chain_limits, stream)
        tracks = _tracks_of(chains, motion_limits, stream)
        positions = _laid_out(chains.reports, tracks)
        codes = split.codes((tracks.track >> TRACK_SHIFT).tolist())
        _share_out(tracks, codes, _DT_BIN, positions, histogram)
        for start, end in _cuts(tracks.bounds, TABLE_POSITIONS):
            ledger.rows_out += end - start
            yield _table(_TrackColumns._make(column[start:end] for column in positions))
    stream.facts["dt_seconds"]["counts"] = histogram.tolist()


def _together(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in fewer tables: as many at a time as have TABLE_POSITIONS together."""
    parts: list[pa.Table] = []
    for table in tables:
        if parts and sum(part.num_rows for part in parts) + table.num_rows > TABLE_POSITIONS:
            yield pa.concat_tables(parts)
            parts = []
        parts.append(table)
    if parts:
        yield pa.concat_tables(parts)


def _of_vessels(days: Iterator[pa.Table], vessels: NDArray[np.int32], ledger: Ledger) -> Iterator[pa.Table]:
    ledger.drop(OTHER_TYPE, 0)
    for table in days:
        wanted = positions_of(table, vessels)
        ledger.drop(OTHER_TYPE, table.num_rows - wanted.num_rows)
        yield wanted


def _compact_day(table: pa.Table, number: int) -> VesselReports:
    try:
        mmsi = stored_integers(table, "mmsi", schema.CLEAN_RECORDS)
        milliseconds = stored_integers(table, "t", schema.CLEAN_RECORDS)
        columns = _DayColumns(
            mmsi,
            milliseconds,
            stored_integers(table, "lat_microdegrees", schema.CLEAN_RECORDS),
            stored_integers(table, "lon_microdegrees", schema.CLEAN_RECORDS),
            stored_integers(table, "sog_tenths", schema.CLEAN_RECORDS, MISSING),
            stored_integers(table, "cog_tenths", schema.CLEAN_RECORDS, MISSING),
            table["heading"].combine_chunks().fill_null(MISSING).to_numpy(),
            _status_codes(table["nav_status"]),
            table["coarse"].to_numpy(),
        )
    except ValueError as error:
        raise ValueError(f"clean records, table {number}: {error}") from error
    reports = np.empty(len(mmsi), REPORT)
    if not _packed(columns, reports):
        bad = _first_astray(mmsi, milliseconds)
        before = f" after ({mmsi[bad - 1]}, {_moment(milliseconds[bad - 1])})" if bad else ""
        raise ValueError(
            f"clean records, table {number}, row {bad}: (mmsi, t) = ({mmsi[bad]}, {_moment(milliseconds[bad])})"
            f"{before}: positions must be sorted by (mmsi, t), whole seconds, at most one a vessel and second; "
            "clean the day again"
        )
    starts = run_starts(mmsi)
    return VesselReports(mmsi[starts].copy(), np.append(starts, len(mmsi)), reports)


def _status_codes(names: pa.ChunkedArray) -> NDArray[np.int8]:
    """Codes in `schema.NAV_STATUSES`, NO_STATUS where null; a row group has one dictionary, any that holds them."""
    column = names.unify_dictionaries().combine_chunks()
    statuses = column.dictionary.to_pylist()
    code_of = np.array([*(schema.NAV_STATUSES.index(status) for status in statuses), NO_STATUS], np.int8)
    return code_of[column.indices.fill_null(len(statuses)).to_numpy()]


def _moment(milliseconds: int) -> str:
    return str(np.datetime64(int(milliseconds), "ms")) + "Z"


def _blocks(days: list[VesselReports]) -> Iterator[VesselReports]:
    """Merges the days: vessels in order, as many at a time as have BLOCK_POSITIONS together, or one that has more."""
    vessels = np.unique(np.concatenate([np.empty(0, np.int32), *(day.vessels for day in days)]))
    starts = np.zeros(len(vessels) + 1, np.int64)
    for day in days:
        starts[1 + np.searchsorted(vessels, day.vessels)] += np.diff(day.starts)
    starts = np.cumsum(starts)
    first = 0
    while first < len(vessels):
        fitting = int(np.searchsorted(starts, starts[first] + BLOCK_POSITIONS, side="right")) - 1
        end = max(fitting, first + 1)
        yield _merged(days, vessels[first:end], starts[first : end + 1] - starts[first])
        first = end


def _merged(days: list[VesselReports], vessels: NDArray[np.int32], starts: NDArray[np.int64]) -> VesselReports:
    rows = int(starts[-1])
    block = VesselReports(vessels, starts, np.empty(rows, REPORT))
    ends = starts[:-1].copy()
    for number, day in enumerate(days):
        low = int(np.searchsorted(day.vessels, vessels[0]))
        high = int(np.searchsorted(day.vessels, vessels[-1], side="right"))
        slots = np.searchsorted(vessels, day.vessels[low:high])
        early = _append_day(day, low, slots, ends, block)
        if early >= 0:
            slot = slots[early]
            begins, before = day.reports[day.starts[low + early]], block.reports[ends[slot] - 1]
            raise ValueError(
                f"clean records, table {number}: MMSI {vessels[slot]} begins at {_moment(1_000 * int(begins['t']))}, "
                f"not later than its last position before, {_moment(1_000 * int(before['t']))}: tables must be whole "
                "days, in their order"
            )
    return block


def _by_chain(block: VesselReports, limits: ChainLimits, stream: RecordStream) -> Chains:
    """The block's reports that are in a chain; accounts for the rest."""
    most = len(block.reports)
    room = Chains(np.empty(most, np.int32), np.empty(most + 1, np.int64), np.empty(most, REPORT))
    chains, rows, odd = find_chains(block, limits, room)
    stream.ledger.drop("odd_one_out", odd)
    stream.ledger.drop("stray_position", most - rows - odd)
    return Chains(room.mmsi[:chains], room.bounds[: chains + 1], room.reports[:rows])


def _tracks_of(chains: Chains, limits: MotionLimits, stream: RecordStream) -> _Tracks:
    """Fills in the motion of a block's chains, cuts them into tracks, and accounts for what is in none."""
    ledger = stream.ledger
    track_of = np.empty(len(chains.reports), np.int32)
    tracks, counts = fill_motion(chains.reports, chains.bounds, limits, track_of)
    if limits.thin_seconds:
        ledger.drop("thinned", counts.thinned)
    if limits.stationary_seconds:
        ledger.drop("stationary", counts.stationary)
    positions = np.zeros(tracks, np.int64)
    track_ids = np.zeros(tracks, np.int64)
    held = _name_tracks(chains, track_of, positions, track_ids)
    for name, count in zip(("sog_held", "cog_held"), held, strict=True):
        ledger.note(name, count)
    ledger.note("sog_not_borne_out", counts.sog_not_borne_out)
    long_enough = positions >= limits.min_track_positions
    ledger.drop("stray_position", int(positions[~long_enough].sum()))
    kept = np.flatnonzero(long_enough)
    # A track id begins with the MMSI and ends with the start, so ids sort as (mmsi, start) does. Times are
    # unique within a vessel, hence ids are too.
    kept = kept[np.argsort(track_ids[kept])]
    ledger.note("tracks", len(kept))
    ledger.note("vessels", len(run_starts(track_ids[kept] >> TRACK_SHIFT)))
    bounds = np.append(0, np.cumsum(positions[kept]))
    next_row = np.full(tracks, -1, np.int64)
    next_row[kept] = bounds[:-1]
    return _Tracks(track_ids[kept], bounds, track_of, next_row)


def _laid_out(reports: Reports, tracks: _Tracks) -> _TrackColumns:
    rows = int(tracks.bounds[-1])
    # `_TrackColumns` in its order.
    motion = (np.int64, np.int32, np.int32, np.int32, np.int32)
    kinds = (np.int32, np.int64, *motion, np.int16, np.int8, np.bool_, np.bool_, np.int8)
    positions = _TrackColumns(*empty_columns(rows, kinds))
    _lay_out(reports, tracks, positions)
    return positions


def _cuts(bounds: NDArray[np.int64], most: int) -> Iterator[tuple[int, int]]:
    """Row ranges of up to `most` rows that end where a track does, unless a single track is longer than that."""
    start = 0
    while start < bounds[-1]:
        end = int(bounds[np.searchsorted(bounds, start + most, side="right") - 1])
        if end <= start:
            end = start + most
        yield start, end
        start = end


def _table(positions: _TrackColumns) -> pa.Table:
    heading, status = positions.heading, positions.nav_status
    columns = {schema.stored_name(name): column for name, column in positions._asdict().items()} | {
        "heading": arrow_array(pa.int16(), heading, heading != MISSING),
        "nav_status": pa.DictionaryArray.from_arrays(
            arrow_array(pa.int8(), status, status != NO_STATUS), pa.array(schema.NAV_STATUSES), safe=False
        ),
        "sog_held": pa.array(positions.sog_held),
        "cog_held": pa.array(positions.cog_held),
        "split": pa.DictionaryArray.from_arrays(pa.array(positions.split), pa.array(schema.SPLITS), safe=False),
    }
    arrays = [
        column if isinstance(column, pa.Array) else arrow_array(field.type, column)
        for field, column in ((field, columns[field.name]) for field in schema.TRACK_POSITIONS)
    ]
    return pa.Table.from_arrays(arrays, schema=schema.TRACK_POSITIONS)


@njit(cache=True, nogil=True)
def _packed(columns: _DayColumns, into: Reports) -> bool:
    """Writes a day's reports; whether all times are whole Unix seconds of 32 bits and every row is after the one before
    it by (mmsi, t)."""
    mmsi, milliseconds, lat, lon = columns.mmsi, columns.milliseconds, columns.lat, columns.lon
    sog, cog, heading, status, coarse = columns.sog, columns.cog, columns.heading, columns.nav_status, columns.coarse
    astray = False
    for i in range(len(mmsi)):
        # Exact division of an eighth by 125 is a multiplication by its inverse.
        seconds = np.uint32(np.uint32(milliseconds[i] >> 3) * _INVERSE_OF_125)
        astray |= np.int64(seconds) * 1_000 != milliseconds[i]
        if i > 0:
            astray |= (mmsi[i] < mmsi[i - 1]) | ((mmsi[i] == mmsi[i - 1]) & (milliseconds[i] <= milliseconds[i - 1]))
        into[i].t = seconds
        into[i].lat = lat[i]
        into[i].lon = lon[i]
        into[i].sog = sog[i]
        into[i].cog = cog[i]
        into[i].heading = heading[i]
        into[i].nav_status = status[i]
        into[i].flags = COARSE if coarse[i] else 0
    return not astray


@njit(cache=True, nogil=True)
def _first_astray(mmsi: NDArray[np.int32], milliseconds: NDArray[np.int64]) -> int:
    """The first row that `_in_seconds` refuses."""
    for i in range(len(mmsi)):
        if milliseconds[i] % 1_000 != 0 or milliseconds[i] < 0 or milliseconds[i] // 1_000 >> TRACK_SHIFT:
            return i
        if i > 0 and (mmsi[i], milliseconds[i]) <= (mmsi[i - 1], milliseconds[i - 1]):
            return i
    return -1


@njit(cache=True, nogil=True)
def _append_day(
    day: VesselReports, first_vessel: int, slots: NDArray[np.int64], ends: NDArray[np.int64], block: VesselReports
) -> int:
    """Appends each of a day's vessels, from `first_vessel` on, to its slot in the block, and moves the slot's end.

    Returns the number of the first vessel that does not go forward in time, or −1.
    """
    source = day.reports
    into = block.reports
    for k in range(len(slots)):
        slot = slots[k]
        first = day.starts[first_vessel + k]
        count = day.starts[first_vessel + k + 1] - first
        end = ends[slot]
        if end > block.starts[slot] and fix_of(source[first]).t <= fix_of(into[end - 1]).t:
            return k
        for i in range(count):
            into[end + i] = source[first + i]
        ends[slot] = end + count
    return -1


@njit(cache=True, nogil=True)
def _name_tracks(
    chains: Chains, track_of: NDArray[np.int32], positions: NDArray[np.int64], track_ids: NDArray[np.int64]
) -> tuple[int, int]:
    """Counts each track's positions, and writes the id that the first of them gives; returns how many SOGs and COGs
    of them are held."""
    sog_held = cog_held = 0
    reports = chains.reports
    for chain in range(len(chains.mmsi)):
        for i in range(chains.bounds[chain], chains.bounds[chain + 1]):
            track = track_of[i]
            if track < 0:
                continue
            if positions[track] == 0:
                track_ids[track] = (np.int64(chains.mmsi[chain]) << TRACK_SHIFT) | np.int64(reports[i].t)
            positions[track] += 1
            sog_held += reports[i].flags & SOG_HELD != 0
            cog_held += reports[i].flags & COG_HELD != 0
    return sog_held, cog_held


@njit(cache=True, nogil=True)
def _lay_out(reports: Reports, tracks: _Tracks, into: _TrackColumns) -> None:
    """Copies every report of a track to that track's rows, in the order of time; moves the rows."""
    of_report, next_row = tracks.of_report, tracks.next_row
    t, lat, lon, sog, cog, heading = into.t, into.lat, into.lon, into.sog, into.cog, into.heading
    status, sog_held, cog_held = into.nav_status, into.sog_held, into.cog_held
    for i in range(len(reports)):
        track = of_report[i]
        if track < 0 or next_row[track] < 0:
            continue
        row = next_row[track]
        next_row[track] = row + 1
        report = reports[i]
        t[row] = np.int64(report.t) * 1_000
        lat[row] = report.lat
        lon[row] = report.lon
        sog[row] = report.sog
        cog[row] = report.cog
        heading[row] = report.heading
        status[row] = report.nav_status
        sog_held[row] = report.flags & SOG_HELD != 0
        cog_held[row] = report.flags & COG_HELD != 0


@njit(cache=True, nogil=True)
def _share_out(
    tracks: _Tracks,
    split: NDArray[np.int8],
    bin_of: NDArray[np.uint8],
    into: _TrackColumns,
    histogram: NDArray[np.int64],
) -> None:
    """Fills in what all positions of a track share, and adds their dt_seconds to the histogram."""
    for k in range(len(tracks.track)):
        first, end = tracks.bounds[k], tracks.bounds[k + 1]
        into.mmsi[first:end] = tracks.track[k] >> TRACK_SHIFT
        into.track[first:end] = tracks.track[k]
        into.split[first:end] = split[k]
        histogram[0] += 1
        for i in range(first + 1, end):
            histogram[bin_of[(into.t[i] - into.t[i - 1]) // 1_000]] += 1
