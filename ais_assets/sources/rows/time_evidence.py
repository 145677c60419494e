"""When a message was received, by what stands around its sentence: candidates in one order, none of which hides the
next.

1. the tag block's `c:` on the sentence's line (IEC 61162-450),
2. that of tag blocks on lines of their own right above,
3. a `$PGHP` sentence right above whose last field is the checksum of this message, or 0 (Gatehouse),
4. a receiver's own field on the line: `rxtime`, `rxuxtime`, `toa`, `timestamp`, …, as `name: value` or `name=value`,
5. the first count behind the sentence, which is the receiver's; one behind it is a logger's,
6. a time in the log's own prefix, as text or as a count.

A count is of seconds, milliseconds or microseconds since 1970 in 10, 13 or 16 digits; ten digits are seconds since
2001,
and nine may be an MMSI.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

from pyais.util import checksum

from ais_assets.sources.rows.times import BAD_TIME, milliseconds_of

_COUNT = rb"\d{16}|\d{13}|\d{10}"
_WHOLE_COUNT = re.compile(rb"(%b)(?:\.\d+)?" % _COUNT)
_COUNT_BEHIND = re.compile(rb"[,;|\s](%b)(?:\.\d+)?(?=[,;|\s]|$)" % _COUNT)
_COUNT_BEFORE = re.compile(rb"(?<![\w.])(%b)(?:\.\d+)?(?![\w.])" % _COUNT)
_RECEIVERS_FIELD = re.compile(
    rb"""\b(?:rxuxtime|rxtime|rx_time|toa|timestamp)["']?\s*[:=]\s*(?:"([^"]*)"|'([^']*)'|([^\s,;|"'}\\]+))""",
    re.IGNORECASE,
)
_STAMP = re.compile(
    rb"(?<![\d.])(?:\d{4}([-/.])\d\d?\1\d\d?|\d\d?([-/.])\d\d?\2\d{4}|\d{8})[T _-]{0,2}"
    rb"(?:\d\d?:\d\d(?::\d\d)?|\d{6}|\d{4}(?!\d))(?:[.,]\d+)?(?: ?[APap][Mm]\b)?"
)
# What may be meant as a zone right behind a time: an offset, UTC, or the abbreviation or the name of one.
_ZONE = re.compile(
    rb" ?(?:[+-]\d+(?::\d+)*(?: ?(?:UTC|GMT|Z)\b)?|(?:UTC|GMT|Z)\b|[A-Z][A-Za-z_]+/[A-Z][A-Za-z_/]+|"
    rb"(?:[CEW]ES?T|[ECMP][SD]T|AK[SD]T|HS?T|[AN][SD]T|BST|IST|MSK|JST|KST|SGT|HKT|AE[SD]T|AW?[SD]T|NZ[SD]T)\b)",
    re.IGNORECASE,
)
_ANNOUNCEMENT = re.compile(
    rb"\$(PGHP,\d+,(\d{4}),(\d+),(\d+),(\d+),(\d+),(\d+),[^*]*,([0-9A-Fa-f]{2}))\*([0-9A-Fa-f]{2})"
)
_DIGITS_A_SECOND: Final = {10: 1, 13: 1000, 16: 1_000_000}


class Announcement(NamedTuple):
    """A `$PGHP` sentence: seconds since 1970, and the checksum of the message that it is of."""

    t: int
    checksum: int


class Evidence(NamedTuple):
    """What says when a sentence was received: seconds since 1970 UTC, None where there is nothing such.

    Attributes:
        tag: the tag block's on its line.
        tag_above: that of a line above.
        announced: by a `$PGHP` sentence right above, which may be another message's.
        field: the receiver's field.
        behind: a count behind it.
        before: the prefix's; negative: why it is no time, one of the reasons of `times`.
    """

    tag: int | None = None
    tag_above: int | None = None
    announced: Announcement | None = None
    field: int | None = None
    behind: int | None = None
    before: int | None = None


def tag_time(tags: dict[bytes, bytes]) -> int | None:
    """The time in a tag block's fields."""
    return _counted(_WHOLE_COUNT.fullmatch(tags.get(b"c", b"")))


def receivers_field(line: bytes, zone: str) -> int | None:
    """The time in a receiver's own field of the line."""
    for found in _RECEIVERS_FIELD.finditer(line):
        value = (found[1] or found[2] or found[3] or b"").strip()
        count = _WHOLE_COUNT.fullmatch(value)
        t = _counted(count) if count else _text_time(value, zone)
        if t is not None and t >= 0:
            return t
    return None


def count_behind(text: bytes) -> int | None:
    """The first count in what stands behind a sentence."""
    return _counted(_COUNT_BEHIND.search(text))


def prefix_time(prefix: bytes, zone: str) -> int | None:
    """The time in a log's prefix; negative where it has one in a zone that is not known, or that the zone lacks."""
    reason = None
    for found in _STAMP.finditer(prefix):
        zone_text = _ZONE.match(prefix, found.end())
        t = _text_time(found[0] + (zone_text[0] if zone_text else b""), zone)
        if t is not None and t >= 0:
            return t
        reason = t if reason is None else reason
    counted = _counted(_COUNT_BEFORE.search(prefix))
    return counted if counted is not None else reason


def announcement(text: bytes) -> Announcement | None:
    """The `$PGHP` sentence in a line; None where there is none, or a damaged one."""
    found = _ANNOUNCEMENT.search(text)
    if found is None or checksum(found[1]) != int(found[9], 16):
        return None
    year, month, day, hour, minute, second = (int(found[k]) for k in range(2, 8))
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return Announcement(int(moment.timestamp()), int(found[8], 16))


def _counted(found: re.Match[bytes] | None) -> int | None:
    """Seconds since 1970 of a count."""
    return None if found is None else int(found[1]) // _DIGITS_A_SECOND[len(found[1])]


def _text_time(text: bytes, zone: str) -> int | None:
    """Seconds since 1970 of a text; None where it is no time, negative where its zone is the trouble."""
    text = text.replace(b"_", b" ", 1)
    if re.match(rb"\d{8}-\d", text):
        text = text.replace(b"-", b" ", 1)
    t = milliseconds_of(text, zone)
    if t >= 0:
        return t // 1000
    return None if t == BAD_TIME else t
