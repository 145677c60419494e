"""The training loader under Lightning: what its Trainer gets, and that it goes on where a checkpoint was taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import DataLoader

from ais_assets.io.streaming_loader import AISMDSDataset, TrackWindowDataset
from ais_assets_tests.loader.mds.mds_datasets import numbers, windows, write_dataset
from ais_assets_tests.loader.tracks.track_datasets import publish, shard_tables

pytestmark = [
    # Lightning's own code, under the newest torch.
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning"),
    # Each worker does give its own share, and the length is that of all.
    pytest.mark.filterwarnings("ignore:Your `IterableDataset` has `__len__` defined:UserWarning"),
    # Its advice to use more workers, or to log more often.
    pytest.mark.filterwarnings("ignore::pytorch_lightning.utilities.warnings.PossibleUserWarning"),
]

COUNT = 203
BATCH = 16


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "remote", windows(COUNT))


def dataset(remote: Path, cache: Path) -> AISMDSDataset:
    return AISMDSDataset(str(remote), str(cache), batch_size=BATCH)


@pytest.mark.parametrize("workers", [None, 2])
def test_two_epochs_are_those_of_a_plain_loop(remote: Path, tmp_path: Path, workers: int | None) -> None:
    from ais_assets_tests.loader.lightning_training import Watcher, trainer

    expected = [numbers(loop) for loop in [dataset(remote, tmp_path / "plain")] for _ in range(2)]
    given = dataset(remote, tmp_path / "lightning")
    loader = given if workers is None else DataLoader(given, batch_size=None, num_workers=workers)
    model = Watcher()
    trainer(tmp_path, max_epochs=2, enable_checkpointing=False).fit(model, loader)
    assert model.seen == [*expected[0], *expected[1]]
    assert expected[0] != expected[1]


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty:UserWarning")
def test_a_job_goes_on_at_the_batch_of_its_checkpoint(remote: Path, tmp_path: Path) -> None:
    from ais_assets_tests.loader.lightning_training import CHECKPOINT_AFTER, Watcher, checkpoints, trainer

    whole = numbers(dataset(remote, tmp_path / "plain"))
    saved = tmp_path / "saved"
    ended = Watcher(stop_after=CHECKPOINT_AFTER + 2)
    with pytest.raises(InterruptedError):
        trainer(tmp_path, max_epochs=1, callbacks=[checkpoints(saved)]).fit(ended, dataset(remote, tmp_path / "one"))
    assert ended.seen == whole[: CHECKPOINT_AFTER + 2]
    (checkpoint,) = saved.iterdir()
    resumed = Watcher()
    trainer(tmp_path, max_epochs=1, callbacks=[checkpoints(saved)]).fit(
        resumed, dataset(remote, tmp_path / "two"), ckpt_path=checkpoint
    )
    assert resumed.seen == whole[CHECKPOINT_AFTER:]


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty:UserWarning")
def test_windows_of_tracks_go_on_at_the_batch_of_a_checkpoint(tmp_path: Path) -> None:
    from ais_assets_tests.loader.lightning_training import CHECKPOINT_AFTER, Watcher, checkpoints, trainer

    publish(tmp_path / "lake", shard_tables())

    def read(batches: Any) -> list[list[int]]:
        return [[hash(window.numpy().tobytes()) for window in batch] for batch in batches]

    def cut(cache: str) -> TrackWindowDataset:
        return TrackWindowDataset(tmp_path / "lake", tmp_path / cache, batch_size=BATCH, normalize="ranges")

    plain = cut("plain")
    whole = [read(plain), read(plain)]
    saved = tmp_path / "saved"
    ended = Watcher(CHECKPOINT_AFTER + 2, read)
    with pytest.raises(InterruptedError):
        trainer(tmp_path, max_epochs=2, callbacks=[checkpoints(saved)]).fit(ended, cut("one"))
    assert ended.seen == whole[0][: CHECKPOINT_AFTER + 2]
    (checkpoint,) = saved.iterdir()
    resumed = Watcher(read=read)
    trainer(tmp_path, max_epochs=2, callbacks=[checkpoints(saved)]).fit(resumed, cut("two"), ckpt_path=checkpoint)
    assert resumed.seen == [*whole[0][CHECKPOINT_AFTER:], *whole[1]]
