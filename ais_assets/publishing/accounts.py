"""The accounts of all stages, from the rows of the source's files to the windows, and whether they agree."""

from __future__ import annotations

from collections.abc import Sequence

from ais_assets.io.lake import Lake
from ais_assets.io.provenance import read_record
from ais_assets.ledger import Ledger
from ais_assets.settings import Settings

ACCOUNTS = {
    "raw_records": "rows of the source's files",
    "clean_records": "typed records",
    "track_shards": "clean position reports",
    "window_piles": "windows that the tracks hold",
}
"""Stages whose account the card shows, and what they count."""


def accounts(lake: Lake, settings: Settings) -> dict[str, Ledger]:
    """The account of each stage over the partitions that the tracks were made from and that were made from them."""
    days, shards = tracked_days(lake, settings), settings.shard_keys
    keys = {"raw_records": days, "clean_records": days, "track_shards": shards, "window_piles": shards}
    there = {asset: set(lake.partitions(asset)) for asset in keys}
    return {
        asset: Ledger.total(lake.ledger(asset, key) for key in keys[asset] if key in there[asset]) for asset in ACCOUNTS
    }


def tracked_days(lake: Lake, settings: Settings) -> list[str]:
    """The days that the tracks were made from; there may be more by now.

    Raises PartitionMissingError when a shard is missing, ValueError when shards were made from different days.
    """
    shards = settings.shard_keys
    lake.require("track_shards", shards)
    tracked: list[str] | None = None
    for shard in shards:
        of_shard = sorted((read_record(lake, "track_shards", shard).made_from or {}).get("clean_records", {}))
        tracked = of_shard if tracked is None else tracked
        if of_shard != tracked:
            differing = sorted(set(of_shard) ^ set(tracked))
            raise ValueError(
                f"only one of track_shards[{shard}] and track_shards[{shards[0]}] was made from "
                f"{', '.join(differing)}: materialize track_shards again"
            )
    return tracked or []


CONSERVED = (
    ("typed records", "records cleaned", "clean_records"),
    ("clean positions", "positions tracked", "track_shards"),
    ("training windows thrown", "training windows delivered", "materialized_windows and mds_shards"),
    ("validation windows thrown", "validation windows delivered", "validation"),
    ("held-out windows thrown", "held-out windows delivered", "holdout"),
)
"""What must be equal, and what to materialize where it is not."""


def conservation(lake: Lake, samples: int, settings: Settings) -> dict[str, int]:
    """Rows out of and into each stage, from the accounts in the files; of MDS there are so many samples."""
    stages = accounts(lake, settings)
    thrown = stages["window_piles"].notes
    return {
        "typed records": stages["raw_records"].rows_out,
        "records cleaned": stages["clean_records"].rows_in,
        "clean positions": stages["clean_records"].rows_out,
        "positions tracked": stages["track_shards"].rows_in,
        "training windows thrown": thrown["windows_training"],
        "training windows delivered": samples,
        "validation windows thrown": thrown["windows_validation"],
        "validation windows delivered": lake.describe("validation").rows,
        "held-out windows thrown": thrown.get("windows_holdout", 0),
        "held-out windows delivered": lake.describe("holdout").rows,
    }


def differing_days(lake: Lake, days: Sequence[str]) -> dict[str, dict[str, int]]:
    """Days of which cleaning saw other typed records than there are."""
    differing = {}
    for day in days:
        typed, seen = lake.ledger("raw_records", day).rows_out, lake.ledger("clean_records", day).rows_in
        if typed != seen:
            differing[day] = {"typed": typed, "seen by cleaning": seen}
    return differing


def require_conserved(lake: Lake, samples: int, settings: Settings) -> None:
    """Raises ValueError, naming what to materialize, when rows were lost between stages; of MDS there are so many."""
    counts = conservation(lake, samples, settings)
    lost = [
        f"{counts[left]:,} {left} but {counts[right]:,} {right}: materialize {assets} again"
        for left, right, assets in CONSERVED
        if counts[left] != counts[right]
    ]
    if lost:
        days = list(differing_days(lake, tracked_days(lake, settings)))
        lost += [f"typed and cleaned differ on {', '.join(days[:_SHOWN])}"] if days else []
        raise ValueError("; ".join(lost))


_SHOWN = 12
"""Partitions that an error names."""
