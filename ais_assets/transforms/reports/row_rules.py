"""The rules on single rows, and the packing of what passes them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.transforms.mmsi import SHIP_TYPES, is_ship_number
from ais_assets.transforms.reports.packed import (
    MAX_COG,
    MAX_LAT,
    MAX_LON,
    MAX_SOG,
    MISSING,
    NO_COG,
    NO_HEADING,
    NO_SOG,
    NO_STATUS,
    TYPES,
    first_word,
    second_word,
)
from ais_assets.transforms.reports.places import INLAND, LAND, ON_LAND, OUTSIDE, OUTSIDE_REGION, Places
from ais_assets.transforms.reports.vessel_index import VesselIndex, slot_of

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

NO_POSITION: Final = "no_position"
"""Latitude or longitude is not available or not on the globe (ITU-R M.1371-5: 91° and 181° are "not
available"; DMA sends static data so)."""

POSITION_AT_ZERO: Final = "position_at_zero"
"""Exactly 0° N 0° E: what an unset field decodes to. A ship there is the rarer case by far (Global Fishing
Watch). Off with `drop_position_at_zero=False`, say for a survey ship that works there."""

COUNTS: Final = (
    OTHER_DAY,
    NOT_A_VESSEL,
    OTHER_CLASS,
    NO_POSITION,
    POSITION_AT_ZERO,
    OUTSIDE_REGION,
    ON_LAND,
    LAND,
    "sog_out_of_range",
    "cog_out_of_range",
)
"""What is counted row by row: each rule's, then usable positions on land, and with a SOG or COG that cannot be."""
(
    _OTHER_DAY,
    _NOT_A_VESSEL,
    _OTHER_CLASS,
    _NO_POSITION,
    _POSITION_AT_ZERO,
    _OUTSIDE_REGION,
    _ON_LAND,
    _LAND,
    _SOG_OUT_OF_RANGE,
    _COG_OUT_OF_RANGE,
) = range(len(COUNTS))

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

STEPS: Final = (10, 100)
"""Micro-degrees of a coordinate's last decimal, where a source has five or four of them."""

_DAY_MILLISECONDS: Final = 86_400_000
_FULL_TURN: Final = 360
_SHIP_TYPE_COUNT: Final = len(SHIP_TYPES)


class RowRules(NamedTuple):
    """The rules on single rows, as the settings have them."""

    midnight: int  # Unix time in milliseconds at which the day begins in UTC
    ships_only: bool
    wanted: NDArray[np.bool_]  # by place in TYPES: whether the class filter lets it pass
    drop_position_at_zero: bool
    drop_on_land: bool


class RawColumns(NamedTuple):
    """A batch's columns, (n,) each; nulls are MISSING."""

    t: NDArray[np.int64]
    mmsi: NDArray[np.int32]
    kind: NDArray[np.int8]
    places: NDArray[np.int8]  # of each `kind` in TYPES
    lat: NDArray[np.int32]
    lon: NDArray[np.int32]
    sog: NDArray[np.int32]
    cog: NDArray[np.int32]
    heading: NDArray[np.int16]  # NO_HEADING where not available
    status: NDArray[np.int8]
    statuses: NDArray[np.int8]  # of each `status` its code in schema.NAV_STATUSES; of null, the last, NO_STATUS
    coarse: NDArray[np.bool_]
    elsewhere: NDArray[np.uint8]  # what `places` finds each position to be; of none where it is not asked


class Taken(NamedTuple):
    """What was taken of a batch."""

    packed: NDArray[np.int64]  # (n, 2)
    senders: NDArray[np.int32]  # (n,): the vessel's number
    counts: NDArray[np.int64]  # by COUNTS
    between_steps: NDArray[np.bool_]  # (2, 2): of latitude and longitude, whether any was no multiple of each of STEPS


class Progress(NamedTuple):
    """How far a batch was taken."""

    row: int
    reports: int
    vessels: int
    whole: bool  # every time so far was a whole second


def raw_columns(batch: pa.RecordBatch, places: Places, where: str) -> RawColumns:
    """A batch's columns for `take_rows`, and where its positions are.

    Raises ValueError, naming `where`, for a type or status that is not known.
    """
    kinds, statuses = batch.column("mobile_type"), batch.column("nav_status")
    lat, lon = (_values(batch.column(f"{name}_microdegrees"), np.int32) for name in ("lat", "lon"))
    return RawColumns(
        _values(batch.column("t"), np.int64),
        _values(batch.column("mmsi"), np.int32),
        _values(kinds.indices, np.int8),
        _places(kinds.dictionary, where),
        lat,
        lon,
        _values(batch.column("sog_tenths"), np.int32),
        _values(batch.column("cog_tenths"), np.int32),
        batch.column("heading").fill_null(NO_HEADING).to_numpy(),
        statuses.indices.fill_null(len(statuses.dictionary)).to_numpy(),
        _statuses(statuses.dictionary, where),
        batch.column("coarse").to_numpy(zero_copy_only=False),
        places.judge(lat, lon),
    )


def require_columns(table: pa.Table, names: Collection[str], where: str) -> None:
    """Raises ValueError, naming `where`, unless columns are there and as `schema.RAW_RECORDS` has them."""
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
    """The integers under an Arrow array, without a copy unless some are null, which become MISSING."""
    validity, data = array.buffers()[:2]
    values = np.frombuffer(data, dtype, len(array), array.offset * np.dtype(dtype).itemsize)
    if array.null_count == 0:
        return values
    return _with_nulls(values, np.frombuffer(validity, np.uint8), array.offset)


def _places(names: pa.Array, where: str) -> NDArray[np.int8]:
    """For each mobile type of a column's dictionary its place in TYPES."""
    kinds = names.to_pylist()
    unknown = [kind for kind in kinds if kind not in schema.MOBILE_TYPES]
    if unknown:
        raise ValueError(f"{where}: mobile_type holds {unknown}; known are {list(schema.MOBILE_TYPES)}")
    return np.array([TYPES.index(kind) for kind in kinds], np.int8)


def _statuses(names: pa.Array, where: str) -> NDArray[np.int8]:
    """For each navigational status of a column's dictionary, and for null, its code, NO_STATUS for "undefined"."""
    statuses = names.to_pylist()
    unknown = [status for status in statuses if status not in schema.NAV_STATUSES]
    if unknown:
        raise ValueError(f"{where}: nav_status holds {unknown}; known are {list(schema.NAV_STATUSES)}")
    return np.array([*(schema.NAV_STATUSES.index(status) for status in statuses), NO_STATUS], np.int8)


@njit(cache=True, nogil=True)
def _with_nulls(values: NDArray[np.int32], validity: NDArray[np.uint8], offset: int) -> NDArray[np.int32]:
    result = np.empty(values.size, np.int32)
    for row in range(values.size):
        bit = offset + row
        result[row] = values[row] if (validity[bit >> 3] >> (bit & 7)) & 1 else MISSING
    return result


@njit(cache=True, nogil=True)
def take_rows(start: Progress, columns: RawColumns, rules: RowRules, index: VesselIndex, taken: Taken) -> Progress:
    """Applies the rules on single rows from `start` on, and packs what passes.

    Stops at the end, when `index` is full, or at a time on this day that is not a whole second.
    """
    row, reports, vessels = start.row, start.reports, start.vessels
    slots, counts, elsewhere = index.slots, taken.counts, columns.elsewhere
    while row < columns.t.size and vessels < index.mmsi.size:
        elapsed = columns.t[row] - rules.midnight
        second = elapsed // 1000
        mmsi = columns.mmsi[row]
        place = columns.places[columns.kind[row]]
        lat, lon = np.int64(columns.lat[row]), np.int64(columns.lon[row])
        if elapsed < 0 or elapsed >= _DAY_MILLISECONDS:
            counts[_OTHER_DAY] += 1
        elif second * 1000 != elapsed:
            return Progress(row, reports, vessels, False)
        elif mmsi < 1 or (rules.ships_only and (place >= _SHIP_TYPE_COUNT or not is_ship_number(mmsi))):
            counts[_NOT_A_VESSEL] += 1
        elif not rules.wanted[place]:
            counts[_OTHER_CLASS] += 1
        elif lat < -MAX_LAT or lat > MAX_LAT or lon < -MAX_LON or lon > MAX_LON:
            counts[_NO_POSITION] += 1
        elif rules.drop_position_at_zero and lat == 0 and lon == 0:
            counts[_POSITION_AT_ZERO] += 1
        elif elsewhere.size and elsewhere[row] == OUTSIDE:
            counts[_OUTSIDE_REGION] += 1
        elif elsewhere.size and elsewhere[row] == INLAND and rules.drop_on_land:
            counts[_ON_LAND] += 1
        else:
            counts[_LAND] += elsewhere.size > 0 and elsewhere[row] == INLAND
            sog, cog = np.int64(columns.sog[row]), np.int64(columns.cog[row])
            no_sog = sog < 0 or sog > MAX_SOG
            no_cog = cog < 0 or cog > MAX_COG
            if no_sog:
                counts[_SOG_OUT_OF_RANGE] += sog != MISSING
                sog = np.int64(NO_SOG)
            if no_cog:
                counts[_COG_OUT_OF_RANGE] += cog != MISSING
                cog = np.int64(NO_COG)
            heading, status = np.int64(columns.heading[row]), np.int64(columns.statuses[columns.status[row]])
            if heading < 0 or heading >= _FULL_TURN:
                heading = np.int64(NO_HEADING)
            slot = slot_of(slots, mmsi)
            if slots[slot, 0] == 0:
                slots[slot, 0] = mmsi
                slots[slot, 1] = vessels
                index.mmsi[vessels] = mmsi
                vessels += 1
            # True for both steps within a few rows of most files, and then two reads.
            for number in range(len(STEPS)):
                if not taken.between_steps[0, number]:
                    taken.between_steps[0, number] = lat % STEPS[number] != 0
                if not taken.between_steps[1, number]:
                    taken.between_steps[1, number] = lon % STEPS[number] != 0
            taken.packed[reports, 0] = first_word(
                second, columns.coarse[row], no_sog, no_cog, np.int64(place), lat, status
            )
            taken.packed[reports, 1] = second_word(lon, sog, cog, heading)
            vessel = slots[slot, 1]
            taken.senders[reports] = vessel
            index.reports[vessel] += 1
            reports += 1
        row += 1
    return Progress(row, reports, vessels, True)
