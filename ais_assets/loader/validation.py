"""Batches from a Parquet file of windows, with the interface of the training loader."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import torch
from torch.utils.data import get_worker_info

from ais_assets import schema
from ais_assets.loader.batch_dataset import BatchDataset
from ais_assets.loader.device import Batch, features_of
from ais_assets.loader.errors import LoaderError
from ais_assets.loader.mds.rows import PROVENANCE
from ais_assets.loader.mds.shard_index import FEATURES
from ais_assets.loader.normalize import check_normalize, normalize_in_place
from ais_assets.store.pinned import PinnedFiles, ReplacedError
from ais_assets.store.sealed_parquet import DamagedFileError, SealedFile

_FOOTER_END: Final = 8
"""Bytes after the footer: its length and the magic number."""


class ValidationDataset(BatchDataset):
    """The windows of a Parquet file as batches, in the file's order; every window once, over all ranks and workers.

    Each rank (and DataLoader worker) has a stretch of the file. A thread reads one batch ahead. For accelerate's
    `prepare()` it is as `AISMDSDataset`.

    Args:
        path: the file, e.g. materialized/validation.parquet.
        filesystem: where it is; default: local.
        batch_size: windows a batch; the last one of a rank may be smaller.
        drop_last: whether to drop that one.
        window_len: positions of a window, to be sure of it; None: as the file has it.
        provenance: yield (features, {"mmsi", "track", "start"}) instead of features alone; `start` is Unix time.
        normalize: "ranges", or statistics (the content of mds/statistics.json) for z-scores.
        device: copy batches there, one ahead.
        pin_memory: yield batches, and their provenance, in pinned host memory.

    Attributes:
        release: of the dataset that the file was published with; None where `Lake` did not say.

    Raises:
        ValueError: an option cannot be.
        LoaderError: the file cannot be read, is damaged or holds no windows; while iterating also: it was replaced.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        filesystem: pafs.FileSystem | None = None,
        batch_size: int = 64,
        drop_last: bool = False,
        window_len: int | None = None,
        provenance: bool = False,
        normalize: str | Mapping[str, Any] | None = None,
        device: str | torch.device | None = None,
        pin_memory: bool = False,
    ) -> None:
        super().__init__(batch_size=batch_size, drop_last=drop_last, device=device, pin_memory=pin_memory)
        self.release: str | None = None
        if normalize == "statistics":
            raise ValueError(
                "normalize is 'statistics', which this file has none of: give the content of the dataset's "
                "statistics.json, or use Lake.validation_loader, which reads it"
            )
        check_normalize(normalize, ("ranges",))
        self._path = os.fspath(path)
        self._filesystem = filesystem or pafs.LocalFileSystem()
        self._process = os.getpid()
        self.provenance = provenance
        self.normalize = normalize
        self._statistics = normalize if isinstance(normalize, Mapping) else None
        self._footer: str | None = None
        with self._open() as file:
            self.windows = file.metadata.num_rows
            self.window_len = self._window_len(file.schema_arrow)
        if window_len not in (None, self.window_len):
            raise LoaderError(f"{self._path} holds windows of {self.window_len} positions; expected are {window_len}")
        self._resumed: tuple[int, int] | None = None
        self._epoch = self._skipped = self._yielded = 0
        # Seen by all processes: the training process cannot know otherwise what its workers do.
        self._worker_began = torch.zeros(1, dtype=torch.bool).share_memory_()

    def __len__(self) -> int:
        """Batches of this rank, whatever the number of DataLoader workers."""
        first, last = self._windows_of_rank()
        return (last - first) // self.batch_size if self.drop_last else -(-(last - first) // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        """The batches of the next epoch, or of the rest of one after `load_state_dict`."""
        self._check_may_begin()
        if get_worker_info() is not None:
            self._worker_began[0] = True
        first, last = self._windows_of_worker()
        self._begin_epoch()
        batches = _one_ahead(self._read(min(first + self._skipped, last), last))
        for batch in self._delivered(batches, self.device):
            features = features_of(batch)
            self._yielded += len(features)
            if self.normalize is not None:
                normalize_in_place(features, self._statistics)
            yield batch

    def state_dict(self, num_samples: int | None = None, from_beginning: bool = False) -> dict[str, Any]:
        """Where the epoch is, as JSON values for `load_state_dict` on as many ranks.

        At an epoch's end it is the beginning of the next.

        Args:
            num_samples: windows yielded on all ranks; None: as counted by this dataset, which it can where it is
                iterated in this process.
            from_beginning: whether `num_samples` counts from the epoch's first window or from where it was resumed.
        """
        ranks = self._world.ranks
        if num_samples is None:
            if self._worker_began.item():
                raise ValueError(
                    "this dataset is iterated by DataLoader workers, which are ahead of the loop: pass num_samples"
                )
            num_samples, from_beginning = self._yielded * ranks, False
        epoch, skipped = self._resumed or (self._epoch, self._skipped)
        epoch, done = self._not_at_an_end(epoch, num_samples // ranks + (0 if from_beginning else skipped))
        return {"epoch": epoch, "sample_in_epoch": done * ranks, "ranks": ranks, "index": self._footer}

    def load_state_dict(self, obj: dict[str, Any]) -> None:
        """Continues, at the next `iter`, where the state says.

        Raises LoaderError when the state is of another file, ValueError when it is of another number of ranks, whose
        stretches of the file were others.
        """
        if obj["index"] != self._footer:
            raise LoaderError(f"the state is not of {self._path} as it is now: start the epoch anew")
        if obj["ranks"] != self._world.ranks:
            raise ValueError(
                f"the state is of {obj['ranks']} ranks, and these are {self._world.ranks}: start the epoch anew"
            )
        self._resumed = self._not_at_an_end(obj["epoch"], obj["sample_in_epoch"] // obj["ranks"])
        self._yielded = 0

    def _not_at_an_end(self, epoch: int, done: int) -> tuple[int, int]:
        """The same place, as windows of a rank, or the beginning of the next epoch where no batch of this one is left.

        That is so for all ranks at once, though some have one window more.
        """
        left = self.windows // self._world.ranks - done
        return (epoch + 1, 0) if left < (self.batch_size if self.drop_last else 1) else (epoch, done)

    def _begin_epoch(self) -> None:
        if self._resumed is not None and self._resumed[1] and get_worker_info() is not None:
            raise ValueError("an epoch cannot be gone on with in DataLoader workers: iterate the dataset itself")
        self._epoch, self._skipped = self._resumed or (self._epoch + bool(self._epochs_begun), 0)
        self._resumed = None
        self._epochs_begun += 1
        self._yielded = 0

    def _windows_of_rank(self) -> tuple[int, int]:
        """The windows, first and last + 1, that fall to this rank."""
        rank, ranks = self._world.rank, self._world.ranks
        return self.windows * rank // ranks, self.windows * (rank + 1) // ranks

    def _windows_of_worker(self) -> tuple[int, int]:
        """The windows, first and last + 1, that fall to this DataLoader worker of the rank: whole batches of it.

        So all workers together have as many batches as the rank alone, and none but its last is smaller.
        """
        first, last = self._windows_of_rank()
        world = self._world.with_workers()
        batches = -(-(last - first) // self.batch_size)
        begin, end = (batches * (world.worker_of_rank + k) // world.workers_per_rank for k in (0, 1))
        return first + begin * self.batch_size, min(first + end * self.batch_size, last)

    @contextmanager
    def _open(self) -> Iterator[pq.ParquetFile]:
        """The file, which is the one that the first call has found; errors of reading it say what to do."""
        if self._process != os.getpid():
            # A forked worker would read from its parent's connections; a copy opens its own.
            self._filesystem, self._process = copy.copy(self._filesystem), os.getpid()
        try:
            with self._filesystem.open_input_file(self._path) as source:
                footer = _footer_digest(source)
                if self._footer not in (None, footer):
                    raise self._replaced()
                self._footer = footer
                with SealedFile(source, self._path, "restore it, or materialize it again") as file:
                    yield file
        except DamagedFileError as error:
            raise LoaderError(str(error)) from error
        except ReplacedError as error:
            raise self._replaced() from error
        except (OSError, pa.ArrowException) as error:
            why = " ".join(str(error).split())
            raise LoaderError(
                f"{self._path} cannot be read: {why}. If it is there and the connection is sound, it is damaged: "
                "restore it, or materialize it again"
            ) from error

    def _replaced(self) -> LoaderError:
        return LoaderError(f"{self._path} was replaced since this loader was made: make it anew")

    def _window_len(self, columns: pa.Schema) -> int:
        kind = columns.field(FEATURES).type if FEATURES in columns.names else None
        if (
            kind is None
            or not pa.types.is_fixed_size_list(kind)
            or kind.value_type != pa.float32()
            or kind.list_size % schema.FEATURE_COUNT
        ):
            raise LoaderError(f"{self._path} holds no windows: its column {FEATURES} is {kind}")
        return kind.list_size // schema.FEATURE_COUNT

    def _read(self, first: int, last: int) -> Iterator[Batch]:
        """Batches of the windows from `first` to before `last`, all of them or LoaderError."""
        found = 0
        parts: list[pa.RecordBatch] = []
        for piece in self._pieces(first, last):
            found += piece.num_rows
            rest = piece
            while rest.num_rows:
                parts.append(rest.slice(0, self.batch_size - sum(part.num_rows for part in parts)))
                rest = rest.slice(parts[-1].num_rows)
                if sum(part.num_rows for part in parts) == self.batch_size:
                    yield self._batch(parts)
                    parts = []
        if found != last - first:
            raise LoaderError(
                f"{self._path} gave {found:,} of the {last - first:,} windows that its footer promises: "
                "materialize it again"
            )
        if parts and not self.drop_last:
            yield self._batch(parts)

    def _pieces(self, first: int, last: int) -> Iterator[pa.RecordBatch]:
        """The rows from `first` to before `last`; reads the row groups that hold them, one at a time."""
        with self._open() as file:
            names = file.schema_arrow.names
            columns = [FEATURES, *(name for name in PROVENANCE if self.provenance and name in names)]
            begin = 0
            for group in range(file.num_row_groups):
                end = begin + file.metadata.row_group(group).num_rows
                position = begin
                if begin < last and end > first:
                    for piece in file.iter_batches(self.batch_size, row_groups=[group], columns=columns):
                        skip = min(max(0, first - position), piece.num_rows)
                        yield piece.slice(skip, max(0, last - position - skip))
                        position += piece.num_rows
                begin = end
        if not _stays(self._filesystem):
            # Had another file taken its name meanwhile, the last of this could be that one's.
            with self._open():
                pass

    def _batch(self, parts: list[pa.RecordBatch]) -> Batch:
        count = sum(part.num_rows for part in parts)
        features = self._batch_memory.tensor((count, self.window_len, schema.FEATURE_COUNT), torch.float32)
        values = [part.column(FEATURES).flatten().to_numpy() for part in parts]
        if sum(map(len, values)) != features.numel():
            raise LoaderError(f"{self._path} has windows that are null: materialize it again")
        np.concatenate(values, out=features.numpy().reshape(-1))
        if not self.provenance:
            return features
        columns = {
            name: np.concatenate([_integers(part.column(name)) for part in parts])
            for name in parts[0].schema.names
            if name != FEATURES
        }
        return features, {name: self._batch_memory.column(column) for name, column in columns.items()}


def _stays(filesystem: pafs.FileSystem) -> bool:
    """Whether a file that is being read stays what it was when another one takes its name."""
    pinned = isinstance(filesystem, pafs.PyFileSystem) and isinstance(filesystem.handler, PinnedFiles)
    return pinned or isinstance(filesystem, pafs.LocalFileSystem)


def _integers(column: pa.Array) -> np.ndarray:
    values = column.to_numpy(zero_copy_only=False)
    return values.astype("datetime64[s]").astype(np.int64) if values.dtype.kind == "M" else values.astype(np.int64)


def _footer_digest(source: pa.NativeFile) -> str:
    """Which file it is: sha256 of its size and its footer, which has the place and size of every page's column."""
    size = source.size()
    tail = source.read_at(min(size, _FOOTER_END), max(0, size - _FOOTER_END))
    length = min(size, int.from_bytes(tail[:4], "little") + _FOOTER_END)
    return hashlib.sha256(size.to_bytes(8, "little") + source.read_at(length, size - length)).hexdigest()


def _one_ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The batches, each one read in a thread while its predecessor is used."""
    with ThreadPoolExecutor(1, thread_name_prefix="validation") as pool:
        upcoming = pool.submit(next, batches, None)
        while (batch := upcoming.result()) is not None:
            upcoming = pool.submit(next, batches, None)
            yield batch
