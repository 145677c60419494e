"""`ais plan`: how large and how long a build is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from ais_assets.cli.terminal import failures, terminal
from ais_assets.operating.planning.plan import Plan, plan
from ais_assets.operating.planning.rates import MEASURED_RATES, Rates, rates_file
from ais_assets.operating.planning.workload import GIGABYTE, Load
from ais_assets.settings import WINDOW_FORMATS

MORE_THAN_NOUGHT = click.FloatRange(min=0, min_open=True)


def _formats(_: click.Context, __: click.Parameter, names: str) -> tuple[str, ...]:
    """Of AIS_WINDOW_FORMATS, in its order."""
    asked = {name.strip() for name in names.split(",") if name.strip()}
    if not asked <= set(WINDOW_FORMATS):
        raise click.BadParameter(
            f"{', '.join(sorted(asked - set(WINDOW_FORMATS)))}: there are {', '.join(WINDOW_FORMATS)}"
        )
    return tuple(name for name in WINDOW_FORMATS if name in asked)


window_formats = click.option(
    "--window-formats",
    default=lambda: os.environ.get("AIS_WINDOW_FORMATS", ",".join(WINDOW_FORMATS)),
    show_default="AIS_WINDOW_FORMATS",
    callback=_formats,
    help='"": tracks alone.',
)


@click.command("plan")
@click.option("--records", type=click.IntRange(min=1), default=Load.records, show_default=True, help="Rows in all.")
@click.option("--days", type=click.IntRange(min=1), default=Load.days, show_default=True)
@click.option("--positions", type=click.IntRange(min=1), help="Of tracks.  [default: as the reference year has]")
@click.option("--windows", type=click.IntRange(min=1), help="[default: as the reference year has]")
@click.option("--validation", type=click.FloatRange(0, 1), default=Load.validation, show_default=True, help="Share.")
@click.option("--holdout", type=click.FloatRange(0, 1), default=Load.holdout, show_default=True, help="Share.")
@click.option("--test", type=click.FloatRange(0, 1), default=Load.test, show_default=True, help="Share.")
@click.option("--machines", type=click.IntRange(min=1), default=Load.machines, show_default=True, help="Alike.")
@click.option("--cores", type=click.IntRange(min=1), default=Load.cores, show_default=True)
@click.option(
    "--memory", type=MORE_THAN_NOUGHT, default=Load.memory / GIGABYTE, show_default=True, help="Gigabytes, each."
)
@click.option(
    "--network", type=MORE_THAN_NOUGHT, default=1000.0, show_default=True, help="MB/s to the lake, or its disk's, each."
)
@click.option(
    "--latency", type=click.FloatRange(min=0), default=0.0, show_default=True, help="Of an answer of S3, milliseconds."
)
@click.option("--shards", type=click.IntRange(min=1), help="AIS_SHARDS.  [default: by memory]")
@click.option("--piles", type=click.IntRange(min=1), help="AIS_PILES.  [default: some 425,000 windows each]")
@click.option("--gather-gigabytes", type=MORE_THAN_NOUGHT, help="AIS_GATHER_GIGABYTES.  [default: if it is quicker]")
@window_formats
@click.option("--core-hour", type=click.FloatRange(min=0), default=Load.core_hour, show_default=True, help="Its price.")
@click.option(
    "--gigabyte-month", type=click.FloatRange(min=0), default=Load.gigabyte_month, show_default=True, help="Its price."
)
@click.option("--rates", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Of `ais bench rates`.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(*, memory: float, network: float, latency: float, rates: Path | None, as_json: bool, **load: Any) -> None:
    """Shards, piles, memory, bytes, time and cost of a build, by stage, and what binds each.

    It rests on the rates that `ais bench rates` measured on this machine, or else on those of a Xeon of 2 vCPUs.
    """
    with failures():
        found = rates or (rates_file() if rates_file().exists() else None)
        rested = MEASURED_RATES if found is None else Rates.from_json(found.read_text())
        where = {"memory": memory * GIGABYTE, "network": network * 1e6, "latency": latency / 1e3}
        planned = plan(Load(**where, **load), rested)
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
    asked = ["requests"] if planned.work.load.latency else []
    for column in ("units", "runs", "at once", "MB each", "GB in", "GB out", *asked, "minutes", "turn", "bound by"):
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
                *(f"{stage.requests.count:,.0f}" for _ in asked),
                f"{stage.seconds / 60:,.1f}",
                f"{together / 60:,.1f}" if number == 0 else "",
                stage.bound_by,
            )
    return table
