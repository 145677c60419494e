"""Compiled kernels are kept where they can be, and forgotten when what they are made of changes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ais_assets
from ais_assets_tests.conftest import PROJECT
from ais_assets_tests.patience import PATIENCE_SECONDS

PACKAGE = Path(ais_assets.__file__).parent
CALLED = """
from numba import njit

@njit(cache=True)
def step():
    return {step}
"""
CALLER = """
from numba import njit
from ais_assets.called import step

@njit(cache=True)
def stepped(at):
    return at + step()
"""
RACING = """
import sys, time
from pathlib import Path
from numba.core.event import install_recorder
from ais_assets_tests.kernels import compile_each_once
compile_each_once(Path("locks"))
from ais_assets.caller import stepped
Path(sys.argv[1]).touch()
while len(list(Path().glob("ready *"))) < 2:
    time.sleep(0.001)
with install_recorder("numba:compile") as compiled:
    stepped(1)
print(len(compiled.buffer))
"""
"""A process that needs a kernel when another one does; how often a compilation began or ended in it."""


def stepped(folder: Path) -> int:
    """What a kernel of the package in the folder gives for 1, in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-c", "from ais_assets.caller import stepped; print(stepped(1))"],
        env={**os.environ, "PYTHONPATH": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    return int(run.stdout)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with a kernel that calls one of another file, and with this project's care for its cache."""
    package = tmp_path / "ais_assets"
    package.mkdir()
    for name in ("__init__.py", "machine.py"):
        shutil.copy(PACKAGE / name, package)
    (package / "caller.py").write_text(CALLER)
    (package / "called.py").write_text(CALLED.format(step=1))
    return package


@pytest.mark.parametrize(
    "imported",
    [
        "from ais_assets.called import step",
        "from ais_assets import (\n    called,\n)\nstep = called.step",
        "import ais_assets.called as other\nstep = other.step",
    ],
    ids=["name", "module in brackets", "dotted"],
)
def test_a_kernel_follows_what_it_calls_in_another_file(package: Path, imported: str) -> None:
    """numba alone would go on with the former step: its cache knows the caller's file only."""
    (package / "caller.py").write_text(CALLER.replace("from ais_assets.called import step", imported))
    assert stepped(package.parent) == 2
    assert list(package.rglob("caller.stepped-*.nbi"))
    (package / "called.py").write_text(CALLED.format(step=10))
    assert stepped(package.parent) == 11


def test_only_what_changed_is_compiled_anew(package: Path) -> None:
    stepped(package.parent)
    before = {path: path.stat().st_mtime_ns for path in package.rglob("called.step-*.nbi")}
    (package / "caller.py").write_text(CALLER.replace("at + step()", "at - step()"))
    assert stepped(package.parent) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_tests_that_need_a_kernel_at_once_compile_it_once(package: Path) -> None:
    racing = [
        subprocess.Popen(
            [sys.executable, "-c", RACING, f"ready {number}"],
            env={**os.environ, "PYTHONPATH": f"{package.parent}{os.pathsep}{PROJECT}"},
            cwd=package.parent,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    events = [int(process.communicate(timeout=PATIENCE_SECONDS)[0]) for process in racing]
    # Of each of the two kernels one beginning and one end.
    assert sum(events) == 4


@pytest.mark.parametrize("home", ["writable", "nowhere"])
def test_kernels_are_kept_where_the_package_cannot_be_written(tmp_path: Path, home: str) -> None:
    """A container's read-only file system, made of mounts; without a cache numba would refuse the import."""
    package = Path(ais_assets.__file__).parent
    cached = tmp_path / "home" if home == "writable" else tmp_path / "ais_assets-0"
    (tmp_path / "home").mkdir()
    environment = {
        **os.environ,
        "TMPDIR": str(tmp_path),
        "HOME": str(tmp_path / "home") if home == "writable" else "/proc/nowhere",
        "PYTHONPATH": str(package.parent),
    }
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        environment.pop(name, None)
    mounted = f"mount --bind {package} {package} && mount -o remount,bind,ro {package}"
    code = "from ais_assets.transforms.mmsi import is_ship_number; assert is_ship_number(219000734)"
    command = f'{mounted} || exit 77; "{sys.executable}" -c "{code}"'
    run = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    if run.returncode == 77 or "unshare:" in run.stderr:
        pytest.skip("mounts of its own need unshare(1) and user namespaces")
    assert run.returncode == 0, run.stderr
    assert list(cached.rglob("*.nbi"))
