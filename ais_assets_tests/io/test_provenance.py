"""What makes a partition stale that is made of all before it; of many such partitions, looked up once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pytest

from ais_assets.io.lake import Lake
from ais_assets.io.provenance import MADE_FROM, MADE_WITH, Chain, stale_because
from ais_assets.ledger import Ledger
from ais_assets.settings import Settings, load_settings
from ais_assets.stream import RecordStream

SHARDS = ["0000", "0001", "0002"]
PILES = [f"{pile:05d}" for pile in range(40)]
UPSTREAM = ("track_shards", "window_piles")


def write(lake: Lake, asset: str, partition: str, rows: int, **facts: object) -> None:
    """A partition of so many rows that says these facts; others make another fingerprint."""
    table = pa.table({"mmsi": pa.array(range(rows), pa.int32())})
    lake.write(asset, partition, RecordStream(table.schema, iter([table]), Ledger(rows, rows), dict(facts)))


def write_pile(lake: Lake, pile: str, settings: Settings) -> None:
    """A pile as it would be made now."""
    inputs = Chain(lake).inputs("materialized_windows", pile, UPSTREAM, settings)
    write(lake, "materialized_windows", pile, 1, **{MADE_FROM: inputs, MADE_WITH: {"piles": len(PILES)}})


def reason(lake: Lake, settings: Settings, pile: str = PILES[0], piles: int = len(PILES)) -> str | None:
    """Why a pile is stale by now."""
    return stale_because(
        Chain(lake), "materialized_windows", pile, upstream=UPSTREAM, made_with={"piles": piles}, settings=settings
    )


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("AIS_SHARDS", str(len(SHARDS)))
    monkeypatch.setenv("AIS_PILES", str(len(PILES)))
    return load_settings()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """With two of three shards, tracks and references."""
    lake = Lake(str(tmp_path))
    for number, shard in enumerate(SHARDS[:2], start=1):
        for asset in UPSTREAM:
            write(lake, asset, shard, number)
    return lake


def test_a_pile_is_stale_once_any_shard_is_another(lake: Lake, settings: Settings) -> None:
    write_pile(lake, PILES[0], settings)
    assert reason(lake, settings) is None
    assert reason(lake, settings, piles=7) == "was made with AIS_PILES=40, now AIS_PILES=7 is asked for"

    write(lake, "window_piles", SHARDS[2], 3)
    assert reason(lake, settings) == "was made without window_piles[0002], which is there now"
    write_pile(lake, PILES[0], settings)
    write(lake, "window_piles", SHARDS[1], 17)
    assert reason(lake, settings) == "was made before window_piles[0001], which has changed since"
    write_pile(lake, PILES[0], settings)
    lake.store.delete_object("track_shards/0000.parquet")
    assert reason(lake, settings) == "was made from track_shards[0000], which is no longer there or asked for"
    write_pile(lake, PILES[0], settings)
    assert reason(lake, settings) is None


def test_of_many_piles_each_shard_is_looked_up_once(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pile in PILES:
        write_pile(lake, pile, settings)
    chain, asked = Chain(lake), Counter[str]()
    look_up = Chain.fingerprints

    def counted(of: Chain, asset: str, partitions: Iterable[str]) -> dict[str, str]:
        asked[asset] += 1
        return look_up(of, asset, partitions)

    monkeypatch.setattr(Chain, "fingerprints", counted)
    made_with = {"piles": len(PILES)}
    reasons = {
        stale_because(chain, "materialized_windows", pile, upstream=UPSTREAM, made_with=made_with, settings=settings)
        for pile in PILES
    }
    assert reasons == {None}
    assert asked == dict.fromkeys(UPSTREAM, 1)
