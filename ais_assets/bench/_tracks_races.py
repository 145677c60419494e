"""The parts of the bench of windows cut while training."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from ais_assets.bench import _tracks_contenders as contenders
from ais_assets.bench._loader_contenders import Remote
from ais_assets.bench._loader_data import Windows
from ais_assets.bench._loader_s3 import Bucket, mock_server, uploaded
from ais_assets.bench._simulated import Traffic
from ais_assets.bench._tracks_contenders import MDS, STOCK, TRACKS, ColdStart, YearStart
from ais_assets.bench._tracks_data import PublishedTracks, sparse_year
from ais_assets.bench.race import Contender, Race, in_a_process, run_race

BATCH: Final = 64
BATCHES: Final = (64, 256)
TWO_PROCESSES: Final = f"{TRACKS}, two processes of one thread"
"""No work of theirs is shared: how much more than one thread they do is what the machine has to give to two."""
_ENDPOINT: Final = "S3_ENDPOINT_URL"
"""By which mosaicml-streaming finds a server other than AWS."""


def stored(traffic: Traffic, fleets: PublishedTracks, on_disk: Windows) -> dict[str, Any]:
    """Bytes of published tracks with every channel, and of MDS of as many windows, by those that were written."""
    windows = traffic.windows * (len(fleets.files) - 1)
    mds = sum(path.stat().st_size for path in on_disk.files()) / on_disk.samples
    return {
        "windows": windows,
        "tracks, bytes": fleets.bytes,
        "tracks, bytes a position": fleets.bytes / fleets.positions,
        "MDS, bytes": round(mds * windows),
        "MDS, bytes a window": mds,
        "times fewer": mds * windows / fleets.bytes,
    }


def cold(fleet: PublishedTracks, fleets: PublishedTracks, on_disk: Windows, repeat: int) -> dict[str, Any]:
    """First epochs over empty caches: of one fleet, from a folder and from S3; and all fleets' first batch."""
    found: dict[str, Any] = {"from a folder": _cold_starts(_remotes(fleet, on_disk, None), on_disk, repeat)}
    if find_spec("moto") is None:
        found["from S3"] = {"left out": "moto is not installed"}
    else:
        with _on_s3(fleet, on_disk) as remotes:
            found["from S3"] = _cold_starts(remotes, on_disk, repeat)
    everyone, one = (Remote(str(tracks.lake), tracks.lake) for tracks in (fleets, fleet))
    turns = [in_a_process(contenders.first_batch, everyone, BATCH, one) for _ in range(repeat)]
    seconds = statistics.median(turns)
    found["all fleets, from a folder"] = {
        "positions": fleets.positions,
        "first_seconds": seconds,
        "positions fetched and packed a second": fleets.positions / seconds,
        "turns": turns,
    }
    return found


def warm(fleets: PublishedTracks, on_disk: Windows, repeat: int, seconds: float) -> list[Race]:
    """Batches of tracks that are packed, of all fleets, beside those of windows that are unpacked."""
    races = []
    in_a_process(contenders.pack, fleets)
    for batch in BATCHES:
        one, two = ((fleets, batch, threads, seconds) for threads in (1, 2))
        each = fleets, batch, seconds
        able = [
            Contender(MDS, contenders.read_mds, (on_disk, batch, seconds), contenders.prepare_mds, baseline=True),
            Contender(f"{TRACKS}, one thread", contenders.read_tracks, one, contenders.prepare_tracks),
            Contender(f"{TRACKS}, two threads", contenders.read_tracks, two, contenders.prepare_tracks, cores=2),
            Contender(TWO_PROCESSES, contenders.read_in_two_processes, each, contenders.prepare_two_processes, cores=2),
            Contender(f"{TRACKS}, mask and two more channels", contenders.read_more, one, contenders.prepare_more),
        ]
        work = {"windows on disk": on_disk.samples, "positions packed": fleets.positions, "seconds a turn": seconds}
        races.append(run_race(Race(f"Warm, batch {batch}", "windows", work), able, repeat=repeat))
    return races


def year(folder: Path, small: PublishedTracks, windows: int, tracks: int, repeat: int) -> dict[str, Any]:
    """Construction, an epoch's start and going on in the middle of one, over a cache of so many windows."""
    packed = sparse_year(folder, windows, tracks)
    turns: list[YearStart] = [
        in_a_process(contenders.start_over_a_year, packed, BATCH, small, seed) for seed in range(repeat)
    ]
    return {"tracks": tracks, "positions": packed.positions, **_medians(turns)}


def _remotes(fleet: PublishedTracks, on_disk: Windows, buckets: tuple[Bucket, Bucket] | None) -> dict[str, Remote]:
    tracks, mds = (str(fleet.lake), str(on_disk.mds)) if buckets is None else (bucket.uri for bucket in buckets)
    at = None if buckets is None else buckets[0]
    return {
        TRACKS: Remote(tracks, fleet.lake, at),
        MDS: Remote(mds, on_disk.folder, at),
        STOCK: Remote(mds, on_disk.folder, at),
    }


@contextmanager
def _on_s3(fleet: PublishedTracks, on_disk: Windows) -> Iterator[dict[str, Remote]]:
    """Both datasets on moto's server."""
    with (
        mock_server() as server,
        uploaded(fleet.lake, fleet.files, server) as lake,
        uploaded(on_disk.mds, on_disk.files(), server) as mds,
    ):
        former = os.environ.get(_ENDPOINT)
        os.environ[_ENDPOINT] = str(server.s3.endpoint_url)
        try:
            yield _remotes(fleet, on_disk, (lake, mds))
        finally:
            os.environ.pop(_ENDPOINT) if former is None else os.environ.update({_ENDPOINT: former})


def _cold_starts(remotes: Mapping[str, Remote], on_disk: Windows, repeat: int) -> dict[str, Any]:
    """Turn by turn, so that a slow minute slows all."""
    entries = on_disk.entries()
    turns: dict[str, list[ColdStart]] = {name: [] for name in remotes}
    for _ in range(repeat):
        for name, remote in remotes.items():
            turns[name].append(in_a_process(contenders.cold_start, name, remote, BATCH, entries))
    return {name: _medians(of_loader) for name, of_loader in turns.items()}


def _medians(turns: Sequence[ColdStart] | Sequence[YearStart]) -> dict[str, Any]:
    """Of each figure, beside the turns themselves."""
    figures = [asdict(turn) for turn in turns]
    return {**{name: statistics.median(of[name] for of in figures) for name in figures[0]}, "turns": figures}
