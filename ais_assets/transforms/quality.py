"""What a day's data were like, in figures that compare from day to day, and which days differ from those before.

The figures are one long table, a row a measure, so that a source's own reject reasons and every hour are measures
like any other: one rule judges them all, and one line of SQL draws any of them over time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.ledger import Ledger
from ais_assets.stream import RecordStream

COUNT: Final = "1"
SHARE: Final = "share"
SECONDS: Final = "second"

HOURS: Final = 24
REPORTED: Final = {
    "position": "lat_microdegrees",
    "sog": "sog_tenths",
    "cog": "cog_tenths",
    "heading": "heading",
    "nav_status": "nav_status",
}
"""Fields of a position report whose "not available" is counted, by the column that is null then."""
STATIC: Final = ("name", "callsign", "imo", "ship_type", "length")
"""Static fields of which it is counted how many vessels showed none all day."""
RAW_COLUMNS: Final = ("mmsi", *REPORTED.values(), *STATIC)
"""Columns of `schema.RAW_RECORDS` that `day_quality` needs."""
CLEAN_COLUMNS: Final = ("mmsi", "t")
"""Columns of `schema.CLEAN_RECORDS` that it needs."""

FEWEST_DAYS: Final = 7
"""Days without which there is no saying what is usual: a week, since traffic has a weekly rhythm."""
SMALLEST_SHARE: Final = 0.02
"""A share that changed by less is not worth a warning, however steady it was before: two percentage points."""
SMALLEST_CHANGE: Final = 0.25
"""Nor is any other measure that changed by less than this part of what is usual: weekends and weather do that, and
two quiet days a week do not show in the median absolute deviation."""

WARNED_DAYS: Final = 7
"""The newest days of which a departure is a warning. One looked at once a week shows; after that it is history."""

_SHARES: Final = ("rejected_", "dropped_", "no_", "vessels_without_")
"""What the names of measures begin with that are shares; others are counts, or seconds, as their names end."""
_OF_HOURS: Final = tuple(f"positions_{hour:02}h" for hour in range(HOURS))
_BY_HOUR: Final = "positions_by_hour"
"""The fact that holds those."""
_DAY_SECONDS: Final = 86_400
_MILLISECONDS: Final = 1_000
_DEVIATION_OF_MAD: Final = 1.4826
"""A normal distribution's standard deviation over its median absolute deviation: 1 / Φ⁻¹(3/4)."""


@dataclass(frozen=True)
class Departure:
    """A measure that is not what it was.

    Attributes:
        day: on which.
        measure: which.
        value: what it is.
        usual: its median over the days before.
        allowed: how far from that it may be.
    """

    day: date
    measure: str
    value: float
    usual: float
    allowed: float


def day_quality(
    day: date, raw: Iterator[pa.Table], clean: Iterator[pa.Table], raw_account: Ledger, clean_account: Ledger
) -> RecordStream:
    """A day's measures: volume, rejects and drops, fields not available, coverage by hour, reporting interval.

    Args:
        day: which.
        raw: its typed records; RAW_COLUMNS are read.
        clean: its clean records, each vessel in one table, by (mmsi, t); CLEAN_COLUMNS are read.
        raw_account: what became of the file's rows.
        clean_account: what became of the typed records.

    Returns:
        `schema.DAILY_QUALITY`, one table, empty for a day without rows. Shares are of the file's rows
        (`rejected_…`), of typed records (`dropped_…`, `no_…`), or of vessels (`vessels_without_…`). The ledger is
        the day's whole account: the file's rows in, clean positions out, dropped by reason and by rule. Facts: the
        measures, hours in one list.

    Raises:
        ValueError: when cleaning took in other records than parsing gave.
    """
    if raw_account.rows_out != clean_account.rows_in:
        raise ValueError(
            f"{day}: parsing gave {raw_account.rows_out:,} records and cleaning took in {clean_account.rows_in:,}: "
            "materialize clean_records of this day again"
        )
    ledger = Ledger(raw_account.rows_in, clean_account.rows_out)
    for account in (raw_account, clean_account):
        for rule, rows in account.dropped.items():
            ledger.drop(rule, rows)
    measures = _measures(raw, clean, raw_account, clean_account) if raw_account.rows_in else {}
    table = pa.table(
        [
            pa.array([day] * len(measures), pa.date32()),
            list(measures),
            pa.array(list(measures.values()), pa.float64()),
            pa.array([_unit(measure) for measure in measures], pa.string()),
        ],
        schema.DAILY_QUALITY,
    )
    return RecordStream(schema.DAILY_QUALITY, iter([table]), ledger, _facts(measures))


def measures_of_facts(facts: Mapping[date, Mapping[str, Any]]) -> pa.Table:
    """The measures of days by the facts that their partitions carry, for which no rows need be read.

    Args:
        facts: as `day_quality` gave them, among others, which are no numbers.

    Returns:
        `schema.DAILY_QUALITY`: the rows of these days, but for the order of a day's measures.
    """
    rows = [
        (day, measure, float(value))
        for day, of_day in facts.items()
        for measure, value in {**of_day, **dict(zip(_OF_HOURS, of_day.get(_BY_HOUR, ()), strict=False))}.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    days, measures, values = zip(*rows, strict=True) if rows else ((), (), ())
    units = [_unit(measure) for measure in measures]
    return pa.table(
        [
            pa.array(days, pa.date32()),
            pa.array(measures, pa.string()),
            pa.array(values, pa.float64()),
            pa.array(units, pa.string()),
        ],
        schema.DAILY_QUALITY,
    )


def departures(quality: pa.Table, *, days: int, deviations: float) -> list[Departure]:
    """Measures that depart from the days before, the latest day first.

    The rule: a measure departs when it is further from its median over the `days` days before than `deviations`
    robust standard deviations (1.4826 times the median absolute deviation, which a few odd days among them do not
    move: Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993), and by more than SMALLEST_SHARE or, if it is
    no share, SMALLEST_CHANGE of the median. A measure that fewer than FEWEST_DAYS of those days have is not judged.

    Args:
        quality: `schema.DAILY_QUALITY` of any days, in any order.
        days: how many days before each one say what is usual.
        deviations: how far from usual is too far. Iglewicz and Hoaglin take 3.5 for a single measure; for some fifty
            measures a day a greater one keeps chance from ringing.

    Raises:
        ValueError: when `days` is less than FEWEST_DAYS or `deviations` is not above 0.
    """
    if days < FEWEST_DAYS or deviations <= 0:
        raise ValueError(f"days is {days} and deviations {deviations}; at least {FEWEST_DAYS} and above 0")
    values: defaultdict[str, dict[date, float]] = defaultdict(dict)
    units: dict[str, str] = {}
    for row in quality.to_pylist():
        values[row["measure"]][row["day"]] = row["value"]
        units[row["measure"]] = row["unit"]
    found = []
    for measure, by_day in values.items():
        for day, value in by_day.items():
            earlier = (day - timedelta(days=back) for back in range(1, days + 1))
            before = [by_day[other] for other in earlier if other in by_day]
            if len(before) < FEWEST_DAYS:
                continue
            usual, allowed = _band(np.array(before), units[measure], deviations)
            if abs(value - usual) > allowed:
                found.append(Departure(day, measure, value, usual, allowed))
    return sorted(found, key=lambda departure: (-departure.day.toordinal(), departure.measure))


def judged_days(measured: Collection[date], days: int) -> set[date]:
    """Those of the days with measures that `departures` judges: FEWEST_DAYS of the `days` before have some, too."""
    known = set(measured)
    return {
        day for day in known if sum(day - timedelta(days=back) in known for back in range(1, days + 1)) >= FEWEST_DAYS
    }


def newest(found: list[Departure], quality: pa.Table) -> list[Departure]:
    """Those of the departures that are on the last WARNED_DAYS days, counted back from the newest in `quality`."""
    if not found:
        return []
    first = max(quality["day"].to_pylist()) - timedelta(days=WARNED_DAYS - 1)
    return [departure for departure in found if departure.day >= first]


def _band(before: NDArray[np.float64], unit: str, deviations: float) -> tuple[float, float]:
    """What is usual, and how far from it is still unremarkable."""
    usual = float(np.median(before))
    deviation = _DEVIATION_OF_MAD * float(np.median(np.abs(before - usual)))
    smallest = SMALLEST_SHARE if unit == SHARE else SMALLEST_CHANGE * abs(usual)
    return usual, max(deviations * deviation, smallest)


def _measures(
    raw: Iterator[pa.Table], clean: Iterator[pa.Table], raw_account: Ledger, clean_account: Ledger
) -> dict[str, float]:
    vessels, by_hour, intervals = _reporting(clean)
    missing, described = _availability(raw)
    records = raw_account.rows_out
    measures: dict[str, float] = {
        "source_rows": raw_account.rows_in,
        "records": records,
        "positions": clean_account.rows_out,
        "vessels": len(vessels),
        "hours_without_positions": int(np.count_nonzero(by_hour == 0)),
    }
    interval = _median(intervals)
    if interval is not None:
        measures["median_interval_seconds"] = interval
    for reason, rows in raw_account.dropped.items():
        measures[f"rejected_{reason}"] = rows / raw_account.rows_in
    if records:
        for rule, rows in clean_account.dropped.items():
            measures[f"dropped_{rule}"] = rows / records
        for field, rows in missing.items():
            measures[f"no_{field}"] = rows / records
    if vessels:
        for field, showed in described.items():
            measures[f"vessels_without_{field}"] = len(vessels - showed) / len(vessels)
    for hour, positions in enumerate(by_hour.tolist()):
        measures[f"positions_{hour:02}h"] = positions
    return measures


def _unit(measure: str) -> str:
    if measure.startswith(_SHARES):
        return SHARE
    return SECONDS if measure.endswith("_seconds") else COUNT


def _facts(measures: Mapping[str, float]) -> dict[str, Any]:
    facts: dict[str, Any] = {name: value for name, value in measures.items() if name not in _OF_HOURS}
    if measures:
        facts[_BY_HOUR] = [measures[name] for name in _OF_HOURS]
    return facts


def _reporting(clean: Iterator[pa.Table]) -> tuple[set[int], NDArray[np.int64], NDArray[np.int64]]:
    """Vessels; positions by hour (UTC); and how often each number of seconds lay between a vessel's positions."""
    vessels: set[int] = set()
    by_hour = np.zeros(HOURS, np.int64)
    intervals = np.zeros(_DAY_SECONDS, np.int64)
    for table in clean:
        mmsi = table["mmsi"].to_numpy()
        second = table["t"].cast(pa.int64()).to_numpy() // _MILLISECONDS
        vessels.update(np.unique(mmsi).tolist())
        by_hour += np.bincount(second % _DAY_SECONDS // (_DAY_SECONDS // HOURS), minlength=HOURS)
        between = np.diff(second)[mmsi[1:] == mmsi[:-1]]
        intervals += np.bincount(between, minlength=_DAY_SECONDS)
    return vessels, by_hour, intervals


def _availability(raw: Iterator[pa.Table]) -> tuple[dict[str, int], dict[str, set[int]]]:
    """Records without each of REPORTED, and the senders that showed each of STATIC."""
    missing = dict.fromkeys(REPORTED, 0)
    described: dict[str, set[int]] = {column: set() for column in STATIC}
    for table in raw:
        for field, column in REPORTED.items():
            missing[field] += table[column].null_count
        for column, senders in described.items():
            senders.update(table["mmsi"].filter(table[column].is_valid()).to_pylist())
    return missing, described


def _median(counts: NDArray[np.int64]) -> float | None:
    """The median of numbers of which each k occurs counts[k] times; None where there are none."""
    total = int(counts.sum())
    if not total:
        return None
    ends = np.cumsum(counts)
    low, high = np.searchsorted(ends, [(total - 1) // 2, total // 2], side="right")
    return float(low + high) / 2
