"""Tracks for maps: what a file of them says; GeoPandas and MovingPandas take them, where they are installed."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ais_assets import schema
from ais_assets.io.geoparquet import OtherTracksError
from ais_assets.io.lake import Lake, PartitionMissingError
from ais_assets.ledger import Ledger
from ais_assets.stream import RecordStream
from ais_assets.transforms.split import shard_of
from ais_assets.transforms.track_table import track_table
from ais_assets_tests.transforms.test_track_table import DEGREE, OTHER, SHIP, positions, vessels

SHARDS = 2
NOBODY = 219_999_999
AROUND = 219_000_735
"""Sails across ±180°."""
SAILED = {
    SHIP: [(0, 55 * DEGREE, 11 * DEGREE), (60, 56 * DEGREE, 11 * DEGREE + 1), (90, 55 * DEGREE, 12 * DEGREE)],
    AROUND: [(0, 0, 179 * DEGREE), (60, 10 * DEGREE, -179 * DEGREE)],
    OTHER: [(5, 1, 2)],
}


def shard(mmsi: int) -> int:
    """Of a vessel."""
    return int(shard_of(pa.array([mmsi], pa.int32()).to_numpy(), SHARDS)[0])


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with tracks of three vessels."""
    lake = Lake(tmp_path / "lake")
    for number in range(SHARDS):
        table = positions([(mmsi, SAILED[mmsi]) for mmsi in sorted(SAILED) if shard(mmsi) == number])
        ledger = Ledger(table.num_rows, table.num_rows)
        lake.write("track_shards", f"{number:04d}", RecordStream(schema.TRACK_POSITIONS, iter([table]), ledger))
        lake.write("tracks", f"{number:04d}", track_table(iter([table]), vessels(), window_len=4, stride=2))
    return lake


def test_a_file_of_lines_says_what_geoparquet_asks_for(lake: Lake, tmp_path: Path) -> None:
    pq.write_table(lake.track_lines(), tmp_path / "lines.parquet")
    file = pq.read_table(tmp_path / "lines.parquet")
    geo = json.loads(file.schema.metadata[b"geo"])
    assert (geo["version"], geo["primary_column"]) == ("1.1.0", "geometry")
    column = geo["columns"]["geometry"]
    assert column["encoding"] == "WKB"
    assert set(column["geometry_types"]) == {"LineString", "MultiLineString", "Point"}
    for side, path in column["covering"]["bbox"].items():
        assert path == ["bbox", side]
    assert file.schema.field("geometry").type == pa.binary()
    boxes = dict(zip(file["mmsi"].to_pylist(), file["bbox"].to_pylist(), strict=True))
    assert boxes[SHIP] == {"xmin": 11, "ymin": 55, "xmax": 12, "ymax": 56}
    assert boxes[AROUND] == {"xmin": -180, "ymin": 0, "xmax": 180, "ymax": 10}


@pytest.mark.parametrize("wanted", [[SHIP], [OTHER, SHIP], [SHIP, AROUND, OTHER, NOBODY], []])
def test_some_vessels_tracks_are_those_of_all(lake: Lake, wanted: list[int]) -> None:
    for read in (lake.track_lines, lake.track_points):
        everything, found = read().sort_by("track"), read(wanted)
        kept = everything.filter(pa.array([mmsi in wanted for mmsi in everything["mmsi"].to_pylist()], pa.bool_()))
        assert found.equals(kept)
        assert found.schema.equals(everything.schema, check_metadata=True)


def test_tracks_of_a_shard(lake: Lake) -> None:
    whose = f"{shard(SHIP):04d}"
    of_shard = {mmsi for mmsi in SAILED if f"{shard(mmsi):04d}" == whose}
    assert set(lake.track_lines(shards=[whose])["mmsi"].to_pylist()) == of_shard
    assert set(lake.track_points(shards=[whose])["mmsi"].to_pylist()) == of_shard
    with pytest.raises(ValueError, match="give vessels or shards"):
        lake.track_lines([SHIP], shards=[whose])
    with pytest.raises(PartitionMissingError, match="0009"):
        lake.track_points(shards=["0009"])


def test_tracks_of_other_positions_are_refused(lake: Lake) -> None:
    table = positions([(SHIP, SAILED[SHIP][1:])])
    ledger = Ledger(table.num_rows, table.num_rows)
    lake.write("track_shards", f"{shard(SHIP):04d}", RecordStream(schema.TRACK_POSITIONS, iter([table]), ledger))
    for vessels_asked_for in ([SHIP], None):
        with pytest.raises(OtherTracksError, match="materialize tracks again"):
            lake.track_lines(vessels_asked_for)


def test_duckdb_knows_geometries(lake: Lake, tmp_path: Path) -> None:
    file = tmp_path / "points.parquet"
    pq.write_table(lake.track_points([SHIP]), file)
    read = duckdb.read_parquet(str(file))
    assert str(dict(zip(read.columns, read.types, strict=True))["geometry"]) == "GEOMETRY('OGC:CRS84')"
    assert read.aggregate("min(lat), max(lon), count(geometry)").fetchall() == [(55, 12, 3)]


def test_geopandas_reads_them(lake: Lake, tmp_path: Path) -> None:
    geopandas = pytest.importorskip("geopandas")
    table = lake.track_lines()
    pq.write_table(table, tmp_path / "lines.parquet")
    for frame in (geopandas.read_parquet(tmp_path / "lines.parquet"), geopandas.GeoDataFrame.from_arrow(table)):
        assert frame.crs == "OGC:CRS84"
        lines = dict(zip(frame["mmsi"], frame.geometry, strict=True))
        assert list(lines[SHIP].coords) == [(11, 55), (11.000001, 56), (12, 55)]
        assert lines[AROUND].geom_type == "MultiLineString"
        assert lines[AROUND].bounds == (-180, 0, 180, 10)
        assert lines[OTHER].geom_type == "Point"
    north = geopandas.read_parquet(tmp_path / "lines.parquet", bbox=(10, 50, 12, 57))
    assert set(north["mmsi"]) == {SHIP}
    assert set(geopandas.read_parquet(tmp_path / "lines.parquet", bbox=(10, 5, 12, 57))["mmsi"]) == {SHIP, AROUND}


def test_movingpandas_takes_their_positions(lake: Lake) -> None:
    movingpandas = pytest.importorskip("movingpandas")
    geopandas = pytest.importorskip("geopandas")
    points = geopandas.GeoDataFrame.from_arrow(lake.track_points([SHIP, AROUND]))
    assert points.crs == "OGC:CRS84"
    frame = points.assign(t=points["t"].dt.tz_localize(None))
    trips = movingpandas.TrajectoryCollection(frame, traj_id_col="track", t="t")
    assert [len(trip.df) for trip in trips] == [3, 2]
    (trip,) = [trip for trip in trips if set(trip.df["mmsi"]) == {SHIP}]
    assert trip.get_length() == pytest.approx(239_000, rel=0.01)
