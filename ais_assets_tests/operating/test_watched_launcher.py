"""A run whose process is gone ends, also where the code server that started it is gone too."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import RemoteRepositoryOrigin
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration

from ais_assets.cli.terminal import DAGSTER_YAML
from ais_assets.operating import watched_launcher
from ais_assets.operating.code_location import ReconstructableRepository
from ais_assets.operating.launched_runs import launches_elsewhere
from ais_assets.operating.local_runs import BUILDER
from ais_assets.operating.watched_launcher import WatchedRunLauncher
from ais_assets_tests.operating.sleeping import sleeping
from ais_assets_tests.patience import PATIENCE_SECONDS

MODULE = "ais_assets_tests.operating.sleeping"


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterInstance]:
    """As the project's dagster.yaml sets it up."""
    monkeypatch.setattr(watched_launcher, "_PAUSE_SECONDS", 0.01)
    (tmp_path / "dagster.yaml").write_text(DAGSTER_YAML.read_text())
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in which the run says who it is."""
    monkeypatch.setenv("SLEEPING_TELLS", str(tmp_path / "told"))
    return tmp_path / "told"


@pytest.fixture
def workspace(instance: DagsterInstance, told: Path) -> Iterator[WorkspaceProcessContext]:
    """The code location behind a server of its own."""
    del told  # It is in the server's environment.
    target = ModuleTarget(
        module_name=MODULE, attribute=None, working_directory=str(Path.cwd()), location_name="sleeping"
    )
    with WorkspaceProcessContext(instance, target) as workspace:
        yield workspace


def launched(instance: DagsterInstance, workspace: WorkspaceProcessContext) -> DagsterRun:
    """A run given to the code server."""
    request = workspace.create_request_context()
    (location,) = request.code_locations
    (repository,) = location.get_repositories().values()
    python: RepositoryPythonOrigin = ReconstructableRepository.for_module(
        MODULE, "defs", str(Path.cwd())
    ).get_python_origin()
    remote: RemoteRepositoryOrigin = repository.get_remote_origin()
    run = instance.create_run_for_job(
        sleeping,
        remote_job_origin=remote.get_job_origin("sleeping"),
        job_code_origin=JobPythonOrigin("sleeping", python),
    )
    return instance.launch_run(run.run_id, request)


def status_after_a_look(instance: DagsterInstance, workspace: WorkspaceProcessContext, run_id: str) -> DagsterRunStatus:
    """What run monitoring, looking once, leaves a run as."""
    faults = [fault for fault in execute_run_monitoring_iteration(workspace, logging.getLogger("monitor")) if fault]
    assert not faults
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


@pytest.mark.parametrize("server_too", [False, True], ids=["its process", "the code server too"])
def test_a_killed_run_is_failed_at_the_next_look(
    instance: DagsterInstance,
    workspace: WorkspaceProcessContext,
    told: Path,
    *,
    server_too: bool,
) -> None:
    run = launched(instance, workspace)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not told.exists():
        assert time.monotonic() < deadline, "the run did not begin"
        time.sleep(0.05)
    assert status_after_a_look(instance, workspace, run.run_id) is DagsterRunStatus.STARTED, "it is executed"
    worker, server = map(int, told.read_text().split())
    for process in [server, worker] if server_too else [worker]:
        os.kill(process, signal.SIGKILL)
    if server_too:
        # Dagster, whose child it is, does not.
        next(of for of in gc.get_objects() if issubclass(type(of), subprocess.Popen) and of.pid == server).wait(60)
    while status_after_a_look(instance, workspace, run.run_id) is DagsterRunStatus.STARTED:
        assert time.monotonic() < deadline, "the run seems to go on"
        time.sleep(0.1)
    assert instance.get_run_by_id(run.run_id).status is DagsterRunStatus.FAILURE  # pyright: ignore[reportOptionalMemberAccess]
    # A code server that lives may have noticed before.
    if server_too:
        said = " ".join(entry.message for entry in instance.all_logs(run.run_id))
        assert "the code server that executed this run is gone" in said


def test_a_code_server_at_a_port_is_waited_for_and_one_at_a_socket_is_not(instance: DagsterInstance) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for address, status in (({"host": "127.0.0.1", "port": port}, "RUNNING"), ({"socket": "/nobody/there"}, "FAILED")):
        run = instance.create_run_for_job(sleeping, tags={GRPC_INFO_TAG: json.dumps(address)})
        assert instance.run_launcher.check_run_worker_health(run).status.value == status


def test_runs_of_a_build_on_another_host_and_of_nobody_are_left(instance: DagsterInstance) -> None:
    launcher = instance.run_launcher
    assert isinstance(launcher, WatchedRunLauncher)
    for tags in ({}, {BUILDER: "another-host:1"}):
        run = instance.create_run_for_job(sleeping, tags=tags)
        assert launcher.check_run_worker_health(run).status.value == "RUNNING"


def test_what_the_projects_instance_bounds(instance: DagsterInstance) -> None:
    assert not launches_elsewhere(instance), "`ais build` uses its own processes"
    settings = yaml.safe_load(DAGSTER_YAML.read_text())["run_monitoring"]
    assert instance.run_monitoring_enabled
    assert instance.run_monitoring_poll_interval_seconds == settings["poll_interval_seconds"] <= 60
    assert 3600 <= instance.run_monitoring_max_runtime_seconds <= 86_400
    assert instance.run_monitoring_start_timeout_seconds > 0
    assert instance.run_retries_max_retries == 1
    queue = instance.get_concurrency_config().run_queue_config
    assert queue is not None
    assert queue.max_concurrent_runs == 4
    assert queue.max_user_code_failure_retries * queue.user_code_failure_retry_delay == 900, (
        "seconds without code server"
    )
    assert not instance.telemetry_enabled
