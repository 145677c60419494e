"""What stands beside the code: the lock, the code location's two descriptions, what `make clean` leaves."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from ais_assets_tests.conftest import PROJECT
from ais_assets_tests.patience import PATIENCE_SECONDS


def pyproject() -> dict[str, Any]:
    """pyproject.toml, read."""
    return tomllib.loads((PROJECT / "pyproject.toml").read_text())


def test_dg_and_the_workspace_name_the_same_code_location() -> None:
    (entry,) = yaml.safe_load((PROJECT / "workspace.yaml").read_text())["load_from"]
    dg = pyproject()["tool"]["dg"]["project"]
    assert dg["code_location_name"] == entry["python_module"]["location_name"]
    assert dg["code_location_target_module"] == entry["python_module"]["module_name"]


def test_the_lock_is_in_step_with_the_project() -> None:
    uv = shutil.which("uv", path=PROJECT / ".venv" / "bin") or shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed: pip install -e '.[dev]'")
    checked = subprocess.run(
        [uv, "lock", "--check", "--offline"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def test_the_lock_knows_the_public_registry_only() -> None:
    lock = (PROJECT / "uv.lock").read_text()
    assert set(re.findall(r'registry = "([^"]+)"', lock)) == {"https://pypi.org/simple"}
    assert set(re.findall(r'url = "(https?://[^/]+)/', lock)) == {"https://files.pythonhosted.org"}


def test_clean_leaves_lakes_and_the_history_of_runs(tmp_path: Path) -> None:
    shutil.copy(PROJECT / "Makefile", tmp_path)
    for folder in ("data/lake", "data/dagster", "build", "ais_assets/__pycache__", "ais_assets_tests"):
        (tmp_path / folder).mkdir(parents=True)
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True, timeout=PATIENCE_SECONDS)
    assert (tmp_path / "data" / "lake").is_dir()
    assert (tmp_path / "data" / "dagster").is_dir()
    assert not (tmp_path / "build").exists()
    assert not (tmp_path / "ais_assets" / "__pycache__").exists()


def test_the_package_is_typed_and_brings_its_instance_file() -> None:
    package = resources.files("ais_assets")
    assert (package / "py.typed").is_file()
    assert yaml.safe_load((package / "operating" / "dagster.yaml").read_text())["telemetry"] == {"enabled": False}
    patterns = pyproject()["tool"]["setuptools"]["package-data"]["ais_assets"]
    assert {"py.typed", "**/*.yaml"} <= set(patterns)
