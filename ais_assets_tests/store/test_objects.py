"""Disks that are full or another, temporary folders that are somebody else's, and what killed writers leave."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import re
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from boto3.session import Session
from click.testing import CliRunner

from ais_assets.cli.main import main
from ais_assets.io.lake import Lake
from ais_assets.operating.prune import leftovers, remove
from ais_assets.store.objects import StoreError, open_store
from ais_assets_tests.patience import PATIENCE_SECONDS

FULL = Path("/dev/full")
"""A device that has no space left, always."""


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
@pytest.mark.parametrize("s3", [False, True])
def test_a_full_disk_is_named_with_its_setting(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch, s3: bool
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = open_store(f"s3://{bucket}/lake" if s3 else tmp_path / "lake")
    store.publish_bytes(b"former", "mds/one")
    with pytest.raises(StoreError) as refused, store.staging():
        FULL.write_bytes(b"x" * 10_000)
    message = str(refused.value)
    assert re.search("TMPDIR" if s3 else "AIS_LAKE", message)
    assert str(tmp_path) in message
    assert "No space left" in message
    assert store.read("mds/one") == b"former"
    assert not [path for path in store.staging_root().iterdir() if path.is_dir()]


def test_a_part_of_the_lake_on_another_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path / "lake")

    def across(self: Path, target: Path) -> Path:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(self), None, str(target))

    monkeypatch.setattr(Path, "replace", across)
    with pytest.raises(StoreError, match=r"lake/mds is on another disk than .*let all of .* be on one disk"):
        store.publish_bytes(b"x", "mds/one")


@pytest.mark.parametrize("wrong", ["writable by all", "a link"])
def test_a_temporary_folder_of_somebody_else_is_not_used(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    theirs = tmp_path / f"ais_assets-{os.getuid()}"
    if wrong == "a link":
        (tmp_path / "theirs").mkdir()
        theirs.symlink_to(tmp_path / "theirs")
    else:
        theirs.mkdir()
        theirs.chmod(0o777)
    with pytest.raises(StoreError, match=r"made by somebody else.*TMPDIR"):
        open_store(f"s3://{bucket}/lake").publish_bytes(b"x", "mds/one")


def test_what_killed_writers_leave_is_pruned(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    client = Session().client("s3")
    for key in ("lake/mds/00000-x/shard", "other/lake/file"):
        client.create_multipart_upload(Bucket=bucket, Key=key)
    lake = Lake(f"s3://{bucket}/lake")
    with lake.store.staging() as mine:
        left = mine.with_name("left")
        left.mkdir()
        (left / "spool").write_bytes(bytes(1000))
        left.with_suffix(".lock").touch()
        young = leftovers(lake, tmp_path / "cache", time.time() - 3600)
        assert "spool" not in [leftover.asset for leftover in young]
        found = leftovers(lake, tmp_path / "cache", time.time() + 60)
        named = [(leftover.asset, leftover.where, leftover.size) for leftover in found]
        assert named == [("spool", str(left), 1000), ("upload", "mds/00000-x/shard", 0)]
        for leftover in found:
            remove(lake, leftover)
        assert mine.is_dir(), "its owner lives"
    assert not left.exists()
    assert [each["Key"] for each in client.list_multipart_uploads(Bucket=bucket)["Uploads"]] == ["other/lake/file"]


def test_a_listing_of_many_pages_is_whole(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As S3 lists a thousand at a time, here two."""
    client = Session().client("s3")
    keys = {f"mds/{number:05}" for number in range(5)}
    store = open_store(f"s3://{bucket}/lake", client)
    for key in keys:
        store.publish_bytes(b"x", key)
        client.create_multipart_upload(Bucket=bucket, Key=f"lake/{key}")
    for name, most in (("list_objects_v2", "MaxKeys"), ("list_multipart_uploads", "MaxUploads")):
        monkeypatch.setattr(client, name, partial(getattr(client, name), **{most: 2}))
    assert {stored.key for stored in store.listed("mds")} == {stored.key for stored in store.objects("mds")} == keys
    assert sorted(upload.key for upload in store.unfinished_uploads()) == sorted(keys)
    store.delete("mds")
    assert list(store.objects("mds")) == []


def test_a_forked_process_has_connections_of_its_own(bucket: str) -> None:
    store = open_store(f"s3://{bucket}/lake")
    store.publish_bytes(b"x" * 1_000, "mds/one")
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as children:
        read = [children.submit(store.read, "mds/one") for _ in range(20)]
        assert all(store.read("mds/one") == each.result(PATIENCE_SECONDS) for each in read)


def test_what_is_pruned_is_shown(tmp_path: Path) -> None:
    left = open_store(tmp_path / "lake").staging_root() / ("left" * 30)
    left.mkdir(parents=True)
    (left / "object").write_bytes(bytes(1_234))
    left.with_suffix(".lock").touch()
    places = {"AIS_LAKE": str(tmp_path / "lake"), "AIS_CACHE": str(tmp_path / "cache")}
    for words, what in ((["--dry-run"], "Would be deleted"), ([], "Deleted")):
        assert left.exists()
        shown = CliRunner().invoke(main, ["prune", "--older-than", "0", *words], env=places, catch_exceptions=False)
        assert what in shown.output
        # However long its name is, all of it.
        row = re.search(r"^│ spool .*?(?=^├)", shown.output, re.MULTILINE | re.DOTALL)
        assert row is not None
        _, where, size, _ = zip(*(line.split("│")[1:-1] for line in row[0].splitlines()), strict=True)
        assert ["".join(map(str.strip, parts)) for parts in (where, size)] == [str(left), "1,234"]
    assert not left.exists()


def test_a_staged_folder_whose_owner_lives_is_no_leftover(tmp_path: Path) -> None:
    store = open_store(tmp_path / "lake")
    with store.staging() as folder, folder.with_suffix(".lock").open() as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert store.left_staged() == []


@pytest.mark.parametrize("name", ["0000 (1).parquet", ".hidden.parquet"])
def test_a_stray_file_is_no_partition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    stray = tmp_path / "lake" / "track_shards" / name
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"copied by hand")
    monkeypatch.setenv("AIS_LAKE", str(tmp_path / "lake"))
    monkeypatch.setenv("AIS_CACHE", str(tmp_path / "cache"))
    assert Lake(tmp_path / "lake").partitions("track_shards") == []
    pruned = CliRunner().invoke(main, ["prune", "--older-than", "0"], catch_exceptions=False)
    assert pruned.exit_code == 0, pruned.output
    assert stray.exists()


def test_a_folder_that_only_looks_like_ours_is_left(tmp_path: Path) -> None:
    mine = tmp_path / "lake" / "mds" / "x-abcdefghijkl" / "notes"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    assert leftovers(Lake(tmp_path / "lake"), tmp_path / "cache", time.time() + 60) == []


@pytest.mark.parametrize("hours", ["nan", "inf", "-1"])
def test_hours_that_are_no_number_are_refused(hours: str) -> None:
    refused = CliRunner().invoke(main, ["prune", "--older-than", hours])
    assert refused.exit_code == 2
    assert "--older-than" in refused.output
