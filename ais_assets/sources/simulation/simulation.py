"""How simulated vessels move and report: compiled kernels over a day's plan.

Everything about a report is a function of (the sender's key, the second), so that a day needs no other day. Only
+ - * / and square roots are used, which IEEE 754 makes exact: no two machines differ.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ais_assets.sources.simulation.draws import bell, draw, even
from ais_assets.sources.simulation.waters import METRES_PER_DEGREE, cosine

KNOT: Final = 1852 / 3600
"""Metres a second."""
DAY: Final = 86_400

CLASS_A, CLASS_B, STATION, AIRCRAFT = 0, 1, 2, 3
"""Kinds of transponder, by how often they report."""

UNDER_WAY, AT_ANCHOR, MOORED, FISHING, SAILING, UNDEFINED = 0, 1, 5, 7, 8, 15
"""Codes in `schema.NAV_STATUSES`."""
SWITCHED_OFF: Final = -1
"""The status of one who does not report."""

BLANK: Final = -(2**15)
NO_POSITION: Final = -(2**31)
"""The latitude of a static message."""

STATIC_SECONDS: Final = 360
"""From one static message of a vessel to the next (ITU-R M.1371-5, table 1)."""
SHORTEST_INTERVAL: Final = 1.8
"""Seconds between two reports of one sender, at least: 2 s less 10 %."""

REBROADCAST_SHARE: Final = 0.003
"""Of fixes under way come again under another second, up to REBROADCAST_SECONDS later, as the authority's do."""
REBROADCAST_SECONDS: Final = 95
JUMP_SHARE: Final = 0.0002
"""Of fixes are tens to thousands of kilometres off."""
WRONG_VALUE_SHARE: Final = 0.0002
"""Of fixes have a speed, course or heading that there is none of: 102.3 or 293 kn, 360.0°, heading 456."""
BLANK_SPEED_SHARE: Final = 0.003

_TURNING: Final = 20.0 / 60
"""Degrees a second: heading 5° off its mean of the last 30 s, when class A reports three times as often (M.1371-5)."""
_DRIFT_SECONDS: Final = 60
_DRIFT_METRES: Final = 3.0
"""GPS errors wander, so implied speeds stay those of a ship."""
_SWING_SECONDS: Final = 1800
_CORNER_STEPS: Final = 6
_OFF_LANE_METRES: Final = 6000.0
"""A vessel is on its own side of the lane this far from either end of its way."""
_DEGREES: Final = 57.29577951308232
_AIS_STEPS: Final = 600_000
"""Positions in AIS messages count ten-thousandths of a minute."""


class Plan(NamedTuple):
    """A day: senders (n), what each does in turn (parts), the ways of those under way (nodes).

    Seconds are Unix time; part i sails nodes[part_node[i] : part_node[i + 1]], and one node is a stay.
    """

    key: NDArray[np.uint64]
    kind: NDArray[np.int8]
    interval: NDArray[np.float64]
    """Seconds between reports of a STATION; others follow ITU-R M.1371."""
    reception: NDArray[np.float64]
    """Share of reports that is heard."""
    compass: NDArray[np.bool_]
    first_part: NDArray[np.int64]
    silence: NDArray[np.float64]
    """(k, 2): from when to when nothing of a sender is heard; first_silence bounds each sender's."""
    first_silence: NDArray[np.int64]
    part_start: NDArray[np.float64]
    part_end: NDArray[np.float64]
    part_status: NDArray[np.int8]
    part_ramp: NDArray[np.float64]
    part_swing: NDArray[np.float64]
    part_node: NDArray[np.int64]
    nodes: NDArray[np.float64]
    """(m, 5): latitude, longitude, metres since the start, and the direction there, north and east, of length 1."""


class State(NamedTuple):
    """Where the reporting of each sender has got to; `report` moves it on."""

    next_fix: NDArray[np.float64]
    next_static: NDArray[np.float64]
    part: NDArray[np.int64]
    node: NDArray[np.int64]
    named: NDArray[np.int8]
    """0: no static message yet, 1: a class B's first (name), 2: all static data known."""


class Rows(NamedTuple):
    """Lines of a file before they are text, (n,) each. BLANK: not available."""

    second: NDArray[np.int64]
    """Unix time."""
    sender: NDArray[np.int32]
    lat: NDArray[np.int32]
    """AIS steps, 1/10,000 minute; NO_POSITION: a static message."""
    lon: NDArray[np.int32]
    status: NDArray[np.int8]
    rot: NDArray[np.int16]
    """As in the message: 4.733 √(degrees a minute), signed."""
    sog: NDArray[np.int16]
    """Tenths of a knot."""
    cog: NDArray[np.int16]
    """Tenths of a degree."""
    heading: NDArray[np.int16]
    """Degrees."""
    part: NDArray[np.int32]
    """What the sender was doing, by its number in the plan."""
    named: NDArray[np.int8]
    """As in State."""
    luck: NDArray[np.uint64]
    """Random bits of this line's own."""

    @classmethod
    def room(cls, count: int) -> Rows:
        """Room for so many lines; memory that is not written to is not taken."""
        dtypes = ("i8", "i4", "i4", "i4", "i1", "i2", "i2", "i2", "i2", "i4", "i1", "u8")
        return cls._make(np.empty(count, dtype) for dtype in dtypes)

    def take(self, which: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Rows:
        """These lines only."""
        return Rows._make(column[which] for column in self)


class Helm(NamedTuple):
    """How a vessel is steered along a passage, in metres."""

    starboard: float
    """To the right of the lane's middle."""
    wander: float
    """Random deviation to either side."""
    reach: float
    """Before and after a corner on which it is turned."""
    spacing: float
    """Between two deviations."""


class Motion(NamedTuple):
    """Where a vessel is and how she moves: degrees, metres a second, degrees, degrees a second clockwise."""

    lat: float
    lon: float
    speed: float
    course: float
    turn: float
    node: int
    """The last node of her way that she has passed."""


class Moment(NamedTuple):
    """Who sends, doing what (the number of the part), in which second of Unix time, and the random bits of it."""

    sender: int
    part: int
    second: int
    luck: np.uint64


@njit(cache=True, nogil=True)
def path(points: NDArray[np.float64], seed: np.uint64, helm: Helm) -> NDArray[np.float64]:
    """The way a vessel takes along points (n, 2): to starboard of them, not quite straight, corners rounded.

    Args:
        points: latitude and longitude in degrees, at least two, none equal to the one before; first and last are kept.
        seed: of its random wandering.
        helm: how it is steered.

    Returns:
        Nodes (m, 5) as in Plan.
    """
    lengths = np.empty(len(points) - 1)
    corners = 1
    total = 0.0
    for k in range(len(lengths)):
        lengths[k] = _metres(points[k], points[k + 1])
        total += lengths[k]
        corners += max(1, int(lengths[k] / helm.spacing))
    line = np.empty((corners, 2))
    line[0] = points[0]
    at = 1
    done = 0.0
    for k in range(len(lengths)):
        pieces = max(1, int(lengths[k] / helm.spacing))
        narrow = cosine((points[k, 0] + points[k + 1, 0]) / 2)
        north = (points[k + 1, 0] - points[k, 0]) * METRES_PER_DEGREE / lengths[k]
        east = (points[k + 1, 1] - points[k, 1]) * narrow * METRES_PER_DEGREE / lengths[k]
        for piece in range(1, pieces + 1):
            share = piece / pieces
            here = done + share * lengths[k]
            taper = max(0.0, min(1.0, min(here, total - here) / _OFF_LANE_METRES))
            right = taper * (helm.starboard + helm.wander * bell(draw(seed, at))) / METRES_PER_DEGREE
            line[at, 0] = points[k, 0] + share * (points[k + 1, 0] - points[k, 0]) - right * east
            line[at, 1] = points[k, 1] + share * (points[k + 1, 1] - points[k, 1]) + right * north / narrow
            at += 1
        done += lengths[k]
    line[corners - 1] = points[-1]
    return _with_directions(_rounded(line, helm.reach))


@njit(cache=True, nogil=True)
def _metres(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    north = b[0] - a[0]
    east = (b[1] - a[1]) * cosine((a[0] + b[0]) / 2)
    return np.sqrt(north * north + east * east) * METRES_PER_DEGREE


@njit(cache=True, nogil=True)
def _rounded(line: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """Each corner replaced by a quadratic Bézier curve that begins and ends on the sides it joins."""
    out = np.empty((2 + (len(line) - 2) * (_CORNER_STEPS + 1), 2))
    out[0] = line[0]
    at = 1
    for k in range(1, len(line) - 1):
        before = min(0.45, reach / _metres(line[k - 1], line[k]))
        after = min(0.45, reach / _metres(line[k], line[k + 1]))
        enter = line[k] + (line[k - 1] - line[k]) * before
        leave = line[k] + (line[k + 1] - line[k]) * after
        for step in range(_CORNER_STEPS + 1):
            u = step / _CORNER_STEPS
            out[at] = (1 - u) * (1 - u) * enter + 2 * u * (1 - u) * line[k] + u * u * leave
            at += 1
    out[at] = line[-1]
    return out


@njit(cache=True, nogil=True)
def _with_directions(line: NDArray[np.float64]) -> NDArray[np.float64]:
    """Nodes: a node's direction is the mean of its two sides', so the course along the way has no steps."""
    count = len(line)
    nodes = np.zeros((count, 5))
    nodes[:, :2] = line
    for k in range(count - 1):
        length = _metres(line[k], line[k + 1])
        north = (line[k + 1, 0] - line[k, 0]) * METRES_PER_DEGREE / length
        east = (line[k + 1, 1] - line[k, 1]) * cosine((line[k, 0] + line[k + 1, 0]) / 2) * METRES_PER_DEGREE / length
        nodes[k + 1, 2] = nodes[k, 2] + length
        for end in (k, k + 1):
            nodes[end, 3] += north
            nodes[end, 4] += east
    for k in range(count):
        size = np.sqrt(nodes[k, 3] ** 2 + nodes[k, 4] ** 2)
        nodes[k, 3] /= size
        nodes[k, 4] /= size
    return nodes


@njit(cache=True, nogil=True)
def course(north: float, east: float) -> float:
    """Degrees clockwise from north, 0 … 360; the arc tangent by Abramowitz and Stegun 4.4.49, within 2e-6 degrees."""
    if north == 0.0 and east == 0.0:
        return 0.0
    small, large = min(abs(north), abs(east)), max(abs(north), abs(east))
    x = small / large
    s = x * x
    angle = 0.0028662257
    for factor in (
        -0.0161657367,
        0.0429096138,
        -0.0752896400,
        0.1065626393,
        -0.1420889944,
        0.1999355085,
        -0.3333314528,
    ):
        angle = angle * s + factor
    angle = (angle * s + 1.0) * x * _DEGREES
    if abs(east) > abs(north):
        angle = 90.0 - angle
    if north < 0:
        angle = 180.0 - angle
    if east < 0:
        angle = 360.0 - angle
    return angle if angle < 360.0 else 0.0


@njit(cache=True, nogil=True)
def whereabouts(plan: Plan, part: int, node: int, t: float) -> Motion:
    """Where the vessel of a part is at a second of it.

    The speed rises and falls evenly over part_ramp seconds at either end. `node` is where to begin looking: a node
    of the part that the vessel has passed.
    """
    first, end = plan.part_node[part], plan.part_node[part + 1]
    if end - first == 1:
        return Motion(plan.nodes[first, 0], plan.nodes[first, 1], 0.0, 0.0, 0.0, first)
    length, ramp = plan.nodes[end - 1, 2], plan.part_ramp[part]
    span = plan.part_end[part] - plan.part_start[part]
    top = length / (span - ramp)
    since = min(max(t - plan.part_start[part], 0.0), span)
    if since < ramp:
        metres, speed = top * since * since / (2 * ramp), top * since / ramp
    elif span - since < ramp:
        left = span - since
        metres, speed = length - top * left * left / (2 * ramp), top * left / ramp
    else:
        metres, speed = top * (since - ramp / 2), top
    while node < end - 2 and plan.nodes[node + 1, 2] <= metres:
        node += 1
    a, b = plan.nodes[node], plan.nodes[node + 1]
    share = min(1.0, (metres - a[2]) / (b[2] - a[2]))
    direction = course(a[3] + share * (b[3] - a[3]), a[4] + share * (b[4] - a[4]))
    # Of two directions of length 1, the cross product is the sine of the angle between them, and that about the angle.
    turn = (a[3] * b[4] - a[4] * b[3]) * _DEGREES / (b[2] - a[2]) * speed
    return Motion(a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]), speed, direction, turn, node)


@njit(cache=True, nogil=True)
def reporting_interval(kind: int, status: int, knots: float, turning: bool) -> float:
    """Seconds between a vessel's position reports (ITU-R M.1371-5, tables 1 and 2)."""
    if kind == AIRCRAFT:
        return 10.0
    if kind == CLASS_B:
        return 30.0 if knots > 2 else 180.0
    if status in (AT_ANCHOR, MOORED, SWITCHED_OFF) and knots <= 3:
        return 180.0
    if knots <= 14:
        return 10 / 3 if turning else 10.0
    if knots <= 23:
        return 2.0 if turning else 6.0
    return 2.0


@njit(cache=True, nogil=True)
def report(plan: Plan, state: State, until: float, out: Rows) -> int:
    """Writes what is heard of every sender from its state on to second `until`; returns how many lines.

    Needs room for what most_lines says.
    """
    count = 0
    for sender in range(len(plan.key)):
        t, part, node = state.next_fix[sender], state.part[sender], state.node[sender]
        kind = plan.kind[sender]
        while t < until:
            while t >= plan.part_end[part] and part + 1 < plan.first_part[sender + 1]:
                part += 1
                node = plan.part_node[part]
            second = int(t)
            # Lines of one second come in any order: what is learnt in it is known from the next on.
            count = _report_static(plan, state, (sender, part, float(second)), out, count)
            now = Moment(sender, part, second, draw(plan.key[sender], second))
            motion = whereabouts(plan, part, node, float(second))
            node = motion.node
            if _heard(plan, now):
                _put_fix(plan, out, count, now, motion)
                out.named[count] = state.named[sender]
                count += 1
                # Not while static data are to come: the later line would have to have what arrived in between.
                settled = kind == AIRCRAFT or state.named[sender] == 2
                if settled and motion.speed > 2 * KNOT and even(draw(now.luck, 1)) < REBROADCAST_SHARE:
                    _repeat_later(out, count, 1 + int(even(draw(now.luck, 2)) * REBROADCAST_SECONDS))
                    count += 1
            if kind == STATION:
                t += plan.interval[sender]
            else:
                turning = abs(motion.turn) > _TURNING
                steady = reporting_interval(kind, plan.part_status[part], motion.speed / KNOT, turning)
                t += steady * (0.9 + 0.2 * even(draw(now.luck, 3)))
        count = _report_static(plan, state, (sender, part, until), out, count)
        state.next_fix[sender], state.part[sender], state.node[sender] = t, part, node
    return count


def most_lines(plan: Plan, seconds: float) -> int:
    """Lines that `report` may write for so many seconds: a fix and its rebroadcast at every interval, and statics."""
    return len(plan.key) * int(2 * (seconds / SHORTEST_INTERVAL + 2) + seconds / STATIC_SECONDS + 2)


@njit(cache=True, nogil=True)
def _heard(plan: Plan, now: Moment) -> bool:
    if plan.part_status[now.part] == SWITCHED_OFF or even(draw(now.luck, 0)) >= plan.reception[now.sender]:
        return False
    for k in range(plan.first_silence[now.sender], plan.first_silence[now.sender + 1]):
        if plan.silence[k, 0] <= now.second < plan.silence[k, 1]:
            return False
    return True


@njit(cache=True, nogil=True)
def _report_static(plan: Plan, state: State, until: tuple[int, int, float], out: Rows, count: int) -> int:
    """Static messages of a sender in a part due before a second: a line each; every later line of the day has them."""
    sender, part, end = until
    while state.next_static[sender] < end:
        second = int(state.next_static[sender])
        now = Moment(sender, part, second, draw(~plan.key[sender], second))
        if _heard(plan, now):
            whole = state.named[sender] == 1 or plan.kind[sender] == CLASS_A
            state.named[sender] = max(state.named[sender], 2 if whole else 1)
            _begin(out, count, now, UNDEFINED)
            out.lat[count], out.lon[count], out.named[count] = NO_POSITION, 0, state.named[sender]
            count += 1
        state.next_static[sender] += STATIC_SECONDS
    return count


@njit(cache=True, nogil=True)
def _begin(out: Rows, row: int, now: Moment, status: int) -> None:
    """A line with nothing but its sender, time and status."""
    out.second[row], out.sender[row], out.part[row], out.luck[row] = now.second, now.sender, now.part, now.luck
    out.rot[row] = out.sog[row] = out.cog[row] = out.heading[row] = BLANK
    out.status[row] = status


@njit(cache=True, nogil=True)
def _repeat_later(out: Rows, row: int, seconds: int) -> None:
    """Writes the line before this one again, under a later second."""
    for column in (out.sender, out.lat, out.lon, out.part):
        column[row] = column[row - 1]
    for column in (out.rot, out.sog, out.cog, out.heading):
        column[row] = column[row - 1]
    for column in (out.status, out.named):
        column[row] = column[row - 1]
    out.second[row] = out.second[row - 1] + seconds
    out.luck[row] = draw(out.luck[row - 1], 4)


@njit(cache=True, nogil=True)
def _put_fix(plan: Plan, out: Rows, row: int, now: Moment, motion: Motion) -> None:
    """Writes a position report as the vessel's instruments have it, some of them wrong."""
    kind, key, luck = plan.kind[now.sender], plan.key[now.sender], now.luck
    _begin(out, row, now, plan.part_status[now.part] if kind == CLASS_A else UNDEFINED)
    if kind == STATION:
        _put_position(out, row, motion.lat, motion.lon)
        return
    north = _DRIFT_METRES * _wandering(key, 5, now.second, _DRIFT_SECONDS)
    east = _DRIFT_METRES * _wandering(key, 6, now.second, _DRIFT_SECONDS)
    swing = plan.part_swing[now.part]
    if swing > 0:
        # The swing round the anchor grows from nothing and ends at nothing: the ways to and from it meet the anchor.
        since = min(now.second - plan.part_start[now.part], plan.part_end[now.part] - now.second)
        swing *= max(0.0, min(1.0, since / _SWING_SECONDS))
        north += swing * _wandering(key, 7, now.second, _SWING_SECONDS)
        east += swing * _wandering(key, 8, now.second, _SWING_SECONDS)
    lat = motion.lat + north / METRES_PER_DEGREE
    lon = motion.lon + east / METRES_PER_DEGREE / cosine(lat)
    if even(draw(luck, 10)) < JUMP_SHARE:
        lat, lon = _jumped(lat, lon, luck)
    _put_position(out, row, lat, lon)
    _put_motion(plan, out, row, motion)
    if even(draw(luck, 15)) < WRONG_VALUE_SHARE:
        _put_wrong_value(out, row, draw(luck, 16))


@njit(cache=True, nogil=True)
def _put_position(out: Rows, row: int, lat: float, lon: float) -> None:
    out.lat[row] = int(np.floor(lat * _AIS_STEPS + 0.5))
    out.lon[row] = int(np.floor(lon * _AIS_STEPS + 0.5))


@njit(cache=True, nogil=True)
def _put_motion(plan: Plan, out: Rows, row: int, motion: Motion) -> None:
    """Speed, course, heading and rate of turn, blank where this vessel, or this message, has none."""
    sender, part, luck = out.sender[row], out.part[row], out.luck[row]
    knots = motion.speed / KNOT
    moored = draw(np.uint64(plan.key[sender]), -int(plan.part_start[part]))
    slow = 1 / max(knots, 0.2)
    if knots > 0.5:
        over_ground = motion.course + bell(draw(luck, 17)) * (0.4 + 4 * slow)
        ahead = motion.course + 4 * bell(moored) * min(1.0, 4 * slow)
    else:
        ahead = 360 * even(moored)
        over_ground = 360 * even(draw(luck, 18))
    if plan.kind[sender] == AIRCRAFT:
        out.sog[row] = 10 * int(knots + 0.5)
    elif even(draw(luck, 19)) >= BLANK_SPEED_SHARE:
        spread = 0.8 if knots > 0.5 else 0.3
        out.sog[row] = max(0, int(np.floor(knots * 10 + spread * bell(draw(luck, 20)) + 0.5)))
    # Some sets have no course to give at rest; others make one up from the drift of their fixes.
    if knots > 0.5 or even(draw(moored, 1)) < 0.6:
        out.cog[row] = int(np.floor(over_ground * 10 + 0.5)) % 3600
    if plan.compass[sender]:
        out.heading[row] = int(np.floor(ahead + 0.5)) % 360
        if plan.kind[sender] == CLASS_A:
            rate = min(126.0, 4.733 * np.sqrt(abs(motion.turn) * 60))
            out.rot[row] = int(rate + 0.5) if motion.turn > 0 else -int(rate + 0.5)


@njit(cache=True, nogil=True)
def _wandering(key: np.uint64, salt: int, second: int, step: int) -> float:
    """A value that wanders about 0 by some 1: random at every `step` seconds, even in between."""
    seed = draw(key, -1000 - salt)
    k = second // step
    share = (second - k * step) / step
    return (1 - share) * bell(draw(seed, k)) + share * bell(draw(seed, k + 1))


@njit(cache=True, nogil=True)
def _jumped(lat: float, lon: float, luck: np.uint64) -> tuple[float, float]:
    """Tens to thousands of kilometres away, in any direction."""
    metres = 20_000.0 * (1 + even(draw(luck, 11)))
    for _ in range(int(even(draw(luck, 12)) * 7)):
        metres *= 2
    north, east = bell(draw(luck, 13)), bell(draw(luck, 14))
    size = max(0.01, np.sqrt(north * north + east * east))
    lat = min(85.0, max(-85.0, lat + north / size * metres / METRES_PER_DEGREE))
    lon += east / size * metres / METRES_PER_DEGREE / cosine(lat)
    return lat, (lon + 180.0) % 360.0 - 180.0


@njit(cache=True, nogil=True)
def _put_wrong_value(out: Rows, row: int, luck: np.uint64) -> None:
    which = int(even(luck) * 4)
    if which == 0:
        out.sog[row] = 1023
    elif which == 1:
        out.sog[row] = 2930
    elif which == 2:
        out.cog[row] = 3600
    else:
        out.heading[row] = 456
