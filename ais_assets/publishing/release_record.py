"""What `releases/<id>.json` says of a release, from what its card says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ais_assets.io.lake import MADE_FROM, Lake
from ais_assets.io.provenance import digest_of, setting_values
from ais_assets.io.releases import Release
from ais_assets.ledger import Ledger
from ais_assets.publishing.card import CardFacts
from ais_assets.settings import OF_THE_MACHINE, Settings


def release_record(lake: Lake, facts: CardFacts, stages: Mapping[str, Ledger]) -> Release:
    """The record of the release that is about to be published.

    Args:
        lake: where its tracks are.
        facts: what the card says.
        stages: the account of each stage, by asset.
    """
    dataset, settings = facts.dataset, facts.settings
    tracks = lake.entries("track_shards", settings.shard_keys)
    splits = {} if facts.tracks is None else facts.tracks.splits
    of_data = settings_of_data(settings)
    sizes = {"tracks": sum(entry.size for entry in tracks.values())}
    return Release(
        release=dataset.release,
        settings=of_data,
        settings_digest=digest_of(of_data),
        code=facts.code,
        days=dict(next(iter(tracks.values())).facts[MADE_FROM]["clean_records"]),
        splits={name: {**asdict(of), "independent": round(of.independent)} for name, of in splits.items()},
        windows={
            "train": facts.training_windows,
            **{name: of.windows for name, of in splits.items() if name != "train"},
            **dataset.windows_apart,
        },
        rows={name: {"in": of.rows_in, "out": of.rows_out} for name, of in stages.items()},
        dropped={name: {rule: rows for rule, rows in of.dropped.items() if rows} for name, of in stages.items()},
        features={} if dataset.mds is None else dataset.mds.statistics["features"],
        bytes=sizes if dataset.mds is None else {**sizes, "mds": dataset.mds.size},
    )


def settings_of_data(settings: Settings) -> dict[str, Any]:
    """The settings that the content of a dataset may depend on, by name, as JSON values."""
    return {name: value for name, value in setting_values(settings).items() if name not in OF_THE_MACHINE}
