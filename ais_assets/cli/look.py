"""`ais look FILE`: what a file is, and the settings that read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ais_assets.cli.terminal import failures, settings_or_fail, terminal
from ais_assets.sources.look import look


@click.command("look")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def command(*, file: Path, as_json: bool) -> None:
    """Says what FILE is: source, header, span of time, rows that are read and not, and the settings to type.

    A table's columns are taken from AIS_TABLE_COLUMNS, where it is set.
    """
    settings = settings_or_fail()
    with failures():
        found: dict[str, Any] = look(file, settings.table_columns, settings.table_delimiter)
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    console = terminal()
    for name, value in found.items():
        shown = "\n".join(f"  export {line}" for line in value) if name == "settings" else str(value)
        console.print(f"{name}:" + ("\n" if name == "settings" else " ") + shown, markup=False, soft_wrap=True)
