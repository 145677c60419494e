"""`ais sources`: what can be read, where it is published, and under which terms."""

from __future__ import annotations

import json

import click
from rich.table import Table

from ais_assets.cli.terminal import terminal
from ais_assets.sources import FILE_SOURCES, source_class


@click.command("sources")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(*, as_json: bool) -> None:
    """Lists the sources: AIS_SOURCE, the kinds of their files, where they are published, and their terms."""
    kinds = [source_class(name) for name in FILE_SOURCES]
    rows = [
        {
            "source": kind.name,
            "what": " ".join((kind.__doc__ or "").partition("\n\n")[0].split()),
            "files": list(kind.examples),
            "published": kind.home,
            "publisher": kind.publisher,
            "licence": kind.licence,
            "attribution": kind.attribution,
        }
        for kind in kinds
    ]
    if as_json:
        click.echo(json.dumps({"sources": rows}, indent=1))
        return
    table = Table()
    for name in ("AIS_SOURCE", "what", "files such as", "without AIS_SOURCE_URI", "terms"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(row["source"], row["what"], row["files"][0], row["published"] or "–", row["licence"])
    terminal().print(table)
