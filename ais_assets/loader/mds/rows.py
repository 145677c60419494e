"""A raw MDS shard as arrays over a memory map: any sample's features and columns without decoding it.

A shard is a uint32 count n, n + 1 uint32 offsets, the writer's configuration, and the samples. A sample is a uint32
size for each column of variable size, then the columns' values. Shards are written without padding, so values lie at
any byte; all are little-endian.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.loader.mapped import MappedPart, mapped_in_a_row
from ais_assets.loader.mds.shard_index import FEATURES, Columns

PROVENANCE: Final = ("mmsi", "track", "start")
"""Columns that say where a window came from; `start` is Unix time in seconds."""
_FLOATS: Final = ("float16", "float32", "float64")
_INTEGERS: Final = {"int32": "<i4", "int64": "<i8", "uint32": "<u4"}
_NUMBERS: Final = (*(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)), *_FLOATS)
POSITION_BYTES: Final = 4 * schema.FEATURE_COUNT


class ShardDamagedError(ValueError):
    """A raw shard is not what its index says; the message says in what."""


class ShardRows:
    """A raw shard, mapped.

    Args:
        path: of the file.
        samples: how many the index says that it has.
        columns: of its samples.

    Attributes:
        window_len: positions of a window.
        features: by sample, uint8 (window_len × 20,): the window's float32.
        provenance: by the column's name, then by sample.

    Raises FileNotFoundError where there is no such file, ShardDamagedError for one that is not the index's.
    """

    def __init__(self, path: Path, samples: int, columns: Columns) -> None:
        self._map = _mapped(path)
        self._of_samples = columns
        # Reads every page into memory and into this process's page table: a thread's work, not the training loop's.
        self._map[:: mmap.PAGESIZE].max()
        begins, feature_bytes = self._columns(self._offsets(samples), columns)
        if feature_bytes % POSITION_BYTES or not feature_bytes:
            raise ShardDamagedError(f"its windows of {feature_bytes:,} bytes are no whole number of positions")
        self.window_len = feature_bytes // POSITION_BYTES
        self.features: Sequence[NDArray[np.uint8]] = self._values(begins[FEATURES], np.dtype(np.uint8), feature_bytes)
        encodings = dict(zip(columns.names, columns.encodings, strict=True))
        self.provenance: dict[str, Sequence[NDArray[np.integer]]] = {
            name: self._values(begins[name], np.dtype(_INTEGERS[encodings[name]]), 1)
            for name in PROVENANCE
            if encodings.get(name) in _INTEGERS
        }

    def _offsets(self, samples: int) -> NDArray[np.int64]:
        """Where each sample begins, and where the last one ends: (samples + 1,)."""
        head = 4 * (samples + 2)
        if len(self._map) < head:
            raise ShardDamagedError(f"its {len(self._map):,} bytes are too few for {samples:,} samples")
        (count,) = np.frombuffer(self._map, "<u4", 1)
        if count != samples:
            raise ShardDamagedError(f"it says that it has {count:,} samples; the index says {samples:,}")
        offsets = np.frombuffer(self._map, "<u4", samples + 1, offset=4).astype(np.int64)
        if offsets[0] < head or offsets[-1] != len(self._map) or (np.diff(offsets) < 0).any():
            raise ShardDamagedError("its offsets do not fit its size")
        return offsets

    def sample(self, number: int) -> dict[str, Any]:
        """The values of one sample, by column, as mosaicml-streaming's reader decodes them.

        Raises TypeError for a column of an encoding other than bytes, str and numbers.
        """
        begin, end = (int(offset) for offset in np.frombuffer(self._map, "<u4", 2, offset=4 + 4 * number))
        data = self._map[begin:end].tobytes()
        variable = [not size for size in self._of_samples.sizes]
        lengths = iter(np.frombuffer(data, "<u4", sum(variable)).tolist())
        at = 4 * sum(variable)
        values: dict[str, Any] = {}
        for name, encoding, size in zip(
            self._of_samples.names, self._of_samples.encodings, self._of_samples.sizes, strict=True
        ):
            length = size or next(lengths)
            values[name] = _decoded(name, encoding, data[at : at + length])
            at += length
        return values

    def _columns(self, offsets: NDArray[np.int64], columns: Columns) -> tuple[dict[str, NDArray[np.int64]], int]:
        """Where each column's values begin, by name, each (samples,); and the bytes of a window."""
        begin = offsets[:-1]
        names, sizes = columns.names, columns.sizes
        variable = [name for name, size in zip(names, sizes, strict=True) if not size]
        head = 4 * len(variable)
        fixed = sum(size for size in sizes if size)
        if variable == [FEATURES]:
            # What is left of a sample: its own size field need not be read, which would touch every page.
            lengths = {FEATURES: np.diff(offsets) - head - fixed}
        else:
            fields = np.frombuffer(self._map, np.uint8)[begin[:, None] + np.arange(head)]
            lengths = dict(zip(variable, fields.view("<u4").astype(np.int64).T, strict=True))
        feature_bytes = int(lengths[FEATURES][0])
        if (lengths[FEATURES] != feature_bytes).any():
            raise ShardDamagedError("its windows are of different lengths")
        begins = {}
        begin = begin + head
        for name, size in zip(names, sizes, strict=True):
            begins[name] = begin
            begin = begin + (size or lengths[name])
        if (begin != offsets[1:]).any():
            raise ShardDamagedError("its samples are not of the size that their columns have")
        return begins, feature_bytes

    def _values(self, begins: NDArray[np.int64], kind: np.dtype, count: int) -> Sequence[NDArray]:
        """A column's `count` values of each sample: one strided array where samples are of one size, else a list."""
        step = int(begins[1] - begins[0]) if len(begins) > 1 else 0
        if (np.diff(begins) != step).any():
            return [np.frombuffer(self._map, kind, count, offset=begin) for begin in begins.tolist()]
        return np.ndarray(  # pyright: ignore[reportReturnType] - an array is a sequence of its rows
            (len(begins), count), kind, self._map, int(begins[0]), (step, kind.itemsize)
        )


def _decoded(name: str, encoding: str, value: bytes) -> Any:
    if encoding == "bytes":
        return value
    if encoding == "str":
        return value.decode()
    if encoding == "int":
        return int.from_bytes(value, "little", signed=True)
    if encoding in _NUMBERS:
        return np.frombuffer(value, np.dtype(encoding).newbyteorder("<"))[0]
    raise TypeError(f"column {name} is encoded as {encoding!r}; streaming.StreamingDataset reads such samples")


def _mapped(path: Path) -> NDArray[np.uint8]:
    """A file's bytes, mapped for as long as an array over them is there."""
    size = path.stat().st_size
    if not size:
        raise ShardDamagedError("it is empty")
    return mapped_in_a_row([MappedPart(path, size)], np.uint8)
