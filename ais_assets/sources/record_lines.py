"""From records back to the lines of the file that they were read from.

Stored records carry no line numbers, which would cost bytes of every one of a day's millions for a question that is
asked of a few. So the lines that mention a vessel are read once more, by the source itself, and in ever smaller parts
where a part has more lines than records.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import pyarrow as pa

from ais_assets import schema
from ais_assets.sources.rows.archive import row_blocks
from ais_assets.sources.rows.delimited import BLOCK_BYTES, whole_lines
from ais_assets.sources.rows.text import PADDING
from ais_assets.sources.source import Source, SourceError

LINE: Final = "line"
"""The column that has the line, the file's first one being 1."""


class _Line(NamedTuple):
    number: int
    text: bytes


def records_by_line(
    source: Source, archive: Path, day: date, words: Sequence[bytes], max_bytes: int
) -> pa.Table | None:
    """The day's records of lines that have one of these words, with their lines: `schema.RAW_RECORDS` and LINE.

    Args:
        source: that reads the file.
        archive: the file.
        day: of the records.
        words: an MMSI's digits, or how else a file names a vessel.
        max_bytes: a file that unpacks to more is refused.

    Returns:
        None where this source's records are not read from lines of their own.

    Raises SourceError as the source does.
    """
    head = source.head(archive)
    if head is None:
        return None
    found = [line for line in _lines_with(archive, words, max_bytes) if line.number > head.count(b"\n")]
    empty = schema.RAW_RECORDS.append(pa.field(LINE, pa.int64(), nullable=False)).empty_table()
    with TemporaryDirectory(prefix="ais-") as folder:
        # The file's name may say which days it is of; its packing is not that of these lines.
        part = Path(folder) / f"{archive.name}.csv"
        tables = list(_records(source, part, head, found, day)) if found else []
    return pa.concat_tables([empty, *tables])


def _records(source: Source, part: Path, head: bytes, lines: list[_Line], day: date) -> Iterator[pa.Table]:
    part.write_bytes(head + b"".join(line.text for line in lines))
    try:
        records = pa.concat_tables([schema.RAW_RECORDS.empty_table(), *source.read(part, day).tables])
    except SourceError:
        # The file as a whole was read before; a part of it may hold nothing that is one of this source's.
        return
    if not records.num_rows:
        return
    if len(lines) == 1 or (records.num_rows == len(lines) and source.one_record_a_line):
        numbers = [line.number for line in lines] if len(lines) > 1 else [lines[0].number] * records.num_rows
        yield records.append_column(pa.field(LINE, pa.int64(), nullable=False), pa.array(numbers, pa.int64()))
        return
    half = len(lines) // 2
    for some in (lines[:half], lines[half:]):
        yield from _records(source, part, head, some, day)


def _lines_with(archive: Path, words: Sequence[bytes], max_bytes: int) -> Iterator[_Line]:
    """Lines that have one of these words, in order."""
    before = 0
    for block in whole_lines(row_blocks(archive, block_bytes=BLOCK_BYTES, max_bytes=max_bytes), archive.name):
        counted, number = 0, before + 1
        while (place := _next(block, words, counted)) >= 0:
            begin = block.rfind(b"\n", 0, place) + 1
            end = block.find(b"\n", place) + 1
            number += block.count(b"\n", counted, begin)
            yield _Line(number, block[begin:end])
            counted, number = end, number + 1
        before += block.count(b"\n", 0, len(block) - len(PADDING))


def _next(block: bytes, words: Sequence[bytes], begin: int) -> int:
    """Where the first of the words is from there on; −1: none is."""
    places = [place for place in (block.find(word, begin) for word in words) if place >= 0]
    return min(places, default=-1)
