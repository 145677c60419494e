"""docs/settings.md, made from the settings: `python -m ais_assets_tests.settings_page`."""

from __future__ import annotations

from pydantic_core import PydanticUndefined

from ais_assets.settings import Settings
from ais_assets.settings.variables import variable_of, written
from ais_assets_tests.conftest import PROJECT

PAGE = PROJECT / "docs" / "settings.md"
HEAD = """# Settings

Environment variables, or lines of a `.env` file in the folder at hand. A wrong value, a name that is no setting's, and
an address that is not clear are refused at start, with what they should be. `ais settings` shows what is in force and
where each value came from; without user, password and query where it is an address.

This page is made from the settings themselves (`python -m ais_assets_tests.settings_page`).

| variable | default | what it is |
|---|---|---|
"""


def page() -> str:
    """The page as it should be."""
    return HEAD + "".join(row(name) for name in Settings.model_fields)


def row(name: str) -> str:
    """A setting's line of the table."""
    field = Settings.model_fields[name]
    default = "" if field.default is PydanticUndefined else written(field.default)
    shown = f"`{default}`" if default else ""
    return f"| `{variable_of(name)}` | {shown} | {(field.description or '').replace('|', chr(92) + '|')} |\n"


if __name__ == "__main__":
    PAGE.write_text(page())
