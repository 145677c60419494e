"""AIS_IDENTITIES: nothing that is made of raw_records says who ships are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from ais_assets.assets.ingest import known_vessels
from ais_assets.cli.main import main
from ais_assets.io.lake import Lake
from ais_assets.io.layout import PLACES, Kind
from ais_assets.settings import Settings, load_settings
from ais_assets_tests.integration.test_graph import SMALL, materialize

SECRET = "no one will guess this one"
HASHED: dict[str, Any] = {
    **SMALL,
    **{"last_day": "2024-03-01", "shards": 1, "piles": 1, "identities": "hash", "identity_secret": SECRET},
}
SAYS_WHO = ("raw_archives", "raw_records", "rejects")


@pytest.fixture(scope="module")
def hashed(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake whose identities are hashed."""
    folder = tmp_path_factory.mktemp("hashed")
    settings = load_settings(lake=str(folder / "lake"), cache=folder / "cache", **HASHED)
    with dg.DagsterInstance.ephemeral() as instance:
        materialize(settings, instance, together=True)
    return settings


def values_of(table: pa.Table) -> set[Any]:
    """All values of a table's columns of numbers and texts, in lists, too."""
    found: set[Any] = set()
    for name in table.schema.names:
        column = table[name].combine_chunks()
        if name == "features":
            continue
        if pa.types.is_list(column.type):
            column = column.flatten()
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        found |= set(column.to_pylist())
    return found


def test_no_identity_is_in_what_is_made_of_raw_records(hashed: Settings, tmp_path: Path) -> None:
    lake = Lake(hashed.lake)
    raw = lake.table("raw_records")
    mmsis = set(raw["mmsi"].to_pylist())
    texts = {text for name in ("name", "callsign") for text in raw[name].to_pylist() if text}
    imos = {imo for imo in raw["imo"].to_pylist() if imo}
    assert min(len(mmsis), len(texts), len(imos)) > 5
    for asset, place in PLACES.items():
        if asset in (*SAYS_WHO, "test") or place.kind is not Kind.PARQUET:
            continue
        values = values_of(lake.table(asset))
        assert not values & (mmsis | texts | imos), asset
        assert not {value >> 32 for value in values if isinstance(value, int)} & mmsis, asset
    with lake.loader(tmp_path, provenance=True) as batches:
        for _, of in batches:
            assert not set(of["mmsi"].tolist()) & mmsis
            assert not set((of["track"] >> 32).tolist()) & mmsis
    words, ships = sorted(texts, key=len)[-5:], [str(mmsi) for mmsi in mmsis if mmsi > 100_000_000]
    root = Path(hashed.lake)
    pages = [path for kind in ("md", "html", "json") for path in root.rglob(f"*.{kind}")]
    assert {"README.md", "card.html", "croissant.json", "index.json"} <= {path.name for path in pages}
    for path in pages:
        if path.relative_to(root).parts[0] not in SAYS_WHO:
            text = path.read_text()
            assert not [word for word in (*words, *ships, SECRET) if word in text], path


def test_ships_are_told_apart_as_they_were_and_the_card_says_how(hashed: Settings) -> None:
    lake = Lake(hashed.lake)
    vessels = lake.table("vessels")
    ships = lake.sql(
        "select count(distinct mmsi) from raw_records where mmsi between 201000000 and 775999999 "
        "and mobile_type in ('class A', 'class B', 'unknown')"
    ).fetchall()[0][0]
    assert vessels.num_rows == ships
    assert np.all(np.diff(vessels["mmsi"].to_numpy()) > 0)
    assert vessels["country"].null_count < vessels.num_rows
    assert any(vessels["name"].to_pylist())
    assert set(lake.table("track_shards")["mmsi"].to_pylist()) <= set(vessels["mmsi"].to_pylist())
    assert "Identities are hashed (AIS_IDENTITIES=hash)" in lake.store.read("README.md").decode()
    assert lake.releases()[0].release.settings["identities"] == "hash"
    assert "identity_secret" not in lake.releases()[0].release.settings


def test_whoever_has_the_secret_leads_a_sample_back(
    hashed: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {"lake": hashed.lake, "cache": hashed.cache, **HASHED}.items():
        monkeypatch.setenv(f"AIS_{name.upper()}", str(value))
    shown = CliRunner().invoke(main, ["settings"])
    assert SECRET not in shown.output
    traced = json.loads(CliRunner().invoke(main, ["trace", "train:0", "--json"]).stdout)
    raw = Lake(hashed.lake).table("raw_records")
    row = traced["positions"][0]["raw_records"][0]["row"]
    assert traced["positions"][0]["raw_records"][0]["line"] > 1
    mmsi = raw["mmsi"][row].as_py()
    found = [
        json.loads(CliRunner().invoke(main, ["inspect", str(of), "--json"]).stdout)
        for of in (mmsi, traced["sample"]["mmsi"])
    ]
    assert found[0] == found[1]
    assert found[0]["mmsi"] == traced["sample"]["mmsi"]


def test_another_secret_makes_everything_stale(
    hashed: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {"lake": hashed.lake, **HASHED, "identity_secret": SECRET[::-1]}.items():
        monkeypatch.setenv(f"AIS_{name.upper()}", str(value))
    status = json.loads(CliRunner().invoke(main, ["status", "--json"]).stdout)
    stale = {stage["asset"] for stage in status["stages"] if stage["stale"]}
    assert {"clean_records", "vessels"} <= stale
    assert "raw_records" not in stale


def test_left_out_means_left_out(hashed: Settings, tmp_path: Path) -> None:
    lake = Lake(hashed.lake)
    dropping = hashed.model_copy(update={"identities": "drop", "lake": str(tmp_path / "lake")})
    (vessels,) = known_vessels(lake, dropping).tables
    for name in ("imo", "callsign", "name"):
        assert vessels[name].null_count == vessels.num_rows
    for name in ("names", "callsigns", "imos", "invalid_imos", "identities"):
        assert not vessels[name].combine_chunks().flatten().to_pylist()
    assert vessels["mmsi"].to_pylist() == lake.table("vessels")["mmsi"].to_pylist()


@pytest.mark.parametrize("secret", [None, "too short"])
def test_a_secret_is_asked_for_and_never_shown(secret: str | None) -> None:
    with pytest.raises(ValueError, match=r"AIS_IDENTITIES=drop needs AIS_IDENTITY_SECRET, 16 characters") as refused:
        load_settings(identities="drop", identity_secret=secret)
    assert "too short" not in str(refused.value)
