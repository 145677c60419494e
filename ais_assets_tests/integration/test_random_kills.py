"""Runs killed at random moments leave whole versions, and the run after them gives an undisturbed one's bytes.

A stage of days, one of shards and one of piles; `make kills` takes every stage, and more of each.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ais_assets_tests.integration.random_kills import Workplace, killed_at_random, stages, undisturbed
from ais_assets_tests.integration.test_graph import SMALL

KILLED = ("clean_records", "track_shards", "mds_shards")
BEFORE = ("raw_archives", "raw_records", "vessels", "window_piles")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A lake that nobody disturbed."""
    return undisturbed(tmp_path_factory.mktemp("undisturbed"), only=(*KILLED, *BEFORE))


@pytest.mark.parametrize("asset", KILLED)
def test_a_stage_killed_at_random_moments(whole: Workplace, tmp_path: Path, asset: str) -> None:
    stage = next(each for each in stages(SMALL) if each.asset == asset)
    outcome = killed_at_random(whole, stage, tmp_path / "copy", kills=2, seed=0)
    assert outcome.kills == 2
    assert outcome.looks > outcome.kills
