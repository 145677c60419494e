"""A dataset held against what it was made from: chain, bytes, index, splits, and windows cut anew from the tracks.

Nothing here trusts what a stage said of its own work: windows are cut by slices of the stored tracks, not by the
kernel that gathered them, and bytes are hashed again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.assets.checks import hulls_in_two_splits
from ais_assets.io.kept_tracks import TRACKS_INDEX_KEY, published_tracks
from ais_assets.io.lake import Lake, PartitionMissingError
from ais_assets.io.layout import Kind, place_of
from ais_assets.io.mds import INDEX_FILE, MDSError, read_shard, shard_entries
from ais_assets.io.provenance import named
from ais_assets.io.stages import Stage
from ais_assets.loader.errors import LoaderError
from ais_assets.loader.tracks.track_index import TRACKS_FOLDER, IndexedFile
from ais_assets.operating.inventory import inventory
from ais_assets.publishing.publication import STATISTICS_FILE
from ais_assets.settings import Settings
from ais_assets.store.objects import StoreError
from ais_assets.store.sealed_parquet import DamagedFileError
from ais_assets.transforms.split import shard_of
from ais_assets.transforms.windows import features_of

THREADS: Final = 4
"""That read files at once, each of them whole."""


@dataclass(frozen=True)
class Fault:
    """Something that is not as it must be.

    Attributes:
        where: the partition or object.
        what: what is wrong with it, and the command that mends it where it is known.
    """

    where: str
    what: str


@dataclass(frozen=True)
class Part:
    """One part of a verification.

    Attributes:
        name: what was held against what.
        looked_at: how many things were.
        unit: what these are.
        faults: what was found.
    """

    name: str
    looked_at: int
    unit: str
    faults: tuple[Fault, ...]


def verification(lake: Lake, stages: Sequence[Stage], settings: Settings, windows: int) -> Iterator[Part]:
    """Holds a lake against itself, part by part.

    Args:
        lake: where everything is.
        stages: every stage of the settings' dataset.
        settings: of the deployment.
        windows: of each pile to cut anew from the tracks, chosen by the pile's name; 0: all.
    """
    yield chain_part(lake, stages, settings)
    yield bytes_part(lake, stages)
    yield index_part(lake, settings)
    yield splits_part(lake, settings)
    yield windows_part(lake, settings, windows)


def chain_part(lake: Lake, stages: Iterable[Stage], settings: Settings) -> Part:
    """Whether each partition that the settings name is there and made from what is there now."""
    found, faults = 0, []
    for held in inventory(lake, stages, settings):
        found += held.there
        faults += [Fault(named(held.asset, key), "is missing; `ais build` makes it") for key in held.missing]
        faults += [Fault(named(held.asset, key), f"{why}; `ais build` mends it") for key, why in held.stale.items()]
    return Part("each is made from what is there, as the settings say", found, "partitions", tuple(faults))


def bytes_part(lake: Lake, stages: Iterable[Stage]) -> Part:
    """Whether every byte that is stored is as it was written: by checksums, digests and hashes."""
    readers: list[Callable[[], list[Fault]]] = []
    for stage in stages:
        kind = place_of(stage.asset).kind
        for key in _keys(lake, stage):
            if kind is Kind.PARQUET:
                readers.append(lambda asset=stage.asset, key=key: _damaged_parquet(lake, asset, key))
            elif stage.asset == "mds_shards":
                readers.append(lambda key=key: _damaged_shards(lake, key))
            elif kind is Kind.FOLDER:
                readers.append(lambda asset=stage.asset, key=key: _damaged_files(lake, asset, key))
    with ThreadPoolExecutor(THREADS, thread_name_prefix="verify") as pool:
        faults = [fault for found in pool.map(lambda read: read(), readers) for fault in found]
    return Part("every byte is as it was written", len(readers), "partitions", tuple(faults))


def index_part(lake: Lake, settings: Settings) -> Part:
    """Whether the indexes name what is there: files with their digests, the piles' folders, one release."""
    faults: list[Fault] = []
    where = f"{lake.uri}/{TRACKS_INDEX_KEY}"
    try:
        index = published_tracks(lake.store)
    except LoaderError as error:
        return Part("the indexes name what is there", 0, "files", (Fault(where, str(error)),))
    if index is None:
        return Part("the indexes name what is there", 0, "files", (Fault(where, "is not published; `ais build`"),))
    files = [*index.files, *([index.vessels] if index.vessels else [])]
    with ThreadPoolExecutor(THREADS, thread_name_prefix="verify") as pool:
        faults += [Fault(where, fault) for fault in pool.map(lambda file: _unlike_index(lake, file), files) if fault]
    if "mds" in settings.window_formats:
        faults += _mds_index_faults(lake, settings, index.release)
    return Part("the indexes name what is there", len(files), "files", tuple(faults))


def splits_part(lake: Lake, settings: Settings) -> Part:
    """Whether a hull is in more than one split."""
    try:
        shared = hulls_in_two_splits(lake, settings)
    except (PartitionMissingError, OSError, DamagedFileError) as error:
        return Part("no hull is in two splits", 0, "", (Fault("splits", str(error)),))
    faults = [Fault(f"hull {hull}", "is in more than one split; `ais build --all`") for hull in shared]
    return Part("no hull is in two splits", 1, "dataset", tuple(faults))


def windows_part(lake: Lake, settings: Settings, windows: int) -> Part:
    """Whether stored windows are the tracks' positions; `windows` of each pile, 0: all."""
    faults, count = [], 0
    for asset, partition, tables in _stored_windows(lake, settings, windows):
        try:
            for table in tables:
                count += table.num_rows
                if wrong := windows_unlike_tracks(lake, table, settings):
                    shown = ", ".join(wrong[:_SHOWN])
                    faults.append(
                        Fault(
                            named(asset, partition),
                            f"{len(wrong):,} of {table.num_rows:,} windows are not what the tracks hold: {shown}; "
                            f"materialize {asset} again",
                        )
                    )
        except (PartitionMissingError, FileNotFoundError, StoreError, DamagedFileError, MDSError) as error:
            faults.append(Fault(named(asset, partition), f"cannot be held against the tracks: {error}"))
    return Part("windows are what the tracks hold", count, "windows", tuple(faults))


def windows_unlike_tracks(lake: Lake, windows: pa.Table, settings: Settings) -> list[str]:
    """Those of the windows (`schema.windows_schema`) that differ from the tracks' positions, by track and start.

    Each is cut again by its track and start, in plain NumPy. Bits must be the same.
    """

    def positions(shard: int, tracks: list[int]) -> pa.Table:
        of_shard = lake.dataset("track_shards", [settings.shard_keys[shard]])
        return of_shard.to_table(columns=list(TRACK_COLUMNS), filter=ds.field("track").isin(tracks))

    return unlike_tracks(windows, settings.window_len, settings.shards, positions)


def unlike_tracks(
    windows: pa.Table, length: int, shards: int, positions: Callable[[int, list[int]], pa.Table]
) -> list[str]:
    """As `windows_unlike_tracks`, by the positions (TRACK_COLUMNS) of tracks of one of so many shards."""
    features = features_of(windows)
    mmsi, track = windows["mmsi"].to_numpy(), windows["track"].to_numpy()
    start = windows["start"].cast(pa.int64()).to_numpy()
    shard_of_each = shard_of(mmsi.astype(np.int32), shards)
    wrong = []
    for shard in np.unique(shard_of_each).tolist():
        chosen = np.flatnonzero(shard_of_each == shard)
        wanted = np.unique(track[chosen]).tolist()
        tracks = _by_track(positions(shard, wanted), wanted)
        for window in chosen:
            cut = _cut(tracks[int(track[window])], int(start[window]), length)
            if cut is None or not np.array_equal(cut.view(np.uint32), features[window].view(np.uint32)):
                wrong.append(f"track {track[window]} at {np.datetime64(int(start[window]), 'ms')}")
    return wrong


@dataclass(frozen=True)
class _Positions:
    t: NDArray[np.int64]  # (n,) Unix time in milliseconds
    features: NDArray[np.float32]  # (n, 5)


_STORED: Final = tuple(schema.STORED_AS[name] for name in schema.FEATURE_NAMES if name in schema.STORED_AS)
TRACK_COLUMNS: Final = ("track", "t", *(of.column for of in _STORED))
"""Of positions what windows are cut from."""


def _by_track(rows: pa.Table, tracks: list[int]) -> dict[int, _Positions]:
    """The positions of each track as features of windows: none of them of one that is not there."""
    found = {}
    for track in tracks:
        of_track = rows.filter(pc.equal(rows["track"], track))  # pyright: ignore[reportAttributeAccessIssue]
        t = of_track["t"].cast(pa.int64()).to_numpy()
        seconds = np.diff(t, prepend=t[:1]) // 1_000
        values = [of_track[of.column].to_numpy() / 10.0**of.places for of in _STORED]
        found[track] = _Positions(t, np.column_stack([*values, seconds]).astype(np.float32))
    return found


def _cut(positions: _Positions, start: int, length: int) -> NDArray[np.float32] | None:
    """The window (length, 5) that begins at `start`; None where the track has none."""
    row = int(np.searchsorted(positions.t, start))
    if row + length > len(positions.t) or positions.t[row] != start:
        return None
    return np.ascontiguousarray(positions.features[row : row + length])


def _stored_windows(lake: Lake, settings: Settings, windows: int) -> Iterator[tuple[str, str, Iterator[pa.Table]]]:
    """Windows of every pile and of the files of other splits, as far as they are there: (asset, partition, tables)."""
    if "parquet" in settings.window_formats:
        for asset in ("materialized_windows", *settings.splits_apart):
            single = place_of(asset).single is not None
            for key in [""] if single else settings.pile_keys:
                if lake.has(asset, key or None):
                    yield asset, key, some_windows(lake.row_groups(asset, key or None), f"{asset}{key}", windows)
    if "mds" in settings.window_formats:
        for pile in (pile for pile in settings.pile_keys if lake.has("mds_shards", pile)):
            yield "mds_shards", pile, some_windows(_mds_tables(lake, pile), pile, windows)


def some_windows(tables: Iterator[pa.Table], name: str, windows: int) -> Iterator[pa.Table]:
    """`windows` of the first table that has any, drawn by a name; 0: all tables."""
    if not windows:
        yield from tables
        return
    table = next((table for table in tables if table.num_rows), None)
    if table is not None:
        draw = np.random.default_rng(list(name.encode()))
        rows = np.sort(draw.choice(table.num_rows, min(windows, table.num_rows), replace=False))
        yield table.take(pa.array(rows))


def _mds_tables(lake: Lake, pile: str) -> Iterator[pa.Table]:
    for entry in _entries(lake, pile):
        with lake.local_file("mds_shards", pile, entry["zip_data"]["basename"]) as path:
            yield read_shard(path.parent, entry, None)


def _entries(lake: Lake, pile: str) -> list[dict[str, Any]]:
    with lake.local_file("mds_shards", pile, INDEX_FILE) as path:
        return shard_entries(path.read_bytes(), f"{lake.folder_uri('mds_shards', pile)}/{INDEX_FILE}")


def _keys(lake: Lake, stage: Stage) -> list[str]:
    """The stage's partitions that are there; one without a name for an asset without partitions."""
    if place_of(stage.asset).single is not None:
        return [""] if lake.has(stage.asset) else []
    there = set(lake.partitions(stage.asset))
    return [key for key in stage.partitions if key in there]


def _damaged_parquet(lake: Lake, asset: str, key: str) -> list[Fault]:
    try:
        lake.verify(asset, key or None)
    except DamagedFileError as error:
        return [Fault(named(asset, key), str(error))]
    return []


def _damaged_shards(lake: Lake, pile: str) -> list[Fault]:
    try:
        for _ in _mds_tables(lake, pile):
            pass
    except (MDSError, FileNotFoundError, StoreError, DamagedFileError) as error:
        return [Fault(named("mds_shards", pile), f"{error}; materialize mds_shards again")]
    return []


def _damaged_files(lake: Lake, asset: str, key: str) -> list[Fault]:
    """Files of a folder whose digests its facts have: archives as they were landed."""
    try:
        files = lake.manifest(asset, key)["facts"].get("files", [])
    except DamagedFileError as error:
        return [Fault(named(asset, key), str(error))]
    faults = []
    for entry in files:
        try:
            with lake.local_file(asset, key, entry["file"]) as path, path.open("rb") as file:
                whole = hashlib.file_digest(file, "sha256").hexdigest() == entry["sha256"]
        except FileNotFoundError:
            whole = False
        if not whole:
            faults.append(
                Fault(named(asset, key), f"{entry['file']} is not there as it was landed; materialize {asset} again")
            )
    return faults


def _unlike_index(lake: Lake, file: IndexedFile) -> str:
    """What is wrong with a file of the tracks' index; nothing where it is what the index says."""
    if key_of_file(lake, file) is not None:
        return ""
    return f"names {file.name}, of which no file is as it says; materialize training_dataset again"


def key_of_file(lake: Lake, file: IndexedFile) -> str | None:
    """The object that is what an index says of a file, which may have been kept under another name; None: none is."""
    for name in filter(None, (file.name, file.kept)):
        key = f"{TRACKS_FOLDER}/{name}"
        try:
            data = lake.store.read(key)
        except FileNotFoundError:
            continue
        if hashlib.sha256(data).hexdigest() == file.sha256:
            return key
    return None


def _mds_index_faults(lake: Lake, settings: Settings, release: str) -> list[Fault]:
    key = place_of("mds_index").key(None)
    where = f"{lake.uri}/{key}"
    try:
        data = lake.store.read(key)
        index = json.loads(data)
        listed = {shard["zip_data"]["basename"].split("/")[0] for shard in index["shards"]}
        statistics = json.loads(lake.store.read(f"{place_of('mds_shards').folder}/{STATISTICS_FILE}"))["index"]
    except FileNotFoundError as error:
        return [Fault(where, f"{error}; materialize training_dataset again")]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        return [Fault(where, f"or its statistics are damaged ({error!r}); materialize training_dataset again")]
    faults = []
    piles = lake.entries_of("mds_shards", lake.versions("mds_shards"), damaged_too=True)
    folders = {piles[pile].folder for pile in settings.pile_keys if pile in piles}
    # Of a manifest that says no folder the part on bytes tells.
    if None not in folders and (strange := sorted(listed - folders)):
        faults.append(
            Fault(where, f"is older than mds_shards: it names {strange[0]}; materialize training_dataset again")
        )
    if index.get("release") != release:
        faults.append(Fault(where, f"is of release {index.get('release')}, the tracks' index of {release}"))
    if statistics != hashlib.sha256(data).hexdigest():
        faults.append(Fault(f"{place_of('mds_shards').folder}/{STATISTICS_FILE}", "are of another index"))
    return faults


_SHOWN: Final = 3
"""Windows that a fault names."""
