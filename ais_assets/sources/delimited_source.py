"""Sources whose files are tables of rows: delimited text, or Parquet of the same columns."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

from ais_assets.ledger import Ledger
from ais_assets.sources.landing.landing import FileSource
from ais_assets.sources.rows.day_rows import DayRows, Undated, rows_by_day
from ais_assets.sources.rows.delimited import DelimitedReader
from ais_assets.sources.rows.layout import Layout
from ais_assets.stream import RecordStream


class DelimitedSource(FileSource):
    """A source of delimited files.

    Attributes:
        row_layouts: how rows may be written, of which a file's first line says which it is.
    """

    row_layouts: tuple[Layout, ...]

    def read(self, archive: Path, day: date | None) -> RecordStream:
        reader = DelimitedReader(self.row_layouts, self.max_bytes, zone=self.zone)
        return reader.read(archive, day, self.days.reach(archive.name))

    def head(self, archive: Path) -> bytes | None:
        return DelimitedReader(self.row_layouts, self.max_bytes, zone=self.zone).head(archive)

    def rows_by_day(self, archive: Path, ledger: Ledger) -> Iterator[DayRows | Undated]:
        return rows_by_day(archive, self.row_layouts, self.zone, self.max_bytes, ledger)
