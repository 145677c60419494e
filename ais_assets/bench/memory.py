"""Peak memory of every stage as days, shards and piles grow, beside the bound that each states.

Synthetic input, made as it is read: what is measured is the stage's own. Each figure is of a process of its own, less
what one has that only loaded the libraries.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import pyarrow as pa
from numba.core.event import install_recorder
from numpy.typing import NDArray
from rich.table import Table

from ais_assets import schema
from ais_assets.bench.race import in_a_process, machine, peak_bytes, preload
from ais_assets.cli.terminal import terminal
from ais_assets.io.mds import write_shards
from ais_assets.io.parquet import write_parquet
from ais_assets.sources.dma import LAYOUT
from ais_assets.sources.rows.delimited import DelimitedReader
from ais_assets.stream import arrow_array
from ais_assets.transforms.clean import clean_day
from ais_assets.transforms.shuffle import TABLE_WINDOWS, pile_windows, sweep_piles, throw_windows
from ais_assets.transforms.split import shard_of
from ais_assets.transforms.track_table import track_table
from ais_assets.transforms.tracks import TABLE_POSITIONS, build_tracks
from ais_assets.transforms.windows import PACKED_WORDS, pack_tables

GROWTH = (1, 2, 4)
"""Times as many days, shards and piles."""
FIRST_VESSEL = 219_000_000
FIRST_SECOND = 1_709_251_200
VESSELS = 20
DAY_POSITIONS = 1_000
"""Positions of a vessel on a day of `track_shards`."""
SHARD_DAYS = 160
"""Of a shard: 3.2 M positions, which are more than three tables."""
TRACK_POSITIONS = 10_000
"""Positions of a vessel in a shard of `materialized_windows`."""
WHOLE_DAY = 8_640
DAY_VESSELS = 120
"""A day of `clean_records`: everyone every ten seconds."""
WINDOW_LEN = 64
STRIDE = 8


def motion(count: int) -> dict[str, pa.Array]:
    """Slowly northwards, everyone."""
    return {
        "lat_microdegrees": arrow_array(pa.int32(), np.arange(count, dtype=np.int32) % DAY_POSITIONS),
        "lon_microdegrees": arrow_array(pa.int32(), np.zeros(count, np.int32)),
        "sog_tenths": arrow_array(pa.int32(), np.full(count, 50, np.int32)),
        "cog_tenths": arrow_array(pa.int32(), np.zeros(count, np.int32)),
    }


def unremarkable(count: int) -> dict[str, pa.Array]:
    """Ahead, under way, everything received."""
    status = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int8)), pa.array(schema.NAV_STATUSES))
    no = pa.array(np.zeros(count, np.bool_))
    return {
        "heading": pa.array(np.zeros(count, np.int16)),
        "nav_status": status,
        "coarse": no,
        "sog_held": no,
        "cog_held": no,
    }


def clean_days(days: int, positions: int, vessels: int = VESSELS) -> Iterator[pa.Table]:
    """CLEAN_RECORDS of every vessel, `positions` a day, ten seconds apart over all days."""
    mmsi = np.repeat(np.arange(vessels, dtype=np.int32) + FIRST_VESSEL, positions)
    mobile_type = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(mmsi), np.int8)), pa.array(["class A"]))
    for day in range(days):
        second = FIRST_SECOND + 10 * (day * positions + np.arange(positions, dtype=np.int64))
        columns = motion(len(mmsi)) | {
            "mmsi": pa.array(mmsi),
            "t": arrow_array(schema.UTC, np.tile(1_000 * second, vessels)),
            "mobile_type": mobile_type,
            **unremarkable(len(mmsi)),
        }
        yield pa.Table.from_arrays([columns[name] for name in schema.CLEAN_RECORDS.names], schema=schema.CLEAN_RECORDS)


def shard_tracks(shard: int) -> pa.Table:
    """TRACK_POSITIONS of one shard: a track a vessel."""
    mmsi = np.repeat(np.arange(VESSELS, dtype=np.int32) + FIRST_VESSEL + VESSELS * shard, TRACK_POSITIONS)
    second = np.tile(FIRST_SECOND + 10 * np.arange(TRACK_POSITIONS, dtype=np.int64), VESSELS)
    columns = motion(len(mmsi)) | {
        "mmsi": pa.array(mmsi),
        "track": pa.array((mmsi.astype(np.int64) << 32) + FIRST_SECOND),
        "t": arrow_array(schema.UTC, 1_000 * second),
        "split": pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(mmsi), np.int8)), pa.array(schema.SPLITS)),
        **unremarkable(len(mmsi)),
    }
    return pa.Table.from_arrays([columns[name] for name in schema.TRACK_POSITIONS.names], schema=schema.TRACK_POSITIONS)


WINDOW_BYTES = 4 * WINDOW_LEN * schema.FEATURE_COUNT
TABLE_BYTES = TABLE_WINDOWS * WINDOW_BYTES
MOST_WINDOWS = 60_000
"""That a sweep holds: two piles, and so more than 32 MiB at a time, as in real use. What is less, glibc may keep for
what comes next when it has been freed."""
KEPT_BYTES = 64_000_000
"""Of every stage: its compiled kernels, and what the allocators keep."""
MDS_THREADS, MDS_LIMIT = 2, 1 << 22
ARCHIVE_HEADER = (
    b"# Timestamp,Type of mobile,MMSI,Latitude,Longitude,Navigational status,ROT,SOG,COG,Heading,IMO,Callsign,Name,"
    b"Ship type,Cargo type,Width,Length,Type of position fixing device,Draught,Destination,ETA,Data source type,"
    b"A,B,C,D\n"
)
ARCHIVE_ROWS = 40_000
ARCHIVE_DAY = date(2024, 3, 1)


@dataclass(frozen=True)
class Work:
    """What a stage did, and what it says that takes.

    Attributes:
        rows: that came out.
        bound_bytes: the most that it may hold, beside what every process has and KEPT_BYTES.
    """

    rows: int
    bound_bytes: int


def raw_records(times: int) -> Work:
    """An archive of `times` as many rows; read block by block."""
    with TemporaryDirectory(prefix="ais-bench-") as folder:
        archive = Path(folder) / f"aisdk-{ARCHIVE_DAY}.zip"
        _write_archive(archive, 10 * times)
        reader = DelimitedReader((LAYOUT,), 1 << 40)
        stream = reader.read(archive, ARCHIVE_DAY)
        write_parquet(stream, Path(folder) / "records.parquet", asset="raw_records", partition="0", level=1)
    # Blocks of text, and the records of a table in columns and on the way to the file.
    return Work(stream.ledger.rows_out, 4 * reader.block_bytes + 4 * 110 * reader.table_rows)


def _write_archive(archive: Path, times: int) -> None:
    """The same ARCHIVE_ROWS rows so many times."""
    lines = b"".join(map(_line, range(ARCHIVE_ROWS)))
    with (
        zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as zipped,
        zipped.open(f"aisdk-{ARCHIVE_DAY}.csv", "w") as file,
    ):
        file.write(ARCHIVE_HEADER)
        for _ in range(times):
            file.write(lines)


def _line(number: int) -> bytes:
    second, mmsi, lat = number % 60, FIRST_VESSEL + number % 997, 55 + number / 1e6
    return f"01/03/2024 00:00:{second:02},Class A,{mmsi},{lat:.6f},10.1,Moored,0.0,10.1,44.0,45{16 * ','}\n".encode()


def clean_records(times: int) -> Work:
    """`times` as many days, one after the other; a day is held once."""
    rows = most = 0
    for number, day in enumerate(clean_days(times, WHOLE_DAY, DAY_VESSELS)):
        moment = datetime.fromtimestamp(FIRST_SECOND + 86_400 * number, UTC).date()
        stream = clean_day(iter([day]), moment, shards=4, repeat_seconds=120)
        rows += sum(table.num_rows for table in stream.tables)
        most = max(most, day.num_rows)
    # Two days' input, as one is made while the other is read; the day at 20 bytes a report; a shard, sorted, as tables.
    return Work(rows, 2 * 29 * most + 20 * most + 100 * most // 4)


def track_shards(times: int) -> Work:
    """A shard of `times` as many days, and so of as many more positions, in several tables."""
    stream = build_tracks(
        clean_days(SHARD_DAYS * times, DAY_POSITIONS),
        max_gap_seconds=schema.MAX_GAP_SECONDS,
        max_speed_knots=50.0,
        min_track_positions=2,
        validation_fraction=0.0,
        seed=17,
    )
    rows = sum(table.num_rows for table in stream.tables)
    return Work(rows, 20 * rows + 170 * TABLE_POSITIONS)


def tracks(times: int) -> Work:
    """The track table of `times` as many positions."""
    vessels = pa.table({"mmsi": pa.array([], pa.int32()), "mobile_type": pa.array([], pa.string())})
    vessels = vessels.append_column("ship_type", pa.array([], pa.string()))
    stream = track_table(
        (shard_tracks(shard) for shard in range(8 * times)), vessels, window_len=WINDOW_LEN, stride=STRIDE
    )
    rows = sum(table.num_rows for table in stream.tables)
    # Two tables of positions, as one is made while the other is read.
    return Work(rows, 2 * 40 * VESSELS * TRACK_POSITIONS + 200 * rows)


def window_piles(times: int) -> Work:
    """Pass 1 of `times` as many shards into as many more piles, one shard after the other."""
    rows = 0
    for shard in range(4 * times):
        rows += sum(table.num_rows for table in _thrown(shard, 4 * times))
    # The windows of one shard: what is known of each, and its reference.
    return Work(rows, 2 * 40 * VESSELS * TRACK_POSITIONS + 130 * rows // (4 * times))


def materialized_windows(times: int) -> Work:
    """Pass 2 from positions in a memory map, over `times` as many shards and piles."""
    shards = piles = 4 * times
    by_shard = [_thrown(shard, piles) for shard in range(shards)]
    rows = most = 0
    with TemporaryDirectory(prefix="ais-bench-") as folder:
        packed = [_mapped(shard, Path(folder)) for shard in range(shards)]
        for pile in range(piles):
            references = [tables[pile - schema.VALIDATION_PILE] for tables in by_shard]
            stream = pile_windows(references, packed, window_len=WINDOW_LEN, seed=17, pile=pile)
            here = sum(table.num_rows for table in stream.tables)
            rows, most = rows + here, max(most, here)
    # All piles' references are held here, where the asset reads a pile's; the map's pages are the kernel's to drop.
    return Work(rows, 2 * 28 * most + 2 * TABLE_BYTES + 28 * rows + PACKED_BYTES * shards)


def materialized_windows_swept(times: int) -> Work:
    """Pass 2 in bounded memory, over `times` as many shards and piles."""
    shards = piles = 4 * times
    by_shard = [_thrown(shard, piles) for shard in range(shards)]
    swept = sweep_piles(
        range(piles),
        lambda pile: [tables[pile - schema.VALIDATION_PILE] for tables in by_shard],
        lambda shard: np.concatenate(list(pack_tables([shard_tracks(shard)]))),
        window_len=WINDOW_LEN,
        seed=17,
        most_windows=MOST_WINDOWS,
    )
    rows = sum(table.num_rows for pile in swept for table in pile.stream.tables)
    held = MOST_WINDOWS * WINDOW_BYTES + 3 * TABLE_BYTES + 4 * 28 * MOST_WINDOWS
    return Work(rows, held + 28 * rows + 60 * VESSELS * TRACK_POSITIONS)


def mds_shards(times: int) -> Work:
    """A pile of `times` as many windows."""
    windows = schema.windows_schema(WINDOW_LEN)
    with TemporaryDirectory(prefix="ais-bench-") as folder:
        written = write_shards(
            (_random_windows(number, windows) for number in range(20 * times)),
            Path(folder) / "mds",
            window_len=WINDOW_LEN,
            size_limit=MDS_LIMIT,
            level=1,
            threads=MDS_THREADS,
        )
    return Work(written.samples, 2 * (MDS_THREADS + 2) * MDS_LIMIT + 3 * TABLE_BYTES)


PACKED_BYTES = 4 * PACKED_WORDS * VESSELS * TRACK_POSITIONS
"""A shard, packed."""


def _thrown(shard: int, piles: int) -> list[pa.Table]:
    tables = iter([shard_tracks(shard)])
    return list(throw_windows(tables, shard=shard, piles=piles, window_len=WINDOW_LEN, stride=STRIDE, seed=17).tables)


def _mapped(shard: int, folder: Path) -> NDArray[np.uint32]:
    path = folder / f"{shard}.packed"
    with path.open("wb") as file:
        for packed in pack_tables([shard_tracks(shard)]):
            file.write(packed.data)
    return np.memmap(path, np.uint32, mode="r").reshape(-1, PACKED_WORDS)


def _random_windows(number: int, layout: pa.Schema) -> pa.Table:
    values = np.random.default_rng(number).random(TABLE_WINDOWS * WINDOW_LEN * schema.FEATURE_COUNT, np.float32)
    ones = np.ones(TABLE_WINDOWS, np.int64)
    features = pa.FixedSizeListArray.from_arrays(pa.array(values), type=layout.field("features").type)
    return pa.Table.from_arrays(
        [features, pa.array(ones.astype(np.int32)), pa.array(ones), arrow_array(schema.UTC, 1_000 * ones)],
        schema=layout,
    )


def nothing(times: int) -> Work:
    """What every process has: the libraries, and the compiler once any kernel has been loaded."""
    shard_of(np.full(times, FIRST_VESSEL, np.int32), 1)
    return Work(0, 0)


STAGES: dict[str, Callable[[int], Work]] = {
    stage.__name__: stage
    for stage in (
        raw_records,
        clean_records,
        track_shards,
        tracks,
        window_piles,
        materialized_windows,
        materialized_windows_swept,
        mds_shards,
    )
}


@dataclass(frozen=True)
class Peak:
    """What a stage took at one size: rows that came out, its peak and its bound, both above the libraries'."""

    stage: str
    times: int
    rows: int
    peak_bytes: int
    bound_bytes: int


def measured(stage: str, times: int) -> Peak:
    """A stage at `times` the size, in a process of its own."""
    work, peak = _done(STAGES[stage], times)
    return Peak(stage, times, work.rows, max(0, peak - _base_bytes()), work.bound_bytes + KEPT_BYTES)


@cache
def _base_bytes() -> int:
    """What every process has."""
    return _done(nothing, 1)[1]


def _done(work: Callable[[int], Work], times: int) -> tuple[Work, int]:
    """In a process of its own, with its peak; in another where the first had to compile, which is no stage's work."""
    done, peak, compiled = _taken(work, times)
    if compiled:
        done, peak, _ = _taken(work, times)
    return done, peak


def _taken(work: Callable[[int], Work], times: int) -> tuple[Work, int, bool]:
    """What a new process did, its peak, and whether it compiled kernels, which are kept from then on."""
    preload(__name__)
    return in_a_process(_take, work, times)


def _take(work: Callable[[int], Work], times: int) -> tuple[Work, int, bool]:
    with install_recorder("numba:compile") as compiled:
        return work(times), peak_bytes(), bool(compiled.buffer)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option("--stage", "stages", type=click.Choice(list(STAGES)), multiple=True, help="Default: all.")
def command(*, as_json: bool, stages: tuple[str, ...]) -> None:
    """Peak memory of every stage as days, shards and piles grow fourfold, beside its bound."""
    peaks = {stage: [measured(stage, times) for times in GROWTH] for stage in stages or STAGES}
    if as_json:
        found = {stage: [asdict(peak) for peak in grown] for stage, grown in peaks.items()}
        click.echo(json.dumps({"machine": machine(), "peaks": found}, indent=1))
        return
    table = Table(title="Peak memory in MB, above what the libraries take", title_justify="left")
    table.add_column("stage", no_wrap=True)
    for times in GROWTH:
        table.add_column(f"{times}×", justify="right")
        table.add_column("bound", justify="right")
    for stage, grown in peaks.items():
        cells = [f"{size / 1e6:,.0f}" for peak in grown for size in (peak.peak_bytes, peak.bound_bytes)]
        table.add_row(stage, *cells)
    console = terminal()
    console.print(table)
