"""Benches of positions, at tiny sizes: what they print, and that the contenders keep the same positions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from ais_assets.bench import storage, tracks
from ais_assets.bench._simulated import row_groups, simulated_traffic
from ais_assets.cli.main import main
from ais_assets.io.views import in_degrees_and_knots

SIZE = ["--vessels", "5", "--days", "1"]


def test_copies_are_further_vessels_with_the_same_positions() -> None:
    with tracks.simulated_shard(5, 2, 1, 3) as once, tracks.simulated_shard(5, 2, 3, 3) as thrice:
        for single, triple in zip(once, thrice, strict=True):
            one, three = pq.read_table(single), pq.read_table(triple)
            assert three.num_rows == 3 * one.num_rows
            key = three["mmsi"].to_numpy().astype(np.int64) << 32 | three["t"].cast(pa.int64()).to_numpy() // 1000
            assert (np.diff(key) > 0).all()
        vessels = [set(pq.read_table(file)["mmsi"].to_pylist()) for file in thrice]
        assert len(vessels[0] | vessels[1]) % 3 == 0


def test_every_way_to_tracks_splits_at_the_same_silences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = {}

    def kept(name: str) -> None:
        class Output:
            def __enter__(self) -> Path:
                return tmp_path / name

            def __exit__(self, *_: object) -> None:
                pass

        monkeypatch.setattr(tracks, "_output", Output)
        written[name] = tmp_path / name

    with tracks.simulated_shard(5, 2, 1, 3) as files:
        counts = []
        for name, run in (
            ("platform", tracks.with_the_platform),
            ("duckdb", tracks.with_duckdb),
            ("polars", tracks.with_polars),
        ):
            kept(name)
            counts.append(run(files))
    assert len(set(counts)) == 1
    numbers = {
        name: (table["track"].n_unique(), len(table))
        for name, table in ((name, pl.read_parquet(path)) for name, path in written.items())
    }
    assert numbers["duckdb"] == numbers["polars"]
    # By lags the good position after a bad one goes too; the platform drops other few.
    assert numbers["platform"][0] == numbers["duckdb"][0]
    assert numbers["platform"][1] == pytest.approx(numbers["duckdb"][1], rel=0.01)


def test_both_writers_store_the_same_positions(tmp_path: Path) -> None:
    with simulated_traffic(vessels=5, days=1, seed=3) as traffic:
        tables = list(row_groups(traffic.tracks))
        for name, writer in storage.WRITERS.items():
            writer(tables, tmp_path / name)
    lake, floats = (pq.read_table(tmp_path / name) for name in ("the lake's", "float64, zstd"))
    assert in_degrees_and_knots(lake).equals(floats)


@pytest.mark.usefixtures("turns_in_this_process")
@pytest.mark.parametrize(("bench", "contenders"), [("tracks", {"DuckDB", "the platform"}), ("storage", {"the lake's"})])
def test_a_bench_reports_every_contender_beside_one_baseline(bench: str, contenders: set[str]) -> None:
    result = CliRunner().invoke(main, ["bench", bench, "--json", "--repeat", "1", *SIZE], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (race,) = json.loads(result.stdout)["races"]
    standings = {standing["name"]: standing for standing in race["standings"]}
    assert contenders <= standings.keys()
    assert [standing["times_baseline"] for standing in standings.values()].count(1.0) == 1
    for standing in standings.values():
        assert standing["turns"][0]["units"] > 0
        assert standing["peak_bytes"] > 0
