"""A published MDS dataset and its cache: nothing is read from it that was not checked against the published index.

A shard is fetched into memory, checked against its hash, and unpacked beside the others under a temporary name; so a
raw shard is there whole or not at all, whoever is killed when, and several processes and jobs can share a folder.

A checked file is marked by its time of modification: a number made from the shard's hash and the machine's
boot. Whoever writes to it loses the mark, a shard of the same name from another publication never had it, and
after a crash of the machine, which may lose what was not yet on disk, no mark holds. Without it a file is
hashed again before use.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from ais_assets.loader.errors import LoaderError
from ais_assets.loader.mds.rows import ShardDamagedError, ShardRows
from ais_assets.loader.mds.shard_index import INDEX_FILE, Shard, StoredFile, parsed_index
from ais_assets.loader.mds.unpacking import unpacked
from ais_assets.loader.releases import PublishedIndex, published_index
from ais_assets.loader.remote import Remote
from ais_assets.machine import boot_id
from ais_assets.store.file_locks import left_behind, sign_of_life

_PART_SUFFIX: Final = ".part"


class PublishedShards:
    """The shards of a published MDS folder, and the cache that they are read from.

    Args:
        remote: where the dataset is published; None: `local` is the dataset itself.
        local: the cache folder.
        split: a folder inside both, or None.
        retries: further attempts to read a file, and to fetch a damaged one.
        timeout: seconds for one attempt.
        s3: see `Remote`.
        release: the one to read; None: the current one.

    Attributes:
        remote: where it is published.
        folder: the cache.
        in_place: whether both are the same folder.
        shards: what the index names, in its order.
        index_bytes: the size of the index.
        index_digest: sha256 of the index: which publication this is.
        release: that it says it is of; None where it says none.

    Raises LoaderError when there is no index, or not of that release, or it is damaged.
    """

    def __init__(
        self,
        remote: str | None,
        local: str,
        split: str | None,
        *,
        retries: int,
        timeout: float,
        s3: Mapping[str, str | bool] | None,
        release: str | None = None,
    ) -> None:
        self._wanted = release
        self.folder = Path(local).absolute() / (split or "")
        base = local if remote is None else remote.rstrip("/")
        uri = f"{base}/{split}" if split else base
        self.in_place = remote is None or _same_folder(uri, self.folder)
        self.remote = Remote(uri, retries=retries, timeout=timeout, s3=s3)
        # Read anew at every start: a cached one may be stale.
        self._index, self._beside = self._published_index()
        self.index_bytes = len(self._index)
        self.index_digest = hashlib.sha256(self._index).hexdigest()
        self.shards, self.release = parsed_index(self._index, self.remote.uri)
        # Checked files that cannot be marked, or are somebody's own, as they were: their size, time and inode.
        self._checked_here: dict[str, tuple[int, int, int]] = {}

    def set_up_cache(self, *, limited: bool) -> list[bool]:
        """Makes the cache ready for a job; by one process of each machine.

        Args:
            limited: whether the cache has a limit, which shards of former publications must not exceed.

        Returns, by shard, whether it is there already. It is checked when it is needed, and fetched anew if stale.
        """
        if not self.in_place:
            _sweep(self.folder)
            if limited:
                self._sweep_superseded()
            cached = self.folder / INDEX_FILE
            if not cached.is_file() or cached.read_bytes() != self._index:
                # Nothing here reads it; it makes the folder a dataset for mosaicml-streaming's own reader.
                self._write(cached, [self._index])
        there = {entry.path for entry in _files(self.folder)}
        return [f"{self.folder}/{shard.raw.name}" in there for shard in self.shards]

    def _sweep_superseded(self) -> None:
        """Removes the shards of former publications, which would take room beside the limit and never be evicted.

        A folder with an index of its own is another dataset's. A job that still reads a former publication fetches
        what it misses, as after any other job's eviction.
        """
        named = {str(self.raw_path(shard)) for shard in self.shards}
        for entry in _files(self.folder, but=lambda folder: (folder / INDEX_FILE).exists()):
            # Marks are whole seconds: whatever else has this suffix was not written here.
            if entry.name.endswith(".mds") and entry.path not in named and not entry.stat().st_mtime_ns % 10**9:
                with _may_be_others():
                    Path(entry.path).unlink(missing_ok=True)

    def raw_path(self, shard: Shard) -> Path:
        """Where the raw shard lies in the cache."""
        return self.folder / shard.raw.name

    def prepare(self, shard: Shard) -> None:
        """Makes sure that the shard is in the cache, raw and checked.

        Raises LoaderError when it cannot be had: it is missing, damaged twice, or there is no room.
        """
        if not self._usable(shard):
            if shard.packed is None and self.in_place:
                raise LoaderError(
                    f"{self.raw_path(shard)} is missing or damaged: restore it, or publish the dataset again"
                )
            self._fetch(shard)

    def open_rows(self, shard: Shard) -> ShardRows:
        """Maps a prepared shard.

        Raises FileNotFoundError when it is not in the cache, checked; LoaderError when it is no shard of windows.
        """
        path = self.raw_path(shard)
        if not self._usable(shard):
            raise FileNotFoundError(path)
        try:
            return ShardRows(path, shard.samples, shard.columns)
        except ShardDamagedError as error:
            raise LoaderError(f"{path} is not what {self.remote.uri}/{INDEX_FILE} says: {error}") from error

    def _usable(self, shard: Shard) -> bool:
        """Whether the cached raw file is the index's, by its mark or by its hash; marks it."""
        if self._is_checked(shard):
            return True
        path = self.raw_path(shard)
        if not path.is_file() or path.stat().st_size != shard.raw.size:
            return False
        found = path.stat()
        if shard.raw.digest is None:
            # Nothing tells whether these bytes are the index's; what is in place is all there is.
            if not self.in_place:
                return False
        elif not shard.raw.matches(path.read_bytes()):
            return False
        self._set_checked(shard, found)
        return True

    def _is_checked(self, shard: Shard) -> bool:
        try:
            found = self.raw_path(shard).stat()
        except FileNotFoundError:
            return False
        if found.st_size != shard.raw.size:
            return False
        if self._checked_here.get(shard.raw.name) == _identity(found):
            return True
        return not self.in_place and found.st_mtime_ns == self._mark(shard)

    def _set_checked(self, shard: Shard, found: os.stat_result) -> None:
        """Marks a file that was checked as it was found."""
        name = shard.raw.name
        # The times of somebody's own files are left alone.
        self._checked_here[name] = _identity(found)
        if not self.in_place:
            with _may_be_others():
                os.utime(self.raw_path(shard), ns=(self._mark(shard), self._mark(shard)))
                self._checked_here.pop(name, None)

    def _mark(self, shard: Shard) -> int:
        raw = shard.raw
        # Without a hash a raw file cannot be checked again, only known to have been fetched for this very index.
        known_by = raw.digest or (raw.name, self.index_digest)
        digest = hashlib.sha256(repr((known_by, raw.size, boot_id() if raw.digest else "")).encode()).digest()
        # Whole seconds, below 2^31: any file system can keep them.
        return (int.from_bytes(digest[:4], "little") >> 1) * 10**9

    def _fetch(self, shard: Shard) -> None:
        """Fetches, checks, unpacks and publishes a shard; a damaged one is fetched anew."""
        stored: StoredFile = shard.packed or shard.raw
        problem = ""
        for _ in range(1 + max(1, self.remote.retries)):
            data = self._read(stored.name)
            if not stored.matches(data):
                problem = f"its {len(data):,} bytes are not those of the index ({stored.described()})"
                continue
            try:
                raw = unpacked(data, shard.compression, shard.raw.size)
                self._write(self.raw_path(shard), raw, self._mark(shard))
            except ShardDamagedError as error:
                problem = str(error)
                continue
            self._checked_here.pop(shard.raw.name, None)
            return
        raise LoaderError(
            f"{self.remote.uri}/{stored.name} is damaged, also when fetched anew: {problem}. "
            "Materialize its pile in mds_shards again, then training_dataset; or restore the object"
        )

    def _read(self, name: str) -> bytes:
        try:
            return self.remote.read(name)
        except FileNotFoundError:
            raise LoaderError(self._why_missing(name)) from None

    def _why_missing(self, name: str) -> str:
        missing = f"{self.remote.uri}/{name} is missing, though the index names it"
        if not self.in_place and self._published_index().data != self._index:
            return f"{missing}: the dataset was published anew since this job started. Start the job again"
        return f"{missing}. Restore it, or materialize its pile in mds_shards again, then training_dataset"

    def read_beside(self, name: str) -> bytes:
        """A file that was published with the index. Raises FileNotFoundError where there is none."""
        return self.remote.read(f"{self._beside}{name}")

    def _published_index(self) -> PublishedIndex:
        try:
            return published_index(self.remote, INDEX_FILE, self._wanted)
        except FileNotFoundError:
            raise LoaderError(
                f"{self.remote.uri} has no {INDEX_FILE}: materialize training_dataset, or correct the address"
            ) from None

    def _write(self, path: Path, pieces: Iterable[bytes], mark: int | None = None) -> None:
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
    """A new temporary file beside a file of the cache, and with it a sign that its writer lives."""
    while True:
        part = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}{_PART_SUFFIX}")
        descriptor = sign_of_life(part, anew=True)
        if descriptor is not None:
            return part, os.fdopen(descriptor, "wb")


def _sweep(folder: Path) -> None:
    """Removes unfinished files whose writers were killed."""
    for entry in _files(folder):
        if entry.name.endswith(_PART_SUFFIX):
            with left_behind(Path(entry.path)) as ended:
                if ended:
                    Path(entry.path).unlink(missing_ok=True)


@contextmanager
def _may_be_others() -> Iterator[None]:
    """Leaves a file alone that is another user's, or on a disk that cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
