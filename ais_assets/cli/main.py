"""The `ais` command: which commands there are."""

from __future__ import annotations

import ast
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click

COMMANDS = (
    *("bench", "build", "demo", "diff", "doctor", "inspect", "look", "plan", "prune", "releases", "settings"),
    *("sources", "split", "status", "trace", "verify"),
)


class Commands(click.Group):
    """One command a module of a package, which is imported when it is asked for.

    Args:
        package: dotted name; each module has its click command as `command`.
        names: of the modules that have one, with dashes for underscores.
    """

    def __init__(self, package: str, names: tuple[str, ...], **options: object) -> None:
        super().__init__(**options)  # pyright: ignore[reportArgumentType] - click's own options
        self._package = package
        self._names = names

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the modules, sorted."""
        return sorted(self._names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The module's command; None where there is no such module."""
        if cmd_name not in self._names:
            return None
        return import_module(self._module(cmd_name)).command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands by what their modules say of themselves: to import all of them takes two seconds."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._summary(name)) for name in self.list_commands(ctx)])

    def _module(self, name: str) -> str:
        return f"{self._package}.{name.replace('-', '_')}"

    def _summary(self, name: str) -> str:
        """The first paragraph of the module's docstring, which may begin with the command as it is typed."""
        spec = find_spec(self._module(name))
        assert spec is not None, f"no module of the command {name}"
        told = ast.get_docstring(ast.parse(Path(spec.origin or "").read_text(encoding="utf-8"))) or ""
        paragraph = " ".join(told.split("\n\n")[0].split())
        summary = paragraph.partition("`: ")[2] or paragraph
        return summary[:1].upper() + summary[1:]


main = Commands(
    "ais_assets.cli",
    COMMANDS,
    name="ais",
    help="AIS position reports to shuffled training windows.\n\n"
    "Settings are environment variables AIS_*: `ais settings` shows them.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
main = click.version_option(package_name="ais_assets", message="%(package)s %(version)s")(main)
