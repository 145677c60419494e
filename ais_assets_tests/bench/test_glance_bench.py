"""`ais bench glance`: a lake of which nothing is missing or stale, and looks at it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ais_assets.bench.glance import fill
from ais_assets.cli.main import main
from ais_assets.cli.summary import Summary
from ais_assets.io.lake import Lake
from ais_assets.settings import load_settings

SIZE = {"shards": 3, "piles": 4}


def test_the_lake_lacks_nothing_and_nothing_of_it_is_stale(tmp_path: Path) -> None:
    settings = load_settings(lake=str(tmp_path / "lake"), first_day="2023-01-01", last_day="2023-01-05", **SIZE)
    lake = Lake.from_settings(settings)
    found = Summary.of(lake, settings)
    assert found.is_empty
    written = fill(lake, settings)
    found = Summary.of(lake, settings)
    assert sum(held.there for held in found.assets) == written
    assert found.faults == []


@pytest.mark.usefixtures("turns_in_this_process")
def test_both_lakes_are_looked_at(tmp_path: Path) -> None:
    words = ["bench", "glance", "--days", "2", "--shards", "3", "--piles", "4", "--repeat", "1", "--json"]
    shown = CliRunner().invoke(main, [*words, "--folder", str(tmp_path)])
    assert shown.exit_code == 0, shown.output
    (race,) = json.loads(shown.stdout)["races"]
    assert [of["name"] for of in race["standings"]] == ["a lake without partitions", "the lake"]
    assert all(of["cpu_seconds"] > 0 for of in race["standings"])
