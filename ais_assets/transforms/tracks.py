"""Tracks: all positions of one vessel shard, cut where no ship can have gone from one to the next.

The rule. Every vessel has a few *open segments*. A position joins, among the open segments that it can
have come from, the nearest one, and opens a new segment where there is none:

- A silence over `max_gap_seconds` closes a segment; one of exactly `max_gap_seconds` does not.
- It can have come from a segment if the great-circle distance from that segment's last position is at
  most `max_speed_knots` × time + `POSITION_TOLERANCE_METRES`, a time under `SHORTEST_SECONDS` counting as
  that.
- Distances are compared in whole millimetres; of equally near segments the one heard last is taken.
- No more than `OPEN_SEGMENTS` are open: the one silent for longest is closed for a new one.

So a single jump is a segment of its own and does no harm to its neighbours, a jump that lasts becomes
the ship's new track, and two ships that send under one MMSI become two tracks instead of one that zigzags
between them. Comparing with the last position *kept* in a segment, over several open ones, is what Global
Fishing Watch's gpsdio-segment (`Segmentizer`) and AISdb (`encode_greatcircledistance`, 50 kn) do; a lag
over all rows would condemn the good position after a bad one as well.

Every position is dropped by one rule at most, the first of these:

1. `thinned`, off by default. A position that joins a segment less than `thin_seconds` after the last one kept in
   it is dropped as it comes: silence and speed are measured between positions that are kept, so the tracks are
   those of a source that is that much less dense, and dt_seconds stays within `max_gap_seconds`.
2. `no_motion_yet`. A missing SOG or COG holds the last known value of its segment. Positions before both
   are known have nothing to hold and are dropped; a segment in which one is never known is dropped whole.
3. `stationary`, off by default, as lying still is a part of what ships do. A stretch of consecutive positions of a
   segment that all have a SOG below `stationary_knots`, and that lasts `stationary_seconds` from the first to the
   last of them, is a ship moored or at anchor. It is dropped whole, and ends the segment: what comes after it is a
   new one, since hours without a position would else be inside of a track. SOG and not the distance covered
   tells, as a ship swings around its anchor; below 0.5 kn for long is what DIPAAL, Global Fishing Watch and
   GeoTrackNet take.
4. `stray_position`. A segment that is left with fewer than `min_track_positions` is dropped. What is left
   of a segment is a *track*.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.stream import RecordStream
from ais_assets.transforms.geodesy import EARTH_RADIUS_METRES, METRES_PER_NAUTICAL_MILE, great_circle_millimetres
from ais_assets.transforms.kernels import array_from_pool, arrow_array, run_starts, stored_integers
from ais_assets.transforms.split import is_validation

OPEN_SEGMENTS: Final = 8
"""Segments of one MMSI that may be open at a time. Two or three ships share one; the rest are stray fixes."""

SHORTEST_SECONDS: Final = 2
"""A shorter time counts as this long. Reports carry whole seconds, so a second apart may be almost two."""

POSITION_TOLERANCE_METRES: Final = 20
"""What two positions may be off together: 10 m each, AIS's bound of a high-accuracy fix (ITU-R M.1371-5).
It also covers the sources that print four decimals of a degree, where rounding alone moves a fix by 8 m."""

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

DT_EDGES: Final = (0, 2, 5, 10, 30, 60, 180, 600, 3_600, schema.MAX_GAP_SECONDS)
"""Upper edges in seconds, inclusive, of the dt_seconds histogram. The first counts the tracks' first positions."""

_MISSING: Final = np.iinfo(np.int16).min
_NO_STATUS: Final = -1
SOG_HELD, COG_HELD, COARSE = 1, 2, 4
_MILLIMETRES_PER_RADIAN: Final = EARTH_RADIUS_METRES * 1_000
_RADIANS_PER_STEP: Final = math.pi / 180 / schema.MICRODEGREES
_MILLIMETRES_PER_STEP: Final = _MILLIMETRES_PER_RADIAN * _RADIANS_PER_STEP
_EAST_AT_LEAST: Final = 2 / math.pi * np.cos(np.radians(np.minimum(np.arange(1, 92), 90))) * (1 - 1e-9)
"""Steps on a great circle, at least, of a step of longitude; by the degree of the latitude farther from the equator."""
_U: Final = np.uint64
"""Of indices: over signed ones, loops allow for counting from the end, which costs more than what they do."""
_IN_ONE = njit(cache=True, nogil=True, inline="always")
"""Of what interleaved ships need for every report: to hand over the columns would take longer than what it does."""
_INVERSE_OF_125: Final = np.uint32(pow(125, -1, 1 << 32))
_STEPS_AROUND: Final = 360 * schema.MICRODEGREES
_ALONE: Final = 1 << 60
"""Steps: more than any distance has."""
TRACK_SHIFT: Final = 32
_DT_BIN: Final = np.searchsorted(DT_EDGES, np.arange(schema.MAX_GAP_SECONDS + 1)).astype(np.uint8)
"""Of every dt_seconds, its place in `DT_EDGES`."""


class _Reports(NamedTuple):
    """Position reports in compact form, 20 bytes each: a column an array."""

    t: NDArray[np.uint32]
    """Unix time in seconds."""
    lat: NDArray[np.int32]
    lon: NDArray[np.int32]
    """Micro-degrees."""
    sog: NDArray[np.int16]
    cog: NDArray[np.int16]
    """Tenths of a knot or degree; _MISSING where not available."""
    heading: NDArray[np.int16]
    """Degrees; _MISSING where not available."""
    nav_status: NDArray[np.int8]
    """Code in `schema.NAV_STATUSES`; _NO_STATUS where not available."""
    flags: NDArray[np.uint8]
    """SOG_HELD, COG_HELD and COARSE."""


class _Positions(NamedTuple):
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


class _Open(NamedTuple):
    """The open segments of the vessel at hand: the row of each one's last position, and its number."""

    last: NDArray[np.int64]
    name: NDArray[np.int32]


class _Leg(NamedTuple):
    """Reports of a vessel from `first` to `end` that may go on with the segment `name`."""

    first: int
    end: int
    last: int
    """The segment's last report."""
    clear: np.int64
    """As `_clear_steps` of that."""
    none_closes_before: np.int64
    """No open segment is silent for too long before this Unix time in seconds."""
    name: int


class _Tracks(NamedTuple):
    """The tracks of a block: by id, those of track[k] being rows bounds[k] to bounds[k + 1]."""

    track: NDArray[np.int64]
    bounds: NDArray[np.int64]
    segment_of: NDArray[np.int32]
    """Of every report; −1 where it is in no track."""
    place: NDArray[np.int64]
    """The next row of every segment; −1 where it is no track."""


class _Vessels(NamedTuple):
    """Reports by (vessel, time): those of vessels[k], an MMSI, are rows starts[k] to starts[k + 1]."""

    vessels: NDArray[np.int32]
    starts: NDArray[np.int64]
    reports: _Reports


@dataclass(frozen=True)
class _Limits:
    max_gap_seconds: int
    millimetres_per_second: float
    min_track_positions: int
    thin_seconds: int
    """0: off."""
    stationary_seconds: int
    """0: off."""
    slow: int
    """Tenths of a knot; a SOG below is that of a ship lying still."""


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
) -> RecordStream:
    """Tracks of one vessel shard, by the rule in this module's docstring.

    A track's id is mmsi × 2^32 + the Unix time in seconds of its first position, so it stays the same when the
    shard is built again with more days after it.

    Args:
        days: the shard's `schema.CLEAN_RECORDS`, at least CLEAN_COLUMNS of it, one table a day in the order of days,
            each sorted by (mmsi, t) with one position a vessel and second. Read when the first table is asked for.
        max_gap_seconds: a longer silence ends a track; 1 to `schema.MAX_GAP_SECONDS`.
        max_speed_knots: a greater implied speed is no ship's; above 0.
        min_track_positions: a track with fewer is dropped; 1 or more.
        validation_fraction: share of vessels kept for validation, from 0 up to but without 1.
        seed: keys the split.
        thin_seconds: a position is dropped when it is less than this after the last one kept; 0: none is.
        stationary_seconds: drop stretches below `stationary_knots` that last at least this long; 0: none.
        stationary_knots: see there; above 0.

    Returns:
        `schema.TRACK_POSITIONS` by (mmsi, track, t), in tables of up to `TABLE_POSITIONS` cut between
        tracks, and inside only of a longer track. Ledger: positions in, out, and dropped by rule; notes count vessels
        (with a track), tracks, and positions with a held SOG or COG. Facts: the arguments, and the
        distribution of dt_seconds: counts[k] positions with edges[k − 1] < dt_seconds ≤ edges[k].

        Peak memory: 16 bytes for each of the shard's positions, and some 120 for each position of a
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
    limits = _Limits(
        max_gap_seconds,
        max_speed_knots * METRES_PER_NAUTICAL_MILE * 1_000 / 3_600,
        min_track_positions,
        thin_seconds,
        stationary_seconds,
        # Rounded first: in floating point 0.3 × 10 is a little over 3.
        math.ceil(round(stationary_knots * 10, 6)),
    )
    stream = RecordStream(schema.TRACK_POSITIONS, iter(()))
    stream.facts = {
        "max_gap_seconds": max_gap_seconds,
        "max_speed_knots": max_speed_knots,
        "min_track_positions": min_track_positions,
        "validation_fraction": validation_fraction,
        "seed": seed,
        "thin_seconds": thin_seconds,
        "stationary_seconds": stationary_seconds,
        "stationary_knots": stationary_knots,
        "dt_seconds": {"edges": list(DT_EDGES), "counts": [0] * len(DT_EDGES)},
    }
    stream.tables = _track_tables(days, limits, validation_fraction, seed, stream)
    return stream


def _track_tables(
    days: Iterator[pa.Table], limits: _Limits, validation_fraction: float, seed: int, stream: RecordStream
) -> Iterator[pa.Table]:
    ledger = stream.ledger
    for rule in ("no_motion_yet", "stray_position"):
        ledger.drop(rule, 0)
    for name in ("vessels", "tracks", "sog_held", "cog_held"):
        ledger.note(name, 0)
    compact = [_compact_day(table, number) for number, table in enumerate(days)]
    ledger.rows_in = sum(len(day.reports.t) for day in compact)
    histogram = np.zeros(len(DT_EDGES), np.int64)
    for block in _blocks(compact):
        tracks = _tracks_of(block, limits, stream)
        positions = _laid_out(block.reports, tracks)
        held_out = is_validation((tracks.track >> TRACK_SHIFT).astype(np.int32), validation_fraction, seed)
        _name_positions(tracks, held_out, _DT_BIN, positions, histogram)
        for start, end in _cuts(tracks.bounds, TABLE_POSITIONS):
            ledger.rows_out += end - start
            yield _table(_Positions._make(column[start:end] for column in positions))
    stream.facts["dt_seconds"]["counts"] = histogram.tolist()


def _compact_day(table: pa.Table, number: int) -> _Vessels:
    try:
        mmsi = stored_integers(table, "mmsi", schema.CLEAN_RECORDS)
        milliseconds = stored_integers(table, "t", schema.CLEAN_RECORDS)
        t, sog, cog = (array_from_pool(len(mmsi), kind) for kind in (np.uint32, np.int16, np.int16))
        sog[:] = stored_integers(table, "sog_tenths", schema.CLEAN_RECORDS, _MISSING)
        cog[:] = stored_integers(table, "cog_tenths", schema.CLEAN_RECORDS, _MISSING)
        reports = _Reports(
            t,
            stored_integers(table, "lat_microdegrees", schema.CLEAN_RECORDS),
            stored_integers(table, "lon_microdegrees", schema.CLEAN_RECORDS),
            sog,
            cog,
            table["heading"].combine_chunks().fill_null(_MISSING).to_numpy(),
            _status_codes(table["nav_status"]),
            table["coarse"].to_numpy().astype(np.uint8) * np.uint8(COARSE),
        )
    except ValueError as error:
        raise ValueError(f"clean records, table {number}: {error}") from error
    if not _in_seconds(mmsi, milliseconds, t):
        bad = _first_astray(mmsi, milliseconds)
        before = f" after ({mmsi[bad - 1]}, {_moment(milliseconds[bad - 1])})" if bad else ""
        raise ValueError(
            f"clean records, table {number}, row {bad}: (mmsi, t) = ({mmsi[bad]}, {_moment(milliseconds[bad])})"
            f"{before}: positions must be sorted by (mmsi, t), whole seconds, at most one a vessel and second; "
            "clean the day again"
        )
    starts = run_starts(mmsi)
    return _Vessels(mmsi[starts].copy(), np.append(starts, len(mmsi)), reports)


def _status_codes(names: pa.ChunkedArray) -> NDArray[np.int8]:
    """Codes in `schema.NAV_STATUSES`, _NO_STATUS where null; a row group has one dictionary, any that holds them."""
    column = names.unify_dictionaries().combine_chunks()
    statuses = column.dictionary.to_pylist()
    code_of = np.array([*(schema.NAV_STATUSES.index(status) for status in statuses), _NO_STATUS], np.int8)
    return code_of[column.indices.fill_null(len(statuses)).to_numpy()]


def _moment(milliseconds: int) -> str:
    return str(np.datetime64(int(milliseconds), "ms")) + "Z"


def _blocks(days: list[_Vessels]) -> Iterator[_Vessels]:
    """Merges the days: vessels in order, as many at a time as have TABLE_POSITIONS together, or one that has more."""
    vessels = np.unique(np.concatenate([np.empty(0, np.int32), *(day.vessels for day in days)]))
    starts = np.zeros(len(vessels) + 1, np.int64)
    for day in days:
        starts[1 + np.searchsorted(vessels, day.vessels)] += np.diff(day.starts)
    starts = np.cumsum(starts)
    first = 0
    while first < len(vessels):
        fitting = int(np.searchsorted(starts, starts[first] + TABLE_POSITIONS, side="right")) - 1
        end = max(fitting, first + 1)
        yield _merged(days, vessels[first:end], starts[first : end + 1] - starts[first])
        first = end


def _merged(days: list[_Vessels], vessels: NDArray[np.int32], starts: NDArray[np.int64]) -> _Vessels:
    rows = int(starts[-1])
    into = _Reports(*(array_from_pool(rows, column.dtype) for column in days[0].reports))
    block = _Vessels(vessels, starts, into)
    ends = starts[:-1].copy()
    for number, day in enumerate(days):
        low = int(np.searchsorted(day.vessels, vessels[0]))
        high = int(np.searchsorted(day.vessels, vessels[-1], side="right"))
        slots = np.searchsorted(vessels, day.vessels[low:high])
        early = _append_day(day, low, slots, ends, block)
        if early >= 0:
            slot = slots[early]
            raise ValueError(
                f"clean records, table {number}: MMSI {vessels[slot]} begins at "
                f"{_moment(1_000 * int(day.reports.t[day.starts[low + early]]))}, not later than its last position "
                f"before, {_moment(1_000 * int(into.t[ends[slot] - 1]))}: tables must be whole days, in their order"
            )
    return block


def _tracks_of(block: _Vessels, limits: _Limits, stream: RecordStream) -> _Tracks:
    """Judges every report of a block, and accounts for those that are in no track."""
    reports, ledger = block.reports, stream.ledger
    segment_of = array_from_pool(len(reports.t), np.int32)
    segments, thinned = _assign_segments(
        block, limits.max_gap_seconds, limits.millimetres_per_second, limits.thin_seconds, segment_of
    )
    if limits.thin_seconds:
        ledger.drop("thinned", thinned)
    motionless, held_sog, held_cog = _hold_motion(reports, segment_of, segments)
    ledger.drop("no_motion_yet", motionless)
    ledger.note("sog_held", held_sog)
    ledger.note("cog_held", held_cog)
    if limits.stationary_seconds:
        segments, still = _cut_stationary(reports, segment_of, segments, limits.stationary_seconds, limits.slow)
        ledger.drop("stationary", still)

    positions = np.zeros(segments, np.int64)
    track_of = np.zeros(segments, np.int64)
    _name_tracks(block, segment_of, positions, track_of)
    long_enough = positions >= limits.min_track_positions
    ledger.drop("stray_position", int(positions[~long_enough].sum()))
    kept = np.flatnonzero(long_enough)
    # A track id begins with the MMSI and ends with the start, so ids sort as (mmsi, start) does. Times are
    # unique within a vessel, hence ids are too.
    kept = kept[np.argsort(track_of[kept])]
    ledger.note("tracks", len(kept))
    ledger.note("vessels", len(run_starts(track_of[kept] >> TRACK_SHIFT)))
    bounds = np.append(0, np.cumsum(positions[kept]))
    place = np.full(segments, -1, np.int64)
    place[kept] = bounds[:-1]
    return _Tracks(track_of[kept], bounds, segment_of, place)


def _laid_out(reports: _Reports, tracks: _Tracks) -> _Positions:
    rows = int(tracks.bounds[-1])
    # `_Positions` in its order.
    motion = (np.int64, np.int32, np.int32, np.int32, np.int32)
    kinds = (np.int32, np.int64, *motion, np.int16, np.int8, np.bool_, np.bool_, np.int8)
    positions = _Positions(*(array_from_pool(rows, kind) for kind in kinds))
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


def _table(positions: _Positions) -> pa.Table:
    heading, status = positions.heading, positions.nav_status
    columns = {schema.stored_name(name): column for name, column in positions._asdict().items()} | {
        "heading": arrow_array(pa.int16(), heading, heading != _MISSING),
        "nav_status": pa.DictionaryArray.from_arrays(
            arrow_array(pa.int8(), status, status != _NO_STATUS), pa.array(schema.NAV_STATUSES), safe=False
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
def _in_seconds(mmsi: NDArray[np.int32], milliseconds: NDArray[np.int64], t: NDArray[np.uint32]) -> bool:
    """Writes times to t; whether all are whole Unix seconds of 32 bits and every row is after the one before it by
    (mmsi, t)."""
    astray = False
    for i in range(_U(len(mmsi))):
        # Exact division of an eighth by 125 is a multiplication by its inverse, of which several are done at a time.
        seconds = np.uint32(np.uint32(milliseconds[i] >> 3) * _INVERSE_OF_125)
        t[i] = seconds
        astray |= np.int64(seconds) * 1_000 != milliseconds[i]
    for i in range(_U(1), _U(len(mmsi))):
        before = i - _U(1)
        astray |= (mmsi[i] < mmsi[before]) | ((mmsi[i] == mmsi[before]) & (t[i] <= t[before]))
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
    day: _Vessels, first_vessel: int, slots: NDArray[np.int64], ends: NDArray[np.int64], block: _Vessels
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
        if end > block.starts[slot] and source.t[first] <= into.t[end - 1]:
            return k
        here, there = slice(end, end + count), slice(first, first + count)
        into.t[here] = source.t[there]
        into.lat[here] = source.lat[there]
        into.lon[here] = source.lon[there]
        into.sog[here] = source.sog[there]
        into.cog[here] = source.cog[there]
        into.heading[here] = source.heading[there]
        into.nav_status[here] = source.nav_status[there]
        into.flags[here] = source.flags[there]
        ends[slot] = end + count
    return -1


@njit(cache=True, nogil=True)
def _seconds_between(reports: _Reports, a: int, b: int) -> np.int64:
    # Signed first: the compiler makes the difference of two unsigned times unsigned.
    return np.int64(reports.t[b]) - np.int64(reports.t[a])


@njit(cache=True, nogil=True)
def _reach_millimetres(seconds: np.int64, millimetres_per_second: float) -> int:
    """How far a ship can be after so many seconds."""
    return math.floor(millimetres_per_second * max(seconds, SHORTEST_SECONDS)) + POSITION_TOLERANCE_METRES * 1_000


@njit(cache=True, nogil=True)
def _millimetres_between(reports: _Reports, a: int, b: int) -> int:
    """Great-circle distance of two reports."""
    return great_circle_millimetres(reports.lat[a], reports.lon[a], reports.lat[b], reports.lon[b])


@_IN_ONE
def _steps_at_most(reports: _Reports, a: int, b: int) -> np.int64:
    """An upper bound of two reports' great-circle distance in micro-degrees of arc, without trigonometry.

    A path along the meridian and then along the parallel is no longer than both differences as if at the equator.
    """
    east = abs(np.int64(reports.lon[b]) - np.int64(reports.lon[a]))
    return abs(np.int64(reports.lat[b]) - np.int64(reports.lat[a])) + min(east, _STEPS_AROUND - east)


@_IN_ONE
def _steps_at_least(reports: _Reports, a: int, b: int) -> np.int64:
    """A lower bound of two reports' great-circle distance in micro-degrees of arc, without trigonometry.

    No path is shorter than its difference of latitude. Nor, since the haversine of the distance is at least
    cos φ₁ cos φ₂ sin²(Δλ / 2) and sin(Δλ / 2) at least Δλ / π, than 2 / π of Δλ times the smaller cosine.
    """
    lat_a, lat_b = np.int64(reports.lat[a]), np.int64(reports.lat[b])
    east = abs(np.int64(reports.lon[b]) - np.int64(reports.lon[a]))
    degree = max(abs(lat_a), abs(lat_b)) // schema.MICRODEGREES
    return max(abs(lat_b - lat_a), np.int64(min(east, _STEPS_AROUND - east) * _EAST_AT_LEAST[degree]))


@_IN_ONE
def _clear_steps(reports: _Reports, i: int, open_: _Open, count: int, chosen: int) -> np.int64:
    """Micro-degrees of arc, at least, that report i is away from the last positions of all open segments but one."""
    clear = np.int64(_ALONE)
    for k in range(count):
        if k != chosen:
            clear = min(clear, _steps_at_least(reports, open_.last[k], i))
    return clear


@_IN_ONE
def _surely_nearest(
    reports: _Reports, i: int, open_: _Open, count: int, millimetres_per_second: float
) -> tuple[int, np.int64]:
    """The open segment that report i joins, where bounds alone prove it, else −1; and how clear it is of the others."""
    best = -1
    moved = np.int64(_ALONE)
    for k in range(count):
        steps = _steps_at_most(reports, open_.last[k], i)
        if steps < moved:
            best = k
            moved = steps
    if best < 0:
        return -1, np.int64(_ALONE)
    reach = _reach_millimetres(_seconds_between(reports, open_.last[best], i), millimetres_per_second)
    # A step and a millimetre to spare cover the rounding of distances.
    if moved * _MILLIMETRES_PER_STEP + 1 > reach:
        return -1, np.int64(_ALONE)
    clear = _clear_steps(reports, i, open_, count, best)
    return (best if clear > moved + 1 else -1), clear


@njit(cache=True, nogil=True)
def _nearest(reports: _Reports, i: int, open_: _Open, count: int, millimetres_per_second: float) -> int:
    """The open segment that report i joins, or −1; of equally near ones that heard last."""
    best = -1
    best_distance = 0
    for k in range(count):
        row = open_.last[k]
        distance = _millimetres_between(reports, row, i)
        if distance > _reach_millimetres(_seconds_between(reports, row, i), millimetres_per_second):
            continue
        if best < 0 or distance < best_distance or (distance == best_distance and row > open_.last[best]):
            best = k
            best_distance = distance
    return best


@njit(cache=True, nogil=True)
def _assign_segments(
    block: _Vessels,
    max_gap_seconds: int,
    millimetres_per_second: float,
    thin_seconds: int,
    segment_of: NDArray[np.int32],
) -> tuple[int, int]:
    """Numbers the segment of every report, −1 where it is thinned out; returns how many segments and of these."""
    reports = block.reports
    open_ = _Open(np.empty(OPEN_SEGMENTS, np.int64), np.empty(OPEN_SEGMENTS, np.int32))
    segments = 0
    thinned = 0
    for vessel in range(len(block.vessels)):
        count = 0
        current = -1
        clear = np.int64(_ALONE)
        none_closes_before = np.int64(0)
        i, end = block.starts[vessel], block.starts[vessel + 1]
        while i < end:
            if reports.t[i] > none_closes_before:
                count, current = _close_silent(reports, i, max_gap_seconds, open_, (count, current))
                none_closes_before = np.int64(_heard_first(reports, i, open_, count) + max_gap_seconds)
            if current >= 0:
                leg = _Leg(i, end, open_.last[current], clear, none_closes_before, open_.name[current])
                i, open_.last[current], clear, too_soon = _follow(
                    reports, leg, millimetres_per_second, thin_seconds, segment_of
                )
                thinned += too_soon
                if i == end or reports.t[i] > none_closes_before:
                    continue
            chosen, clear = _surely_nearest(reports, i, open_, count, millimetres_per_second)
            proven = chosen >= 0
            if not proven:
                chosen = _nearest(reports, i, open_, count, millimetres_per_second)
            if chosen < 0:
                if count < OPEN_SEGMENTS:
                    chosen = count
                    count += 1
                else:
                    chosen = np.argmin(open_.last)
                open_.name[chosen] = segments
                segments += 1
            elif _seconds_between(reports, open_.last[chosen], i) < thin_seconds:
                segment_of[i] = -1
                thinned += 1
                current = -1
                i += 1
                continue
            open_.last[chosen] = i
            segment_of[i] = open_.name[chosen]
            current = chosen
            if not proven:
                clear = _clear_steps(reports, i, open_, count, chosen)
            i += 1
    return segments, thinned


@_IN_ONE
def _follow(
    reports: _Reports,
    leg: _Leg,
    millimetres_per_second: float,
    thin_seconds: int,
    segment_of: NDArray[np.int32],
) -> tuple[Any, Any, np.int64, int]:
    """Gives reports to the segment that the last one joined for as long as bounds prove that they join it too.

    Nearly every position is metres from its own track and kilometres from any other, which needs no sines to prove.
    How clear the ship is of the others is worked out once; from there on it comes nearer by no more than it moves.

    Returns the first report that it proves nothing of, the segment's last report, how clear that is of the others,
    and how many were thinned out.
    """
    last = leg.last
    lat, lon, t = np.int64(reports.lat[last]), np.int64(reports.lon[last]), np.int64(reports.t[last])
    clear = leg.clear
    thinned = 0
    i = leg.first
    while i < leg.end:
        now = np.int64(reports.t[i])
        here, there = np.int64(reports.lat[i]), np.int64(reports.lon[i])
        east = abs(there - lon)
        # As `_steps_at_most`.
        moved = abs(here - lat) + min(east, _STEPS_AROUND - east)
        # A step and two millimetres to spare cover the rounding of distances and of `_reach_millimetres`.
        reach = millimetres_per_second * max(now - t, SHORTEST_SECONDS) + (POSITION_TOLERANCE_METRES * 1_000 - 2)
        if now > leg.none_closes_before or clear - moved <= moved + 1 or moved * _MILLIMETRES_PER_STEP > reach:
            break
        if now - t < thin_seconds:
            segment_of[i] = -1
            thinned += 1
        else:
            segment_of[i] = leg.name
            clear -= moved
            last, lat, lon, t = i, here, there, now
        i += 1
    return i, last, clear, thinned


@njit(cache=True, nogil=True)
def _close_silent(
    reports: _Reports, i: int, max_gap_seconds: int, open_: _Open, count_and_current: tuple[int, int]
) -> tuple[int, int]:
    """Closes segments that report i comes too late for; returns how many are open, and which of them is current."""
    count, current = count_and_current
    still_open = 0
    still_current = -1
    for k in range(count):
        if _seconds_between(reports, open_.last[k], i) <= max_gap_seconds:
            open_.last[still_open] = open_.last[k]
            open_.name[still_open] = open_.name[k]
            if k == current:
                still_current = still_open
            still_open += 1
    return still_open, still_current


@njit(cache=True, nogil=True)
def _heard_first(reports: _Reports, i: int, open_: _Open, count: int) -> np.int64:
    """When the open segment that is silent for longest was heard; report i's time where none is open."""
    heard = np.int64(reports.t[i])
    for k in range(count):
        heard = min(heard, np.int64(reports.t[open_.last[k]]))
    return heard


@njit(cache=True, nogil=True)
def _hold_motion(reports: _Reports, segment_of: NDArray[np.int32], segments: int) -> tuple[int, int, int]:
    """Fills a missing SOG or COG with the segment's last known one, in place.

    A report with none to hold leaves its segment: −1. Returns how many do, and how many others have a held
    SOG, a held COG.
    """
    sog = np.full(segments, _MISSING, np.int16)
    cog = np.full(segments, _MISSING, np.int16)
    motionless = 0
    held_sog = 0
    held_cog = 0
    for i in range(len(segment_of)):
        segment = segment_of[i]
        if segment < 0:
            continue
        sog_is_held = reports.sog[i] == _MISSING
        cog_is_held = reports.cog[i] == _MISSING
        if sog_is_held or cog_is_held:
            if sog_is_held:
                reports.sog[i] = sog[segment]
            if cog_is_held:
                reports.cog[i] = cog[segment]
            if reports.sog[i] == _MISSING or reports.cog[i] == _MISSING:
                segment_of[i] = -1
                motionless += 1
            else:
                held_sog += sog_is_held
                held_cog += cog_is_held
                reports.flags[i] |= SOG_HELD * sog_is_held | COG_HELD * cog_is_held
        sog[segment] = reports.sog[i]
        cog[segment] = reports.cog[i]
    return motionless, held_sog, held_cog


@njit(cache=True, nogil=True)
def _cut_stationary(
    reports: _Reports, segment_of: NDArray[np.int32], segments: int, seconds: int, slow: int
) -> tuple[int, int]:
    """Takes long slow stretches out of their segments (−1), and begins a new segment after each.

    Returns the number of segments, of which some may now be empty, and of reports taken out.
    """
    stretch_of = np.full(len(segment_of), -1, np.int32)
    first = np.empty(len(segment_of), np.int32)
    last = np.empty(len(segment_of), np.int32)
    stretches = 0
    current = np.full(segments, -1, np.int32)
    for i in range(len(segment_of)):
        segment = segment_of[i]
        if segment < 0:
            continue
        if reports.sog[i] >= slow:
            current[segment] = -1
            continue
        if current[segment] < 0:
            current[segment] = stretches
            first[stretches] = i
            stretches += 1
        stretch_of[i] = current[segment]
        last[current[segment]] = i

    taken = 0
    ended = np.zeros(segments, np.bool_)
    name = np.arange(segments)
    for i in range(len(segment_of)):
        segment = segment_of[i]
        if segment < 0:
            continue
        stretch = int(stretch_of[i])
        if stretch >= 0 and _seconds_between(reports, int(first[stretch]), int(last[stretch])) >= seconds:
            segment_of[i] = -1
            ended[segment] = True
            taken += 1
            continue
        if ended[segment]:
            ended[segment] = False
            name[segment] = segments
            segments += 1
        segment_of[i] = name[segment]
    return segments, taken


@njit(cache=True, nogil=True)
def _name_tracks(
    block: _Vessels, segment_of: NDArray[np.int32], positions: NDArray[np.int64], track_of: NDArray[np.int64]
) -> None:
    """Counts each segment's positions, and writes the track id that the first of them gives."""
    for vessel in range(len(block.vessels)):
        for i in range(block.starts[vessel], block.starts[vessel + 1]):
            segment = segment_of[i]
            if segment < 0:
                continue
            if positions[segment] == 0:
                track_of[segment] = (np.int64(block.vessels[vessel]) << TRACK_SHIFT) | np.int64(block.reports.t[i])
            positions[segment] += 1


@njit(cache=True, nogil=True)
def _lay_out(reports: _Reports, tracks: _Tracks, into: _Positions) -> None:
    """Copies every report of a track to that track's rows, in the order of time; moves the places.

    Reports of a segment mostly follow one another, and then several are copied at a time.
    """
    first = 0
    while first < len(reports.t):
        segment = tracks.segment_of[first]
        end = first + 1
        while end < len(reports.t) and tracks.segment_of[end] == segment:
            end += 1
        row = tracks.place[segment] if segment >= 0 else np.int64(-1)
        if row >= 0:
            tracks.place[segment] = row + end - first
            shift = _U(row) - _U(first)
            for i in range(_U(first), _U(end)):
                into.t[i + shift] = np.int64(reports.t[i]) * 1_000
            for i in range(_U(first), _U(end)):
                into.lat[i + shift] = reports.lat[i]
            for i in range(_U(first), _U(end)):
                into.lon[i + shift] = reports.lon[i]
            for i in range(_U(first), _U(end)):
                into.sog[i + shift] = reports.sog[i]
            for i in range(_U(first), _U(end)):
                into.cog[i + shift] = reports.cog[i]
            for i in range(_U(first), _U(end)):
                into.heading[i + shift] = reports.heading[i]
                into.nav_status[i + shift] = reports.nav_status[i]
                into.sog_held[i + shift] = reports.flags[i] & SOG_HELD != 0
                into.cog_held[i + shift] = reports.flags[i] & COG_HELD != 0
        first = end


@njit(cache=True, nogil=True)
def _name_positions(
    tracks: _Tracks,
    held_out: NDArray[np.bool_],
    bin_of: NDArray[np.uint8],
    positions: _Positions,
    histogram: NDArray[np.int64],
) -> None:
    """Fills in what all positions of a track share, and adds their dt_seconds to the histogram."""
    for k in range(len(tracks.track)):
        first, end = tracks.bounds[k], tracks.bounds[k + 1]
        positions.mmsi[first:end] = tracks.track[k] >> TRACK_SHIFT
        positions.track[first:end] = tracks.track[k]
        positions.split[first:end] = held_out[k]
        histogram[0] += 1
        for i in range(_U(first) + _U(1), _U(end)):
            seconds = (positions.t[i] - positions.t[i - _U(1)]) // 1_000
            histogram[_U(bin_of[_U(seconds)])] += 1
