"""The tracks as a training product: an index that names their files, which is the commit point of their publication."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from ais_assets.io.entries import Entry
from ais_assets.io.kept_tracks import TRACKS_INDEX_KEY, published_tracks
from ais_assets.io.lake import Lake
from ais_assets.io.layout import place_of
from ais_assets.io.references import holdout_from
from ais_assets.loader.tracks.track_index import KEPT_FOLDER, TRACKS_FOLDER, IndexedFile, TracksIndex
from ais_assets.machine import usable_cores
from ais_assets.publishing.publication import Publication
from ais_assets.settings import Settings
from ais_assets.store.sealed_parquet import SealedFile
from ais_assets.transforms.kernels import run_starts

_SETTINGS: Final = (
    "seq_len",
    "max_horizon",
    "stride",
    "max_gap_seconds",
    "max_speed_knots",
    "min_track_positions",
    "thin_seconds",
    "stationary_seconds",
    "stationary_knots",
    "validation_fraction",
    "test_fraction",
    "seed",
    "shards",
    "source",
)
"""What the tracks were made by, and the windows beside them."""


def publish_track_index(
    publication: Publication, settings: Settings, release: str, facts: Mapping[str, Any] | None = None
) -> TracksIndex:
    """Publishes the index of a release over all track shards; a file that the former index had is not read again.

    What the former index names stays readable; a copy of the new one stays when the next comes.

    `facts` are what the release was made from and with, as each partition records it.

    Raises PartitionMissingError when a shard is missing, OvertakenError as `Publication.replace` does.
    """
    lake = publication.lake
    shards = settings.shard_keys
    found = lake.entries("track_shards", shards)
    former = published_tracks(lake.store)
    known = {file.fingerprint: file for file in former.files} if former is not None else {}
    with ThreadPoolExecutor(usable_cores(), thread_name_prefix="index") as pool:
        files = tuple(pool.map(lambda shard: _indexed(lake, shard, found[shard], known), shards))
    index = TracksIndex(files, _kept_vessels(lake), _published_settings(settings), release, facts or {})
    if former is not None:
        _keep_former(lake, former, index)
    lake.store.publish_bytes(index.to_json(), place_of("training_dataset").key_of_release(release))
    publication.replace(index.to_json(), TRACKS_INDEX_KEY)
    return index


def _keep_former(lake: Lake, former: TracksIndex, index: TracksIndex) -> None:
    """Files of the former index that the new one does not name get names that stay.

    One that was built anew since has one already: these are shards that there are no more, as of a larger AIS_SHARDS.
    """
    named = {file.kept for file in index.files}
    for file in (file for file in former.files if file.kept and file.kept not in named):
        key, kept = (f"{TRACKS_FOLDER}/{name}" for name in (file.name, file.kept))
        if not lake.store.exists(key) or lake.store.exists(kept):
            continue
        if lake.describe("track_shards", file.name.removesuffix(".parquet")).fingerprint == file.fingerprint:
            lake.store.keep(key, kept)


def _indexed(lake: Lake, shard: str, found: Entry, known: dict[str, IndexedFile]) -> IndexedFile:
    key = place_of("track_shards").key(shard)
    former = known.get(found.fingerprint)
    name = key.removeprefix(f"{TRACKS_FOLDER}/")
    if former is not None and former.name == name and former.size == found.size:
        return former
    with lake.open("track_shards", shard) as file:
        return IndexedFile(
            name=name,
            size=found.size,
            sha256=file.verified_digest(),
            kept=f"{KEPT_FOLDER}/{shard}-{found.fingerprint}.parquet",
            fingerprint=found.fingerprint,
            rows=found.rows,
            tracks=_tracks_by_split(file),
        )


def _tracks_by_split(file: SealedFile) -> dict[str, int]:
    counts: dict[str, int] = {}
    last = None
    for group in range(file.num_row_groups):
        table = file.read_row_group(group, columns=["track", "split"], use_threads=False)
        begins = run_starts(table["track"].to_numpy())
        if table.num_rows and table["track"][0].as_py() == last:
            begins = begins[1:]
        last = table["track"][-1].as_py() if table.num_rows else last
        splits = pc.value_counts(table["split"].take(pa.array(begins)).cast(pa.string()))  # pyright: ignore[reportAttributeAccessIssue]
        for entry in splits.to_pylist():
            counts[entry["values"]] = counts.get(entry["values"], 0) + entry["counts"]
    return dict(sorted(counts.items()))


def _kept_vessels(lake: Lake) -> IndexedFile | None:
    """The vessels' file under a name of its own, so that it stays as it is."""
    if not lake.has("vessels"):
        return None
    data = lake.store.read(place_of("vessels").key(None))
    digest = hashlib.sha256(data).hexdigest()
    name = f"{KEPT_FOLDER}/vessels-{digest[:16]}.parquet"
    if not lake.store.exists(f"{TRACKS_FOLDER}/{name}"):
        lake.store.publish_bytes(data, f"{TRACKS_FOLDER}/{name}")
    return IndexedFile(name, len(data), digest, fingerprint=digest[:16], rows=lake.describe("vessels").rows)


def _published_settings(settings: Settings) -> dict[str, Any]:
    held_out = holdout_from(settings)
    return {
        **{name: getattr(settings, name) for name in _SETTINGS},
        "first_day": settings.first_day.isoformat(),
        "last_day": settings.last_day.isoformat(),
        "holdout_from": None if held_out is None else held_out // 1_000,
    }
