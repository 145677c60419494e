"""Where people read what the commands print."""

from __future__ import annotations

from typing import Final

from rich.console import Console

_PIPED_WIDTH: Final = 120
"""Columns of a table that goes to a file or another program."""


def terminal() -> Console:
    """A console for tables: as wide as the terminal, or wide enough where its output goes elsewhere."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPED_WIDTH)
