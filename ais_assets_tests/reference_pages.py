"""Pages of docs/ that are made from the code: `python -m ais_assets_tests.reference_pages`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import cleandoc
from pathlib import Path

import click
import pyarrow as pa
from pydantic_core import PydanticUndefined

from ais_assets import schema
from ais_assets.cli.main import main
from ais_assets.io.catalog import DESCRIPTIONS, WINDOWS, schema_of
from ais_assets.settings import Settings
from ais_assets.settings.variables import variable_of, written
from ais_assets_tests.conftest import PROJECT

WINDOW_LEN = schema.SEQ_LEN + schema.MAX_HORIZON
MADE = "This page is made from the code (`python -m ais_assets_tests.reference_pages`)."
SETTINGS = f"""# Settings

Environment variables, or lines of a `.env` file in the folder at hand. A wrong value, a name that is no setting's, and
an address that is not clear are refused at start, with what they should be. `ais settings` shows what is in force and
where each value came from; without user, password and query where it is an address.

{MADE}

| variable | default | what it is |
|---|---|---|
"""
COMMANDS = f"""# Commands

`ais` is in `.venv/bin`. Settings are environment variables ([settings](settings.md)). Tables are for people; with
`--json` a command prints one JSON object instead, and progress stays on the error stream.

For completion in bash put `eval "$(_AIS_COMPLETE=bash_source ais)"` into `~/.bashrc`; in zsh, `zsh_source` into
`~/.zshrc`.

{MADE}
"""
COLUMNS = f"""# Columns and units

Every file says this of itself: units and descriptions are in the metadata of its Parquet columns. `Lake.sql` and
`Lake.table` give whole numbers of micro-degrees and tenths as degrees and knots, under the shorter names.

{MADE}
"""

MEASURED = "4.96 bytes a position in a file, as [measured](measured.md#bytes-of-a-position), column by column.\n\n"
NOTES = {"track_shards": MEASURED}


def settings_page() -> str:
    """Every setting, its default and what it is."""
    return SETTINGS + "".join(_setting_row(name) for name in Settings.model_fields)


def commands_page() -> str:
    """Every command with its arguments and options, as `--help` says them."""
    context = click.Context(main, info_name="ais")
    return COMMANDS + "".join(_command_sections(context, main))


def columns_page() -> str:
    """Every dataset's columns."""
    of_windows = ", ".join(WINDOWS)
    named = {name: schema_of(name, WINDOW_LEN) for name in DESCRIPTIONS if name not in WINDOWS}
    named[of_windows] = schema_of(WINDOWS[0], WINDOW_LEN)
    datasets = {name: of for name, of in named.items() if of is not None}
    return COLUMNS + "".join(f"\n## {name}\n\n{NOTES.get(name, '')}{_columns(of)}" for name, of in datasets.items())


PAGES: dict[Path, Callable[[], str]] = {
    PROJECT / "docs" / "settings.md": settings_page,
    PROJECT / "docs" / "commands.md": commands_page,
    PROJECT / "docs" / "columns.md": columns_page,
}


def _setting_row(name: str) -> str:
    field = Settings.model_fields[name]
    default = "" if field.default is PydanticUndefined else written(field.default)
    return _row(f"`{variable_of(name)}`", f"`{default}`" if default else "", field.description or "")


def _command_sections(context: click.Context, group: click.Group) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, f"{name} is listed and not there"
        within = click.Context(command, parent=context, info_name=name)
        if isinstance(command, click.Group):
            yield from _command_sections(within, command)
        else:
            yield _command_section(within, command)


def _command_section(context: click.Context, command: click.Command) -> str:
    # An indented paragraph would be a block of code.
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in cleandoc(command.help or "").split("\n\n"))
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    options = "".join(_row(f"`{record[0]}`", record[1]) for record in records if record and "--help" not in record[0])
    table = f"\n| option | |\n|---|---|\n{options}" if options else ""
    return f"\n## {context.command_path}\n\n{text}\n\n```text\n{usage}\n```\n{table}"


def _columns(of: pa.Schema) -> str:
    rows = [_row(f"`{field.name}`", f"`{field.type}`", *_said(field)) for field in of]
    return "| column | type | unit | |\n|---|---|---|---|\n" + "".join(rows)


def _said(field: pa.Field) -> tuple[str, str]:
    metadata = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    return metadata.get("unit", ""), metadata.get("description", "")


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


if __name__ == "__main__":
    for path, page in PAGES.items():
        path.write_text(page())
