"""What goes into the compiled reader of rows and what comes out of it."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Role(IntEnum):
    """What a column of the file holds."""

    SKIPPED = 0
    TIME = 1
    MMSI = 2
    MOBILE_TYPE = 3
    NAV_STATUS = 4
    CLOCK = 5  # the time of day, where TIME is the date alone
    IDENTITY = 6  # in the place of an MMSI, a text of any kind
    LATITUDE = 7  # from here on: decimal numbers
    LONGITUDE = 8
    SOG = 9
    COG = 10
    HEADING = 11


class Reject(IntEnum):
    """Why a row is no record. The names in lower case are the rules in the ledger: they stay as they are."""

    TOO_FEW_FIELDS = 0
    """The row ends before or inside the last of the columns time, MMSI, latitude and longitude: it was cut off."""
    BAD_QUOTES = 1
    """Up to the last of these columns, a quoted field is never closed or text follows its closing quote."""
    BAD_TIMESTAMP = 2
    """Of no form that `times` knows (or not of the layout's own), or no such time."""
    BAD_MMSI = 3
    """Not one to nine digits (`.0` may follow them, as pandas writes an integer that was once a float); of identities
    that are texts, none."""
    BAD_LATITUDE = 4
    """No number, or neither within -90 to 90 nor 91, which means not available."""
    BAD_LONGITUDE = 5
    """No number, or neither within -180 to 180 nor 181, which means not available."""
    UNKNOWN_ZONE = 6
    """A good time with an offset or a zone behind it that is not understood."""
    COARSE_TIME = 7
    """A number since 1970 whose last written digit is worth more than a second."""
    NO_SUCH_LOCAL_TIME = 8
    """A local time that a change of AIS_SOURCE_ZONE's offset skips."""
    AMBIGUOUS_LOCAL_TIME = 9
    """A local time that such a change repeats: it could be either of two an hour apart."""
    OUTSIDE_FILE = 10
    """Not on a day that the file's name says, nor within AIS_FILE_MARGIN_HOURS of one: no day looks for it here."""


class Note(IntEnum):
    """What else is counted. The names in lower case are the ledger's notes."""

    BLANK_LINES = 0
    """Lines without any text: no rows at all."""
    NO_POSITION = 1
    """Records whose position is blank or not available: they carry static data."""
    MALFORMED_SOG = 2
    """Text that is no number, now null; likewise the next two."""
    MALFORMED_COG = 3
    MALFORMED_HEADING = 4
    IMPLAUSIBLE_SOG = 5
    """A number that no AIS message can carry (ITU-R M.1371-5, table 48), now null; likewise the next two."""
    IMPLAUSIBLE_COG = 6
    IMPLAUSIBLE_HEADING = 7
    UNKNOWN_MOBILE_TYPE = 8
    """A text that this format does not know."""
    UNKNOWN_NAV_STATUS = 9
    DAMAGED_REST = 10
    """Records of rows that are whole up to the position and no further: cut off, with a quote astray, or with more
    fields than the header. What stands from the damage on (of too many fields, from the first static column on, since
    texts have delimiters in them) is null, as are the row's static data."""
    OTHER_DAY = 11
    """Rows of another day, which its own partition reads from the same file: no rows of this one."""


class Records(NamedTuple):
    """The columns of a table under construction; NULL, NULL_HEADING and NULL_CODE stand for null."""

    t: NDArray[np.int64]  # milliseconds since 1970, UTC
    mmsi: NDArray[np.int32]
    mobile_type: NDArray[np.int8]
    lat: NDArray[np.int32]  # micro-degrees
    lon: NDArray[np.int32]  # micro-degrees
    sog: NDArray[np.int32]  # tenths of a knot
    cog: NDArray[np.int32]  # tenths of a degree
    heading: NDArray[np.int16]  # degrees
    nav_status: NDArray[np.int8]


class Codes(NamedTuple):
    """Texts and their codes: an open-addressed table of the texts' hashes, its length a power of two."""

    hashes: NDArray[np.uint64]  # 0: an empty slot
    codes: NDArray[np.int8]


class Columns(NamedTuple):
    """Which of a file's columns are looked at."""

    in_header: int  # columns of the header
    last_needed: int  # the last of the columns without which there is no position report
    last_role: int  # the last column with a role
    last_read: int  # the last column that has to be looked at
    static_first: int  # the first column with static data; NO_STATIC: there is none
    has_clock: bool  # whether date and time of day stand in two columns


class Meaning(NamedTuple):
    """What a file's texts stand for."""

    mobile_types: Codes
    nav_statuses: Codes
    time_format: NDArray[np.uint8]  # as `formatted_milliseconds` takes it; empty: any form that `times` knows
    time_places: int  # decimal places from the file's unit of Unix time to nanoseconds; TIME_IS_TEXT: no such unit
    date_order: int  # DAY_FIRST or MONTH_FIRST
    zone_starts: NDArray[np.int64]  # of the Zone of times that say none
    zone_offsets: NDArray[np.int64]
    scales: NDArray[np.float64]  # by Role: what a number is multiplied by to be of this package's unit
    wraps: bool  # whether a negative SOG or COG is one that ran over


class Window(NamedTuple):
    """Which rows of a file are wanted, in milliseconds since 1970 UTC, the ends exclusive."""

    begin: int  # of the day
    end: int
    first: int  # of the days that read this file
    last: int


class RowPlan(NamedTuple):
    """What the kernel must know of a file's layout."""

    delimiter: int
    roles: NDArray[np.int8]  # of every column up to the last one that is read
    columns: Columns
    static_marks: NDArray[np.uint8]  # of every column read: RUN_BEGINS and RUN_ENDS of adjoining static data
    static_open: bool  # whether the last run goes to the end of the line
    meaning: Meaning
    window: Window
    samples_per_reason: int  # rejected rows of each Reject to keep a sample of


class Found(NamedTuple):
    """What a call of `parse_rows` found beside the records."""

    rejected: NDArray[np.int64]  # rows by Reject
    noted: NDArray[np.int64]  # counts by Note
    samples: NDArray[np.int64]  # (n, 4): line, Reject, first byte, end byte of rejected rows
    fresh: NDArray[np.int64]  # (n, 3): record, first byte, end byte of rows whose static data may be new
    seen: NDArray[np.uint64]  # set of (MMSI, static data) hashes, its size a power of two


class Progress(NamedTuple):
    """How far a call of `parse_rows` came."""

    position: int  # byte of the first row not read
    records: int  # records in the table
    lines: int  # lines of the file read so far
    samples: int
    fresh: int
    known: int  # entries of the set of static data seen
    of_day: (
        bool  # whether a row that cannot be read is the day's: the last one that could be was, or the file begins so
    )


NULL: Final = -(2**31)
NULL_HEADING: Final = -(2**15)
NULL_CODE: Final = -1
NO_STATIC: Final = -1
RUN_BEGINS: Final = 1
RUN_ENDS: Final = 2
TIME_IS_TEXT: Final = -1
