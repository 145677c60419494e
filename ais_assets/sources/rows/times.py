"""Times in a block of text, to milliseconds since 1970, UTC: whole seconds, a fraction is cut off.

A text that is no time gives a negative number that says why: BAD_TIME, UNKNOWN_ZONE, COARSE_TIME, and what `zones` has.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from ais_assets.sources.rows.compiled import compiled
from ais_assets.sources.rows.numbers import HUGE, decimal, digits, last_digit_place
from ais_assets.sources.rows.text import (
    COLON,
    COMMA,
    DAY,
    HOUR,
    MINUS,
    MINUTE,
    MONTH,
    NINE,
    PADDING,
    PLUS,
    POINT,
    SECOND,
    SLASH,
    SPACE,
    YEAR,
    ZERO,
    A,
    C,
    G,
    M,
    P,
    T,
    U,
    Z,
    byte_at,
    upper_at,
)
from ais_assets.sources.rows.zones import to_utc, zone_of

BAD_TIME: Final = -1
"""No form that is known, or no such time."""
UNKNOWN_ZONE: Final = -2
"""A time that something follows which is neither an offset nor UTC, GMT or Z."""
COARSE_TIME: Final = -5
"""A number whose last written digit is worth more than a second, such as 1.70929E+12 milliseconds."""
DAY_FIRST: Final = 0
"""01/03/2024 is the first of March."""
MONTH_FIRST: Final = 1
"""01/03/2024 is the third of January."""

_NANOSECONDS = 10**9
_NANOSECOND_PLACES = 9
_DAYS_IN_MONTH = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
_DAYS_BEFORE_MONTH = np.cumsum(_DAYS_IN_MONTH) - _DAYS_IN_MONTH
_DAYS_TO_1970 = 719_162
_DAY_SECONDS = 86_400
_NO_OFFSET = 2**31  # what the text says nothing of: local time
_BAD_OFFSET = 2**31 + 1


@lru_cache(maxsize=4096)
def milliseconds_of(text: bytes, zone: str) -> int:
    """`text_milliseconds` of a text of its own, day first, local times by the IANA's zone of this name."""
    starts, offsets = zone_of(zone)
    return text_milliseconds(np.frombuffer(text + PADDING, np.uint8), 0, len(text), DAY_FIRST, starts, offsets)


@compiled
def text_milliseconds(text, start, end, order, starts, offsets):
    """Milliseconds since 1970 UTC of a date and a time of day, or a negative reason.

    The date is YYYY-MM-DD, YYYYMMDD, or DD/MM/YYYY (MM/DD/YYYY by `order`), with any of - / . between, months and
    days of one digit too; a T or spaces follow. The time of day is hh:mm[:ss[.f…]], hhmm or hhmmss, AM or PM
    behind it; then an offset ±hh, ±hhmm or ±hh:mm, or Z, UTC or GMT, or nothing: a local time of the zone.

    Args:
        text: uint8 block.
        start, end: bytes of it.
        order: DAY_FIRST or MONTH_FIRST.
        starts, offsets: of the Zone of times without an offset.
    """
    if end - start == 19 and byte_at(text, start + 13) == COLON and byte_at(text, start + 16) == COLON:
        seconds = _common_form(text, start, order)
        if seconds >= 0:
            return _in_milliseconds(to_utc(seconds, starts, offsets))
    days, at = _date(text, start, end, order)
    if days < 0 or at == end:
        return BAD_TIME
    if byte_at(text, at) == T or byte_at(text, at) == T + 32:
        at += 1
    return _with_clock(days, text, at, end, starts, offsets)


@compiled
def two_column_milliseconds(text, date_start, date_end, clock_start, clock_end, order, starts, offsets):
    """The same of a date and a time of day that stand in two columns."""
    days, at = _date(text, date_start, date_end, order)
    if days < 0:
        return BAD_TIME
    # Some programs write the date as a time at midnight.
    if at < date_end:
        at += byte_at(text, at) == T
        while at < date_end and byte_at(text, at) == SPACE:
            at += 1
        midnight, at = _clock(text, at, date_end)
        if midnight != 0 or _offset_seconds(text, at, date_end) not in (0, _NO_OFFSET):
            return BAD_TIME
    return _with_clock(days, text, clock_start, clock_end, starts, offsets)


@compiled
def formatted_milliseconds(text, start, end, time_format, starts, offsets):
    """The same of a text by a format such as `MM/DD/YYYY hh:mm:ss`, a byte of it for each byte of the text.

    Y, M, D, h, m and s stand for digits, anything else for itself. A fraction and an offset may follow.
    """
    if end - start < time_format.size:
        return BAD_TIME
    year = month = day = hour = minute = second = 0
    for k in range(time_format.size):
        letter = time_format[k]
        byte = byte_at(text, start + k)
        digit = np.int64(byte) - ZERO
        if letter not in (YEAR, MONTH, DAY, HOUR, MINUTE, SECOND):
            if byte != letter:
                return BAD_TIME
            continue
        if digit < 0 or digit > 9:
            return BAD_TIME
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
    at = _after_fraction(text, start + time_format.size, end)
    days, clock = _days_since_1970(year, month, day), _second_of_day(hour, minute, second)
    return _moment(days, clock, _offset_seconds(text, at, end), starts, offsets)


@compiled
def counted_milliseconds(text, start, end, places):
    """The same of a number of seconds, milliseconds, … since 1970: `places` decimal places short of nanoseconds."""
    ok, nanoseconds = decimal(text, start, end, places)
    if not ok or nanoseconds < 0 or nanoseconds >= HUGE:
        return BAD_TIME
    if places - last_digit_place(text, start, end) > _NANOSECOND_PLACES:
        return COARSE_TIME
    return nanoseconds // _NANOSECONDS * 1000


@compiled
def _common_form(text, start, order):
    """Local seconds since 1970 of DD/MM/YYYY hh:mm:ss or YYYY-MM-DD hh:mm:ss, to which most times keep; else -1."""
    if byte_at(text, start + 10) != SPACE and byte_at(text, start + 10) != T:
        return -1
    if byte_at(text, start + 4) == MINUS and byte_at(text, start + 7) == MINUS:
        year, month, day = digits(text, start, 4), digits(text, start + 5, 2), digits(text, start + 8, 2)
    elif order == DAY_FIRST and byte_at(text, start + 2) == SLASH and byte_at(text, start + 5) == SLASH:
        day, month, year = digits(text, start, 2), digits(text, start + 3, 2), digits(text, start + 6, 4)
    else:
        return -1
    hour, minute, second = digits(text, start + 11, 2), digits(text, start + 14, 2), digits(text, start + 17, 2)
    days, clock = _days_since_1970(year, month, day), _second_of_day(hour, minute, second)
    return days * _DAY_SECONDS + clock if days >= 0 and clock >= 0 else -1


@compiled
def _some_digits(text, at, end, most):
    """The number in up to `most` digits from `at` on: (its value, the byte after it)."""
    value = 0
    last = min(end, at + most)
    while at < last and ZERO <= byte_at(text, at) <= NINE:
        value = value * 10 + (byte_at(text, at) - ZERO)
        at += 1
    return np.int64(value), at


@compiled
def _date(text, start, end, order):
    """The date that begins at `start`: (days since 1970, the byte after it); -1 for the days where there is none."""
    first, at = _some_digits(text, start, end, 8)
    count = at - start
    if count == 8:
        return _days_since_1970(first // 10_000, first // 100 % 100, first % 100), at
    if count not in (1, 2, 4) or at == end:
        return -1, at
    between = byte_at(text, at)
    if between not in (MINUS, SLASH, POINT):
        return -1, at
    second, after_second = _some_digits(text, at + 1, end, 2)
    if after_second == at + 1 or after_second == end or byte_at(text, after_second) != between:
        return -1, at
    third, at = _some_digits(text, after_second + 1, end, 4)
    third_digits = at - after_second - 1
    if count == 4:
        return (_days_since_1970(first, second, third) if 1 <= third_digits <= 2 else -1), at
    if third_digits != 4:
        return -1, at
    if order == MONTH_FIRST:
        first, second = second, first
    return _days_since_1970(third, second, first), at


@compiled
def _with_clock(days, text, at, end, starts, offsets):
    """The moment of a day and of the time of day, and perhaps the offset, in text[at:end]."""
    while at < end and byte_at(text, at) == SPACE:
        at += 1
    clock, at = _clock(text, at, end)
    if clock < 0:
        return BAD_TIME
    return _moment(days, clock, _offset_seconds(text, at, end), starts, offsets)


@compiled
def _clock(text, start, end):
    """The time of day that begins at `start`: (second of the day, or -1; the byte after it)."""
    hour, at = _some_digits(text, start, end, 6)
    count = at - start
    minute = second = np.int64(0)
    if count == 6:
        hour, minute, second = hour // 10_000, hour // 100 % 100, hour % 100
        at = _after_fraction(text, at, end)
    elif count == 4:
        hour, minute = hour // 100, hour % 100
    elif count in (1, 2) and at < end and byte_at(text, at) == COLON:
        minute, after = _some_digits(text, at + 1, end, 2)
        if after != at + 3:
            return -1, at
        at = after
        if at < end and byte_at(text, at) == COLON:
            second, after = _some_digits(text, at + 1, end, 2)
            if after != at + 3:
                return -1, at
            at = _after_fraction(text, after, end)
    else:
        return -1, at
    half = at
    while half < end and byte_at(text, half) == SPACE:
        half += 1
    if half + 1 < end and upper_at(text, half + 1) == M and (upper_at(text, half) == A or upper_at(text, half) == P):
        if hour < 1 or hour > 12:
            return -1, at
        hour = hour % 12 + (12 if upper_at(text, half) == P else 0)
        at = half + 2
    return _second_of_day(hour, minute, second), at


@compiled
def _after_fraction(text, at, end):
    """The byte after a fraction .f… or ,f… at `at`; `at` where there is none."""
    if at < end and (byte_at(text, at) == POINT or byte_at(text, at) == COMMA):
        after = at + 1
        while after < end and ZERO <= byte_at(text, after) <= NINE:
            after += 1
        if after > at + 1:
            return after
    return at


@compiled
def _offset_seconds(text, at, end):
    """What follows the time of day as seconds ahead of UTC; _NO_OFFSET for nothing, _BAD_OFFSET for anything else."""
    while at < end and byte_at(text, at) == SPACE:
        at += 1
    if at == end:
        return _NO_OFFSET
    offset, at = _signed_offset(text, at, end)
    if offset == _BAD_OFFSET:
        return _BAD_OFFSET
    while at < end and byte_at(text, at) == SPACE:
        at += 1
    if at < end and offset in (0, _NO_OFFSET):
        after = _after_utc(text, at, end)
        offset = _BAD_OFFSET if after == at else 0
        at = after
    return offset if at == end else _BAD_OFFSET


@compiled
def _signed_offset(text, at, end):
    """±hh, ±hhmm or ±hh:mm: (seconds ahead of UTC, the byte after it); _NO_OFFSET where no sign stands."""
    sign = byte_at(text, at)
    if sign not in (PLUS, MINUS):
        return _NO_OFFSET, at
    hours, after = _some_digits(text, at + 1, end, 4)
    count = after - at - 1
    minutes = np.int64(0)
    if count == 4:
        hours, minutes = hours // 100, hours % 100
    elif count != 2:
        return _BAD_OFFSET, at
    elif after < end and byte_at(text, after) == COLON:
        minutes, last = _some_digits(text, after + 1, end, 2)
        if last != after + 3:
            return _BAD_OFFSET, at
        after = last
    if hours > 23 or minutes > 59:
        return _BAD_OFFSET, at
    ahead = (hours * 60 + minutes) * 60
    return (ahead if sign == PLUS else -ahead), after


@compiled
def _after_utc(text, at, end):
    """The byte after Z, UTC or GMT, in letters of any case; `at` where none of them stands."""
    if upper_at(text, at) == Z:
        return at + 1
    if end - at >= 3:
        first, second, third = upper_at(text, at), upper_at(text, at + 1), upper_at(text, at + 2)
        if (first == U and second == T and third == C) or (first == G and second == M and third == T):
            return at + 3
    return at


@compiled
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


@compiled
def _second_of_day(hour, minute, second):
    """Seconds since midnight, or -1 where there is no such time of day."""
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60):
        return -1
    return (hour * 60 + minute) * 60 + second


@compiled
def _moment(days, clock, offset, starts, offsets):
    """Milliseconds since 1970 of a day and a second of it, at an offset from UTC or by the zone's clocks."""
    if days < 0 or clock < 0:
        return BAD_TIME
    if offset == _BAD_OFFSET:
        return UNKNOWN_ZONE
    seconds = days * _DAY_SECONDS + clock
    return _in_milliseconds(to_utc(seconds, starts, offsets) if offset == _NO_OFFSET else max(seconds - offset, -1))


@compiled
def _in_milliseconds(seconds):
    """Seconds since 1970 as milliseconds; a negative reason as it is."""
    return seconds * 1000 if seconds >= 0 else seconds
