"""A file's header: which of its columns are those of a layout, and the plan for the compiled reader."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ais_assets import schema
from ais_assets.sources.rows.layout import NEEDED_ROLES, ROLES, Layout, plain_name
from ais_assets.sources.rows.record_table import SAMPLE_CHARACTERS
from ais_assets.sources.rows.row_plan import (
    NO_STATIC,
    NULL_CODE,
    RUN_BEGINS,
    RUN_ENDS,
    Codes,
    Columns,
    Meaning,
    Role,
    RowPlan,
    Window,
)
from ais_assets.sources.rows.static_fields import split_row
from ais_assets.sources.rows.text import PADDING, span_hash
from ais_assets.sources.rows.times import milliseconds_of
from ais_assets.sources.rows.zones import zone_of
from ais_assets.sources.source import SourceError

BOM = codecs.BOM_UTF8
"""What some programs begin a file of UTF-8 with."""


@dataclass(frozen=True)
class Header:
    """A file's columns."""

    names: tuple[str, ...]
    roles: dict[int, Role]
    static: dict[str, int]
    static_runs: list[range]
    static_open: bool

    @classmethod
    def read(cls, line: bytes, layout: Layout, where: str) -> Header:
        """Finds the layout's columns by name. Raises SourceError where one is missing or stands twice."""
        text = header_text(line)
        try:
            names = tuple(plain_name(name) for name in split_row(text, layout.delimiter))
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
        clock = _places(names, (layout.clock,)) if layout.clock else []
        if layout.clock and len(clock) != 1:
            raise SourceError(f"{where}: the header has {layout.clock} {len(clock)} times, not once: {text!r}")
        static = {column: place[column] for column in schema.STATIC_COLUMNS if column in place}
        company = {plain_name(name) for name in layout.static_company}
        free = {column for column, name in enumerate(names) if name in company}
        runs = _runs(sorted(static.values()), free)
        roles = {**ROLES, "mmsi": Role.IDENTITY} if layout.text_identities else ROLES
        return cls(
            names,
            {place[column]: role for column, role in roles.items() if column in place}
            | dict.fromkeys(clock, Role.CLOCK),
            static,
            runs,
            bool(runs) and free.issuperset(range(runs[-1].stop, len(names))),
        )

    def plan(self, layout: Layout, zone: str, window: Window, samples_per_reason: int) -> RowPlan:
        """The same for the kernel."""
        last_role = max(self.roles)
        last_needed = max(column for column, role in self.roles.items() if role in NEEDED_ROLES)
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
        return RowPlan(
            ord(layout.delimiter),
            roles,
            Columns(
                len(self.names),
                last_needed,
                last_role,
                last_read,
                runs[0].start if runs else NO_STATIC,
                layout.clock is not None,
            ),
            marks,
            self.static_open,
            meaning_of(layout, zone),
            window,
            samples_per_reason,
        )


def meaning_of(layout: Layout, zone: str) -> Meaning:
    """What a layout's texts stand for; times that say no zone are of the IANA's zone of this name."""
    scales = np.ones(len(Role))
    for name, scale in layout.scales.items():
        if name in ROLES:
            scales[ROLES[name]] = scale
    return Meaning(
        _codes(layout.mobile_types),
        _codes(layout.nav_statuses),
        np.frombuffer(layout.time.text.encode(), np.uint8),
        layout.time.unix_places,
        layout.time.date_order,
        *zone_of(zone),
        scales,
        layout.motion_wraps,
    )


def find_header(line: bytes, layouts: Sequence[Layout], where: str) -> tuple[Layout, Header, bool]:
    """The first layout that a file's first line fits, its header, and whether that line is one and not a row.

    Raises SourceError where it fits none, as the first of the layouts has it.
    """
    refusal: SourceError | None = None
    for layout in layouts:
        try:
            if not layout.without_header:
                return layout, Header.read(line, layout, where), True
            if _is_row(line, layout):
                count = header_text(line).count(layout.delimiter) + 1
                names = layout.delimiter.join(layout.without_header[:count])
                return layout, Header.read(names.encode(), layout, where), False
        except SourceError as error:
            refusal = refusal or error
    raise refusal or SourceError(f"{where}: its first line is none of a {layouts[0].name} file")


def header_text(line: bytes) -> str:
    """A file's first line as text, without a byte-order mark and a line break."""
    return line.removeprefix(BOM).decode("utf-8", "replace").strip("\r\n")


def _is_row(line: bytes, layout: Layout) -> bool:
    """Whether a file's first line is a row at once: a time stands where it should, or it has no column's name in it."""
    fields = [field.strip() for field in header_text(line).split(layout.delimiter)]
    names = tuple(map(plain_name, layout.without_header))
    place = _places(names, layout.spellings("t"))[0]
    last = max(_places(names, layout.spellings(column))[0] for column in layout.needed)
    if len(fields) <= last:
        return False
    is_time = milliseconds_of(fields[place].encode(), "UTC") >= 0
    return is_time or not set(names).intersection(map(plain_name, fields))


def _runs(static: list[int], free: set[int]) -> list[range]:
    """Static columns, ascending, in runs with nothing in between but others that are free to stand there."""
    runs: list[range] = []
    for column in static:
        if runs and free.issuperset(range(runs[-1].stop, column)):
            runs[-1] = range(runs[-1].start, column + 1)
        else:
            runs.append(range(column, column + 1))
    return runs


def _places(names: tuple[str, ...], spellings: tuple[str, ...]) -> list[int]:
    wanted = {plain_name(name) for name in spellings}
    return [place for place, name in enumerate(names) if name in wanted]


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
