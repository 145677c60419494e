"""What pass 1 left in the lake: references that the settings ask for, to tracks that are still there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from ais_assets.io.lake import Lake
from ais_assets.io.parquet import PartitionFile
from ais_assets.settings import Settings

_OF_TRACKS: Final = (
    "max_gap_seconds",
    "max_speed_knots",
    "min_track_positions",
    "thin_seconds",
    "stationary_seconds",
    "stationary_knots",
    "validation_fraction",
    "seed",
)
"""Settings that tracks are made by."""


@dataclass(frozen=True)
class ThrownShard:
    """A shard's references, by the fingerprints of their file and of the track file that they point into."""

    shard: str
    references: str
    tracks: str


def thrown_shards(lake: Lake, settings: Settings) -> list[ThrownShard]:
    """Every shard's references, in the shards' order.

    Raises PartitionMissingError when a shard of window_piles or track_shards is missing, ValueError where they
    were made with other settings or references for other tracks.
    """
    shards = settings.shard_keys
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
        tracks, references = lake.describe("track_shards", shard), lake.describe("window_piles", shard)
        _require_settings(f"track_shards[{shard}]", tracks, {name: getattr(settings, name) for name in _OF_TRACKS})
        _require_settings(f"window_piles[{shard}]", references, wanted)
        if references.facts["tracks"] != tracks.fingerprint:
            raise ValueError(
                f"track_shards[{shard}] was materialized anew since window_piles[{shard}] was: "
                "materialize window_piles again"
            )
        thrown.append(ThrownShard(shard, references.fingerprint, tracks.fingerprint))
    return thrown


def _require_settings(where: str, found: PartitionFile, wanted: Mapping[str, object]) -> None:
    differing = {name: found.facts.get(name) for name in wanted if found.facts.get(name) != wanted[name]}
    if differing:
        raise ValueError(
            f"{where} was made with {differing}, the settings now say { {name: wanted[name] for name in differing} }: "
            f"materialize {where.partition('[')[0]} again"
        )


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
