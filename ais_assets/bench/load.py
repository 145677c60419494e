"""Large days built by processes side by side: its pace, and the memory of each run beside the plan's.

The memory is a process's own: what it has mapped of files is not counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click
from dagster import DagsterInstance
from rich.table import Table

from ais_assets.bench._runs import own_bytes
from ais_assets.bench.race import machine
from ais_assets.bench.whole import lake_environment, load_of
from ais_assets.cli.plan import window_formats as window_formats_option
from ais_assets.cli.terminal import terminal
from ais_assets.io.lake import Lake
from ais_assets.io.layout import Kind, place_of
from ais_assets.io.stages import Stage, in_order
from ais_assets.machine import usable_cores
from ais_assets.operating.local_runs import BUILDER
from ais_assets.operating.planning.plan import plan
from ais_assets.operating.planning.rates import MEASURED_RATES
from ais_assets.settings import Settings

_BUILD: Final = (sys.executable, "-m", "ais_assets.cli", "build", "--json")
_LONGEST_SECONDS: Final = 6 * 3600
_LOOK_SECONDS: Final = 0.25


@dataclass(frozen=True)
class Look:
    """At the processes of a build.

    Attributes:
        at: seconds since 1970.
        bytes: own memory of each process, by its number.
        free: bytes of the disk.
    """

    at: float
    bytes: Mapping[int, int]
    free: int


@dataclass(frozen=True)
class Run:
    """One of the build, by its record: seconds since 1970, and the number of its process."""

    asset: str
    process: int
    begin: float
    end: float


@dataclass(frozen=True)
class Taken:
    """What an asset took.

    Attributes:
        rows: that came out; 0 of one that is a JSON value.
        seconds: in which any run of it was under way.
        peak_bytes: of the largest run.
        bound_bytes: that a run may take by the plan; None where the plan says nothing.
    """

    rows: int
    seconds: float
    peak_bytes: int
    bound_bytes: float | None

    @property
    def is_over(self) -> bool:
        """Whether a run took more than its bound."""
        return self.bound_bytes is not None and self.peak_bytes > self.bound_bytes


@dataclass(frozen=True)
class Built:
    """A build, whole.

    Attributes:
        seconds: from its start to its end.
        tree_bytes: the most that all its processes together had at a time.
        disk_bytes: by which the disk had become fuller at most.
        assets: what each took, in the graph's order.
    """

    seconds: float
    tree_bytes: int
    disk_bytes: int
    assets: Mapping[str, Taken]

    @property
    def over(self) -> list[str]:
        """Assets with a run over its bound."""
        return [asset for asset, taken in self.assets.items() if taken.is_over]


def peak_of(run: Run, looks: Sequence[Look]) -> int:
    """The most bytes that the run's process was seen with while it was under way; 0 where nobody looked meanwhile."""
    return max((look.bytes.get(run.process, 0) for look in looks if run.begin <= look.at <= run.end), default=0)


def seconds_of(runs: Sequence[Run]) -> float:
    """For which at least one of them was under way."""
    total, reached = 0.0, float("-inf")
    for run in sorted(runs, key=lambda run: run.begin):
        total += max(0.0, run.end - max(run.begin, reached))
        reached = max(reached, run.end)
    return total


def watched(words: Sequence[str], folder: Path) -> list[Look]:
    """Runs a command to its end and looks at it meanwhile, the first time before it begins.

    What it says on standard output is thrown away. Raises CalledProcessError where it fails.
    """
    looks, ended = [Look(time.time(), {}, _free(folder))], threading.Event()

    def watch(process: int) -> None:
        while not ended.wait(_LOOK_SECONDS):
            looks.append(Look(time.time(), {each: own_bytes(each) for each in _tree(process)}, _free(folder)))

    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        watcher = threading.Thread(target=watch, args=(process.pid,), daemon=True)
        watcher.start()
        try:
            if process.wait(timeout=_LONGEST_SECONDS):
                raise subprocess.CalledProcessError(process.returncode, words)
        finally:
            process.kill()
            ended.set()
            watcher.join(timeout=10)
    return looks


def _free(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def _tree(process: int) -> Iterator[int]:
    """The process, and those that it and its have started."""
    yield process
    for thread in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = thread.read_text().split()
        except OSError:
            continue
        for child in children:
            yield from _tree(int(child))


def built(settings: Settings, workers: int) -> Built:
    """Builds the lake of the settings, which must be those of the environment. Raises CalledProcessError."""
    lake = Lake.from_settings(settings)
    looks = watched([*_BUILD, "--workers", str(workers)], Path(settings.lake).parent)
    with DagsterInstance.get() as instance:
        runs = list(_runs(instance))
    bounds = _bounds(lake, settings, workers)
    assets = {}
    for stage in in_order(settings):
        own = [run for run in runs if run.asset == stage.asset]
        rows = 0 if place_of(stage.asset).kind is Kind.JSON else _rows(lake, stage)
        peak = max((peak_of(run, looks) for run in own), default=0)
        assets[stage.asset] = Taken(rows, seconds_of(own), peak, bounds.get(stage.asset))
    return Built(
        seconds=looks[-1].at - looks[0].at,
        tree_bytes=max(sum(look.bytes.values()) for look in looks),
        disk_bytes=looks[0].free - min(look.free for look in looks),
        assets=assets,
    )


def _runs(instance: DagsterInstance) -> Iterator[Run]:
    for record in instance.get_run_records():
        process = int(record.dagster_run.tags[BUILDER].rpartition(":")[2])
        for asset in record.dagster_run.asset_selection or ():
            if record.start_time is not None and record.end_time is not None:
                yield Run(asset.to_user_string(), process, record.start_time, record.end_time)


def _rows(lake: Lake, stage: Stage) -> int:
    return sum(lake.ledger(stage.asset, key).rows_out for key in stage.partitions or (None,))


def _bounds(lake: Lake, settings: Settings, workers: int) -> dict[str, float]:
    """The most bytes that a run of each asset may take, as `ais plan` has it."""
    records = sum(lake.ledger("raw_records", day).rows_out for day in settings.day_keys)
    positions = sum(lake.ledger("track_shards", shard).rows_out for shard in settings.shard_keys)
    load = load_of(
        lake,
        settings,
        positions,
        records=records,
        cores=workers,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    )
    return {stage.asset: stage.peak_bytes for stage in plan(load, MEASURED_RATES).stages}


def _table(found: Built) -> Table:
    table = Table(title="Runs side by side", title_justify="left")
    table.add_column("asset", no_wrap=True)
    for column in ("rows", "seconds", "rows/s", "MB a run", "by the plan"):
        table.add_column(column, justify="right", no_wrap=True)
    for asset, taken in found.assets.items():
        table.add_row(
            asset,
            f"{taken.rows:,}" if taken.rows else "",
            f"{taken.seconds:,.1f}",
            f"{taken.rows / taken.seconds:,.0f}" if taken.rows and taken.seconds else "",
            f"{taken.peak_bytes / 1e6:,.0f}",
            "" if taken.bound_bytes is None else f"{taken.bound_bytes / 1e6:,.0f}",
        )
    return table


@click.command()
@click.option("--days", type=click.IntRange(min=1), default=7, show_default=True)
@click.option("--vessels", type=click.IntRange(min=10), default=2750, show_default=True, help="20 M rows a day.")
@click.option("--shards", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--piles", type=click.IntRange(min=1), default=32, show_default=True)
@window_formats_option
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default: one a core.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="With room; default: a temporary one.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(
    *,
    days: int,
    vessels: int,
    shards: int,
    piles: int,
    window_formats: tuple[str, ...],
    workers: int | None,
    folder: Path | None,
    as_json: bool,
) -> None:
    """A week of days of 20 M rows by `ais build`: 43 GB of disk, and ten minutes on two cores."""
    workers = workers or usable_cores()
    wanted = {
        "simulated_vessels": vessels,
        "shards": shards,
        "piles": piles,
        "window_formats": ",".join(window_formats),
    }
    with (
        TemporaryDirectory(prefix="ais-bench-", dir=folder) as name,
        lake_environment(Path(name), days, **wanted) as settings,
    ):
        found = built(settings, workers)
    if as_json:
        click.echo(json.dumps({"machine": machine(), **asdict(found), "over": found.over}, indent=1))
        return
    console = terminal()
    console.print(_table(found))
    over = f"over the plan: {', '.join(found.over)}" if found.over else "no run took more than the plan says"
    console.print(
        f"{workers} processes, {found.seconds:,.0f} s, {found.tree_bytes / 1e9:.1f} GB of memory and "
        f"{found.disk_bytes / 1e9:.1f} GB of disk at most; {over}; {machine()['cpu']}",
        highlight=False,
    )
