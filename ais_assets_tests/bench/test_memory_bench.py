"""Each stage's peak memory at one size and fourfold, in processes of their own: always below its bound."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from ais_assets.bench import memory
from ais_assets.bench.memory import KEPT_BYTES, STAGES, Peak
from ais_assets.transforms.tracks import TABLE_POSITIONS

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")


@cache
def measured(stage: str, times: int) -> Peak:
    return memory.measured(stage, times)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("times", [1, 4])
def test_peak_memory_is_below_what_is_stated(stage: str, times: int) -> None:
    peak = measured(stage, times)
    assert peak.peak_bytes < peak.bound_bytes


# A shard is held whole by `track_shards`, and all piles' references here by `materialized_windows`, where the asset
# holds one's. What Arrow's allocator keeps while text is parsed grows for some millions of rows before it stays:
# these have their bounds alone.
@pytest.mark.parametrize(
    "stage", [stage for stage in STAGES if stage not in ("raw_records", "track_shards", "materialized_windows")]
)
def test_peak_memory_does_not_grow_fourfold(stage: str) -> None:
    once, fourfold = measured(stage, 1), measured(stage, 4)
    assert fourfold.rows == 4 * once.rows > 0
    assert fourfold.peak_bytes < once.peak_bytes + KEPT_BYTES


def test_a_shard_is_of_several_tables() -> None:
    once, fourfold = measured("track_shards", 1), measured("track_shards", 4)
    assert fourfold.rows == 4 * once.rows
    assert once.rows > 3 * TABLE_POSITIONS
