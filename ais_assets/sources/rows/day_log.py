"""Records of one day in one log, taken message by message, and the account of every line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from ais_assets.ledger import Ledger
from ais_assets.sources.rows.record_table import (
    SAMPLE_CHARACTERS,
    TABLE_ROWS,
    StaticData,
    StaticValue,
    empty_records,
    record_table,
)
from ais_assets.sources.rows.row_plan import NULL, NULL_CODE, NULL_HEADING, Note, Reject, Window
from ais_assets.sources.rows.times import UNKNOWN_ZONE
from ais_assets.sources.rows.zones import AMBIGUOUS_LOCAL_TIME, NO_SUCH_LOCAL_TIME
from ais_assets.stream import REJECTS

NO_TIME = "no_time"
"""A good message without a time, and none is guessed."""
OUTSIDE_FILE = Reject.OUTSIDE_FILE.name.lower()
TIME_REASONS = {
    UNKNOWN_ZONE: Reject.UNKNOWN_ZONE.name.lower(),
    NO_SUCH_LOCAL_TIME: Reject.NO_SUCH_LOCAL_TIME.name.lower(),
    AMBIGUOUS_LOCAL_TIME: Reject.AMBIGUOUS_LOCAL_TIME.name.lower(),
}
TIME_REJECTS = (NO_TIME, *TIME_REASONS.values(), OUTSIDE_FILE)
"""What `DayLog.is_of_day` rejects for, in its order."""
OTHER_DAY = Note.OTHER_DAY.name.lower()
_MOST_REJECTS = 100


class Report(NamedTuple):
    """What a message says, in the units of `schema.RAW_RECORDS`, as integers; None for not available.

    Attributes:
        mmsi: the sender.
        mobile_type: code in `schema.MOBILE_TYPES`.
        lat, lon: micro-degrees.
        sog, cog: tenths of a knot and of a degree.
        heading: degrees.
        nav_status: code in `schema.NAV_STATUSES`.
        coarse: whether the position is message 27's, to a tenth of a minute.
        static: values of `schema.STATIC_COLUMNS`.
        notes: what was not plausible.
    """

    mmsi: int
    mobile_type: int
    lat: int | None
    lon: int | None
    sog: int | None
    cog: int | None
    heading: int | None
    nav_status: int | None
    coarse: bool
    static: tuple[StaticValue, ...]
    notes: tuple[str, ...]


class DayLog:
    """The records and the account of one log for one day; what cannot be read goes with the row before it.

    Args:
        window: which times are the day's.
        of_day: whether what cannot be read and stands first is.
        rejects, notes: every name that may be counted.

    Attributes:
        window: as given.
        of_day: whether what cannot be read and comes next is the day's.
        rows: records since the last table.
        records, coarse: room for these, the first `rows` of it taken.
        static: of these.
        notes: counts so far.
    """

    def __init__(self, window: Window, rejects: Iterable[str], notes: Iterable[str], *, of_day: bool) -> None:
        self.rows = 0
        self.notes = Counter(dict.fromkeys((*notes, OTHER_DAY), 0))
        self.window = window
        self.of_day = of_day
        self.records = empty_records(TABLE_ROWS)
        self.coarse = np.zeros(TABLE_ROWS, np.bool_)
        self.static = StaticData()
        self._rows_out = 0
        self._dropped = Counter[str](dict.fromkeys(rejects, 0))
        self._samples: list[dict[str, Any]] = []

    def has_time(self, line: int, text: bytes, t: int | None) -> bool:
        """Whether seconds since 1970 are some that days read this log for; a reject otherwise."""
        reason = None
        if t is None:
            reason = NO_TIME
        elif t < 0:
            reason = TIME_REASONS.get(t, NO_TIME)
        elif not self.window.first <= t * 1000 < self.window.last:
            reason = OUTSIDE_FILE
        else:
            self.of_day = self.window.begin <= t * 1000 < self.window.end
        if reason is not None:
            self.reject(line, text, reason)
        return reason is None

    def is_elsewhere(self, t: int | None) -> bool:
        """Whether seconds since 1970 are of another of the days that read this log; of a message that is, counts it."""
        if t is None or not self.window.first <= t * 1000 < self.window.last:
            return False
        self.of_day = self.window.begin <= t * 1000 < self.window.end
        self.notes[OTHER_DAY] += not self.of_day
        return not self.of_day

    def is_near(self, t: int, seconds: int) -> bool:
        """Whether seconds since 1970 are of the day or no further from it than that."""
        return self.window.begin - 1000 * seconds <= t * 1000 < self.window.end + 1000 * seconds

    def take(self, said: Report, t: int) -> None:
        """Makes a record of it, or leaves it to its own day."""
        if not self.of_day:
            self.notes[OTHER_DAY] += 1
            return
        row, self.rows = self.rows, self.rows + 1
        self.records.t[row] = t * 1000
        self.records.mmsi[row] = said.mmsi
        self.records.mobile_type[row] = said.mobile_type
        for name in ("lat", "lon", "sog", "cog"):
            value = getattr(said, name)
            getattr(self.records, name)[row] = NULL if value is None else value
        self.records.heading[row] = NULL_HEADING if said.heading is None else said.heading
        self.records.nav_status[row] = NULL_CODE if said.nav_status is None else said.nav_status
        self.coarse[row] = said.coarse
        self.static.add(row, said.mmsi, said.static)
        self.notes.update(said.notes)

    def reject(self, line: int, text: bytes, reason: str) -> None:
        """Counts a row that is no record, or leaves it to the day of the row before it."""
        if not self.of_day:
            self.notes[OTHER_DAY] += 1
            return
        self._dropped[reason] += 1
        if self._dropped[reason] <= _MOST_REJECTS // len(self._dropped):
            shown = text.decode("utf-8", "replace")[:SAMPLE_CHARACTERS]
            self._samples.append({"line": line, "reason": reason, "text": shown})

    @property
    def is_full(self) -> bool:
        """Whether the next table is due."""
        return self.rows == TABLE_ROWS

    def table(self) -> pa.Table:
        """The records since the last table."""
        table = record_table(self.records, self.rows, self.static, self.coarse[: self.rows])
        self._rows_out += self.rows
        self.rows = 0
        self.records = empty_records(TABLE_ROWS)
        return table

    def account(self, rows_seen: int, ledger: Ledger, facts: dict[str, Any]) -> None:
        """Writes down what became of the log's `rows_seen` rows."""
        ledger.rows_out = self._rows_out
        ledger.rows_in = rows_seen - self.notes[OTHER_DAY]
        for reason, rows in self._dropped.items():
            ledger.drop(reason, rows)
        for note, count in self.notes.items():
            ledger.note(note, count)
        facts[REJECTS] = sorted(self._samples, key=lambda reject: reject["line"])
