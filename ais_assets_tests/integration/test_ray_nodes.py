"""Runs on Ray nodes that are lost in the middle of a backfill: it completes on the rest, with the same bytes.

All are of this machine, each with an address of its own. `make test` does not install `ais_assets[ray]`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, RunsFilter

from ais_assets.operating.code_location import tried_again_in
from ais_assets.settings import Settings, load_settings
from ais_assets.store.objects import STAGING
from ais_assets_tests.ais_command import run_ais
from ais_assets_tests.conftest import PROJECT
from ais_assets_tests.integration.dagster_servers import (
    DagsterServers,
    running_servers,
    wait,
    wait_until_complete,
    write_home,
)
from ais_assets_tests.integration.test_graph import SMALL, digests
from ais_assets_tests.patience import PATIENCE_SECONDS
from ais_assets_tests.postgres_server import running_postgres_server
from ais_assets_tests.s3_server import free_port

pytestmark = [
    pytest.mark.skipif(find_spec("dagster_ray") is None, reason="the extra ais_assets[ray] is not installed"),
    pytest.mark.timeout(1200),
]

ASSETS = ("raw_archives", "raw_records", "clean_records", "vessels", "track_shards")
"""Two runs of days, one of all vessels, three of shards."""
_TRIES = 3
"""To start a node."""


class RayNode:
    """A node with one core to give, whose processes are descendants of one.

    Args:
        folder: for its sockets, with a short name.
        address: of this machine, the node's own.
        joins: the cluster to join; None: it is the head of a new one.
        environment: its processes'.
    """

    def __init__(self, folder: Path, address: str, joins: RayNode | None, environment: dict[str, str]) -> None:
        self.address, self._port, self._dashboard = address, free_port(), free_port()
        if joins is None:
            head = ["--head", "--port", str(self._port), "--dashboard-port", str(self._dashboard)]
            place = [*head, "--dashboard-host", address, "--temp-dir", str(folder)]
        else:
            place = ["--address", f"{joins.address}:{joins._port}"]
        ports = [f"--{of}-port={free_port()}" for of in ("node-manager", "object-manager", "metrics-export")]
        agents = [f"--{of}={free_port()}" for of in ("dashboard-agent-listen-port", "runtime-env-agent-port")]
        size = ["--num-cpus=1", f"--object-store-memory={100 << 20}", "--min-worker-port=0", "--max-worker-port=0"]
        own = [f"--node-ip-address={address}", "--disable-usage-stats", "--block"]
        with (folder / f"{address}.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ray.scripts.scripts", "start", *place, *ports, *agents, *size, *own],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def dashboard(self) -> str:
        """Where a head takes jobs, and says who is there."""
        return f"http://{self.address}:{self._dashboard}"

    def lives(self) -> bool:
        """Whether its first process does."""
        return self._process.poll() is None

    def executes(self, run_id: str) -> psutil.Process | None:
        """The process that executes this run, where it is one of this node."""
        for process in self._processes():
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            if "execute_run" in words and run_id in words[-1]:
                return process
        return None

    def lose(self, but: psutil.Process | None = None) -> None:
        """Kills all processes of the node with SIGKILL, but this one."""
        processes = [process for process in self._processes() if process != but]
        for process in processes:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self._process.wait(PATIENCE_SECONDS)
        _, alive = psutil.wait_procs(processes, PATIENCE_SECONDS)
        assert not alive, alive

    def _processes(self) -> list[psutil.Process]:
        try:
            process = psutil.Process(self._process.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


class RayCluster:
    """Nodes of this machine, the first of them the head, each at an address of the loopback network.

    Args:
        environment: of their processes.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="ray-"))
        self._environment = environment
        self._nodes: list[RayNode] = []

    def with_another_node(self) -> RayNode:
        """Starts one more, and returns when it is there; Ray gives it half a minute, which a busy machine may miss."""
        for _ in range(_TRIES):
            first = self._nodes[0] if self._nodes else None
            # 127.0.0.1 is not among them: Ray takes it for the machine's other address.
            node = RayNode(self._folder, f"127.0.0.{len(self._nodes) + 2}", first, self._environment)
            self._nodes.append(node)
            wait(lambda node=node: not node.lives() or self._has(node), f"{node.address} does not join")
            if node.lives():
                return node
            if first is None:
                self._nodes.clear()
        raise AssertionError(f"{_TRIES} nodes have ended as they began")

    @property
    def dashboard(self) -> str:
        """Where its head takes jobs, and says who is there."""
        return self._nodes[0].dashboard

    def _has(self, node: RayNode) -> bool:
        try:
            with urllib.request.urlopen(f"{self.dashboard}/api/v0/nodes", timeout=10) as answer:
                nodes = json.load(answer)["data"]["result"]["result"]
        except OSError:
            return False
        return (node.address, "ALIVE") in {(of["node_ip"], of["state"]) for of in nodes}

    def close(self) -> None:
        """Ends all of them."""
        for node in reversed(self._nodes):
            node.lose()
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A folder that both nodes have at the same path."""
    return tmp_path / "lake"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The instance as deploy/ray sets it up: as many runs as there are cores, and a watch that looks often."""
    home = tmp_path / "home"
    write_home(
        home,
        [PROJECT / "deploy" / "ray" / "dagster.yaml"],
        concurrency={"runs": {"max_concurrent_runs": 2}},
        run_monitoring={"poll_interval_seconds": 2},
    )
    return home


@pytest.fixture
def variables(tmp_path: Path, lake: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """What every process has in its environment: the database, in this test's too, settings, and where `dagster` is."""
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "dagster").write_text(f'#!/bin/sh\nexec {sys.executable} -m dagster "$@"\n')
    (commands / "dagster").chmod(0o755)
    one_each = {"days_per_run": 1, "shards_per_run": 1}
    given = {**SMALL, "lake": lake, "cache": tmp_path / "cache", **one_each}
    with running_postgres_server() as postgres:
        for name, value in postgres.environment().items():
            monkeypatch.setenv(name, value)
        yield {
            **postgres.environment(),
            **{f"AIS_{name.upper()}": str(value) for name, value in given.items()},
            "PATH": os.pathsep.join([str(commands), os.environ["PATH"]]),
        }


@pytest.fixture
def cluster(variables: dict[str, str], home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RayCluster]:
    """A head, whose address the launcher is given."""
    environment = {**os.environ, **variables, "PYTHONPATH": str(PROJECT), "DAGSTER_HOME": str(home)}
    cluster = RayCluster(environment)
    try:
        monkeypatch.setenv("RAY_DASHBOARD_ADDRESS", cluster.with_another_node().dashboard)
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def servers(home: Path, variables: dict[str, str], cluster: RayCluster) -> Iterator[DagsterServers]:
    """Code server, daemon and webserver beside the head."""
    del cluster  # Its address is in the environment.
    with running_servers(home, variables) as servers:
        yield servers


def jobs(cluster: RayCluster) -> str:
    """What the cluster says of all jobs that it was given."""
    with urllib.request.urlopen(f"{cluster.dashboard}/api/jobs/", timeout=60) as answer:
        return answer.read().decode()


def require_all_succeeded(instance: DagsterInstance, cluster: RayCluster) -> None:
    """Every run of the instance has succeeded, and was a job of the cluster."""
    given = jobs(cluster)
    for run in instance.get_runs():
        failed = [entry.dagster_event for entry in instance.all_logs(run.run_id, DagsterEventType.STEP_FAILURE)]
        errors = [str(event.step_failure_data.error) for event in failed if event is not None]
        assert run.status is DagsterRunStatus.SUCCESS, "\n".join(errors)
        assert run.run_id in given


def test_a_build_is_runs_of_the_cluster(
    cluster: RayCluster,
    servers: DagsterServers,
    home: Path,
    lake: Path,
    variables: dict[str, str],
    small_lake: Settings,
) -> None:
    cluster.with_another_node()
    with DagsterInstance.from_config(str(home)) as instance:
        built = run_ais(("build", "--json"), {**variables, "DAGSTER_HOME": str(home)}, lake.parent)
        assert built.returncode == 0, built.stderr + servers.said()
        require_all_succeeded(instance, cluster)
    assert digests(load_settings(lake=str(lake), **SMALL)) == digests(small_lake)


def test_the_job_for_everything_starts_runs_of_the_cluster(
    cluster: RayCluster, servers: DagsterServers, home: Path, lake: Path, small_lake: Settings
) -> None:
    cluster.with_another_node()
    with DagsterInstance.from_config(str(home)) as instance:
        everything = servers.launch_job("everything")

        def over() -> bool:
            run = instance.get_run_by_id(everything)
            return run is not None and run.is_finished

        wait(over, "the job for everything does not end", pause=1.0, said=servers.said)
        require_all_succeeded(instance, cluster)
    assert digests(load_settings(lake=str(lake), **SMALL)) == digests(small_lake)


def paused_run(instance: DagsterInstance, node: RayNode) -> tuple[str, psutil.Process]:
    """A run that the node is executing: its id, and its process, which stands still from now on."""
    found: list[tuple[str, psutil.Process]] = []

    def executes() -> bool:
        for run in instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED])):
            process = node.executes(run.run_id)
            if process is not None:
                process.suspend()
                found.append((run.run_id, process))
                return True
        return False

    wait(executes, f"no run has begun at {node.address}", pause=0.05)
    return found[0]


def test_a_backfill_outlives_its_nodes(
    cluster: RayCluster, servers: DagsterServers, home: Path, lake: Path, small_lake: Settings
) -> None:
    node = cluster.with_another_node()
    with DagsterInstance.from_config(str(home)) as instance:
        backfill = servers.launch_backfill(ASSETS)
        lost, _ = paused_run(instance, node)
        node.lose()

        node = cluster.with_another_node()
        lonely, process = paused_run(instance, node)
        node.lose(but=process)

        def tried_again() -> bool:
            run = instance.get_run_by_id(lonely)
            again = None if run is None else tried_again_in(run)
            found = None if again is None else instance.get_run_by_id(again)
            return found is not None and (found.is_finished or found.status is DagsterRunStatus.STARTED)

        wait(tried_again, "the run whose node is gone is not tried again")
        os.kill(process.pid, signal.SIGCONT)
        process.wait(PATIENCE_SECONDS)
        wait_until_complete(instance, backfill, servers.said)
        run = instance.get_run_by_id(lost)
        assert run is not None
        assert run.status is DagsterRunStatus.FAILURE
        assert tried_again_in(run) is not None
    found, wanted = digests(load_settings(lake=str(lake), **SMALL)), digests(small_lake)
    tracks = {f"track_shards/{number:04}.parquet" for number in range(int(str(SMALL["shards"])))}
    assert tracks <= found.keys()
    assert found == {key: wanted.get(key) for key in found}
    assert not [left for left in (lake / STAGING).glob("*") if left.is_dir()]
