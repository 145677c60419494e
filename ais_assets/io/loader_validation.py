"""Batches from a Parquet file of windows, with the interface of the training loader."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import torch
from streaming.base.world import World
from torch.utils.data import IterableDataset

from ais_assets import schema
from ais_assets.io.loader_device import Batch, on_device
from ais_assets.io.loader_normalize import normalize_batch
from ais_assets.io.loader_remote import LoaderError
from ais_assets.io.loader_rows import PROVENANCE


class ValidationDataset(IterableDataset):
    """The windows of a Parquet file as batches, in the file's order; every window once, over all ranks and workers.

    Args:
        path: the file, e.g. materialized/validation.parquet.
        filesystem: where it is; default: local.
        batch_size: windows a batch; the last one of a rank (and DataLoader worker) may be smaller.
        provenance: yield (features, {"mmsi", "track", "start"}) instead of features alone; `start` is Unix time.
        normalize: "ranges", or statistics (the content of mds/statistics.json) for z-scores.
        device: copy batches there, one ahead.

    Raises LoaderError when the file holds no windows.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        filesystem: pafs.FileSystem | None = None,
        batch_size: int = 64,
        provenance: bool = False,
        normalize: str | dict[str, Any] | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
        if isinstance(normalize, str) and normalize != "ranges":
            raise ValueError(f"normalize is {normalize!r}; it must be 'ranges', statistics or None")
        self._path = str(path)
        self._filesystem = filesystem or pafs.LocalFileSystem()
        self._process = os.getpid()
        self._world = World.detect()
        self.batch_size = batch_size
        self.provenance = provenance
        self.normalize = normalize
        self.device = None if device is None else torch.device(device)
        with self._open() as file:
            self.windows = file.metadata.num_rows
            kind = file.schema_arrow.field("features").type if "features" in file.schema_arrow.names else None
        if kind is None or not pa.types.is_fixed_size_list(kind) or kind.list_size % schema.FEATURE_COUNT:
            raise LoaderError(f"{self._path} holds no windows: its column features is {kind}")
        self.window_len = kind.list_size // schema.FEATURE_COUNT

    def __len__(self) -> int:
        """Batches of this rank, where one process iterates it."""
        first, last = self._share(self._world)
        return ceil((last - first) / self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        batches: Iterator[Batch] = self._read(*self._share(self._world.detect_workers()))
        if self.device is not None:
            batches = on_device(batches, self.device)
        for batch in batches:
            yield self._normalized(batch)

    def _share(self, world: World) -> tuple[int, int]:
        """The windows, first and last + 1, that fall to a worker of a rank."""
        return (
            self.windows * world.worker // world.num_workers,
            self.windows * (world.worker + 1) // world.num_workers,
        )

    def _open(self) -> pq.ParquetFile:
        if self._process != os.getpid():
            # A forked worker would read from its parent's connections; a copy opens its own.
            self._filesystem, self._process = copy.copy(self._filesystem), os.getpid()
        return pq.ParquetFile(self._path, filesystem=self._filesystem)

    def _read(self, first: int, last: int) -> Iterator[Batch]:
        """Batches of the windows from `first` to before `last`; reads the row groups that hold them."""
        with self._open() as file:
            ends = np.cumsum([0] + [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)])
            groups = [g for g in range(file.num_row_groups) if ends[g] < last and ends[g + 1] > first]
            position = int(ends[groups[0]]) if groups else 0
            parts: list[pa.RecordBatch] = []
            count = 0
            for piece in file.iter_batches(batch_size=self.batch_size, row_groups=groups):
                skip = max(0, first - position)
                rest = piece.slice(skip, max(0, last - position - skip))
                position += piece.num_rows
                while rest.num_rows:
                    parts.append(rest.slice(0, self.batch_size - count))
                    rest = rest.slice(parts[-1].num_rows)
                    count += parts[-1].num_rows
                    if count == self.batch_size:
                        yield self._batch(parts)
                        parts, count = [], 0
            if parts:
                yield self._batch(parts)

    def _batch(self, parts: list[pa.RecordBatch]) -> Batch:
        windows = pa.Table.from_batches(parts).combine_chunks()
        values = np.concatenate([chunk.flatten().to_numpy() for chunk in windows["features"].chunks])
        features = torch.from_numpy(values.reshape(-1, self.window_len, schema.FEATURE_COUNT))
        if not self.provenance:
            return features
        columns = {name: windows[name].to_numpy() for name in PROVENANCE if name in windows.column_names}
        if "start" in columns:
            columns["start"] = columns["start"].astype("datetime64[s]")
        return features, {name: torch.from_numpy(column.astype(np.int64)) for name, column in columns.items()}

    def _normalized(self, batch: Batch) -> Batch:
        if self.normalize is None:
            return batch
        statistics = None if isinstance(self.normalize, str) else self.normalize
        if isinstance(batch, torch.Tensor):
            return normalize_batch(batch, statistics)
        return normalize_batch(batch[0], statistics), batch[1]
