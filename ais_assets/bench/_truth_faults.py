"""Faults of real feeds, planted at settable rates into what simulated vessels truly report.

Every report knows who sent it and which fault it has, so that a rule can be judged by the truth. The built-in faults of
the simulated archives (`simulation`) are left out: what is planted here is all there is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ais_assets.sources.simulated import sent_rows
from ais_assets.sources.simulation.draws import draw, even, key
from ais_assets.sources.simulation.simulation import KNOT, NO_POSITION, Plan, Rows, whereabouts
from ais_assets.sources.simulation.waters import METRES_PER_DEGREE, cosine

MISSING: Final = -(2**15)
"""A SOG or COG that was not received."""

_AIS_STEPS_PER_DEGREE: Final = 600_000
_DRIFT: Final = 30.0
"""Metres that a true fix is off at most, without the swing round an anchor."""
_PAIR_MILES: Final = 5.0
_GRID_SECONDS: Final = 600
_FIRST_MMSI: Final = 219_000_001
_MOST_SOG: Final = 1_022
_FULL_TURN: Final = 3_600
"""Tenths of a knot and of a degree that a message has, at most, and one more."""


@dataclass(frozen=True)
class FaultRates:
    """How often each fault happens; 0: never."""

    near_stray: float = 0.0005
    """Of reports: 250 to 2,500 m off."""
    far_stray: float = 0.0005
    """Of reports: 10 to 1,000 km off."""
    late_stamp: float = 0.0005
    """Of reports under way: stamped when she has sailed on for 100 m and up to a minute more."""
    rebroadcast: float = 0.001
    """Of reports under way: heard again 100 m and up to a minute and a half later, without SOG."""
    bit_flip: float = 0.0002
    """Of reports: one bit of latitude or longitude is wrong, which puts it 190 m to 200 km off."""
    jamming: float = 2.0
    """Half hours a day in which a third of the reports of all ships within 100 km say one and the same place."""
    shared_by_two: float = 0.05
    """Of vessels: pairs, always over 5 nautical miles apart, under one MMSI."""
    shared_by_many: float = 0.0
    """Of vessels: eights, likewise."""
    fast_craft: float = 0.03
    """Of vessels: 2.5 times as fast as they were."""
    outages: float = 2.0
    """Hours a day in which nobody is heard."""

    def only(self, fault: str) -> FaultRates:
        """These rates of one fault, none of the others."""
        return FaultRates(**{name: getattr(self, name) if name == fault else 0.0 for name in FAULTS})


FAULTS: Final = tuple(FaultRates.__dataclass_fields__)
NO_FAULT: Final = -1
HARMLESS: Final = -2
"""What a planted fault came to that is off by less than LEAST_METRES: neither true nor bad."""
LEAST_METRES: Final = 100.0
"""A bad fix is at least so far from where its sender was at its time, between her true reports before and after it:
three times what a true one may be off, and a tenth of what a ship sails in two or three minutes."""


class Reports(NamedTuple):
    """Position reports, (n,) each."""

    t: NDArray[np.int64]
    """Unix time."""
    mmsi: NDArray[np.int32]
    lat: NDArray[np.int32]
    lon: NDArray[np.int32]
    """Micro-degrees."""
    sog: NDArray[np.int16]
    cog: NDArray[np.int16]
    """Tenths of a knot and of a degree; MISSING where not received."""
    sender: NDArray[np.int32]
    """Who truly sent it."""
    fault: NDArray[np.int8]
    """Place in FAULTS where its position is not where the sender was then; NO_FAULT where it is; HARMLESS near by."""

    def take(self, which: NDArray[Any]) -> Reports:
        """These reports only."""
        return Reports._make(column[which] for column in self)


def position_reports(plan: Plan, midnight: int, vessels: int) -> Reports:
    """The true position reports of a day's vessels, none of the archive's faults among them; each under its number.

    Args:
        plan: of the day.
        midnight: its beginning, Unix time.
        vessels: size of the fleet, whose senders come first in the plan.
    """
    parts = []
    for _, rows in sent_rows(plan, midnight):
        true = rows.take((rows.sender < vessels) & _true_rows(plan, rows))
        parts.append(
            Reports(
                true.second,
                (_FIRST_MMSI + true.sender).astype(np.int32),
                ((5 * true.lat.astype(np.int64) + 1) // 3).astype(np.int32),
                ((5 * true.lon.astype(np.int64) + 1) // 3).astype(np.int32),
                np.where((true.sog >= 0) & (true.sog <= _MOST_SOG), true.sog, MISSING).astype(np.int16),
                np.where((true.cog >= 0) & (true.cog < _FULL_TURN), true.cog, MISSING).astype(np.int16),
                true.sender,
                np.full(len(true.second), NO_FAULT, np.int8),
            )
        )
    return Reports._make(np.concatenate(columns) for columns in zip(*parts, strict=True))


@njit(cache=True, nogil=True)
def _true_rows(plan: Plan, rows: Rows) -> NDArray[np.bool_]:
    """Which lines are position reports from where the sender was."""
    true = np.zeros(len(rows.second), np.bool_)
    for row in range(len(rows.second)):
        if rows.lat[row] == NO_POSITION:
            continue
        part = rows.part[row]
        motion = whereabouts(plan, part, int(plan.part_node[part]), float(rows.second[row]))
        north = (rows.lat[row] / _AIS_STEPS_PER_DEGREE - motion.lat) * METRES_PER_DEGREE
        east = (rows.lon[row] / _AIS_STEPS_PER_DEGREE - motion.lon) * METRES_PER_DEGREE * cosine(motion.lat)
        most = _DRIFT + 5 * plan.part_swing[part]
        true[row] = north * north + east * east <= most * most
    return true


def with_faults(reports: Reports, rates: FaultRates, seed: int) -> Reports:
    """The reports with faults planted, by (MMSI, time), one a second: of several in one, a faulty one.

    Args:
        reports: true ones by (sender, time).
        rates: of each fault.
        seed: keys all draws; each fault has a stream of its own.
    """
    for name in ("outages", "fast_craft", "shared_by_two", "shared_by_many"):
        reports = _OF_VESSELS[name](reports, getattr(rates, name), key(seed, FAULTS.index(name)))
    true = reports
    for number, name in enumerate(FAULTS):
        if name in _OF_REPORTS and getattr(rates, name) > 0:
            reports = _OF_REPORTS[name](reports, getattr(rates, name), key(seed, number), number)
    order = np.lexsort((reports.fault == NO_FAULT, reports.t, reports.mmsi))
    reports = reports.take(order)
    again = (np.diff(reports.t, prepend=-1) == 0) & (np.diff(reports.mmsi, prepend=-1) == 0)
    reports = reports.take(~again)
    near = (reports.fault != NO_FAULT) & (metres_from_truth(reports, true) < LEAST_METRES)
    return reports._replace(fault=np.where(near, HARMLESS, reports.fault).astype(np.int8))


def metres_from_truth(reports: Reports, true: Reports) -> NDArray[np.float64]:
    """How far each report is from where its sender was at its time, between her true reports, by (sender, time)."""
    metres = np.empty(len(reports.t))
    for sender in np.unique(reports.sender):
        of, own = reports.sender == sender, true.take(true.sender == sender)
        lat, lon, t = reports.lat[of] / 1e6, reports.lon[of] / 1e6, reports.t[of]
        north = lat - np.interp(t, own.t, own.lat / 1e6)
        east = (lon - np.interp(t, own.t, own.lon / 1e6)) * np.cos(np.radians(lat))
        metres[of] = METRES_PER_DEGREE * np.hypot(north, east)
    return metres


@njit(cache=True, nogil=True)
def _evens(count: int, seed: np.uint64) -> NDArray[np.float64]:
    """So many numbers of 0 … 1 from the stream of a seed."""
    result = np.empty(count)
    for number in range(count):
        result[number] = even(draw(seed, number))
    return result


def _draws(count: int, seed: int, purpose: int) -> NDArray[np.float64]:
    return _evens(count, np.uint64(key(seed, purpose)))


def _chosen(reports: Reports, rate: float, seed: int, *, moving: bool = False) -> NDArray[np.int64]:
    """Rows that a fault falls on; of `moving` ships, those over 2 knots."""
    hit = (_draws(len(reports.t), seed, 0) < rate) & (reports.fault == NO_FAULT)
    if moving:
        hit &= reports.sog > 20
    return np.flatnonzero(hit)


def _moved(reports: Reports, rows: NDArray[np.int64], metres: NDArray[np.float64], seed: int, fault: int) -> Reports:
    """The reports with these rows so far off, each in a direction of its own."""
    angle = 2 * math.pi * _draws(len(rows), seed, 2)
    lat, lon, label = reports.lat.astype(np.int64), reports.lon.astype(np.int64), reports.fault.copy()
    step = METRES_PER_DEGREE / 1e6
    parallel = np.cos(np.radians(lat[rows] / 1e6))
    lat[rows] = np.clip(lat[rows] + np.rint(metres * np.cos(angle) / step), -89_000_000, 89_000_000)
    lon[rows] += np.rint(metres * np.sin(angle) / step / parallel).astype(np.int64)
    label[rows] = fault
    return reports._replace(lat=lat.astype(np.int32), lon=_wrapped(lon), fault=label)


def _wrapped(lon: NDArray[np.int64]) -> NDArray[np.int32]:
    return ((lon + 180_000_000) % 360_000_000 - 180_000_000).astype(np.int32)


def _near_strays(reports: Reports, rate: float, seed: int, fault: int) -> Reports:
    rows = _chosen(reports, rate, seed)
    return _moved(reports, rows, 250 * 10 ** _draws(len(rows), seed, 1), seed, fault)


def _far_strays(reports: Reports, rate: float, seed: int, fault: int) -> Reports:
    rows = _chosen(reports, rate, seed)
    return _moved(reports, rows, 10_000 * 100 ** _draws(len(rows), seed, 1), seed, fault)


def _later(reports: Reports, rows: NDArray[np.int64], seconds: float, seed: int) -> NDArray[np.int64]:
    """Seconds in which the ship of each row sails LEAST_METRES, and up to so many more."""
    speed = reports.sog[rows] / 10 * KNOT
    return np.ceil(LEAST_METRES / speed + seconds * _draws(len(rows), seed, 3)).astype(np.int64)


def _late_stamps(reports: Reports, rate: float, seed: int, fault: int) -> Reports:
    rows = _chosen(reports, rate, seed, moving=True)
    t, label = reports.t.copy(), reports.fault.copy()
    t[rows] += _later(reports, rows, 60, seed)
    label[rows] = fault
    return reports._replace(t=t, fault=label)


def _rebroadcasts(reports: Reports, rate: float, seed: int, fault: int) -> Reports:
    rows = _chosen(reports, rate, seed, moving=True)
    again = reports.take(rows)
    again = again._replace(
        t=again.t + _later(reports, rows, 90, seed),
        sog=np.full(len(rows), MISSING, np.int16),
        fault=np.full(len(rows), fault, np.int8),
    )
    return Reports._make(np.concatenate(pair) for pair in zip(reports, again, strict=True))


def _bit_flips(reports: Reports, rate: float, seed: int, fault: int) -> Reports:
    rows = _chosen(reports, rate, seed)
    # Of the message's ten-thousandths of a minute, the bits from 190 m to 200 km.
    bit = 10 + (11 * _draws(len(rows), seed, 1)).astype(np.int64)
    shift = np.rint(np.left_shift(1, bit) * 1e6 / _AIS_STEPS_PER_DEGREE).astype(np.int64)
    is_lat = _draws(len(rows), seed, 2) < 0.5
    lat, lon, label = reports.lat.astype(np.int64), reports.lon.astype(np.int64), reports.fault.copy()
    lat[rows] += np.where(is_lat, shift, 0)
    lon[rows] += np.where(is_lat, 0, shift)
    label[rows] = fault
    return reports._replace(lat=lat.astype(np.int32), lon=_wrapped(lon), fault=label)


def _jamming(reports: Reports, rate: float, seed: int, fault: int) -> Reports:
    begin, end = int(reports.t.min()), int(reports.t.max())
    count = round(rate * (end - begin) / 86_400)
    luck, which = _draws(4 * count, seed, 1), _draws(len(reports.t), seed, 2) < 1 / 3
    lat, lon, label = reports.lat.copy(), reports.lon.copy(), reports.fault.copy()
    for k in range(count):
        start = begin + luck[4 * k] * (end - begin)
        centre = int(luck[4 * k + 1] * len(reports.t))
        place = lat[centre] + round(400_000 * luck[4 * k + 2]) + 300_000, lon[centre] + 300_000
        north = (reports.lat - reports.lat[centre]) * (METRES_PER_DEGREE / 1e6)
        east = (reports.lon - reports.lon[centre]) * (METRES_PER_DEGREE / 1e6 * 0.57)
        hit = which & (reports.t >= start) & (reports.t < start + 1_800) & (np.hypot(north, east) < 100_000)
        hit &= label == NO_FAULT
        lat[hit], lon[hit], label[hit] = *place, fault
    return reports._replace(lat=lat, lon=lon, fault=label)


def _outages(reports: Reports, rate: float, seed: int) -> Reports:
    begin, end = int(reports.t.min()), int(reports.t.max())
    heard = np.ones(len(reports.t), np.bool_)
    for luck in _draws(round(rate * (end - begin) / 86_400), seed, 1):
        start = begin + luck * (end - begin)
        heard &= (reports.t < start) | (reports.t >= start + 3_600)
    return reports.take(heard)


def _fast_craft(reports: Reports, rate: float, seed: int) -> Reports:
    """Some vessels' voyages in two fifths of the time."""
    senders = np.unique(reports.sender)
    fast = senders[np.argsort(_draws(len(senders), seed, 1))[: math.ceil(rate * len(senders))]]
    of_fast = np.isin(reports.sender, fast)
    begin = int(reports.t.min())
    t = np.where(of_fast, begin + (reports.t - begin) * 2 // 5, reports.t)
    received = reports.sog != MISSING
    sog = np.where(of_fast & received, np.minimum(reports.sog.astype(np.int64) * 5 // 2, 1_022), reports.sog)
    reports = reports._replace(t=t, sog=sog.astype(np.int16))
    again = (np.diff(reports.t, prepend=-1) == 0) & (np.diff(reports.sender, prepend=-1) == 0)
    return reports.take(~again)


def _shared(reports: Reports, rate: float, seed: int, together: int) -> Reports:
    """Some vessels' MMSIs are those of others that are always far from them."""
    senders = np.unique(reports.sender)
    if rate == 0:
        return reports
    places = {int(sender): _places_by_time(reports, int(sender)) for sender in senders}
    mmsi = reports.mmsi.copy()
    of_sender = [mmsi[reports.sender == sender][0] for sender in senders]
    alone = np.array([of_sender.count(number) == 1 for number in of_sender])
    taken = set(senders[~alone].tolist())
    wanted = math.ceil(rate * len(senders) / together)
    for first in senders[np.argsort(_draws(len(senders), seed, 1))].tolist():
        group = [first]
        for other in senders.tolist():
            free = len(group) < together and other not in taken | set(group)
            if free and all(_always_apart(places[other], places[member]) for member in group):
                group.append(other)
        if first in taken or len(group) < together:
            continue
        taken |= set(group)
        for member in group[1:]:
            mmsi[reports.sender == member] = mmsi[reports.sender == first][0]
        wanted -= 1
        if wanted == 0:
            break
    return reports._replace(mmsi=mmsi)


def _places_by_time(reports: Reports, sender: int) -> NDArray[np.float64]:
    """(k, 2): degrees where a sender was at every _GRID_SECONDS, between the times that she was heard."""
    begin, end = int(reports.t.min()), int(reports.t.max())
    own = reports.take(reports.sender == sender)
    times = np.arange(begin, end + _GRID_SECONDS, _GRID_SECONDS)
    return np.stack([np.interp(times, own.t, degrees / 1e6) for degrees in (own.lat, own.lon)], axis=1)


def _always_apart(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Whether two ships are never within twice _PAIR_MILES of each other, at the grid's times: so over it between."""
    north = (a[:, 0] - b[:, 0]) * 60
    east = (a[:, 1] - b[:, 1]) * 60 * np.cos(np.radians(a[:, 0]))
    return bool(np.hypot(north, east).min() > 2 * _PAIR_MILES)


def _shared_by_two(reports: Reports, rate: float, seed: int) -> Reports:
    return _shared(reports, rate, seed, 2)


def _shared_by_many(reports: Reports, rate: float, seed: int) -> Reports:
    return _shared(reports, rate, seed, 8)


_OF_VESSELS: Final[dict[str, Callable[[Reports, float, int], Reports]]] = {
    "outages": _outages,
    "fast_craft": _fast_craft,
    "shared_by_two": _shared_by_two,
    "shared_by_many": _shared_by_many,
}
_OF_REPORTS: Final[dict[str, Callable[[Reports, float, int, int], Reports]]] = {
    "near_stray": _near_strays,
    "far_stray": _far_strays,
    "late_stamp": _late_stamps,
    "rebroadcast": _rebroadcasts,
    "bit_flip": _bit_flips,
    "jamming": _jamming,
}
