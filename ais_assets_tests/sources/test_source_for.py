"""The source that the settings name."""

from __future__ import annotations

from datetime import date
from typing import get_args

import pytest

from ais_assets.settings import SourceName
from ais_assets.sources import source_for
from ais_assets.sources.source import Source, SourceError


def named(name: str, uri: str | None = "data/raw") -> Source:
    return source_for(name, uri, first_day=date(2024, 3, 1), max_bytes=10**9, vessels=3, seed=1)


@pytest.mark.parametrize("name", get_args(SourceName))
def test_every_source_of_the_settings_is_there(name: str) -> None:
    assert named(name).name == name


def test_a_source_of_files_needs_a_place() -> None:
    with pytest.raises(SourceError, match="AIS_SOURCE=dma needs AIS_SOURCE_URI"):
        named("dma", None)


def test_an_unknown_source() -> None:
    with pytest.raises(SourceError, match="there are dma, norway and simulated"):
        named("gps")
