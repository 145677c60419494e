"""The asset graph as builds and status go through it: what comes after what, and in which partitions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import TopologicalSorter

from dagster import AssetsDefinition, TimeWindowPartitionsDefinition


@dataclass(frozen=True)
class Stage:
    """One asset.

    Attributes:
        asset: its name.
        partitions: keys of its partitions, in order; none for an asset without.
        of_days: whether these are days.
    """

    asset: str
    partitions: tuple[str, ...] = ()
    of_days: bool = False


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
    return Stage(asset.key.path[-1], keys, isinstance(cut, TimeWindowPartitionsDefinition))
