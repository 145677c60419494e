"""The bench of a day's ingest, at a tiny size: that all contenders keep the same positions, and what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from ais_assets.bench import _forms, ingest
from ais_assets.cli.main import main

VESSELS, SEED = 4, 5

_SAME_FORM = """
select mmsi, epoch(t)::bigint, {position}, lower(mobile_type::varchar) from '{file}'
"""
_STORED = "lat_microdegrees, lon_microdegrees, sog_tenths, cog_tenths"
_PRINTED = "round(lat * 1000000)::int, round(lon * 1000000)::int, round(sog * 10)::int, round(cog * 10)::int"


def test_all_contenders_keep_the_same_positions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # So that what comes in blocks does so here too.
    monkeypatch.setattr(ingest, "_BLOCK_BYTES", 1 << 20)
    ways = {"ours": ingest.keeping_rebroadcasts, **ingest.WAYS}
    kept = {}
    with ingest.simulated_day(VESSELS, SEED) as day:
        for name, way in ways.items():
            into = tmp_path / f"{len(kept)}.parquet"
            way(day.archive, into)
            position = _STORED if "ours" in name or "ais_assets" in name else _PRINTED
            kept[name] = duckdb.execute(_SAME_FORM.format(position=position, file=into)).fetchall()
    staged, direct = (kept.pop(name) for name in ingest.WAYS if name.startswith("ais_assets"))
    assert staged == direct
    # The platform's are by shard before they are by ship and time.
    expected = sorted(kept.pop("ours"))
    assert 0 < len(staged) < len(expected) < day.rows
    # Without a rebroadcast another report of the same second may be the best.
    assert {row[:2] for row in staged} < {row[:2] for row in expected}
    assert {name: rows == expected for name, rows in kept.items()} == dict.fromkeys(kept, True)


@pytest.mark.usefixtures("turns_in_this_process")
def test_the_bench_reports_every_contender() -> None:
    options = ["--json", "--repeat", "1", "--rows", "20000"]
    result = CliRunner().invoke(main, ["bench", "ingest", *options], catch_exceptions=False)
    races = json.loads(result.output)["races"]
    for race, ways in zip(races, (ingest.WAYS, _forms.JSON_WAYS, _forms.PARQUET_WAYS), strict=True):
        units = {turn["units"] for standing in race["standings"] for turn in standing["turns"]}
        assert [standing["name"] for standing in race["standings"]] == list(ways)
        assert units == {race["work"]["rows"]}, "contenders did different amounts of work"
