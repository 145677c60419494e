"""The loader's bench at tiny sizes: what it prints, and that all contenders read the same windows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from ais_assets.bench import _loader_contenders as contenders
from ais_assets.bench import _loader_device as on_device
from ais_assets.bench._loader_data import Windows, simulated_windows, write_index
from ais_assets.bench._loader_races import from_s3
from ais_assets.cli.main import main

WINDOWS = 40
BATCH = 16
LOADERS = [name for name in contenders.LOADERS if name not in ("litdata", "webdataset", "HF datasets")]
"""Those that need no package beside this one's own."""


@pytest.fixture(scope="module")
def windows() -> Iterator[Windows]:
    with simulated_windows(vessels=5, days=1, seed=3, most=WINDOWS) as simulated:
        assert simulated.samples == WINDOWS
        yield simulated


def contents(batches: Iterable[torch.Tensor]) -> list[bytes]:
    """The windows' bytes, in an order of their own."""
    return sorted(window.numpy().tobytes() for batch in batches for window in batch)


@pytest.mark.parametrize("loader", LOADERS)
def test_every_loader_reads_every_window(windows: Windows, loader: str) -> None:
    epoch = contenders.LOADERS[loader](windows, BATCH)
    batches = list(epoch())
    assert {batch.shape[1:] for batch in batches} == {(windows.window_len, 5)}
    assert contents(batches) == sorted(window.tobytes() for window in np.load(windows.matrix))
    assert contenders.read_for(epoch, 0.0) == WINDOWS


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # mosaicml-streaming leaves its closing to Python
@pytest.mark.parametrize("loader", ["AISMDSDataset", "StreamingDataset"])
def test_a_cold_turn_begins_with_an_empty_cache(windows: Windows, tmp_path: Path, loader: str) -> None:
    remote = contenders.Remote(str(windows.mds), tmp_path)
    assert contenders.read_for(remote.open(loader, BATCH), 0.0) == WINDOWS
    assert contenders.read_for(remote.open(loader, BATCH), 0.0) == WINDOWS
    assert len(list(tmp_path.glob("cold-*/*/*.mds"))) == len(windows.entries()), "the former cache is left"


@pytest.mark.parametrize("loader", ["AISMDSDataset", "StreamingDataset"])
def test_an_index_without_shards_can_be_opened_and_an_epoch_begun(tmp_path: Path, loader: str) -> None:
    write_index(tmp_path / "mds", shards=30, samples=11, window_len=8)
    assert contenders.begin_epoch(loader, tmp_path / "mds", BATCH) == 1
    assert contenders.construct(loader, tmp_path / "mds", BATCH) == 1


def test_the_ways_to_a_device_count_windows(windows: Windows) -> None:
    assert on_device.copy(windows, "cpu", BATCH, 0.0) == 64 * BATCH
    assert on_device.arrive(windows, "cpu", BATCH, 0.0) == WINDOWS


@pytest.mark.parametrize("fed", [True, False])
def test_the_gru_trains(windows: Windows, fed: bool) -> None:
    assert on_device.train(windows, "cpu", BATCH, fed, 0.0) >= WINDOWS


def test_s3_is_read_whole_and_left_empty(windows: Windows) -> None:
    pytest.importorskip("moto")
    (race,) = from_s3(windows, None, repeat=1)
    assert [turn.units for standing in race.standings for turn in standing.turns] == [WINDOWS, WINDOWS]


def test_a_part_of_the_bench_over_a_lake(windows: Windows, tmp_path: Path) -> None:
    (tmp_path / "mds").symlink_to(windows.mds)
    options = ["--json", "--repeat", "1", "--lake", str(tmp_path), "--only", "cold"]
    result = CliRunner().invoke(main, ["bench", "loader", *options], catch_exceptions=False)
    (cold,) = json.loads(result.output)["races"]
    assert [standing["name"] for standing in cold["standings"]] == ["StreamingDataset", "AISMDSDataset"]
    assert [turn["units"] for standing in cold["standings"] for turn in standing["turns"]] == [WINDOWS, WINDOWS]


def test_a_folder_without_a_dataset_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["bench", "loader", "--lake", str(tmp_path), "--only", "cold"])
    assert result.exit_code != 0
    assert "index.json" in str(result.exception or result.output)
