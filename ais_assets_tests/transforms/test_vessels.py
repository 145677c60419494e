"""Who each vessel is: back-filled, merged over days, conflicts shown, IMO numbers checked."""

from __future__ import annotations

from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ais_assets import schema
from ais_assets.ledger import Ledger
from ais_assets.transforms.reports.row_rules import NOT_A_VESSEL
from ais_assets.transforms.vessels import vessel_table

SHIP, OTHER_SHIP = 219_000_001, 265_000_002
EMMA_MAERSK, EVER_GIVEN = 9_321_483, 9_811_000
MISTYPED = 9_321_484


def record(second: int = 0, mmsi: int = SHIP, kind: str = "class A", **values: Any) -> dict[str, Any]:
    """One row of RAW_RECORDS, its time in seconds since 1970; positions and motion in degrees and knots."""
    stored = {
        schema.stored_name(name): round(value * schema.STORED_AS[name].steps) if name in schema.STORED_AS else value
        for name, value in values.items()
    }
    return {"t": 1000 * second, "mmsi": mmsi, "mobile_type": kind, **stored}


def raw_table(records: list[dict[str, Any]]) -> pa.Table:
    columns = []
    for field in schema.RAW_RECORDS:
        values = [row.get(field.name) for row in records]
        stored = pa.string() if pa.types.is_dictionary(field.type) else field.type
        columns.append(pa.array(values, stored).cast(field.type))
    return pa.table(columns, schema.RAW_RECORDS)


def merged(records: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], Ledger]:
    """The vessels in some records and the account, after the checks that hold for any input."""
    stream = vessel_table(raw_table(records), validation_fraction=0.5, seed=3)
    (table,) = stream.tables
    table.validate(full=True)
    assert table.schema.equals(schema.VESSELS, check_metadata=True)
    stream.ledger.balance("test")
    assert stream.ledger.rows_out == table.num_rows
    return table.to_pylist(), stream.ledger


def only(records: list[dict[str, Any]]) -> dict[str, Any]:
    (vessel,), _ = merged(records)
    return vessel


def test_what_a_vessel_showed_at_any_time_describes_it() -> None:
    vessel = only(
        [
            record(10),
            record(20, name="BERLIN", length=170.0),
            record(86_400 * 3, callsign="OXYZ", ship_type="Cargo", width=28.0, draught=6.5),
            record(86_400 * 4, draught=4.0),
        ]
    )
    assert (vessel["name"], vessel["callsign"], vessel["ship_type"]) == ("BERLIN", "OXYZ", "Cargo")
    assert (vessel["length"], vessel["width"], vessel["draught"]) == (170.0, 28.0, 6.5)
    assert vessel["records"] == 4
    assert (vessel["first_seen"].timestamp(), vessel["last_seen"].timestamp()) == (10, 86_400 * 4)
    assert vessel["conflicts"] == []


def test_the_latest_value_wins_and_all_are_shown() -> None:
    records = [
        record(1, name="OLD", callsign="AAAA", imo=EMMA_MAERSK, length=100.0),
        record(3, name="NEW", callsign="BBBB", imo=EVER_GIVEN, length=400.0),
        record(2, name="BETWEEN", callsign="BBBB"),
    ]
    (vessel,), ledger = merged(records)
    assert (vessel["name"], vessel["callsign"], vessel["imo"], vessel["length"]) == ("NEW", "BBBB", EVER_GIVEN, 400.0)
    assert vessel["names"] == ["BETWEEN", "NEW", "OLD"]
    assert vessel["callsigns"] == ["AAAA", "BBBB"]
    assert vessel["imos"] == [EMMA_MAERSK, EVER_GIVEN]
    assert vessel["conflicts"] == ["imo", "callsign", "name", "length"]
    assert {name: ledger.notes[f"conflicting_{name}"] for name in ("imo", "name", "width")} == {
        "imo": 1,
        "name": 1,
        "width": 0,
    }


@pytest.mark.parametrize("imo", [EMMA_MAERSK, EVER_GIVEN, 9_074_729, 1_000_019, 5_383_304])
def test_a_true_imo_number(imo: int) -> None:
    vessel = only([record(imo=imo)])
    assert (vessel["imo"], vessel["invalid_imos"]) == (imo, [])


def test_every_other_last_digit_is_found() -> None:
    wrong = [EMMA_MAERSK // 10 * 10 + digit for digit in range(10) if digit != EMMA_MAERSK % 10]
    (vessel,), ledger = merged([record(second, imo=imo) for second, imo in enumerate([EMMA_MAERSK, *wrong])])
    assert (vessel["imo"], vessel["imos"], vessel["invalid_imos"]) == (EMMA_MAERSK, [EMMA_MAERSK], wrong)
    assert vessel["conflicts"] == []
    assert ledger.notes["invalid_imos"] == 9


@pytest.mark.parametrize("imo", [MISTYPED, 1, 123_456, 999_999, 1_234_567])
def test_a_number_that_is_no_imo_number(imo: int) -> None:
    vessel = only([record(imo=imo)])
    assert (vessel["imo"], vessel["imos"], vessel["invalid_imos"]) == (None, [], [imo])


def test_a_size_that_no_message_can_say_is_none() -> None:
    records = [record(1, draught=2.9, length=50.0, width=9.0), record(2, draught=29.0), record(3, length=1023.0)]
    (vessel,), ledger = merged(records)
    assert [vessel[field] for field in ("draught", "length", "width")] == [pytest.approx(2.9), 50.0, 9.0]
    assert vessel["conflicts"] == []
    assert ledger.notes["implausible_sizes"] == 2
    assert only([record(draught=25.5, length=1022.0, width=126.0)])["draught"] == 25.5


@pytest.mark.parametrize(
    "sender",
    [
        record(mmsi=2_190_045, kind="base station"),
        record(mmsi=111_219_501, kind="search and rescue aircraft"),
        record(mmsi=992_191_501, kind="aid to navigation"),
        record(mmsi=222_222_222),
        record(mmsi=123_456_789),
        record(mmsi=200_999_999),
        record(mmsi=776_000_000),
        record(mmsi=OTHER_SHIP, kind="aid to navigation"),
    ],
)
def test_what_is_no_vessel_is_counted(sender: dict[str, Any]) -> None:
    vessels, ledger = merged([record(), sender])
    assert [vessel["mmsi"] for vessel in vessels] == [SHIP]
    assert (ledger.rows_in, ledger.dropped) == (2, {NOT_A_VESSEL: 1})


def test_a_buoy_under_a_ships_number_says_nothing_about_the_ship() -> None:
    vessel = only([record(1, name="SHIP"), record(2, kind="aid to navigation", name="BUOY", length=3.0)])
    assert (vessel["name"], vessel["length"], vessel["records"]) == ("SHIP", None, 1)


def test_the_class_is_the_latest_known_one() -> None:
    assert only([record(1, kind="class B"), record(2, kind="unknown")])["mobile_type"] == "class B"
    assert only([record(1, kind="class B"), record(2)])["mobile_type"] == "class A"
    assert only([record(kind="unknown")])["mobile_type"] == "unknown"


@pytest.mark.parametrize(
    ("mmsi", "flag", "country"),
    [
        (SHIP, 219, "DK"),
        (211_000_001, 211, "DE"),
        (338_000_001, 338, "US"),
        (775_000_001, 775, "VE"),
        (222_000_001, 222, None),
    ],
)
def test_the_flag_is_the_mid(mmsi: int, flag: int, country: str | None) -> None:
    vessel = only([record(mmsi=mmsi)])
    assert (vessel["flag"], vessel["country"]) == (flag, country)


STATIC = st.fixed_dictionaries(
    {"second": st.integers(0, 3), "mmsi": st.sampled_from([SHIP, OTHER_SHIP, 2_190_045])},
    optional={
        "kind": st.sampled_from(["class A", "class B", "unknown", "base station"]),
        "name": st.sampled_from(["A", "B"]),
        "callsign": st.sampled_from(["C", "D"]),
        "imo": st.sampled_from([EMMA_MAERSK, EVER_GIVEN, MISTYPED]),
        "ship_type": st.sampled_from(["Cargo", "Tanker"]),
        "length": st.sampled_from([10.0, 400.0]),
    },
)


@settings(deadline=None, max_examples=30)
@given(st.lists(STATIC, max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_records_does_not_matter(rows: list[dict[str, Any]], random: Random) -> None:
    records = [record(**row) for row in rows]
    before = merged(records)
    random.shuffle(records)
    assert merged(records) == before
