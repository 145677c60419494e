"""How datasets are cut into partitions, and what these are called."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Self


@dataclass(frozen=True)
class Cutting:
    """The settings that name partitions.

    Attributes:
        first_day: the first, inclusive.
        last_day: the last, inclusive.
        shards: of vessels.
        piles: of the global shuffle.
    """

    first_day: date
    last_day: date
    shards: int
    piles: int

    @property
    def days(self) -> list[date]:
        """Every day of the range."""
        return [self.first_day + timedelta(days=k) for k in range((self.last_day - self.first_day).days + 1)]

    @property
    def day_keys(self) -> list[str]:
        """Names of the partitions that are days, in order: YYYY-MM-DD."""
        return [day.isoformat() for day in self.days]

    @property
    def shard_keys(self) -> list[str]:
        """Names of the partitions that are vessel shards, in order."""
        return [f"{shard:04d}" for shard in range(self.shards)]

    @property
    def pile_keys(self) -> list[str]:
        """Names of the partitions that are piles of windows, in order."""
        return [f"{pile:05d}" for pile in range(self.piles)]

    def to_json(self) -> bytes:
        """As one JSON object."""
        return (json.dumps(asdict(self), default=date.isoformat, sort_keys=True, indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """What `to_json` wrote. Raises ValueError, KeyError or TypeError for anything else."""
        said = json.loads(text)
        first, last = (date.fromisoformat(said[name]) for name in ("first_day", "last_day"))
        return cls(first, last, int(said["shards"]), int(said["piles"]))
