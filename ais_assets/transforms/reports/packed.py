"""A report packed into two integers whose order is (second, preference, values), and back.

- first: second of the day | coarse | SOG missing | COG missing | place in TYPES | latitude | status
- second: longitude | SOG | COG | heading

Missing values are all ones. So equal reports are neighbours once sorted, and the first of a second is the preferred.
Nothing else knows where a value lies.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.stream import arrow_array
from ais_assets.transforms.mmsi import SHIP_TYPES

TYPES: Final = (*SHIP_TYPES, *(kind for kind in schema.MOBILE_TYPES if kind not in SHIP_TYPES))
"""All mobile types, ships' first, in the order of preference in one second."""

TENTHS: Final = 10
_LAT, _LON, _SOG, _COG = (schema.FEATURES[schema.FEATURE_NAMES.index(name)] for name in ("lat", "lon", "sog", "cog"))
MAX_LAT: Final = round(_LAT.high * schema.MICRODEGREES)
MAX_LON: Final = round(_LON.high * schema.MICRODEGREES)
MAX_SOG: Final = round(_SOG.high * TENTHS)
MAX_COG: Final = round(_COG.high * TENTHS)

MISSING: Final = -(2**31)
"""What stands for null in an int32 column. Out of every column's range."""

LAT_BITS: Final = (2 * MAX_LAT).bit_length()
_TYPE_BITS: Final = (len(TYPES) - 1).bit_length()
_SOG_BITS: Final = (MAX_SOG + 1).bit_length()
_COG_BITS: Final = (MAX_COG + 1).bit_length()
_HEADING_BITS: Final = 9
_STATUS_BITS: Final = 4
NO_HEADING: Final = (1 << _HEADING_BITS) - 1
NO_STATUS: Final = (1 << _STATUS_BITS) - 1
"""Also what a message says that has none, so that all others have a code below it."""
NO_SOG: Final = (1 << _SOG_BITS) - 1
NO_COG: Final = (1 << _COG_BITS) - 1
_COG_SHIFT: Final = _HEADING_BITS
_SOG_SHIFT: Final = _COG_SHIFT + _COG_BITS
_LON_SHIFT: Final = _SOG_SHIFT + _SOG_BITS
_LAT_SHIFT: Final = _STATUS_BITS
_TYPE_SHIFT: Final = _LAT_SHIFT + LAT_BITS
_COG_MISSING_SHIFT: Final = _TYPE_SHIFT + _TYPE_BITS
_SOG_MISSING_SHIFT: Final = _COG_MISSING_SHIFT + 1
_COARSE_SHIFT: Final = _SOG_MISSING_SHIFT + 1
_SECOND_SHIFT: Final = _COARSE_SHIFT + 1
LAT_MASK: Final = (1 << LAT_BITS) - 1
_TYPE_MASK: Final = (1 << _TYPE_BITS) - 1


class _CleanColumns(NamedTuple):
    """Some vessels' clean reports, (n,) each; missing values are MISSING."""

    t: NDArray[np.int64]
    lat: NDArray[np.int32]
    lon: NDArray[np.int32]
    sog: NDArray[np.int32]
    cog: NDArray[np.int32]
    heading: NDArray[np.int16]  # NO_HEADING where not available
    status: NDArray[np.int8]  # NO_STATUS where not available
    place: NDArray[np.int8]  # in TYPES
    coarse: NDArray[np.bool_]


@njit(inline="always")
def first_word(
    second: np.int64,
    coarse: np.bool_,
    no_sog: np.bool_,
    no_cog: np.bool_,
    place: np.int64,
    lat: np.int64,
    status: np.int64,
) -> np.int64:
    """The first integer of a report; `place` in TYPES, latitude in micro-degrees."""
    preference = (
        np.int64(coarse) << _COARSE_SHIFT
        | np.int64(no_sog) << _SOG_MISSING_SHIFT
        | np.int64(no_cog) << _COG_MISSING_SHIFT
        | place << _TYPE_SHIFT
    )
    return second << _SECOND_SHIFT | preference | (lat + MAX_LAT) << _LAT_SHIFT | status


@njit(inline="always")
def second_word(lon: np.int64, sog: np.int64, cog: np.int64, heading: np.int64) -> np.int64:
    """The second integer of a report: micro-degrees, tenths and degrees, or NO_SOG, NO_COG and NO_HEADING."""
    return (lon + MAX_LON) << _LON_SHIFT | sog << _SOG_SHIFT | cog << _COG_SHIFT | heading


@njit(inline="always")
def second_of(first: np.int64) -> np.int64:
    """The second of the day, from a report's first integer."""
    return first >> _SECOND_SHIFT


@njit(inline="always")
def latitude_code(first: np.int64) -> np.int64:
    """The latitude as it is packed, at most LAT_MASK, from a report's first integer."""
    return first >> _LAT_SHIFT & LAT_MASK


@njit(inline="always")
def fix_code(second: np.int64) -> np.int64:
    """Longitude, SOG and COG in one, from a report's second integer: all of a fix but its latitude."""
    return second >> _COG_SHIFT


@njit(inline="always")
def sog_of(second: np.int64) -> np.int64:
    """SOG in tenths of a knot or NO_SOG, from a report's second integer."""
    return second >> _SOG_SHIFT & NO_SOG


def clean_table(
    packed: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    mmsi: NDArray[np.int32],
    midnight: int,
) -> pa.Table:
    """`schema.CLEAN_RECORDS` of some vessels' reports.

    Args:
        packed: int64, shape (n, 2).
        starts, ends: int64, shape (vessels,): each vessel's are packed[start:end].
        mmsi: int32, shape (vessels,).
        midnight: Unix time in milliseconds at which the day begins.
    """
    rows = ends - starts
    n = int(rows.sum())
    lat, lon, sog, cog = np.empty((4, n), np.int32)
    heading, status, place = np.empty(n, np.int16), np.empty(n, np.int8), np.empty(n, np.int8)
    clean = _CleanColumns(np.empty(n, np.int64), lat, lon, sog, cog, heading, status, place, np.empty(n, np.bool_))
    _unpack(packed, starts, ends, midnight, clean)
    codes = np.array([schema.MOBILE_TYPES.index(kind) for kind in TYPES], np.int8)
    columns = {
        "mmsi": pa.array(np.repeat(mmsi, rows)),
        "t": arrow_array(schema.UTC, clean.t),
        "lat_microdegrees": arrow_array(pa.int32(), clean.lat),
        "lon_microdegrees": arrow_array(pa.int32(), clean.lon),
        "sog_tenths": arrow_array(pa.int32(), clean.sog, clean.sog != MISSING),
        "cog_tenths": arrow_array(pa.int32(), clean.cog, clean.cog != MISSING),
        "heading": arrow_array(pa.int16(), heading, heading != NO_HEADING),
        "nav_status": pa.DictionaryArray.from_arrays(
            arrow_array(pa.int8(), status, status != NO_STATUS), pa.array(schema.NAV_STATUSES)
        ),
        "coarse": pa.array(clean.coarse),
        "mobile_type": pa.DictionaryArray.from_arrays(pa.array(codes[clean.place]), pa.array(schema.MOBILE_TYPES)),
    }
    return pa.Table.from_arrays([columns[name] for name in schema.CLEAN_RECORDS.names], schema=schema.CLEAN_RECORDS)


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
            first, second = packed[report, 0], packed[report, 1]
            sog, cog = sog_of(second), second >> _COG_SHIFT & NO_COG
            clean.t[row] = midnight + second_of(first) * 1000
            clean.lat[row] = latitude_code(first) - MAX_LAT
            clean.lon[row] = (second >> _LON_SHIFT) - MAX_LON
            clean.sog[row] = MISSING if sog == NO_SOG else sog
            clean.cog[row] = MISSING if cog == NO_COG else cog
            clean.heading[row] = second & NO_HEADING
            clean.status[row] = first & NO_STATUS
            clean.place[row] = first >> _TYPE_SHIFT & _TYPE_MASK
            clean.coarse[row] = first >> _COARSE_SHIFT & 1
            row += 1
