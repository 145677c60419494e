"""The index of published tracks, `track_shards/index.json`: what a training machine knows of them before any file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

from ais_assets.loader.errors import LoaderError
from ais_assets.store.names import stays_inside

TRACKS_FOLDER: Final = "track_shards"
TRACKS_INDEX: Final = "index.json"
TRACKS_INDEX_VERSION: Final = 1
KEPT_FOLDER: Final = "kept"
"""Where the files of former indexes go, beside the index, when their partitions are built anew."""
_OWN: Final = frozenset({"version", "release", "settings", "files", "vessels"})
"""What an index says beside its facts."""


@dataclass(frozen=True)
class IndexedFile:
    """A file that the index names.

    Attributes:
        name: relative to the index's folder.
        size: bytes.
        sha256: of the whole file, hexadecimal.
        kept: its name once the partition is built anew; empty: it is never rewritten.
        fingerprint: of its rows, as the lake has it.
        rows: positions, or rows.
        tracks: tracks by split; of a file of vessels none.
    """

    name: str
    size: int
    sha256: str
    kept: str = ""
    fingerprint: str = ""
    rows: int = 0
    tracks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class TracksIndex:
    """What is published.

    Attributes:
        files: the track files, in the order of their shards.
        vessels: who the vessels are; None: not published.
        settings: those that the tracks were made by, and the geometry of the windows on disk, by name.
        release: the id of the release.
        facts: what the release was made from and with, as each partition records it; by name.
        digest: sha256 of the index itself.
    """

    files: tuple[IndexedFile, ...]
    vessels: IndexedFile | None
    settings: Mapping[str, Any]
    release: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""

    def to_json(self) -> bytes:
        """The index as it is published: the same bytes for the same content."""
        content = {
            **self.facts,
            "version": TRACKS_INDEX_VERSION,
            "release": self.release,
            "settings": dict(self.settings),
            "files": [asdict(file) for file in self.files],
            "vessels": None if self.vessels is None else asdict(self.vessels),
        }
        return (json.dumps(content, sort_keys=True, indent=1) + "\n").encode()

    @classmethod
    def parsed(cls, index: bytes, where: str) -> Self:
        """The index of these bytes. Raises LoaderError when they are none."""
        try:
            content = json.loads(index)
            version = content["version"]
            if version != TRACKS_INDEX_VERSION:
                raise LoaderError(f"{where} has version {version}; this loader reads {TRACKS_INDEX_VERSION}")
            files = tuple(_file(entry) for entry in content["files"])
            vessels = None if content["vessels"] is None else _file(content["vessels"])
            digest = hashlib.sha256(index).hexdigest()
            facts = {name: value for name, value in content.items() if name not in _OWN}
            return cls(files, vessels, dict(content["settings"]), str(content["release"]), facts, digest)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LoaderError(f"{where} is empty or damaged ({error!r}): materialize training_dataset again") from error


def _file(entry: Mapping[str, Any]) -> IndexedFile:
    """A file of the index. Raises ValueError, KeyError or TypeError for one that cannot be."""
    file = IndexedFile(**entry)
    for name in filter(None, (file.name, file.kept)):
        if not stays_inside(name):
            raise ValueError(f"it names the file {name!r}, which is not inside its folder")
    if file.size < 0 or len(file.sha256) != 2 * hashlib.sha256().digest_size or int(file.sha256, 16) < 0:
        raise ValueError(f"{file.name} has {file.size} bytes and the sha256 {file.sha256!r}")
    return file
