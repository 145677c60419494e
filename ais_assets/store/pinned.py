"""Files for pyarrow that stay what they were: a read is of one version of each object, or ends with an error.

On a disk an open file stays as it is when another takes its name. On S3 every read is a request of its own, which
without a condition would be answered from whatever has the name by then; here each one asks for the version that was
there first (If-Match), and S3 refuses any other.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-reads.html
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.fs as pafs

from ais_assets.store.ranges import RangedObject, Tail


class StoreError(OSError):
    """The store cannot be reached or refuses; the message says where and what to do."""


class ReplacedError(StoreError):
    """An object was published anew since it was first looked at; the message says which."""

    def __init__(self, where: str) -> None:
        super().__init__(f"{where} was published anew, or removed, since this read began: begin it again")


class Pinned(Protocol):
    """An object as it was when it was looked at."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def open(self) -> pa.NativeFile:
        """The object for reading. Raises ReplacedError, here or at a read, where it is another one by now."""
        ...


@dataclass(frozen=True)
class PinnedLocalFile:
    """A file on a disk.

    Attributes:
        path: its path.
        version: of it, as `local_version` has it.
        size: bytes.
    """

    path: str
    version: str
    size: int

    def open(self) -> pa.NativeFile:
        """The file, mapped."""
        try:
            mapped = pa.memory_map(self.path)
            # Only now: a name is given to newer files, never back to an older one.
            unchanged = local_version(Path(self.path).stat()) == self.version
        except FileNotFoundError:
            raise ReplacedError(self.path) from None
        if not unchanged:
            raise ReplacedError(self.path)
        return mapped


def local_version(found: os.stat_result) -> str:
    """Changes whenever another file takes the name."""
    return f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"


@dataclass(frozen=True)
class PinnedS3Object:
    """An object of a bucket.

    Attributes:
        tail: its end, by which its version is known.
        read: gives the bytes from one place up to another; raises ReplacedError where it is another object by now.
    """

    tail: Tail
    read: Callable[[int, int], bytes]

    @property
    def size(self) -> int:
        """Bytes."""
        return self.tail.size

    def open(self) -> pa.NativeFile:
        """The object, read as it is asked for."""
        return pa.PythonFile(RangedObject(self.tail, self.read), mode="r")


class PinnedFiles(pafs.FileSystemHandler):
    """A file system of some objects and nothing else, which it only reads: `pafs.PyFileSystem(PinnedFiles(…))`.

    Args:
        files: by the path that pyarrow is to know each by.
    """

    def __init__(self, files: Mapping[str, Pinned]) -> None:
        self._files = dict(files)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other

    def __hash__(self) -> int:
        return id(self)

    def get_type_name(self) -> str:
        """For pyarrow."""
        return "pinned"

    def normalize_path(self, path: str) -> str:
        """The path: there is one way to write each."""
        return path

    def get_file_info(self, paths: Sequence[str]) -> list[pafs.FileInfo]:
        """Of each path, whether it is one of the files, and its size."""
        return [
            pafs.FileInfo(path, pafs.FileType.File, size=self._files[path].size)
            if path in self._files
            else pafs.FileInfo(path, pafs.FileType.NotFound)
            for path in paths
        ]

    def open_input_file(self, path: str) -> pa.NativeFile:
        """The file. Raises FileNotFoundError for any other, ReplacedError where another has its name by now."""
        if path not in self._files:
            raise FileNotFoundError(path)
        return self._files[path].open()

    def open_input_stream(self, path: str) -> pa.NativeFile:
        """As `open_input_file`."""
        return self.open_input_file(path)

    def get_file_info_selector(self, selector: pafs.FileSelector) -> list[pafs.FileInfo]:
        """Not to be asked: files are named one by one."""
        raise NotImplementedError(f"files are named one by one here; {selector.base_dir!r} is not looked into")

    def _refuse(self, *arguments: Any) -> Any:
        raise NotImplementedError(f"these files are only read; asked for was {arguments}")

    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = delete_file = _refuse
    move = copy_file = open_output_stream = open_append_stream = _refuse
