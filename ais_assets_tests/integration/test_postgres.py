"""Dagster's storage as deploy/postgres.yaml sets it up, on a real PostgreSQL server."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from ais_assets_tests.conftest import PROJECT
from ais_assets_tests.postgres_server import running_postgres_server


@dg.asset
def positions() -> dg.MaterializeResult:
    """Something to be recorded."""
    return dg.MaterializeResult(metadata={"dagster/row_count": 17})


def test_runs_and_events_are_in_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = (PROJECT / "ais_assets" / "operating" / "dagster.yaml", PROJECT / "deploy" / "postgres.yaml")
    (tmp_path / "dagster.yaml").write_text("\n".join(part.read_text() for part in parts))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with running_postgres_server() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
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
