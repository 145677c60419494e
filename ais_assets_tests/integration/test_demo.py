"""`ais demo` over the small set, which is there: it builds nothing, says what there is, and loads a batch of it."""

from __future__ import annotations

import json
from pathlib import Path

from ais_assets.settings import Settings
from ais_assets_tests.ais_command import ais_here
from ais_assets_tests.integration.test_graph import SMALL, digests


def test_the_demo_says_what_there_is_and_loads_a_batch(small_lake: Settings, tmp_path: Path) -> None:
    before = digests(small_lake)
    variables = {f"AIS_{name.upper()}": str(value) for name, value in SMALL.items()}
    variables |= {"AIS_LAKE": small_lake.lake, "AIS_CACHE": str(tmp_path / "cache")}
    shown = ais_here(("demo",), variables, tmp_path)
    assert shown.returncode == 0, shown.stderr
    window_len = small_lake.window_len
    for line in (
        f"First training batch: [64, {window_len}, 5] torch.float32",
        f"to see [64, {small_lake.seq_len}, 5], to forecast [64, {small_lake.max_horizon}, 5]",
        f"{small_lake.lake}/card.html",
    ):
        assert line in shown.stdout
    told = json.loads(ais_here(("demo", "--json"), variables, tmp_path).stdout)
    assert told["first_batch"]["batch"] == [64, window_len, 5]
    assert told["warnings"] == []
    assert digests(small_lake) == before
