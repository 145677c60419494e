"""A day as JSON lines and as Parquet to typed records, beside DuckDB and Polars.

The others get the same files and only cast the columns that a position needs; they judge nothing, count nothing and
keep no static data.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ais_assets.bench.race import Contender, Race, run_race
from ais_assets.io.views import in_degrees_and_knots
from ais_assets.settings.table_mapping import TableMapping
from ais_assets.sources.json_lines import JsonLinesSource
from ais_assets.sources.source import Source
from ais_assets.sources.table import TableSource
from ais_assets.stream import RecordStream

_MOST_BYTES = 1 << 36
_MAPPING = TableMapping.model_validate(
    {name: {"column": name} for name in ("t", "mmsi", "lat", "lon", "sog", "cog", "heading", "name")}
)
_DUCKDB_JSON = """
select rxuxtime::bigint as t, mmsi::int as mmsi, lat, lon, speed, course, heading::smallint as heading
from read_json('{file}', format = 'newline_delimited', ignore_errors = true, columns = {{rxuxtime: 'DOUBLE',
  mmsi: 'BIGINT', lat: 'DOUBLE', lon: 'DOUBLE', speed: 'DOUBLE', course: 'DOUBLE', heading: 'DOUBLE'}})
"""
_DUCKDB_PARQUET = "select t, mmsi::int as mmsi, lat, lon, sog, cog, heading from read_parquet('{file}')"


class Forms(NamedTuple):
    """One day's records in two forms, and how many they are."""

    json: Path
    parquet: Path
    rows: int


@contextmanager
def forms_of(records: RecordStream, day: date) -> Iterator[Forms]:
    """The records of a day with a position, as AIS-catcher writes them and as a table, in a temporary folder."""
    with TemporaryDirectory(prefix="ais-bench-") as folder:
        lines, table = Path(folder) / f"{day}.jsonl", Path(folder) / f"{day}.parquet"
        tables = [in_degrees_and_knots(part) for part in records.tables]
        typed = pa.concat_tables(tables).select(list(_MAPPING.root))
        typed = typed.filter(typed["lat"].is_valid())
        pq.write_table(typed, table, compression="zstd")
        with lines.open("w") as file:
            for batch in typed.to_batches(1 << 16):
                file.writelines(_line(row) for row in batch.to_pylist())
        yield Forms(lines, table, typed.num_rows)


def _line(row: dict[str, object]) -> str:
    t = row["t"].timestamp()  # pyright: ignore[reportAttributeAccessIssue] - a time, as the schema has it
    said = {
        "class": "AIS",
        "device": "AIS-catcher",
        "channel": "A",
        "rxuxtime": t,
        "type": 1,
        "mmsi": row["mmsi"],
        "status": 0,
        "speed": row["sog"],
        "lon": row["lon"],
        "lat": row["lat"],
        "course": row["cog"],
        "heading": 511 if row["heading"] is None else row["heading"],
        **({} if row["name"] is None else {"shipname": row["name"]}),
    }
    return json.dumps(said) + "\n"


Way = Callable[[Path], int]
"""Takes a file to typed columns in memory; returns how many rows."""


def with_json_source(file: Path) -> int:
    """The platform's source."""
    return _typed(JsonLinesSource(str(file.parent), max_bytes=_MOST_BYTES), file)


def with_table_source(file: Path) -> int:
    """The same of tables."""
    return _typed(TableSource(str(file.parent), mapping=_MAPPING, delimiter=",", max_bytes=_MOST_BYTES), file)


def _typed(source: Source, file: Path) -> int:
    return sum(table.num_rows for table in source.read(file, date.fromisoformat(file.stem)).tables)


def with_duckdb_json(file: Path) -> int:
    """DuckDB's reader of JSON, columns named and typed."""
    return _with_duckdb(_DUCKDB_JSON.format(file=file))


def with_duckdb_parquet(file: Path) -> int:
    """DuckDB's reader of Parquet."""
    return _with_duckdb(_DUCKDB_PARQUET.format(file=file))


def _with_duckdb(query: str) -> int:
    import duckdb  # noqa: PLC0415 - a contender pays for its own libraries only

    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("set enable_progress_bar = false")
        return connection.sql(query).to_arrow_table().num_rows


def with_polars_json(file: Path) -> int:
    """Polars' reader of JSON lines, columns named and typed."""
    # Read when Polars is first imported.
    os.environ["POLARS_MAX_THREADS"] = "1"
    import polars as pl  # noqa: PLC0415 - as above

    columns = {"rxuxtime": pl.Float64, "mmsi": pl.Int64, "status": pl.Int64}
    columns |= dict.fromkeys(("lat", "lon", "speed", "course", "heading"), pl.Float64)
    return pl.read_ndjson(file, schema=columns).height


JSON_WAYS: dict[str, Way] = {
    "ais_assets": with_json_source,
    "DuckDB": with_duckdb_json,
    "Polars": with_polars_json,
}
PARQUET_WAYS: dict[str, Way] = {"ais_assets": with_table_source, "DuckDB": with_duckdb_parquet}


def _prepare(file: Path, way: Way, warmup: Path) -> None:
    """One turn over a small file: compiled kernels and libraries are loaded."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    del file
    way(warmup)


def _take(file: Path, way: Way, warmup: Path) -> float:
    del warmup
    return way(file)


def races(day: Forms, warmup: Forms, repeat: int) -> list[Race]:
    """JSON, then Parquet, one thread each."""
    packages = {"DuckDB": ("duckdb",), "Polars": ("polars",)}
    found = []
    for title, ways, file, small in (
        ("JSON lines to typed records", JSON_WAYS, day.json, warmup.json),
        ("Parquet to typed records", PARQUET_WAYS, day.parquet, warmup.parquet),
    ):
        contenders = [
            Contender(
                name, _take, (file, way, small), _prepare, baseline=name == "DuckDB", needs=packages.get(name, ())
            )
            for name, way in ways.items()
        ]
        work = {"rows": day.rows, "megabytes": round(file.stat().st_size / 1e6)}
        found.append(run_race(Race(title, "rows", work), contenders, repeat=repeat))
    return found
