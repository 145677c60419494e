"""Tracks published for training: named by their content, readable as long as an index names them."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ais_assets import schema
from ais_assets.io.lake import Lake, PartitionMissingError
from ais_assets.ledger import Ledger
from ais_assets.operating.prune import leftovers, remove
from ais_assets.publishing.publication import Publication
from ais_assets.publishing.track_index import publish_track_index
from ais_assets.settings import Settings, load_settings
from ais_assets.store.objects import Store
from ais_assets.stream import RecordStream
from ais_assets_tests.loader.tracks.track_datasets import shard_tables

GEOMETRY = {"seq_len": 8, "max_horizon": 8, "stride": 4, "shards": 4}


def write_tracks(lake: Lake, shard: int, table: pa.Table) -> None:
    """Materializes a shard of tracks, in tables of 100 rows."""
    tables = iter([table.slice(first, 100) for first in range(0, table.num_rows, 100)])
    lake.write(
        "track_shards",
        f"{shard:04d}",
        RecordStream(schema.TRACK_POSITIONS, tables, Ledger(table.num_rows, table.num_rows)),
    )


@pytest.fixture
def settings(lake_uri: str) -> Settings:
    """Of a lake with four shards of tracks."""
    settings = load_settings(lake=lake_uri, **GEOMETRY)
    for shard, table in enumerate(shard_tables()):
        write_tracks(Lake(lake_uri), shard, table)
    return settings


def features(lake: Lake, cache: Path) -> np.ndarray:
    """All training windows that a training machine with an empty cache gets."""
    dataset = lake.loader(cache, "tracks")
    return dataset.batch(np.arange(dataset.windows)).numpy()


def test_an_index_says_what_there_is(settings: Settings) -> None:
    lake = Lake(settings.lake)
    index = publish_track_index(Publication.begin(lake), settings, "0123456789abcdef")
    tables = shard_tables()
    assert [file.name for file in index.files] == ["0000.parquet", "0001.parquet", "0002.parquet", "0003.parquet"]
    assert [file.rows for file in index.files] == [table.num_rows for table in tables]
    for file, table in zip(index.files, tables, strict=True):
        by_track = dict(zip(table["track"].to_pylist(), table["split"].to_pylist(), strict=True))
        assert file.tracks == {split: list(by_track.values()).count(split) for split in set(by_track.values())}
    assert index.settings["seq_len"] == 8
    assert index.vessels is None


def test_an_index_of_the_same_tracks_is_the_same_bytes_and_reads_none_of_them_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(settings.lake)
    publish_track_index(Publication.begin(lake), settings, "0123456789abcdef")
    before = lake.store.read("track_shards/index.json")
    read: list[str] = []
    kind: type[Store] = type(lake.store)
    original = kind.read
    monkeypatch.setattr(kind, "read", lambda self, key: read.append(key) or original(self, key))
    publish_track_index(Publication.begin(lake), settings, "0123456789abcdef")
    assert read == ["track_shards/index.json"]
    assert lake.store.read("track_shards/index.json") == before


def test_a_training_run_keeps_its_tracks_when_they_are_built_anew(settings: Settings, tmp_path: Path) -> None:
    lake = Lake(settings.lake)
    former = publish_track_index(Publication.begin(lake), settings, "0123456789abcdef")
    before = features(lake, tmp_path / "before")
    other = shard_tables([(77, 60)])[0]
    write_tracks(lake, 0, other)
    assert lake.partitions("track_shards") == settings.shard_keys
    np.testing.assert_array_equal(features(lake, tmp_path / "after"), before)
    write_tracks(lake, 0, shard_tables([(50,)])[0])
    np.testing.assert_array_equal(features(lake, tmp_path / "twice"), before)
    index = publish_track_index(Publication.begin(lake), settings, "fedcba9876543210")
    assert index.release != former.release
    assert index.files[0].rows == 50
    assert index.files[1:] == former.files[1:]
    assert len(features(lake, tmp_path / "anew")) != len(before)


def test_tracks_of_former_indexes_are_pruned(settings: Settings, tmp_path: Path) -> None:
    lake = Lake(settings.lake)
    former = publish_track_index(Publication.begin(lake), settings, "0123456789abcdef").files[0]
    lake.store.publish_bytes(b"mine", "track_shards/kept/notes.parquet")
    write_tracks(lake, 0, shard_tables([(77, 60)])[0])
    later = time.time() + 60
    assert leftovers(lake, tmp_path, later) == [], "the index still names it"
    publish_track_index(Publication.begin(lake), settings, "fedcba9876543210")
    published = max(each.modified for each in lake.store.objects("track_shards"))
    assert leftovers(lake, tmp_path, published) == [], "it was named until just now"
    assert leftovers(lake, tmp_path, later, releases=["0123456789abcdef"]) == [], "it is to be kept"
    index, found = leftovers(lake, tmp_path, later)
    assert index.where == "track_shards/releases/0123456789abcdef"
    assert (found.where, found.size) == (f"track_shards/{former.kept}", former.size)
    remove(lake, index)
    remove(lake, found)
    assert leftovers(lake, tmp_path, later) == []
    left = {each.key for each in lake.store.objects("track_shards")}
    shards = {f"track_shards/{shard}.parquet" for shard in settings.shard_keys}
    indexes = {"track_shards/index.json", "track_shards/releases/fedcba9876543210/index.json"}
    assert left == {*indexes, "track_shards/kept/notes.parquet", *shards}


def test_figures_of_former_releases_are_pruned(settings: Settings, tmp_path: Path) -> None:
    lake = Lake(settings.lake)
    for folder in ("0123456789abcdef", "fedcba9876543210", "mine"):
        lake.store.publish_bytes(b"PNG", f"figures/{folder}/map.png")
    publish_track_index(Publication.begin(lake), settings, "0123456789abcdef")
    later = time.time() + 60
    (found,) = leftovers(lake, tmp_path, later)
    assert (found.asset, found.where, found.size) == ("releases", "figures/fedcba9876543210", 3)
    remove(lake, found)
    left = {each.key for each in lake.store.objects("figures")}
    assert left == {"figures/0123456789abcdef/map.png", "figures/mine/map.png"}


def test_a_shard_that_is_missing_is_named(settings: Settings) -> None:
    more = settings.model_copy(update={"shards": 5})
    with pytest.raises(PartitionMissingError, match="missing: 0004"):
        publish_track_index(Publication.begin(Lake(settings.lake)), more, "0123456789abcdef")


def test_tracks_have_statistics_without_windows_on_disk(settings: Settings, tmp_path: Path) -> None:
    lake = Lake(settings.lake)
    publish_track_index(Publication.begin(lake), settings, "0123456789abcdef")
    scaled = lake.loader(tmp_path, "tracks", normalize="statistics", seq_len=3, max_horizon=3, stride=1)
    batch = scaled.batch(range(scaled.windows)).double()
    assert batch.mean(dim=(0, 1)).abs().max() < 1e-4
    assert (batch.std(dim=(0, 1), correction=0) - 1).abs().max() < 1e-4
    with pytest.raises(ValueError, match="must be 'mds' or 'tracks'"):
        lake.loader(tmp_path, "windows")  # pyright: ignore[reportCallIssue, reportArgumentType]
