"""Simulated AIS, written as the Danish authority writes real AIS: zip archives a day, with the real feed's faults.

So that a demo or a test takes the very path of real data: nearly half of the rows are repeats, some fixes come
again under a later time, static data are blank until a vessel's first static message, static messages have
latitude 91, base stations and buoys report too, two ships share an MMSI, single fixes jump.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.sources.dma import LAYOUT
from ais_assets.sources.rows.delimited import DelimitedReader
from ais_assets.sources.simulation import fleet
from ais_assets.sources.simulation.draws import draw, even
from ais_assets.sources.simulation.fleet import Part, Ship, Station
from ais_assets.sources.simulation.simulation import (
    AIRCRAFT,
    BLANK,
    CLASS_A,
    CLASS_B,
    DAY,
    NO_POSITION,
    STATIC_SECONDS,
    STATION,
    UNDEFINED,
    Helm,
    Plan,
    Rows,
    State,
    most_lines,
    path,
    report,
)
from ais_assets.sources.source import LandedArchive, Source, SourceError
from ais_assets.stream import RecordStream

HEADER: Final = (
    "# Timestamp,Type of mobile,MMSI,Latitude,Longitude,Navigational status,ROT,SOG,COG,Heading,IMO,Callsign,Name,"
    "Ship type,Cargo type,Width,Length,Type of position fixing device,Draught,Destination,ETA,Data source type,A,B,C,D"
)

COPIES: Final = (2661, 1444, 721, 341, 87, 39, 22, 9, 2, 0, 1)
"""How many lines stand once, twice, three times … in the first 10,000 rows of aisdk-2024-09-09: 47 % are repeats."""

_SLICE_SECONDS: Final = 300
"""Simulated at a time: bounds memory, and does not show in the file."""
_SPACING_METRES: Final = 6000.0
_NEAR_COPIES: Final = 2**27
"""Of the 2**32 places that a second's lines have: repeats mostly stand within so many of the first."""
_FAR_SHARE: Final = 0.03
"""Of repeats stand anywhere later in the second: 200 to 300 lines on, in a feed of 20 M rows a day."""
_DEFLATE_LEVEL: Final = 1

_MOBILES: Final = {CLASS_A: "Class A", CLASS_B: "Class B", AIRCRAFT: "SAR Airborne"}
_STATUSES: Final = {
    0: "Under way using engine",
    1: "At anchor",
    5: "Moored",
    7: "Engaged in fishing",
    8: "Under way sailing",
}
_UNKNOWN_STATUS: Final = "Unknown value"
_STATUS_COUNT: Final = len(schema.NAV_STATUSES)


class SimulatedSource(Source):
    """A fleet of any size over any number of days; the same seed gives the same rows, day by day, in any order.

    The rows are the same on every machine. The archive's bytes are too wherever zlib is the same.

    Args:
        vessels: size of the fleet.
        seed: keys every random stream.
        first_day: the first day that is published; of those before there is none.
        max_bytes: an archive that unpacks to more is refused on reading, as any other source's.

    Raises:
        SourceError: no vessel, or a seed below 0.
    """

    name = "simulated"

    def __init__(self, vessels: int, seed: int, first_day: date, max_bytes: int) -> None:
        if vessels < 1:
            raise SourceError(
                f"a simulated fleet of {vessels} vessels reports nothing: set AIS_SIMULATED_VESSELS to 1 or more"
            )
        if seed < 0:
            raise SourceError(f"the simulation's seed is {seed}: set AIS_SEED to 0 or more")
        self._vessels = vessels
        self._seed = seed
        self._first_day = first_day
        self._reader = DelimitedReader((LAYOUT,), max_bytes)

    def land(self, day: date, into: Path) -> list[LandedArchive]:
        """Writes the day's archive into the folder; none for a day before the first, which was never published."""
        if day < self._first_day:
            return []
        target = into / f"aisdk-{day.isoformat()}.zip"
        write_archive(target, day, day_of_lines(self._seed, self._vessels, day))
        uri = f"simulated://{self._vessels}-vessels/seed-{self._seed}/{day.isoformat()}"
        return [LandedArchive(target, uri)]

    def published(self, day: date) -> bool:
        return day >= self._first_day

    def read(self, archive: Path, day: date | None) -> RecordStream:
        """As any other archive of the authority's form."""
        return self._reader.read(archive, day)

    def head(self, archive: Path) -> bytes | None:
        return self._reader.head(archive)


def write_archive(target: Path, day: date, lines: Iterator[NDArray[np.uint8]]) -> None:
    """Writes lines as the one member of a daily archive. Nothing in it depends on the clock."""
    member = zipfile.ZipInfo(f"aisdk-{day.isoformat()}.csv", (day.year, day.month, day.day, 0, 0, 0))
    member.compress_type = zipfile.ZIP_DEFLATED
    with (
        zipfile.ZipFile(target, "w", compresslevel=_DEFLATE_LEVEL) as archive,
        archive.open(member, "w", force_zip64=True) as out,
    ):
        out.write(HEADER.encode() + b"\n")
        for text in lines:
            out.write(text.data)


def day_of_lines(seed: int, vessels: int, day: date) -> Iterator[NDArray[np.uint8]]:
    """The text of a day's rows in the order of the file, some minutes of it at a time, (bytes,) uint8."""
    midnight = _midnight(day)
    crew = Fleet.on(seed, vessels, midnight)
    texts = Texts.of(crew)
    stamp = np.frombuffer(day.strftime("%d/%m/%Y ").encode(), np.uint8)
    for rows in file_rows(crew.plan(seed), midnight):
        out = np.empty(len(rows.second) * texts.longest_line, np.uint8)
        yield out[: _write_lines(rows, midnight, stamp, texts, out)]


def file_rows(plan: Plan, midnight: int) -> Iterator[Rows]:
    """The lines of the day that begins at `midnight` in the order of the file, repeats and all, minutes at a time."""
    waiting = Rows.room(0)
    for end, new in sent_rows(plan, midnight):
        rows = Rows._make(np.concatenate(pair) for pair in zip(waiting, new, strict=True))
        # Rebroadcasts may be due only in the next minutes.
        waiting = rows.take(rows.second >= end)
        yield _with_repeats(rows.take(rows.second < end), end - _SLICE_SECONDS)


def sent_rows(plan: Plan, midnight: int) -> Iterator[tuple[int, Rows]]:
    """What is sent in the day that begins at `midnight`, minutes at a time: their end, Unix time, and the reports of
    them, among these rebroadcasts of which some come later. The next ones take the place of these in memory."""
    state = _first_state(plan, midnight)
    room = Rows.room(most_lines(plan, _SLICE_SECONDS))
    for end in range(midnight + _SLICE_SECONDS, midnight + DAY + 1, _SLICE_SECONDS):
        yield end, room.take(slice(0, report(plan, state, float(end), room)))


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


class Fleet(NamedTuple):
    """Everyone who sends on a day: vessels and the rescue aircraft with what they do, and the stations."""

    midnight: int
    ships: list[Ship]
    voyages: list[list[Part]]
    stations: list[Station]

    @classmethod
    def on(cls, seed: int, vessels: int, midnight: int) -> Fleet:
        """The fleet of this size on the day that begins at `midnight`, Unix time."""
        ships = [*(fleet.ship(seed, number) for number in range(vessels)), fleet.rescue_aircraft(seed)]
        voyages = [fleet.voyage(seed, ship, midnight, midnight + DAY) for ship in ships]
        return cls(midnight, ships, voyages, fleet.stations(vessels))

    def plan(self, seed: int) -> Plan:
        """The day as the kernels take it: ships in their order, then stations."""
        still, ships, stations = len(self.stations), self.ships, self.stations
        voyages = [*self.voyages, *(self._watch(station) for station in stations)]
        silences = [*(fleet.silences(seed, ship, self.midnight) for ship in ships), *([] for _ in stations)]
        parts = [part for voyage in voyages for part in voyage]
        ways = [_way(seed, ship, part) for ship, voyage in zip(ships, self.voyages, strict=True) for part in voyage]
        ways += [_one_node(station.lat, station.lon) for station in stations]
        numbers = [*(ship.number for ship in ships), *range(-2, -2 - still, -1)]
        return Plan(
            key=np.array([fleet.report_seed(seed, number) for number in numbers], np.uint64),
            kind=np.array([*(ship.type.kind for ship in ships), *[STATION] * still], np.int8),
            interval=np.array([*[0.0] * len(ships), *(station.interval for station in stations)]),
            reception=np.array([*(ship.reception for ship in ships), *[0.95] * still]),
            compass=np.array([*(ship.compass for ship in ships), *[False] * still], np.bool_),
            first_part=_bounds([len(voyage) for voyage in voyages]),
            silence=np.array([gap for gaps in silences for gap in gaps], np.float64).reshape(-1, 2),
            first_silence=_bounds([len(gaps) for gaps in silences]),
            part_start=np.array([part.start for part in parts], np.float64),
            part_end=np.array([part.end for part in parts], np.float64),
            part_status=np.array([part.status for part in parts], np.int8),
            part_ramp=np.array([part.ramp for part in parts], np.float64),
            part_swing=np.array([part.swing for part in parts], np.float64),
            part_node=_bounds([len(way) for way in ways]),
            nodes=np.concatenate(ways),
        )

    def _watch(self, station: Station) -> list[Part]:
        place = ((station.lat, station.lon),)
        return [Part(self.midnight, self.midnight + DAY, place, UNDEFINED, 0.0, 0.0, "")]


@njit(cache=True, nogil=True)
def _first_state(plan: Plan, midnight: int) -> State:
    """Everyone's first report and first static message still to come."""
    senders = len(plan.key)
    fix, static = np.empty(senders), np.full(senders, np.inf)
    for sender in range(senders):
        luck = draw(plan.key[sender], midnight)
        period = plan.interval[sender] if plan.kind[sender] == STATION else 10.0
        fix[sender] = midnight + period * even(draw(luck, 101))
        if plan.kind[sender] in (CLASS_A, CLASS_B):
            static[sender] = midnight + STATIC_SECONDS * even(draw(luck, 102))
    part = plan.first_part[:-1].copy()
    return State(fix, static, part, plan.part_node[part], np.zeros(senders, np.int8))


def _bounds(counts: list[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _one_node(lat: float, lon: float) -> NDArray[np.float64]:
    return np.array([[lat, lon, 0.0, 0.0, 0.0]])


def _way(seed: int, ship: Ship, part: Part) -> NDArray[np.float64]:
    if len(part.points) == 1:
        return _one_node(*part.points[0])
    key = np.uint64(fleet.way_seed(seed, ship, part))
    starboard = 3 * ship.type.wander if ship.type.trade in ("tramp", "shuttle") else 0.0
    return path(np.array(part.points), key, Helm(starboard, ship.type.wander, ship.type.reach, _SPACING_METRES))


def _with_repeats(rows: Rows, start: int) -> Rows:
    """The lines by second, at random within it, each as often as the receivers passed it on."""
    share = np.cumsum(COPIES) / sum(COPIES)
    places, which = _places(rows.second, rows.luck, start, share)
    return rows.take(which[np.argsort(places, kind="stable")])


@njit(cache=True, nogil=True)
def _places(
    second: NDArray[np.int64], luck: NDArray[np.uint64], start: int, share: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each line and each repeat of one: its place in the slice (seconds since `start`, and within), its row."""
    copies = np.empty(len(second), np.int64)
    for row in range(len(second)):
        copies[row] = 1 + np.searchsorted(share, even(draw(luck[row], 110)), side="right")
    total = copies.sum()
    places, which = np.empty(total, np.int64), np.empty(total, np.int64)
    at = 0
    for row in range(len(second)):
        first = int(even(draw(luck[row], 111)) * 2**32)
        for copy in range(copies[row]):
            word = draw(luck[row], 112 + copy)
            reach = 2**32 - first if even(draw(word, 0)) < _FAR_SHARE else _NEAR_COPIES
            later = int(even(word) * reach) if copy else 0
            places[at] = ((second[row] - start) << 32) + min(first + later, 2**32 - 1)
            which[at] = row
            at += 1
    return places, which


class Texts(NamedTuple):
    """All texts of a day end to end, and where each begins.

    In this order: every sender's beginning of a line up to the position; what follows the heading before any static
    message, after a class B's first, and after all (one for every part); the statuses by code.
    """

    pool: NDArray[np.uint8]
    bounds: NDArray[np.int64]
    senders: int
    longest_line: int
    """Bytes, at most."""

    @classmethod
    def of(cls, crew: Fleet) -> Texts:
        """The texts of a day's senders."""
        heads = [f"{_MOBILES[ship.type.kind]},{ship.mmsi}," for ship in crew.ships]
        heads += [f"{station.mobile},{station.mmsi}," for station in crew.stations]
        bare = [_tail() for _ in crew.ships] + [_station_tail(station) for station in crew.stations]
        named = [_tail(name=ship.name) for ship in crew.ships] + bare[len(crew.ships) :]
        whole = [
            _whole_tail(ship, part) for ship, voyage in zip(crew.ships, crew.voyages, strict=True) for part in voyage
        ]
        whole += bare[len(crew.ships) :]
        statuses = [_STATUSES.get(code, _UNKNOWN_STATUS) for code in range(_STATUS_COUNT)]
        groups = [[text.encode() for text in group] for group in (heads, bare, named, whole, statuses)]
        pieces = [piece for group in groups for piece in group]
        longest = sum(max(map(len, group)) for group in groups) + _LONGEST_NUMBERS
        pool = np.frombuffer(b"".join(pieces), np.uint8)
        return cls(pool, _bounds([len(piece) for piece in pieces]), len(heads), longest)


_LONGEST_NUMBERS: Final = len("01/03/2024 00:00:00,-89.123456,-179.123456,,-708.7,-102.3,-360.0,-511\n") + 8


def _tail(
    *,
    imo: int | None = None,
    callsign: str = "Unknown",
    name: str = "",
    ship_type: str = "Undefined",
    width: int | str = "",
    length: int | str = "",
    device: str = "Undefined",
    draught: str = "",
    destination: str = "Unknown",
    eta: str = "",
    antenna: str = ",,,",
) -> str:
    """A line's columns from IMO on, with the authority's words for what is not known."""
    if "," in name or '"' in name:
        name = '"' + name.replace('"', '""') + '"'
    return (
        f",{imo or 'Unknown'},{callsign},{name},{ship_type},,{width},{length},{device},{draught},{destination},{eta},"
        f"AIS,{antenna}\n"
    )


def _station_tail(station: Station) -> str:
    size = 3 if station.name else ""
    return _tail(name=station.name, width=size, length=size, device="GPS" if station.name else "Surveyed")


def _whole_tail(ship: Ship, part: Part) -> str:
    if ship.type.kind == AIRCRAFT:
        return _tail()
    large = ship.type.kind == CLASS_A
    # An antenna is at most 511 m from either end, so the longest length that a crew can type is 1022.
    bow, port = min(ship.length * 2 // 3, 511), ship.width // 2
    return _tail(
        imo=ship.imo,
        callsign=ship.callsign,
        name=ship.name,
        ship_type=ship.type.name,
        width=ship.width,
        length=ship.length,
        device="GPS" if large else "Undefined",
        draught=f"{ship.draught:g}" if large else "",
        destination=part.there.upper() if large else "Unknown",
        eta=f"{_next_hour(part.end):%d/%m/%Y %H:%M:%S}" if large else "",
        antenna=f"{bow},{ship.length - bow},{port},{ship.width - port}",
    )


def _next_hour(second: int) -> datetime:
    return datetime.fromtimestamp(-(-second // 3600) * 3600, UTC)


@njit(cache=True, nogil=True)
def _put_number(out: NDArray[np.uint8], at: int, value: int, digits: int) -> int:
    """Writes a number of 0 or more in decimal with at least so many digits; returns the place after it."""
    width = digits
    limit = 10**digits
    while value >= limit:
        width += 1
        limit *= 10
    for k in range(width - 1, -1, -1):
        out[at + k] = 48 + value % 10
        value //= 10
    return at + width


@njit(cache=True, nogil=True)
def _put_decimal(out: NDArray[np.uint8], at: int, value: int, decimals: int) -> int:
    """Writes value / 10^decimals as the authority prints it: without trailing zeros."""
    if value < 0:
        out[at] = ord("-")
        at += 1
        value = -value
    scale = 10**decimals
    at = _put_number(out, at, value // scale, 1)
    rest = value % scale
    if rest == 0:
        return at
    while rest % 10 == 0:
        rest //= 10
        decimals -= 1
    out[at] = ord(".")
    return _put_number(out, at + 1, rest, decimals)


@njit(cache=True, nogil=True)
def _put_text(out: NDArray[np.uint8], at: int, text: NDArray[np.uint8]) -> int:
    for k in range(len(text)):
        out[at + k] = text[k]
    return at + len(text)


@njit(cache=True, nogil=True)
def _piece(texts: Texts, number: int) -> NDArray[np.uint8]:
    return texts.pool[texts.bounds[number] : texts.bounds[number + 1]]


@njit(cache=True, nogil=True)
def _put_value(out: NDArray[np.uint8], at: int, value: int, decimals: int) -> int:
    """Writes a comma and a value, or nothing after the comma where it is BLANK."""
    out[at] = ord(",")
    return at + 1 if value == BLANK else _put_decimal(out, at + 1, value, decimals)


@njit(cache=True, nogil=True)
def _microdegrees(steps: int) -> int:
    """AIS steps (600,000 a degree) to the nearest millionth of a degree; thirds are never half-way."""
    return (5 * steps + 1) // 3


@njit(cache=True, nogil=True)
def _write_lines(
    rows: Rows,
    midnight: int,
    stamp: NDArray[np.uint8],
    texts: Texts,
    out: NDArray[np.uint8],
) -> int:
    """Writes the rows as lines of the authority's CSV; returns how many bytes."""
    statuses = len(texts.bounds) - 1 - _STATUS_COUNT
    at = 0
    for row in range(len(rows.second)):
        at = _put_text(out, at, stamp)
        second = rows.second[row] - midnight
        at = _put_number(out, at, second // 3600, 2)
        out[at] = ord(":")
        at = _put_number(out, at + 1, second // 60 % 60, 2)
        out[at] = ord(":")
        at = _put_number(out, at + 1, second % 60, 2)
        out[at] = ord(",")
        sender = int(rows.sender[row])
        at = _put_text(out, at + 1, _piece(texts, sender))
        if rows.lat[row] == NO_POSITION:
            at = _put_decimal(out, at, 91, 0)
            at = _put_value(out, at, 0, 0)
        else:
            at = _put_decimal(out, at, _microdegrees(int(rows.lat[row])), 6)
            at = _put_value(out, at, _microdegrees(int(rows.lon[row])), 6)
        out[at] = ord(",")
        at = _put_text(out, at + 1, _piece(texts, statuses + int(rows.status[row])))
        at = _put_value(out, at, _turn_rate(int(rows.rot[row])), 1)
        at = _put_value(out, at, int(rows.sog[row]), 1)
        at = _put_value(out, at, int(rows.cog[row]), 1)
        at = _put_value(out, at, int(rows.heading[row]), 0)
        known = int(rows.named[row])
        tail = 3 * texts.senders + int(rows.part[row]) if known == 2 else (1 + known) * texts.senders + sender
        at = _put_text(out, at, _piece(texts, tail))
    return at


@njit(cache=True, nogil=True)
def _turn_rate(rot: int) -> int:
    """Tenths of a degree a minute from the message's 4.733 times the root of it (ITU-R M.1371-5, table 48)."""
    if rot == BLANK:
        return BLANK
    tenths = int(10 * (rot / 4.733) ** 2 + 0.5)
    return tenths if rot > 0 else -tenths
