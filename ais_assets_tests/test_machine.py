"""Cores and memory as affinity and control groups allow them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ais_assets.machine import available_memory, is_alive, usable_cores
from ais_assets_tests.patience import PATIENCE_SECONDS


def machine(folder: Path, group: str, **limits: str) -> tuple[Path, Path]:
    """/proc and /sys/fs/cgroup of a process in a control group with these limits; 8 GiB available."""
    proc, groups = folder / "proc", folder / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text(f"4:memory:/old\n0::{group}\n")
    (proc / "meminfo").write_text("MemTotal: 16777216 kB\nMemAvailable:    8388608 kB\n")
    (groups / group.strip("/")).mkdir(parents=True, exist_ok=True)
    for name, limit in limits.items():
        (groups / name.replace("__", "/").replace("_", ".")).write_text(limit + "\n")
    return proc, groups


def test_without_limits_all_are_usable(tmp_path: Path) -> None:
    places = machine(tmp_path, "/", cpu_max="max 100000", memory_max="max")
    assert usable_cores(*places) == len(os.sched_getaffinity(0))
    assert available_memory(*places) == 8 << 30


def test_a_container_without_files_of_its_own(tmp_path: Path) -> None:
    places = machine(tmp_path, "/")
    assert usable_cores(*places) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("quota", ["50000 100000", "100000 100000"])
def test_a_quota_is_kept_to(tmp_path: Path, quota: str) -> None:
    assert usable_cores(*machine(tmp_path, "/", cpu_max=quota)) == 1


def test_limits_of_a_group_above_hold_too(tmp_path: Path) -> None:
    places = machine(tmp_path, "/pod/box", pod__cpu_max="100000 100000", pod__memory_max="1000", memory_max="2000")
    assert usable_cores(*places) == 1
    assert available_memory(*places) == 1000


def test_affinity_is_kept_to() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_a_killed_process_is_not_alive_though_its_parent_has_not_taken_note() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert is_alive(process.pid)
    process.send_signal(signal.SIGKILL)
    # Waits for its end, and leaves it to be waited for.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(process.pid)
    process.wait(timeout=PATIENCE_SECONDS)
    assert not is_alive(process.pid)
    assert is_alive(os.getpid())
