"""The global shuffle by reference, beside scattering whole windows, as two-pass shuffles are usually written.

All read the same track files and end with the same windows in the same order, in memory: what is counted and written of
them is the same for all. Scattering writes every window into its pile's file and reads the piles back, as raw float32
(nothing is quicker) or as Parquet (what the reference pipeline did).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.bench._simulated import Traffic, row_groups, simulated_traffic, traffic_options
from ais_assets.bench.race import Contender, Race, report, run_race
from ais_assets.settings import Settings
from ais_assets.transforms.shuffle import TABLE_WINDOWS, shuffle_pile, throw_windows
from ais_assets.transforms.windows import gather, pack_tables

_COLUMNS = ["track", "t", "lat_microdegrees", "lon_microdegrees", "sog_tenths", "cog_tenths", "split"]


@dataclass(frozen=True)
class Shuffle:
    """What is shuffled: a shard of traffic, `shards` times over, into `piles`."""

    traffic: Traffic
    shards: int
    piles: int

    @property
    def windows(self) -> int:
        """In all."""
        return self.shards * self.traffic.windows


Blocks = Iterator[NDArray[np.float32]]
Way = Callable[[Shuffle, Path], Blocks]
"""Yields all windows in their final order, in blocks; may keep files in the folder."""


def by_reference(work: Shuffle, folder: Path) -> Blocks:
    """As the platform does: pass 1 throws references, pass 2 gathers from packed positions."""
    del folder
    by_shard = [_references(work, shard) for shard in range(work.shards)]
    packed = [_packed(work) for _ in range(work.shards)]
    for pile in range(work.piles):
        references = [tables[pile - schema.VALIDATION_PILE] for tables in by_shard]
        order = shuffle_pile(references, work.traffic.seed, pile)
        for first in range(0, len(order.row), TABLE_WINDOWS):
            part = slice(first, first + TABLE_WINDOWS)
            yield gather(packed, order.shard[part], order.row[part], work.traffic.window_len)


def by_scattering(work: Shuffle, folder: Path) -> Blocks:
    """Pass 1 writes every window to its pile's file as raw float32; pass 2 reads a pile and permutes it."""
    shape = (-1, work.traffic.window_len, schema.FEATURE_COUNT)
    by_shard = []
    files = [(folder / f"{pile}.f32").open("wb") for pile in range(work.piles)]
    for shard in range(work.shards):
        by_shard.append(_references(work, shard))
        packed = _packed(work)
        for pile, file in enumerate(files):
            file.write(_windows(work, packed, by_shard[-1], pile).data)
    for file in files:
        file.close()
    for pile in range(work.piles):
        windows = np.fromfile(folder / f"{pile}.f32", np.float32).reshape(shape)
        yield windows[_order(work, by_shard, pile)]


def by_scattering_parquet(work: Shuffle, folder: Path) -> Blocks:
    """The same with a Parquet file for each shard and pile."""
    by_shard = []
    for shard in range(work.shards):
        by_shard.append(_references(work, shard))
        packed = _packed(work)
        for pile in range(work.piles):
            windows = _windows(work, packed, by_shard[-1], pile)
            features = pa.FixedSizeListArray.from_arrays(pa.array(windows.reshape(-1)), windows[0].size)
            pq.write_table(
                pa.table({"features": features}),
                folder / f"{shard}-{pile}.parquet",
                compression="zstd",
                compression_level=Settings.model_construct().zstd_level,
                use_dictionary=False,
            )
    for pile in range(work.piles):
        parts = [pq.read_table(folder / f"{shard}-{pile}.parquet") for shard in range(work.shards)]
        features = pa.concat_tables(parts)["features"].combine_chunks().flatten().to_numpy()
        windows = features.reshape(-1, work.traffic.window_len, schema.FEATURE_COUNT)
        yield windows[_order(work, by_shard, pile)]


WAYS: dict[str, Way] = {
    "scattering windows": by_scattering,
    "scattering windows, Parquet": by_scattering_parquet,
    "by reference": by_reference,
}


def run(work: Shuffle, way: str) -> float:
    """Shuffles once; returns the windows."""
    with TemporaryDirectory(prefix="ais-bench-") as folder:
        return sum(len(block) for block in WAYS[way](work, Path(folder)))


def prepare(work: Shuffle, way: str) -> None:
    """One shard, for what is compiled and loaded once."""
    pa.set_cpu_count(1)
    run(Shuffle(work.traffic, 1, work.piles), way)


def intermediate_bytes(work: Shuffle, way: str) -> int:
    """Bytes of windows that lie on disk between the passes."""
    with TemporaryDirectory(prefix="ais-bench-") as folder:
        next(WAYS[way](work, Path(folder)))
        return sum(file.stat().st_size for file in Path(folder).iterdir())


def _references(work: Shuffle, shard: int) -> list[pa.Table]:
    settings = Settings.model_construct()
    return list(
        throw_windows(
            row_groups(work.traffic.tracks, ["track", "t", "split"]),
            shard=shard,
            piles=work.piles,
            window_len=work.traffic.window_len,
            stride=settings.stride,
            seed=work.traffic.seed,
        ).tables
    )


def _packed(work: Shuffle) -> NDArray[np.uint32]:
    return np.concatenate(list(pack_tables(row_groups(work.traffic.tracks, _COLUMNS))))


def _windows(work: Shuffle, packed: NDArray[np.uint32], references: list[pa.Table], pile: int) -> NDArray[np.float32]:
    rows = references[pile - schema.VALIDATION_PILE]["row"].to_numpy()
    return gather([packed], np.zeros(len(rows), np.int64), rows, work.traffic.window_len)


def _order(work: Shuffle, by_shard: list[list[pa.Table]], pile: int) -> NDArray[np.int64]:
    """Where each window of a pile's final order was scattered to."""
    references = [tables[pile - schema.VALIDATION_PILE] for tables in by_shard]
    firsts = np.cumsum([0] + [table.num_rows for table in references])
    # The row stands for the place in the pile's file, so that the permutation comes out.
    places = [
        table.set_column(1, table.schema.field("row"), pa.array(np.arange(first, first + table.num_rows)))
        for table, first in zip(references, firsts, strict=False)
    ]
    return shuffle_pile(places, work.traffic.seed, pile).row


@click.command()
@traffic_options
@click.option("--shards", type=click.IntRange(min=1), default=6, show_default=True, help="Copies of the traffic.")
@click.option("--piles", type=click.IntRange(min=1), default=8, show_default=True, help="To shuffle into.")
def command(*, as_json: bool, repeat: int, vessels: int, days: int, seed: int, shards: int, piles: int) -> None:
    """Windows a second from track files to their final order, one core."""
    with simulated_traffic(vessels, days, seed) as traffic:
        work = Shuffle(traffic, shards, piles)
        sizes = {f"{way}, MB between": round(intermediate_bytes(work, way) / 1e6) for way in WAYS}
        contenders = [Contender(way, run, (work, way), prepare, baseline=WAYS[way] is by_scattering) for way in WAYS]
        race = Race("Both passes of the shuffle", "windows", {"windows": work.windows, **sizes})
        report([run_race(race, contenders, repeat=repeat)], as_json=as_json)
