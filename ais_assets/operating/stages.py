"""The asset graph as builds and status go through it: what comes after what, and in which partitions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any

from dagster import AssetsDefinition, TimeWindowPartitionsDefinition

from ais_assets.io.provenance import MADE_WITH, WHOLE, Chain, stale_because
from ais_assets.settings import Settings


@dataclass(frozen=True)
class Stage:
    """One asset.

    Attributes:
        asset: its name.
        partitions: keys of its partitions, in order; none for an asset without.
        of_days: whether these are days.
        upstream: names of the assets that it is made from.
        made_with: settings and code version that its content depends on.
    """

    asset: str
    partitions: tuple[str, ...] = ()
    of_days: bool = False
    upstream: tuple[str, ...] = ()
    made_with: Mapping[str, Any] = field(default_factory=dict)

    def stale_because(self, chain: Chain, partition: str, settings: Settings) -> str | None:
        """Why a partition that is there (`WHOLE`, where there are none) is stale; None when it is not."""
        return stale_because(
            chain, self.asset, partition, upstream=self.upstream, made_with=self.made_with, settings=settings
        )

    def to_build(self, chain: Chain, settings: Settings) -> list[str]:
        """Keys of the partitions that are missing or stale, in order; `WHOLE` for an asset without."""
        there = chain.there(self.asset)
        if self.partitions:
            # Looked at one by one, each would be a request.
            chain.entries(self.asset, self.partitions)
        return [
            key
            for key in self.partitions or (WHOLE,)
            if key not in there or self.stale_because(chain, key, settings) is not None
        ]


def turns(assets: Iterable[AssetsDefinition]) -> list[tuple[Stage, ...]]:
    """The assets in the order in which they can be built; those of one turn at the same time.

    Raises graphlib.CycleError for assets that wait for each other.
    """
    by_key = {asset.key: asset for asset in assets}
    sorter = TopologicalSorter({key: asset.dependency_keys & by_key.keys() for key, asset in by_key.items()})
    sorter.prepare()
    found = []
    while sorter.is_active():
        ready = set(sorter.get_ready())
        found.append(tuple(_stage(asset) for key, asset in by_key.items() if key in ready))
        sorter.done(*ready)
    return found


def _stage(asset: AssetsDefinition) -> Stage:
    cut = asset.partitions_def
    keys = () if cut is None else tuple(cut.get_partition_keys())
    return Stage(
        asset.key.path[-1],
        keys,
        isinstance(cut, TimeWindowPartitionsDefinition),
        tuple(sorted(key.path[-1] for key in asset.dependency_keys)),
        asset.metadata_by_key[asset.key][MADE_WITH],
    )
