"""Packed positions: a local, memory-mapped copy of the track shards, shared by every run on this machine.

Pass 2 of the shuffle reads windows from random places of every shard. Parquet cannot be read so; 12
bytes a position in a memory map can, and the year's 42 GB need not fit into memory: what is not in the page
cache is read from disk.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ais_assets.io.lake import Lake
from ais_assets.store.file_locks import exclusively, if_free
from ais_assets.transforms.windows import PACKED_WORDS, pack_tables

PackedShard = NDArray[np.uint32]

_LONGEST_PACKING_SECONDS = 3600.0
_ATTEMPTS = 5
"""To open a shard that is published anew again and again."""


def read_packed(lake: Lake, shard: str) -> PackedShard:
    """A shard's packed positions in memory, uint32 (n, 3), from the lake: for where there is no room for the cache."""
    packed = np.empty((lake.describe("track_shards", shard).rows, PACKED_WORDS), np.uint32)
    done = 0
    for part in pack_tables(lake.row_groups("track_shards", shard)):
        packed[done : done + len(part)] = part
        done += len(part)
    return packed


class PackedPositions:
    """The cache folder. A shard is packed once for each time that it is published."""

    def __init__(self, folder: Path, lake: Lake) -> None:
        self._folder = folder / lake.identity()
        self._lake = lake

    def open(self, shards: Sequence[str]) -> list[PackedShard]:
        """Memory maps (n, 3) uint32 of the shards, in their order; packs those that are not in the cache.

        Raises OSError when a shard is published anew each time that it is about to be opened.
        """
        # Runs that begin together share the work: each begins elsewhere and passes over what another one packs.
        first = os.getpid() % max(1, len(shards))
        versions = self._lake.versions("track_shards")
        for shard in (*shards[first:], *shards[:first]):
            if shard not in versions or not self._packed(shard, versions[shard]).exists():
                self._pack(shard, wait=False)
        # Of one listing: packing may have taken long, and others may have published meanwhile.
        versions = self._lake.versions("track_shards")
        return [self._open(shard, versions.get(shard)) for shard in shards]

    def _path(self, shard: str) -> Path:
        return self._packed(shard, self._lake.object_version("track_shards", shard))

    def _packed(self, shard: str, version: str) -> Path:
        return self._folder / f"{shard}-{version}.packed"

    def _open(self, shard: str, version: str | None) -> PackedShard:
        for _ in range(_ATTEMPTS):
            try:
                return _mapped(self._path(shard) if version is None else self._packed(shard, version))
            except FileNotFoundError:
                # Not packed yet, or the shard was published anew and another run removed what was packed of it.
                self._pack(shard, wait=True)
                version = None
        raise OSError(
            f"track_shards[{shard}] was published anew {_ATTEMPTS} times while it was packed into {self._folder}: "
            "materialize windows when no run materializes tracks"
        )

    def _pack(self, shard: str, *, wait: bool) -> None:
        """Packs a shard unless it is there already; one that another run is packing is waited for, or left to it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = self._folder / f"{shard}.lock"
        with exclusively(lock, _LONGEST_PACKING_SECONDS) if wait else if_free(lock) as mine:
            if mine is False:
                return
            path = self._path(shard)
            if path.exists():
                return
            for stale in self._folder.glob(f"{shard}-*"):
                stale.unlink(missing_ok=True)
            part = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
            try:
                self._write(shard, part)
                # Published anew meanwhile, it is not known which of the two this is.
                if self._path(shard) == path:
                    part.replace(path)
            finally:
                part.unlink(missing_ok=True)

    def _write(self, shard: str, part: Path) -> None:
        """Packs the shard's positions into a file. Raises OSError, which names disk and setting where that is full."""
        try:
            with part.open("wb") as out:
                for packed in pack_tables(self._lake.row_groups("track_shards", shard)):
                    out.write(packed.data)
                out.flush()
                os.fsync(out.fileno())
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise OSError(
                error.errno,
                f"no space is left for packed positions, 12 bytes each, on the disk of {self._folder} (AIS_CACHE): "
                "make room, set AIS_CACHE to another disk, or AIS_GATHER_GIGABYTES to do without",
            ) from error


def _mapped(path: Path) -> PackedShard:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return np.empty((0, PACKED_WORDS), np.uint32)
        return np.memmap(file, np.uint32, mode="r").reshape(-1, PACKED_WORDS)
