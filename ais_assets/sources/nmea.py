"""AIS as receivers log it: AIVDM and AIVDO sentences, decoded by pyais, in plain files, .gz or .zst.

What the messages mean is ITU-R M.1371-5, annex 8. A transmission that several stations received is one record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, Unpack

import attr
import pyarrow as pa
from pyais.exceptions import AISBaseException
from pyais.messages import AISSentence, MessageType24PartA, MessageType24PartB, MessageType24PartBAuxiliaryCraft

from ais_assets import schema
from ais_assets.ledger import Ledger
from ais_assets.sources.landing.landing import FileOptions, FileSource
from ais_assets.sources.rows.archive import row_blocks
from ais_assets.sources.rows.day_log import NO_TIME, TIME_REJECTS, DayLog, Report
from ais_assets.sources.rows.day_rows import DAY_SECONDS, DayRows, Undated, raw_lines
from ais_assets.sources.rows.lines import MOST_LINE_BYTES, Lines
from ais_assets.sources.rows.record_table import (
    SAMPLE_CHARACTERS,
    StaticValue,
    imo_number,
    metres,
)
from ais_assets.sources.rows.row_plan import Note, Reject
from ais_assets.sources.rows.sentences import (
    GLUED_SENTENCES,
    JOINED_PARTS,
    LINE_FAULTS,
    MOST_LINES_APART,
    NO_SENTENCE,
    OTHER_LINES,
    Fault,
    Message,
    MessageReader,
)
from ais_assets.sources.source import SourceError
from ais_assets.stream import RecordStream

OTHER_MESSAGE: Final = "other_message"
"""A message that is neither a position report nor static data: binary, safety, channel management, …"""
TOO_SHORT: Final = "too_short"
"""A message cut off before the last field that is read of its type."""
UNDECODABLE: Final = "undecodable"
"""pyais refuses the message."""
RECEIVED_BEFORE: Final = "received_before"
"""A message that stands in the log already, within RECEPTION_SECONDS: of another station or by a repeater."""
BAD_MMSI: Final = Reject.BAD_MMSI.name.lower()
BAD_LATITUDE: Final = Reject.BAD_LATITUDE.name.lower()
BAD_LONGITUDE: Final = Reject.BAD_LONGITUDE.name.lower()
REJECTS: Final[tuple[str, ...]] = (
    *LINE_FAULTS,
    OTHER_MESSAGE,
    UNDECODABLE,
    TOO_SHORT,
    BAD_MMSI,
    BAD_LATITUDE,
    BAD_LONGITUDE,
    *TIME_REJECTS,
    RECEIVED_BEFORE,
)
"""Why a line or a message is no record, in the order in which it is asked."""

NO_POSITION: Final = Note.NO_POSITION.name.lower()
BLANK_LINES: Final = Note.BLANK_LINES.name.lower()
_IMPLAUSIBLE: Final = {
    "speed": Note.IMPLAUSIBLE_SOG.name.lower(),
    "course": Note.IMPLAUSIBLE_COG.name.lower(),
    "heading": Note.IMPLAUSIBLE_HEADING.name.lower(),
}
_NOTES = (NO_POSITION, *_IMPLAUSIBLE.values())
RECEPTION_SECONDS: Final = 30
"""By which the times of one transmission may differ from station to station. No ship sends the very same bits again so
soon: position reports say the second of the minute, static data and reports at anchor are minutes apart (M.1371-5,
annex 1, tables 1 and 2)."""
_MOST_HEARD = 1 << 19
_NO_STATIC = (None,) * len(schema.STATIC_COLUMNS)

_BLOCK_BYTES = 1 << 20
_LARGEST_MMSI = 999_999_999
_KINDS = ("", ".gz", ".zst", ".zip")
_PLAIN = (".nmea", ".nm4", ".log", ".txt", ".raw")


class UnusableMessageError(ValueError):
    """A message that is no record; the first argument is one of REJECTS."""


class _Type(NamedTuple):
    """How one type of message is read: who sends it, the last field that is read, and what is not available."""

    sender: str
    last_field: str
    static: bool = False  # whether it has static data
    no_sog: float = 102.3  # knots
    no_cog: float = 360.0  # degrees


# M.1371-5, annex 8, tables 48 to 77. An aircraft's SOG and those of message 27 are whole knots.
_TYPES: Final = {
    1: _Type("class A", "heading"),
    2: _Type("class A", "heading"),
    3: _Type("class A", "heading"),
    4: _Type("base station", "lat"),
    5: _Type("class A", "draught", static=True),
    9: _Type("search and rescue aircraft", "course", no_sog=1023.0),
    18: _Type("class B", "heading"),
    19: _Type("class B", "to_starboard", static=True),
    21: _Type("aid to navigation", "to_starboard", static=True),
    24: _Type("class B", "mmsi", static=True),
    27: _Type("class A", "course", no_sog=63.0, no_cog=511.0),
}
_LONG_RANGE: Final = 27
# Message 24 comes in parts with fields of their own.
_LAST_FIELDS: Final = {
    MessageType24PartA: "shipname",
    MessageType24PartB: "to_starboard",
    MessageType24PartBAuxiliaryCraft: "callsign",
}
# Distress transmitters send class A's messages under numbers of their own (M.585-9, annex 2).
_DISTRESS: Final = {
    970: schema.MOBILE_TYPES.index("search and rescue transponder"),
    972: schema.MOBILE_TYPES.index("man overboard device"),
    974: schema.MOBILE_TYPES.index("EPIRB"),
}
_UNDEFINED = schema.NAV_STATUSES.index("undefined")


class NmeaSource(FileSource):
    """Daily logs of AIVDM and AIVDO sentences."""

    name = "nmea"
    examples: ClassVar[tuple[str, ...]] = ("ais-2024-03-01.nmea.zst", "20240301.log.gz", "station-2024-03-01.txt")
    suffixes: ClassVar[tuple[str, ...]] = (
        *(plain + kind for kind in reversed(_KINDS) for plain in _PLAIN),
        *reversed(_KINDS[1:]),
    )

    def __init__(self, uri: str | None, *, believe_tag_blocks: bool = False, **options: Unpack[FileOptions]) -> None:
        super().__init__(uri, **options)
        self._believe_tag_blocks = believe_tag_blocks

    def read(self, archive: Path, day: date | None) -> RecordStream:
        stream = RecordStream(schema.RAW_RECORDS, iter(()))
        reach = self.days.reach(archive.name)
        log = DayLog(reach.window(day), REJECTS, _NOTES, of_day=reach.begins_with(day))
        reader = MessageReader(self.zone, believe_tag_blocks=self._believe_tag_blocks)
        stream.tables = _tables(archive, self.max_bytes, log, reader, stream)
        return stream

    def rows_by_day(self, archive: Path, ledger: Ledger) -> Iterator[DayRows | Undated]:
        """As of every source, by lines: what has no time of its own stays with the message that it stands before."""
        reader = MessageReader(self.zone, believe_tag_blocks=self._believe_tag_blocks)
        return _lines_by_day(raw_lines(archive, self.max_bytes), reader, ledger)


def _lines_by_day(lines: Iterable[bytes], reader: MessageReader, ledger: Ledger) -> Iterator[DayRows | Undated]:
    """The lines of a log, each of the day of the message that it is of, stands before, or, of the last, stands behind.

    A message whose sentences came with another one's between them goes where its first one went, whole.
    """
    waiting: list[tuple[int, bytes]] = []
    went: dict[int, int] = {}
    number = 0

    def numbered() -> Iterator[tuple[int, bytes]]:
        nonlocal number
        for number, line in enumerate(lines, 1):
            text = line[:MOST_LINE_BYTES].rstrip()
            if not text:
                ledger.note(BLANK_LINES, 1)
                continue
            waiting.append((number, line))
            yield number, text

    day = None
    for found in reader.read(numbered()):
        if isinstance(found, Message) and found.t is not None and found.t >= 0:
            day = went.get(found.line, found.t // DAY_SECONDS)
            yield DayRows(day, b"", b"".join(line for _, line in waiting), len(waiting))
            went.update((of, day) for of, _ in waiting)
            waiting.clear()
            if len(went) > 2 * MOST_LINES_APART:
                went = {of: on for of, on in went.items() if of > number - MOST_LINES_APART}
    if day is not None and waiting:
        yield DayRows(day, b"", b"".join(line for _, line in waiting), len(waiting))
    elif waiting:
        for of, line in waiting:
            yield Undated(of, NO_TIME, line.decode("utf-8", "replace").rstrip("\r\n")[:SAMPLE_CHARACTERS])


def report(ais: AISSentence) -> Report:
    """What a whole message says. Raises UnusableMessageError with one of REJECTS where it makes no record."""
    type_ = _TYPES.get(ais.ais_id)
    if type_ is None:
        raise UnusableMessageError(OTHER_MESSAGE)
    try:
        message = ais.decode()
    except (AISBaseException, ValueError) as error:
        raise UnusableMessageError(UNDECODABLE) from error
    # pyais reads a field that is cut off as a smaller number.
    if len(ais.bv) < _bits_through(type(message), _LAST_FIELDS.get(type(message), type_.last_field)):
        raise UnusableMessageError(TOO_SHORT)
    mmsi = int(message.mmsi)
    if mmsi > _LARGEST_MMSI:
        raise UnusableMessageError(BAD_MMSI)
    mobile_type = schema.MOBILE_TYPES.index(type_.sender)
    if type_.sender == "class A":
        mobile_type = _DISTRESS.get(mmsi // 1_000_000, mobile_type)
    lat, lon = _position(message)
    notes = [] if lat is not None else [NO_POSITION]
    sog, cog, heading = (
        _motion(message, motion, notes)
        for motion in (
            _Motion("speed", 10, type_.no_sog, 102.3),
            _Motion("course", 10, type_.no_cog, 360),
            _Motion("heading", 1, 511, 360),
        )
    )
    status = getattr(message, "status", None)
    return Report(
        mmsi,
        mobile_type,
        lat,
        lon,
        sog,
        cog,
        heading,
        None if status is None or int(status) == _UNDEFINED else int(status),
        ais.ais_id == _LONG_RANGE,
        _static(message, len(ais.bv)) if type_.static else _NO_STATIC,
        tuple(notes),
    )


@cache
def _bits_through(message_type: type, field: str) -> int:
    """Bits of a message from its first to the last of `field`."""
    names = [column.name for column in attr.fields(message_type)]
    return sum(column.metadata["width"] for column in attr.fields(message_type)[: names.index(field) + 1])


def _position(message: Any) -> tuple[int | None, int | None]:
    """Micro-degrees, or None for both where one is not available (latitude 91, longitude 181)."""
    if getattr(message, "lat", None) is None:
        return None, None
    lat, lon = (round(value * schema.MICRODEGREES) for value in (message.lat, message.lon))
    no_position = lat == 91 * schema.MICRODEGREES or lon == 181 * schema.MICRODEGREES
    if abs(lat) > 90 * schema.MICRODEGREES and lat != 91 * schema.MICRODEGREES:
        raise UnusableMessageError(BAD_LATITUDE)
    if abs(lon) > 180 * schema.MICRODEGREES and not no_position:
        raise UnusableMessageError(BAD_LONGITUDE)
    return (None, None) if no_position else (lat, lon)


class _Motion(NamedTuple):
    """A SOG, COG or heading as pyais has it."""

    name: str
    steps: int  # to the unit
    none: float  # means not available
    limit: float  # no message means so much


def _motion(message: Any, motion: _Motion, notes: list[str]) -> int | None:
    """Its value in steps; None where it is not available, noted where it cannot be."""
    value = getattr(message, motion.name, None)
    if value is None or value == motion.none:
        return None
    if value >= motion.limit:
        notes.append(_IMPLAUSIBLE[motion.name])
        return None
    return round(value * motion.steps)


def _static(message: Any, bits: int) -> tuple[StaticValue, ...]:
    """The values of `schema.STATIC_COLUMNS` in a message that was not cut off before the last of _TYPES' fields."""
    ship_type = int(getattr(message, "ship_type", None) or 0)
    destination = getattr(message, "destination", "")
    if destination and bits < _bits_through(type(message), "destination"):
        destination = ""
    name = getattr(message, "shipname", None) or (getattr(message, "name", None) or "") + (
        getattr(message, "name_ext", None) or ""
    )
    values = {
        "imo": imo_number(getattr(message, "imo", None) or 0),
        "callsign": _text(getattr(message, "callsign", None)),
        "name": _text(name),
        "ship_type": str(ship_type) if ship_type else None,
        "length": metres((getattr(message, "to_bow", None) or 0) + (getattr(message, "to_stern", None) or 0)),
        "width": metres((getattr(message, "to_port", None) or 0) + (getattr(message, "to_starboard", None) or 0)),
        "draught": metres(getattr(message, "draught", None) or 0),
        "destination": _text(destination),
        "identity": None,
    }
    return tuple(values[column] for column in schema.STATIC_COLUMNS)


def _text(text: str | None) -> str | None:
    """A text up to its first @, which ends it (M.1371-5, table 47)."""
    return (text or "").partition("@")[0].strip() or None


def _tables(
    archive: Path, max_bytes: int, log: DayLog, reader: MessageReader, stream: RecordStream
) -> Iterator[pa.Table]:
    lines = Lines(row_blocks(archive, block_bytes=_BLOCK_BYTES, max_bytes=max_bytes))
    receptions = _Receptions()
    has_sentences = False
    for found in reader.read(lines):
        has_sentences |= isinstance(found, Message) or found.reason != NO_SENTENCE
        _take(found, log, receptions)
        if log.is_full:
            yield log.table()
    if log.rows:
        yield log.table()
    notes = reader.notes
    rows_seen = lines.count - lines.blank + notes[GLUED_SENTENCES] - notes[OTHER_LINES] - notes[JOINED_PARTS]
    log.notes.update({**notes, BLANK_LINES: lines.blank})
    log.account(rows_seen, stream.ledger, stream.facts)
    if not has_sentences:
        raise SourceError(
            f"{archive.name}: holds no AIVDM or AIVDO sentence in {lines.count:,} lines; "
            "correct AIS_SOURCE, or remove the file if the source never published the day"
        )


def _take(found: Message | Fault, log: DayLog, receptions: _Receptions) -> None:
    """Makes a record or a reject of it, or leaves it to another day."""
    if isinstance(found, Fault):
        log.reject(found.line, found.text, found.reason)
        return
    # Before it is decoded, which takes nearly all the time, and files of days nearby hold hardly any of this one.
    if log.is_elsewhere(found.t):
        if found.t is not None and log.is_near(found.t, RECEPTION_SECONDS):
            receptions.again(found.ais.payload, found.t)
        return
    try:
        said = report(found.ais)
    except UnusableMessageError as error:
        log.reject(found.line, found.text, str(error))
        return
    if not log.has_time(found.line, found.text, found.t) or found.t is None:
        return
    if receptions.again(found.ais.payload, found.t):
        log.reject(found.line, found.text, RECEIVED_BEFORE)
        return
    log.take(said, found.t)


class _Receptions:
    """The transmissions in a log, of which the last _MOST_HEARD are known."""

    def __init__(self) -> None:
        self._first: dict[bytes, int] = {}

    def again(self, payload: bytes, t: int) -> bool:
        """Whether a message of a time in seconds was received before. Repeaters change its repeat indicator only."""
        sixbit = payload[1] - 48 - (8 if payload[1] > 95 else 0)
        sent = payload[:1] + bytes([sixbit & 0b001111]) + payload[2:]
        first = self._first.get(sent)
        if first is not None and abs(t - first) <= RECEPTION_SECONDS:
            return True
        # Last in the order of a dict is what was put in last.
        self._first.pop(sent, None)
        self._first[sent] = t
        if len(self._first) > _MOST_HEARD:
            del self._first[next(iter(self._first))]
        return False
