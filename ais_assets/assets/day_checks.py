"""Checks of days: whether they were published, parse, are of their day, and are like the days before."""

from collections.abc import Sequence
from datetime import date

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetsDefinition,
    MetadataValue,
    TableRecord,
    asset_check,
)

from ais_assets.assets.figures import figures
from ais_assets.io.entries import Entry
from ais_assets.io.lake import Lake
from ais_assets.publishing.accounts import differing_days
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

    @asset_check(asset=assets["raw_archives"], name="every_day_published")
    def every_day_published(context: AssetCheckExecutionContext, lake: LakeResource) -> AssetCheckResult:
        """Names the days of the run that the source never published; of every day when nothing but this runs."""
        place = lake.open()
        landed = _of_run(context, place, "raw_archives", settings)
        absent = [day for day, entry in landed.items() if not entry.facts["published"]]
        return AssetCheckResult(
            passed=not absent or settings.allow_lost_days,
            severity=AssetCheckSeverity.WARN,
            description=f"{len(absent)} of {len(landed)} days were never published: {_shown(absent)}"
            if absent
            else f"all {len(landed)} days are published",
            metadata={"days landed": len(landed), "days never published": absent},
        )

    @asset_check(asset=assets["raw_records"], name="most_rows_parse")
    def most_rows_parse(context: AssetCheckExecutionContext, lake: LakeResource) -> AssetCheckResult:
        """Names days of which more than AIS_MOST_LOST_SHARE of the rows were rejected."""
        place = lake.open()
        ledgers = {day: entry.ledger for day, entry in _of_run(context, place, "raw_records", settings).items()}
        lost = {day: (of_day.rows_dropped, of_day.rows_in) for day, of_day in ledgers.items()}
        return _little_lost("rows rejected", lost, settings.most_lost_share)

    @asset_check(asset=assets["clean_records"], name="most_records_are_of_their_day")
    def most_records_are_of_their_day(context: AssetCheckExecutionContext, lake: LakeResource) -> AssetCheckResult:
        """Names days of which more than AIS_MOST_LOST_SHARE of the records are of another day."""
        place = lake.open()
        ledgers = {day: entry.ledger for day, entry in _of_run(context, place, "clean_records", settings).items()}
        lost = {day: (of_day.dropped.get(OTHER_DAY, 0), of_day.rows_in) for day, of_day in ledgers.items()}
        return _little_lost("records of another day", lost, settings.most_lost_share)

    @asset_check(asset=assets["clean_records"], name="every_typed_record_is_accounted_for", blocking=True)
    def every_typed_record_is_accounted_for(
        context: AssetCheckExecutionContext, lake: LakeResource
    ) -> AssetCheckResult:
        """Clean rows in = typed rows out, of each day of the run; of every day when nothing but this runs."""
        place = lake.open()
        days = list(_of_run(context, place, "clean_records", settings))
        differing = differing_days(place, days)
        return AssetCheckResult(
            passed=not differing,
            description=f"typed records are not those seen by cleaning on {_shown(list(differing))}"
            if differing
            else f"cleaning has seen all typed records of {len(days)} days",
            metadata={"days": len(days), "differing": differing},
        )

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

    @asset_check(asset=assets["daily_quality"], name="most_hours_have_positions")
    def most_hours_have_positions(context: AssetCheckExecutionContext, lake: LakeResource) -> AssetCheckResult:
        """Names days with positions in fewer than AIS_LEAST_HOURS of their hours, which no day before need judge."""
        place = lake.open()
        days = _of_run(context, place, "daily_quality", settings)
        facts = {day: entry.facts for day, entry in days.items()}
        hours = {
            day: HOURS - int(of_day["hours_without_positions"])
            for day, of_day in facts.items()
            if "hours_without_positions" in of_day
        }
        thin = [day for day, with_positions in hours.items() if with_positions < settings.least_hours]
        shown = [f"{day} {hours[day]}" for day in thin]
        return AssetCheckResult(
            passed=not thin,
            severity=AssetCheckSeverity.WARN,
            description=f"positions in fewer than {settings.least_hours} hours: {_shown(shown)}"
            if thin
            else f"positions in {min(hours.values(), default=0)} hours of a day or more",
            metadata={"days": len(hours), "days without rows": len(days) - len(hours), "days of fewer": thin},
        )

    return [
        every_day_published,
        most_rows_parse,
        most_records_are_of_their_day,
        every_typed_record_is_accounted_for,
        like_the_days_before,
        most_hours_have_positions,
    ]


def _of_run(context: AssetCheckExecutionContext, lake: Lake, asset: str, settings: Settings) -> dict[str, Entry]:
    """The run's days that are there: other runs may not have come to theirs. All of them when only checks run."""
    of_run = context.has_partition_key or context.has_partition_key_range
    wanted = set(context.partition_keys if of_run else settings.day_keys)
    return lake.entries_of(asset, {day: of for day, of in sorted(lake.versions(asset).items()) if day in wanted})


def _little_lost(what: str, lost: dict[str, tuple[int, int]], most: float) -> AssetCheckResult:
    """Warns of the days that lost a larger share of rows than they may; by day, rows lost and rows in.

    A day without rows, such as one never published, is not judged.
    """
    shares = {day: rows / of for day, (rows, of) in lost.items() if of}
    over = [day for day, share in shares.items() if share > most]
    largest = max(shares.values(), default=0.0)
    return AssetCheckResult(
        passed=not over,
        severity=AssetCheckSeverity.WARN,
        description=f"{what}: {', '.join(f'{day} {shares[day]:.0%}' for day in over[:_DAYS_SHOWN])}"
        + (f" and {len(over) - _DAYS_SHOWN} more days" if len(over) > _DAYS_SHOWN else "")
        if over
        else f"{what}: at most {largest:.0%} of a day",
        metadata={
            "days": len(shares),
            "days not judged": len(lost) - len(shares),
            "largest share": largest,
            "days over it": over,
        },
    )


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
