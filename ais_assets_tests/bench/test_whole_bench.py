"""The benches of the plan against runs, at a tiny size, and the rates that the plan rests on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from dagster import DagsterInstance

from ais_assets.bench import _runs, rates, whole
from ais_assets.bench.whole import write_raw_records
from ais_assets.cli.main import main
from ais_assets.io.lake import Lake
from ais_assets.io.stages import turns
from ais_assets.operating import code_location
from ais_assets.operating.local_runs import run_task
from ais_assets.operating.planning.rates import MEASURED_RATES, Rates
from ais_assets.operating.tasks import Task
from ais_assets.settings import load_settings
from ais_assets.transforms.clean import clean_day
from ais_assets_tests.patience import PATIENCE_SECONDS


def test_copies_are_typed_records_of_other_vessels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AIS_FIRST_DAY": "2024-03-01", "AIS_LAST_DAY": "2024-03-02", "AIS_SHARDS": "3"}.items():
        monkeypatch.setenv(name, value)
    lake = Lake(tmp_path / "lake")
    written = write_raw_records(lake, load_settings(), vessels=5, positions=200_000, clean_share=0.5, folder=tmp_path)
    assert 250_000 < written < 600_000
    days = [pa.concat_tables(lake.row_groups("raw_records", day)) for day in ("2024-03-01", "2024-03-02")]
    assert sum(map(len, days)) == written
    counts = []
    for number, rows in enumerate(days):
        stream = clean_day(iter([rows]), date(2024, 3, 1 + number), shards=1, repeat_seconds=120)
        mmsi, count = np.unique(pa.concat_tables(stream.tables)["mmsi"].to_numpy(), return_counts=True)
        counts.append(dict(zip(mmsi.tolist(), count.tolist(), strict=True)))
    copies = Counter(mmsi // 1000 for mmsi in counts[0])
    assert len(set(copies.values())) == 1, "each vessel as often as the others"
    assert max(copies.values()) > 1
    for mmsi, count in counts[0].items():
        assert counts[0][mmsi // 1000 * 1000] == count, "with the same records"
    assert len(counts[1].keys() & counts[0].keys()) > len(counts[0]) / 2, "under the same MMSI from day to day"


class RunsHere(_runs.Runs):
    """Runs in this process: a new one for each of a dozen stages takes longer than all their work."""

    def take(self, tasks: Sequence[Task]) -> tuple[float, int]:
        """As of processes; the peak is this process's."""
        started = time.perf_counter()
        code_location.repository.cache_clear()
        for task in tasks:
            assert run_task(self._reference, task).error is None
        code_location.repository.cache_clear()
        return time.perf_counter() - started, _runs.own_bytes(os.getpid())


def test_runs_in_processes_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    days = ("2024-03-01", "2024-03-02")
    for name, value in {
        "FIRST_DAY": days[0],
        "LAST_DAY": days[1],
        "SHARDS": "2",
        "LAKE": str(tmp_path / "lake"),
    }.items():
        monkeypatch.setenv(f"AIS_{name}", value)
    lake = Lake(tmp_path / "lake")
    write_raw_records(lake, load_settings(), vessels=5, positions=20_000, clean_share=0.5, folder=tmp_path)
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        runs = _runs.Runs(instance.get_ref(), 1)
        seconds, peak = runs.take([Task("clean_records", (day,)) for day in days])
        assert lake.partitions("clean_records") == list(days)
        assert seconds > 0
        assert peak > 10_000_000
        with pytest.raises(RuntimeError, match=r"PartitionMissingError: .* has 0 of the"):
            runs.take([Task("training_dataset")])


@pytest.mark.parametrize("formats", ["parquet,mds", ""])
def test_predicted_beside_measured(monkeypatch: pytest.MonkeyPatch, formats: str) -> None:
    monkeypatch.setattr(whole, "Runs", RunsHere)
    # Neither 3 GB of disk nor the rates of this machine, which the next test measures.
    monkeypatch.setattr(whole, "_PACE_BLOCKS", 1)
    monkeypatch.setattr(whole, "median_rates", lambda vessels, repeat: MEASURED_RATES)
    before = dict(os.environ)
    words = ["bench", "whole", "--positions", "40000", "--vessels", "10", "--days", "1", "--window-formats", formats]
    shown = CliRunner().invoke(main, [*words, "--shards", "2", "--piles", "2", "--workers", "1", "--json"])
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert list(found["predicted"]) == list(found["measured"])
    built = turns(load_settings(window_formats=formats))[2:]
    assert list(found["measured"]) == [*(stage.asset for turn in built for stage in turn), "first batch"]
    for asset, measured in found["measured"].items():
        if found["predicted"][asset]["unit"] == "windows" and measured["rows"]:
            assert measured["rows"] == found["predicted"][asset]["units"]
        assert measured["bytes_written"] > 0 or asset == "first batch"
        assert measured["peak_bytes"] > 0
    assert found["measured"]["first batch"]["rows"] == 64
    assert dict(os.environ) == before


def test_measured_processes_have_what_a_runs_has() -> None:
    # A loader's libraries would be counted as memory of every stage.
    code = "import sys, ais_assets.bench._runs; print({'torch', 'streaming', 'polars'} & sys.modules.keys())"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, timeout=PATIENCE_SECONDS).strip() == "set()"


def test_rates_are_kept_for_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # On one core; each takes a process of its own for all stages.
    monkeypatch.setattr(rates, "usable_cores", lambda: 1)
    words = ["bench", "rates", "--vessels", "10", "--repeat", "1", "--json"]
    shown = CliRunner().invoke(main, words, env={"XDG_CACHE_HOME": str(tmp_path)})
    assert shown.exit_code == 0, shown.output
    found = Rates.from_json(shown.stdout)
    assert Rates.from_json((tmp_path / "ais_assets" / "rates.json").read_text()) == found
    assert found.clean_share < 1


def test_each_asset_of_a_build_beside_its_bound(tmp_path: Path) -> None:
    words = ["bench", "load", "--days", "1", "--vessels", "10", "--shards", "2", "--piles", "2", "--workers", "1"]
    shown = CliRunner().invoke(main, [*words, "--window-formats", "", "--folder", str(tmp_path), "--json"])
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert found["over"] == []
    assert found["tree_bytes"] > found["assets"]["track_shards"]["peak_bytes"] > 50e6
    for asset in ("raw_records", "clean_records", "vessels", "daily_quality", "track_shards", "tracks"):
        taken = found["assets"][asset]
        assert taken["rows"] > 0 or asset == "daily_quality"
        assert 0 < taken["seconds"] < found["seconds"]
        assert 0 < taken["peak_bytes"] < taken["bound_bytes"]
    assert found["assets"]["raw_archives"]["bound_bytes"] is None
    assert list(tmp_path.iterdir()) == []
