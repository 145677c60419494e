"""What all commands share: where people read, how errors reach them, and the settings, lake and instance at hand."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console

from ais_assets import operating
from ais_assets.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from ais_assets.io.lake import Lake

_PIPED_WIDTH: Final = 120
"""Columns of a table that goes to a file or another program."""

INSTANCE_FOLDER = Path("data/dagster")
"""Where runs are recorded when DAGSTER_HOME does not say otherwise."""
DAGSTER_YAML = Path(operating.__file__).with_name("dagster.yaml")
"""How an instance of one machine is set up."""


class Failure(click.ClickException):
    """A message for people, without a stack."""


def terminal() -> Console:
    """A console for tables: as wide as the terminal, or wide enough where its output goes elsewhere.

    It takes no text for markup: a lake may be called /x[/b], and a ship too.
    """
    console = Console(markup=False)
    return console if console.is_terminal else Console(width=_PIPED_WIDTH, markup=False)


def settings_or_fail() -> Settings:
    """The settings; a wrong one ends the command with what it should be."""
    try:
        return load_settings()
    except SettingsError as error:
        raise Failure(str(error)) from None


@contextmanager
def failures() -> Iterator[None]:
    """Errors that say themselves what to do are shown as they are, without a stack."""
    try:
        yield
    except (LookupError, OSError, ValueError) as error:
        raise Failure(str(error)) from error


def open_lake(settings: Settings) -> Lake:
    """The lake of the settings."""
    from ais_assets.io.lake import Lake  # noqa: PLC0415 - Arrow takes a moment to import

    return Lake.from_settings(settings)


@contextmanager
def open_instance() -> Iterator[DagsterInstance]:
    """The Dagster instance of `instance_home`."""
    from dagster import DagsterInstance  # noqa: PLC0415 - Dagster takes a second to import

    os.environ["DAGSTER_HOME"] = str(instance_home())
    with DagsterInstance.get() as instance:
        yield instance


def instance_home() -> Path:
    """The folder that DAGSTER_HOME names, else data/dagster: absolute and there, as Dagster wants it.

    One without a dagster.yaml, and data/dagster always, gets the project's: without one Dagster sends telemetry. A
    dagster.yaml of the user's own is left as it is. Raises Failure when the folder cannot be made.
    """
    named = os.environ.get("DAGSTER_HOME")
    home = Path(named or INSTANCE_FOLDER).expanduser().absolute()
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not named or not (home / "dagster.yaml").exists():
            shutil.copyfile(DAGSTER_YAML, home / "dagster.yaml")
    except OSError as error:
        raise Failure(
            f"runs cannot be recorded in {home}: {error}. Set DAGSTER_HOME to a folder that can be written"
        ) from error
    return home
