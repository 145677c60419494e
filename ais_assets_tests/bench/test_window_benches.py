"""Benches of windows, at tiny sizes: what they print, and that all contenders make the same windows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from ais_assets.bench import mds, parquet, shuffle
from ais_assets.bench._simulated import Traffic, simulated_traffic, windows_of
from ais_assets.bench.gather import shuffled_rows
from ais_assets.cli.main import main
from ais_assets.transforms.windows import gather
from ais_assets_tests.io.mds_samples import read_samples

WINDOWS = 40


@pytest.fixture(scope="module")
def traffic() -> Iterator[Traffic]:
    with simulated_traffic(vessels=5, days=1, seed=3) as simulated:
        assert simulated.windows >= WINDOWS
        yield simulated


def test_both_parquet_writers_write_the_same_windows(traffic: Traffic, tmp_path: Path) -> None:
    tables = windows_of(traffic, WINDOWS)
    parquet.write_as_lake(tables, tmp_path / "lake.parquet")
    parquet.write_with_defaults(tables, tmp_path / "defaults.parquet")
    lake, defaults = pq.read_table(tmp_path / "lake.parquet"), pq.read_table(tmp_path / "defaults.parquet")
    assert lake.num_rows == WINDOWS
    assert lake.equals(defaults)


@pytest.mark.parametrize("threads", [1, 2])
def test_mds_contenders_write_the_same_bytes(traffic: Traffic, tmp_path: Path, threads: int) -> None:
    mds.write_into(traffic, WINDOWS, mds.STOCK, tmp_path / "stock")
    mds.write_into(traffic, WINDOWS, threads, tmp_path / "ours")
    stock, ours = read_samples(tmp_path / "stock"), read_samples(tmp_path / "ours")
    assert ours.equals(stock)
    assert ours.equals(pa.concat_tables(windows_of(traffic, WINDOWS)))


def test_the_gathered_rows_are_the_piles_windows(traffic: Traffic) -> None:
    rows = shuffled_rows(traffic, WINDOWS)
    features = gather([traffic.load_packed()], np.zeros(WINDOWS, np.int64), rows, traffic.window_len)
    pile = pa.concat_tables(windows_of(traffic, WINDOWS))
    np.testing.assert_array_equal(features.reshape(-1), pile["features"].combine_chunks().flatten().to_numpy())


@pytest.mark.parametrize(("bench", "contenders"), [("gather", 2), ("parquet", 2), ("mds", 3)])
def test_a_bench_reports_every_contender_beside_one_baseline(
    request: pytest.FixtureRequest, bench: str, contenders: int
) -> None:
    if bench != "gather":
        request.getfixturevalue("turns_in_this_process")
    options = ["--json", "--repeat", "1", "--vessels", "5", "--days", "1", "--windows", str(WINDOWS)]
    result = CliRunner().invoke(main, ["bench", bench, *options], catch_exceptions=False)
    (race,) = json.loads(result.output)["races"]
    units = {turn["units"] for standing in race["standings"] for turn in standing["turns"]}
    assert len(race["standings"]) == contenders
    assert [standing["times_baseline"] for standing in race["standings"]].count(1.0) >= 1
    assert len(units) == 1, "contenders did different amounts of work"


def test_every_shuffle_ends_in_the_same_order(traffic: Traffic, tmp_path: Path) -> None:
    work = shuffle.Shuffle(traffic, shards=2, piles=3)
    orders = {}
    for number, (name, way) in enumerate(shuffle.WAYS.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        orders[name] = np.concatenate(list(way(work, folder)))
        assert (sum(file.stat().st_size for file in folder.iterdir()) == 0) == (name == "by reference")
    assert all(len(order) == work.windows for order in orders.values())
    assert all(np.array_equal(order, orders["by reference"]) for order in orders.values())
