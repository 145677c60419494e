"""The stages: what every asset is made from and with, in which partitions, and what comes after what.

The one source of that: Dagster's assets are declared by it (`assets/stage.py`), and builds, `ais status` and
`ais verify` go through it. It needs no Dagster, whose import takes as long as to look at a year's lake.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any, Final

from ais_assets.io.layout import Cut, place_of
from ais_assets.io.provenance import CODE_VERSION, WHOLE, Chain, setting_values, stale_because
from ais_assets.machine import utc_today
from ais_assets.settings import Settings


@dataclass(frozen=True)
class Stage:
    """One asset.

    Attributes:
        asset: its name.
        partitions: keys of its partitions, in order; none for an asset without.
        of_days: whether these are days.
        upstream: names of the assets that it is made from, sorted.
        made_with: settings and code version that its content depends on. They are kept with each partition, which is
            stale once they have changed.
    """

    asset: str
    partitions: tuple[str, ...] = ()
    of_days: bool = False
    upstream: tuple[str, ...] = ()
    made_with: Mapping[str, Any] = field(default_factory=dict)

    def stale_because(self, chain: Chain, partition: str, settings: Settings) -> str | None:
        """Why a partition that is there (`WHOLE`, where there are none) is stale; None when it is not."""
        return stale_because(
            chain, self.asset, partition, upstream=self.upstream, made_with=self.made_with, settings=settings
        )

    def to_build(self, chain: Chain, settings: Settings) -> list[str]:
        """Keys of the partitions that are missing or stale, in order; `WHOLE` for an asset without."""
        there = chain.there(self.asset)
        if self.partitions:
            # Looked at one by one, each would be a request.
            chain.entries(self.asset, self.partitions)
        return [
            key
            for key in self.partitions or (WHOLE,)
            if key not in there or self.stale_because(chain, key, settings) is not None
        ]


@dataclass(frozen=True)
class _Making:
    """How an asset is made.

    Attributes:
        out_of: names of the assets that it is made from.
        by: names of the settings that its content depends on, its inputs apart.
        code_version: another one makes every partition stale.
    """

    out_of: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    code_version: str = "1"


_TRACKED_BY: Final = (
    *("shards", "max_gap_seconds", "max_speed_knots", "min_track_positions", "thin_seconds"),
    *("stationary_seconds", "stationary_knots", "validation_fraction", "test_fraction", "seed"),
    "ship_types",
)
_GATHERED: Final = _Making(("window_piles", "track_shards"), ("window_len", "seed", "piles"))


def _makings(settings: Settings) -> dict[str, _Making]:
    """Of every asset, whether or not it is of these settings' dataset."""
    simulation = ("simulated_vessels", "seed", "first_day") if settings.source == "simulated" else ()
    return {
        "raw_archives": _Making(by=("source", "file_zone", "file_margin_hours", *simulation)),
        "raw_records": _Making(
            ("raw_archives",),
            (
                *("source", "table_columns", "table_delimiter", "source_zone", "file_zone", "file_margin_hours"),
                "nmea_believe_tag_blocks",
            ),
            # 2: the column identity.
            code_version="2",
        ),
        "clean_records": _Making(
            ("raw_records",),
            (
                *("shards", "repeat_seconds", "moving_knots", "ships_only", "classes"),
                *(
                    "drop_position_at_zero",
                    "region",
                    "land_metres",
                    "drop_on_land",
                    "identities",
                    "identity_fingerprint",
                ),
            ),
            # 2: types of ship are chosen where tracks are made.
            code_version="2",
        ),
        "daily_quality": _Making(("raw_records", "clean_records")),
        "vessels": _Making(
            ("raw_records",),
            ("validation_fraction", "test_fraction", "seed", "identities", "identity_fingerprint"),
            # 2: the column identities. 3: ship_types.
            code_version="3",
        ),
        "track_shards": _Making(("clean_records", "vessels"), _TRACKED_BY, code_version="3"),
        "tracks": _Making(("track_shards", "vessels"), ("window_len", "stride")),
        "window_piles": _Making(
            ("track_shards",), ("piles", "window_len", "stride", "seed", "holdout_from", "test_fraction")
        ),
        "validation": _GATHERED,
        "holdout": _GATHERED,
        "materialized_windows": _GATHERED,
        "test": _GATHERED,
        "mds_shards": _Making(
            _GATHERED.out_of, ("seq_len", "window_len", "seed", "piles", "mds_size_limit"), code_version="3"
        ),
        "training_dataset": _Making(("track_shards", *_published(settings)), code_version="4"),
        "dead_reckoning": _Making(("validation",), ("seq_len",)),
    }


def _published(settings: Settings) -> list[str]:
    """What is published beside the tracks, as AIS_WINDOW_FORMATS says."""
    mds = ["mds_shards"] if "mds" in settings.window_formats else []
    parquet = ["materialized_windows", *settings.splits_apart, "dead_reckoning"]
    return [*mds, *(parquet if "parquet" in settings.window_formats else [])]


_ALWAYS: Final = (
    *("raw_archives", "raw_records", "clean_records", "daily_quality", "vessels", "track_shards", "tracks"),
    "training_dataset",
)


def stages(settings: Settings) -> dict[str, Stage]:
    """Those of the dataset that the settings ask for, by name."""
    windows = ["window_piles", *_published(settings)] if settings.window_formats else []
    return {asset: stage for asset, stage in every_stage(settings).items() if asset in {*_ALWAYS, *windows}}


def every_stage(settings: Settings) -> dict[str, Stage]:
    """The same, and those of windows that the dataset is without."""
    values = setting_values(settings)
    return {asset: _stage(asset, making, values, settings) for asset, making in _makings(settings).items()}


def turns(settings: Settings) -> list[tuple[Stage, ...]]:
    """The stages in the order in which they can be made; those of one turn at the same time."""
    known = stages(settings)
    sorter = TopologicalSorter({asset: stage.upstream for asset, stage in known.items()})
    sorter.prepare()
    found = []
    while sorter.is_active():
        ready = set(sorter.get_ready())
        found.append(tuple(stage for asset, stage in known.items() if asset in ready))
        sorter.done(*ready)
    return found


def in_order(settings: Settings) -> list[Stage]:
    """The stages, each after those that it is made from."""
    return [stage for turn in turns(settings) for stage in turn]


def _stage(asset: str, making: _Making, values: Mapping[str, Any], settings: Settings) -> Stage:
    place = place_of(asset)
    keys = place.named_by(settings.cutting)
    if place.cut is Cut.DAY:
        # As Dagster's partitions of days are: a day that has not ended is none yet.
        today = utc_today().isoformat()
        keys = [day for day in keys if day < today]
    made_with = {CODE_VERSION: making.code_version, **{name: values[name] for name in making.by}}
    return Stage(asset, tuple(keys), place.cut is Cut.DAY, tuple(sorted(making.out_of)), made_with)
