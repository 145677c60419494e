"""The days of the range: what there is of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from ais_assets.io.lake import Lake
from ais_assets.settings import Settings
from ais_assets.transforms.quality import judged_days


@dataclass(frozen=True)
class Days:
    """The days of the range, by what there is of them; they add up.

    Attributes:
        wanted: days of the range.
        with_positions: whose clean records have rows.
        not_judged: of these, which too few days before them say what is usual for (`quality.departures`).
        empty: which were published and have no clean record.
        unpublished: which the source never had.
        not_made: which have not been landed, typed and cleaned, or are not in what is looked at.
    """

    wanted: int
    with_positions: int
    not_judged: int
    empty: int
    unpublished: int
    not_made: int

    def __str__(self) -> str:
        counts = {"unpublished": self.unpublished, "empty": self.empty, "not made": self.not_made}
        others = "".join(f", {days:,} {name}" for name, days in counts.items() if days)
        not_judged = f" ({self.not_judged:,} not judged by those before)" if self.not_judged else ""
        return f"{self.with_positions:,} of {self.wanted:,} days with positions{not_judged}{others}"


def days_of(lake: Lake, settings: Settings, among: Collection[str] | None = None) -> Days:
    """What there is of the days of the range, and (default: all) `among` these."""
    wanted = settings.day_keys
    landed, cleaned = lake.versions("raw_archives"), lake.versions("clean_records")
    archives = lake.entries_of("raw_archives", {day: landed[day] for day in wanted if day in landed}, damaged_too=True)
    unpublished = {day for day, entry in archives.items() if entry.facts.get("published") is False}
    made = [day for day in wanted if day in cleaned and day not in unpublished and (among is None or day in among)]
    accounts = lake.entries_of("clean_records", {day: cleaned[day] for day in made}, damaged_too=True)
    with_positions = [day for day, entry in accounts.items() if entry.ledger.rows_out > 0]
    measured = set(lake.partitions("daily_quality"))
    measured = [date.fromisoformat(day) for day in with_positions if day in measured]
    judged = judged_days(measured, settings.quality_days)
    return Days(
        len(wanted),
        len(with_positions),
        len(with_positions) - len(judged),
        len(made) - len(with_positions),
        len(unpublished),
        len(wanted) - len(made) - len(unpublished),
    )
