"""Runs of a build: what one materializes, and what became of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from dagster import AssetCheckSeverity, DagsterInstance, DagsterRunStatus
from dagster_shared.error import SerializableErrorInfo

from ais_assets.io.stages import Stage

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
_MOST_PARTITIONS: Final = 16


@dataclass(frozen=True)
class Task:
    """One run: a range of an asset's partitions, or the whole of an unpartitioned asset."""

    asset: str
    partitions: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.partitions:
            return self.asset
        first, last = self.partitions[0], self.partitions[-1]
        return f"{self.asset}[{first}]" if first == last else f"{self.asset}[{first} … {last}]"

    @property
    def tags(self) -> dict[str, str]:
        """How Dagster is told of the partitions."""
        if not self.partitions:
            return {}
        return {RANGE_START: self.partitions[0], RANGE_END: self.partitions[-1]}


@dataclass(frozen=True)
class Done:
    """A task's end."""

    task: Task
    run_id: str
    seconds: float
    error: str | None
    warnings: tuple[str, ...] = ()


def tasks_of(stage: Stage, keys: Sequence[str], workers: int) -> list[Task]:
    """Cuts partitions of a stage into runs: enough for every worker to have some, none over _MOST_PARTITIONS.

    A run takes a range of partitions, so that what lies apart is in runs of its own.
    """
    if not stage.partitions:
        return [Task(stage.asset)] if keys else []
    size = max(1, min(_MOST_PARTITIONS, -(-len(keys) // (2 * workers))))
    place = {key: number for number, key in enumerate(stage.partitions)}
    tasks: list[list[str]] = []
    for key in sorted(keys, key=place.__getitem__):
        if tasks and len(tasks[-1]) < size and place[key] == place[tasks[-1][-1]] + 1:
            tasks[-1].append(key)
        else:
            tasks.append([key])
    return [Task(stage.asset, tuple(of_task)) for of_task in tasks]


def done(instance: DagsterInstance, task: Task, run_id: str, seconds: float) -> Done:
    """What became of a run that has ended, from its records: faults, and what people should be warned of."""
    faults = faults_of(instance, run_id)
    run = instance.get_run_by_id(run_id)
    if not faults and (run is None or run.status is not DagsterRunStatus.SUCCESS):
        status = "gone" if run is None else run.status.value.lower()
        faults = [f"the run is {status}: see its log"]
    warnings = [*_warned_in_log(instance, run_id), *_failed_checks(instance, run_id, AssetCheckSeverity.WARN)]
    return Done(task, run_id, seconds, "; ".join(faults) or None, tuple(warnings))


def faults_of(instance: DagsterInstance, run_id: str) -> list[str]:
    """Checks of severity ERROR that did not pass, and what steps raised, from the run's records."""
    return [
        *_failed_checks(instance, run_id, AssetCheckSeverity.ERROR),
        *_step_errors(instance, run_id),
    ]


def _step_errors(instance: DagsterInstance, run_id: str) -> Iterator[str]:
    for entry in instance.all_logs(run_id):
        event = entry.dagster_event
        error = event.step_failure_data.error if event is not None and event.is_step_failure else None
        # What a check that blocks says is said by its evaluation.
        if error is not None and error.cls_name != "DagsterAssetCheckFailedError":
            yield _own_error(error)


_DAYS_TOLD = 5
"""Of a check that did not pass."""


def _failed_checks(instance: DagsterInstance, run_id: str, severity: AssetCheckSeverity) -> Iterator[str]:
    """A line a check; of one that judges each day by itself with the first days of those that did not pass."""
    told: dict[str, list[str]] = {}
    for entry in instance.all_logs(run_id):
        evaluation = entry.asset_check_evaluation
        if evaluation is not None and not evaluation.passed and evaluation.severity is severity:
            day = f"{evaluation.partition}: " if evaluation.partition else ""
            told.setdefault(evaluation.check_name, []).append(f"{day}{evaluation.description}")
    for check, found in told.items():
        more = f"; and {len(found) - _DAYS_TOLD} more days" if len(found) > _DAYS_TOLD else ""
        yield f"the check {check} did not pass: {'; '.join(found[:_DAYS_TOLD])}{more}"


def _warned_in_log(instance: DagsterInstance, run_id: str) -> Iterator[str]:
    for entry in instance.all_logs(run_id):
        if entry.level == logging.WARNING and not entry.is_dagster_event:
            yield entry.user_message


def _own_error(error: SerializableErrorInfo) -> str:
    """The error that the stage raised, from inside the wrappers that Dagster puts around it."""
    while error.cause is not None and (error.cls_name or "").startswith("Dagster"):
        error = error.cause
    return error.message.strip()
