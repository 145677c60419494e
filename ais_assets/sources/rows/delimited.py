"""Delimiter-separated AIS files to typed records: the header by name, the rows by the compiled kernel."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa

from ais_assets import schema
from ais_assets.ledger import Ledger
from ais_assets.sources.file_days import Reach
from ais_assets.sources.rows.archive import packing_of, row_blocks
from ais_assets.sources.rows.column_rows import ColumnRows
from ais_assets.sources.rows.header import BOM, Header, find_header
from ais_assets.sources.rows.layout import Layout
from ais_assets.sources.rows.parquet_rows import header_line, parquet_batches
from ais_assets.sources.rows.record_table import (
    SAMPLE_CHARACTERS,
    TABLE_ROWS,
    StaticData,
    StaticValue,
    empty_records,
    record_table,
)
from ais_assets.sources.rows.row_kernel import parse_rows
from ais_assets.sources.rows.row_plan import (
    Found,
    Note,
    Progress,
    Records,
    Reject,
    RowPlan,
)
from ais_assets.sources.rows.static_fields import split_row, static_reader
from ais_assets.sources.rows.text import PADDING, grown
from ais_assets.sources.source import SourceError
from ais_assets.stream import RecordStream

BLOCK_BYTES: Final = 1 << 20
"""Unpacked bytes parsed at a time: they are still in the cache when they are."""
SAMPLES_PER_REASON: Final = 100 // len(Reject)
"""Rejected rows of each reason that facts["rejects"] shows; at most 100 in all."""

_MAX_LINE_BYTES = 1 << 20
_SEEN_AT_FIRST = 1 << 16
_MALFORMED_STATIC = "malformed_static"
"""Note: static values that could not be read, and rows of other columns than the header's; of new ones only."""
_COMMENT_LINES = "comment_lines"
"""Note: lines before the header that begin with # and have no delimiter: no rows."""


@dataclass(frozen=True)
class DelimitedReader:
    """Reads archives of one format.

    Attributes:
        layouts: of the format, of which the first that a file fits is taken.
        max_bytes: an archive that unpacks to more is refused.
        block_bytes: unpacked bytes parsed at a time; the records do not depend on it.
        table_rows: records of a table.
        samples_per_reason: rejected rows to show of each reason.
        zone: the IANA's name of the zone of times that say none.
    """

    layouts: tuple[Layout, ...]
    max_bytes: int
    block_bytes: int = BLOCK_BYTES
    table_rows: int = TABLE_ROWS
    samples_per_reason: int = SAMPLES_PER_REASON
    zone: str = "UTC"

    def read(self, archive: Path, day: date | None, reach: Reach | None = None) -> RecordStream:
        """The archive's records of a day, None: of all; see `Source.read`. Errors are raised as the tables are drawn.

        `reach` is the part of time that the file's name says, by default all time.
        """
        stream = RecordStream(schema.RAW_RECORDS, iter(()))
        reach = reach or Reach.all_time(day or date.min)
        stream.tables = self._tables(archive, day, reach, stream.ledger, stream.facts)
        return stream

    def head(self, archive: Path) -> bytes | None:
        """The lines before the first row; None of a Parquet file. Raises SourceError for a header that is not known."""
        if packing_of(archive) == ".parquet":
            return None
        lines = whole_lines(row_blocks(archive, block_bytes=self.block_bytes, max_bytes=self.max_bytes), archive.name)
        first, begin, _ = after_comments(lines, {layout.delimiter for layout in self.layouts})
        end = first.find(b"\n", begin) + 1
        _, _, has_header = find_header(first[begin : end - 1], self.layouts, archive.name)
        return first[: end if has_header else begin]

    def _tables(
        self, archive: Path, day: date | None, reach: Reach, ledger: Ledger, facts: dict[str, Any]
    ) -> Iterator[pa.Table]:
        if packing_of(archive) == ".parquet":
            batches = parquet_batches(archive, self.max_bytes, self.layouts[0].has)
            batch = next(batches)
            parse = self._parse(header_line(batch, self.layouts[0].delimiter), archive.name, day, reach)
            for rows in chain([batch], batches):
                yield from parse.columns(rows)
        else:
            lines = whole_lines(
                row_blocks(archive, block_bytes=self.block_bytes, max_bytes=self.max_bytes), archive.name
            )
            first, begin, comments = after_comments(lines, {layout.delimiter for layout in self.layouts})
            end = first.find(b"\n", begin)
            header = first[begin:end]
            if not header.strip():
                raise SourceError(
                    f"{archive.name}: {'is empty' if not first else 'has a blank line where the header should be'}; "
                    "fetch it again, or remove it if the source never published the day"
                )
            parse = self._parse(header, archive.name, day, reach, comments)
            yield from parse.lines(first, end + 1 if parse.has_header else begin)
            for block in lines:
                yield from parse.lines(block)
        yield from parse.last_table()
        parse.account(ledger, facts)
        if not parse.rows_seen:
            raise SourceError(
                f"{archive.name}: holds a header and no rows; remove the file if the source never published the day"
            )

    def _parse(self, header: bytes, where: str, day: date | None, reach: Reach, comments: int = 0) -> _Parse:
        layout, columns, has_header = find_header(header, self.layouts, where)
        plan = columns.plan(layout, self.zone, reach.window(day), self.samples_per_reason)
        return _Parse(self, layout, columns, plan, comments, has_header=has_header, of_day=reach.begins_with(day))


class _Rows(Protocol):
    """Rows in memory."""

    stop: int
    """Where they end, as `Progress.position` counts."""

    def parse(self, plan: RowPlan, begin: Progress, out: Records, found: Found) -> Progress:
        """Reads rows from `begin` on; see `parse_rows`."""
        ...

    def texts(self, spans: list[tuple[int, int]]) -> list[bytes]:
        """Rows that `parse` found, as text, by where they begin and end."""
        ...


class _TextRows:
    """Whole lines and then PADDING."""

    def __init__(self, lines: bytes) -> None:
        self._lines = lines
        self._text = np.frombuffer(lines, np.uint8)
        self.stop = len(lines) - len(PADDING)

    def parse(self, plan: RowPlan, begin: Progress, out: Records, found: Found) -> Progress:
        return parse_rows(self._text, plan, begin, out, found)

    def texts(self, spans: list[tuple[int, int]]) -> list[bytes]:
        return [self._lines[start:end] for start, end in spans]


class _Parse:
    """One file on its way through the kernel."""

    def __init__(
        self,
        reader: DelimitedReader,
        layout: Layout,
        header: Header,
        plan: RowPlan,
        comments: int,
        *,
        has_header: bool,
        of_day: bool,
    ) -> None:
        self._reader = reader
        self._layout = layout
        self._header = header
        self._plan = plan
        self.has_header = has_header
        self._lines_before = comments + has_header
        self._comments = comments
        self._progress = Progress(0, 0, comments + has_header, 0, 0, 0, of_day)
        self._records = empty_records(reader.table_rows)
        self._found = Found(
            np.zeros(len(Reject), np.int64),
            np.zeros(len(Note), np.int64),
            np.zeros((len(Reject) * reader.samples_per_reason, 4), np.int64),
            np.zeros((reader.table_rows, 3), np.int64),
            np.zeros(_SEEN_AT_FIRST, np.uint64),
        )
        self._rows_out = 0
        self._malformed_static = 0
        self._rejects: list[dict[str, Any]] = []
        self._static = StaticData()
        self._static_fields = [
            (header.static.get(column), static_reader(column, layout.scales.get(column)))
            for column in schema.STATIC_COLUMNS
        ]

    def lines(self, lines: bytes, begin: int = 0) -> Iterator[pa.Table]:
        """Parses whole lines and then PADDING, from byte `begin`; gives the tables that they fill."""
        yield from self._rows(_TextRows(lines), begin)

    def columns(self, batch: pa.RecordBatch) -> Iterator[pa.Table]:
        """Parses rows that stand in typed columns; gives the tables that they fill."""
        yield from self._rows(ColumnRows(batch, self._layout.delimiter, self._header, self._plan), 0)

    def _rows(self, rows: _Rows, begin: int) -> Iterator[pa.Table]:
        self._progress = self._progress._replace(position=begin)
        while self._progress.position < rows.stop:
            self._progress = rows.parse(self._plan, self._progress, self._records, self._found)
            self._take_samples(rows)
            self._take_static(rows)
            self._progress = self._progress._replace(samples=0, fresh=0)
            if 2 * self._progress.known >= self._found.seen.size:
                self._found = self._found._replace(seen=grown(self._found.seen))
            if self._progress.records == self._reader.table_rows:
                yield self._table()

    def last_table(self) -> Iterator[pa.Table]:
        """What is left after the last line."""
        if self._progress.records:
            yield self._table()

    @property
    def rows_seen(self) -> int:
        """Rows of the file so far, whatever their day."""
        return self._progress.lines - self._lines_before - int(self._found.noted[Note.BLANK_LINES])

    def account(self, ledger: Ledger, facts: dict[str, Any]) -> None:
        """Writes down what became of every line that is of the day."""
        ledger.rows_in = self.rows_seen - int(self._found.noted[Note.OTHER_DAY])
        ledger.rows_out = self._rows_out
        for reason in Reject:
            ledger.drop(reason.name.lower(), int(self._found.rejected[reason]))
        for note in Note:
            ledger.note(note.name.lower(), int(self._found.noted[note]))
        ledger.note(_MALFORMED_STATIC, self._malformed_static)
        ledger.note(_COMMENT_LINES, self._comments)
        facts["rejects"] = self._rejects
        facts["columns"] = list(self._header.names)

    def _take_samples(self, rows: _Rows) -> None:
        found = self._found.samples[: self._progress.samples].tolist()
        texts = rows.texts([(start, end) for _, _, start, end in found])
        for (line, reason, _, _), text in zip(found, texts, strict=True):
            shown = text.decode("utf-8", "replace").rstrip("\r")[:SAMPLE_CHARACTERS]
            self._rejects.append({"line": line, "reason": Reject(reason).name.lower(), "text": shown})

    def _take_static(self, rows: _Rows) -> None:
        found = self._found.fresh[: self._progress.fresh].tolist()
        texts = rows.texts([(start, end) for _, start, end in found])
        for (record, _, _), text in zip(found, texts, strict=True):
            self._static.add(record, int(self._records.mmsi[record]), self._static_of(text))

    def _static_of(self, line: bytes) -> tuple[StaticValue, ...]:
        """The values of schema.STATIC_COLUMNS in a row; all None where it has other columns than the header."""
        text = line.decode("utf-8", "replace").rstrip("\r")
        try:
            fields = split_row(text, self._layout.delimiter)
        except csv.Error:
            fields = []
        if len(fields) != len(self._header.names):
            self._malformed_static += 1
            return (None,) * len(schema.STATIC_COLUMNS)
        values: list[StaticValue] = []
        for place, read in self._static_fields:
            try:
                values.append(None if place is None else read(fields[place]))
            except ValueError:
                self._malformed_static += 1
                values.append(None)
        return tuple(values)

    def _table(self) -> pa.Table:
        rows = self._progress.records
        table = record_table(self._records, rows, self._static)
        self._rows_out += rows
        self._progress = self._progress._replace(records=0)
        # The table keeps the buffers; the next one needs its own.
        self._records = empty_records(self._reader.table_rows)
        return table


def after_comments(lines: Iterator[bytes], delimiters: set[str]) -> tuple[bytes, int, int]:
    """The first block with more than comments, where the first other line begins in it, and the comments before."""
    comments = 0
    for block in lines:
        begin = 0
        while begin < len(block) - len(PADDING):
            end = block.find(b"\n", begin)
            line = block[begin:end].removeprefix(BOM).lstrip(b" ")
            # DMA's header, too, begins with a #.
            if not line.startswith(b"#") or any(delimiter.encode() in line for delimiter in delimiters):
                return block, begin, comments
            comments += 1
            begin = end + 1
    return b"", 0, comments


def whole_lines(blocks: Iterator[bytes], where: str, most_line_bytes: int = _MAX_LINE_BYTES) -> Iterator[bytes]:
    """The same bytes cut after newlines, each with PADDING; a newline is put where the file ends without one.

    Of a line without end the beginning is kept: it is one row, and no good one. Raises SourceError where it is the
    first.
    """
    carry = b""
    has_begun = False
    for block in blocks:
        cut = block.rfind(b"\n") + 1
        if cut:
            yield b"".join((carry, memoryview(block)[:cut], PADDING))
            has_begun = True
            carry = block[cut:]
        elif len(carry) <= most_line_bytes:
            carry += block
        if not has_begun and len(carry) > max(most_line_bytes, len(block)):
            raise SourceError(
                f"{where}: its first line is longer than {most_line_bytes:,} bytes: this is no file of AIS rows"
            )
    if carry:
        yield carry + b"\n" + PADDING
