"""Simulated traffic taken through the real stages, once a run: what the benches measure with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ais_assets.io.parquet import write_parquet
from ais_assets.settings import Settings
from ais_assets.sources.simulated import SimulatedSource
from ais_assets.store.sealed_parquet import SealedFile
from ais_assets.transforms.clean import clean_day
from ais_assets.transforms.shuffle import pile_windows, throw_windows
from ais_assets.transforms.tracks import build_tracks
from ais_assets.transforms.windows import pack_tables

FIRST_DAY = date(2024, 3, 1)
_MOST_BYTES = 1 << 36
_ONE_SHARD = 0
ONE_PILE = 0


@dataclass(frozen=True)
class Traffic:
    """One vessel shard of simulated traffic, in files, so that a contender's own process can read it.

    Attributes:
        tracks: Parquet of `schema.TRACK_POSITIONS`.
        packed: its packed positions, uint32 (n, 3), as `numpy.load` reads them.
        references: Parquet of `schema.WINDOW_REFERENCES`; the last row group is pile 0, the training windows.
        positions: rows in `tracks`.
        windows: training windows.
        window_len: positions of a window.
        seed: that they were simulated and thrown with.
    """

    tracks: Path
    packed: Path
    references: Path
    positions: int
    windows: int
    window_len: int
    seed: int

    def load_packed(self) -> NDArray[np.uint32]:
        """Packed positions, memory-mapped."""
        return np.load(self.packed, mmap_mode="r")

    def load_references(self) -> pa.Table:
        """References to the training windows."""
        with pq.ParquetFile(self.references) as file:
            return file.read_row_group(file.num_row_groups - 1)


def windows_of(traffic: Traffic, windows: int) -> list[pa.Table]:
    """The first tables of the shuffled pile that hold `windows` windows, or all where there are fewer."""
    tables: list[pa.Table] = []
    left = windows
    stream = pile_windows(
        [traffic.load_references()],
        [traffic.load_packed()],
        window_len=traffic.window_len,
        seed=traffic.seed,
        pile=ONE_PILE,
    )
    for table in stream.tables:
        tables.append(table.slice(0, left))
        left -= tables[-1].num_rows
        if left == 0:
            break
    return tables


def traffic_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that all benches on simulated traffic have."""
    for option in (
        click.option("--seed", type=click.IntRange(min=0), default=17, show_default=True, help="Of the simulation."),
        click.option("--days", type=click.IntRange(min=1), default=2, show_default=True, help="Simulated days."),
        click.option("--vessels", type=click.IntRange(min=1), default=120, show_default=True, help="Simulated fleet."),
        click.option("--repeat", type=click.IntRange(min=1), default=5, show_default=True, help="Turns of each."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table."),
    ):
        command = option(command)
    return command


@contextmanager
def simulated_traffic(vessels: int, days: int, seed: int) -> Iterator[Traffic]:
    """Traffic of a fleet in a temporary folder, all its vessels for training, with the platform's default settings.

    Raises ValueError when no track is long enough for a window.
    """
    settings = Settings.model_construct()
    with TemporaryDirectory(prefix="ais-bench-") as name:
        folder = Path(name)
        tracks = build_tracks(
            clean_days(folder, vessels, days, seed, settings.repeat_seconds),
            max_gap_seconds=settings.max_gap_seconds,
            max_speed_knots=settings.max_speed_knots,
            min_track_positions=settings.min_track_positions,
            validation_fraction=0.0,
            seed=seed,
        )
        track_file, level = folder / "tracks.parquet", settings.zstd_level
        positions = write_parquet(tracks, track_file, asset="track_shards", partition="0", level=level).rows
        references = throw_windows(
            row_groups(track_file),
            shard=_ONE_SHARD,
            piles=1,
            window_len=settings.window_len,
            stride=settings.stride,
            seed=seed,
        )
        reference_file = folder / "references.parquet"
        windows = write_parquet(references, reference_file, asset="window_piles", partition="0", level=level).rows
        if windows == 0:
            raise ValueError(
                f"{vessels} vessels over {days} days have no track of {settings.window_len} positions: ask for more"
            )
        packed_file = folder / "packed.npy"
        np.save(packed_file, np.concatenate(list(pack_tables(row_groups(track_file)))))
        yield Traffic(track_file, packed_file, reference_file, positions, windows, settings.window_len, seed)


def clean_days(folder: Path, vessels: int, days: int, seed: int, repeat_seconds: int) -> Iterator[pa.Table]:
    """Clean records of each day, all vessels in one shard; the archives are left in `folder`."""
    source = SimulatedSource(vessels, seed, FIRST_DAY, _MOST_BYTES)
    for number in range(days):
        day = FIRST_DAY + timedelta(days=number)
        (landed,) = source.land(day, folder)
        yield from clean_day(source.read(landed.path, day).tables, day, shards=1, repeat_seconds=repeat_seconds).tables


def row_groups(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """A file's row groups, one at a time; of the columns only these (default: all)."""
    with pa.memory_map(str(path)) as source, SealedFile(source, str(path), "measure anew") as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, columns=None if columns is None else list(columns))
