"""What of this machine, the lake and the settings would keep a build or a training run from its end."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal

from dagster import DagsterInstance

from ais_assets.io.lake import Lake
from ais_assets.machine import available_memory, usable_cores
from ais_assets.operating.builders import others
from ais_assets.settings import Settings
from ais_assets.sources.source import Source, SourceError

Verdict = Literal["well", "warning", "fault"]

_LITTLE_DISK: Final = 10 << 30
"""Less is warned of: a day's archive and what is made of it take some gigabytes."""
_NO_DISK: Final = 1 << 30
_SHARED_MEMORY: Final = 1 << 28
"""Loader processes hand batches over there; containers have 64 MiB unless they are given more."""
_MOST_AHEAD_SECONDS: Final = 60.0
_REFUSED_SECONDS: Final = 900.0
"""S3 refuses requests that are further off (RequestTimeTooSkewed)."""
_SLOW_SECONDS: Final = 0.2
_LOOKS: Final = 7
_LITTLE_MEMORY: Final = 2 << 30
_DAY_SECONDS: Final = 86_400.0
_SAME_RELEASE: Final = ("dagster", "dagster-webserver")


@dataclass(frozen=True)
class Finding:
    """What was looked at, and whether it will do.

    Attributes:
        what: was looked at.
        verdict: "well", "warning" where it may not do, "fault" where it does not.
        found: in words.
    """

    what: str
    verdict: Verdict
    found: str


def examine(
    settings: Settings, lake: Callable[[], Lake], source: Callable[[], Source], home: Path
) -> Iterator[Finding]:
    """Looks at everything, one thing after the other; what fails is a finding.

    Args:
        settings: of the deployment.
        lake: opens it.
        source: opens it.
        home: Dagster's.
    """
    yield Finding("settings", "well", f"AIS_LAKE={settings.lake}, AIS_SOURCE={settings.source}")
    yield from _versions()
    yield _machine()
    yield from _disks(settings, home)
    yield from _tried("lake", lambda: _lake(lake()))
    yield from _tried("source", lambda: _source(source(), settings.first_day))
    yield from _tried("Dagster", lambda: _instance(home))


def _tried(what: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except (LookupError, OSError, ValueError, SourceError) as error:
        yield Finding(what, "fault", str(error))


def _versions() -> Iterator[Finding]:
    installed = {name: _version(name) for name in ("ais_assets", *_SAME_RELEASE, "pyarrow", "mosaicml-streaming")}
    shown = ", ".join(f"{name} {found or 'missing'}" for name, found in installed.items())
    differing = len({installed[name] for name in _SAME_RELEASE}) > 1
    missing = [name for name, found in installed.items() if found is None]
    cure = "; dagster and dagster-webserver must be of one release" if differing else ""
    yield Finding(
        "versions", "fault" if differing or missing else "well", f"Python {platform.python_version()}, {shown}{cure}"
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _machine() -> Finding:
    memory = available_memory()
    shown = "unknown" if memory is None else f"{memory / 1e9:,.1f} GB"
    little = memory is not None and memory < _LITTLE_MEMORY
    cure = "; a run may need more: see `ais plan`" if little else ""
    return Finding("machine", "warning" if little else "well", f"{usable_cores()} cores, {shown} of memory free{cure}")


def _disks(settings: Settings, home: Path) -> Iterator[Finding]:
    places = {"AIS_CACHE": settings.cache, "TMPDIR": Path(tempfile.gettempdir()), "DAGSTER_HOME": home}
    if "://" not in settings.lake:
        places = {"AIS_LAKE": Path(settings.lake), **places}
    for setting, place in places.items():
        yield _disk(setting, place.expanduser().absolute())
    shared = Path("/dev/shm")
    if sys.platform == "linux" and shared.is_dir():
        free = shutil.disk_usage(shared).free
        cure = "; loaders with worker processes need more: docker run --shm-size" if free < _SHARED_MEMORY else ""
        yield Finding(
            "shared memory", "warning" if free < _SHARED_MEMORY else "well", f"{free / 1e9:,.2f} GB free{cure}"
        )


def _disk(setting: str, place: Path) -> Finding:
    there = next(folder for folder in (place, *place.parents) if folder.exists())
    if not os.access(there, os.W_OK):
        return Finding(f"disk of {setting}", "fault", f"{there} cannot be written: set {setting} to a folder that can")
    free = shutil.disk_usage(there).free
    verdict: Verdict = "fault" if free < _NO_DISK else "warning" if free < _LITTLE_DISK else "well"
    cure = "" if verdict == "well" else f": make room, or set {setting} to another disk"
    return Finding(f"disk of {setting}", verdict, f"{free / 1e9:,.1f} GB free at {there}{cure}")


def _lake(lake: Lake) -> Iterator[Finding]:
    lake.store.try_out()
    yield Finding("lake", "well", f"{lake.uri} can be written, listed, read and deleted in")
    if (ahead := lake.store.clock_ahead_seconds()) is not None:
        off = abs(ahead)
        verdict: Verdict = "fault" if off > _REFUSED_SECONDS else "warning" if off > _MOST_AHEAD_SECONDS else "well"
        cure = "" if verdict == "well" else ": set it, since S3 refuses requests that are 15 minutes off"
        yield Finding("clock", verdict, f"{off:,.0f} s {'ahead of' if ahead > 0 else 'behind'} the server's{cure}")
    if lake.store.requests_cost:
        yield _publishing(lake)
        yield _latency(lake)
    yield _builds(lake)
    yield _left(lake)


def _publishing(lake: Lake) -> Finding:
    if lake.store.heeds_versions():
        return Finding("publishing", "well", "of two publications at once, the older one is refused")
    return Finding(
        "publishing",
        "warning",
        "the server does not look at If-None-Match, so that of two publications at once the older one may come last: "
        "let no two builds of this lake go on at once",
    )


def _latency(lake: Lake) -> Finding:
    seconds = []
    for _ in range(_LOOKS):
        began = time.perf_counter()
        lake.store.exists("no such object")
        seconds.append(time.perf_counter() - began)
    median = statistics.median(seconds)
    slow = median > _SLOW_SECONDS
    cure = ": is the bucket in another region than this machine?" if slow else ""
    return Finding("latency", "warning" if slow else "well", f"{1000 * median:,.0f} ms a request{cure}")


def _builds(lake: Lake) -> Finding:
    under_way = list(others(lake).values())
    return Finding(
        "builds", "well", "; ".join(f"built by {other}" for other in under_way) or "no other build is under way"
    )


def _left(lake: Lake) -> Finding:
    """Folders of files on their way, too, are left by killed runs: whoever publishes anything removes them."""
    before = lake.store.now() - _DAY_SECONDS
    uploads = sum(upload.since < before for upload in lake.store.unfinished_uploads())
    if not uploads:
        return Finding("leftovers", "well", "nothing that killed runs left a day ago")
    return Finding("leftovers", "warning", f"{uploads:,} uploads that killed runs left: `ais prune` removes them")


def _source(source: Source, day: date) -> Iterator[Finding]:
    published = source.published(day)
    found = f"it has {day}" if published else f"it can be asked, and has no {day}, the first day of the range"
    yield Finding("source", "well" if published else "warning", found)


def _instance(home: Path) -> Iterator[Finding]:
    with DagsterInstance.from_config(str(home)) as instance:
        runs = instance.get_runs_count()
        yield Finding("Dagster", "well", f"{runs:,} runs are recorded by {home}")
        if instance.telemetry_enabled:
            yield Finding("telemetry", "warning", f"on: write telemetry: {{enabled: false}} into {home}/dagster.yaml")
        if not instance.run_monitoring_enabled or not instance.run_monitoring_max_runtime_seconds:
            yield Finding(
                "run monitoring",
                "warning",
                f"{home}/dagster.yaml does not bound how long a run may take: see ais_assets/operating/dagster.yaml",
            )
