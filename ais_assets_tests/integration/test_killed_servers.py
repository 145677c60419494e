"""Each server of a deployment killed in the middle of a backfill: started anew, it completes, with the same bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from boto3.session import Session
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from ais_assets.settings import Settings, load_settings
from ais_assets_tests.conftest import PROJECT
from ais_assets_tests.integration.dagster_servers import (
    DagsterServers,
    running_servers,
    wait,
    wait_until_complete,
    write_home,
)
from ais_assets_tests.integration.test_graph import SMALL, digests
from ais_assets_tests.postgres_server import PostgresServer, running_postgres_server
from ais_assets_tests.s3_server import RCLONE, LastingS3Server

pytestmark = [
    pytest.mark.skipif(RCLONE is None, reason="no rclone, whose S3 server keeps its objects when it is killed"),
    pytest.mark.timeout(900),
]

LAKE = "s3://lake/some/prefix"
ASSETS = ("raw_archives", "raw_records", "clean_records", "vessels")
"""A run for each of two days, and one for all vessels."""
AWAY_SECONDS = 3.0
"""For which S3 does not answer: a run that has begun asks it at once."""


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LastingS3Server]:
    """A server that keeps its objects, with the lake's bucket, in this test's environment."""
    buckets = tmp_path / "buckets"
    buckets.mkdir()
    server = LastingS3Server(buckets)
    try:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        Session().client("s3").create_bucket(Bucket="lake")
        yield server
    finally:
        server.kill()


@pytest.fixture
def postgres(monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresServer]:
    """A database for Dagster, in this test's environment."""
    with running_postgres_server() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The project's dagster.yaml with its storage in PostgreSQL: one run at a time, and a watch that looks often."""
    home = tmp_path / "home"
    write_home(
        home,
        [PROJECT / "ais_assets" / "operating" / "dagster.yaml", PROJECT / "deploy" / "postgres.yaml"],
        concurrency={"runs": {"max_concurrent_runs": 1}},
        run_monitoring={"poll_interval_seconds": 2},
        run_coordinator={"config": {"dequeue_interval_seconds": 1}},
    )
    return home


@pytest.fixture
def servers(home: Path, tmp_path: Path, s3: LastingS3Server, postgres: PostgresServer) -> Iterator[DagsterServers]:
    """Code server, daemon and webserver over both."""
    del s3, postgres  # They are in the environment.
    given = {**SMALL, "lake": LAKE, "cache": tmp_path / "cache", "days_per_run": 1}
    with running_servers(home, {f"AIS_{name.upper()}": str(value) for name, value in given.items()}) as servers:
        yield servers


class Runs:
    """The runs of an instance.

    Args:
        home: the instance's.
        said: what its servers say, where no run begins.
    """

    def __init__(self, home: Path, said: Callable[[], str]) -> None:
        self._home = home
        self._said = said
        self._begun: set[str] = set()

    def wait_for_another(self) -> None:
        """Until one is executed that was not when this was asked before."""
        with DagsterInstance.from_config(str(self._home)) as instance:

            def begun() -> set[str]:
                under_way = instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED]))
                return {run.run_id for run in under_way} - self._begun

            wait(lambda: bool(begun()), "no further run has begun", said=self._said)
            self._begun |= begun()


def test_a_backfill_outlives_each_server(
    servers: DagsterServers, home: Path, s3: LastingS3Server, postgres: PostgresServer, small_lake: Settings
) -> None:
    backfill = servers.launch_backfill(ASSETS)
    runs = Runs(home, servers.said)
    runs.wait_for_another()
    for name in ("daemon", "webserver"):
        servers.kill(name)
        servers.start(name)
    runs.wait_for_another()
    postgres.kill()
    time.sleep(AWAY_SECONDS)
    postgres.start()
    # The same day's, tried again, or the vessels'.
    runs.wait_for_another()
    s3.kill()
    time.sleep(AWAY_SECONDS)
    s3.start()
    servers.wait_until_the_webserver_answers()

    with DagsterInstance.from_config(str(home)) as instance:
        wait_until_complete(instance, backfill, servers.said)
    found = digests(load_settings(lake=LAKE, **SMALL))
    wanted = {key: digest for key, digest in digests(small_lake).items() if key.startswith(ASSETS)}
    assert {key: digest for key, digest in found.items() if key.startswith(ASSETS)} == wanted
