"""Peak memory does not grow with days, shards and piles: each stage as it is and fourfold, in processes of their own.

What a run may use is one shard (`track_shards`), one table (`tracks`) or AIS_GATHER_GIGABYTES
(`materialized_windows`), each of which is the same in both runs. Held whole, the fourfold input would take some 200
MB more for `tracks` and 400 MB more for windows.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOLERANCE = 48_000_000
"""Bytes. What the allocators keep, and the references, 28 bytes for each window."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")


def rows_and_peak(stage: str, times: int) -> tuple[int, int]:
    """What `memory_job` prints."""
    command = [sys.executable, "-m", "ais_assets_tests.transforms.memory_job", stage, str(times)]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert printed.returncode == 0, printed.stderr
    rows, peak = printed.stdout.split()
    return int(rows), int(peak)


@pytest.mark.parametrize(("stage", "rows_times"), [("track_shards", 1), ("tracks", 4), ("materialized_windows", 4)])
def test_peak_memory_does_not_grow_fourfold(stage: str, rows_times: int) -> None:
    rows, peak = rows_and_peak(stage, 1)
    rows_fourfold, peak_fourfold = rows_and_peak(stage, 4)
    assert rows_fourfold == rows_times * rows > 0
    assert peak_fourfold < peak + TOLERANCE
