"""Delimiter-separated AIS files to typed records: the header by name, the rows by the compiled kernel."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from ais_assets import schema
from ais_assets.ledger import Ledger
from ais_assets.sources.rows.archive import row_blocks
from ais_assets.sources.rows.record_table import (
    OTHER_DAY,
    SAMPLE_CHARACTERS,
    TABLE_ROWS,
    StaticData,
    StaticValue,
    empty_records,
    imo_number,
    metres,
    on_other_days,
    record_table,
)
from ais_assets.sources.rows.row_kernel import (
    NO_STATIC,
    NULL_CODE,
    PADDING,
    RUN_BEGINS,
    RUN_ENDS,
    TIME_IS_TEXT,
    Codes,
    Found,
    Note,
    Progress,
    Reject,
    Role,
    RowPlan,
    grown,
    parse_rows,
    span_hash,
)
from ais_assets.sources.source import SourceError
from ais_assets.stream import RecordStream

BLOCK_BYTES: Final = 1 << 20
"""Unpacked bytes parsed at a time: they are still in the cache when they are."""
SAMPLES_PER_REASON: Final = 100 // len(Reject)
"""Rejected rows of each reason that facts["rejects"] shows; at most 100 in all."""

_MAX_LINE_BYTES = 1 << 20
_SEEN_AT_FIRST = 1 << 16
_BOM = codecs.BOM_UTF8
# Placeholders as sources write them. A crew's own UNKNOWN is upper case, as all text in AIS messages, and stays.
_NO_TEXT = frozenset({"", "Unknown", "Undefined", "Unknown value"})
_MALFORMED_STATIC = "malformed_static"
"""Note: static values that could not be read, and rows of other columns than the header's; of new ones only."""
_COMMENT_LINES = "comment_lines"
"""Note: lines before the header that begin with # and have no delimiter: no rows."""

_ROLES: Final = {
    "t": Role.TIME,
    "mmsi": Role.MMSI,
    "lat": Role.LATITUDE,
    "lon": Role.LONGITUDE,
    "mobile_type": Role.MOBILE_TYPE,
    "nav_status": Role.NAV_STATUS,
    "sog": Role.SOG,
    "cog": Role.COG,
    "heading": Role.HEADING,
}
"""The columns of `schema.RAW_RECORDS` that every row is read for."""
_NEEDED: Final = ("t", "mmsi", "lat", "lon")
"""Those without which there is no position report."""
_NEEDED_ROLES: Final = frozenset(_ROLES[name] for name in _NEEDED)


@dataclass(frozen=True)
class TimeForm:
    """How a format writes its times, where it is not DD/MM/YYYY hh:mm:ss or ISO 8601.

    Attributes:
        text: each byte of it stands for one of the file's: Y, M, D, h, m and s for digits, the rest for itself.
        unix_places: instead of that a number since 1970: 9 of seconds, 6 of milliseconds, 3 of microseconds, 0 of
            nanoseconds.
    """

    text: str = ""
    unix_places: int = TIME_IS_TEXT


@dataclass(frozen=True)
class Layout:
    """How a format writes its rows. Names of columns are compared trimmed, in lower case and without a leading `#`.

    Attributes:
        name: the format, for messages.
        delimiter: one ASCII character.
        columns: the file's name for each column of `schema.RAW_RECORDS` it has, or several spellings of it. t,
            mmsi, lat and lon there must be.
        optional: columns that a file may lack, beside the static ones, which any file may.
        mobile_types: code in `schema.MOBILE_TYPES` by the file's text. A blank is 0, unknown.
        nav_statuses: code in `schema.NAV_STATUSES` by the file's text, None for a text that means unknown.
        static_company: other columns that change only with the static data (a vessel's ETA, her antenna's
            place). A row's static data are looked at only where their bytes are new for its MMSI, and what stands
            between two of them without being one of these parts them into runs, at some cost in speed.
        time: how its times are written.
        scales: by column what a number of the file is multiplied by to be of the unit in `schema.RAW_RECORDS`.
        motion_wraps: whether a negative SOG or COG is one that ran over, as in MarineCadastre's of 2017 to 2021.
    """

    name: str
    delimiter: str
    columns: Mapping[str, str | tuple[str, ...]]
    mobile_types: Mapping[str, int]
    nav_statuses: Mapping[str, int | None]
    static_company: frozenset[str] = field(default=frozenset())
    optional: frozenset[str] = field(default=frozenset())
    time: TimeForm = field(default=TimeForm())
    scales: Mapping[str, float] = field(default_factory=dict)
    motion_wraps: bool = False

    def __post_init__(self) -> None:
        missing = [name for name in _NEEDED if name not in self.columns]
        unknown = [name for name in self.columns if name not in _ROLES and name not in schema.STATIC_COLUMNS]
        if missing or unknown:
            raise ValueError(f"layout {self.name}: columns lack {missing} and have unknown {unknown}")

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns that a file must have."""
        return tuple(name for name in _ROLES if name in self.columns and name not in self.optional)

    def has(self, name: str) -> bool:
        """Whether a file's column of this name is one of `columns`."""
        return _plain(name) in {_plain(spelling) for column in self.columns for spelling in self.spellings(column)}

    def spellings(self, column: str) -> tuple[str, ...]:
        """The file's names for one of `columns`."""
        names = self.columns[column]
        return (names,) if isinstance(names, str) else names


@dataclass(frozen=True)
class DelimitedReader:
    """Reads archives of one layout.

    Attributes:
        layout: the format.
        max_bytes: an archive that unpacks to more is refused.
        block_bytes: unpacked bytes parsed at a time; the records do not depend on it.
        table_rows: records of a table.
        samples_per_reason: rejected rows to show of each reason.
    """

    layout: Layout
    max_bytes: int
    block_bytes: int = BLOCK_BYTES
    table_rows: int = TABLE_ROWS
    samples_per_reason: int = SAMPLES_PER_REASON

    def read(self, archive: Path, day: date) -> RecordStream:
        """The archive's records; see `Source.read`. Errors are raised as the tables are drawn."""
        stream = RecordStream(schema.RAW_RECORDS, iter(()))
        stream.tables = self._tables(archive, day, stream.ledger, stream.facts)
        return stream

    def _tables(self, archive: Path, day: date, ledger: Ledger, facts: dict[str, Any]) -> Iterator[pa.Table]:
        blocks = row_blocks(
            archive,
            day,
            block_bytes=self.block_bytes,
            max_bytes=self.max_bytes,
            delimiter=self.layout.delimiter,
            wanted=self.layout.has,
        )
        lines = _whole_lines(blocks, archive.name)
        first, begin, comments = _after_comments(lines, self.layout.delimiter)
        end = first.find(b"\n", begin)
        header = first[begin:end]
        if not header.strip():
            raise SourceError(
                f"{archive.name}: {'is empty' if not first else 'has a blank line where the header should be'}; "
                "fetch it again, or remove it if the source never published the day"
            )
        parse = _Parse(self, _Header.read(header, self.layout, archive.name), day, comments)
        yield from parse.rows(first, end + 1)
        for block in lines:
            yield from parse.rows(block)
        yield from parse.last_table()
        parse.account(ledger, facts)
        if not ledger.rows_in:
            raise SourceError(
                f"{archive.name}: holds a header and no rows; remove the file if the source never published the day"
            )


@dataclass(frozen=True)
class _Header:
    """A file's columns."""

    names: tuple[str, ...]
    roles: dict[int, Role]
    static: dict[str, int]
    static_runs: list[range]
    static_open: bool

    @classmethod
    def read(cls, line: bytes, layout: Layout, where: str) -> _Header:
        """Finds the layout's columns by name. Raises SourceError where one is missing or stands twice."""
        text = line.removeprefix(_BOM).decode("utf-8", "replace").strip("\r\n")
        try:
            names = tuple(_plain(name) for name in _split(text, layout.delimiter))
        except csv.Error:
            names = ()
        found = {column: _places(names, layout.spellings(column)) for column in layout.columns}
        missing = [column for column in layout.needed if not found[column]]
        twice = [column for column in layout.columns if len(found[column]) > 1]
        if missing or twice:
            lacks = ", ".join(" or ".join(layout.spellings(column)) for column in missing)
            several = ", ".join(" or ".join(layout.spellings(column)) for column in twice)
            fault = f"lacks {lacks}" if missing else f"has {several} more than once"
            needed = ", ".join(" or ".join(layout.spellings(column)) for column in layout.needed)
            raise SourceError(
                f"{where}: the header {fault}. Found {text[:SAMPLE_CHARACTERS]!r}; a {layout.name} file needs the "
                f"columns {needed}, separated by {layout.delimiter!r}"
            )
        place = {column: places[0] for column, places in found.items() if places}
        static = {column: place[column] for column in schema.STATIC_COLUMNS if column in place}
        company = {_plain(name) for name in layout.static_company}
        free = {column for column, name in enumerate(names) if name in company}
        runs = _runs(sorted(static.values()), free)
        return cls(
            names,
            {place[column]: role for column, role in _ROLES.items() if column in place},
            static,
            runs,
            bool(runs) and free.issuperset(range(runs[-1].stop, len(names))),
        )

    def plan(self, layout: Layout, samples_per_reason: int) -> RowPlan:
        """The same for the kernel."""
        last_role = max(self.roles)
        last_needed = max(column for column, role in self.roles.items() if role in _NEEDED_ROLES)
        runs = self.static_runs
        open_run = runs[-1:] if self.static_open else []
        # An open run needs no look at its fields: it begins where the column before it ends.
        last_read = max([last_role, *(run.start - 1 if run in open_run else run[-1] for run in runs)])
        roles = np.zeros(last_read + 1, np.int8)
        for column, role in self.roles.items():
            roles[column] = role
        marks = np.zeros(last_read + 1, np.uint8)
        for run in runs:
            if run.start <= last_read:
                marks[run.start] |= RUN_BEGINS
            if run not in open_run:
                marks[run[-1]] |= RUN_ENDS
        scales = np.ones(len(Role))
        for name, scale in layout.scales.items():
            if name in _ROLES:
                scales[_ROLES[name]] = scale
        return RowPlan(
            ord(layout.delimiter),
            roles,
            last_needed,
            last_role,
            last_read,
            len(self.names),
            runs[0].start if runs else NO_STATIC,
            marks,
            self.static_open,
            _codes(layout.mobile_types),
            _codes(layout.nav_statuses),
            np.frombuffer(layout.time.text.encode(), np.uint8),
            layout.time.unix_places,
            scales,
            layout.motion_wraps,
            samples_per_reason,
        )


class _Parse:
    """One file on its way through the kernel."""

    def __init__(self, reader: DelimitedReader, header: _Header, day: date, comments: int) -> None:
        self._reader = reader
        self._header = header
        self._day = day
        self._comments = comments
        self._plan = header.plan(reader.layout, reader.samples_per_reason)
        self._progress = Progress(0, 0, comments + 1, 0, 0, 0)
        self._records = empty_records(reader.table_rows)
        self._found = Found(
            np.zeros(len(Reject), np.int64),
            np.zeros(len(Note), np.int64),
            np.zeros((len(Reject) * reader.samples_per_reason, 4), np.int64),
            np.zeros((reader.table_rows, 3), np.int64),
            np.zeros(_SEEN_AT_FIRST, np.uint64),
        )
        self._rows_out = 0
        self._other_day = 0
        self._malformed_static = 0
        self._rejects: list[dict[str, Any]] = []
        self._static = StaticData()

    def rows(self, lines: bytes, begin: int = 0) -> Iterator[pa.Table]:
        """Parses whole lines and then PADDING, from byte `begin`; gives the tables that they fill."""
        text = np.frombuffer(lines, np.uint8)
        self._progress = self._progress._replace(position=begin)
        while self._progress.position < len(lines) - len(PADDING):
            self._progress = parse_rows(text, self._plan, self._progress, self._records, self._found)
            self._take_samples(lines)
            self._take_static(lines)
            self._progress = self._progress._replace(samples=0, fresh=0)
            if 2 * self._progress.known >= self._found.seen.size:
                self._found = self._found._replace(seen=grown(self._found.seen))
            if self._progress.records == self._reader.table_rows:
                yield self._table()

    def last_table(self) -> Iterator[pa.Table]:
        """What is left after the last line."""
        if self._progress.records:
            yield self._table()

    def account(self, ledger: Ledger, facts: dict[str, Any]) -> None:
        """Writes down what became of every line."""
        blank = int(self._found.noted[Note.BLANK_LINES])
        ledger.rows_in = self._progress.lines - 1 - self._comments - blank
        ledger.rows_out = self._rows_out
        for reason in Reject:
            ledger.drop(reason.name.lower(), int(self._found.rejected[reason]))
        for note in Note:
            ledger.note(note.name.lower(), int(self._found.noted[note]))
        ledger.note(_MALFORMED_STATIC, self._malformed_static)
        ledger.note(_COMMENT_LINES, self._comments)
        ledger.note(OTHER_DAY, self._other_day)
        facts["rejects"] = self._rejects
        facts["columns"] = list(self._header.names)

    def _take_samples(self, lines: bytes) -> None:
        for line, reason, start, end in self._found.samples[: self._progress.samples].tolist():
            text = lines[start:end].decode("utf-8", "replace").rstrip("\r")[:SAMPLE_CHARACTERS]
            self._rejects.append({"line": line, "reason": Reject(reason).name.lower(), "text": text})

    def _take_static(self, lines: bytes) -> None:
        for record, start, end in self._found.fresh[: self._progress.fresh].tolist():
            self._static.add(record, int(self._records.mmsi[record]), self._static_of(lines[start:end]))

    def _static_of(self, line: bytes) -> tuple[StaticValue, ...]:
        """The values of schema.STATIC_COLUMNS in a row; all None where it has other columns than the header."""
        text = line.decode("utf-8", "replace").rstrip("\r")
        try:
            fields = _split(text, self._reader.layout.delimiter)
        except csv.Error:
            fields = []
        if len(fields) != len(self._header.names):
            self._malformed_static += 1
            return (None,) * len(schema.STATIC_COLUMNS)
        return tuple(self._static_value(column, fields) for column in schema.STATIC_COLUMNS)

    def _static_value(self, column: str, fields: list[str]) -> StaticValue:
        place = self._header.static.get(column)
        if place is None:
            return None
        text = fields[place].strip(" @")
        if text in _NO_TEXT:
            return None
        try:
            value = _STATIC_READERS[column](text)
            scale = self._reader.layout.scales.get(column)
            return value if scale is None or not isinstance(value, float) else metres(value * scale)
        except ValueError:
            self._malformed_static += 1
            return None

    def _table(self) -> pa.Table:
        rows = self._progress.records
        table = record_table(self._records, rows, self._static)
        self._rows_out += rows
        self._other_day += on_other_days(self._records.t[:rows], self._day)
        self._progress = self._progress._replace(records=0)
        # The table keeps the buffers; the next one needs its own.
        self._records = empty_records(self._reader.table_rows)
        return table


def _after_comments(lines: Iterator[bytes], delimiter: str) -> tuple[bytes, int, int]:
    """The first block with more than comments, where the first other line begins in it, and the comments before."""
    comments = 0
    for block in lines:
        begin = 0
        while begin < len(block) - len(PADDING):
            end = block.find(b"\n", begin)
            line = block[begin:end].removeprefix(_BOM).lstrip(b" ")
            # DMA's header, too, begins with a #.
            if not line.startswith(b"#") or delimiter.encode() in line:
                return block, begin, comments
            comments += 1
            begin = end + 1
    return b"", 0, comments


def _whole_lines(blocks: Iterator[bytes], where: str) -> Iterator[bytes]:
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
        elif len(carry) <= _MAX_LINE_BYTES:
            carry += block
        if not has_begun and len(carry) > max(_MAX_LINE_BYTES, len(block)):
            raise SourceError(
                f"{where}: its first line is longer than {_MAX_LINE_BYTES:,} bytes: this is no file of AIS rows"
            )
    if carry:
        yield carry + b"\n" + PADDING


def _runs(static: list[int], free: set[int]) -> list[range]:
    """Static columns, ascending, in runs with nothing in between but others that are free to stand there."""
    runs: list[range] = []
    for column in static:
        if runs and free.issuperset(range(runs[-1].stop, column)):
            runs[-1] = range(runs[-1].start, column + 1)
        else:
            runs.append(range(column, column + 1))
    return runs


def _plain(name: str) -> str:
    return name.strip().removeprefix("#").strip().lower()


def _places(names: tuple[str, ...], spellings: tuple[str, ...]) -> list[int]:
    wanted = {_plain(name) for name in spellings}
    return [place for place, name in enumerate(names) if name in wanted]


def _split(text: str, delimiter: str) -> list[str]:
    """The fields of one row, blanks around quotes forgiven. Raises csv.Error where a field is absurdly long."""
    if '"' not in text:
        return text.split(delimiter)
    return next(csv.reader([text], delimiter=delimiter, skipinitialspace=True))


def _imo(text: str) -> int | None:
    # MarineCadastre has IMO9107370; pandas and Parquet files of it 9107370.0.
    return imo_number(int(_digits(text.upper().removeprefix("IMO").removesuffix(".0"))))


def _metres(text: str) -> float | None:
    return metres(float(_digits(text)))


def _digits(text: str) -> str:
    """The same text. Raises ValueError where Python alone would read a number in it, as in 1_0."""
    if "_" in text:
        raise ValueError(f"{text!r} is no number")
    return text


_STATIC_READERS: Final[Mapping[str, Callable[[str], StaticValue]]] = {
    "imo": _imo,
    "callsign": str,
    "name": str,
    "ship_type": str,
    "length": _metres,
    "width": _metres,
    "draught": _metres,
    "destination": str,
}


def _codes(texts: Mapping[str, int | None]) -> Codes:
    size = 1 << (2 * len(texts)).bit_length()
    hashes, codes = np.zeros(size, np.uint64), np.zeros(size, np.int8)
    for text, code in texts.items():
        raw = text.encode()
        value = span_hash(np.frombuffer(raw + PADDING, np.uint8), 0, len(raw))
        slot = int(value) % size
        while hashes[slot]:
            slot = (slot + 1) % size
        hashes[slot] = value
        codes[slot] = NULL_CODE if code is None else code
    return Codes(hashes, codes)
