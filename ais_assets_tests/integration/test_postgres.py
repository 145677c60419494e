"""Dagster's storage as deploy/postgres.yaml sets it up, on a real PostgreSQL server."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ais_assets_tests.conftest import PROJECT

pgserver = pytest.importorskip("pgserver", reason="PostgreSQL in a wheel, which there is up to Python 3.12")
pytest.importorskip("dagster_postgres", reason="the extra ais_assets[postgres] is not installed")


@pytest.fixture
def server() -> Iterator[Any]:
    """A server in a folder that any user can reach, since it does not run as root."""
    folder = Path(tempfile.mkdtemp(prefix="ais-postgres-"))
    folder.chmod(0o755)
    server = pgserver.get_server(folder / "data")
    try:
        yield server
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@dg.asset
def positions() -> dg.MaterializeResult:
    """Something to be recorded."""
    return dg.MaterializeResult(metadata={"dagster/row_count": 17})


def test_runs_and_events_are_in_the_database(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = (PROJECT / "ais_assets" / "operating" / "dagster.yaml", PROJECT / "deploy" / "postgres.yaml")
    (tmp_path / "dagster.yaml").write_text("\n".join(part.read_text() for part in parts))
    # The server listens on a socket in its folder, not on a port: with an empty host libpq looks into PGHOST.
    environment = {"HOST": "", "PORT": "5432", "DB": "postgres", "USER": "postgres", "PASSWORD": "unused"}
    for name, value in environment.items():
        monkeypatch.setenv(f"DAGSTER_POSTGRES_{name}", value)
    monkeypatch.setenv("PGHOST", server.get_uri().partition("?host=")[2])
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with dg.DagsterInstance.get() as instance:
        run = dg.materialize([positions], instance=instance)
    assert run.success
    with dg.DagsterInstance.get() as instance:
        event = instance.get_latest_materialization_event(positions.key)
        assert event is not None
        assert event.run_id == run.run_id
    stored = server.psql(f"select status from runs where run_id = '{run.run_id}';")
    assert "SUCCESS" in stored
    assert not list(tmp_path.rglob("*.db"))
