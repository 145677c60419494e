"""`ais status` of a whole lake: what it says, what of it goes where, and what it does without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from ais_assets.cli import progress
from ais_assets.cli.main import main
from ais_assets.io.stages import stages
from ais_assets.settings import Settings
from ais_assets_tests.integration.test_graph import SMALL
from ais_assets_tests.patience import PATIENCE_SECONDS

HEAVY = {"dagster", "numba", "duckdb", "pyais", "matplotlib", "torch", "boto3"}
"""Packages that take from a fifth of a second to several to import, which is longer than the look itself."""


def variables(settings: Settings) -> dict[str, str]:
    """The environment in which a command has these settings."""
    return {f"AIS_{name.upper()}": str(value) for name, value in {**SMALL, "lake": settings.lake}.items()}


def test_a_look_at_a_lake_loads_nothing_heavy(small_lake: Settings) -> None:
    code = (
        "import sys; from ais_assets.cli.main import main; main(['status', '--check'], standalone_mode=False); "
        f"print(*{HEAVY!r} & sys.modules.keys(), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **variables(small_lake)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    assert done.stderr.split() == []
    assert "2/2" in done.stdout


def test_how_far_it_is_is_told_in_a_terminal_and_nowhere_else(
    small_lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AtOnce:
        """A moment that is over."""

        def __init__(self, _: float, begin: Callable[[], None]) -> None:
            self.start, self.cancel, self.join = begin, lambda: None, lambda: None

    monkeypatch.setattr(progress, "Timer", AtOnce)
    piped = CliRunner().invoke(main, ["status", "--json"], env=variables(small_lake))
    assert (piped.exit_code, piped.stderr) == (0, "")
    # So rich takes what is no terminal for one.
    shown = CliRunner().invoke(main, ["status", "--json"], env={**variables(small_lake), "TTY_COMPATIBLE": "1"})
    assert json.loads(shown.stdout) == json.loads(piped.stdout)
    assert "training_dataset" in shown.stderr
    looked_at = sum(max(1, len(stage.partitions)) for stage in stages(small_lake).values())
    assert f"/{looked_at}" in shown.stderr
