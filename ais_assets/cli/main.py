"""The `ais` command."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from ais_assets import bench as bench_package
from ais_assets import operating
from ais_assets.cli.terminal import terminal
from ais_assets.operating.planning import GIGABYTE, MEASURED_RATES, Load, Plan, Rates, plan, rates_file
from ais_assets.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from ais_assets.io.lake import Lake
    from ais_assets.operating.building import Done
    from ais_assets.operating.prune import Leftover

MORE_THAN_NOUGHT = click.FloatRange(min=0, min_open=True)

INSTANCE_FOLDER = Path("data/dagster")
"""Where runs are recorded when DAGSTER_HOME does not say otherwise."""
DAGSTER_YAML = Path(operating.__file__).with_name("dagster.yaml")
"""How an instance of one machine is set up."""


class Failure(click.ClickException):
    """A message for people, without a stack."""


class Benches(click.Group):
    """One command a module of `ais_assets.bench` that has a `command`; only the one that runs is imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the modules."""
        return sorted(
            path.stem for path in Path(bench_package.__file__).parent.glob("[a-z]*.py") if path.stem != "race"
        )

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The module's command; None where there is no such module."""
        if cmd_name not in self.list_commands(ctx):
            return None
        return import_module(f"ais_assets.bench.{cmd_name}").command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """AIS position reports to shuffled training windows.

    Settings are environment variables AIS_*; see the README.
    """


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default: one a core.")
def demo(*, as_json: bool, workers: int | None) -> None:
    """Builds everything, by default from simulated AIS, and shows the first training batch."""
    settings = settings_or_fail()
    seconds = run_build(settings, days=None, assets=None, workers=workers, quiet=as_json)
    summary = stage_summary(open_lake(settings), settings, seconds)
    batch = first_batch(settings)
    if as_json:
        click.echo(json.dumps({"stages": [row.as_json() for row in summary], "first_batch": batch}, indent=1))
        return
    console = terminal()
    show(console, summary)
    console.print(f"First training batch: {batch['batch']} {batch['dtype']}", highlight=False)
    console.print(f"  to see {batch['input']}, to forecast {batch['target']}", highlight=False)
    console.print("\nWhere to look next", style="bold")
    console.print("  make dev          the asset graph, runs and backfills in the browser")
    console.print("  ais status        what the lake holds")
    console.print(f"  {settings.lake}/mds/README.md", soft_wrap=True)
    console.print("                    the dataset's card: features, statistics, how to load it")


@main.command()
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), help="First day; default: AIS_FIRST_DAY.")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), help="Last day; default: AIS_LAST_DAY.")
@click.option("--only", "assets", multiple=True, help="Build this asset only; may be repeated.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default: one a core, as fit into memory.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def build(*, first: Any, last: Any, assets: Sequence[str], workers: int | None, as_json: bool) -> None:
    """Materializes every stage: days from --from to --to, then all shards, then all piles."""
    settings = settings_or_fail()
    days = days_between(settings, first.date() if first else None, last.date() if last else None)
    seconds = run_build(settings, days=days, assets=assets or None, workers=workers, quiet=as_json)
    summary = stage_summary(open_lake(settings), settings, seconds)
    if as_json:
        click.echo(json.dumps({"stages": [row.as_json() for row in summary]}, indent=1))
    else:
        show(terminal(), summary)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def status(*, as_json: bool) -> None:
    """What the lake holds of each asset, and where its rows went."""
    settings = settings_or_fail()
    with failures():
        summary = stage_summary(open_lake(settings), settings, {})
    if as_json:
        click.echo(json.dumps({"lake": settings.lake, "stages": [row.as_json() for row in summary]}, indent=1))
    else:
        show(terminal(), summary, title=settings.lake)


@main.command()
@click.option(
    "--older-than", type=click.FloatRange(min=0), default=24.0, show_default=True, help="Hours that nothing names them."
)
@click.option("--dry-run", is_flag=True, help="Show what would go, and delete nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def prune(*, older_than: float, dry_run: bool, as_json: bool) -> None:
    """Deletes former archives and MDS shards that nothing names any more, and what AIS_CACHE still has of them.

    A rebuilt partition leaves its former folder to those who read it. A training run that began with a former index
    needs its shards to the end: give it more hours than it takes. Not while a build is running.
    """
    from ais_assets.operating.prune import leftovers, remove  # noqa: PLC0415 - pyarrow takes a while to import

    settings = settings_or_fail()
    with failures():
        lake = open_lake(settings)
        found = leftovers(lake, settings.cache, before=time.time() - 3600 * older_than)
        for leftover in [] if dry_run else found:
            remove(lake, leftover)
    if as_json:
        rows = [
            {"asset": of.asset, "where": of.where, "bytes": of.size, "since": f"{_utc(of.since):%FT%TZ}"}
            for of in found
        ]
        click.echo(json.dumps({"lake": settings.lake, "deleted": not dry_run, "leftovers": rows}, indent=1))
    else:
        terminal().print(leftover_table(found, deleted=not dry_run))


def leftover_table(found: Sequence[Leftover], *, deleted: bool) -> Table:
    """What goes, for people."""
    table = Table(title="Deleted" if deleted else "Would be deleted", title_justify="left", show_footer=True)
    table.add_column("asset", "all", no_wrap=True)
    table.add_column("where", f"{len(found):,}", no_wrap=True)
    table.add_column("bytes", f"{sum(of.size for of in found):,}", justify="right", no_wrap=True)
    table.add_column("named by nothing since", justify="right", no_wrap=True)
    for of in found:
        table.add_row(of.asset, of.where, f"{of.size:,}", f"{_utc(of.since):%F %R} UTC")
    return table


def _utc(unix_time: float) -> datetime:
    return datetime.fromtimestamp(unix_time, UTC)


@main.command("plan")
@click.option("--records", type=click.IntRange(min=1), default=Load.records, show_default=True, help="Rows in all.")
@click.option("--days", type=click.IntRange(min=1), default=Load.days, show_default=True)
@click.option("--positions", type=click.IntRange(min=1), help="Of tracks.  [default: as the reference year has]")
@click.option("--windows", type=click.IntRange(min=1), help="[default: as the reference year has]")
@click.option("--validation", type=click.FloatRange(0, 1), default=Load.validation, show_default=True, help="Share.")
@click.option("--holdout", type=click.FloatRange(0, 1), default=Load.holdout, show_default=True, help="Share.")
@click.option("--machines", type=click.IntRange(min=1), default=Load.machines, show_default=True, help="Alike.")
@click.option("--cores", type=click.IntRange(min=1), default=Load.cores, show_default=True)
@click.option(
    "--memory", type=MORE_THAN_NOUGHT, default=Load.memory / GIGABYTE, show_default=True, help="Gigabytes, each."
)
@click.option(
    "--network", type=MORE_THAN_NOUGHT, default=1000.0, show_default=True, help="MB/s to the lake, or its disk's, each."
)
@click.option("--shards", type=click.IntRange(min=1), help="AIS_SHARDS.  [default: by memory]")
@click.option("--piles", type=click.IntRange(min=1), help="AIS_PILES.  [default: some 425,000 windows each]")
@click.option("--gather-gigabytes", type=MORE_THAN_NOUGHT, help="AIS_GATHER_GIGABYTES.  [default: if it is quicker]")
@click.option("--core-hour", type=click.FloatRange(min=0), default=Load.core_hour, show_default=True, help="Its price.")
@click.option(
    "--gigabyte-month", type=click.FloatRange(min=0), default=Load.gigabyte_month, show_default=True, help="Its price."
)
@click.option("--rates", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Of `ais bench rates`.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def plan_command(*, memory: float, network: float, rates: Path | None, as_json: bool, **load: Any) -> None:
    """Shards, piles, memory, bytes, time and cost of a build, by stage, and what binds each.

    It rests on the rates that `ais bench rates` measured on this machine, or else on those of an EPYC.
    """
    with failures():
        found = rates or (rates_file() if rates_file().exists() else None)
        rested = MEASURED_RATES if found is None else Rates.from_json(found.read_text())
        planned = plan(Load(memory=memory * GIGABYTE, network=network * 1e6, **load), rested)
    if as_json:
        click.echo(json.dumps(planned.as_json(), indent=1))
        return
    console = terminal()
    console.print(plan_table(planned))
    measured = "measured on" if found else "of a machine that is not this one (measure: ais bench rates),"
    cost = planned.cost
    for line in (
        " ".join(f"{name}={value}" for name, value in planned.environment.items()),
        *planned.notes,
        f"{planned.seconds / 3600:.2f} hours; {planned.lake_bytes / GIGABYTE:,.0f} GB in the lake",
        f"cost: {cost['machine']:.2f} for the machines, {cost['lake a month']:.2f} a month for the lake",
        f"rates {measured} {planned.rates.machine}",
    ):
        console.print(line, highlight=False, soft_wrap=True)


def plan_table(planned: Plan) -> Table:
    """The stages of a plan, for people."""
    table = Table(title="What a build takes; a turn's stages are built together", title_justify="left")
    table.add_column("asset", no_wrap=True)
    for column in ("units", "runs", "at once", "MB each", "GB in", "GB out", "minutes", "turn", "bound by"):
        table.add_column(column, justify="right", no_wrap=True)
    for turn in planned.turns:
        together = turn.seconds(planned.work.load)
        for number, stage in enumerate(turn.stages):
            table.add_row(
                stage.asset,
                f"{stage.units / 1e6:,.0f} M {stage.unit}",
                f"{stage.partitions:,}",
                f"{stage.processes}",
                f"{stage.peak_bytes / 1e6:,.0f}",
                f"{stage.bytes_read / GIGABYTE:,.1f}",
                f"{stage.bytes_written / GIGABYTE:,.1f}",
                f"{stage.seconds / 60:,.1f}",
                f"{together / 60:,.1f}" if number == 0 else "",
                stage.bound_by,
            )
    return table


@main.command(cls=Benches)
def bench() -> None:
    """Measures stages on this machine, each beside a baseline in the same run."""


def settings_or_fail() -> Settings:
    """The settings; a wrong one ends the command with what it should be."""
    try:
        return load_settings()
    except SettingsError as error:
        raise Failure(str(error)) from None


@contextmanager
def failures() -> Iterator[None]:
    """Errors that say themselves what to do are shown as they are, without a stack."""
    try:
        yield
    except (LookupError, OSError, ValueError) as error:
        raise Failure(str(error)) from error


def days_between(settings: Settings, first: date | None, last: date | None) -> list[str] | None:
    """Partition keys from `first` to `last`, both inclusive; None for the whole range."""
    if first is None and last is None:
        return None
    first, last = first or settings.first_day, last or settings.last_day
    if first > last:
        raise Failure(f"--from {first} is after --to {last}")
    if first < settings.first_day or last > settings.last_day:
        raise Failure(
            f"{first} to {last} leaves the range {settings.first_day} to {settings.last_day}: "
            "widen AIS_FIRST_DAY and AIS_LAST_DAY"
        )
    return [day.isoformat() for day in settings.days if first <= day <= last]


def open_lake(settings: Settings) -> Lake:
    """The lake of the settings."""
    from ais_assets.resources.lake import LakeResource  # noqa: PLC0415 - Dagster takes a second to import

    return LakeResource.from_settings(settings).open()


@contextmanager
def open_instance() -> Iterator[DagsterInstance]:
    """The Dagster instance of `instance_home`."""
    from dagster import DagsterInstance  # noqa: PLC0415 - Dagster takes a second to import

    os.environ["DAGSTER_HOME"] = str(instance_home())
    with DagsterInstance.get() as instance:
        yield instance


def instance_home() -> Path:
    """The folder that DAGSTER_HOME names, else data/dagster: absolute and there, as Dagster wants it.

    One without a dagster.yaml, and data/dagster always, gets the project's: without one Dagster sends telemetry. A
    dagster.yaml of the user's own is left as it is. Raises Failure when the folder cannot be made.
    """
    named = os.environ.get("DAGSTER_HOME")
    home = Path(named or INSTANCE_FOLDER).expanduser().absolute()
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not named or not (home / "dagster.yaml").exists():
            shutil.copyfile(DAGSTER_YAML, home / "dagster.yaml")
    except OSError as error:
        raise Failure(
            f"runs cannot be recorded in {home}: {error}. Set DAGSTER_HOME to a folder that can be written"
        ) from error
    return home


def run_build(
    settings: Settings,
    *,
    days: Sequence[str] | None,
    assets: Sequence[str] | None,
    workers: int | None,
    quiet: bool,
) -> dict[str, float]:
    """Builds with progress on the terminal; returns each asset's seconds from its first run's start to its last's."""
    from ais_assets.operating.building import STAGES, BuildError, build  # noqa: PLC0415 - Dagster takes a second to import

    known = [asset for stage in STAGES for asset in stage]
    for asset in assets or ():
        if asset not in known:
            raise Failure(f"no asset {asset!r}; there are {', '.join(known)}")
    progress = BuildProgress(quiet=quiet)
    with open_instance() as instance, progress:
        try:
            build(
                settings,
                instance,
                days=days,
                assets=assets,
                workers=workers,
                on_start=progress.start,
                on_done=progress.advance,
                on_note=progress.note,
            )
        except BuildError as error:
            raise Failure(str(error)) from None
    return progress.seconds


class BuildProgress:
    """A bar for each asset in a terminal, a line for each when piped."""

    def __init__(self, *, quiet: bool) -> None:
        self.seconds: dict[str, float] = {}
        self._started: dict[str, float] = {}
        self._left: dict[str, int] = {}
        self._bars: dict[str, TaskID] = {}
        self._console = Console(stderr=True, quiet=quiet)
        self._progress = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> BuildProgress:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def start(self, asset: str, partitions: int) -> None:
        """An asset's runs begin."""
        self._started[asset] = time.monotonic()
        self._left[asset] = partitions
        self._bars[asset] = self._progress.add_task(asset, total=partitions)

    def note(self, text: str) -> None:
        """Something that people should know, above the bars."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def advance(self, done: Done) -> None:
        """One of its runs ended."""
        for warning in done.warnings:
            self.note(f"{done.task}: {warning}")
        asset, count = done.task.asset, max(1, len(done.task.partitions))
        self._left[asset] -= count
        self._progress.advance(self._bars[asset], count)
        self.seconds[asset] = time.monotonic() - self._started[asset]
        if self._left[asset] == 0 and not self._console.is_terminal:
            self._console.print(f"{asset}: {self.seconds[asset]:.1f} s", highlight=False)


@dataclass
class StageRow:
    """One asset in the summary."""

    asset: str
    there: int
    partitions: int
    rows_in: int | None = None
    rows_out: int | None = None
    dropped: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    size: int | None = None
    seconds: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The row for a program."""
        return {
            "asset": self.asset,
            "partitions_there": self.there,
            "partitions": self.partitions,
            "rows_in": self.rows_in,
            "rows_out": self.rows_out,
            "dropped": self.dropped,
            "notes": self.notes,
            "bytes": self.size,
            "seconds": self.seconds,
        }


def stage_summary(lake: Lake, settings: Settings, seconds: dict[str, float]) -> list[StageRow]:
    """What the lake holds of each asset, from the files' own accounts."""
    from ais_assets.operating.building import STAGES, partition_keys  # noqa: PLC0415 - Dagster takes a second to import
    from ais_assets.operating.inventory import holdings  # noqa: PLC0415

    rows = []
    for asset in (asset for stage in STAGES for asset in stage):
        keys = partition_keys(asset, settings)
        held = holdings(lake, asset, keys)
        rows.append(
            StageRow(
                asset,
                there=held.partitions,
                partitions=max(1, len(keys)),
                rows_in=held.ledger.rows_in if held.ledger else None,
                rows_out=held.ledger.rows_out if held.ledger else None,
                dropped={rule: count for rule, count in held.ledger.dropped.items() if count} if held.ledger else {},
                notes=held.ledger.notes if held.ledger else {},
                size=held.size,
                seconds=seconds.get(asset),
            )
        )
    return rows


def show(console: Console, rows: Sequence[StageRow], title: str | None = None) -> None:
    """Prints both tables."""
    console.print(stage_table(rows, title))
    console.print(account_table(rows))


def stage_table(rows: Sequence[StageRow], title: str | None = None) -> Table:
    """What there is of each asset, for people."""
    table = Table(title=title, title_justify="left")
    table.add_column("asset", no_wrap=True)
    for column in ("there", "rows in", "rows out", "bytes", "seconds"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.asset,
            f"{row.there}/{row.partitions}",
            "" if row.rows_in is None else f"{row.rows_in:,}",
            "" if row.rows_out is None else f"{row.rows_out:,}",
            "" if row.size is None else f"{row.size:,}",
            "" if row.seconds is None else f"{row.seconds:.1f}",
        )
    return table


def account_table(rows: Sequence[StageRow]) -> Table:
    """Where each asset's rows went, by rule, and its other counts, for people."""
    table = Table(title="Where the rows went", title_justify="left")
    table.add_column("asset", no_wrap=True)
    table.add_column("dropped by rule, and counts", no_wrap=True)
    table.add_column("rows", justify="right", no_wrap=True)
    for row in rows:
        lines = [(f"dropped: {rule}", count) for rule, count in row.dropped.items()]
        lines += [(name.replace("_", " "), count) for name, count in row.notes.items() if count]
        for number, (name, count) in enumerate(lines):
            table.add_row(row.asset if number == 0 else "", name, f"{count:,}", end_section=number == len(lines) - 1)
    return table


def first_batch(settings: Settings) -> dict[str, Any]:
    """Shapes of the first training batch and its two halves."""
    from ais_assets.io.streaming_loader import split_input_target  # noqa: PLC0415 - loads torch

    dataset = open_lake(settings).loader(local=settings.cache / "mds", batch_size=64, shuffle=True)
    batch = next(iter(dataset))
    seen, ahead = split_input_target(batch, settings.seq_len)
    return {
        "batch": list(batch.shape),
        "dtype": str(batch.dtype),
        "input": list(seen.shape),
        "target": list(ahead.shape),
    }
