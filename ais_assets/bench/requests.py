"""How many requests each stage makes of S3, and what a slow answer costs: runs behind a proxy that counts and waits."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import uuid4

import click
from dagster import AssetKey, DagsterInstance, JobDefinition
from rich.table import Table

from ais_assets.bench._counting_proxy import CountingProxy, counting_proxy
from ais_assets.bench._loader_s3 import mock_server
from ais_assets.bench.race import machine
from ais_assets.cli.summary import Summary
from ais_assets.cli.terminal import open_lake, terminal
from ais_assets.definitions import build_definitions
from ais_assets.io.entries import forget
from ais_assets.io.stages import in_order
from ais_assets.operating.tasks import RANGE_END, RANGE_START
from ais_assets.settings import load_settings

_SMALL: Final[Mapping[str, Any]] = {
    "simulated_vessels": 6,
    "seq_len": 16,
    "max_horizon": 48,
    "validation_fraction": 0.3,
    "first_day": date(2024, 3, 1),
}
"""Little data: it is the requests that are counted."""
STATUS: Final = "ais status"


@dataclass(frozen=True)
class Cost:
    """What one run of a stage, or a command, asked of S3.

    Attributes:
        what: the asset, or the command.
        partitions: of the run; 0 of an asset without, and of a command.
        requests: by method.
        seconds: by the delay of each answer in milliseconds.
    """

    what: str
    partitions: int
    requests: dict[str, int]
    seconds: dict[int, float]

    @property
    def total(self) -> int:
        """Requests of all methods."""
        return sum(self.requests.values())


def measure(
    *, days: int, shards: int, piles: int, per_run: int, delays: Sequence[int], server: str | None
) -> list[Cost]:
    """Builds a lake of tiny partitions, then runs each stage once more over its last `per_run` partitions.

    Args:
        days: partitions by day.
        shards: by vessel.
        piles: of windows.
        per_run: partitions that a run takes.
        delays: of every answer, milliseconds; the runs are made with each.
        server: http address of an S3 server, with keys in AWS_*; default: moto, in a process of its own.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="ais-bench-")))
        instance = stack.enter_context(DagsterInstance.ephemeral())
        if server is None:
            server = stack.enter_context(mock_server()).s3.endpoint_url
        proxy = stack.enter_context(counting_proxy(server or ""))
        stack.enter_context(_environment({"AWS_ENDPOINT_URL": proxy.endpoint, "AWS_ENDPOINT_URL_S3": proxy.endpoint}))
        settings = load_settings(
            lake=f"s3://{_new_bucket()}/lake",
            cache=folder / "cache",
            last_day=_SMALL["first_day"] + timedelta(days=days - 1),
            shards=shards,
            piles=piles,
            **_SMALL,
        )
        stages = in_order(settings)
        job = build_definitions(settings).resolve_implicit_global_asset_job_def()
        for stage in stages:
            _materialize(job, instance, stage.asset, stage.partitions)
        costs = []
        for stage in stages:
            keys = stage.partitions[-per_run:]
            again = partial(_materialize, job, instance, stage.asset, keys)
            costs.append(_cost(proxy, stage.asset, len(keys), again, delays))
        return [*costs, _cost(proxy, STATUS, 0, lambda: Summary.of(open_lake(settings), settings), delays)]


def _cost(proxy: CountingProxy, what: str, partitions: int, do: Callable[[], object], delays: Sequence[int]) -> Cost:
    seconds, requests = {}, {}
    for delay in delays:
        # As a process of its own begins.
        forget()
        proxy.delay = delay / 1000
        proxy.take()
        began = time.perf_counter()
        do()
        seconds[delay] = time.perf_counter() - began
        requests = dict(sorted(proxy.take().items()))
    proxy.delay = 0.0
    return Cost(what, partitions, requests, seconds)


def _materialize(job: JobDefinition, instance: DagsterInstance, asset: str, keys: Sequence[str]) -> None:
    """One run. Raises what its stage does."""
    job.execute_in_process(
        instance=instance,
        asset_selection=[AssetKey(asset)],
        tags={RANGE_START: keys[0], RANGE_END: keys[-1]} if keys else {},
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )


def _new_bucket() -> str:
    from boto3.session import Session  # noqa: PLC0415 - only this bench and lakes on S3 need boto

    name = f"ais-bench-{uuid4().hex[:12]}"
    Session().client("s3").create_bucket(Bucket=name)
    return name


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@click.command()
@click.option("--days", type=click.IntRange(min=1), default=60, show_default=True)
@click.option("--shards", type=click.IntRange(min=1), default=8, show_default=True)
@click.option("--piles", type=click.IntRange(min=1), default=16, show_default=True)
@click.option(
    "--per-run", type=click.IntRange(min=1), default=4, show_default=True, help="Partitions that a run takes."
)
@click.option("--delays", default="0,30,100", show_default=True, help="Of each answer, milliseconds.")
@click.option("--server", help="http address of an S3 server on this machine; default: moto's.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(
    *, days: int, shards: int, piles: int, per_run: int, delays: str, server: str | None, as_json: bool
) -> None:
    """What each stage's run asks of S3, and how long it takes where each answer does.

    A bucket of its own is made and left for whoever runs the server to remove.
    """
    waits = [int(delay) for delay in delays.split(",")]
    costs = measure(days=days, shards=shards, piles=piles, per_run=per_run, delays=waits, server=server)
    if as_json:
        work = {"days": days, "shards": shards, "piles": piles, "partitions a run": per_run}
        click.echo(
            json.dumps({"machine": machine(), "work": work, "costs": [asdict(cost) for cost in costs]}, indent=1)
        )
        return
    title = f"Requests of one run: {days} days, {shards} shards, {piles} piles"
    table = Table(title=title, title_justify="left")
    table.add_column("run of", no_wrap=True)
    for column in ("partitions", "requests", "of which", *(f"s at {delay} ms" for delay in waits)):
        table.add_column(column, justify="right", no_wrap=True)
    for cost in costs:
        methods = ", ".join(f"{method} {count:,}" for method, count in cost.requests.items())
        seconds = [f"{cost.seconds[delay]:.2f}" for delay in waits]
        table.add_row(cost.what, str(cost.partitions or ""), f"{cost.total:,}", methods, *seconds)
    terminal().print(table)
