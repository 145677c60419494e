"""Raw formats: one file a format, one interface."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ais_assets.settings import SourceName
from ais_assets.sources.source import Source, SourceError

if TYPE_CHECKING:
    from ais_assets.settings.table_mapping import TableMapping
    from ais_assets.sources.landing.landing import FileSource
    from ais_assets.store.s3_access import S3Access


def source_for(
    name: SourceName | str,
    uri: str | None,
    *,
    first_day: date,
    max_bytes: int,
    vessels: int,
    seed: int,
    s3: S3Access | None = None,
    table: TableMapping | None = None,
    table_delimiter: str = ",",
    unfinished: Path | None = None,
) -> Source:
    """The source that the settings name. Nothing is fetched, and only its own modules are imported.

    Args:
        name: AIS_SOURCE.
        uri: AIS_SOURCE_URI, where its files are; the simulated source has none.
        first_day: the simulated source's first day.
        max_bytes: refuse an archive larger than this, packed or unpacked.
        vessels, seed: of the simulated source.
        s3: how S3 is reached; default: by the standard AWS_* environment.
        table, table_delimiter: columns of the table source, and what separates them.
        unfinished: where files that are being fetched are kept for a later run to go on with.

    Raises:
        SourceError: an unknown name, or no uri or columns where they are needed.
    """
    if name == "simulated":
        from ais_assets.sources.simulated import SimulatedSource  # noqa: PLC0415

        return SimulatedSource(vessels=vessels, seed=seed, first_day=first_day, max_bytes=max_bytes)
    if name not in get_args(SourceName):
        raise SourceError(f"AIS_SOURCE={name} is not known; there are {', '.join(get_args(SourceName))}")
    if uri is None:
        raise SourceError(f"AIS_SOURCE={name} needs AIS_SOURCE_URI: where its files are")
    if name == "table":
        from ais_assets.sources.table import TableSource  # noqa: PLC0415

        if table is None:
            raise SourceError("AIS_SOURCE=table needs AIS_TABLE_COLUMNS: which column is what")
        return TableSource(
            uri, mapping=table, delimiter=table_delimiter, max_bytes=max_bytes, s3=s3, unfinished=unfinished
        )
    return _file_source(name)(uri, max_bytes=max_bytes, s3=s3, unfinished=unfinished)


def _file_source(name: str) -> type[FileSource]:
    if name == "dma":
        from ais_assets.sources.dma import DmaSource  # noqa: PLC0415

        return DmaSource
    if name == "marinecadastre":
        from ais_assets.sources.marinecadastre import MarineCadastreSource  # noqa: PLC0415

        return MarineCadastreSource
    if name == "nmea":
        from ais_assets.sources.nmea import NmeaSource  # noqa: PLC0415

        return NmeaSource
    from ais_assets.sources.norway import NorwaySource  # noqa: PLC0415

    return NorwaySource
