"""What nothing names any more: partitions of former settings, folders of former archives and MDS shards and files of
former tracks in the lake, but for those of releases that are to stay, the caches made from them, downloads and uploads
that were given up, and what killed runs were about to publish."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ais_assets.io.kept_tracks import TRACKS_INDEX_KEY, published_tracks
from ais_assets.io.lake import Lake
from ais_assets.io.layout import CUTTING_FOLDER, CUTTING_KEY, FIGURES_FOLDER, PLACES, Kind, place_of
from ais_assets.io.releases import current_release, listed_releases
from ais_assets.loader.releases import RELEASES_FOLDER
from ais_assets.loader.tracks.track_index import KEPT_FOLDER, TRACKS_FOLDER, TracksIndex
from ais_assets.settings import Settings
from ais_assets.sources.landing import unfinished
from ais_assets.store.objects import StoredObject, UnfinishedUpload, local_objects

_FOLDER = re.compile(r"^(\d{4}-\d{2}-\d{2}|\d{5})-[0-9a-f]{12}$")
"""A folder that `Lake.write_folder` named: its partition, a day or a pile, and the beginning of its digest."""
_KEPT = re.compile(rf"^{KEPT_FOLDER}/(\d{{4}}|vessels)-[0-9a-f]{{16}}\.parquet$")
"""A file that an index of tracks named, or may have: its shard and its fingerprint."""
_RELEASE = re.compile(r"^[0-9a-f]{16}$")
"""The folder of a release's figures, or of its index."""

_INDEXES = ("training_dataset", "mds_index")

ON_THIS_MACHINE = ("cache", "spool")
"""What a leftover is that is not in the lake."""


@dataclass(frozen=True)
class Leftover:
    """Something that can go.

    Attributes:
        asset: of which it once was; "releases", "cache", "spool" or "upload".
        where: its key in the lake, or its path on this machine.
        size: bytes; 0 of an upload, whose parts S3 does not count.
        since: Unix time at which it was surely named no more.
        upload: what is to be abandoned, if it is one.
        is_object: whether it is one object of the lake, and no folder.
    """

    asset: str
    where: str
    size: int
    since: float
    upload: UnfinishedUpload | None = None
    is_object: bool = False


def releases_to_keep(lake: Lake, newest: int, pinned: Collection[str] = ()) -> set[str]:
    """Ids of so many releases, the newest, with the current one, and of those that are pinned.

    Raises ValueError for a pinned one that the lake does not know: nothing is deleted for a slip of the pen.
    """
    listed = [each.release.release for each in listed_releases(lake.store)]
    unknown = sorted(set(pinned) - set(listed))
    if unknown:
        raise ValueError(f"AIS_PINNED_RELEASES: {unknown[0]} is no release of {lake.uri}; `ais releases` lists them")
    return {*listed[:newest], *pinned}


def leftovers(
    lake: Lake, cache: Path, before: float, unnamed: Sequence[Leftover] = (), releases: Collection[str] = ()
) -> list[Leftover]:
    """What neither a manifest nor the index of a release names, and did not at the Unix time `before`.

    The time is by the lake's clock, as `Store.now`. The releases are the current one and these others.

    A folder counts from when it was written, its partition's manifest or the root index was, whichever came last: until
    then a training run may have begun to read it. What has a name that the lake does not give is left alone.
    The `unnamed_partitions` that are to go, too, name nothing any more.
    """
    staying = {*releases, current_release(lake.store) or ""}
    # First what says that a release can be read, then what it is read by.
    folders = (FIGURES_FOLDER, *(f"{place_of(of).folder}/{RELEASES_FOLDER}" for of in _INDEXES))
    found = [of for folder in folders for of in _of_former_releases(lake, folder, before, staying)]
    found += unnamed
    going = {leftover.where for leftover in unnamed}
    kept: set[str] = set()
    for asset in (asset for asset, place in PLACES.items() if place.kind is Kind.FOLDER):
        folder = place_of(asset).folder
        # Listed before the names are read: what is published in between is named by then.
        objects = list(lake.store.objects(folder))
        named = _named(lake, asset, going, staying)
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
    found += _kept_tracks(lake, before, staying)
    # What lies on this machine is dated by its own clock.
    here = before + (lake.store.clock_ahead_seconds() or 0.0)
    found += _stale_packed(lake, cache / lake.identity(), here)
    found += _unpacked(cache, kept, here)
    return [*found, *_given_up(cache, here), *_spooled(lake, here), *_uploads(lake, before)]


def unnamed_partitions(lake: Lake, settings: Settings, before: float, *, archives: bool = False) -> list[Leftover]:
    """Partitions of former settings: neither the settings name them, nor the lake's last run, nor a published index.

    And the lake has said so for some time, since the Unix time `before` by its own clock: a command with a wrong
    AIS_FIRST_DAY deletes nothing. Archives stay unless `archives` says so, since their source may have them no more.
    """
    declared = lake.cutting()
    if declared is None:
        return []
    came = {
        each.key: each.modified for folder in (CUTTING_FOLDER, TRACKS_FOLDER) for each in lake.store.objects(folder)
    }
    # Training runs that began with a former index read the files that it named.
    since = max(came[key] for key in (CUTTING_KEY, TRACKS_INDEX_KEY) if key in came)
    index = published_tracks(lake.store)
    published = set() if index is None else {f"{TRACKS_FOLDER}/{file.name}" for file in index.files}
    found = []
    for asset, place in PLACES.items():
        if place.cut is None or (asset == "raw_archives" and not archives):
            continue
        named = {key for cutting in (settings.cutting, declared) for key in place.named_by(cutting)}
        gone = {place.key(partition) for partition in lake.partitions(asset) if partition not in named} - published
        for each in lake.store.objects(place.folder) if gone else ():
            if each.key in gone and max(each.modified, since) < before:
                found.append(Leftover(asset, each.key, each.size, max(each.modified, since), is_object=True))
    return found


def remove(lake: Lake, leftover: Leftover) -> None:
    """Deletes it. No build may be publishing the same partition meanwhile."""
    if leftover.upload is not None:
        lake.store.abandon(leftover.upload)
    elif leftover.is_object:
        lake.store.delete_object(leftover.where)
    elif leftover.asset not in ON_THIS_MACHINE:
        lake.store.delete(leftover.where)
    elif Path(leftover.where).is_dir():
        shutil.rmtree(leftover.where)
    else:
        Path(leftover.where).unlink(missing_ok=True)


def _named(lake: Lake, asset: str, going: Collection[str], releases: Collection[str]) -> set[str]:
    """Folders of the asset that its manifests name, but those that are going, or the root index of a release."""
    place = place_of(asset)
    staying = [partition for partition in lake.partitions(asset) if place.key(partition) not in going]
    named = {entry.folder or "" for entry in lake.entries(asset, staying).values()}
    for index in _indexes(lake, "mds_index", releases) if asset == "mds_shards" else ():
        for shard in json.loads(index)["shards"]:
            files = (shard["raw_data"], shard["zip_data"])
            named |= {file["basename"].partition("/")[0] for file in files if file is not None}
    return named


def _indexes(lake: Lake, asset: str, releases: Collection[str]) -> Iterator[bytes]:
    """The asset, which is an index, as it is and as it was in these releases."""
    place = place_of(asset)
    for key in (place.key(None), *(place.key_of_release(release) for release in sorted(releases) if release)):
        with suppress(FileNotFoundError):
            yield lake.store.read(key)


def _kept_tracks(lake: Lake, before: float, releases: Collection[str]) -> Iterator[Leftover]:
    """Track and vessel files of former indexes of tracks: unnamed at the latest since the index was published."""
    kept = list(lake.store.objects(f"{TRACKS_FOLDER}/{KEPT_FOLDER}"))
    published = _index_came(lake)
    if published is None:
        return
    named: set[str] = set()
    for data in _indexes(lake, "training_dataset", releases):
        index = TracksIndex.parsed(data, f"{lake.uri}/{TRACKS_INDEX_KEY}")
        named |= {name for file in index.files for name in (file.name, file.kept)}
        named |= set() if index.vessels is None else {index.vessels.name}
    for each in kept:
        name, since = each.key.removeprefix(f"{TRACKS_FOLDER}/"), max(each.modified, published)
        if _KEPT.match(name) and name not in named and since < before:
            yield Leftover("track_shards", each.key, each.size, since, is_object=True)


def _of_former_releases(lake: Lake, folder: str, before: float, releases: Collection[str]) -> Iterator[Leftover]:
    """Folders within this one that are of releases other than these: figures of cards, or indexes."""
    published = _index_came(lake)
    if published is None:
        return
    for name, files in _folders(list(lake.store.objects(folder)), folder).items():
        since = max([published, *(each.modified for each in files)])
        if _RELEASE.match(name) and name not in releases and since < before:
            yield Leftover("releases", f"{folder}/{name}", sum(each.size for each in files), since)


def _index_came(lake: Lake) -> float | None:
    """Unix time at which the current release was published; None where there is none."""
    came = (each.modified for each in lake.store.listed(TRACKS_FOLDER) if each.key == TRACKS_INDEX_KEY)
    return next(came, None)


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
    current = {f"{shard}-{version}.packed" for shard, version in lake.versions("track_shards").items()}
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
