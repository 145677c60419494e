"""How datasets are cut, in Dagster's terms."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from dagster import BackfillPolicy, DailyPartitionsDefinition, PartitionsDefinition, StaticPartitionsDefinition

from ais_assets.io.layout import Cut
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
    def backfill_policy(self) -> BackfillPolicy:
        """Runs of `per_run` partitions each: few enough to spread and to retry."""
        return BackfillPolicy.multi_run(max_partitions_per_run=self.per_run)


def partitioning(cut: Cut | None, settings: Settings) -> Partitioning | None:
    """How an asset of these partitions is cut; None of one without."""
    match cut:
        case None:
            return None
        case Cut.DAY:
            return _days(settings)
        case Cut.SHARD:
            return Partitioning(StaticPartitionsDefinition(settings.shard_keys), settings.shards_per_run)
        case Cut.PILE:
            return Partitioning(StaticPartitionsDefinition(settings.pile_keys), settings.piles_per_run)


def _days(settings: Settings) -> Partitioning:
    """The days of the range, UTC, both ends included."""
    first = datetime.combine(settings.first_day, datetime.min.time())
    end = datetime.combine(settings.last_day + timedelta(days=1), datetime.min.time())
    return Partitioning(
        DailyPartitionsDefinition(start_date=first, end_date=end, timezone="UTC"), settings.days_per_run
    )
