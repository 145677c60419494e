"""The simulated feed: the same rows for the same seed, ships that move as ships do, and the real feed's faults."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import math
import zipfile
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ais_assets.schema import MAX_GAP_SECONDS
from ais_assets.sources import simulated
from ais_assets.sources.simulated import HEADER, Fleet, SimulatedSource
from ais_assets.sources.simulation import fleet
from ais_assets.sources.simulation.draws import Draws, draw
from ais_assets.sources.simulation.fleet import WEEK, ship, silences, stations, voyage
from ais_assets.sources.simulation.simulation import (
    CLASS_A,
    CLASS_B,
    DAY,
    KNOT,
    MOORED,
    REBROADCAST_SECONDS,
    UNDER_WAY,
    course,
    reporting_interval,
    whereabouts,
)
from ais_assets.sources.simulation.waters import METRES_PER_DEGREE, PLACES, cosine, distance, lane
from ais_assets.sources.source import SourceError

SEED = 17
VESSELS = 40
FIRST = date(2024, 3, 1)
SECOND = date(2024, 3, 2)
SHARED = {str(ship(SEED, number).mmsi) for number in range(9, VESSELS, fleet.TWINS)}
MIDNIGHT = int(datetime(2024, 3, 2, tzinfo=UTC).timestamp())
MOMENTS = st.integers(MIDNIGHT - 2 * WEEK, MIDNIGHT + 50 * WEEK)
ROWS_OF_20_VESSELS = "301d7d55c6869ff43410138f22d7df5bfbe2af6a2ba0614a74c10af878dc44a9"
NUMBERS = st.integers(0, 400)


class Line(NamedTuple):
    """One row of the CSV."""

    timestamp: str
    mobile: str
    mmsi: str
    lat: str
    lon: str
    status: str
    rot: str
    sog: str
    cog: str
    heading: str
    imo: str
    callsign: str
    name: str
    ship_type: str
    cargo: str
    width: str
    length: str
    device: str
    draught: str
    destination: str
    eta: str
    source: str
    a: str
    b: str
    c: str
    d: str

    @property
    def second(self) -> int:
        """Since midnight."""
        hours, minutes, seconds = self.timestamp[11:].split(":")
        return int(hours) * 3600 + int(minutes) * 60 + int(seconds)

    @property
    def moves(self) -> bool:
        """Under way, by her own account."""
        return self.sog != "" and 2 < float(self.sog) < 50


def landed(into: Path, day: date, *, seed: int = SEED, vessels: int = VESSELS) -> Path:
    """The archive of a day, by a source of its own."""
    into.mkdir(exist_ok=True)
    (archive,) = SimulatedSource(vessels=vessels, seed=seed, first_day=FIRST, max_bytes=10**9).land(day, into)
    assert archive.path.name == f"aisdk-{day}.zip"
    return archive.path


def text_of(path: Path) -> str:
    """The one member of an archive, its checksum verified."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [path.with_suffix(".csv").name]
        return archive.read(archive.namelist()[0]).decode("ascii")


def lines_of(path: Path) -> list[Line]:
    """The rows of an archive, as any CSV reader sees them."""
    header, *rows = csv.reader(io.StringIO(text_of(path)))
    assert header == HEADER.split(",")
    return [Line(*row) for row in rows]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return landed(tmp_path_factory.mktemp("feed"), SECOND)


@pytest.fixture(scope="module")
def lines(archive: Path) -> list[Line]:
    return lines_of(archive)


@pytest.fixture(scope="module")
def single(lines: list[Line]) -> list[Line]:
    """Every line once."""
    return list(dict.fromkeys(lines))


@pytest.fixture(scope="module")
def fixes(single: list[Line]) -> dict[str, list[Line]]:
    """Position reports of vessels that have an MMSI to themselves, by MMSI."""
    by_vessel = defaultdict(list)
    for line in single:
        if line.mobile in ("Class A", "Class B") and int(line.mmsi) not in fleet.BAD_MMSIS and line.lat != "91":
            by_vessel[line.mmsi].append(line)
    return {mmsi: its for mmsi, its in by_vessel.items() if mmsi not in SHARED}


# What is promised of the file


def test_the_same_seed_gives_the_same_bytes_in_any_order_of_days(tmp_path: Path) -> None:
    forward = [landed(tmp_path / "a", day, vessels=6) for day in (FIRST, SECOND)]
    backward = [landed(tmp_path / "b", day, vessels=6) for day in (SECOND, FIRST)][::-1]
    digests = [[hashlib.sha256(path.read_bytes()).digest() for path in paths] for paths in (forward, backward)]
    assert digests[0] == digests[1]
    assert digests[0][0] != digests[0][1]
    assert text_of(landed(tmp_path / "c", FIRST, vessels=6, seed=18)) != text_of(forward[0])


def test_every_machine_writes_these_rows(tmp_path: Path) -> None:
    # A change of the simulation changes this sum, and with it every lake that was made from the same seed.
    text = text_of(landed(tmp_path, FIRST, vessels=20))
    assert hashlib.sha256(text.encode()).hexdigest() == ROWS_OF_20_VESSELS


def test_rows_do_not_depend_on_how_much_is_simulated_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = text_of(landed(tmp_path / "a", FIRST, vessels=6))
    monkeypatch.setattr(simulated, "_SLICE_SECONDS", 7200)
    assert text_of(landed(tmp_path / "b", FIRST, vessels=6)) == usual


def test_a_vessel_reports_the_same_in_a_larger_fleet(tmp_path: Path) -> None:
    small, large = (lines_of(landed(tmp_path / str(size), FIRST, vessels=size)) for size in (3, 6))
    for number in range(3):
        mmsi = str(ship(SEED, number).mmsi)
        own = [[line for line in lines if line.mmsi == mmsi] for lines in (small, large)]
        assert Counter(own[0]) == Counter(own[1])


def test_days_before_the_first_were_never_published(tmp_path: Path) -> None:
    source = SimulatedSource(vessels=2, seed=SEED, first_day=FIRST, max_bytes=10**9)
    assert source.land(FIRST - timedelta(days=1), tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("vessels", "seed", "named"), [(0, 1, "AIS_SIMULATED_VESSELS"), (1, -1, "AIS_SEED")])
def test_a_fleet_that_cannot_be_is_refused(vessels: int, seed: int, named: str) -> None:
    with pytest.raises(SourceError, match=named):
        SimulatedSource(vessels=vessels, seed=seed, first_day=FIRST, max_bytes=10**9)


def test_its_own_reader_rejects_no_row(archive: Path, lines: list[Line]) -> None:
    stream = SimulatedSource(VESSELS, SEED, FIRST, 10**9).read(archive, SECOND)
    rows = sum(table.num_rows for table in stream.tables)
    stream.ledger.balance("raw_records")
    assert stream.ledger.rows_in == rows == len(lines)
    assert stream.ledger.rows_dropped == 0


def test_lines_are_in_time_order_within_the_day(lines: list[Line]) -> None:
    assert {line.timestamp[:10] for line in lines} == {"02/03/2024"}
    clocks = [line.timestamp for line in lines]
    assert clocks == sorted(clocks)


def test_numbers_are_printed_as_the_authority_prints_them(single: list[Line]) -> None:
    for line in single:
        for number in (line.lat, line.lon, line.rot, line.sog, line.cog, line.heading):
            assert "." not in number or not number.endswith(("0", ".")), line
        for degrees in (line.lat, line.lon) if line.lat != "91" else ():
            steps = float(degrees) * 600_000
            assert abs(steps - round(steps)) < 0.4, "a ten-thousandth of a minute, to six decimals"
        assert len(line.sog.partition(".")[2]) <= 1
        assert len(line.cog.partition(".")[2]) <= 1
        assert line.heading == "" or line.heading.isdecimal()


# The real feed's faults


def test_nearly_half_of_the_lines_are_repeats(lines: list[Line], single: list[Line]) -> None:
    assert 0.40 < 1 - len(single) / len(lines) < 0.50
    assert 5 < max(Counter(lines).values()) <= len(simulated.COPIES)


def test_some_moving_fixes_come_again_under_a_later_second(fixes: dict[str, list[Line]]) -> None:
    delays = []
    for own in fixes.values():
        seen: dict[tuple[str, ...], int] = {}
        for line in own:
            what = (line.lat, line.lon, line.sog, line.cog, line.heading)
            if line.moves and what in seen:
                delays.append(line.second - seen[what])
            seen.setdefault(what, line.second)
    total = sum(line.moves for own in fixes.values() for line in own)
    assert 0.001 < len(delays) / total < 0.005
    assert min(delays) > 0
    assert 60 < max(delays) <= REBROADCAST_SECONDS


def test_static_data_are_blank_until_a_vessels_first_static_message(single: list[Line]) -> None:
    known: Counter[str] = Counter()
    blank = filled = 0
    for line in single:
        if line.mobile not in ("Class A", "Class B") or line.mmsi in SHARED or int(line.mmsi) in fleet.BAD_MMSIS:
            continue
        # The two parts of a class B's static message: her name, then the rest.
        known[line.mmsi] += line.lat == "91"
        if line.mobile == "Class A" and known[line.mmsi] == 0:
            assert (line.name, line.ship_type, line.callsign) == ("", "Undefined", "Unknown")
            blank += 1
        elif line.mobile == "Class B" and known[line.mmsi] == 1 and line.name:
            assert line.ship_type == "Undefined"
        elif known[line.mmsi] > 2:
            assert line.name
            assert line.length.isdecimal()
            filled += 1
    assert blank > 100
    assert filled > 10_000


def test_static_messages_have_no_position(single: list[Line]) -> None:
    static = [line for line in single if line.lat == "91"]
    assert {(line.lon, line.rot, line.sog, line.cog, line.heading) for line in static} == {("0", "", "", "", "")}
    assert {line.mobile for line in static} == {"Class A", "Class B"}


def test_all_kinds_of_senders_report(single: list[Line]) -> None:
    senders = defaultdict(set)
    for line in single:
        senders[line.mobile].add(line.mmsi)
    assert set(senders) == {"Class A", "Class B", "Base Station", "AtoN", "SAR Airborne"}
    assert {len(mmsi) for mmsi in senders["Base Station"]} == {7}
    assert {mmsi[:2] for mmsi in senders["AtoN"]} == {"99", "21"}
    assert senders["SAR Airborne"] == {"111219501"}
    bad = {str(mmsi) for mmsi in fleet.BAD_MMSIS}
    vessels = (senders["Class A"] | senders["Class B"]) - bad
    assert bad < senders["Class A"]
    assert all(len(mmsi) == 9 and 201 <= int(mmsi[:3]) <= 775 for mmsi in vessels)
    assert {"Cargo", "Tanker", "Passenger", "Fishing", "Tug", "Pilot", "Sailing", "Pleasure", "Undefined"} == {
        line.ship_type for line in single
    }


def test_names_with_quotes_and_commas_are_quoted(archive: Path, single: list[Line]) -> None:
    assert {'DANPILOT."SPICA"', "DEEP 8,1"} < {line.name for line in single}
    assert ',"DANPILOT.""SPICA""",' in text_of(archive)


def test_two_vessels_share_an_mmsi_far_apart(single: list[Line]) -> None:
    twins = ship(SEED, 8), ship(SEED, 9)
    assert twins[0].mmsi == twins[1].mmsi
    assert len({ship(SEED, number).mmsi for number in range(40)}) == 39
    own = [line for line in single if line.mmsi == str(twins[0].mmsi) and line.lat != "91"]
    west = [float(line.lon) < 12 for line in own]
    assert sum(a != b for a, b in itertools.pairwise(west)) > 100, "a track of both would zig-zag"


def test_single_fixes_jump_and_some_values_are_none_of_a_ships(fixes: dict[str, list[Line]]) -> None:
    jumps = []
    for own in fixes.values():
        for a, b, c in zip(own, own[1:], own[2:], strict=False):
            if c.second - a.second < 600 and apart(a, c) < 10_000 and min(apart(a, b), apart(b, c)) > 15_000:
                jumps.append(apart(a, b))
    everything = [line for own in fixes.values() for line in own]
    assert 0.00005 < len(jumps) / len(everything) < 0.0005
    assert min(jumps) < 100_000
    assert max(jumps) > 1_000_000
    assert {"102.3", "293"} < {line.sog for line in everything}
    assert "360" in {line.cog for line in everything}
    assert "456" in {line.heading for line in everything}
    assert "1022" in {line.length for line in everything}


def test_speed_and_course_are_blank_now_and_then(fixes: dict[str, list[Line]]) -> None:
    class_a = [line for own in fixes.values() for line in own if line.mobile == "Class A"]
    assert 0.001 < sum(line.sog == "" for line in class_a) / len(class_a) < 0.01
    moored = [line for line in class_a if line.status == "Moored"]
    assert 0.1 < sum(line.cog == "" for line in moored) / len(moored) < 0.9
    assert all(line.cog for line in class_a if line.moves)


def test_a_day_has_the_rows_that_training_needs(lines: list[Line], fixes: dict[str, list[Line]]) -> None:
    assert 5_500 < len(lines) / VESSELS < 9_000
    assert sum(len(own) > 2_000 for own in fixes.values()) > VESSELS / 3


def test_vessels_fall_silent_for_minutes_hours_and_days() -> None:
    lengths = []
    for number in range(60):
        days = [silences(SEED, ship(SEED, number), MIDNIGHT + k * DAY) for k in range(14)]
        lengths += [gap.end - gap.start for gap in {gap for day in days for gap in day}]
    assert sum(length < 3600 for length in lengths) > 100
    assert sum(MAX_GAP_SECONDS < length < DAY / 2 for length in lengths) > 10
    assert sum(length > DAY for length in lengths) > 3


# How vessels move


def apart(a: Line, b: Line) -> float:
    """Metres between two fixes on the great circle (haversine)."""
    lat = [math.radians(float(line.lat)) for line in (a, b)]
    lon = [math.radians(float(line.lon)) for line in (a, b)]
    h = math.sin((lat[1] - lat[0]) / 2) ** 2
    h += math.cos(lat[0]) * math.cos(lat[1]) * math.sin((lon[1] - lon[0]) / 2) ** 2
    return 2 * 6_371_000 * math.asin(math.sqrt(h))


def test_fixes_imply_the_speeds_and_courses_that_they_report(fixes: dict[str, list[Line]]) -> None:
    for own in fixes.values():
        pairs = [(a, b) for a, b in itertools.pairwise(own) if 2 <= b.second - a.second <= 60]
        implied = np.array([apart(a, b) / (b.second - a.second) / KNOT for a, b in pairs])
        reported = np.array([float(b.sog or "nan") for _, b in pairs])
        # The rest are the jumps and the rebroadcasts.
        assert len(pairs) < 100 or np.mean(np.abs(implied - reported) < 1.0) > 0.97
        assert len(pairs) < 100 or np.quantile(implied, 0.97) < 25


def position(seed: int, number: int, t: int) -> tuple[float, float, float, float, float]:
    """Latitude, longitude, metres a second, course and turn of a vessel by the plan of the second's own day."""
    midnight = t // DAY * DAY
    vessel = ship(seed, number)
    plan = Fleet(midnight, [vessel], [voyage(seed, vessel, midnight, midnight + DAY)], []).plan(seed)
    part = int(np.searchsorted(plan.part_start, t, side="right")) - 1
    motion = whereabouts(plan, part, int(plan.part_node[part]), float(t))
    return motion.lat, motion.lon, motion.speed, motion.course, motion.turn


@settings(deadline=None, max_examples=60)
@given(NUMBERS, MOMENTS, st.booleans())
def test_a_second_takes_a_vessel_as_far_as_her_speed_also_over_midnight(number: int, t: int, midnight: bool) -> None:
    t = t // DAY * DAY - 1 if midnight else t
    lat, lon, speed, _, _ = position(SEED, number, t)
    next_lat, next_lon, next_speed, _, _ = position(SEED, number, t + 1)
    north, east = next_lat - lat, (next_lon - lon) * cosine(lat)
    assert math.hypot(north, east) * METRES_PER_DEGREE == pytest.approx((speed + next_speed) / 2, abs=0.05, rel=0.01)
    assert abs(next_speed - speed) < 0.3, "no vessel leaps into motion"
    assert speed < 24 * KNOT


@settings(deadline=None, max_examples=60)
@given(NUMBERS, MOMENTS)
def test_vessels_turn_gradually(number: int, t: int) -> None:
    _, _, speed, before, turn = position(SEED, number, t)
    _, _, _, after, _ = position(SEED, number, t + 1)
    if speed > KNOT:
        assert abs((after - before + 180) % 360 - 180) < 4
        assert abs(turn) < 4


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**63 - 1), NUMBERS, MOMENTS, st.integers(1, 3 * WEEK))
def test_voyages_have_no_holes(seed: int, number: int, begin: int, length: int) -> None:
    parts = voyage(seed, ship(seed, number), begin, begin + length)
    assert parts[0].start <= begin
    assert parts[-1].end >= begin + length
    for a, b in itertools.pairwise(parts):
        assert a.start < a.end == b.start
        assert a.points[-1] == b.points[0]


@settings(deadline=None, max_examples=40)
@given(NUMBERS, MOMENTS)
def test_a_days_voyage_is_a_part_of_the_months(number: int, begin: int) -> None:
    vessel = ship(SEED, number)
    month = voyage(SEED, vessel, begin - 2 * WEEK, begin + 2 * WEEK)
    day = voyage(SEED, vessel, begin, begin + DAY)
    assert day == [part for part in month if part.start < begin + DAY and begin < part.end]


def test_every_place_is_reached_from_every_other() -> None:
    for here, there in itertools.permutations(PLACES, 2):
        assert 1_000 < distance(here, there) < 1_200_000
    assert lane("skaw", "skaw") == ("skaw",)
    assert lane("drogden", "elsinore") == ("drogden", "copenhagen roads", "ven west", "elsinore")


@pytest.mark.parametrize(
    ("kind", "status", "knots", "turning", "seconds"),
    [
        (CLASS_A, MOORED, 0.1, False, 180),
        (CLASS_A, UNDER_WAY, 0.0, False, 10),
        (CLASS_A, UNDER_WAY, 14.0, False, 10),
        (CLASS_A, UNDER_WAY, 14.0, True, 10 / 3),
        (CLASS_A, UNDER_WAY, 20.0, False, 6),
        (CLASS_A, UNDER_WAY, 20.0, True, 2),
        (CLASS_A, UNDER_WAY, 23.1, False, 2),
        (CLASS_B, UNDER_WAY, 2.0, False, 180),
        (CLASS_B, UNDER_WAY, 2.1, False, 30),
    ],
)
def test_reporting_intervals_are_those_of_m_1371(
    kind: int, status: int, knots: float, turning: bool, seconds: float
) -> None:
    assert reporting_interval(kind, status, knots, turning) == seconds


def test_stations_have_an_mmsi_each() -> None:
    for vessels in (1, 60, 5000):
        mmsis = [station.mmsi for station in stations(vessels)]
        assert len(set(mmsis)) == len(mmsis)


@settings(deadline=None)
@given(NUMBERS)
def test_imo_numbers_pass_their_check_digit(number: int) -> None:
    imo = ship(SEED, number).imo
    if imo is not None:
        digits = [int(digit) for digit in str(imo)]
        assert sum(digit * weight for digit, weight in zip(digits, range(7, 1, -1), strict=False)) % 10 == digits[6]


# What it is made of


def test_draws_are_splitmix64() -> None:
    # The published first words of the stream that begins at 1234567.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    draws = Draws()
    draws._state = 1234567
    assert [draws.word() for _ in expected] == expected
    assert [int(draw(np.uint64(1234567), number)) for number in range(len(expected))] == expected


def test_draws_keep_to_their_bounds() -> None:
    draws = Draws(1, 2)
    bells = np.array([draws.bell() for _ in range(5000)])
    assert abs(bells.mean()) < 0.05
    assert bells.std() == pytest.approx(1, abs=0.05)
    assert {draws.integer(3, 6) for _ in range(100)} == {3, 4, 5}
    assert {draws.pick("abc") for _ in range(100)} == set("abc")
    assert Draws(1, 2).word() != Draws(2, 1).word() != Draws(1).word()


@given(st.floats(-90, 90))
def test_cosine(degrees: float) -> None:
    assert cosine(degrees) == pytest.approx(math.cos(math.radians(degrees)), abs=1e-9)


@given(st.floats(0, 360, exclude_max=True))
def test_course(degrees: float) -> None:
    found = course(math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))
    assert abs((found - degrees + 180) % 360 - 180) < 1e-5
    assert 0 <= found < 360
