"""How datasets are cut, in Dagster's terms."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from dagster import BackfillPolicy, DailyPartitionsDefinition, PartitionsDefinition, StaticPartitionsDefinition

from ais_assets.settings import Settings


@dataclass(frozen=True)
class Partitioning:
    """One kind of partition, and how a backfill takes it.

    Attributes:
        definition: which partitions there are.
        per_run: how many of them one run of a backfill takes.
    """

    definition: PartitionsDefinition[str]
    per_run: int

    @property
    def of_days(self) -> bool:
        """Whether they are days."""
        return isinstance(self.definition, DailyPartitionsDefinition)

    @property
    def backfill_policy(self) -> BackfillPolicy:
        """Runs of `per_run` partitions each: few enough to spread and to retry."""
        return BackfillPolicy.multi_run(max_partitions_per_run=self.per_run)


def days(settings: Settings) -> Partitioning:
    """The days of the range, UTC, both ends included."""
    first = datetime.combine(settings.first_day, datetime.min.time())
    end = datetime.combine(settings.last_day + timedelta(days=1), datetime.min.time())
    return Partitioning(
        DailyPartitionsDefinition(start_date=first, end_date=end, timezone="UTC"), settings.days_per_run
    )


def shards(settings: Settings) -> Partitioning:
    """The vessel shards: all days of 1/N of the vessels each."""
    return Partitioning(StaticPartitionsDefinition(settings.shard_keys), settings.shards_per_run)


def piles(settings: Settings) -> Partitioning:
    """The piles of the global shuffle."""
    return Partitioning(StaticPartitionsDefinition(settings.pile_keys), settings.piles_per_run)
