"""MDS shards, built in bulk: MDSWriter's format byte for byte, without its work sample by sample.

The format, as mosaicml-streaming 0.13 writes and reads it, all numbers little-endian:

    shard    uint32 n, the samples · uint32 offsets[n + 1] of each sample and of the end, from the shard's
             first byte · the writer's configuration as JSON · the samples
    sample   uint32 size of every column without a fixed size · every column's bytes, columns sorted by name

Every sample here has the same size, so a shard is one NumPy buffer filled by columns, and shards are hashed,
compressed and written in threads. `index.json` lists the shards and comes last: a folder without it is not
a dataset.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import zstandard
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.store.names import stays_inside

INDEX_FILE: Final = "index.json"
VERSION: Final = 2
"""Of the MDS format: the only one that mosaicml-streaming 0.13 reads."""
HASHES: Final = ("sha1",)
"""Hashes of each shard before and after compression, which a reader can check (`validate_hash="sha1"`)."""
COLUMNS: Final = {"features": "bytes", "mmsi": "int32", "start": "int64", "track": "int64"}
"""Columns and their MDS encodings, sorted by name as MDS stores them. `start` is Unix time in seconds."""

_COLUMN_SIZES: Final = {"bytes": None, "int32": 4, "int64": 8}
_OFFSET: Final = np.dtype("<u4")
_FLOAT: Final = np.dtype("<f4")
_LARGEST_SIZE_LIMIT: Final = 2**32 - 1
_LEVELS: Final = range(1, 23)
_MILLISECONDS: Final = 1000


class MDSError(ValueError):
    """Samples that cannot be written or a folder that cannot be read; the message says which and why."""


@dataclass(frozen=True)
class MDSFolder:
    """What `write_shards` wrote.

    Attributes:
        samples: their number.
        shards: their number.
        raw_bytes: bytes of the shards before compression.
        compressed_bytes: bytes of the shard files.
        digest: sha256 of index.json, in hexadecimal. The index holds a hash of every shard, so equal digests
            mean equal folders.
    """

    samples: int
    shards: int
    raw_bytes: int
    compressed_bytes: int
    digest: str


def write_shards(
    tables: Iterable[pa.Table], into: Path, *, window_len: int, size_limit: int, level: int, threads: int
) -> MDSFolder:
    """Writes windows as MDS shards and, last, the index.json that makes the folder a dataset.

    The same windows give the same bytes, however they are cut into tables and however many threads compress
    them. No windows give an index without shards: nothing to a root index, and a folder that
    mosaicml-streaming cannot read alone, since it refuses a dataset without samples.

    At most `threads + 2` shards are in memory, beside the table that is being cut into them.

    Args:
        tables: windows in the order of the samples, with `schema.windows_schema(window_len)`.
        into: a folder that is empty or does not exist. After an error it holds shards, but no index.json.
        window_len: positions of a window.
        size_limit: bytes of a shard before compression, counted as MDSWriter counts them.
        level: of zstd, 1 to 22.
        threads: that hash, compress and write.

    Raises:
        MDSError: a table has another schema, a null, or a start that is not a whole second.
        ValueError: `size_limit` holds no sample or is too large for MDS; `level` is none of zstd's.
        FileExistsError: `into` is not empty.
        OSError: a shard cannot be written; names its file.
    """
    layout = _Layout(window_len, size_limit, level)
    into.mkdir(parents=True, exist_ok=True)
    if any(into.iterdir()):
        raise FileExistsError(f"{into} is not empty: shards of two writers would be mixed; name a new folder")
    entries: list[dict[str, Any]] = []
    pending: deque[Future[dict[str, Any]]] = deque()
    # The disk has a thread of its own, so that none waits for it that could compress.
    with ThreadPoolExecutor(threads) as pool, ThreadPoolExecutor(1) as disk:
        stored: list[Future[None]] = []

        def finish(shard: Future[dict[str, Any]]) -> None:
            entries.append(shard.result())
            stored.append(disk.submit(_to_the_disk, into / entries[-1]["zip_data"]["basename"]))

        for number, windows in enumerate(_shards_of(tables, layout)):
            if len(pending) > threads:
                finish(pending.popleft())
            pending.append(pool.submit(_write_shard, layout, windows, into, number))
        for shard in pending:
            finish(shard)
        for shard in stored:
            shard.result()
    index = _index_of(entries)
    _write(into / INDEX_FILE, index)
    _to_the_disk(into / INDEX_FILE)
    return MDSFolder(
        samples=sum(entry["samples"] for entry in entries),
        shards=len(entries),
        raw_bytes=sum(entry["raw_data"]["bytes"] for entry in entries),
        compressed_bytes=sum(entry["zip_data"]["bytes"] for entry in entries),
        digest=hashlib.sha256(index).hexdigest(),
    )


def root_index(folders: Sequence[tuple[str, bytes]]) -> bytes:
    """The index.json over several MDS folders: their shards in this order, each file under its folder's name.

    Holds what mosaicml-streaming's `merge_index` makes of the same folders, without reading them again, and
    is a pure function of its input.

    Args:
        folders: each folder's path relative to the root, and the content of its index.json.

    Raises:
        MDSError: a folder is named twice or lies outside the root, or an index is not JSON, is of another
            version than 2, or names a file that is not directly inside its folder.
    """
    entries: list[dict[str, Any]] = []
    seen: set[str] = set()
    for folder, index in folders:
        if not _is_plain(folder):
            raise MDSError(f"the MDS folder {folder!r} is not a relative path below the root index")
        if folder in seen:
            raise MDSError(f"the MDS folder {folder!r} is named twice: its samples would be, too")
        seen.add(folder)
        for entry in shard_entries(index, f"{folder}/{INDEX_FILE}"):
            files = {part: {**entry[part], "basename": f"{folder}/{entry[part]['basename']}"} for part in _files(entry)}
            entries.append(entry | files)
    return _index_of(entries)


class _Layout:
    """The bytes of a sample and the configuration, which all shards of a folder share."""

    def __init__(self, window_len: int, size_limit: int, level: int) -> None:
        if level not in _LEVELS:
            raise ValueError(f"zstd level {level} is none that MDS knows: {_LEVELS[0]} to {_LEVELS[-1]}")
        if size_limit > _LARGEST_SIZE_LIMIT:
            raise ValueError(f"a shard of {size_limit:,} bytes is too large for MDS, whose offsets are uint32")
        self.level = level
        self.schema = schema.windows_schema(window_len)
        self.sample = _sample_type(window_len * schema.FEATURE_COUNT * _FLOAT.itemsize)
        self.config: dict[str, Any] = {
            "version": VERSION,
            "format": "mds",
            "compression": f"zstd:{level}",
            "hashes": list(HASHES),
            "size_limit": size_limit,
            "column_names": list(COLUMNS),
            "column_encodings": list(COLUMNS.values()),
            "column_sizes": [_COLUMN_SIZES[encoding] for encoding in COLUMNS.values()],
        }
        self.config_bytes = json.dumps(self.config, sort_keys=True).encode()
        # As MDSWriter counts: a sample with its offset, and a shard with its count, last offset and configuration.
        fixed = 2 * _OFFSET.itemsize + len(self.config_bytes)
        one = _OFFSET.itemsize + self.sample.itemsize
        self.capacity = (size_limit - fixed) // one
        if self.capacity < 1:
            raise ValueError(
                f"a shard of {size_limit:,} bytes holds no sample: a shard takes {fixed:,} and each sample {one:,}; "
                "raise AIS_MDS_SIZE_LIMIT"
            )

    def encode(self, windows: Sequence[pa.RecordBatch]) -> NDArray[np.uint8]:
        """A shard's bytes, uint8, from windows as `check` accepts them."""
        count = sum(batch.num_rows for batch in windows)
        config_at = _OFFSET.itemsize * (count + 2)
        samples_at = config_at + len(self.config_bytes)
        shard = np.empty(samples_at + count * self.sample.itemsize, np.uint8)
        head = shard[:config_at].view(_OFFSET)
        head[0] = count
        head[1:] = samples_at + self.sample.itemsize * np.arange(count + 1, dtype=_OFFSET)
        shard[config_at:samples_at] = np.frombuffer(self.config_bytes, np.uint8)
        samples = shard[samples_at:].view(self.sample)
        samples["size"] = samples["features"].shape[1]
        first = 0
        for batch in windows:
            part = samples[first : first + batch.num_rows]
            part["features"] = _feature_bytes(batch.column("features"))
            part["mmsi"] = batch.column("mmsi").to_numpy()
            part["start"] = batch.column("start").cast(pa.int64()).to_numpy() // _MILLISECONDS
            part["track"] = batch.column("track").to_numpy()
            first += batch.num_rows
        return shard

    def check(self, table: pa.Table, where: str) -> None:
        """Raises MDSError for windows that have no exact form as samples."""
        if not table.schema.equals(self.schema):
            raise MDSError(f"{where} has the columns {_types(table.schema)}; expected are {_types(self.schema)}")
        for name in COLUMNS:
            if table[name].null_count:
                raise MDSError(f"{where} has {table[name].null_count:,} null in {name!r}; samples have no nulls")
        rest = table["start"].cast(pa.int64()).to_numpy() % _MILLISECONDS
        if rest.any():
            row = int(np.argmax(rest != 0))
            raise MDSError(f"{where}, row {row:,}: start {table['start'][row]} is not a whole second, as MDS keeps it")


def _sample_type(feature_bytes: int) -> np.dtype[np.void]:
    fields = [("size", _OFFSET), ("features", np.uint8, (feature_bytes,))]
    return np.dtype([*fields, ("mmsi", "<i4"), ("start", "<i8"), ("track", "<i8")])


def _feature_bytes(features: pa.FixedSizeListArray) -> NDArray[np.uint8]:
    """The windows' float32 as bytes: uint8, shape (n, window_len × 5 × 4); no copy on little-endian machines."""
    values = features.flatten().to_numpy().astype(_FLOAT, copy=False)
    return values.view(np.uint8).reshape(len(features), -1)


def _types(of: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}{'' if field.nullable else ' not null'}" for field in of)


def _shards_of(tables: Iterable[pa.Table], layout: _Layout) -> Iterator[list[pa.RecordBatch]]:
    """Cuts the stream of tables into shards of `capacity` windows, the last one perhaps of fewer."""
    shard: list[pa.RecordBatch] = []
    room = layout.capacity
    for number, table in enumerate(tables):
        layout.check(table, f"table {number:,} of windows")
        for batch in table.to_batches():
            first = 0
            while first < batch.num_rows:
                shard.append(batch.slice(first, room))
                first += shard[-1].num_rows
                room -= shard[-1].num_rows
                if not room:
                    yield shard
                    shard, room = [], layout.capacity
    if shard:
        yield shard


def _write_shard(layout: _Layout, windows: list[pa.RecordBatch], into: Path, number: int) -> dict[str, Any]:
    """Encodes, hashes, compresses and writes one shard; returns its entry in the index."""
    count = sum(batch.num_rows for batch in windows)
    raw = layout.encode(windows).data
    # The tables are not needed beside their encoded form: a shard counts once in the memory of a run.
    windows.clear()
    # One thread a shard. MDSWriter's binding splits a shard of some megabytes between the machine's cores, so that
    # its compressed bytes are slightly others than these.
    packed = zstandard.ZstdCompressor(level=layout.level).compress(raw)
    name = f"shard.{number:05}.mds"
    entry = layout.config | {
        "samples": count,
        "raw_data": _file_entry(name, raw),
        "zip_data": _file_entry(f"{name}.zstd", packed),
    }
    _write(into / entry["zip_data"]["basename"], packed)
    return entry


def _file_entry(name: str, data: memoryview | bytes) -> dict[str, Any]:
    return {"basename": name, "bytes": len(data), "hashes": {hash_: _hexdigest(hash_, data) for hash_ in HASHES}}


def _hexdigest(hash_: str, data: memoryview | bytes) -> str:
    return hashlib.new(hash_, data, usedforsecurity=False).hexdigest()


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        # A failing write, unlike a failing open, does not say of which file.
        raise OSError(error.errno, error.strerror, str(path)) from error


def _to_the_disk(path: Path) -> None:
    """Waits until a file is on the disk itself: after a power failure no index may speak of shards that are not."""
    try:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _index_of(entries: list[dict[str, Any]]) -> bytes:
    return json.dumps({"version": VERSION, "shards": entries}, sort_keys=True).encode()


def shard_entries(index: bytes, where: str) -> list[dict[str, Any]]:
    """The shards that an index.json lists. Raises MDSError, naming `where`, unless it is a sound one."""
    try:
        parsed = json.loads(index)
        version, entries = parsed["version"], parsed["shards"]
        names = [entry[part]["basename"] for entry in entries for part in _files(entry)]
    except (ValueError, KeyError, TypeError) as error:
        raise MDSError(f"{where} is not an MDS index ({error!r}): materialize mds_shards again") from error
    if version != VERSION:
        raise MDSError(f"{where} has MDS version {version!r}; known is {VERSION}: materialize mds_shards again")
    for name in names:
        if not _is_plain(name) or "/" in name:
            raise MDSError(f"{where} names the file {name!r}, which is not directly inside its folder")
    return entries


def _files(entry: dict[str, Any]) -> list[str]:
    """The parts of a shard's entry that name files: the raw shard and, if it is compressed, the file with it."""
    return [part for part in ("raw_data", "zip_data") if entry[part] is not None]


def _is_plain(path: str) -> bool:
    """Whether a path stays inside its folder, also where a backslash parts folders."""
    return stays_inside(path) and "\\" not in path


def read_shard(folder: Path, entry: dict[str, Any], window_len: int | None) -> pa.Table:
    """One shard's samples. Raises MDSError unless the shard is what its entry says."""
    path = folder / entry["zip_data"]["basename"]
    packed = path.read_bytes()
    _verify(packed, entry["zip_data"], path)
    raw = zstandard.ZstdDecompressor().decompress(packed)
    _verify(raw, entry["raw_data"], path)
    samples_at, next_at = np.frombuffer(raw, _OFFSET, 2, offset=_OFFSET.itemsize).tolist()
    width = (next_at - samples_at - _sample_type(0).itemsize) // _FLOAT.itemsize
    length = width // schema.FEATURE_COUNT
    if window_len not in (None, length):
        raise MDSError(f"{path} has windows of {length:,} positions, not {window_len:,}")
    samples = np.frombuffer(raw, _sample_type(width * _FLOAT.itemsize), entry["samples"], offset=samples_at)
    features = np.ascontiguousarray(samples["features"]).view(_FLOAT).astype(np.float32, copy=False)
    windows = schema.windows_schema(length)
    return pa.table(
        [
            pa.FixedSizeListArray.from_arrays(pa.array(features.reshape(-1)), type=windows.field("features").type),
            pa.array(np.ascontiguousarray(samples["mmsi"])),
            pa.array(np.ascontiguousarray(samples["track"])),
            pa.array(samples["start"] * _MILLISECONDS).cast(schema.UTC),
        ],
        schema=windows,
    )


def _verify(data: bytes, expected: dict[str, Any], path: Path) -> None:
    found = {hash_: _hexdigest(hash_, data) for hash_ in expected["hashes"]}
    if (len(data), found) != (expected["bytes"], expected["hashes"]):
        raise MDSError(
            f"{path} is damaged: {expected['basename']} has {len(data):,} bytes and {found}, the index says "
            f"{expected['bytes']:,} and {expected['hashes']}: materialize mds_shards again"
        )
