"""The plan against a run: real assets over as many positions as asked for, predicted and measured side by side.

Simulated vessels are copied under other MMSIs until there are enough typed records; from there on every stage is run as
the platform runs it, Dagster included, and at last a batch is cut from the published tracks. Training windows are built
some piles at a time and removed once they are counted, so that the disk need not hold them all: but for the first pile,
indices, and columns beside the features, which the checks of what is published read.
"""

from __future__ import annotations

import ctypes
import json
import os
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from dagster import DagsterInstance
from rich.table import Table

from ais_assets import schema
from ais_assets.bench._runs import Runs, peaks_of
from ais_assets.bench._simulated import FIRST_DAY
from ais_assets.bench.race import machine
from ais_assets.bench.rates import median_rates
from ais_assets.cli.plan import window_formats as window_formats_option
from ais_assets.cli.terminal import terminal
from ais_assets.io.lake import Lake
from ais_assets.io.layout import Kind, place_of
from ais_assets.io.stages import in_order
from ais_assets.ledger import Ledger
from ais_assets.machine import usable_cores
from ais_assets.operating.planning.plan import FIRST_BATCH, Plan, plan
from ais_assets.operating.planning.schedule import Stage
from ais_assets.operating.planning.workload import Load
from ais_assets.operating.tasks import Task
from ais_assets.publishing.index import INDEX_FILE
from ais_assets.settings import Settings, load_settings
from ais_assets.sources.simulated import SimulatedSource
from ais_assets.stream import RecordStream
from ais_assets.transforms.mmsi import FIRST_SHIP, LAST_SHIP

_MOST_BYTES = 1 << 36
_MOST_COPIES = 1000
_NUMBERS = 500_000
_PACE_BLOCK = 1 << 26
_PACE_BLOCKS = 48
"""3 GB together: more than a disk takes at once and writes later."""


@dataclass(frozen=True)
class Measured:
    """What a stage took.

    Attributes:
        seconds: wall time.
        bytes_written: to the lake.
        peak_bytes: of one process's own memory, maps of files not counted.
        rows: that came out; 0 of an asset that is one JSON value.
    """

    seconds: float
    bytes_written: int
    peak_bytes: int
    rows: int


def write_raw_records(
    lake: Lake, settings: Settings, *, vessels: int, positions: int, clean_share: float, folder: Path
) -> int:
    """Days of typed records of copied vessels, of which about so many will be clean; returns how many there are."""
    source = SimulatedSource(vessels, settings.seed, FIRST_DAY, _MOST_BYTES)
    copies = rows = 0
    for day in settings.days:
        (landed,) = source.land(day, folder)
        tables = list(source.read(landed.path, day).tables)
        of_day = sum(table.num_rows for table in tables)
        copies = copies or max(1, round(positions / (clean_share * of_day * len(settings.days))))
        if copies > _MOST_COPIES:
            raise ValueError(f"{positions:,} positions are {copies} copies of {vessels} vessels: simulate more of them")
        copied = (renumbered(table, copy) for copy in range(copies) for table in tables)
        ledger = Ledger(copies * of_day, copies * of_day)
        # Made of nothing that the lake has.
        facts = {"made_from": {}, "made_with": {}}
        rows += lake.write("raw_records", day.isoformat(), RecordStream(schema.RAW_RECORDS, copied, ledger, facts)).rows
    return rows


def renumbered(table: pa.Table, copy: int) -> pa.Table:
    """Typed records with ships under MMSIs that only this copy of them has; a ship keeps its own from day to day."""
    mmsi = table["mmsi"].to_numpy()
    ship = (mmsi >= FIRST_SHIP) & (mmsi <= LAST_SHIP)
    numbers = FIRST_SHIP + mmsi.astype(np.int64) * 2_654_435_761 % _NUMBERS * _MOST_COPIES + copy
    return table.set_column(
        table.schema.get_field_index("mmsi"),
        table.schema.field("mmsi"),
        pa.array(np.where(ship, numbers, mmsi).astype(np.int32)),
    )


def disk_pace(folder: Path) -> float:
    """Bytes a second that the disk takes, until they are safe."""
    block = np.random.default_rng(1).bytes(_PACE_BLOCK)
    path = folder / "pace"
    started = time.perf_counter()
    with path.open("wb") as file:
        for _ in range(_PACE_BLOCKS):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - started
    path.unlink()
    return _PACE_BLOCK * _PACE_BLOCKS / seconds


BEFORE = (
    "clean_records",
    "vessels",
    "daily_quality",
    "track_shards",
    "tracks",
    "window_piles",
)
_PUNCH_HOLE = 0x01 | 0x02
"""FALLOC_FL_KEEP_SIZE and FALLOC_FL_PUNCH_HOLE, of Linux."""
OF_PILES = ("materialized_windows", "mds_shards")
AFTER = ("validation", "holdout", "test", "training_dataset", "dead_reckoning")
"""The first windows to be gathered are a pile's, so that what it takes to pack the positions is with them, as in the
plan."""


def run_stages(settings: Settings, runs: Runs, lake: Lake, workers: int) -> dict[str, Measured]:
    """Builds everything from the typed records on; of the training windows the lake keeps no features."""
    stages = {stage.asset: stage for stage in in_order(settings)}
    measured = {asset: _run(runs, lake, asset, stages[asset].partitions) for asset in BEFORE if asset in stages}
    parts: dict[str, list[Measured]] = {asset: [] for asset in OF_PILES if asset in stages}
    piles = settings.pile_keys if parts else []
    compared = None
    for first in range(0, len(piles), 2 * workers):
        group = piles[first : first + 2 * workers]
        for asset, done in parts.items():
            done.append(_run(runs, lake, asset, group))
        for pile in group:
            if compared is None and any(lake.ledger(asset, pile).rows_out for asset in parts):
                # `same_windows_in_both_formats` reads samples of the first pile that has any.
                compared = pile
            else:
                _empty(lake, pile, parts)
    measured |= {asset: _together(done) for asset, done in parts.items()}
    measured |= {asset: _run(runs, lake, asset, []) for asset in AFTER if asset in stages}
    return {asset: measured[asset] for asset in stages if asset in measured}


def _empty(lake: Lake, pile: str, assets: Collection[str]) -> None:
    """Gives the disk back what a pile's features take."""
    if "materialized_windows" in assets:
        _empty_parquet(Path(lake.uri_of("materialized_windows", pile)))
    if "mds_shards" in assets:
        for file in _place(lake, "mds_shards", pile).iterdir():
            if file.name != INDEX_FILE:
                file.unlink()


def _empty_parquet(windows: Path) -> None:
    """Gives the disk back what a file's features take; its footer and its other columns, which checks read, stay."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    metadata = pq.read_metadata(windows)
    with windows.open("r+b") as file:
        for group in range(metadata.num_row_groups):
            features = metadata.row_group(group).column(0)
            where = features.data_page_offset, features.total_compressed_size
            if where[1] and libc.fallocate(file.fileno(), _PUNCH_HOLE, *where):
                raise OSError(ctypes.get_errno(), f"{windows}: {os.strerror(ctypes.get_errno())}")


def _run(runs: Runs, lake: Lake, asset: str, keys: Sequence[str]) -> Measured:
    """These partitions of an asset, or all of it."""
    seconds, peak = runs.take([Task(asset, (key,)) for key in keys] or [Task(asset)])
    written = sum(_size(_place(lake, asset, key)) for key in keys or [None])
    rows = 0 if place_of(asset).kind is Kind.JSON else sum(lake.ledger(asset, key).rows_out for key in keys or [None])
    return Measured(seconds, written, peak, rows)


def _place(lake: Lake, asset: str, key: str | None) -> Path:
    return Path(lake.folder_uri(asset, key) if asset == "mds_shards" and key else lake.uri_of(asset, key))


def _size(place: Path) -> int:
    if place.is_file():
        return place.stat().st_size
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file())


def _together(parts: Sequence[Measured]) -> Measured:
    return Measured(
        sum(part.seconds for part in parts),
        sum(part.bytes_written for part in parts),
        max(part.peak_bytes for part in parts),
        sum(part.rows for part in parts),
    )


def first_batch(lake: Lake, folder: Path) -> Measured:
    """A process of its own that cuts a batch from the published tracks, its cache in the folder."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        process = pool.submit(os.getpid).result(timeout=600)
        with peaks_of([process]) as peaks:
            started = time.perf_counter()
            windows = pool.submit(_cut_first_batch, lake.uri, folder).result(timeout=7200)
            seconds = time.perf_counter() - started
    return Measured(seconds, 0, max(peaks.values(), default=0), windows)


def _cut_first_batch(lake: str, folder: Path) -> int:
    """Returns how many windows are in it."""
    from ais_assets.loader.tracks.dataset import TrackWindowDataset  # noqa: PLC0415

    with TrackWindowDataset(lake, folder) as dataset:
        return len(next(iter(dataset)))


@contextmanager
def lake_environment(folder: Path, days: int, **others: object) -> Iterator[Settings]:
    """Settings of a lake in the folder, with these others by their names; also for processes started meanwhile."""
    wanted = {
        "AIS_LAKE": str(folder / "lake"),
        "AIS_CACHE": str(folder / "cache"),
        "AIS_FIRST_DAY": FIRST_DAY.isoformat(),
        "AIS_LAST_DAY": (FIRST_DAY + timedelta(days=days - 1)).isoformat(),
        "DAGSTER_HOME": str(folder / "dagster"),
        **{f"AIS_{name.upper()}": str(value) for name, value in others.items()},
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    (folder / "dagster").mkdir()
    (folder / "dagster" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    try:
        yield load_settings()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _table(planned: Plan, measured: dict[str, Measured]) -> Table:
    table = Table(title="Predicted and measured", title_justify="left")
    table.add_column("asset", no_wrap=True)
    for column in ("units", "seconds", "measured", "GB written", "measured", "MB each", "measured"):
        table.add_column(column, justify="right", no_wrap=True)
    for stage in _checked(planned, measured):
        found = measured[stage.asset]
        table.add_row(
            stage.asset,
            f"{stage.units:,.0f} {stage.unit}",
            f"{stage.seconds:.1f}",
            f"{found.seconds:.1f}",
            f"{stage.bytes_written / 1e9:.2f}",
            f"{found.bytes_written / 1e9:.2f}",
            f"{stage.peak_bytes / 1e6:,.0f}",
            f"{found.peak_bytes / 1e6:,.0f}",
        )
    return table


def _checked(planned: Plan, measured: Collection[str]) -> list[Stage]:
    """The stages of a plan that were run."""
    return [stage for stage in (*planned.stages, planned.first_batch) if stage.asset in measured]


def load_of(lake: Lake, settings: Settings, positions: int, **rest: Any) -> Load:
    """What was built, as a plan has it: so many positions of tracks, and windows as the lake says."""
    notes = (
        [lake.ledger("window_piles", shard).notes for shard in settings.shard_keys] if settings.window_formats else []
    )
    windows = {
        split: sum(of.get(f"windows_{split}", 0) for of in notes)
        for split in ("training", "validation", "holdout", "test")
    }
    everything = sum(windows.values())
    return Load(
        positions=positions,
        windows=everything or None,
        validation=windows["validation"] / max(1, everything),
        holdout=windows["holdout"] / max(1, everything),
        test=windows["test"] / max(1, everything),
        shards=settings.shards,
        piles=settings.piles,
        days=len(settings.days),
        window_formats=settings.window_formats,
        **rest,
    )


@click.command()
@click.option("--positions", type=click.IntRange(min=1), default=4_000_000, show_default=True, help="About so many.")
@click.option("--vessels", type=click.IntRange(min=10), default=120, show_default=True, help="That are copied.")
@click.option("--days", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--shards", type=click.IntRange(min=1), default=16, show_default=True)
@click.option("--piles", type=click.IntRange(min=1), default=8, show_default=True)
@window_formats_option
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default: one a core.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="With room; default: a temporary one.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(
    *,
    positions: int,
    vessels: int,
    days: int,
    shards: int,
    piles: int,
    window_formats: tuple[str, ...],
    workers: int | None,
    folder: Path | None,
    as_json: bool,
) -> None:
    """Predicted against measured, stage by stage, over real runs."""
    workers = workers or usable_cores()
    rates = median_rates(vessels, 3)
    with (
        TemporaryDirectory(prefix="ais-bench-", dir=folder) as name,
        lake_environment(
            Path(name), days, shards=shards, piles=piles, window_formats=",".join(window_formats)
        ) as settings,
    ):
        lake = Lake(settings.lake, zstd_level=settings.zstd_level)
        (Path(name) / "archives").mkdir()
        pace = disk_pace(Path(name))
        records = write_raw_records(
            lake,
            settings,
            vessels=vessels,
            positions=positions,
            clean_share=rates.clean_share,
            folder=Path(name) / "archives",
        )
        with DagsterInstance.get() as instance:
            measured = run_stages(settings, Runs(instance.get_ref(), workers), lake, workers)
        measured[FIRST_BATCH] = first_batch(lake, Path(name) / "cache")
        load = load_of(
            lake,
            settings,
            measured["track_shards"].rows,
            records=records,
            cores=workers,
            memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            network=pace,
        )
    planned = plan(load, rates)
    if as_json:
        found = {asset: asdict(each) for asset, each in measured.items()}
        predicted = {stage.asset: asdict(stage) for stage in _checked(planned, measured)}
        click.echo(
            json.dumps({"machine": machine(), "disk": pace, "predicted": predicted, "measured": found}, indent=1)
        )
        return
    console = terminal()
    console.print(_table(planned, measured))
    console.print(f"{workers} processes; {machine()['cpu']}; disk {pace / 1e6:,.0f} MB/s", highlight=False)
