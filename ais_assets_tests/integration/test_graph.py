"""The whole graph on a small simulated set, on local disk and on S3, and what must hold of its output."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from boto3.session import Session
from click.testing import CliRunner

from ais_assets import schema
from ais_assets.assets.windows import WindowGather
from ais_assets.cli.main import main
from ais_assets.definitions import build_definitions
from ais_assets.io.lake import Folder, Lake
from ais_assets.io.provenance import MADE_FROM, MADE_WITH, WHOLE, Chain
from ais_assets.io.releases import listed_releases
from ais_assets.io.stages import Stage, in_order
from ais_assets.io.streaming_loader import AISMDSDataset, LoaderError
from ais_assets.ledger import Ledger
from ais_assets.operating.tasks import RANGE_END, RANGE_START, tasks_of
from ais_assets.publishing.accounts import accounts
from ais_assets.publishing.dataset import TrainingDataset
from ais_assets.publishing.figures.picture import MOST_BYTES
from ais_assets.publishing.index import publish_dataset
from ais_assets.publishing.publication import REPLACED, Publication
from ais_assets.settings import Settings, load_settings
from ais_assets.store import s3_access
from ais_assets.store.objects import OvertakenError, StoredObject
from ais_assets.stream import RecordStream
from ais_assets_tests.ais_command import ais_here
from ais_assets_tests.conftest import DRAWN, PROJECT, pictures_are
from ais_assets_tests.loader.mds.mds_datasets import stock_dataset
from ais_assets_tests.patience import PATIENCE_SECONDS
from ais_assets_tests.s3_server import S3Server
from ais_assets_tests.sources.landing.web_server import broken_after, running_web_server, status

SMALL = {
    "simulated_vessels": 14,
    "first_day": "2024-03-01",
    "last_day": "2024-03-02",
    "shards": 3,
    "piles": 2,
    "seq_len": 16,
    "max_horizon": 48,
    "stride": 8,
    "validation_fraction": 0.3,
    "mds_size_limit": 1 << 20,
}

OF_WINDOWS = {"window_piles", "validation", "holdout", "materialized_windows", "mds_shards", "dead_reckoning"}
"""Assets that are not of every dataset."""


def stages_of(settings: Settings) -> dict[str, Stage]:
    """Every stage by its asset's name, in the order of the build."""
    return {stage.asset: stage for stage in in_order(settings)}


def partition_keys(asset: str, settings: Settings) -> list[str]:
    """The partitions of an asset, in order; none for an unpartitioned one."""
    return list(stages_of(settings)[asset].partitions)


def materialize(settings: Settings, instance: dg.DagsterInstance, *, together: bool, reverse: bool = False) -> None:
    """Runs every stage: all partitions of an asset in one run, or one run a partition (last first if `reverse`)."""
    job = build_definitions(settings).resolve_implicit_global_asset_job_def()
    for asset, stage in stages_of(settings).items():
        keys = stage.partitions
        ranges = [(keys[0], keys[-1])] if keys and together else [(key, key) for key in keys]
        for first, last in (ranges[::-1] if reverse else ranges) or [("", "")]:
            tags = {RANGE_START: first, RANGE_END: last} if keys else {}
            assert run(job, instance, asset, tags).success


def run(
    job: dg.JobDefinition, instance: dg.DagsterInstance, asset: str, tags: dict[str, str]
) -> dg.ExecuteInProcessResult:
    """Materializes one asset in this process."""
    return job.execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(asset)],
        tags=tags,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )


def digests(settings: Settings) -> dict[str, str]:
    """sha256 of every object in the lake."""
    if not settings.lake.startswith("s3://"):
        root = Path(settings.lake)
        files = [path for path in root.rglob("*") if path.is_file() and ".staging" not in path.parts]
        return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    bucket, _, prefix = settings.lake.removeprefix("s3://").partition("/")
    client = Session().client("s3")
    found = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page["Contents"]:
            body = client.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
            found[entry["Key"].removeprefix(prefix + "/")] = hashlib.sha256(body).hexdigest()
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, dg.DagsterInstance]]:
    """The small set, built on local disk with one run an asset."""
    folder = tmp_path_factory.mktemp("graph")
    settings = load_settings(lake=str(folder / "lake"), cache=folder / "cache", **SMALL)
    with dg.DagsterInstance.ephemeral() as instance:
        with pictures_are(DRAWN):
            materialize(settings, instance, together=True)
        yield settings, instance


def test_everything_is_there(built: tuple[Settings, dg.DagsterInstance]) -> None:
    settings, instance = built
    lake = Lake(settings.lake)
    for asset, stage in stages_of(settings).items():
        keys = stage.partitions
        if keys:
            assert lake.partitions(asset) == list(keys)
            assert set(instance.get_materialized_partitions(dg.AssetKey(asset))) == set(keys)
        else:
            assert lake.has(asset)


@pytest.mark.usefixtures("drawn")
def test_a_second_build_gives_the_same_bytes(built: tuple[Settings, dg.DagsterInstance], tmp_path: Path) -> None:
    settings, _ = built
    again = load_settings(lake=str(tmp_path / "lake"), cache=tmp_path / "cache", **SMALL)
    with dg.DagsterInstance.ephemeral() as instance:
        materialize(again, instance, together=False, reverse=True)
    assert digests(again) == digests(settings)


def test_windows_cut_while_training_are_those_on_disk(
    built: tuple[Settings, dg.DagsterInstance], tmp_path: Path
) -> None:
    require_the_same_windows(Lake(built[0].lake), tmp_path)


def require_the_same_windows(lake: Lake, caches: Path) -> None:
    """Windows cut from the lake's tracks are those of its Parquet and MDS, to the bit."""
    for split, asset in (("train", "materialized_windows"), ("validation", "validation")):
        expected = parquet_by_name(lake.table(asset))
        if expected:
            dataset = lake.loader(caches, "tracks", split=split, provenance=True)
            assert windows_by_name(dataset.batch(np.arange(dataset.windows))) == expected
    cut = lake.loader(caches, "tracks", batch_size=50, provenance=True)
    with lake.loader(caches / "mds", batch_size=50, provenance=True) as on_disk:
        assert all_by_name(cut) == all_by_name(on_disk)


def all_by_name(batches: Iterable[Any]) -> dict[tuple[int, int], bytes]:
    """The windows of all batches, each of them once."""
    found: dict[tuple[int, int], bytes] = {}
    for batch in batches:
        of_batch = windows_by_name(batch)
        assert not found.keys() & of_batch.keys()
        found |= of_batch
    return found


def windows_by_name(batch: Any) -> dict[tuple[int, int], bytes]:
    """The windows of a batch by track and time."""
    features, of = batch
    names = zip(of["track"].tolist(), of["start"].tolist(), strict=True)
    return {name: window.tobytes() for name, window in zip(names, features.numpy(), strict=True)}


def parquet_by_name(table: pa.Table) -> dict[tuple[int, int], bytes]:
    """The windows of a file by track and time."""
    windows = table["features"].combine_chunks().flatten().to_numpy().reshape(table.num_rows, -1)
    starts = table["start"].cast(pa.int64()).to_numpy() // 1000
    names = zip(table["track"].to_pylist(), starts.tolist(), strict=True)
    return {name: window.tobytes() for name, window in zip(names, windows, strict=True)}


def test_both_ways_to_gather_give_the_same_bytes(built: tuple[Settings, dg.DagsterInstance], tmp_path: Path) -> None:
    settings, _ = built
    lake = tmp_path / "lake"
    shutil.copytree(settings.lake, lake)
    before = digests(settings)
    windows = [key for key in before if key.startswith("materialized/")]
    assert len(windows) == settings.piles + 2
    for key in windows:
        (lake / key).unlink()
    # In effect a row group at a time, the least that can be held.
    bounded = load_settings(lake=str(lake), cache=tmp_path / "cache", gather_gigabytes=1e-3, **SMALL)
    job = build_definitions(bounded).resolve_implicit_global_asset_job_def()
    keys = partition_keys("materialized_windows", bounded)
    with dg.DagsterInstance.ephemeral() as instance:
        assert run(job, instance, "validation", {}).success
        assert run(job, instance, "holdout", {}).success
        assert run(job, instance, "materialized_windows", {RANGE_START: keys[0], RANGE_END: keys[-1]}).success
    assert digests(bounded) == before
    assert not (tmp_path / "cache").exists()


def rebuild(settings: Settings, instance: dg.DagsterInstance, *assets: str, only: str | None = None) -> None:
    """Materializes assets one after the other, all partitions or only one."""
    job = build_definitions(settings).resolve_implicit_global_asset_job_def()
    for asset in assets:
        keys = [only] if only else partition_keys(asset, settings)
        assert run(job, instance, asset, {RANGE_START: keys[0], RANGE_END: keys[-1]} if keys else {}).success


def copy_of(settings: Settings, folder: Path, **changes: object) -> Settings:
    """The same lake in a folder of its own, to be gone on with under changed settings."""
    shutil.copytree(settings.lake, folder / "lake")
    return load_settings(**{**SMALL, "lake": str(folder / "lake"), "cache": folder / "cache", **changes})


def rewrite(
    lake: Lake, asset: str, partition: str | None, change: Callable[[pa.Table], pa.Table], more_in: int = 0
) -> None:
    """Writes a partition anew with its facts; each row group is changed, and so many rows more go in and get lost."""
    with lake.open(asset, partition) as file:
        groups = [file.read_row_group(group) for group in range(file.num_row_groups)]
    # The former footer is read as the schema's metadata.
    tables = [change(group).replace_schema_metadata() for group in groups]
    former = lake.describe(asset, partition)
    rows = sum(table.num_rows for table in tables)
    rows_in = former.ledger.rows_in + more_in
    ledger = Ledger(rows_in, rows, {"rule": rows_in - rows}, former.ledger.notes)
    lake.write(asset, partition, RecordStream(tables[0].schema, iter(tables), ledger, former.facts))


def published(settings: Settings) -> dict[str, str]:
    """Digests of what makes piles a dataset."""
    return {key: digest for key, digest in digests(settings).items() if key.startswith("mds/") and key.count("/") == 1}


def publish(lake: Lake, settings: Settings) -> TrainingDataset:
    """Publishes what is there."""
    publication = Publication.begin(lake)
    stage = stages_of(settings)["training_dataset"]
    inputs = Chain(lake).inputs(stage.asset, WHOLE, stage.upstream, settings)
    return publish_dataset(publication, settings, {MADE_FROM: inputs, MADE_WITH: dict(stage.made_with)})


def refused(settings: Settings, message: str) -> None:
    """Nothing is published of a lake in this state."""
    before = published(settings)
    with pytest.raises(ValueError, match=message):
        publish(Lake(settings.lake), settings)
    assert published(settings) == before


def test_held_out_time_is_delivered_apart(built: tuple[Settings, dg.DagsterInstance], tmp_path: Path) -> None:
    settings = copy_of(built[0], tmp_path, holdout_from="2024-03-02")
    job = build_definitions(settings).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        # These references were made without held-out time.
        with pytest.raises(ValueError, match=r"window_piles\[\d+\] is stale: .*AIS_HOLDOUT_FROM"):
            run(job, instance, "holdout", {})
        rebuild(settings, instance, "window_piles", "validation", "holdout", "materialized_windows")
        # Windows that begin in held-out time are still in the former shards.
        refused(settings, r"^mds_shards\[00000\] is stale: it was made before window_piles\[0000\], which has changed")
        rebuild(settings, instance, "mds_shards")
        result = run(job, instance, "training_dataset", {})
    assert all(evaluation.passed for evaluation in result.get_asset_check_evaluations())
    place = Lake(settings.lake)
    midnight = pa.scalar(1_709_337_600_000, schema.UTC)
    assert min(place.table("holdout")["start"].to_pylist()) >= midnight.as_py()
    for windows in (place.table("materialized_windows"), place.table("validation")):
        dt = (
            np.array(windows["features"].to_pylist(), np.float32).reshape(windows.num_rows, -1, 5)[:, 1:, 4].sum(axis=1)
        )
        start = windows["start"].to_numpy().astype("datetime64[s]").astype(np.int64)
        assert (start + dt.astype(np.int64)).max() < 1_709_337_600
    account = Ledger.total(place.ledger("window_piles", key) for key in partition_keys("window_piles", settings))
    assert account.dropped["reaches_into_holdout"] > 0
    assert account.notes["windows_holdout"] == place.describe("holdout").rows > 0
    assert_the_funnel_adds_up(settings, "materialized_windows", "validation", "holdout")
    assert funnel_of(place)["positions of tracks"][2]["around_holdout"] > 0


def test_vessels_of_the_last_test_are_delivered_apart(
    built: tuple[Settings, dg.DagsterInstance], tmp_path: Path
) -> None:
    settings = copy_of(built[0], tmp_path, test_fraction=0.3)
    refused(settings, r"^vessels is stale: it was made with AIS_TEST_FRACTION=0.0, now AIS_TEST_FRACTION=0.3 is asked")
    job = build_definitions(settings).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        for asset in list(stages_of(settings))[list(stages_of(settings)).index("vessels") :]:
            if asset not in ("training_dataset", "dead_reckoning", "tracks"):
                rebuild(settings, instance, asset)
        result = run(job, instance, "training_dataset", {})
    assert all(evaluation.passed for evaluation in result.get_asset_check_evaluations())
    place, before = Lake(settings.lake), Lake(built[0].lake)
    assert parquet_by_name(place.table("validation")) == parquet_by_name(before.table("validation"))
    training, test = (parquet_by_name(place.table(asset)) for asset in ("materialized_windows", "test"))
    assert test
    assert not {track >> 32 for track, _ in training} & {track >> 32 for track, _ in test}
    assert {**training, **test} == parquet_by_name(before.table("materialized_windows"))
    cut = place.loader(tmp_path / "cut", "tracks", split="test", provenance=True)
    assert windows_by_name(cut.batch(np.arange(cut.windows))) == test
    assert sum(len(batch) for batch in place.test_loader()) == len(test)
    split_of = dict(place.sql("select mmsi, split from vessels").fetchall())
    assert {split_of[track >> 32] for track, _ in test} == {"test"}
    card = place.store.read("track_shards/README.md").decode()
    assert "0.3 of the hulls for validation and 0.3 of the hulls for test" in card
    assert f"{len(test):,} test windows in `materialized/test.parquet`" in card
    # Where none is asked for there is none, in the lake and in the graph.
    assert not before.has("test")
    assert "test" not in stages_of(built[0])


def test_piles_of_two_strides_are_not_published(built: tuple[Settings, dg.DagsterInstance], tmp_path: Path) -> None:
    settings = copy_of(built[0], tmp_path, stride=16)
    refused(settings, r"^window_piles\[0000\] is stale: it was made with AIS_STRIDE=8, now AIS_STRIDE=16 is asked for")
    with dg.DagsterInstance.ephemeral() as instance:
        rebuild(settings, instance, "window_piles")
        rebuild(settings, instance, "materialized_windows", "mds_shards", only="00000")
        rebuild(settings, instance, "holdout", "validation")
    refused(
        settings,
        r"^materialized_windows\[00001\] is stale: it was made before window_piles\[0000\], which has changed since. "
        r"Materialize materialized_windows again",
    )


def test_validation_of_another_split_is_not_published(
    built: tuple[Settings, dg.DagsterInstance], tmp_path: Path
) -> None:
    settings = copy_of(built[0], tmp_path, validation_fraction=0.1)
    former = set(Lake(settings.lake).table("validation")["mmsi"].to_pylist())
    # With nothing built anew, too.
    refused(settings, r"^vessels is stale: it was made with AIS_VALIDATION_FRACTION=0.3, now .*=0.1")
    with dg.DagsterInstance.ephemeral() as instance:
        rebuild(settings, instance, "vessels", "track_shards")
        refused(settings, r"^window_piles\[0000\] is stale: it was made before track_shards\[0000\], which has changed")
        rebuild(settings, instance, "window_piles", "holdout", "materialized_windows", "mds_shards")
    assert former & set(Lake(settings.lake).table("materialized_windows")["mmsi"].to_pylist())
    refused(settings, r"^validation is stale: it was made before track_shards\[0000\].*Materialize validation again")


def test_lost_rows_are_not_published(built: tuple[Settings, dg.DagsterInstance], tmp_path: Path) -> None:
    settings = copy_of(built[0], tmp_path)
    lake = Lake(settings.lake)
    rewrite(lake, "validation", None, lambda table: table.slice(1))
    refused(settings, "validation windows thrown but .* validation windows in Parquet: materialize validation again")


def test_statistics_of_another_index_are_not_used(
    built: tuple[Settings, dg.DagsterInstance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = copy_of(built[0], tmp_path, mds_size_limit=1 << 19)
    lake = Lake(settings.lake)
    former = lake.store.read("mds/index.json")

    def loader() -> AISMDSDataset:
        return lake.loader(tmp_path / "mds-cache", batch_size=8, normalize="statistics", window_len=settings.window_len)

    assert len(next(iter(loader()))) == 8
    with dg.DagsterInstance.ephemeral() as instance:
        rebuild(settings, instance, "mds_shards")

    publish_bytes = lake.store.publish_bytes

    def dying(data: bytes, key: str, over: str | None = None) -> None:
        if key == "mds/index.json":
            raise KeyboardInterrupt
        publish_bytes(data, key, over)

    monkeypatch.setattr(lake.store, "publish_bytes", dying)
    with pytest.raises(KeyboardInterrupt):
        publish(lake, settings)
    monkeypatch.undo()
    assert lake.store.read("mds/index.json") == former
    with pytest.raises(LoaderError, match=r"statistics\.json is of another index\.json.* was cut off"):
        loader()
    published = publish(lake, settings)
    assert f"whose sha256 is `{hashlib.sha256(lake.store.read('mds/index.json')).hexdigest()}`" in published.card
    assert len(next(iter(loader()))) == 8


def test_a_publication_that_was_taken_for_lost_puts_nothing_over_a_newer_one(
    built: tuple[Settings, dg.DagsterInstance], tmp_path: Path
) -> None:
    settings = copy_of(built[0], tmp_path, mds_size_limit=1 << 19)
    lake = Lake(settings.lake)
    (former,) = listed_releases(lake.store)
    lost, twin = Publication.begin(lake), Publication.begin(lake)
    with dg.DagsterInstance.ephemeral() as instance:
        rebuild(settings, instance, "mds_shards")
    newer = publish(lake, settings)
    before = published_as_one(settings)
    with pytest.raises(OvertakenError, match=f"now release {newer.release} is published.*training_dataset again"):
        publish_dataset(lost, settings, facts_of(lake, former.release.release))
    assert published_as_one(settings) == before
    # What says the very same is no other publication, such as that of a build beside this one.
    assert publish_dataset(twin, settings, facts_of(lake, newer.release)).release == newer.release
    assert published_as_one(settings) == before


def facts_of(lake: Lake, release: str) -> dict[str, Any]:
    """What a release was made from and with."""
    index = json.loads(lake.store.read(f"mds/releases/{release}/index.json"))
    return {fact: index[fact] for fact in (MADE_FROM, MADE_WITH)}


def published_as_one(settings: Settings) -> dict[str, str]:
    """Digests of what has the same name in every release."""
    found = digests(settings)
    return {key: found[key] for key in REPLACED}


def test_the_funnel_adds_up_from_rows_of_files_to_windows(built: tuple[Settings, dg.DagsterInstance]) -> None:
    assert_the_funnel_adds_up(built[0], "materialized_windows", "validation")


def assert_the_funnel_adds_up(settings: Settings, *windows_in: str) -> None:
    """The card's figures are those of the source's files, the tracks and the windows in these assets."""
    lake = Lake(settings.lake)
    rows, typed, clean, positions, windows = funnel_of(lake).values()
    assert (rows[1], typed[1], clean[1]) == (typed[0], clean[0], positions[0])
    files = [
        Path(lake.folder_uri("raw_archives", day)) / file["file"]
        for day in settings.day_keys
        for file in lake.manifest("raw_archives", day)["facts"]["files"]
    ]
    # The header is no row.
    assert rows[0] == sum(sum(1 for _ in _lines_of(file)) - 1 for file in files)
    samples = pa.concat_tables([lake.table(asset) for asset in windows_in])
    assert windows[1] == samples.num_rows
    times: dict[int, list[Any]] = {}
    tracks = lake.table("track_shards")
    for track, t in zip(tracks["track"].to_pylist(), tracks["t"].to_pylist(), strict=True):
        times.setdefault(track, []).append(t)
    in_windows = {track: np.zeros(len(of_track), np.bool_) for track, of_track in times.items()}
    for track, start in zip(samples["track"].to_pylist(), samples["start"].to_pylist(), strict=True):
        first = times[track].index(start)
        in_windows[track][first : first + settings.window_len] = True
    assert positions[1] == sum(int(of_track.sum()) for of_track in in_windows.values())
    lengths = [len(of_track) for of_track in times.values()]
    long = [length for length in lengths if length >= settings.window_len]
    behind = sum((length - settings.window_len) % settings.stride for length in long)
    in_none = {"of_short_tracks": sum(lengths) - sum(long), "behind_the_last_window": behind}
    in_none["around_holdout"] = sum(lengths) - positions[1] - sum(in_none.values())
    assert positions[2] == {reason: count for reason, count in in_none.items() if count}


def funnel_of(lake: Lake) -> dict[str, tuple[int, int, dict[str, int]]]:
    """Each step of the card's funnel by what it counts: in, out, and dropped by rule, which add up."""
    card = lake.store.read("track_shards/README.md").decode()
    section = card.partition("## Where the rows went")[2].partition("##")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if "|" in line]
    # Behind it stands what the rules mean.
    lines = [row for row in rows if len(row) == len(rows[0])][2:]
    steps = {
        what: (int(given.replace(",", "")), int(out.replace(",", "")), _counts(dropped))
        for what, given, out, dropped in lines
    }
    for given, out, dropped in steps.values():
        assert given == out + sum(dropped.values())
    return steps


def _counts(dropped: str) -> dict[str, int]:
    """Rules and rows of a cell of the card."""
    if dropped == "none":
        return {}
    return {
        rule: int(rows.replace(",", ""))
        for rule, _, rows in (entry.rpartition(" ") for entry in re.split(r", (?=[a-z])", dropped))
    }


def _lines_of(archive: Path) -> Iterator[bytes]:
    with zipfile.ZipFile(archive) as files:
        for name in files.namelist():
            yield from files.read(name).splitlines()


def test_accounts_list_each_folder_once(
    built: tuple[Settings, dg.DagsterInstance], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(built[0].lake)
    listed: Counter[str] = Counter()
    listing = lake.store.listed

    def counted(folder: str) -> Iterator[StoredObject]:
        listed[folder] += 1
        return listing(folder)

    monkeypatch.setattr(lake.store, "listed", counted)
    assert set(accounts(lake, built[0])) == {"raw_records", "clean_records", "track_shards", "window_piles"}
    # Once more for the days that the tracks were made from.
    assert listed == {"raw_records": 1, "clean_records": 1, "track_shards": 2, "window_piles": 1}


def test_days_that_came_later_hold_nothing_up(built: tuple[Settings, dg.DagsterInstance], tmp_path: Path) -> None:
    early = copy_of(built[0], tmp_path, last_day="2024-03-03")
    with dg.DagsterInstance.ephemeral() as instance:
        rebuild(early, instance, "training_dataset")
        before = published(early)
        assert before["mds/index.json"] == published(built[0])["mds/index.json"]
        for asset in ("raw_archives", "raw_records", "clean_records"):
            rebuild(early, instance, asset, only="2024-03-03")
        rebuild(early, instance, "training_dataset")
    assert published(early) == before
    shown = run_status(early)
    assert shown["days"] == {
        **{"wanted": 3, "with_positions": 3, "not_judged": 3},
        **{"empty": 0, "unpublished": 0, "not_made": 0},
    }
    (track_shards,) = (stage for stage in shown["stages"] if stage["asset"] == "track_shards")
    assert set(track_shards["stale"].values()) == {"was made without clean_records[2024-03-03], which is there now"}


def run_status(settings: Settings, *options: str, exit_code: int = 0) -> dict[str, Any]:
    """What `ais status` prints for a program."""
    names = (*SMALL, "lake", "last_day")
    variables = {f"AIS_{name.upper()}": str(getattr(settings, name)) for name in names}
    variables["AIS_WINDOW_FORMATS"] = ",".join(settings.window_formats)
    shown = CliRunner().invoke(main, ["status", "--json", *options], env=variables)
    assert shown.exit_code == exit_code, shown.output
    return json.loads(shown.stdout)


def _clean_with_other_settings(settings: Settings) -> None:
    other = settings.model_copy(update={"repeat_seconds": 0})
    with dg.DagsterInstance.ephemeral() as instance:
        rebuild(other, instance, "clean_records", only="2024-03-02")


def _rewrite_a_day(settings: Settings) -> None:
    def moved(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index("lat_microdegrees")
        return table.set_column(
            place, table.schema.field(place), pa.array(table["lat_microdegrees"].to_numpy() + 1, pa.int32())
        )

    rewrite(Lake(settings.lake), "clean_records", "2024-03-02", moved)


def _land_another_archive(settings: Settings) -> None:
    lake = Lake(settings.lake)
    facts = lake.manifest("raw_archives", "2024-03-02")["facts"]
    name = facts["files"][0]["file"]
    with lake.local_file("raw_archives", "2024-03-02", name) as former, lake.store.staging() as folder:
        shutil.copyfile(former, folder / name)
        lake.write_folder("raw_archives", "2024-03-02", Folder(folder, "c0ffee" * 4, Ledger(), facts))


def build_what_is_stale(settings: Settings) -> None:
    """What `ais build` does: of each stage in turn what is missing or stale."""
    lake, job = Lake(settings.lake), build_definitions(settings).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        for stage in stages_of(settings).values():
            for task in tasks_of(stage, stage.to_build(Chain(lake), settings), workers=1):
                assert run(job, instance, stage.asset, task.tags).success


@pytest.mark.parametrize(
    ("change", "stale", "because"),
    [
        (
            _clean_with_other_settings,
            "clean_records[2024-03-02]",
            "was made with AIS_REPEAT_SECONDS=0, now AIS_REPEAT_SECONDS=120 is asked for",
        ),
        (_rewrite_a_day, "track_shards[0000]", "was made before clean_records[2024-03-02], which has changed since"),
        (
            _land_another_archive,
            "raw_records[2024-03-02]",
            "was made before raw_archives[2024-03-02], which has changed",
        ),
    ],
)
def test_what_changed_anywhere_in_the_chain_is_not_published(
    built: tuple[Settings, dg.DagsterInstance],
    tmp_path: Path,
    change: Callable[[Settings], None],
    stale: str,
    because: str,
) -> None:
    settings = copy_of(built[0], tmp_path)
    assert run_status(settings, "--check")["faults"] == []
    change(settings)
    refused(settings, re.escape(f"{stale} is stale: it {because}") + ".*`ais build` does so")
    asset, _, key = stale.rstrip("]").partition("[")
    shown = run_status(settings, "--check", exit_code=1)
    (of_asset,) = (stage for stage in shown["stages"] if stage["asset"] == asset)
    assert of_asset["stale"][key].startswith(because)
    build_what_is_stale(settings)
    assert run_status(settings, "--check")["faults"] == []
    publish(Lake(settings.lake), settings)


def test_partitions_of_other_settings_are_counted(built: tuple[Settings, dg.DagsterInstance], tmp_path: Path) -> None:
    fewer = copy_of(built[0], tmp_path, shards=2)
    shown = run_status(fewer, "--check", exit_code=1)
    (of_asset,) = (stage for stage in shown["stages"] if stage["asset"] == "track_shards")
    assert of_asset["unnamed"] == ["0002"]
    assert (of_asset["partitions_there"], of_asset["partitions"]) == (2, 2)


def test_a_dataset_describes_itself(built: tuple[Settings, dg.DagsterInstance]) -> None:
    settings, instance = built
    lake = Lake(settings.lake)
    release = lake.json("training_dataset")["release"]
    pages = {page: lake.store.read(page).decode() for page in ("README.md", "card.html", "mds/README.md")}
    drawn = {each.key: lake.store.read(each.key) for each in lake.store.objects("figures")}
    assert len(drawn) == 12
    for file, png in drawn.items():
        assert file.startswith(f"figures/{release}/")
        assert png.startswith(b"\x89PNG")
        assert len(png) <= MOST_BYTES
    for page, root in (("README.md", "./"), ("mds/README.md", "../")):
        shown = re.findall(r"!\[[^\n]*\]\(([^)]+)\)", pages[page])
        assert {image.removeprefix(root) for image in shown} == set(drawn)
    assert pages["card.html"].count("<img ") == len(drawn)
    for text in pages.values():
        assert release in text
        assert "Simulated: no ship, voyage or position in it is real." in text
        assert settings.lake not in text, "a card says nothing of where somebody keeps it"
    for asset, key in (
        ("training_dataset", None),
        ("vessels", None),
        ("dead_reckoning", None),
        ("daily_quality", "2024-03-01"),
    ):
        event = instance.fetch_materializations(
            dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=None if key is None else [key]), limit=1
        ).records[0]
        assert event.asset_materialization is not None
        figures = {name: value for name, value in event.asset_materialization.metadata.items() if "figure: " in name}
        assert len(figures) == (len(drawn) if asset == "training_dataset" else 1), asset
        for figure in figures.values():
            assert isinstance(figure, dg.MarkdownMetadataValue)
            assert re.match(r"!\[[^]]+\]\(data:image/png;base64,[A-Za-z0-9+/=]+\)$", figure.value)


# pandas, of a type of column that mlcroissant makes.
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_croissant_is_valid_and_reads_what_the_lake_holds(built: tuple[Settings, dg.DagsterInstance]) -> None:
    import mlcroissant

    lake = Lake(built[0].lake)
    described = mlcroissant.Dataset(f"{built[0].lake}/croissant.json")
    assert described.metadata.ctx.issues.errors == set()
    assert described.metadata.to_json()["@type"] == "sc:Dataset"
    tables = {"windows": "materialized_windows", "validation": "validation", "tracks": "tracks", "vessels": "vessels"}
    for name, asset in tables.items():
        stored = lake.dataset(asset).to_table()
        records = list(described.records(name))
        assert len(records) == stored.num_rows
        assert {key.partition("/")[2] for key in records[0]} == set(stored.column_names)
        assert [record[f"{name}/mmsi"] for record in records] == stored["mmsi"].to_pylist()
    (first,) = itertools.islice(described.records("records"), 1)
    assert first["records/lat_microdegrees"] == lake.dataset("clean_records").head(1)["lat_microdegrees"][0].as_py()
    content = json.loads(lake.store.read("croissant.json"))
    index = next(of for of in content["distribution"] if of["@type"] == "cr:FileObject")
    assert hashlib.sha256(lake.store.read(index["contentUrl"])).hexdigest() == index["sha256"]
    south, west, north, east = map(float, content["spatialCoverage"]["geo"]["box"].split())
    lat, lon = (lake.table("track_shards")[name].to_numpy() for name in ("lat", "lon"))
    assert (south, north) == pytest.approx((lat.min(), lat.max()), abs=1e-3)
    assert (west, east) == pytest.approx((lon.min(), lon.max()), abs=1e-3)


def test_the_hubs_configurations_name_files_that_are_there(built: tuple[Settings, dg.DagsterInstance]) -> None:
    root = Path(built[0].lake)
    header = yaml.safe_load((root / "README.md").read_text().split("---\n")[1])
    for config in header["configs"]:
        for files in config["data_files"]:
            found = sorted(root.glob(files["path"]))
            assert found, files
            table = pq.read_table(found[0])
            with pq.ParquetFile(found[0]) as file:
                assert table.num_rows or not file.metadata.num_row_groups
            # None of the types that Hugging Face's datasets and pandas have no use for.
            assert not any(pa.types.is_decimal(field.type) for field in table.schema)


def test_the_release_stands_in_all_that_is_published(built: tuple[Settings, dg.DagsterInstance]) -> None:
    settings, instance = built
    lake = Lake(settings.lake)
    release = lake.json("training_dataset")["release"]
    assert json.loads(lake.store.read("mds/statistics.json"))["release"] == release
    assert f"Release `{release}`" in lake.store.read("mds/README.md").decode()
    event = instance.get_latest_materialization_event(dg.AssetKey("training_dataset"))
    assert event is not None
    assert event.asset_materialization is not None
    assert (event.asset_materialization.tags or {})["dagster/data_version"] == release


@pytest.mark.parametrize(
    ("asset", "gather_gigabytes"), [("window_piles", None), ("validation", None), ("validation", 1e-3)]
)
def test_tracks_that_change_while_they_are_read_are_noticed(
    built: tuple[Settings, dg.DagsterInstance],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asset: str,
    gather_gigabytes: float | None,
) -> None:
    settings = copy_of(built[0], tmp_path, gather_gigabytes=gather_gigabytes)
    unchanging = Lake.row_groups
    changed = []

    def changing(lake: Lake, asset: str, partition: str | None = None, columns: Any = None) -> Iterator[pa.Table]:
        yield from unchanging(lake, asset, partition, columns)
        if asset == "track_shards" and not changed:
            changed.append(partition)
            rewrite(lake, asset, partition, lambda table: table.slice(0, table.num_rows - 1))

    monkeypatch.setattr(Lake, "row_groups", changing)
    with (
        dg.DagsterInstance.ephemeral() as instance,
        pytest.raises(ValueError, match=r"track_shards\[000\d\] was materialized anew while it was being read"),
    ):
        rebuild(settings, instance, asset)


def test_references_that_change_before_they_are_read_are_noticed(
    built: tuple[Settings, dg.DagsterInstance], tmp_path: Path
) -> None:
    settings = copy_of(built[0], tmp_path)
    lake = Lake(settings.lake)
    gather = WindowGather(lake, settings)
    rewrite(lake, "window_piles", "0001", lambda table: table.slice(1))
    with pytest.raises(ValueError, match=r"window_piles\[0001\] was materialized anew while it was being read"):
        next(gather.piles([0], dg.build_asset_context()))


@pytest.mark.usefixtures("drawn")
def test_s3_has_the_same_bytes_though_it_fails_now_and_then(
    built: tuple[Settings, dg.DagsterInstance],
    bucket: str,
    s3_environment: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings, _ = built
    remote = load_settings(lake=f"s3://{bucket}/some/prefix", cache=tmp_path / "cache", **SMALL)
    monkeypatch.setattr(s3_access, "_FIRST_PAUSE_SECONDS", 0.01)
    with running_web_server() as web, dg.DagsterInstance.ephemeral() as instance:
        web.behind = s3_environment.endpoint.removeprefix("http://")
        # Busy, failing, and gone in the middle of an answer, also of one to what was done.
        web.storm, web.calm = [status(503), broken_after(0), status(500), broken_after(37)], 23
        monkeypatch.setenv("AWS_ENDPOINT_URL", web.url)
        materialize(remote, instance, together=True)
        assert len(web.requests) > 10 * web.calm
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_environment.endpoint)
    assert digests(remote) == digests(settings)


def _samples(lake: Lake, settings: Settings) -> pa.Table:
    return pa.concat_tables([lake.table("materialized_windows"), lake.table("validation")])


def test_every_window_is_found_in_the_tracks(built: tuple[Settings, dg.DagsterInstance]) -> None:
    settings, _ = built
    lake = Lake(settings.lake)
    samples = _samples(lake, settings)
    tracks = lake.table("track_shards")
    rng = np.random.default_rng(5)
    assert samples.num_rows > 100
    for row in rng.choice(samples.num_rows, 60, replace=False):
        sample = {name: samples[name][int(row)] for name in ("mmsi", "track", "start", "features")}
        of_track = tracks.filter(pc.field("track") == sample["track"])
        times = of_track["t"].to_numpy().astype("datetime64[s]").astype(np.int64)
        first = int(np.searchsorted(times, sample["start"].as_py().timestamp()))
        assert of_track["mmsi"][first] == sample["mmsi"]
        dt = np.diff(times, prepend=times[0])
        columns = [of_track[name].to_numpy() for name in ("lat", "lon", "sog", "cog")]
        expected = np.stack([*columns, dt], axis=1).astype(np.float32)[first : first + settings.window_len]
        found = np.array(sample["features"].as_py(), np.float32).reshape(settings.window_len, schema.FEATURE_COUNT)
        np.testing.assert_array_equal(found, expected)
        assert first % settings.stride == 0


def test_window_count_is_the_formula(built: tuple[Settings, dg.DagsterInstance]) -> None:
    settings, _ = built
    lake = Lake(settings.lake)
    lengths = Counter(lake.table("track_shards")["track"].to_pylist()).values()
    expected = sum((n - settings.window_len) // settings.stride + 1 for n in lengths if n >= settings.window_len)
    assert expected == _samples(lake, settings).num_rows


def test_no_vessel_is_in_both_splits(built: tuple[Settings, dg.DagsterInstance]) -> None:
    lake = Lake(built[0].lake)
    training = set(lake.table("materialized_windows")["mmsi"].to_pylist())
    validation = set(lake.table("validation")["mmsi"].to_pylist())
    assert training
    assert validation
    assert not training & validation


# The stock reader leaves files to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_mds_is_the_parquet_in_the_same_order(built: tuple[Settings, dg.DagsterInstance], tmp_path: Path) -> None:

    settings, _ = built
    lake = Lake(settings.lake)
    windows = lake.table("materialized_windows")
    dataset = stock_dataset(remote=f"{settings.lake}/mds", local=str(tmp_path), shuffle=False, batch_size=1)
    assert dataset.num_samples == windows.num_rows
    for row in (0, 1, windows.num_rows // 2, windows.num_rows - 1):
        sample = dataset[row]
        assert sample["mmsi"] == windows["mmsi"][row].as_py()
        assert sample["track"] == windows["track"][row].as_py()
        assert sample["start"] == windows["start"][row].as_py().timestamp()
        expected = np.array(windows["features"][row].as_py(), np.float32)
        np.testing.assert_array_equal(np.frombuffer(sample["features"], np.float32), expected)


def test_statistics_are_those_of_the_training_windows(built: tuple[Settings, dg.DagsterInstance]) -> None:
    settings, _ = built
    lake = Lake(settings.lake)
    statistics = json.loads(lake.store.read("mds/statistics.json"))["features"]
    windows = lake.table("materialized_windows")
    features = (
        np.array(windows["features"].to_pylist(), np.float32).reshape(-1, schema.FEATURE_COUNT).astype(np.float64)
    )
    for column, name in enumerate(schema.FEATURE_NAMES):
        values = features[:, column]
        assert statistics[name]["count"] == len(values)
        assert statistics[name]["min"] == values.min()
        assert statistics[name]["max"] == values.max()
        assert statistics[name]["mean"] == pytest.approx(values.mean(), rel=1e-9)
        assert statistics[name]["std"] == pytest.approx(values.std(), rel=1e-6)


def test_durations_are_those_of_the_training_windows(built: tuple[Settings, dg.DagsterInstance]) -> None:
    settings, _ = built
    lake = Lake(settings.lake)
    statistics = json.loads(lake.store.read("mds/statistics.json"))
    windows = lake.table("materialized_windows")
    dt = np.array(windows["features"].to_pylist(), np.float32).reshape(windows.num_rows, -1, 5)[..., 4].astype(int)
    for name, positions in (("input", settings.seq_len), ("window", settings.window_len)):
        seconds = dt[:, 1:positions].sum(axis=1)
        found = statistics["duration_seconds"][name]
        assert (found["positions"], found["windows"]) == (positions, windows.num_rows)
        assert (found["min"], found["max"]) == (seconds.min(), seconds.max())
        median = np.quantile(seconds, 0.5, method="inverted_cdf")
        assert median <= found["quantiles"]["0.5"] <= median * 1.008
        assert f"| {name} | {positions} | {found['min'] // 3600}:" in lake.store.read("mds/README.md").decode()


def test_intervals_are_those_of_all_tracks(built: tuple[Settings, dg.DagsterInstance]) -> None:
    lake = Lake(built[0].lake)
    found = json.loads(lake.store.read("mds/statistics.json"))["tracks_dt_seconds"]
    tracks = lake.table("track_shards")
    track = tracks["track"].to_numpy()
    t = tracks["t"].to_numpy().astype("datetime64[s]").astype(np.int64)
    dt = np.where(np.diff(track, prepend=-1) == 0, np.diff(t, prepend=0), 0)
    assert sum(found["counts"]) == tracks.num_rows
    assert found["counts"] == np.bincount(np.searchsorted(found["edges"], dt), minlength=len(found["edges"])).tolist()


def test_other_settings_than_the_piles_were_made_with_are_refused(built: tuple[Settings, dg.DagsterInstance]) -> None:
    settings, _ = built
    longer = load_settings(**{**SMALL, "lake": settings.lake, "seq_len": 32, "max_horizon": 32})
    with pytest.raises(ValueError, match=r"^mds_shards\[00000\] is stale: it was made with AIS_SEQ_LEN=16, now .*=32"):
        publish(Lake(settings.lake), longer)


def test_asset_checks_pass(built: tuple[Settings, dg.DagsterInstance]) -> None:
    settings, instance = built
    definitions = build_definitions(settings)
    job = definitions.resolve_implicit_global_asset_job_def()
    result = run(job, instance, "training_dataset", {})
    evaluations = result.get_asset_check_evaluations()
    assert {evaluation.check_name for evaluation in evaluations} == {
        "nothing_lost_between_stages",
        "no_hull_in_two_splits",
        "every_window_that_tracks_hold",
        "same_windows_in_both_formats",
    }
    assert all(evaluation.passed for evaluation in evaluations), [e.metadata for e in evaluations]


def look(settings: Settings, asset: str) -> dict[str, bool]:
    """Runs the asset's checks alone: name and whether it passed, of all days."""
    checks = dg.define_asset_job("look", dg.AssetSelection.checks_for_assets(dg.AssetKey(asset)))
    job = dg.Definitions.merge(build_definitions(settings), dg.Definitions(jobs=[checks])).resolve_job_def("look")
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, raise_on_error=False)
        evaluations = result.get_asset_check_evaluations()
    names = dict.fromkeys(evaluation.check_name for evaluation in evaluations)
    return {name: all(of.passed for of in evaluations if of.check_name == name) for name in names}


def _drop_a_shard(lake: Lake) -> None:
    index = json.loads(lake.store.read("mds/index.json"))
    lake.write_json("mds_index", {**index, "shards": index["shards"][1:]})


def _validate_with_training_vessels(lake: Lake) -> None:
    training = lake.table("materialized_windows")
    rows = lake.describe("validation").rows
    assert training.num_rows > rows
    first = iter([training.slice(0, rows)])
    rewrite(lake, "validation", None, lambda table: next(first, table.slice(0, 0)))


def _lose_most_hours(lake: Lake) -> None:
    former = lake.describe("daily_quality", "2024-03-02")
    stream = RecordStream(former.schema.remove_metadata(), iter(()), former.ledger, former.facts)
    stream.facts["hours_without_positions"] = 13
    stream.tables = (table.replace_schema_metadata() for table in list(lake.row_groups("daily_quality", "2024-03-02")))
    lake.write("daily_quality", "2024-03-02", stream)


def _show_one_callsign(lake: Lake) -> None:
    def renamed(table: pa.Table) -> pa.Table:
        for name in ("name", "callsign"):
            place = table.schema.get_field_index(name)
            table = table.set_column(place, table.schema.field(place), pa.array(["SAME"] * table.num_rows))
        return table

    rewrite(lake, "vessels", None, renamed)


def _take_a_day_for_unpublished(lake: Lake) -> None:
    lake.write_folder("raw_archives", "2024-03-01", Folder(Path("no such"), "none", Ledger(), {"published": False}))


@pytest.mark.parametrize(
    ("asset", "failing", "tamper"),
    [
        ("training_dataset", "nothing_lost_between_stages", _drop_a_shard),
        ("training_dataset", "no_hull_in_two_splits", _validate_with_training_vessels),
        (
            "training_dataset",
            "every_window_that_tracks_hold nothing_lost_between_stages",
            lambda lake: rewrite(lake, "track_shards", "0001", lambda table: table.slice(0, table.num_rows // 2)),
        ),
        (
            "clean_records",
            "every_typed_record_is_accounted_for",
            lambda lake: rewrite(lake, "clean_records", "2024-03-01", lambda table: table, more_in=1),
        ),
        ("raw_archives", "every_day_published", _take_a_day_for_unpublished),
        ("daily_quality", "most_hours_have_positions", _lose_most_hours),
        ("vessels", "hulls_are_told_apart", _show_one_callsign),
    ],
)
def test_each_check_fails_of_what_it_is_for(
    built: tuple[Settings, dg.DagsterInstance],
    tmp_path: Path,
    asset: str,
    failing: str,
    tamper: Callable[[Lake], None],
) -> None:
    settings = copy_of(built[0], tmp_path)
    assert all(look(settings, asset).values())
    tamper(Lake(settings.lake))
    assert [name for name, passed in look(settings, asset).items() if not passed] == failing.split()


def test_a_run_is_judged_by_its_own_days(built: tuple[Settings, dg.DagsterInstance], tmp_path: Path) -> None:
    settings = copy_of(built[0], tmp_path)
    rewrite(Lake(settings.lake), "clean_records", "2024-03-02", lambda table: table, more_in=1)
    job = build_definitions(settings).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(job, instance, "clean_records", {RANGE_START: "2024-03-01", RANGE_END: "2024-03-01"})
    assert [evaluation.passed for evaluation in result.get_asset_check_evaluations()] == [True, True]
    assert look(settings, "clean_records") == {
        "every_typed_record_is_accounted_for": False,
        "most_records_are_of_their_day": True,
    }


def test_a_build_fails_of_a_failed_check(built: tuple[Settings, dg.DagsterInstance], tmp_path: Path) -> None:
    settings = copy_of(built[0], tmp_path)
    variables = {f"AIS_{name.upper()}": str(value) for name, value in SMALL.items()}
    variables |= {"AIS_LAKE": settings.lake}
    command = ("build", "--only", "training_dataset", "--workers", "1")
    _validate_with_training_vessels(Lake(settings.lake))
    failed = ais_here(command, variables, tmp_path)
    assert failed.returncode != 0
    assert "the check no_hull_in_two_splits did not pass" in failed.stderr
    assert "hulls are in more than one split" in failed.stderr


@pytest.mark.parametrize(
    ("formats", "assets", "checks"),
    [
        ("", set[str](), set[str]()),
        (
            "parquet",
            {"window_piles", "validation", "holdout", "materialized_windows", "dead_reckoning"},
            {"every_window_that_tracks_hold"},
        ),
    ],
    ids=["tracks", "parquet"],
)
def test_the_formats_asked_for_are_built_published_and_trained_on(
    built: tuple[Settings, dg.DagsterInstance], tmp_path: Path, formats: str, assets: set[str], checks: set[str]
) -> None:
    settings = load_settings(
        **{**SMALL, "lake": str(tmp_path / "lake"), "cache": tmp_path / "cache", "window_formats": formats}
    )
    assert set(stages_of(load_settings(**SMALL))) - set(stages_of(settings)) == OF_WINDOWS - assets
    with dg.DagsterInstance.ephemeral() as instance:
        materialize(settings, instance, together=True)
    there, whole = digests(settings), digests(built[0])
    folders = {key.partition("/")[0] for key in whole}
    assert folders - {key.partition("/")[0] for key in there} == (
        {"mds"} if assets else {"mds", "materialized", "window_piles", "reports"}
    )
    # But for what names the release, of which less was made, all is as if everything had been asked for.
    apart = {"track_shards/index.json", "track_shards/README.md", "README.md", "card.html", "croissant.json"}
    alike = {key for key in there.keys() - apart if not key.startswith("figures/") and "releases/" not in key}
    assert {key: whole[key] for key in alike} == {key: there[key] for key in alike}
    assert look(settings, "training_dataset") == dict.fromkeys(
        {"nothing_lost_between_stages", "no_hull_in_two_splits", *checks}, True
    )
    lake = Lake(settings.lake)
    with lake.loader(tmp_path / "cut", "tracks", batch_size=50, provenance=True) as cut:
        assert all_by_name(cut) == parquet_by_name(Lake(built[0].lake).table("materialized_windows"))
    card = lake.store.read("track_shards/README.md").decode()
    assert f"Release `{lake.json('training_dataset')['release']}`" in card
    assert "windows as MDS shards" in card
    assert ("windows as Parquet" in card) == (not assets)
    # Positions in no window are those of the windows that are cut while training.
    steps = [funnel_of(place) for place in (lake, Lake(built[0].lake))]
    assert steps[0] == {what: of for what, of in steps[1].items() if what in steps[0]}
    assert "positions of tracks" in steps[0]
    shown = run_status(settings, "--check")
    assert {stage["asset"] for stage in shown["stages"]} == set(stages_of(settings))
    more = run_status(settings.model_copy(update={"window_formats": ("parquet", "mds")}), "--check", exit_code=1)
    assert {stage["asset"] for stage in more["stages"] if stage["missing"]} == OF_WINDOWS - assets
    less = run_status(built[0].model_copy(update={"window_formats": settings.window_formats}), "--check", exit_code=1)
    (published,) = (stage for stage in less["stages"] if stage["asset"] == "training_dataset")
    assert published["stale"][""].endswith("which is no longer there or asked for")


def test_no_training_window_in_tracks_is_refused(built: tuple[Settings, dg.DagsterInstance], tmp_path: Path) -> None:
    settings = copy_of(built[0], tmp_path, window_formats="", seq_len=100_000)
    refused(settings, "no training vessel has a track of 100048 positions")


@pytest.mark.parametrize(
    "asset", ["raw_records", "clean_records", "track_shards", "window_piles", "materialized_windows"]
)
def test_load_asset_value(built: tuple[Settings, dg.DagsterInstance], asset: str) -> None:
    settings, instance = built
    key = partition_keys(asset, settings)[0]
    loaded: Any = build_definitions(settings).load_asset_value(dg.AssetKey(asset), instance=instance, partition_key=key)
    assert loaded.count_rows() == Lake(settings.lake).describe(asset, key).rows


def test_folder_and_json_assets_load(built: tuple[Settings, dg.DagsterInstance]) -> None:
    settings, instance = built
    definitions = build_definitions(settings)
    landed: Any = definitions.load_asset_value("raw_archives", instance=instance, partition_key="2024-03-01")
    archive = landed["2024-03-01"]
    assert archive["facts"]["published"]
    assert (Path(archive["uri"]) / archive["facts"]["files"][0]["file"]).stat().st_size == archive["facts"]["bytes"]
    index: Any = definitions.load_asset_value("training_dataset", instance=instance)
    assert [file["name"] for file in index["files"]] == ["0000.parquet", "0001.parquet", "0002.parquet"]
    report: Any = definitions.load_asset_value("dead_reckoning", instance=instance)
    assert report["dead_reckoning"]["all"]["10"]["windows"] > 0
    assert {"last_position", "kalman"} < set(report)


def test_materializations_say_what_the_ui_shows(built: tuple[Settings, dg.DagsterInstance]) -> None:
    _, instance = built
    event = instance.get_latest_materialization_event(dg.AssetKey("clean_records"))
    assert event is not None
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    for name in ("dagster/uri", "dagster/partition_row_count", "dagster/column_schema", "bytes", "dropped by rule"):
        assert name in metadata
    rows: Any = {name: metadata[f"rows {name}"].value for name in ("in", "out", "dropped")}
    assert rows["in"] == rows["out"] + rows["dropped"]


def test_validation_reads_as_the_readme_says(built: tuple[Settings, dg.DagsterInstance]) -> None:
    settings, _ = built
    file = pq.ParquetFile(Path(settings.lake) / "materialized" / "validation.parquet")
    batch = next(file.iter_batches(batch_size=64))
    features = np.array(batch["features"].to_pylist(), dtype=np.float32).reshape(-1, settings.window_len, 5)
    assert features.shape[1:] == (settings.window_len, 5)


@pytest.mark.parametrize("page", ["README.md", "docs/training.md", "docs/tutorial.md", "docs/maps.md"])
def test_the_code_of_the_docs_works(built: tuple[Settings, dg.DagsterInstance], tmp_path: Path, page: str) -> None:
    """Each block in the order of the page, in a process of its own, with this lake's place and its windows' length."""
    if page == "docs/maps.md":
        pytest.importorskip("movingpandas")
    settings = copy_of(built[0], tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (PROJECT / page).read_text(), re.DOTALL)
    code = "\n".join(blocks)
    for written, here in (
        ("s3://bucket/prefix", settings.lake),
        ("data/first", settings.lake),
        ("data/lake", settings.lake),
        ("split_input_target(batch)", f"split_input_target(batch, {settings.seq_len})"),
        ("928", str(settings.window_len)),
        ("seq_len=128", f"seq_len={settings.seq_len}"),
    ):
        code = code.replace(written, here)
    # mosaicml-streaming's own warnings are not ours to make errors of.
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
