"""What every stage does a second on one core of this machine, and what its output weighs: what `ais plan` rests on."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
import pyarrow as pa

from ais_assets.bench._simulated import row_groups
from ais_assets.bench.race import TURN_SECONDS, machine
from ais_assets.io.mds import write_shards
from ais_assets.io.parquet import write_parquet
from ais_assets.planning import Rates, rates_file
from ais_assets.settings import Settings
from ais_assets.sources.simulated import SimulatedSource
from ais_assets.stream import RecordStream
from ais_assets.transforms.clean import RAW_COLUMNS, clean_day
from ais_assets.transforms.shuffle import pile_windows, throw_windows
from ais_assets.transforms.tracks import CLEAN_COLUMNS, build_tracks
from ais_assets.transforms.windows import pack_tables

_DAY = date(2024, 3, 1)
_MOST_BYTES = 1 << 36
_SEED = 17


def measure(vessels: int, folder: Path) -> dict[str, float]:
    """Takes a simulated day through every stage once, each from file to file; returns what `Rates` holds."""
    pa.set_cpu_count(1)
    settings = Settings.model_construct()
    source = SimulatedSource(vessels, _SEED, _DAY, _MOST_BYTES)
    landed = source.land(_DAY, folder)
    if landed is None:
        raise RuntimeError(f"the simulated source has no {_DAY}")
    rates: dict[str, float] = {}

    def stored(asset: str, rate: str, weight: str, make: Callable[[], RecordStream], units: str = "in") -> Path:
        path = folder / f"{asset}.parquet"
        started = time.perf_counter()
        stream = make()
        write_parquet(stream, path, asset=asset, partition="0", level=settings.zstd_level)
        seconds = time.perf_counter() - started
        worked = stream.ledger.rows_in if units == "in" else stream.ledger.notes[units]
        rates[rate] = worked / seconds
        rates[weight] = path.stat().st_size / max(1, stream.ledger.rows_out)
        rates[f"{asset} in"], rates[f"{asset} out"] = stream.ledger.rows_in, stream.ledger.rows_out
        return path

    typed = stored("raw_records", "rows_typed", "record_bytes", lambda: source.read(landed.path, _DAY))
    clean = stored(
        "clean_records",
        "records_cleaned",
        "clean_bytes",
        lambda: clean_day(row_groups(typed, RAW_COLUMNS), _DAY, shards=1, repeat_seconds=settings.repeat_seconds),
    )
    tracks = stored(
        "track_shards",
        "positions_tracked",
        "position_bytes",
        lambda: build_tracks(
            row_groups(clean, CLEAN_COLUMNS),
            max_gap_seconds=settings.max_gap_seconds,
            max_speed_knots=settings.max_speed_knots,
            min_track_positions=settings.min_track_positions,
            validation_fraction=0.0,
            seed=_SEED,
        ),
    )
    thrown = stored(
        "window_piles",
        "positions_thrown",
        "reference_bytes",
        lambda: throw_windows(
            row_groups(tracks),
            shard=0,
            piles=1,
            window_len=settings.window_len,
            stride=settings.stride,
            seed=_SEED,
        ),
        units="positions",
    )
    packed = np.concatenate(list(pack_tables(row_groups(tracks))))
    references = list(row_groups(thrown))[-1]
    windows = stored(
        "materialized_windows",
        "windows_gathered",
        "window_bytes",
        lambda: pile_windows([references], [packed], window_len=settings.window_len, seed=_SEED, pile=0),
    )
    started = time.perf_counter()
    written = write_shards(
        row_groups(windows),
        folder / "mds",
        window_len=settings.window_len,
        size_limit=settings.mds_size_limit,
        level=settings.zstd_level,
        threads=1,
    )
    rates["windows_sharded"] = written.samples / (time.perf_counter() - started)
    rates["mds_bytes"] = sum(file.stat().st_size for file in (folder / "mds").iterdir()) / written.samples
    rates["archive_bytes"] = landed.path.stat().st_size / rates["raw_records in"]
    rates["clean_share"] = rates["clean_records out"] / rates["clean_records in"]
    return {name: value for name, value in rates.items() if not name.endswith((" in", " out"))}


def _turns(vessels: int, repeat: int) -> list[dict[str, float]]:
    turns = []
    # The first turn compiles and loads, and is not counted.
    for _ in range(repeat + 1):
        with TemporaryDirectory(prefix="ais-bench-") as folder:
            turns.append(measure(vessels, Path(folder)))
    return turns[1:]


def median_rates(vessels: int, repeat: int) -> Rates:
    """Medians over turns, in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        turns = pool.submit(_turns, vessels, repeat).result(timeout=TURN_SECONDS)
    medians: dict[str, Any] = {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}
    on = machine()
    return Rates(machine=f"{on['cpu']}, {on['cores']} cores", **medians)


@click.command()
@click.option("--vessels", type=click.IntRange(min=10), default=120, show_default=True, help="Simulated fleet.")
@click.option("--repeat", type=click.IntRange(min=1), default=3, show_default=True, help="Turns.")
@click.option("--json", "as_json", is_flag=True, help="Print the rates as JSON.")
@click.option("--keep/--no-keep", default=True, show_default=True, help="Keep them for `ais plan`.")
def command(*, vessels: int, repeat: int, as_json: bool, keep: bool) -> None:
    """What every stage does a second on one core, for `ais plan`."""
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
