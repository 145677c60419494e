"""Vessel shards: all days of 1/N of the vessels as tracks, and a table of these tracks."""

from collections.abc import Iterator

import pyarrow as pa
from dagster import AssetDep, AssetExecutionContext, AssetsDefinition, asset

from ais_assets.assets import partitions
from ais_assets.assets.ingest import days_present
from ais_assets.assets.ownership import OWNERS
from ais_assets.io.lake import Lake
from ais_assets.io.parquet import describe
from ais_assets.resources.io_managers import Partitions, each_partition
from ais_assets.resources.lake import LakeResource
from ais_assets.settings import Settings
from ais_assets.stream import RecordStream
from ais_assets.transforms.track_table import track_table
from ais_assets.transforms.tracks import CLEAN_COLUMNS, build_tracks


def track_assets(
    settings: Settings, clean_records: AssetsDefinition, vessels: AssetsDefinition
) -> list[AssetsDefinition]:
    """`track_shards` and `tracks` for these settings."""

    @asset(
        partitions_def=partitions.shards(settings),
        deps=[AssetDep(clean_records, partition_mapping=partitions.EVERY)],
        group_name="tracks",
        owners=OWNERS,
        kinds={"parquet", "numba"},
        code_version="1",
        io_manager_key="parquet",
        backfill_policy=partitions.per_run(settings),
    )
    def track_shards(context: AssetExecutionContext, lake: LakeResource) -> Partitions:
        """All days of 1/N of the vessels as tracks: cut at silences over 4 h and impossible speeds, split by vessel."""
        place = lake.open()
        present = days_present(place, "clean_records", settings)
        absent = sorted(set(settings.day_keys) - set(present))
        if absent:
            context.log.warning(f"{len(absent)} of {len(settings.days)} days are not materialized: {absent[:10]}")
        return each_partition(context, lambda shard: _tracks(place, present, int(shard), settings, absent))

    @asset(
        partitions_def=partitions.shards(settings),
        deps=[track_shards, vessels],
        group_name="tracks",
        owners=OWNERS,
        kinds={"parquet", "numba"},
        code_version="1",
        io_manager_key="parquet",
        backfill_policy=partitions.per_run(settings),
    )
    def tracks(context: AssetExecutionContext, lake: LakeResource) -> Partitions:
        """One row a track: vessel, class and type, start and end, length, bounding box, split, windows."""
        place = lake.open()
        known = place.dataset("vessels").to_table(columns=["mmsi", "mobile_type", "ship_type"])
        return each_partition(
            context,
            lambda shard: track_table(
                place.row_groups("track_shards", shard),
                known,
                window_len=settings.window_len,
                stride=settings.stride,
            ),
        )

    return [track_shards, tracks]


def _tracks(lake: Lake, days: list[str], shard: int, settings: Settings, absent: list[str]) -> RecordStream:
    stream = build_tracks(
        _shard_of_days(lake, days, shard, settings.shards),
        max_gap_seconds=settings.max_gap_seconds,
        max_speed_knots=settings.max_speed_knots,
        min_track_positions=settings.min_track_positions,
        validation_fraction=settings.validation_fraction,
        seed=settings.seed,
        thin_seconds=settings.thin_seconds,
        stationary_seconds=settings.stationary_seconds,
        stationary_knots=settings.stationary_knots,
    )
    stream.facts |= {"days": len(days), "days_absent": absent}
    return stream


def _shard_of_days(lake: Lake, days: list[str], shard: int, shards: int) -> Iterator[pa.Table]:
    for day in days:
        with lake.open("clean_records", day) as file:
            written_for = describe(file, lake.uri_of("clean_records", day)).facts["shards"]
            if written_for != shards:
                raise ValueError(
                    f"clean_records[{day}] was written for AIS_SHARDS={written_for}, this run has {shards}: "
                    "materialize clean_records again, or set AIS_SHARDS back"
                )
            yield file.read_row_group(shard, columns=list(CLEAN_COLUMNS))
