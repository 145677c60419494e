"""Anyone's own tables of position reports, CSV or Parquet, with a mapping of columns and units in the settings."""

from __future__ import annotations

from typing import ClassVar, Final, Unpack

from ais_assets import schema
from ais_assets.settings.table_mapping import UNITS, UNIX_PLACES, TableMapping
from ais_assets.sources.delimited_source import DelimitedSource
from ais_assets.sources.landing.landing import FileOptions
from ais_assets.sources.rows.layout import Layout, TimeForm
from ais_assets.sources.rows.row_plan import TIME_IS_TEXT
from ais_assets.sources.rows.times import DAY_FIRST, MONTH_FIRST

_UNDEFINED = schema.NAV_STATUSES.index("undefined")
_TRANSCEIVERS: Final = {"A": "class A", "B": "class B", "Class A": "class A", "Class B": "class B"}


class TableSource(DelimitedSource):
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
        self.row_layouts = (table_layout(mapping, delimiter),)


def table_layout(mapping: TableMapping, delimiter: str) -> Layout:
    """The layout of a table with these columns."""
    columns = mapping.root
    time = columns["t"]
    text_identities = columns["mmsi"].identity == "text"
    scales = {name: UNITS[name][column.unit] for name, column in columns.items() if name in UNITS and column.unit}
    return Layout(
        name="table",
        delimiter=delimiter,
        columns={name: column.column for name, column in columns.items()}
        | ({"identity": columns["mmsi"].column} if text_identities else {}),
        mobile_types=_mobile_types(mapping),
        nav_statuses=_nav_statuses(mapping),
        time=TimeForm(
            time.format or "",
            UNIX_PLACES[time.unit] if time.unit else TIME_IS_TEXT,
            MONTH_FIRST if time.order == "month first" else DAY_FIRST,
        ),
        clock=time.clock,
        text_identities=text_identities,
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
