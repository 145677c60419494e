"""The code location: assets, checks, jobs, schedules, sensors and resources for given settings."""

import warnings

from dagster import (
    AssetsDefinition,
    AssetSelection,
    BetaWarning,
    Definitions,
    define_asset_job,
    definitions,
    in_process_executor,
    with_source_code_references,
)

from ais_assets.assets.checks import asset_checks
from ais_assets.assets.ingest import ingest_assets
from ais_assets.assets.tracks import track_assets
from ais_assets.assets.training import training_assets
from ais_assets.assets.windows import window_assets
from ais_assets.automation import late_day_sensor, new_day_sensor, newest_day_schedule, run_failure_sensor
from ais_assets.io.stages import stages
from ais_assets.jobs import everything_job, job_name
from ais_assets.resources.lake import IO_MANAGERS, LakeIOManager, LakeResource
from ais_assets.resources.source import SourceResource
from ais_assets.resources.training_loader import TrainingLoaderResource
from ais_assets.settings import Settings, load_settings


def platform_assets(settings: Settings) -> dict[str, AssetsDefinition]:
    """Every asset of the dataset that these settings ask for, by its name."""
    with warnings.catch_warnings():
        # Once an asset otherwise: BackfillPolicy, which Dagster calls beta, is what spreads a backfill over runs, and
        # references to where an asset's function stands are beta, too.
        warnings.simplefilter("ignore", BetaWarning)
        parts = (ingest_assets, track_assets, window_assets, training_assets)
        declared = with_source_code_references([asset for part in parts for asset in part(settings)])
        assets = {asset.key.path[-1]: asset for asset in declared if isinstance(asset, AssetsDefinition)}
        wanted = stages(settings)
        return {name: asset for name, asset in assets.items() if name in wanted}


def build_definitions(settings: Settings) -> Definitions:
    """The platform for these settings."""
    assets = platform_assets(settings)
    lake = LakeResource.from_settings(settings)
    return Definitions(
        assets=assets.values(),
        asset_checks=asset_checks(settings, assets),
        jobs=[
            *(
                define_asset_job(job_name(name), AssetSelection.assets(asset), description=f"Materializes {name}.")
                for name, asset in assets.items()
            ),
            everything_job(settings),
        ],
        schedules=[newest_day_schedule(settings)],
        sensors=[new_day_sensor(), late_day_sensor(settings), run_failure_sensor(settings)],
        resources={
            "lake": lake,
            "source": SourceResource.from_settings(settings),
            "training_loader": TrainingLoaderResource(
                lake=lake,
                cache=str(settings.cache),
                format="mds" if "mds" in settings.window_formats else "tracks",
            ),
            **{form: LakeIOManager(lake=lake, form=form) for form in IO_MANAGERS},
        },
        # A partition run has one step: a process of its own would cost ten times what starting it here does.
        executor=in_process_executor,
    )


@definitions
def defs() -> Definitions:
    """The platform for the settings of the environment, read when Dagster asks for it."""
    return build_definitions(load_settings())
