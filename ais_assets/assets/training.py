"""What training code reads: MDS shards, their root index with statistics and card, and the baseline to beat."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dagster import AssetExecutionContext, AssetsDefinition, DataVersion, MaterializeResult, MetadataValue, Output

from ais_assets.assets.figures import figures
from ais_assets.assets.stage import Making, stage
from ais_assets.assets.windows import WindowGather
from ais_assets.io.lake import Folder, Lake
from ais_assets.io.mds import write_shards
from ais_assets.io.provenance import WHOLE
from ais_assets.ledger import Ledger
from ais_assets.machine import MOST_THREADS, usable_cores
from ais_assets.resources.io_managers import Partitions
from ais_assets.resources.lake import LakeResource
from ais_assets.settings import Settings
from ais_assets.stream import RecordStream
from ais_assets.transforms.durations import WindowDurations
from ais_assets.transforms.forecast_report import ForecastErrors
from ais_assets.transforms.windows import features_of

GROUP = "training"
HORIZONS_MINUTES = (5, 10, 20, 30, 60, 120)
MOST_RECKONED = 500_000
"""Windows that the baselines are judged by: the first of the file, which is shuffled, so that they are a fair sample of
a year's five million. Those of one ship err alike; more of them would take minutes of one core and say the same."""


def training_assets(settings: Settings) -> list[AssetsDefinition]:
    """`mds_shards`, `training_dataset` and `dead_reckoning` for these settings."""

    @stage(settings, group=GROUP, kinds={"mds"})
    def mds_shards(context: AssetExecutionContext, lake: LakeResource) -> Partitions:
        """The pile's windows in the order of `materialized_windows` as MDS shards, gathered from the tracks, too."""
        place = lake.open()
        piles = WindowGather(place, settings).piles([int(pile) for pile in context.partition_keys], context)
        return Making(context, place, settings).each(
            lambda pile: sharded_windows(place, pile, next(piles), settings), compares=True
        )

    @stage(settings, group=GROUP, kinds={"json", *settings.window_formats})
    def training_dataset(context: AssetExecutionContext, lake: LakeResource) -> MaterializeResult:
        """The commit point: the index of the tracks, and of MDS the root index and statistics; the dataset card."""
        from ais_assets.publishing.index import publish_dataset  # noqa: PLC0415 - loads matplotlib
        from ais_assets.publishing.publication import Publication  # noqa: PLC0415 - as above

        place = lake.open()
        publication = Publication.begin(place)
        dataset = publish_dataset(publication, settings, Making(context, place, settings).facts(WHOLE))
        return MaterializeResult(
            data_version=DataVersion(dataset.release),
            metadata={
                "release": dataset.release,
                "dagster/uri": dataset.uri,
                **dataset.counts(),
                **({} if dataset.mds is None else {"statistics": MetadataValue.json(dataset.mds.statistics)}),
                "card": MetadataValue.md(dataset.card),
                **figures(dataset.pictures.values()),
            },
        )

    @stage(settings, group=GROUP, kinds={"json"})
    def dead_reckoning(context: AssetExecutionContext, lake: LakeResource) -> Output[dict[str, Any]]:
        """The baselines that every model must beat, in nautical miles: holding course and speed, and two others."""
        from ais_assets.publishing.figures.forecast import error_by_horizon  # noqa: PLC0415 - loads matplotlib

        place = lake.open()
        facts = Making(context, place, settings).facts(WHOLE)
        errors = ForecastErrors(settings.seq_len, HORIZONS_MINUTES)
        left = MOST_RECKONED
        for windows in place.row_groups("validation", columns=("features", "mmsi")):
            errors.add(features_of(windows)[:left], windows["mmsi"].to_numpy()[:left])
            left -= len(windows)
            if left <= 0:
                break
        report = {**errors.summary(), "windows_in_validation": place.describe("validation").rows}
        shown = {
            "error by method, kind of ship and horizon": MetadataValue.json(report),
            "windows": report["windows"],
            "vessels": report["vessels"],
            **figures([error_by_horizon(report)]),
        }
        return Output({**report, **facts}, metadata=shown)

    return [mds_shards, training_dataset, dead_reckoning]


@contextmanager
def sharded_windows(lake: Lake, pile: str, windows: RecordStream, settings: Settings) -> Iterator[Folder]:
    """The pile's windows as a local folder of MDS shards, for as long as the context lasts."""
    durations = WindowDurations(settings.seq_len, settings.window_len)
    with lake.store.staging() as staging:
        written = write_shards(
            durations.watch(windows.tables),
            staging / pile,
            window_len=settings.window_len,
            size_limit=settings.mds_size_limit,
            level=settings.zstd_level,
            threads=settings.mds_threads or min(MOST_THREADS, usable_cores()),
        )
        facts = {
            "shards": written.shards,
            "raw_bytes": written.raw_bytes,
            "seq_len": settings.seq_len,
            "window_len": settings.window_len,
            "seed": settings.seed,
            "piles": settings.piles,
            "window_piles": windows.facts["window_piles"],
            "features_crc32": windows.facts["features_crc32"],
            "statistics": windows.facts["statistics"],
            "durations": durations.to_json(),
        }
        ledger = Ledger(rows_in=windows.ledger.rows_in, rows_out=written.samples)
        yield Folder(staging / pile, written.digest, ledger, facts, last="index.json")
