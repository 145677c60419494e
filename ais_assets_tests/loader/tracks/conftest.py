"""What several of the track loader's tests need."""

from __future__ import annotations

from pathlib import Path

import pytest

from ais_assets_tests.loader.tracks.track_datasets import publish, shard_tables


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Published tracks."""
    publish(tmp_path / "lake", shard_tables())
    return tmp_path / "lake"
