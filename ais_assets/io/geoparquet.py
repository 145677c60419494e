"""Tracks as tables of geometries: Arrow tables that GeoPandas takes as they are, and that are GeoParquet when written.

GeoParquet 1.1.0 (geoparquet.org) asks for a `geo` entry in a Parquet file's metadata, and GeoArrow (geoarrow.org) for
the name of an extension type at the column; `pyarrow.parquet.write_table` keeps both, so nothing but Arrow is needed.
Places are WGS 84, longitude first (OGC:CRS84), which is GeoParquet's default.
"""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np
import pyarrow as pa

from ais_assets.io.views import in_degrees_and_knots
from ais_assets.transforms.geometries import lines, points

GEOMETRY: Final = "geometry"
BOX: Final = "bbox"
POSITION_COLUMNS: Final = ("track", "lat_microdegrees", "lon_microdegrees")
"""Of `schema.TRACK_POSITIONS`, what a line is made of."""
_SIDES: Final = {"xmin": "west", "ymin": "south", "xmax": "east", "ymax": "north"}
_EXTENSION: Final = {
    "ARROW:extension:name": "geoarrow.wkb",
    "ARROW:extension:metadata": json.dumps({"crs": "OGC:CRS84", "crs_type": "authority_code"}),
}


class OtherTracksError(ValueError):
    """The rows of tracks are not those of the positions; the message says what to materialize."""


def lines_of(tracks: pa.Table, positions: pa.Table) -> pa.Table:
    """The rows of tracks with their lines as `geometry`, and their boxes in degrees as `bbox`, for readers that filter.

    The box of a track across ±180° is as wide as the earth, so that no filter misses her.

    Args:
        tracks: `schema.TRACKS`, by track.
        positions: POSITION_COLUMNS of `schema.TRACK_POSITIONS`, by (track, t), of these tracks.

    Raises OtherTracksError where these are positions of other tracks.
    """
    from ais_assets.transforms.kernels import run_starts  # noqa: PLC0415 - loads numba

    track = positions["track"].to_numpy()
    starts = run_starts(track)
    if not np.array_equal(track[starts], tracks["track"].to_numpy()):
        raise OtherTracksError("tracks and track_shards are not of one run: materialize tracks again")
    degrees = in_degrees_and_knots(positions)
    west, east = tracks["west"].to_numpy(), tracks["east"].to_numpy()
    around = west > east
    sides = {
        "west": np.where(around, -180.0, west),
        "south": tracks["south"].to_numpy(),
        "east": np.where(around, 180.0, east),
        "north": tracks["north"].to_numpy(),
    }
    boxes = pa.StructArray.from_arrays([pa.array(sides[side]) for side in _SIDES.values()], list(_SIDES))
    described = pa.field(BOX, boxes.type, nullable=False, metadata={"unit": "degree", "description": "bounding box"})
    kept = tracks.drop_columns([*_SIDES.values()]).append_column(described, boxes)
    kinds = ["LineString", "MultiLineString", "Point"]
    covering = {"bbox": {side: [BOX, side] for side in _SIDES}}
    return _with_geometry(
        kept, lines(starts, degrees["lat"].to_numpy(), degrees["lon"].to_numpy()), kinds, covering=covering
    )


def points_of(positions: pa.Table) -> pa.Table:
    """Positions (`schema.TRACK_POSITIONS`) in degrees and knots, each with its point as `geometry`."""
    degrees = in_degrees_and_knots(positions)
    return _with_geometry(degrees, points(degrees["lat"].to_numpy(), degrees["lon"].to_numpy()), ["Point"])


def _with_geometry(table: pa.Table, geometry: pa.Array, kinds: list[str], **more: Any) -> pa.Table:
    """The table with the column, which its own metadata and the table's say the nature of."""
    said = {"unit": "degree", "description": "well-known binary, longitude first, WGS 84", **_EXTENSION}
    column = {"encoding": "WKB", "geometry_types": kinds, **more}
    geo = {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}
    field = pa.field(GEOMETRY, pa.binary(), nullable=False, metadata=said)
    return table.append_column(field, geometry).replace_schema_metadata({"geo": json.dumps(geo)})
