"""The simulated fleet: who sails, from where to where and when, and what of it nobody hears.

A vessel's time is cut into weeks, each drawn from a stream of its own and each beginning and ending at her berth in
her home port. So any day can be made by itself from at most two weeks' plans, and no vessel leaps at midnight.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, NamedTuple

from ais_assets.sources.simulation.draws import Draws, key
from ais_assets.sources.simulation.simulation import (
    AIRCRAFT,
    AT_ANCHOR,
    CLASS_A,
    CLASS_B,
    DAY,
    FISHING,
    KNOT,
    MOORED,
    SAILING,
    SWITCHED_OFF,
    UNDER_WAY,
)
from ais_assets.sources.simulation.waters import (
    ANCHORAGES,
    FERRIES,
    GROUNDS,
    METRES_PER_DEGREE,
    PLACES,
    PORTS,
    Place,
    cosine,
    distance,
    metres,
    way,
)

WEEK: Final = 7 * DAY
HOUR: Final = 3600

# What a stream of draws is for: the second part of its key.
_SHIP, _WEEK, _BERTH, _WAY, _GAP, _ABSENCE, _REPORTS = range(1, 8)

_ANCHOR_METRES: Final = 1500.0
"""Vessels keep this far north or south, and east or west, of the middle of an anchorage; in a port _BERTH_METRES."""
_BERTH_METRES: Final = 150.0
_SWING_METRES: Final = 60.0
_GROUND_METRES: Final = 9000.0
_HAUL_STEP_METRES: Final = 1800.0

SHORT_GAPS: Final = 2
"""Silences of 3 to 60 minutes that a day may have."""
LONG_GAP_SHARE: Final = 0.06
"""Of days have a silence of 4.2 to 10 hours begin in them."""
ABSENCE_SHARE: Final = 0.08
"""Of a vessel's weeks have her out of the receivers' reach for 1 to 4 days."""


class Type(NamedTuple):
    """A type of vessel in the source's words, and how it sails."""

    name: str
    trade: Literal["tramp", "shuttle", "trawl", "rescue"]
    kind: int = CLASS_A
    knots: tuple[float, float] = (10.0, 15.0)
    stay_hours: tuple[float, float] = (4.0, 16.0)
    range_km: float = 2000.0
    """How far from home it goes."""
    length: tuple[int, int] = (80, 220)
    reach: float = 700.0
    """Metres before and after a corner on which it turns."""
    wander: float = 120.0
    """Metres by which its way strays."""


CARGO = Type("Cargo", "tramp")
TANKER = Type("Tanker", "tramp", knots=(10.0, 13.8), stay_hours=(6.0, 24.0), length=(90, 250), reach=900.0)
PASSENGER = Type("Passenger", "shuttle", knots=(13.5, 21.0), stay_hours=(0.4, 0.8), length=(60, 200), wander=60.0)
TRAWLER = Type("Fishing", "trawl", knots=(8.0, 10.5), stay_hours=(5.0, 14.0), length=(14, 38), reach=250.0)
TUG = Type(
    "Tug", "tramp", knots=(7.0, 11.0), stay_hours=(1.0, 6.0), range_km=70.0, length=(20, 36), reach=200.0, wander=80.0
)
PILOT = TUG._replace(name="Pilot", knots=(12.0, 22.0), length=(12, 20))
YACHT = Type(
    "Sailing", "tramp", CLASS_B, (4.0, 7.0), (6.0, 14.0), range_km=130.0, length=(8, 16), reach=150.0, wander=500.0
)
MOTOR_YACHT = YACHT._replace(name="Pleasure", knots=(7.0, 20.0), wander=200.0)
RESCUE_AIRCRAFT = Type("Undefined", "rescue", AIRCRAFT, (90.0, 130.0), (5.0, 18.0), reach=900.0, wander=1500.0)

MIX: Final = (
    *(CARGO, TRAWLER, PASSENGER, TANKER, YACHT, CARGO, TRAWLER, MOTOR_YACHT, TUG, TUG),
    *(TANKER, PILOT, PASSENGER, CARGO, YACHT, CARGO, TRAWLER, MOTOR_YACHT, TANKER, YACHT),
)
"""Types by vessel number, over and over: any fleet of some size has all of them."""

TWINS: Final = 40
"""Of so many vessels, one uses the MMSI of the one before her, far away, as badly set up ones do."""
_TWIN: Final = 9

BAD_MMSIS: Final = (3638, 219_001, 123_456_789)
"""Of senders that call themselves class A: too short, too short, made up."""

_FLAGS: Final = (219, 219, 219, 220, 220, 211, 265, 257, 245, 230, 273, 209, 248, 255, 304, 538, 636)
_FIRST_NAMES: Final = (
    *("ANNE", "BALTIC", "CAPE", "DANA", "ELSE", "FREJA", "GRETE", "HAVET", "INGER", "JUTTA", "KIRSTEN", "LADY"),
    *("MARIE", "NORDIC", "OCEAN", "POLAR", "RAN", "SCAN", "THYRA", "VEGA"),
)
_LAST_NAMES: Final = (
    *("BELT", "CARRIER", "DANE", "EXPRESS", "FIGHTER", "GLORY", "HOPE", "JENSEN", "KNUDSEN", "LARSEN", "MERCHANT"),
    *("NIELSEN", "PEARL", "RIVER", "SPIRIT", "STAR", "TRADER", "VICTORY", "WAVE", "WIND"),
)


@dataclass(frozen=True)
class Ship:
    """What does not change about a vessel (or an aircraft).

    Attributes:
        number: her place in the fleet.
        imo: her IMO number, None for small craft.
        length, width: metres. One vessel in fifty has typed a length of 1022.
        draught: metres.
        home: the place where her weeks begin and end.
        line: the other end of a ferry's line.
        knots: her service speed.
        reception: share of her reports that is heard.
        compass: whether her set is given a heading.
    """

    number: int
    mmsi: int
    type: Type
    name: str
    callsign: str
    imo: int | None
    length: int
    width: int
    draught: float
    home: str
    line: str | None
    knots: float
    reception: float
    compass: bool


class Station(NamedTuple):
    """A sender that does not move; `interval` in seconds."""

    mobile: str
    mmsi: int
    name: str
    lat: float
    lon: float
    interval: float


class Part(NamedTuple):
    """A stay (one point) or a passage along points, from second to second of Unix time.

    ramp: seconds to come up to speed and again to lose it. swing: metres by which she swings round her anchor.
    """

    start: int
    end: int
    points: tuple[tuple[float, float], ...]
    status: int
    ramp: float
    swing: float
    there: str


class Silence(NamedTuple):
    """From when to when, Unix time, nothing of a vessel is heard."""

    start: float
    end: float


def ship(seed: int, number: int) -> Ship:
    """The vessel of this number, from 0."""
    draws = Draws(seed, _SHIP, number)
    type_ = MIX[number % len(MIX)]
    mmsi = draws.pick(_FLAGS) * 1_000_000 + draws.integer(1000, 999_000)
    home, line = _home(type_, number, draws)
    if number % TWINS == _TWIN:
        mmsi = ship(seed, number - 1).mmsi
    length = draws.integer(*type_.length)
    big = type_.kind == CLASS_A and type_ is not TRAWLER
    return Ship(
        number=number,
        mmsi=mmsi,
        type=type_,
        name=_name(number, draws),
        callsign="".join(chr(65 + draws.integer(0, 26)) for _ in range(4)),
        imo=_imo(draws) if big else None,
        length=1022 if number % 50 == 33 else length,
        width=max(2, round(length / 6.5)),
        draught=round(1 + length / 28 + draws.uniform(), 1),
        home=home,
        line=line,
        knots=draws.uniform(*type_.knots),
        reception=draws.uniform(0.72, 0.98),
        compass=type_.kind == CLASS_A and draws.uniform() < 0.9,
    )


def rescue_aircraft(seed: int) -> Ship:
    """A search and rescue aircraft: it flies for an hour or two at a time, and is silent on the ground."""
    draws = Draws(seed, _SHIP, -1)
    knots = draws.uniform(*RESCUE_AIRCRAFT.knots)
    return Ship(-1, 111_219_501, RESCUE_AIRCRAFT, "", "", None, 0, 0, 0.0, "RONNE", None, knots, 0.9, compass=False)


def stations(vessels: int) -> list[Station]:
    """Base stations, aids to navigation and senders with an MMSI that no ship can have, for a fleet of that size."""
    count = 1 + vessels // 30
    near = list(PLACES.values())
    base = [Station("Base Station", 2_190_060 + k, "", *_beside(near[k % len(near)], 0.01), 10.0) for k in range(count)]
    aids = [
        # Real ones do not all begin with 99.
        Station(
            "AtoN",
            (992_190_000 if k % 4 else 219_000_900) + k,
            f"BUOY {k + 1}",
            *_beside(near[-1 - k % len(near)], 0.02),
            180.0,
        )
        for k in range(2 * count)
    ]
    odd = [Station("Class A", mmsi, "", *_beside(PORTS["NYBORG"], 0.03), 600.0) for mmsi in BAD_MMSIS]
    return [*base, *aids, *odd]


def _beside(place: Place, degrees: float) -> tuple[float, float]:
    return round(place.lat + degrees, 6), round(place.lon + degrees, 6)


def _home(type_: Type, number: int, draws: Draws) -> tuple[str, str | None]:
    if type_.trade == "shuttle":
        return draws.pick(FERRIES)
    if number % TWINS == _TWIN - 1:
        return draws.pick(("ESBJERG", "HIRTSHALS")), None
    if number % TWINS == _TWIN:
        return draws.pick(("RONNE", "NEXO")), None
    return draws.pick(list(PORTS)), None


def _name(number: int, draws: Draws) -> str:
    """Two words; in every three hundred vessels one name with quotes and one with a comma, as the real feed has."""
    name = f"{draws.pick(_FIRST_NAMES)} {draws.pick(_LAST_NAMES)}"
    return {11: 'DANPILOT."SPICA"', 5: "DEEP 8,1"}.get(number % 300, name)


def _imo(draws: Draws) -> int:
    """A number whose last digit checks the others (IMO resolution A.1117)."""
    digits = [9, *(draws.integer(0, 10) for _ in range(5))]
    check = sum(digit * weight for digit, weight in zip(digits, range(7, 1, -1), strict=True)) % 10
    return int("".join(map(str, [*digits, check])))


def voyage(seed: int, vessel: Ship, begin: int, end: int) -> list[Part]:
    """What the vessel does from `begin` to `end` (Unix time), without holes: her parts that overlap that time."""
    offset = key(seed, _SHIP, vessel.number, _WEEK) % WEEK
    weeks = range((begin - offset) // WEEK, (end - 1 - offset) // WEEK + 1)
    parts = (part for number in weeks for part in _Week(seed, vessel, number, number * WEEK + offset).parts())
    return [part for part in parts if part.start < end and begin < part.end]


def way_seed(seed: int, vessel: Ship, part: Part) -> int:
    """Keys the random wandering of a passage."""
    return key(seed, _WAY, vessel.number, part.start)


def report_seed(seed: int, number: int) -> int:
    """Keys the reports of a sender; stations count down from -2."""
    return key(seed, _REPORTS, number)


def silences(seed: int, vessel: Ship, midnight: int) -> list[Silence]:
    """When nothing of the vessel is heard on the day that begins at `midnight` (Unix time)."""
    found = [gap for start in (midnight - DAY, midnight) for gap in _gaps(seed, vessel, start)]
    week = midnight // WEEK
    for number in (week - 1, week):
        draws = Draws(seed, _ABSENCE, vessel.number, number)
        if draws.uniform() < ABSENCE_SHARE:
            start = number * WEEK + draws.uniform(0, WEEK)
            found.append(Silence(start, start + draws.uniform(1, 4) * DAY))
    return [silence for silence in found if silence.start < midnight + DAY and midnight < silence.end]


def _gaps(seed: int, vessel: Ship, midnight: int) -> list[Silence]:
    draws = Draws(seed, _GAP, vessel.number, midnight)
    starts = [midnight + draws.uniform(0, DAY) for _ in range(draws.integer(0, SHORT_GAPS + 1))]
    gaps = [Silence(start, start + draws.uniform(180, HOUR)) for start in starts]
    if draws.uniform() < LONG_GAP_SHARE:
        start = midnight + draws.uniform(0, DAY)
        gaps.append(Silence(start, start + draws.uniform(4.2, 10) * HOUR))
    return gaps


class _Week:
    """Plans a vessel's week: passages as long as there is time to be home by its end."""

    def __init__(self, seed: int, vessel: Ship, number: int, start: int) -> None:
        self._seed, self._vessel = seed, vessel
        self._draws = Draws(seed, _WEEK, vessel.number, number)
        self._now, self._end = start, start + WEEK
        self._here = vessel.home
        self._at = self._berth(vessel.home)
        self._parts: list[Part] = []

    def parts(self) -> list[Part]:
        """The week's stays and passages in turn; the first and the last are stays at home."""
        self._stay(self._some_stay())
        while self._trip():
            pass
        self._stay(self._end - self._now)
        return self._parts

    def _trip(self) -> bool:
        """One trip and the stay after it, or if time is too short for it, home. False at home for good."""
        if self._vessel.type.trade in ("trawl", "rescue"):
            return self._out_and_home()
        there = self._next_place()
        if there is None:
            if self._here != self._vessel.home:
                self._sail(self._vessel.home)
            return False
        self._sail(there)
        self._stay(self._some_stay())
        return True

    def _some_stay(self) -> int:
        return int(self._draws.uniform(*self._vessel.type.stay_hours) * HOUR)

    def _next_place(self) -> str | None:
        """A place to go to from which there is time to come home."""
        if self._vessel.line is not None:
            choices: Sequence[str] = [self._vessel.line if self._here == self._vessel.home else self._vessel.home]
        else:
            choices = [place for place in _haunts(self._vessel) if place != self._here]
        for _ in range(4):
            there = self._draws.pick(choices)
            longest_stay = self._vessel.type.stay_hours[1] * HOUR
            if self._now + self._at_most(self._here, there, self._vessel.home) + longest_stay <= self._end:
                return there
        return None

    def _at_most(self, *places: str) -> float:
        """Seconds that passages from place to place take at the slowest."""
        slack = 3 * _ANCHOR_METRES
        lengths = [distance(a, b) + slack for a, b in pairwise(places) if a != b]
        return sum(length / (0.9 * self._vessel.knots * KNOT) + _ramp(length, self._vessel.knots) for length in lengths)

    def _out_and_home(self) -> bool:
        """A fishing trip of a few hauls, or an aircraft's flight to look at a few places."""
        vessel, draws = self._vessel, self._draws
        near = sorted(GROUNDS, key=lambda ground: distance(vessel.home, ground))[:2]
        ground = draws.pick(near)
        hauls = draws.integer(3, 8) if vessel.type.trade == "trawl" else 0
        longest = 2 * self._at_most(vessel.home, ground) + 2 * HOUR + hauls * 5 * HOUR
        if self._now + longest + vessel.type.stay_hours[1] * HOUR > self._end:
            return False
        if vessel.type.trade == "rescue":
            turn = self._berth(ground)
            self._pass((self._at, *way(vessel.home, ground), turn), vessel.knots, UNDER_WAY, ground)
        else:
            self._sail(ground)
            for _ in range(hauls):
                self._haul(PLACES[ground][:2])
        self._here = ground
        self._sail(vessel.home)
        self._stay(self._some_stay())
        return True

    def _haul(self, middle: tuple[float, float]) -> None:
        """Two to four hours of trawling in bends about the ground, then half an hour of drifting over the catch."""
        knots = self._draws.uniform(2.8, 4.2)
        steps = int(self._draws.uniform(2, 4) * HOUR * knots * KNOT / _HAUL_STEP_METRES)
        points = [self._at]
        north, east = self._draws.bell(), self._draws.bell()
        narrow = cosine(middle[0])
        for _ in range(steps):
            lat, lon = points[-1]
            pull = 1.5 / _GROUND_METRES * METRES_PER_DEGREE
            north += 0.7 * self._draws.bell() + pull * (middle[0] - lat)
            east += 0.7 * self._draws.bell() + pull * (middle[1] - lon) * narrow
            size = max(0.05, math.sqrt(north * north + east * east))
            north, east = north / size, east / size
            step = _HAUL_STEP_METRES / METRES_PER_DEGREE
            points.append((lat + north * step, lon + east * step / narrow))
        self._pass(tuple(points), knots, FISHING, self._vessel.home)
        self._rest(int(self._draws.uniform(0.3, 0.6) * HOUR), FISHING, 0.0)

    def _sail(self, there: str) -> None:
        """To a place along the lanes, at nearly the service speed."""
        status = SAILING if self._vessel.type is YACHT else UNDER_WAY
        points = (self._at, *way(self._here, there), self._berth(there))
        self._pass(points, self._vessel.knots * self._draws.uniform(0.94, 1.02), status, there)

    def _pass(self, points: tuple[tuple[float, float], ...], knots: float, status: int, there: str) -> None:
        length = 0.0
        for a, b in pairwise(points):
            length += metres(a, b)
        ramp = _ramp(length, knots)
        took = math.ceil(length / (knots * KNOT) + ramp)
        self._parts.append(Part(self._now, self._now + took, points, status, ramp, 0.0, there))
        self._now += took
        self._here, self._at = there, points[-1]

    def _stay(self, seconds: int) -> None:
        anchored = self._here in ANCHORAGES
        status = AT_ANCHOR if anchored else MOORED
        if self._vessel.type.trade == "rescue":
            status = SWITCHED_OFF
        self._rest(seconds, status, _SWING_METRES if anchored else 0.0)

    def _rest(self, seconds: int, status: int, swing: float) -> None:
        end = self._now + seconds
        self._parts.append(Part(self._now, end, (self._at,), status, 0.0, swing, self._here))
        self._now = end

    def _berth(self, place: str) -> tuple[float, float]:
        """The vessel's own place in a port, at an anchorage or on a ground: the same every time."""
        draws = Draws(self._seed, _BERTH, self._vessel.number, list(PLACES).index(place))
        spread = _BERTH_METRES if place in PORTS else _ANCHOR_METRES
        lat, lon, _ = PLACES[place]
        north, east = (spread * draws.uniform(-1, 1) / METRES_PER_DEGREE for _ in range(2))
        return lat + north, lon + east / cosine(lat)


def _haunts(vessel: Ship) -> list[str]:
    """The places a vessel goes to: those within her range of home, and at least the three nearest."""
    harbours = PORTS if vessel.type.kind == CLASS_B else {**PORTS, **ANCHORAGES}
    nearest = sorted(harbours, key=lambda place: distance(vessel.home, place) if place != vessel.home else 0.0)
    within = [place for place in nearest[1:] if distance(vessel.home, place) <= vessel.type.range_km * 1000]
    return nearest[: 1 + max(3, len(within))]


def _ramp(length: float, knots: float) -> float:
    """Seconds to come up to speed: ten minutes, less on the shortest ways."""
    return min(600.0, length / (2 * knots * KNOT))
