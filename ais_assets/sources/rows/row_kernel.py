"""The compiled reader of delimited AIS rows: bytes in, integers out, one pass, every row accounted for.

A newline always ends a row. AIS feeds have no line breaks inside a field, so a stray quote or a bad byte costs
its own row and never a neighbour; a general CSV reader would look for the closing quote in the rows after it.
"""

from __future__ import annotations

import numpy as np

from ais_assets import schema
from ais_assets.sources.rows.compiled import compiled
from ais_assets.sources.rows.numbers import decimal, identity_number, mmsi_number, plain_decimal, scaled
from ais_assets.sources.rows.row_plan import (
    NULL,
    NULL_CODE,
    NULL_HEADING,
    RUN_BEGINS,
    RUN_ENDS,
    TIME_IS_TEXT,
    Note,
    Progress,
    Reject,
    Role,
)
from ais_assets.sources.rows.text import (
    BACKSLASH,
    EIGHT_ONES,
    HASH_PRIME,
    HASH_SEED,
    LESS,
    LETTER_O,
    MORE,
    NEWLINE,
    PADDING,
    QUOTE,
    RETURN,
    SLASH,
    SPACE,
    A,
    E,
    L,
    N,
    U,
    add_to_set,
    byte_at,
    field_end,
    line_end,
    span_hash,
    upper_at,
    word_at,
)
from ais_assets.sources.rows.times import (
    COARSE_TIME,
    UNKNOWN_ZONE,
    counted_milliseconds,
    formatted_milliseconds,
    text_milliseconds,
    two_column_milliseconds,
)
from ais_assets.sources.rows.zones import AMBIGUOUS_LOCAL_TIME, NO_SUCH_LOCAL_TIME

_PADDING_BYTES = len(PADDING)

PLACES = np.zeros(len(Role), np.int64)  # decimal places kept of a number, by Role
PLACES[[Role.LATITUDE, Role.LONGITUDE]] = schema.STORED_AS["lat"].places
PLACES[[Role.SOG, Role.COG]] = schema.STORED_AS["sog"].places
POLE = 90 * schema.MICRODEGREES
ANTIMERIDIAN = 180 * schema.MICRODEGREES
NO_LATITUDE = 91 * schema.MICRODEGREES
NO_LONGITUDE = 181 * schema.MICRODEGREES
# No longitude at all, which is judged last: with latitude 91 any goes, and some files put the longitude first.
BEYOND = 182 * schema.MICRODEGREES
# (the value for "not available", what no valid value reaches, the Note for text that is no number) by ITU-R
# M.1371-5, table 48: SOG 1023 and COG 3600 (tenths) and heading 511 are not available; 102.2 kn means that or more;
# no other course beyond 359.9 degrees and no heading beyond 359 is ever sent.
SOG = (1023, 1023, int(Note.MALFORMED_SOG))
COG = (3600, 3600, int(Note.MALFORMED_COG))
HEADING = (511, 360, int(Note.MALFORMED_HEADING))
# What MarineCadastre's 2017 to 2021 files took off a value that ran over: the steps of its field, of 10 and 12 bits.
# Real files show it of courses: -49.6 is 360, not available. Of speeds no file that this was tried on has one; by the
# same rule -0.1 is 102.3, not available, and -51.2 the least that there can be, as public code for these files has it.
SOG_WRAP = 1024
COG_WRAP = 4096
# What is less and rounds to these is no less plausible for it: 359.97 degrees are 0.0, 102.27 kn the most there is.
FULL_TURN = 3600
NORTH_AGAIN = 360
NO_SOG = 1023
MOST_SOG = 1022
_EXACT_PLACES = 5
_TIME_BYTES = 19  # of DD/MM/YYYY hh:mm:ss and YYYY-MM-DD hh:mm:ss
_IMPLAUSIBLE = int(Note.IMPLAUSIBLE_SOG) - int(Note.MALFORMED_SOG)  # from a field's one note to its other


@compiled
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
    # One loop over rows and columns: all that a column may say would otherwise go in and out of a function for each.
    delimiter, roles, columns, static_marks, static_open, meaning, window, per_reason = plan
    rejected, noted, sample_rows, fresh_rows, seen = found
    position, record, line, samples, fresh, known, of_day = begin
    in_header, last_needed, last_role, last_read, static_first, has_clock = columns
    mobile_types, nav_statuses, time_format, time_places, date_order, zone_starts, zone_offsets, scales, wraps = meaning
    mobile_hashes, mobile_codes = mobile_types
    nav_hashes, nav_codes = nav_statuses
    delimiters = np.uint64(delimiter) * EIGHT_ONES
    sog_wrap, cog_wrap = (SOG_WRAP, COG_WRAP) if wraps else (0, 0)
    stop = text.size - _PADDING_BYTES
    # Feeds are in time order: most rows have the time of the row before, letter by letter.
    t, time_at = np.int64(0), -1
    while position < stop and record < out.t.size and 2 * known < seen.size:
        row = position
        line += 1
        position = after_spaces(text, position)
        if is_line_end(text, position):
            noted[Note.BLANK_LINES] += 1
            position = line_end(text, position) + 1
            continue
        column = notes = note = 0
        reject = -1
        damaged = False
        static_start = -1
        static = np.uint64(0)
        mmsi = mobile_type = date_start = date_end = clock_start = clock_end = 0
        lat = lon = sog = cog = heading = NULL
        nav_status = NULL_CODE
        while True:
            marks = static_marks[column]
            if marks & RUN_BEGINS:
                static_start = position
            role = roles[column]
            start = after_spaces(text, position)
            end = value = 0
            well_quoted = True
            if role >= Role.LATITUDE and scales[role] == 1.0:
                value, end = plain_decimal(text, start, delimiter, PLACES[role])
            ok = end > 0
            if ok:
                position = end
            elif byte_at(text, start) == QUOTE:
                start += 1
                end, position, well_quoted = quoted_field_end(text, start, delimiter)
                end = _before_spaces(text, start, end)
            else:
                position = field_end(text, start, delimiters)
                end = _before_spaces(text, start, position)
            at_line_end = byte_at(text, position) == NEWLINE
            # A field that a row is cut off inside would read as a shorter, wrong value.
            if column <= last_role and (not well_quoted or (at_line_end and column + 1 < in_header)):
                if column <= last_needed:
                    reject = Reject.TOO_FEW_FIELDS if well_quoted else Reject.BAD_QUOTES
                damaged = True
                break
            if role >= Role.LATITUDE and not ok:
                ok, value = number(text, start, end, scales[role], PLACES[role])
                if not ok and means_null(text, start, end):
                    end = start
            note = 0
            if role == Role.TIME:
                date_start, date_end = start, end
                if not has_clock:
                    if end - start != _TIME_BYTES or time_at < 0 or not _same_time(text, start, time_at):
                        t = milliseconds(
                            text, start, end, time_format, time_places, date_order, zone_starts, zone_offsets
                        )
                        time_at = start if end - start == _TIME_BYTES else -1
                    if t < 0:
                        reject = time_reject(t)
                        break
                    if window.first <= t < window.last:
                        of_day = window.begin <= t < window.end
                        if not of_day:
                            break
            elif role == Role.MMSI:
                mmsi = mmsi_number(text, start, end)
                if mmsi < 0:
                    reject = Reject.BAD_MMSI
                    break
            elif role == Role.IDENTITY:
                mmsi = -1 if means_null(text, start, end) else identity_number(text, start, end)
                if mmsi < 0:
                    reject = Reject.BAD_MMSI
                    break
            elif role == Role.CLOCK:
                clock_start, clock_end = start, end
            elif start == end:
                pass
            elif role == Role.LATITUDE:
                lat = value
                if not ok or not is_latitude(value):
                    reject = Reject.BAD_LATITUDE
                    break
            elif role == Role.LONGITUDE:
                if not ok:
                    reject = Reject.BAD_LONGITUDE
                    break
                lon = longitude_of(value)
            elif role == Role.MOBILE_TYPE:
                mobile_type, note = code_of(
                    text, start, end, mobile_hashes, mobile_codes, 0, 1 << Note.UNKNOWN_MOBILE_TYPE
                )
                if note and means_null(text, start, end):
                    note = 0
            elif role == Role.NAV_STATUS:
                nav_status, note = code_of(
                    text, start, end, nav_hashes, nav_codes, NULL_CODE, 1 << Note.UNKNOWN_NAV_STATUS
                )
                if note and means_null(text, start, end):
                    note = 0
            elif role == Role.SOG:
                sog, note = motion(ok, value, SOG, sog_wrap)
                if value == NO_SOG and is_below(text, start, end, scales[role], PLACES[role], value):
                    sog = MOST_SOG
            elif role == Role.COG:
                cog, note = motion(ok, value, COG, cog_wrap)
                if value == FULL_TURN and is_below(text, start, end, scales[role], PLACES[role], value):
                    cog = 0
            elif role == Role.HEADING:
                heading, note = motion(ok, value, HEADING, 0)
                if value == NORTH_AGAIN and is_below(text, start, end, scales[role], 0, value):
                    heading, note = 0, 0
            notes |= note
            if marks & RUN_ENDS:
                static = _with_run(static, text, static_start, position)
                static_start = -1
            if at_line_end:
                break
            if column == last_read:
                if column + 1 == in_header:
                    damaged = True
                    gone = _roles_from(roles, max(static_first, last_needed + 1))
                    sog = NULL if gone & 1 << Role.SOG else sog
                    cog = NULL if gone & 1 << Role.COG else cog
                    heading = NULL if gone & 1 << Role.HEADING else heading
                    mobile_type = 0 if gone & 1 << Role.MOBILE_TYPE else mobile_type
                    nav_status = NULL_CODE if gone & 1 << Role.NAV_STATUS else nav_status
                    notes &= ~((gone >> Role.MOBILE_TYPE & 1) << Note.UNKNOWN_MOBILE_TYPE)
                    notes &= ~((gone >> Role.NAV_STATUS & 1) << Note.UNKNOWN_NAV_STATUS)
                break
            position += 1
            column += 1
        if has_clock and reject < 0:
            t = two_column_milliseconds(
                text, date_start, date_end, clock_start, clock_end, date_order, zone_starts, zone_offsets
            )
            if t < 0:
                reject = time_reject(t)
        lat, lon, note, reject = placed(lat, lon, reject)
        notes |= note
        notes |= damaged << Note.DAMAGED_REST
        row_end = line_end(text, position)
        if reject < 0:
            if window.first <= t < window.last:
                of_day = window.begin <= t < window.end
            else:
                reject = Reject.OUTSIDE_FILE
        if not of_day:
            noted[Note.OTHER_DAY] += 1
            position = row_end + 1
            continue
        if reject >= 0:
            if rejected[reject] < per_reason:
                sample_rows[samples] = line, reject, row, row_end
                samples += 1
            rejected[reject] += 1
            position = row_end + 1
            continue
        put(out, record, t, mmsi, mobile_type, lat, lon, sog, cog, heading, nav_status)
        count_notes(notes, noted)
        if static_first >= 0 and not damaged:
            if static_open and static_start < 0:
                static_start = position
            if static_start >= 0:
                static = _with_run(static, text, static_start, row_end)
            if add_to_set(seen, static ^ (np.uint64(mmsi) * HASH_SEED)):
                known += 1
                fresh_rows[fresh] = record, row, row_end
                fresh += 1
        record += 1
        position = row_end + 1
    return Progress(position, record, line, samples, fresh, known, of_day)


@compiled
def placed(lat, lon, reject):
    """A row's position and what is to be said of it: (latitude, longitude, bit of a Note, Reject or less than 0)."""
    if lat in (NULL, NO_LATITUDE) or lon in (NULL, NO_LONGITUDE):
        return NULL, NULL, 1 << Note.NO_POSITION, reject
    return lat, lon, 0, Reject.BAD_LONGITUDE if reject < 0 and lon == BEYOND else reject


@compiled
def put(out, record, t, mmsi, mobile_type, lat, lon, sog, cog, heading, nav_status):
    """Writes a record; motion that is not available is NULL."""
    out.t[record] = t
    out.mmsi[record] = mmsi
    out.mobile_type[record] = mobile_type
    out.lat[record] = lat
    out.lon[record] = lon
    out.sog[record] = sog
    out.cog[record] = cog
    out.heading[record] = heading if heading != NULL else NULL_HEADING
    out.nav_status[record] = nav_status


@compiled
def after_spaces(text, at):
    """The first byte at or after `at` that is no space."""
    while byte_at(text, at) == SPACE:
        at += 1
    return at


@compiled
def _before_spaces(text, start, end):
    """The end of text[start:end] without the spaces and the carriage return behind it."""
    while end > start and (byte_at(text, end - 1) == SPACE or byte_at(text, end - 1) == RETURN):
        end -= 1
    return end


@compiled
def _same_time(text, at, other):
    """Whether the _TIME_BYTES from `at` on are those from `other` on."""
    return (
        word_at(text, at + 8) == word_at(text, other + 8)
        and word_at(text, at + 11) == word_at(text, other + 11)
        and word_at(text, at) == word_at(text, other)
    )


@compiled
def is_line_end(text, at):
    """Whether a line ends at `at`, with a carriage return or without."""
    return byte_at(text, at) == NEWLINE or (byte_at(text, at) == RETURN and byte_at(text, at + 1) == NEWLINE)


@compiled
def quoted_field_end(text, at, delimiter):
    """Of a field whose opening quote is before `at`: (its end, the delimiter or newline behind it, is it well quoted).

    It is not where it is never closed, or where text follows its closing quote. A doubled quote is one of its own.
    """
    while byte_at(text, at) != NEWLINE and (byte_at(text, at) != QUOTE or byte_at(text, at + 1) == QUOTE):
        at += 1 + (byte_at(text, at) == QUOTE)
    end = at
    well_quoted = byte_at(text, at) == QUOTE
    while byte_at(text, at) != delimiter and byte_at(text, at) != NEWLINE:
        at += 1
        if byte_at(text, at) > SPACE and byte_at(text, at) != delimiter:
            well_quoted = False
    return end, at, well_quoted


@compiled
def number(text, start, end, scale, places):
    """(is it a number, its value in steps of 10^-places of this package's unit)."""
    if scale == 1.0:
        return decimal(text, start, end, places)
    return scaled(text, start, end, scale, places)


@compiled
def milliseconds(text, start, end, time_format, time_places, date_order, zone_starts, zone_offsets):
    """A row's time in milliseconds since 1970, UTC, or a negative reason of `times`."""
    if time_places != TIME_IS_TEXT:
        return counted_milliseconds(text, start, end, time_places)
    if time_format.size:
        return formatted_milliseconds(text, start, end, time_format, zone_starts, zone_offsets)
    return text_milliseconds(text, start, end, date_order, zone_starts, zone_offsets)


@compiled
def time_reject(reason):
    """The Reject for a reason of `times`."""
    if reason == UNKNOWN_ZONE:
        return Reject.UNKNOWN_ZONE
    if reason == COARSE_TIME:
        return Reject.COARSE_TIME
    if reason == NO_SUCH_LOCAL_TIME:
        return Reject.NO_SUCH_LOCAL_TIME
    if reason == AMBIGUOUS_LOCAL_TIME:
        return Reject.AMBIGUOUS_LOCAL_TIME
    return Reject.BAD_TIMESTAMP


@compiled
def means_null(text, start, end):
    """Whether a text is NULL, None, NaN, NA, N/A, <NA> or \\N, in letters of any case."""
    size = end - start
    first = upper_at(text, start)
    if size == 2:
        return (first == N and upper_at(text, start + 1) == A) or (first == BACKSLASH and byte_at(text, start + 1) == N)
    if size == 3:
        second = upper_at(text, start + 1)
        if first != N or (second not in (A, SLASH)):
            return False
        return upper_at(text, start + 2) == (N if second == A else A)
    if size != 4:
        return False
    second, third, fourth = upper_at(text, start + 1), upper_at(text, start + 2), upper_at(text, start + 3)
    return (
        (first == N and second == U and third == L and fourth == L)
        or (first == N and second == LETTER_O and third == N and fourth == E)
        or (first == LESS and second == N and third == A and fourth == MORE)
    )


@compiled
def is_below(text, start, end, scale, places, value):
    """Whether a number that was rounded to `value`, in steps of 10^-places, is less than that."""
    ok, exact = number(text, start, end, scale, places + _EXACT_PLACES)
    return ok and exact < value * 10**_EXACT_PLACES


@compiled
def is_latitude(value):
    """Whether so many micro-degrees are on the globe, or stand for none."""
    return -POLE <= value <= POLE or value == NO_LATITUDE


@compiled
def longitude_of(value):
    """So many micro-degrees, where they are on the globe or stand for none; else BEYOND."""
    return value if -ANTIMERIDIAN <= value <= ANTIMERIDIAN or value == NO_LONGITUDE else BEYOND


@compiled
def motion(ok, value, quantity, wrap):
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


@compiled
def code_of(text, start, end, hashes, codes, unknown, note):
    """The code of a text in a table of Codes, and no note; `unknown` and the `note` where it has no such text."""
    value = span_hash(text, start, end)
    mask = np.uint64(hashes.size - 1)
    slot = value & mask
    while hashes[slot] != 0:
        if hashes[slot] == value:
            return np.int64(codes[slot]), 0
        slot = (slot + np.uint64(1)) & mask
    return unknown, note


@compiled
def _roles_from(roles, first):
    """Bits of the Roles in the columns from `first` on."""
    found = 0
    for role in roles[first:]:
        found |= 1 << role
    return found


@compiled
def count_notes(notes, noted):
    """Adds bits of Notes to the counts."""
    note = 0
    while notes:
        noted[note] += notes & 1
        notes >>= 1
        note += 1


@compiled
def _with_run(static, text, start, end):
    """The hash of a row's static data with one more run of them."""
    return (static ^ span_hash(text, start, end)) * HASH_PRIME
