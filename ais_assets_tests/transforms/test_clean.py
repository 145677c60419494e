"""Cleaning: each rule's edges, and equality with a slow, obvious reference on random, hostile and real rows."""

from __future__ import annotations

import csv
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ais_assets import schema
from ais_assets.ledger import Ledger
from ais_assets.settings.region import read_region
from ais_assets.transforms.clean import NOTES, RULES, clean_day
from ais_assets.transforms.reports.row_rules import NO_POSITION, NOT_A_VESSEL, OTHER_DAY, POSITION_AT_ZERO
from ais_assets.transforms.reports.vessel_rules import EXACT_DUPLICATE, REBROADCAST, SAME_SECOND
from ais_assets.transforms.split import shard_of

DAY = date(2024, 2, 29)
MIDNIGHT = int(datetime(2024, 2, 29, tzinfo=UTC).timestamp())
SHIP, OTHER_SHIP = 219_000_001, 265_000_002
STATUSES = schema.RAW_RECORDS.field("nav_status").type


class Record(NamedTuple):
    """A raw record in whole numbers: seconds of the day, micro-degrees, tenths."""

    second: int = 0
    mmsi: int = SHIP
    kind: str = "class A"
    lat: int | None = 55_000_001
    lon: int | None = 10_000_003
    sog: int | None = 100
    cog: int | None = 900
    ship_type: str | None = None
    heading: int | None = None
    status: str | None = None
    coarse: bool = False


def raw_table(
    records: Sequence[Record], kinds: Sequence[str] = schema.MOBILE_TYPES, midnight: int = MIDNIGHT
) -> pa.Table:
    """RAW_RECORDS' columns that cleaning needs."""

    columns = {
        "t": pa.array([(midnight + record.second) * 1000 for record in records], pa.int64()).cast(schema.UTC),
        "mmsi": pa.array([record.mmsi for record in records], pa.int32()),
        "mobile_type": pa.DictionaryArray.from_arrays(
            pa.array([list(kinds).index(record.kind) for record in records], pa.int8()), pa.array(kinds, pa.string())
        ),
        "lat_microdegrees": pa.array([record.lat for record in records], pa.int32()),
        "lon_microdegrees": pa.array([record.lon for record in records], pa.int32()),
        "sog_tenths": pa.array([record.sog for record in records], pa.int32()),
        "cog_tenths": pa.array([record.cog for record in records], pa.int32()),
        "heading": pa.array([record.heading for record in records], pa.int16()),
        "nav_status": pa.array([record.status for record in records], pa.string()).dictionary_encode().cast(STATUSES),
        "coarse": pa.array([record.coarse for record in records], pa.bool_()),
        "ship_type": pa.array([record.ship_type for record in records], pa.string()),
    }
    return pa.table(columns)


def as_records(table: pa.Table, midnight: int = MIDNIGHT) -> list[Record]:
    """The rows of a clean table, in order."""
    columns = {name: table[name].to_pylist() for name in table.schema.names if name != "t"}
    times = table["t"].cast(pa.int64()).to_pylist()

    return [
        Record(
            t // 1000 - midnight,
            columns["mmsi"][row],
            columns["mobile_type"][row],
            columns["lat_microdegrees"][row],
            columns["lon_microdegrees"][row],
            columns["sog_tenths"][row],
            columns["cog_tenths"][row],
            heading=columns["heading"][row],
            status=columns["nav_status"][row],
            coarse=columns["coarse"][row],
        )
        for row, t in enumerate(times)
    ]


def cleaned(
    tables: pa.Table | Iterable[pa.Table], *, shards: int = 1, repeat_seconds: int = 120, **switches: Any
) -> tuple[list[pa.Table], Ledger]:
    """Clean tables and their account, after the checks that hold for any input."""
    tables = [tables] if isinstance(tables, pa.Table) else tables
    stream = clean_day(iter(tables), DAY, shards=shards, repeat_seconds=repeat_seconds, **switches)
    result = list(stream.tables)
    assert len(result) == shards
    for shard, table in enumerate(result):
        table.validate(full=True)
        assert table.schema.equals(schema.CLEAN_RECORDS, check_metadata=True)
        mmsi = table["mmsi"].to_numpy()
        assert (shard_of(mmsi, shards) == shard).all()
        keys = list(zip(mmsi.tolist(), table["t"].cast(pa.int64()).to_pylist(), strict=True))
        assert all(former < latter for former, latter in pairwise(keys))
    stream.ledger.balance("test")
    assert list(stream.ledger.dropped) == list(RULES)
    assert list(stream.ledger.notes) == list(NOTES)
    assert stream.ledger.rows_out == sum(table.num_rows for table in result)
    return result, stream.ledger


def kept(records: Sequence[Record], **options: Any) -> list[Record]:
    """What one shard keeps of some records."""
    tables, _ = cleaned(raw_table(records), **options)
    return as_records(pa.concat_tables(tables))


def dropped(records: Sequence[Record], **options: Any) -> dict[str, int]:
    """The rules that dropped any of some records."""
    _, ledger = cleaned(raw_table(records), **options)
    return {rule: rows for rule, rows in ledger.dropped.items() if rows}


def coordinate_step(values: Iterable[int]) -> int:
    """Micro-degrees of the last decimal that any of these coordinates has, from the fourth decimal on."""
    decimals = [len(f"{abs(value) / 1e6:.6f}".rstrip("0").partition(".")[2]) for value in values]
    return 10 ** (6 - min(6, max(4, *decimals, 4)))


def status_code(status: str | None) -> int:
    """In `schema.NAV_STATUSES`; the last for none."""
    return schema.NAV_STATUSES.index("undefined" if status is None else status)


def reference(records: Iterable[Record], repeat_seconds: int) -> tuple[list[Record], Counter[str]]:
    """The rules as they read, one record after the other: what is kept by (mmsi, t), and what each rule dropped."""
    order = ("class A", "class B", "unknown")
    counts: Counter[str] = Counter()
    usable: set[Record] = set()
    for record in records:
        # The number of an identity that is no MMSI is a ship's.
        digits = str(record.mmsi if record.mmsi < schema.FIRST_IDENTITY else SHIP)
        if not 0 <= record.second < 86_400:
            counts["other_day"] += 1
        elif len(digits) != 9 or not 201 <= int(digits[:3]) <= 775 or len(set(digits)) == 1 or record.kind not in order:
            counts["not_a_vessel"] += 1
        elif record.lat is None or record.lon is None or abs(record.lat) > 90e6 or abs(record.lon) > 180e6:
            counts["no_position"] += 1
        elif (record.lat, record.lon) == (0, 0):
            counts["position_at_zero"] += 1
        else:
            sog = record.sog if record.sog is not None and 0 <= record.sog <= 1022 else None
            cog = record.cog if record.cog is not None and 0 <= record.cog <= 3600 else None
            heading = record.heading if record.heading is not None and 0 <= record.heading < 360 else None
            status = None if record.status == "undefined" else record.status
            report = record._replace(sog=sog, cog=cog, heading=heading, status=status, ship_type=None)
            counts["exact_duplicate"] += report in usable
            usable.add(report)
    seconds: defaultdict[tuple[int, int], list[Record]] = defaultdict(list)
    for report in usable:
        seconds[report.mmsi, report.second].append(report)
    step = max((coordinate_step(axis) for axis in zip(*((r.lat, r.lon) for r in usable), strict=True)), default=1)
    # A knot is 1,852 m/h, a minute of latitude 1,852 m.
    travel_within_step = 0 if step == 1 else math.sqrt(2) * step / 1e6 * 60 * 3_600 * 10
    first_seen: dict[tuple[int | None, ...], int] = {}
    result = []
    for (mmsi, second), reports in sorted(seconds.items()):
        fresh = []
        for report in reports:
            fix = (mmsi, report.lat, report.lon, report.sog, report.cog)
            moving = report.sog is not None and report.sog >= 5
            age = second - first_seen[fix] if moving and fix in first_seen else 0
            if 0 < age <= repeat_seconds:
                if (report.sog or 0) * age > travel_within_step:
                    counts["rebroadcast"] += 1
                    continue
            else:
                first_seen[fix] = second
            fresh.append(report)
        if fresh:
            counts["same_second"] += len(fresh) - 1
            result.append(
                min(
                    fresh,
                    key=lambda r: (
                        *(r.coarse, r.sog is None, r.cog is None, order.index(r.kind), r.lat),
                        *(status_code(r.status), r.lon, r.sog or 0, r.cog or 0),
                        511 if r.heading is None else r.heading,
                    ),
                )
            )
    return result, +counts


def assert_as_reference(
    records: Sequence[Record], tables: Sequence[pa.Table], repeat_seconds: int, shards: int
) -> None:
    expected, counts = reference(records, repeat_seconds)
    result, ledger = cleaned(tables, shards=shards, repeat_seconds=repeat_seconds)
    assert sorted(as_records(pa.concat_tables(result)), key=lambda r: (r.mmsi, r.second)) == expected
    assert +Counter(ledger.dropped) == counts
    assert ledger.rows_in == len(records)
    assert ledger.notes["vessels"] == len({report.mmsi for report in expected})
    assert ledger.notes["sog_missing"] == sum(report.sog is None for report in expected)
    assert ledger.notes["cog_missing"] == sum(report.cog is None for report in expected)


USUAL = st.builds(
    Record,
    second=st.sampled_from([0, 1, 2, 3, 60, 119, 120, 121, 122, 240, 241, 86_399]),
    mmsi=st.sampled_from([SHIP, SHIP, OTHER_SHIP]),
    kind=st.sampled_from(["class A", "class A", "class B", "unknown"]),
    lat=st.sampled_from([0, 55_000_000, 55_000_000, 55_000_001]),
    lon=st.sampled_from([0, 10_000_000]),
    sog=st.sampled_from([0, 4, 5, 6, 100, None]),
    cog=st.sampled_from([0, 900, None]),
    ship_type=st.sampled_from([None, None, "Cargo", "tanker"]),
    heading=st.sampled_from([None, 0, 359]),
    status=st.sampled_from([None, "at anchor", "undefined"]),
    coarse=st.booleans(),
)
HOSTILE = st.builds(
    Record,
    second=st.sampled_from([-1, 0, 1, 86_399, 86_400]),
    mmsi=st.sampled_from(
        [201_000_000, 200_999_999, 775_999_999, 776_000_000, 222_222_222, 123_456_789, 2_190_000, 0, -SHIP, 2**31 - 1]
    ),
    kind=st.sampled_from(schema.MOBILE_TYPES),
    lat=st.sampled_from([0, 90_000_000, -90_000_000, 90_000_001, -90_000_001, 91_000_000, None]),
    lon=st.sampled_from([0, 180_000_000, -180_000_000, 180_000_001, -180_000_001, 181_000_000, None]),
    sog=st.sampled_from([-1, 0, 1022, 1023, 9999, None]),
    cog=st.sampled_from([-1, 0, 3600, 3601, 9999, None]),
    heading=st.sampled_from([-1, 360, 511, 20_000, None]),
    status=st.sampled_from([None, *schema.NAV_STATUSES]),
)
RECORDS = st.lists(st.one_of(USUAL, USUAL, HOSTILE), max_size=60)
SWITCHES = st.fixed_dictionaries(
    {},
    optional={
        "repeat_seconds": st.sampled_from([0, 1, 120, 86_400]),
        "moving_knots": st.sampled_from([0.1, 0.6, 50.0]),
        "ships_only": st.booleans(),
        "classes": st.sampled_from([(), ("class A",), ("class B", "unknown")]),
        "drop_position_at_zero": st.booleans(),
    },
)
"""Any way in which the rules can be set."""


def cut(records: Sequence[Record], random: Random) -> list[pa.Table]:
    """The records as tables: empty ones, slices of larger ones, several chunks, dictionaries that differ."""
    tables = []
    row = 0
    while row < len(records):
        end = random.randint(row, len(records))
        kinds = list(schema.MOBILE_TYPES)
        random.shuffle(kinds)
        around = [Record(mmsi=OTHER_SHIP, lat=None, sog=None, cog=None)] * random.randint(0, 9)
        table = raw_table([*around, *records[row:end], *around], kinds).slice(len(around), end - row)
        middle = random.randint(0, table.num_rows)
        tables.append(pa.concat_tables([table.slice(0, middle), table.slice(middle)]))
        row = end
    return tables


@settings(deadline=None)
@given(RECORDS, st.sampled_from([0, 1, 120, 86_400]), st.integers(1, 5))
def test_as_the_reference(records: list[Record], repeat_seconds: int, shards: int) -> None:
    assert_as_reference(records, [raw_table(records)], repeat_seconds, shards)


@settings(deadline=None)
@given(RECORDS, SWITCHES, st.randoms(use_true_random=False))
def test_order_repetition_and_tables_of_the_input_do_not_matter(
    records: list[Record], switches: dict[str, Any], random: Random
) -> None:
    before, _ = cleaned(raw_table(records), shards=3, **switches)
    again = records + random.choices(records, k=random.randint(0, 20)) if records else []
    random.shuffle(again)
    after, ledger = cleaned(cut(again, random), shards=3, **switches)
    assert after == before
    assert ledger.rows_in == len(again)


@settings(deadline=None)
@given(RECORDS, SWITCHES)
def test_clean_records_are_clean(records: list[Record], switches: dict[str, Any]) -> None:
    once = kept(records, **switches)
    # Clean records have no types any more.
    again, ledger = cleaned(raw_table(once), **switches)
    assert as_records(again[0]) == once
    assert ledger.rows_dropped == 0


@pytest.mark.parametrize("seed", range(4))
def test_as_the_reference_where_vessels_have_many_reports_in_any_order(seed: int) -> None:
    random = Random(seed)
    records = [
        Record(
            second=random.randrange(86_400) if seed % 2 else row // 4 + random.randrange(40),
            mmsi=random.choice([SHIP, OTHER_SHIP, 211_000_003, 265_000_004]),
            lat=55_000_000 + random.randrange(4),
            sog=random.choice([None, 0, 4, 5, 100]),
            cog=random.choice([None, 0]),
        )
        for row in range(8_000)
    ]
    assert_as_reference(records, cut(records, random), 120, 7)


def test_as_the_reference_with_more_vessels_than_there_is_room_for_at_first() -> None:
    random = Random(1)
    records = [Record(mmsi=201_000_000 + random.randrange(9_000), second=random.randrange(3)) for _ in range(30_000)]
    assert len({record.mmsi for record in records}) > 2 * 4096
    assert_as_reference(records, [raw_table(records)], 120, 16)


def test_a_day_without_records_has_every_shard() -> None:
    for tables in ([], [raw_table([])]):
        result, ledger = cleaned(tables, shards=4)
        assert [table.num_rows for table in result] == [0, 0, 0, 0]
        assert ledger.rows_in == 0


def test_what_it_was_built_with_is_in_the_facts() -> None:
    stream = clean_day(iter([]), DAY, shards=4, repeat_seconds=60)
    assert stream.facts == {
        "day": "2024-02-29",
        "shards": 4,
        "repeat_seconds": 60,
        "moving_knots": 0.5,
        "ships_only": True,
        "classes": [],
        "drop_position_at_zero": True,
        "region": None,
        "land_metres": None,
        "drop_on_land": False,
    }


def test_every_value_survives() -> None:
    records = [
        Record(0, SHIP, "class A", -90_000_000, -180_000_000, 0, 0),
        Record(1, SHIP, "class B", 90_000_000, 180_000_000, 1022, 3600),
        Record(2, SHIP, "unknown", -1, 1, None, 3599),
        Record(86_399, SHIP, "class A", 1, -1, 1021, None),
    ]
    assert kept(records) == records


def test_the_day_is_the_utc_day() -> None:
    records = [Record(-1), Record(0), Record(86_399), Record(86_400)]
    assert [record.second for record in kept(records)] == [0, 86_399]
    assert dropped(records) == {OTHER_DAY: 2}


@pytest.mark.parametrize(
    "mmsi",
    [
        0,
        1193046,  # a transponder's default, 0x123456
        2_190_001,  # coast station, its leading zeros lost
        111_219_501,  # SAR aircraft
        123_456_789,
        200_999_999,
        222_222_222,
        666_666_666,
        776_000_000,
        970_012_345,  # SART
        982_190_001,  # craft of a parent ship
        992_191_234,  # aid to navigation
    ],
)
def test_a_number_that_is_no_ships(mmsi: int) -> None:
    assert dropped([Record(mmsi=mmsi)]) == {NOT_A_VESSEL: 1}


@pytest.mark.parametrize("kind", schema.MOBILE_TYPES)
def test_a_sender_that_is_no_ship_under_a_ships_number(kind: str) -> None:
    ship = kind in ("class A", "class B", "unknown")
    assert dropped([Record(kind=kind)]) == ({} if ship else {NOT_A_VESSEL: 1})


def test_only_both_zero_is_no_position() -> None:
    records = [Record(0, lat=0, lon=0), Record(1, lat=0), Record(2, lon=0)]
    assert dropped(records) == {POSITION_AT_ZERO: 1}
    assert dropped([Record(lat=None), Record(lon=None), Record(lat=91_000_000, lon=0)]) == {NO_POSITION: 3}


def test_impossible_motion_is_missing_and_noted() -> None:
    _, ledger = cleaned(raw_table([Record(0, sog=1023, cog=3601), Record(1, sog=-1), Record(2, sog=None)]))
    assert ledger.notes == {
        "vessels": 1,
        "sog_missing": 3,
        "cog_missing": 1,
        "sog_out_of_range": 2,
        "cog_out_of_range": 1,
        "land": 0,
    }


def test_one_of_a_second_by_preference() -> None:
    worst_to_best = [
        Record(lat=-9, sog=None, cog=None),
        Record(lat=-9, sog=None),
        Record(lat=-9, cog=None),
        Record(lat=-9, kind="unknown"),
        Record(lat=-9, kind="class B"),
        Record(lat=2),
        Record(lat=1, lon=2),
        Record(lat=1, lon=1, sog=2),
        Record(lat=1, lon=1, sog=1, cog=2),
        Record(lat=1, lon=1, sog=1, cog=1),
    ]
    for count in range(2, len(worst_to_best) + 1):
        assert kept(worst_to_best[:count]) == [worst_to_best[count - 1]]
        assert dropped(worst_to_best[:count]) == {SAME_SECOND: count - 1}


def test_a_moving_fix_seen_again_is_dropped_until_its_time_is_up() -> None:
    assert [r.second for r in kept([Record(0), Record(1), Record(120), Record(121)])] == [0, 121]
    assert len(kept([Record(0), Record(1), Record(120)], repeat_seconds=0)) == 3


def test_an_old_fix_among_new_ones_does_not_make_the_ship_jump_back() -> None:
    way = [Record(second, lat=55_000_000 + 50 * second) for second in range(0, 100, 10)]
    old = [way[1]._replace(second=35), way[0]._replace(second=95)]
    assert kept([*way, *old]) == way
    assert dropped([*way, *old]) == {REBROADCAST: 2}


def test_an_old_fix_does_not_win_a_second_over_the_true_one() -> None:
    first, true = Record(0, lat=1), Record(10, lat=2)
    assert kept([first, true, first._replace(second=10)]) == [first, true]


def test_a_copy_of_what_another_of_its_second_was_preferred_to_is_old_too() -> None:
    records = [Record(0, lat=1), Record(0, lat=2), Record(1, lat=2)]
    assert dropped(records) == {SAME_SECOND: 1, REBROADCAST: 1}


def test_a_ship_at_anchor_is_kept() -> None:
    anchored = [Record(second, sog=4) for second in range(0, 3600, 10)]
    assert kept(anchored) == anchored
    silent = [Record(second, sog=None) for second in range(0, 3600, 10)]
    assert kept(silent) == silent


def test_a_ship_whose_receiver_is_stuck_does_not_vanish() -> None:
    stuck = [Record(second, sog=50) for second in range(0, 1000, 10)]
    assert [record.second for record in kept(stuck)] == list(range(0, 1000, 130))


def test_a_missing_course_is_not_north() -> None:
    records = [Record(0, cog=0), Record(1, cog=None)]
    assert kept(records) == records


def test_two_ships_do_not_repeat_each_other() -> None:
    assert len(kept([Record(0, SHIP), Record(1, OTHER_SHIP)])) == 2


def test_every_sender_is_kept_where_that_is_asked_for() -> None:
    senders = [
        Record(mmsi=2_190_000, kind="base station"),
        Record(mmsi=111_219_501, kind="search and rescue aircraft"),
        Record(mmsi=SHIP, kind="aid to navigation"),
        Record(mmsi=222_222_222),
        Record(mmsi=992_191_501, kind="aid to navigation"),
    ]
    assert sorted(kept(senders, ships_only=False)) == sorted(senders)
    assert dropped([*senders, Record(mmsi=0), Record(mmsi=-SHIP)], ships_only=False) == {"not_a_vessel": 2}
    assert dropped(senders) == {"not_a_vessel": 5}


@pytest.mark.parametrize("other", schema.MOBILE_TYPES[3:])
@pytest.mark.parametrize("ship", ["class A", "class B", "unknown"])
def test_a_ships_own_report_wins_the_second_over_anything_else_under_its_number(ship: str, other: str) -> None:
    own, stray = Record(kind=ship, lat=2), Record(kind=other, lat=1)
    assert kept([stray, own], ships_only=False) == [own]


@pytest.mark.parametrize("classes", [("class A",), ("class A", "class B"), ("unknown",)])
def test_only_the_classes_asked_for(classes: tuple[str, ...]) -> None:
    records = [Record(second, kind=kind, sog=0) for second, kind in enumerate(("class A", "class B", "unknown"))]
    assert [record.kind for record in kept(records, classes=classes)] == list(classes)
    assert dropped(records, classes=classes) == {"other_class": 3 - len(classes)}
    assert dropped([Record(kind="base station")], classes=classes) == {"not_a_vessel": 1}


def test_a_position_at_zero_is_kept_where_that_is_asked_for() -> None:
    assert len(kept([Record(lat=0, lon=0)], drop_position_at_zero=False)) == 1


def test_the_speed_from_which_on_a_ship_moves() -> None:
    slow = [Record(0, sog=9), Record(60, sog=9)]
    assert dropped(slow) == {"rebroadcast": 1}
    assert dropped(slow, moving_knots=1.0) == {}


def test_settings_out_of_range_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"moving_knots is 0\.0"):
        clean_day(iter([]), DAY, shards=1, repeat_seconds=120, moving_knots=0.0)
    with pytest.raises(ValueError, match=r"classes holds \['class C'\]; known are"):
        clean_day(iter([]), DAY, shards=1, repeat_seconds=120, classes=["class C"])
    with pytest.raises(ValueError, match="shards is 0"):
        clean_day(iter([]), DAY, shards=0, repeat_seconds=120)
    with pytest.raises(ValueError, match="repeat_seconds is -1"):
        clean_day(iter([]), DAY, shards=1, repeat_seconds=-1)


def test_a_time_within_a_second_is_refused_with_its_row() -> None:
    good = raw_table([Record(second) for second in range(5)])
    times = pa.array([MIDNIGHT * 1000 + 1000 * row + (row == 3) for row in range(5)], pa.int64()).cast(schema.UTC)
    with pytest.raises(ValueError, match=r"2024-02-29: records, table 1, row 3: .*not a whole second"):
        cleaned([good, good.set_column(0, "t", times)])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (raw_table([Record()]).drop_columns("cog_tenths"), "column 'cog_tenths' is missing"),
        (raw_table([Record()]).set_column(1, "mmsi", pa.array([219.5])), "column 'mmsi' is double, not int32"),
        (raw_table([Record()]).set_column(1, "mmsi", pa.array([None], pa.int32())), "column 'mmsi' holds 1 null"),
        (raw_table([Record(kind="class C")], ["class C"]), "mobile_type holds .'class C'."),
    ],
)
def test_records_that_break_the_contract_are_refused(table: pa.Table, message: str) -> None:
    with pytest.raises(ValueError, match=f"table 0: {message}"):
        cleaned(table)


def dma_records(path: Path, midnight: int) -> list[Record]:
    """Positions of a DMA file, read with Python's own csv and decimal."""

    def steps(text: str, scale: int, low: int, high: int) -> int | None:
        try:
            value = round(Decimal(text) * scale)
        except InvalidOperation:
            return None
        return value if low <= value <= high else None

    records = []
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            t = datetime.strptime(row["# Timestamp"], "%d/%m/%Y %H:%M:%S").replace(tzinfo=UTC)
            kinds = {"Class A": "class A", "Class B": "class B", "Base Station": "base station"}
            records.append(
                Record(
                    int(t.timestamp()) - midnight,
                    int(row["MMSI"]),
                    kinds.get(row["Type of mobile"], "aid to navigation"),
                    steps(row["Latitude"], schema.MICRODEGREES, -90_000_000, 90_000_000),
                    steps(row["Longitude"], schema.MICRODEGREES, -180_000_000, 180_000_000),
                    steps(row["SOG"], 10, 0, 1022),
                    steps(row["COG"], 10, 0, 3599),
                )
            )
    return records


@pytest.mark.parametrize(
    ("name", "day", "duplicates"),
    [
        ("aisdk-2024-09-09-head.csv", date(2024, 9, 9), 3_998),
        ("aisdk-2022-09-17-midday.csv", date(2022, 9, 17), 67),
        ("ferry-2022-10-15.csv", date(2022, 10, 15), 1),
    ],
)
def test_real_days_as_the_reference(real_data: Path, name: str, day: date, duplicates: int) -> None:
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    records = dma_records(real_data / "dma" / name, midnight)
    stream = clean_day(iter([raw_table(records, midnight=midnight)]), day, shards=8, repeat_seconds=120)
    result = as_records(pa.concat_tables(list(stream.tables)), midnight)
    expected, counts = reference(records, 120)
    stream.ledger.balance(name)
    assert sorted(result, key=lambda r: (r.mmsi, r.second)) == expected
    assert +Counter(stream.ledger.dropped) == counts
    assert stream.ledger.dropped[REBROADCAST] > 0
    assert stream.ledger.dropped[EXACT_DUPLICATE] == duplicates


def test_the_real_ferry_moves_on_every_position(real_data: Path) -> None:
    midnight = int(datetime(2022, 10, 15, tzinfo=UTC).timestamp())
    records = dma_records(real_data / "dma" / "ferry-2022-10-15.csv", midnight)
    stream = clean_day(iter([raw_table(records, midnight=midnight)]), date(2022, 10, 15), shards=1, repeat_seconds=120)
    (table,) = stream.tables
    way = as_records(table, midnight)
    under_way = [(a, b) for a, b in pairwise(way) if min(a.sog or 0, b.sog or 0) >= 20]
    assert len(under_way) > 400
    assert all((a.lat, a.lon) != (b.lat, b.lon) for a, b in under_way)


@pytest.mark.parametrize(("decimals", "knots", "seconds"), [(4, 1, 10), (4, 5, 2), (5, 0.5, 2), (6, 0.5, 1)])
def test_a_slow_ship_is_no_rebroadcast_where_positions_are_coarse(decimals: int, knots: float, seconds: int) -> None:
    step = 10 ** (6 - decimals)
    north = knots * 1852 / 3600 * seconds / (1852 * 60 / 1e6)
    way = [
        Record(
            k * seconds,
            lat=round((55_123_456 + k * north) / step) * step,
            lon=10_123_456 // step * step,
            sog=round(10 * knots),
        )
        for k in range(500)
    ]
    assert kept(way) == way
    old = way[100]._replace(second=way[100].second + 95)
    assert dropped([*way, old]) == {REBROADCAST: 1} if knots * 95 > 40 or decimals > 4 else {}


def test_where_positions_are_wanted() -> None:
    """In Jutland, in the Kattegat, in neither box nor any place; the rules before come first."""
    jutland, kattegat = Record(1, lat=56_200_000, lon=9_300_000), Record(2, lat=56_500_000, lon=11_500_000)
    records = [jutland, kattegat, Record(3, lat=57_000_001), Record(4, lat=None), Record(5, mmsi=1)]
    region = read_region("9,55,12,56.9")
    before = {"no_position": 1, "not_a_vessel": 1, "outside_region": 1}
    assert dropped(records, region=region) == before
    assert dropped(records, region=region, land_metres=2000.0, drop_on_land=True) == {**before, "on_land": 1}
    _, ledger = cleaned(raw_table(records), region=region, land_metres=2000.0)
    assert (ledger.notes["land"], ledger.rows_out) == (1, 2)
