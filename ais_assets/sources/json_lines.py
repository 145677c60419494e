"""AIS as programs and services send it in JSON, a message a line: AIS-catcher, gpsd, aisstream.io, Digitraffic.

A message is read by the names of its fields, wherever they are nested, in the units of AIS (degrees, knots); gpsd's
with `"scaled": false` in the steps of the message. What a value means is ITU-R M.1371-5, annex 8. Lines that are plain
are read by `rows.json_kernel`, which follows the rules here; all others by the json module.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa

from ais_assets import schema
from ais_assets.ledger import Ledger
from ais_assets.sources.landing.landing import FileSource
from ais_assets.sources.rows.archive import row_blocks
from ais_assets.sources.rows.day_log import NO_TIME, OTHER_DAY, TIME_REASONS, TIME_REJECTS, DayLog, Report
from ais_assets.sources.rows.day_rows import DAY_SECONDS, DayRows, Undated, raw_lines
from ais_assets.sources.rows.delimited import whole_lines
from ais_assets.sources.rows.json_kernel import (
    NAMES,
    SLOT_WIDTH,
    SLOTS,
    STATIC,
    TELLING,
    TIMES,
    JsonPlan,
    JsonProgress,
    hash_of,
    parse_json_lines,
    senders_of,
    table_of,
)
from ais_assets.sources.rows.record_table import SAMPLE_CHARACTERS, StaticValue, imo_number, metres
from ais_assets.sources.rows.row_plan import Note, Reject, Window
from ais_assets.sources.rows.text import PADDING, grown
from ais_assets.sources.rows.times import milliseconds_of
from ais_assets.sources.rows.zones import zone_of
from ais_assets.sources.source import SourceError
from ais_assets.stream import RecordStream

NOT_JSON: Final = "not_json"
"""A line that is no JSON, or no object of it: cut off, or something between the messages."""
OTHER_MESSAGE: Final = "other_message"
"""An object without a position or static data: other types of message, a program's own reports."""
BAD_MMSI, BAD_LATITUDE, BAD_LONGITUDE = (
    reject.name.lower() for reject in (Reject.BAD_MMSI, Reject.BAD_LATITUDE, Reject.BAD_LONGITUDE)
)
REJECTS: Final = (NOT_JSON, OTHER_MESSAGE, BAD_MMSI, BAD_LATITUDE, BAD_LONGITUDE, *TIME_REJECTS)
_NO_POSITION = Note.NO_POSITION.name.lower()
_BLANK_LINES = Note.BLANK_LINES.name.lower()
_IMPLAUSIBLE = {
    "sog": Note.IMPLAUSIBLE_SOG.name.lower(),
    "cog": Note.IMPLAUSIBLE_COG.name.lower(),
    "heading": Note.IMPLAUSIBLE_HEADING.name.lower(),
}
_NOTES = (_NO_POSITION, *_IMPLAUSIBLE.values())
_BLOCK_BYTES = 1 << 20
_MOST_LINE_BYTES = 1 << 26
"""Of a longer line the beginning is read. A feed's whole answer of thousands of ships may be one line."""
_MOST_FRESH = 1 << 14
_SEEN_AT_FIRST = 1 << 16
_KINDS = (".jsonl", ".ndjson", ".json")
_COUNT = re.compile(r"(\d{16}|\d{13}|\d{10})(?:\.\d+)?")
_PER_SECOND = {10: 1, 13: 1000, 16: 1_000_000}
_MORE_THAN_A_MINUTE = 64  # a smaller timestamp is the second of the minute in a report
_STATIC_FIELDS = STATIC[:TELLING]

# What sent it, by the number of the message (M.1371-5, table 46) and by aisstream.io's names of them.
_SENDERS: Final = {
    "class A": (1, 2, 3, 5, 27, "positionreport", "shipstaticdata", "longrangeaisbroadcastmessage"),
    "class B": (18, 19, 24, "standardclassbpositionreport", "extendedclassbpositionreport", "staticdatareport"),
    "base station": (4, "basestationreport"),
    "search and rescue aircraft": (9, "standardsearchandrescueaircraftreport"),
    "aid to navigation": (21, "aidstonavigationreport"),
}
_SENDER_OF = {kind: schema.MOBILE_TYPES.index(sender) for sender, kinds in _SENDERS.items() for kind in kinds}
_LONG_RANGE: Final = (27, "longrangeaisbroadcastmessage")
_UNDEFINED = schema.NAV_STATUSES.index("undefined")


class UnusableObjectError(ValueError):
    """An object that is no record; the first argument is one of REJECTS."""


class JsonLinesSource(FileSource):
    """Logs of messages in JSON, one a line."""

    name = "json"
    examples: ClassVar[tuple[str, ...]] = ("ais-2024-03-01.jsonl.zst", "20240301.ndjson.gz", "2024-03-01.json")
    suffixes: ClassVar[tuple[str, ...]] = tuple(
        kind + packing for packing in (".zst", ".zip", ".gz", "") for kind in _KINDS
    )

    one_record_a_line: ClassVar[bool] = False

    def head(self, archive: Path) -> bytes | None:
        return b""

    def read(self, archive: Path, day: date | None) -> RecordStream:
        stream = RecordStream(schema.RAW_RECORDS, iter(()))
        reach = self.days.reach(archive.name)
        log = DayLog(reach.window(day), REJECTS, (*_NOTES, _BLANK_LINES), of_day=reach.begins_with(day))
        stream.tables = self._tables(archive, log, stream)
        return stream

    def rows_by_day(self, archive: Path, ledger: Ledger) -> Iterator[DayRows | Undated]:
        """As of every source. A line of several messages is of the day of the first that has a time."""
        for number, line in enumerate(raw_lines(archive, self.max_bytes), 1):
            text = line.rstrip()
            if not text:
                ledger.note(_BLANK_LINES, 1)
                continue
            found = objects_of(text)
            times = [time_of(said, self.zone) for said in found]
            day = next((t // DAY_SECONDS for t in times if t is not None and t >= 0), None)
            if day is not None:
                yield DayRows(day, b"", line, len(found))
                continue
            shown = text.decode("utf-8", "replace")[:SAMPLE_CHARACTERS]
            for t in times or [0]:
                yield Undated(number, NOT_JSON if not found else TIME_REASONS.get(t or 0, NO_TIME), shown)

    def _tables(self, archive: Path, log: DayLog, stream: RecordStream) -> Iterator[pa.Table]:
        blocks = row_blocks(archive, block_bytes=_BLOCK_BYTES, max_bytes=self.max_bytes)
        lines = LogLines(log, self.zone)
        for block in whole_lines(blocks, archive.name, _MOST_LINE_BYTES):
            position = 0
            while position < len(block) - len(PADDING):
                position = lines.plain(block, position)
                if not lines.is_plain:
                    end = block.index(b"\n", position)
                    yield from lines.any(block[position:end])
                    position = end + 1
                if log.is_full:
                    yield log.table()
        if log.rows:
            yield log.table()
        log.notes[_BLANK_LINES] = lines.blank
        log.account(lines.rows, stream.ledger, stream.facts)
        if not lines.objects:
            raise SourceError(
                f"{archive.name}: holds no JSON object in {lines.count:,} lines; "
                "correct AIS_SOURCE, or remove the file if the source never published the day"
            )


class LogLines:
    """The lines of one log on their way into its day: plain ones by the compiled reader, any other one by one.

    Attributes:
        count: lines so far.
        blank: those among them without any text.
        rows: messages in the others, and lines without any.
        objects: messages.
        is_plain: whether the line that comes next may be plain.
    """

    def __init__(self, log: DayLog, zone: str) -> None:
        self.count = self.blank = self.rows = self.objects = self._known = 0
        self.is_plain = True
        self._log = log
        self._zone = zone
        self._plan = json_plan(zone, log.window)
        self._noted = np.zeros(len(_NOTES), np.int64)
        self._fresh = np.zeros((_MOST_FRESH, 3), np.int64)
        self._seen = np.zeros(_SEEN_AT_FIRST, np.uint64)
        self._slots = np.zeros((SLOTS, SLOT_WIDTH), np.int64)

    def plain(self, block: bytes, position: int) -> int:
        """Reads plain lines of a block of whole lines and PADDING from `position` on; returns where it stopped."""
        log = self._log
        begin = JsonProgress(position, self.count, log.rows, 0, 0, 0, self._known, log.of_day, True)
        self._noted[:] = 0
        end = parse_json_lines(
            np.frombuffer(block, np.uint8),
            self._plan,
            begin,
            log.records,
            log.coarse,
            self._noted,
            self._fresh,
            self._seen,
            self._slots,
        )
        read = end.line - self.count - end.blank
        self.blank += end.blank
        self.rows += read
        self.objects += read
        self.count, log.rows, log.of_day, self._known = end.line, end.records, end.of_day, end.known
        self.is_plain = end.plain
        log.notes[OTHER_DAY] += end.other_day
        for note, count in zip(_NOTES, self._noted.tolist(), strict=True):
            log.notes[note] += count
        for record, first, last in self._fresh[: end.fresh].tolist():
            said = report_of(objects_of(block[first:last])[0])
            log.static.add(record, said.mmsi, said.static)
        if 2 * self._known >= self._seen.size:
            self._seen = grown(self._seen)
        return end.position

    def any(self, line: bytes) -> Iterator[pa.Table]:
        """Reads one line of any kind; gives the tables that it fills."""
        self.count += 1
        text = line.rstrip()
        if not text:
            self.blank += 1
            return
        found = objects_of(text)
        self.rows += max(len(found), 1)
        self.objects += len(found)
        if not found:
            self._log.reject(self.count, text, NOT_JSON)
        for said in found:
            self._take(said, text)
            if self._log.is_full:
                yield self._log.table()

    def _take(self, said: dict[str, Any], text: bytes) -> None:
        try:
            report = report_of(said)
        except UnusableObjectError as error:
            self._log.reject(self.count, text, str(error))
            return
        t = time_of(said, self._zone)
        if self._log.has_time(self.count, text, t) and t is not None:
            self._log.take(report, t)


def json_plan(zone: str, window: Window) -> JsonPlan:
    """What the compiled reader must know of times, days and names."""
    utc, local = zone_of("UTC"), zone_of(zone)
    return JsonPlan(
        names=table_of({name: place for place, name in enumerate(NAMES)}),
        metadata=hash_of("metadata"),
        features=hash_of("features"),
        coordinates=hash_of("coordinates"),
        senders=senders_of((kind, code) for kind, code in _SENDER_OF.items() if isinstance(kind, int)),
        kinds=table_of({kind: code for kind, code in _SENDER_OF.items() if isinstance(kind, str)}),
        long_range=hash_of(_LONG_RANGE[1]),
        long_range_number=_LONG_RANGE[0],
        zone_starts=local.starts,
        zone_offsets=local.offsets,
        utc_starts=utc.starts,
        utc_offsets=utc.offsets,
        begin=window.begin,
        end=window.end,
        first=window.first,
        last=window.last,
    )


def objects_of(text: bytes) -> list[dict[str, Any]]:
    """The messages in a line, each with all its fields by their names in lower case; none where it is no such JSON.

    An inner field goes before one of the same name around it but for aisstream.io's MetaData, which it completes. A
    collection (GeoJSON, or a plain list) has a message for each of its members.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if isinstance(found, dict) and isinstance(found.get("features"), list):
        found = found["features"]
    members = found if isinstance(found, list) else [found]
    return [_flat(member) for member in members if isinstance(member, dict)]


def _flat(value: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, dict):
            for name, found in _flat(inner).items():
                if key.lower() != "metadata" or name not in flat:
                    flat[name] = found
        elif key.lower() == "coordinates" and isinstance(inner, list) and len(inner) >= 2:
            flat["lon"], flat["lat"] = inner[0], inner[1]
        elif key.lower() not in flat:
            flat[key.lower()] = inner
    return flat


def time_of(said: dict[str, Any], zone: str) -> int | None:
    """Seconds since 1970 of a message; None where nothing says it, negative where its zone is not understood."""
    reason = None
    for name in TIMES:
        value = said.get(name)
        if value is None or isinstance(value, bool):
            continue
        if isinstance(value, int | float) and not _MORE_THAN_A_MINUTE <= value < math.inf:
            continue
        text = f"{value:f}" if isinstance(value, float) else str(value).strip()
        counted = _COUNT.fullmatch(text)
        if counted:
            return int(counted[1]) // _PER_SECOND[len(counted[1])]
        t = milliseconds_of(text.encode(), "UTC" if name == "rxtime" else zone)
        if t >= 0:
            return t // 1000
        reason = reason if reason is not None or t == -1 else t
    return reason


def report_of(said: dict[str, Any]) -> Report:
    """What a message says. Raises UnusableObjectError with one of REJECTS where it makes no record."""
    kind = _kind(said)
    has_position = any(name in said for name in ("lat", "latitude"))
    if not has_position and not any(name in said for name in _STATIC_FIELDS):
        raise UnusableObjectError(OTHER_MESSAGE)
    steps = said.get("scaled") is False
    notes: list[str] = []
    lat, lon = _position(said, 1 / 600_000 if steps else 1.0)
    if lat is None:
        notes.append(_NO_POSITION)
    status = _number(said, "status", "navstat", "navigationalstatus")
    return Report(
        _mmsi(said),
        _SENDER_OF.get(kind, 0),
        lat,
        lon,
        _motion(said, "sog", ("speed", "sog"), 1 if steps else 10, 1023, notes),
        _motion(said, "cog", ("course", "cog"), 1 if steps else 10, 3600, notes),
        _motion(said, "heading", ("heading", "trueheading"), 1, 360, notes),
        int(status) if status is not None and 0 <= status < _UNDEFINED else None,
        kind in _LONG_RANGE,
        _static(said, kind, 0.1 if steps or "refa" in said else 1.0),
        tuple(notes),
    )


def _kind(said: dict[str, Any]) -> int | str:
    """The type of message; 0 where it is not said. Digitraffic's `type` is the ship's, and stands beside no
    position."""
    if isinstance(named := said.get("messagetype"), str):
        return named.lower()
    is_message = said.get("class") == "AIS" or any(name in said for name in ("rxtime", "rxuxtime", "channel", "repeat"))
    number = said.get("msgtype", said.get("type") if is_message else None)
    return number if isinstance(number, int) else 0


def _mmsi(said: dict[str, Any]) -> int:
    text = str(said.get("mmsi", said.get("userid", ""))).strip().removesuffix(".0")
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise UnusableObjectError(BAD_MMSI)
    return int(text)


def _number(said: dict[str, Any], *names: str) -> float | None:
    """The first of these fields that is a number, or a text that is one."""
    for name in names:
        value = said.get(name)
        if isinstance(value, bool) or value is None:
            continue
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        if math.isfinite(number):
            return number
    return None


def _position(said: dict[str, Any], degrees: float) -> tuple[int | None, int | None]:
    lat, lon = _number(said, "lat", "latitude"), _number(said, "lon", "longitude", "lng")
    if lat is None or lon is None:
        return None, None
    north, east = (round(value * degrees * schema.MICRODEGREES) for value in (lat, lon))
    if north == 91 * schema.MICRODEGREES or east == 181 * schema.MICRODEGREES:
        return None, None
    if abs(north) > 90 * schema.MICRODEGREES:
        raise UnusableObjectError(BAD_LATITUDE)
    if abs(east) > 180 * schema.MICRODEGREES:
        raise UnusableObjectError(BAD_LONGITUDE)
    return north, east


def _motion(
    said: dict[str, Any], column: str, names: tuple[str, ...], steps: int, limit: int, notes: list[str]
) -> int | None:
    """A SOG, COG or heading in steps; None where it is not available, noted where it cannot be."""
    value = _number(said, *names)
    none = 511 if column == "heading" else limit
    if value is None or math.isclose(value * steps, none):
        return None
    if value < 0 or value * steps >= limit:
        notes.append(_IMPLAUSIBLE[column])
        return None
    rounded = math.floor(value * steps + 0.5)
    if rounded < limit:
        return rounded
    # 359.97 degrees are north again; 102.27 kn the most there is.
    return limit - 1 if column == "sog" else 0


def _static(said: dict[str, Any], kind: int | str, draught_unit: float) -> tuple[StaticValue, ...]:
    """The values of `schema.STATIC_COLUMNS`."""
    code = _number(said, "shiptype", "ship_type") or (
        _number(said, "type") if kind == 0 or isinstance(kind, str) else 0
    )
    length = (_number(said, "to_bow", "a", "refa") or 0) + (_number(said, "to_stern", "b", "refb") or 0)
    width = (_number(said, "to_port", "c", "refc") or 0) + (_number(said, "to_starboard", "d", "refd") or 0)
    draught = (_number(said, "draught", "maximumstaticdraught") or 0) * draught_unit
    values: dict[str, StaticValue] = {
        "imo": imo_number(int(_number(said, "imo", "imonumber") or 0)),
        "callsign": _text(said, "callsign"),
        "name": _text(said, "shipname", "name"),
        "ship_type": str(int(code)) if code else None,
        "length": _metres(length),
        "width": _metres(width),
        "draught": _metres(draught),
        "destination": _text(said, "destination"),
        "identity": None,
    }
    return tuple(values[column] for column in schema.STATIC_COLUMNS)


def _metres(value: float) -> float | None:
    try:
        return metres(value)
    except ValueError:
        return None


def _text(said: dict[str, Any], *names: str) -> str | None:
    """The first of these texts up to its first @, which ends it (M.1371-5, table 47)."""
    text = next((said[name] for name in names if isinstance(said.get(name), str)), "")
    return text.partition("@")[0].strip() or None
