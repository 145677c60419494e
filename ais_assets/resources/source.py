"""The raw source as a Dagster resource."""

from datetime import date

from dagster import ConfigurableResource

from ais_assets.settings import Settings
from ais_assets.sources import source_for
from ais_assets.sources.source import Source


class SourceResource(ConfigurableResource):
    """Which raw format is read, and where its files are."""

    name: str
    uri: str | None = None
    first_day: str
    max_archive_gigabytes: float
    simulated_vessels: int
    seed: int

    @classmethod
    def from_settings(cls, settings: Settings) -> "SourceResource":
        """The source that the settings name."""
        return cls(
            name=settings.source,
            uri=settings.source_uri,
            first_day=settings.first_day.isoformat(),
            max_archive_gigabytes=settings.max_archive_gigabytes,
            simulated_vessels=settings.simulated_vessels,
            seed=settings.seed,
        )

    def open(self) -> Source:
        """The source itself. Nothing is fetched yet."""
        return source_for(
            self.name,
            self.uri,
            first_day=date.fromisoformat(self.first_day),
            max_bytes=int(self.max_archive_gigabytes * 1e9),
            vessels=self.simulated_vessels,
            seed=self.seed,
        )
