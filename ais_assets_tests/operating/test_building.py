"""How a build spreads over processes, what it says of them, and how it ends when one of them is killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dagster import AssetKey, DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.definitions.selector import JobSubsetSelector
from dagster._core.execution.plan.resume_retry import ReexecutionStrategy

from ais_assets.io.stages import turns
from ais_assets.operating import building, code_location, memory
from ais_assets.operating.building import Watch
from ais_assets.operating.local_runs import run_task
from ais_assets.operating.memory import runs_that_fit
from ais_assets.operating.planning.peaks import records_peak
from ais_assets.operating.tasks import Done, Task
from ais_assets.resources.lake import LakeResource
from ais_assets.settings import Settings, load_settings
from ais_assets.transforms import land
from ais_assets_tests.operating.sleeping import sleeping

DAY_STAGES = ("raw_archives", "raw_records", "clean_records")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Two simulated days, of the environment, which the processes read."""
    for name, value in {"LAKE": "lake", "CACHE": "cache"}.items():
        monkeypatch.setenv(f"AIS_{name}", str(tmp_path / value))
    monkeypatch.setenv("AIS_LAST_DAY", "2024-03-02")
    monkeypatch.setenv("AIS_SIMULATED_VESSELS", "10")
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    return load_settings()


def build(settings: Settings, instance: DagsterInstance, *, on_done: Callable[[Done], None], **options: Any) -> None:
    """Builds the platform of these settings."""
    lake, stages = LakeResource.from_settings(settings).open(), turns(settings)
    building.build(stages, lake, settings, instance, watch=Watch(on_done=on_done), **options)


def test_a_worker_that_is_killed(settings: Settings, tmp_path: Path) -> None:
    def kill_one(done: Done) -> None:
        if done.task.asset == "raw_records":
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            worker = next(pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes())
            os.kill(int(worker), signal.SIGKILL)

    with DagsterInstance.from_config(str(tmp_path / "dagster")) as instance:
        message = r"(?s)killed.*while these ran: (raw|clean)_records.*fewer --workers.*AIS_SHARDS.*AIS_PILES"
        with pytest.raises(building.BuildError, match=message):
            build(settings, instance, assets=DAY_STAGES, workers=2, on_done=kill_one)
        assert all(run.status in (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE) for run in instance.get_runs())
        build(settings, instance, assets=DAY_STAGES, workers=2, on_done=lambda done: None)


def test_warnings_of_runs_are_handed_over(settings: Settings, tmp_path: Path) -> None:
    done: list[Done] = []
    with DagsterInstance.from_config(str(tmp_path / "dagster")) as instance:
        days = ["2024-03-01"]
        build(
            settings,
            instance,
            assets=(*DAY_STAGES, "vessels", "track_shards"),
            days=days,
            workers=1,
            on_done=done.append,
        )
    warned = {each.task.asset: each.warnings for each in done}
    assert warned["track_shards"] == ("1 of 2 days are not materialized: ['2024-03-02']",)
    assert not warned["clean_records"]
    with DagsterInstance.from_config(str(tmp_path / "dagster")) as instance:
        # The timeline of the code location lists them, and the UI can execute them again.
        runs = instance.get_runs(RunsFilter(tags={".dagster/repository": "__repository__@ais_assets"}))
        assert {run.run_id for run in runs} == {each.run_id for each in done}
        with code_location.workspace(instance) as workspace:
            location = workspace.get_code_location("ais_assets")
            again = instance.create_reexecuted_run(
                parent_run=next(run for run in runs if run.asset_selection == {AssetKey("raw_archives")}),
                request_context=workspace,
                code_location=location,
                remote_job=location.get_job(
                    JobSubsetSelector("ais_assets", "__repository__", "__ASSET_JOB", None, [AssetKey("raw_archives")])
                ),
                strategy=ReexecutionStrategy.ALL_STEPS,
                use_parent_run_tags=True,
            )
        code_location.execute(instance, again)
        found = instance.get_run_by_id(again.run_id)
        assert found is not None
        assert found.status is DagsterRunStatus.SUCCESS
        done.clear()
        build(settings, instance, assets=DAY_STAGES, days=days, workers=1, on_done=done.append)
        assert not done, "what is there and not stale is not built again"


@pytest.mark.parametrize(("fitting", "at_once"), [(0.5, 1), (2.5, 2), (100, 3)])
def test_no_more_processes_than_fit_into_memory(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, fitting: float, at_once: int
) -> None:
    free = int(fitting * records_peak())
    monkeypatch.setattr(memory, "available_memory", lambda: free)
    notes: list[str] = []
    lake = LakeResource.from_settings(settings).open()
    found = runs_that_fit(("raw_records",), lake, settings, processes=3, threads=1, on_note=notes.append)
    assert found == at_once
    if at_once < 3:
        assert notes == [
            f"raw_records: {at_once} of 3 processes at a time, since each may take {records_peak() / 1e6:,.0f} MB and "
            f"{free / 1e6:,.0f} MB are free; --workers 3 would take them all"
        ]
    else:
        assert not notes


def test_the_next_run_of_a_process_does_not_find_the_mask_of_land(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []

    def execute(*_: Any) -> None:
        land.on_land(np.zeros(1), np.zeros(1))
        kept.append(land._mask.cache_info().currsize)

    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        run = instance.create_run_for_job(sleeping)
        monkeypatch.setattr(code_location, "create_run", lambda *_, **__: run)
        monkeypatch.setattr(code_location, "execute", execute)
        run_task(instance.get_ref(), Task("daily_quality", ("2024-03-01",)))
    assert (*kept, land._mask.cache_info().currsize) == (1, 0)


def test_so_many_tasks_at_a_time() -> None:
    running, most = [0], [0]

    def work(task: Task) -> Done:
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.01)
        running[0] -= 1
        return Done(task, "", 0.0, None)

    tasks, done = [Task("raw_records", (f"{number}",)) for number in range(9)], list[Done]()
    with ThreadPoolExecutor(8) as pool:

        def submit(task: Task) -> Future[Done]:
            return pool.submit(work, task)

        building._take(tasks, submit, 2, done.append)
    assert most == [2]
    assert [each.task for each in sorted(done, key=lambda each: each.task.partitions)] == tasks
