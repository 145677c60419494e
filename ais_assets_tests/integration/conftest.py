"""What whole graphs need in several files of tests."""

from __future__ import annotations

import os

import dagster as dg
import pytest

from ais_assets.settings import Settings, load_settings
from ais_assets.store.file_locks import exclusively
from ais_assets_tests.conftest import DRAWN, pictures_are
from ais_assets_tests.integration.test_graph import SMALL, materialize


@pytest.fixture(scope="session")
def small_lake(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The small set, built by the test process that needs it first, for all of them: nobody may change it."""
    base = tmp_path_factory.getbasetemp()
    # The folder of one process of several is in one that they have together.
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "small_lake"
    folder.mkdir(exist_ok=True)
    settings = load_settings(lake=str(folder / "lake"), cache=folder / "cache", **SMALL)
    with exclusively(folder / "lock"):
        if not (folder / "built").exists():
            with dg.DagsterInstance.ephemeral() as instance, pictures_are(DRAWN):
                materialize(settings, instance, together=True)
            (folder / "built").touch()
    return settings
