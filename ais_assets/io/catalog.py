"""Every asset of a lake: what it is, its columns with their units, and which columns each was made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from ais_assets import schema
from ais_assets.io.layout import PLACES
from ais_assets.io.views import in_degrees_and_knots

DESCRIPTIONS: Final = {
    "raw_archives": "the source's files of a day, landed once: size, sha256, where from",
    "raw_records": "every row of a day's files that parses, typed, in file order",
    "rejects": "a sample of the rows of a day's files that are no records",
    "clean_records": "usable positions of a day, deduplicated, by (vessel shard, MMSI, time)",
    "daily_quality": "what a day's data were like, one row a measure",
    "vessels": "who each vessel is, from every day",
    "track_shards": "all positions of a shard's tracks; windows can be cut from them",
    "tracks": "one row a track",
    "window_piles": "pass 1 of the shuffle: a reference to every window, by the pile that it was thrown into",
    "validation": "windows of the vessels kept for validation, shuffled",
    "holdout": "windows of held-out time, shuffled",
    "test": "windows of the vessels kept for the last test, shuffled",
    "materialized_windows": "training windows in one random order over all piles",
    "mds_shards": "the same windows in the same order as MDS shards",
    "mds_index": "the root index over all MDS shards",
    "training_dataset": "the index of the tracks: the commit point of a release",
    "dead_reckoning": "how far off the baselines are that every model must beat",
}
"""What each asset is."""
_SCHEMAS: Final = {
    "raw_records": schema.RAW_RECORDS,
    "rejects": schema.REJECTS,
    "clean_records": schema.CLEAN_RECORDS,
    "daily_quality": schema.DAILY_QUALITY,
    "vessels": schema.VESSELS,
    "track_shards": schema.TRACK_POSITIONS,
    "tracks": schema.TRACKS,
    "window_piles": schema.WINDOW_REFERENCES,
}
WINDOWS: Final = ("validation", "holdout", "test", "materialized_windows")
"""Assets that are Parquet files of windows."""


@dataclass(frozen=True)
class Column:
    """A column as `Lake.sql` and `Lake.table` give it, in degrees and knots.

    Attributes:
        name: its name there.
        stored: its name in the file, where that is another.
        type: Arrow's.
        unit: of its values; 1: none.
        description: what it says.
        nullable: whether values may be missing.
    """

    name: str
    stored: str
    type: pa.DataType
    unit: str
    description: str
    nullable: bool


@dataclass(frozen=True)
class Asset:
    """An asset.

    Attributes:
        name: by which `Lake` has it.
        description: what it is.
        cut: what a partition is: day, shard or pile; None: there is but one.
        kind: what it is stored as: parquet, folder or json.
        columns: of a Parquet asset.
    """

    name: str
    description: str
    cut: str | None
    kind: str
    columns: tuple[Column, ...]


def assets(window_len: int) -> list[Asset]:
    """Every asset, in the order of the flow; `window_len` is the number of positions of a window."""
    return [
        Asset(
            name,
            DESCRIPTIONS[name],
            None if place.cut is None else place.cut.value,
            place.kind.value,
            _columns(schema_of(name, window_len)),
        )
        for name, place in PLACES.items()
    ]


def schema_of(asset: str, window_len: int) -> pa.Schema | None:
    """The columns that an asset is stored with; None where it is no Parquet."""
    return schema.windows_schema(window_len) if asset in WINDOWS else _SCHEMAS.get(asset)


def _columns(stored: pa.Schema | None) -> tuple[Column, ...]:
    if stored is None:
        return ()
    shown = in_degrees_and_knots(stored.empty_table()).schema
    return tuple(_column(field, of_file) for field, of_file in zip(shown, stored, strict=True))


def _column(field: pa.Field, stored: pa.Field) -> Column:
    metadata = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    return Column(
        field.name,
        stored.name,
        field.type,
        metadata.get("unit", "1"),
        metadata.get("description", ""),
        field.nullable,
    )


_POSITION: Final = ("lat_microdegrees", "lon_microdegrees")
_MOTION: Final = ("sog_tenths", "cog_tenths")
_FROM_POSITIONS: Final = tuple(("track_shards", column) for column in ("t", *_POSITION, *_MOTION))
_OF_WINDOWS: Final = {
    "features": _FROM_POSITIONS,
    "mmsi": (("track_shards", "mmsi"),),
    "track": (("window_piles", "track"),),
    "start": (("window_piles", "start"),),
}
_OF_VESSELS: Final = {
    **{
        name: (("raw_records", name),)
        for name in ("imo", "callsign", "name", "ship_type", "length", "width", "draught")
    },
    **{f"{name}s": (("raw_records", name),) for name in ("imo", "callsign", "name", "ship_type")},
    "mmsi": (("raw_records", "mmsi"),),
    "flag": (("raw_records", "mmsi"),),
    "country": (("raw_records", "mmsi"),),
    "mobile_type": (("raw_records", "mobile_type"),),
    "invalid_imos": (("raw_records", "imo"),),
    "identities": (("raw_records", "identity"),),
    "conflicts": tuple(
        ("raw_records", name) for name in schema.STATIC_COLUMNS if name not in ("draught", "destination")
    ),
    "first_seen": (("raw_records", "t"),),
    "last_seen": (("raw_records", "t"),),
    "hull": (("raw_records", "mmsi"), ("raw_records", "imo")),
    "split": (("raw_records", "mmsi"), ("raw_records", "imo")),
}
LINEAGE: Final[Mapping[str, Mapping[str, tuple[tuple[str, str], ...]]]] = {
    "clean_records": {name: (("raw_records", name),) for name in schema.CLEAN_RECORDS.names},
    "vessels": _OF_VESSELS,
    "track_shards": {
        **{name: (("clean_records", name),) for name in ("mmsi", "t", *_POSITION, "heading", "nav_status")},
        "track": (("clean_records", "mmsi"), ("clean_records", "t")),
        # What was not received is taken from the positions around.
        "sog_tenths": tuple(("clean_records", name) for name in ("sog_tenths", "t", *_POSITION)),
        "cog_tenths": tuple(("clean_records", name) for name in ("cog_tenths", "t", *_POSITION)),
        "sog_held": (("clean_records", "sog_tenths"),),
        "cog_held": (("clean_records", "cog_tenths"),),
        "split": (("vessels", "hull"), ("clean_records", "mmsi")),
    },
    "tracks": {
        **{name: (("track_shards", name),) for name in ("track", "mmsi", "split")},
        **dict.fromkeys(("start", "end", "duration"), (("track_shards", "t"),)),
        **dict.fromkeys(("south", "north"), (("track_shards", _POSITION[0]),)),
        **dict.fromkeys(("west", "east"), (("track_shards", _POSITION[1]),)),
        "length_nm": tuple(("track_shards", name) for name in _POSITION),
        "positions": (("track_shards", "track"),),
        "windows": (("track_shards", "track"),),
        "mobile_type": (("vessels", "mobile_type"),),
        "ship_type": (("vessels", "ship_type"),),
    },
    "window_piles": {
        "pile": (("track_shards", "split"), ("track_shards", "t")),
        "row": (("track_shards", "track"),),
        "track": (("track_shards", "track"),),
        "start": (("track_shards", "t"),),
    },
    **dict.fromkeys(WINDOWS, _OF_WINDOWS),
}
"""Of each asset's columns the columns that their values come from; of the others no column of an asset is one."""
