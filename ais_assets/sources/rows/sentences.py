"""Lines of an AIVDM/AIVDO log to whole AIS messages with their times (NMEA 0183 and its tag blocks, IEC 61162-450).

A line may hold, in this order: a log's own prefix, a tag block between backslashes, the sentence from `!` to its
checksum, and what a receiver appended. A message is one sentence, or several that are put together here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from pyais.exceptions import AISBaseException
from pyais.messages import AISSentence, NMEASentenceFactory
from pyais.util import checksum

OTHER_LINES: Final = "other_lines"
"""Note: comments, times (`$PGHP`) and NMEA sentences of other instruments. No rows."""
JOINED_PARTS: Final = "joined_parts"
"""Note: sentences that were put together with the first one of their message."""
BAD_TAG_BLOCKS: Final = "bad_tag_blocks"
"""Note: tag blocks whose checksum is wrong; they, and so the time in them, are ignored."""
UNMATCHED_TIMES: Final = "unmatched_times"
"""Note: `$PGHP` lines whose checksum is not that of the message after them; likewise."""

NO_SENTENCE: Final = "no_sentence"
"""A line that is neither a sentence nor a comment."""
MALFORMED_SENTENCE: Final = "malformed_sentence"
"""A VDM or VDO that lacks fields, or has others than numbers, six-bit characters and a checksum in them."""
BAD_CHECKSUM: Final = "bad_checksum"
"""The sentence's checksum is not that of its bytes."""
EMPTY_PAYLOAD: Final = "empty_payload"
"""A sentence without any message in it: what some receivers write of a slot they could not read."""
ORPHANED_PART: Final = "orphaned_part"
"""A sentence of a message whose other sentences did not come within MOST_LINES_APART."""
SEVERAL_SENTENCES: Final = "several_sentences"
"""A line with a VDM or VDO behind the first: its newline was lost."""
LINE_FAULTS: Final = (NO_SENTENCE, MALFORMED_SENTENCE, SEVERAL_SENTENCES, BAD_CHECKSUM, EMPTY_PAYLOAD, ORPHANED_PART)

MOST_LINES_APART: Final = 1000
"""From a message's first sentence to its last. The numbers that tie them together come round after ten messages, but
a log of many stations has hundreds of lines a second."""

MOST_SECONDS_APART: Final = 5
"""From one sentence of a message to its next, where both have a time and no group ties them: a message is sent within a
quarter of a second, and its sentences come right after each other."""

_SENTENCE = re.compile(rb"![^,*!\\]{2}VD[MO],[1-9],[1-9],\d?,[^,*]?,[0-W`-w]*,[0-5]\*[0-9A-Fa-f]{2}")
_OTHER_SENTENCE = re.compile(rb"[$!][A-Z0-9]{3,},[^!$]*$|[#%;]|//")
_TAG_BLOCK = re.compile(rb"\\([^\\]*)\*([0-9A-Fa-f]{2})\\")
_ANNOUNCEMENT = re.compile(
    rb"\$(PGHP,\d+,(\d{4}),(\d+),(\d+),(\d+),(\d+),(\d+),[^*]*,([0-9A-Fa-f]{2}))\*([0-9A-Fa-f]{2})"
)
_MOMENT = re.compile(rb"(?<!\d)(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,]\d+)?(?: ?(Z|[+-]\d\d:?\d\d))?")
_PREFIX_COUNT = re.compile(rb"(?<![\d.])(\d{13}|\d{10})(?:\.\d+)?(?![\d.])")
_TRAILING_COUNT = re.compile(rb"[,;\s](\d{13}|\d{10})(?:\.\d+)?\s*$")
_TAG_COUNT = re.compile(rb"^(\d{13}|\d{10})(?:\.\d+)?$")
# Ten digits are seconds since 2001; nine may be an MMSI.
_MILLISECOND_DIGITS = 13


class Sentence(NamedTuple):
    """One VDM or VDO of good form and checksum.

    Attributes:
        line: its number in the file, from 1.
        text: the whole line.
        ais: what pyais makes of it.
        t: seconds since 1970 UTC by its own line, if any.
        announced: the time and the checksum of a `$PGHP` line right before it.
        group: the tag block's group, which ties the sentences of a message together.
        station: the tag block's source.
    """

    line: int
    text: bytes
    ais: AISSentence
    t: int | None
    announced: tuple[int, int] | None
    group: bytes | None
    station: bytes | None


class Message(NamedTuple):
    """A whole AIS message: the line and text of its first sentence, its payload, and its time in seconds since 1970."""

    line: int
    text: bytes
    ais: AISSentence
    t: int | None


class Fault(NamedTuple):
    """A line that yields no message, and why: one of LINE_FAULTS."""

    line: int
    text: bytes
    reason: str


class MessageReader:
    """Puts messages together from the lines of one log.

    Each line that is not blank is one of: a note in OTHER_LINES or JOINED_PARTS, a Fault, a Message's first sentence.

    The time of a message is, of its sentences' lines, the first of: the tag block's `c:` (seconds or milliseconds
    since 1970); the `$PGHP` line before it, whose last field must be the checksum of the message's sentences or 0;
    seconds or milliseconds since 1970 at the end of the line; a time in the log's prefix, as ISO 8601 or since 1970.
    All are UTC unless they say otherwise. No other time is made up, neither from the lines around nor from the second
    of the minute in a report.

    Attributes:
        notes: counts by note.
    """

    def __init__(self) -> None:
        self.notes = Counter({OTHER_LINES: 0, JOINED_PARTS: 0, BAD_TAG_BLOCKS: 0, UNMATCHED_TIMES: 0})
        self._waiting: dict[tuple[object, ...], dict[int, Sentence]] = {}
        self._announced: tuple[int, int] | None = None

    def read(self, lines: Iterable[tuple[int, bytes]]) -> Iterator[Message | Fault]:
        """Messages and faults of the lines, each line a number and a text that is not blank."""
        for line, text in lines:
            found = _SENTENCE.search(text)
            if found is None:
                if (reason := self._other(text)) is not None:
                    yield Fault(line, text, reason)
                continue
            if b"VDM," in text[found.end() :] or b"VDO," in text[found.end() :]:
                # Two lines run into one: neither is known to be whole, nor which of them a time is of.
                self._announced = None
                yield Fault(line, text, SEVERAL_SENTENCES)
                continue
            sentence = self._sentence(line, text, found)
            if isinstance(sentence, Fault):
                yield sentence
            elif sentence.ais.frag_cnt == 1:
                yield self._message([sentence])
            else:
                yield from self._part(sentence)
        for parts in list(self._waiting.values()):
            yield from _orphans(parts)
        self._waiting.clear()

    def _other(self, text: bytes) -> str | None:
        """Takes note of a line without a sentence of good form. The fault in it, if it is one."""
        if b"VDM," in text or b"VDO," in text:
            self._announced = None
            return MALFORMED_SENTENCE
        if _OTHER_SENTENCE.match(text.lstrip()) is None:
            return NO_SENTENCE
        self.notes[OTHER_LINES] += 1
        if (announcement := _ANNOUNCEMENT.search(text)) is not None:
            self._announced = _announced(announcement)
        return None

    def _sentence(self, line: int, text: bytes, found: re.Match[bytes]) -> Sentence | Fault:
        announced, self._announced = self._announced, None
        try:
            ais = NMEASentenceFactory.produce(found[0])
        except AISBaseException:
            return Fault(line, text, MALFORMED_SENTENCE)
        if not isinstance(ais, AISSentence):
            return Fault(line, text, MALFORMED_SENTENCE)
        if not ais.is_valid:
            return Fault(line, text, BAD_CHECKSUM)
        if not ais.payload:
            return Fault(line, text, EMPTY_PAYLOAD)
        prefix, tags = self._prefix_and_tags(text[: found.start()])
        t = _counted(_TAG_COUNT.match(tags.get(b"c", b"")))
        if t is None and announced is None:
            t = _counted(_TRAILING_COUNT.search(text, found.end()))
            if t is None:
                t = _moment(prefix)
        group = tags[b"g"].rpartition(b"-")[2] if b"g" in tags else None
        return Sentence(line, text, ais, t, announced, group, tags.get(b"s"))

    def _prefix_and_tags(self, before: bytes) -> tuple[bytes, dict[bytes, bytes]]:
        """The log's own prefix before a sentence, and the tag block's fields; none where its checksum is wrong."""
        if not before.endswith(b"\\"):
            return before, {}
        prefix = before[: max(before[:-1].rfind(b"\\"), 0)]
        block = _TAG_BLOCK.fullmatch(before, len(prefix))
        if block is None or checksum(block[1]) != int(block[2], 16):
            self.notes[BAD_TAG_BLOCKS] += 1
            return prefix, {}
        return prefix, {key: value for key, _, value in (tag.partition(b":") for tag in block[1].split(b","))}

    def _part(self, sentence: Sentence) -> Iterator[Message | Fault]:
        ais = sentence.ais
        # A group's first sentence alone may name the station.
        key = (sentence.group or sentence.station, ais.talker_id, ais.type, ais.frag_cnt, ais.seq_id, ais.channel)
        for old in list(self._waiting):
            if sentence.line - next(iter(self._waiting[old].values())).line <= MOST_LINES_APART:
                break
            yield from _orphans(self._waiting.pop(old))
        if (waiting := self._waiting.get(key)) and not _may_join(sentence, waiting):
            yield from _orphans(self._waiting.pop(key))
        parts = self._waiting.setdefault(key, {})
        parts[ais.frag_num] = sentence
        if len(parts) == ais.frag_cnt:
            del self._waiting[key]
            self.notes[JOINED_PARTS] += len(parts) - 1
            yield self._message([parts[number] for number in sorted(parts)])

    def _message(self, parts: list[Sentence]) -> Message:
        times = [part.t for part in parts if part.t is not None]
        announced = next((part.announced for part in parts if part.announced is not None), None)
        if not times and announced is not None:
            sums = 0
            for part in parts:
                sums ^= part.ais.checksum
            # Gatehouse writes 0 before the station's own messages (VDO).
            if announced[1] in (sums, 0):
                times = [announced[0]]
            else:
                self.notes[UNMATCHED_TIMES] += 1
        first = min(parts)
        whole = AISSentence.assemble_from_iterable([part.ais for part in parts])
        return Message(first.line, first.text, whole, times[0] if times else None)


def _may_join(sentence: Sentence, waiting: dict[int, Sentence]) -> bool:
    """Whether a sentence is of the message that those waiting under its key are of.

    A tag block's group says so. Without one the numbers that tie sentences together come round after ten messages, so
    that only a message's sentences in their order, and soon, are known to be of one: in the place of one that was lost
    the next message's would be put.
    """
    number = sentence.ais.frag_num
    if sentence.group is not None:
        return number not in waiting
    last = waiting[max(waiting)]
    apart = 0 if sentence.t is None or last.t is None else abs(sentence.t - last.t)
    return number == last.ais.frag_num + 1 and apart <= MOST_SECONDS_APART


def _orphans(parts: dict[int, Sentence]) -> Iterator[Fault]:
    for part in parts.values():
        yield Fault(part.line, part.text, ORPHANED_PART)


def _announced(announcement: re.Match[bytes]) -> tuple[int, int] | None:
    """The time and the checksum in a `$PGHP` sentence (Gatehouse); None where it is damaged."""
    if checksum(announcement[1]) != int(announcement[9], 16):
        return None
    year, month, day, hour, minute, second = (int(announcement[k]) for k in range(2, 8))
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp()), int(announcement[8], 16)


def _counted(found: re.Match[bytes] | None) -> int | None:
    """Seconds since 1970 of a count of seconds or milliseconds."""
    if found is None:
        return None
    return int(found[1]) // 1000 if len(found[1]) == _MILLISECOND_DIGITS else int(found[1])


def _moment(prefix: bytes) -> int | None:
    """The time in a log's prefix."""
    found = _MOMENT.search(prefix)
    if found is None:
        return _counted(_PREFIX_COUNT.search(prefix))
    return _iso_seconds(found[1], found[2], found[3] or b"Z")


@lru_cache(maxsize=1024)
def _iso_seconds(day: bytes, clock: bytes, offset: bytes) -> int | None:
    ahead = timedelta()
    if offset != b"Z":
        ahead = timedelta(hours=int(offset[1:3]), minutes=int(offset[-2:])) * (-1 if offset[:1] == b"-" else 1)
    try:
        moment = datetime.fromisoformat(f"{day.decode()}T{clock.decode()}+00:00") - ahead
    except (ValueError, OverflowError):
        return None
    return max(int(moment.timestamp()), 0) or None
