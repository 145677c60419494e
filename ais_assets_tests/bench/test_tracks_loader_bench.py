"""The bench of windows cut while training, at tiny sizes: that contenders do the same work, and what is counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ais_assets.bench import _tracks_contenders as contenders
from ais_assets.bench._loader_contenders import Remote
from ais_assets.bench._loader_data import Windows, windows_on_disk
from ais_assets.bench._simulated import Traffic, simulated_traffic
from ais_assets.bench._tracks_contenders import MDS, STOCK, TRACKS
from ais_assets.bench._tracks_data import PublishedTracks, publish_copies, sparse_year
from ais_assets.bench._tracks_races import stored
from ais_assets.bench.race import in_a_process
from ais_assets.cli.main import main
from ais_assets.io.streaming_loader import TrackWindowDataset
from ais_assets.loader import remote as of_loader

COPIES = 3


@pytest.fixture(scope="module")
def traffic() -> Iterator[Traffic]:
    with simulated_traffic(vessels=5, days=1, seed=3) as simulated:
        yield simulated


@pytest.fixture(scope="module")
def on_disk(traffic: Traffic) -> Iterator[Windows]:
    with windows_on_disk(traffic, 1_000) as windows:
        assert windows.samples == traffic.windows
        yield windows


@pytest.fixture(scope="module")
def fleets(traffic: Traffic, tmp_path_factory: pytest.TempPathFactory) -> PublishedTracks:
    return publish_copies(traffic, tmp_path_factory.mktemp("fleets"), COPIES)


def test_every_fleet_has_the_same_windows_of_other_vessels(traffic: Traffic, fleets: PublishedTracks) -> None:
    dataset = TrackWindowDataset(fleets.lake, fleets.cache, provenance=True)
    assert dataset.windows == COPIES * traffic.windows
    features, of = dataset.batch(np.arange(dataset.windows))
    first, second, third = features.split(traffic.windows)
    assert first.equal(second)
    assert first.equal(third)
    assert len(of["mmsi"].unique()) % COPIES == 0
    assert not set(of["mmsi"][: traffic.windows].tolist()) & set(of["mmsi"][traffic.windows :].tolist())


def test_a_year_is_started_over_without_its_positions(fleets: PublishedTracks, tmp_path: Path) -> None:
    year = sparse_year(tmp_path / "year", windows=1_000_000, tracks=5_000)
    found = contenders.start_over_a_year(year, 16, fleets, seed=1)
    assert found.windows == 1_000_000
    assert min(found.construction_seconds, found.epoch_seconds, found.resume_seconds) > 0
    assert sum(512 * path.stat().st_blocks for path in (tmp_path / "year").rglob("*")) < 10_000_000


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # mosaicml-streaming leaves its closing to Python
@pytest.mark.parametrize("loader", [TRACKS, MDS, STOCK])
def test_a_cold_start_is_of_every_window_and_counts_what_is_read(
    traffic: Traffic,
    fleets: PublishedTracks,
    on_disk: Windows,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    loader: str,
) -> None:
    monkeypatch.setattr(of_loader.Remote, "read", of_loader.Remote.read)
    remote = Remote(str(fleets.lake if loader == TRACKS else on_disk.mds), tmp_path)
    found = contenders.cold_start(loader, remote, 16, on_disk.entries())
    assert found.windows == traffic.windows * (COPIES if loader == TRACKS else 1)
    assert 0 < found.first_seconds <= found.seconds
    published = fleets.bytes if loader == TRACKS else sum(path.stat().st_size for path in on_disk.files())
    assert 0.5 * published < found.moved_bytes <= published
    assert found.cached_bytes > 0


def test_a_first_batch_is_of_an_empty_cache(fleets: PublishedTracks, tmp_path: Path) -> None:
    remote = Remote(str(fleets.lake), tmp_path)
    assert contenders.first_batch(remote, 16, remote) > 0
    (cache,) = tmp_path.glob("cold-*")
    assert len(list(cache.rglob("*.positions"))) == COPIES


def test_warm_turns_count_windows(fleets: PublishedTracks, traffic: Traffic) -> None:
    assert contenders.read_tracks(fleets, 16, 2, 0.0) == COPIES * traffic.windows
    assert contenders.read_more(fleets, 16, 1, 0.0) == COPIES * traffic.windows


def test_two_processes_read_an_epoch_each(fleets: PublishedTracks) -> None:
    windows = TrackWindowDataset(fleets.lake, fleets.cache).windows
    assert in_a_process(contenders.read_in_two_processes, fleets, 16, 0.0) == 2 * windows


def test_bytes_are_those_of_the_files(traffic: Traffic, fleets: PublishedTracks, on_disk: Windows) -> None:
    found = stored(traffic, fleets, on_disk)
    assert found["windows"] == COPIES * traffic.windows
    assert found["tracks, bytes"] == fleets.bytes
    assert found["MDS, bytes"] == COPIES * sum(path.stat().st_size for path in on_disk.files())
    assert found["times fewer"] == pytest.approx(found["MDS, bytes"] / found["tracks, bytes"])


def test_a_part_of_the_bench_says_what_it_found() -> None:
    options = [
        "--json",
        "--only",
        "stored",
        "--vessels",
        "5",
        "--days",
        "1",
        "--windows",
        "40",
        "--all-windows",
        "1000",
    ]
    result = CliRunner().invoke(main, ["bench", "tracks-loader", *options], catch_exceptions=False)
    found = json.loads(result.output)
    assert found["set"]["windows on disk"] == 40
    assert found["set"]["all fleets"]["fleets"] == round(1000 / found["set"]["fleet"]["windows"])
    assert found["stored"]["times fewer"] > 1
    assert found["races"] == []
