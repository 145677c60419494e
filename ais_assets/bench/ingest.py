"""A day from its zip to clean, sorted, deduplicated Parquet, beside DuckDB, Polars and pyarrow.

The others get the same inflated bytes and the same fast inflate, read only the columns they need, keep the same
positions but for rebroadcasts (a test compares them), and run on one thread. They count nothing, keep no static data,
and take no position for a rebroadcast. Both of the platform's rows clean by every rule, count every row and type every
column: the first is what the assets do, which store the typed records with their static data between; the second
goes straight to the clean file, as the others do.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from ais_assets.bench import _forms
from ais_assets.bench._simulated import row_groups
from ais_assets.bench.race import Contender, Race, report, run_race
from ais_assets.io.parquet import write_parquet
from ais_assets.settings import Settings
from ais_assets.sources.dma import LAYOUTS
from ais_assets.sources.rows.archive import row_blocks
from ais_assets.sources.rows.delimited import DelimitedReader
from ais_assets.sources.simulated import SimulatedSource
from ais_assets.stream import RecordStream
from ais_assets.transforms.clean import clean_day
from ais_assets.transforms.mmsi import FIRST_SHIP, LAST_SHIP, NINE_ONES
from ais_assets.transforms.reports.row_rules import RAW_COLUMNS

_DAY = date(2024, 3, 1)
_MOST_BYTES = 1 << 36
_ROWS_A_VESSEL = 6_500
"""That the simulated fleet sends on this day, about."""

_BLOCK_BYTES = 1 << 23
"""Of text that Polars is given at a time: it was fastest with this, and a 20 M-row day is 3.5 GB."""
_TIME_FORMAT = "%d/%m/%Y %H:%M:%S"
_COLUMNS = ("# Timestamp", "Type of mobile", "MMSI", "Latitude", "Longitude", "SOG", "COG")
_SHORT = ("t", "mobile_type", "mmsi", "lat", "lon", "sog", "cog")
_FIELDS = 26
_SHIPS = ("Class A", "Class B")
_MOST_SOG = 102.2

# One row a ship and second: with SOG, with COG, class A, then the least position, SOG and COG.
_DUCKDB = """
copy (
  select mmsi, t, best.lat as lat, best.lon as lon, best.sog as sog, best.cog as cog,
    case best.class when 0 then 'Class A' else 'Class B' end as mobile_type
  from (
    select mmsi, t, min({{
        no_sog: sog is null, no_cog: cog is null, class: (mobile_type <> 'Class A')::tinyint,
        lat: lat, lon: lon, sog: sog, cog: cog
      }}) as best
    from (
      select distinct column00 as t, column01 as mobile_type, column02 as mmsi, column03 as lat, column04 as lon,
        case when column07 between 0 and {most_sog} then column07 end as sog,
        case when column08 >= 0 and column08 < 360 then column08 end as cog
      from read_csv('{text}', header = true, delim = ',', quote = '"', auto_detect = false, ignore_errors = true,
        parallel = false, timestampformat = '{time_format}', columns = {columns})
    )
    where mobile_type in {ships} and mmsi between {first} and {last} and mmsi % {ones} <> 0
      and lat between -90 and 90 and lon between -180 and 180 and not (lat = 0 and lon = 0)
    group by mmsi, t
  )
  order by mmsi, t
) to '{into}' (format parquet, compression zstd, compression_level {level})
"""


@dataclass(frozen=True)
class Day:
    """A day's archive, and how many rows it holds."""

    archive: Path
    rows: int


Way = Callable[[Path, Path], None]
"""Takes an archive and the Parquet file to write."""


def by_stages(archive: Path, into: Path) -> None:
    """What the assets do: typed records stored with all their columns, read again, cleaned by every rule."""
    settings = Settings.model_construct()
    typed = into.with_suffix(".typed.parquet")
    records = DelimitedReader(LAYOUTS, _MOST_BYTES).read(archive, _DAY)
    write_parquet(records, typed, asset="raw_records", partition=_DAY.isoformat(), level=settings.zstd_level)
    _write_clean(row_groups(typed, RAW_COLUMNS), into, settings.repeat_seconds)


def directly(archive: Path, into: Path) -> None:
    """The platform's parser and cleaning by every rule at once, without a file of typed records between."""
    records = DelimitedReader(LAYOUTS, _MOST_BYTES).read(archive, _DAY)
    _write_clean(records.tables, into, Settings.model_construct().repeat_seconds)


def keeping_rebroadcasts(archive: Path, into: Path) -> None:
    """As `directly`, without the one rule that the others lack: for comparing what is kept, no contender."""
    records = DelimitedReader(LAYOUTS, _MOST_BYTES).read(archive, _DAY)
    _write_clean(records.tables, into, repeat_seconds=0)


def _write_clean(records: Iterator[pa.Table], into: Path, repeat_seconds: int) -> None:
    settings = Settings.model_construct()
    clean = clean_day(records, _DAY, shards=settings.shards, repeat_seconds=repeat_seconds)
    write_parquet(clean, into, asset="clean_records", partition=_DAY.isoformat(), level=settings.zstd_level)


def with_duckdb(archive: Path, into: Path) -> None:
    """One query over the text, which has to lie in a file since DuckDB reads no zip."""
    import duckdb  # noqa: PLC0415 - a contender pays for its own libraries only

    text = into.with_suffix(".csv")
    with text.open("wb") as file:
        file.writelines(_inflated(archive))
    types = {0: "timestamp", 2: "int", 3: "double", 4: "double", 7: "double", 8: "double"}
    columns = {f"column{field:02}": types.get(field, "varchar") for field in range(_FIELDS)}
    query = _DUCKDB.format(
        text=text,
        level=Settings.model_construct().zstd_level,
        into=into,
        columns=columns,
        time_format=_TIME_FORMAT,
        ships=_SHIPS,
        most_sog=_MOST_SOG,
        first=FIRST_SHIP,
        last=LAST_SHIP,
        ones=NINE_ONES,
    )
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("set enable_progress_bar = false")
        connection.execute(query)


def with_polars(archive: Path, into: Path) -> None:
    """Block by block, filtered and freed of copies at once; then one sort."""
    # Read when Polars is first imported.
    os.environ["POLARS_MAX_THREADS"] = "1"
    import polars as pl  # noqa: PLC0415 - as above

    sog, cog = pl.col("sog"), pl.col("cog")
    kept = (
        pl.col("mobile_type").is_in(_SHIPS)
        & pl.col("mmsi").is_between(FIRST_SHIP, LAST_SHIP)
        & (pl.col("mmsi") % NINE_ONES != 0)
        & pl.col("lat").is_between(-90, 90)
        & pl.col("lon").is_between(-180, 180)
        & ~((pl.col("lat") == 0) & (pl.col("lon") == 0))
    )
    parts = []
    header = b""
    for block in _whole_lines(archive):
        part = pl.read_csv(
            io.BytesIO(header + block),
            columns=list(_COLUMNS),
            schema_overrides={"MMSI": pl.Int32, **dict.fromkeys(("Latitude", "Longitude", "SOG", "COG"), pl.Float64)},
            ignore_errors=True,
            truncate_ragged_lines=True,
        )
        header = header or block[: block.index(b"\n") + 1]
        parts.append(
            part.rename(dict(zip(_COLUMNS, _SHORT, strict=True)))
            .filter(kept)
            .unique(maintain_order=False)
            .with_columns(
                pl.col("t").str.to_datetime(_TIME_FORMAT),
                pl.col("mobile_type").cast(pl.Enum(_SHIPS)),
                pl.when(sog.is_between(0, _MOST_SOG)).then(sog).alias("sog"),
                pl.when((cog >= 0) & (cog < 360)).then(cog).alias("cog"),
            )
        )
    order = ("mmsi", "t", sog.is_null(), cog.is_null(), "mobile_type", "lat", "lon", "sog", "cog")
    day = pl.concat(parts).sort(*order)
    new = pl.any_horizontal(pl.col("mmsi", "t").ne_missing(pl.col("mmsi", "t").shift(1)))
    level = Settings.model_construct().zstd_level
    day.filter(new).write_parquet(into, compression="zstd", compression_level=level)


def with_pyarrow(archive: Path, into: Path) -> None:
    """Batch by batch, filtered at once; then one sort, of which the first row of each ship and second is kept."""
    from pyarrow import csv  # noqa: PLC0415 - as above

    lat, lon, mmsi = ds.field("lat"), ds.field("lon"), ds.field("mmsi")
    kept = (
        ds.field("mobile_type").isin(_SHIPS)
        & (mmsi >= FIRST_SHIP)
        & (mmsi <= LAST_SHIP)
        & ~mmsi.isin([NINE_ONES * digit for digit in range(1, 10)])
        & ((lat >= -90) & (lat <= 90) & (lon >= -180) & (lon <= 180))
        & ((lat != 0) | (lon != 0))
    )
    types = {"# Timestamp": pa.timestamp("s"), "MMSI": pa.int32(), "Type of mobile": pa.string()}
    reader = csv.open_csv(
        pa.PythonFile(_InflatedFile(archive)),
        csv.ReadOptions(use_threads=False, block_size=1 << 22),
        csv.ParseOptions(invalid_row_handler=lambda row: "skip"),
        csv.ConvertOptions(
            include_columns=list(_COLUMNS),
            column_types={**dict.fromkeys(("Latitude", "Longitude", "SOG", "COG"), pa.float64()), **types},
            timestamp_parsers=[_TIME_FORMAT],
        ),
    )
    parts = [pa.table(batch.columns, names=list(_SHORT)).filter(kept) for batch in reader]
    day = pa.concat_tables(parts).combine_chunks()
    for name, beyond in (("sog", np.nextafter(_MOST_SOG, np.inf)), ("cog", 360.0)):
        values = day[name].to_numpy()
        good = (values >= 0) & (values < beyond)
        day = day.set_column(day.schema.get_field_index(name), name, pa.array(values, mask=~good))
        day = day.append_column(f"no_{name}", pa.array(~good))
    order = ("mmsi", "t", "no_sog", "no_cog", "mobile_type", "lat", "lon", "sog", "cog")
    day = day.sort_by([(name, "ascending") for name in order])
    ships, seconds = day["mmsi"].to_numpy(), day["t"].to_numpy()
    new = np.ones(day.num_rows, bool)
    new[1:] = (ships[1:] != ships[:-1]) | (seconds[1:] != seconds[:-1])
    level = Settings.model_construct().zstd_level
    pq.write_table(day.select(_SHORT).filter(pa.array(new)), into, compression="zstd", compression_level=level)


WAYS: dict[str, Way] = {
    "ais_assets, as the assets do": by_stages,
    "ais_assets, no typed file between": directly,
    "DuckDB": with_duckdb,
    "Polars": with_polars,
    "pyarrow": with_pyarrow,
}


def prepare(day: Day, way: Way, warmup: Path) -> None:
    """One turn over a small day: compiled kernels and libraries are loaded, so that no turn pays for it."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    del day
    with TemporaryDirectory(prefix="ais-bench-") as folder:
        way(warmup, Path(folder) / "clean.parquet")


def ingest(day: Day, way: Way, warmup: Path) -> float:
    """Takes the day's archive to a temporary Parquet file; returns its rows."""
    del warmup
    with TemporaryDirectory(prefix="ais-bench-") as folder:
        way(day.archive, Path(folder) / "clean.parquet")
    return day.rows


def race(day: Day, warmup: Path, repeat: int) -> Race:
    """Every way, one thread each."""
    packages = {"DuckDB": ("duckdb",), "Polars": ("polars",)}
    contenders = [
        Contender(name, ingest, (day, way, warmup), prepare, baseline=way is with_duckdb, needs=packages.get(name, ()))
        for name, way in WAYS.items()
    ]
    work = {"rows": day.rows, "megabytes of zip": round(day.archive.stat().st_size / 1e6)}
    return run_race(Race("A day from zip to clean Parquet", "rows", work), contenders, repeat=repeat)


@contextmanager
def simulated_day(vessels: int, seed: int) -> Iterator[Day]:
    """The day of a fleet as a DMA archive in a temporary folder."""
    source = SimulatedSource(vessels, seed, _DAY, _MOST_BYTES)
    with TemporaryDirectory(prefix="ais-bench-") as folder:
        (landed,) = source.land(_DAY, Path(folder))
        stream = source.read(landed.path, _DAY)
        for _ in stream.tables:
            pass
        yield Day(landed.path, stream.ledger.rows_in)


def _inflated(archive: Path) -> Iterator[bytes]:
    return row_blocks(archive, block_bytes=1 << 20, max_bytes=_MOST_BYTES)


def _whole_lines(archive: Path) -> Iterator[bytes]:
    """The text in blocks of about _BLOCK_BYTES that end with a line."""
    parts: list[bytes] = []
    size = 0
    for block in _inflated(archive):
        parts.append(block)
        size += len(block)
        if size >= _BLOCK_BYTES:
            text = b"".join(parts)
            cut = text.rindex(b"\n") + 1
            yield text[:cut]
            parts, size = [text[cut:]], len(text) - cut
    if size:
        yield b"".join(parts)


class _InflatedFile(io.RawIOBase):
    """The text as a file to read from."""

    def __init__(self, archive: Path) -> None:
        self._blocks = _inflated(archive)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes; none at the end."""
        if not self._rest:
            self._rest = next(self._blocks, b"")
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


@click.command()
@click.option("--rows", type=click.IntRange(min=1), default=1_000_000, show_default=True, help="About so many.")
@click.option("--seed", type=click.IntRange(min=0), default=17, show_default=True, help="Of the simulation.")
@click.option("--repeat", type=click.IntRange(min=1), default=5, show_default=True, help="Turns of each.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(*, as_json: bool, repeat: int, rows: int, seed: int) -> None:
    """Rows of a day's archive a second, taken to clean records; and JSON and Parquet taken to typed ones."""
    vessels = max(1, round(rows / _ROWS_A_VESSEL))
    with (
        simulated_day(vessels, seed) as day,
        simulated_day(1, seed) as small,
        _forms.forms_of(_records(day), _DAY) as forms,
        _forms.forms_of(_records(small), _DAY) as small_forms,
    ):
        found = [race(day, small.archive, repeat), *_forms.races(forms, small_forms, repeat)]
        report(found, as_json=as_json)


def _records(day: Day) -> RecordStream:
    return DelimitedReader(LAYOUTS, _MOST_BYTES).read(day.archive, _DAY)
