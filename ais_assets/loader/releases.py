"""Which release of a published folder is read: the current one, or another whose index is still there.

Beside its index a folder has `releases/<id>/`, the index of each release that was published there and what belongs to
it; `ais prune` takes those that nobody keeps, with the files that only they name.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from ais_assets.loader.errors import LoaderError

if TYPE_CHECKING:
    from ais_assets.loader.remote import Remote

RELEASES_FOLDER: Final = "releases"
_RELEASE: Final = re.compile(r"[0-9A-Za-z]+")


class PublishedIndex(NamedTuple):
    """An index as it was published.

    Attributes:
        data: its bytes.
        folder: where the statistics that were published with it are, with a slash at its end; empty: beside the index.
    """

    data: bytes
    folder: str


def release_folder(release: str) -> str:
    """Where a published folder has what belongs to a release."""
    return f"{RELEASES_FOLDER}/{release}"


def published_index(remote: Remote, name: str, release: str | None) -> PublishedIndex:
    """The index `name` of a release, of the current one by default.

    Raises FileNotFoundError where nothing is published, LoaderError for a release that is not there; it names those
    that are.
    """
    if release is None:
        return PublishedIndex(remote.read(name), "")
    if _RELEASE.fullmatch(release):
        folder = release_folder(release)
        try:
            return PublishedIndex(remote.read(f"{folder}/{name}"), f"{folder}/")
        except FileNotFoundError:
            # A copy of the folder may have been made without its releases.
            pass
    current = remote.read(name)
    published = release_of(current)
    if published == release:
        return PublishedIndex(current, "")
    others = sorted({path.split("/")[1] for path in remote.below(RELEASES_FOLDER)} - {published})
    there = ", ".join([f"{published} (the current one)", *others])
    raise LoaderError(
        f"{remote.uri} has no release {release!r}: it was pruned, or never published there. There are: {there}"
    )


def release_of(index: bytes) -> str | None:
    """The release that an index says it is of; None where it says none, or is damaged."""
    try:
        return json.loads(index).get("release")
    except (ValueError, AttributeError):
        return None
