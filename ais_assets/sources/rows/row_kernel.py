"""The compiled reader of delimited AIS rows: bytes in, integers out, one pass, every row accounted for.

A newline always ends a row. AIS feeds have no line breaks inside a field, so a stray quote or a bad byte costs
its own row and never a neighbour; a general CSV reader would look for the closing quote in the rows after it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ais_assets import schema


class Role(IntEnum):
    """What a column of the file holds."""

    SKIPPED = 0
    TIME = 1
    MMSI = 2
    MOBILE_TYPE = 3
    NAV_STATUS = 4
    LATITUDE = 5  # from here on: decimal numbers
    LONGITUDE = 6
    SOG = 7
    COG = 8
    HEADING = 9


class Reject(IntEnum):
    """Why a row is no record. The names in lower case are the rules in the ledger: they stay as they are."""

    TOO_FEW_FIELDS = 0
    """The row ends before or inside the last of the columns time, MMSI, latitude and longitude: it was cut off."""
    BAD_QUOTES = 1
    """Up to the last of these columns, a quoted field is never closed or text follows its closing quote."""
    BAD_TIMESTAMP = 2
    """Not of the layout's form (DD/MM/YYYY hh:mm:ss or ISO 8601 unless it has another), or no such time."""
    BAD_MMSI = 3
    """Not one to nine digits (`.0` may follow them, as pandas writes an integer that was once a float)."""
    BAD_LATITUDE = 4
    """No number, or neither within -90 to 90 nor 91, which means not available."""
    BAD_LONGITUDE = 5
    """No number, or neither within -180 to 180 nor 181, which means not available."""


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


class RowPlan(NamedTuple):
    """What the kernel must know of a file's layout."""

    delimiter: int
    roles: NDArray[np.int8]  # of every column up to the last one that is read
    last_needed: int  # the last of the columns without which there is no position report
    last_role: int  # the last column with a role
    last_read: int  # the last column that has to be looked at
    columns: int  # of the header
    static_first: int  # the first column with static data; NO_STATIC: there is none
    static_marks: NDArray[np.uint8]  # of every column read: RUN_BEGINS and RUN_ENDS of adjoining static data
    static_open: bool  # whether the last run goes to the end of the line
    mobile_types: Codes
    nav_statuses: Codes
    time_format: NDArray[np.uint8]  # as `formatted_milliseconds` takes it; empty: DD/MM/YYYY hh:mm:ss or ISO 8601
    time_places: int  # decimal places from the file's unit of Unix time to nanoseconds; TIME_IS_TEXT: no such unit
    scales: NDArray[np.float64]  # by Role: what a number is multiplied by to be of this package's unit
    wraps: bool  # whether a negative SOG or COG is one that ran over
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


NULL: Final = -(2**31)
NULL_HEADING: Final = -(2**15)
NULL_CODE: Final = -1
_NO_CODE = -2
NO_STATIC: Final = -1
RUN_BEGINS: Final = 1
RUN_ENDS: Final = 2
TIME_IS_TEXT: Final = -1
PADDING: Final = b"\n" * 32
"""Must follow the last byte of a block: words of eight bytes and whole timestamps are looked at before their end."""
_PADDING_BYTES = len(PADDING)

_QUOTE = 34
_PLUS = 43
_MINUS = 45
_POINT = 46
_ZERO = 48
_NINE = 57
_NEWLINE = 10
_RETURN = 13
_SPACE = 32
_SLASH = 47
_COLON = 58
_LOWER_E = 101
_UPPER_E = 69
_T = 84
_Z = 90
_YEAR = 89
_MONTH = 77
_DAY = 68
_HOUR = 104
_MINUTE = 109
_SECOND = 115

_PLACES = np.zeros(len(Role), np.int64)  # decimal places kept of a number, by Role
_PLACES[[Role.LATITUDE, Role.LONGITUDE]] = schema.DEGREES.scale
_PLACES[[Role.SOG, Role.COG]] = schema.TENTHS.scale
_POLE = 90 * schema.MICRODEGREES
_ANTIMERIDIAN = 180 * schema.MICRODEGREES
_NO_LATITUDE = 91 * schema.MICRODEGREES
_NO_LONGITUDE = 181 * schema.MICRODEGREES
# No longitude at all, which is judged last: with latitude 91 any goes, and some files put the longitude first.
_BEYOND = 182 * schema.MICRODEGREES
# (the value for "not available", what no valid value reaches, the Note for text that is no number) by ITU-R
# M.1371-5, table 48: SOG 1023 and COG 3600 (tenths) and heading 511 are not available; 102.2 kn means that or more;
# no other course beyond 359.9 degrees and no heading beyond 359 is ever sent.
_SOG = (1023, 1023, int(Note.MALFORMED_SOG))
_COG = (3600, 3600, int(Note.MALFORMED_COG))
_HEADING = (511, 360, int(Note.MALFORMED_HEADING))
# What MarineCadastre's 2017 to 2021 files took off a value that ran over: the steps of its field, of 10 and 12 bits.
# Real files show it of courses: -49.6 is 360, not available. Of speeds no file that this was tried on has one; by the
# same rule -0.1 is 102.3, not available, and -51.2 the least that there can be, as public code for these files has it.
_SOG_WRAP = 1024
_COG_WRAP = 4096
_IMPLAUSIBLE = int(Note.IMPLAUSIBLE_SOG) - int(Note.MALFORMED_SOG)  # from a field's one note to its other

_SCALED_PLACES = 9  # decimal places kept of a number that is yet to be multiplied
_NANOSECONDS = 10**9
_MAX_MANTISSA = 10**17
_MOST_PLACES = 18
_PLAIN_DIGITS = 12  # with six more places still an int64
_POWERS = 10 ** np.arange(_MOST_PLACES + 1, dtype=np.int64)
_HUGE = 2**62
_LARGEST = _HUGE // _POWERS

_DAYS_IN_MONTH = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
_DAYS_BEFORE_MONTH = np.cumsum(_DAYS_IN_MONTH) - _DAYS_IN_MONTH
_DAYS_TO_1970 = 719_162
_DAY_SECONDS = 86_400
_NO_OFFSET = 2**31

_ONES = np.uint64(0x0101010101010101)
_HIGH_BITS = np.uint64(0x8080808080808080)
_NEWLINES = np.uint64(0x0A0A0A0A0A0A0A0A)
_ALL_BITS = np.uint64(0xFFFFFFFFFFFFFFFF)
_SEED = np.uint64(0x9E3779B97F4A7C15)
_PRIME = np.uint64(0xC2B2AE3D27D4EB4F)
_HALF = np.uint64(32)
_TOP_BYTE = np.uint64(56)


@njit(cache=True, nogil=True)
def _byte(text, at):
    """text[at] for an `at` that is never negative: without Python's wrap-around the kernel is twice as fast."""
    return text[np.uint64(at)]


@njit(cache=True, nogil=True)
def _word(text, at):
    """Eight bytes as one little-endian integer; LLVM makes a single load of it."""
    return (
        np.uint64(_byte(text, at))
        | np.uint64(_byte(text, at + 1)) << np.uint64(8)
        | np.uint64(_byte(text, at + 2)) << np.uint64(16)
        | np.uint64(_byte(text, at + 3)) << np.uint64(24)
        | np.uint64(_byte(text, at + 4)) << np.uint64(32)
        | np.uint64(_byte(text, at + 5)) << np.uint64(40)
        | np.uint64(_byte(text, at + 6)) << np.uint64(48)
        | np.uint64(_byte(text, at + 7)) << np.uint64(56)
    )


@njit(cache=True, nogil=True)
def _zero_bytes(word):
    """Marks bytes of value 0 in their top bits; exact up to the first of them, which is all that is used of it."""
    return (word - _ONES) & ~word & _HIGH_BITS


@njit(cache=True, nogil=True)
def _first_marked(marks):
    """Index of the lowest marked byte: the bytes up to it, counted by a multiplication."""
    lowest = marks & (~marks + np.uint64(1))
    return np.int64(((lowest - np.uint64(1)) & _ONES) * _ONES >> _TOP_BYTE) - 1


@njit(cache=True, nogil=True)
def line_end(text, at):
    """Index of the first newline at or after `at`; the block's padding guarantees one."""
    while True:
        marks = _zero_bytes(_word(text, at) ^ _NEWLINES)
        if marks:
            return at + _first_marked(marks)
        at += 8


@njit(cache=True, nogil=True)
def _field_end(text, at, delimiters):
    """Index of the first delimiter or newline at or after `at`; `delimiters`: a word of eight of them."""
    while True:
        word = _word(text, at)
        marks = _zero_bytes(word ^ delimiters) | _zero_bytes(word ^ _NEWLINES)
        if marks:
            return at + _first_marked(marks)
        at += 8


@njit(cache=True, nogil=True)
def span_hash(text, start, end):
    """64-bit hash of text[start:end], the same on every machine. At least 8 bytes must follow `end`."""
    value = _SEED ^ np.uint64(end - start)
    at = start
    while at + 8 <= end:
        value = (value ^ _word(text, at)) * _PRIME
        value ^= value >> _HALF
        at += 8
    if at < end:
        rest = _word(text, at) & (_ALL_BITS >> np.uint64(8 * (8 - (end - at))))
        value = (value ^ rest) * _PRIME
        value ^= value >> _HALF
    value *= _PRIME
    value ^= value >> _HALF
    return value if value != 0 else np.uint64(1)


@njit(cache=True, nogil=True)
def _plain_decimal(text, start, delimiter, places):
    """A number such as -12.345 that a delimiter follows and that needs no rounding: (value times 10^places, its end).

    An end of 0 says that it is something else, which `decimal` must judge. Nearly every number is of this kind,
    and reading it while looking for its end takes half the time.
    """
    at = start + (_byte(text, start) == _MINUS)
    first = at
    value = 0
    while _ZERO <= _byte(text, at) <= _NINE:
        value = value * 10 + (_byte(text, at) - _ZERO)
        at += 1
    digits = at - first
    if _byte(text, at) == _POINT:
        at += 1
        first = at
        while _ZERO <= _byte(text, at) <= _NINE:
            value = value * 10 + (_byte(text, at) - _ZERO)
            at += 1
        digits += at - first
        places -= at - first
    if _byte(text, at) != delimiter or places < 0 or digits == 0 or digits > _PLAIN_DIGITS:
        return 0, 0
    value *= _POWERS[places]
    return (-value if _byte(text, start) == _MINUS else value), at


@njit(cache=True, nogil=True)
def decimal(text, start, end, places):
    """A decimal number times 10^places, rounded half away from zero; an exponent is understood.

    Returns (is a number, value). Exact: no float is involved. Values beyond 2^62 are cut off there.
    """
    at = start
    negative = False
    if at < end and (_byte(text, at) == _MINUS or _byte(text, at) == _PLUS):
        negative = _byte(text, at) == _MINUS
        at += 1
    mantissa = 0
    decimals = 0
    digits = 0
    fraction = False
    while at < end:
        byte = _byte(text, at)
        if _ZERO <= byte <= _NINE:
            digits += 1
            if mantissa < _MAX_MANTISSA:
                mantissa = mantissa * 10 + (byte - _ZERO)
                decimals += fraction
            else:
                decimals -= not fraction
        elif byte == _POINT and not fraction:
            fraction = True
        else:
            break
        at += 1
    if digits == 0:
        return False, 0
    if at < end:
        if _byte(text, at) != _LOWER_E and _byte(text, at) != _UPPER_E:
            return False, 0
        at += 1
        shrinking = False
        if at < end and (_byte(text, at) == _MINUS or _byte(text, at) == _PLUS):
            shrinking = _byte(text, at) == _MINUS
            at += 1
        if at == end or end - at > 4:
            return False, 0
        exponent = 0
        while at < end:
            if not _ZERO <= _byte(text, at) <= _NINE:
                return False, 0
            exponent = exponent * 10 + (_byte(text, at) - _ZERO)
            at += 1
        decimals += exponent if shrinking else -exponent
    shift = places - decimals
    if mantissa == 0 or shift < -_MOST_PLACES:
        value = 0
    elif shift < 0:
        power = _POWERS[-shift]
        value = mantissa // power
        if 2 * (mantissa % power) >= power:
            value += 1
    elif shift > _MOST_PLACES or mantissa > _LARGEST[shift]:
        value = _HUGE
    else:
        value = mantissa * _POWERS[shift]
    return True, -value if negative else value


@njit(cache=True, nogil=True)
def _number(text, at, count):
    """`count` digits as an integer, or -1 where one of them is no digit."""
    value = 0
    for k in range(at, at + count):
        if not _ZERO <= _byte(text, k) <= _NINE:
            return -1
        value = value * 10 + (_byte(text, k) - _ZERO)
    return value


@njit(cache=True, nogil=True)
def _days_since_1970(year, month, day):
    """Days from 1970-01-01 in the Gregorian calendar; -1 where there is no such day, or before 1970."""
    if year < 1970 or month < 1 or month > 12 or day < 1:
        return -1
    leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    if day > _DAYS_IN_MONTH[month - 1] + (leap and month == 2):
        return -1
    past = year - 1
    days = past * 365 + past // 4 - past // 100 + past // 400 - _DAYS_TO_1970
    return days + _DAYS_BEFORE_MONTH[month - 1] + (leap and month > 2) + day - 1


@njit(cache=True, nogil=True)
def unix_milliseconds(text, start, end):
    """Milliseconds since 1970 UTC of `DD/MM/YYYY hh:mm:ss` or `YYYY-MM-DD[ T]hh:mm:ss[.f…][Z|±hh:mm]`, or -1.

    Whole seconds: a fraction is cut off. A time without an offset is UTC, as all of these feeds are.
    """
    if end - start < 19:
        return -1
    if _byte(text, start + 2) == _SLASH and _byte(text, start + 5) == _SLASH:
        day, month, year = _number(text, start, 2), _number(text, start + 3, 2), _number(text, start + 6, 4)
    elif _byte(text, start + 4) == _MINUS and _byte(text, start + 7) == _MINUS:
        year, month, day = _number(text, start, 4), _number(text, start + 5, 2), _number(text, start + 8, 2)
    else:
        return -1
    if _byte(text, start + 10) != _SPACE and _byte(text, start + 10) != _T:
        return -1
    if _byte(text, start + 13) != _COLON or _byte(text, start + 16) != _COLON:
        return -1
    hour, minute, second = _number(text, start + 11, 2), _number(text, start + 14, 2), _number(text, start + 17, 2)
    days, clock = _days_since_1970(year, month, day), _second_of_day(hour, minute, second)
    return _milliseconds(days, clock, _offset_seconds(text, start + 19, end))


@njit(cache=True, nogil=True)
def formatted_milliseconds(text, start, end, time_format):
    """The same of a text by a format such as `MM/DD/YYYY hh:mm:ss`, a byte of it for each byte of the text.

    Y, M, D, h, m and s stand for digits, anything else for itself. A fraction and an offset may follow.
    """
    if end - start < time_format.size:
        return -1
    year = month = day = hour = minute = second = 0
    for k in range(time_format.size):
        letter = time_format[k]
        byte = _byte(text, start + k)
        digit = np.int64(byte) - _ZERO
        if letter not in (_YEAR, _MONTH, _DAY, _HOUR, _MINUTE, _SECOND):
            if byte != letter:
                return -1
            continue
        if digit < 0 or digit > 9:
            return -1
        if letter == _YEAR:
            year = 10 * year + digit
        elif letter == _MONTH:
            month = 10 * month + digit
        elif letter == _DAY:
            day = 10 * day + digit
        elif letter == _HOUR:
            hour = 10 * hour + digit
        elif letter == _MINUTE:
            minute = 10 * minute + digit
        else:
            second = 10 * second + digit
    days, clock = _days_since_1970(year, month, day), _second_of_day(hour, minute, second)
    return _milliseconds(days, clock, _offset_seconds(text, start + time_format.size, end))


@njit(cache=True, nogil=True)
def counted_milliseconds(text, start, end, places):
    """The same of a number of seconds, milliseconds, … since 1970: `places` decimal places short of nanoseconds."""
    ok, nanoseconds = decimal(text, start, end, places)
    if not ok or nanoseconds < 0 or nanoseconds >= _HUGE:
        return -1
    return nanoseconds // _NANOSECONDS * 1000


@njit(cache=True, nogil=True)
def _second_of_day(hour, minute, second):
    """Seconds since midnight, or -1 where there is no such time of day."""
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60):
        return -1
    return (hour * 60 + minute) * 60 + second


@njit(cache=True, nogil=True)
def _milliseconds(days, clock, offset):
    """Milliseconds since 1970 of a day and a second of it, `offset` seconds ahead of UTC; -1 where one is missing."""
    if days < 0 or clock < 0 or offset == _NO_OFFSET:
        return -1
    seconds = days * _DAY_SECONDS + clock - offset
    return seconds * 1000 if seconds >= 0 else -1


@njit(cache=True, nogil=True)
def _offset_seconds(text, at, end):
    """What follows the seconds: [.f…][Z|±hh:mm] as seconds ahead of UTC, or _NO_OFFSET."""
    if at < end and _byte(text, at) == _POINT:
        at += 1
        fraction = at
        while at < end and _ZERO <= _byte(text, at) <= _NINE:
            at += 1
        if at == fraction:
            return _NO_OFFSET
    if at == end or (_byte(text, at) == _Z and at + 1 == end):
        return 0
    if end - at != 6 or _byte(text, at + 3) != _COLON or (_byte(text, at) != _PLUS and _byte(text, at) != _MINUS):
        return _NO_OFFSET
    hours, minutes = _number(text, at + 1, 2), _number(text, at + 4, 2)
    if not (0 <= hours < 24 and 0 <= minutes < 60):
        return _NO_OFFSET
    offset = (hours * 60 + minutes) * 60
    return offset if _byte(text, at) == _PLUS else -offset


@njit(cache=True, nogil=True)
def _mmsi(text, start, end):
    """One to nine digits, `.0` allowed after them; -1 for anything else."""
    value = 0
    at = start
    while at < end and _ZERO <= _byte(text, at) <= _NINE:
        value = value * 10 + (_byte(text, at) - _ZERO)
        at += 1
        if at - start > 9:
            return -1
    if at == start:
        return -1
    if at < end:
        if _byte(text, at) != _POINT or at + 1 == end:
            return -1
        for k in range(at + 1, end):
            if _byte(text, k) != _ZERO:
                return -1
    return value


@njit(cache=True, nogil=True)
def _code(text, start, end, hashes, codes):
    """The code of a text in a table of Codes; NO_CODE where the table has no such text."""
    value = span_hash(text, start, end)
    mask = np.uint64(hashes.size - 1)
    slot = value & mask
    while hashes[slot] != 0:
        if hashes[slot] == value:
            return np.int64(codes[slot])
        slot = (slot + np.uint64(1)) & mask
    return _NO_CODE


@njit(cache=True, nogil=True)
def _scaled(text, start, end, scale, places):
    """A decimal number times `scale` times 10^places, rounded half away from zero: (is a number, value).

    One double multiplication, which is the same on every machine.
    """
    ok, exact = decimal(text, start, end, _SCALED_PLACES)
    value = exact * (scale * 10.0 ** (places - _SCALED_PLACES))
    if abs(value) >= _HUGE:
        return ok, _HUGE if value > 0 else -_HUGE
    return ok, np.int64(np.floor(abs(value) + 0.5)) * (1 if value >= 0 else -1)


@njit(cache=True, nogil=True)
def _motion(ok, value, quantity, wrap):
    """A SOG, COG or heading as (value, bit of a Note); `wrap` is added to a negative one.

    NULL where it is not available; NULL and a note where it is no number, or negative or too large.
    """
    none, limit, malformed = quantity
    if not ok:
        return NULL, 1 << malformed
    if value < 0:
        value += wrap
    if value == none:
        return NULL, 0
    if value < 0 or value >= limit:
        return NULL, 1 << (malformed + _IMPLAUSIBLE)
    return value, 0


@njit(cache=True, nogil=True)
def add_to_set(seen, value):
    """Adds a value other than 0 to an open-addressed set; True where it is new. The set must have room."""
    mask = np.uint64(seen.size - 1)
    slot = value & mask
    while seen[slot] != 0:
        if seen[slot] == value:
            return False
        slot = (slot + np.uint64(1)) & mask
    seen[slot] = value
    return True


@njit(cache=True, nogil=True)
def grown(seen):
    """The same set with twice the room."""
    larger = np.zeros(seen.size * 2, np.uint64)
    for value in seen:
        if value != 0:
            add_to_set(larger, value)
    return larger


@njit(cache=True, nogil=True)
def parse_rows(text, plan, begin, out, found):
    """Reads rows from `begin` to the end of the block, a full table or a half-full set of static data.

    Args:
        text: uint8 block of whole lines and then PADDING.
        plan: the file's layout, a RowPlan.
        begin: Progress of the call before; samples and fresh of 0 start these lists anew.
        out: Records, filled from begin.records on.
        found: Found, added to.

    Returns:
        Progress.
    """
    # Unpacked once: numba would count references to each array anew for every row.
    delimiter, roles, last_needed, last_role, last_read, columns, static_first, static_marks, static_open = plan[:9]
    mobile_types, nav_statuses, time_format, time_places, scales, wraps, per_reason = plan[9:]
    mobile_hashes, mobile_codes = mobile_types
    nav_hashes, nav_codes = nav_statuses
    times, mmsis, mobiles, lats, lons, sogs, cogs, headings, navs = out
    rejected, noted, sample_rows, fresh_rows, seen = found
    position, record, line, samples, fresh, known = begin
    delimiters = np.uint64(delimiter) * _ONES
    stop = text.size - _PADDING_BYTES
    sog_wrap = _SOG_WRAP if wraps else 0
    cog_wrap = _COG_WRAP if wraps else 0
    while position < stop and record < times.size and 2 * known < seen.size:
        row = position
        line += 1
        while _byte(text, position) == _SPACE:
            position += 1
        if _byte(text, position) == _NEWLINE or (
            _byte(text, position) == _RETURN and _byte(text, position + 1) == _NEWLINE
        ):
            noted[Note.BLANK_LINES] += 1
            position = line_end(text, position) + 1
            continue

        column = 0
        reject = -1
        damaged = False
        notes = 0
        static_start = -1
        static = np.uint64(0)
        t = mmsi = mobile_type = 0
        lat = lon = sog = cog = heading = NULL
        nav_status = NULL_CODE
        while True:
            marks = static_marks[column]
            if marks & RUN_BEGINS:
                static_start = position
            while _byte(text, position) == _SPACE:
                position += 1
            start = position
            role = roles[column]
            end = 0
            ok = False
            value = 0
            if role >= Role.LATITUDE and scales[role] == 1.0:
                value, end = _plain_decimal(text, start, delimiter, _PLACES[role])
                ok = end > 0
            if ok:
                position = end
            elif _byte(text, position) != _QUOTE:
                end = position = _field_end(text, position, delimiters)
            else:
                start += 1
                position += 1
                while _byte(text, position) != _NEWLINE and (
                    _byte(text, position) != _QUOTE or _byte(text, position + 1) == _QUOTE
                ):
                    position += 1 + (_byte(text, position) == _QUOTE)
                end = position
                well_quoted = _byte(text, position) == _QUOTE
                while _byte(text, position) != delimiter and _byte(text, position) != _NEWLINE:
                    position += 1
                    if _byte(text, position) > _SPACE and _byte(text, position) != delimiter:
                        well_quoted = False
                if not well_quoted and column <= last_role:
                    if column <= last_needed:
                        reject = Reject.BAD_QUOTES
                    damaged = True
                    break
            while end > start and (_byte(text, end - 1) == _SPACE or _byte(text, end - 1) == _RETURN):
                end -= 1
            at_line_end = _byte(text, position) == _NEWLINE
            # A field that a row is cut off inside would read as a shorter, wrong value.
            if at_line_end and column <= last_role and column + 1 < columns:
                if column <= last_needed:
                    reject = Reject.TOO_FEW_FIELDS
                damaged = True
                break

            if role >= Role.LATITUDE and not ok:
                if scales[role] == 1.0:
                    ok, value = decimal(text, start, end, _PLACES[role])
                else:
                    ok, value = _scaled(text, start, end, scales[role], _PLACES[role])
            if role == Role.TIME:
                if time_places != TIME_IS_TEXT:
                    t = counted_milliseconds(text, start, end, time_places)
                elif time_format.size:
                    t = formatted_milliseconds(text, start, end, time_format)
                else:
                    t = unix_milliseconds(text, start, end)
                if t < 0:
                    reject = Reject.BAD_TIMESTAMP
                    break
            elif role == Role.MMSI:
                mmsi = _mmsi(text, start, end)
                if mmsi < 0:
                    reject = Reject.BAD_MMSI
                    break
            elif role != Role.SKIPPED and start < end:
                if role == Role.LATITUDE:
                    lat = value
                    if not ok or ((lat < -_POLE or lat > _POLE) and lat != _NO_LATITUDE):
                        reject = Reject.BAD_LATITUDE
                        break
                elif role == Role.LONGITUDE:
                    lon = value
                    if not ok:
                        reject = Reject.BAD_LONGITUDE
                        break
                    if (lon < -_ANTIMERIDIAN or lon > _ANTIMERIDIAN) and lon != _NO_LONGITUDE:
                        lon = _BEYOND
                elif role == Role.MOBILE_TYPE:
                    mobile_type = _code(text, start, end, mobile_hashes, mobile_codes)
                    if mobile_type == _NO_CODE:
                        notes |= 1 << Note.UNKNOWN_MOBILE_TYPE
                        mobile_type = 0
                elif role == Role.NAV_STATUS:
                    nav_status = _code(text, start, end, nav_hashes, nav_codes)
                    if nav_status == _NO_CODE:
                        notes |= 1 << Note.UNKNOWN_NAV_STATUS
                        nav_status = NULL_CODE
                elif role == Role.SOG:
                    sog, note = _motion(ok, value, _SOG, sog_wrap)
                    notes |= note
                elif role == Role.COG:
                    cog, note = _motion(ok, value, _COG, cog_wrap)
                    notes |= note
                elif role == Role.HEADING:
                    heading, note = _motion(ok, value, _HEADING, 0)
                    notes |= note

            if marks & RUN_ENDS:
                static = (static ^ span_hash(text, static_start, position)) * _PRIME
                static_start = -1
            if at_line_end:
                break
            if column == last_read:
                if column + 1 == columns:
                    damaged = True
                    for role in roles[max(static_first, last_needed + 1) :]:
                        if role == Role.SOG:
                            sog = NULL
                        elif role == Role.COG:
                            cog = NULL
                        elif role == Role.HEADING:
                            heading = NULL
                        elif role == Role.MOBILE_TYPE:
                            mobile_type = 0
                            notes &= ~(1 << Note.UNKNOWN_MOBILE_TYPE)
                        elif role == Role.NAV_STATUS:
                            nav_status = NULL_CODE
                            notes &= ~(1 << Note.UNKNOWN_NAV_STATUS)
                break
            position += 1
            column += 1

        row_end = line_end(text, position)
        no_position = lat in (NULL, _NO_LATITUDE) or lon in (NULL, _NO_LONGITUDE)
        if reject < 0 and lon == _BEYOND and not no_position:
            reject = Reject.BAD_LONGITUDE
        if reject >= 0:
            if rejected[reject] < per_reason:
                sample_rows[samples] = line, reject, row, row_end
                samples += 1
            rejected[reject] += 1
            position = row_end + 1
            continue

        if damaged:
            notes |= 1 << Note.DAMAGED_REST
        if no_position:
            notes |= 1 << Note.NO_POSITION
            lat = lon = NULL
        times[record] = t
        mmsis[record] = mmsi
        mobiles[record] = mobile_type
        lats[record] = lat
        lons[record] = lon
        sogs[record] = sog
        cogs[record] = cog
        headings[record] = heading if heading != NULL else NULL_HEADING
        navs[record] = nav_status
        note = 0
        while notes:
            noted[note] += notes & 1
            notes >>= 1
            note += 1
        if static_first >= 0 and not damaged:
            if static_open and static_start < 0:
                static_start = position
            if static_start >= 0:
                static = (static ^ span_hash(text, static_start, row_end)) * _PRIME
            value = static ^ (np.uint64(mmsi) * _SEED)
            if add_to_set(seen, value if value != 0 else np.uint64(1)):
                known += 1
                fresh_rows[fresh] = record, row, row_end
                fresh += 1
        record += 1
        position = row_end + 1
    return Progress(position, record, line, samples, fresh, known)
