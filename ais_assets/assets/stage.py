"""What all assets have in common: who answers for them, how they are stored, cut and spread over runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Literal

from dagster import AllPartitionMapping, AssetDep, AssetsDefinition, AutomationCondition, PartitionsDefinition, asset

from ais_assets.assets import partitions
from ais_assets.io.provenance import MADE_WITH
from ais_assets.settings import Settings

OWNERS = ["team:ais-assets"]
"""Who answers for the assets; shown in the UI."""


def stage(
    settings: Settings,
    *,
    group: str,
    kinds: set[str],
    stored_as: Literal["parquet", "folder", "json"],
    cut: PartitionsDefinition[str] | None = None,
    deps: Sequence[str | AssetDep] = (),
    made_with: Sequence[str] = (),
    code_version: str = "1",
    automation_condition: AutomationCondition[Any] | None = None,
) -> Callable[[Callable[..., Any]], AssetsDefinition]:
    """Makes an asset of the function below it, whose name and docstring it gets.

    Args:
        settings: of the deployment.
        group: the part of the graph that it belongs to.
        kinds: what it is made of or with, for the UI's icons.
        stored_as: the IO manager.
        cut: its partitions; default: none.
        deps: names of the assets that it is made from; `every` where it needs all their partitions.
        made_with: names of the settings that its content depends on, its inputs apart. They are kept with each
            partition, which is stale once they have changed.
        code_version: another one makes every partition stale.
        automation_condition: when it is materialized by itself; default: never.
    """
    return asset(
        partitions_def=cut,
        deps=deps,
        group_name=group,
        owners=OWNERS,
        kinds=kinds,
        code_version=code_version,
        io_manager_key=stored_as,
        backfill_policy=None if cut is None else partitions.per_run(settings),
        automation_condition=automation_condition,
        metadata={MADE_WITH: {"code_version": code_version, **values_of(settings, made_with)}},
    )


def every(name: str) -> AssetDep:
    """Of this asset all partitions: from day to shard and from shard to pile, each depends on every one before it."""
    return AssetDep(name, partition_mapping=AllPartitionMapping())


def values_of(settings: Settings, names: Sequence[str]) -> dict[str, Any]:
    """These settings as JSON values."""
    values = json.loads(settings.model_dump_json()) | {"window_len": settings.window_len}
    return {name: values[name] for name in names}
