"""What the loader's bench reads: the same windows as MDS, compressed and unpacked, and as other loaders want them."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.bench._simulated import Traffic, simulated_traffic, windows_of
from ais_assets.io.mds import COLUMNS, INDEX_FILE, root_index, write_shards
from ais_assets.settings import Settings

_PILE: Final = "00000"
_TAR_WINDOWS: Final = 2_000
_LITDATA_CHUNK: Final = 64_000_000


@dataclass(frozen=True)
class Windows:
    """Training windows in files, so that a contender's own process can read them.

    Attributes:
        folder: scratch, removed after the bench.
        mds: the published dataset, compressed.
        cache: the same, unpacked: a warm cache.
        matrix: float32 (samples, window_len, 5), as `numpy.load` reads it.
        samples: their number.
        window_len: positions of a window.
    """

    folder: Path
    mds: Path
    cache: Path
    matrix: Path
    samples: int
    window_len: int

    def entries(self) -> list[dict[str, Any]]:
        """The shards' entries of the published index."""
        return json.loads((self.mds / INDEX_FILE).read_bytes())["shards"]

    def files(self) -> list[Path]:
        """The published dataset's files, the index last."""
        return [*(self.mds / entry["zip_data"]["basename"] for entry in self.entries()), self.mds / INDEX_FILE]


@contextmanager
def lake_windows(mds: Path, most: int) -> Iterator[Windows]:
    """The first shards of a local dataset with `most` samples or a few more, linked into a temporary folder.

    Raises ValueError where there is no dataset.
    """
    if not (mds / INDEX_FILE).is_file():
        raise ValueError(f"{mds} has no {INDEX_FILE}: name a folder in which the graph was materialized")
    index = json.loads((mds / INDEX_FILE).read_bytes())
    with TemporaryDirectory(prefix="ais-bench-") as name:
        published = Path(name) / "mds"
        taken = []
        for entry in index["shards"]:
            if sum(shard["samples"] for shard in taken) >= most:
                break
            link = published / entry["zip_data"]["basename"]
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to((mds / entry["zip_data"]["basename"]).absolute())
            taken.append(entry)
        (published / INDEX_FILE).write_text(json.dumps(index | {"shards": taken}))
        yield _unpacked(Path(name), published)


@contextmanager
def simulated_windows(vessels: int, days: int, seed: int, most: int) -> Iterator[Windows]:
    """Windows of simulated traffic, written with the platform's default settings."""
    with simulated_traffic(vessels, days, seed) as traffic, windows_on_disk(traffic, most) as windows:
        yield windows


@contextmanager
def windows_on_disk(traffic: Traffic, most: int) -> Iterator[Windows]:
    """At most so many of the traffic's windows, written with the platform's default settings."""
    settings = Settings.model_construct()
    with TemporaryDirectory(prefix="ais-bench-") as name:
        published = Path(name) / "mds"
        write_shards(
            windows_of(traffic, most),
            published / _PILE,
            window_len=traffic.window_len,
            size_limit=settings.mds_size_limit,
            level=settings.zstd_level,
            threads=os.cpu_count() or 1,
        )
        index = (published / _PILE / INDEX_FILE).read_bytes()
        (published / INDEX_FILE).write_bytes(root_index([(_PILE, index)]))
        yield _unpacked(Path(name), published)


def _unpacked(folder: Path, published: Path) -> Windows:
    """The published dataset with its unpacked forms beside it."""
    from ais_assets.io.streaming_loader import AISMDSDataset  # noqa: PLC0415 - takes seconds to import

    dataset = AISMDSDataset(remote=str(published), local=str(folder / "cache"), shuffle=False)
    matrix = np.concatenate([batch.numpy() for batch in dataset])
    np.save(folder / "matrix.npy", matrix)
    return Windows(folder, published, folder / "cache", folder / "matrix.npy", len(matrix), matrix.shape[1])


def write_for_litdata(windows: Windows, into: Path) -> None:
    """The windows as litdata's chunks."""
    from litdata.streaming.writer import BinaryWriter  # noqa: PLC0415  # pyright: ignore[reportMissingImports]

    writer = BinaryWriter(str(into), chunk_bytes=_LITDATA_CHUNK)
    for number, window in enumerate(np.load(windows.matrix, mmap_mode="r")):
        writer.add_item(number, np.array(window))
    writer.done()
    writer.merge()


def write_for_webdataset(windows: Windows, into: Path) -> None:
    """The windows as tar files, one member each."""
    into.mkdir()
    matrix: NDArray[np.float32] = np.load(windows.matrix, mmap_mode="r")
    for first in range(0, len(matrix), _TAR_WINDOWS):
        with tarfile.open(into / f"{first:09}.tar", "w") as tar:
            for number, window in enumerate(matrix[first : first + _TAR_WINDOWS], first):
                member = tarfile.TarInfo(f"{number:09}.features")
                member.size = window.nbytes
                tar.addfile(member, BytesIO(window.tobytes()))


def write_for_datasets(windows: Windows, into: Path) -> None:
    """The windows as an Arrow dataset of Hugging Face."""
    import datasets  # noqa: PLC0415  # pyright: ignore[reportMissingImports]

    matrix: NDArray[np.float32] = np.load(windows.matrix, mmap_mode="r")
    values = pa.array(matrix.reshape(-1))
    table = pa.table({"features": pa.FixedSizeListArray.from_arrays(values, matrix[0].size)})
    datasets.disable_progress_bars()
    datasets.Dataset(datasets.table.InMemoryTable(table)).save_to_disk(str(into))


WRITERS: Final = {"litdata": write_for_litdata, "webdataset": write_for_webdataset, "datasets": write_for_datasets}
"""By package: what writes the windows as that package wants them."""


def write_for_peers(windows: Windows) -> None:
    """The windows in the formats of the packages that are installed, each in a folder of the package's name."""
    for package, write in WRITERS.items():
        if find_spec(package) is not None:
            write(windows, windows.folder / package)


def write_index(into: Path, shards: int, samples: int, window_len: int) -> None:
    """The index of a dataset that is not there: as many shards, of as many samples each."""
    columns = sorted(COLUMNS.items())
    raw_bytes = samples * (schema.FEATURE_COUNT * 4 * window_len + 28)

    def entry(number: int) -> dict[str, Any]:
        digest = hashlib.sha1(str(number).encode(), usedforsecurity=False).hexdigest()
        name = f"{number // 16:05}-{digest[:12]}/shard.{number % 16:05}.mds"
        return {
            "column_encodings": [encoding for _, encoding in columns],
            "column_names": [column for column, _ in columns],
            "column_sizes": [{"bytes": None, "int32": 4, "int64": 8}[encoding] for _, encoding in columns],
            "compression": "zstd:1",
            "format": "mds",
            "hashes": ["sha1"],
            "raw_data": {"basename": name, "bytes": raw_bytes, "hashes": {"sha1": digest}},
            "samples": samples,
            "size_limit": 1 << 26,
            "version": 2,
            "zip_data": {"basename": f"{name}.zstd", "bytes": raw_bytes // 2, "hashes": {"sha1": digest[::-1]}},
        }

    into.mkdir(parents=True, exist_ok=True)
    (into / INDEX_FILE).write_text(json.dumps({"version": 2, "shards": [entry(number) for number in range(shards)]}))
