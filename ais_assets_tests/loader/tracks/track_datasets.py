"""Small published tracks, for tests of the loader that cuts windows from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.loader.tracks.dataset import TrackWindowDataset
from ais_assets.loader.tracks.track_index import TRACKS_FOLDER, TRACKS_INDEX, IndexedFile, TracksIndex
from ais_assets_tests.transforms.test_windows import SHIP, track_table

LENGTHS = ((40, 7, 120), (0,), (64, 33), (300,))
"""Positions of each track, shard by shard."""
GEOMETRY = {"seq_len": 8, "max_horizon": 8, "stride": 4}


def shard_tables(lengths: Sequence[Sequence[int]] = LENGTHS) -> list[pa.Table]:
    """A table of track positions a shard, no vessel in two of them."""
    tables = []
    vessels = 0
    for number, of_shard in enumerate(lengths):
        rows = sum(of_shard)
        mmsi = np.repeat(SHIP + vessels + np.arange(len(of_shard)), of_shard).astype(np.int32)
        table = track_table(of_shard, seed=number)
        start = stored(table, "track") & 0xFFFFFFFF
        columns = {"mmsi": mmsi, "track": (mmsi.astype(np.int64) << 32) | start}
        tables.append(track_table(of_shard, seed=number, columns=columns) if rows else table)
        vessels += len(of_shard)
    return tables


def stored(table: pa.Table, name: str) -> NDArray[Any]:
    """A column of plain integers."""
    return table[name].combine_chunks().to_numpy()


def with_channels(table: pa.Table, seed: int = 0) -> pa.Table:
    """The table with the columns that only some channels need, at random."""
    rng = np.random.default_rng(seed)
    rows = table.num_rows
    heading = pa.array(rng.integers(0, 360, rows), pa.int16(), mask=rng.random(rows) < 0.3)
    status = [None if code > 15 else schema.NAV_STATUSES[code] for code in rng.integers(0, 20, rows)]
    columns = {
        "heading": heading,
        "nav_status": pa.array(status, pa.string()).dictionary_encode(),
        "sog_held": pa.array(rng.random(rows) < 0.5),
        "cog_held": pa.array(rng.random(rows) < 0.5),
    }
    for name, column in columns.items():
        table = table.drop_columns([name]) if name in table.column_names else table
        table = table.append_column(name, column)
    return table


def publish(
    lake: Path,
    tables: Iterable[pa.Table],
    settings: Mapping[str, Any] = GEOMETRY,
    *,
    row_group: int = 50,
    vessels: pa.Table | None = None,
) -> TracksIndex:
    """Writes track files and their index; returns it."""
    folder = lake / TRACKS_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, table in enumerate(tables):
        path = folder / f"{number:04d}.parquet"
        pq.write_table(table, path, row_group_size=row_group, write_page_checksum=True)
        files.append(indexed(path, table.num_rows, kept=f"kept/{path.name}"))
    of_vessels = None
    if vessels is not None:
        path = folder / "vessels-0.parquet"
        pq.write_table(vessels, path)
        of_vessels = indexed(path, vessels.num_rows)
    index = TracksIndex(tuple(files), of_vessels, settings, "release-1")
    (folder / TRACKS_INDEX).write_bytes(index.to_json())
    return replace(index, digest=hashlib.sha256(index.to_json()).hexdigest())


def indexed(path: Path, rows: int, kept: str = "") -> IndexedFile:
    """A file as an index names it."""
    data = path.read_bytes()
    return IndexedFile(path.name, len(data), hashlib.sha256(data).hexdigest(), kept, rows=rows)


def numbers(dataset: TrackWindowDataset, batches: Iterable[Any]) -> list[list[int]]:
    """The numbers of the windows in each batch, by what the dataset says that each number is; it has provenance."""
    everything = _places(dataset.batch(np.arange(dataset.windows)))
    known = {place: number for number, place in enumerate(everything)}
    assert len(known) == dataset.windows
    return [[known[place] for place in _places(batch)] for batch in batches]


def _places(batch: Any) -> list[tuple[int, int]]:
    """Where each window of a batch begins: its track and time."""
    provenance = batch[1]
    return list(zip(provenance["track"].tolist(), provenance["start"].tolist(), strict=True))
