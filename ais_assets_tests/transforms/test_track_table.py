"""The track table: known answers, and a slow reference on random tracks cut anywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ais_assets import schema
from ais_assets.io.views import in_degrees_and_knots
from ais_assets.transforms.geodesy import EARTH_RADIUS_METRES
from ais_assets.transforms.track_table import track_table
from ais_assets_tests.blank_columns import with_blanks

SHIP = 219_000_734
OTHER = 257_706_000
NOON = 1_709_294_400
DEGREE = schema.MICRODEGREES
MINUTE_NM = math.radians(1 / 60) * EARTH_RADIUS_METRES / 1_852
"""A minute of arc on the mean sphere, in nautical miles: 1.0007."""

Point = tuple[int, int, int]
"""Seconds since noon, latitude and longitude in micro-degrees."""


def positions(tracks: Sequence[tuple[int, Sequence[Point]]], validation: Sequence[int] = ()) -> pa.Table:
    """TRACK_POSITIONS of (MMSI, points), in the order given; `validation` lists the MMSIs of that split."""
    rows = [(mmsi, (mmsi << 32) + NOON + points[0][0], *point) for mmsi, points in tracks for point in points]
    mmsi, track, t, lat, lon = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(5)]
    tenths = pa.array([0] * len(rows), pa.int32())
    split = [schema.SPLITS[vessel in validation] for vessel in mmsi]
    columns: dict[str, Any] = {
        "mmsi": pa.array(mmsi, pa.int32()),
        "track": pa.array(track, pa.int64()),
        "t": pa.array([(NOON + second) * 1_000 for second in t], schema.UTC),
        "lat_microdegrees": pa.array(lat, pa.int32()),
        "lon_microdegrees": pa.array(lon, pa.int32()),
        "sog_tenths": tenths,
        "cog_tenths": tenths,
        "split": pa.array(split, schema.TRACK_POSITIONS.field("split").type),
    }
    columns = with_blanks(columns, schema.TRACK_POSITIONS, len(rows))
    return pa.Table.from_arrays([columns[name] for name in schema.TRACK_POSITIONS.names], schema=schema.TRACK_POSITIONS)


def vessels(*rows: tuple[int, str, str | None]) -> pa.Table:
    """Of VESSELS what the track table takes: MMSI, class, type."""
    names = ("mmsi", "mobile_type", "ship_type")
    return pa.table(
        [pa.array([row[k] for row in rows], schema.VESSELS.field(name).type) for k, name in enumerate(names)],
        names=list(names),
    )


def table_of(tables: Sequence[pa.Table], known: pa.Table | None = None, **geometry: int) -> list[dict[str, Any]]:
    """The track table as rows; its account must add up."""
    stream = track_table(iter(tables), known or vessels(), **({"window_len": 4, "stride": 2} | geometry))
    tables_made = list(stream.tables)
    assert [made.num_rows > 0 for made in tables_made] in ([], [True])
    table = pa.concat_tables([schema.TRACKS.empty_table(), *tables_made])
    stream.ledger.balance("test")
    table.validate(full=True)
    assert table.schema.equals(schema.TRACKS, check_metadata=True)
    assert stream.ledger.notes["positions"] == sum(table.num_rows for table in tables)
    return table.to_pylist()


def box(*lon: int) -> tuple[float, float]:
    """West and east of a track along the equator, in degrees."""
    (row,) = table_of([positions([(SHIP, [(60 * k, 0, value) for k, value in enumerate(lon)])])])
    return row["west"], row["east"]


def test_a_track_says_what_it_is() -> None:
    points = [(0, 55 * DEGREE, 11 * DEGREE), (60, 56 * DEGREE, 11 * DEGREE), (90, 55 * DEGREE + 1, 11 * DEGREE)]
    table = positions([(SHIP, points), (OTHER, [(5, 0, 0), (6, 0, 0)])], validation=[OTHER])
    first, second = table_of([table], vessels((OTHER, "class A", "Cargo"), (SHIP, "class B", None)))
    assert first["mmsi"] == SHIP
    assert first["track"] == (SHIP << 32) + NOON
    assert [first["start"].timestamp(), first["end"].timestamp()] == [NOON, NOON + 90]
    assert first["duration"] == 90
    assert first["positions"] == 3
    assert first["length_nm"] == pytest.approx(120 * MINUTE_NM, abs=1e-4)
    assert [first[edge] for edge in ("south", "north", "west", "east")] == [55, 56, 11, 11]
    assert [first[name] for name in ("mobile_type", "ship_type", "split")] == ["class B", None, "train"]
    assert [second[name] for name in ("mobile_type", "ship_type", "split")] == ["class A", "Cargo", "validation"]
    assert second["length_nm"] == 0


def test_a_vessel_that_is_not_known_has_neither_class_nor_type() -> None:
    (row,) = table_of([positions([(SHIP, [(0, 0, 0)])])], vessels((OTHER, "class A", "Cargo")))
    assert row["mobile_type"] is None
    assert row["ship_type"] is None


@pytest.mark.parametrize(("length", "windows"), [(3, 0), (4, 1), (5, 1), (6, 2)])
def test_windows_are_those_that_the_track_holds(length: int, windows: int) -> None:
    (row,) = table_of([positions([(SHIP, [(k, 0, 0) for k in range(length)])])])
    assert row["windows"] == windows


def test_a_box_across_the_antimeridian_has_its_west_in_the_east() -> None:
    near = 179 * DEGREE
    assert box(near, -near) == (179, -179)
    assert box(-near, near) == (179, -179)
    # Once over and back again, and then kept to the other side.
    assert box(near, -near, near, near - DEGREE) == (178, -179)


def test_a_box_that_touches_180_degrees_does_not_cross_it() -> None:
    half = 180 * DEGREE
    assert box(half, half) == (180, 180)
    assert box(-half, -half) == (-180, -180)
    assert box(half, -half + DEGREE) == (-180, -179)
    assert box(half - DEGREE, -half) == (179, 180)


def test_a_track_around_the_earth_has_all_longitudes() -> None:
    third = 120 * DEGREE
    assert box(0, third, -third, 0) == (-180, 180)
    assert box(0, -third, third, 0) == (-180, 180)


def test_distances_take_the_short_way_over_the_antimeridian_and_the_pole() -> None:
    points = [(0, 0, 179 * DEGREE), (60, 0, -179 * DEGREE)]
    assert table_of([positions([(SHIP, points)])])[0]["length_nm"] == pytest.approx(120 * MINUTE_NM, abs=1e-4)
    points = [(0, 89 * DEGREE, 0), (60, 89 * DEGREE, 180 * DEGREE)]
    assert table_of([positions([(SHIP, points)])])[0]["length_nm"] == pytest.approx(120 * MINUTE_NM, abs=1e-4)


def reference(table: pa.Table) -> list[tuple[int, int, int, float, float, float]]:
    """Track, positions, seconds, miles, south and north, one position after the other."""
    rows = []
    for track, group in groupby(in_degrees_and_knots(table).to_pylist(), key=lambda row: row["track"]):
        points = list(group)
        millimetres = 0
        for a, b in pairwise(points):
            lat_a, lat_b = math.radians(a["lat"]), math.radians(b["lat"])
            half_lat, half_lon = (lat_b - lat_a) / 2, math.radians(b["lon"] - a["lon"]) / 2
            square = math.sin(half_lat) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin(half_lon) ** 2
            millimetres += round(2_000 * EARTH_RADIUS_METRES * math.asin(math.sqrt(min(1.0, square))))
        lats = [point["lat"] for point in points]
        seconds = int((points[-1]["t"] - points[0]["t"]).total_seconds())
        rows.append((track, len(points), seconds, millimetres / 1_852_000, min(lats), max(lats)))
    return rows


@settings(deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(
                st.integers(-90 * DEGREE, 90 * DEGREE),
                st.one_of(st.integers(-180 * DEGREE, 180 * DEGREE), st.sampled_from([-180 * DEGREE, 180 * DEGREE])),
            ),
            min_size=1,
            max_size=6,
        ),
        max_size=5,
    ),
    st.lists(st.integers(0, 30), max_size=5),
)
def test_it_is_that_of_the_reference_however_tables_are_cut(
    tracks: list[list[tuple[int, int]]], cuts: list[int]
) -> None:
    whole = positions(
        [(SHIP + number, [(60 * k, *point) for k, point in enumerate(track)]) for number, track in enumerate(tracks)]
    )
    bounds = sorted({0, whole.num_rows, *(cut for cut in cuts if cut < whole.num_rows)})
    rows = table_of([whole.slice(first, end - first) for first, end in pairwise(bounds)])
    assert rows == table_of([whole])
    names = ("track", "positions", "duration")
    expected = reference(whole)
    assert [tuple(row[name] for name in names) for row in rows] == [row[:3] for row in expected]
    assert [row["length_nm"] for row in rows] == pytest.approx([row[3] for row in expected], abs=1e-5)
    assert [(row["south"], row["north"]) for row in rows] == [row[4:] for row in expected]
    for row, track in zip(rows, tracks, strict=True):
        west, east = (round(row[edge] * DEGREE) for edge in ("west", "east"))
        for _, lon in track:
            inside = west <= lon <= east if west <= east else lon >= west or lon <= east
            # 180° east and west are one meridian.
            assert inside or (abs(lon) == 180 * DEGREE and 180 * DEGREE in (abs(west), abs(east)))


def test_no_positions_are_no_tracks() -> None:
    assert table_of([]) == []


def test_tracks_out_of_order_are_refused() -> None:
    table = positions([(OTHER, [(0, 0, 0)]), (SHIP, [(0, 0, 0)])])
    with pytest.raises(ValueError, match="comes after"):
        list(track_table(iter([table]), vessels(), window_len=4, stride=2).tables)


def test_other_columns_are_refused() -> None:
    table = positions([(SHIP, [(0, 0, 0)])]).drop_columns(["lat_microdegrees"])
    with pytest.raises(ValueError, match="no column 'lat_microdegrees'"):
        list(track_table(iter([table]), vessels(), window_len=4, stride=2).tables)


def test_windows_of_no_length_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        track_table(iter([]), vessels(), window_len=0, stride=2)
