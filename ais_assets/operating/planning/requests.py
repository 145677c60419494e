"""What a stage asks of S3: how many requests, and how many answers are waited for one after the other.

Counted by `ais bench requests`, a stage's run at a time, in lakes of several sizes. What is read of many partitions is
asked for side by side, so that so many answers take as long as one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ais_assets.io.entries import AT_ONCE
from ais_assets.operating.planning.workload import Work

_PART_BYTES: Final = 1 << 23
"""Of what is read or written in one request, at most."""
_PARTS_AT_ONCE: Final = 8


@dataclass(frozen=True)
class _Asks:
    """Requests of a stage.

    Attributes:
        run: of each run, one after the other.
        partition: of each partition, one after the other.
        run_beside: of each run, side by side: so many of each "days", "shards" or "piles" there are.
        partition_beside: of each partition, likewise.
    """

    run: int
    partition: int = 0
    run_beside: Mapping[str, int] = field(default_factory=dict)
    partition_beside: Mapping[str, int] = field(default_factory=dict)


_OF_WINDOWS: Final = _Asks(12, 0, {"shards": 3})
_ASKS: Final[Mapping[str, _Asks]] = {
    "raw_records": _Asks(4, 9),
    "clean_records": _Asks(7, 6),
    "vessels": _Asks(37, 0, {"days": 4}),
    "daily_quality": _Asks(37, 10),
    "track_shards": _Asks(5, 9, {"days": 1}, {"days": 1}),
    "tracks": _Asks(14, 5),
    "window_piles": _Asks(4, 5),
    "validation": _OF_WINDOWS,
    "holdout": _OF_WINDOWS,
    "test": _OF_WINDOWS,
    "materialized_windows": _Asks(11, 5, {"shards": 1}, {"shards": 1}),
    "mds_shards": _Asks(11, 7, {"shards": 1}, {"shards": 1}),
    "dead_reckoning": _Asks(12),
    "training_dataset": _Asks(246, 0, {"days": 4, "shards": 16, "piles": 8}),
}


@dataclass(frozen=True)
class Requests:
    """Of all runs of a stage.

    Attributes:
        count: of requests.
        answers: that are waited for one after the other, as if one process did it all.
    """

    count: float = 0.0
    answers: float = 0.0


def requests_of(asset: str, runs: int, partitions: int, moved_bytes: float, work: Work) -> Requests:
    """Of an asset's partitions in so many runs, which move so many bytes; none where it is not known."""
    asks = _ASKS.get(asset)
    if asks is None:
        return Requests()
    there = {"days": work.load.days, "shards": work.shards, "piles": work.piles}
    alone = runs * asks.run + partitions * asks.partition
    of_run, of_partition = (
        sum(times * there[what] for what, times in of.items()) for of in (asks.run_beside, asks.partition_beside)
    )
    beside = runs * of_run + partitions * of_partition
    parts = moved_bytes / _PART_BYTES
    return Requests(alone + beside + parts, alone + beside / AT_ONCE + parts / _PARTS_AT_ONCE)
