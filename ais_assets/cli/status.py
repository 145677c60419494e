"""`ais status`: what the lake holds of each asset, what of it is stale, and where its rows went."""

from __future__ import annotations

import json
import sys

import click

from ais_assets.cli.summary import Summary, show
from ais_assets.cli.terminal import failures, open_lake, settings_or_fail, terminal


@click.command("status")
@click.option("--check", is_flag=True, help="Exit with 1 where anything is missing, stale, empty or of other settings.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(*, check: bool, as_json: bool) -> None:
    """What the lake holds of each asset, what of it is stale and why, and where its rows went."""
    settings = settings_or_fail()
    with failures():
        summary = Summary.of(open_lake(settings), settings)
    if as_json:
        click.echo(json.dumps({"lake": settings.lake, **summary.as_json()}, indent=1))
    else:
        show(terminal(), summary, settings.lake)
    if check and summary.faults:
        sys.exit(1)
