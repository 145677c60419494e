"""The races of the loader's bench."""

from __future__ import annotations

import os
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import torch

from ais_assets.bench import _loader_contenders as contenders
from ais_assets.bench import _loader_device as on_device
from ais_assets.bench._loader_data import Windows, write_for_peers, write_index
from ais_assets.bench._loader_s3 import Bucket, mock_server, uploaded
from ais_assets.bench.race import Contender, Race, run_race
from ais_assets.settings import Settings

BATCH: Final = 64
BATCHES: Final = (64, 256)
OURS: Final = "AISMDSDataset"
STOCK: Final = "StreamingDataset"
MOST_THREADS: Final = 8
"""As many as `AISMDSDataset` takes by itself."""
_PACKAGES: Final = {"litdata": ("litdata",), "webdataset": ("webdataset",), "HF datasets": ("datasets",)}


def warm(windows: Windows, repeat: int, seconds: float) -> list[Race]:
    """Every loader over its own unpacked files, for each batch size."""
    write_for_peers(windows)
    races = []
    for batch in BATCHES:
        able = [
            Contender(
                name,
                contenders.read_warm,
                (name, windows, batch, seconds),
                contenders.prepare_warm,
                cores=contenders.WORKERS if "workers" in name else 1,
                baseline=name == STOCK,
                needs=_PACKAGES.get(name, ()),
            )
            for name in contenders.LOADERS
        ]
        race = Race(f"Warm, batch {batch}", "windows", {"windows": windows.samples, "seconds a turn": seconds})
        races.append(run_race(race, able, repeat=repeat))
    return races


def cold(windows: Windows, repeat: int) -> list[Race]:
    """An epoch from a local folder of compressed shards, into an empty cache."""
    remote = contenders.Remote(str(windows.mds), windows.folder)
    able = [
        Contender(
            name,
            contenders.read_cold,
            (name, remote, BATCH),
            contenders.prepare_cold,
            cores=_threads() if name == OURS else 1,
            baseline=name == STOCK,
        )
        for name in (STOCK, OURS)
    ]
    return [run_race(Race("Cold, from a folder", "windows", {"windows": windows.samples}), able, repeat=repeat)]


def cold_s3(windows: Windows, bucket: Bucket, repeat: int) -> list[Race]:
    """An epoch from S3 into an empty cache, beside boto3 and zstd with as many threads."""
    threads = _threads()
    able = [
        Contender(
            "boto3 and zstd", contenders.download, (bucket, windows, threads), contenders.download, threads, True
        ),
        Contender(
            OURS,
            contenders.read_cold,
            (OURS, contenders.Remote(bucket.uri, windows.folder, bucket), BATCH),
            contenders.prepare_cold,
            threads,
        ),
    ]
    work = {"windows": windows.samples, "threads": threads, "server": bucket.s3.endpoint_url or "AWS"}
    return [run_race(Race("Cold, from S3", "windows", work), able, repeat=repeat)]


def first_batch(windows: Windows, repeat: int) -> list[Race]:
    """From the dataset's construction to the first batch, with an empty cache and a full one."""
    remote = contenders.Remote(str(windows.mds), windows.folder)
    able = [
        Contender(
            f"{name}, {state} cache",
            contenders.first_batch,
            (name, remote, cache, BATCH),
            contenders.import_loader,
            baseline=name == STOCK and cache is None,
        )
        for name in (STOCK, OURS)
        for state, cache in (("empty", None), ("full", str(windows.cache)))
    ]
    return [run_race(Race("First batch", "starts", {"windows": windows.samples}), able, repeat=repeat)]


def index(shards: int, samples: int, repeat: int) -> list[Race]:
    """Construction and the start of an epoch over an index of so many shards, which are not there."""
    races = []
    with TemporaryDirectory(prefix="ais-bench-") as folder:
        place = Path(folder) / "mds"
        write_index(place, shards, samples, Settings.model_construct().window_len)
        for title, run, prepare in (
            ("Construction", contenders.construct, contenders.import_loader),
            ("Start of an epoch", contenders.begin_epoch, contenders.prepare_epoch),
        ):
            able = [
                Contender(name, run, (name, place, BATCH), prepare, baseline=name == STOCK) for name in (STOCK, OURS)
            ]
            race = Race(title, "starts", {"shards": shards, "windows": shards * samples})
            races.append(run_race(race, able, repeat=repeat))
    return races


def to_device(windows: Windows, device: str, repeat: int, seconds: float) -> list[Race]:
    """Batches on their way to the device beside a bare copy, and a GRU's steps with and without waiting for them."""
    batch = BATCHES[-1]
    arguments = (windows, device, batch)
    work = {"windows": windows.samples, "batch": batch, "device": device}
    copies = [
        Contender("copy", on_device.copy, (*arguments, seconds), on_device.prepare_copy, baseline=True),
        Contender(OURS, on_device.arrive, (*arguments, seconds), on_device.prepare_arrive),
    ]
    steps = [
        Contender(name, on_device.train, (*arguments, fed, seconds), on_device.prepare_train, baseline=not fed)
        for name, fed in (("one batch, already there", False), (OURS, True))
    ]
    return [
        run_race(Race("To the device", "windows", work), copies, repeat=repeat),
        run_race(Race("A GRU's training steps", "windows", dict(work)), steps, repeat=repeat),
    ]


def from_s3(windows: Windows, bucket: Bucket | None, repeat: int) -> list[Race]:
    """`cold_s3` with the dataset uploaded to the bucket, or to moto's where none is given and moto is installed."""
    if bucket is None and find_spec("moto") is None:
        return [Race("Cold, from S3", "windows", absent={"all": "no bucket is named, and moto is not installed"})]
    with (
        mock_server() if bucket is None else nullcontext(bucket) as place,
        uploaded(windows.mds, windows.files(), place) as folder,
    ):
        return cold_s3(windows, folder, repeat)


def to_cuda(windows: Windows, repeat: int, seconds: float) -> list[Race]:
    """`to_device` with the CUDA device, where there is one."""
    if not torch.cuda.is_available():
        return [Race("To the device", "windows", absent={"all": "torch finds no CUDA device"})]
    return to_device(windows, "cuda", repeat, seconds)


def _threads() -> int:
    return min(MOST_THREADS, os.cpu_count() or 1)
