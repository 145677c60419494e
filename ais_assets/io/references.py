"""What pass 1 left in the lake: references that the settings ask for, to tracks that are still there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from ais_assets.io.lake import Lake
from ais_assets.io.parquet import PartitionFile
from ais_assets.partition_keys import shard_keys
from ais_assets.settings import Settings


@dataclass(frozen=True)
class ThrownShard:
    """A shard's references, by the fingerprints of their file and of the track file that they point into."""

    shard: str
    references: str
    tracks: str


def thrown_shards(lake: Lake, settings: Settings) -> list[ThrownShard]:
    """Every shard's references, in the shards' order.

    Raises PartitionMissingError when a shard of window_piles or track_shards is missing, ValueError where references
    were made with other settings or for other tracks.
    """
    shards = shard_keys(settings)
    lake.require("track_shards", shards)
    lake.require("window_piles", shards)
    wanted = {
        "piles": settings.piles,
        "window_len": settings.window_len,
        "stride": settings.stride,
        "seed": settings.seed,
        "holdout_from": holdout_from(settings),
    }
    thrown = []
    for shard in shards:
        references = lake.describe("window_piles", shard)
        differing = {name: references.facts.get(name) for name in wanted if references.facts.get(name) != wanted[name]}
        if differing:
            raise ValueError(
                f"window_piles[{shard}] was made with {differing}, the settings now say "
                f"{ {name: wanted[name] for name in differing} }: materialize window_piles again"
            )
        tracks = lake.describe("track_shards", shard).fingerprint
        if references.facts["tracks"] != tracks:
            raise ValueError(
                f"track_shards[{shard}] was materialized anew since window_piles[{shard}] was: "
                "materialize window_piles again"
            )
        thrown.append(ThrownShard(shard, references.fingerprint, tracks))
    return thrown


def shuffle_digest(thrown: Iterable[ThrownShard]) -> str:
    """Hexadecimal, of every shard's references, and by these of all tracks and all settings of the shuffle.

    It is a fact, "window_piles", of all that is gathered by them: windows that carry the same one belong together.
    """
    digest = hashlib.sha256()
    for of in thrown:
        digest.update(f"{of.shard} {of.references} {of.tracks};".encode())
    return digest.hexdigest()[:16]


def require_same(found: PartitionFile, fingerprint: str, where: str) -> None:
    """Raises ValueError when what was read, here `where`, is not what was to be read."""
    if found.fingerprint != fingerprint:
        raise ValueError(f"{where} was materialized anew while it was being read: materialize this once more")


def holdout_from(settings: Settings) -> int | None:
    """When held-out time begins, Unix time in milliseconds."""
    if settings.holdout_from is None:
        return None
    midnight = datetime.combine(settings.holdout_from, datetime.min.time(), tzinfo=UTC)
    return 1_000 * int(midnight.timestamp())
