"""Raw formats: one file a format, one interface."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Unpack, get_args

from ais_assets.settings import SourceName
from ais_assets.sources.source import Source, SourceError

if TYPE_CHECKING:
    from datetime import date

    from ais_assets.settings.table_mapping import TableMapping
    from ais_assets.sources.landing.landing import FileOptions, FileSource

_CLASSES = {
    "dma": "dma.DmaSource",
    "json": "json_lines.JsonLinesSource",
    "marinecadastre": "marinecadastre.MarineCadastreSource",
    "nmea": "nmea.NmeaSource",
    "norway": "norway.NorwaySource",
    "table": "table.TableSource",
}
"""Of the sources of files: module and class."""


FILE_SOURCES = tuple(_CLASSES)
"""Names of the sources of files."""


def source_class(name: str) -> type[FileSource]:
    """The class of a source of files. Raises SourceError for an unknown name."""
    if name not in _CLASSES:
        raise SourceError(f"AIS_SOURCE={name} is not known; there are {', '.join(get_args(SourceName))}")
    module, kind = _CLASSES[name].split(".")
    return getattr(import_module(f"{__name__}.{module}"), kind)


def source_for(
    name: SourceName | str,
    uri: str | None,
    *,
    first_day: date,
    vessels: int,
    seed: int,
    table: TableMapping | None = None,
    table_delimiter: str = ",",
    believe_tag_blocks: bool = False,
    **options: Unpack[FileOptions],
) -> Source:
    """The source that the settings name. Nothing is fetched, and only its own modules are imported.

    Args:
        name: AIS_SOURCE.
        uri: AIS_SOURCE_URI, where its files are; None: where it is published. The simulated source has none.
        first_day: the simulated source's first day.
        vessels, seed: of the simulated source.
        table, table_delimiter: columns of the table source, and what separates them.
        believe_tag_blocks: of the nmea source, whether tag blocks of a wrong checksum are believed.
        options: as `FileSource` has them.

    Raises:
        SourceError: an unknown name, or no uri or columns where they are needed.
    """
    if name == "simulated":
        from ais_assets.sources.simulated import SimulatedSource  # noqa: PLC0415

        return SimulatedSource(vessels=vessels, seed=seed, first_day=first_day, max_bytes=options["max_bytes"])
    kind: Any = source_class(name)
    if name == "nmea":
        return kind(uri, believe_tag_blocks=believe_tag_blocks, **options)
    if name != "table":
        return kind(uri, **options)
    if table is None:
        raise SourceError("AIS_SOURCE=table needs AIS_TABLE_COLUMNS: which column is what")
    return kind(uri, mapping=table, delimiter=table_delimiter, **options)
