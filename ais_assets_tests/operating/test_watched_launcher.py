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
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import RemoteRepositoryOrigin
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration
from dagster._grpc.client import DagsterGrpcClient

from ais_assets.cli.terminal import DAGSTER_YAML
from ais_assets.operating import code_location, watched_launcher
from ais_assets.operating.code_location import ReconstructableRepository
from ais_assets.operating.launched_runs import launches_elsewhere
from ais_assets.operating.local_runs import BUILDER
from ais_assets.operating.watched_launcher import WatchedRunLauncher
from ais_assets_tests.conftest import PROJECT
from ais_assets_tests.operating.sleeping import sleeping
from ais_assets_tests.patience import PATIENCE_SECONDS

MODULE = "ais_assets_tests.operating.sleeping"
SLOW_START = """
import sys
import time

if any("spawn_main" in said for said in sys.orig_argv):
    time.sleep(5)
"""
"""A `sitecustomize` by which the processes that a code server starts for its runs take their time."""


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
    with serving(instance) as workspace:
        yield workspace


@contextmanager
def serving(instance: DagsterInstance) -> Iterator[WorkspaceProcessContext]:
    """A code server, and its end."""
    target = ModuleTarget(
        module_name=MODULE, attribute=None, working_directory=str(Path.cwd()), location_name="sleeping"
    )
    before = started()
    with WorkspaceProcessContext(instance, target) as workspace:
        (server,) = started() - before
        yield workspace
    # Dagster, whose child it is, does not.
    server.wait(PATIENCE_SECONDS)


def started() -> set[subprocess.Popen[bytes]]:
    """This process's children that run, other tests' among them."""
    return {of for of in gc.get_objects() if issubclass(type(of), subprocess.Popen) and of.poll() is None}


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
    while status_after_a_look(instance, workspace, run.run_id) is DagsterRunStatus.STARTED:
        assert time.monotonic() < deadline, "the run seems to go on"
        time.sleep(0.1)
    assert instance.get_run_by_id(run.run_id).status is DagsterRunStatus.FAILURE  # pyright: ignore[reportOptionalMemberAccess]
    # A code server that lives may have noticed before.
    if server_too:
        said = " ".join(entry.message for entry in instance.all_logs(run.run_id))
        assert "the code server that executed this run is gone" in said


def test_a_run_whose_process_is_slow_to_begin_is_begun_once(
    instance: DagsterInstance, tmp_path: Path, told: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW_START)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(PROJECT)]))
    # Dagster reads DAGSTER_GRPC_TIMEOUT_SECONDS when it is imported.
    monkeypatch.setattr(DagsterGrpcClient._query, "__defaults__", (1, None))  # pyright: ignore[reportFunctionMemberAccess]
    told.touch()
    with serving(instance) as workspace:
        run = launched(instance, workspace)
        said = "".join(entry.message for entry in instance.all_logs(run.run_id))
        assert "slow to begin" in said, "the code server answered in time, so that this test shows nothing"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while status_after_a_look(instance, workspace, run.run_id) is not DagsterRunStatus.SUCCESS:
            assert time.monotonic() < deadline, "the run did not begin"
            time.sleep(0.1)


def test_a_run_for_which_no_process_was_begun_was_not_launched(
    instance: DagsterInstance, workspace: WorkspaceProcessContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unheard(*_: object) -> str:
        raise DagsterUserCodeUnreachableError("lost on the way")

    monkeypatch.setattr(DagsterGrpcClient, "start_run", unheard)
    with pytest.raises(DagsterUserCodeUnreachableError, match="lost on the way"):
        launched(instance, workspace)


def test_no_code_server_has_a_process_for_a_run_that_none_was_given(instance: DagsterInstance) -> None:
    assert not code_location.is_executed(instance.create_run_for_job(sleeping))


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
