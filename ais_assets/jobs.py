"""A job for each stage, and one for everything."""

from dagster import (
    AssetsDefinition,
    AssetSelection,
    Config,
    JobDefinition,
    OpExecutionContext,
    define_asset_job,
    job,
    op,
)
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from ais_assets.operating.building import Done, build
from ais_assets.settings import Settings


def stage_jobs(assets: list[AssetsDefinition]) -> list[UnresolvedAssetJobDefinition]:
    """One job an asset, partitioned like it: what a backfill, a schedule or the command line launches."""
    return [
        define_asset_job(
            f"{asset.key.path[-1]}_job",
            AssetSelection.assets(asset),
            description=f"Materializes {asset.key.path[-1]}.",
        )
        for asset in assets
    ]


class EverythingConfig(Config):
    """Processes to use; 0: one a core."""

    workers: int = 0


def everything_job(settings: Settings) -> JobDefinition:
    """Every stage in order over all partitions; Dagster's asset jobs cannot mix days, shards and piles."""

    @op
    def build_everything(context: OpExecutionContext, config: EverythingConfig) -> None:
        """Runs the stages one after the other, each over its partitions in parallel runs of this instance."""

        def report(done: Done) -> None:
            context.log.info(f"{done.task}: {done.seconds:.1f} s")
            for warning in done.warnings:
                context.log.warning(f"{done.task}: {warning}")

        build(settings, context.instance, workers=config.workers or None, on_done=report, on_note=context.log.warning)

    @job(name="everything", description="Every stage in order, over all days, shards and piles.")
    def everything() -> None:
        build_everything()

    return everything
