"""Runs in processes of this machine, each of which takes one after the other: the imports are paid once a core."""

from __future__ import annotations

import atexit
import ctypes
import gc
import multiprocessing
import os
import signal
import socket
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Self

import pyarrow as pa
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from ais_assets.machine import is_alive
from ais_assets.operating import code_location
from ais_assets.operating.tasks import Done, Task, done
from ais_assets.transforms import land

BUILDER = "ais/builder"
"""The tag of a run that names the process in which it is executed."""

_UNDER_WAY = (DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED)


class LocalRuns:
    """A pool of processes that execute runs, recorded in the instance.

    Args:
        instance: where runs are recorded.
        processes: their number.
        threads: that each may compress MDS shards with.
        parent: the run in which this is asked for, if it is one.
    """

    def __init__(
        self, instance: DagsterInstance, processes: int, threads: int, parent: DagsterRun | None = None
    ) -> None:
        self._instance = instance
        self._parent = parent
        self._others: set[BaseProcess] = set(multiprocessing.active_children())
        # Spawned, since a fork would share this process's threads, locks and sockets.
        spawn = multiprocessing.get_context("spawn")
        begin = (os.getpid(), threads)
        self._pool = ProcessPoolExecutor(processes, mp_context=spawn, initializer=_begin, initargs=begin)

    def __enter__(self) -> Self:
        end_orphans(self._instance)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            # Nothing half-written is visible, so what is under way need not be waited for.
            self._kill()
        self._pool.shutdown(cancel_futures=True)
        end_orphans(self._instance)

    def submit(self, task: Task) -> Future[Done]:
        """Executes the task in the next process that is free."""
        # A process that is started here must not end of Ctrl-C with a traceback before `_begin` lets it ignore that.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return self._pool.submit(run_task, self._instance.get_ref(), task, self._parent)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _kill(self) -> None:
        for process in set(multiprocessing.active_children()) - self._others:
            process.kill()


def run_task(reference: code_location.Reference, task: Task, parent: DagsterRun | None = None) -> Done:
    """Runs one task in this process. A failed run, or check, is reported, not raised."""
    with DagsterInstance.from_ref(reference) as instance:
        ended = run_recorded_in(instance, task, parent)
    _give_memory_back()
    return ended


def run_recorded_in(instance: DagsterInstance, task: Task, parent: DagsterRun | None = None) -> Done:
    """As `run_task`, with the instance at hand."""
    started = time.monotonic()
    tags = {**task.tags, BUILDER: f"{socket.gethostname()}:{os.getpid()}"}
    run = code_location.create_run(instance, task.asset, tags, parent, quiet=True)
    code_location.execute(instance, run)
    return done(instance, task, run.run_id, time.monotonic() - started)


def _give_memory_back() -> None:
    """Lets the next run of this process, of another stage may be, begin with what a new process has.

    What has been freed is kept by Arrow's allocator, and by the C library's, for a later need: after a map of a day
    that is 600 MB.
    """
    land.forget()
    gc.collect()
    # What is left are modules and definitions: to look through them again would take a quarter of a second each time.
    gc.freeze()
    pa.default_memory_pool().release_unused()
    # Not every C library has it.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def end_orphans(instance: DagsterInstance) -> None:
    """Marks runs as failed whose building process on this host is gone, so that none seems to go on for ever."""
    for run in instance.get_runs(RunsFilter(statuses=list(_UNDER_WAY))):
        if (why := why_gone(run)) is not None:
            instance.report_run_failed(run, why)


def why_gone(run: DagsterRun) -> str | None:
    """Why nothing can be executing a run of a build; None where it is, may be on another host, or is of no build."""
    owner, _, pid = run.tags.get(BUILDER, "").rpartition(":")
    if owner != socket.gethostname() or is_alive(int(pid)):
        return None
    return f"the process {pid} that executed this run is gone"


def _begin(parent: int, threads: int) -> None:
    """A worker's first act. It ends with its parent: were that killed, it would wait for work for ever."""
    os.environ["AIS_MDS_THREADS"] = str(threads)
    # A terminal sends Ctrl-C to all; the parent says what becomes of its processes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    # What `_give_memory_back` has frozen, DuckDB's bindings would take for leaked, and say so.
    atexit.register(gc.unfreeze)
