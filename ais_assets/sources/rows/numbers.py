"""Numbers in a block of text: decimals without any float between, and MMSIs."""

from __future__ import annotations

import numpy as np

from ais_assets import schema
from ais_assets.sources.rows.compiled import compiled
from ais_assets.sources.rows.text import COMMA, LOWER_E, MINUS, NINE, PLUS, POINT, UPPER_E, ZERO, byte_at, span_hash

_SCALED_PLACES = 9  # decimal places kept of a number that is yet to be multiplied
_MAX_MANTISSA = 10**17
_MOST_PLACES = 18
_PLAIN_DIGITS = 12  # with six more places still an int64
_POWERS = 10 ** np.arange(_MOST_PLACES + 1, dtype=np.int64)
HUGE = 2**62
_IDENTITIES = np.uint64(2**31 - schema.FIRST_IDENTITY)
_LARGEST = HUGE // _POWERS


@compiled
def plain_decimal(text, start, delimiter, places):
    """A number such as -12.345 that a delimiter follows and that needs no rounding: (value times 10^places, its end).

    An end of 0 says that it is something else, which `decimal` must judge. Nearly every number is of this kind,
    and reading it while looking for its end takes half the time.
    """
    at = start + (byte_at(text, start) == MINUS)
    first = at
    value = 0
    while ZERO <= byte_at(text, at) <= NINE:
        value = value * 10 + (byte_at(text, at) - ZERO)
        at += 1
    digits = at - first
    if byte_at(text, at) == POINT or (byte_at(text, at) == COMMA and delimiter != COMMA):
        at += 1
        first = at
        while ZERO <= byte_at(text, at) <= NINE:
            value = value * 10 + (byte_at(text, at) - ZERO)
            at += 1
        digits += at - first
        places -= at - first
    if byte_at(text, at) != delimiter or places < 0 or digits == 0 or digits > _PLAIN_DIGITS:
        return 0, 0
    value *= _POWERS[places]
    return (-value if byte_at(text, start) == MINUS else value), at


@compiled
def decimal(text, start, end, places):
    """A decimal number times 10^places, rounded half away from zero; an exponent and a decimal comma are understood.

    Returns (is a number, value). Exact: no float is involved. Values beyond 2^62 are cut off there.
    """
    at = start
    negative = False
    if at < end and (byte_at(text, at) == MINUS or byte_at(text, at) == PLUS):
        negative = byte_at(text, at) == MINUS
        at += 1
    mantissa = 0
    decimals = 0
    digits = 0
    fraction = False
    while at < end:
        byte = byte_at(text, at)
        if ZERO <= byte <= NINE:
            digits += 1
            if mantissa < _MAX_MANTISSA:
                mantissa = mantissa * 10 + (byte - ZERO)
                decimals += fraction
            else:
                decimals -= not fraction
        elif (byte in (POINT, COMMA)) and not fraction:
            fraction = True
        else:
            break
        at += 1
    if digits == 0:
        return False, 0
    if at < end:
        if byte_at(text, at) != LOWER_E and byte_at(text, at) != UPPER_E:
            return False, 0
        at += 1
        shrinking = False
        if at < end and (byte_at(text, at) == MINUS or byte_at(text, at) == PLUS):
            shrinking = byte_at(text, at) == MINUS
            at += 1
        if at == end or end - at > 4:
            return False, 0
        exponent = 0
        while at < end:
            if not ZERO <= byte_at(text, at) <= NINE:
                return False, 0
            exponent = exponent * 10 + (byte_at(text, at) - ZERO)
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
        value = HUGE
    else:
        value = mantissa * _POWERS[shift]
    return True, -value if negative else value


@compiled
def scaled(text, start, end, scale, places):
    """A decimal number times `scale` times 10^places, rounded half away from zero: (is a number, value).

    One double multiplication, which is the same on every machine.
    """
    ok, exact = decimal(text, start, end, _SCALED_PLACES)
    value = exact * (scale * 10.0 ** (places - _SCALED_PLACES))
    if abs(value) >= HUGE:
        return ok, HUGE if value > 0 else -HUGE
    return ok, np.int64(np.floor(abs(value) + 0.5)) * (1 if value >= 0 else -1)


@compiled
def digits(text, at, count):
    """`count` digits as an integer, or -1 where one of them is no digit."""
    value = 0
    for k in range(at, at + count):
        if not ZERO <= byte_at(text, k) <= NINE:
            return -1
        value = value * 10 + (byte_at(text, k) - ZERO)
    return value


@compiled
def mmsi_number(text, start, end):
    """One to nine digits, `.0` allowed after them; -1 for anything else."""
    value = 0
    at = start
    while at < end and ZERO <= byte_at(text, at) <= NINE:
        value = value * 10 + (byte_at(text, at) - ZERO)
        at += 1
        if at - start > 9:
            return -1
    if at == start:
        return -1
    if at < end:
        if byte_at(text, at) != POINT or at + 1 == end:
            return -1
        for k in range(at + 1, end):
            if byte_at(text, k) != ZERO:
                return -1
    return value


@compiled
def identity_number(text, start, end):
    """The number of an identity that is a text, from `schema.FIRST_IDENTITY` on; -1 where nothing stands."""
    if start == end:
        return np.int64(-1)
    return schema.FIRST_IDENTITY + np.int64(span_hash(text, start, end) % _IDENTITIES)


@compiled
def last_digit_place(text, start, end):
    """The decimal place of the last digit that is written of a number: 2 of 1.25, 0 of 12, -3 of 1.2E4."""
    place = 0
    fraction = False
    for at in range(start, end):
        byte = byte_at(text, at)
        if byte in (POINT, COMMA):
            fraction = True
        elif byte in (LOWER_E, UPPER_E):
            ok, exponent = decimal(text, at + 1, end, 0)
            return place - exponent if ok else place
        elif ZERO <= byte <= NINE:
            place += fraction
    return place
