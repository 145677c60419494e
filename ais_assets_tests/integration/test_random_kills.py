"""A run killed at a random moment leaves whole versions, and the run after it gives an undisturbed one's bytes.

A stage of days, one of shards and one of piles; `make kills` takes every stage, and more of each.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ais_assets.settings import Settings
from ais_assets_tests.integration.random_kills import Workplace, killed_at_random, stages
from ais_assets_tests.integration.test_graph import SMALL

KILLED = ("clean_records", "track_shards", "mds_shards")


@pytest.mark.parametrize("asset", KILLED)
def test_a_stage_killed_at_random_moments(small_lake: Settings, tmp_path: Path, asset: str) -> None:
    stage = next(each for each in stages(SMALL) if each.asset == asset)
    whole = Workplace(Path(small_lake.lake).parent)
    outcome = killed_at_random(whole, stage, tmp_path / "copy", kills=1, seed=0)
    assert outcome.kills == 1
    assert outcome.looks > outcome.kills
