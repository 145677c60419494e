"""What happens by itself: the newest day is fetched daily, and its records are parsed and cleaned as it arrives.

Tracks, windows and shards are not: a new day changes every one of them, so a team decides when the next
dataset is due and launches it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from dagster import (
    AssetSelection,
    AutomationConditionSensorDefinition,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SensorDefinition,
    SkipReason,
    schedule,
    sensor,
)
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from ais_assets.io.lake import Lake
from ais_assets.resources.lake import LakeResource
from ais_assets.resources.source import SourceResource
from ais_assets.settings import Settings

PUBLICATION_LAG = timedelta(days=3)
"""The Danish authority publishes a day about three days later."""
LATEST_APPEARANCE = timedelta(days=60)
"""A day that has not appeared by then is taken for one that never will."""


def newest_day_schedule(settings: Settings, archives_job: UnresolvedAssetJobDefinition) -> ScheduleDefinition:
    """Every morning, lands the newest day that should be published by now."""

    @schedule(job=archives_job, cron_schedule="0 6 * * *", execution_timezone="UTC", name="newest_day")
    def newest_day(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        day = (context.scheduled_execution_time - PUBLICATION_LAG).date()
        if not settings.first_day <= day <= settings.last_day:
            return SkipReason(
                f"{day} is outside AIS_FIRST_DAY {settings.first_day} to AIS_LAST_DAY {settings.last_day}"
            )
        return RunRequest(run_key=day.isoformat(), partition_key=day.isoformat())

    return newest_day


def late_day_sensor(settings: Settings, archives_job: UnresolvedAssetJobDefinition) -> SensorDefinition:
    """Lands days that were not there when they should have been, once the source has them; asks every hour."""

    @sensor(job=archives_job, name="late_day", minimum_interval_seconds=3600)
    def late_day(lake: LakeResource, source: SourceResource) -> Iterator[RunRequest | SkipReason]:
        place, feed, today = lake.open(), source.open(), datetime.now(UTC).date()
        due = [day for day in settings.days if today - LATEST_APPEARANCE <= day <= today - PUBLICATION_LAG]
        missing = _not_landed(place, [day.isoformat() for day in due])
        late = [day for day in due if day.isoformat() in missing and feed.published(day)]
        if not late:
            yield SkipReason(f"{len(missing)} of the {len(due)} days due are missing, and the source has none of them")
        for day in late:
            # A run that fails is tried again tomorrow, not every hour.
            yield RunRequest(run_key=f"{day} on {today}", partition_key=day.isoformat())

    return late_day


def _not_landed(lake: Lake, days: list[str]) -> set[str]:
    """Those of the days that the lake does not have, or has as not published."""
    there = set(lake.partitions("raw_archives"))
    return {day for day in days if day not in there or not lake.manifest("raw_archives", day)["facts"]["published"]}


def new_day_sensor() -> AutomationConditionSensorDefinition:
    """Carries a landed day onward to its typed and its clean records and what they were like."""
    return AutomationConditionSensorDefinition(
        "new_day",
        target=AssetSelection.assets("raw_records", "clean_records", "daily_quality"),
        minimum_interval_seconds=60,
    )
