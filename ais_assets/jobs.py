"""The name of each stage's job, and the job for everything."""

from dagster import Config, JobDefinition, OpExecutionContext, job, op

from ais_assets.io.stages import turns
from ais_assets.operating.building import Watch, build
from ais_assets.operating.tasks import Done
from ais_assets.resources.lake import LakeResource
from ais_assets.settings import Settings


def job_name(asset: str) -> str:
    """Of the job that materializes one asset, which a backfill, a schedule or the command line launches."""
    return f"{asset}_job"


class EverythingConfig(Config):
    """How everything is built.

    Attributes:
        workers: runs at a time; 0: one a core.
        anew: whether what is there and not stale is built again, too.
    """

    workers: int = 0
    anew: bool = False


def everything_job(settings: Settings) -> JobDefinition:
    """What is missing or stale of every stage, in order; Dagster's asset jobs cannot mix days, shards and piles."""

    @op
    def build_everything(context: OpExecutionContext, config: EverythingConfig, lake: LakeResource) -> None:
        """Runs the stages one after the other, each over its partitions in parallel runs of this instance."""

        def report(done: Done) -> None:
            context.log.info(f"{done.task}: {done.seconds:.1f} s")
            for warning in done.warnings:
                context.log.warning(f"{done.task}: {warning}")

        build(
            turns(settings),
            lake.open(),
            settings,
            context.instance,
            anew=config.anew,
            workers=config.workers or None,
            parent=context.run,
            watch=Watch(on_done=report, on_note=context.log.warning),
        )

    @job(
        name="everything",
        description="What is missing or stale of every stage, in order, over all days, shards and piles.",
    )
    def everything() -> None:
        build_everything()

    return everything
