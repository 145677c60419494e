"""Cleaning a day: usable vessel positions, one a vessel and second, by (shard, mmsi, t).

Each report that enters is kept or dropped by exactly one rule, the first of RULES that applies to it. Which
reports are kept depends on their values alone: not on their order, on how often each is repeated, or on how
the rows are cut into tables.

How: a report is packed into two integers whose order is (second, preference, values) (`reports/packed.py`), sorted by
shard and vessel (counting sorts) and within it, and then each rule is one pass over a vessel's reports.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, time
from typing import Any, Final

import numpy as np
import pyarrow as pa

from ais_assets import schema
from ais_assets.ledger import Ledger
from ais_assets.settings.region import Region
from ais_assets.stream import RecordStream
from ais_assets.transforms.pseudonyms import Pseudonyms
from ais_assets.transforms.reports.day_reports import DayReports
from ais_assets.transforms.reports.packed import TENTHS, TYPES, clean_table
from ais_assets.transforms.reports.places import LAND, ON_LAND, OUTSIDE_REGION, Places
from ais_assets.transforms.reports.row_rules import (
    NO_POSITION,
    NOT_A_VESSEL,
    OTHER_CLASS,
    OTHER_DAY,
    POSITION_AT_ZERO,
    RowRules,
)
from ais_assets.transforms.reports.vessel_rules import (
    EXACT_DUPLICATE,
    MOVING_KNOTS,
    REBROADCAST,
    SAME_SECOND,
    RepeatRule,
    judge_vessels,
    travel_within_step,
)

RULES: Final = (
    OTHER_DAY,
    NOT_A_VESSEL,
    OTHER_CLASS,
    NO_POSITION,
    POSITION_AT_ZERO,
    OUTSIDE_REGION,
    ON_LAND,
    EXACT_DUPLICATE,
    REBROADCAST,
    SAME_SECOND,
)
"""All rules in the order in which they are tried."""

NOTES: Final = ("vessels", "sog_missing", "cog_missing", "sog_out_of_range", "cog_out_of_range", LAND)
"""What the ledger notes beside the rules: vessels kept, rows kept without SOG or COG, usable positions that came with
an SOG or COG that cannot be, which is then missing, and usable positions on land that are not dropped for it."""


def clean_day(
    records: Iterator[pa.Table],
    day: date,
    *,
    shards: int,
    repeat_seconds: int,
    moving_knots: float = MOVING_KNOTS,
    ships_only: bool = True,
    classes: Collection[str] = (),
    drop_position_at_zero: bool = True,
    region: Region | None = None,
    land_metres: float | None = None,
    drop_on_land: bool = False,
    pseudonyms: Pseudonyms | None = None,
) -> RecordStream:
    """Drops what no model should see from a day's records, and sorts the rest.

    Args:
        records: `schema.RAW_RECORDS`, any number of tables; RAW_COLUMNS are needed. Read once, table by table.
        day: the day (UTC) that the records are of.
        shards: number of vessel shards, at least 1.
        repeat_seconds: how long a moving fix may be seen again to be a REBROADCAST; 0: keep them.
        moving_knots: SOG from which on a ship is under way; in steps of 0.1, above 0.
        ships_only: whether NOT_A_VESSEL is on.
        classes: mobile types to keep, the rest being OTHER_CLASS; none: keep all.
        drop_position_at_zero: whether POSITION_AT_ZERO is on.
        region: where positions are wanted, the others being OUTSIDE_REGION; None: everywhere.
        land_metres: how far inside land a position counts as there; None: that is not looked at.
        drop_on_land: whether it is then dropped, ON_LAND, or only noted.
        pseudonyms: what MMSIs are replaced by once the rules have seen them; None: they are kept.

    Returns:
        `schema.CLEAN_RECORDS`, exactly `shards` tables: table k holds the vessels of shard k by (mmsi, t), with at
        most one row a vessel and second. The ledger has a count for each of RULES and of NOTES.

    Raises:
        ValueError: at once, when a number is out of range or a class unknown; while the tables are read, when a
            record is not what RAW_RECORDS says: a column missing or of another type, a null or an unknown name
            where there can be none, a time that is not a whole second.
    """
    if shards < 1:
        raise ValueError(f"shards is {shards}; vessels need at least 1")
    if repeat_seconds < 0:
        raise ValueError(f"repeat_seconds is {repeat_seconds}; it must be 0 (keep rebroadcasts) or more")
    moving_sog = round(moving_knots * TENTHS)
    if moving_sog < 1:
        raise ValueError(f"moving_knots is {moving_knots}; it must be at least 0.1, the step of SOG")
    unknown = sorted(set(classes) - set(TYPES))
    if unknown:
        raise ValueError(f"classes holds {unknown}; known are {list(TYPES)}")
    rules = RowRules(
        _midnight(day),
        ships_only,
        np.array([not classes or kind in classes for kind in TYPES]),
        drop_position_at_zero,
        drop_on_land and land_metres is not None,
    )
    ledger = Ledger(dropped=dict.fromkeys(RULES, 0), notes=dict.fromkeys(NOTES, 0))
    facts: dict[str, Any] = {
        "day": day.isoformat(),
        "shards": shards,
        "repeat_seconds": repeat_seconds,
        "moving_knots": moving_knots,
        "ships_only": ships_only,
        "classes": sorted(classes),
        "drop_position_at_zero": drop_position_at_zero,
        "region": None if region is None else region.digest,
        "land_metres": land_metres,
        "drop_on_land": drop_on_land,
    }
    reports = DayReports(rules, Places(region, land_metres), shards, pseudonyms)
    repeats = RepeatRule(repeat_seconds, moving_sog, travel_within_step=0)
    tables = _clean_tables(records, reports, repeats, ledger, day.isoformat())
    return RecordStream(schema.CLEAN_RECORDS, tables, ledger, facts)


def _clean_tables(
    records: Iterator[pa.Table],
    reports: DayReports,
    repeats: RepeatRule,
    ledger: Ledger,
    where: str,
) -> Iterator[pa.Table]:
    for number, table in enumerate(records):
        place = f"{where}: records, table {number}"
        ledger.rows_in += table.num_rows
        for name, count in reports.take(table, place).items():
            (ledger.drop if name in RULES else ledger.note)(name, count)
    repeats = repeats._replace(travel_within_step=travel_within_step(reports.coordinate_step()))
    for mmsi, bounds, packed in reports.by_shard():
        starts, ends = bounds[:-1], bounds[1:].copy()
        duplicates, rebroadcasts, losers = judge_vessels(packed, starts, ends, repeats)
        ledger.drop(EXACT_DUPLICATE, duplicates)
        ledger.drop(REBROADCAST, rebroadcasts)
        ledger.drop(SAME_SECOND, losers)
        table = clean_table(packed, starts, ends, mmsi, reports.rules.midnight)
        ledger.rows_out += table.num_rows
        ledger.note("vessels", mmsi.size)
        ledger.note("sog_missing", table["sog_tenths"].null_count)
        ledger.note("cog_missing", table["cog_tenths"].null_count)
        yield table


def _midnight(day: date) -> int:
    """Unix time in milliseconds at which the day begins in UTC."""
    return int(datetime.combine(day, time(), UTC).timestamp()) * 1000
