"""`ais doctor`: what would keep a build or a training run from its end."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click
from rich.table import Table

from ais_assets.cli.terminal import instance_home, open_lake, settings_or_fail, terminal
from ais_assets.operating.doctor import Finding, examine
from ais_assets.resources.source import SourceResource


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(*, as_json: bool) -> None:
    """Looks at the settings, this machine, the lake, the source and Dagster's instance; changes none of them.

    Exits with 0 where nothing is a fault (there may be warnings), with 1 where something is.
    """
    settings = settings_or_fail()
    home = instance_home()
    found = list(
        examine(settings, lambda: open_lake(settings), lambda: SourceResource.from_settings(settings).open(), home)
    )
    if as_json:
        click.echo(json.dumps({"findings": [asdict(finding) for finding in found]}, indent=1))
    else:
        terminal().print(findings_table(found))
    if any(finding.verdict == "fault" for finding in found):
        sys.exit(1)


def findings_table(found: list[Finding]) -> Table:
    """For people."""
    table = Table(show_header=False, box=None)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in found:
        table.add_row("" if finding.verdict == "well" else finding.verdict, finding.what, finding.found)
    return table
