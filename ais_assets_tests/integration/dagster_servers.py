"""Dagster's servers as deploy/ starts them, each a process of its own that can be killed and started anew."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import yaml
from dagster import DagsterInstance
from dagster._core.execution.backfill import BulkActionStatus

from ais_assets_tests.conftest import PROJECT
from ais_assets_tests.patience import PATIENCE_SECONDS
from ais_assets_tests.s3_server import free_port

SERVER_START = """
import faulthandler
import signal
import sys

faulthandler.register(signal.SIGUSR1)

if "dagster._daemon" in sys.orig_argv:
    from dagster._daemon import controller

    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 2
"""
"""A `sitecustomize` by which servers and runs say what their threads are doing when asked by SIGUSR1, and the daemon
looks at backfills every two seconds. It does so every thirty, has no setting for it, and these waits would be most of
the time that the tests take."""
_LOOK_SECONDS = 0.2
_SAID_WITHIN = 2.0
GRACE_SECONDS = 30.0
"""For which a server that was asked to end may take its time; then it is killed."""

LAUNCH = """
mutation ($of: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $of) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message stack }
  }
}
"""
LAUNCH_JOB = """
mutation ($job: String!) {
  launchRun(executionParams: {
    selector: {repositoryLocationName: "ais_assets", repositoryName: "__repository__", jobName: $job}
    runConfigData: {}
  }) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message stack }
  }
}
"""
LOCATIONS = """
query {
  workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename } } } }
}
"""


def wait(until: Callable[[], bool], why: str, pause: float = _LOOK_SECONDS, said: Callable[[], str] = str) -> None:
    """Returns when it is so; fails with the reason, and with what is said then, when it is not in PATIENCE_SECONDS."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not until():
        assert time.monotonic() < end, f"{why}\n{said()}"
        time.sleep(pause)


def wait_until_complete(instance: DagsterInstance, backfill: str, said: Callable[[], str]) -> None:
    """Returns when the backfill has completed; fails when it does with a failure, or takes too long."""

    def over() -> bool:
        found = instance.get_backfill(backfill)
        assert found is not None
        assert found.status in (BulkActionStatus.REQUESTED, BulkActionStatus.COMPLETED_SUCCESS), said()
        return found.status is BulkActionStatus.COMPLETED_SUCCESS

    wait(over, "the backfill does not complete", said=said)


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of both, section by section; where both have one, the other's."""
    both = {
        name: merged(one[name], value) if isinstance(value, Mapping) and isinstance(one.get(name), Mapping) else value
        for name, value in other.items()
    }
    return {**one, **both}


def write_home(home: Path, parts: Sequence[Path], **changes: Mapping[str, object]) -> None:
    """A DAGSTER_HOME with the parts of a dagster.yaml one below the other, and these changes of its sections.

    Its daemon, on whose PYTHONPATH it is, looks often.
    """
    home.mkdir()
    instance = yaml.safe_load("\n".join(part.read_text() for part in parts))
    instance = merged(instance, changes)
    (home / "dagster.yaml").write_text(yaml.safe_dump(instance))
    (home / "sitecustomize.py").write_text(SERVER_START)


class DagsterServers:
    """The code server, the daemon and the webserver of one instance.

    Args:
        home: its folder; what the servers say is written into it.
        variables: of their environment, beside the settings of the test's own that are none of the platform.
    """

    def __init__(self, home: Path, variables: Mapping[str, str]) -> None:
        self._home = home
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIS_")},
            **variables,
            "DAGSTER_HOME": str(home),
            "PYTHONPATH": os.pathsep.join([str(home), str(PROJECT)]),
        }
        code, self._port = str(free_port()), str(free_port())
        server = {"host": "127.0.0.1", "port": int(code), "location_name": "ais_assets"}
        workspace = home / "workspace.yaml"
        workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
        module = ["--module-name", "ais_assets.definitions", "--location-name", "ais_assets"]
        self._commands = {
            "code": ["dagster", "api", "grpc", "--host", "127.0.0.1", "--port", code, *module],
            "daemon": ["dagster._daemon", "run", "--workspace", str(workspace)],
            "webserver": ["dagster_webserver", "-h", "127.0.0.1", "-p", self._port, "-w", str(workspace)],
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """Starts "code", "daemon" or "webserver", with what it says in a file of that name."""
        with (self._home / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", *self._commands[name]],
                env=self._environment,
                cwd=self._home,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """Kills it with SIGKILL, and it alone."""
        assert self.lives(name), f"the {name} had ended before it was killed"
        self._processes[name].kill()
        self._processes[name].wait(PATIENCE_SECONDS)

    def lives(self, name: str) -> bool:
        """Whether its process does."""
        return self._processes[name].poll() is None

    def close(self) -> None:
        """Ends all of them with all that they started."""
        for end in (signal.SIGTERM, signal.SIGKILL):
            for process in self._processes.values():
                if process.poll() is None:
                    os.killpg(process.pid, end)
            for process in self._processes.values():
                try:
                    process.wait(GRACE_SECONDS)
                except subprocess.TimeoutExpired:
                    continue

    def said(self) -> str:
        """The ends of what they said, with what they are doing, for who has to find out why a test failed."""
        for process in self._processes.values():
            if process.poll() is None:
                server = psutil.Process(process.pid)
                for each in (server, *server.children(recursive=True)):
                    each.send_signal(signal.SIGUSR1)
        time.sleep(_SAID_WITHIN)
        return "\n".join(f"{log.name}:\n{log.read_text()[-6000:]}" for log in sorted(self._home.glob("*.log")))

    def wait_until_the_webserver_answers(self) -> None:
        """Returns when it has the code location's definitions to show."""

        def answers() -> bool:
            assert self.lives("webserver"), self.said()
            try:
                locations = self.ask(LOCATIONS)["workspaceOrError"]["locationEntries"]
            except OSError:
                return False
            return [place["locationOrLoadError"]["__typename"] for place in locations] == ["RepositoryLocation"]

        wait(answers, "the webserver does not answer")

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """What the webserver answers to a GraphQL query. Raises OSError where it does not."""
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self._port}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            said = json.load(answer)
        assert "errors" not in said, said
        return said["data"]

    def launch_backfill(self, assets: Sequence[str]) -> str:
        """Asks for all partitions of the assets as the UI does; the backfill's id."""
        of = {"assetSelection": [{"path": [asset]} for asset in assets], "allPartitions": True}
        launched = self.ask(LAUNCH, of=of)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        return launched["backfillId"]

    def launch_job(self, job: str) -> str:
        """Asks for a run of the job, without any config, as the UI does; the run's id."""
        launched = self.ask(LAUNCH_JOB, job=job)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return launched["run"]["runId"]


@contextmanager
def running_servers(home: Path, variables: Mapping[str, str]) -> Iterator[DagsterServers]:
    """All three over an instance's folder, once the webserver has something to show; ended afterwards."""
    servers = DagsterServers(home, variables)
    try:
        for name in ("code", "daemon", "webserver"):
            servers.start(name)
        servers.wait_until_the_webserver_answers()
        yield servers
    finally:
        servers.close()
