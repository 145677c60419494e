"""Positions and tracks as the geometries of maps: OGC's simple features in well-known binary, longitude first.

A line is cut where its ship crosses ±180°, as RFC 7946 (section 3.1.9) has it: drawn from 179° to -179° it would go
around the earth. Between two positions it is straight in degrees, as map programs draw it.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Degrees = NDArray[np.float64]

_LITTLE_ENDIAN: Final = 1
_POINT, _LINE, _LINES = 1, 2, 5
"""Types of OGC 06-103r4, section 8.2."""
_HEADER: Final = struct.Struct("<BII")
_ONE_POINT: Final = np.dtype([("order", "u1"), ("type", "<u4"), ("lon", "<f8"), ("lat", "<f8")])


def points(lat: Degrees, lon: Degrees) -> pa.Array:
    """A point for each position in degrees, (n,) each."""
    stored = np.empty(len(lat), _ONE_POINT)
    stored["order"], stored["type"], stored["lon"], stored["lat"] = _LITTLE_ENDIAN, _POINT, lon, lat
    data = [None, pa.py_buffer(stored.tobytes())]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(_ONE_POINT.itemsize), len(lat), data).cast(pa.binary())


def lines(starts: NDArray[np.int64], lat: Degrees, lon: Degrees) -> pa.Array:
    """A geometry for each track: a line, several where it crosses ±180°, a point of one that is but a position.

    Args:
        starts: the first position of each track, (tracks,).
        lat: degrees, (n,), track after track.
        lon: degrees, (n,).
    """
    places = np.column_stack([lon, lat]).astype("<f8")
    return pa.array([_track(part) for part in np.split(places, starts[1:]) if len(part)], pa.binary())


def _track(places: Degrees) -> bytes:
    if len(places) == 1:
        return points(places[:, 1], places[:, 0])[0].as_py()
    parts = _cut(places)
    if len(parts) == 1:
        return _line(places)
    return _HEADER.pack(_LITTLE_ENDIAN, _LINES, len(parts)) + b"".join(_line(part) for part in parts)


def _line(places: Degrees) -> bytes:
    return _HEADER.pack(_LITTLE_ENDIAN, _LINE, len(places)) + places.tobytes()


def _cut(places: Degrees) -> list[Degrees]:
    """The parts of a line of (longitude, latitude), (n, 2), each on one side of ±180°."""
    parts: list[Degrees] = []
    rest = places
    # The shorter way from one position to the next is across ±180°.
    while len(across := np.flatnonzero(np.abs(np.diff(rest[:, 0])) > 180)):
        before = int(across[0])
        (lon, lat), (next_lon, next_lat) = rest[before], rest[before + 1]
        edge = 180.0 if lon > 0 else -180.0
        way = next_lon + 2 * edge - lon
        share = (edge - lon) / way if way else 0.0
        crossing = lat + share * (next_lat - lat)
        parts.append(np.vstack([rest[: before + 1], [[edge, crossing]]]))
        rest = np.vstack([[[-edge, crossing]], rest[before + 1 :]])
    return [*parts, rest]
