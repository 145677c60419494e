"""The bench of the plan against a run, at a tiny size, and the rates that the plan rests on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from ais_assets.bench.whole import write_clean_records
from ais_assets.cli import main
from ais_assets.io.lake import Lake
from ais_assets.planning import Rates
from ais_assets.settings import load_settings
from ais_assets.transforms.split import shard_of


def test_copies_are_clean_records_of_other_vessels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AIS_FIRST_DAY": "2024-03-01", "AIS_LAST_DAY": "2024-03-01", "AIS_SHARDS": "3"}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "archives").mkdir()
    lake = Lake(tmp_path / "lake")
    written = write_clean_records(lake, load_settings(), 5, 60_000, tmp_path / "archives")
    assert 60_000 <= written < 120_000
    groups = list(lake.row_groups("clean_records", "2024-03-01"))
    assert [set(shard_of(group["mmsi"].to_numpy(), 3)) for group in groups] == [{0}, {1}, {2}]
    rows = pa.concat_tables(groups)
    assert rows.num_rows == written
    for group in groups:
        mmsi, t = group["mmsi"].to_numpy().astype(np.int64), group["t"].to_numpy().astype(np.int64)
        assert (np.diff(mmsi * 2**33 + t // 1000) > 0).all()
    counts = np.unique(rows["mmsi"].to_numpy(), return_counts=True)[1]
    assert len(counts) % len(np.unique(counts)) == 0, "each vessel as often as the others"


def test_predicted_beside_measured() -> None:
    before = dict(os.environ)
    words = ["bench", "whole", "--positions", "40000", "--vessels", "10", "--days", "1"]
    shown = CliRunner().invoke(main, [*words, "--shards", "2", "--piles", "2", "--workers", "2", "--json"])
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert list(found["predicted"]) == list(found["measured"])
    for asset, measured in found["measured"].items():
        assert measured["units"] == found["predicted"][asset]["units"] or asset == "window_piles"
        assert measured["bytes_written"] > 0
        assert measured["peak_bytes"] > 0
    assert dict(os.environ) == before


def test_rates_are_kept_for_the_plan(tmp_path: Path) -> None:
    words = ["bench", "rates", "--vessels", "10", "--repeat", "1", "--json"]
    shown = CliRunner().invoke(main, words, env={"XDG_CACHE_HOME": str(tmp_path)})
    assert shown.exit_code == 0, shown.output
    rates = Rates.from_json(shown.stdout)
    assert Rates.from_json((tmp_path / "ais_assets" / "rates.json").read_text()) == rates
    assert rates.clean_share < 1
