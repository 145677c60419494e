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

from ais_assets.io.lake import Lake
from ais_assets.resources.io_managers import FolderIOManager, JSONIOManager, ParquetIOManager
from ais_assets.settings import Settings
from ais_assets.store.s3_access import PATIENCE_SECONDS, S3Access

IO_MANAGERS = {
    "parquet": ParquetIOManager,
    "folder": FolderIOManager,
    "json": JSONIOManager,
}


class LakeResource(ConfigurableResource):
    """Where every dataset lives, and how S3 is reached where the standard AWS_* environment is not enough."""

    uri: str
    s3_endpoint_url: str | None = None
    s3_region: str | None = None
    s3_profile: str | None = None
    s3_encryption: str | None = None
    s3_storage_class: str | None = None
    s3_requester_pays: bool = False
    s3_anonymous: bool = False
    s3_patience_seconds: float = PATIENCE_SECONDS
    zstd_level: int = 1

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The lake that the settings name."""
        return cls(
            uri=settings.lake,
            s3_endpoint_url=settings.s3_endpoint_url,
            s3_region=settings.s3_region,
            s3_profile=settings.s3_profile,
            s3_encryption=settings.s3_encryption,
            s3_storage_class=settings.s3_storage_class,
            s3_requester_pays=settings.s3_requester_pays,
            s3_anonymous=settings.s3_anonymous,
            s3_patience_seconds=settings.s3_patience_seconds,
            zstd_level=settings.zstd_level,
        )

    def open(self) -> Lake:
        """The lake itself. Nothing is read or written yet."""
        return Lake(
            self.uri,
            s3_access=S3Access(
                self.s3_endpoint_url,
                self.s3_region,
                self.s3_profile,
                self.s3_encryption,
                self.s3_storage_class,
                self.s3_requester_pays,
                self.s3_anonymous,
            ),
            s3_patience_seconds=self.s3_patience_seconds,
            zstd_level=self.zstd_level,
        )


class LakeIOManager(ConfigurableIOManagerFactory):
    """An IO manager over the lake: `form` is parquet, folder or json."""

    lake: ResourceDependency[LakeResource]
    form: str

    def create_io_manager(self, context: InitResourceContext) -> IOManager:
        del context
        return IO_MANAGERS[self.form](self.lake.open())
