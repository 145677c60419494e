"""What happens by itself: the newest day is fetched daily, and its records are parsed and cleaned as it arrives.

Tracks, windows and shards are not: a new day changes every one of them, so a team decides when the next
dataset is due and launches it.
"""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from dagster import (
    AssetSelection,
    AutomationConditionSensorDefinition,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    schedule,
    sensor,
)

from ais_assets.io.lake import Lake
from ais_assets.jobs import job_name
from ais_assets.resources.lake import LakeResource
from ais_assets.resources.source import SourceResource
from ais_assets.settings import Settings
from ais_assets.sources.source import SourceError

ARCHIVES_JOB = job_name("raw_archives")

_NEWEST_DAY = "Every morning at 6 UTC, lands the newest day that the source should have published by now."
_LATE_DAY = "Every hour, asks the source for days that were not there when they should have been, and lands them."

ASKING_SECONDS = 30.0
"""After which a tick asks for no further day: Dagster ends one after a minute, and a slow answer may take 20 s."""


def newest_day_schedule(settings: Settings) -> ScheduleDefinition:
    """Every morning, lands the newest day that should be published by now."""

    @schedule(
        job_name=ARCHIVES_JOB,
        cron_schedule="0 6 * * *",
        execution_timezone="UTC",
        name="newest_day",
        description=_NEWEST_DAY,
    )
    def newest_day(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        day = (context.scheduled_execution_time - timedelta(days=settings.published_after_days)).date()
        if not settings.first_day <= day <= settings.last_day:
            return SkipReason(
                f"{day} is outside AIS_FIRST_DAY {settings.first_day} to AIS_LAST_DAY {settings.last_day}"
            )
        return RunRequest(run_key=day.isoformat(), partition_key=day.isoformat())

    return newest_day


def late_day_sensor(settings: Settings) -> SensorDefinition:
    """Lands days that were not there when they should have been, once the source has them; asks every hour."""

    @sensor(job_name=ARCHIVES_JOB, name="late_day", minimum_interval_seconds=3600, description=_LATE_DAY)
    def late_day(
        context: SensorEvaluationContext, lake: LakeResource, source: SourceResource
    ) -> Iterator[RunRequest | SkipReason]:
        place, feed, today = lake.open(), source.open(), datetime.now(UTC).date()
        first = today - timedelta(days=settings.awaited_for_days)
        last = today - timedelta(days=settings.published_after_days)
        due = [day for day in settings.days if first <= day <= last]
        missing = _not_landed(place, due)
        end = time.monotonic() + ASKING_SECONDS
        asked, found, faults = 0, 0, list[str]()
        # Those after the last one asked for come first, so that a slow source comes to every day in some ticks.
        for day in sorted(missing, key=lambda day: (day.isoformat() <= (context.cursor or ""), day)):
            asked += 1
            try:
                published = feed.published(day)
            except SourceError as error:
                context.log.warning(f"{day} cannot be asked for: {error}")
                faults.append(f"{day}: {error}")
                published = False
            context.update_cursor(day.isoformat())
            if published:
                found += 1
                # A run that fails is tried again tomorrow, not every hour.
                yield RunRequest(run_key=f"{day} on {today}", partition_key=day.isoformat())
            if time.monotonic() > end:
                break
        if not found:
            trouble = f"; {len(faults)} could not be asked for, such as {faults[0]}" if faults else ""
            yield SkipReason(
                f"{len(missing)} of the {len(due)} days due are missing, and of {asked} that were asked for "
                f"the source has none{trouble}"
            )

    return late_day


def _not_landed(lake: Lake, days: list[date]) -> list[date]:
    """Those of the days that the lake does not have, or has as not published."""
    versions = lake.versions("raw_archives")
    keys = {day: day.isoformat() for day in days}
    landed = lake.entries_of("raw_archives", {key: versions[key] for key in keys.values() if key in versions})
    return [day for day, key in keys.items() if key not in landed or not landed[key].facts["published"]]


def new_day_sensor() -> AutomationConditionSensorDefinition:
    """Carries a landed day onward to its typed and its clean records and what they were like."""
    return AutomationConditionSensorDefinition(
        "new_day",
        target=AssetSelection.assets("raw_records", "clean_records", "daily_quality"),
        minimum_interval_seconds=60,
        description="Carries a landed day onward to its typed and its clean records and what they were like.",
    )
