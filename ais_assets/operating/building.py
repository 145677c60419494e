"""Builds the asset graph, turn by turn, over all partitions.

What the UI's backfill does through the daemon, done directly: each task is a Dagster run of the code location over a
range of one asset's partitions. Where the instance has a run launcher of its own, runs go there; else they are
executed by processes of this machine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from dagster import DagsterInstance, DagsterRun

from ais_assets.io.lake import Lake
from ais_assets.io.provenance import ARCHIVES, WHOLE, Chain
from ais_assets.io.stages import Stage
from ais_assets.machine import MOST_THREADS, usable_cores
from ais_assets.operating.builders import building
from ais_assets.operating.launched_runs import LaunchedRuns, launches_elsewhere
from ais_assets.operating.local_runs import LocalRuns
from ais_assets.operating.memory import runs_that_fit
from ais_assets.operating.tasks import Done, Task, tasks_of
from ais_assets.settings import Settings


class BuildError(RuntimeError):
    """A run or a check of it failed; the message holds its cause."""


class KilledError(BuildError):
    """A run's process was killed; the message says which runs were under way and what to do."""


@dataclass(frozen=True)
class Watch:
    """What a build tells of itself.

    Attributes:
        on_start: called with each asset's name and the number of its partitions to build.
        on_done: called after each run.
        on_note: called with what people should know, such as how many processes fit into memory.
    """

    on_start: Callable[[str, int], None] = lambda asset, partitions: None
    on_done: Callable[[Done], None] = lambda done: None
    on_note: Callable[[str], None] = lambda note: None


def build(
    turns: Sequence[Sequence[Stage]],
    lake: Lake,
    settings: Settings,
    instance: DagsterInstance,
    *,
    days: Collection[str] | None = None,
    assets: Collection[str] | None = None,
    anew: bool = False,
    workers: int | None = None,
    parent: DagsterRun | None = None,
    watch: Watch | None = None,
) -> None:
    """Materializes what is missing or stale of the assets (default: all), turn by turn; of the days only `days`.

    So a build that was interrupted goes on where it was when it is asked for again.

    Args:
        turns: the asset graph, as `stages.turns` has it.
        lake: where it is built.
        settings: must be those of the environment, which the runs read.
        instance: where runs and materializations are recorded.
        days: partition keys of the days to build.
        assets: names of the assets to build.
        anew: whether what is there and not stale is built again, too.
        workers: runs at a time; default: one a core, fewer at a stage of which not so many fit into memory.
        parent: the run in which this is asked for, if it is one.
        watch: what is told of the build.

    Raises StoreError where the lake cannot be written and OtherBuildError where another build makes something else of
    it, both before anything is made; BuildError after the turn in which a run failed, and at once when a run's process
    was killed; later turns are not begun.
    """
    watch = watch or Watch()
    elsewhere = launches_elsewhere(instance)
    at_once = workers or usable_cores()
    threads = settings.mds_threads or max(1, min(MOST_THREADS, usable_cores() // at_once))
    runs = LaunchedRuns(instance, at_once, parent) if elsewhere else LocalRuns(instance, at_once, threads, parent)
    lake.store.try_out()
    made_with = {stage.asset: dict(stage.made_with) for turn in turns for stage in turn}
    with building(lake, made_with, watch.on_note), runs:
        for turn, again in passes(turns):
            stages = [stage for stage in turn if assets is None or stage.asset in assets]
            tasks = []
            # What the turn before has made is looked at anew.
            chain = Chain(lake)
            for stage in stages:
                keys = stage.to_build(chain, settings) if again or not anew else list(stage.partitions or (WHOLE,))
                keys = [key for key in keys if days is None or not stage.of_days or key in days]
                if keys or not again:
                    watch.on_start(stage.asset, len(keys))
                tasks += tasks_of(stage, keys, at_once)
            fitting = at_once
            if tasks and workers is None and not elsewhere:
                names = list(dict.fromkeys(task.asset for task in tasks))
                fitting = runs_that_fit(
                    names, lake, settings, processes=at_once, threads=threads, on_note=watch.on_note
                )
            _take(tasks, runs.submit, fitting, watch.on_done)


def passes(turns: Sequence[Sequence[Stage]]) -> Iterator[tuple[Sequence[Stage], bool]]:
    """The turns, that of the archives twice: what a day lands may be what a day before it was landed without."""
    for turn in turns:
        yield turn, False
        archives = [stage for stage in turn if stage.asset == ARCHIVES]
        if archives:
            yield archives, True


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
