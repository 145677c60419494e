"""What every stage does a second on one core of this machine, all cores at work, and what its output weighs: what
`ais plan` rests on."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ais_assets.assets.checks import hulls_in_two_splits
from ais_assets.assets.training import HORIZONS_MINUTES
from ais_assets.bench.race import TURN_SECONDS, machine
from ais_assets.io.lake import Lake
from ais_assets.io.mds import write_shards
from ais_assets.io.packed import read_packed
from ais_assets.io.parquet import PartitionFile, write_parquet
from ais_assets.ledger import Ledger
from ais_assets.loader.tracks.dataset import TrackWindowDataset
from ais_assets.machine import usable_cores
from ais_assets.operating.planning.gathering import WINDOW_PAGES
from ais_assets.operating.planning.rates import Rates, rates_file
from ais_assets.publishing.accounts import counted_in_tracks
from ais_assets.publishing.publication import Publication
from ais_assets.publishing.track_index import publish_track_index
from ais_assets.settings import Settings
from ais_assets.sources.simulated import SimulatedSource
from ais_assets.stream import RecordStream
from ais_assets.transforms import quality
from ais_assets.transforms.clean import clean_day
from ais_assets.transforms.durations import WindowDurations
from ais_assets.transforms.forecast_report import ForecastErrors
from ais_assets.transforms.reports.row_rules import RAW_COLUMNS
from ais_assets.transforms.shuffle import pile_windows, throw_windows
from ais_assets.transforms.track_table import track_table
from ais_assets.transforms.tracks import CLEAN_COLUMNS, build_tracks
from ais_assets.transforms.vessels import RAW_COLUMNS as TOLD_COLUMNS
from ais_assets.transforms.vessels import vessel_table
from ais_assets.transforms.windows import PACKED_WORDS, gather

_DAY = date(2024, 3, 1)
_MOST_BYTES = 1 << 36
_SEED = 17
_SHARD, _PILE = "0000", "00000"
_COPIES = 8
"""Of the day, for what DuckDB does: it takes a while to begin."""
_COLD_BYTES = 1 << 29
_COLD_WINDOWS = 1000
"""That are read from a file of _COLD_BYTES: few enough for most pages not to have been read before."""


class _Stages:
    """Takes a simulated day through the stages, each from file to file, and keeps what each does a second."""

    def __init__(self, folder: Path) -> None:
        self.lake = Lake(folder / "lake")
        self.settings = Settings.model_construct(
            lake=str(folder / "lake"), first_day=_DAY, last_day=_DAY, shards=1, piles=1, validation_fraction=0.0
        )
        self.rates: dict[str, float] = {}

    def timed(self, rate: str, work: Callable[[], float]) -> None:
        """Does something once; `work` returns how many units."""
        started = time.perf_counter()
        units = work()
        self.rates[rate] = units / (time.perf_counter() - started)

    def stored(
        self,
        asset: str,
        partition: str | None,
        rate: str,
        make: Callable[[], RecordStream],
        units: Callable[[Ledger], int] = lambda ledger: ledger.rows_in,
    ) -> PartitionFile:
        """Makes a partition and writes it to where the lake has it."""
        path = Path(self.lake.uri_of(asset, partition))
        path.parent.mkdir(parents=True, exist_ok=True)

        # Not `Lake.write`: what it takes to publish a partition is a run's, and much beside so small a day.
        def work() -> float:
            level = self.settings.zstd_level
            return units(write_parquet(make(), path, asset=asset, partition=partition, level=level).ledger)

        self.timed(rate, work)
        return self.lake.describe(asset, partition)

    def bytes_a_row(self, asset: str, partition: str | None) -> float:
        """Of a partition's file."""
        return Path(self.lake.uri_of(asset, partition)).stat().st_size / max(
            1, self.lake.describe(asset, partition).rows
        )

    def bytes_read(self, asset: str, partition: str, columns: Sequence[str]) -> int:
        """That these columns of a partition take in its file."""
        metadata = pq.read_metadata(self.lake.uri_of(asset, partition))
        chunks = (
            metadata.row_group(group).column(number)
            for group in range(metadata.num_row_groups)
            for number in range(metadata.num_columns)
        )
        return sum(chunk.total_compressed_size for chunk in chunks if chunk.path_in_schema in columns)

    def rows(self, asset: str, partition: str | None, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """A partition's row groups."""
        return self.lake.row_groups(asset, partition, columns)


def measure(vessels: int, folder: Path) -> dict[str, float]:
    """Takes a simulated day through every stage once, each from file to file; returns what `Rates` holds."""
    pa.set_cpu_count(1)
    stages = _Stages(folder)
    rates, settings = stages.rates, stages.settings
    source = SimulatedSource(vessels, _SEED, _DAY, _MOST_BYTES)
    (landed,) = source.land(_DAY, folder)
    _measure_days(stages, source, landed.path)
    rates["archive_bytes"] = landed.path.stat().st_size / stages.lake.ledger("raw_records", _DAY.isoformat()).rows_in
    tracks = stages.stored(
        "track_shards",
        _SHARD,
        "positions_tracked",
        lambda: build_tracks(
            stages.rows("clean_records", _DAY.isoformat(), CLEAN_COLUMNS),
            max_gap_seconds=settings.max_gap_seconds,
            max_speed_knots=settings.max_speed_knots,
            min_track_positions=settings.min_track_positions,
            validation_fraction=settings.validation_fraction,
            seed=_SEED,
        ),
    )
    rates["position_bytes"] = stages.bytes_a_row("track_shards", _SHARD)
    _measure_windows(stages, folder, tracks.rows)
    return rates


def _measure_days(stages: _Stages, source: SimulatedSource, archive: Path) -> None:
    rates, settings, day = stages.rates, stages.settings, _DAY.isoformat()
    typed = stages.stored("raw_records", day, "rows_typed", lambda: source.read(archive, _DAY))
    clean = stages.stored(
        "clean_records",
        day,
        "records_cleaned",
        lambda: clean_day(
            stages.rows("raw_records", day, RAW_COLUMNS), _DAY, shards=1, repeat_seconds=settings.repeat_seconds
        ),
    )
    rates["record_bytes"] = stages.bytes_a_row("raw_records", day)
    rates["told_bytes"] = stages.bytes_read("raw_records", day, TOLD_COLUMNS) / typed.rows
    judged = stages.bytes_read("raw_records", day, quality.RAW_COLUMNS)
    judged += stages.bytes_read("clean_records", day, quality.CLEAN_COLUMNS)
    rates["judged_bytes"] = judged / typed.rows
    rates["clean_bytes"] = stages.bytes_a_row("clean_records", day)
    rates["clean_share"] = clean.ledger.rows_out / clean.ledger.rows_in
    stages.stored(
        "daily_quality",
        day,
        "records_judged",
        lambda: quality.day_quality(
            _DAY,
            stages.rows("raw_records", day, quality.RAW_COLUMNS),
            stages.rows("clean_records", day, quality.CLEAN_COLUMNS),
            typed.ledger,
            clean.ledger,
        ),
        units=lambda _: typed.rows,
    )
    records = ds.dataset([stages.lake.uri_of("raw_records", day)] * _COPIES, format="parquet")
    stages.stored(
        "vessels",
        None,
        "records_merged",
        lambda: vessel_table(records, validation_fraction=0.0, seed=_SEED),
        units=lambda _: _COPIES * typed.rows,
    )


def _measure_windows(stages: _Stages, folder: Path, positions: int) -> None:
    rates, settings, lake = stages.rates, stages.settings, stages.lake
    stages.stored(
        "tracks",
        _SHARD,
        "positions_listed",
        lambda: track_table(
            stages.rows("track_shards", _SHARD),
            lake.dataset("vessels").to_table(columns=["mmsi", "mobile_type", "ship_type"]),
            window_len=settings.window_len,
            stride=settings.stride,
        ),
        units=lambda _: positions,
    )
    stages.stored(
        "window_piles",
        _SHARD,
        "positions_thrown",
        lambda: throw_windows(
            stages.rows("track_shards", _SHARD),
            shard=0,
            piles=1,
            window_len=settings.window_len,
            stride=settings.stride,
            seed=_SEED,
        ),
        units=lambda ledger: ledger.notes["positions"],
    )
    rates["reference_bytes"] = stages.bytes_a_row("window_piles", _SHARD)
    stages.timed("positions_packed", lambda: len(read_packed(lake, _SHARD)))
    packed = read_packed(lake, _SHARD)
    references = list(stages.rows("window_piles", _SHARD))[-1]

    def pile() -> RecordStream:
        return pile_windows([references], [packed], window_len=settings.window_len, seed=_SEED, pile=0)

    stages.stored("materialized_windows", _PILE, "windows_gathered", pile)
    rates["window_bytes"] = stages.bytes_a_row("materialized_windows", _PILE)
    lake.write("validation", None, pile())
    _measure_sharding(stages, folder, pile)
    _measure_reading(stages, folder, packed, references["row"].to_numpy())


def _measure_sharding(stages: _Stages, folder: Path, pile: Callable[[], RecordStream]) -> None:
    settings, mds = stages.settings, folder / "mds"

    def shard() -> float:
        return write_shards(
            WindowDurations(settings.seq_len, settings.window_len).watch(pile().tables),
            mds,
            window_len=settings.window_len,
            size_limit=settings.mds_size_limit,
            level=settings.zstd_level,
            threads=1,
        ).samples

    stages.timed("windows_sharded", shard)
    windows = stages.lake.describe("materialized_windows", _PILE).rows
    stages.rates["mds_bytes"] = sum(file.stat().st_size for file in mds.iterdir()) / max(1, windows)


def _measure_reading(stages: _Stages, folder: Path, packed: NDArray[np.uint32], rows: NDArray[np.int64]) -> None:
    settings, lake = stages.settings, stages.lake
    many = settings.model_copy(update={"shards": _COPIES})
    for asset, key in product(("track_shards", "window_piles"), many.shard_keys[1:]):
        os.link(lake.uri_of(asset, _SHARD), lake.uri_of(asset, key))

    def check() -> float:
        publish_track_index(Publication.begin(lake), many, release="rates")
        hulls_in_two_splits(lake, many)
        counted_in_tracks(lake, many)
        return _COPIES * len(packed)

    stages.timed("positions_checked", check)

    def cache() -> float:
        with TrackWindowDataset(str(lake.uri), folder / "tracks", threads=1) as dataset:
            next(iter(dataset))
        return _COPIES * len(packed)

    stages.timed("positions_cached", cache)

    def reckon() -> float:
        errors = ForecastErrors(settings.seq_len, HORIZONS_MINUTES)
        for batch, whose in lake.validation_loader(provenance=True):
            errors.add(batch.numpy(), whose["mmsi"].numpy())
        return errors.summary()["windows"]

    stages.timed("windows_reckoned", reckon)
    cold = _cold(packed, folder / "cold.packed")
    chosen = np.random.default_rng(_SEED).integers(0, len(cold) // len(packed), _COLD_WINDOWS) * len(packed)
    chosen += np.resize(rows, _COLD_WINDOWS)
    gather([packed], np.zeros(1, np.int64), rows[:1], settings.window_len)

    def fault() -> float:
        return WINDOW_PAGES * len(gather([cold], np.zeros(_COLD_WINDOWS, np.int64), chosen, settings.window_len))

    stages.timed("pages_faulted", fault)


def _cold(packed: NDArray[np.uint32], path: Path) -> NDArray[np.uint32]:
    """A memory map of many copies of the positions, none of it in memory."""
    with path.open("wb") as file:
        for _ in range(-(-_COLD_BYTES // packed.nbytes)):
            file.write(packed.data)
        file.flush()
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return np.memmap(path, np.uint32, mode="r").reshape(-1, PACKED_WORDS)


def _turns(vessels: int, repeat: int, core: int) -> list[dict[str, float]]:
    # On one core, also what takes all that it sees.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    turns = []
    # The first turn compiles and loads, and is not counted.
    for _ in range(repeat + 1):
        with TemporaryDirectory(prefix="ais-bench-") as folder:
            turns.append(measure(vessels, Path(folder)))
    return turns[1:]


def median_rates(vessels: int, repeat: int) -> Rates:
    """Medians over turns and cores, a process on each: beside busy ones a core does less than alone."""
    # A control group may allow fewer at a time than its processes may run on.
    cores = sorted(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(usable_cores()))
    cores = cores[: usable_cores()]
    with ProcessPoolExecutor(len(cores), mp_context=get_context("spawn")) as pool:
        measuring = [pool.submit(_turns, vessels, repeat, core) for core in cores]
        turns = [turn for of_core in measuring for turn in of_core.result(timeout=TURN_SECONDS)]
    medians: dict[str, Any] = {
        name: float(f"{statistics.median(turn[name] for turn in turns):.4g}") for name in turns[0]
    }
    on = machine()
    return Rates(machine=f"{on['cpu']}, {on['cores']} cores", **medians)


@click.command()
@click.option("--vessels", type=click.IntRange(min=10), default=120, show_default=True, help="Simulated fleet.")
@click.option("--repeat", type=click.IntRange(min=1), default=3, show_default=True, help="Turns.")
@click.option("--json", "as_json", is_flag=True, help="Print the rates as JSON.")
@click.option("--keep/--no-keep", default=True, show_default=True, help="Keep them for `ais plan`.")
def command(*, vessels: int, repeat: int, as_json: bool, keep: bool) -> None:
    """What every stage does a second on one core, all at work, for `ais plan`."""
    rates = median_rates(vessels, repeat)
    if keep:
        rates_file().parent.mkdir(parents=True, exist_ok=True)
        rates_file().write_text(rates.to_json())
    if as_json:
        click.echo(rates.to_json())
        return
    for name, value in json.loads(rates.to_json()).items():
        click.echo(f"{name:<20} {value if isinstance(value, str) else format(value, ',.2f')}")
    if keep:
        click.echo(f"kept in {rates_file()}")
