"""A PostgreSQL server for tests, the one of `pgserver`, that can be killed and started anew."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from ais_assets_tests.patience import PATIENCE_SECONDS

pgserver = pytest.importorskip("pgserver", reason="PostgreSQL in a wheel, which there is up to Python 3.12")
pytest.importorskip("dagster_postgres", reason="the extra ais_assets[postgres] is not installed")


class PostgresServer:
    """A server that listens on a socket in its folder, not on a port.

    Args:
        folder: that any user can reach, since the server does not run as root.
    """

    def __init__(self, folder: Path) -> None:
        self._server: Any = pgserver.get_server(folder / "data")

    def environment(self) -> dict[str, str]:
        """The environment variables that deploy/postgres.yaml asks for; with an empty host libpq looks into PGHOST."""
        told = {"HOST": "", "PORT": "5432", "DB": "postgres", "USER": "postgres", "PASSWORD": "unused"}
        return {
            **{f"DAGSTER_POSTGRES_{name}": value for name, value in told.items()},
            "PGHOST": self._server.get_uri().partition("?host=")[2],
        }

    def psql(self, statement: str) -> str:
        """What the statement gives, as text."""
        return self._server.psql(statement)

    def kill(self) -> None:
        """Kills the server with SIGKILL; returns when the processes of its connections have ended, as they then do."""
        server = psutil.Process(self._server.get_pid())
        connections = server.children(recursive=True)
        os.kill(server.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs([server, *connections], PATIENCE_SECONDS)
        assert not alive, f"{alive} outlive the server"

    def start(self) -> None:
        """Starts it anew, over what it has stored."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Ends it."""
        self._server.cleanup()


@contextmanager
def running_postgres_server() -> Iterator[PostgresServer]:
    """Starts the server in a folder of its own; ends it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="ais-postgres-"))
    folder.chmod(0o755)
    server = PostgresServer(folder)
    try:
        yield server
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)
