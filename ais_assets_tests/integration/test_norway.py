"""The real Norwegian file through every stage: five ships in, tracks and windows out, every drop under a rule."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from ais_assets.io.lake import Lake
from ais_assets.settings import load_settings
from ais_assets_tests.integration.test_graph import materialize, require_the_same_windows

SHIPS = 5
ROWS = 10_001


def test_five_real_ships(real_data: Path, tmp_path: Path) -> None:
    settings = load_settings(
        source="norway",
        source_uri=str(real_data / "norway"),
        first_day="2022-09-01",
        last_day="2022-09-01",
        lake=str(tmp_path / "lake"),
        cache=tmp_path / "cache",
        shards=2,
        piles=2,
        validation_fraction=0.2,
        seed=3,
    )
    with dg.DagsterInstance.ephemeral() as instance:
        materialize(settings, instance, together=True)
    lake = Lake(settings.lake)

    raw = lake.ledger("raw_records", "2022-09-01")
    clean = lake.ledger("clean_records", "2022-09-01")
    assert (raw.rows_in, raw.rows_dropped) == (ROWS, 0)
    assert clean.rows_in == raw.rows_out
    assert clean.rows_in == clean.rows_out + sum(clean.dropped.values())
    assert lake.table("vessels").num_rows == SHIPS
    assert len(set(lake.table("clean_records")["mmsi"].to_pylist())) == SHIPS

    tracks = lake.sql("select mmsi, track, count(*) as n from track_shards group by all").fetchall()
    assert {mmsi for mmsi, _, _ in tracks} <= set(lake.table("clean_records")["mmsi"].to_pylist())
    windows = lake.table("materialized_windows").num_rows + lake.table("validation").num_rows
    assert windows == sum((n - 928) // 32 + 1 for _, _, n in tracks if n >= 928)
    assert windows > 0
    require_the_same_windows(lake, tmp_path)
