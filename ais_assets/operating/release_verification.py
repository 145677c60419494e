"""A release held against itself, by what it was published with alone: for one that was superseded, and for copies.

What it was made from may have changed since, so none of the lake's partitions is read: its index names its own files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from ais_assets.io.lake import MADE_FROM, MADE_WITH, Lake
from ais_assets.io.layout import place_of
from ais_assets.io.mds import MDSError, read_shard
from ais_assets.io.provenance import digest_of
from ais_assets.io.releases import ListedRelease
from ais_assets.loader.errors import LoaderError
from ais_assets.loader.tracks.track_index import TRACKS_FOLDER, IndexedFile, TracksIndex
from ais_assets.operating.verification import (
    THREADS,
    TRACK_COLUMNS,
    Fault,
    Part,
    key_of_file,
    some_windows,
    unlike_tracks,
)
from ais_assets.publishing.describing import BASELINE
from ais_assets.publishing.publication import STATISTICS_FILE
from ais_assets.store.objects import StoreError
from ais_assets.stream import sql_connection

_PRUNED = "was pruned: of this release only its record is left"


def release_verification(lake: Lake, listed: ListedRelease, windows: int) -> Iterator[Part]:
    """Holds a release against what its index says, part by part.

    Args:
        lake: where it was published.
        listed: the release.
        windows: of each pile to cut anew from the release's tracks; 0: all.
    """
    try:
        published = _Published(lake, listed)
    except (FileNotFoundError, LoaderError) as error:
        what = _PRUNED if isinstance(error, FileNotFoundError) else str(error)
        yield Part("the release can be read", 0, "files", (Fault(listed.release.release, what),))
        return
    yield published.identity_part()
    yield published.files_part()
    yield published.splits_part()
    if "mds" in listed.release.bytes:
        yield from published.mds_parts(windows)


class _Published:
    """What a release was published with. Raises FileNotFoundError or LoaderError where its index cannot be read."""

    def __init__(self, lake: Lake, listed: ListedRelease) -> None:
        self._lake = lake
        self._release = listed.release
        self._where = _index_key(lake, "training_dataset", listed)
        self._mds_where = _index_key(lake, "mds_index", listed)
        self._index = TracksIndex.parsed(lake.store.read(self._where), f"{lake.uri}/{self._where}")

    @cached_property
    def _found(self) -> dict[str, str | None]:
        """Of each file, by name, its object; None where none is what the index says."""
        files = [*self._index.files, *([self._index.vessels] if self._index.vessels else [])]
        with ThreadPoolExecutor(THREADS, thread_name_prefix="verify") as pool:
            keys = pool.map(lambda file: key_of_file(self._lake, file), files)
            return {file.name: key for file, key in zip(files, keys, strict=True)}

    def identity_part(self) -> Part:
        """Whether the release's id is the digest of what it was made from and with, and its files are of these."""
        faults = []
        facts = self._index.facts
        made_from = {of: keys for of, keys in facts.get(MADE_FROM, {}).items() if of != BASELINE}
        made_of = digest_of({MADE_FROM: made_from, MADE_WITH: facts.get(MADE_WITH)})
        if not made_of == self._index.release == self._release.release:
            faults.append(
                Fault(self._where, f"is of release {self._index.release}, and what it names as made from is {made_of}")
            )
        tracks = made_from.get("track_shards", {})
        for file in self._index.files:
            shard = PurePosixPath(file.name).stem
            if tracks.get(shard) != file.fingerprint:
                faults.append(Fault(self._where, f"track_shards[{shard}] is not the one that the release is made from"))
        return Part("it is what it was made from, and its name says so", len(self._index.files), "files", tuple(faults))

    def files_part(self) -> Part:
        """Whether every file of tracks and of vessels is there, byte by byte."""
        lost = [
            Fault(f"{TRACKS_FOLDER}/{name}", "is not there as this release has it, under this name or another")
            for name, key in self._found.items()
            if key is None
        ]
        return Part("every file of its tracks is as it was written", len(self._found), "files", tuple(lost))

    def splits_part(self) -> Part:
        """Whether a hull of its tracks is in more than one split."""
        vessels = self._index.vessels
        named = "no hull is in two splits"
        if vessels is None or any(key is None for key in self._found.values()):
            return Part(named, 0, "", (Fault("splits", "not all files of tracks and vessels are there"),))
        connection = sql_connection()
        connection.register("tracks", self._files(*self._index.files))
        connection.register("vessels", self._files(vessels))
        shared = connection.sql(
            "select coalesce(v.hull, d.mmsi) as hull from (select distinct mmsi, split from tracks) d "
            "left join vessels v on d.mmsi = v.mmsi group by all having count(distinct d.split) > 1 order by all"
        ).fetchall()
        return Part(
            named, 1, "dataset", tuple(Fault(f"hull {hull}", "is in more than one split") for (hull,) in shared)
        )

    def mds_parts(self, windows: int) -> Iterator[Part]:
        """Whether its MDS shards are what their index says, and their windows what its tracks hold."""
        try:
            data = self._lake.store.read(self._mds_where)
            shards = [(entry["zip_data"]["basename"], entry) for entry in json.loads(data)["shards"]]
        except (FileNotFoundError, ValueError, LookupError, TypeError) as error:
            yield Part("every MDS shard is as it was written", 0, "shards", (Fault(self._mds_where, repr(error)),))
            return
        damaged = self._index_faults(data)
        wrong, compared, done = list[Fault](), 0, set[str]()
        for name, entry in shards:
            try:
                table = self._shard(entry)
            except (MDSError, FileNotFoundError, StoreError) as error:
                damaged.append(Fault(f"{_MDS_FOLDER}/{name}", str(error)))
                continue
            folder = name.partition("/")[0]
            if windows and folder in done:
                continue
            done.add(folder)
            for part in some_windows(iter([table]), folder, windows):
                compared += part.num_rows
                wrong += [
                    Fault(f"{_MDS_FOLDER}/{name}", f"{what} is not so in its tracks") for what in self._other(part)
                ]
        yield Part("every MDS shard is as it was written", len(shards), "shards", tuple(damaged))
        yield Part("windows are what the tracks hold", compared, "windows", tuple(wrong))

    def _index_faults(self, index: bytes) -> list[Fault]:
        faults = []
        said = json.loads(index).get("release")
        if said != self._release.release:
            faults.append(Fault(self._mds_where, f"is of release {said}"))
        where = f"{PurePosixPath(self._mds_where).parent}/{STATISTICS_FILE}"
        try:
            statistics = json.loads(self._lake.store.read(where))["index"]
        except (FileNotFoundError, ValueError, LookupError, TypeError) as error:
            return [*faults, Fault(where, repr(error))]
        if statistics != hashlib.sha256(index).hexdigest():
            faults.append(Fault(where, "are of another index"))
        return faults

    def _shard(self, entry: dict[str, Any]) -> pa.Table:
        with TemporaryDirectory(prefix="ais-") as folder:
            path = self._lake.store.fetch(f"{_MDS_FOLDER}/{entry['zip_data']['basename']}", Path(folder))
            zipped = {**entry["zip_data"], "basename": path.name}
            return read_shard(path.parent, {**entry, "zip_data": zipped}, None)

    def _other(self, windows: pa.Table) -> list[str]:
        settings = self._index.settings
        length = settings["seq_len"] + settings["max_horizon"]
        return unlike_tracks(windows, length, len(self._index.files), self._positions)

    def _positions(self, shard: int, tracks: list[int]) -> pa.Table:
        file = self._index.files[shard]
        if self._found[file.name] is None:
            return pa.table({name: pa.array([], pa.int64()) for name in TRACK_COLUMNS})
        return self._files(file).to_table(columns=list(TRACK_COLUMNS), filter=ds.field("track").isin(tracks))

    def _files(self, *files: IndexedFile) -> ds.Dataset:
        store = self._lake.store
        paths = [store.path(key) for file in files if (key := self._found[file.name]) is not None]
        return ds.dataset(paths, filesystem=store.filesystem(), format="parquet")


_MDS_FOLDER = place_of("mds_shards").folder


def _index_key(lake: Lake, asset: str, listed: ListedRelease) -> str:
    """Of the release's index; the current one's may have none of its own, in a copy that was made without."""
    place = place_of(asset)
    own = place.key_of_release(listed.release.release)
    return place.key(None) if listed.is_current and not lake.store.exists(own) else own
