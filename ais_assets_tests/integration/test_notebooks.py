"""The notebooks, as a reader runs them: over a whole lake, and over one of a few ships for two hours."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from ais_assets.settings import Settings
from ais_assets_tests.ais_command import ais_here
from ais_assets_tests.conftest import PROJECT
from ais_assets_tests.patience import PATIENCE_SECONDS

FOLDER = PROJECT / "docs" / "notebooks"
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC).timestamp()
SHIPS, MINUTES = 3, 120
DEGREES_A_MINUTE = 10 / 60 / 60
"""Of latitude, at ten knots."""


@pytest.fixture(autouse=True)
def _as_a_reader_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")


def told_by(name: str, lake: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the notebook prints over this lake. Raises CellExecutionError, which shows the cell that failed."""
    monkeypatch.setenv("AIS_LAKE", lake)
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    NotebookClient(notebook, timeout=PATIENCE_SECONDS, resources={"metadata": {"path": FOLDER}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "".join(output["text"] for output in outputs if output["output_type"] == "stream")


def two_hours(folder: Path, **settings: str) -> str:
    """The lake of a user's table of ships that go north and report every minute; no vessel of it is for validation."""
    feed = folder / "feed"
    feed.mkdir()
    lines = [
        f"{NOON + 60 * minute:.0f},{219_000_101 + ship},{55 + ship / 2 + minute * DEGREES_A_MINUTE:.6f},12.0,10.0,0.0"
        for ship in range(SHIPS)
        for minute in range(MINUTES)
    ]
    (feed / "fleet.csv").write_text("\n".join(["time,ship,y,x,speed,course", *lines]) + "\n")
    columns = {"t": "time", "mmsi": "ship", "lat": "y", "lon": "x", "sog": "speed", "cog": "course"}
    mapping = {name: {"column": column} for name, column in columns.items()}
    mapping["t"]["unit"] = "unix s"
    given = {
        "SOURCE": "table",
        "SOURCE_URI": str(feed),
        "TABLE_COLUMNS": json.dumps(mapping),
        "FIRST_DAY": "2024-03-01",
        "LAST_DAY": "2024-03-01",
        "LAKE": str(folder / "lake"),
        "CACHE": str(folder / "cache"),
        "SHARDS": "1",
        "PILES": "1",
        "VALIDATION_FRACTION": "0.001",
        "WINDOW_FORMATS": "",
        **settings,
    }
    built = ais_here(("build", "--workers", "1"), {f"AIS_{name}": value for name, value in given.items()}, folder)
    assert built.returncode == 0 or "there is no training window" in built.stderr, built.stderr
    return given["LAKE"]


@pytest.mark.parametrize("name", ["look_at_the_data", "train_on_it"])
def test_notebooks_run(small_lake: Settings, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert told_by(name, small_lake.lake, monkeypatch)


def test_tracks_shorter_than_a_window_are_looked_at_and_not_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = two_hours(tmp_path)
    assert f"Her track of {MINUTES} positions is shorter than a window" in told_by(
        "look_at_the_data", lake, monkeypatch
    )
    with pytest.raises(CellExecutionError, match=r"index\.json is missing: materialize training_dataset"):
        told_by("train_on_it", lake, monkeypatch)


def test_without_vessels_of_validation_it_trains_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = told_by("train_on_it", two_hours(tmp_path, SEQ_LEN="16", MAX_HORIZON="32"), monkeypatch)
    assert "epoch 2: " in told
    assert "holds no validation window of 60 positions" in told
    assert "AIS_VALIDATION_FRACTION" in told
    assert "0 vessels, 0 windows" in told
