"""Tracks of some types of ship: what the whole lake knows of a vessel decides, on every day of hers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.stream import RecordStream
from ais_assets.transforms.clean import clean_day
from ais_assets.transforms.ship_types import positions_of, vessels_of_types
from ais_assets.transforms.tracks import build_tracks
from ais_assets.transforms.vessels import vessel_table
from ais_assets_tests.transforms.test_clean import DAY, MIDNIGHT, Record, raw_table
from ais_assets_tests.transforms.track_reports import SHIP, clean_table, straight

CARGO, BOTH, SILENT = 201_000_001, 201_000_002, 201_000_003
VESSELS = pa.table(
    {
        "mmsi": pa.array([BOTH, CARGO, SILENT], pa.int32()),
        "ship_types": pa.array([["Cargo", "Tanker"], ["Cargo"], []], pa.list_(pa.string())),
    }
)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["cargo"], [CARGO, BOTH]),
        (["TANKER"], [BOTH]),
        (["unknown", "fishing"], [SILENT]),
        (["fishing"], []),
        (["Cargo", "Unknown"], [CARGO, BOTH, SILENT]),
    ],
)
def test_types_shown_on_any_day_decide(wanted: list[str], found: list[int]) -> None:
    assert vessels_of_types(VESSELS, wanted).tolist() == found


def test_positions_of_other_vessels_are_counted() -> None:
    ships = {SHIP: 40, SHIP + 1: 30, SHIP + 2: 20}
    days = [
        clean_table([report for ship, count in ships.items() for report in straight(ship, start, count, lat=0, lon=0)])
        for start in (0, 86_400)
    ]
    wanted = np.array([SHIP, SHIP + 2], np.int32)
    stream = tracks(iter(days), vessels=wanted)
    found = pa.concat_tables(stream.tables)
    stream.ledger.balance("test")
    assert stream.ledger.rows_in == 180
    assert stream.ledger.dropped["other_type"] == 60
    only = tracks(positions_of(day, wanted) for day in days)
    assert found.equals(pa.concat_tables(only.tables))


def test_a_vessel_is_kept_on_a_day_without_a_word_on_her_type() -> None:
    first, second = (
        [Record(10 * k, lat=55_000_001 + 500 * k, ship_type=kind) for k in range(9)] for kind in ("Cargo", None)
    )
    typed = [raw_table(first), raw_table(second, midnight=MIDNIGHT + 86_400)]
    days = [
        next(clean_day(iter([table]), DAY + timedelta(days=number), shards=1, repeat_seconds=120).tables)
        for number, table in enumerate(typed)
    ]
    static = {
        name: pa.nulls(18, schema.RAW_RECORDS.field(name).type)
        for name in schema.RAW_RECORDS.names
        if name not in typed[0].column_names
    }
    records = pa.concat_tables(typed)
    for name, blank in static.items():
        records = records.append_column(name, blank)
    vessels = next(vessel_table(records, validation_fraction=0.0, seed=1).tables)
    stream = tracks(iter(days), vessels=vessels_of_types(vessels, ["cargo"]))
    assert sum(table.num_rows for table in stream.tables) == 18
    assert stream.ledger.dropped["other_type"] == 0
    none = tracks(iter(days), vessels=vessels_of_types(vessels, ["Tanker"]))
    assert list(none.tables) == []
    assert (none.ledger.rows_in, none.ledger.dropped["other_type"]) == (18, 18)


def tracks(days: Iterator[pa.Table], vessels: NDArray[np.int32] | None = None) -> RecordStream:
    """Of these days, with the usual limits."""
    return build_tracks(
        days,
        max_gap_seconds=schema.MAX_GAP_SECONDS,
        max_speed_knots=50.0,
        min_track_positions=2,
        validation_fraction=0.0,
        seed=1,
        vessels=vessels,
    )
