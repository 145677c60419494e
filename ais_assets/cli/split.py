"""`ais split FILES --into FOLDER`: files that span many days, cut once into days."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from ais_assets.cli.terminal import Failure, failures, terminal
from ais_assets.settings import SettingsError, load_settings
from ais_assets.sources import source_class
from ais_assets.sources.delimited_source import DelimitedSource
from ais_assets.sources.split import UNDATED_FILE, split


@click.command("split")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--into", required=True, type=click.Path(path_type=Path), help="Folder of the days; made here.")
@click.option(
    "--memory-gigabytes",
    type=click.FloatRange(min=0.001),
    default=1.0,
    show_default=True,
    help="Rows held before they are written.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def command(*, files: tuple[Path, ...], into: Path, memory_gigabytes: float, as_json: bool) -> None:
    """Cuts FILES of AIS_SOURCE, and all such files of folders, into one file a UTC day.

    For sets whose files each span many days (a ship a file, a voyage a file, a zone and month a file), which every
    day would read whole otherwise. Every row is in exactly one day's file, as it stands, or named in a list of those
    without a readable time. The folder appears whole or not at all; the same files again are not cut again.
    """
    from ais_assets.resources.source import SourceResource  # noqa: PLC0415 - Dagster takes a second to import

    try:
        settings = load_settings(source_uri=str(into.absolute()))
    except SettingsError as error:
        raise Failure(str(error)) from None
    if settings.source == "simulated":
        raise Failure("set AIS_SOURCE to what the files are; `ais look FILE` says which it is")
    source: Any = SourceResource.from_settings(settings).open()
    values = settings.model_dump(mode="json")
    read_with = {name: values[name] for name in ("source", "source_zone", "table_columns", "table_delimiter")}
    with failures():
        cut, done = split(source, files, into, memory_bytes=int(memory_gigabytes * 1e9), read_with=read_with)
    lines = [f"AIS_SOURCE_URI={into}", "AIS_FILE_ZONE=UTC"]
    if issubclass(source_class(settings.source), DelimitedSource):
        # Exact to the row; a line of other formats may hold more than one message.
        lines.append("AIS_FILE_MARGIN_HOURS=0")
    if cut.days:
        lines += [f"AIS_FIRST_DAY={min(cut.days)}", f"AIS_LAST_DAY={max(cut.days)}"]
    if as_json:
        found = {"files": cut.files, "days": cut.days, "cut": done, "settings": lines}
        click.echo(json.dumps({**json.loads(cut.ledger.to_json()), **found}, indent=1))
        return
    console = terminal()
    table = Table("files", "rows", "days", "rows out", "without a readable time")
    lost = ", ".join(f"{reason} {rows:,}" for reason, rows in cut.ledger.dropped.items()) or "none"
    table.add_row(
        f"{len(cut.files):,}", f"{cut.ledger.rows_in:,}", f"{len(cut.days):,}", f"{cut.ledger.rows_out:,}", lost
    )
    console.print(table)
    if not done:
        console.print("These very files were cut before: nothing to do.")
    if cut.ledger.dropped:
        console.print(f"Each row without a readable time is named in {into / UNDATED_FILE}.", soft_wrap=True)
    console.print("To build from these days:", *(f"  export {line}" for line in lines), sep="\n", soft_wrap=True)
