"""The raw source as a Dagster resource."""

from datetime import date, timedelta
from pathlib import Path

from dagster import ConfigurableResource

from ais_assets.settings import Settings, load_settings
from ais_assets.settings.addresses import without_credentials
from ais_assets.settings.table_mapping import TableMapping
from ais_assets.sources import source_class, source_for
from ais_assets.sources.file_days import FileDays
from ais_assets.sources.landing import unfinished
from ais_assets.sources.source import Source, SourceError
from ais_assets.store.s3_access import S3Access


class SourceResource(ConfigurableResource):
    """Which raw format is read, and where its files are.

    Dagster stores what a resource is configured with and shows it. So user, password and query of a web address are not
    in `uri`: with `credentials` they are those of AIS_SOURCE_URI in the environment of the process that reads.
    """

    name: str
    uri: str | None = None
    credentials: bool = False
    first_day: str
    max_archive_gigabytes: float
    simulated_vessels: int
    seed: int
    s3_endpoint_url: str | None = None
    s3_region: str | None = None
    s3_profile: str | None = None
    s3_requester_pays: bool = False
    s3_anonymous: bool = False
    table_columns: str | None = None
    table_delimiter: str = ","
    source_zone: str = "UTC"
    file_zone: str = "UTC"
    file_margin_hours: float | None = None
    believe_tag_blocks: bool = False
    last_day: str | None = None
    cache: str | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> "SourceResource":
        """The source that the settings name."""
        public = None if settings.source_uri is None else without_credentials(settings.source_uri)
        return cls(
            name=settings.source,
            uri=public,
            credentials=public != settings.source_uri,
            first_day=settings.first_day.isoformat(),
            max_archive_gigabytes=settings.max_archive_gigabytes,
            simulated_vessels=settings.simulated_vessels,
            seed=settings.seed,
            s3_endpoint_url=settings.s3_endpoint_url,
            s3_region=settings.s3_region,
            s3_profile=settings.s3_profile,
            s3_requester_pays=settings.s3_requester_pays,
            s3_anonymous=settings.s3_anonymous,
            table_columns=None if settings.table_columns is None else settings.table_columns.model_dump_json(),
            table_delimiter=settings.table_delimiter,
            source_zone=settings.source_zone,
            file_zone=settings.file_zone,
            file_margin_hours=settings.file_margin_hours,
            believe_tag_blocks=settings.nmea_believe_tag_blocks,
            last_day=settings.last_day.isoformat(),
            cache=str(settings.cache),
        )

    def open(self) -> Source:
        """The source itself. Nothing is fetched yet.

        Raises SourceError where its credentials are not in this process's environment.
        """
        return source_for(
            self.name,
            self._address(),
            first_day=date.fromisoformat(self.first_day),
            max_bytes=int(self.max_archive_gigabytes * 1e9),
            vessels=self.simulated_vessels,
            seed=self.seed,
            s3=S3Access(
                self.s3_endpoint_url,
                self.s3_region,
                self.s3_profile,
                requester_pays=self.s3_requester_pays,
                anonymous=self.s3_anonymous,
            ),
            table=None if self.table_columns is None else TableMapping.model_validate_json(self.table_columns),
            table_delimiter=self.table_delimiter,
            believe_tag_blocks=self.believe_tag_blocks,
            zone=self.source_zone,
            days=self._file_days(),
            last_day=None if self.last_day is None else date.fromisoformat(self.last_day),
            unfinished=None if self.cache is None else Path(self.cache) / unfinished.FOLDER,
        )

    def _file_days(self) -> FileDays | None:
        """How names of files stand for days; None for a source without files."""
        if self.name == "simulated":
            return None
        hours = source_class(self.name).margin_hours if self.file_margin_hours is None else self.file_margin_hours
        return FileDays(self.file_zone, timedelta(hours=hours), date.fromisoformat(self.first_day))

    def _address(self) -> str | None:
        """With the credentials, if it has any."""
        if not self.credentials:
            return self.uri
        address = load_settings().source_uri or ""
        if without_credentials(address) != self.uri:
            raise SourceError(
                f"{self.uri} is read with credentials, which Dagster does not store: set AIS_SOURCE_URI to the whole "
                "address in the environment of every process that runs assets"
            )
        return address
