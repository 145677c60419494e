"""What all assets have in common: who answers for them, how they are stored, cut and spread over runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any, Final

import pyarrow as pa
from dagster import (
    AllPartitionMapping,
    AssetDep,
    AssetExecutionContext,
    AssetsDefinition,
    AutomationCondition,
    FreshnessPolicy,
    asset,
)

from ais_assets.assets.partitions import partitioning
from ais_assets.io.lake import Lake
from ais_assets.io.layout import Cut, place_of
from ais_assets.io.provenance import (
    CODE_VERSION,
    MADE_FROM,
    MADE_WITH,
    WHOLE,
    Chain,
    Inputs,
    named,
)
from ais_assets.io.stages import every_stage
from ais_assets.machine import utc_today
from ais_assets.resources.io_managers import Partitions, Payload
from ais_assets.settings import Settings
from ais_assets.settings.addresses import shown_address
from ais_assets.stream import RecordStream

SETTINGS_TAG: Final = "ais/settings"
"""The tag of an asset's operation that has the settings which its content depends on."""
OWNERS = ["team:ais-assets"]
"""Who answers for the assets; shown in the UI."""


def stage(
    settings: Settings,
    *,
    group: str,
    kinds: set[str],
    pool: str | None = None,
    automation_condition: AutomationCondition[Any] | None = None,
) -> Callable[[Callable[..., Any]], AssetsDefinition]:
    """Makes an asset of the function below it, whose name and docstring it gets.

    What it is made from and with is that of the stage of this name (`io/stages.py`), where it lies and how it is cut
    that of its place (`io/layout.py`).

    Args:
        settings: of the deployment.
        group: the part of the graph that it belongs to.
        kinds: what it is made of or with, for the UI's icons.
        pool: of what its runs use together, of which `dagster instance concurrency set` bounds how many run at a time.
        automation_condition: when it is materialized by itself; default: never.
    """

    def made(make: Callable[..., Any]) -> AssetsDefinition:
        of = every_stage(settings)[getattr(make, "__name__", "")]
        place, cut = place_of(of.asset), partitioning(place_of(of.asset).cut, settings)
        declare = asset(
            partitions_def=None if cut is None else cut.definition,
            deps=[_dependency(name, place.cut) for name in of.upstream],
            group_name=group,
            owners=OWNERS,
            kinds=kinds,
            code_version=of.made_with[CODE_VERSION],
            pool=pool,
            io_manager_key=place.kind.value,
            backfill_policy=None if cut is None else cut.backfill_policy,
            automation_condition=automation_condition,
            freshness_policy=_fresh_daily(settings) if of.of_days else None,
            tags={"cut": "whole" if cut is None else "days" if of.of_days else "parts"},
            metadata={MADE_WITH: of.made_with},
            op_tags={SETTINGS_TAG: _told(of.made_with, settings)},
        )
        return declare(make)

    return made


def _dependency(name: str, cut: Cut | None) -> AssetDep:
    """On the same partition of an asset that is cut alike, on all of one that is cut otherwise: from day to shard and
    from shard to pile each depends on every one before it."""
    of = place_of(name).cut
    return AssetDep(name, partition_mapping=AllPartitionMapping()) if of not in (None, cut) else AssetDep(name)


def _fresh_daily(settings: Settings) -> FreshnessPolicy | None:
    """A new day every day, as long as the range goes on; what is of days past is not late."""
    if settings.last_day < utc_today() - timedelta(days=settings.published_after_days):
        return None
    return FreshnessPolicy.time_window(fail_window=_LATE, warn_window=_SOON_LATE)


_SOON_LATE: Final = timedelta(hours=30)
"""A day and the hours in which a source may be late."""
_LATE: Final = timedelta(hours=54)


def _told(shaped: Mapping[str, Any], settings: Settings) -> str:
    """The settings that a run of an asset depends on, as a tag has them: no secret is among them."""
    return json.dumps({**shaped, "lake": shown_address(settings.lake)}, sort_keys=True)


class OtherSettingsError(ValueError):
    """A run was launched by a process with other settings than this one has; the message says which."""


def require_settings_of_launch(context: AssetExecutionContext) -> None:
    """Compares this process's settings with those of the process that launched the run.

    Each asset carries its settings as a tag; Dagster keeps with every run how its assets were defined where it was
    launched, and executes it by the definitions at hand, which a worker makes of its own environment.

    Raises OtherSettingsError where they differ.
    """
    snapshot = context.run.job_snapshot_id
    if snapshot is None:
        return
    defined = context.instance.get_job_snapshot(snapshot).node_defs_snapshot.op_def_snaps
    tag = next((op.tags.get(SETTINGS_TAG) for op in defined if op.name == context.op_def.name), None)
    if tag is None:
        return
    launched, here = json.loads(tag), json.loads(context.op_def.tags[SETTINGS_TAG])
    for name in sorted(launched.keys() | here.keys()):
        if launched.get(name) != here.get(name):
            what = "code version " if name == CODE_VERSION else f"AIS_{name.upper()}="
            raise OtherSettingsError(
                f"this run was launched with {what}{launched.get(name)}, and the process that executes it has "
                f"{what}{here.get(name)}: give the code server and every worker the same settings"
            )


class Making:
    """One run of an asset: its partitions in turn, each with a record of what it is made from and with.

    Args:
        context: of the run.
        lake: where what it is made from is read.
        settings: of the deployment.
    """

    def __init__(self, context: AssetExecutionContext, lake: Lake, settings: Settings) -> None:
        require_settings_of_launch(context)
        lake.cut_by(settings.cutting)
        definition = context.assets_def
        self._context = context
        self._lake = lake
        self._settings = settings
        self._chain = Chain(lake)
        self._asset = context.asset_key.path[-1]
        self._upstream = sorted(key.path[-1] for key in definition.dependency_keys)
        self._made_with = definition.metadata_by_key[context.asset_key][MADE_WITH]

    def each(
        self, build: Callable[[str], Payload | AbstractContextManager[Payload]], *, compares: bool = False
    ) -> Partitions:
        """Builds every partition of this run, each when its turn comes to be stored.

        Args:
            build: returns a partition, or a context manager of it that is left once it is stored.
            compares: whether `build` itself compares what it reads with the record; else this is done at its end.
        """

        def items() -> Generator[tuple[str, Payload]]:
            keys = self._context.partition_keys
            for number, key in enumerate(keys, start=1):
                self._context.log.info(f"{key} ({number} of {len(keys)})")
                facts = self.facts(key)
                built = build(key)
                with nullcontext(built) if isinstance(built, Payload) else built as payload:
                    yield key, self._recorded(key, payload, facts, compares)

        return Partitions(items())

    def whole(self, build: Callable[[], Payload], *, compares: bool = False) -> Partitions:
        """Builds the one payload of an asset without partitions; `compares` is that of `each`."""

        def items() -> Generator[tuple[None, Payload]]:
            facts = self.facts(WHOLE)
            yield None, self._recorded(WHOLE, build(), facts, compares)

        return Partitions(items())

    def facts(self, partition: str) -> dict[str, Any]:
        """What the partition is to say of its making, as of now."""
        inputs = self._chain.inputs(self._asset, partition, self._upstream, self._settings)
        return {MADE_FROM: inputs, MADE_WITH: self._made_with}

    def inputs(self, of: str, partition: str) -> dict[str, str]:
        """Fingerprints of the partitions of this asset that a partition is made from."""
        return self.facts(partition)[MADE_FROM][of]

    def _recorded(self, partition: str, payload: Payload, facts: dict[str, Any], compares: bool) -> Payload:
        payload.facts.update(facts)
        if compares:
            return payload
        if isinstance(payload, RecordStream):
            payload.tables = self._to_the_end(partition, payload.tables, facts[MADE_FROM])
        else:
            self._require_unchanged(partition, facts[MADE_FROM])
        return payload

    def _to_the_end(self, partition: str, tables: Iterator[pa.Table], inputs: Inputs) -> Iterator[pa.Table]:
        yield from tables
        self._require_unchanged(partition, inputs)

    def _require_unchanged(self, partition: str, inputs: Inputs) -> None:
        """To be called once all was read: if it is there now, it is what was read."""
        now = Chain(self._lake)
        for of, fingerprints in inputs.items():
            for key, found in now.fingerprints(of, fingerprints).items():
                if found != fingerprints[key]:
                    raise ValueError(
                        f"{named(of, key)} was materialized anew while it was being read: materialize "
                        f"{named(self._asset, partition)} once more"
                    )
