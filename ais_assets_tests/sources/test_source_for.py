"""The source that the settings name."""

from __future__ import annotations

from datetime import date
from typing import get_args

import pytest

from ais_assets.settings import SourceName
from ais_assets.settings.table_mapping import TableMapping
from ais_assets.sources import source_for
from ais_assets.sources.source import Source, SourceError

TABLE = TableMapping.model_validate({name: {"column": name} for name in ("t", "mmsi", "lat", "lon")})


def named(name: str, uri: str | None = "data/raw", table: TableMapping | None = TABLE) -> Source:
    return source_for(name, uri, first_day=date(2024, 3, 1), max_bytes=10**9, vessels=3, seed=1, table=table)


@pytest.mark.parametrize("name", get_args(SourceName))
def test_every_source_of_the_settings_is_there(name: str) -> None:
    assert named(name).name == name


def test_a_source_of_files_needs_a_place() -> None:
    with pytest.raises(SourceError, match="AIS_SOURCE=norway needs AIS_SOURCE_URI"):
        named("norway", None)


def test_a_table_needs_its_columns() -> None:
    with pytest.raises(SourceError, match="AIS_SOURCE=table needs AIS_TABLE_COLUMNS"):
        named("table", table=None)


def test_an_unknown_source() -> None:
    with pytest.raises(SourceError, match="there are dma, json, marinecadastre, nmea, norway, simulated, table"):
        named("gps")
