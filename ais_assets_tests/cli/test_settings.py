"""What the command says of itself and of its settings."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ais_assets.cli.main import main
from ais_assets.cli.terminal import terminal
from ais_assets.settings import Settings
from ais_assets_tests.patience import PATIENCE_SECONDS


def ais(*words: str) -> str:
    """What the command prints. It must succeed."""
    shown = CliRunner().invoke(main, words)
    assert shown.exit_code == 0, shown.output
    return shown.stdout


def test_version() -> None:
    assert ais("--version") == f"ais_assets {version('ais_assets')}\n"


@pytest.mark.parametrize("group", ["", "bench"])
def test_the_list_of_commands_has_a_line_of_each_and_imports_none(group: str) -> None:
    words = [*group.split(), "--help"]
    code = (
        f"import sys; from ais_assets.cli.main import main; main({words!r}, standalone_mode=False); "
        "print([name for name in sys.modules if name.startswith('pyarrow')], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True
    )
    assert done.stderr.split() == ["[]"]
    commands = main if not group else main.get_command(click.Context(main), group)
    assert isinstance(commands, click.Group)
    for name in commands.list_commands(click.Context(commands)):
        assert re.search(rf"^  {name} +[A-Z]", done.stdout, re.MULTILINE), name


def test_settings_are_listed_with_their_origin_and_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIS_SOURCE", "dma")
    monkeypatch.setenv("AIS_SOURCE_URI", "http://anna:geheim@host/{day}.zip?token=tokentoken")
    listed = {row["name"]: row for row in json.loads(ais("settings", "--json"))}
    assert len(listed) == len(Settings.model_fields)
    assert listed["AIS_SOURCE"] == {
        "name": "AIS_SOURCE",
        "value": "dma",
        "origin": "environment",
        "meaning": "the raw format",
    }
    assert (listed["AIS_STRIDE"]["value"], listed["AIS_STRIDE"]["origin"]) == ("32", "default")
    table = ais("settings")
    assert "keys every random stream" in table
    for secret in ("geheim", "tokentoken"):
        assert secret not in table
        assert secret not in str(listed)


def test_a_wrong_name_ends_the_command_with_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIS_STRID", "3")
    refused = CliRunner().invoke(main, ["settings"])
    assert refused.exit_code == 1
    assert "AIS_STRID in the environment is no setting; AIS_STRIDE is" in refused.stderr


def test_a_lakes_name_is_no_markup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = f"{tmp_path}/x[/b]"
    monkeypatch.setenv("AIS_LAKE", lake)
    assert "x[/b]" in ais("settings")
    terminal().print(lake)  # a tag that was never opened would be refused


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--from", "2024-03-02", "--to", "2024-03-01"], "--from 2024-03-02 is after --to 2024-03-01"),
        (["--from", "2024-02-28"], "2024-02-28 to 2024-03-03 leaves the range 2024-03-01 to 2024-03-03: widen"),
        (["--to", "2024-03-04"], "2024-03-01 to 2024-03-04 leaves the range 2024-03-01 to 2024-03-03: widen"),
    ],
)
def test_days_out_of_the_range_are_not_built(tmp_path: Path, words: list[str], why: str) -> None:
    days = {"AIS_FIRST_DAY": "2024-03-01", "AIS_LAST_DAY": "2024-03-03"}
    refused = CliRunner().invoke(main, ["build", *words], env={**days, "AIS_LAKE": str(tmp_path / "lake")})
    assert refused.exit_code == 1
    assert why in " ".join(refused.stderr.split())
    assert not (tmp_path / "lake").exists()
