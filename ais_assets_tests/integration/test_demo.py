"""What builds all: the demo over the small set, which is there, and the job for everything over one that lacks some."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from dagster import AssetKey, DagsterInstance

from ais_assets.definitions import build_definitions
from ais_assets.settings import Settings
from ais_assets_tests.ais_command import ais_here, as_in_a_new_process
from ais_assets_tests.integration.test_graph import SMALL, digests, stages_of


def variables(lake: str, folder: Path) -> dict[str, str]:
    """The environment of the small set, there."""
    chosen = {f"AIS_{name.upper()}": str(value) for name, value in SMALL.items()}
    return {**chosen, "AIS_LAKE": lake, "AIS_CACHE": str(folder / "cache")}


def test_the_demo_says_what_there_is_and_loads_a_batch(small_lake: Settings, tmp_path: Path) -> None:
    before = digests(small_lake)
    environment = variables(small_lake.lake, tmp_path)
    shown = ais_here(("demo",), environment, tmp_path)
    assert shown.returncode == 0, shown.stderr
    window_len = small_lake.window_len
    for line in (
        f"First training batch: [64, {window_len}, 5] torch.float32",
        f"to see [64, {small_lake.seq_len}, 5], to forecast [64, {small_lake.max_horizon}, 5]",
        f"{small_lake.lake}/card.html",
    ):
        assert line in shown.stdout
    told = json.loads(ais_here(("demo", "--json"), environment, tmp_path).stdout)
    assert told["first_batch"]["batch"] == [64, window_len, 5]
    assert told["warnings"] == []
    assert digests(small_lake) == before


def test_the_job_for_everything_makes_what_is_missing_or_damaged(
    small_lake: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(small_lake.lake, tmp_path / "lake")
    settings = small_lake.model_copy(update={"lake": str(tmp_path / "lake"), "cache": tmp_path / "cache"})
    before = digests(settings)
    (tmp_path / "lake/materialized/windows/00001.parquet").unlink()
    for key in ("raw_archives/2024-03-01.json", "mds/00000.json", "reports/dead_reckoning.json"):
        (tmp_path / "lake" / key).unlink()
        (tmp_path / "lake" / key).write_bytes(b"{}" if "mds" in key else b"{")
    for name, value in variables(settings.lake, tmp_path).items():
        monkeypatch.setenv(name, value)
    job = build_definitions(settings).resolve_job_def("everything")
    with as_in_a_new_process(tmp_path), DagsterInstance.ephemeral() as instance:
        ran = job.execute_in_process(instance=instance)
        assert ran.success
        said = [entry.user_message for entry in instance.all_logs(ran.run_id)]
        made = {asset: instance.get_materialized_partitions(AssetKey(asset)) for asset in stages_of(settings)}
    assert digests(settings) == before
    assert {asset: keys for asset, keys in made.items() if keys} == {
        "raw_archives": {"2024-03-01"},
        "materialized_windows": {"00001"},
        "mds_shards": {"00000"},
    }
    assert any(line.startswith("materialized_windows[00001]: ") for line in said)
