"""Checks that judge each day by itself: a verdict a day, however many of them a run takes.

Dagster keeps a check's verdict per partition, and makes it of a run's single partition; of a run of several it would
keep one verdict without a partition. So the verdicts are made here, each with the materialization of its day, without
which the UI takes a verdict for an outdated one; the class that names it is private to Dagster.
"""

# Without `from __future__ import annotations`: Dagster reads the resource from the annotation itself.
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from dagster import (
    AssetCheckEvaluation,
    AssetCheckExecutionContext,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    AssetRecordsFilter,
    AssetsDefinition,
    DagsterInstance,
    Output,
    PreviewWarning,
    multi_asset_check,
)
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData

from ais_assets.io.entries import Entry
from ais_assets.io.lake import Lake
from ais_assets.resources.lake import LakeResource
from ais_assets.settings import Settings


@dataclass(frozen=True)
class Verdict:
    """What a check finds of one day.

    Attributes:
        passed: whether the day is as it should be.
        told: what was found, for people; read beside the day.
        measures: what it was judged by.
    """

    passed: bool
    told: str
    measures: Mapping[str, str | int | float] = field(default_factory=dict)


Judge = Callable[[Lake, Mapping[str, Entry]], Mapping[str, Verdict]]
"""From the lake, and what each of these days' partitions says of itself, to their verdicts."""


def check_of_each_day(
    asset: AssetsDefinition, settings: Settings, *, blocking: bool = False
) -> Callable[[Judge], AssetChecksDefinition]:
    """Makes a check of the function below it, whose name and docstring it gets: of the days of the run that are there.

    Of every day where nothing but checks runs, and no day was chosen.

    Args:
        asset: of days.
        settings: of the deployment.
        blocking: whether a day that does not pass is an error, and what comes after it in the same run is not made;
            else it is warned of.
    """

    def made(judge: Judge) -> AssetChecksDefinition:
        name = getattr(judge, "__name__", "")
        severity = AssetCheckSeverity.ERROR if blocking else AssetCheckSeverity.WARN
        with warnings.catch_warnings():
            # Checks of partitions are new, and Dagster says so of each.
            warnings.simplefilter("ignore", PreviewWarning)
            spec = AssetCheckSpec(
                name,
                asset=asset,
                description=judge.__doc__,
                blocking=blocking,
                partitions_def=asset.partitions_def,
            )

        @multi_asset_check(name=spec.get_python_identifier(), specs=[spec])
        def evaluated(
            context: AssetCheckExecutionContext, lake: LakeResource
        ) -> Iterator[Output[None] | AssetCheckEvaluation]:
            place = lake.open()
            yield Output(None, output_name=spec.get_python_identifier())
            for day, verdict in judge(place, _days_of_run(context, place, asset.key, settings)).items():
                yield AssetCheckEvaluation(
                    asset_key=asset.key,
                    check_name=name,
                    passed=verdict.passed,
                    metadata=verdict.measures,
                    target_materialization_data=_materialization(context.instance, asset.key, day),
                    severity=severity,
                    description=verdict.told,
                    blocking=blocking,
                    partition=day,
                )

        return evaluated

    return made


def _days_of_run(
    context: AssetCheckExecutionContext, lake: Lake, asset: AssetKey, settings: Settings
) -> dict[str, Entry]:
    """The run's days that are there: other runs may not have come to theirs. All of them when only checks run."""
    name = asset.path[-1]
    of_run = context.has_partition_key or context.has_partition_key_range
    wanted = set(context.partition_keys if of_run else settings.day_keys)
    return lake.entries_of(name, {day: of for day, of in sorted(lake.versions(name).items()) if day in wanted})


def _materialization(
    instance: DagsterInstance, asset: AssetKey, day: str
) -> AssetCheckEvaluationTargetMaterializationData | None:
    """The day's latest; None of one that no run of this instance made."""
    found = instance.fetch_materializations(AssetRecordsFilter(asset, asset_partitions=[day]), limit=1).records
    if not found:
        return None
    return AssetCheckEvaluationTargetMaterializationData(
        storage_id=found[0].storage_id, run_id=found[0].run_id, timestamp=found[0].timestamp
    )
