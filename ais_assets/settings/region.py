"""The part of the world that is wanted: a box, or the polygons of a GeoJSON file (AIS_REGION)."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

Ring = tuple[tuple[float, float], ...]
"""Corners (longitude, latitude) in degrees, the last one the first again."""

_MOST_LONGITUDE: Final = 540.0


@dataclass(frozen=True)
class Region:
    """Where positions are wanted.

    Attributes:
        text: as it was given.
        digest: of what it says, for a file wherever that lies.
        box: west, south, east, north in degrees; over ±180° the west is greater than the east. None: polygons.
        polygons: of each its outer ring and its holes. Edges are straight in longitude and latitude (RFC 7946).
    """

    text: str
    digest: str
    box: tuple[float, float, float, float] | None = None
    polygons: tuple[tuple[Ring, ...], ...] = ()

    def __str__(self) -> str:
        return self.text


def read_region(text: str) -> Region:
    """The region of a box `west,south,east,north` or of a GeoJSON file. Raises ValueError that says what is wrong."""
    parts = text.split(",")
    if len(parts) == 4:
        try:
            west, south, east, north = (float(part) for part in parts)
        except ValueError:
            pass
        else:
            if not (
                -90 <= south < north <= 90 and all(-180 <= value <= 180 for value in (west, east)) and west != east
            ):
                raise ValueError("a box needs west,south,east,north in degrees, west before east (or over ±180°)")
            return Region(text, f"{west},{south},{east},{north}", box=(west, south, east, north))
    path = Path(text)
    if not path.is_file():
        raise ValueError("must be west,south,east,north in degrees, or a GeoJSON file that is there")
    raw = path.read_bytes()
    try:
        polygons = tuple(_polygons(json.loads(raw)))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"{path.name} is no GeoJSON of polygons (RFC 7946): {error}") from None
    if not polygons:
        raise ValueError(f"{path.name} has no polygon")
    return Region(text, f"sha256:{hashlib.sha256(raw).hexdigest()[:16]}", polygons=polygons)


def _polygons(found: dict[str, Any]) -> Iterator[tuple[Ring, ...]]:
    kind = found["type"]
    if kind == "FeatureCollection":
        for feature in found["features"]:
            yield from _polygons(feature)
    elif kind == "Feature":
        yield from _polygons(found["geometry"])
    elif kind == "GeometryCollection":
        for geometry in found["geometries"]:
            yield from _polygons(geometry)
    elif kind in ("Polygon", "MultiPolygon"):
        for polygon in [found["coordinates"]] if kind == "Polygon" else found["coordinates"]:
            yield tuple(_ring(ring) for ring in polygon)
    else:
        raise ValueError(f"it has a {kind}, not only polygons")


def _ring(corners: list[list[float]]) -> Ring:
    ring = tuple((float(corner[0]), float(corner[1])) for corner in corners)
    if len(ring) < 4 or ring[0] != ring[-1]:
        raise ValueError(f"a ring of {len(ring)} corners is not closed")
    for lon, lat in ring:
        if not (math.isfinite(lon) and abs(lon) <= _MOST_LONGITUDE and abs(lat) <= 90):
            raise ValueError(f"a corner is at longitude {lon}, latitude {lat}")
    for (lon, _), (after, _) in pairwise(ring):
        if 180 < abs(after - lon) < 360:
            raise ValueError(
                f"an edge goes from longitude {lon} to {after}, the long way round; cut the polygon at ±180°, go on "
                "beyond 180, or put a corner between if it is meant so"
            )
    return ring
