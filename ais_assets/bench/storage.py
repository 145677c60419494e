"""What a stored position takes, and how fast positions are written, beside Parquet as it is usually written."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import pyarrow as pa
import pyarrow.parquet as pq

from ais_assets.bench._simulated import Traffic, row_groups, simulated_traffic, traffic_options
from ais_assets.bench.race import Contender, Race, report, run_race
from ais_assets.io.parquet import write_parquet
from ais_assets.io.views import in_degrees_and_knots
from ais_assets.ledger import Ledger
from ais_assets.settings import Settings
from ais_assets.stream import RecordStream


def write_as_lake(tables: list[pa.Table], path: Path) -> None:
    """Whole numbers and times as the lake has them, packed by deltas."""
    rows = sum(table.num_rows for table in tables)
    stream = RecordStream(tables[0].schema, iter(tables), Ledger(rows, rows))
    write_parquet(stream, path, asset="track_shards", partition="0", level=Settings.model_construct().zstd_level)


def write_as_float64(tables: list[pa.Table], path: Path) -> None:
    """Degrees, knots and degrees as float64, otherwise pyarrow's defaults with zstd."""
    plain = [in_degrees_and_knots(table) for table in tables]
    with pq.ParquetWriter(path, plain[0].schema, compression="zstd") as writer:
        for table in plain:
            writer.write_table(table)


WRITERS = {"float64, zstd": write_as_float64, "the lake's": write_as_lake}


def write(traffic: Traffic, writer: str) -> float:
    """Writes the track file once; returns its positions."""
    tables = _tables(traffic)
    with TemporaryDirectory(prefix="ais-bench-") as folder:
        WRITERS[writer](tables, Path(folder) / "positions.parquet")
    return traffic.positions


def prepare(traffic: Traffic, writer: str) -> None:
    """Reads the positions, and writes a first few, so that nobody pays for what is loaded once."""
    pa.set_cpu_count(1)
    with TemporaryDirectory(prefix="ais-bench-") as folder:
        WRITERS[writer]([_tables(traffic)[0].slice(0, 1000)], Path(folder) / "first.parquet")


def bytes_a_position(traffic: Traffic) -> dict[str, float]:
    """Of each writer's whole file: MMSI, track, time, position, SOG, COG and split."""
    sizes = {}
    with TemporaryDirectory(prefix="ais-bench-") as folder:
        for name, writer in WRITERS.items():
            path = Path(folder) / "positions.parquet"
            writer(_tables(traffic), path)
            sizes[name] = round(path.stat().st_size / traffic.positions, 3)
    return sizes


@lru_cache(maxsize=1)
def _tables(traffic: Traffic) -> list[pa.Table]:
    return list(row_groups(traffic.tracks))


@click.command()
@traffic_options
def command(*, as_json: bool, repeat: int, vessels: int, days: int, seed: int) -> None:
    """Bytes a stored position takes, and positions written a second."""
    with simulated_traffic(vessels, days, seed) as traffic:
        work = {"positions": traffic.positions}
        work |= {f"{name}, bytes a position": size for name, size in bytes_a_position(traffic).items()}
        contenders = [
            Contender(name, write, (traffic, name), prepare, baseline=writer is write_as_float64)
            for name, writer in WRITERS.items()
        ]
        report([run_race(Race("Positions as Parquet", "positions", work), contenders, repeat=repeat)], as_json=as_json)
