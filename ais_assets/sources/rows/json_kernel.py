"""The compiled reader of lines of JSON: records of the lines that are plain, and the place of the first that is not.

A line is plain if it is one object, its strings ASCII, its wanted values numbers or texts without escapes, and makes a
record of the log. Every other line is left to the `json` module and the rules of `json_lines`, which say what is right:
of a plain line, too, what is read here is what they read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.sources.rows.compiled import compiled
from ais_assets.sources.rows.numbers import decimal
from ais_assets.sources.rows.row_plan import NULL, NULL_CODE, NULL_HEADING
from ais_assets.sources.rows.text import (
    EIGHT_ONES,
    HASH_PRIME,
    HASH_SEED,
    HIGH_BITS,
    MINUS,
    NEWLINE,
    NINE,
    PADDING,
    PLUS,
    POINT,
    QUOTE,
    RETURN,
    SPACE,
    ZERO,
    A,
    E,
    add_to_set,
    byte_at,
    first_marked,
    span_hash,
    word_at,
    zero_bytes,
)
from ais_assets.sources.rows.times import DAY_FIRST, text_milliseconds

_PADDING_BYTES = len(PADDING)
_TAB = 9
_COMMA = 44
_COLON = 58
_OPEN_LIST = 91
_BACKSLASH = 92
_CLOSE_LIST = 93
_OPEN = 123
_CLOSE = 125
_QUOTES, _BACKSLASHES, _DELETES, _SPACES = (np.uint64(byte) * EIGHT_ONES for byte in (QUOTE, _BACKSLASH, 127, SPACE))
_ALL_BITS = np.uint64(2**64 - 1)
LETTER_I = 73
LETTER_S = 83

ABSENT, MISSING, TRUE, FALSE, WHOLE, FRACTION, TEXT = range(7)
"""What stands under a name."""

_DEEPEST = 8
_MOST_OBJECTS = 16
_POWERS = 10.0 ** np.arange(23)  # exact as doubles
_EXACT_DIGITS = 15
_TEN_TO_TWELFTH = 12
_NEAR_HALF = 10  # millionths of a micro-degree, far more than what doubles are off

TIMES: Final = ("rxuxtime", "rxtime", "toa", "time_utc", "timestampexternal", "timestamp", "time", "receivedat")
"""Names of times, in the order in which they are believed."""
STATIC: Final = (
    *("shipname", "name", "callsign", "imo", "imonumber", "destination", "draught", "to_bow", "a", "refa"),
    *("maximumstaticdraught", "to_stern", "to_port", "to_starboard", "b", "c", "d", "refb", "refc", "refd"),
    *("shiptype", "ship_type"),
)
"""Names of static data."""
TELLING: Final = 10
"""So many of STATIC, from the first, make a message of static data."""
NAMES: Final = (
    *TIMES,
    *STATIC,
    *("mmsi", "userid", "lat", "latitude", "lon", "longitude", "lng", "speed", "sog", "course", "cog"),
    *("heading", "trueheading", "status", "navstat", "navigationalstatus"),
    *("messagetype", "msgtype", "type", "class", "scaled", "channel", "repeat"),
)
_NAME_COUNT = len(NAMES)
_OBJECT = _NAME_COUNT  # where the objects begin that are open, by depth
_INNER = _OBJECT + _DEEPEST + 1  # (first byte of the object around it, hash of its name) of objects
SLOTS: Final = _INNER + _MOST_OBJECTS
"""Rows of `slots`: of each name what stands there, its first byte, the one after its last, how deep it is, and of a
number its digits and decimals; then others'."""
_KIND, _START, _END, _DEPTH, _DIGITS, _DECIMALS = range(6)
SLOT_WIDTH: Final = 6
_FIRST_STATIC = len(TIMES)
_END_STATIC = _FIRST_STATIC + len(STATIC)
(
    *_,
    _MMSI,
    _USERID,
    _LAT,
    _LATITUDE,
    _LON,
    _LONGITUDE,
    _LNG,
    _SPEED,
    _SOG,
    _COURSE,
    _COG,
    _HEADING,
    _TRUEHEADING,
    _STATUS,
    _NAVSTAT,
    _NAVIGATIONALSTATUS,
    _MESSAGETYPE,
    _MSGTYPE,
    _TYPE,
    _CLASS,
    _SCALED,
    _CHANNEL,
    _REPEAT,
) = range(len(NAMES))
_RXUXTIME, _RXTIME, _TIMESTAMPS = 0, 1, len(TIMES)
_SECOND_OF_MINUTE = 64  # a smaller timestamp is the second of the minute in a report
_NOT_AVAILABLE = 1e-9  # relative, as math.isclose has it

NO_POSITION, IMPLAUSIBLE_SOG, IMPLAUSIBLE_COG, IMPLAUSIBLE_HEADING = range(4)
"""Notes, by their places in `noted`."""


class Names(NamedTuple):
    """Names in lower case by their hashes: an open-addressed table, its length a power of two."""

    hashes: NDArray[np.uint64]  # 0: free
    values: NDArray[np.int64]


class JsonPlan(NamedTuple):
    """What the kernel must know."""

    names: Names  # places in NAMES
    metadata: np.uint64  # hashes of names
    features: np.uint64
    coordinates: np.uint64
    senders: NDArray[np.int64]  # code in schema.MOBILE_TYPES by the number of the message
    kinds: Names  # the same by aisstream.io's names of messages
    long_range: np.uint64
    long_range_number: int
    zone_starts: NDArray[np.int64]
    zone_offsets: NDArray[np.int64]
    utc_starts: NDArray[np.int64]
    utc_offsets: NDArray[np.int64]
    begin: int  # of the day, milliseconds since 1970, the ends exclusive
    end: int
    first: int  # of the days that read this file
    last: int


class JsonProgress(NamedTuple):
    """How far a block was read."""

    position: int  # byte of the first line not read
    line: int  # lines of the file read so far
    records: int  # in the table
    blank: int
    other_day: int
    fresh: int
    known: int  # entries of the set of static data seen
    of_day: bool  # whether what cannot be read and comes next is the day's
    plain: bool  # whether it stopped for want of room or at the end, not at a line that is not plain


def table_of(values: Mapping[str, int]) -> Names:
    """A table of these names."""
    size = 4 << len(values).bit_length()
    hashes, codes = np.zeros(size, np.uint64), np.zeros(size, np.int64)
    for name, value in values.items():
        hashed = hash_of(name)
        slot = int(hashed) % size
        while hashes[slot]:
            slot = (slot + 1) % size
        hashes[slot], codes[slot] = hashed, value
    return Names(hashes, codes)


def senders_of(codes: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """Codes by the number of the message, 0 where it has none; up to 64 numbers."""
    found = np.zeros(64, np.int64)
    for number, code in codes:
        found[number] = code
    return found


def hash_of(name: str) -> np.uint64:
    """Of a name in lower case, as the kernel has it."""
    return np.uint64(_hash(np.frombuffer(name.encode() + PADDING, np.uint8), 0, len(name)))


@compiled
def _end_of_text(text, at):
    """The first byte at or after `at` that is a quote, a backslash, or no printable ASCII."""
    while True:
        word = word_at(text, at)
        marks = zero_bytes(word ^ _QUOTES) | zero_bytes(word ^ _BACKSLASHES) | zero_bytes(word ^ _DELETES)
        marks |= ((word - _SPACES) & ~word | word) & HIGH_BITS
        if marks:
            return at + first_marked(marks)
        at += 8


@compiled
def _hash(text, start, end):
    """Of a text, its letters in lower case: of what is printable but DEL no two other characters are taken for one."""
    value = HASH_SEED ^ np.uint64(end - start)
    while start + 8 <= end:
        value = (value ^ (word_at(text, start) | _SPACES)) * HASH_PRIME
        value ^= value >> np.uint64(29)
        start += 8
    if start < end:
        rest = (word_at(text, start) | _SPACES) & (_ALL_BITS >> np.uint64(8 * (8 - (end - start))))
        value = (value ^ rest) * HASH_PRIME
        value ^= value >> np.uint64(29)
    return value if value != 0 else np.uint64(1)


@compiled
def _find(table_hashes, table_values, value):
    """What a table has for a hash; -1 where it has not."""
    mask = np.uint64(table_hashes.size - 1)
    slot = value & mask
    while table_hashes[slot] != 0:
        if table_hashes[slot] == value:
            return table_values[slot]
        slot = (slot + np.uint64(1)) & mask
    return -1


@compiled
def parse_json_lines(text, plan, begin, out, coarse, noted, fresh_rows, seen, slots):
    """Reads lines from `begin` on to the block's end, a full table, or the first that is not plain.

    Args:
        text: uint8 block of whole lines and then PADDING.
        plan: a JsonPlan.
        begin: JsonProgress of the call before; blank, other_day and fresh of 0 start these anew.
        out: Records, filled from begin.records on.
        coarse: bool, beside them.
        noted: counts by the notes above.
        fresh_rows: (n, 3): record, first byte, end byte of lines whose static data may be new.
        seen: set of hashes of static data, its size a power of two.
        slots: int64 (SLOTS, SLOT_WIDTH), for what stands under each of NAMES in a line.

    Returns:
        JsonProgress.
    """
    times, mmsis, mobiles, lats, lons, sogs, cogs, headings, navs = out
    position, line, record, blank, other_day, fresh, known, of_day, _ = begin
    (name_hashes, name_places), metadata, features, coordinates, senders = plan[:5]
    (kind_hashes, kind_codes), long_range, long_range_number = plan[5:8]
    zone_starts, zone_offsets, utc_starts, utc_offsets, day_begin, day_end, first, last = plan[8:]
    stop = text.size - _PADDING_BYTES
    plain = True
    while position < stop and record < times.size and fresh < len(fresh_rows) and 2 * known < seen.size:
        at = position
        while byte_at(text, at) == SPACE or byte_at(text, at) == _TAB or byte_at(text, at) == RETURN:
            at += 1
        if byte_at(text, at) == NEWLINE:
            line += 1
            blank += 1
            position = at + 1
            continue
        for name in range(_NAME_COUNT):
            slots[name, _KIND] = ABSENT
        end = _scan(text, at, name_hashes, name_places, metadata, features, coordinates, slots)
        if end < 0:
            plain = False
            break
        name, t = _time(text, slots)
        if name >= 0:
            start, stop_at = slots[name, _START], slots[name, _END]
            if name == _RXTIME:
                t = text_milliseconds(text, start, stop_at, DAY_FIRST, utc_starts, utc_offsets)
            else:
                t = text_milliseconds(text, start, stop_at, DAY_FIRST, zone_starts, zone_offsets)
            t = t // 1000 * 1000
        if not first <= t < last or t < 0:
            plain = False
            break
        known_kind, mobile_type, is_coarse, is_named = _kind(
            text, senders, kind_hashes, kind_codes, long_range, long_range_number, slots
        )
        ok, notes, has_static, said = _report(text, is_named, slots)
        if not (known_kind and ok):
            plain = False
            break
        line += 1
        next_line = end + 1
        of_day = day_begin <= t < day_end
        if not of_day:
            other_day += 1
            position = next_line
            continue
        mmsi, lat, lon, sog, cog, heading, nav_status = said
        times[record] = t
        mmsis[record] = mmsi
        mobiles[record] = mobile_type
        lats[record] = lat
        lons[record] = lon
        sogs[record] = sog
        cogs[record] = cog
        headings[record] = heading
        navs[record] = nav_status
        coarse[record] = is_coarse
        for note in range(4):
            noted[note] += notes >> note & 1
        if has_static and add_to_set(seen, _static_hash(text, mmsi, slots)):
            known += 1
            fresh_rows[fresh, 0] = record
            fresh_rows[fresh, 1] = position
            fresh_rows[fresh, 2] = end
            fresh += 1
        record += 1
        position = next_line
    return JsonProgress(position, line, record, blank, other_day, fresh, known, of_day, plain)


@compiled
def _static_hash(text, mmsi, slots):
    value = np.uint64(mmsi) * HASH_SEED
    for name in range(_FIRST_STATIC, _END_STATIC):
        if slots[name, _KIND] > MISSING:
            value = (value ^ span_hash(text, slots[name, _START], slots[name, _END]) ^ np.uint64(name)) * HASH_PRIME
    for name in (_TYPE, _MESSAGETYPE, _MSGTYPE, _SCALED):
        if slots[name, _KIND] > MISSING:
            value = (value ^ span_hash(text, slots[name, _START], slots[name, _END]) ^ np.uint64(name)) * HASH_PRIME
    return value


@compiled
def _blanks(text, at):
    while byte_at(text, at) == SPACE or byte_at(text, at) == _TAB:
        at += 1
    return at


@compiled
def _scan(text, at, hashes, values, metadata, features, coordinates, slots):
    """What stands under each of NAMES in the object that begins at `at`: the end of its line, or -1: it is not plain.

    Of several under one name the one counts that `json_lines._flat` has: an inner object's before the outer one's, the
    later inner one's before an earlier one's, and of "metadata" only what is nowhere before it.
    """
    objects = depth = metadata_depth = 0
    if byte_at(text, at) != _OPEN:
        return -1
    depth = 1
    slots[_OBJECT + 1, 0] = at
    at = _blanks(text, at + 1)
    may_close = True
    while True:
        if byte_at(text, at) == _CLOSE and may_close:
            at += 1
            if depth == metadata_depth:
                metadata_depth = 0
            depth -= 1
            if depth == 0:
                break
        else:
            if byte_at(text, at) != QUOTE:
                return -1
            at += 1
            begin = at
            at = _end_of_text(text, at)
            if byte_at(text, at) != QUOTE:
                return -1
            name = _hash(text, begin, at)
            at = _blanks(text, at + 1)
            if byte_at(text, at) != _COLON:
                return -1
            at = _blanks(text, at + 1)
            # Of an object that stands twice under one name the second counts alone.
            for k in range(objects):
                if slots[_INNER + k, 0] == slots[_OBJECT + depth, 0] and slots[_INNER + k, 1] == np.int64(name):
                    return -1
            slot = _find(hashes, values, name)
            first = byte_at(text, at)
            if first == _OPEN:
                if slot >= 0 or depth == _DEEPEST or objects == _MOST_OBJECTS:
                    return -1
                slots[_INNER + objects, 0] = slots[_OBJECT + depth, 0]
                slots[_INNER + objects, 1] = np.int64(name)
                objects += 1
                if name == metadata:
                    if depth != 1 or metadata_depth != 0:
                        return -1
                    metadata_depth = 2
                depth += 1
                slots[_OBJECT + depth, 0] = at
                at = _blanks(text, at + 1)
                may_close = True
                continue
            if first == _OPEN_LIST:
                is_pair = name == coordinates
                if slot >= 0 or name == features or (is_pair and metadata_depth != 0):
                    return -1
                at = _list(text, at, is_pair, depth, slots)
                if at < 0:
                    return -1
            else:
                kind, start, end, at, digits, decimals = _value(text, at, slot >= 0)
                if kind == ABSENT:
                    return -1
                if slot >= 0:
                    if slots[slot, _KIND] == ABSENT:
                        takes = True
                    elif metadata_depth != 0 and slots[slot, _START] < slots[_OBJECT + metadata_depth, 0]:
                        takes = False
                    elif slots[slot, _START] >= slots[_OBJECT + depth, 0]:
                        # Twice in one object, perhaps in letters of another case.
                        if slots[slot, _DEPTH] == depth:
                            return -1
                        takes = False
                    else:
                        takes = True
                    if takes:
                        slots[slot, _KIND], slots[slot, _START] = kind, start
                        slots[slot, _END], slots[slot, _DEPTH] = end, depth
                        slots[slot, _DIGITS], slots[slot, _DECIMALS] = digits, decimals
        at = _blanks(text, at)
        if byte_at(text, at) == _COMMA:
            at = _blanks(text, at + 1)
            may_close = False
        elif byte_at(text, at) == _CLOSE:
            may_close = True
        else:
            return -1
    while byte_at(text, at) == SPACE or byte_at(text, at) == _TAB or byte_at(text, at) == RETURN:
        at += 1
    return at if byte_at(text, at) == NEWLINE else -1


@compiled
def _list(text, at, is_pair, depth, slots):
    """The byte behind a list of simple values, of a pair the first two longitude and latitude; -1 of any other."""
    at = _blanks(text, at + 1)
    count = 0
    if byte_at(text, at) == _CLOSE_LIST:
        return at + 1
    lon_kind = lon_start = lon_end = lon_digits = lon_decimals = 0
    while True:
        kind, start, end, at, digits, decimals = _value(text, at, False)
        if kind == ABSENT:
            return -1
        if is_pair and count < 2 and kind not in (WHOLE, FRACTION):
            return -1
        if count == 0:
            lon_kind, lon_start, lon_end, lon_digits, lon_decimals = kind, start, end, digits, decimals
        elif count == 1 and is_pair:
            slots[_LON, _KIND], slots[_LON, _START] = lon_kind, lon_start
            slots[_LON, _END], slots[_LON, _DEPTH] = lon_end, depth
            slots[_LON, _DIGITS], slots[_LON, _DECIMALS] = lon_digits, lon_decimals
            slots[_LAT, _KIND], slots[_LAT, _START] = kind, start
            slots[_LAT, _END], slots[_LAT, _DEPTH] = end, depth
            slots[_LAT, _DIGITS], slots[_LAT, _DECIMALS] = digits, decimals
        count += 1
        at = _blanks(text, at)
        if byte_at(text, at) == _CLOSE_LIST:
            return at + 1
        if byte_at(text, at) != _COMMA:
            return -1
        at = _blanks(text, at + 1)


@compiled
def _value(text, at, wanted):
    """A text, number or literal: (what it is, its first byte, the one after its last, quotes apart, the byte behind; of
    a number its digits as one and how many of them are decimals, -1 where it is not known so).

    ABSENT where it is none of these, or one that is not plain: beyond ASCII, or with an escape that would be wanted.
    """
    first = byte_at(text, at)
    if first == QUOTE:
        start = at + 1
        at = _end_of_text(text, start)
        while byte_at(text, at) == _BACKSLASH and not wanted and _is_plain_escape(byte_at(text, at + 1)):
            at = _end_of_text(text, at + 2)
        if byte_at(text, at) != QUOTE:
            return ABSENT, 0, 0, 0, 0, 0
        return TEXT, start, at, at + 1, 0, 0
    if first == MINUS or ZERO <= first <= NINE:
        return _number(text, at)
    # null, true, false
    if first == 110 and byte_at(text, at + 1) == 117 and byte_at(text, at + 2) == 108 and byte_at(text, at + 3) == 108:
        return MISSING, at, at + 4, at + 4, 0, 0
    if first == 116 and byte_at(text, at + 1) == 114 and byte_at(text, at + 2) == 117 and byte_at(text, at + 3) == 101:
        return TRUE, at, at + 4, at + 4, 0, 0
    if (
        first == 102
        and byte_at(text, at + 1) == 97
        and byte_at(text, at + 2) == 108
        and byte_at(text, at + 3) == 115
        and byte_at(text, at + 4) == 101
    ):
        return FALSE, at, at + 5, at + 5, 0, 0
    return ABSENT, 0, 0, 0, 0, 0


@compiled
def _is_plain_escape(byte):
    """Whether it ends an escape of two characters: " \\ / b f n r t (RFC 8259, 7)."""
    return byte in (34, 92, 47, 98, 102, 110, 114, 116)


@compiled
def _number(text, at):
    """A number by the grammar of RFC 8259, 6, as `_value` gives it."""
    start = at
    negative = byte_at(text, at) == MINUS
    at += negative
    mantissa = np.int64(0)
    decimals = digits = 0
    good = True
    kind = WHOLE
    first = byte_at(text, at)
    while ZERO <= byte_at(text, at) <= NINE:
        mantissa = mantissa * 10 + (np.int64(byte_at(text, at)) - ZERO)
        at += 1
    digits = at - start - negative
    good = digits > 0 and (first != ZERO or digits == 1)
    if byte_at(text, at) == POINT:
        kind = FRACTION
        at += 1
        before = at
        while ZERO <= byte_at(text, at) <= NINE:
            mantissa = mantissa * 10 + (np.int64(byte_at(text, at)) - ZERO)
            at += 1
        decimals = at - before
        good = good and decimals > 0
        digits += decimals
    if byte_at(text, at) == E or byte_at(text, at) == E + 32:
        kind = FRACTION
        at += 1
        at += byte_at(text, at) == PLUS or byte_at(text, at) == MINUS
        before = at
        while ZERO <= byte_at(text, at) <= NINE:
            at += 1
        good = good and at > before
        decimals = -1
    if digits > _EXACT_DIGITS:
        decimals = -1
    return (kind if good else ABSENT), start, at, at, (-mantissa if negative else mantissa), decimals


@compiled
def _double(slots, name):
    """(is it known, the nearest double) of a number: up to 15 digits over a power of ten are exact (Clinger, 1990)."""
    decimals = slots[name, _DECIMALS]
    if decimals < 0:
        return False, 0.0
    # The one negative zero is a zero to every rule.
    return True, slots[name, _DIGITS] / _POWERS[decimals]


@compiled
def _first_number(text, slots, first, second, third):
    """The place of the first of these names that has a number: (is it known, the place or -1 where none has).

    As `json_lines._number`: null, booleans and texts that are no numbers are passed over.
    """
    for name in (first, second, third):
        kind = slots[name, _KIND] if name >= 0 else ABSENT
        if kind == TEXT:
            if slots[name, _START] == slots[name, _END]:
                continue
            byte = byte_at(text, slots[name, _START])
            lower = byte + 32 if 65 <= byte <= 90 else byte
            # What begins with i or n may be infinity or nan.
            if not 97 <= lower <= 122 or lower in (105, 110):
                return False, -1
        elif kind in (WHOLE, FRACTION):
            return True, name
    return True, -1


@compiled
def _time(text, slots):
    """As `json_lines.time_of`: (-1, milliseconds since 1970, negative: not known), or (the name of a text, 0)."""
    for name in range(_TIMESTAMPS):
        kind = slots[name, _KIND]
        if kind in (ABSENT, MISSING, TRUE, FALSE):
            continue
        start, end = slots[name, _START], slots[name, _END]
        at = start
        while at < end and ZERO <= byte_at(text, at) <= NINE:
            at += 1
        digits = at - start
        decimals = 0
        if at < end and byte_at(text, at) == POINT:
            at += 1
            while at < end and ZERO <= byte_at(text, at) <= NINE:
                at += 1
                decimals += 1
        is_count = at == end and (decimals > 0 or byte_at(text, end - 1) != POINT)
        per_second = 1 if digits == 10 else 1000 if digits == 13 else 1_000_000
        if kind == TEXT:
            if start == end or byte_at(text, start) == SPACE or byte_at(text, end - 1) == SPACE:
                return -1, -1
            if not is_count or digits not in (10, 13, 16):
                return name, 0
            return -1, _digits(text, start, digits) // per_second * 1000
        if not is_count:
            return -1, -1
        if digits <= 2 and _digits(text, start, digits) < _SECOND_OF_MINUTE:
            continue
        # A double has so many decimals exactly enough.
        most = 6 if digits == 10 else 3 if digits == 13 else 0 if digits == 16 else -1
        if decimals > most or (digits == 16 and kind != WHOLE):
            return -1, -1
        return -1, _digits(text, start, digits) // per_second * 1000
    return -1, -1


@compiled
def _digits(text, start, count):
    value = np.int64(0)
    for at in range(start, start + count):
        value = value * 10 + (np.int64(byte_at(text, at)) - ZERO)
    return value


@compiled
def _report(text, is_named, slots):
    """(is it known, notes, whether there may be static data, the record) of a line, as `json_lines.report_of`.

    `is_named`: whether the message's number is not said, so that `type` may be the ship's.
    """
    nothing = (0, NULL, NULL, NULL, NULL, NULL_HEADING, NULL_CODE)
    has_position = slots[_LAT, _KIND] != ABSENT or slots[_LATITUDE, _KIND] != ABSENT
    tells = has_static = False
    for name in range(_FIRST_STATIC, _END_STATIC):
        there = slots[name, _KIND] != ABSENT
        has_static = has_static or there
        tells = tells or (there and name < _FIRST_STATIC + TELLING)
    if not has_position and not tells:
        return False, 0, False, nothing
    ok, mmsi = _mmsi(text, slots)
    if not ok:
        return False, 0, False, nothing
    has_static = has_static or (slots[_TYPE, _KIND] != ABSENT and is_named)
    steps = slots[_SCALED, _KIND] == FALSE
    ok, lat, lon = _position(text, slots, steps)
    ok_sog, sog, note_sog = _motion(text, slots, _SPEED, _SOG, 1 if steps else 10, 1023, 1023)
    ok_cog, cog, note_cog = _motion(text, slots, _COURSE, _COG, 1 if steps else 10, 3600, 3600)
    ok_heading, heading, note_heading = _motion(text, slots, _HEADING, _TRUEHEADING, 1, 360, 511)
    ok_status, place = _first_number(text, slots, _STATUS, _NAVSTAT, _NAVIGATIONALSTATUS)
    if not (ok and ok_sog and ok_cog and ok_heading and ok_status):
        return False, 0, False, nothing
    nav_status = np.int64(NULL_CODE)
    if place >= 0:
        exact, status = _double(slots, place)
        if not exact:
            return False, 0, False, nothing
        if 0 <= status < 15:
            nav_status = np.int64(status)
    notes = (lat == NULL) | note_sog << IMPLAUSIBLE_SOG | note_cog << IMPLAUSIBLE_COG
    notes |= note_heading << IMPLAUSIBLE_HEADING
    heading = NULL_HEADING if heading == NULL else heading
    return True, notes, has_static, (mmsi, lat, lon, sog, cog, heading, nav_status)


@compiled
def _mmsi(text, slots):
    name = _MMSI if slots[_MMSI, _KIND] != ABSENT else _USERID
    size = slots[name, _END] - slots[name, _START]
    if slots[name, _KIND] not in (WHOLE, TEXT) or size < 1 or size > 9:
        return False, np.int64(0)
    if slots[name, _KIND] == WHOLE:
        return slots[name, _DIGITS] >= 0 and byte_at(text, slots[name, _START]) != MINUS, slots[name, _DIGITS]
    for at in range(slots[name, _START], slots[name, _END]):
        if not ZERO <= byte_at(text, at) <= NINE:
            return False, np.int64(0)
    return True, _digits(text, slots[name, _START], size)


@compiled
def _kind(text, senders, hashes, codes, long_range, long_range_number, slots):
    """(is it known, code of what sent it, whether its position is coarse, whether it has no number)."""
    if slots[_MESSAGETYPE, _KIND] == TEXT:
        name = _hash(text, slots[_MESSAGETYPE, _START], slots[_MESSAGETYPE, _END])
        return True, max(_find(hashes, codes, name), 0), name == long_range, True
    if slots[_MSGTYPE, _KIND] != ABSENT:
        name = _MSGTYPE
    else:
        is_message = (
            _says_ais(text, slots[_CLASS, _KIND], slots[_CLASS, _START], slots[_CLASS, _END])
            or slots[_RXTIME, _KIND] != ABSENT
            or slots[_RXUXTIME, _KIND] != ABSENT
            or slots[_CHANNEL, _KIND] != ABSENT
            or slots[_REPEAT, _KIND] != ABSENT
        )
        if not is_message:
            return True, 0, False, True
        name = _TYPE
    kind = slots[name, _KIND]
    if kind in (ABSENT, MISSING, TEXT, FRACTION):
        return True, 0, False, True
    size = slots[name, _END] - slots[name, _START]
    if kind != WHOLE or size > 2 or byte_at(text, slots[name, _START]) == MINUS:
        return False, 0, False, False
    number = slots[name, _DIGITS]
    if number >= senders.size:
        return False, 0, False, False
    return True, senders[number], number == long_range_number, number == 0


@compiled
def _says_ais(text, kind, start, end):
    """Whether it is the text AIS, which gpsd's messages of AIS have as their class."""
    return (
        kind == TEXT
        and end - start == 3
        and byte_at(text, start) == A
        and byte_at(text, start + 1) == LETTER_I
        and byte_at(text, start + 2) == LETTER_S
    )


@compiled
def _position(text, slots, steps):
    """(is it known, latitude, longitude in micro-degrees); NULL for both where one is not available."""
    known_lat, lat = _first_number(text, slots, _LAT, _LATITUDE, -1)
    known_lon, lon = _first_number(text, slots, _LON, _LONGITUDE, _LNG)
    if not known_lat or not known_lon:
        return False, NULL, NULL
    if lat < 0 or lon < 0:
        return True, NULL, NULL
    ok_north, north = _micro(text, slots, lat, steps)
    ok_east, east = _micro(text, slots, lon, steps)
    if not ok_north or not ok_east:
        return False, NULL, NULL
    if north == 91 * schema.MICRODEGREES or east == 181 * schema.MICRODEGREES:
        return True, NULL, NULL
    # What is off the globe is a reject.
    return abs(north) <= 90 * schema.MICRODEGREES and abs(east) <= 180 * schema.MICRODEGREES, north, east


@compiled
def _micro(text, slots, name, steps):
    """(is it known, micro-degrees) of degrees, or of 1/10,000 minutes; rounded as Python rounds the double."""
    exact, value = _double(slots, name)
    if exact and abs(value) < 1e9:
        return True, np.int64(np.rint(value * (1 / 600_000 if steps else 1.0) * schema.MICRODEGREES))
    if steps:
        return False, np.int64(0)
    # More digits than a double tells: the decimal itself, unless it is near to where rounding turns.
    ok, fine = decimal(text, slots[name, _START], slots[name, _END], _TEN_TO_TWELFTH)
    size = abs(fine)
    rest = size % 1_000_000
    if not ok or size > 200 * 10**12 or abs(rest - 500_000) <= _NEAR_HALF:
        return False, np.int64(0)
    whole = size // 1_000_000 + (rest > 500_000)
    return True, -whole if fine < 0 else whole


@compiled
def _motion(text, slots, first, second, steps, limit, none):
    """(is it known, value in steps or NULL, whether it is implausible), as `json_lines._motion`."""
    known, place = _first_number(text, slots, first, second, -1)
    if not known:
        return False, NULL, 0
    if place < 0:
        return True, NULL, 0
    exact, value = _double(slots, place)
    if not exact:
        return False, NULL, 0
    value *= steps
    if abs(value - none) <= _NOT_AVAILABLE * max(abs(value), none):
        return True, NULL, 0
    if value < 0 or value >= limit:
        return True, NULL, 1
    rounded = np.int64(np.floor(value + 0.5))
    if rounded < limit:
        return True, rounded, 0
    # 359.97 degrees are north again; 102.27 kn the most there is.
    return True, (limit - 1 if first == _SPEED else 0), 0
