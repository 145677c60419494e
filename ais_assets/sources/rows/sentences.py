"""Lines of an AIVDM/AIVDO log to whole AIS messages with their times (NMEA 0183 and its tag blocks, IEC 61162-450).

A line may hold, in this order: a log's own prefix, a tag block between backslashes, the sentence from `!` to its
checksum, and what a receiver appended; and the same again, where newlines were lost or a message's sentences share a
line. A message is one sentence, or several that are put together here. A tag block may also stand on a line above.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from pyais.exceptions import AISBaseException
from pyais.messages import AISSentence, NMEASentenceFactory
from pyais.util import checksum

from ais_assets.sources.rows.time_evidence import (
    Evidence,
    announcement,
    count_behind,
    prefix_time,
    receivers_field,
    tag_time,
)

OTHER_LINES: Final = "other_lines"
"""Note: comments, times (`$PGHP`), tag blocks on lines of their own, sentences of other instruments. No rows."""
GLUED_SENTENCES: Final = "glued_sentences"
"""Note: sentences behind the first of their line; each is judged by its own checksum."""
JOINED_PARTS: Final = "joined_parts"
"""Note: sentences that were put together with the first one of their message."""
BAD_TAG_BLOCKS: Final = "bad_tag_blocks"
"""Note: tag blocks whose checksum is wrong; they, and so the time in them, are ignored, unless a setting says that this
feed's are never right."""
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
LINE_FAULTS: Final = (NO_SENTENCE, MALFORMED_SENTENCE, BAD_CHECKSUM, EMPTY_PAYLOAD, ORPHANED_PART)

MOST_LINES_APART: Final = 1000
"""From a message's first sentence to its last. The numbers that tie them together come round after ten messages, but
a log of many stations has hundreds of lines a second."""

MOST_SECONDS_APART: Final = 5
"""From one sentence of a message to its next, where both have a time and no group ties them: a message is sent within a
quarter of a second, and its sentences come right after each other."""

_SENTENCE = re.compile(rb"![^,*!\\]{2}VD[MO],[1-9],[1-9],\d?,[^,*]?,[0-W`-w]*,[0-5]\*[0-9A-Fa-f]{2}")
_BEGINNING = re.compile(rb"VD[MO],")
_OTHER_SENTENCE = re.compile(rb"(?:^|[\s\\,;:|\]])[$!][A-Z0-9]{3,},[^!$]*$")
_COMMENT = re.compile(rb"[#%;]|//")
_TAG_BLOCK = re.compile(rb"\\([^\\]*)\*([0-9A-Fa-f]{2})\\")
_TAG_BLOCKS = re.compile(rb"(?:\\[^\\]*\*[0-9A-Fa-f]{2}\\\s*)+")


class Sentence(NamedTuple):
    """One VDM or VDO of good form and checksum.

    Attributes:
        line: its number in the file, from 1.
        text: the whole line.
        ais: what pyais makes of it.
        evidence: what says when it was received.
        group: the tag block's group, which ties the sentences of a message together.
        station: the tag block's source.
    """

    line: int
    text: bytes
    ais: AISSentence
    evidence: Evidence
    group: bytes | None
    station: bytes | None

    @property
    def t(self) -> int | None:
        """Seconds since 1970 UTC by its own line alone."""
        own = self.evidence
        return next((t for t in (own.tag, own.field, own.behind, own.before) if t is not None and t >= 0), None)


class Message(NamedTuple):
    """A whole AIS message: the line and text of its first sentence, its payload, and its time.

    The time is in seconds since 1970; None where nothing says it, negative where what does is not understood (`times`).
    """

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

    Each line that is not blank is one of: a note in OTHER_LINES or JOINED_PARTS, a Fault, a Message's first sentence;
    and so is each sentence in GLUED_SENTENCES. The time of a message is the first that `time_evidence` has in its
    order,
    of its sentences in theirs. No other time is made up, neither from the lines around nor from the second of the
    minute
    in a report.

    Args:
        zone: the IANA's name of the zone of times that say none.
        believe_tag_blocks: whether tag blocks of a wrong checksum are believed.

    Attributes:
        notes: counts by note.
    """

    def __init__(self, zone: str = "UTC", *, believe_tag_blocks: bool = False) -> None:
        self.notes = Counter(
            {OTHER_LINES: 0, JOINED_PARTS: 0, GLUED_SENTENCES: 0, BAD_TAG_BLOCKS: 0, UNMATCHED_TIMES: 0}
        )
        self._zone = zone
        self._believe_tag_blocks = believe_tag_blocks
        self._waiting: dict[tuple[object, ...], dict[int, Sentence]] = {}
        self._above = Evidence()
        self._tags_above: dict[bytes, bytes] = {}

    def read(self, lines: Iterable[tuple[int, bytes]]) -> Iterator[Message | Fault]:
        """Messages and faults of the lines, each line a number and a text that is not blank."""
        for line, text in lines:
            if _BEGINNING.search(text) is None:
                if not self._other(text):
                    yield Fault(line, text, NO_SENTENCE)
                continue
            for found in self._sentences(line, text):
                if isinstance(found, Fault):
                    yield found
                elif found.ais.frag_cnt == 1:
                    yield self._message([found])
                else:
                    yield from self._part(found)
            self._above, self._tags_above = Evidence(), {}
        for parts in list(self._waiting.values()):
            yield from _orphans(parts)
        self._waiting.clear()

    def _other(self, text: bytes) -> bool:
        """Takes note of a line without any beginning of a sentence; whether it is known what it is."""
        stripped = text.strip()
        tags_alone = _TAG_BLOCKS.fullmatch(stripped)
        if tags_alone is None and _OTHER_SENTENCE.search(stripped) is None and _COMMENT.match(stripped) is None:
            return False
        self.notes[OTHER_LINES] += 1
        if tags_alone is not None:
            for block in _TAG_BLOCK.finditer(stripped):
                self._tags_above |= self._tags(block)
            self._above = self._above._replace(tag_above=tag_time(self._tags_above))
        elif (announced := announcement(text)) is not None:
            self._above = self._above._replace(announced=announced)
        return True

    def _sentences(self, line: int, text: bytes) -> Iterator[Sentence | Fault]:
        """The sentences of a line, good or bad; what stands between two belongs to the second but for a count."""
        found = list(_SENTENCE.finditer(text))
        field = receivers_field(text, self._zone)
        whole = [range(match.start(), match.end()) for match in found]
        broken = [
            match.start() for match in _BEGINNING.finditer(text) if not any(match.start() in span for span in whole)
        ]
        self.notes[GLUED_SENTENCES] += len(found) + len(broken) - 1
        for _ in broken:
            yield Fault(line, text, MALFORMED_SENTENCE)
        begin = 0
        for k, match in enumerate(found):
            end = found[k + 1].start() if k + 1 < len(found) else len(text)
            behind = text[match.end() : end].partition(b"\\")[0]
            above = self._above if k == 0 else Evidence()
            evidence = above._replace(field=field, behind=count_behind(behind))
            yield self._sentence(line, text, match[0], text[begin : match.start()], evidence, first=k == 0)
            begin = match.end()

    def _sentence(
        self, line: int, text: bytes, sentence: bytes, before: bytes, evidence: Evidence, *, first: bool
    ) -> Sentence | Fault:
        try:
            ais = NMEASentenceFactory.produce(sentence)
        except AISBaseException:
            return Fault(line, text, MALFORMED_SENTENCE)
        if not isinstance(ais, AISSentence):
            return Fault(line, text, MALFORMED_SENTENCE)
        if not ais.is_valid:
            return Fault(line, text, BAD_CHECKSUM)
        if not ais.payload:
            return Fault(line, text, EMPTY_PAYLOAD)
        prefix, own = self._prefix_and_tags(before)
        # What stands before a later sentence of the line is the count behind the one before it.
        evidence = evidence._replace(tag=tag_time(own), before=prefix_time(prefix, self._zone) if first else None)
        tags = {**self._tags_above, **own} if first else own
        group = tags[b"g"].rpartition(b"-")[2] if b"g" in tags else None
        return Sentence(line, text, ais, evidence, group, tags.get(b"s"))

    def _prefix_and_tags(self, before: bytes) -> tuple[bytes, dict[bytes, bytes]]:
        """The log's own prefix before a sentence, and the tag block's fields; none where its checksum is wrong."""
        if not before.endswith(b"\\"):
            return before, {}
        prefix = before[: max(before[:-1].rfind(b"\\"), 0)]
        block = _TAG_BLOCK.fullmatch(before, len(prefix))
        if block is None:
            self.notes[BAD_TAG_BLOCKS] += 1
            return prefix, {}
        return prefix, self._tags(block)

    def _tags(self, block: re.Match[bytes]) -> dict[bytes, bytes]:
        """A tag block's fields; none where its checksum is wrong and not to be believed."""
        if checksum(block[1]) != int(block[2], 16):
            self.notes[BAD_TAG_BLOCKS] += 1
            if not self._believe_tag_blocks:
                return {}
        return {key: value for key, _, value in (tag.partition(b":") for tag in block[1].split(b","))}

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
        first = min(parts, key=lambda part: (part.line, part.ais.frag_num))
        whole = AISSentence.assemble_from_iterable([part.ais for part in parts])
        return Message(first.line, first.text, whole, self._time(parts))

    def _time(self, parts: list[Sentence]) -> int | None:
        """The first of the candidates in the order of `time_evidence`; a negative reason where there is only that."""
        evidence = [part.evidence for part in parts]
        announced = next((of.announced for of in evidence if of.announced is not None), None)
        sums = 0
        for part in parts:
            sums ^= part.ais.checksum
        # Gatehouse writes 0 before the station's own messages (VDO).
        matched = announced is not None and announced.checksum in (sums, 0)
        candidates = [
            *(of.tag for of in evidence),
            *(of.tag_above for of in evidence),
            announced.t if announced is not None and matched else None,
            *(of.field for of in evidence),
            *(of.behind for of in evidence),
            *(of.before for of in evidence),
        ]
        t = next((t for t in candidates if t is not None and t >= 0), None)
        if announced is not None and not matched and all(of.tag is None for of in evidence):
            self.notes[UNMATCHED_TIMES] += 1
        return t if t is not None else next((reason for reason in candidates if reason is not None), None)


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
