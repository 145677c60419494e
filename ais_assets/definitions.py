"""The one Definitions object: assets, checks, jobs, schedules, sensors, resources."""

import warnings

from dagster import AssetsDefinition, BetaWarning, Definitions, in_process_executor

from ais_assets.assets.checks import asset_checks
from ais_assets.assets.ingest import ingest_assets
from ais_assets.assets.tracks import track_assets
from ais_assets.assets.training import training_assets
from ais_assets.assets.windows import window_assets
from ais_assets.automation import late_day_sensor, new_day_sensor, newest_day_schedule
from ais_assets.jobs import everything_job, stage_jobs
from ais_assets.resources.lake import IO_MANAGERS, LakeIOManager, LakeResource
from ais_assets.resources.source import SourceResource
from ais_assets.resources.training_loader import TrainingLoaderResource
from ais_assets.settings import Settings, load_settings


def build_definitions(settings: Settings) -> Definitions:
    """The platform for these settings."""
    with warnings.catch_warnings():
        # Once an asset otherwise: BackfillPolicy, which Dagster calls beta, is what spreads a backfill over runs.
        warnings.simplefilter("ignore", BetaWarning)
        return _definitions(settings)


def _definitions(settings: Settings) -> Definitions:
    by_name: dict[str, AssetsDefinition] = {}

    def add(assets: list[AssetsDefinition]) -> None:
        by_name.update({asset.key.path[-1]: asset for asset in assets})

    add(ingest_assets(settings))
    add(track_assets(settings, by_name["clean_records"], by_name["vessels"]))
    add(window_assets(settings, by_name["track_shards"]))
    add(training_assets(settings, by_name["materialized_windows"], by_name["validation"], by_name["holdout"]))
    assets = list(by_name.values())
    jobs = stage_jobs(assets)
    lake = LakeResource.from_settings(settings)
    return Definitions(
        assets=assets,
        asset_checks=asset_checks(settings, by_name),
        jobs=[*jobs, everything_job(settings)],
        schedules=[newest_day_schedule(settings, jobs[0])],
        sensors=[new_day_sensor(), late_day_sensor(settings, jobs[0])],
        resources={
            "lake": lake,
            "source": SourceResource.from_settings(settings),
            "training_loader": TrainingLoaderResource(lake=lake, cache=str(settings.cache)),
            **{form: LakeIOManager(lake=lake, form=form) for form in IO_MANAGERS},
        },
        # A partition run has one step: a process of its own would cost ten times what starting it here does.
        executor=in_process_executor,
    )


defs = build_definitions(load_settings())
