"""What of this machine a process may use: cores, memory, compiled kernels; who lives on it, and what day it has.

Cores and memory are what the scheduler and the container allow.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from math import ceil
from pathlib import Path
from typing import Final

MOST_THREADS = 4
"""That a run uses of its own accord: more hold as many more shards in memory and hardly write faster."""

STAMP: Final = "kernels.json"
"""Beside the compiled kernels: of which sources they were made."""
_KERNEL: Final = re.compile(r"\bnjit\b")
_IMPORT: Final = re.compile(
    r"^\s*(?:from|import)\s+(ais_assets[\w.]*)(?:\s+import\s+(\([^)]*\)|[^#\n]+))?", re.MULTILINE
)

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


def utc_today() -> date:
    """The day it is in UTC, in which AIS days are, whatever this machine's time zone."""
    return datetime.now(UTC).date()


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


def forget_changed_kernels(package: Path) -> None:
    """Deletes compiled kernels of files that import, by whatever way, what has changed since they were compiled.

    numba compiles what a kernel calls into it, and constants that it uses, but looks for changes at the kernel's own
    file alone: after a `git pull` a kernel could go on computing by a rule that is gone, and say nothing.
    """
    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or package)
    stamp = (package / "__pycache__" if folder == package else folder) / STAMP
    signature = _signature(package)
    try:
        former = json.loads(stamp.read_text())
    except (OSError, ValueError):
        former = {}
    if former.get("signature") == signature:
        return
    kernels = _kernels(package)
    known = former.get("kernels", {})
    for module, digest in kernels.items():
        if known.get(module) != digest:
            for compiled in folder.rglob(f"{module.rpartition('.')[2]}.*.nb[ic]"):
                compiled.unlink(missing_ok=True)
    # Who cannot write here compiles for itself and keeps nothing.
    with contextlib.suppress(OSError):
        stamp.parent.mkdir(exist_ok=True)
        written = stamp.with_suffix(f".{os.getpid()}")
        written.write_text(json.dumps({"signature": signature, "kernels": kernels}))
        written.replace(stamp)


def _signature(package: Path) -> str:
    """Changes when a source file does: of names, sizes and times, which is quickly read."""
    files = [entry for entry in _files(package) if entry.name.endswith(".py")]
    found = sorted((entry.path, entry.stat().st_size, entry.stat().st_mtime_ns) for entry in files)
    return hashlib.sha256(repr(found).encode()).hexdigest()


def _files(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir() and entry.name != "__pycache__":
                yield from _files(entry.path)
            elif entry.is_file():
                yield entry


def _kernels(package: Path) -> dict[str, str]:
    """Of every module that compiles, a digest of its source and of all that it imports of this package."""
    sources = {
        ".".join((package.name, *path.relative_to(package).with_suffix("").parts)).removesuffix(".__init__"): (
            path.read_text()
        )
        for path in package.rglob("*.py")
    }
    return {module: _digest(module, sources) for module, text in sources.items() if _KERNEL.search(text)}


def _digest(module: str, sources: Mapping[str, str]) -> str:
    seen: set[str] = set()
    ahead = [module]
    while ahead:
        name = ahead.pop()
        if name not in seen:
            seen.add(name)
            ahead.extend(_imports(sources[name], sources))
    return hashlib.sha256("\0".join(sources[name] for name in sorted(seen)).encode()).hexdigest()


def _imports(text: str, sources: Mapping[str, str]) -> Iterator[str]:
    for of, names in _IMPORT.findall(text):
        yield from (of,) if of in sources else ()
        yield from (module for name in re.findall(r"\w+", names) if (module := f"{of}.{name}") in sources)
