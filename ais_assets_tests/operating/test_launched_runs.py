"""A build waits for a run that was launched elsewhere to its end, also where Dagster tries it again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dagster import DagsterEvent, DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG

from ais_assets.cli.terminal import DAGSTER_YAML
from ais_assets.operating import launched_runs
from ais_assets.operating.code_location import create_run
from ais_assets.operating.launched_runs import (
    LaunchedRuns,
    NotStartedError,
    cancel,
    ended,
    launches_elsewhere,
    require_a_slot,
)
from ais_assets.operating.tasks import Task
from ais_assets_tests.operating.sleeping import sleeping

TASK = Task("track_shards", ("0000",))


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterInstance]:
    """As the project's dagster.yaml sets it up, with runs that are tried again once."""
    monkeypatch.setattr(launched_runs, "_LOOK_SECONDS", 0.01)
    (tmp_path / "dagster.yaml").write_text(DAGSTER_YAML.read_text())
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def lost(instance: DagsterInstance, **tags: str) -> DagsterRun:
    """A run that run monitoring has found without a process."""
    run = instance.create_run_for_job(sleeping, tags=tags)
    instance.report_run_failed(run, "its node is gone")
    return run


def test_a_run_that_lost_its_node_is_followed_to_the_one_that_tries_it_again(instance: DagsterInstance) -> None:
    first, second = lost(instance), instance.create_run_for_job(sleeping)
    instance.add_run_tags(first.run_id, {AUTO_RETRY_RUN_ID_TAG: second.run_id})
    assert ended(instance, TASK, first.run_id) == second.run_id


def test_one_that_is_not_tried_again_has_ended(instance: DagsterInstance) -> None:
    last = lost(instance, **{"dagster/max_retries": "0"})
    assert ended(instance, TASK, last.run_id) is None


def test_without_a_daemon_nobody_waits_for_ever(instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launched_runs, "RETRY_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(launched_runs, "START_PATIENCE_SECONDS", 0.05)
    with pytest.raises(NotStartedError, match=r"track_shards\[0000\] has lost its process .*see whether a daemon"):
        ended(instance, TASK, lost(instance).run_id)
    with pytest.raises(NotStartedError, match=r"track_shards\[0000\] is not_started since .*see whether a daemon"):
        ended(instance, TASK, instance.create_run_for_job(sleeping).run_id)


@pytest.mark.parametrize(("slots", "go_on"), [(1, 0), (2, 1), (4, 3), (-1, 4)])
def test_runs_that_wait_for_others_leave_them_a_slot(tmp_path: Path, slots: int, go_on: int) -> None:
    (tmp_path / "dagster.yaml").write_text(f"concurrency: {{runs: {{max_concurrent_runs: {slots}}}}}")
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        instance.create_run_for_job(sleeping, status=DagsterRunStatus.NOT_STARTED)
        instance.create_run_for_job(sleeping, status=DagsterRunStatus.SUCCESS)
        waiting = [instance.create_run_for_job(sleeping, status=DagsterRunStatus.STARTED) for _ in range(4)]
        for run in waiting[:go_on]:
            require_a_slot(instance, run)
        for run in waiting[go_on:]:
            runs = LaunchedRuns(instance, at_once=1, parent=run)
            with pytest.raises(NotStartedError, match=rf"one of the {slots} slots.*Raise max_concurrent_runs"), runs:
                pytest.fail("it began")


@pytest.fixture
def distant(tmp_path: Path) -> Iterator[DagsterInstance]:
    """As a node of a cluster has it that does not know where runs are launched."""
    launcher = {"module": "ais_assets_tests.operating.distant_launcher", "class": "DistantLauncher"}
    config = {"run_launcher": {**launcher, "config": {"address": {"env": "ADDRESS_OF_THE_CLUSTER"}}}}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({**yaml.safe_load(DAGSTER_YAML.read_text()), **config}))
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def test_a_node_that_cannot_launch_knows_that_others_do(distant: DagsterInstance) -> None:
    assert launches_elsewhere(distant)


def test_what_waits_is_canceled_and_what_cannot_be_is_told(distant: DagsterInstance) -> None:
    waiting = create_run(distant, "vessels", {}, quiet=True)
    queued = waiting.run_id
    distant.report_dagster_event(DagsterEvent.job_enqueue(waiting), queued)
    begun = distant.create_run_for_job(sleeping, status=DagsterRunStatus.STARTED).run_id
    error = ValueError("why the build ends")
    cancel(distant, [begun, queued], error)
    statuses = {run.run_id: run.status for run in distant.get_runs()}
    assert statuses == {queued: DagsterRunStatus.CANCELED, begun: DagsterRunStatus.STARTED}
    (note,) = error.__notes__
    assert begun in note
    assert "ADDRESS_OF_THE_CLUSTER" in note
