"""The commit point: the root index over all piles, with statistics and a card that says what the data are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ais_assets import schema
from ais_assets.io.lake import Lake
from ais_assets.io.layout import place_of
from ais_assets.io.mds import root_index
from ais_assets.ledger import Ledger
from ais_assets.partition_keys import day_keys, pile_keys, shard_keys
from ais_assets.settings import Settings
from ais_assets.transforms.statistics import WindowStatistics

INDEX_FILE = "index.json"
STATISTICS_FILE = "statistics.json"
CARD_FILE = "README.md"

ACCOUNTS = {
    "raw_records": "rows of the source's files",
    "clean_records": "typed records",
    "track_shards": "clean position reports",
    "window_piles": "windows that the tracks hold",
}
"""Stages whose account the card shows, and what they count."""


@dataclass(frozen=True)
class TrainingDataset:
    """What was published."""

    uri: str
    samples: int
    shards: int
    size: int
    validation_windows: int
    statistics: dict[str, Any]
    card: str


def publish_dataset(lake: Lake, settings: Settings) -> TrainingDataset:
    """Publishes statistics and card, and then the root index, which makes the piles' current folders the dataset.

    A training run in progress keeps its shards: folders of the former index stay where they are.

    Raises PartitionMissingError when a pile is missing, ValueError when piles were made from different
    tracks or with different settings.
    """
    piles = pile_keys(settings)
    lake.require("mds_shards", piles)
    manifests = {pile: lake.manifest("mds_shards", pile) for pile in piles}
    _check_one_shuffle(manifests, settings)
    folder = place_of("mds_shards").folder
    index = root_index(
        [
            (manifest["folder"], lake.store.read(f"{folder}/{manifest['folder']}/{INDEX_FILE}"))
            for manifest in manifests.values()
        ]
    )
    if not any(manifest["ledger"]["rows_out"] for manifest in manifests.values()):
        raise ValueError(
            f"no pile holds a training window: no training vessel has a track of {settings.window_len} positions. "
            "Take more days or vessels, or shorter windows (AIS_SEQ_LEN, AIS_MAX_HORIZON)"
        )
    statistics = WindowStatistics.merged(
        [WindowStatistics.from_json(manifest["facts"]["statistics"]) for manifest in manifests.values()]
    ).summary()
    shards = json.loads(index)["shards"]
    dataset = TrainingDataset(
        uri=f"{lake.uri}/{folder}",
        samples=sum(shard["samples"] for shard in shards),
        shards=len(shards),
        size=sum(shard["zip_data"]["bytes"] for shard in shards),
        validation_windows=lake.describe("validation").rows,
        statistics=statistics,
        card="",
    )
    card = dataset_card(dataset, accounts(lake, settings), settings)
    _publish_json(lake, {"features": statistics}, f"{folder}/{STATISTICS_FILE}")
    lake.store.publish_bytes(card.encode(), f"{folder}/{CARD_FILE}")
    lake.store.publish_bytes(index, f"{folder}/{INDEX_FILE}")
    return TrainingDataset(**{**dataset.__dict__, "card": card})


def accounts(lake: Lake, settings: Settings) -> dict[str, Ledger]:
    """The account of each stage over all of its partitions that belong to these settings."""
    keys = {
        "raw_records": day_keys(settings),
        "clean_records": day_keys(settings),
        "track_shards": shard_keys(settings),
        "window_piles": shard_keys(settings),
    }
    return {
        asset: Ledger.total(lake.ledger(asset, key) for key in keys[asset] if key in set(lake.partitions(asset)))
        for asset in ACCOUNTS
    }


def _check_one_shuffle(manifests: dict[str, dict[str, Any]], settings: Settings) -> None:
    for pile, manifest in manifests.items():
        facts = manifest["facts"]
        if facts["piles"] != settings.piles or facts["seed"] != settings.seed:
            raise ValueError(
                f"mds_shards[{pile}] is one of {facts['piles']} piles with seed {facts['seed']}; the settings say "
                f"AIS_PILES={settings.piles} and AIS_SEED={settings.seed}: materialize the piles again"
            )
    made_from: dict[str, list[str]] = {}
    for pile, manifest in manifests.items():
        made_from.setdefault(manifest["facts"]["tracks"], []).append(pile)
    if len(made_from) > 1:
        rarest = min(made_from.values(), key=len)
        raise ValueError(
            f"the piles were made from different tracks; {', '.join(rarest[:8])} differ from the others: "
            "materialize materialized_windows and mds_shards of every pile again"
        )


def _publish_json(lake: Lake, value: object, key: str) -> None:
    lake.store.publish_bytes((json.dumps(value, sort_keys=True, indent=1) + "\n").encode(), key)


def dataset_card(dataset: TrainingDataset, stages: dict[str, Ledger], settings: Settings) -> str:
    """A Markdown page that says what the samples are, where they came from and how to read them."""
    window = settings.window_len
    features = "\n".join(
        f"| {position} | `{feature.name}` | {feature.unit} | {feature.low:g} to {feature.high:g} "
        f"| {feature.description} |"
        for position, feature in enumerate(schema.FEATURES)
    )
    statistics = "\n".join(
        f"| `{name}` | {values['count']:,} | {values['min']:.6g} | {values['max']:.6g} | {values['mean']:.6g} "
        f"| {values['std']:.6g} |"
        for name, values in dataset.statistics.items()
    )
    flow = "\n".join(
        f"| {ACCOUNTS[asset]} | {ledger.rows_in:,} | {ledger.rows_out:,} | "
        + (", ".join(f"{rule} {rows:,}" for rule, rows in ledger.dropped.items() if rows) or "none")
        + " |"
        for asset, ledger in stages.items()
    )
    holdout = (
        ""
        if settings.holdout_from is None
        else f" Windows from {settings.holdout_from} on, of all vessels, are in `../materialized/holdout.parquet`; "
        "no other window reaches into that time."
    )
    return f"""# AIS trajectory windows

{dataset.samples:,} training windows in {dataset.shards:,} MDS shards ({dataset.size:,} bytes) and
{dataset.validation_windows:,} validation windows in `../materialized/validation.parquet`, from the source
`{settings.source}`, {settings.first_day} to {settings.last_day}. Training and validation have no vessel (MMSI) in
common.{holdout}

Each sample is {window} consecutive positions of one track ({settings.seq_len} to see, {settings.max_horizon} to
forecast), a new one every {settings.stride} positions; a silence over {settings.max_gap_seconds:,} s ends a track. All
windows are in one global, uniformly random order (seed {settings.seed}, {settings.piles} piles).

`features`: {window} × {schema.FEATURE_COUNT} float32, little-endian, position by position:

| column | name | unit | range | |
|--:|---|---|---|---|
{features}

Beside it `mmsi`, `track` (mmsi × 2^32 + Unix time of the track's first position) and `start` (Unix time of the
window's first position).

## Where the rows went

| what | in | out | dropped by rule |
|---|--:|--:|---|
{flow}

## Statistics of the training windows

| feature | values | min | max | mean | std |
|---|--:|--:|--:|--:|--:|
{statistics}

## Reading it

```python
from ais_assets.io.streaming_loader import AISMDSDataset

for batch in AISMDSDataset(remote="{dataset.uri}", local="mds-cache", batch_size=64):
    ...  # (64, {window}, {schema.FEATURE_COUNT}) float32 torch.Tensor
```

or with mosaicml-streaming alone:

```python
from streaming import StreamingDataset

for sample in StreamingDataset(remote="{dataset.uri}", local="mds-cache", shuffle=True, batch_size=64):
    features = np.frombuffer(sample["features"], dtype=np.float32).reshape({window}, {schema.FEATURE_COUNT})
```
"""
