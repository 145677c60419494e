"""The commit point: the root index over all piles, with statistics and a card that says what the data are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ais_assets.io.lake import Lake
from ais_assets.io.layout import place_of
from ais_assets.io.mds import root_index
from ais_assets.io.provenance import MADE_FROM, MADE_WITH, Chain, digest_of, require_fresh
from ais_assets.publishing.accounts import accounts, require_conserved, tracked_days
from ais_assets.publishing.card import dataset_card
from ais_assets.publishing.dataset import TrainingDataset
from ais_assets.publishing.days import days_of
from ais_assets.publishing.statistics import dataset_statistics
from ais_assets.publishing.track_index import publish_track_index
from ais_assets.settings import Settings

INDEX_FILE = "index.json"
STATISTICS_FILE = "statistics.json"
CARD_FILE = "README.md"


def publish_dataset(lake: Lake, settings: Settings, facts: Mapping[str, Any]) -> TrainingDataset:
    """Publishes statistics and card, and then the root index, which makes the piles' current folders the dataset.

    A training run in progress keeps its shards: folders of the former index stay where they are.

    Args:
        lake: where everything is.
        settings: of the deployment.
        facts: what it is made from and with, as each partition records it.

    Raises PartitionMissingError when a pile is missing, StaleError, before anything is published, when any partition
    back to the archives is stale, ValueError when rows were lost between stages or there is no training window.
    """
    piles = settings.pile_keys
    lake.require("mds_shards", piles)
    require_fresh(Chain(lake), {of: sorted(keys) for of, keys in facts[MADE_FROM].items()}, settings)
    manifests = [lake.manifest("mds_shards", pile) for pile in piles]
    samples = sum(manifest["ledger"]["rows_out"] for manifest in manifests)
    require_conserved(lake, samples, settings)
    if not samples:
        raise ValueError(
            f"no pile holds a training window: no training vessel has a track of {settings.window_len} positions. "
            "Take more days or vessels, or shorter windows (AIS_SEQ_LEN, AIS_MAX_HORIZON)"
        )
    folder = place_of("mds_shards").folder
    release = digest_of({MADE_FROM: facts[MADE_FROM], MADE_WITH: facts[MADE_WITH]})
    index = _index(lake, folder, [manifest["folder"] for manifest in manifests], {"release": release, **facts})
    shards = json.loads(index)["shards"]
    dataset = TrainingDataset(
        release=release,
        uri=f"{lake.uri}/{folder}",
        samples=samples,
        shards=len(shards),
        size=sum(shard["zip_data"]["bytes"] for shard in shards),
        validation_windows=lake.describe("validation").rows,
        statistics={
            **dataset_statistics(lake, [manifest["facts"] for manifest in manifests], settings),
            "release": release,
            # The index comes last: whoever finds another one beside these statistics knows that they are not its own.
            "index": hashlib.sha256(index).hexdigest(),
        },
        card="",
    )
    days = days_of(lake, settings, tracked_days(lake, settings))
    dataset = replace(dataset, card=dataset_card(dataset, accounts(lake, settings), days, settings))
    statistics = (json.dumps(dataset.statistics, sort_keys=True, indent=1) + "\n").encode()
    lake.store.publish_bytes(statistics, f"{folder}/{STATISTICS_FILE}")
    lake.store.publish_bytes(dataset.card.encode(), f"{folder}/{CARD_FILE}")
    publish_track_index(lake, settings, release)
    lake.store.publish_bytes(index, f"{folder}/{INDEX_FILE}")
    return dataset


def _index(lake: Lake, folder: str, piles: list[str], facts: Mapping[str, Any]) -> bytes:
    """The index over the shards of these folders of piles; readers of MDS leave alone what else it says."""
    shards = root_index([(pile, lake.store.read(f"{folder}/{pile}/{INDEX_FILE}")) for pile in piles])
    return json.dumps({**json.loads(shards), **facts}, sort_keys=True).encode()
