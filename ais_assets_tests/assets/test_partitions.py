"""How a backfill is cut into runs: each kind of partition by a setting of its own."""

from __future__ import annotations

import pytest
import yaml

from ais_assets.definitions import platform_assets
from ais_assets.settings import Settings, SettingsError, load_settings
from ais_assets_tests.conftest import PROJECT

DAYS = {"raw_archives", "raw_records", "clean_records", "daily_quality"}
SHARDS = {"track_shards", "tracks", "window_piles"}
PILES = {"materialized_windows", "mds_shards"}


def runs_of(settings: Settings) -> dict[str, int]:
    """In how many runs a backfill of all partitions of each partitioned asset is made."""
    runs = {}
    for name, asset in platform_assets(settings).items():
        if asset.partitions_def is not None:
            assert asset.backfill_policy is not None
            a_run = asset.backfill_policy.max_partitions_per_run
            assert a_run is not None
            runs[name] = -(-len(asset.partitions_def.get_partition_keys()) // a_run)
    return runs


def test_each_kind_of_partition_has_its_own_number_a_run() -> None:
    settings = load_settings(
        first_day="2024-01-01",
        last_day="2024-01-30",
        days_per_run=10,
        shards=64,
        shards_per_run=4,
        piles=9,
        piles_per_run=9,
    )
    assert runs_of(settings) == {**dict.fromkeys(DAYS, 3), **dict.fromkeys(SHARDS, 16), **dict.fromkeys(PILES, 1)}


def test_by_default_64_shards_leave_each_of_16_workers_two_runs() -> None:
    runs = runs_of(load_settings(shards=64))
    assert {runs[name] for name in SHARDS} == {2 * 16}


def test_by_default_every_slot_of_a_single_machine_has_a_run() -> None:
    instance = yaml.safe_load((PROJECT / "ais_assets" / "operating" / "dagster.yaml").read_text())
    runs = runs_of(load_settings())
    assert all(runs[name] >= instance["concurrency"]["runs"]["max_concurrent_runs"] for name in SHARDS | PILES)


@pytest.mark.parametrize("kind", ["days", "shards", "piles"])
def test_a_run_takes_one_partition_at_least(kind: str) -> None:
    with pytest.raises(SettingsError, match=f"AIS_{kind.upper()}_PER_RUN"):
        load_settings(**{f"{kind}_per_run": 0})
