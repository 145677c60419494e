"""The commit point: the index of the tracks and, of MDS, the one over all piles; with a card that says what it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from ais_assets.io.entries import side_by_side
from ais_assets.io.lake import Lake
from ais_assets.io.layout import place_of
from ais_assets.io.mds import root_index
from ais_assets.io.provenance import MADE_FROM, MADE_WITH, Chain, digest_of, require_fresh
from ais_assets.io.releases import publish_release
from ais_assets.ledger import Ledger
from ais_assets.publishing.accounts import accounts, require_conserved, training_windows_in_tracks
from ais_assets.publishing.card import card_markdown
from ais_assets.publishing.dataset import PublishedMds, TrainingDataset
from ais_assets.publishing.describing import BASELINE, describe_dataset, publish_description
from ais_assets.publishing.publication import STATISTICS_FILE, Publication
from ais_assets.publishing.release_record import release_record
from ais_assets.publishing.statistics import track_intervals, window_statistics
from ais_assets.publishing.track_index import publish_track_index
from ais_assets.settings import Settings

INDEX_FILE = "index.json"
_MDS_FOLDER: Final = place_of("mds_shards").folder


def publish_dataset(publication: Publication, settings: Settings, facts: Mapping[str, Any]) -> TrainingDataset:
    """Publishes the card, of MDS the statistics and the root index, and at last the index of the tracks.

    A training run in progress keeps its files: tracks and folders of the former indexes stay where they are, and so can
    former releases be read until `ais prune` takes them.

    Args:
        publication: begun before the facts were looked at.
        settings: of the deployment.
        facts: what it is made from and with, as each partition records it.

    Raises PartitionMissingError when a partition is missing, StaleError, before anything is published, when any
    partition back to the archives is stale, ValueError when rows were lost between stages or there is no training
    window, OvertakenError where another publication came first.
    """
    lake = publication.lake
    # A report on the data is none of them: its last decimals may differ from one processor to another, and where it is
    # of other windows, the card is without it.
    made_from = {of: keys for of, keys in facts[MADE_FROM].items() if of != BASELINE}
    for asset in (asset for asset in made_from if place_of(asset).cut is not None):
        lake.require(asset, place_of(asset).named_by(settings.cutting))
    require_fresh(Chain(lake), {of: sorted(keys) for of, keys in made_from.items()}, settings)
    release = digest_of({MADE_FROM: made_from, MADE_WITH: facts[MADE_WITH]})
    intervals = track_intervals(lake, settings)
    mds = _mds(lake, settings, {"release": release, **facts}, intervals) if "mds" in settings.window_formats else None
    require_conserved(lake, settings, None if mds is None else mds.samples)
    stages = accounts(lake, settings)
    _require_training_window(lake, settings, stages)
    dataset = TrainingDataset(
        release=release,
        uri=lake.uri,
        positions=stages["track_shards"].rows_out,
        tracks_dt_seconds=intervals,
        mds=mds,
        windows_apart={split: lake.describe(split).rows for split in settings.splits_apart},
    )
    described = describe_dataset(lake, settings, dataset, stages)
    dataset = replace(dataset, card=card_markdown(described, pictures=False), pictures=described.pictures)
    publish_description(publication, described)
    publish_release(lake.store, release_record(lake, described, stages))
    if mds is not None:
        _publish_mds(publication, release, mds)
    publish_track_index(publication, settings, release, facts)
    return dataset


def _mds(lake: Lake, settings: Settings, facts: Mapping[str, Any], intervals: dict[str, list[int]]) -> PublishedMds:
    """The piles' current folders; readers of MDS leave alone what else, as these facts, the index says."""
    piles = list(lake.entries("mds_shards", settings.pile_keys).values())
    folders = [pile.folder or "" for pile in piles]
    indices = side_by_side(lake.store, lambda name: lake.store.read(f"{_MDS_FOLDER}/{name}/{INDEX_FILE}"), folders)
    root = json.loads(root_index(list(zip(folders, indices, strict=True))))
    index = json.dumps({**root, **facts}, sort_keys=True).encode()
    return PublishedMds(
        uri=f"{lake.uri}/{_MDS_FOLDER}",
        samples=sum(pile.rows for pile in piles),
        shards=len(root["shards"]),
        size=sum(shard["zip_data"]["bytes"] for shard in root["shards"]),
        statistics={
            **window_statistics([pile.facts for pile in piles]),
            "tracks_dt_seconds": intervals,
            "release": facts["release"],
            # The index comes later: whoever finds another one beside these statistics knows that they are not its own.
            "index": hashlib.sha256(index).hexdigest(),
        },
        index=index,
    )


def _publish_mds(publication: Publication, release: str, mds: PublishedMds) -> None:
    """The root index and its statistics, and copies that stay when the next release comes."""
    place, store = place_of("mds_index"), publication.lake.store
    statistics = (json.dumps(mds.statistics, sort_keys=True, indent=1) + "\n").encode()
    own = place.key_of_release(release)
    store.publish_bytes(statistics, f"{own.removesuffix(INDEX_FILE)}{STATISTICS_FILE}")
    store.publish_bytes(mds.index, own)
    publication.replace(statistics, f"{place.folder}/{STATISTICS_FILE}")
    publication.replace(mds.index, place.key(None))


def _require_training_window(lake: Lake, settings: Settings, stages: Mapping[str, Ledger]) -> None:
    """Raises ValueError when there is no training window: on disk, or where none is to be, in the tracks."""
    if settings.window_formats:
        windows = stages["window_piles"].notes["windows_training"]
    else:
        windows = training_windows_in_tracks(lake, settings)
    if not windows:
        raise ValueError(
            f"there is no training window: no training vessel has a track of {settings.window_len} positions. "
            "Take more days or vessels, or shorter windows (AIS_SEQ_LEN, AIS_MAX_HORIZON)"
        )
