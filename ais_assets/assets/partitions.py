"""How datasets are cut, in Dagster's terms."""

from __future__ import annotations

from datetime import datetime, timedelta

from dagster import BackfillPolicy, DailyPartitionsDefinition, StaticPartitionsDefinition

from ais_assets.settings import Settings


def per_run(settings: Settings) -> BackfillPolicy:
    """Partitions a run of a backfill takes: few enough to spread and to retry."""
    return BackfillPolicy.multi_run(max_partitions_per_run=settings.partitions_per_run)


def days(settings: Settings) -> DailyPartitionsDefinition:
    """The days of the range, UTC, both ends included."""
    first = datetime.combine(settings.first_day, datetime.min.time())
    end = datetime.combine(settings.last_day + timedelta(days=1), datetime.min.time())
    return DailyPartitionsDefinition(start_date=first, end_date=end, timezone="UTC")


def shards(settings: Settings) -> StaticPartitionsDefinition:
    """The vessel shards: all days of 1/N of the vessels each."""
    return StaticPartitionsDefinition(settings.shard_keys)


def piles(settings: Settings) -> StaticPartitionsDefinition:
    """The piles of the global shuffle."""
    return StaticPartitionsDefinition(settings.pile_keys)
