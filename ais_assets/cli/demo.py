"""`ais demo`: everything, by default from simulated AIS, and the first training batch."""

from __future__ import annotations

import json
from typing import Any

import click

from ais_assets.cli.build import run_build
from ais_assets.cli.summary import Summary, show
from ais_assets.cli.terminal import open_lake, settings_or_fail, terminal
from ais_assets.settings import Settings


@click.command("demo")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default: one a core.")
def command(*, as_json: bool, workers: int | None) -> None:
    """Builds everything, by default from simulated AIS, and shows the first training batch."""
    settings = settings_or_fail()
    built = run_build(settings, days=None, assets=None, workers=workers, quiet=as_json)
    summary = Summary.of(open_lake(settings), settings, built.seconds)
    batch = first_batch(settings)
    if as_json:
        click.echo(json.dumps({**summary.as_json(), "warnings": built.notes, "first_batch": batch}, indent=1))
        return
    console = terminal()
    show(console, summary, settings.lake)
    console.print(f"First training batch: {batch['batch']} {batch['dtype']}", highlight=False)
    console.print(f"  to see {batch['input']}, to forecast {batch['target']}", highlight=False)
    console.print("\nWhere to look next", style="bold")
    console.print("  make dev          the asset graph, runs and backfills in the browser")
    console.print("  ais status        what the lake holds")
    console.print(f"  {settings.lake}/card.html", soft_wrap=True)
    console.print("                    the dataset's card: features, statistics, how to load it")


def first_batch(settings: Settings) -> dict[str, Any]:
    """Shapes of the first training batch and its two halves."""
    from ais_assets.io.streaming_loader import split_input_target  # noqa: PLC0415 - loads torch

    lake = open_lake(settings)
    if "mds" in settings.window_formats:
        dataset = lake.loader(local=settings.cache / "mds", batch_size=64, shuffle=True)
    else:
        dataset = lake.loader(local=settings.cache, format="tracks", batch_size=64, shuffle=True)
    batch = next(iter(dataset))
    seen, ahead = split_input_target(batch, settings.seq_len)
    return {
        "batch": list(batch.shape),
        "dtype": str(batch.dtype),
        "input": list(seen.shape),
        "target": list(ahead.shape),
    }
