"""Small MDS datasets by mosaicml-streaming's own writer, for tests of the loader.

Importing it costs each process five seconds of a core, so that only those functions do that need it.
"""

from __future__ import annotations

import atexit
import json
import tempfile
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import distributed
from torch.utils.data import DataLoader

from ais_assets import schema
from ais_assets.io.parquet import write_parquet
from ais_assets.ledger import Ledger
from ais_assets.loader.world import World
from ais_assets.store.file_locks import exclusively
from ais_assets.stream import RecordStream

if TYPE_CHECKING:
    from streaming import StreamingDataset

WINDOW = 8
COLUMNS = {"features": "bytes", "mmsi": "int32", "start": "int64", "track": "int64"}
LIMIT = 1 << 12
"""Bytes of a shard before compression: some 17 samples."""


def windows(count: int, window_len: int = WINDOW, seed: int = 0) -> NDArray[np.float32]:
    """Random windows; the first value of each is its number, exactly."""
    features = np.random.default_rng(seed).normal(size=(count, window_len, schema.FEATURE_COUNT)).astype(np.float32)
    features[:, 0, 0] = np.arange(count)
    return features


def windows_table(features: NDArray[np.float32]) -> pa.Table:
    """The windows as the lake's Parquet has them."""
    kind = schema.windows_schema(features.shape[1])
    count = len(features)
    return pa.table(
        [
            pa.FixedSizeListArray.from_arrays(pa.array(features.reshape(-1)), type=kind.field("features").type),
            pa.array(201_000_000 + np.arange(count), pa.int32()),
            pa.array(np.arange(count) << 33, pa.int64()),
            pa.array((1_700_000_000 + np.arange(count)) * 1000, schema.UTC),
        ],
        schema=kind,
    )


def write_windows(path: Path, table: pa.Table, group: int) -> None:
    """Writes the table as the lake's Parquet, row groups of `group` windows."""
    tables = (table.slice(begin, group) for begin in range(0, table.num_rows, group))
    stream = RecordStream(table.schema, tables, Ledger(table.num_rows, table.num_rows))
    write_parquet(stream, path, asset="validation", partition=None, level=1)


def sample(number: int, features: NDArray[np.float32]) -> dict[str, Any]:
    """What a sample holds; mmsi, track and start tell its number."""
    return {
        "features": features.tobytes(),
        "mmsi": np.int32(201_000_000 + number),
        "start": np.int64(1_700_000_000 + number),
        "track": np.int64(number << 33),
    }


def write_dataset(
    into: Path,
    features: NDArray[np.float32],
    *,
    compression: str | None = "zstd:1",
    hashes: Iterable[str] = ("sha1",),
    columns: dict[str, str] | None = None,
    limit: int = LIMIT,
) -> Path:
    """Writes windows, and a statistics.json that says how long they are; returns the folder."""
    from streaming import MDSWriter

    columns = columns or COLUMNS
    with MDSWriter(
        columns=columns, out=str(into), compression=compression, hashes=list(hashes), size_limit=limit
    ) as writer:
        for number, window in enumerate(features):
            written = {**sample(number, window), "cargo": "x" * (number % 5)}
            writer.write({name: written[name] for name in columns})
    (into / "statistics.json").write_text(
        json.dumps({"duration_seconds": {"window": {"positions": features.shape[1]}}})
    )
    return into


def numbers(batches: Iterable[Any]) -> list[list[int]]:
    """The numbers of the windows in each batch of features."""
    return [batch[:, 0, 0].int().tolist() for batch in batches]


def stock_dataset(**options: Any) -> StreamingDataset:
    """mosaicml-streaming's own dataset; two that start at the same moment, in other test processes, would collide.

    Ranks follow their leader's start, at barriers. The lock files that it leaves are removed at exit.
    """
    from streaming import StreamingDataset
    from streaming.base.constant import BARRIER_FILELOCK, CACHE_FILELOCK

    leads = World.detect().leads_node
    with exclusively(Path(tempfile.gettempdir()) / "ais_assets_tests_stock_start") if leads else nullcontext():
        if distributed.is_initialized():
            distributed.barrier()  # every rank looks for a free number, which only now stays free
        dataset = StreamingDataset(**options)
    if leads:
        for name in (BARRIER_FILELOCK, CACHE_FILELOCK):
            lock_file = Path(tempfile.gettempdir()) / f"{dataset._shm_prefix_int:06}_{name}"
            atexit.register(lock_file.unlink, missing_ok=True)
    return dataset


def stock_batches(dataset: StreamingDataset, workers: int = 0) -> list[list[int]]:
    """The numbers of the samples in each batch, by mosaicml-streaming's own iteration."""
    loader = DataLoader(dataset, batch_size=dataset.batch_size, num_workers=workers)
    return [[track >> 33 for track in batch["track"].tolist()] for batch in loader]


def flip_a_bit(file: Path, at: int | None = None) -> None:
    """Damages a file in its middle, or at a byte."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 0x10
    file.write_bytes(data)


def bytes_in(folder: Path) -> int:
    """Bytes of the files in a folder in which files come and go."""
    total = 0
    for file in folder.iterdir():
        with suppress(FileNotFoundError):
            total += file.stat().st_size
    return total
