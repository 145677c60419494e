"""The training loader when things go wrong, each provoked for real: it repairs or raises, in time, and never shortens
an epoch."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
import zstandard
from torch.utils.data import DataLoader

from ais_assets.io.streaming_loader import AISMDSDataset, LoaderError
from ais_assets.loader.mds.job_memory import remove_leftovers
from ais_assets.loader.mds.rows import ShardDamagedError, ShardRows
from ais_assets.loader.mds.shard_cache import ShardState
from ais_assets.loader.mds.shard_index import Columns
from ais_assets.loader.mds.unpacking import unpacked
from ais_assets_tests.loader.faulty_s3 import Fault, FaultyS3
from ais_assets_tests.loader.mds.mds_datasets import flip_a_bit, numbers, windows, write_dataset
from ais_assets_tests.loader.programs import run
from ais_assets_tests.patience import PATIENCE_SECONDS
from ais_assets_tests.s3_server import S3Server

COUNT = 203
BATCH = 8
EVERY = list(range(COUNT))

pytestmark = [
    # Python 3.12 warns of any fork of a process with threads; DataLoader forks.
    pytest.mark.filterwarnings("ignore:.*use of fork\\(\\) may lead to deadlocks:DeprecationWarning"),
]

WORKER_KILLED = """
import os, signal, sys
from torch.utils.data import DataLoader
from ais_assets.io.streaming_loader import AISMDSDataset
dataset = AISMDSDataset(sys.argv[1], sys.argv[2], batch_size=1)
batches = iter(DataLoader(dataset, batch_size=None, num_workers=2, prefetch_factor=2))
next(batches)
os.kill(batches._workers[1].pid, signal.SIGKILL)
print(len(list(batches)), "batches: a whole epoch")
"""
STARTS_BROKEN_OFF = """
import os, signal, sys, time
from torch.utils.data import DataLoader
from ais_assets.io.streaming_loader import AISMDSDataset
dataset = AISMDSDataset(sys.argv[1], sys.argv[2], batch_size=8)
for killed in ([0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2], [0, 1, 2]):
    batches = iter(DataLoader(dataset, batch_size=None, num_workers=3))
    time.sleep(killed[0] / 50)
    for number in killed:
        os.kill(batches._workers[number].pid, signal.SIGKILL)
    del batches
print(sum(len(batch) for batch in DataLoader(dataset, batch_size=None, num_workers=3)))
print(sum(len(batch) for batch in dataset))
"""
WORKERS_KILLED_FETCHING = """
import os, signal, sys, time
from torch.utils.data import DataLoader
from ais_assets.io.streaming_loader import AISMDSDataset
s3 = {"endpoint_url": sys.argv[1], "region_name": "us-east-1"}
dataset = AISMDSDataset("s3://bucket/remote", sys.argv[2], batch_size=8, s3=s3)
batches = iter(DataLoader(dataset, batch_size=None, num_workers=2))
while not dataset._memory.shard_states[3]:
    time.sleep(0.01)
for worker in batches._workers:
    os.kill(worker.pid, signal.SIGKILL)
del batches
print(sum(len(batch) for batch in DataLoader(dataset, batch_size=None, num_workers=2)))
"""
INTERRUPTED = """
import signal, sys
from ais_assets.io.streaming_loader import AISMDSDataset
signal.signal(signal.SIGINT, signal.default_int_handler)
s3 = {"endpoint_url": sys.argv[1], "region_name": "us-east-1"}
dataset = AISMDSDataset("s3://bucket/remote", sys.argv[2], batch_size=8, download_timeout=60, s3=s3)
print(dataset._memory.folder, flush=True)
for _ in dataset:
    pass
"""
ORDER_IN_SMALL_MEMORY = """
import sys
from torch.utils.data import DataLoader
from ais_assets.bench._loader_data import write_index
from ais_assets.io.streaming_loader import AISMDSDataset
write_index(__import__("pathlib").Path(sys.argv[1]), 600, 3614, 928)
dataset = AISMDSDataset(sys.argv[1], sys.argv[2], batch_size=8)
print(len(dataset._begin_epoch()), flush=True)
next(iter(DataLoader(dataset, batch_size=None, num_workers=2)))
"""
FEW_DESCRIPTORS = """
import resource, sys
from ais_assets.io.streaming_loader import AISMDSDataset
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
print(sum(len(batch) for batch in AISMDSDataset(sys.argv[1], sys.argv[2], batch_size=8)))
"""
EPOCH = """
import sys
from ais_assets.io.streaming_loader import AISMDSDataset
samples = 0
for batch in AISMDSDataset(sys.argv[1], sys.argv[2], batch_size=8):
    samples += len(batch)
    print(samples, flush=True)
"""


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """A published dataset of its own for each test."""
    return write_dataset(tmp_path / "remote", windows(COUNT))


def a_shard(folder: Path, suffix: str = ".zstd") -> Path:
    """One of a dataset's shards."""
    return sorted(folder.glob(f"*.mds{suffix}"))[3]


def seen(dataset: AISMDSDataset) -> list[int]:
    """The samples of the next epoch, sorted."""
    return sorted(chain.from_iterable(numbers(dataset)))


def truncate(file: Path) -> None:
    """Cuts a file in half."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    """Leaves a file of no bytes."""
    file.write_bytes(b"")


def overwrite(file: Path) -> None:
    """Other bytes, as many."""
    file.write_bytes(b"\xff" * file.stat().st_size)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_missing_shard_is_named(remote: Path, cache: Path, workers: int) -> None:
    gone = a_shard(remote)
    gone.unlink()
    dataset = AISMDSDataset(str(remote), str(cache), batch_size=BATCH)
    with pytest.raises(LoaderError, match=f"{gone} is missing, though the index names it.*mds_shards again"):
        list(DataLoader(dataset, batch_size=None, num_workers=workers))


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, empty, overwrite])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_shard_is_named(remote: Path, cache: Path, damage: Callable[[Path], None], workers: int) -> None:
    damaged = a_shard(remote)
    damage(damaged)
    for _ in range(2):  # and again after a restart
        dataset = AISMDSDataset(str(remote), str(cache), batch_size=BATCH)
        with pytest.raises(LoaderError, match=f"{damaged} is damaged, also when fetched anew"):
            list(DataLoader(dataset, batch_size=None, num_workers=workers))
    # Shards that other threads were at when the error came, and the next of each, are finished or given up soon.
    deadline, quiet = time.monotonic() + 120, 0
    while quiet < 10 and time.monotonic() < deadline:
        quiet = 0 if list(cache.rglob("*.part")) else quiet + 1
        time.sleep(0.05)
    assert quiet == 10


@pytest.mark.parametrize("damage", [truncate, empty, overwrite])
def test_a_damaged_shard_without_a_hash_is_named(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    remote = write_dataset(tmp_path / "remote", windows(COUNT), hashes=[])
    damage(a_shard(remote))
    with pytest.raises(LoaderError, match=f"{a_shard(remote)} is damaged"):
        list(AISMDSDataset(str(remote), str(tmp_path / "cache"), batch_size=BATCH))


@pytest.mark.parametrize("algorithm", ["xxh64", "xxh3_64", "blake2s", "md5"])
def test_hashes_of_other_writers_are_checked(tmp_path: Path, algorithm: str) -> None:
    remote = write_dataset(tmp_path / "remote", windows(COUNT), hashes=[algorithm], compression=None)
    assert seen(AISMDSDataset(str(remote), str(tmp_path / "whole"), batch_size=BATCH)) == EVERY
    shard = a_shard(remote, "")
    flip_a_bit(shard)
    with pytest.raises(LoaderError, match=f"{shard} is damaged"):
        list(AISMDSDataset(str(remote), str(tmp_path / "cache"), batch_size=BATCH))


COLUMNS_OF_TEXT = Columns(("features", "note"), ("bytes", "str"), (None, None))


def shard_of(*samples: tuple[bytes, bytes]) -> bytearray:
    """A raw shard of windows and notes, as mosaicml-streaming lays it out."""
    parts = [np.array([len(window), len(note)], "<u4").tobytes() + window + note for window, note in samples]
    head = 4 * (len(parts) + 2)
    offsets = np.cumsum([head, *map(len, parts)]).astype("<u4")
    return bytearray(np.uint32(len(parts)).tobytes() + offsets.tobytes() + b"".join(parts))


def changed(at: int, value: int) -> Callable[[bytearray], bytearray]:
    """The shard with another uint32 there."""
    return lambda shard: shard[:at] + np.uint32(value).tobytes() + shard[at + 4 :]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda shard: shard[:0], "it is empty"),
        (lambda shard: shard[:12], "its 12 bytes are too few for 2 samples"),
        (lambda shard: shard[:-1], "its offsets do not fit its size"),
        (changed(0, 3), "it says that it has 3 samples; the index says 2"),
        (changed(8, 1 << 20), "its offsets do not fit its size"),
        (changed(16, 60), "its windows are of different lengths"),
        (changed(20, 4), "its samples are not of the size that their columns have"),
        (lambda _: shard_of((bytes(42), b"a"), (bytes(42), b"")), "its windows of 42 bytes are no whole number of"),
    ],
)
def test_a_damaged_raw_shard_says_in_what(tmp_path: Path, change: Callable[[bytearray], bytearray], what: str) -> None:
    path = tmp_path / "shard"
    sound = shard_of((bytes(range(40)), b"abc"), (bytes(40), b""))
    path.write_bytes(sound)
    rows = ShardRows(path, 2, COLUMNS_OF_TEXT)
    assert [bytes(row) for row in rows.features] == [bytes(range(40)), bytes(40)]
    assert rows.sample(0) == {"features": bytes(range(40)), "note": "abc"}
    damaged = tmp_path / "damaged"
    damaged.write_bytes(change(sound))
    with pytest.raises(ShardDamagedError, match=what):
        ShardRows(damaged, 2, COLUMNS_OF_TEXT)


@pytest.mark.parametrize("what", ["missing", "damaged"])
def test_an_epoch_cut_short_does_not_exit_with_0(remote: Path, cache: Path, what: str) -> None:
    shard = a_shard(remote)
    shard.unlink() if what == "missing" else flip_a_bit(shard)
    done = run(EPOCH, remote, cache)
    assert done.returncode == 1
    assert f"{shard} is {what}" in done.stderr


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, empty, overwrite, Path.unlink])
def test_a_damaged_cached_shard_is_fetched_anew(remote: Path, cache: Path, damage: Callable[[Path], None]) -> None:
    expected = torch.cat(list(AISMDSDataset(str(remote), str(cache), batch_size=BATCH, shuffle=False)))
    damage(a_shard(cache, ""))
    assert torch.equal(
        torch.cat(list(AISMDSDataset(str(remote), str(cache), batch_size=BATCH, shuffle=False))), expected
    )


def test_a_cached_shard_damaged_between_two_epochs_is_fetched_anew(remote: Path, cache: Path) -> None:
    dataset = AISMDSDataset(str(remote), str(cache), batch_size=BATCH, shuffle=False)
    expected = torch.cat(list(dataset))
    damaged, fresh = a_shard(cache, ""), cache / "fresh"
    # A new file in its place: to truncate a mapped file kills whoever reads the map.
    fresh.write_bytes(b"\xff" * damaged.stat().st_size)
    fresh.replace(damaged)
    assert torch.equal(torch.cat(list(dataset)), expected)


def test_an_untouched_cache_needs_nothing_of_the_remote_but_its_index(remote: Path, cache: Path) -> None:
    assert seen(AISMDSDataset(str(remote), str(cache), batch_size=BATCH)) == EVERY
    for shard in remote.glob("*.zstd"):
        shard.unlink()
    assert seen(AISMDSDataset(str(remote), str(cache), batch_size=BATCH)) == EVERY


# With neither a hash nor a compressed size in the index, nothing tells two publications of equal sizes apart.
@pytest.mark.parametrize(("hashes", "compression"), [(["sha1"], "zstd:1"), (["sha1"], None), ([], "zstd:1")])
def test_a_stale_cache_is_replaced(tmp_path: Path, cache: Path, hashes: list[str], compression: str | None) -> None:
    for number, count in enumerate((COUNT, COUNT - 40, COUNT)):
        content = windows(count, seed=number)
        remote = write_dataset(tmp_path / str(number), content, hashes=hashes, compression=compression)
        (tmp_path / "remote").unlink(missing_ok=True)
        (tmp_path / "remote").symlink_to(remote)
        dataset = AISMDSDataset(str(tmp_path / "remote"), str(cache), batch_size=BATCH, shuffle=False)
        assert torch.cat(list(dataset)).numpy().tobytes() == content.tobytes()
        assert (cache / "index.json").read_bytes() == (remote / "index.json").read_bytes()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 3, "shards": []}'])
def test_a_damaged_index_is_named(remote: Path, cache: Path, content: bytes) -> None:
    (remote / "index.json").write_bytes(content)
    with pytest.raises(LoaderError, match=f"{remote}/index.json"):
        AISMDSDataset(str(remote), str(cache))


def test_no_index_is_named(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(LoaderError, match=f"{tmp_path}/nothing has no index.json: materialize training_dataset"):
        AISMDSDataset(str(tmp_path / "nothing"), str(cache))


def test_an_index_that_leaves_its_folder_is_refused(remote: Path, cache: Path) -> None:
    index = (remote / "index.json").read_text().replace("shard.00003.mds.zstd", "../../../etc/passwd")
    (remote / "index.json").write_text(index)
    with pytest.raises(LoaderError, match="not inside its folder"):
        AISMDSDataset(str(remote), str(cache))


def test_a_dataset_without_windows_is_refused(tmp_path: Path, cache: Path) -> None:
    remote = write_dataset(tmp_path / "remote", windows(3), columns={"mmsi": "int32"})
    with pytest.raises(LoaderError, match="this loader needs features: bytes"):
        AISMDSDataset(str(remote), str(cache))
    ragged = write_dataset(tmp_path / "ragged", windows(3).reshape(3, -1)[:, :7], limit=1 << 16)
    with pytest.raises(LoaderError, match="no whole number of positions"):
        list(AISMDSDataset(str(ragged), str(cache)))


def test_a_dataset_published_anew_while_a_job_reads(tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "remote"
    write_dataset(folder / "a", windows(COUNT))
    index = (folder / "a" / "index.json").read_text()
    (folder / "index.json").write_text(index.replace("shard.", "a/shard."))
    shutil.copy(folder / "a" / "statistics.json", folder)
    reading = AISMDSDataset(str(folder), str(cache), batch_size=BATCH, threads=1)
    batches = iter(reading)
    got = numbers([next(batches)])
    write_dataset(folder / "b", windows(60, seed=1))
    (folder / "index.json").write_text((folder / "b" / "index.json").read_text().replace("shard.", "b/shard."))
    new = AISMDSDataset(str(folder), str(cache), batch_size=BATCH)
    assert seen(new) == list(range(60))
    assert sorted(chain.from_iterable(got + numbers(batches))) == EVERY
    for shard in [*(folder / "a").glob("*.zstd"), *(cache / "a").glob("*.mds")]:
        shard.unlink()
    with pytest.raises(LoaderError, match=r"was published anew since this job started\. Start the job again"):
        list(reading)


def test_an_epoch_over_more_shards_than_a_process_may_open_files(tmp_path: Path, cache: Path) -> None:
    remote = write_dataset(tmp_path / "many", windows(1000), limit=700)
    assert len(list(remote.glob("*.zstd"))) == 500
    done = run(FEW_DESCRIPTORS, remote, cache)
    assert (done.stdout, done.returncode) == ("1000\n", 0), done.stderr


@pytest.mark.parametrize("compression", ["zstd:1", "gz", "bz2"])
def test_a_shard_unpacks_to_no_more_than_the_index_says(tmp_path: Path, cache: Path, compression: str) -> None:
    remote = write_dataset(tmp_path / "remote", windows(COUNT), compression=compression)
    index = json.loads((remote / "index.json").read_text())
    entry = index["shards"][3]
    bomb = remote / entry["zip_data"]["basename"]
    bomb.write_bytes(compress(compression, bytes(50_000_000)))
    entry["zip_data"] = {**entry["zip_data"], "bytes": bomb.stat().st_size, "hashes": {}}
    (remote / "index.json").write_text(json.dumps(index))
    written: list[int] = []
    dataset = AISMDSDataset(str(remote), str(cache), batch_size=BATCH)
    with pytest.MonkeyPatch.context() as patch:
        whole = dataset._published._write

        def counted(path: Path, pieces: Iterable[bytes], mark: int | None = None) -> None:
            def each() -> Iterator[bytes]:
                for piece in pieces:
                    written.append(len(piece))
                    yield piece

            whole(path, each(), mark)

        patch.setattr(dataset._published, "_write", counted)
        with pytest.raises(LoaderError, match=f"{bomb} is damaged.*more than the .* bytes that the index says"):
            list(dataset)
    raw = sum(shard["raw_data"]["bytes"] for shard in index["shards"])
    assert sum(written) <= raw
    assert not list(cache.glob(f".{entry['raw_data']['basename']}.*"))


def compress(compression: str, data: bytes) -> bytes:
    """As mosaicml-streaming does."""
    return {"zstd:1": zstandard.compress, "gz": gzip.compress, "bz2": bz2.compress}[compression](data)


@pytest.mark.parametrize("compression", ["gz", "bz2", "zstd:1"])
@pytest.mark.parametrize("cut", [1, 10])
def test_a_compressed_shard_that_ends_too_early_is_damaged(tmp_path: Path, compression: str, cut: int) -> None:
    data = compress(compression, windows(20).tobytes())
    size = windows(20).nbytes
    kind = compression.partition(":")[0]
    assert b"".join(unpacked(data, kind, size)) == windows(20).tobytes()
    assert b"".join(unpacked(data + data, kind, 2 * size)) == 2 * windows(20).tobytes()
    for damaged in (data[:-cut], data[: len(data) // 2], b"", data + b"more"):
        with pytest.raises(ShardDamagedError, match="unpack"):
            list(unpacked(damaged, kind, size))


def test_a_full_disk_is_named(remote: Path, tmp_path: Path, isolated: list[str]) -> None:
    epoch = f"{sys.executable} -c '{EPOCH}' {remote} {tmp_path}/full"
    # Once there is room, it goes on from there.
    script = (
        f"mount -t tmpfs -o size=28k none {tmp_path}/full && {{ {epoch}; code=$?; ls -A {tmp_path}/full; "
        f"mount -o remount,size=4m {tmp_path}/full && {epoch} >&2 && exit $code; }}"
    )
    (tmp_path / "full").mkdir()
    done = subprocess.run([*isolated, script], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert done.returncode == 1, done.stderr
    assert str(COUNT) in done.stderr.splitlines()
    assert f"LoaderError: {tmp_path}/full/shard" in done.stderr
    assert "cannot be written into the cache: No space left on device: free some space" in done.stderr
    assert "index.json" in done.stdout.split()
    assert ".part" not in done.stdout


def test_too_little_shared_memory_is_named_and_one_process_needs_none(tmp_path: Path, isolated: list[str]) -> None:
    epoch = f"{sys.executable} -c '{ORDER_IN_SMALL_MEMORY}' {tmp_path}/mds {tmp_path}/cache"
    script = f"mount -t tmpfs -o size=4m none /dev/shm && exec {epoch}"
    done = subprocess.run([*isolated, script], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert (done.stdout, done.returncode) == (f"{600 * 3614}\n", 1)
    assert "LoaderError: the machine's shared memory has no room for the epoch's order" in done.stderr
    assert "--shm-size" in done.stderr


def test_a_cache_that_cannot_be_written_is_named(remote: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(LoaderError, match=f"{tmp_path}/file/index.json cannot be written into the cache"):
        AISMDSDataset(str(remote), str(tmp_path / "file"))


WAITING = """
import sys
from ais_assets.io.streaming_loader import AISMDSDataset
dataset = AISMDSDataset(sys.argv[1], sys.argv[2], batch_size=8)
next(iter(dataset))
print(dataset._memory.folder, flush=True)
input()
"""


def test_what_a_killed_job_leaves_behind_is_removed(remote: Path, cache: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITING, str(remote), str(cache)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as job:
        assert job.stdout is not None
        memory = Path(job.stdout.readline().strip())
        remove_leftovers()
        assert memory.is_dir(), "it is a living job's"
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()
    assert memory.is_dir()
    part = cache / ".shard.00000.mds.1.0.part"
    part.write_bytes(b"half")
    assert seen(AISMDSDataset(str(remote), str(cache), batch_size=BATCH)) == EVERY
    assert not part.exists()
    assert not memory.exists()


def test_a_start_that_was_killed_is_removed(remote: Path, cache: Path) -> None:
    memory = AISMDSDataset(str(remote), str(cache), batch_size=BATCH)._memory.folder
    unborn = memory.with_name("ais_loader_000000000000000")
    unborn.mkdir()
    remove_leftovers()
    assert not unborn.exists()


@pytest.mark.parametrize("limited", [True, False])
def test_a_former_publications_shards_leave_a_cache_with_a_limit(tmp_path: Path, cache: Path, limited: bool) -> None:
    folder, limit = tmp_path / "remote", 60_000
    other = write_dataset(cache / "train", windows(50), compression=None)
    others = sorted(other.iterdir())
    for number in range(4):
        write_dataset(folder / f"p{number}", windows(300, seed=number))
        index = (folder / f"p{number}" / "index.json").read_text().replace("shard.", f"p{number}/shard.")
        (folder / "index.json").write_text(index)
        dataset = AISMDSDataset(
            str(folder),
            str(cache),
            batch_size=BATCH,
            cache_limit=limit if limited else None,
            shuffle_block_size=40,
            window_len=windows(1).shape[1],
        )
        assert seen(dataset) == list(range(300))
        cached = [shard for shard in cache.rglob("*.mds") if other not in shard.parents]
        if limited:
            assert sum(shard.stat().st_size for shard in cached) <= limit
        else:
            assert len(cached) == len(list(folder.rglob("*.zstd")))
    assert sorted(other.iterdir()) == others


def test_a_cache_that_cannot_be_marked_is_used(remote: Path, cache: Path, isolated: list[str]) -> None:
    assert seen(AISMDSDataset(str(remote), str(cache), batch_size=BATCH)) == EVERY
    (cache / ".shard.00000.mds.1.0.part").write_bytes(b"half")
    for shard in cache.glob("*.mds"):
        os.utime(shard, (1, 1))
    for shard in remote.glob("*.zstd"):
        shard.unlink()
    read_only = f"mount --bind {cache} {cache} && mount -o remount,ro,bind {cache}"
    epoch = f"exec {sys.executable} -c '{EPOCH}' {remote} {cache}"
    done = subprocess.run(
        [*isolated, f"{read_only} && {epoch}"], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert (done.stdout.split()[-1:], done.returncode) == ([str(COUNT)], 0), done.stderr


def test_two_jobs_over_one_cache(remote: Path, cache: Path) -> None:
    jobs = [
        subprocess.Popen([sys.executable, "-c", EPOCH, str(remote), str(cache)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ours = AISMDSDataset(str(remote), str(cache), batch_size=BATCH)
    also_ours = AISMDSDataset(str(remote), str(cache), batch_size=BATCH)
    pairs = list(zip(ours, also_ours, strict=True))
    assert all(torch.equal(one, other) for one, other in pairs)
    assert sorted(chain.from_iterable(numbers(one for one, _ in pairs))) == EVERY
    for job in jobs:
        out, _ = job.communicate(timeout=60)
        assert (job.returncode, out.split()[-1]) == (0, str(COUNT))


def test_another_jobs_eviction_is_made_good(remote: Path, cache: Path) -> None:
    dataset = AISMDSDataset(str(remote), str(cache), batch_size=BATCH)
    for _ in range(3):
        assert seen(dataset) == EVERY
        for shard in cache.glob("*.mds"):
            shard.unlink()


def test_a_worker_killed_in_an_epoch_is_an_error(remote: Path, cache: Path) -> None:
    # In a process of its own: torch tells of a worker's end by a signal, which could hit the next test.
    done = run(WORKER_KILLED, remote, cache)
    assert done.returncode == 1
    # Or, where it was at handing over a batch, that its connection has ended.
    assert "RuntimeError: DataLoader worker" in done.stderr or "ConnectionResetError" in done.stderr
    assert "whole epoch" not in done.stdout


def test_starts_broken_off_leave_the_next_epoch_whole(remote: Path, cache: Path) -> None:
    done = run(STARTS_BROKEN_OFF, remote, cache)
    assert (done.stdout, done.returncode) == (f"{COUNT}\n" * 2, 0), done.stderr


def test_a_shard_that_another_process_never_finishes_is_an_error(remote: Path, cache: Path) -> None:
    dataset = AISMDSDataset(str(remote), str(cache), batch_size=BATCH)
    dataset._published.remote.timeout = 0.01
    dataset._published.remote.retries = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ais_assets.loader.remote._CONNECT_SECONDS", 0.01)
        patch.setattr("ais_assets.loader.remote._LONGEST_PAUSE_SECONDS", 0.01)
        dataset._memory.shard_states[4] = ShardState.PREPARING
        dataset._memory.access_times[4] = os.getppid()
        with pytest.raises(LoaderError, match="is being fetched by another process of this job"):
            list(dataset)


def test_a_shard_that_a_killed_process_was_at_is_taken_over(remote: Path, cache: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dataset = AISMDSDataset(str(remote), str(cache), batch_size=BATCH)
    dataset._memory.shard_states[4] = ShardState.PREPARING
    dataset._memory.access_times[4] = ended.pid
    assert seen(dataset) == EVERY


@pytest.fixture
def s3(remote: Path, faulty_server: FaultyS3) -> FaultyS3:
    """`remote` behind a server that can be told to fail."""
    del remote  # It is there before anything is asked for.
    return faulty_server


def over_s3(server: FaultyS3, cache: Path, timeout: float = 5.0) -> AISMDSDataset:
    """A loader over the server."""
    return AISMDSDataset(
        "s3://bucket/remote",
        str(cache),
        batch_size=BATCH,
        download_timeout=timeout,
        s3={"endpoint_url": server.endpoint, "region_name": "us-east-1"},
    )


@pytest.mark.parametrize("fault", ["throttled", "broken", "cut off", "flipped"])
def test_a_fault_that_passes_is_survived(s3: FaultyS3, cache: Path, fault: Fault) -> None:
    s3.faults = {"shard.00003": (fault, 2), "index.json": ("throttled", 1)}
    assert seen(over_s3(s3, cache)) == EVERY
    assert s3.asked.count("remote/shard.00003.mds.zstd") == 3
    assert s3.asked.count("remote/index.json") == 2


def test_a_request_that_stalls_once_is_survived(s3: FaultyS3, cache: Path) -> None:
    s3.faults = {"shard.00003": ("stalled", 1)}
    assert seen(over_s3(s3, cache, timeout=0.5)) == EVERY


def test_workers_killed_while_they_fetch_leave_the_next_epoch_whole(s3: FaultyS3, cache: Path) -> None:
    s3.faults = {"shard.00003": ("stalled", 1)}
    done = run(WORKERS_KILLED_FETCHING, s3.endpoint, cache)
    assert (done.stdout, done.returncode) == (f"{COUNT}\n", 0), done.stderr


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("throttled", "SlowDown"),
        ("broken", "InternalError"),
        ("stalled", "Read timeout"),
        ("trickling", "bytes came within 0.5 s"),
        ("cut off", "cannot be read"),
        ("flipped", "is damaged, also when fetched anew"),
    ],
)
def test_a_fault_that_lasts_is_an_error_in_time(s3: FaultyS3, cache: Path, fault: Fault, message: str) -> None:
    s3.faults = {"shard.00003": (fault, 1000)}
    started = time.monotonic()
    with pytest.raises(LoaderError, match=r"s3://bucket/remote/shard\.00003\.mds\.zstd .*" + message):
        list(over_s3(s3, cache, timeout=0.5))
    # Three attempts of half a second each, and room for a machine that is busy; the server would stall for 20 s.
    assert time.monotonic() - started < 15
    assert s3.asked.count("remote/shard.00003.mds.zstd") == 3


def test_the_first_error_is_raised_and_other_reads_are_given_up(s3: FaultyS3, cache: Path) -> None:
    s3.faults = {"shard.00002": ("trickling", 1000), "shard.00005": ("forbidden", 1)}
    dataset = over_s3(s3, cache, timeout=15.0)
    dataset.batch_size = COUNT
    with pytest.raises(LoaderError, match=r"shard\.00005\.mds\.zstd .*rights on this bucket"):
        list(dataset)
    deadline = time.monotonic() + 10
    while threads_of_shards() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not threads_of_shards()
    assert s3.asked.count("remote/shard.00002.mds.zstd") == 1


def threads_of_shards() -> list[str]:
    """Threads that open shards."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("shards")]


def test_a_job_that_is_interrupted_ends_and_leaves_nothing(s3: FaultyS3, cache: Path) -> None:
    s3.faults = {"shard.00003": ("trickling", 1000)}
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, s3.endpoint, str(cache)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as job:
        assert job.stdout is not None
        memory = Path(job.stdout.readline().strip())
        while "remote/shard.00003.mds.zstd" not in s3.asked:
            time.sleep(0.02)
        assert memory.is_dir()
        time.sleep(0.5)
        job.send_signal(signal.SIGINT)
        # Far less than the three attempts of a minute that are allowed.
        _, error = job.communicate(timeout=30)
    assert "KeyboardInterrupt" in error
    assert not memory.exists()
    assert not list(cache.rglob("*.part"))


@pytest.mark.parametrize(
    ("fault", "cure"), [("expired", "renew the credentials"), ("forbidden", "rights on this bucket")]
)
def test_a_refusal_is_an_error_at_once(s3: FaultyS3, cache: Path, fault: Fault, cure: str) -> None:
    dataset = over_s3(s3, cache)
    s3.faults = {"shard.00003": (fault, 1000)}
    with pytest.raises(LoaderError, match=cure):
        list(dataset)
    assert s3.asked.count("remote/shard.00003.mds.zstd") == 1


def test_no_server_is_an_error_in_time(s3: FaultyS3, cache: Path) -> None:
    s3.endpoint = "http://127.0.0.1:9"
    with pytest.raises(LoaderError, match=r"s3://bucket/remote/index\.json cannot be read, attempt 3 of 3.*endpoint"):
        over_s3(s3, cache, timeout=1.0)


def test_the_settings_of_the_environment_say_where_s3_is(
    s3: FaultyS3, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AIS_S3_ENDPOINT_URL", s3.endpoint)
    monkeypatch.setenv("AIS_S3_REGION", "eu-north-1")
    dataset = AISMDSDataset("s3://bucket/remote", str(cache), batch_size=BATCH)
    assert seen(dataset) == EVERY
    assert any("/eu-north-1/s3/" in signed for signed in s3.signatures)


def test_no_credentials_are_an_error_at_once(s3: FaultyS3, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(cache / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(cache / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(LoaderError, match=r"attempt 1 of 3.*credentials"):
        over_s3(s3, cache)


def test_forked_workers_share_no_connection(s3_environment: S3Server, bucket: str, remote: Path, cache: Path) -> None:
    from boto3.session import Session

    client = Session().client("s3")
    for file in remote.iterdir():
        client.upload_file(str(file), bucket, f"some/mds/{file.name}")
    dataset = AISMDSDataset(f"s3://{bucket}/some/mds", str(cache), batch_size=BATCH)
    assert seen(dataset) == EVERY
    for shard in cache.glob("*.mds"):
        shard.unlink()
    loader = DataLoader(dataset, batch_size=None, num_workers=3)
    batches = torch.cat(list(loader)).numpy()
    assert batches[np.argsort(batches[:, 0, 0])].tobytes() == windows(COUNT).tobytes()
