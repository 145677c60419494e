"""A track shard from its clean records, read to write, beside DuckDB, Polars and MovingPandas.

The others split at the same silences and drop by the same speed between neighbours; none of them holds a missing SOG or
COG, judges a jump by the last position kept, or tells two ships under one MMSI apart, as the platform does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ais_assets import schema
from ais_assets.bench._simulated import clean_days, row_groups, traffic_options
from ais_assets.bench.race import Contender, Race, report, run_race
from ais_assets.io.parquet import write_parquet
from ais_assets.io.views import in_degrees_and_knots
from ais_assets.ledger import Ledger
from ais_assets.settings import Settings
from ais_assets.stream import RecordStream
from ais_assets.transforms.tracks import CLEAN_COLUMNS, build_tracks

_SMALL_PART = 20_000
"""Positions that MovingPandas is given: it makes a geometry of each."""

_DIAMETER = 2 * 3440.0
"""Of the earth, nautical miles."""

_DUCKDB = """
copy (
  with positions as (
    select *, lat_microdegrees / 1e6 as lat, lon_microdegrees / 1e6 as lon from read_parquet({files})
  ),
  steps as (
    select *, epoch(t - lag(t) over w) as dt,
      {diameter} * asin(sqrt(
        pow(sin(radians(lat - lag(lat) over w) / 2), 2)
        + cos(radians(lat)) * cos(radians(lag(lat) over w)) * pow(sin(radians(lon - lag(lon) over w) / 2), 2)
      )) as nm
    from positions window w as (partition by mmsi order by t)
  ),
  parts as (
    select *, count(*) filter (dt > {gap}) over (partition by mmsi order by t) as part
    from steps where nm is null or nm * 3600 <= {knots} * dt
  )
  select mmsi, (mmsi::bigint << 32) + epoch(min(t) over (partition by mmsi, part))::bigint as track,
    t, lat_microdegrees, lon_microdegrees, sog_tenths, cog_tenths
  from parts order by mmsi, t
) to '{into}' (format parquet, compression zstd)
"""


def with_the_platform(files: list[Path]) -> float:
    """Builds and writes the track file as the asset does; returns the positions read."""
    settings = Settings.model_construct()
    stream = build_tracks(
        (table for file in files for table in row_groups(file, CLEAN_COLUMNS)),
        max_gap_seconds=settings.max_gap_seconds,
        max_speed_knots=settings.max_speed_knots,
        min_track_positions=settings.min_track_positions,
        validation_fraction=settings.validation_fraction,
        seed=settings.seed,
    )
    with _output() as into:
        write_parquet(stream, into, asset="track_shards", partition="0", level=settings.zstd_level)
    return stream.ledger.rows_in


def with_duckdb(files: list[Path]) -> float:
    """The same by window functions."""
    import duckdb  # noqa: PLC0415 - a contender pays for its own libraries only

    settings = Settings.model_construct()
    with _output() as into, duckdb.connect(config={"threads": 1}) as connection:
        names = [str(file) for file in files]
        connection.execute("set enable_progress_bar = false")
        gap, knots = settings.max_gap_seconds, settings.max_speed_knots
        connection.execute(_DUCKDB.format(files=names, gap=gap, knots=knots, diameter=_DIAMETER, into=into))
    return _rows(files)


def with_polars(files: list[Path]) -> float:
    """The same by shifts over each vessel."""
    os.environ["POLARS_MAX_THREADS"] = "1"  # read when it is imported
    import polars as pl  # noqa: PLC0415

    settings = Settings.model_construct()
    lat, lon = ((pl.col(f"{name}_microdegrees") / schema.MICRODEGREES).radians() for name in ("lat", "lon"))
    before = {"lat": lat.shift(1).over("mmsi"), "lon": lon.shift(1).over("mmsi")}
    half = ((lat - before["lat"]) / 2).sin() ** 2 + lat.cos() * before["lat"].cos() * (
        (lon - before["lon"]) / 2
    ).sin() ** 2
    step = (pl.col("t") - pl.col("t").shift(1).over("mmsi")).dt.total_seconds()
    positions = (
        pl.scan_parquet(files)
        .sort("mmsi", "t")
        .with_columns(dt=step, nm=half.sqrt().arcsin() * _DIAMETER)
        .filter(pl.col("nm").is_null() | (pl.col("nm") * 3600 <= settings.max_speed_knots * pl.col("dt")))
        .with_columns(part=(pl.col("dt") > settings.max_gap_seconds).fill_null(False).cum_sum().over("mmsi"))
        .with_columns(track=pl.col("t").min().over("mmsi", "part"))
        .select("mmsi", "track", "t", *(of.column for of in schema.STORED_AS.values()))
    )
    with _output() as into:
        positions.collect().write_parquet(into, compression="zstd", compression_level=settings.zstd_level)
    return _rows(files)


def with_movingpandas(files: list[Path]) -> float:
    """Splits a small part at its gaps, without filter and without writing; returns the positions of that part."""
    from datetime import timedelta  # noqa: PLC0415

    import movingpandas  # noqa: PLC0415 # pyright: ignore[reportMissingImports] - an optional peer

    part = pq.read_table(files[0]).slice(0, _SMALL_PART)
    frame = in_degrees_and_knots(part.select(["mmsi", "t", "lat_microdegrees", "lon_microdegrees"])).to_pandas()
    tracks = movingpandas.TrajectoryCollection(frame, traj_id_col="mmsi", t="t", x="lon", y="lat")
    gap = timedelta(seconds=Settings.model_construct().max_gap_seconds)
    movingpandas.ObservationGapSplitter(tracks).split(gap=gap)
    return part.num_rows


WAYS = {
    "DuckDB": with_duckdb,
    "Polars": with_polars,
    "MovingPandas, gaps only": with_movingpandas,
    "the platform": with_the_platform,
}


@contextmanager
def simulated_shard(vessels: int, days: int, copies: int, seed: int) -> Iterator[list[Path]]:
    """A shard's clean records, a file a day, in a temporary folder; every vessel `copies` times under other MMSIs."""
    settings = Settings.model_construct()
    with TemporaryDirectory(prefix="ais-bench-") as name:
        folder, files = Path(name), []
        for number, day in enumerate(clean_days(folder, vessels, days, seed, settings.repeat_seconds)):
            table = multiplied(day, copies)
            stream = RecordStream(table.schema, iter([table]), Ledger(table.num_rows, table.num_rows))
            files.append(folder / f"{number:03}.parquet")
            write_parquet(stream, files[-1], asset="clean_records", partition="0", level=settings.zstd_level)
        yield files


def multiplied(day: pa.Table, copies: int) -> pa.Table:
    """A day's records with every vessel `copies` times, under MMSIs that the copies alone have; sorted as before."""
    mmsi = day["mmsi"].to_numpy().astype(np.int64)
    # A vessel keeps its number from day to day, and its copies have the thousand that follow it.
    numbers = 201_000_000 + (mmsi[:, None] * 2_654_435_761 % 500_000) * 1000 + np.arange(copies)
    row = np.repeat(np.arange(len(mmsi)), copies)
    order = np.lexsort((row, numbers.reshape(-1)))
    chosen = day.take(pa.array(row[order]))
    return chosen.set_column(0, day.schema.field("mmsi"), pa.array(numbers.reshape(-1)[order].astype(np.int32)))


@contextmanager
def _output() -> Iterator[Path]:
    with TemporaryDirectory(prefix="ais-bench-") as folder:
        yield Path(folder) / "tracks.parquet"


def _rows(files: list[Path]) -> int:
    return sum(pq.read_metadata(file).num_rows for file in files)


def _prepare(way: str, files: list[Path]) -> None:
    """Does the work twice: a stage's run takes shard after shard, with everything loaded and memory at hand."""
    pa.set_cpu_count(1)
    for _ in range(2):
        _run(way, files)


def _run(way: str, files: list[Path]) -> float:
    return WAYS[way](files)


@click.command()
@traffic_options
@click.option("--copies", type=click.IntRange(1, 1000), default=8, show_default=True, help="Of every vessel.")
def command(*, as_json: bool, repeat: int, vessels: int, days: int, copies: int, seed: int) -> None:
    """Positions a second from clean records to a track file, read to write, one core."""
    with simulated_shard(vessels, days, copies, seed) as files:
        race = Race("Track shard, read to write", "positions", {"positions": _rows(files), "days": len(files)})
        needs = {"Polars": ("polars",), "MovingPandas, gaps only": ("movingpandas",)}
        contenders = [
            Contender(way, _run, (way, files), _prepare, baseline=way == "DuckDB", needs=needs.get(way, ()))
            for way in WAYS
        ]
        report([run_race(race, contenders, repeat=repeat)], as_json=as_json)
