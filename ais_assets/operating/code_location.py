"""Runs of the code location, made and executed outside Dagster's own servers.

Dagster has no public way to make a run that belongs to a code location (so that the timeline shows it and the UI can
execute it again) other than through its web server, nor to execute such a run in the process at hand (a new process
a run, as its launchers have it, costs seconds of imports). All that is taken from Dagster's private modules for this
is taken here; what breaks if they move is `ais build` and the job `everything`, and the tests of this module say so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from dagster import AssetKey, DagsterInstance, DagsterRun, RepositoryDefinition
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.execution.api import execute_run
from dagster._core.instance.ref import InstanceRef
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import RemoteRepositoryOrigin
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, GRPC_INFO_TAG
from dagster._core.workspace.context import BaseWorkspaceRequestContext, WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value

MODULE = "ais_assets.definitions"
ATTRIBUTE = "defs"
NAME = "ais_assets"
"""Of the code location, as workspace.yaml and pyproject.toml have it."""

Reference = InstanceRef
"""How another process finds the instance."""
Health = CheckRunHealthResult
"""What a run launcher tells Dagster's run monitoring of the process that executes a run."""
Launch = LaunchRunContext
"""What a run launcher is given: a run and the workspace that it is of."""
UnreachableError = DagsterUserCodeUnreachableError
"""A code server did not answer in time."""
_ASK_SECONDS = 10
"""For a code server to say whether it executes a run."""


@cache
def repository() -> RepositoryDefinition:
    """The code location's definitions, loaded as Dagster does, once a process, from the environment's settings."""
    return _reconstructable().get_definition()


def create_run(
    instance: DagsterInstance, asset: str, tags: Mapping[str, str], parent: DagsterRun | None = None, *, quiet: bool
) -> DagsterRun:
    """A run that materializes this asset with its checks, recorded as one of the code location and not yet begun.

    Args:
        instance: where it is recorded.
        asset: its name.
        tags: of the run; a range of partitions is given by these.
        parent: a run of the code location in which this is asked for, whose origin (such as the image that it runs
            in) the new run gets too.
        quiet: whether its log goes to the instance only, and not to the standard error of its process too.
    """
    job = repository().get_implicit_global_asset_job_def().get_subset(asset_selection={AssetKey(asset)})
    remote, python = _origins(parent)
    return instance.create_run_for_job(
        job,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}} if quiet else {},
        tags=tags,
        asset_selection={AssetKey(asset)},
        remote_job_origin=remote.get_job_origin(job.name),
        job_code_origin=JobPythonOrigin(job.name, python),
    )


def execute(instance: DagsterInstance, run: DagsterRun) -> None:
    """Executes the run in this process. The instance has what becomes of it; no failure of it is raised."""
    job = repository().get_implicit_global_asset_job_def()
    execute_run(InMemoryJob(job), run, instance)


@contextmanager
def workspace(instance: DagsterInstance) -> Iterator[BaseWorkspaceRequestContext]:
    """The code location behind a server of its own, as run launchers and run coordinators ask for it."""
    with WorkspaceProcessContext(instance, _target()) as context:
        yield context.create_request_context()


def why_gone(run: DagsterRun) -> str | None:
    """Why nothing can be executing a run that a code server was given; None where it is, or was given to none.

    Nor does it say so while nobody answers at the server's port: there the next one will, and the daemon, which tries a
    lost run again at once or never, needs a code server for that. One that was started for a socket has no successor.
    """
    if GRPC_INFO_TAG not in run.tags:
        return None
    try:
        executed = is_executed(run)
    except UnreachableError:
        at_a_port = json.loads(run.tags[GRPC_INFO_TAG]).get("port")
        return None if at_a_port else "the code server that executed this run is gone"
    return None if executed else "the process that executed this run is gone"


def is_executed(run: DagsterRun) -> bool:
    """Whether the code server that a run was given to has a process for it; not where it was given to none.

    Raises UnreachableError where it does not say so in time.
    """
    if GRPC_INFO_TAG not in run.tags:
        return False
    address = json.loads(run.tags[GRPC_INFO_TAG])
    client = DagsterGrpcClient(
        host=address.get("host"),
        port=address.get("port"),
        socket=address.get("socket"),
        use_ssl=bool(address.get("use_ssl", False)),
    )
    answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), timeout=_ASK_SECONDS)
    return deserialize_value(answer, CanCancelExecutionResult).can_cancel


def tried_again_in(run: DagsterRun) -> str | None:
    """The id of the run in which the daemon tries this one, which has failed, again; None as long as there is none."""
    return run.tags.get(AUTO_RETRY_RUN_ID_TAG)


def health(why_gone: str | None) -> Health:
    """For run monitoring: of a run that is executed, or the reason why it is not."""
    return Health(WorkerStatus.RUNNING) if why_gone is None else Health(WorkerStatus.FAILED, why_gone)


def _reconstructable() -> ReconstructableRepository:
    return ReconstructableRepository.for_module(MODULE, ATTRIBUTE, str(Path.cwd()))


def _target() -> ModuleTarget:
    return ModuleTarget(module_name=MODULE, attribute=None, working_directory=str(Path.cwd()), location_name=NAME)


def _origins(parent: DagsterRun | None) -> tuple[RemoteRepositoryOrigin, RepositoryPythonOrigin]:
    if parent is not None and parent.remote_job_origin is not None and parent.job_code_origin is not None:
        return parent.remote_job_origin.repository_origin, parent.job_code_origin.repository_origin
    (location,) = _target().create_origins()
    return RemoteRepositoryOrigin(location, repository().name), _reconstructable().get_python_origin()
