"""Rows of a file by the UTC day of their times, byte for byte as they stand: what cutting a file into days needs.

Of a row nothing but its time is read. One without a readable time is named, with its line and the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ais_assets.ledger import Ledger
from ais_assets.sources.file_days import Reach
from ais_assets.sources.rows.archive import packing_of, row_blocks
from ais_assets.sources.rows.column_rows import column_times
from ais_assets.sources.rows.compiled import compiled
from ais_assets.sources.rows.delimited import BLOCK_BYTES, after_comments, whole_lines
from ais_assets.sources.rows.header import find_header, meaning_of
from ais_assets.sources.rows.layout import Layout, plain_name
from ais_assets.sources.rows.parquet_rows import BATCH_ROWS
from ais_assets.sources.rows.record_table import SAMPLE_CHARACTERS
from ais_assets.sources.rows.row_kernel import (
    after_spaces,
    is_line_end,
    milliseconds,
    quoted_field_end,
    time_reject,
)
from ais_assets.sources.rows.row_plan import Note, Reject, Role
from ais_assets.sources.rows.text import (
    EIGHT_ONES,
    NEWLINE,
    PADDING,
    QUOTE,
    RETURN,
    SPACE,
    byte_at,
    field_end,
    line_end,
)
from ais_assets.sources.rows.times import two_column_milliseconds
from ais_assets.sources.source import SourceError

DAY_SECONDS: Final = 86_400
DAY_MILLISECONDS: Final = 1000 * DAY_SECONDS
_PADDING_BYTES = len(PADDING)
_CUT_OFF = -10
_BAD_QUOTES = -11
_ROWS_AT_ONCE = 1 << 16
_BLANK_LINES = Note.BLANK_LINES.name.lower()
_COMMENT_LINES = "comment_lines"


class DayRows(NamedTuple):
    """Some rows of one day, in their order.

    Attributes:
        day: days since 1970-01-01.
        head: what a file of them begins with: the header's line, or nothing.
        rows: whole lines, or a part of a table.
        number: of rows.
    """

    day: int
    head: bytes
    rows: bytes | pa.RecordBatch
    number: int


def raw_lines(archive: Path, max_bytes: int) -> Iterator[bytes]:
    """Lines of a packed or plain text, each with its newline."""
    for block in whole_lines(row_blocks(archive, block_bytes=BLOCK_BYTES, max_bytes=max_bytes), archive.name):
        for line in block[: -len(PADDING)].split(b"\n")[:-1]:
            yield line + b"\n"


class Undated(NamedTuple):
    """A row without a readable time: its line in the file, why, and its beginning."""

    line: int
    reason: str
    text: str


def rows_by_day(
    archive: Path, layouts: Sequence[Layout], zone: str, max_bytes: int, ledger: Ledger
) -> Iterator[DayRows | Undated]:
    """Every row of a delimited or Parquet file; the ledger notes lines that are no rows.

    Args:
        archive: the file.
        layouts: of the format, of which the first that it fits is taken.
        zone: the IANA's name of the zone of times that say none.
        max_bytes: a file that unpacks to more is refused.
        ledger: gets the notes.

    Raises:
        SourceError: it is damaged, or has no known header.
    """
    if packing_of(archive) == ".parquet":
        return _of_columns(archive, layouts[0], zone)
    return _of_text(archive, layouts, zone, max_bytes, ledger)


def _of_text(
    archive: Path, layouts: Sequence[Layout], zone: str, max_bytes: int, ledger: Ledger
) -> Iterator[DayRows | Undated]:
    blocks = whole_lines(row_blocks(archive, block_bytes=BLOCK_BYTES, max_bytes=max_bytes), archive.name)
    first, begin, comments = after_comments(blocks, {layout.delimiter for layout in layouts})
    end = first.find(b"\n", begin) + 1
    layout, header, has_header = find_header(first[begin : end - 1], layouts, archive.name)
    plan = header.plan(layout, zone, Reach.all_time(_NO_DAY).window(None), 0)
    head = first[begin:end] if has_header else b""
    line = comments + has_header
    out = _Rows.empty()
    position = end if has_header else begin
    for block in chain([first], blocks):
        text = np.frombuffer(block, np.uint8)
        while position < len(block) - len(PADDING):
            position, line, rows, blank = _row_times(text, plan, position, line, out)
            ledger.note(_BLANK_LINES, blank)
            yield from _grouped(block, out, rows, head)
        position = 0
    ledger.note(_COMMENT_LINES, comments)


_NO_DAY = date(1970, 1, 1)


class _Rows(NamedTuple):
    """Rows of a block: their first and end bytes, lines, and times in milliseconds or a negative reason."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    lines: NDArray[np.int64]
    times: NDArray[np.int64]

    @classmethod
    def empty(cls) -> _Rows:
        return cls(*(np.empty(_ROWS_AT_ONCE, np.int64) for _ in cls._fields))


def _grouped(block: bytes, out: _Rows, rows: int, head: bytes) -> Iterator[DayRows | Undated]:
    """The rows found in a block: those that follow each other on one day together."""
    if not rows:
        return
    starts, ends, lines, times = (column[:rows] for column in out)
    days = np.where(times >= 0, times // DAY_MILLISECONDS, -1)
    new = np.ones(rows, np.bool_)
    new[1:] = (days[1:] != days[:-1]) | (starts[1:] != ends[:-1]) | (days[1:] < 0)
    firsts = np.flatnonzero(new)
    lasts = np.append(firsts[1:], rows) - 1
    for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
        text = block[starts[first] : ends[last]]
        if days[first] >= 0:
            yield DayRows(int(days[first]), head, text, last - first + 1)
        else:
            yield Undated(int(lines[first]), _reason(int(times[first])), _shown(text))


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "replace").rstrip("\r\n")[:SAMPLE_CHARACTERS]


def _reason(time: int) -> str:
    known = {_CUT_OFF: Reject.TOO_FEW_FIELDS, _BAD_QUOTES: Reject.BAD_QUOTES}
    return Reject(known.get(time, time_reject(time))).name.lower()


@compiled
def _row_times(text, plan, position, line, out):
    """Rows from `position` to the block's end or a full `out`: (where it stopped, its line, rows, blank lines)."""
    starts, ends, lines, times = out
    stop = text.size - _PADDING_BYTES
    rows = blank = 0
    while position < stop and rows < times.size:
        line += 1
        at = after_spaces(text, position)
        end = line_end(text, at) + 1
        if is_line_end(text, at):
            blank += 1
        else:
            starts[rows], ends[rows], lines[rows] = position, end, line
            times[rows] = _time_of(text, at, plan)
            rows += 1
        position = end
    return position, line, rows, blank


@compiled
def _time_of(text, at, plan):
    """Milliseconds since 1970 of the row that begins at `at`, or why it has none."""
    delimiter, roles, columns, _, _, meaning, _, _ = plan
    _, _, time_format, time_places, date_order, zone_starts, zone_offsets, _, _ = meaning
    delimiters = np.uint64(delimiter) * EIGHT_ONES
    dated = clocked = False
    date_start = date_end = clock_start = clock_end = 0
    for column in range(roles.size):
        start = after_spaces(text, at)
        if byte_at(text, start) == QUOTE:
            start += 1
            end, at, well_quoted = quoted_field_end(text, start, delimiter)
            if not well_quoted:
                return _BAD_QUOTES
        else:
            end = at = field_end(text, start, delimiters)
        while end > start and (byte_at(text, end - 1) == SPACE or byte_at(text, end - 1) == RETURN):
            end -= 1
        if byte_at(text, at) == NEWLINE and column + 1 < columns.in_header:
            return _CUT_OFF
        if roles[column] == Role.TIME:
            date_start, date_end, dated = start, end, True
        elif roles[column] == Role.CLOCK:
            clock_start, clock_end, clocked = start, end, True
        if dated and (clocked or not columns.has_clock):
            break
        at += 1
    if columns.has_clock:
        return two_column_milliseconds(
            text, date_start, date_end, clock_start, clock_end, date_order, zone_starts, zone_offsets
        )
    return milliseconds(text, date_start, date_end, time_format, time_places, date_order, zone_starts, zone_offsets)


def _of_columns(archive: Path, layout: Layout, zone: str) -> Iterator[DayRows | Undated]:
    meaning = meaning_of(layout, zone)
    row = 0
    try:
        with pq.ParquetFile(archive) as file:
            time = _place(file.schema_arrow, layout.spellings("t"), archive.name)
            clock = _place(file.schema_arrow, (layout.clock,), archive.name) if layout.clock else None
            for batch in file.iter_batches(BATCH_ROWS):
                times = column_times(batch.column(time), None if clock is None else batch.column(clock), meaning)
                days = np.where(times >= 0, times // DAY_MILLISECONDS, -1)
                for day in np.unique(days).tolist():
                    places = np.flatnonzero(days == day)
                    if day >= 0:
                        yield DayRows(day, b"", batch.take(pa.array(places)), len(places))
                        continue
                    for place in places.tolist():
                        text = str(batch.slice(place, 1).to_pylist()[0])[:SAMPLE_CHARACTERS]
                        # As everywhere: line 1 is the header.
                        yield Undated(row + place + 2, _reason(int(times[place])), text)
                row += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{archive.name}: not a whole Parquet file ({error}); fetch it again") from error


def _place(schema: pa.Schema, spellings: tuple[str, ...], where: str) -> int:
    wanted = {plain_name(name) for name in spellings}
    places = [place for place, name in enumerate(schema.names) if plain_name(name) in wanted]
    if len(places) != 1:
        raise SourceError(
            f"{where}: has {len(places)} columns {' or '.join(spellings)}, not one; there are {', '.join(schema.names)}"
        )
    return places[0]
