"""Vessel shards: all days of 1/N of the vessels as tracks, and a table of these tracks."""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from dagster import AssetExecutionContext, AssetsDefinition
from numpy.typing import NDArray

from ais_assets.assets.ingest import days_present
from ais_assets.assets.stage import Making, stage
from ais_assets.io.lake import Lake
from ais_assets.io.row_groups import GroupOfEach
from ais_assets.resources.io_managers import Partitions
from ais_assets.resources.lake import LakeResource
from ais_assets.settings import Settings
from ais_assets.stream import RecordStream
from ais_assets.transforms.ship_types import vessels_of_types
from ais_assets.transforms.track_table import track_table
from ais_assets.transforms.tracks import CLEAN_COLUMNS, build_tracks

GROUP = "tracks"


def track_assets(settings: Settings) -> list[AssetsDefinition]:
    """`track_shards` and `tracks` for these settings."""

    @stage(settings, group=GROUP, kinds={"parquet", "numba"})
    def track_shards(context: AssetExecutionContext, lake: LakeResource) -> Partitions:
        """All days of 1/N of the vessels as tracks: cut at silences over 4 h and impossible speeds, split by hull."""
        place = lake.open()
        absent = sorted(set(settings.day_keys) - set(days_present(place, "clean_records", settings)))
        if absent:
            context.log.warning(f"{len(absent)} of {len(settings.days)} days are not materialized: {absent[:10]}")
        making = Making(context, place, settings)
        clean = GroupOfEach(place, "clean_records", CLEAN_COLUMNS)
        hulls, vessels = shared_hulls(place), _wanted_vessels(place, settings)

        def tracks_of(shard: str) -> RecordStream:
            days = making.inputs("clean_records", shard)
            return tracks_of_shard(clean, int(shard), days, settings, hulls=hulls, vessels=vessels)

        return making.each(
            tracks_of,
            compares=True,
        )

    @stage(settings, group=GROUP, kinds={"parquet", "numba"})
    def tracks(context: AssetExecutionContext, lake: LakeResource) -> Partitions:
        """One row a track: vessel, class and type, start and end, length, bounding box, split, windows."""
        place = lake.open()
        known = place.dataset("vessels").to_table(columns=["mmsi", "mobile_type", "ship_type"])
        return Making(context, place, settings).each(
            lambda shard: track_table(
                place.row_groups("track_shards", shard),
                known,
                window_len=settings.window_len,
                stride=settings.stride,
            ),
        )

    return [track_shards, tracks]


def tracks_of_shard(
    clean: GroupOfEach,
    shard: int,
    days: Mapping[str, str],
    settings: Settings,
    *,
    hulls: dict[int, int],
    vessels: NDArray[np.int32] | None,
) -> RecordStream:
    """The tracks of the shard's vessels over these days of clean records; `build_tracks` has the rules.

    Args:
        clean: reads the days, of which each shard is a row group.
        shard: its number.
        days: the fingerprint of each day's clean records, in order.
        settings: of the deployment.
        hulls: the hull, by MMSI, of vessels whose hull is another MMSI's too.
        vessels: MMSIs of those that are wanted; None: all.

    Raises ValueError when a day was written for another number of shards, or has another fingerprint.
    """
    stream = build_tracks(
        _shard_of_days(clean, days, shard, settings.shards),
        max_gap_seconds=settings.max_gap_seconds,
        max_speed_knots=settings.max_speed_knots,
        min_track_positions=settings.min_track_positions,
        validation_fraction=settings.validation_fraction,
        test_fraction=settings.test_fraction,
        seed=settings.seed,
        thin_seconds=settings.thin_seconds,
        stationary_seconds=settings.stationary_seconds,
        stationary_knots=settings.stationary_knots,
        hulls=hulls,
        vessels=vessels,
    )
    stream.facts |= {"days": len(days), "days_absent": sorted(set(settings.day_keys) - set(days))}
    return stream


def _wanted_vessels(lake: Lake, settings: Settings) -> NDArray[np.int32] | None:
    """The vessels of AIS_SHIP_TYPES by all that the lake knows of them; None where these are all."""
    if not settings.ship_types:
        return None
    return vessels_of_types(lake.dataset("vessels").to_table(columns=["mmsi", "ship_types"]), settings.ship_types)


def shared_hulls(lake: Lake) -> dict[int, int]:
    """The hull, by MMSI, of vessels whose hull is another MMSI's too."""
    known = lake.dataset("vessels").to_table(columns=["mmsi", "hull"], filter=pc.field("mmsi") != pc.field("hull"))
    return dict(zip(known["mmsi"].to_pylist(), known["hull"].to_pylist(), strict=True))


def _shard_of_days(clean: GroupOfEach, days: Mapping[str, str], shard: int, shards: int) -> Iterator[pa.Table]:
    for day, (found, table) in zip(days, clean.of(days, shard), strict=True):
        written_for = found.facts["shards"]
        if written_for != shards or table is None:
            raise ValueError(
                f"clean_records[{day}] was written for AIS_SHARDS={written_for}, this run has {shards}: "
                "materialize clean_records again, or set AIS_SHARDS back"
            )
        yield table
