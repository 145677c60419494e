"""What comes after what is declared once: Dagster's graph, its partitions of days and a build's turns are of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ais_assets.assets.stage import SETTINGS_TAG
from ais_assets.definitions import platform_assets
from ais_assets.io.stages import in_order, stages, turns
from ais_assets.machine import utc_today
from ais_assets.settings import load_settings


@pytest.mark.parametrize("formats", [("parquet", "mds"), ("parquet",), ("mds",), ()])
def test_dagsters_graph_is_that_of_the_stages(formats: tuple[str, ...]) -> None:
    # Days that have not ended are in the range and are no partitions yet.
    first, last = utc_today() - timedelta(days=3), utc_today() + timedelta(days=2)
    settings = load_settings(window_formats=formats, test_fraction=0.1, first_day=first, last_day=last)
    assets, known = platform_assets(settings), stages(settings)
    assert assets.keys() == known.keys()
    for name, asset in assets.items():
        stage, cut = known[name], asset.partitions_def
        assert {key.path[-1] for key in asset.dependency_keys} == set(stage.upstream)
        assert tuple([] if cut is None else cut.get_partition_keys()) == stage.partitions
        assert SETTINGS_TAG in asset.op.tags
    assert len(known["raw_archives"].partitions) == 3


def test_a_stage_comes_after_all_that_it_is_made_from() -> None:
    settings = load_settings(test_fraction=0.1)
    before: set[str] = set()
    for turn in turns(settings):
        assert all(set(stage.upstream) <= before for stage in turn)
        before |= {stage.asset for stage in turn}
    assert before == stages(settings).keys() == {stage.asset for stage in in_order(settings)}
