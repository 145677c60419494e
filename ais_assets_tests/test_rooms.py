"""The rooms of the package: who may import whom, and what an import loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ais_assets

PACKAGE = Path(ais_assets.__file__).parent
FLOORS = (
    {"cli", "bench", "training"},
    {"definitions"},
    {"jobs", "automation", "checks", "building"},
    {"assets"},
    {"resources"},
    {"io"},
    {"sources"},
    {"transforms"},
)
"""From the top; every other module is the ground, which may not import any of these."""
GROUND = len(FLOORS)
LATE = {("building.py", "definitions")}
"""A run's process loads the definitions, of which the module that starts it is a part."""


def floor_of(room: str) -> int:
    """Its number from the top."""
    return next((number for number, rooms in enumerate(FLOORS) if room in rooms), GROUND)


def imports() -> Iterator[tuple[Path, str]]:
    """Every module of the package with each of the package's rooms that it imports."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ais_assets."):
                yield path.relative_to(PACKAGE), node.module.split(".")[1]


def test_imports_point_downwards() -> None:
    upwards = [
        (str(path), room)
        for path, room in imports()
        if floor_of(room) < floor_of(path.parts[0].removesuffix(".py")) and (str(path), room) not in LATE
    ]
    assert not upwards


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("ais_assets.definitions", "torch"),
        ("ais_assets.io.streaming_loader", "dagster"),
        ("ais_assets.training.trainer", "dagster"),
        ("ais_assets.transforms.clean", "dagster"),
        ("ais_assets.sources", "dagster"),
    ],
)
def test_what_an_import_does_not_load(module: str, absent: str) -> None:
    code = f"import sys, {module}; sys.exit({absent!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0
