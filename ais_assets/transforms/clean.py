"""Cleaning a day: usable vessel positions, one a vessel and second, by (shard, mmsi, t).

Each report that enters is kept or dropped by exactly one rule, the first of RULES that applies to it. Which
reports are kept depends on their values alone: not on their order, on how often each is repeated, or on how
the rows are cut into tables.

How: a report is packed into two integers whose order is (second, preference, values). Reports are scattered
to their shards as tables come in, and a shard at a time to their vessels (counting sorts), sorted there, and
then each rule is one pass over a vessel's sorted reports. The day is held once, at 20 bytes a usable report.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, time
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.ledger import Ledger
from ais_assets.stream import RecordStream
from ais_assets.transforms.kernels import arrow_array
from ais_assets.transforms.mmsi import SHIP_TYPES, is_ship_number
from ais_assets.transforms.split import mix64, shard_of

OTHER_DAY: Final = "other_day"
"""The report's time is not on the day (UTC) of its file. The file of its own day is where it belongs; taken
from both it would be counted twice."""

NOT_A_VESSEL: Final = "not_a_vessel"
"""The sender is no ship: its MMSI cannot be one's (`mmsi.is_ship_number`), or `mobile_type` says so, since some
aids to navigation use a ship's number. Off (`ships_only=False`) for those who want base stations and buoys too;
MMSIs below 1, which are no numbers at all, are dropped even then."""

OTHER_CLASS: Final = "other_class"
"""The sender's transponder is not of one of the `classes` wanted. Off by default, when all are. A report of unknown
class goes with "unknown", not with whatever the vessel sent at other times: each row says what it is."""

OTHER_TYPE: Final = "other_type"
"""The vessel is of none of the `ship_types` wanted. Off by default. Types are the source's own words ("Cargo", or "70"
where a feed has numbers), whatever their case. What a vessel showed at any time of the day describes it all day, since
feeds leave static columns blank until its first static message; of one that showed several types any will do, and one
that showed none is "unknown"."""

NO_POSITION: Final = "no_position"
"""Latitude or longitude is not available or not on the globe (ITU-R M.1371-5: 91° and 181° are "not
available"; DMA sends static data so)."""

POSITION_AT_ZERO: Final = "position_at_zero"
"""Exactly 0° N 0° E: what an unset field decodes to. A ship there is the rarer case by far (Global Fishing
Watch). Off with `drop_position_at_zero=False`, say for a survey ship that works there."""

EXACT_DUPLICATE: Final = "exact_duplicate"
"""The same in every column as a report kept: one message through several base stations (40 to 47 % of a DMA day)."""

REBROADCAST: Final = "rebroadcast"
"""A ship that says it moves (SOG ≥ `moving_knots`) with exactly the position, SOG and COG of an earlier second, up
to `repeat_seconds` after it: the old message again under a new time (as gpsdio-segment has it; up to 95 s late
in DMA data). Kept, it makes the ship stand still and then leap, or jump back.

Counted from the first appearance, not from the last: a delay is a delay since the message was sent, and a
receiver stuck on one fix still shows up every `repeat_seconds` instead of never again. Below `moving_knots` the
same values again are what a moored ship sends, and are kept.

Where a source prints positions with fewer decimals, a ship that moves can stay in one step of them for a while (11 m of
latitude at four decimals: 20 seconds at 1 kn). There a fix is an old one only if the ship must have left the step by
then: if SOG × time is more than the step's diagonal. The step is that of the day's coarser coordinate."""

SAME_SECOND: Final = "same_second"
"""Another report of this vessel and second is preferred (MobilityDB keeps one a second too; a track has no two
positions at once). The preferred one is not coarse; has SOG, then COG; is from class A, then B, then unknown; then has
the least latitude, status, longitude, SOG, COG, heading. After REBROADCAST, since where a vessel has two reports in a
second one of them is often (9 of 41 times in slices of DMA days) an old one, which the values alone don't show."""

RULES: Final = (
    OTHER_DAY,
    NOT_A_VESSEL,
    OTHER_CLASS,
    NO_POSITION,
    POSITION_AT_ZERO,
    OTHER_TYPE,
    EXACT_DUPLICATE,
    REBROADCAST,
    SAME_SECOND,
)
"""All rules in the order in which they are tried."""

NOTES: Final = ("vessels", "sog_missing", "cog_missing", "sog_out_of_range", "cog_out_of_range")
"""What the ledger notes beside the rules: vessels kept, rows kept without SOG or COG, and usable positions that
came with an SOG or COG that cannot be, which is then missing."""

MOVING_KNOTS: Final = 0.5
"""A ship at this speed is under way: DIPAAL, Global Fishing Watch and GeoTrackNet draw the line here. It is
also 0.26 m/s: from one second to the next, the shortest time between two clean positions, the ship leaves the
step of a position in AIS (1/10,000 minute, 0.19 m of latitude), so that an unchanged position is an old one."""

_TYPES: Final = (*SHIP_TYPES, *(kind for kind in schema.MOBILE_TYPES if kind not in SHIP_TYPES))
"""All mobile types, ships' first, in the order of preference in one second."""

_COUNTS: Final = (
    OTHER_DAY,
    NOT_A_VESSEL,
    OTHER_CLASS,
    NO_POSITION,
    POSITION_AT_ZERO,
    "sog_out_of_range",
    "cog_out_of_range",
)
"""What is counted row by row, as records come in."""
(
    _OTHER_DAY,
    _NOT_A_VESSEL,
    _OTHER_CLASS,
    _NO_POSITION,
    _POSITION_AT_ZERO,
    _SOG_OUT_OF_RANGE,
    _COG_OUT_OF_RANGE,
) = range(len(_COUNTS))

RAW_COLUMNS: Final = (
    "t",
    "mmsi",
    "mobile_type",
    *(of.column for of in schema.STORED_AS.values()),
    "heading",
    "nav_status",
    "coarse",
)
"""Columns of `schema.RAW_RECORDS` that cleaning needs."""
UNKNOWN_TYPE: Final = "unknown"
"""Ship type of a vessel that showed none all day."""
_STEPS: Final = (10, 100)
"""Micro-degrees of a coordinate's last decimal, where a source has five or four of them."""
_METRES_PER_MICRODEGREE: Final = 1852 * 60 / schema.MICRODEGREES
_METRES_PER_TENTH_KNOT_SECOND: Final = 1852 / 3600 / 10
_SHIP_TYPE_COUNT: Final = len(SHIP_TYPES)

_DAY_MILLISECONDS: Final = 86_400_000
_TENTHS: Final = 10
_LAT, _LON, _SOG, _COG = (schema.FEATURES[schema.FEATURE_NAMES.index(name)] for name in ("lat", "lon", "sog", "cog"))
_MAX_LAT: Final = round(_LAT.high * schema.MICRODEGREES)
_MAX_LON: Final = round(_LON.high * schema.MICRODEGREES)
_MAX_SOG: Final = round(_SOG.high * _TENTHS)
_MAX_COG: Final = round(_COG.high * _TENTHS)
_FULL_TURN: Final = 360

_MISSING: Final = -(2**31)
"""What stands for null in an int32 column on its way into a kernel. Out of every column's range."""

# A packed report: two int64 words that compare like the report.
#   word 0: second of the day | coarse | SOG missing | COG missing | place in _TYPES | latitude | status
#   word 1: longitude | SOG | COG | heading
# Missing values are all ones. The position, SOG and COG of two reports are equal if and only if their latitudes and
# all but the headings of their second words are.
_LAT_BITS: Final = (2 * _MAX_LAT).bit_length()
_TYPE_BITS: Final = (len(_TYPES) - 1).bit_length()
_SOG_BITS: Final = (_MAX_SOG + 1).bit_length()
_COG_BITS: Final = (_MAX_COG + 1).bit_length()
_HEADING_BITS: Final = 9
_STATUS_BITS: Final = 4
_NO_HEADING: Final = (1 << _HEADING_BITS) - 1
_NO_STATUS: Final = (1 << _STATUS_BITS) - 1
"""Also what a message says that has none, so that all others have a code below it."""
_COG_SHIFT: Final = _HEADING_BITS
_SOG_SHIFT: Final = _COG_SHIFT + _COG_BITS
_LON_SHIFT: Final = _SOG_SHIFT + _SOG_BITS
_LAT_SHIFT: Final = _STATUS_BITS
_TYPE_SHIFT: Final = _LAT_SHIFT + _LAT_BITS
_PREFERENCE_SHIFT: Final = _TYPE_SHIFT + _TYPE_BITS
_COARSE_SHIFT: Final = _PREFERENCE_SHIFT + 2
_SECOND_SHIFT: Final = _COARSE_SHIFT + 1
_LAT_MASK: Final = (1 << _LAT_BITS) - 1
_TYPE_MASK: Final = (1 << _TYPE_BITS) - 1
_NO_SOG: Final = (1 << _SOG_BITS) - 1
_NO_COG: Final = (1 << _COG_BITS) - 1

_RUN: Final = 32
"""Reports that insertion sort puts in order before merging begins."""

_FIRST_ROOM: Final = 4096
"""Vessels that a day has room for at first; the room doubles when it is full."""


class _RowRules(NamedTuple):
    """The rules on single rows, as the settings have them."""

    midnight: int  # Unix time in milliseconds
    ships_only: bool
    wanted: NDArray[np.bool_]  # by place in _TYPES: whether the class filter lets it pass
    drop_position_at_zero: bool


class _RepeatRule(NamedTuple):
    """REBROADCAST, as the settings have it."""

    seconds: int  # 0: off
    moving_sog: int  # tenths of a knot
    hidden: int  # SOG × seconds, in tenths of a knot, up to which a ship may be in the same step of a position


class _RawColumns(NamedTuple):
    """A batch's columns, (n,) each; nulls are _MISSING."""

    t: NDArray[np.int64]
    mmsi: NDArray[np.int32]
    kind: NDArray[np.int8]
    places: NDArray[np.int8]  # of each `kind` in _TYPES
    lat: NDArray[np.int32]
    lon: NDArray[np.int32]
    sog: NDArray[np.int32]
    cog: NDArray[np.int32]
    heading: NDArray[np.int16]  # _NO_HEADING where not available
    status: NDArray[np.int8]
    statuses: NDArray[np.int8]  # of each `status` its code in schema.NAV_STATUSES; of null, the last, _NO_STATUS
    coarse: NDArray[np.bool_]


class _CleanColumns(NamedTuple):
    """Some vessels' clean reports, (n,) each; missing values are _MISSING."""

    t: NDArray[np.int64]
    lat: NDArray[np.int32]
    lon: NDArray[np.int32]
    sog: NDArray[np.int32]
    cog: NDArray[np.int32]
    heading: NDArray[np.int16]  # _NO_HEADING where not available
    status: NDArray[np.int8]  # _NO_STATUS where not available
    place: NDArray[np.int8]
    coarse: NDArray[np.bool_]


class _VesselIndex(NamedTuple):
    """Vessels numbered as they appear: an open-addressing hash table."""

    slots: NDArray[np.int32]  # (power of two, 2): MMSI (0: free) and the vessel's number
    mmsi: NDArray[np.int32]  # by number; room for a quarter as many as slots
    reports: NDArray[np.int64]  # by number


class _Taken(NamedTuple):
    """What was taken of a batch."""

    packed: NDArray[np.int64]  # (n, 2)
    senders: NDArray[np.int32]  # (n,): the vessel's number
    counts: NDArray[np.int64]  # by _COUNTS
    finer: NDArray[np.bool_]  # (2, 2): of latitude and longitude, whether any was no multiple of each of _STEPS


class _ShardedReports(NamedTuple):
    """A batch's reports by shard."""

    packed: NDArray[np.int64]  # (n, 2)
    senders: NDArray[np.int32]  # (n,)
    bounds: NDArray[np.int64]  # (shards + 1,): where each shard's begin and end


class _Progress(NamedTuple):
    """How far a batch was taken."""

    row: int
    reports: int
    vessels: int
    whole: bool  # every time so far was a whole second


def clean_day(
    records: Iterator[pa.Table],
    day: date,
    *,
    shards: int,
    repeat_seconds: int,
    moving_knots: float = MOVING_KNOTS,
    ships_only: bool = True,
    classes: Collection[str] = (),
    ship_types: Collection[str] = (),
    drop_position_at_zero: bool = True,
) -> RecordStream:
    """Drops what no model should see from a day's records, and sorts the rest.

    Args:
        records: `schema.RAW_RECORDS`, any number of tables; RAW_COLUMNS are needed, and ship_type where `ship_types`
            are given. Read once, table by table.
        day: the day (UTC) that the records are of.
        shards: number of vessel shards, at least 1.
        repeat_seconds: how long a moving fix may be seen again to be a REBROADCAST; 0: keep them.
        moving_knots: SOG from which on a ship is under way; in steps of 0.1, above 0.
        ships_only: whether NOT_A_VESSEL is on.
        classes: mobile types to keep, the rest being OTHER_CLASS; none: keep all.
        ship_types: types to keep, the rest being OTHER_TYPE; none: keep all.
        drop_position_at_zero: whether POSITION_AT_ZERO is on.

    Returns:
        `schema.CLEAN_RECORDS`, exactly `shards` tables: table k holds the vessels of shard k by (mmsi, t), with at
        most one row a vessel and second. The ledger has a count for each of RULES and of NOTES.

    Raises:
        ValueError: at once, when a number is out of range or a class unknown; while the tables are read, when a
            record is not what RAW_RECORDS says: a column missing or of another type, a null or an unknown name
            where there can be none, a time that is not a whole second.
    """
    if shards < 1:
        raise ValueError(f"shards is {shards}; vessels need at least 1")
    if repeat_seconds < 0:
        raise ValueError(f"repeat_seconds is {repeat_seconds}; it must be 0 (keep rebroadcasts) or more")
    moving_sog = round(moving_knots * _TENTHS)
    if moving_sog < 1:
        raise ValueError(f"moving_knots is {moving_knots}; it must be at least 0.1, the step of SOG")
    unknown = sorted(set(classes) - set(_TYPES))
    if unknown:
        raise ValueError(f"classes holds {unknown}; known are {list(_TYPES)}")
    rules = _RowRules(
        _midnight(day),
        ships_only,
        np.array([not classes or kind in classes for kind in _TYPES]),
        drop_position_at_zero,
    )
    ledger = Ledger(dropped=dict.fromkeys(RULES, 0), notes=dict.fromkeys(NOTES, 0))
    facts: dict[str, Any] = {
        "day": day.isoformat(),
        "shards": shards,
        "repeat_seconds": repeat_seconds,
        "moving_knots": moving_knots,
        "ships_only": ships_only,
        "classes": sorted(classes),
        "ship_types": sorted(ship_types),
        "drop_position_at_zero": drop_position_at_zero,
    }
    reports = _Reports(rules, shards, frozenset(map(str.casefold, ship_types)), ledger)
    tables = _clean_tables(records, reports, repeat_seconds, moving_sog, day.isoformat())
    return RecordStream(schema.CLEAN_RECORDS, tables, ledger, facts)


def _clean_tables(
    records: Iterator[pa.Table], reports: _Reports, repeat_seconds: int, moving_sog: int, where: str
) -> Iterator[pa.Table]:
    ledger, midnight = reports.ledger, reports.rules.midnight
    for number, table in enumerate(records):
        reports.take(table, f"{where}: records, table {number}")
    repeats = _RepeatRule(repeat_seconds, moving_sog, reports.hidden())
    for mmsi, bounds, packed in reports.by_shard():
        starts, ends = bounds[:-1], bounds[1:].copy()
        other = reports.of_other_type(mmsi)
        ledger.drop(OTHER_TYPE, int((ends - starts)[other].sum()))
        ends[other] = starts[other]
        duplicates, rebroadcasts, losers = _clean_vessels(packed, starts, ends, repeats)
        ledger.drop(EXACT_DUPLICATE, duplicates)
        ledger.drop(REBROADCAST, rebroadcasts)
        ledger.drop(SAME_SECOND, losers)
        table = _unpacked(packed, starts, ends, mmsi, midnight)
        ledger.rows_out += table.num_rows
        ledger.note("vessels", mmsi.size - int(np.count_nonzero(other)))
        ledger.note("sog_missing", table["sog_tenths"].null_count)
        ledger.note("cog_missing", table["cog_tenths"].null_count)
        yield table


class _Reports:
    """The usable reports of a day, packed, and which vessel sent each."""

    def __init__(self, rules: _RowRules, shards: int, ship_types: frozenset[str], ledger: Ledger) -> None:
        self.rules = rules
        self.ship_types = ship_types
        self.shown: dict[int, set[str]] = {}
        self.finer = np.zeros((2, len(_STEPS)), np.bool_)
        self.ledger = ledger
        self.shards = shards
        self.vessels = 0
        self.index = _VesselIndex(
            np.zeros((4 * _FIRST_ROOM, 2), np.int32), np.empty(_FIRST_ROOM, np.int32), np.zeros(_FIRST_ROOM, np.int64)
        )
        self.counts = np.zeros(len(_COUNTS), np.int64)
        # Every batch is packed into the same memory: fresh pages cost more than the packing.
        self.packed, self.senders = np.empty((0, 2), np.int64), np.empty(0, np.int32)
        self.sorted: list[_ShardedReports] = []

    def take(self, table: pa.Table, where: str) -> None:
        """Packs the reports of a table that no rule on a single row drops."""
        _require_columns(table, (*RAW_COLUMNS, "ship_type") if self.ship_types else RAW_COLUMNS, where)
        self.ledger.rows_in += table.num_rows
        self.counts[:] = 0
        row = 0
        for batch in table.select(list(RAW_COLUMNS)).to_batches():
            if batch.num_rows:
                self._take_batch(batch, row, where)
            row += batch.num_rows
        if self.ship_types:
            self._note_types(table)
        for name, count in zip(_COUNTS, self.counts, strict=True):
            if name in RULES:
                self.ledger.drop(name, count)
            else:
                self.ledger.note(name, count)

    def _take_batch(self, batch: pa.RecordBatch, first_row: int, where: str) -> None:
        kinds, statuses = batch.column("mobile_type"), batch.column("nav_status")
        columns = _RawColumns(
            _values(batch.column("t"), np.int64),
            _values(batch.column("mmsi"), np.int32),
            _values(kinds.indices, np.int8),
            _places(kinds.dictionary, where),
            _values(batch.column("lat_microdegrees"), np.int32),
            _values(batch.column("lon_microdegrees"), np.int32),
            _values(batch.column("sog_tenths"), np.int32),
            _values(batch.column("cog_tenths"), np.int32),
            batch.column("heading").fill_null(_NO_HEADING).to_numpy(),
            statuses.indices.fill_null(len(statuses.dictionary)).to_numpy(),
            _statuses(statuses.dictionary, where),
            batch.column("coarse").to_numpy(zero_copy_only=False),
        )
        if batch.num_rows > self.senders.size:
            self.packed, self.senders = np.empty((batch.num_rows, 2), np.int64), np.empty(batch.num_rows, np.int32)
        taken = _Taken(self.packed, self.senders, self.counts, self.finer)
        row = reports = 0
        while row < batch.num_rows:
            start = _Progress(row, reports, self.vessels, whole=True)
            row, reports, self.vessels, whole = _pack(start, columns, self.rules, self.index, taken)
            if not whole:
                raise ValueError(
                    f"{where}, row {first_row + row}: t is {batch.column('t')[row]}, not a whole second; "
                    "the source must round it (schema.UTC)"
                )
            if self.vessels == self.index.mmsi.size:
                self.index = _larger(self.index)
        shard = shard_of(self.index.mmsi[: self.vessels], self.shards)
        self.sorted.append(_sorted_by_shard(self.packed[:reports], self.senders[:reports], shard, self.shards))

    def _note_types(self, table: pa.Table) -> None:
        """Remembers which types vessels showed; there are few rows that do, since static data are kept where new."""
        showing = table.select(["mmsi", "ship_type"]).filter(table["ship_type"].is_valid())
        for mmsi, ship_type in zip(*(showing[name].to_pylist() for name in showing.column_names), strict=True):
            self.shown.setdefault(mmsi, set()).add(ship_type.casefold())

    def of_other_type(self, mmsi: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which vessels are of none of the types wanted, once all tables were taken."""
        if not self.ship_types:
            return np.zeros(mmsi.size, np.bool_)
        unknown = {UNKNOWN_TYPE}
        return np.array([self.ship_types.isdisjoint(self.shown.get(int(ship), unknown)) for ship in mmsi], np.bool_)

    def hidden(self) -> int:
        """SOG × seconds, in tenths of a knot, up to which a ship may be in the same step of a position all day long."""
        coarse = [step for step, finer in zip(_STEPS, self.finer.all(axis=0), strict=True) if not finer]
        if not coarse:
            return 0
        step = max(coarse)
        return math.floor(math.sqrt(2) * step * _METRES_PER_MICRODEGREE / _METRES_PER_TENTH_KNOT_SECOND)

    def by_shard(self) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]]:
        """For each shard its vessels' MMSIs in order, the bounds of each one's reports, and the reports.

        The reports lie in memory that the next shard's are written to.
        """
        mmsi, counts = self.index.mmsi[: self.vessels], self.index.reports[: self.vessels]
        shard = shard_of(mmsi, self.shards)
        order = np.lexsort((mmsi, shard))
        vessel_bounds = np.searchsorted(shard[order], np.arange(self.shards + 1))
        totals = np.zeros(self.shards, np.int64)
        np.add.at(totals, shard, counts)
        packed = np.empty((int(totals.max()), 2), np.int64)
        next_row = np.empty(self.vessels, np.int64)
        for number, (first, last) in enumerate(pairwise(vessel_bounds)):
            vessels = order[first:last]
            bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts[vessels])])
            next_row[vessels] = bounds[:-1]
            for part in self.sorted:
                low, high = part.bounds[number : number + 2]
                _scatter(part.packed[low:high], part.senders[low:high], next_row, packed)
            yield mmsi[vessels], bounds, packed


def _midnight(day: date) -> int:
    """Unix time in milliseconds at which the day begins in UTC."""
    return int(datetime.combine(day, time(), UTC).timestamp()) * 1000


def _require_columns(table: pa.Table, names: Collection[str], where: str) -> None:
    for name in names:
        expected = schema.RAW_RECORDS.field(name)
        if name not in table.schema.names:
            raise ValueError(f"{where}: column {name!r} is missing; there are {table.schema.names}")
        if table.schema.field(name).type != expected.type:
            raise ValueError(f"{where}: column {name!r} is {table.schema.field(name).type}, not {expected.type}")
        if not expected.nullable and table[name].null_count:
            raise ValueError(
                f"{where}: column {name!r} holds {table[name].null_count} nulls; the source must reject them"
            )


def _values(array: pa.Array, dtype: type[np.signedinteger[Any]]) -> NDArray[Any]:
    """The integers under an Arrow array, without a copy unless some are null, which become _MISSING."""
    validity, data = array.buffers()[:2]
    values = np.frombuffer(data, dtype, len(array), array.offset * np.dtype(dtype).itemsize)
    if array.null_count == 0:
        return values
    return _with_nulls(values, np.frombuffer(validity, np.uint8), array.offset)


def _places(names: pa.Array, where: str) -> NDArray[np.int8]:
    """For each mobile type of a column's dictionary its place in _TYPES."""
    kinds = names.to_pylist()
    unknown = [kind for kind in kinds if kind not in schema.MOBILE_TYPES]
    if unknown:
        raise ValueError(f"{where}: mobile_type holds {unknown}; known are {list(schema.MOBILE_TYPES)}")
    return np.array([_TYPES.index(kind) for kind in kinds], np.int8)


def _statuses(names: pa.Array, where: str) -> NDArray[np.int8]:
    """For each navigational status of a column's dictionary, and for null, its code, _NO_STATUS for "undefined"."""
    statuses = names.to_pylist()
    unknown = [status for status in statuses if status not in schema.NAV_STATUSES]
    if unknown:
        raise ValueError(f"{where}: nav_status holds {unknown}; known are {list(schema.NAV_STATUSES)}")
    return np.array([*(schema.NAV_STATUSES.index(status) for status in statuses), _NO_STATUS], np.int8)


def _unpacked(
    packed: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    mmsi: NDArray[np.int32],
    midnight: int,
) -> pa.Table:
    """CLEAN_RECORDS of the reports that are left of some vessels."""
    rows = ends - starts
    n = int(rows.sum())
    lat, lon, sog, cog = np.empty((4, n), np.int32)
    heading, status, place = np.empty(n, np.int16), np.empty(n, np.int8), np.empty(n, np.int8)
    clean = _CleanColumns(np.empty(n, np.int64), lat, lon, sog, cog, heading, status, place, np.empty(n, np.bool_))
    _unpack(packed, starts, ends, midnight, clean)
    codes = np.array([schema.MOBILE_TYPES.index(kind) for kind in _TYPES], np.int8)
    columns = {
        "mmsi": pa.array(np.repeat(mmsi, rows)),
        "t": arrow_array(schema.UTC, clean.t),
        "lat_microdegrees": arrow_array(pa.int32(), clean.lat),
        "lon_microdegrees": arrow_array(pa.int32(), clean.lon),
        "sog_tenths": arrow_array(pa.int32(), clean.sog, clean.sog != _MISSING),
        "cog_tenths": arrow_array(pa.int32(), clean.cog, clean.cog != _MISSING),
        "heading": arrow_array(pa.int16(), heading, heading != _NO_HEADING),
        "nav_status": pa.DictionaryArray.from_arrays(
            arrow_array(pa.int8(), status, status != _NO_STATUS), pa.array(schema.NAV_STATUSES)
        ),
        "coarse": pa.array(clean.coarse),
        "mobile_type": pa.DictionaryArray.from_arrays(pa.array(codes[clean.place]), pa.array(schema.MOBILE_TYPES)),
    }
    return pa.Table.from_arrays([columns[name] for name in schema.CLEAN_RECORDS.names], schema=schema.CLEAN_RECORDS)


@njit(cache=True, nogil=True)
def _with_nulls(values: NDArray[np.int32], validity: NDArray[np.uint8], offset: int) -> NDArray[np.int32]:
    result = np.empty(values.size, np.int32)
    for row in range(values.size):
        bit = offset + row
        result[row] = values[row] if (validity[bit >> 3] >> (bit & 7)) & 1 else _MISSING
    return result


@njit(cache=True, nogil=True)
def _slot_of(slots: NDArray[np.int32], mmsi: np.int32) -> np.int64:
    """The slot that holds an MMSI, or the free one where it belongs."""
    mask = len(slots) - 1
    slot = np.int64(mix64(np.uint64(mmsi)) & np.uint64(mask))
    while slots[slot, 0] != 0 and slots[slot, 0] != mmsi:
        slot = (slot + 1) & mask
    return slot


@njit(cache=True, nogil=True)
def _larger(index: _VesselIndex) -> _VesselIndex:
    """The same vessels, all numbers of `index` taken, with room for twice as many."""
    room = index.mmsi.size
    slots = np.zeros((2 * len(index.slots), 2), np.int32)
    mmsi = np.empty(2 * room, np.int32)
    reports = np.zeros(2 * room, np.int64)
    mmsi[:room] = index.mmsi
    reports[:room] = index.reports
    for vessel in range(room):
        slot = _slot_of(slots, mmsi[vessel])
        slots[slot, 0] = mmsi[vessel]
        slots[slot, 1] = vessel
    return _VesselIndex(slots, mmsi, reports)


@njit(cache=True, nogil=True)
def _pack(start: _Progress, columns: _RawColumns, rules: _RowRules, index: _VesselIndex, taken: _Taken) -> _Progress:
    """Applies the rules on single rows from `start` on, and packs what passes.

    Stops at the end, when `index` is full, or at a time on this day that is not a whole second.
    """
    row, reports, vessels = start.row, start.reports, start.vessels
    slots, packed, counts = index.slots, taken.packed, taken.counts
    while row < columns.t.size and vessels < index.mmsi.size:
        elapsed = columns.t[row] - rules.midnight
        second = elapsed // 1000
        mmsi = columns.mmsi[row]
        place = columns.places[columns.kind[row]]
        lat, lon = np.int64(columns.lat[row]), np.int64(columns.lon[row])
        if elapsed < 0 or elapsed >= _DAY_MILLISECONDS:
            counts[_OTHER_DAY] += 1
        elif second * 1000 != elapsed:
            return _Progress(row, reports, vessels, False)
        elif mmsi < 1 or (rules.ships_only and (place >= _SHIP_TYPE_COUNT or not is_ship_number(mmsi))):
            counts[_NOT_A_VESSEL] += 1
        elif not rules.wanted[place]:
            counts[_OTHER_CLASS] += 1
        elif lat < -_MAX_LAT or lat > _MAX_LAT or lon < -_MAX_LON or lon > _MAX_LON:
            counts[_NO_POSITION] += 1
        elif rules.drop_position_at_zero and lat == 0 and lon == 0:
            counts[_POSITION_AT_ZERO] += 1
        else:
            sog, cog = np.int64(columns.sog[row]), np.int64(columns.cog[row])
            no_sog = sog < 0 or sog > _MAX_SOG
            no_cog = cog < 0 or cog > _MAX_COG
            if no_sog:
                counts[_SOG_OUT_OF_RANGE] += sog != _MISSING
                sog = _NO_SOG
            if no_cog:
                counts[_COG_OUT_OF_RANGE] += cog != _MISSING
                cog = _NO_COG
            slot = _slot_of(slots, mmsi)
            if slots[slot, 0] == 0:
                slots[slot, 0] = mmsi
                slots[slot, 1] = vessels
                index.mmsi[vessels] = mmsi
                vessels += 1
            heading, status = np.int64(columns.heading[row]), np.int64(columns.statuses[columns.status[row]])
            if heading < 0 or heading >= _FULL_TURN:
                heading = np.int64(_NO_HEADING)
            preference = np.int64(columns.coarse[row]) << 2 | np.int64(no_sog) << 1 | np.int64(no_cog)
            # True for both steps within a few rows of most files, and then two reads.
            for number in range(len(_STEPS)):
                if not taken.finer[0, number]:
                    taken.finer[0, number] = lat % _STEPS[number] != 0
                if not taken.finer[1, number]:
                    taken.finer[1, number] = lon % _STEPS[number] != 0
            of_sender = preference << _PREFERENCE_SHIFT | np.int64(place) << _TYPE_SHIFT
            packed[reports, 0] = second << _SECOND_SHIFT | of_sender | (lat + _MAX_LAT) << _LAT_SHIFT | status
            packed[reports, 1] = (lon + _MAX_LON) << _LON_SHIFT | sog << _SOG_SHIFT | cog << _COG_SHIFT | heading
            vessel = slots[slot, 1]
            taken.senders[reports] = vessel
            index.reports[vessel] += 1
            reports += 1
        row += 1
    return _Progress(row, reports, vessels, True)


@njit(cache=True, nogil=True)
def _sorted_by_shard(
    packed: NDArray[np.int64], senders: NDArray[np.int32], shard: NDArray[np.int32], shards: int
) -> _ShardedReports:
    """Counting sort of a batch's reports by shard, where `shard` is each vessel's."""
    bounds = np.zeros(shards + 1, np.int64)
    for report in range(senders.size):
        bounds[shard[senders[report]] + 1] += 1
    for number in range(shards):
        bounds[number + 1] += bounds[number]
    next_row = bounds[:-1].copy()
    result = np.empty(packed.shape, np.int64)
    result_senders = np.empty(senders.size, np.int32)
    for report in range(senders.size):
        number = shard[senders[report]]
        row = next_row[number]
        next_row[number] = row + 1
        result[row, 0] = packed[report, 0]
        result[row, 1] = packed[report, 1]
        result_senders[row] = senders[report]
    return _ShardedReports(result, result_senders, bounds)


@njit(cache=True, nogil=True)
def _scatter(
    packed: NDArray[np.int64], senders: NDArray[np.int32], next_row: NDArray[np.int64], result: NDArray[np.int64]
) -> None:
    for report in range(senders.size):
        row = next_row[senders[report]]
        next_row[senders[report]] = row + 1
        result[row, 0] = packed[report, 0]
        result[row, 1] = packed[report, 1]


@njit(cache=True, nogil=True)
def _clean_vessels(
    packed: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64], repeats: _RepeatRule
) -> tuple[int, int, int]:
    """Sorts each vessel's reports and applies the rules on several rows, in place; moves `ends` to what is left.

    Returns the rows dropped as exact duplicates, as rebroadcasts and for another of the same second.
    """
    largest = 0
    for vessel in range(starts.size):
        largest = max(largest, ends[vessel] - starts[vessel])
    scratch = np.empty((largest, 2), np.int64)
    duplicates = rebroadcasts = losers = 0
    for vessel in range(starts.size):
        first, end = starts[vessel], ends[vessel]
        _sort(packed, first, end, scratch)
        distinct = _drop_equal(packed, first, end)
        fresh = distinct
        if repeats.seconds > 0:
            fresh = _drop_repeats(packed, first, distinct, repeats)
        last = _drop_same_second(packed, first, fresh)
        duplicates += end - distinct
        rebroadcasts += distinct - fresh
        losers += fresh - last
        ends[vessel] = last
    return duplicates, rebroadcasts, losers


@njit(cache=True, nogil=True)
def _sort(reports: NDArray[np.int64], first: int, end: int, scratch: NDArray[np.int64]) -> None:
    """Sorts reports[first:end]: near linear where they are nearly in order, n log n at worst.

    Insertion sort of short runs, then merges that touch only what overlaps, since most files are in time order.
    """
    for low in range(first, end, _RUN):
        for report in range(low + 1, min(low + _RUN, end)):
            a, b = reports[report, 0], reports[report, 1]
            hole = report
            while hole > low and (reports[hole - 1, 0] > a or (reports[hole - 1, 0] == a and reports[hole - 1, 1] > b)):
                reports[hole, 0] = reports[hole - 1, 0]
                reports[hole, 1] = reports[hole - 1, 1]
                hole -= 1
            reports[hole, 0] = a
            reports[hole, 1] = b
    width = _RUN
    while width < end - first:
        for low in range(first, end - width, 2 * width):
            _merge(reports, low, low + width, min(low + 2 * width, end), scratch)
        width *= 2


@njit(cache=True, nogil=True)
def _merge(reports: NDArray[np.int64], low: int, middle: int, end: int, scratch: NDArray[np.int64]) -> None:
    """Merges the sorted reports[low:middle] and reports[middle:end]."""
    a, b = reports[middle, 0], reports[middle, 1]
    left = middle
    while left > low and (reports[left - 1, 0] > a or (reports[left - 1, 0] == a and reports[left - 1, 1] > b)):
        left -= 1
        scratch[left - low, 0] = reports[left, 0]
        scratch[left - low, 1] = reports[left, 1]
    write = left
    right = middle
    while left < middle and right < end:
        a, b = scratch[left - low, 0], scratch[left - low, 1]
        if reports[right, 0] < a or (reports[right, 0] == a and reports[right, 1] < b):
            reports[write, 0] = reports[right, 0]
            reports[write, 1] = reports[right, 1]
            right += 1
        else:
            reports[write, 0] = a
            reports[write, 1] = b
            left += 1
        write += 1
    while left < middle:
        reports[write, 0] = scratch[left - low, 0]
        reports[write, 1] = scratch[left - low, 1]
        left += 1
        write += 1


@njit(cache=True, nogil=True)
def _drop_equal(reports: NDArray[np.int64], first: int, end: int) -> int:
    """EXACT_DUPLICATE: moves the distinct of the sorted reports[first:end] to the front, returns their end."""
    write = first
    for report in range(first, end):
        a, b = reports[report, 0], reports[report, 1]
        if write == first or a != reports[write - 1, 0] or b != reports[write - 1, 1]:
            reports[write, 0] = a
            reports[write, 1] = b
            write += 1
    return write


@njit(cache=True, nogil=True)
def _drop_repeats(reports: NDArray[np.int64], first: int, end: int, repeats: _RepeatRule) -> int:
    """REBROADCAST: moves what is fresh of the sorted reports[first:end] to the front, returns their end.

    One look into a hash table a report, so that no length of time makes this slow.
    """
    slots = 2
    while slots < 2 * (end - first):
        slots *= 2
    mask = slots - 1
    # Of each fix: the second of its first appearance with its latitude (-1: free slot), and its second word.
    seen = np.empty((slots, 2), np.int64)
    seen[:, 0] = -1
    write = first
    for report in range(first, end):
        a, b = reports[report, 0], reports[report, 1]
        second, lat = a >> _SECOND_SHIFT, a >> _LAT_SHIFT & _LAT_MASK
        b >>= _COG_SHIFT
        speed = b >> _COG_BITS & _NO_SOG
        fresh = True
        if speed >= repeats.moving_sog and speed != _NO_SOG:
            slot = np.int64(mix64(np.uint64(b) ^ mix64(np.uint64(lat))) & np.uint64(mask))
            while seen[slot, 0] >= 0 and (seen[slot, 0] & _LAT_MASK != lat or seen[slot, 1] != b):
                slot = (slot + 1) & mask
            age = second - (seen[slot, 0] >> _LAT_BITS)
            if seen[slot, 0] < 0 or age > repeats.seconds:
                seen[slot, 0] = second << _LAT_BITS | lat
                seen[slot, 1] = b
            else:
                # Age 0 is the same fix from another class of transponder: for SAME_SECOND to decide.
                fresh = age == 0 or speed * age <= repeats.hidden
        if fresh:
            reports[write, 0] = a
            reports[write, 1] = reports[report, 1]
            write += 1
    return write


@njit(cache=True, nogil=True)
def _drop_same_second(reports: NDArray[np.int64], first: int, end: int) -> int:
    """SAME_SECOND: moves the first of each second of the sorted reports[first:end] to the front, returns their end."""
    write = first
    for report in range(first, end):
        a, b = reports[report, 0], reports[report, 1]
        if write == first or a >> _SECOND_SHIFT != reports[write - 1, 0] >> _SECOND_SHIFT:
            reports[write, 0] = a
            reports[write, 1] = b
            write += 1
    return write


@njit(cache=True, nogil=True)
def _unpack(
    packed: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    midnight: int,
    clean: _CleanColumns,
) -> None:
    row = 0
    for vessel in range(starts.size):
        for report in range(starts[vessel], ends[vessel]):
            a, b = packed[report, 0], packed[report, 1]
            sog, cog = b >> _SOG_SHIFT & _NO_SOG, b >> _COG_SHIFT & _NO_COG
            clean.t[row] = midnight + (a >> _SECOND_SHIFT) * 1000
            clean.lat[row] = (a >> _LAT_SHIFT & _LAT_MASK) - _MAX_LAT
            clean.lon[row] = (b >> _LON_SHIFT) - _MAX_LON
            clean.sog[row] = _MISSING if sog == _NO_SOG else sog
            clean.cog[row] = _MISSING if cog == _NO_COG else cog
            clean.heading[row] = b & _NO_HEADING
            clean.status[row] = a & _NO_STATUS
            clean.place[row] = a >> _TYPE_SHIFT & _TYPE_MASK
            clean.coarse[row] = a >> _COARSE_SHIFT & 1
            row += 1
