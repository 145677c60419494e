"""The compiled reader of typed columns: what `row_kernel` makes of a row's bytes, made of its values.

What values mean, where a position is none and how a record is written is shared; the loop over a row's columns is not,
since there a field's text is looked at when its turn comes, and here it was before.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from ais_assets.sources.rows.compiled import compiled
from ais_assets.sources.rows.numbers import identity_number, mmsi_number
from ais_assets.sources.rows.row_kernel import (
    COG,
    COG_WRAP,
    FULL_TURN,
    HEADING,
    MOST_SOG,
    NO_SOG,
    NORTH_AGAIN,
    PLACES,
    SOG,
    SOG_WRAP,
    code_of,
    count_notes,
    is_below,
    is_latitude,
    longitude_of,
    means_null,
    milliseconds,
    motion,
    number,
    placed,
    put,
    time_reject,
)
from ais_assets.sources.rows.row_plan import NULL, NULL_CODE, Note, Progress, Reject, Role
from ais_assets.sources.rows.text import HASH_SEED, NEWLINE, SPACE, add_to_set, byte_at, span_hash
from ais_assets.sources.rows.times import two_column_milliseconds

BLANK: Final = 0
"""Nothing stands there, or a word for nothing."""
KNOWN: Final = 1
"""A number, a code that the layout has, or a time or MMSI, of which negative ones say that it is none."""
BELOW: Final = 2
"""A number that is less than what it was rounded to."""
OTHER: Final = 3
"""No number, or no text that the layout has."""


@njit(cache=True, nogil=True)
def read_texts(text, offsets, role, meaning):
    """The values of texts by a Role.

    Args:
        text: uint8, the texts one after the other and then PADDING.
        offsets: int (n + 1,), where each begins and the last ends. Those of Role.CLOCK: a date, a newline, a time.
        role: what they stand for.
        meaning: of the layout.

    Returns:
        values int64 (n,) in the units of Records, and what they are: BLANK, KNOWN, BELOW or OTHER, uint8 (n,).
    """
    mobile_types, nav_statuses, time_format, time_places, order, zone_starts, zone_offsets, scales, _ = meaning
    count = offsets.size - 1
    values, states = np.zeros(count, np.int64), np.full(count, KNOWN, np.uint8)
    for k in range(count):
        start, end = _trimmed(text, offsets[k], offsets[k + 1])
        if role == Role.TIME:
            values[k] = milliseconds(text, start, end, time_format, time_places, order, zone_starts, zone_offsets)
            continue
        if role == Role.CLOCK:
            cut = offsets[k]
            while cut < offsets[k + 1] and byte_at(text, cut) != NEWLINE:
                cut += 1
            date_start, date_end = _trimmed(text, offsets[k], cut)
            clock_start, clock_end = _trimmed(text, min(cut + 1, offsets[k + 1]), offsets[k + 1])
            values[k] = two_column_milliseconds(
                text, date_start, date_end, clock_start, clock_end, order, zone_starts, zone_offsets
            )
            continue
        if role == Role.MMSI:
            values[k] = mmsi_number(text, start, end)
            continue
        if role == Role.IDENTITY:
            values[k] = -1 if means_null(text, start, end) else identity_number(text, start, end)
            continue
        ok = False
        if role >= Role.LATITUDE:
            ok, values[k] = number(text, start, end, scales[role], PLACES[role])
        if ok:
            if is_below(text, start, end, scales[role], PLACES[role], values[k]):
                states[k] = BELOW
        elif start == end or means_null(text, start, end):
            states[k] = BLANK
        elif role == Role.MOBILE_TYPE:
            values[k], unknown = code_of(text, start, end, mobile_types.hashes, mobile_types.codes, 0, 1)
            states[k] = OTHER if unknown else KNOWN
        elif role == Role.NAV_STATUS:
            values[k], unknown = code_of(text, start, end, nav_statuses.hashes, nav_statuses.codes, NULL_CODE, 1)
            states[k] = OTHER if unknown else KNOWN
        else:
            states[k] = OTHER
    return values, states


@njit(cache=True, nogil=True)
def hash_texts(text, offsets):
    """A hash of each text without spaces around it, uint64 (n,); arguments as of `read_texts`."""
    hashes = np.zeros(offsets.size - 1, np.uint64)
    for k in range(hashes.size):
        start, end = _trimmed(text, offsets[k], offsets[k + 1])
        hashes[k] = span_hash(text, start, end)
    return hashes


@compiled
def judge_rows(values, states, static, roles, plan, begin, out, found):
    """Reads rows from `begin` to the end of the columns, a full table or a half-full set of static data.

    Args:
        values, states: (len(Role), n), by role as `read_texts` has them; of Role.CLOCK the whole time.
        static: uint64 (n,), hashes of the rows' static data.
        roles: those that the file has, in the order of its columns: the first that is bad is why a row is rejected.
        plan: the file's layout, a RowPlan.
        begin, out, found: as of `parse_rows`; position is a row, and so are the ends of samples and fresh.

    Returns:
        Progress.
    """
    _, _, columns, _, _, meaning, window, per_reason = plan
    rejected, noted, sample_rows, fresh_rows, seen = found
    row, record, line, samples, fresh, known, of_day = begin
    sog_wrap, cog_wrap = (SOG_WRAP, COG_WRAP) if meaning.wraps else (0, 0)
    while row < static.size and record < out.t.size and 2 * known < seen.size:
        line += 1
        reject = -1
        notes = t = mmsi = mobile_type = 0
        lat = lon = sog = cog = heading = NULL
        nav_status = NULL_CODE
        for role in roles:
            value, state = values[role, row], states[role, row]
            ok = state in (KNOWN, BELOW)
            note = 0
            if role in (Role.TIME, Role.CLOCK):
                if not columns.has_clock:
                    t = value
                    if t < 0:
                        reject = time_reject(t)
                        break
                    if window.first <= t < window.last:
                        of_day = window.begin <= t < window.end
                        if not of_day:
                            break
            elif role in (Role.MMSI, Role.IDENTITY):
                mmsi = value
                if mmsi < 0:
                    reject = Reject.BAD_MMSI
                    break
            elif state == BLANK:
                continue
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
                mobile_type = value
                note = (not ok) << Note.UNKNOWN_MOBILE_TYPE
            elif role == Role.NAV_STATUS:
                nav_status = value
                note = (not ok) << Note.UNKNOWN_NAV_STATUS
            elif role == Role.SOG:
                sog, note = motion(ok, value, SOG, sog_wrap)
                if value == NO_SOG and state == BELOW:
                    sog = MOST_SOG
            elif role == Role.COG:
                cog, note = motion(ok, value, COG, cog_wrap)
                if value == FULL_TURN and state == BELOW:
                    cog = 0
            elif role == Role.HEADING:
                heading, note = motion(ok, value, HEADING, 0)
                if value == NORTH_AGAIN and state == BELOW:
                    heading, note = 0, 0
            notes |= note
        if columns.has_clock and reject < 0:
            t = values[Role.CLOCK, row]
            if t < 0:
                reject = time_reject(t)
        lat, lon, note, reject = placed(lat, lon, reject)
        notes |= note
        if reject < 0:
            if window.first <= t < window.last:
                of_day = window.begin <= t < window.end
            else:
                reject = Reject.OUTSIDE_FILE
        row += 1
        if not of_day:
            noted[Note.OTHER_DAY] += 1
            continue
        if reject >= 0:
            if rejected[reject] < per_reason:
                sample_rows[samples] = line, reject, row - 1, row
                samples += 1
            rejected[reject] += 1
            continue
        put(out, record, t, mmsi, mobile_type, lat, lon, sog, cog, heading, nav_status)
        count_notes(notes, noted)
        if columns.static_first >= 0 and add_to_set(seen, static[row - 1] ^ (np.uint64(mmsi) * HASH_SEED)):
            known += 1
            fresh_rows[fresh] = record, row - 1, row
            fresh += 1
        record += 1
    return Progress(row, record, line, samples, fresh, known, of_day)


@compiled
def _trimmed(text, start, end):
    """The same span without spaces and line breaks around it."""
    while start < end and byte_at(text, start) <= SPACE:
        start += 1
    while start < end and byte_at(text, end - 1) <= SPACE:
        end -= 1
    return start, end
