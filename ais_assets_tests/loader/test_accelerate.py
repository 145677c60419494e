"""The loaders under accelerate: given to `prepare` they are taken as they are, and never shared out twice."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from torch.utils.data import DataLoader

from ais_assets.io.streaming_loader import AISMDSDataset, TrackWindowDataset
from ais_assets_tests.conftest import PROJECT
from ais_assets_tests.loader.mds.mds_datasets import numbers, windows, write_dataset
from ais_assets_tests.loader.tracks.track_datasets import publish, shard_tables
from ais_assets_tests.patience import PATIENCE_SECONDS

COUNT = 203


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "remote", windows(COUNT))


ONCE_MORE = "accelerate's prepare() would divide this dataset's batches among the ranks once more"


def shares(kind: str, remote: Path, out: Path) -> list[list[Any]]:
    """What each of two ranks of `accelerate_job` got; to share out once more must be refused, and end it."""
    pytest.importorskip("accelerate", reason="accelerate is not installed: pip install -e .[dev]")
    job = ["ais_assets_tests.loader.accelerate_job", kind, str(remote), str(out)]
    words = ["ais_assets_tests.loader.forked_ranks", "2", str(out / "logs"), *job]
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 1, done.stderr[-3000:]
    assert ONCE_MORE in done.stderr
    seen = [json.loads((out / f"{rank}.json").read_text()) for rank in range(2)]
    for of_rank in seen:
        assert ONCE_MORE in of_rank["sharded"]
    return [list(chain.from_iterable(of_rank["dataset"])) for of_rank in seen]


def test_each_rank_gets_its_share_once(remote: Path, tmp_path: Path) -> None:
    had = shares("mds", remote, tmp_path)
    assert [len(share) for share in had] == [102, 102]
    assert sorted(set(chain(*had))) == list(range(COUNT))


def test_windows_of_tracks_are_shared_out_once(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    publish(lake, shard_tables())
    windows_there = TrackWindowDataset(lake, tmp_path / "cache").windows
    had = [tuple(window) for share in shares("tracks", lake, tmp_path) for window in share]
    assert len(had) == len(set(had)) == windows_there


@pytest.mark.parametrize(("workers", "context"), [(0, None), (2, "fork"), (2, "spawn")])
def test_whoever_shares_out_is_recognised(
    remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, context: str | None
) -> None:
    # As accelerate's own, without it: whoever asks for batches is a method of the dispatcher.
    class DataLoaderDispatcher:
        def __init__(self, loader: DataLoader[Any]) -> None:
            self.loader = loader

        def __iter__(self) -> Any:
            yield from self.loader

    module: Any = ModuleType("accelerate.data_loader")
    module.DataLoaderDispatcher = DataLoaderDispatcher
    monkeypatch.setitem(sys.modules, "accelerate.data_loader", module)
    dataset = AISMDSDataset(remote, tmp_path / "cache", batch_size=8)
    loader = DataLoader(dataset, batch_size=None, num_workers=workers, multiprocessing_context=context)
    # On one rank there is nothing to share out.
    assert sorted(chain.from_iterable(numbers(DataLoaderDispatcher(loader)))) == list(range(COUNT))
    monkeypatch.setattr(dataset, "_world", type(dataset._world)(1, 2, 1, 0))
    with pytest.raises(ValueError, match="once more: each rank gets its own share already"):
        list(DataLoaderDispatcher(loader))
