"""What nothing names any more: folders of former archives and MDS shards and files of former tracks in the lake, the
caches made from them, downloads and uploads that were given up, and what killed runs were about to publish."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ais_assets.io.kept_tracks import TRACKS_INDEX_KEY, published_tracks
from ais_assets.io.lake import Lake
from ais_assets.io.layout import PLACES, Kind, place_of
from ais_assets.loader.tracks.track_index import KEPT_FOLDER, TRACKS_FOLDER
from ais_assets.sources.landing import unfinished
from ais_assets.store.objects import StoredObject, UnfinishedUpload, local_objects

_FOLDER = re.compile(r"^(\d{4}-\d{2}-\d{2}|\d{5})-[0-9a-f]{12}$")
"""A folder that `Lake.write_folder` named: its partition, a day or a pile, and the beginning of its digest."""
_KEPT = re.compile(rf"^{KEPT_FOLDER}/(\d{{4}}|vessels)-[0-9a-f]{{16}}\.parquet$")
"""A file that an index of tracks named, or may have: its shard and its fingerprint."""

ON_THIS_MACHINE = ("cache", "spool")
"""What a leftover is that is not in the lake."""


@dataclass(frozen=True)
class Leftover:
    """Something that can go.

    Attributes:
        asset: of which it once was; "cache", "spool" or "upload".
        where: its key in the lake, or its path on this machine.
        size: bytes; 0 of an upload, whose parts S3 does not count.
        since: Unix time at which it was surely named no more.
        upload: what is to be abandoned, if it is one.
    """

    asset: str
    where: str
    size: int
    since: float
    upload: UnfinishedUpload | None = None


def leftovers(lake: Lake, cache: Path, before: float) -> list[Leftover]:
    """What neither a manifest nor the root index names, and did not at the Unix time `before`.

    A folder counts from when it was written, its partition's manifest or the root index was, whichever came last: until
    then a training run may have begun to read it. What has a name that the lake does not give is left alone.
    """
    found = []
    kept: set[str] = set()
    for asset in (asset for asset, place in PLACES.items() if place.kind is Kind.FOLDER):
        folder = place_of(asset).folder
        # Listed before the names are read: what is published in between is named by then.
        objects = list(lake.store.objects(folder))
        named = _named(lake, asset)
        came = {each.key: each.modified for each in objects}
        for name, files in _folders(objects, folder).items():
            partition = _FOLDER.match(name)
            if partition is None:
                continue
            others = (place_of(asset).key(partition[1]), f"{folder}/index.json")
            since = max([each.modified for each in files] + [came[key] for key in others if key in came])
            if name in named or since >= before:
                kept.add(name)
            else:
                found.append(Leftover(asset, f"{folder}/{name}", sum(each.size for each in files), since))
    found += _kept_tracks(lake, before)
    found += _stale_packed(lake, cache / lake.identity(), before)
    found += _unpacked(cache, kept, before)
    return [*found, *_given_up(cache, before), *_spooled(lake, before), *_uploads(lake, before)]


def remove(lake: Lake, leftover: Leftover) -> None:
    """Deletes it. No build may be publishing the same partition meanwhile."""
    if leftover.upload is not None:
        lake.store.abandon(leftover.upload)
    elif leftover.asset == "track_shards":
        lake.store.delete_object(leftover.where)
    elif leftover.asset not in ON_THIS_MACHINE:
        lake.store.delete(leftover.where)
    elif Path(leftover.where).is_dir():
        shutil.rmtree(leftover.where)
    else:
        Path(leftover.where).unlink(missing_ok=True)


def _named(lake: Lake, asset: str) -> set[str]:
    """Folders of the asset that its manifests name, or the root index."""
    named = {lake.manifest(asset, partition)["folder"] for partition in lake.partitions(asset)}
    if asset == "mds_shards" and lake.has("mds_index"):
        for shard in lake.json("mds_index")["shards"]:
            files = (shard["raw_data"], shard["zip_data"])
            named |= {file["basename"].partition("/")[0] for file in files if file is not None}
    return named


def _kept_tracks(lake: Lake, before: float) -> Iterator[Leftover]:
    """Track and vessel files of former indexes of tracks: unnamed at the latest since the index was published."""
    kept = list(lake.store.objects(f"{TRACKS_FOLDER}/{KEPT_FOLDER}"))
    index = published_tracks(lake.store)
    if index is None:
        return
    published = {each.key: each.modified for each in lake.store.objects(TRACKS_FOLDER)}[TRACKS_INDEX_KEY]
    named = {name for file in index.files for name in (file.name, file.kept)}
    named |= set() if index.vessels is None else {index.vessels.name}
    for each in kept:
        name, since = each.key.removeprefix(f"{TRACKS_FOLDER}/"), max(each.modified, published)
        if _KEPT.match(name) and name not in named and since < before:
            yield Leftover("track_shards", each.key, each.size, since)


def _folders(objects: list[StoredObject], root: str) -> dict[str, list[StoredObject]]:
    """Objects by the folder directly below the root that they are in."""
    folders: dict[str, list[StoredObject]] = {}
    for each in objects:
        name, _, rest = each.key.removeprefix(f"{root}/").partition("/")
        if rest:
            folders.setdefault(name, []).append(each)
    return folders


def _stale_packed(lake: Lake, folder: Path, before: float) -> Iterator[Leftover]:
    """Packed positions of track shards that the lake no longer has so."""
    shards = lake.partitions("track_shards")
    current = {f"{shard}-{lake.object_version('track_shards', shard)}.packed" for shard in shards}
    for file in local_objects(folder):
        if ".packed" in file.key and file.key not in current and file.modified < before:
            yield Leftover("cache", str(folder / file.key), file.size, file.modified)


def _unpacked(cache: Path, kept: set[str], before: float) -> Iterator[Leftover]:
    """The loader's folders of shards that the lake no longer has."""
    for name, files in _folders([*local_objects(cache, "mds")], "mds").items():
        since = max(each.modified for each in files)
        if _FOLDER.match(name) and name not in kept and since < before:
            yield Leftover("cache", os.fspath(cache / "mds" / name), sum(each.size for each in files), since)


def _given_up(cache: Path, before: float) -> Iterator[Leftover]:
    """Downloads that no run has gone on with."""
    for file in local_objects(cache, unfinished.FOLDER):
        if file.modified < before:
            yield Leftover("cache", str(cache / file.key), file.size, file.modified)


def _spooled(lake: Lake, before: float) -> Iterator[Leftover]:
    """What runs that were killed on this machine had not published yet."""
    for folder in lake.store.left_staged():
        files = list(local_objects(folder))
        since = max([folder.stat().st_mtime, *(file.modified for file in files)])
        if since < before:
            yield Leftover("spool", str(folder), sum(file.size for file in files), since)


def _uploads(lake: Lake, before: float) -> Iterator[Leftover]:
    """Uploads in parts that nobody completed."""
    for upload in lake.store.unfinished_uploads():
        if upload.since < before:
            yield Leftover("upload", upload.key, 0, upload.since, upload)
