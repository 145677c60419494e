"""The rules on where a position is: in the region that is wanted, and how far inside land."""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.settings.region import Region
from ais_assets.transforms.geodesy import great_circle_destination
from ais_assets.transforms.land import on_land

OUTSIDE_REGION: Final = "outside_region"
"""The position is not in the region that is wanted: outside its box, or of its polygons or in one of their holes. On an
edge of a box it is inside, on that of a polygon it may be either. Off by default."""

ON_LAND: Final = "on_land"
"""The position is further inside land than a ship's fix is off: it is on land, and so is every place of a ring of
RING_PLACES around it. Off by default, since the mask's coasts are coarse (460 m), and its lakes and rivers are land, so
that ships inland, on canals and on the Great Lakes would be lost. Noted as LAND where it is not dropped."""

LAND: Final = "land"
"""Note: positions kept that ON_LAND would drop."""

RING_PLACES: Final = 16

WANTED, OUTSIDE, INLAND = range(3)
"""What a position is found to be."""

_MOST_BANDS = 4096


class RegionIndex(NamedTuple):
    """A region's edges by bands of latitude, so that a position looks at those beside it only. Degrees.

    Attributes:
        edges: (n, 4): longitude and latitude of an edge's ends; of each band together, by polygon.
        polygons: (n,): which polygon each is of.
        bounds: (bands + 1,): where each band's begin and end.
        south, height: of the first band, and of each.
        turns: how often 360° the region goes beyond -180° (negative) and 180°.
    """

    edges: NDArray[np.float64]
    polygons: NDArray[np.int64]
    bounds: NDArray[np.int64]
    south: float
    height: float
    turns: tuple[int, int]


def region_index(region: Region) -> RegionIndex:
    """The index of a region of polygons."""
    edges, polygons = [], []
    for number, rings in enumerate(region.polygons):
        for ring in rings:
            for (lon, lat), (next_lon, next_lat) in pairwise(ring):
                if lat != next_lat:
                    edges.append((lon, lat, next_lon, next_lat))
                    polygons.append(number)
    all_edges = np.array(edges, np.float64).reshape(-1, 4)
    latitudes, longitudes = all_edges[:, [1, 3]], all_edges[:, [0, 2]]
    south, north = float(latitudes.min(initial=90)), float(latitudes.max(initial=-90))
    bands = min(max(len(edges), 1), _MOST_BANDS)
    height = max(north - south, 1e-9) / bands
    first = np.clip(((latitudes.min(axis=1) - south) // height).astype(np.int64), 0, bands - 1)
    last = np.clip(((latitudes.max(axis=1) - south) // height).astype(np.int64), 0, bands - 1)
    of_band = np.concatenate([np.arange(low, high + 1) for low, high in zip(first, last, strict=True)] or [[]])
    of_edge = np.repeat(np.arange(len(edges)), last - first + 1)
    order = np.lexsort((of_edge, of_band))
    chosen = of_edge[order].astype(np.int64)
    bounds = np.searchsorted(of_band[order], np.arange(bands + 1)).astype(np.int64)
    turns = (int(longitudes.min(initial=0) < -180) * -1, int(longitudes.max(initial=0) > 180))
    return RegionIndex(all_edges[chosen], np.array(polygons, np.int64)[chosen], bounds, south, height, turns)


class Places:
    """Judges where positions are.

    Args:
        region: that is wanted; None: all of the world.
        land_metres: how far inside land a position must be to count; None: that is not looked at.
    """

    def __init__(self, region: Region | None, land_metres: float | None) -> None:
        self._box = region.box if region is not None else None
        self._index = region_index(region) if region is not None and region.box is None else None
        self._land_metres = land_metres

    def judge(self, lat: NDArray[np.int32], lon: NDArray[np.int32]) -> NDArray[np.uint8]:
        """What each position, in micro-degrees, is: WANTED, OUTSIDE or INLAND; (n,), of none where nothing is asked."""
        if self._box is None and self._index is None and self._land_metres is None:
            return np.empty(0, np.uint8)
        found = np.full(lat.size, WANTED, np.uint8)
        if self._box is not None:
            _mark_outside_box(lat, lon, *self._box, found)
        elif self._index is not None:
            _mark_outside(lat, lon, self._index, found)
        if self._land_metres is not None:
            rows = np.flatnonzero((found == WANTED) & (np.abs(lat) <= _POLE) & (np.abs(lon) <= _ANTIMERIDIAN))
            found[rows[inland(lat[rows] / schema.MICRODEGREES, lon[rows] / schema.MICRODEGREES, self._land_metres)]] = (
                INLAND
            )
        return found


_POLE = 90 * schema.MICRODEGREES
_ANTIMERIDIAN = 180 * schema.MICRODEGREES


def inland(lat: NDArray[np.float64], lon: NDArray[np.float64], metres: float) -> NDArray[np.bool_]:
    """Whether places, in degrees, are on land, and so is all of a ring this far around them; (n,)."""
    found = on_land(lat, lon)
    rows = np.flatnonzero(found)
    for bearing in np.arange(RING_PLACES) * (360 / RING_PLACES):
        rows = rows[on_land(*great_circle_destination(lat[rows], lon[rows], bearing, metres))]
    found[:] = False
    found[rows] = True
    return found


@njit(cache=True, nogil=True)
def _mark_outside_box(lat, lon, west, south, east, north, found):
    for row in range(lat.size):
        y, x = lat[row] / schema.MICRODEGREES, lon[row] / schema.MICRODEGREES
        inside = west <= x <= east if west <= east else x >= west or x <= east
        if y < south or y > north or not inside:
            found[row] = OUTSIDE


@njit(cache=True, nogil=True)
def _mark_outside(lat, lon, index, found):
    """By the even-odd rule: a place is in a polygon if a line to the east crosses its edges an odd number of times."""
    edges, polygons, bounds = index.edges, index.polygons, index.bounds
    before, beyond = index.turns
    for row in range(lat.size):
        y = lat[row] / schema.MICRODEGREES
        band = np.int64(np.floor((y - index.south) / index.height))
        if band == bounds.size - 1:
            band -= 1  # the northern edge itself
        inside = False
        if 0 <= band < bounds.size - 1:
            for turn in range(before, beyond + 1):
                x = lon[row] / schema.MICRODEGREES + 360.0 * turn
                odd = False
                of = -1
                for k in range(bounds[band], bounds[band + 1]):
                    if polygons[k] != of:
                        if odd:
                            break
                        of = polygons[k]
                    x1, y1, x2, y2 = edges[k, 0], edges[k, 1], edges[k, 2], edges[k, 3]
                    if (y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1):
                        odd = not odd
                inside = inside or odd
        if not inside:
            found[row] = OUTSIDE
