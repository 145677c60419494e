"""The loader's cache of raw shards: nothing is read from it that was not checked against the published index.

mosaicml-streaming decides which shard is wanted when and which one has to go. This fetches a shard into memory,
checks it against its hash, and unpacks it beside the others under a temporary name; so a raw shard is there whole or
not at all, whoever is killed when, and several processes and jobs can share a folder.

A checked file is marked by its time of modification: a number made from the shard's hash and the machine's
boot. Whoever writes to it loses the mark, a shard of the same name from another publication never had it, and
after a crash of the machine, which may lose what was not yet on disk, no mark holds. Without it a file is
hashed again before use.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import gc
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import torch
import zstandard
from numpy.typing import NDArray
from streaming import Stream
from streaming.base.compression import decompress
from streaming.base.format.base.reader import FileInfo, Reader
from streaming.base.format.mds.reader import MDSReader
from streaming.base.hashing import get_hash, is_hash
from streaming.base.world import World
from torch import distributed as dist

from ais_assets.loader.remote import LoaderError, Remote
from ais_assets.loader.rows import FEATURES, ShardDamagedError, ShardRows

INDEX_FILE: Final = "index.json"
INDEX_VERSION: Final = 2
_PART_SUFFIX: Final = ".part"
_PIECE_BYTES: Final = 1 << 18
"""Unpacked at once. Larger pieces are new memory every time, which takes longer than to unpack into it."""


class PublishedStream(Stream):
    """A published MDS folder and its cache.

    To mosaicml-streaming it is a stream without a remote, since everything remote is done here. That also keeps it
    from refusing a folder which another job, or one that was killed, has registered.

    Args:
        remote: where the dataset is published; None: `local` is the dataset itself.
        local: the cache folder.
        split: a folder inside both, or None.
        retries: further attempts to read a file, and to fetch a damaged one.
        timeout: seconds for one attempt.
        s3: see `Remote`.
        limited: whether the cache has a limit, which shards of former publications must not exceed.

    Attributes:
        index_digest: sha256 of the index: which publication this is.

    Raises LoaderError when there is no index.
    """

    def __init__(
        self,
        remote: str | None,
        local: str,
        split: str | None,
        *,
        retries: int,
        timeout: float,
        s3: Mapping[str, str] | None,
        limited: bool,
    ) -> None:
        super().__init__(
            remote=None,
            local=str(Path(local).absolute()),
            split=split,
            download_retry=retries,
            download_timeout=timeout,
        )
        self.limited = limited
        self.folder = Path(self.local) / self.split
        base = str(local) if remote is None else remote.rstrip("/")
        uri = f"{base}/{self.split}" if self.split else base
        self.in_place = remote is None or _same_folder(uri, self.folder)
        self.published = Remote(uri, retries=retries, timeout=timeout, s3=s3)
        # Read anew at every start: a cached one may be stale.
        self._index = self._published_index()
        self.index_digest = hashlib.sha256(self._index).hexdigest()
        # Checked files that cannot be marked, or are somebody's own, as they were: their size, time and inode.
        self._checked_here: dict[str, tuple[int, int, int]] = {}

    def get_shards(self, world: World, allow_unsafe_types: bool) -> list[Reader]:
        """The index's shards. Raises LoaderError when it is damaged, or ranks have read different ones."""
        _agree(self._index, self.published.uri)
        with _uncollected():
            shards = _parse_index(self._index, self.published.uri, self.local, self.split)
        if world.is_local_leader and not self.in_place:
            _sweep(self.folder)
            if self.limited:
                self._sweep_superseded(shards)
            cached = self.folder / INDEX_FILE
            if not cached.is_file() or cached.read_bytes() != self._index:
                # Nothing here reads it; it makes the folder a dataset for mosaicml-streaming's own reader.
                self._write(cached, [self._index])
        for shard in shards:
            shard.validate(allow_unsafe_types)
        return shards

    def get_index_size(self) -> int:
        """Bytes of the index."""
        return len(self._index)

    def set_up_local(self, shards: list[Reader], cache_usage_per_shard: NDArray[np.int64]) -> None:
        """Counts the shards that are there already; they are checked when needed, and fetched anew if stale."""
        there = {entry.path for entry in _files(self.folder)}
        for number, shard in enumerate(shards):
            raw = shard.file_pairs[0][0]
            if f"{self.folder}/{raw.basename}" in there:
                cache_usage_per_shard[number] = raw.bytes

    def _sweep_superseded(self, shards: list[Reader]) -> None:
        """Removes the shards of former publications, which would take room beside the limit and never be evicted.

        A folder with an index of its own is another dataset's. A job that still reads a former publication fetches
        what it misses, as after any other job's eviction.
        """
        named = {str(self.raw_path(shard)) for shard in shards}
        for entry in _files(self.folder, but=lambda folder: (folder / INDEX_FILE).exists()):
            # Marks are whole seconds: whatever else has this suffix was not written here.
            if entry.name.endswith(".mds") and entry.path not in named and not entry.stat().st_mtime_ns % 10**9:
                with _may_be_others():
                    Path(entry.path).unlink(missing_ok=True)

    def raw_path(self, shard: Reader) -> Path:
        """Where the raw shard lies in the cache."""
        return self.folder / shard.file_pairs[0][0].basename

    def prepare_shard(self, shard: Reader) -> int:
        """Makes sure that the shard is in the cache, raw and checked; returns its bytes.

        Raises LoaderError when it cannot be had: it is missing, damaged twice, or there is no room.
        """
        raw, packed = shard.file_pairs[0]
        if not self._usable(shard):
            if packed is None and self.in_place:
                raise LoaderError(
                    f"{self.raw_path(shard)} is missing or damaged: restore it, or publish the dataset again"
                )
            self._fetch(shard)
        return raw.bytes

    def open_rows(self, shard: Reader) -> ShardRows:
        """Maps a prepared shard.

        Raises FileNotFoundError when it is not in the cache, checked; LoaderError when it is no shard of windows.
        """
        path = self.raw_path(shard)
        if not self._usable(shard):
            raise FileNotFoundError(path)
        assert isinstance(shard, MDSReader)
        try:
            return ShardRows(path, shard)
        except ShardDamagedError as error:
            raise LoaderError(f"{path} is not what {self.published.uri}/{INDEX_FILE} says: {error}") from error

    def _usable(self, shard: Reader) -> bool:
        """Whether the cached raw file is the index's, by its mark or by its hash; marks it."""
        if self._is_checked(shard):
            return True
        raw = shard.file_pairs[0][0]
        path = self.raw_path(shard)
        if not path.is_file() or path.stat().st_size != raw.bytes:
            return False
        found = path.stat()
        if _hash_of(raw) is None:
            # Nothing tells whether these bytes are the index's; what is in place is all there is.
            if not self.in_place:
                return False
        elif not _matches(raw, path.read_bytes()):
            return False
        self._set_checked(shard, found)
        return True

    def _is_checked(self, shard: Reader) -> bool:
        raw = shard.file_pairs[0][0]
        try:
            found = self.raw_path(shard).stat()
        except FileNotFoundError:
            return False
        if found.st_size != raw.bytes:
            return False
        if self._checked_here.get(raw.basename) == _identity(found):
            return True
        return not self.in_place and found.st_mtime_ns == self._mark(shard)

    def _set_checked(self, shard: Reader, found: os.stat_result) -> None:
        """Marks a file that was checked as it was found."""
        name = shard.file_pairs[0][0].basename
        # The times of somebody's own files are left alone.
        self._checked_here[name] = _identity(found)
        if not self.in_place:
            with _may_be_others():
                os.utime(self.raw_path(shard), ns=(self._mark(shard), self._mark(shard)))
                self._checked_here.pop(name, None)

    def _mark(self, shard: Reader) -> int:
        raw = shard.file_pairs[0][0]
        # Without a hash a raw file cannot be checked again, only known to have been fetched for this very index.
        known_by = _hash_of(raw) or (raw.basename, self.index_digest)
        digest = hashlib.sha256(repr((known_by, raw.bytes, _boot() if _hash_of(raw) else "")).encode()).digest()
        # Whole seconds, below 2^31: any file system can keep them.
        return (int.from_bytes(digest[:4], "little") >> 1) * 10**9

    def _fetch(self, shard: Reader) -> None:
        """Fetches, checks, unpacks and publishes a shard; a damaged one is fetched anew."""
        raw, packed = shard.file_pairs[0]
        stored = packed or raw
        problem = ""
        for _ in range(1 + max(1, self.published.retries)):
            data = self._read(stored.basename)
            if not _matches(stored, data):
                problem = (
                    f"its {len(data):,} bytes are not those of the index ({stored.bytes:,} bytes, {stored.hashes})"
                )
                continue
            try:
                self._write(self.raw_path(shard), _unpacked(data, shard, raw), self._mark(shard))
            except ShardDamagedError as error:
                problem = str(error)
                continue
            self._checked_here.pop(raw.basename, None)
            return
        raise LoaderError(
            f"{self.published.uri}/{stored.basename} is damaged, also when fetched anew: {problem}. "
            "Materialize its pile in mds_shards again, then training_dataset; or restore the object"
        )

    def _read(self, name: str) -> bytes:
        try:
            return self.published.read(name)
        except FileNotFoundError:
            raise LoaderError(self._why_missing(name)) from None

    def _why_missing(self, name: str) -> str:
        missing = f"{self.published.uri}/{name} is missing, though the index names it"
        if not self.in_place and self._published_index() != self._index:
            return f"{missing}: the dataset was published anew since this job started. Start the job again"
        return f"{missing}. Restore it, or materialize its pile in mds_shards again, then training_dataset"

    def _published_index(self) -> bytes:
        try:
            return self.published.read(INDEX_FILE)
        except FileNotFoundError:
            raise LoaderError(
                f"{self.published.uri} has no {INDEX_FILE}: materialize training_dataset, or correct the address"
            ) from None

    def _write(self, path: Path, pieces: Any, mark: int | None = None) -> None:
        """Publishes a file of the cache whole."""
        part: Path | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part, file = _new_part(path)
            with file:
                for piece in pieces:
                    file.write(piece)
                file.flush()
                if mark is not None:
                    os.utime(file.fileno(), ns=(mark, mark))
                part.replace(path)
        except OSError as error:
            cure = (
                "free some space, name another folder as `local`, or set cache_limit"
                if error.errno in (errno.ENOSPC, errno.EDQUOT)
                else "check the folder and its permissions, or name another one as `local`"
            )
            raise LoaderError(f"{path} cannot be written into the cache: {error.strerror or error}: {cure}") from error
        finally:
            if part is not None:
                part.unlink(missing_ok=True)


def _identity(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ino


def _same_folder(uri: str, folder: Path) -> bool:
    """Whether an address is that folder, perhaps by another name: through a link, a mount or `..`."""
    path = uri.removeprefix("file://")
    return "://" not in path and Path(path).exists() and folder.exists() and folder.samefile(path)


def _files(folder: Path, but: Callable[[Path], bool] = lambda _: False) -> list[os.DirEntry[str]]:
    """All files under a folder, but in some; none where it is absent or no folder, which writing to it will say."""
    found: list[os.DirEntry[str]] = []
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            found += [] if but(Path(entry.path)) else _files(Path(entry.path), but)
        else:
            found.append(entry)
    return found


def _new_part(path: Path) -> tuple[Path, BinaryIO]:
    """A new temporary file beside a file of the cache, locked, which says that its writer lives."""
    while True:
        part = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}{_PART_SUFFIX}")
        file = part.open("xb")
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return part, file
        # A job that started just then has swept it away before it was locked.
        file.close()


def _sweep(folder: Path) -> None:
    """Removes unfinished files whose writers were killed: their locks can be taken."""
    for entry in _files(folder):
        if not entry.name.endswith(_PART_SUFFIX):
            continue
        try:
            with _may_be_others(), Path(entry.path).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                Path(entry.path).unlink(missing_ok=True)
        except (BlockingIOError, FileNotFoundError):
            continue


@contextmanager
def _may_be_others() -> Iterator[None]:
    """Leaves a file alone that is another user's, or on a disk that cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise


def _agree(index: bytes, uri: str) -> None:
    """Checks that all ranks have read the same index; a dataset may be published in the middle of a start."""
    if not (dist.is_available() and dist.is_initialized()):
        return
    digest = int.from_bytes(hashlib.sha256(index).digest()[:8], "little", signed=True)
    device = "cpu"
    if dist.get_backend() == "nccl":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    ours = torch.tensor([digest], dtype=torch.int64, device=device)
    all_digests = [torch.empty_like(ours) for _ in range(dist.get_world_size())]
    dist.all_gather(all_digests, ours)
    if any(int(other) != digest for other in all_digests):
        raise LoaderError(f"{uri} was published anew while this job's ranks were starting: start the job again")


def _parse_index(index: bytes, uri: str, local: str, split: str) -> list[Reader]:
    """Readers of the index's shards. Raises LoaderError when it is not an index of windows."""
    where = f"{uri}/{INDEX_FILE}"
    try:
        parsed = json.loads(index)
        version, infos = parsed["version"], parsed["shards"]
    except (ValueError, KeyError, TypeError) as error:
        raise LoaderError(f"{where} is empty or damaged ({error}): materialize training_dataset again") from error
    if version != INDEX_VERSION:
        raise LoaderError(f"{where} has version {version}; this loader reads {INDEX_VERSION}")
    shards: list[Reader] = []
    for number, info in enumerate(infos):
        try:
            shards.append(_reader(info, local, split))
        except (ValueError, KeyError, TypeError) as error:
            raise LoaderError(f"{where}: shard {number} of {len(infos)}: {error!s}") from error
    return shards


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keeps Python from looking for garbage meanwhile: among a million new objects that stay, that takes a second."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _reader(info: Mapping[str, Any], local: str, split: str) -> MDSReader:
    """A shard of the index. Raises ValueError, KeyError or TypeError when it cannot hold windows.

    As MDSReader.from_json, which copies all that is in it: a year has 30,000 shards.
    """
    values = dict(info)
    version, kind = values.pop("version"), values.pop("format")
    if (version, kind) != (INDEX_VERSION, "mds"):
        raise ValueError(f"its format is {kind!r}, version {version}; this loader reads 'mds', {INDEX_VERSION}")
    columns = dict(zip(info["column_names"], info["column_encodings"], strict=True))
    if columns.get(FEATURES) != "bytes":
        raise ValueError(f"it has the columns {columns}; this loader needs {FEATURES}: bytes")
    for part in ("raw_data", "zip_data"):
        if values[part]:
            values[part] = FileInfo(**values[part])
            name = values[part].basename
            if name.startswith("/") or ".." in name.split("/"):
                raise ValueError(f"it names the file {name!r}, which is not inside its folder")
    return MDSReader(local, split, **values)


def _hash_of(info: FileInfo) -> tuple[str, str] | None:
    """A hash that the index has of a file and that can be computed here, as (algorithm, digest)."""
    return next(((name, digest) for name, digest in sorted(info.hashes.items()) if is_hash(name)), None)


def _matches(info: FileInfo, data: bytes) -> bool:
    """Whether the bytes are the index's, as far as it says."""
    known = _hash_of(info)
    return len(data) == info.bytes and (known is None or get_hash(known[0], data) == known[1])


def _unpacked(data: bytes, shard: Reader, raw: FileInfo) -> Any:
    """The raw shard in pieces. Raises ShardDamagedError, at the latest after the last one, when it is not whole."""
    compression = (shard.compression or "").partition(":")[0]
    if not compression:
        yield data
        return
    if compression != "zstd":
        try:
            whole = decompress(shard.compression, data)
        except Exception as error:  # every compression raises its own kinds
            raise ShardDamagedError(f"it does not unpack: {error}") from error
        if len(whole) != raw.bytes:
            raise ShardDamagedError(f"it unpacks to {len(whole):,} bytes; the index says {raw.bytes:,}")
        yield whole
        return
    size = 0
    # mosaicml-streaming's own binding keeps the GIL while it unpacks.
    reader = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True)
    try:
        while piece := reader.read(_PIECE_BYTES):
            size += len(piece)
            yield piece
    except zstandard.ZstdError as error:
        raise ShardDamagedError(f"it does not unpack after {size:,} bytes: {error}") from error
    if size != raw.bytes:
        raise ShardDamagedError(f"it unpacks to {size:,} bytes; the index says {raw.bytes:,}")


@functools.cache
def _boot() -> str:
    """A name for the time since the machine was started; empty where the system has none."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.is_file() else ""
