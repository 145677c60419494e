"""statistics.json: what the training windows and the tracks behind them are like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ais_assets.io.lake import Lake
from ais_assets.settings import Settings
from ais_assets.transforms.durations import WindowDurations
from ais_assets.transforms.statistics import WindowStatistics


def window_statistics(facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of each feature, and of how long windows last, by the facts of each pile of MDS shards."""
    return {
        "features": WindowStatistics.merged(WindowStatistics.from_json(of["statistics"]) for of in facts).summary(),
        "duration_seconds": WindowDurations.merged(
            WindowDurations.from_json(of["durations"]) for of in facts
        ).summary(),
    }


def track_intervals(lake: Lake, settings: Settings) -> dict[str, list[int]]:
    """The distribution of dt_seconds over all positions of all tracks, of training and validation vessels alike.

    Returns:
        edges and counts: counts[k] positions have edges[k − 1] < dt_seconds ≤ edges[k], and counts[0] of them, which
        begin a track, have none.

    Raises PartitionMissingError when a shard is missing, ValueError when shards were counted in different bins.
    """
    shards = settings.shard_keys
    intervals = {shard: entry.facts["dt_seconds"] for shard, entry in lake.entries("track_shards", shards).items()}
    edges = intervals[shards[0]]["edges"]
    for shard, of_shard in intervals.items():
        if of_shard["edges"] != edges:
            raise ValueError(
                f"track_shards[{shard}] counts dt_seconds up to {of_shard['edges']}, track_shards[{shards[0]}] up to "
                f"{edges}: materialize track_shards again"
            )
    counts = np.sum([of_shard["counts"] for of_shard in intervals.values()], axis=0)
    return {"edges": edges, "counts": counts.tolist()}
