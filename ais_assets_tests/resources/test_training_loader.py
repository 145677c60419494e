"""The training loader inside Dagster: the lake's batches, with the lake's own S3 settings."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from ais_assets.ledger import Ledger
from ais_assets.resources.lake import LakeResource
from ais_assets.resources.training_loader import TrainingLoaderResource
from ais_assets.settings import load_settings
from ais_assets.store.objects import open_store
from ais_assets.stream import RecordStream
from ais_assets_tests.loader.mds.mds_datasets import windows, windows_table, write_dataset, write_windows
from ais_assets_tests.loader.tracks.track_datasets import publish
from ais_assets_tests.patience import PATIENCE_SECONDS
from ais_assets_tests.s3_server import S3Server
from ais_assets_tests.transforms.test_windows import track_table

COUNT = 60
# DataLoader forks; Python 3.12 warns of any fork of a process with threads.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork\\(\\) may lead to deadlocks:DeprecationWarning")


@pytest.fixture
def filled(lake_uri: str, tmp_path: Path) -> str:
    """A lake with a training dataset and a validation file."""
    store = open_store(lake_uri)
    for file in write_dataset(tmp_path / "mds", windows(COUNT)).iterdir():
        store.publish(file, f"mds/{file.name}")
    write_windows(tmp_path / "validation.parquet", windows_table(windows(COUNT, seed=1)), 25)
    store.publish(tmp_path / "validation.parquet", "materialized/validation.parquet")
    return lake_uri


def sorted_windows(batches: list[torch.Tensor]) -> bytes:
    """The windows by their numbers."""
    together = torch.cat(batches).numpy()
    return together[np.argsort(together[:, 0, 0])].tobytes()


def test_an_asset_gets_the_lakes_batches(filled: str, tmp_path: Path) -> None:
    @dg.asset
    def model(training_loader: TrainingLoaderResource) -> None:
        training = training_loader.training_dataset(batch_size=16)
        assert [len(batch) for batch in training] == [16, 16, 16, 12]
        assert sorted_windows(list(training)) == windows(COUNT).tobytes()
        validation = training_loader.validation_dataset()
        assert len(validation) == 8
        assert sorted_windows(list(validation)) == windows(COUNT, seed=1).tobytes()

    lake = LakeResource.from_settings(load_settings(lake=filled))
    loader = TrainingLoaderResource(lake=lake, cache=str(tmp_path / "cache"), batch_size=8)
    assert dg.materialize([model], resources={"training_loader": loader}).success


def test_splits_that_are_not_trained_on_come_in_order(tmp_path: Path) -> None:
    lake = LakeResource.from_settings(load_settings(lake=str(tmp_path / "lake")))
    loader = TrainingLoaderResource(lake=lake, cache=str(tmp_path / "cache"), batch_size=8)
    splits = {"validation": loader.validation_dataset, "test": loader.test_dataset, "holdout": loader.holdout_dataset}
    for seed, split in enumerate(splits):
        table = windows_table(windows(20, seed=seed))
        lake.open().write(split, None, RecordStream(table.schema, iter([table]), Ledger(20, 20)))
    for seed, dataset in enumerate(splits.values()):
        batches = list(dataset())
        assert [len(batch) for batch in batches] == [8, 8, 4]
        assert torch.cat(batches).numpy().tobytes() == windows(20, seed=seed).tobytes()


def test_splits_are_cut_from_tracks(tmp_path: Path) -> None:
    lake = LakeResource.from_settings(load_settings(lake=str(tmp_path / "lake")))
    loader = TrainingLoaderResource(lake=lake, cache=str(tmp_path / "cache"), format="tracks")
    publish(tmp_path / "lake", [track_table([40], columns={"split": np.full(40, "test")})])
    ((features, others),) = loader.test_dataset(provenance=True)
    assert len(features) == 7
    assert (others["start"].diff() > 0).all()
    for none in (loader.validation_dataset, loader.holdout_dataset):
        with pytest.raises(ValueError, match=r"holds no (validation|holdout) window"):
            none()


def test_workers_read_the_validation_file(filled: str, tmp_path: Path) -> None:
    lake = LakeResource.from_settings(load_settings(lake=filled))
    validation = TrainingLoaderResource(lake=lake, cache=str(tmp_path / "cache")).validation_dataset()
    next(iter(validation))  # so that there is a connection to inherit
    batches = list(DataLoader(validation, batch_size=None, num_workers=2, timeout=PATIENCE_SECONDS))
    assert sorted_windows(batches) == windows(COUNT, seed=1).tobytes()


def test_the_lakes_endpoint_reaches_the_loader(
    s3_server: S3Server, s3_environment: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(f"s3://{bucket}")
    for file in write_dataset(tmp_path / "mds", windows(COUNT)).iterdir():
        store.publish(file, f"mds/{file.name}")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    settings = load_settings(lake=f"s3://{bucket}", s3_endpoint_url=s3_server.endpoint, s3_region="us-east-1")
    dataset = LakeResource.from_settings(settings).open().loader(tmp_path / "cache", batch_size=8)
    assert sorted_windows(list(dataset)) == windows(COUNT).tobytes()
