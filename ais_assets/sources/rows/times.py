"""Times in a block of text, to milliseconds since 1970, UTC."""

from __future__ import annotations

import numpy as np
from numba import njit

from ais_assets.sources.rows.numbers import HUGE, decimal, digits
from ais_assets.sources.rows.text import (
    COLON,
    DAY,
    HOUR,
    MINUS,
    MINUTE,
    MONTH,
    NINE,
    PLUS,
    POINT,
    SECOND,
    SLASH,
    SPACE,
    YEAR,
    ZERO,
    T,
    Z,
    byte_at,
)

_NANOSECONDS = 10**9
_DAYS_IN_MONTH = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
_DAYS_BEFORE_MONTH = np.cumsum(_DAYS_IN_MONTH) - _DAYS_IN_MONTH
_DAYS_TO_1970 = 719_162
_DAY_SECONDS = 86_400
_NO_OFFSET = 2**31


@njit(cache=True, nogil=True)
def unix_milliseconds(text, start, end):
    """Milliseconds since 1970 UTC of `DD/MM/YYYY hh:mm:ss` or `YYYY-MM-DD[ T]hh:mm:ss[.f…][Z|±hh:mm]`, or -1.

    Whole seconds: a fraction is cut off. A time without an offset is UTC, as all of these feeds are.
    """
    if end - start < 19:
        return -1
    if byte_at(text, start + 2) == SLASH and byte_at(text, start + 5) == SLASH:
        day, month, year = digits(text, start, 2), digits(text, start + 3, 2), digits(text, start + 6, 4)
    elif byte_at(text, start + 4) == MINUS and byte_at(text, start + 7) == MINUS:
        year, month, day = digits(text, start, 4), digits(text, start + 5, 2), digits(text, start + 8, 2)
    else:
        return -1
    if byte_at(text, start + 10) != SPACE and byte_at(text, start + 10) != T:
        return -1
    if byte_at(text, start + 13) != COLON or byte_at(text, start + 16) != COLON:
        return -1
    hour, minute, second = digits(text, start + 11, 2), digits(text, start + 14, 2), digits(text, start + 17, 2)
    days, clock = _days_since_1970(year, month, day), _second_of_day(hour, minute, second)
    return _milliseconds(days, clock, offset_seconds(text, start + 19, end))


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
        byte = byte_at(text, start + k)
        digit = np.int64(byte) - ZERO
        if letter not in (YEAR, MONTH, DAY, HOUR, MINUTE, SECOND):
            if byte != letter:
                return -1
            continue
        if digit < 0 or digit > 9:
            return -1
        if letter == YEAR:
            year = 10 * year + digit
        elif letter == MONTH:
            month = 10 * month + digit
        elif letter == DAY:
            day = 10 * day + digit
        elif letter == HOUR:
            hour = 10 * hour + digit
        elif letter == MINUTE:
            minute = 10 * minute + digit
        else:
            second = 10 * second + digit
    days, clock = _days_since_1970(year, month, day), _second_of_day(hour, minute, second)
    return _milliseconds(days, clock, offset_seconds(text, start + time_format.size, end))


@njit(cache=True, nogil=True)
def counted_milliseconds(text, start, end, places):
    """The same of a number of seconds, milliseconds, … since 1970: `places` decimal places short of nanoseconds."""
    ok, nanoseconds = decimal(text, start, end, places)
    if not ok or nanoseconds < 0 or nanoseconds >= HUGE:
        return -1
    return nanoseconds // _NANOSECONDS * 1000


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
def offset_seconds(text, at, end):
    """What follows the seconds: [.f…][Z|±hh:mm] as seconds ahead of UTC, or _NO_OFFSET."""
    if at < end and byte_at(text, at) == POINT:
        at += 1
        fraction = at
        while at < end and ZERO <= byte_at(text, at) <= NINE:
            at += 1
        if at == fraction:
            return _NO_OFFSET
    if at == end or (byte_at(text, at) == Z and at + 1 == end):
        return 0
    if end - at != 6 or byte_at(text, at + 3) != COLON or (byte_at(text, at) != PLUS and byte_at(text, at) != MINUS):
        return _NO_OFFSET
    hours, minutes = digits(text, at + 1, 2), digits(text, at + 4, 2)
    if not (0 <= hours < 24 and 0 <= minutes < 60):
        return _NO_OFFSET
    offset = (hours * 60 + minutes) * 60
    return offset if byte_at(text, at) == PLUS else -offset
