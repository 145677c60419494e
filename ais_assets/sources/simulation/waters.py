"""Danish waters as the simulated fleet knows them: ports, fishing grounds, and the lanes between them.

A small graph, drawn by hand from the chart, whose lanes keep to the water. Only + - * / and the square root are
used on coordinates: they are exact by IEEE 754, so that every machine draws the same lanes.
"""

from __future__ import annotations

import heapq
import math
from functools import cache
from itertools import pairwise
from typing import Final, NamedTuple

from numba import njit

METRES_PER_DEGREE: Final = 111_195.0
"""Of latitude, on a sphere of the Earth's mean radius (6,371 km)."""

SEA: Final = {
    "graadyb": (55.430, 8.150),
    "horns reef": (55.600, 7.450),
    "thyboroen": (56.750, 7.700),
    "jammerbugt": (57.550, 9.200),
    "skaw": (57.860, 10.720),
    "skaw east": (57.740, 10.920),
    "laesoe rende": (57.420, 10.720),
    "trubaduren": (57.600, 11.600),
    "kattegat north": (57.380, 11.420),
    "kattegat": (56.920, 11.780),
    "anholt east": (56.680, 11.980),
    "kullen": (56.350, 12.250),
    "sound north": (56.100, 12.550),
    "elsinore": (56.025, 12.650),
    "ven west": (55.900, 12.610),
    "copenhagen roads": (55.730, 12.690),
    "malmo roads": (55.660, 12.920),
    "drogden": (55.600, 12.700),
    "sound south": (55.330, 12.700),
    "moen": (54.930, 12.760),
    "trelleborg": (55.260, 13.150),
    "ystad": (55.300, 13.820),
    "arkona": (54.880, 13.450),
    "bornholm west": (55.120, 14.480),
    "bornholm south": (54.900, 14.950),
    "bornholm east": (55.020, 15.320),
    "anholt west": (56.700, 11.330),
    "djursland": (56.450, 11.180),
    "hjelm": (56.070, 10.980),
    "sletterhage": (56.045, 10.560),
    "aarhus bay": (56.130, 10.340),
    "samsoe east": (55.930, 10.850),
    "roesnaes": (55.760, 10.780),
    "kalundborg fjord": (55.690, 10.900),
    "great belt north": (55.550, 10.890),
    "great belt": (55.342, 11.036),
    "great belt west": (55.300, 10.880),
    "agersoe": (55.150, 11.050),
    "langeland belt": (54.940, 10.930),
    "kiel bight": (54.700, 10.830),
    "kiel lighthouse": (54.500, 10.280),
    "fehmarn belt": (54.585, 11.270),
    "gedser reef": (54.450, 11.920),
    "kadet": (54.520, 12.220),
}
"""Waypoints: latitude and longitude in degrees."""

LANES: Final = (
    ("graadyb", "horns reef"),
    ("horns reef", "thyboroen"),
    ("thyboroen", "jammerbugt"),
    ("jammerbugt", "skaw"),
    ("skaw", "skaw east"),
    ("skaw east", "laesoe rende"),
    ("skaw east", "trubaduren"),
    ("skaw east", "kattegat north"),
    ("laesoe rende", "trubaduren"),
    ("trubaduren", "kattegat north"),
    ("kattegat north", "kattegat"),
    ("kattegat", "anholt east"),
    ("anholt east", "kullen"),
    ("kullen", "sound north"),
    ("sound north", "elsinore"),
    ("elsinore", "ven west"),
    ("ven west", "copenhagen roads"),
    ("copenhagen roads", "malmo roads"),
    ("copenhagen roads", "drogden"),
    ("drogden", "sound south"),
    ("sound south", "moen"),
    ("sound south", "trelleborg"),
    ("moen", "trelleborg"),
    ("moen", "arkona"),
    ("trelleborg", "arkona"),
    ("trelleborg", "ystad"),
    ("ystad", "bornholm west"),
    ("arkona", "bornholm west"),
    ("arkona", "bornholm south"),
    ("bornholm west", "bornholm south"),
    ("bornholm south", "bornholm east"),
    ("kattegat", "anholt west"),
    ("anholt west", "djursland"),
    ("djursland", "hjelm"),
    ("hjelm", "sletterhage"),
    ("hjelm", "samsoe east"),
    ("sletterhage", "aarhus bay"),
    ("sletterhage", "samsoe east"),
    ("samsoe east", "roesnaes"),
    ("roesnaes", "kalundborg fjord"),
    ("roesnaes", "great belt north"),
    ("great belt north", "great belt"),
    ("great belt north", "great belt west"),
    ("great belt", "agersoe"),
    ("great belt west", "agersoe"),
    ("agersoe", "langeland belt"),
    ("langeland belt", "kiel bight"),
    ("kiel bight", "kiel lighthouse"),
    ("kiel bight", "fehmarn belt"),
    ("fehmarn belt", "gedser reef"),
    ("gedser reef", "kadet"),
    ("kadet", "moen"),
)


class Place(NamedTuple):
    """Where vessels stay: a port, an anchorage or a fishing ground, and the waypoint off it."""

    lat: float
    lon: float
    off: str


PORTS: Final = {
    "ESBJERG": Place(55.462, 8.420, "graadyb"),
    "HIRTSHALS": Place(57.600, 9.960, "jammerbugt"),
    "SKAGEN": Place(57.716, 10.597, "skaw east"),
    "FREDERIKSHAVN": Place(57.436, 10.560, "laesoe rende"),
    "GOTHENBURG": Place(57.680, 11.750, "trubaduren"),
    "GRENAA": Place(56.412, 10.935, "djursland"),
    "AARHUS": Place(56.153, 10.235, "aarhus bay"),
    "KALUNDBORG": Place(55.672, 11.080, "kalundborg fjord"),
    "KORSOER": Place(55.333, 11.125, "great belt"),
    "NYBORG": Place(55.305, 10.800, "great belt west"),
    "KIEL": Place(54.400, 10.190, "kiel lighthouse"),
    "RODBY": Place(54.652, 11.350, "fehmarn belt"),
    "PUTTGARDEN": Place(54.503, 11.228, "fehmarn belt"),
    "GEDSER": Place(54.572, 11.925, "gedser reef"),
    "ROSTOCK": Place(54.190, 12.090, "kadet"),
    "HELSINGOR": Place(56.032, 12.620, "elsinore"),
    "HELSINGBORG": Place(56.043, 12.687, "elsinore"),
    "COPENHAGEN": Place(55.705, 12.625, "copenhagen roads"),
    "MALMO": Place(55.625, 12.985, "malmo roads"),
    "TRELLEBORG": Place(55.365, 13.155, "trelleborg"),
    "YSTAD": Place(55.424, 13.826, "ystad"),
    "RONNE": Place(55.100, 14.684, "bornholm west"),
    "NEXO": Place(55.060, 15.140, "bornholm east"),
}

ANCHORAGES: Final = {
    "SKAGEN ROADS": Place(57.750, 10.800, "skaw east"),
    "AALBAEK BAY": Place(57.580, 10.640, "laesoe rende"),
    "COPENHAGEN ANCH": Place(55.750, 12.665, "copenhagen roads"),
    "KALUNDBORG ANCH": Place(55.700, 10.960, "kalundborg fjord"),
    "KIEL ANCH": Place(54.470, 10.250, "kiel lighthouse"),
}

GROUNDS: Final = {
    "horns reef ground": Place(55.850, 7.350, "horns reef"),
    "jammerbugt ground": Place(57.500, 8.700, "jammerbugt"),
    "skaw ground": Place(57.950, 10.400, "skaw"),
    "kattegat ground": Place(57.050, 11.500, "kattegat"),
    "arkona ground": Place(55.000, 13.650, "arkona"),
    "bornholm ground": Place(55.150, 15.500, "bornholm east"),
}
"""Fishing grounds, by their middle."""

PLACES: Final = {**PORTS, **ANCHORAGES, **GROUNDS}

FERRIES: Final = (
    ("HELSINGOR", "HELSINGBORG"),
    ("RODBY", "PUTTGARDEN"),
    ("AARHUS", "KALUNDBORG"),
    ("GEDSER", "ROSTOCK"),
    ("YSTAD", "RONNE"),
    ("FREDERIKSHAVN", "GOTHENBURG"),
)

_STRAIGHT: Final = frozenset(frozenset(FERRIES[number]) for number in (0, 1, 3, 4))
"""Crossings over open water, which leave the lanes aside."""


@njit(cache=True, nogil=True)
def cosine(degrees: float) -> float:
    """Cosine of an angle of up to a right one, by its series to the 14th power: within 1e-9, and the same everywhere.

    The C library's may differ in the last bit from one processor to the next.
    """
    square = (degrees * 0.017453292519943295) ** 2
    total = 1.0
    for n in range(14, 0, -2):
        total = 1.0 - total * square / (n * (n - 1))
    return total


def metres(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Between two points (latitude, longitude) that are near enough for the Earth to be flat."""
    north = b[0] - a[0]
    east = (b[1] - a[1]) * cosine((a[0] + b[0]) / 2)
    return math.sqrt(north * north + east * east) * METRES_PER_DEGREE


@cache
def _neighbours() -> dict[str, list[tuple[str, float]]]:
    near: dict[str, list[tuple[str, float]]] = {name: [] for name in SEA}
    for a, b in LANES:
        length = metres(SEA[a], SEA[b])
        near[a].append((b, length))
        near[b].append((a, length))
    return near


@cache
def lane(start: str, end: str) -> tuple[str, ...]:
    """Waypoints of the shortest way between two of them, both included (Dijkstra). Raises ValueError without one."""
    waiting: list[tuple[float, tuple[str, ...]]] = [(0.0, (start,))]
    done = set()
    while waiting:
        length, way = heapq.heappop(waiting)
        if way[-1] == end:
            return way
        if way[-1] not in done:
            done.add(way[-1])
            for name, step in _neighbours()[way[-1]]:
                heapq.heappush(waiting, (length + step, (*way, name)))
    raise ValueError(f"no lane leads from {start} to {end}")


@cache
def way(here: str, there: str) -> tuple[tuple[float, float], ...]:
    """The waypoints (latitude, longitude) between two of PLACES, without the places themselves."""
    if frozenset((here, there)) in _STRAIGHT:
        return ()
    return tuple(SEA[name] for name in lane(PLACES[here].off, PLACES[there].off))


@cache
def distance(here: str, there: str) -> float:
    """Metres to sail between two of PLACES."""
    points = [PLACES[here][:2], *way(here, there), PLACES[there][:2]]
    total = 0.0
    for a, b in pairwise(points):
        total += metres(a, b)
    return total
