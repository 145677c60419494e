"""Days: from the source's archives to clean position reports, and who the vessels are."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from dagster import AssetDep, AssetExecutionContext, AssetsDefinition, AutomationCondition, asset

from ais_assets import schema
from ais_assets.assets import partitions
from ais_assets.assets.ownership import OWNERS
from ais_assets.io.lake import Folder, Lake
from ais_assets.ledger import Ledger
from ais_assets.resources.io_managers import Partitions, each_partition, unpartitioned
from ais_assets.resources.lake import LakeResource
from ais_assets.resources.source import SourceResource
from ais_assets.settings import Settings
from ais_assets.sources.source import Source
from ais_assets.stream import REJECTS, RecordStream
from ais_assets.transforms import clean, quality
from ais_assets.transforms.vessels import vessel_table

GROUP = "ingest"


def ingest_assets(settings: Settings) -> list[AssetsDefinition]:
    """`raw_archives`, `raw_records`, `clean_records`, `daily_quality` and `vessels` for these settings."""
    days = partitions.days(settings)

    @asset(
        partitions_def=days,
        group_name=GROUP,
        owners=OWNERS,
        kinds={settings.source, "file"},
        code_version="1",
        io_manager_key="folder",
        backfill_policy=partitions.per_run(settings),
    )
    def raw_archives(context: AssetExecutionContext, lake: LakeResource, source: SourceResource) -> Partitions:
        """The source's file of the day, as published, landed once: size, sha256 and where it is from.

        A day that the source never published is stored as such, so that the stages after it need not wait.
        """
        place, feed = lake.open(), source.open()
        return each_partition(context, lambda day: _landed(place, feed, date.fromisoformat(day)))

    @asset(
        partitions_def=days,
        deps=[raw_archives],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"parquet"},
        code_version="1",
        io_manager_key="parquet",
        backfill_policy=partitions.per_run(settings),
        automation_condition=AutomationCondition.eager(),
    )
    def raw_records(context: AssetExecutionContext, lake: LakeResource, source: SourceResource) -> Partitions:
        """Every row of the archive that parses, typed; every row that does not, counted with its reason."""
        place, feed = lake.open(), source.open()
        return each_partition(context, lambda day: _parsed(place, feed, date.fromisoformat(day)))

    @asset(
        partitions_def=days,
        deps=[raw_records],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"parquet", "numba"},
        code_version="1",
        io_manager_key="parquet",
        backfill_policy=partitions.per_run(settings),
        automation_condition=AutomationCondition.eager(),
    )
    def clean_records(context: AssetExecutionContext, lake: LakeResource) -> Partitions:
        """Usable positions, deduplicated, by (vessel shard, MMSI, time); a count for every rule that dropped any."""
        place = lake.open()
        columns = (*clean.RAW_COLUMNS, "ship_type") if settings.ship_types else clean.RAW_COLUMNS
        return each_partition(
            context,
            lambda day: clean.clean_day(
                place.row_groups("raw_records", day, columns),
                date.fromisoformat(day),
                shards=settings.shards,
                repeat_seconds=settings.repeat_seconds,
                moving_knots=settings.moving_knots,
                ships_only=settings.ships_only,
                classes=settings.classes,
                ship_types=settings.ship_types,
                drop_position_at_zero=settings.drop_position_at_zero,
            ),
        )

    @asset(
        partitions_def=days,
        deps=[raw_records, clean_records],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"parquet"},
        code_version="1",
        io_manager_key="parquet",
        backfill_policy=partitions.per_run(settings),
        automation_condition=AutomationCondition.eager(),
    )
    def daily_quality(context: AssetExecutionContext, lake: LakeResource) -> Partitions:
        """What the day's data were like: volume, fields not available, rejects, coverage by hour, reporting interval.

        Rows in are the file's, rows out its clean positions: the day's whole account in one table.
        """
        place = lake.open()
        return each_partition(
            context,
            lambda day: quality.day_quality(
                date.fromisoformat(day),
                place.row_groups("raw_records", day, quality.RAW_COLUMNS),
                place.row_groups("clean_records", day, quality.CLEAN_COLUMNS),
                place.ledger("raw_records", day),
                place.ledger("clean_records", day),
            ),
        )

    @asset(
        deps=[AssetDep(raw_records, partition_mapping=partitions.EVERY)],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"parquet", "duckdb"},
        code_version="1",
        io_manager_key="parquet",
    )
    def vessels(lake: LakeResource) -> Partitions:
        """Who each vessel MMSI is (name, IMO, type, size, class, flag), from every day; conflicts shown, not hidden."""
        place = lake.open()
        present = days_present(place, "raw_records", settings)
        records = place.dataset("raw_records", present)
        stream = vessel_table(records, validation_fraction=settings.validation_fraction, seed=settings.seed)
        return unpartitioned(stream)

    return [raw_archives, raw_records, clean_records, daily_quality, vessels]


def days_present(lake: Lake, asset_name: str, settings: Settings) -> list[str]:
    """Days of the range that the lake has. Raises LookupError when it has none of them."""
    present = sorted(set(lake.partitions(asset_name)) & set(settings.day_keys))
    if not present:
        raise LookupError(
            f"{asset_name} has no day from {settings.first_day} to {settings.last_day} in {lake.uri}: "
            "materialize some, or correct AIS_FIRST_DAY and AIS_LAST_DAY"
        )
    return present


@contextmanager
def _landed(lake: Lake, source: Source, day: date) -> Iterator[Folder]:
    with lake.store.staging() as folder:
        archive = source.land(day, folder)
        if archive is None:
            yield Folder(folder, "unpublished0", Ledger(), {"published": False})
            return
        digest = _sha256(archive.path)
        facts = {
            "published": True,
            "file": archive.path.name,
            "from": archive.uri,
            "bytes": archive.path.stat().st_size,
            "sha256": digest,
        }
        yield Folder(folder, digest, Ledger(), facts)


@contextmanager
def _parsed(lake: Lake, source: Source, day: date) -> Iterator[RecordStream]:
    facts = lake.manifest("raw_archives", day.isoformat())["facts"]
    if not facts["published"]:
        nothing = {"published": False, "file": None, REJECTS: []}
        yield RecordStream(schema.RAW_RECORDS, iter(()), Ledger(), nothing)
        return
    with lake.local_file("raw_archives", day.isoformat(), facts["file"]) as archive:
        stream = source.read(archive, day)
        stream.facts["file"] = facts["file"]
        yield stream


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
