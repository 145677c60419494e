"""What happens by itself: the newest day is fetched daily, and its records are parsed and cleaned as it arrives; runs
that fail are told.

Tracks, windows and shards are not: a new day changes every one of them, so a team decides when the next
dataset is due and launches it.
"""

import time
from collections.abc import Iterator
from datetime import date, timedelta

from dagster import (
    AssetSelection,
    AutomationConditionSensorDefinition,
    DagsterEventType,
    DagsterInstance,
    DefaultSensorStatus,
    EventLogRecord,
    RunRequest,
    RunStatusChangeRecordsFilter,
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
from ais_assets.machine import utc_today
from ais_assets.operating.failures import NotToldError, run_failure, tell
from ais_assets.resources.lake import LakeResource
from ais_assets.resources.source import SourceResource
from ais_assets.settings import Settings
from ais_assets.sources.source import SourceError

ARCHIVES_JOB = job_name("raw_archives")

_NEWEST_DAY = "Every morning at 6 UTC, lands the newest day that the source should have published by now."
_LATE_DAY = "Every hour, asks the source for days that were not there when they should have been, and lands them."
_RUN_FAILURE = "Tells AIS_FAILURE_URL of each run of this instance that fails; on where that is set, else off."

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
        place, feed, today = lake.open(), source.open(), utc_today()
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


TOLD_IN_A_TICK = 4
"""Failures, at most: each may take `TELLING_SECONDS`, and Dagster ends a tick after a minute."""


def run_failure_sensor(settings: Settings) -> SensorDefinition:
    """Tells AIS_FAILURE_URL of each run that fails from its first tick on; looks every half minute.

    Dagster's own run_failure_sensor leaves out a failure that could not be told; this one asks again at its next tick.
    """
    address = settings.failure_url

    @sensor(
        name="run_failure",
        minimum_interval_seconds=30,
        default_status=DefaultSensorStatus.STOPPED if address is None else DefaultSensorStatus.RUNNING,
        description=_RUN_FAILURE,
    )
    def failed_runs(context: SensorEvaluationContext) -> SkipReason:
        if address is None:
            return SkipReason("AIS_FAILURE_URL is not set: nobody is told")
        if context.cursor is None:
            newest = _failures(context.instance, limit=1)
            context.update_cursor(str(newest[0].storage_id if newest else 0))
            return SkipReason("failures from now on are told")
        told = 0
        for record in _failures(context.instance, limit=TOLD_IN_A_TICK, after=int(context.cursor)):
            try:
                _tell_of(context.instance, record, settings, address.get_secret_value())
            except NotToldError as error:
                # A tick that raises keeps none of its cursor: those before would be told twice.
                if not told:
                    raise
                return SkipReason(f"{told} failures were told; {error}")
            context.update_cursor(str(record.storage_id))
            told += 1
        return SkipReason(f"{told} failures were told")

    return failed_runs


def _failures(instance: DagsterInstance, limit: int, after: int | None = None) -> list[EventLogRecord]:
    """Of runs: the first ones after this record, or the last ones."""
    wanted = RunStatusChangeRecordsFilter(DagsterEventType.RUN_FAILURE, after_storage_id=after)
    return list(instance.fetch_run_status_changes(wanted, limit=limit, ascending=after is not None).records)


def _tell_of(instance: DagsterInstance, record: EventLogRecord, settings: Settings, address: str) -> None:
    """Of one failure, unless its run has been deleted since."""
    run = instance.get_run_by_id(record.run_id)
    if run is not None:
        message = record.event_log_entry.get_dagster_event().message or ""
        tell(run_failure(instance, run, message, settings.day_keys), address)
