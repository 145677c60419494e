"""Runs where the instance's run launcher puts them: a Ray cluster, Kubernetes, or whatever it has been given."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from importlib import import_module
from types import TracebackType
from typing import Self

from dagster import DagsterError, DagsterInstance, DagsterRun, DagsterRunStatus, DefaultRunLauncher, RunsFilter

from ais_assets.operating import code_location
from ais_assets.operating.tasks import Done, Task, done

START_PATIENCE_SECONDS = 1800.0
"""For a run to begin: a cluster may have to start machines first."""
RETRY_PATIENCE_SECONDS = 300.0
"""For the daemon to try a run again that has lost its process."""
_LOOK_SECONDS = 1.0
_HOLDING = (DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING)
"""A slot of the instance's queue."""
_WAITING = (DagsterRunStatus.NOT_STARTED, DagsterRunStatus.QUEUED, DagsterRunStatus.STARTING)


def launches_elsewhere(instance: DagsterInstance) -> bool:
    """Whether the instance has a run launcher of its own; the default one starts a process a run on this machine.

    Asked of its class: a node that executes the job for everything need not know where runs are launched, as the daemon
    launches those that it asks for.
    """
    launcher = instance.get_ref().run_launcher_data if instance.is_persistent else None
    if launcher is None:
        return False
    return not issubclass(getattr(import_module(launcher.module_name), launcher.class_name), DefaultRunLauncher)


def cancel(instance: DagsterInstance, run_ids: Iterable[str], error: BaseException) -> None:
    """Cancels runs for this error, which is told which of them could not be and go on."""
    for run_id in run_ids:
        try:
            instance.run_coordinator.cancel_run(run_id)
        except DagsterError as reason:
            error.add_note(f"run {run_id} could not be canceled from here and goes on: {reason}")


class NotStartedError(RuntimeError):
    """A run was submitted and has not begun; the message says what to look at."""


class LaunchedRuns:
    """Submits runs to the instance's run coordinator and waits for their ends.

    Args:
        instance: with a run launcher.
        at_once: runs that are under way at a time, at most.
        parent: the run in which this is asked for, if it is one.

    Entered, it raises NotStartedError as `require_a_slot` does.
    """

    def __init__(self, instance: DagsterInstance, at_once: int, parent: DagsterRun | None = None) -> None:
        self._instance = instance
        self._parent = parent
        self._threads = ThreadPoolExecutor(at_once)
        self._stack = ExitStack()
        self._under_way: set[str] = set()

    def __enter__(self) -> Self:
        if self._parent is not None:
            require_a_slot(self._instance, self._parent)
        self._workspace = self._stack.enter_context(code_location.workspace(self._instance))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            cancel(self._instance, list(self._under_way), error)
        self._threads.shutdown(cancel_futures=True)
        self._stack.close()

    def submit(self, task: Task) -> Future[Done]:
        """Submits the task's run; the future is done when the run has ended."""
        return self._threads.submit(self._run, task)

    def _run(self, task: Task) -> Done:
        started = time.monotonic()
        run_id = code_location.create_run(self._instance, task.asset, task.tags, self._parent, quiet=False).run_id
        self._instance.submit_run(run_id, self._workspace)
        again: str | None = run_id
        while again is not None:
            run_id = again
            self._under_way.add(run_id)
            try:
                again = ended(self._instance, task, run_id)
            finally:
                self._under_way.discard(run_id)
        return done(self._instance, task, run_id, time.monotonic() - started)


def require_a_slot(instance: DagsterInstance, parent: DagsterRun) -> None:
    """Of runs that wait for others, and hold a slot of the queue meanwhile, one is to be left for those others.

    Raises NotStartedError where this run, and those of its job that came before it, hold all of them.
    """
    queue = instance.get_concurrency_config().run_queue_config
    slots = -1 if queue is None else queue.max_concurrent_runs
    alike = instance.get_run_records(RunsFilter(job_name=parent.job_name, statuses=list(_HOLDING)), ascending=True)
    came_first = [record.dagster_run.run_id for record in alike].index(parent.run_id)
    if 0 <= slots <= 1 + came_first:
        raise NotStartedError(
            f"the runs that {parent.job_name} waits for would never begin: it holds one of the {slots} slots of the "
            f"queue, and {came_first} runs of the same job, which wait, too, the others. Raise max_concurrent_runs "
            "(concurrency.runs in dagster.yaml), or use `ais build`, which holds none"
        )


def ended(instance: DagsterInstance, task: Task, run_id: str) -> str | None:
    """Until the run has ended; the run in which Dagster's daemon tries it again, if it does.

    Once it has begun, the instance's run monitoring bounds how long it may take. Raises NotStartedError where it, or
    the run that is to try it again, does not begin.
    """
    asked = alive = time.monotonic()
    while True:
        run, now = instance.get_run_by_id(run_id), time.monotonic()
        if run is None:
            return None
        if run.is_finished:
            again = code_location.tried_again_in(run)
            if again is not None or not run.is_complete_and_waiting_to_retry:
                return again
        else:
            alive = now
        if run.status in _WAITING and now - asked > START_PATIENCE_SECONDS:
            raise NotStartedError(
                f"{task} is {run.status.value.lower()} since {START_PATIENCE_SECONDS:,.0f} s (run {run_id}): see "
                "whether a daemon is running, which queued runs wait for, and what the run launcher says"
            )
        if run.is_finished and now - alive > RETRY_PATIENCE_SECONDS:
            raise NotStartedError(
                f"{task} has lost its process (run {run_id}) and is not tried again since "
                f"{RETRY_PATIENCE_SECONDS:,.0f} s: see whether a daemon is running, which does that"
            )
        time.sleep(_LOOK_SECONDS)
