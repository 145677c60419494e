"""Some bytes of a file elsewhere, and such a file as one to read here and there."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, BinaryIO, cast

from ais_assets.sources.landing.part import Part
from ais_assets.sources.landing.patience import RangeRefusedError
from ais_assets.sources.source import SourceError
from ais_assets.store.patience import TryAgainError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

_COPY_BYTES = 1 << 20
_READ_AHEAD_BYTES = 1 << 16


class RangeRead:
    """Some bytes of a file that is known, in tries as `Download` makes them.

    Args:
        ask: requests bytes from the first to before the second, if the file is still the same.
        start, end: which are wanted.
        size: of the whole file.
        where: its address, for messages.
    """

    def __init__(self, ask: Callable[[int, int], Part], start: int, end: int, size: int, where: str) -> None:
        self._ask = ask
        self._start, self._end, self._size = start, end, size
        self._where = where
        self._received = bytearray()

    def attempt(self) -> bytes:
        """One try. Raises TryAgainError where it ends early, SourceError where the file is another by now."""
        start = self._start + len(self._received)
        try:
            part = self._ask(start, self._end)
        except RangeRefusedError as refused:
            raise self._replaced() from refused
        with closing(part):
            if not part.ranged or part.total != self._size:
                raise self._replaced()
            if part.start != start:
                raise TryAgainError(f"sent bytes from {part.start}, asked for those from {start:,}")
            before = len(self._received)
            while left := self._end - self._start - len(self._received):
                chunk = part.take(min(left, _COPY_BYTES), progressed=len(self._received) > before)
                if not chunk:
                    raise TryAgainError(f"broke off {left:,} bytes early", progressed=len(self._received) > before)
                self._received += chunk
        return bytes(self._received)

    def _replaced(self) -> SourceError:
        return SourceError(f"{self._where}: was replaced while it was being read; try again")


class _RangeReader(io.RawIOBase):
    """A file elsewhere as a file object: each read is one request for a range."""

    def __init__(self, size: int, read_range: Callable[[int, int], bytes]) -> None:
        super().__init__()
        self._size = size
        self._read_range = read_range
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, "seek before the beginning")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer)
        end = min(self._position + len(view), self._size)
        if end <= self._position:
            return 0
        data = self._read_range(self._position, end)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


def seekable(size: int, read_range: Callable[[int, int], bytes]) -> BinaryIO:
    """A file of `size` bytes for reading here and there, by what reads from one byte to before another."""
    return cast(BinaryIO, io.BufferedReader(_RangeReader(size, read_range), _READ_AHEAD_BYTES))
