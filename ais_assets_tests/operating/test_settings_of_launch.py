"""A run is made with the settings that it was launched with, or not at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance

from ais_assets.io.lake import Lake
from ais_assets.operating import code_location
from ais_assets.operating.tasks import RANGE_END, RANGE_START, Task, done
from ais_assets_tests.patience import PATIENCE_SECONDS

DAY = "2024-03-01"
WORKER = """
import sys
from dagster import DagsterInstance
from ais_assets.operating import code_location
with DagsterInstance.from_config(sys.argv[1]) as instance:
    code_location.execute(instance, instance.get_run_by_id(sys.argv[2]))
"""
"""A process that executes a run which another one launched, by the settings of its own environment."""


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterInstance]:
    """Of a deployment whose code server has these settings."""
    for name, value in {"LAKE": "lake", "CACHE": "cache"}.items():
        monkeypatch.setenv(f"AIS_{name}", str(tmp_path / value))
    monkeypatch.setenv("AIS_SIMULATED_VESSELS", "5")
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    code_location.repository.cache_clear()
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance
    code_location.repository.cache_clear()


def in_a_process(instance: DagsterInstance, run_id: str) -> None:
    """Executes the run as another machine does."""
    subprocess.run(
        [sys.executable, "-c", WORKER, instance.root_directory, run_id],
        timeout=PATIENCE_SECONDS,
        check=True,
        capture_output=True,
    )


def here(instance: DagsterInstance, run_id: str) -> None:
    """Executes the run in this process, which forgets the settings that it was launched with."""
    run = instance.get_run_by_id(run_id)
    assert run is not None
    code_location.repository.cache_clear()
    code_location.execute(instance, run)
    code_location.repository.cache_clear()


def error_of(
    instance: DagsterInstance, execute: Callable[[DagsterInstance, str], None] = here, **variables: str
) -> str | None:
    """The error of a run that was launched here and is executed with other variables; None without."""
    run = code_location.create_run(instance, "raw_archives", {RANGE_START: DAY, RANGE_END: DAY}, quiet=True)
    with pytest.MonkeyPatch.context() as patched:
        for name, value in variables.items():
            patched.setenv(name, value)
        execute(instance, run.run_id)
    return done(instance, Task("raw_archives", (DAY,)), run.run_id, 0.0).error


def test_a_worker_with_other_settings_refuses_and_names_them(instance: DagsterInstance, tmp_path: Path) -> None:
    other = {"AIS_SIMULATED_VESSELS": "6", "AIS_SOURCE_URI": "https://user:secret@example.org/{day}.zip"}
    error = error_of(instance, in_a_process, **other)
    assert error is not None
    assert (
        "launched with AIS_SIMULATED_VESSELS=5, and the process that executes it has AIS_SIMULATED_VESSELS=6" in error
    )
    assert "give the code server and every worker the same settings" in error
    elsewhere = error_of(instance, AIS_LAKE=str(tmp_path / "elsewhere"))
    assert elsewhere is not None
    assert f"launched with AIS_LAKE={tmp_path}/lake, and" in elsewhere
    assert not (tmp_path / "elsewhere").exists()
    assert Lake(tmp_path / "lake").partitions("raw_archives") == []


def test_settings_that_do_not_shape_it_may_differ(instance: DagsterInstance, tmp_path: Path) -> None:
    assert error_of(instance, AIS_MAX_SPEED_KNOTS="20", AIS_ZSTD_LEVEL="3") is None
    assert Lake(tmp_path / "lake").partitions("raw_archives") == [DAY]
