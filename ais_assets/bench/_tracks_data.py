"""What the bench of windows cut while training reads: tracks of many vessels, and a year's cache with holes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.bench._simulated import Traffic, row_groups
from ais_assets.io.parquet import write_parquet
from ais_assets.ledger import Ledger
from ais_assets.loader.tracks.packed_tracks import ANCHOR_ROWS, TRACK_NUMBERS, padded
from ais_assets.loader.tracks.track_cache import (
    CACHE_FOLDER,
    LIST_SUFFIX,
    POSITION_BYTES,
    TrackCache,
    mark_of,
)
from ais_assets.loader.tracks.track_index import TRACKS_FOLDER, TRACKS_INDEX, IndexedFile, TracksIndex
from ais_assets.machine import usable_cores
from ais_assets.settings import Settings
from ais_assets.stream import RecordStream
from ais_assets.transforms.tracks import TRACK_SHIFT

YEAR_FILES: Final = 64
_FIRST_SECOND: Final = 1_709_251_200
_FIRST_VESSEL: Final = 201_000_000


@dataclass(frozen=True)
class PublishedTracks:
    """Tracks as `training_dataset` publishes them, and a folder for loaders' caches.

    Attributes:
        lake: the folder that holds `track_shards`.
        cache: where packed tracks go.
        files: all that is published, the index last.
        positions: in them.
    """

    lake: Path
    cache: Path
    files: tuple[Path, ...]
    positions: int

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(path.stat().st_size for path in self.files)


def publish_copies(traffic: Traffic, folder: Path, copies: int) -> PublishedTracks:
    """The traffic's tracks so many times, each time of other vessels and in a file of its own."""
    shards = folder / TRACKS_FOLDER
    shards.mkdir(parents=True)
    settings = Settings.model_construct()
    tables = list(row_groups(traffic.tracks))
    vessels = np.unique(np.concatenate([table["mmsi"].to_numpy() for table in tables]))
    rows = sum(table.num_rows for table in tables)

    def publish(copy: int) -> IndexedFile:
        path = shards / f"{copy:04d}.parquet"
        of_others = (_of_others(table, vessels, copy) for table in tables)
        stream = RecordStream(tables[0].schema, of_others, Ledger(rows, rows))
        write_parquet(stream, path, asset=TRACKS_FOLDER, partition=str(copy), level=settings.zstd_level)
        return IndexedFile(path.name, path.stat().st_size, _digest(path), rows=rows)

    # Arrow encodes and compresses outside of Python's lock.
    with ThreadPoolExecutor(usable_cores()) as pool:
        files = list(pool.map(publish, range(copies)))
    _write_index(shards, files, settings)
    published = (*(shards / file.name for file in files), shards / TRACKS_INDEX)
    return PublishedTracks(folder, folder / "cache", published, sum(file.rows for file in files))


def sparse_year(folder: Path, windows: int, tracks: int) -> PublishedTracks:
    """A packed cache of so many windows and tracks whose positions are holes, under the index that names its files.

    The files of the index are not there: who reads them finds the cache complete.
    """
    settings = Settings.model_construct()
    positions = settings.window_len + settings.stride * (windows // tracks - 1)
    shards = folder / TRACKS_FOLDER
    shards.mkdir(parents=True)
    each = np.diff(np.linspace(0, tracks, YEAR_FILES + 1).astype(np.int64)).tolist()
    files = [
        IndexedFile(
            f"{number:04d}.parquet", 1, hashlib.sha256(str(number).encode()).hexdigest(), rows=count * positions
        )
        for number, count in enumerate(each)
    ]
    _write_index(shards, files, settings)
    cache = folder / "cache"
    (cache / CACHE_FOLDER).mkdir(parents=True)
    for file, count in zip(files, each, strict=True):
        _write_holes(cache / CACHE_FOLDER / TrackCache.stem(file), file.rows, count, positions)
    return PublishedTracks(folder, cache, (shards / TRACKS_INDEX,), sum(file.rows for file in files))


def _write_holes(stem: Path, rows: int, tracks: int, positions: int) -> None:
    """The packed files of a track file as the cache has them, and their list."""
    numbers = np.empty((tracks, len(TRACK_NUMBERS)), np.int64)
    numbers[:, 0] = (np.arange(tracks) << TRACK_SHIFT) | _FIRST_SECOND
    numbers[:, 1] = positions * np.arange(tracks)
    numbers[:, 2] = positions
    numbers[:, 3] = _FIRST_SECOND + 10 * positions
    numbers[:, 4] = schema.SPLITS.index("train")
    sizes = {
        "positions": padded(rows) * POSITION_BYTES,
        "anchors": 4 * padded(rows) // ANCHOR_ROWS,
        "tracks": numbers.nbytes,
    }
    listed: dict[str, Any] = {}
    for kind, size in sizes.items():
        path = stem.with_name(f"{stem.name}.{kind}")
        digest = hashlib.sha256(str(path).encode()).hexdigest()
        with path.open("wb") as file:
            if kind == "tracks":
                file.write(numbers.data)
            file.truncate(size)
        os.utime(path, ns=(mark_of(digest), mark_of(digest)))
        listed[kind] = {"size": size, "sha256": digest}
    stem.with_name(f"{stem.name}{LIST_SUFFIX}").write_text(json.dumps({"rows": rows, "files": listed}))


def _write_index(shards: Path, files: list[IndexedFile], settings: Settings) -> None:
    published = {name: getattr(settings, name) for name in ("seq_len", "max_horizon", "stride")}
    index = TracksIndex(tuple(files), None, published, "bench")
    (shards / TRACKS_INDEX).write_bytes(index.to_json())


def _of_others(table: pa.Table, vessels: NDArray[np.int32], copy: int) -> pa.Table:
    """The same tracks, of other vessels in the same order."""
    mmsi = _FIRST_VESSEL + copy * len(vessels) + np.searchsorted(vessels, table["mmsi"].to_numpy())
    track = (mmsi << TRACK_SHIFT) | (table["track"].to_numpy() & ((1 << TRACK_SHIFT) - 1))
    for name, values in (("mmsi", mmsi.astype(np.int32)), ("track", track)):
        table = table.set_column(table.column_names.index(name), table.schema.field(name), pa.array(values))
    return table


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bytes_on_disk(folder: Path) -> int:
    """That a folder's files take, holes left out."""
    return sum(512 * path.stat().st_blocks for path in folder.rglob("*") if path.is_file())


def shard_bytes(entries: list[dict[str, Any]], cache: Path) -> Iterator[int]:
    """The published size of each shard that a cache has, unpacked."""
    for entry in entries:
        if (cache / entry["raw_data"]["basename"]).exists():
            yield entry["zip_data"]["bytes"]
