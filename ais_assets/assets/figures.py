"""Figures in the UI: pictures as metadata of runs and checks, whole, as Markdown.

What draws is imported where it is called: loading matplotlib takes half a second, which most processes can do without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
from dagster import AssetExecutionContext, MetadataValue

from ais_assets.stream import RecordStream

if TYPE_CHECKING:
    from ais_assets.publishing.figures.picture import Picture


def figures(pictures: Iterable[Picture]) -> dict[str, MetadataValue]:
    """Each picture under its title. Dagster's UI shows images in Markdown whose address holds them."""
    return {f"figure: {picture.title}": MetadataValue.md(picture.markdown()) for picture in pictures}


def with_figures(
    context: AssetExecutionContext,
    stream: RecordStream,
    draw: Callable[[], Iterable[Picture]],
    partition: str | None = None,
) -> RecordStream:
    """The same stream, at whose end pictures are drawn that become metadata of the run, or of one partition of it."""
    tables = stream.tables

    def to_the_end() -> Iterator[pa.Table]:
        yield from tables
        shown = figures(draw())
        if shown:
            context.add_asset_metadata(shown, partition_key=partition)

    stream.tables = to_the_end()
    return stream
