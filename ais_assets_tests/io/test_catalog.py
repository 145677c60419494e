"""One list of assets, true to what is stored; options of loaders as types, true to the loaders."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from ais_assets import schema
from ais_assets.io.catalog import LINEAGE, assets, schema_of
from ais_assets.io.lake import Lake
from ais_assets.io.layout import PLACES, Kind
from ais_assets.io.streaming_loader import AISMDSDataset, TrackWindowDataset, ValidationDataset
from ais_assets.loader.given import MDSOptions, TrackOptions, WindowFileOptions
from ais_assets.loader.mds.dataset import _OPTIONS


def test_every_asset_is_described_and_every_table_has_its_columns(tmp_path: Path) -> None:
    listed = Lake(tmp_path).assets()
    assert [of.name for of in listed] == list(PLACES)
    assert all(of.description for of in listed)
    for of in listed:
        assert bool(of.columns) == (PLACES[of.name].kind is Kind.PARQUET), of.name
        assert all(column.unit and column.description for column in of.columns), of.name
    (clean,) = (of for of in listed if of.name == "clean_records")
    lat = next(column for column in clean.columns if column.name == "lat")
    assert (lat.stored, lat.unit, str(lat.type), clean.cut) == ("lat_microdegrees", "degree", "double", "day")
    (windows,) = (of for of in assets(64) if of.name == "materialized_windows")
    assert windows.columns[0].type.list_size == 64 * schema.FEATURE_COUNT


def test_lineage_names_columns_that_are_there() -> None:
    for asset, columns in LINEAGE.items():
        of = schema_of(asset, 8)
        assert of is not None
        assert columns.keys() <= set(of.names), asset
        for sources in columns.values():
            for upstream, column in sources:
                before = schema_of(upstream, 8)
                assert before is not None
                assert column in before.names, (asset, upstream, column)


def keywords(kind: type, *but: str) -> set[str]:
    """Names of the options of a class."""
    return {name for name in inspect.signature(kind).parameters if name not in (*but, "options")}


@pytest.mark.parametrize(
    ("options", "known"),
    [
        (WindowFileOptions, keywords(ValidationDataset, "path", "filesystem", "batch_size")),
        (TrackOptions, keywords(TrackWindowDataset, "remote", "local")),
        (MDSOptions, {*keywords(AISMDSDataset, "remote", "local"), *_OPTIONS}),
    ],
)
def test_the_types_of_options_are_those_of_the_loaders(options: Any, known: set[str]) -> None:
    assert options.__optional_keys__ == known


def test_an_unknown_option_is_refused_with_the_nearest(tmp_path: Path) -> None:
    lake: Any = Lake(tmp_path)
    with pytest.raises(TypeError, match="TrackWindowDataset has no option strid: did you mean stride"):
        lake.loader(tmp_path, "tracks", strid=4)
    with pytest.raises(TypeError, match="AISMDSDataset has no option bach_size: did you mean batch_size"):
        lake.loader(tmp_path, bach_size=4)
    with pytest.raises(TypeError, match="ValidationDataset has no option provenence: did you mean provenance"):
        lake.validation_loader(provenence=True)
