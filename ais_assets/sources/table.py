"""Anyone's own tables of position reports, CSV or Parquet, with a mapping of columns and units in the settings."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import ClassVar, Final, Unpack

from ais_assets import schema
from ais_assets.settings.table_mapping import UNITS, UNIX_PLACES, TableMapping
from ais_assets.sources.landing.landing import FileOptions, FileSource
from ais_assets.sources.rows.delimited import DelimitedReader
from ais_assets.sources.rows.layout import Layout, TimeForm
from ais_assets.sources.rows.row_plan import TIME_IS_TEXT
from ais_assets.sources.rows.times import DAY_FIRST, MONTH_FIRST
from ais_assets.stream import RecordStream

_UNDEFINED = schema.NAV_STATUSES.index("undefined")
_TRANSCEIVERS: Final = {"A": "class A", "B": "class B", "Class A": "class A", "Class B": "class B"}


class TableSource(FileSource):
    """Daily tables whose columns the settings name."""

    name = "table"
    examples: ClassVar[tuple[str, ...]] = ("positions-2024-03-01.parquet", "20240301.csv.gz", "2024-03-01.csv")
    suffixes: ClassVar[tuple[str, ...]] = (".parquet", ".zip", ".csv.zst", ".csv.gz", ".csv")

    def __init__(
        self,
        uri: str | None,
        *,
        mapping: TableMapping,
        delimiter: str,
        **options: Unpack[FileOptions],
    ) -> None:
        super().__init__(uri, **options)
        self._layout = table_layout(mapping, delimiter)

    def read(self, archive: Path, day: date | None) -> RecordStream:
        reader = DelimitedReader((self._layout,), self.max_bytes, zone=self.zone)
        return reader.read(archive, day, self.days.reach(archive.name))


def table_layout(mapping: TableMapping, delimiter: str) -> Layout:
    """The layout of a table with these columns."""
    columns = mapping.root
    time = columns["t"]
    scales = {name: UNITS[name][column.unit] for name, column in columns.items() if name in UNITS and column.unit}
    return Layout(
        name="table",
        delimiter=delimiter,
        columns={name: column.column for name, column in columns.items()},
        mobile_types=_mobile_types(mapping),
        nav_statuses=_nav_statuses(mapping),
        time=TimeForm(
            time.format or "",
            UNIX_PLACES[time.unit] if time.unit else TIME_IS_TEXT,
            MONTH_FIRST if time.order == "month first" else DAY_FIRST,
        ),
        clock=time.clock,
        scales=scales,
    )


def _mobile_types(mapping: TableMapping) -> dict[str, int]:
    names = {**{name: name for name in schema.MOBILE_TYPES}, **_TRANSCEIVERS, **_values(mapping, "mobile_type")}
    return {text: schema.MOBILE_TYPES.index(name) for text, name in names.items()}


def _nav_statuses(mapping: TableMapping) -> dict[str, int | None]:
    codes = {name: code for code, name in enumerate(schema.NAV_STATUSES)}
    # The last form is what a column of codes with gaps in it becomes as floats.
    spelt = {**codes, **{str(code): code for code in codes.values()}, **{f"{code}.0": code for code in codes.values()}}
    spelt |= {text: codes[name] for text, name in _values(mapping, "nav_status").items()}
    return {text: None if code == _UNDEFINED else code for text, code in spelt.items()}


def _values(mapping: TableMapping, name: str) -> dict[str, str]:
    column = mapping.root.get(name)
    return (column.values or {}) if column is not None else {}
