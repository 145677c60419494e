"""What the lake holds of an asset: partitions, bytes and accounts, from the files themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ais_assets.io.lake import Lake
from ais_assets.io.layout import Kind, place_of
from ais_assets.ledger import Ledger


@dataclass(frozen=True)
class Holdings:
    """One asset's partitions that are there; None where a figure does not apply or nothing is there."""

    partitions: int
    size: int | None
    ledger: Ledger | None


def holdings(lake: Lake, asset: str, keys: Sequence[str]) -> Holdings:
    """What the lake holds of these partitions (of the whole asset, where it has none)."""
    place = place_of(asset)
    if place.single is not None:
        present: list[str | None] = [None] if lake.has(asset) else []
    else:
        there = set(lake.partitions(asset))
        present = [key for key in keys if key in there]
    if not present:
        return Holdings(0, None, None)
    if place.kind is Kind.FOLDER:
        manifests = [lake.manifest(asset, key) for key in present if key is not None]
        size = sum(sum(manifest["files"].values()) for manifest in manifests)
        ledger = Ledger.total(Ledger.from_dict(manifest["ledger"]) for manifest in manifests)
        return Holdings(len(present), size, ledger if ledger.rows_in else None)
    size = sum(lake.store.size(place.key(key)) for key in present)
    if place.kind is Kind.JSON:
        return Holdings(len(present), size, None)
    return Holdings(len(present), size, Ledger.total(lake.ledger(asset, key) for key in present))
