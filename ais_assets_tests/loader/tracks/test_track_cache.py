"""The cache of packed tracks: whatever happens to a file or a process, what is read is what was published."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ais_assets.io.streaming_loader import LoaderError, TrackWindowDataset
from ais_assets.loader import progress
from ais_assets.loader.remote import Remote
from ais_assets.loader.tracks import track_cache
from ais_assets.loader.tracks.packed_tracks import PackedPart
from ais_assets_tests.loader.mds.mds_datasets import flip_a_bit
from ais_assets_tests.loader.tracks.track_datasets import publish, shard_tables, with_channels


def content(lake: Path, cache: Path) -> str:
    """A digest of all training windows, in order."""
    dataset = TrackWindowDataset(lake, cache)
    return hashlib.sha256(dataset.batch(np.arange(dataset.windows)).numpy().tobytes()).hexdigest()


def packed_files(cache: Path, suffix: str) -> list[Path]:
    return sorted(path for path in (cache / "tracks").glob(f"*.{suffix}") if path.stat().st_size)


def test_what_is_packed_is_not_fetched_again(lake: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(lake, cache)
    asked: list[str] = []
    read = Remote.read
    monkeypatch.setattr(Remote, "read", lambda self, name: asked.append(name) or read(self, name))
    assert content(lake, cache) == before
    assert asked == ["index.json"]


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:-100]), flip_a_bit, Path.unlink])
def test_a_track_file_that_is_not_the_indexs_is_refused(lake: Path, cache: Path, damage) -> None:
    damage(lake / "track_shards" / "0002.parquet")
    with pytest.raises(LoaderError, match=r"track_shards/0002\.parquet is (damaged|missing)"):
        TrackWindowDataset(lake, cache, download_retry=0)


@pytest.mark.parametrize("suffix", ["positions", "anchors", "tracks", "json"])
@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:-1]), flip_a_bit, Path.unlink])
def test_a_damaged_file_of_the_cache_is_packed_anew(lake: Path, cache: Path, suffix: str, damage) -> None:
    before = content(lake, cache)
    for path in packed_files(cache, suffix):
        damage(path)
    assert content(lake, cache) == before


def test_after_a_crash_of_the_machine_files_are_checked_by_their_bytes(
    lake: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(lake, cache)
    damaged = packed_files(cache, "positions")[0]
    found = damaged.stat()
    flip_a_bit(damaged, 5)
    os.utime(damaged, ns=(found.st_mtime_ns, found.st_mtime_ns))
    monkeypatch.setattr(track_cache, "boot_id", lambda: "another boot")
    assert content(lake, cache) == before


def test_a_rebuilt_shard_is_read_from_where_the_former_file_was_kept(lake: Path, cache: Path) -> None:
    shard = lake / "track_shards" / "0000.parquet"
    before = content(lake, cache / "first")
    kept = shard.parent / "kept"
    kept.mkdir()
    shard.rename(kept / shard.name)
    publish(lake / "elsewhere", shard_tables([(90, 30)]))
    (lake / "elsewhere/track_shards/0000.parquet").rename(shard)
    assert content(lake, cache / "second") == before


def test_a_new_publication_replaces_the_packed_files_that_nobody_uses(lake: Path, cache: Path) -> None:
    used = TrackWindowDataset(lake, cache)
    former = set(packed_files(cache, "positions"))
    publish(lake, shard_tables([(90, 30), (80,)]))
    other = TrackWindowDataset(lake, cache)
    assert former < set(packed_files(cache, "positions"))
    assert len(next(iter(used)))
    used.close()
    other.close()
    TrackWindowDataset(lake, cache)
    assert not former & set(packed_files(cache, "positions"))
    (cache / "tracks" / "notes.txt").write_text("somebody's own")
    TrackWindowDataset(lake, cache)
    assert (cache / "tracks" / "notes.txt").exists()


def test_a_stale_index_is_never_used(lake: Path, cache: Path) -> None:
    TrackWindowDataset(lake, cache)
    publish(lake, shard_tables([(200,)]))
    assert TrackWindowDataset(lake, cache).windows == (200 - 16) // 4 + 1


@pytest.mark.parametrize(
    ("index", "said"),
    [
        (b"", "is empty or damaged"),
        (b"[]", "is empty or damaged"),
        (b'{"version": 9}', "has version 9; this loader reads 1"),
        (b'{"version": 1, "release": "", "settings": {}, "vessels": null, "files": [{"name": "../x"}]}', "damaged"),
    ],
)
def test_a_damaged_index_is_refused(lake: Path, cache: Path, index: bytes, said: str) -> None:
    (lake / "track_shards" / "index.json").write_bytes(index)
    with pytest.raises(LoaderError, match=said):
        TrackWindowDataset(lake, cache)


def test_an_index_cannot_name_files_elsewhere(lake: Path, cache: Path) -> None:
    path = lake / "track_shards" / "index.json"
    path.write_text(path.read_text().replace("0001.parquet", "../0001.parquet"))
    with pytest.raises(LoaderError, match="not inside its folder"):
        TrackWindowDataset(lake, cache)


def test_a_channel_that_the_tracks_do_not_have_is_named(tmp_path: Path, cache: Path) -> None:
    without = [
        table.drop_columns([name for name in ("heading", "nav_status") if name in table.column_names])
        for table in shard_tables()
    ]
    publish(tmp_path / "plain", without)
    with pytest.raises(LoaderError, match="no column 'heading', which a channel needs"):
        TrackWindowDataset(tmp_path / "plain", cache, features=("lat", "heading"))


def test_a_channel_asked_for_later_is_packed_then(tmp_path: Path, cache: Path) -> None:
    publish(tmp_path / "lake", [with_channels(table) for table in shard_tables()])
    TrackWindowDataset(tmp_path / "lake", cache)
    assert not packed_files(cache, "channels")
    features = TrackWindowDataset(tmp_path / "lake", cache, features=("heading",)).batch([0])
    assert packed_files(cache, "channels")
    again = TrackWindowDataset(tmp_path / "lake", tmp_path / "new", features=("heading",)).batch([0])
    np.testing.assert_array_equal(features.numpy(), again.numpy())


def test_a_full_disk_says_what_and_how_much(lake: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(track_cache.os, "utime", full)
    with pytest.raises(LoaderError, match=r"cannot be written into the cache: No space left.*12 bytes a position"):
        TrackWindowDataset(lake, cache)
    monkeypatch.undo()
    assert not list((cache / "tracks").glob("*.part"))
    assert len(content(lake, cache)) == 64


def test_a_folder_that_cannot_be_made_is_named(lake: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LoaderError, match="check the folder and its permissions"):
        TrackWindowDataset(lake, tmp_path / "file")


def _pack_and_die(lake: Path, cache: Path) -> None:
    """Packs until the first table of a shard is written, and is killed there."""
    packed_parts = track_cache.packed_parts

    def dying(*args, **options):
        for part in packed_parts(*args, **options):
            yield part
            os.kill(os.getpid(), signal.SIGKILL)

    track_cache.packed_parts = dying
    TrackWindowDataset(lake, cache)


def test_a_killed_job_leaves_nothing_that_is_taken_for_whole(lake: Path, cache: Path, tmp_path: Path) -> None:
    before = content(lake, tmp_path / "other")
    job = multiprocessing.get_context("spawn").Process(target=_pack_and_die, args=(lake, cache))
    job.start()
    job.join(120)
    assert job.exitcode == -signal.SIGKILL
    assert list((cache / "tracks").glob("*.part"))
    assert content(lake, cache) == before
    assert not list((cache / "tracks").glob("*.packing"))


def test_two_jobs_share_the_work(lake: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = content(lake, tmp_path / "other")
    fetched: list[str] = []
    read = Remote.read

    def slow(self: Remote, name: str) -> bytes:
        if name.endswith(".parquet"):
            fetched.append(name)
            time.sleep(0.05)
        return read(self, name)

    monkeypatch.setattr(Remote, "read", slow)
    found: list[str] = []
    jobs = [threading.Thread(target=lambda: found.append(content(lake, cache))) for _ in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(120)
    assert found == [before] * 3
    assert sorted(fetched) == ["0000.parquet", "0001.parquet", "0002.parquet", "0003.parquet"]


def test_a_job_that_is_stopped_in_the_middle_of_packing_is_not_waited_for_for_ever(
    lake: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    packed_parts = track_cache.packed_parts

    def stopped(*args, **options):
        parts: list[PackedPart] = list(packed_parts(*args, **options))
        # The first file's; who waits for it packs the others.
        if not begun.is_set():
            begun.set()
            go_on.wait(60)
        return iter(parts)

    monkeypatch.setattr(track_cache, "packed_parts", stopped)
    job = threading.Thread(target=content, args=(lake, cache))
    job.start()
    assert begun.wait(60)
    monkeypatch.setattr(track_cache, "packed_parts", packed_parts)
    monkeypatch.setattr(Remote, "longest_read", property(lambda _: 0.01))
    with pytest.raises(LoaderError, match="does not come to an end: is it stopped"):
        TrackWindowDataset(lake, cache, download_retry=0)
    go_on.set()
    job.join(60)


def test_a_file_written_to_while_the_epoch_goes_on_changes_nothing_that_is_mapped(lake: Path, cache: Path) -> None:
    dataset = TrackWindowDataset(lake, cache)
    before = dataset.batch(np.arange(dataset.windows)).numpy().copy()
    for path in packed_files(cache, "positions"):
        path.unlink()
    np.testing.assert_array_equal(dataset.batch(np.arange(dataset.windows)).numpy(), before)


def test_as_many_threads_pack_as_may_hold_the_largest_file() -> None:
    gigabyte = 10**9
    assert track_cache.threads_that_fit(8, [gigabyte // 4, 1], 2 * gigabyte) == 4
    assert track_cache.threads_that_fit(3, [gigabyte // 4], 2 * gigabyte) == 3
    assert track_cache.threads_that_fit(8, [5 * gigabyte], gigabyte) == 1
    assert track_cache.threads_that_fit(8, [], 2 * gigabyte) == 8


def test_a_fetch_says_how_far_it_is_where_it_takes_time(
    lake: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    TrackWindowDataset(lake, cache)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0.0)
    TrackWindowDataset(lake, cache)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[-1].startswith(f"Tracks of {lake}/track_shards: 0.00 of 0.00 GB, ")
    monkeypatch.setattr(progress, "_QUIET_SECONDS", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    TrackWindowDataset(lake, cache)
    # A bar shortens a long name.
    assert "\x1b[2KTracks of /" in capsys.readouterr().err
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    TrackWindowDataset(lake, cache, drop_last=True)
    assert capsys.readouterr().err == ""
