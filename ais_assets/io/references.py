"""What pass 1 left in the lake: references that the settings ask for, to tracks that are still there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from ais_assets.io.lake import Lake
from ais_assets.io.provenance import Chain, read_record, require_fresh
from ais_assets.settings import Settings

REFERENCES: Final = "window_piles"
TRACKS: Final = "track_shards"


@dataclass(frozen=True)
class ShardReferences:
    """A shard's references, by the fingerprints of their file and of the track file that they point into."""

    shard: str
    references: str
    tracks: str


def references_by_shard(lake: Lake, settings: Settings) -> list[ShardReferences]:
    """Every shard's references, in the shards' order.

    Raises PartitionMissingError when a shard of window_piles or track_shards is missing, StaleError where they
    were made with other settings or references for other tracks.
    """
    shards = settings.shard_keys
    for asset in (TRACKS, REFERENCES):
        lake.require(asset, shards)
    chain = Chain(lake)
    require_fresh(chain, {REFERENCES: shards}, settings, through=(REFERENCES, TRACKS))

    def fingerprint(asset: str, shard: str) -> str:
        return (chain.record(asset, shard) or read_record(lake, asset, shard)).fingerprint

    return [ShardReferences(shard, fingerprint(REFERENCES, shard), fingerprint(TRACKS, shard)) for shard in shards]


def shuffle_digest(shards: Iterable[ShardReferences]) -> str:
    """Hexadecimal, of every shard's references, and by these of all tracks and all settings of the shuffle.

    It is a fact, "window_piles", of all that is gathered by them: windows that carry the same one belong together.
    """
    digest = hashlib.sha256()
    for of in shards:
        digest.update(f"{of.shard} {of.references} {of.tracks};".encode())
    return digest.hexdigest()[:16]


def require_same(found: str, fingerprint: str, where: str) -> None:
    """Raises ValueError when what was found, here `where`, is by its fingerprint not what was to be read."""
    if found != fingerprint:
        raise ValueError(f"{where} was materialized anew while it was being read: materialize this once more")


def holdout_from(settings: Settings) -> int | None:
    """When held-out time begins, Unix time in milliseconds."""
    if settings.holdout_from is None:
        return None
    midnight = datetime.combine(settings.holdout_from, datetime.min.time(), tzinfo=UTC)
    return 1_000 * int(midnight.timestamp())
