"""The documentation is true: its settings exist, its links lead somewhere, its commands are understood.

Its Python runs in integration/test_graph.py, over a lake that is built there.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from ais_assets.cli.main import main
from ais_assets.settings import Settings
from ais_assets.settings.variables import variable_of
from ais_assets_tests.conftest import PROJECT
from ais_assets_tests.reference_pages import PAGES as MADE

PAGES = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md"), *(PROJECT / "ais_assets").rglob("*.md")])
BLOCK = re.compile(r"```\n(.*?)```", re.DOTALL)
INLINE = re.compile(r"`(ais [^`]+)`")
OPTIONAL = re.compile(r"\[[^]]*\]")


def name_of(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


@pytest.mark.parametrize("path", MADE, ids=name_of)
def test_pages_that_are_made_from_code_are_of_this_code(path: Path) -> None:
    assert path.read_text() == MADE[path](), "run: python -m ais_assets_tests.reference_pages"


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_settings_that_are_named_exist(path: Path) -> None:
    known = {variable_of(field) for field in Settings.model_fields}
    assert set(re.findall(r"\bAIS_[A-Z][A-Z0-9_]*[A-Z0-9]\b", path.read_text())) <= known


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text())
    dead = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert not dead


def commands(path: Path) -> list[str]:
    """Every `ais …` of a page, in its blocks and its text; of alternatives in brackets, none."""
    text = path.read_text()
    lines = [line.strip() for block in BLOCK.findall(text) for line in block.splitlines()]
    lines = [line.removeprefix(".venv/bin/") for line in lines]
    whole = [line for line in lines if line.startswith("ais ")] + INLINE.findall(text)
    return [OPTIONAL.sub("", line.replace("\n", " ")).partition(" > ")[0] for line in whole]


@pytest.mark.parametrize(
    ("path", "line"), [pytest.param(path, line, id=line) for path in PAGES for line in dict.fromkeys(commands(path))]
)
def test_commands_are_understood(path: Path, line: str) -> None:
    """Parsed, not run: a command or an option that is not there is a UsageError."""
    command: click.Command = main
    # A page's FILE stands for any that is there.
    words = [str(path) if word == "FILE" else word for word in shlex.split(line)[1:]]
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"no command {words[0]}"
        command, words = found, words[1:]
    if words not in (["--version"], ["--help"]):
        command.make_context("ais", words, resilient_parsing=not words)
