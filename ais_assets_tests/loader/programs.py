"""Programs that tests run in a process of their own."""

from __future__ import annotations

import subprocess
import sys

from ais_assets_tests.patience import PATIENCE_SECONDS


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs Python's code with its arguments."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
