"""`ais status`: what the lake holds of each asset, and where its rows went."""

from __future__ import annotations

import json

import click

from ais_assets.cli.summary import show, stage_summary
from ais_assets.cli.terminal import failures, open_lake, settings_or_fail, terminal
from ais_assets.definitions import platform_assets


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(*, as_json: bool) -> None:
    """What the lake holds of each asset, and where its rows went."""
    settings = settings_or_fail()
    with failures():
        summary = stage_summary(open_lake(settings), platform_assets(settings).values(), {})
    if as_json:
        click.echo(json.dumps({"lake": settings.lake, "stages": [row.as_json() for row in summary]}, indent=1))
    else:
        show(terminal(), summary, title=settings.lake)
