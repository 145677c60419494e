"""Which days a file is about, by its name; which rows of it are a day's.

A record belongs to the UTC day of its own time, whatever file it is in. A file's name says which days it should hold,
by
the clocks of AIS_FILE_ZONE; records may lie AIS_FILE_MARGIN_HOURS outside of them. Every UTC day that this meets reads
the file and takes its own records, so that over all days each record is taken once. A row that cannot be read, and has
no time, is of the day of the row before it; before the first that can, of the day on which the file begins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple

from ais_assets.sources.rows.row_plan import Window
from ais_assets.sources.rows.zones import utc_days

_DAY = timedelta(days=1)
_EVER: Final = 2**62

# One separator throughout (2024-03-01, 2024_03_01, 20240301), not within a longer number. A time of day may follow.
_DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)([-_.]?)(\d\d)\2(\d\d)(?=(?:\d{2}|\d{4}|\d{6})?(?!\d))")
_MONTH = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_.]?(\d\d)(?![-_.]?\d)")
# NOAA's of 2009 to 2014: Zone10_2009_01, and of 2015 to 2017: AIS_2017_01_Zone10.
_YEAR = re.compile(r"(?<!\d)((?:19|20)\d\d)(?!\d)")
_COUNT = re.compile(r"(?<!\d)(1\d{9})(?:\d{3})?(?!\d)")


class Span(NamedTuple):
    """Days that a name says, both inclusive, and how many days they were named by: 1, 2, or 0 for a month or a year."""

    first: date
    last: date
    dates: int


def span_in_name(name: str) -> Span | None:
    """The days in a file's name: from its first date to its last, or its month, or its year; None where it has none.

    Dates are YYYY-MM-DD, YYYY_MM_DD, YYYY.MM.DD or YYYYMMDD, alone or before a time of day, or seconds since 1970.
    """
    dates = [found for groups in _DATE.findall(name) if (found := _date(groups[0], groups[2], groups[3])) is not None]
    if not dates:
        dates = [datetime.fromtimestamp(int(count), UTC).date() for count in _COUNT.findall(name)]
    if dates:
        return Span(min(dates), max(dates), len(dates))
    for year, month in _MONTH.findall(name):
        if 1 <= int(month) <= 12:
            first = date(int(year), int(month), 1)
            return Span(first, (first + 31 * _DAY).replace(day=1) - _DAY, 0)
    years = [int(year) for year in _YEAR.findall(name)]
    return Span(date(min(years), 1, 1), date(max(years), 12, 31), 0) if years else None


def _date(year: str, month: str, day: str) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


class Reach(NamedTuple):
    """A file's part of time, milliseconds since 1970 UTC, the ends exclusive and at midnight.

    Attributes:
        home: the UTC day on which it begins, to which its rows without a time belong.
        begin, end: of all UTC days that read it.
    """

    home: date
    begin: int
    end: int

    @classmethod
    def all_time(cls, home: date) -> Reach:
        """Of a file whose name says nothing."""
        return cls(home, -_EVER, _EVER)

    def meets(self, day: date) -> bool:
        """Whether this UTC day reads the file."""
        begin, end = day_milliseconds(day)
        return self.begin < end and begin < self.end

    def window(self, day: date | None) -> Window:
        """What the reader must know to take the rows of `day`; None: of every day that reads the file."""
        begin, end = (self.begin, self.end) if day is None else day_milliseconds(day)
        return Window(begin, end, self.begin, self.end)

    def begins_with(self, day: date | None) -> bool:
        """Whether rows that cannot be read and stand first are the day's."""
        return day is None or day == self.home


def day_milliseconds(day: date) -> tuple[int, int]:
    """When a UTC day begins and ends, in milliseconds since 1970."""
    begin = int(datetime.combine(day, time(), UTC).timestamp()) * 1000
    return begin, begin + 86_400_000


@dataclass(frozen=True)
class FileDays:
    """How names of files stand for days.

    Attributes:
        zone: the IANA's name of the zone by whose clocks files are cut.
        margin: how far records may lie outside the days that a file's name says.
        first_day: of the whole range: home of files whose names say nothing.
    """

    zone: str = "UTC"
    margin: timedelta = timedelta(0)
    first_day: date = date(1970, 1, 1)

    def reach(self, name: str, *, with_margin: bool = True) -> Reach:
        """The part of time of the file of this name; without the margin, of the records that it should have."""
        span = span_in_name(name)
        if span is None:
            return Reach.all_time(self.first_day)
        begin, end = utc_days(span.first, span.last, self.zone)
        margin = self.margin if with_margin else timedelta(0)
        last = (end + margin - timedelta(milliseconds=1)).date()
        return Reach(begin.date(), day_milliseconds((begin - margin).date())[0], day_milliseconds(last)[1])

    def reading(self, name: str) -> tuple[date, date] | None:
        """First and last of the UTC days that read the file of this name; None: every day does."""
        if span_in_name(name) is None:
            return None
        reach = self.reach(name)
        first, last = (datetime.fromtimestamp(edge / 1000, UTC).date() for edge in (reach.begin, reach.end - 1))
        return first, last

    def local_days(self, day: date) -> list[date]:
        """Days by the zone's clocks whose files a UTC day reads."""
        around = [day + k * _DAY for k in range(-3, 4)]
        return [local for local in around if self.reach(local.isoformat()).meets(day)]
