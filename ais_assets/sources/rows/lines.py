"""Lines of a log, numbered and counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

MOST_LINE_BYTES: Final = 1 << 16
"""Of a longer line the beginning is read."""


class Lines:
    """The lines of a text that are not blank, each with its number from 1 and to MOST_LINE_BYTES.

    Args:
        blocks: of the text.

    Attributes:
        count: lines so far.
        blank: those among them without any text.
    """

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self.count = 0
        self.blank = 0
        self._blocks = blocks

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        rest = b""
        for block in self._blocks:
            *whole, rest = (rest + block).split(b"\n")
            yield from self._not_blank(whole)
            rest = rest[:MOST_LINE_BYTES]
        yield from self._not_blank([rest] if rest else [])

    def _not_blank(self, lines: list[bytes]) -> Iterator[tuple[int, bytes]]:
        for line in lines:
            self.count += 1
            text = line[:MOST_LINE_BYTES].rstrip()
            if text:
                yield self.count, text
            else:
                self.blank += 1
