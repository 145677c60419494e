"""The contract: features, window lengths, and the Arrow schema of every dataset.

The only place for the numbers 128, 800, 928, 32, 5 and 4 h, and for column names and units. Every
field carries its unit (and a description) in its Arrow metadata, which Parquet keeps, so that any
reader can tell degrees from knots without this package.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import pyarrow as pa


class Feature(NamedTuple):
    """One column of a training window."""

    name: str
    unit: str
    low: float
    high: float
    description: str


MAX_GAP_SECONDS: Final = 14_400
"""A silence longer than this (4 h) ends a track; the largest dt_seconds a window can hold."""

FEATURES: Final = (
    Feature("lat", "degree", -90.0, 90.0, "latitude north, WGS 84"),
    Feature("lon", "degree", -180.0, 180.0, "longitude east, WGS 84"),
    Feature("sog", "knot", 0.0, 102.2, "speed over ground"),
    Feature("cog", "degree", 0.0, 360.0, "course over ground, clockwise from true north"),
    Feature("dt_seconds", "second", 0.0, float(MAX_GAP_SECONDS), "time since the track's previous position"),
)
FEATURE_NAMES: Final = tuple(feature.name for feature in FEATURES)
FEATURE_COUNT: Final = len(FEATURES)

SEQ_LEN: Final = 128
"""Positions a model sees."""
MAX_HORIZON: Final = 800
"""Positions a model may be asked to forecast."""
STRIDE: Final = 32
"""Positions from one window's start to the next one's in the same track."""

UTC: Final = pa.timestamp("ms", tz="UTC")
"""A time. Whole seconds, as AIS positions are; milliseconds since Parquet has no coarser unit."""


class StoredAs(NamedTuple):
    """How records and positions store a quantity: as int32, in steps of 10^-places of its unit."""

    column: str
    places: int

    @property
    def steps(self) -> int:
        """In one unit."""
        return 10**self.places


STORED_AS: Final = {
    "lat": StoredAs("lat_microdegrees", 6),
    "lon": StoredAs("lon_microdegrees", 6),
    "sog": StoredAs("sog_tenths", 1),
    "cog": StoredAs("cog_tenths", 1),
}
"""Quantities that are stored as whole numbers: exact, and at a third of the bytes of float64.

Measured on the demo's tracks (0.55 M positions, all eight columns, zstd 1, pyarrow 26, one core): int32 packed by
deltas 5.03 bytes a position, 67 ns to write, 22 to read; float64 in byte streams 14.4 bytes, 135 and 58 ns; float32
7.3 bytes, and a step of 1e-5 degree at 180°; decimal32 5.03 bytes, 98 and 55 ns, which neither pandas nor Arrow's own
filters and sorts can use. The columns' names and units say what the integers are; whoever wants degrees and knots
has them by `Lake.sql` and `Lake.table`, or divides by `steps`, which gives the very float64 that the decimal has."""

MICRODEGREES: Final = STORED_AS["lat"].steps
"""Integer steps a degree of latitude or longitude."""


def stored_name(quantity: str) -> str:
    """The column that holds a quantity: `lat_microdegrees` for `lat`; its own name where it is stored as it is."""
    return STORED_AS[quantity].column if quantity in STORED_AS else quantity


def quantity_in(column: str) -> str:
    """The quantity that a column holds: the other way round."""
    return next((quantity for quantity, of in STORED_AS.items() if of.column == column), column)


FIRST_IDENTITY: Final = 1_000_000_000
"""From here to the end of int32 stand numbers of senders whose identity in the source is a text and no MMSI (which has
nine digits at most). A text's number is a hash of it, the same everywhere. Of n texts some two get one number with a
chance of about n² / 2.3e9 (4 % for 10,000); `vessels` then names both, as a conflict, and their tracks are told apart
as those of two ships under one MMSI."""

MOBILE_TYPES: Final = (
    "unknown",
    "class A",
    "class B",
    "base station",
    "aid to navigation",
    "search and rescue aircraft",
    "search and rescue transponder",
    "man overboard device",
    "EPIRB",
)
"""What sent a message. Codes of `mobile_type`: the position in this tuple."""

NAV_STATUSES: Final = (
    "under way using engine",
    "at anchor",
    "not under command",
    "restricted manoeuvrability",
    "constrained by her draught",
    "moored",
    "aground",
    "engaged in fishing",
    "under way sailing",
    "reserved 9",
    "reserved 10",
    "towing astern",
    "pushing ahead or towing alongside",
    "reserved 13",
    "AIS-SART active",
    "undefined",
)
"""Navigational status by its code in the AIS message (ITU-R M.1371-5, table 45)."""

SPLITS: Final = ("train", "validation", "test")
"""Codes of `split`: the position in this tuple. By hull, so that no ship is in two of them."""

VALIDATION_PILE: Final = -1
"""The `pile` of a window whose vessel is kept for validation."""

HOLDOUT_PILE: Final = -2
"""The `pile` of a window of held-out time."""

TEST_PILE: Final = -3
"""The `pile` of a window whose vessel is kept for the last test."""

_NAMES = pa.dictionary(pa.int8(), pa.string())


def _field(name: str, type_: pa.DataType, unit: str, description: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, type_, nullable=nullable, metadata={"unit": unit, "description": description})


def _integers(quantity: str, unit: str, description: str, *, nullable: bool) -> pa.Field:
    return _field(STORED_AS[quantity].column, pa.int32(), unit, description, nullable=nullable)


_MMSI = _field("mmsi", pa.int32(), "1", "Maritime Mobile Service Identity of the sender")
_TIME = _field("t", UTC, "UTC", "when the position was reported or received, whole seconds")
_TRACK = _field("track", pa.int64(), "1", "track: its MMSI times 2^32 plus its first position's Unix time in seconds")
_START = _field("start", UTC, "UTC", "time of the window's first position")


def _position_fields(*, nullable: bool) -> list[pa.Field]:
    return [
        _integers("lat", "1e-6 degree", "latitude north, WGS 84; null: not available", nullable=nullable),
        _integers("lon", "1e-6 degree", "longitude east, WGS 84; null: not available", nullable=nullable),
    ]


def _motion_fields(*, nullable: bool) -> list[pa.Field]:
    return [
        _integers("sog", "0.1 knot", "speed over ground; null: not available", nullable=nullable),
        _integers("cog", "0.1 degree", "course over ground from true north; null: not available", nullable=nullable),
    ]


_COARSE = _field("coarse", pa.bool_(), "1", "position to a tenth of a minute, as in message 27 (ITU-R M.1371-5)")


def _posture_fields() -> list[pa.Field]:
    return [
        _field("heading", pa.int16(), "degree", "true heading, 0 to 359; null: not available", nullable=True),
        _field("nav_status", _NAMES, "1", "navigational status; null: not available", nullable=True),
    ]


RAW_RECORDS: Final = pa.schema(
    [
        _TIME,
        _MMSI,
        _field("mobile_type", _NAMES, "1", "what sent the message"),
        *_position_fields(nullable=True),
        *_motion_fields(nullable=True),
        *_posture_fields(),
        _COARSE,
        # Static data repeat on every row of most feeds. They are kept on the row on which this MMSI first
        # showed this very combination in the file and null on its repeats.
        _field("imo", pa.int32(), "1", "IMO ship number, where new", nullable=True),
        _field("callsign", pa.string(), "1", "radio call sign, where new", nullable=True),
        _field("name", pa.string(), "1", "ship's name, where new", nullable=True),
        _field("ship_type", pa.string(), "1", "type of ship in the source's words, where new", nullable=True),
        _field("length", pa.float32(), "metre", "length overall, where new", nullable=True),
        _field("width", pa.float32(), "metre", "beam, where new", nullable=True),
        _field("draught", pa.float32(), "metre", "draught, where new", nullable=True),
        _field("destination", pa.string(), "1", "destination as the crew typed it, where new", nullable=True),
        _field(
            "identity", pa.string(), "1", "identity that `mmsi` stands for, where new; null: its MMSI", nullable=True
        ),
    ]
)
"""One row of a source file, typed; in file order."""

REJECTS: Final = pa.schema(
    [
        _field("line", pa.int64(), "1", "line of the file, its first one being 1"),
        _field("reason", pa.string(), "1", "why the row is no record"),
        _field("text", pa.string(), "1", "the row, or its beginning"),
    ]
)
"""A sample of one source file's rejected rows, by line."""

STATIC_COLUMNS: Final = (
    "imo",
    "callsign",
    "name",
    "ship_type",
    "length",
    "width",
    "draught",
    "destination",
    "identity",
)

CLEAN_RECORDS: Final = pa.schema(
    [
        _MMSI,
        _TIME,
        *_position_fields(nullable=False),
        *_motion_fields(nullable=True),
        *_posture_fields(),
        _field("mobile_type", _NAMES, "1", "what sent the message"),
        _COARSE,
    ]
)
"""Usable positions of one day by (vessel shard, mmsi, t); one row group a shard."""

VESSELS: Final = pa.schema(
    [
        _MMSI,
        _field("flag", pa.int16(), "1", "maritime identification digits: the flag state's number; 0: no MMSI"),
        _field("country", pa.string(), "1", "flag state, ISO 3166; null: digits that none has", nullable=True),
        _field("imo", pa.int32(), "1", "IMO ship number, its check digit right; null: none", nullable=True),
        _field("callsign", pa.string(), "1", "radio call sign", nullable=True),
        _field("name", pa.string(), "1", "ship's name", nullable=True),
        _field("ship_type", pa.string(), "1", "type of ship in the source's words", nullable=True),
        _field("mobile_type", pa.string(), "1", "class of its transponder"),
        _field("length", pa.float32(), "metre", "length overall", nullable=True),
        _field("width", pa.float32(), "metre", "beam", nullable=True),
        _field("draught", pa.float32(), "metre", "largest draught reported", nullable=True),
        _field("names", pa.list_(pa.string()), "1", "every name this MMSI showed"),
        _field("callsigns", pa.list_(pa.string()), "1", "every call sign it showed"),
        _field("ship_types", pa.list_(pa.string()), "1", "every type of ship it showed"),
        _field("imos", pa.list_(pa.int32()), "1", "every IMO ship number it showed with a right check digit"),
        _field("invalid_imos", pa.list_(pa.int32()), "1", "every number in its place with a wrong one"),
        _field(
            "identities",
            pa.list_(pa.string()),
            "1",
            "texts that `mmsi` stands for where it is no MMSI; several share it",
        ),
        _field("conflicts", pa.list_(pa.string()), "1", "static fields of which it showed several values"),
        _field("first_seen", UTC, "UTC", "first record, with a position or without"),
        _field("last_seen", UTC, "UTC", "last record, with a position or without"),
        _field("records", pa.int64(), "1", "records, with a position or without"),
        _field("hull", pa.int32(), "1", "least MMSI of those that showed this one's IMO number; else its own MMSI"),
        _field("split", pa.string(), "1", "train, validation or test, by hull"),
    ]
)
"""Who each vessel MMSI is."""

DAILY_QUALITY: Final = pa.schema(
    [
        _field("day", pa.date32(), "1", "UTC"),
        _field("measure", pa.string(), "1", "what is measured"),
        _field("value", pa.float64(), "1", "in `unit`"),
        _field("unit", pa.string(), "1", "1: a count; share: 0 to 1; second"),
    ]
)
"""What a day's data were like: one row a measure."""

TRACK_POSITIONS: Final = pa.schema(
    [
        _MMSI,
        _TRACK,
        _TIME,
        *_position_fields(nullable=False),
        *_motion_fields(nullable=False),
        *_posture_fields(),
        _field("sog_held", pa.bool_(), "1", "the SOG was not received with this position"),
        _field("cog_held", pa.bool_(), "1", "the COG was not received with this position"),
        _field("split", _NAMES, "1", "train, validation or test, by hull"),
    ]
)
"""All positions of one shard's vessels by (mmsi, track, t). dt_seconds is t less the track's previous t."""

TRACKS: Final = pa.schema(
    [
        _TRACK,
        _MMSI,
        _field("start", UTC, "UTC", "time of the track's first position"),
        _field("end", UTC, "UTC", "time of its last position"),
        _field("duration", pa.int32(), "second", "from start to end"),
        _field("positions", pa.int64(), "1", "positions it has"),
        _field("length_nm", pa.float64(), "nautical mile", "great-circle distance over all its positions"),
        _field("south", pa.float64(), "degree", "least latitude"),
        _field("north", pa.float64(), "degree", "greatest latitude"),
        _field("west", pa.float64(), "degree", "western edge; over east where the track crosses ±180° (RFC 7946)"),
        _field("east", pa.float64(), "degree", "eastern edge"),
        _field("mobile_type", pa.string(), "1", "class of the vessel's transponder; null: unknown", nullable=True),
        _field("ship_type", pa.string(), "1", "type of ship in the source's words; null: unknown", nullable=True),
        _field("split", _NAMES, "1", "train, validation or test, by hull"),
        _field("windows", pa.int64(), "1", "windows that it holds"),
    ]
)
"""One row a track, by (mmsi, start)."""

WINDOW_REFERENCES: Final = pa.schema(
    [
        _field("pile", pa.int16(), "1", "the pile it was thrown into; -1: validation, -2: held-out time, -3: test"),
        _field("row", pa.int64(), "1", "the window's first position: its row in this shard's track file"),
        _TRACK,
        _START,
    ]
)
"""Pass 1 of the shuffle: where each window went, by (pile, row); one row group a pile, in the order of
`shuffle.piles_in_order`."""


def windows_schema(window_len: int) -> pa.Schema:
    """Schema of a file of windows: `features` holds window_len × 5 float32, position by position."""
    width = window_len * FEATURE_COUNT
    return pa.schema(
        [
            pa.field(
                "features",
                pa.list_(pa.field("element", pa.float32(), nullable=False), width),
                nullable=False,
                metadata={
                    "description": f"{window_len} positions of {FEATURE_COUNT} values, position by position",
                    "columns": ",".join(FEATURE_NAMES),
                    "unit": ",".join(feature.unit for feature in FEATURES),
                    "shape": f"{window_len},{FEATURE_COUNT}",
                },
            ),
            _MMSI,
            _TRACK,
            _START,
        ]
    )
