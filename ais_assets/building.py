"""Builds every stage in order, over all partitions, on the cores of this machine.

What the UI's backfill does through the daemon, done directly: each task is a Dagster run over a range of one
asset's partitions, in a process of its own, recorded in the same instance.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from dagster import (
    AssetCheckSeverity,
    AssetKey,
    DagsterInstance,
    DagsterRunStatus,
    ExecuteInProcessResult,
    RunsFilter,
)
from dagster._core.instance.ref import InstanceRef
from dagster_shared.error import SerializableErrorInfo

from ais_assets.partition_keys import day_keys, pile_keys, shard_keys
from ais_assets.settings import Settings

STAGES = (
    ("raw_archives",),
    ("raw_records",),
    ("clean_records",),
    ("vessels", "daily_quality", "track_shards"),
    ("tracks", "window_piles"),
    ("validation", "holdout", "materialized_windows"),
    ("mds_shards",),
    ("training_dataset",),
    ("dead_reckoning",),
)
"""Assets in the order they are built; those of one stage at the same time."""

OF_DAYS = ("raw_archives", "raw_records", "clean_records", "daily_quality")
"""Assets partitioned by day."""

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
BUILDER = "ais/builder"


class BuildError(RuntimeError):
    """A run or a check of it failed; the message holds its cause."""


@dataclass(frozen=True)
class Task:
    """One run: a range of an asset's partitions, or the whole of an unpartitioned asset."""

    asset: str
    partitions: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.partitions:
            return self.asset
        first, last = self.partitions[0], self.partitions[-1]
        return f"{self.asset}[{first}]" if first == last else f"{self.asset}[{first} … {last}]"


@dataclass(frozen=True)
class Done:
    """A task's end."""

    task: Task
    run_id: str
    seconds: float
    error: str | None


def partition_keys(asset: str, settings: Settings) -> list[str]:
    """The partitions of an asset, in order; none for an unpartitioned one."""
    if asset in OF_DAYS:
        return day_keys(settings)
    if asset in ("track_shards", "tracks", "window_piles"):
        return shard_keys(settings)
    if asset in ("materialized_windows", "mds_shards"):
        return pile_keys(settings)
    return []


def tasks_of(asset: str, keys: Sequence[str], workers: int, largest: int = 16) -> list[Task]:
    """Cuts an asset's partitions into runs: enough for every worker to have some, none over `largest`."""
    if not keys:
        return [Task(asset)]
    size = max(1, min(largest, -(-len(keys) // (2 * workers))))
    return [Task(asset, tuple(keys[start : start + size])) for start in range(0, len(keys), size)]


def build(
    settings: Settings,
    instance: DagsterInstance,
    *,
    days: Sequence[str] | None = None,
    assets: Iterable[str] | None = None,
    workers: int | None = None,
    on_start: Callable[[str, int], None] = lambda asset, partitions: None,
    on_done: Callable[[Done], None] = lambda done: None,
) -> None:
    """Materializes the assets (default: all) stage by stage; of the days only `days` (default: all).

    Args:
        settings: must be those of the environment, which the runs read.
        instance: where runs and materializations are recorded.
        days: partition keys of the days to build.
        assets: names of the assets to build.
        workers: processes; default: one a core.
        on_start: called with each asset's name and number of partitions.
        on_done: called after each run.

    Raises BuildError after the stage in which a run failed; later stages are not begun.
    """
    workers = workers or os.cpu_count() or 1
    chosen = set(assets) if assets is not None else {asset for stage in STAGES for asset in stage}
    reference = instance.get_ref()
    end_orphans(instance)
    # Spawned, since a fork would share this process's threads, locks and sockets.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_end_with_parent, initargs=(os.getpid(),)) as pool:
        for stage in STAGES:
            tasks = []
            for asset in (asset for asset in stage if asset in chosen):
                keys = partition_keys(asset, settings)
                if days is not None and asset in OF_DAYS:
                    keys = [key for key in keys if key in set(days)]
                on_start(asset, max(1, len(keys)))
                tasks += tasks_of(asset, keys, workers)
            errors = []
            running: set[Future[Done]] = {pool.submit(run_task, reference, task) for task in tasks}
            while running:
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    done = future.result()
                    on_done(done)
                    if done.error is not None:
                        errors.append(f"{done.task} failed (run {done.run_id}): {done.error}")
            if errors:
                raise BuildError("\n".join(sorted(errors)))


def run_task(reference: InstanceRef, task: Task) -> Done:
    """Runs one task in this process. A failed run, or check, is reported, not raised."""
    from ais_assets.definitions import defs  # noqa: PLC0415 - the definitions themselves use this module

    started = time.monotonic()
    tags = {BUILDER: f"{socket.gethostname()}:{os.getpid()}"}
    if task.partitions:
        tags |= {RANGE_START: task.partitions[0], RANGE_END: task.partitions[-1]}
    with DagsterInstance.from_ref(reference) as instance:
        result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            asset_selection=[AssetKey(task.asset)],
            tags=tags,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    return Done(task, result.run_id, time.monotonic() - started, "; ".join(_faults(result)) or None)


def _faults(result: ExecuteInProcessResult) -> list[str]:
    """What a run failed of: its errors, or checks of severity ERROR that did not pass; nothing where it did not."""
    if not result.success:
        causes = [
            event.step_failure_data.error
            for event in result.all_events
            if event.is_step_failure and event.step_failure_data
        ]
        return [_own_error(cause) for cause in causes if cause is not None] or ["see its log"]
    return [
        f"the check {evaluation.check_name} did not pass: {evaluation.description}"
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed and evaluation.severity is AssetCheckSeverity.ERROR
    ]


def _own_error(error: SerializableErrorInfo) -> str:
    """The error that the stage raised, from inside the wrappers that Dagster puts around it."""
    while error.cause is not None and (error.cls_name or "").startswith("Dagster"):
        error = error.cause
    return error.message.strip()


def end_orphans(instance: DagsterInstance) -> None:
    """Marks runs as failed whose building process on this host is gone, so that none seems to go on for ever."""
    host = socket.gethostname()
    for run in instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED])):
        owner, _, pid = run.tags.get(BUILDER, "").rpartition(":")
        if owner == host and not _alive(int(pid)):
            instance.report_run_failed(run, f"the process {pid} that executed this run is gone")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    status = Path(f"/proc/{pid}/stat")
    # A killed process whose parent is gone too may stay listed until something reaps it.
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def _end_with_parent(parent: int) -> None:
    """A worker whose parent was killed would wait for work for ever."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
