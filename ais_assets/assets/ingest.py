"""Days: from the source's archives to clean position reports, and who the vessels are."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path

import pyarrow as pa
from dagster import AssetExecutionContext, AssetsDefinition, AutomationCondition

from ais_assets.assets.figures import with_figures
from ais_assets.assets.stage import Making, stage
from ais_assets.io.lake import Folder, Lake
from ais_assets.ledger import Ledger
from ais_assets.publishing.figure_data import facts_of_vessels
from ais_assets.resources.io_managers import Partitions
from ais_assets.resources.lake import LakeResource
from ais_assets.resources.source import SourceResource
from ais_assets.settings import Settings
from ais_assets.sources.source import Source
from ais_assets.stream import RecordStream
from ais_assets.transforms import quality
from ais_assets.transforms.clean import clean_day
from ais_assets.transforms.pseudonyms import Pseudonyms
from ais_assets.transforms.reports.row_rules import RAW_COLUMNS
from ais_assets.transforms.vessels import vessel_table

GROUP = "ingest"


def ingest_assets(settings: Settings) -> list[AssetsDefinition]:
    """`raw_archives`, `raw_records`, `clean_records`, `daily_quality` and `vessels` for these settings."""
    by_itself = AutomationCondition.eager()

    @stage(settings, group=GROUP, kinds={settings.source, "file"}, pool="source")
    def raw_archives(context: AssetExecutionContext, lake: LakeResource, source: SourceResource) -> Partitions:
        """The source's files of the day, as published, landed once: size, sha256 and where they are from.

        A day that the source never published is stored as such, so that the stages after it need not wait.
        """
        place, feed = lake.open(), source.open()
        return Making(context, place, settings).each(lambda day: landed_archive(place, feed, date.fromisoformat(day)))

    @stage(settings, group=GROUP, kinds={"parquet"}, automation_condition=by_itself)
    def raw_records(context: AssetExecutionContext, lake: LakeResource, source: SourceResource) -> Partitions:
        """Every row of the archive that parses, typed; every row that does not, counted with its reason."""
        place, feed = lake.open(), source.open()
        return Making(context, place, settings).each(
            lambda day: typed_records(place, feed, date.fromisoformat(day), settings)
        )

    @stage(settings, group=GROUP, kinds={"parquet", "numba"}, automation_condition=by_itself)
    def clean_records(context: AssetExecutionContext, lake: LakeResource) -> Partitions:
        """Usable positions, deduplicated, by (vessel shard, MMSI, time); a count for every rule that dropped any."""
        place = lake.open()
        return Making(context, place, settings).each(
            lambda day: cleaned_records(place, date.fromisoformat(day), settings)
        )

    @stage(settings, group=GROUP, kinds={"parquet"}, automation_condition=by_itself)
    def daily_quality(context: AssetExecutionContext, lake: LakeResource) -> Partitions:
        """What the day's data were like: volume, fields not available, rejects, coverage by hour, reporting interval.

        Rows in are the file's, rows out its clean positions: the day's whole account in one table.
        """
        from ais_assets.publishing.describing import map_of_day  # noqa: PLC0415 - loads matplotlib

        place = lake.open()
        making = Making(context, place, settings)

        def measured(day: str) -> RecordStream:
            stream = measured_quality(place, date.fromisoformat(day))
            return with_figures(context, stream, lambda: map_of_day(place, day), day)

        return making.each(measured)

    @stage(settings, group=GROUP, kinds={"parquet", "duckdb"})
    def vessels(context: AssetExecutionContext, lake: LakeResource) -> Partitions:
        """Who each vessel MMSI is (name, IMO, type, size, class, flag), from every day; conflicts shown, not hidden."""
        place = lake.open()

        def known() -> RecordStream:
            from ais_assets.publishing.describing import pictures_of_vessels  # noqa: PLC0415 - loads matplotlib

            stream = known_vessels(place, settings)
            (table,) = stream.tables
            stream.tables = iter([table])
            return with_figures(context, stream, lambda: pictures_of_vessels(facts_of_vessels(table)))

        return Making(context, place, settings).whole(known)

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
def landed_archive(lake: Lake, source: Source, day: date) -> Iterator[Folder]:
    """The source's files of the day in a folder of their own, for as long as the context lasts.

    Raises SourceError as the source does.
    """
    with lake.store.staging() as folder:
        archives = source.land(day, folder)
        if not archives:
            yield Folder(folder, "unpublished0", Ledger(), {"published": False})
            return
        files = [
            {
                "file": archive.path.name,
                "from": archive.uri,
                "bytes": archive.path.stat().st_size,
                "sha256": _sha256(archive.path),
                "of_day": archive.of_day,
                "days": None if archive.days is None else [day.isoformat() for day in archive.days],
            }
            for archive in archives
        ]
        digest = hashlib.sha256("".join(file["sha256"] for file in files).encode()).hexdigest()
        facts = {
            "published": any(archive.of_day for archive in archives),
            "files": files,
            "bytes": sum(file["bytes"] for file in files),
        }
        yield Folder(folder, digest, Ledger(), facts)


@contextmanager
def typed_records(lake: Lake, source: Source, day: date, settings: Settings) -> Iterator[RecordStream]:
    """The day's rows in its files, which are at hand for as long as the context lasts; none of a day without any.

    Raises PartitionMissingError when no archive was landed, LostDayError when no row parses, and as the source does.
    """
    facts = lake.manifest("raw_archives", day.isoformat())["facts"]
    files = [file["file"] for file in facts.get("files", [])]
    with ExitStack() as at_hand:
        archives = [at_hand.enter_context(lake.local_file("raw_archives", day.isoformat(), file)) for file in files]
        stream = source.read_all(archives, day)
        stream.facts |= {"published": facts["published"], "files": files}
        yield not_all_lost(stream, f"raw_records[{day}], {', '.join(files)}", settings)


def cleaned_records(lake: Lake, day: date, settings: Settings) -> RecordStream:
    """The day's usable positions; `transforms/clean.py` has the rules. Raises LostDayError when there is none."""
    records = lake.row_groups("raw_records", day.isoformat(), RAW_COLUMNS)
    return not_all_lost(cleaned(records, day, settings), f"clean_records[{day}]", settings)


def cleaned(records: Iterator[pa.Table], day: date, settings: Settings) -> RecordStream:
    """These records of the day cleaned as the settings say; RAW_COLUMNS of `schema.RAW_RECORDS` are needed."""
    return clean_day(
        records,
        day,
        shards=settings.shards,
        repeat_seconds=settings.repeat_seconds,
        moving_knots=settings.moving_knots,
        ships_only=settings.ships_only,
        classes=settings.classes,
        drop_position_at_zero=settings.drop_position_at_zero,
        region=settings.region,
        land_metres=settings.land_metres,
        drop_on_land=settings.drop_on_land,
        pseudonyms=pseudonyms_of(settings),
    )


def pseudonyms_of(settings: Settings) -> Pseudonyms | None:
    """What stands for identities in all that is made of raw_records; None where they are kept."""
    key = settings.identity_key
    return None if key is None else Pseudonyms(key, keeps_texts=settings.identities == "hash")


class LostDayError(ValueError):
    """A day had rows and lost every one; the message says of which rules."""


def not_all_lost(stream: RecordStream, where: str, settings: Settings) -> RecordStream:
    """The same stream, which raises LostDayError at its end if all its rows were dropped, unless settings allow it."""
    tables, ledger = stream.tables, stream.ledger

    def to_the_end() -> Iterator[pa.Table]:
        yield from tables
        if ledger.rows_in and not ledger.rows_out and not settings.allow_lost_days:
            lost = ", ".join(f"{rule} {rows:,}" for rule, rows in ledger.dropped.items() if rows)
            raise LostDayError(
                f"{where}: all {ledger.rows_in:,} rows are lost ({lost}). Is it the file of another day or format, or "
                "do the settings drop all of it? AIS_ALLOW_LOST_DAYS=true lets such a day be empty"
            )

    stream.tables = to_the_end()
    return stream


def measured_quality(lake: Lake, day: date) -> RecordStream:
    """What the day's typed and clean records are like. Raises PartitionMissingError when either is missing."""
    key = day.isoformat()
    return quality.day_quality(
        day,
        lake.row_groups("raw_records", key, quality.RAW_COLUMNS),
        lake.row_groups("clean_records", key, quality.CLEAN_COLUMNS),
        lake.ledger("raw_records", key),
        lake.ledger("clean_records", key),
    )


def known_vessels(lake: Lake, settings: Settings) -> RecordStream:
    """A row for each vessel MMSI in the typed records. Raises LookupError when there is no day of them."""
    records = lake.dataset("raw_records", days_present(lake, "raw_records", settings))
    return vessel_table(
        records,
        validation_fraction=settings.validation_fraction,
        test_fraction=settings.test_fraction,
        seed=settings.seed,
        pseudonyms=pseudonyms_of(settings),
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
