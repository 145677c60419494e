"""Writing windows as MDS shards, beside MDSWriter with the same level and hashes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
import pyarrow as pa

from ais_assets.bench._simulated import Traffic, simulated_traffic, traffic_options, windows_of
from ais_assets.bench.race import Contender, Race, report, run_race
from ais_assets.io.mds import COLUMNS, HASHES, write_shards
from ais_assets.settings import Settings
from ais_assets.transforms.kernels import stored_integers

_MEGABYTE = 1_000_000
_MILLISECONDS = 1_000
STOCK = 0
"""Threads that stand for MDSWriter."""


def write_with_mds_writer(traffic: Traffic, windows: int, into: Path) -> None:
    """Writes the windows sample by sample, as mosaicml-streaming's own writer does."""
    from streaming import MDSWriter  # noqa: PLC0415 - takes seconds to import, which the other contenders need not

    settings = Settings.model_construct()
    with MDSWriter(
        columns=dict(COLUMNS),
        out=str(into),
        compression=f"zstd:{settings.zstd_level}",
        hashes=list(HASHES),
        size_limit=settings.mds_size_limit,
    ) as writer:
        for sample in _samples(traffic, windows):
            writer.write(sample)


def prepare(traffic: Traffic, windows: int, threads: int) -> None:
    """Gathers the windows, as tables or as MDSWriter's samples, and imports what is imported once."""
    _gathered(traffic, windows)
    if threads == STOCK:
        import streaming  # noqa: F401, PLC0415

        _samples(traffic, windows)


def write(traffic: Traffic, windows: int, threads: int) -> float:
    """Writes the windows once into a temporary folder; returns their megabytes before compression."""
    with TemporaryDirectory(prefix="ais-bench-") as folder:
        write_into(traffic, windows, threads, Path(folder) / "mds")
    return sum(table.nbytes for table in _gathered(traffic, windows)) / _MEGABYTE


def write_into(traffic: Traffic, windows: int, threads: int, into: Path) -> None:
    """Writes the windows with so many threads of `write_shards`, or with MDSWriter for `STOCK`."""
    if threads == STOCK:
        write_with_mds_writer(traffic, windows, into)
        return
    settings = Settings.model_construct()
    write_shards(
        _gathered(traffic, windows),
        into,
        window_len=traffic.window_len,
        size_limit=settings.mds_size_limit,
        level=settings.zstd_level,
        threads=threads,
    )


@lru_cache(maxsize=1)
def _gathered(traffic: Traffic, windows: int) -> tuple[pa.Table, ...]:
    return tuple(windows_of(traffic, windows))


@lru_cache(maxsize=1)
def _samples(traffic: Traffic, windows: int) -> list[dict[str, Any]]:
    samples = []
    for table in _gathered(traffic, windows):
        features = table["features"].combine_chunks().flatten().to_numpy().reshape(table.num_rows, -1)
        columns = (stored_integers(table, name, table.schema) for name in ("mmsi", "start", "track"))
        for values, mmsi, start, track in zip(features, *columns, strict=True):
            sample = {"features": values.tobytes(), "mmsi": mmsi, "start": np.int64(start // _MILLISECONDS)}
            samples.append(sample | {"track": track})
    return samples


def race(traffic: Traffic, windows: int, threads: int, repeat: int) -> Race:
    """MDSWriter, `write_shards` with one thread, and with `threads`."""
    stock = Contender("MDSWriter", write, (traffic, windows, STOCK), prepare, baseline=True)
    ours = [
        Contender(f"write_shards, {count} threads", write, (traffic, windows, count), prepare, cores=count)
        for count in sorted({1, threads})
    ]
    work = {"windows": min(windows, traffic.windows)}
    return run_race(Race("Windows as MDS", "MB raw", work), [stock, *ours], repeat=repeat)


@click.command()
@traffic_options
@click.option("--windows", type=click.IntRange(min=1), default=20_000, show_default=True, help="To write, at most.")
@click.option("--threads", type=click.IntRange(min=1), default=4, show_default=True, help="Of the second contender.")
def command(*, as_json: bool, repeat: int, vessels: int, days: int, seed: int, windows: int, threads: int) -> None:
    """Megabytes of windows a second, written as MDS."""
    with simulated_traffic(vessels, days, seed) as traffic:
        report([race(traffic, windows, threads, repeat)], as_json=as_json)
