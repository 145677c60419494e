"""What of this machine a process may use: cores and memory, as the scheduler and the container allow; and who lives."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from math import ceil
from pathlib import Path

MOST_THREADS = 4
"""That a run uses of its own accord: more hold as many more shards in memory and hardly write faster."""

_PROC = Path("/proc")
_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_NO_LIMIT = "max"


def usable_cores(proc: Path = _PROC, control_groups: Path = _CONTROL_GROUPS) -> int:
    """Cores that this process may run on at a time: its affinity, and the quota of its control groups (v2)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for limit in _limits("cpu.max", proc, control_groups):
        quota, period = limit.split()
        if quota != _NO_LIMIT:
            cores = min(cores, ceil(int(quota) / int(period)))
    return max(1, cores)


def available_memory(proc: Path = _PROC, control_groups: Path = _CONTROL_GROUPS) -> int | None:
    """Bytes that processes can take without others losing theirs, the limit of control groups (v2) at most.

    None on a system that does not say.
    """
    if not (proc / "meminfo").exists():
        return None
    lines = (proc / "meminfo").read_text().splitlines()
    available = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    limits = [int(limit) for limit in _limits("memory.max", proc, control_groups) if limit != _NO_LIMIT]
    return min([available, *limits])


@functools.cache
def boot_id() -> str:
    """A name for the time since the machine was started; empty where the system has none."""
    path = _PROC / "sys/kernel/random/boot_id"
    return path.read_text().strip() if path.is_file() else ""


def is_alive(process: int) -> bool:
    """Whether there is such a process, and not just what is left of it until its parent has taken note."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        status = (_PROC / str(process) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        # It has ended since, or this system does not say.
        return not (_PROC / "self").exists()
    return status.rpartition(")")[2].split()[0] != "Z"


def _limits(name: str, proc: Path, control_groups: Path) -> Iterator[str]:
    """What this file says in this process's control group and in all those above it that have one."""
    groups = proc / "self" / "cgroup"
    lines = groups.read_text().splitlines() if groups.exists() else []
    for own in (line.removeprefix("0::/") for line in lines if line.startswith("0::/")):
        for folder in (Path(own), *Path(own).parents):
            file = control_groups / folder / name
            if file.exists():
                yield file.read_text().strip()
