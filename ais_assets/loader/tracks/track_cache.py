"""The cache of packed tracks: a folder that all of a machine's processes and jobs share.

A track file is fetched whole, checked against the index's sha256, and packed into files named after that sha256, beside
a list of their own digests, which comes last: what has no list is not there. So a file is packed whole or not at all,
whoever is killed when. Nothing is read that was not checked: files carry a mark, their time of modification, made from
their digest and the machine's boot; whoever writes to one loses it, and after a crash of the machine no mark holds.
A file without its mark is hashed again, and packed again where it is not what its list says.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ais_assets.loader.errors import LoaderError
from ais_assets.loader.mapped import MappedPart, mapped_in_a_row
from ais_assets.loader.progress import FetchProgress
from ais_assets.loader.remote import Remote, give_up_when
from ais_assets.loader.tracks.packed_tracks import (
    ANCHOR_ROWS,
    CHANNEL_COLUMNS,
    PACKED_COLUMNS,
    TRACK_NUMBERS,
    PackedRows,
    PackedTracks,
    TrackList,
    packed_parts,
    padded,
)
from ais_assets.loader.tracks.track_index import IndexedFile, TracksIndex
from ais_assets.loader.world import World
from ais_assets.machine import available_memory, boot_id, usable_cores
from ais_assets.store.file_locks import exclusively, left_behind, sign_of_life

POSITION_BYTES: Final = 12
_ROW_BYTES: Final = {"positions": POSITION_BYTES, "channels": 2}
_TRACK_BYTES: Final = 8 * len(TRACK_NUMBERS)
ROW_GROUP_BYTES: Final = 150 << 20
"""That a thread takes for a row group, as it is and packed, beside the file that it is of."""
_LEAST_MEMORY: Final = 1 << 30
PACKING_SHARE: Final = 8
"""Of what is available, one in so many parts is for the files that this machine's ranks pack."""
CACHE_FOLDER: Final = "tracks"
"""In the folder that a user names, which may be that of other caches."""
LIST_SUFFIX: Final = ".json"
_WORK_SUFFIX: Final = ".packing"
_USED_SUFFIX: Final = ".index"
_OUR_NAMES: Final = re.compile(r"(?P<stem>(\w+-)?[0-9a-f]{16})\..+")
_ASK_AGAIN_SECONDS: Final = 0.05
_LONGEST_DERIVED_SECONDS: Final = 3600.0
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)
_READ_ONLY: Final = (errno.EROFS, errno.EACCES, errno.EPERM)


class TrackCache:
    """The packed tracks of one index.

    Args:
        folder: for the cache's own folder; made where it is missing.
        remote: the published `track_shards`.
        index: what is published there.
        threads: that fetch and pack, at most; None: as many as this rank has cores for. Each holds a track file in
            memory, and one of its row groups as it is and packed; fewer of them work where they would take too much.

    Raises LoaderError where the folder cannot be written.
    """

    def __init__(self, folder: Path, remote: Remote, index: TracksIndex, threads: int | None = None) -> None:
        self.folder = folder / CACHE_FOLDER
        self._remote = remote
        self._index = index
        ranks = World.detect().ranks_per_node
        self._threads = threads_that_fit(
            threads or max(1, usable_cores() // ranks),
            (file.size for file in index.files),
            max(_LEAST_MEMORY, (available_memory() or 0) // PACKING_SHARE) // ranks,
        )
        self._in_use = self._say_in_use()

    def close(self) -> None:
        """Lets later jobs remove what only this index names."""
        if self._in_use is not None:
            os.close(self._in_use)
            self._in_use = None

    def open(self, *, channels: bool) -> PackedTracks:
        """All tracks, mapped; fetches and packs what is not there.

        Raises LoaderError where a track file cannot be had, is damaged or holds no tracks, or there is no room.
        """
        kinds = ("positions", "channels") if channels else ("positions",)
        files = self._index.files
        # Processes that begin together share the work: each begins elsewhere.
        first = os.getpid() % max(1, len(files))
        stop = Event()
        with ThreadPoolExecutor(
            self._threads, thread_name_prefix="tracks", initializer=give_up_when, initargs=(stop,)
        ) as pool:
            tasks = {pool.submit(self._prepare, file, kinds): file for file in (*files[first:], *files[:first])}
            lists: dict[str, dict[str, Any]] = {}
            progress = FetchProgress(
                f"Tracks of {self._remote.uri}", sum(file.size for file in files), shown=World.detect().leads_node
            )
            try:
                with progress:
                    for task in as_completed(tasks):
                        lists[tasks[task].name] = task.result()
                        progress.advance(tasks[task].size)
            except BaseException:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return self._mapped([lists[file.name] for file in files], kinds)

    def _mapped(self, lists: list[dict[str, Any]], kinds: tuple[str, ...]) -> PackedTracks:
        rows = [padded(of["rows"]) for of in lists]
        stems = [self.stem(file) for file in self._index.files]

        def parts(kind: str, row_bytes: float) -> list[MappedPart]:
            return [
                MappedPart(self.folder / f"{stem}.{kind}", int(count * row_bytes))
                for stem, count in zip(stems, rows, strict=True)
            ]

        columns = np.empty(
            (len(TRACK_NUMBERS), sum(of["files"]["tracks"]["size"] for of in lists) // _TRACK_BYTES), np.int64
        )
        first = 0
        # File by file into their place: a year's are 26 MB, which need not be there twice.
        for stem, begin in zip(stems, np.cumsum([0, *rows[:-1]]).tolist(), strict=True):
            of_file = np.fromfile(self.folder / f"{stem}.tracks", np.int64).reshape(-1, len(TRACK_NUMBERS))
            columns[:, first : first + len(of_file)] = of_file.T
            columns[1, first : first + len(of_file)] += begin
            first += len(of_file)
        track, row, count, end, split = columns
        has_channels = "channels" in kinds
        packed = PackedRows(
            mapped_in_a_row(parts("positions", POSITION_BYTES), np.uint32, 3),
            mapped_in_a_row(parts("channels", 2) if has_channels else [], np.uint16),
            mapped_in_a_row(parts("anchors", 4 / ANCHOR_ROWS), np.uint32),
        )
        return PackedTracks(packed, track, row, count, end, split)

    @staticmethod
    def stem(file: IndexedFile) -> str:
        """What the names of a track file's packed files begin with."""
        return f"{Path(file.name).stem}-{file.sha256[:16]}"

    def _prepare(self, file: IndexedFile, kinds: tuple[str, ...]) -> dict[str, Any]:
        """The list of a track file's packed files, once they are there."""
        stem = self.stem(file)
        # Another process takes at most as long as this one would; and again, if it gives up.
        deadline = time.monotonic() + 2 * (2 + self._remote.retries) * self._remote.longest_read
        while True:
            there = self._usable(stem, kinds)
            if there is not None:
                return there
            with self._at_work(stem) as mine:
                if mine:
                    # Another process may just have done it.
                    return self._usable(stem, kinds) or self._pack(file, stem, kinds)
            if time.monotonic() > deadline:
                raise LoaderError(
                    f"{self.folder / stem} is being packed by another process, which does not come to an end: is it "
                    "stopped? End it, or name another folder as `local`"
                )
            time.sleep(_ASK_AGAIN_SECONDS)

    @contextmanager
    def _at_work(self, stem: str) -> Iterator[bool]:
        """Whether this process is the one to pack a file; what a killed one has left is cleared away."""
        sign = self.folder / f"{stem}{_WORK_SUFFIX}"
        try:
            held = sign_of_life(sign, anew=True)
        except FileExistsError:
            with left_behind(sign) as dead:
                if dead:
                    sign.unlink(missing_ok=True)
            yield False
            return
        except OSError as error:
            raise self._not_written(sign, error) from error
        try:
            yield held is not None
        finally:
            if held is not None:
                sign.unlink(missing_ok=True)
                os.close(held)

    def _usable(self, stem: str, kinds: tuple[str, ...]) -> dict[str, Any] | None:
        """The list, where all its files are there and what it says."""
        path = self.folder / f"{stem}{LIST_SUFFIX}"
        try:
            listed = json.loads(path.read_bytes())
            wanted = {kind: listed["files"][kind] for kind in (*kinds, "anchors", "tracks")}
            whole = all(self._is_whole(self.folder / f"{stem}.{kind}", of) for kind, of in wanted.items())
            return listed if whole and listed["rows"] >= 0 else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            # Not packed yet, without a channel asked for now, or damaged: it is packed anew.
            return None

    @staticmethod
    def _is_whole(path: Path, of: Mapping[str, Any]) -> bool:
        found = path.stat()
        if found.st_size != of["size"]:
            return False
        mark = mark_of(of["sha256"])
        if found.st_mtime_ns == mark:
            return True
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != of["sha256"]:
                return False
        try:
            os.utime(path, ns=(mark, mark))
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise
        return True

    def _pack(self, file: IndexedFile, stem: str, kinds: tuple[str, ...]) -> dict[str, Any]:
        """Fetches and packs a track file, and publishes the list of what that gave."""
        data = self._fetched(file)
        where = f"{self._remote.uri}/{file.name}"
        parts = {kind: self.folder / f"{stem}.{kind}.part" for kind in (*kinds, "anchors", "tracks")}
        try:
            rows, digests = self._write_parts(data, where, parts, file.rows)
            listed = {
                "rows": rows,
                "files": {
                    kind: self._publish(part, self.folder / f"{stem}.{kind}", digests[kind])
                    for kind, part in parts.items()
                },
            }
            part = parts["tracks"]
            part.write_text(json.dumps(listed, sort_keys=True))
            part.replace(self.folder / f"{stem}{LIST_SUFFIX}")
        except OSError as error:
            raise self._not_written(self.folder / stem, error) from error
        finally:
            for part in parts.values():
                with suppress(OSError):
                    part.unlink(missing_ok=True)
        return listed

    def _write_parts(
        self, data: bytes, where: str, parts: Mapping[str, Path], rows_of_index: int
    ) -> tuple[int, dict[str, str]]:
        """Packs a track file's bytes into these files, which end in holes; returns its rows and the files' sha256."""
        rows = 0
        tracks = TrackList()
        with ExitStack() as stack:
            out = {kind: _HashedFile(stack.enter_context(path.open("wb"))) for kind, path in parts.items()}
            try:
                file = stack.enter_context(pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True))
                wanted = {*PACKED_COLUMNS, *(CHANNEL_COLUMNS if "channels" in parts else ())}
                columns = [name for name in file.schema_arrow.names if name in wanted]
                groups = range(file.num_row_groups)
                tables = (file.read_row_group(group, columns=columns, use_threads=False) for group in groups)
                for part in packed_parts(tables, channels="channels" in parts):
                    out["positions"].write(part.positions.data)
                    if "channels" in out:
                        out["channels"].write(part.channels.data)
                    anchored = part.times[-rows % ANCHOR_ROWS :: ANCHOR_ROWS]
                    out["anchors"].write(anchored.astype(np.uint32).data)
                    tracks.add(part)
                    rows += part.table.num_rows
            except (ValueError, KeyError, pa.ArrowException) as error:
                raise LoaderError(f"{where} holds no tracks that this loader can read: {error}") from error
            if rows != rows_of_index:
                raise LoaderError(
                    f"{where} has {rows:,} positions, the index {rows_of_index:,}: materialize training_dataset again"
                )
            out["tracks"].write(tracks.numbers().data)
            for kind, row_bytes in (*_ROW_BYTES.items(), ("anchors", 4 / ANCHOR_ROWS)):
                if kind in out:
                    out[kind].extend(int(padded(rows) * row_bytes))
        return rows, {kind: file.sha256 for kind, file in out.items()}

    @staticmethod
    def _publish(part: Path, path: Path, digest: str) -> dict[str, Any]:
        os.utime(part, ns=(mark_of(digest), mark_of(digest)))
        size = part.stat().st_size
        part.replace(path)
        return {"size": size, "sha256": digest}

    def _fetched(self, file: IndexedFile) -> bytes:
        """The bytes that the index means, from the file or from where it was kept when its partition was rebuilt."""
        problem = ""
        for _ in range(1 + max(1, self._remote.retries)):
            found = False
            for name in filter(None, (file.name, file.kept)):
                try:
                    data = self._remote.read(name)
                except FileNotFoundError:
                    continue
                found = True
                if len(data) == file.size and hashlib.sha256(data).hexdigest() == file.sha256:
                    return data
                problem = f"its {len(data):,} bytes are not the {file.size:,} of the index"
            if not found:
                raise LoaderError(f"{self._remote.uri}/{file.name} is missing, though the index names it: {_CURE}")
        raise LoaderError(
            f"{self._remote.uri}/{file.name} is damaged or of another publication, also when fetched anew: {problem}: "
            f"{_CURE}"
        )

    def read_vessels(self) -> pa.Table:
        """The published vessels. Raises LoaderError where there are none or they are damaged."""
        if self._index.vessels is None:
            raise LoaderError(f"{self._remote.uri} was published without vessels: materialize training_dataset again")
        return pq.read_table(pa.BufferReader(self._fetched(self._index.vessels)))

    def has_vessels(self) -> bool:
        """Whether vessels were published with the tracks."""
        return self._index.vessels is not None

    def derived(self, name: str, write: Callable[[Path], None]) -> Path:
        """A file computed from this index's tracks, a function of its name; `write` makes it where it is missing.

        Raises LoaderError where it cannot be written, or another process does not come to an end of making it.
        """
        stem = f"{self._index.digest[:16]}.{name}"
        path = self.folder / stem
        deadline = time.monotonic() + _LONGEST_DERIVED_SECONDS
        while not self._has_derived(path):
            with self._at_work(stem) as mine:
                if mine and not self._has_derived(path):
                    self._make_derived(path, write)
            if time.monotonic() > deadline:
                raise LoaderError(f"{path} is being made by another process, which does not come to an end: end it")
            time.sleep(0 if mine else _ASK_AGAIN_SECONDS)
        return path

    def _has_derived(self, path: Path) -> bool:
        try:
            return self._is_whole(path, json.loads(path.with_name(f"{path.name}{LIST_SUFFIX}").read_bytes()))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return False

    def _make_derived(self, path: Path, write: Callable[[Path], None]) -> None:
        part = path.with_name(f"{path.name}.part")
        try:
            write(part)
            with part.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            listed = self._publish(part, path, digest)
            part.write_text(json.dumps(listed))
            part.replace(path.with_name(f"{path.name}{LIST_SUFFIX}"))
        except OSError as error:
            raise self._not_written(path, error) from error
        finally:
            part.unlink(missing_ok=True)

    def _say_in_use(self) -> int | None:
        """Marks this index as used for as long as the process lives, and removes what no used index names."""
        path = self.folder / f"{self._index.digest[:16]}{_USED_SUFFIX}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with exclusively(self.folder / ".lock"):
                if not path.exists():
                    path.write_bytes(self._index.to_json())
                held = sign_of_life(path, anew=False)
                self._sweep()
        except OSError as error:
            if error.errno in _READ_ONLY and self.folder.is_dir():
                # Whoever may not write here can still read what others have packed.
                return None
            raise self._not_written(path, error) from error
        return held

    def _sweep(self) -> None:
        """Removes the packed files of indexes that no process uses any more."""
        named: set[str] = set()
        for used in self.folder.glob(f"*{_USED_SUFFIX}"):
            with left_behind(used) as dead:
                if dead:
                    used.unlink(missing_ok=True)
                    continue
            with suppress(LoaderError, FileNotFoundError):
                index = TracksIndex.parsed(used.read_bytes(), str(used))
                named |= {used.stem, *(self.stem(file) for file in index.files)}
        for file in self.folder.iterdir():
            ours = _OUR_NAMES.fullmatch(file.name)
            if ours is not None and ours["stem"] not in named and not file.name.endswith(_USED_SUFFIX):
                file.unlink(missing_ok=True)

    def _not_written(self, path: Path, error: OSError) -> LoaderError:
        cure = (
            f"free some space ({POSITION_BYTES} bytes a position are needed) or name another folder as `local`"
            if error.errno in _NO_ROOM
            else "check the folder and its permissions, or name another one as `local`"
        )
        return LoaderError(f"{path} cannot be written into the cache: {error.strerror or error}: {cure}")


class _HashedFile:
    """A file that is hashed while it is written, from its beginning to its end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, data: memoryview) -> None:
        """Appends an array's bytes."""
        data = data.cast("B") if data.nbytes else memoryview(b"")
        self._file.write(data)
        self._digest.update(data)
        self._size += len(data)

    def extend(self, size: int) -> None:
        """Ends it with a hole, so that it is of this size."""
        self._file.truncate(size)
        self._digest.update(bytes(size - self._size))
        self._size = size

    @property
    def sha256(self) -> str:
        """Of what it is now, hexadecimal."""
        return self._digest.hexdigest()


_CURE: Final = (
    "if the dataset was published anew since this job started, start it again; else restore the file, or materialize "
    "its shard in track_shards again, then training_dataset"
)


def threads_that_fit(threads: int, sizes: Iterable[int], memory: int) -> int:
    """So many threads, or as many as can hold the largest of these files and a row group of it; one at least."""
    return max(1, min(threads, memory // (max((0, *sizes)) + ROW_GROUP_BYTES)))


def mark_of(digest: str) -> int:
    """A time of modification in whole seconds, below 2^31: any file system can keep it."""
    of_boot = hashlib.sha256(f"{digest} {boot_id()}".encode()).digest()
    return (int.from_bytes(of_boot[:4], "little") >> 1) * 10**9
