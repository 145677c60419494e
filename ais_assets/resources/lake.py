"""The lake and its IO managers as Dagster resources."""

# Without `from __future__ import annotations`: Dagster reads ResourceDependency from the annotation itself.
from typing import Self

from dagster import (
    ConfigurableIOManagerFactory,
    ConfigurableResource,
    InitResourceContext,
    IOManager,
    ResourceDependency,
)
from dagster_aws.s3 import S3Resource

from ais_assets.io.lake import Lake
from ais_assets.resources.io_managers import FolderIOManager, JSONIOManager, ParquetIOManager
from ais_assets.settings import Settings

IO_MANAGERS = {
    "parquet": ParquetIOManager,
    "folder": FolderIOManager,
    "json": JSONIOManager,
}


class LakeResource(ConfigurableResource):
    """Where every dataset lives. On S3 its client, endpoint and credentials are those of `s3`."""

    uri: str
    s3: ResourceDependency[S3Resource]
    zstd_level: int = 1

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The lake that the settings name."""
        s3 = S3Resource(
            endpoint_url=settings.s3_endpoint_url,
            region_name=settings.s3_region,
            profile_name=settings.s3_profile,
        )
        return cls(uri=settings.lake, s3=s3, zstd_level=settings.zstd_level)

    def open(self) -> Lake:
        """The lake itself. Nothing is read or written yet."""
        if not self.uri.startswith("s3://"):
            return Lake(self.uri, zstd_level=self.zstd_level)
        return Lake(
            self.uri,
            s3_client=self.s3.get_client(),
            s3_profile=self.s3.profile_name,
            zstd_level=self.zstd_level,
        )


class LakeIOManager(ConfigurableIOManagerFactory):
    """An IO manager over the lake: `form` is parquet, folder or json."""

    lake: ResourceDependency[LakeResource]
    form: str

    def create_io_manager(self, context: InitResourceContext) -> IOManager:
        del context
        return IO_MANAGERS[self.form](self.lake.open())
