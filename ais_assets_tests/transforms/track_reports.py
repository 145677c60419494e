"""Position reports in whole numbers, the tables they make, and the tracks that the module makes of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from ais_assets import schema
from ais_assets.stream import RecordStream
from ais_assets.transforms.tracks import build_tracks
from ais_assets_tests.blank_columns import with_blanks

SHIP = 219_000_734
OTHER = 257_706_000
NOON = 1_709_294_400
GAP = schema.MAX_GAP_SECONDS
DEGREE = schema.MICRODEGREES
NAUTICAL_MILE = DEGREE // 60
"""Of latitude, in micro-degrees."""


class Report(NamedTuple):
    """A clean position report: seconds, micro-degrees, tenths."""

    mmsi: int
    t: int
    lat: int
    lon: int
    sog: int | None = 100
    cog: int | None = 900
    coarse: bool = False


class Position(NamedTuple):
    """A row of the result."""

    mmsi: int
    track: int
    t: int
    lat: int
    lon: int
    sog: int
    cog: int


@dataclasses.dataclass(frozen=True)
class Rule:
    """Arguments of `build_tracks`."""

    max_gap_seconds: int = GAP
    max_speed_knots: float = 50.0
    min_track_positions: int = 2
    validation_fraction: float = 0.0
    seed: int = 17
    thin_seconds: int = 0
    stationary_seconds: int = 0
    stationary_knots: float = 0.5


def clean_table(reports: Sequence[Report]) -> pa.Table:
    """Reports as CLEAN_RECORDS, in the order given."""
    columns: list[list[Any]] = [list(column) for column in zip(*reports, strict=True)] or [[] for _ in Report._fields]
    mmsi, t, lat, lon, sog, cog, coarse = columns
    filled = {
        "mmsi": pa.array(mmsi, pa.int32()),
        "t": pa.array([1_000 * second for second in t], schema.UTC),
        "lat_microdegrees": pa.array(lat, pa.int32()),
        "lon_microdegrees": pa.array(lon, pa.int32()),
        "sog_tenths": pa.array(sog, pa.int32()),
        "cog_tenths": pa.array(cog, pa.int32()),
        "mobile_type": pa.array(["class A"] * len(mmsi), schema.CLEAN_RECORDS.field("mobile_type").type),
        "coarse": pa.array(coarse, pa.bool_()),
    }
    return pa.table(with_blanks(filled, schema.CLEAN_RECORDS, len(mmsi)), schema=schema.CLEAN_RECORDS)


def built(tables: Sequence[pa.Table], rule: Rule) -> tuple[list[pa.Table], RecordStream]:
    """All tables of `build_tracks`, and its stream, whose account must add up."""
    stream = build_tracks(iter(tables), **dataclasses.asdict(rule))
    result = list(stream.tables)
    stream.ledger.balance("test")
    assert all(table.schema.equals(schema.TRACK_POSITIONS, check_metadata=True) for table in result)
    return result, stream


def positions_of(tables: Sequence[pa.Table]) -> list[Position]:
    """The rows of track tables as whole numbers."""
    table = pa.concat_tables([schema.TRACK_POSITIONS.empty_table(), *tables])
    columns = [table["mmsi"].to_pylist(), table["track"].to_pylist()]
    columns.append([int(moment.timestamp()) for moment in table["t"].to_pylist()])
    columns += [table[of.column].to_pylist() for of in schema.STORED_AS.values()]
    return [Position(*row) for row in zip(*columns, strict=True)]


def tracks_of(reports: Sequence[Report], rule: Rule = Rule()) -> list[list[Position]]:
    """The tracks of one table of reports, each a list of its positions."""
    found: dict[int, list[Position]] = {}
    for position in positions_of(built([clean_table(reports)], rule)[0]):
        found.setdefault(position.track, []).append(position)
    return list(found.values())


def times_of(tracks: Sequence[Sequence[Position]]) -> list[list[int]]:
    """Seconds since NOON of each track's positions."""
    return [[position.t - NOON for position in track] for track in tracks]


def straight(
    mmsi: int, start: int, count: int, *, lat: int, lon: int, step: int = 10, north: int = 100
) -> list[Report]:
    """A ship heading north from a place, a report every `step` seconds."""
    return [Report(mmsi, NOON + start + k * step, lat + k * north, lon) for k in range(count)]


def ahead(lat: float, lon: float, course: float, metres: float) -> tuple[int, int]:
    """Micro-degrees of a place so many metres from another, given in micro-degrees too, on a plane."""
    step = 6_371_008.8 * math.pi / 180 / DEGREE
    north, east = (metres * part(math.radians(course)) / step for part in (math.cos, math.sin))
    return round(lat + north), round(lon + east / math.cos(math.radians(lat / DEGREE)))


def sailing(
    count: int,
    *,
    step: int = 10,
    knots: float = 15.0,
    course: float = 0.0,
    start: int = 0,
    lat: float = 55 * DEGREE,
    lon: float = 10 * DEGREE,
) -> list[Report]:
    """A ship that keeps course and speed and says so: a report every `step` seconds from `start` after noon."""
    return [
        Report(
            SHIP,
            NOON + start + k * step,
            *ahead(lat, lon, course, knots * 1_852 / 3_600 * step * k),
            round(10 * knots),
            round(10 * course) % 3_600,
        )
        for k in range(count)
    ]
