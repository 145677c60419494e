"""One version of an S3 object, read by ranges: its end is had with the first request, the rest as it is asked for."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

TAIL_BYTES: Final = 1 << 16
"""Read at first: they hold nearly every Parquet footer, and the whole of a small object."""
_PART_BYTES: Final = 1 << 23
"""Of a long read in one request; one stream of S3 gives some 80 MB/s, whatever the network could take
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-guidelines.html)."""
_PARTS_AT_ONCE: Final = 8


@dataclass(frozen=True)
class Tail:
    """The end of an object, by which a version of it is known.

    Attributes:
        etag: S3's name for its content.
        size: of the whole object, bytes.
        data: its last bytes, TAIL_BYTES at most.
    """

    etag: str
    size: int
    data: bytes


class RangedObject(io.RawIOBase):
    """A file for pyarrow, which looks for a place and reads there.

    Args:
        tail: what is known of it.
        read_range: returns the bytes from one place up to another, of this very version.
    """

    def __init__(self, tail: Tail, read_range: Callable[[int, int], bytes]) -> None:
        self._tail = tail
        self._read_range = read_range
        self._place = 0
        self._held_from = 0
        self._held = b""

    def readable(self) -> bool:
        """As a file."""
        return True

    def seekable(self) -> bool:
        """As a file."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """As of a file."""
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._tail.size}[whence]
        return self._place

    def tell(self) -> int:
        """As of a file."""
        return self._place

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes, all of them; fewer at the object's end only."""
        end = self._tail.size if size is None or size < 0 else min(self._place + size, self._tail.size)
        data = self._between(self._place, end)
        self._place = end
        return data

    def readall(self) -> bytes:
        """As of a file."""
        return self.read()

    def hold(self, start: int, end: int) -> None:
        """Reads these bytes now, for a reader that will ask for parts of them."""
        self._held = self._between(start, end)
        self._held_from = start

    def _between(self, start: int, end: int) -> bytes:
        for place, held in ((self._tail.size - len(self._tail.data), self._tail.data), (self._held_from, self._held)):
            if place <= start and end <= place + len(held):
                return held[start - place : end - place]
        if end - start <= _PART_BYTES:
            return self._read_range(start, end) if start < end else b""
        parts = list(_parts(start, end))
        # For this read alone: a process that was forked from this one would wait for threads that it has not.
        with ThreadPoolExecutor(min(_PARTS_AT_ONCE, len(parts)), thread_name_prefix="ranges") as pool:
            return b"".join(pool.map(lambda part: self._read_range(*part), parts))


def _parts(start: int, end: int) -> Iterator[tuple[int, int]]:
    for place in range(start, end, _PART_BYTES):
        yield place, min(place + _PART_BYTES, end)
