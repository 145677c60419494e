"""A build killed with SIGKILL at any moment, and the build after it, give what an undisturbed build gives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from ais_assets.machine import is_alive
from ais_assets.operating.local_runs import end_orphans
from ais_assets.settings import Settings, load_settings
from ais_assets.store.objects import STAGING
from ais_assets_tests.ais_command import ais_here
from ais_assets_tests.integration.test_graph import SMALL, digests
from ais_assets_tests.patience import PATIENCE_SECONDS


def environment(folder: Path) -> dict[str, str]:
    """The small set in this folder, with an instance of its own."""
    settings = {f"AIS_{name.upper()}": str(value) for name, value in SMALL.items()}
    (folder / "dagster").mkdir(parents=True)
    (folder / "dagster" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    return {
        **os.environ,
        **settings,
        "AIS_LAKE": str(folder / "lake"),
        "AIS_CACHE": str(folder / "cache"),
        "DAGSTER_HOME": str(folder / "dagster"),
        "PYTHONWARNINGS": "ignore",
    }


def build(folder: Path, variables: dict[str, str]) -> subprocess.Popen[bytes]:
    """`ais build` as a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "ais_assets.cli", "build", "--workers", "2"],
        env=variables,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Until the build has made this file."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not path.exists():
        assert process.poll() is None, "the build ended before it could be killed"
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


def kill_alone(process: subprocess.Popen[bytes]) -> None:
    """Kills the build and none of its workers, and waits until they have ended of their own accord."""
    children = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    assert children
    os.kill(process.pid, signal.SIGKILL)
    process.wait(PATIENCE_SECONDS)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(map(is_alive, children)):
        assert time.monotonic() < deadline, "workers outlive the build"
        time.sleep(0.1)


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """Kills the build with its workers; these may take a moment to be gone."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(PATIENCE_SECONDS)


def test_killed_builds_leave_nothing_behind_that_matters(small_lake: Settings, tmp_path: Path) -> None:
    variables = environment(tmp_path)
    lake = tmp_path / "lake"
    for landmark, kill in (
        ("raw_archives", kill_alone),
        ("track_shards/0001.parquet", kill_all),
        ("mds/00000.json", kill_all),
    ):
        process = build(tmp_path, variables)
        wait_for(lake / landmark, process)
        kill(process)

    with DagsterInstance.from_config(str(tmp_path / "dagster")) as instance:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED])):
            assert time.monotonic() < deadline, "a run whose process was killed seems to go on"
            end_orphans(instance)
        assert instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.FAILURE]))

    assert build(tmp_path, variables).wait(PATIENCE_SECONDS) == 0
    assert digests(load_settings(lake=str(lake), **SMALL)) == digests(small_lake)
    # The lock on publications is a file, and stays.
    assert not [left for left in (lake / STAGING).iterdir() if left.is_dir()]


def test_an_interrupted_build_says_how_to_go_on_and_does(tmp_path: Path) -> None:
    variables = environment(tmp_path / "x") | {"AIS_LAST_DAY": "2024-03-01"}
    # What a shell starts in the background ignores the signal, and so would what that starts.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    ais = [sys.executable, "-c", f"{heeding}; from ais_assets.cli.main import main; main()"]
    words = ["build", "--workers", "1", "--only", "raw_archives", "--only", "raw_records"]
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(
            [*ais, *words], env=variables, cwd=tmp_path, stdout=said, stderr=said, start_new_session=True
        )
        wait_for(tmp_path / "x" / "lake" / "raw_archives" / "2024-03-01.json", process)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 1
    message = " ".join((tmp_path / "said").read_text().split())
    assert "interrupted. What was built is kept" in message
    assert "`ais build` goes on with what is missing or stale" in message
    assert "Traceback" not in message
    assert not list((tmp_path / "x" / "lake" / ".builders").iterdir()), "nobody builds it any more"
    assert ais_here(tuple(words), variables, tmp_path).returncode == 0
    assert (tmp_path / "x" / "lake" / "raw_records" / "2024-03-01.parquet").exists()
