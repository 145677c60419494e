"""Raw formats: one file a format, one interface."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from ais_assets.settings import SourceName
from ais_assets.sources.source import Source, SourceError

if TYPE_CHECKING:
    from ais_assets.sources.landing import FileSource


def source_for(
    name: SourceName | str, uri: str | None, *, first_day: date, max_bytes: int, vessels: int, seed: int
) -> Source:
    """The source that the settings name. Nothing is fetched, and only its own modules are imported.

    Args:
        name: AIS_SOURCE.
        uri: AIS_SOURCE_URI, where its files are; the simulated source has none.
        first_day: the simulated source's first day.
        max_bytes: refuse an archive larger than this, packed or unpacked.
        vessels, seed: of the simulated source.

    Raises:
        SourceError: an unknown name, or no uri where one is needed.
    """
    if name == "simulated":
        from ais_assets.sources.simulated import SimulatedSource  # noqa: PLC0415

        return SimulatedSource(vessels=vessels, seed=seed, first_day=first_day, max_bytes=max_bytes)
    if uri is None:
        raise SourceError(f"AIS_SOURCE={name} needs AIS_SOURCE_URI: where its files are")
    return _file_source(name)(uri, max_bytes=max_bytes)


def _file_source(name: str) -> type[FileSource]:
    if name == "dma":
        from ais_assets.sources.dma import DmaSource  # noqa: PLC0415

        return DmaSource
    if name == "norway":
        from ais_assets.sources.norway import NorwaySource  # noqa: PLC0415

        return NorwaySource
    raise SourceError(f"AIS_SOURCE={name} is not known; there are dma, norway and simulated")
