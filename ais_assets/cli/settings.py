"""`ais settings`: what is in force, where it came from and what it means."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from rich.table import Table

from ais_assets.cli.terminal import settings_or_fail, terminal
from ais_assets.settings import in_force


@click.command("settings")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array instead of a table.")
def command(*, as_json: bool) -> None:
    """Shows every setting: its value, where that came from, and what it is for.

    User, password and query of an address are shown as ***.
    """
    variables = in_force(settings_or_fail())
    if as_json:
        click.echo(json.dumps([asdict(variable) for variable in variables], indent=1))
        return
    table = Table(title="Settings in force", title_justify="left", show_lines=True)
    table.add_column("variable", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("from", no_wrap=True)
    table.add_column("meaning")
    for variable in variables:
        table.add_row(variable.name, variable.value, variable.origin, variable.meaning)
    terminal().print(table)
