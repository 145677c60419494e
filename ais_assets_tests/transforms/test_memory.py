"""Peak memory does not grow with days, shards and piles: each stage at one size and fourfold, in other processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ais_assets.bench.memory import STAGES, measured

TOLERANCE = 48_000_000
"""Bytes. What the allocators keep, and the references, 28 bytes for each window."""
ROWS_TIMES = dict.fromkeys(STAGES, 4) | {"track_shards": 1}

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")


# All piles' references are held for `materialized_windows` here, where the asset holds one's. What Arrow's allocator
# keeps while text is parsed grows for some millions of rows before it stays: `raw_records` has its bound alone.
@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage not in ("raw_records", "materialized_windows")])
def test_peak_memory_does_not_grow_fourfold(stage: str) -> None:
    once, fourfold = measured(stage, 1), measured(stage, 4)
    assert fourfold.rows == ROWS_TIMES[stage] * once.rows > 0
    assert fourfold.peak_bytes < once.peak_bytes + TOLERANCE


@pytest.mark.parametrize("stage", STAGES)
def test_peak_memory_is_below_what_is_stated(stage: str) -> None:
    peak = measured(stage, 2)
    assert peak.peak_bytes < peak.bound_bytes + TOLERANCE
