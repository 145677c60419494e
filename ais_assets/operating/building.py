"""Builds every stage in order, over all partitions, on the cores of this machine.

What the UI's backfill does through the daemon, done directly: each task is a Dagster run over a range of one
asset's partitions, in a process of its own, recorded in the same instance.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

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

from ais_assets.machine import MOST_THREADS, available_memory, is_alive, usable_cores
from ais_assets.operating import planning
from ais_assets.resources.lake import LakeResource
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

_UNDER_WAY = (DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED)

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
BUILDER = "ais/builder"


class BuildError(RuntimeError):
    """A run or a check of it failed; the message holds its cause."""


class KilledError(BuildError):
    """A run's process was killed; the message says which runs were under way and what to do."""


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
    warnings: tuple[str, ...] = ()


def partition_keys(asset: str, settings: Settings) -> list[str]:
    """The partitions of an asset, in order; none for an unpartitioned one."""
    if asset in OF_DAYS:
        return settings.day_keys
    if asset in ("track_shards", "tracks", "window_piles"):
        return settings.shard_keys
    if asset in ("materialized_windows", "mds_shards"):
        return settings.pile_keys
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
    on_note: Callable[[str], None] = lambda note: None,
) -> None:
    """Materializes the assets (default: all) stage by stage; of the days only `days` (default: all).

    Args:
        settings: must be those of the environment, which the runs read.
        instance: where runs and materializations are recorded.
        days: partition keys of the days to build.
        assets: names of the assets to build.
        workers: processes; default: one a core, fewer at a stage of which not so many fit into memory.
        on_start: called with each asset's name and number of partitions.
        on_done: called after each run.
        on_note: called with what people should know, such as how many processes fit into memory.

    Raises BuildError after the stage in which a run failed, and at once when a run's process was killed; later stages
    are not begun.
    """
    processes = workers or usable_cores()
    threads = settings.mds_threads or max(1, min(MOST_THREADS, usable_cores() // processes))
    chosen = set(assets) if assets is not None else {asset for stage in STAGES for asset in stage}
    reference = instance.get_ref()
    end_orphans(instance)
    # Spawned, since a fork would share this process's threads, locks and sockets.
    spawn = multiprocessing.get_context("spawn")
    begin = (os.getpid(), threads)
    try:
        with ProcessPoolExecutor(processes, mp_context=spawn, initializer=_begin, initargs=begin) as pool:
            try:
                for stage in STAGES:
                    names = [asset for asset in stage if asset in chosen]
                    tasks = []
                    for asset in names:
                        keys = partition_keys(asset, settings)
                        if days is not None and asset in OF_DAYS:
                            keys = [key for key in keys if key in set(days)]
                        on_start(asset, max(1, len(keys)))
                        tasks += tasks_of(asset, keys, processes)
                    at_once = processes if workers else _that_fit(names, settings, processes, threads, on_note)
                    _take(tasks, lambda task: pool.submit(run_task, reference, task), at_once, on_done)
            except KilledError:
                # The pool asks the others to end and waits, but a run that is asked ends, and its process goes on.
                for process in list(pool._processes.values()):
                    process.kill()
                raise
    finally:
        end_orphans(instance)


def _take(
    tasks: Sequence[Task], submit: Callable[[Task], Future[Done]], at_once: int, on_done: Callable[[Done], None]
) -> None:
    """Runs the tasks, so many at a time. Raises BuildError when some failed, KilledError when a process was killed."""
    errors, waiting = [], deque(tasks)
    running: dict[Future[Done], Task] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                future = submit(waiting[0])
                running[future] = waiting.popleft()
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                done = future.result()
                del running[future]
                on_done(done)
                if done.error is not None:
                    errors.append(f"{done.task} failed (run {done.run_id}): {done.error}")
    except BrokenProcessPool as error:
        # One that was killed between two stages is noticed as the next is about to begin.
        killed = sorted(map(str, running.values())) or [f"before {waiting[0]}"]
        raise KilledError(
            f"a process was killed, as a rule by the system for want of memory, while these ran: "
            f"{', '.join(killed)}. Take fewer --workers, or more AIS_SHARDS for tracks and "
            "AIS_PILES for windows; what was built before is kept"
        ) from error
    if errors:
        raise BuildError("\n".join(sorted(errors)))


def _that_fit(
    assets: Sequence[str], settings: Settings, processes: int, threads: int, on_note: Callable[[str], None]
) -> int:
    """How many runs of these assets fit into memory at a time, going by the plan's peaks and what the lake holds."""
    available = available_memory()
    peaks = {asset: _peak(asset, settings, threads) for asset in assets}
    if not peaks or available is None:
        return processes
    asset, peak = max(peaks.items(), key=lambda item: item[1])
    fitting = max(1, int(available // peak)) if peak else processes
    if fitting < processes:
        on_note(
            f"{asset}: {fitting} of {processes} processes at a time, since each may take {peak / 1e6:,.0f} MB and "
            f"{available / 1e6:,.0f} MB are free; --workers {processes} would take them all"
        )
    return min(fitting, processes)


def _peak(asset: str, settings: Settings, threads: int) -> float:
    """Bytes that a run may take; 0 where nobody knows, as where the stage before is not there."""
    lake = LakeResource.from_settings(settings).open()

    def rows_out(of: str) -> list[int]:
        keys = set(partition_keys(of, settings))
        return [lake.ledger(of, key).rows_out for key in lake.partitions(of) if key in keys]

    def gathering() -> float:
        windows = sum(rows_out("window_piles")) / settings.piles
        if settings.gather_gigabytes is None:
            return planning.gather_peak(windows)
        positions = max(rows_out("track_shards"), default=0)
        return planning.sweep_peak(settings.gather_gigabytes * planning.GIGABYTE, windows, positions)

    peaks: dict[str, Callable[[], float]] = {
        "raw_records": planning.records_peak,
        "clean_records": lambda: planning.clean_peak(max(rows_out("raw_records"), default=0)),
        "track_shards": lambda: planning.tracks_peak(
            sum(rows_out("clean_records")) / settings.shards, len(settings.days)
        ),
        "window_piles": lambda: planning.throw_peak(max(rows_out("track_shards"), default=0) / settings.stride),
        "materialized_windows": gathering,
        "mds_shards": lambda: planning.shards_peak(threads),
    }
    return peaks[asset]() if asset in peaks else 0.0


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
        warnings = _warnings(instance, result.run_id)
    return Done(task, result.run_id, time.monotonic() - started, "; ".join(_faults(result)) or None, warnings)


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


def _warnings(instance: DagsterInstance, run_id: str) -> tuple[str, ...]:
    """What the run warned of in its log, which nobody sees on the terminal."""
    entries = instance.all_logs(run_id)
    return tuple(
        entry.user_message for entry in entries if entry.level == logging.WARNING and not entry.is_dagster_event
    )


def _own_error(error: SerializableErrorInfo) -> str:
    """The error that the stage raised, from inside the wrappers that Dagster puts around it."""
    while error.cause is not None and (error.cls_name or "").startswith("Dagster"):
        error = error.cause
    return error.message.strip()


def end_orphans(instance: DagsterInstance) -> None:
    """Marks runs as failed whose building process on this host is gone, so that none seems to go on for ever."""
    host = socket.gethostname()
    for run in instance.get_runs(RunsFilter(statuses=list(_UNDER_WAY))):
        owner, _, pid = run.tags.get(BUILDER, "").rpartition(":")
        if owner == host and not is_alive(int(pid)):
            instance.report_run_failed(run, f"the process {pid} that executed this run is gone")


def _begin(parent: int, threads: int) -> None:
    """A worker's first act. It ends with its parent: were that killed, it would wait for work for ever."""
    os.environ["AIS_MDS_THREADS"] = str(threads)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
