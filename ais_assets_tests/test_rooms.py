"""The rooms of the package: who may import whom, and what an import loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import ais_assets
from ais_assets_tests.patience import PATIENCE_SECONDS

PACKAGE = Path(ais_assets.__file__).parent
FLOORS = (
    {"cli", "bench", "training"},
    {"definitions"},
    {"jobs", "automation"},
    {"operating"},
    {"assets"},
    {"resources"},
    {"publishing"},
    {"io"},
    {"loader"},
    {"sources", "transforms"},
    {"store"},
    {"settings"},
    {"stream"},
    {"ledger", "machine", "schema"},
)
"""From the top. A module imports from its own floor and those below; the two sides of the lowest floors, what is read
and what is made of it, do not know each other."""


def floor_of(room: str) -> int:
    """Its number from the top. Raises StopIteration for a room that has no floor yet."""
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def module_name(path: Path) -> str:
    """The dotted name of a file of the package."""
    parts = (PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported_by(path: Path) -> Iterator[str]:
    """Modules of the package that this one imports, wherever in it; those of a package's names, the package."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE.name:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)


def imports() -> Iterator[tuple[Path, str]]:
    """Every module of the package with each of the package's rooms that it imports."""
    for path in MODULES.values():
        for name in imported_by(path):
            if "." in name:
                yield path.relative_to(PACKAGE), name.split(".")[1]


def test_imports_point_downwards() -> None:
    upwards = [
        (str(path), room)
        for path, room in imports()
        if path != Path("__init__.py") and floor_of(room) < floor_of(path.parts[0].removesuffix(".py"))
    ]
    assert not upwards


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {name: set(imported_by(path)) - {name} for name, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_what_is_private_to_dagster_is_taken_in_two_modules() -> None:
    takers = {
        str(path.relative_to(PACKAGE))
        for path in MODULES.values()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and "._" in (node.module or "")
        and (node.module or "").startswith("dagster")
    }
    assert takers == {"operating/code_location.py", "assets/day_verdicts.py"}


def test_the_top_level_is_a_plan_to_take_in_at_a_glance() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    loose = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert len(rooms | loose) <= 20
    assert len(loose) <= 10
    assert rooms | loose == set().union(*FLOORS)


@pytest.mark.parametrize("room", sorted(path.parent for path in PACKAGE.rglob("__init__.py")), ids=lambda p: p.name)
def test_every_room_says_what_belongs_in_it(room: Path) -> None:
    assert ast.get_docstring(ast.parse((room / "__init__.py").read_text()))


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("ais_assets.definitions", {"torch", "matplotlib"}),
        ("ais_assets.io.streaming_loader", {"dagster", "streaming"}),
        ("ais_assets.training.trainer", {"dagster"}),
        ("ais_assets.transforms.clean", {"dagster"}),
        ("ais_assets.sources", {"dagster"}),
        # What a shell waits for: the command's list and version, and a look at a lake.
        ("ais_assets.cli.main", {"dagster", "pyarrow", "numpy", "rich", "pydantic"}),
        ("ais_assets.cli.status", {"dagster", "numba", "duckdb", "torch", "matplotlib"}),
        ("ais_assets.io.lake", {"dagster", "numba", "duckdb", "torch"}),
    ],
)
def test_what_an_import_does_not_load(module: str, absent: set[str]) -> None:
    code = f"import sys, {module}; print(*{absent!r} & sys.modules.keys())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True
    )
    assert done.stdout.split() == []
