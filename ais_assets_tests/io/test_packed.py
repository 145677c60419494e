"""The cache of packed positions, with processes that share it."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ais_assets import schema
from ais_assets.bench.memory import shard_tracks
from ais_assets.io.lake import Lake
from ais_assets.io.packed import PackedPositions, PackedShard, read_packed
from ais_assets.ledger import Ledger
from ais_assets.stream import RecordStream
from ais_assets_tests.patience import PATIENCE_SECONDS

SHARDS = ("0000", "0001", "0002", "0003")
SPAWN = multiprocessing.get_context("spawn")


def publish(lake: Lake, shard: str, vessels: int) -> None:
    table = shard_tracks(vessels).slice(0, 10 * vessels)
    lake.write(
        "track_shards", shard, RecordStream(schema.TRACK_POSITIONS, iter([table]), Ledger(len(table), len(table)))
    )


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    for number, shard in enumerate(SHARDS):
        publish(lake, shard, number + 1)
    return lake


def files(folder: Path) -> dict[str, int]:
    """What is in the cache, with what tells a file from another of the same name."""
    return {path.name: path.stat().st_ino for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


def assert_packed(opened: list[PackedShard], lake: Lake) -> None:
    for shard, packed in zip(SHARDS, opened, strict=True):
        np.testing.assert_array_equal(packed, read_packed(lake, shard))


def test_shards_are_packed_once(lake: Lake, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert_packed(PackedPositions(cache, lake).open(SHARDS), lake)
    before = files(cache)
    assert len(before) == len(SHARDS)
    assert_packed(PackedPositions(cache, lake).open(SHARDS), lake)
    assert files(cache) == before


def test_a_shard_without_positions(lake: Lake, tmp_path: Path) -> None:
    lake.write("track_shards", "0002", RecordStream(schema.TRACK_POSITIONS, iter([]), Ledger()))
    assert_packed(PackedPositions(tmp_path / "cache", lake).open(SHARDS), lake)


def test_a_rebuilt_shard_is_packed_anew_and_alone(lake: Lake, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    former = PackedPositions(cache, lake).open(SHARDS)
    kept, before = np.array(former[1]), files(cache)
    publish(lake, "0001", 7)
    assert_packed(PackedPositions(cache, lake).open(SHARDS), lake)
    assert len(files(cache).items() - before.items()) == 1
    assert len(files(cache)) == len(SHARDS), "what was packed of the former shard is removed"
    np.testing.assert_array_equal(former[1], kept, "a run that has it open keeps it")


def test_what_is_removed_before_it_is_mapped_is_packed_again(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run takes the file for stale just when its name has been looked up."""
    cache = tmp_path / "cache"
    PackedPositions(cache, lake).open(SHARDS)
    version, removed = lake.object_version, []

    def removing(asset: str, shard: str) -> str:
        found = version(asset, shard)
        # The second look is the one before mapping.
        removed.append(shard)
        if removed.count("0002") == 2 and shard == "0002":
            next(cache.rglob("0002-*")).unlink()
        return found

    monkeypatch.setattr(lake, "object_version", removing)
    assert_packed(PackedPositions(cache, lake).open(SHARDS), lake)


def test_a_shard_published_while_it_is_packed(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row_groups, times = lake.row_groups, []

    def republishing(asset: str, shard: str) -> Iterator[pa.Table]:
        yield from row_groups(asset, shard)
        if shard == "0001" and len(times) < 2:
            times.append(shard)
            publish(lake, shard, 8 + len(times))

    monkeypatch.setattr(lake, "row_groups", republishing)
    opened = PackedPositions(tmp_path / "cache", lake).open(SHARDS)
    monkeypatch.undo()
    assert_packed(opened, lake)


def test_a_full_disk_is_named_and_nothing_half_packed_stays(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    cache = tmp_path / "cache"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=rf"no space is left .* on the disk of {cache}.*AIS_CACHE.*GATHER_GIGABYTES"):
            PackedPositions(cache, lake).open(SHARDS)
    assert files(cache) == {}
    assert_packed(PackedPositions(cache, lake).open(SHARDS), lake)


def hold(lock: Path, leftover: Path, ready: Path) -> None:
    """A packer in the middle of its work."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        leftover.write_bytes(b"half")
        ready.touch()
        time.sleep(PATIENCE_SECONDS)


def opened_in_process(root: Path, cache: Path, done: Path) -> None:
    assert_packed(PackedPositions(cache, Lake(root)).open(SHARDS), Lake(root))
    done.touch()


def until(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


def test_others_are_packed_while_one_waits_for_another_run_and_what_it_leaves_killed(
    lake: Lake, tmp_path: Path
) -> None:
    folder = tmp_path / "cache" / lake.identity()
    folder.mkdir(parents=True)
    version = lake.object_version("track_shards", "0000")
    leftover = folder / f"0000-{version}.packed.abc"
    packer = SPAWN.Process(target=hold, args=(folder / "0000.lock", leftover, tmp_path / "ready"))
    packer.start()
    until(tmp_path / "ready")
    run = SPAWN.Process(target=opened_in_process, args=(tmp_path / "lake", tmp_path / "cache", tmp_path / "done"))
    run.start()
    for shard in SHARDS[1:]:
        until(folder / f"{shard}-{lake.object_version('track_shards', shard)}.packed")
    assert not (tmp_path / "done").exists()
    assert packer.pid is not None
    os.kill(packer.pid, signal.SIGKILL)
    packer.join(PATIENCE_SECONDS)
    run.join(PATIENCE_SECONDS)
    assert run.exitcode == 0
    assert not leftover.exists()
    assert len(files(folder)) == len(SHARDS)


def test_many_at_once_pack_each_shard_once(lake: Lake, tmp_path: Path) -> None:
    runs = [
        SPAWN.Process(target=opened_in_process, args=(tmp_path / "lake", tmp_path / "cache", tmp_path / f"done{run}"))
        for run in range(4)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join(PATIENCE_SECONDS)
    assert [run.exitcode for run in runs] == [0] * len(runs)
    assert len(files(tmp_path / "cache")) == len(SHARDS)
