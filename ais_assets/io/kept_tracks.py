"""Track files of the published index stay readable when their partitions are built anew, as MDS folders do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ais_assets.loader.tracks.track_index import TRACKS_FOLDER, TRACKS_INDEX, TracksIndex
from ais_assets.store.objects import Store

TRACKS_INDEX_KEY: Final = f"{TRACKS_FOLDER}/{TRACKS_INDEX}"


def published_tracks(store: Store) -> TracksIndex | None:
    """The index of tracks that is published now; None: there is none. Raises LoaderError for a damaged one."""
    try:
        data = store.read(TRACKS_INDEX_KEY)
    except FileNotFoundError:
        return None
    return TracksIndex.parsed(data, f"{store.uri}/{TRACKS_INDEX_KEY}")


def keep_published_tracks(store: Store, key: str, fingerprint: Callable[[], str]) -> None:
    """To be called before an object is replaced: where the index names it, it gets a name that stays.

    Args:
        store: where it lies.
        key: its name.
        fingerprint: of the file that lies there now; one that was built anew since the index is nobody's.
    """
    if not key.startswith(f"{TRACKS_FOLDER}/") or (index := published_tracks(store)) is None:
        return
    for file in index.files:
        if f"{TRACKS_FOLDER}/{file.name}" == key and store.exists(key) and fingerprint() == file.fingerprint:
            store.keep(key, f"{TRACKS_FOLDER}/{file.kept}")
