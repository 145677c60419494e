"""Names of the partitions: days of the source, shards of vessels, piles of windows. Without Dagster."""

from __future__ import annotations

from datetime import date

from ais_assets.settings import Settings


def day_keys(settings: Settings) -> list[str]:
    """Names of the days, in order: YYYY-MM-DD."""
    return [day.isoformat() for day in settings.days]


def shard_keys(settings: Settings) -> list[str]:
    """Names of the vessel shards, in order."""
    return [f"{shard:04d}" for shard in range(settings.shards)]


def pile_keys(settings: Settings) -> list[str]:
    """Names of the piles, in order."""
    return [f"{pile:05d}" for pile in range(settings.piles)]


def day_of(key: str) -> date:
    """The day that a key names."""
    return date.fromisoformat(key)
