"""A dataset is what one set of settings made: what others left is not read, is named, and can go."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

from ais_assets import schema
from ais_assets.cli.main import main
from ais_assets.io.lake import Folder, Lake, MixedSettingsError
from ais_assets.io.layout import CUTTING_KEY
from ais_assets.ledger import Ledger
from ais_assets.operating.prune import leftovers, remove, unnamed_partitions
from ais_assets.publishing.publication import Publication
from ais_assets.publishing.track_index import publish_track_index
from ais_assets.settings import load_settings
from ais_assets.settings.cutting import Cutting
from ais_assets.stream import RecordStream
from ais_assets_tests.io.test_lake import positions, stream
from ais_assets_tests.loader.tracks.track_datasets import shard_tables

TWO_SHARDS = Cutting(date(2024, 3, 1), date(2024, 3, 3), 2, 2)
ONE_SHARD = replace(TWO_SHARDS, shards=1)


def full_shards() -> list[pa.Table]:
    """Shards of tracks that have some."""
    return [table for table in shard_tables() if table.num_rows]


def write_tracks(lake: Lake, shard: str, *tables: Any, shards: int) -> int:
    """A shard of tracks that is made with so many shards; how many rows it has."""
    rows = sum(table.num_rows for table in tables)
    facts = {"made_with": {"shards": shards}}
    lake.write("track_shards", shard, RecordStream(schema.TRACK_POSITIONS, iter(tables), Ledger(rows, rows), facts))
    return rows


def count(lake: Lake, asset: str) -> int:
    """Its rows, by each way to read all of it."""
    (found,) = lake.sql(f"select count(*) from {asset}").fetchall()[0]
    assert lake.dataset(asset).count_rows() == lake.table(asset).num_rows == found
    return found


def test_shards_that_there_were_more_of_are_left_out(lake_uri: str) -> None:
    lake, (one, other, *_) = Lake(lake_uri), full_shards()
    lake.cut_by(TWO_SHARDS)
    both = write_tracks(lake, "0000", one, shards=2) + write_tracks(lake, "0001", other, shards=2)
    assert count(lake, "track_shards") == both
    lake.cut_by(ONE_SHARD)
    assert write_tracks(lake, "0000", one, other, shards=1) == both
    assert count(Lake(lake_uri), "track_shards") == both
    assert lake.partitions("track_shards") == ["0000", "0001"], "they are there"
    assert lake.dataset("track_shards", ["0000", "0001"]).count_rows() > both, "whoever names them gets them"
    lake.cut_by(TWO_SHARDS)
    with pytest.raises(MixedSettingsError, match=r"AIS_SHARDS=2: track_shards\[0000\] was made with 1\. `ais build`"):
        lake.sql("select count(*) from track_shards")


def test_days_out_of_the_range_are_left_out_and_can_go(lake_uri: str, tmp_path: Path) -> None:
    lake = Lake(lake_uri)
    for number, day in enumerate(TWO_SHARDS.day_keys):
        lake.write("clean_records", day, stream(positions([219000001 + number])))
    assert count(lake, "clean_records") == 3, "a lake that no run has cut"
    narrow = replace(TWO_SHARDS, first_day=date(2024, 3, 2))
    lake.cut_by(narrow)
    assert lake.table("clean_records")["mmsi"].to_pylist() == [219000002, 219000003]
    settings = load_settings(lake=lake_uri, cache=tmp_path, first_day="2024-03-03", last_day="2024-03-03")
    later = time.time() + 60
    # The command's own range is narrower still: the lake's last run has made the 2nd, which stays.
    found = unnamed_partitions(lake, settings, later)
    assert [leftover.where for leftover in found] == ["clean_records/2024-03-01.parquet"]
    assert unnamed_partitions(lake, settings, lake_modified(lake)) == [], "it was named until just now"
    remove(lake, found[0])
    assert lake.partitions("clean_records") == ["2024-03-02", "2024-03-03"]
    assert unnamed_partitions(lake, settings, later) == []


def lake_modified(lake: Lake) -> float:
    """When the lake was cut as it is now."""
    return next(each.modified for each in lake.store.objects("settings"))


def test_tracks_that_the_published_index_names_stay(tmp_path: Path) -> None:
    lake, (one, other, *_) = Lake(tmp_path / "lake"), full_shards()
    settings = load_settings(lake=str(tmp_path / "lake"), cache=tmp_path / "cache", shards=2)
    lake.cut_by(settings.cutting)
    write_tracks(lake, "0000", one, shards=2)
    write_tracks(lake, "0001", other, shards=2)
    publish_track_index(Publication.begin(lake), settings, "release")
    fewer = settings.model_copy(update={"shards": 1})
    lake.cut_by(fewer.cutting)
    write_tracks(lake, "0000", one, other, shards=1)
    later = time.time() + 60
    assert unnamed_partitions(lake, fewer, later) == []
    publish_track_index(Publication.begin(lake), fewer, "another")
    assert [leftover.where for leftover in unnamed_partitions(lake, fewer, later)] == ["track_shards/0001.parquet"]


def test_archives_of_other_days_go_only_when_asked_for(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    settings = load_settings(lake=str(tmp_path / "lake"), cache=tmp_path / "cache", first_day="2024-03-02")
    for day in ("2024-03-01", "2024-03-02"):
        with lake.store.staging() as folder:
            (folder / "archive.zip").write_text("PK")
            lake.write_folder("raw_archives", day, Folder(folder, "1" * 12, Ledger()))
    lake.cut_by(settings.cutting)
    later = time.time() + 60
    assert unnamed_partitions(lake, settings, later) == []
    unnamed = unnamed_partitions(lake, settings, later, archives=True)
    found = [leftover.where for leftover in leftovers(lake, settings.cache, later, unnamed)]
    assert found == ["raw_archives/2024-03-01.json", f"raw_archives/2024-03-01-{'1' * 12}"]


def test_ais_status_names_them_and_ais_prune_removes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"LAKE": tmp_path / "lake", "CACHE": tmp_path / "cache", "SHARDS": 1, "FIRST_DAY": "2024-03-02"}
    for name, value in {**names, "LAST_DAY": "2024-03-03"}.items():
        monkeypatch.setenv(f"AIS_{name}", str(value))
    lake = Lake(tmp_path / "lake")
    for day in TWO_SHARDS.day_keys:
        lake.write("clean_records", day, stream(positions([219000001])))
    lake.cut_by(load_settings().cutting)

    def ais(*arguments: str) -> Any:
        shown = CliRunner().invoke(main, [*arguments, "--json"])
        assert shown.exit_code == 0, shown.output
        return json.loads(shown.stdout)

    def unnamed() -> list[str]:
        return next(stage["unnamed"] for stage in ais("status")["stages"] if stage["asset"] == "clean_records")

    assert unnamed() == ["2024-03-01"]
    assert ais("prune")["leftovers"] == []
    gone = ais("prune", "--older-than", "0")["leftovers"]
    assert [row["where"] for row in gone] == ["clean_records/2024-03-01.parquet"]
    assert unnamed() == []


def test_a_damaged_word_on_how_a_lake_is_cut_is_named_and_mended(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.store.publish_bytes(b"{", CUTTING_KEY)
    with pytest.raises(ValueError, match=r"partitions\.json is damaged.*`ais build` mends it"):
        lake.cutting()
    lake.cut_by(TWO_SHARDS)
    assert lake.cutting() == TWO_SHARDS
