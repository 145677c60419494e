"""What happens by itself: the newest day is fetched daily, and its records are parsed and cleaned as it arrives.

Tracks, windows and shards are not: a new day changes every one of them, so a team decides when the next
dataset is due and launches it.
"""

from datetime import timedelta

from dagster import (
    AssetSelection,
    AutomationConditionSensorDefinition,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    schedule,
)
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from ais_assets.settings import Settings

PUBLICATION_LAG = timedelta(days=3)
"""The Danish authority publishes a day about three days later."""


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


def new_day_sensor() -> AutomationConditionSensorDefinition:
    """Carries a landed day onward to its typed and its clean records."""
    return AutomationConditionSensorDefinition(
        "new_day", target=AssetSelection.assets("raw_records", "clean_records"), minimum_interval_seconds=60
    )
