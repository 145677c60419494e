"""The releases of a lake: what was published as one dataset, and which of them can still be read.

`releases/<id>.json` says what a release is, and stays. Its indexes lie beside the products' own, as
`track_shards/releases/<id>/index.json` and `mds/releases/<id>/index.json`, and name the files by which it is read; when
`ais prune` has taken these, the release is history.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final, Self

from ais_assets.io.kept_tracks import TRACKS_INDEX_KEY
from ais_assets.io.layout import place_of, release_key
from ais_assets.loader.releases import RELEASES_FOLDER, release_of
from ais_assets.store.objects import Store

VERSION: Final = 1
_INDEXES: Final = ("training_dataset", "mds_index")


class UnknownReleaseError(LookupError):
    """There is no such release; the message names those there are."""


@dataclass(frozen=True)
class Release:
    """What a release is.

    Attributes:
        release: its id: hexadecimal, a digest of all that it was made from and with.
        settings: those that its content may depend on, by name, as JSON values.
        settings_digest: of these, hexadecimal.
        code: the version and commit of the code that published it.
        days: fingerprints of the clean records that its tracks were made from, by day.
        splits: of each split of vessels how many vessels, tracks, positions and windows its tracks have.
        windows: windows by split, as they are trained on and evaluated with.
        rows: of each stage the rows that went in and came out.
        dropped: of each stage the rows that each rule dropped.
        features: of each feature of the training windows count, min, max, mean and std; none without MDS.
        bytes: of the files by which it is read, by product.
    """

    release: str
    settings: Mapping[str, Any]
    settings_digest: str
    code: str
    days: Mapping[str, str]
    splits: Mapping[str, Mapping[str, int]]
    windows: Mapping[str, int]
    rows: Mapping[str, Mapping[str, int]]
    dropped: Mapping[str, Mapping[str, int]]
    features: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    bytes: Mapping[str, int] = field(default_factory=dict)

    def of_all_splits(self, what: str) -> int:
        """The sum of what `splits` counts: vessels, tracks, positions or windows."""
        return sum(of[what] for of in self.splits.values())

    def to_json(self) -> bytes:
        """The same bytes for the same content."""
        return (json.dumps({"version": VERSION, **asdict(self)}, sort_keys=True, indent=1) + "\n").encode()

    @classmethod
    def parsed(cls, data: bytes, where: str) -> Self:
        """The release of these bytes. Raises ValueError, naming where they lie, when they are none."""
        try:
            content = json.loads(data)
            version = content.pop("version")
            if version != VERSION:
                raise ValueError(f"has version {version}; this code reads {VERSION}")
            return cls(**content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{where} is damaged ({error}): delete it; publishing that release again writes it anew"
            ) from error


@dataclass(frozen=True)
class ListedRelease:
    """A release of a lake.

    Attributes:
        release: what it is.
        since: when it was published here, Unix time.
        is_current: whether it is what is read where no release is named.
        is_readable: whether loaders can still be given it.
    """

    release: Release
    since: float
    is_current: bool
    is_readable: bool


def current_release(store: Store) -> str | None:
    """The id of what is published now; None where nothing is."""
    try:
        return release_of(store.read(TRACKS_INDEX_KEY))
    except FileNotFoundError:
        return None


def listed_releases(store: Store) -> list[ListedRelease]:
    """Every release that was published in this lake, newest first. Raises ValueError for a damaged record."""
    current = current_release(store)
    readable = readable_releases(store)
    found = []
    for each in store.listed(RELEASES_FOLDER):
        if each.key.endswith(".json"):
            release = Release.parsed(store.read(each.key), f"{store.uri}/{each.key}")
            id_ = release.release
            found.append(ListedRelease(release, each.modified, id_ == current, id_ in readable or id_ == current))
    # What was copied all at once has one time: the current one is the newest.
    return sorted(found, key=lambda of: (of.is_current, of.since, of.release.release), reverse=True)


def readable_releases(store: Store) -> frozenset[str]:
    """Ids of the releases whose index of tracks is there, beside the current one's."""
    folder = f"{place_of('training_dataset').folder}/{RELEASES_FOLDER}"
    return frozenset(PurePosixPath(each.key).parent.name for each in store.objects(folder))


def found_release(releases: Sequence[ListedRelease], beginning: str | None, where: str) -> ListedRelease:
    """The release whose id begins so; None: the current one.

    Raises UnknownReleaseError, saying where, when there is none, or several.
    """
    if beginning is None:
        matching = [each for each in releases if each.is_current]
    else:
        matching = [each for each in releases if beginning and each.release.release.startswith(beginning)]
    if len(matching) != 1:
        what = "no release begins" if not matching else f"{len(matching)} releases begin"
        there = ", ".join(each.release.release for each in matching or releases) or "none"
        raise UnknownReleaseError(f"{what} with {beginning or ''!r} in {where}; there are: {there}")
    return matching[0]


def publish_release(store: Store, release: Release) -> None:
    """Says in the lake what a release is. To be called before it becomes the current one."""
    store.publish_bytes(release.to_json(), release_key(release.release))
