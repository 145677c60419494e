"""What of this machine a process may use: cores and memory, as the scheduler and the container allow; and who lives."""

from __future__ import annotations

import functools
import os
import stat
import tempfile
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


def own_temporary_folder() -> Path:
    """A folder of this user's below the temporary one, made if need be; nobody else can write there.

    Raises PermissionError where somebody else has made one of that name: what is in it cannot be trusted.
    """
    folder = Path(tempfile.gettempdir()) / f"ais_assets-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(
            f"{folder} was made by somebody else, or others can write to it: remove it, or set TMPDIR to a folder of "
            "your own"
        )
    return folder


def choose_kernel_cache(package: Path) -> None:
    """Lets numba keep compiled kernels where it can: beside the code, else in the user's or a temporary folder.

    A container whose file system is read-only has neither `__pycache__` nor a home, and numba refuses to import a
    kernel that it cannot keep. NUMBA_CACHE_DIR, where it is set, is left.
    """
    if "NUMBA_CACHE_DIR" in os.environ or os.access(package, os.W_OK):
        return
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    for folder in (lambda: home / "ais_assets", own_temporary_folder):
        try:
            cache = folder() / "kernels"
            cache.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(cache, os.W_OK):
            os.environ["NUMBA_CACHE_DIR"] = str(cache)
            return


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
