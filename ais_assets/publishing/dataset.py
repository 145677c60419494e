"""The commit point: the root index over all piles, with statistics and a card that says what the data are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ais_assets import schema
from ais_assets.io.lake import Lake
from ais_assets.io.layout import place_of
from ais_assets.io.mds import root_index
from ais_assets.io.references import shuffle_digest, thrown_shards
from ais_assets.ledger import Ledger
from ais_assets.publishing.track_index import publish_track_index
from ais_assets.settings import Settings
from ais_assets.transforms.durations import QUANTILES, WindowDurations
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
    """What was published; `statistics` is the content of statistics.json."""

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

    Raises PartitionMissingError when a pile is missing, ValueError, before anything is published, when windows were
    gathered by other references than those of now or with other settings, or rows were lost between stages.
    """
    piles = settings.pile_keys
    lake.require("mds_shards", piles)
    manifests = {pile: lake.manifest("mds_shards", pile) for pile in piles}
    _require_one_shuffle(lake, manifests, settings)
    _require_conserved(lake, sum(manifest["ledger"]["rows_out"] for manifest in manifests.values()), settings)
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
    facts = [manifest["facts"] for manifest in manifests.values()]
    statistics = {
        "features": WindowStatistics.merged(WindowStatistics.from_json(of["statistics"]) for of in facts).summary(),
        "duration_seconds": WindowDurations.merged(
            WindowDurations.from_json(of["durations"]) for of in facts
        ).summary(),
        "tracks_dt_seconds": track_intervals(lake, settings),
        # The index comes last: whoever finds another one beside these statistics knows that they are not its own.
        "index": hashlib.sha256(index).hexdigest(),
    }
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
    _publish_json(lake, statistics, f"{folder}/{STATISTICS_FILE}")
    lake.store.publish_bytes(card.encode(), f"{folder}/{CARD_FILE}")
    publish_track_index(lake, settings)
    lake.store.publish_bytes(index, f"{folder}/{INDEX_FILE}")
    return TrainingDataset(**{**dataset.__dict__, "card": card})


def accounts(lake: Lake, settings: Settings) -> dict[str, Ledger]:
    """The account of each stage over the partitions that the tracks were made from and that were made from them."""
    days, shards = tracked_days(lake, settings), settings.shard_keys
    keys = {"raw_records": days, "clean_records": days, "track_shards": shards, "window_piles": shards}
    there = {asset: set(lake.partitions(asset)) for asset in keys}
    return {
        asset: Ledger.total(lake.ledger(asset, key) for key in keys[asset] if key in there[asset]) for asset in ACCOUNTS
    }


def tracked_days(lake: Lake, settings: Settings) -> list[str]:
    """The days that the tracks were made from; there may be more by now.

    Raises PartitionMissingError when a shard is missing, ValueError when shards were made from different days, or with
    another range of them in the settings.
    """
    shards, days = settings.shard_keys, settings.day_keys
    lake.require("track_shards", shards)
    tracked: list[str] | None = None
    for shard in shards:
        facts = lake.describe("track_shards", shard).facts
        of_shard = [day for day in days if day not in set(facts["days_absent"])]
        if len(of_shard) != facts["days"]:
            raise ValueError(
                f"track_shards[{shard}] was made from {facts['days']} days, without {facts['days_absent']}; the "
                f"settings now say {days[0]} to {days[-1]}: materialize track_shards again"
            )
        tracked = tracked or of_shard
        if of_shard != tracked:
            differing = sorted(set(of_shard) ^ set(tracked))
            raise ValueError(
                f"only one of track_shards[{shard}] and track_shards[{shards[0]}] was made from "
                f"{', '.join(differing)}: materialize track_shards again"
            )
    return tracked or []


CONSERVED = (
    ("typed records", "records cleaned", "clean_records"),
    ("clean positions", "positions tracked", "track_shards"),
    ("training windows thrown", "training windows delivered", "materialized_windows and mds_shards"),
    ("validation windows thrown", "validation windows delivered", "validation"),
    ("held-out windows thrown", "held-out windows delivered", "holdout"),
)
"""What must be equal, and what to materialize where it is not."""


def conservation(lake: Lake, samples: int, settings: Settings) -> dict[str, int]:
    """Rows out of and into each stage, from the accounts in the files; of MDS there are so many samples."""
    stages = accounts(lake, settings)
    thrown = stages["window_piles"].notes
    return {
        "typed records": stages["raw_records"].rows_out,
        "records cleaned": stages["clean_records"].rows_in,
        "clean positions": stages["clean_records"].rows_out,
        "positions tracked": stages["track_shards"].rows_in,
        "training windows thrown": thrown["windows_training"],
        "training windows delivered": samples,
        "validation windows thrown": thrown["windows_validation"],
        "validation windows delivered": lake.describe("validation").rows,
        "held-out windows thrown": thrown.get("windows_holdout", 0),
        "held-out windows delivered": lake.describe("holdout").rows,
    }


def differing_days(lake: Lake, days: Sequence[str]) -> dict[str, dict[str, int]]:
    """Days of which cleaning saw other typed records than there are."""
    differing = {}
    for day in days:
        typed, seen = lake.ledger("raw_records", day).rows_out, lake.ledger("clean_records", day).rows_in
        if typed != seen:
            differing[day] = {"typed": typed, "seen by cleaning": seen}
    return differing


def track_intervals(lake: Lake, settings: Settings) -> dict[str, list[int]]:
    """The distribution of dt_seconds over all positions of all tracks, of training and validation vessels alike.

    Returns:
        edges and counts: counts[k] positions have edges[k − 1] < dt_seconds ≤ edges[k], and counts[0] of them, which
        begin a track, have none.

    Raises PartitionMissingError when a shard is missing, ValueError when shards were counted in different bins.
    """
    shards = settings.shard_keys
    lake.require("track_shards", shards)
    intervals = {shard: lake.describe("track_shards", shard).facts["dt_seconds"] for shard in shards}
    edges = intervals[shards[0]]["edges"]
    for shard, of_shard in intervals.items():
        if of_shard["edges"] != edges:
            raise ValueError(
                f"track_shards[{shard}] counts dt_seconds up to {of_shard['edges']}, track_shards[{shards[0]}] up to "
                f"{edges}: materialize track_shards again"
            )
    counts = np.sum([of_shard["counts"] for of_shard in intervals.values()], axis=0)
    return {"edges": edges, "counts": counts.tolist()}


def _require_one_shuffle(lake: Lake, manifests: dict[str, dict[str, Any]], settings: Settings) -> None:
    """Whether all windows were gathered by the references that are there now, which are those of the settings."""
    digest = shuffle_digest(thrown_shards(lake, settings))
    for pile, manifest in manifests.items():
        seen = manifest["facts"]["seq_len"]
        if seen != settings.seq_len:
            raise ValueError(
                f"mds_shards[{pile}] was made with AIS_SEQ_LEN={seen}, the settings now say {settings.seq_len}: "
                "materialize mds_shards again"
            )
    lake.require("materialized_windows", list(manifests))
    facts = {
        "validation": lake.describe("validation").facts,
        "holdout": lake.describe("holdout").facts,
        **{f"materialized_windows[{pile}]": lake.describe("materialized_windows", pile).facts for pile in manifests},
        **{f"mds_shards[{pile}]": manifest["facts"] for pile, manifest in manifests.items()},
    }
    astray = [name for name, of in facts.items() if of.get("window_piles") != digest]
    if astray:
        shown = ", ".join(astray[:_SHOWN]) + (f" and {len(astray) - _SHOWN} more" if len(astray) > _SHOWN else "")
        assets = list(dict.fromkeys(name.partition("[")[0] for name in astray))
        raise ValueError(
            f"{shown} {'was' if len(astray) == 1 else 'were'} made from other window_piles than those that are there "
            f"now: materialize {', '.join(assets)} again"
        )


def _require_conserved(lake: Lake, samples: int, settings: Settings) -> None:
    counts = conservation(lake, samples, settings)
    lost = [
        f"{counts[left]:,} {left} but {counts[right]:,} {right}: materialize {assets} again"
        for left, right, assets in CONSERVED
        if counts[left] != counts[right]
    ]
    if lost:
        days = list(differing_days(lake, tracked_days(lake, settings)))
        lost += [f"typed and cleaned differ on {', '.join(days[:_SHOWN])}"] if days else []
        raise ValueError("; ".join(lost))


_SHOWN = 12
"""Partitions that an error names."""


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
        for name, values in dataset.statistics["features"].items()
    )
    flow = "\n".join(
        f"| {ACCOUNTS[asset]} | {ledger.rows_in:,} | {ledger.rows_out:,} | "
        + (", ".join(f"{rule} {rows:,}" for rule, rows in ledger.dropped.items() if rows) or "none")
        + " |"
        for asset, ledger in stages.items()
    )
    durations = "\n".join(
        f"| {name} | {values['positions']:,} | "
        + " | ".join(_duration(seconds) for seconds in (values["min"], *values["quantiles"].values(), values["max"]))
        + " |"
        for name, values in dataset.statistics["duration_seconds"].items()
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

This page and `statistics.json` belong to the `index.json` whose sha256 is `{dataset.statistics["index"]}`.

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

## How long a window lasts

From the first of its positions to the last, of the part to see and of the whole, in hours:minutes:seconds, over all
training windows; quantiles are at most 0.8 % too long.

| | positions | min | {" | ".join(f"{share:.0%}" for share in QUANTILES)} | max |
|---|--:|{"--:|" * (len(QUANTILES) + 2)}
{durations}

It follows from how often ships are heard. The time since the track's previous position, over all tracks:

| seconds | positions | share |
|---|--:|--:|
{_interval_rows(dataset.statistics["tracks_dt_seconds"])}

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


def _interval_rows(intervals: dict[str, list[int]]) -> str:
    """A row for each bin of `track_intervals`."""
    edges, counts = intervals["edges"], intervals["counts"]
    names = ["none: begins a track", *(f"{above + 1:,} to {most:,}" for above, most in pairwise(edges))]
    every = max(1, sum(counts))
    return "\n".join(f"| {name} | {count:,} | {count / every:.2%} |" for name, count in zip(names, counts, strict=True))


def _duration(seconds: int) -> str:
    """Hours, minutes and seconds: 2:34:30."""
    return f"{seconds // 3_600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
