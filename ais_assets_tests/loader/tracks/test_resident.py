"""Positions in a device's memory: the kernel, interpreted on the CPU, cuts what the host does, to the bit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ais_assets.io.streaming_loader import TrackWindowDataset
from ais_assets_tests.conftest import PROJECT
from ais_assets_tests.loader.tracks.track_datasets import publish, shard_tables, with_channels
from ais_assets_tests.patience import PATIENCE_SECONDS

COMPARED = """
import itertools, sys
from ais_assets.io.streaming_loader import TrackWindowDataset
from ais_assets.loader.tracks.channels import NAMES

lake, cache = sys.argv[1:]

def same(one, other):
    if isinstance(one, tuple):
        assert one[1].keys() == other[1].keys()
        assert all(same(one[1][name], other[1][name]) for name in one[1])
        return same(one[0], other[0])
    assert (one.shape, one.dtype) == (other.shape, other.dtype)
    return one.numpy().tobytes() == other.numpy().tobytes()

more = {"mask": True, "times": True, "provenance": True}
for options in (
    {},
    {"features": NAMES, **more},
    {"features": NAMES[::-1], "mask": True, "seq_len": 3, "max_horizon": 2, "stride": 7},
    {"features": ("heading", "lon"), "where": "mean_sog > 10", "weights": "1 + mean_sog", "normalize": "ranges"},
    {"batch_size": 1, "seq_len": 290, "max_horizon": 8},
):
    options = {"batch_size": 9, **options}
    host = TrackWindowDataset(lake, cache, **options)
    there = TrackWindowDataset(lake, cache, resident=True, device="cpu", **options)
    # The interpreter takes its time.
    pairs = list(itertools.islice(zip(host, there), 2))
    assert all(same(one, other) for one, other in pairs), options
    # A state of the one is gone on with by the other.
    if len(pairs) > 1:
        there.load_state_dict({**host.state_dict(), "epoch": 0, "sample_in_epoch": 9})
        assert same(next(iter(there)), pairs[1][0])
    print("same")
"""


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Published tracks with every channel."""
    publish(tmp_path / "lake", [with_channels(table) for table in shard_tables()])
    return tmp_path / "lake"


def test_the_kernel_cuts_what_the_host_does(lake: Path, tmp_path: Path) -> None:
    pytest.importorskip("triton", reason="triton is not installed: torch brings it on Linux")
    done = subprocess.run(
        [sys.executable, "-c", COMPARED, str(lake), str(tmp_path / "cache")],
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("same\n" * 5, 0), done.stderr[-3000:]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "give device='cuda'; it is None"),
        ({"device": "cpu"}, "give device='cuda'; it is 'cpu'"),
        ({"device": "cuda", "every_seconds": 600}, "leave it out, or every_seconds"),
    ],
)
def test_what_no_device_can_do_is_refused(lake: Path, tmp_path: Path, options: dict[str, Any], said: str) -> None:
    pytest.importorskip("triton", reason="triton is not installed: torch brings it on Linux")
    with pytest.raises(ValueError, match=said):
        TrackWindowDataset(lake, tmp_path / "cache", resident=True, **options)


def test_without_triton_it_says_so(lake: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "from ais_assets.io.streaming_loader import TrackWindowDataset\n"
        f"TrackWindowDataset({str(lake)!r}, {str(tmp_path / 'cache')!r}, device='cuda', resident=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == 1
    assert "LoaderError: resident=True gathers windows by a Triton kernel, and triton is not installed" in done.stderr
