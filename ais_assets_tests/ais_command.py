"""The `ais` command in tests: as a user's shell runs it, or in this process, which has done its imports already."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import chdir, contextmanager
from pathlib import Path
from unittest.mock import patch

from click.testing import CliRunner
from dagster import DagsterInstance

from ais_assets.cli import build
from ais_assets.cli.main import main
from ais_assets.io import entries
from ais_assets.operating import building, code_location
from ais_assets.operating.local_runs import LocalRuns, run_recorded_in
from ais_assets.operating.tasks import Done, Task
from ais_assets_tests.patience import PATIENCE_SECONDS


def run_ais(arguments: tuple[str, ...], settings: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """The command as a user's shell would run it, in the folder: some ten seconds of a core for a build."""
    return subprocess.run(
        [sys.executable, "-m", "ais_assets.cli", *arguments],
        env={**os.environ, **settings, "PYTHONWARNINGS": "ignore", "COLUMNS": "200"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def ais_here(arguments: tuple[str, ...], settings: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """The command in this process, in the folder: a build's runs too, one after the other, recorded in memory.

    An error that a user would see as a stack is raised.
    """
    with as_in_a_new_process(folder):
        result = CliRunner(catch_exceptions=False).invoke(main, arguments, env={**settings, "COLUMNS": "200"})
    return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)


@contextmanager
def as_in_a_new_process(folder: Path) -> Iterator[None]:
    """What a process reads once is read anew; what it would start or set up for long is done here and now."""
    code_location.repository.cache_clear()
    entries.forget()
    with (
        chdir(folder),
        patch.object(building, "LocalRuns", _RunsHere),
        patch.object(build, "open_instance", DagsterInstance.ephemeral),
    ):
        yield
    code_location.repository.cache_clear()


class _RunsHere(LocalRuns):
    """Runs in this process, one after the other: to start others takes longer than all their work."""

    def submit(self, task: Task) -> Future[Done]:
        """Executes the task."""
        future: Future[Done] = Future()
        future.set_result(run_recorded_in(self._instance, task, self._parent))
        return future
