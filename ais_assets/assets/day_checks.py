"""Checks of days: whether they were published, parse, are of their day, and are like the days before."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetsDefinition,
    MetadataValue,
    TableRecord,
    asset_check,
)

from ais_assets.assets.day_verdicts import Verdict, check_of_each_day
from ais_assets.assets.figures import figures
from ais_assets.io.entries import Entry
from ais_assets.io.lake import Lake
from ais_assets.publishing.figure_data import daily_counts, recent_days
from ais_assets.resources.lake import LakeResource
from ais_assets.settings import Settings
from ais_assets.transforms.quality import (
    HOURS,
    WARNED_DAYS,
    Departure,
    departures,
    judged_days,
    measures_of_facts,
    newest,
)
from ais_assets.transforms.reports.row_rules import OTHER_DAY


def day_checks(settings: Settings, assets: dict[str, AssetsDefinition]) -> list[AssetChecksDefinition]:
    """Those of archives, records and their quality."""

    @check_of_each_day(assets["raw_archives"], settings)
    def every_day_published(_: Lake, days: Mapping[str, Entry]) -> dict[str, Verdict]:
        """Whether the source ever published the day; AIS_ALLOW_LOST_DAYS=true lets it be absent."""
        return {day: _published(entry, settings) for day, entry in days.items()}

    @check_of_each_day(assets["raw_records"], settings)
    def most_rows_parse(_: Lake, days: Mapping[str, Entry]) -> dict[str, Verdict]:
        """Whether no more than AIS_MOST_LOST_SHARE of the day's rows were rejected."""
        ledgers = {day: entry.ledger for day, entry in days.items()}
        return {
            day: _little_lost("rows rejected", of.rows_dropped, of.rows_in, settings.most_lost_share)
            for day, of in ledgers.items()
        }

    @check_of_each_day(assets["clean_records"], settings)
    def most_records_are_of_their_day(_: Lake, days: Mapping[str, Entry]) -> dict[str, Verdict]:
        """Whether no more than AIS_MOST_LOST_SHARE of the day's records are of another day."""
        ledgers = {day: entry.ledger for day, entry in days.items()}
        return {
            day: _little_lost(
                "records of another day", of.dropped.get(OTHER_DAY, 0), of.rows_in, settings.most_lost_share
            )
            for day, of in ledgers.items()
        }

    @check_of_each_day(assets["clean_records"], settings, blocking=True)
    def every_typed_record_is_accounted_for(lake: Lake, days: Mapping[str, Entry]) -> dict[str, Verdict]:
        """Clean rows in = typed rows out."""
        typed = lake.ledgers("raw_records", days)
        return {day: _all_seen(typed[day].rows_out, entry.ledger.rows_in) for day, entry in days.items()}

    @asset_check(asset=assets["daily_quality"], name="like_the_days_before")
    def like_the_days_before(lake: LakeResource) -> AssetCheckResult:
        """Names the measures of days that depart from the month behind them; `quality.departures` has the rule.

        Warns of the newest week only, so that an odd day is no warning for good; older ones stay in the table. Figures
        show the last days of the lake, which Dagster's own plots, of the 120 days before today, may not reach.
        """
        place = lake.open()
        versions = place.versions("daily_quality")
        days = sorted(versions.keys() & set(settings.day_keys))
        entries = place.entries_of("daily_quality", {day: versions[day] for day in days})
        quality = measures_of_facts({date.fromisoformat(day): entry.facts for day, entry in entries.items()})
        found = departures(quality, days=settings.quality_days, deviations=settings.quality_deviations)
        new = newest(found, quality)
        measured = set(quality["day"].to_pylist())
        judged = judged_days(measured, settings.quality_days)
        metadata: dict[str, MetadataValue] = {
            "days": MetadataValue.int(len(days)),
            "days without rows": MetadataValue.int(len(days) - len(measured)),
            "days judged": MetadataValue.int(len(judged)),
            "days not judged": MetadataValue.int(len(measured) - len(judged)),
            "days that depart": MetadataValue.int(len({departure.day for departure in found})),
            f"of the newest {WARNED_DAYS} days": MetadataValue.int(len({departure.day for departure in new})),
        }
        if found:
            metadata["latest"] = MetadataValue.table(
                [_departure_row(departure) for departure in found[:_DEPARTURES_SHOWN]]
            )
        metadata |= _trends(place, days, settings)
        departing = sorted({departure.day.isoformat() for departure in new})
        return AssetCheckResult(
            passed=not new,
            severity=AssetCheckSeverity.WARN,
            description=f"unlike the days before: {_shown(departing)}"
            if departing
            else f"the newest days are like those before; of {len(days)} days {len(judged)} were judged, "
            f"{len(measured) - len(judged)} have too few before them, {len(days) - len(measured)} have no rows",
            metadata=metadata,
        )

    @check_of_each_day(assets["daily_quality"], settings)
    def most_hours_have_positions(_: Lake, days: Mapping[str, Entry]) -> dict[str, Verdict]:
        """Whether there are positions in AIS_LEAST_HOURS hours of the day or more, which no day before need judge."""
        return {day: _hours(entry.facts, settings.least_hours) for day, entry in days.items()}

    return [
        every_day_published,
        most_rows_parse,
        most_records_are_of_their_day,
        every_typed_record_is_accounted_for,
        like_the_days_before,
        most_hours_have_positions,
    ]


def _published(entry: Entry, settings: Settings) -> Verdict:
    if entry.facts["published"]:
        return Verdict(True, "published")
    return Verdict(settings.allow_lost_days, "never published by the source")


def _little_lost(what: str, lost: int, of: int, most: float) -> Verdict:
    """Of a day that lost so many of its rows; one without any, such as one never published, is not judged."""
    if not of:
        return Verdict(True, f"{what}: no rows to judge")
    share = lost / of
    return Verdict(share <= most, f"{what}: {share:.0%}, {lost:,} of {of:,}", {"share": share})


def _all_seen(typed: int, seen: int) -> Verdict:
    told = f"cleaning has seen all {typed:,}" if typed == seen else f"{typed:,}, and cleaning has seen {seen:,}"
    return Verdict(typed == seen, f"typed records: {told}", {"typed": typed, "seen by cleaning": seen})


def _hours(facts: Mapping[str, Any], least: int) -> Verdict:
    if "hours_without_positions" not in facts:
        return Verdict(True, "no rows to judge")
    hours = HOURS - int(facts["hours_without_positions"])
    found = Verdict(True, f"positions in {hours} of {HOURS} hours", {"hours with positions": hours})
    return found if hours >= least else replace(found, passed=False, told=f"{found.told}, fewer than {least}")


def _shown(days: Sequence[str]) -> str:
    """The first of them by name."""
    more = f" and {len(days) - _DAYS_SHOWN} more" if len(days) > _DAYS_SHOWN else ""
    return ", ".join(days[:_DAYS_SHOWN]) + more


def _trends(lake: Lake, days: Sequence[str], settings: Settings) -> dict[str, MetadataValue]:
    """Figures of the last of these days, beside each other."""
    from ais_assets.publishing.describing import pictures_of_days  # noqa: PLC0415 - loads matplotlib

    return figures(pictures_of_days(daily_counts(lake, recent_days(settings, days, _DAYS_DRAWN))))


_DAYS_SHOWN = 10
_DAYS_DRAWN = 400
"""The last ones of the lake: a year and some more."""
_DEPARTURES_SHOWN = 50
"""In the UI."""


def _departure_row(departure: Departure) -> TableRecord:
    return TableRecord(
        {
            "day": departure.day.isoformat(),
            "measure": departure.measure,
            "value": departure.value,
            "usual": departure.usual,
            "allowed either way": departure.allowed,
        }
    )
