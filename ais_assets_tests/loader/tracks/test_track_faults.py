"""What can go wrong around the cache of packed tracks: servers, disks and processes. Nothing of it ends in silence."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader

from ais_assets.io.streaming_loader import LoaderError, TrackWindowDataset
from ais_assets_tests.loader.faulty_s3 import Fault, FaultyS3
from ais_assets_tests.loader.mds.mds_datasets import flip_a_bit
from ais_assets_tests.loader.programs import run
from ais_assets_tests.patience import PATIENCE_SECONDS

EPOCH = """
import sys
from ais_assets.io.streaming_loader import TrackWindowDataset
print(sum(len(batch) for batch in TrackWindowDataset(sys.argv[1], sys.argv[2], batch_size=8, download_retry=0)))
"""
FAULTY = "0002.parquet"


def test_a_job_that_lacks_tracks_does_not_exit_with_0(lake: Path, cache: Path) -> None:
    file = lake / "track_shards" / FAULTY
    flip_a_bit(file)
    done = run(EPOCH, lake, cache)
    assert (done.stdout, done.returncode) == ("", 1)
    assert f"LoaderError: {file} is damaged" in done.stderr


def test_a_full_disk_is_named_and_left_as_it_was(lake: Path, tmp_path: Path, isolated: list[str]) -> None:
    (tmp_path / "full").mkdir()
    epoch = f"{sys.executable} -c '{EPOCH}' {lake} {tmp_path}/full"
    script = (
        f"mount -t tmpfs -o size=16k none {tmp_path}/full && "
        f"{{ {epoch}; code=$?; ls {tmp_path}/full/tracks; "
        # Once there is room, it goes on from there.
        f"mount -o remount,size=16m {tmp_path}/full && {epoch} >&2 && exit $code; }}"
    )
    done = subprocess.run([*isolated, script], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert done.returncode == 1, done.stderr
    assert str(TrackWindowDataset(lake, tmp_path / "whole").windows) in done.stderr.splitlines()
    assert f"LoaderError: {tmp_path}/full/tracks/0" in done.stderr
    assert "cannot be written into the cache: No space left on device: free some space (12 bytes" in done.stderr
    assert ".part" not in done.stdout


def test_a_cache_on_a_disk_that_cannot_be_written_is_read(lake: Path, cache: Path, isolated: list[str]) -> None:
    windows = TrackWindowDataset(lake, cache).windows
    read_only = f"mount --bind {cache} {cache} && mount -o remount,ro,bind {cache}"
    epoch = f"exec {sys.executable} -c '{EPOCH}' {lake} {cache}"
    done = subprocess.run(
        [*isolated, f"{read_only} && {epoch}"], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert (done.stdout.split(), done.returncode) == ([str(windows)], 0), done.stderr


@pytest.fixture
def s3(lake: Path, faulty_server: FaultyS3) -> FaultyS3:
    """The lake behind a server that can be told to fail."""
    del lake  # It is there before anything is asked for.
    return faulty_server


def over_s3(server: FaultyS3, cache: Path, timeout: float = 5.0) -> TrackWindowDataset:
    """A loader over the server."""
    access = {"endpoint_url": server.endpoint, "region_name": "us-east-1"}
    return TrackWindowDataset("s3://bucket/lake", cache, 8, download_timeout=timeout, s3=access)


@pytest.mark.parametrize("fault", ["throttled", "broken", "cut off", "flipped"])
def test_a_fault_that_passes_is_survived(s3: FaultyS3, lake: Path, cache: Path, fault: Fault) -> None:
    s3.faults = {f"track_shards/{FAULTY}": (fault, 2), "index.json": ("throttled", 1)}
    dataset = over_s3(s3, cache)
    every = np.arange(dataset.windows)
    expected = TrackWindowDataset(lake, cache.with_name("other")).batch(every)
    assert dataset.batch(every).numpy().tobytes() == expected.numpy().tobytes()
    assert s3.asked.count(f"lake/track_shards/{FAULTY}") == 3
    assert s3.asked.count("lake/track_shards/index.json") == 2


@pytest.mark.parametrize(
    ("fault", "message", "attempts"),
    [
        ("throttled", "SlowDown", 3),
        ("stalled", "Read timeout", 3),
        ("trickling", "bytes came within 0.3 s", 3),
        ("cut off", "cannot be read", 3),
        ("flipped", "is damaged or of another publication, also when fetched anew", 3),
        ("expired", "renew the credentials", 1),
        ("forbidden", "rights on this bucket", 1),
    ],
)
def test_a_fault_that_lasts_is_an_error_in_time(
    s3: FaultyS3, cache: Path, fault: Fault, message: str, attempts: int
) -> None:
    s3.faults = {f"track_shards/{FAULTY}": (fault, 1000)}
    started = time.monotonic()
    with pytest.raises(LoaderError, match=rf"s3://bucket/lake/track_shards/{FAULTY} .*{message}"):
        over_s3(s3, cache, timeout=0.3)
    # The server would stall for 20 s at each attempt.
    assert time.monotonic() - started < 15
    assert s3.asked.count(f"lake/track_shards/{FAULTY}") == attempts
    assert not list(cache.rglob("*.part"))


def test_workers_ask_nothing_of_the_server_again(s3: FaultyS3, cache: Path) -> None:
    dataset = over_s3(s3, cache)
    asked = len(s3.asked)
    for context in ("fork", "spawn"):
        loader = DataLoader(dataset, batch_size=None, num_workers=1, multiprocessing_context=context)
        assert sum(map(len, loader)) == dataset.windows
    assert len(s3.asked) == asked
