"""Writing windows as Parquet, beside pyarrow's defaults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import pyarrow as pa
import pyarrow.parquet as pq

from ais_assets.bench._simulated import Traffic, simulated_traffic, traffic_options, windows_of
from ais_assets.bench.race import Contender, Race, report, run_race
from ais_assets.io.parquet import write_parquet
from ais_assets.ledger import Ledger
from ais_assets.settings import Settings
from ais_assets.stream import RecordStream

_MEGABYTE = 1_000_000

Writer = Callable[[Sequence[pa.Table], Path], None]


def write_as_lake(tables: Sequence[pa.Table], path: Path) -> None:
    """Writes windows as the lake does."""
    rows = sum(table.num_rows for table in tables)
    stream = RecordStream(tables[0].schema, iter(tables), Ledger(rows_in=rows, rows_out=rows))
    level = Settings.model_construct().zstd_level
    write_parquet(stream, path, asset="materialized_windows", partition="0", level=level)


def write_with_defaults(tables: Sequence[pa.Table], path: Path) -> None:
    """Writes the same windows, a row group a table too, with whatever else pyarrow does by default."""
    with pq.ParquetWriter(path, tables[0].schema) as writer:
        for table in tables:
            writer.write_table(table)


def prepare(traffic: Traffic, windows: int, writer: Writer) -> None:
    """Gathers the windows; a first table is written, so that no contender pays for what is loaded once."""
    pa.set_cpu_count(1)
    with TemporaryDirectory(prefix="ais-bench-") as folder:
        writer(_gathered(traffic, windows)[:1], Path(folder) / "first.parquet")


def write(traffic: Traffic, windows: int, writer: Writer) -> float:
    """Writes the windows once to a temporary file; returns their megabytes before compression."""
    tables = _gathered(traffic, windows)
    with TemporaryDirectory(prefix="ais-bench-") as folder:
        writer(tables, Path(folder) / "windows.parquet")
    return sum(table.nbytes for table in tables) / _MEGABYTE


@lru_cache(maxsize=1)
def _gathered(traffic: Traffic, windows: int) -> tuple[pa.Table, ...]:
    return tuple(windows_of(traffic, windows))


def race(traffic: Traffic, windows: int, repeat: int) -> Race:
    """Both writers, one thread each."""
    writers = {"pyarrow defaults": write_with_defaults, "the lake's": write_as_lake}
    contenders = [
        Contender(name, write, (traffic, windows, writer), prepare, baseline=writer is write_with_defaults)
        for name, writer in writers.items()
    ]
    work = {"windows": min(windows, traffic.windows)}
    return run_race(Race("Windows as Parquet", "MB raw", work), contenders, repeat=repeat)


@click.command()
@traffic_options
@click.option("--windows", type=click.IntRange(min=1), default=20_000, show_default=True, help="To write, at most.")
def command(*, as_json: bool, repeat: int, vessels: int, days: int, seed: int, windows: int) -> None:
    """Megabytes of windows a second, written as Parquet."""
    with simulated_traffic(vessels, days, seed) as traffic:
        report([race(traffic, windows, repeat)], as_json=as_json)
