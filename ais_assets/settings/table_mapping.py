"""How a table of anyone's own stands for position reports: its columns, units and forms (AIS_TABLE_COLUMNS)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from math import pi
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, RootModel, model_validator

from ais_assets import schema

_ANGLES: Final = {
    "degree": 1.0,
    "microdegree": 1e-6,
    # The step of an AIS position (ITU-R M.1371-5, table 48).
    "1/10000 minute": 1 / 600_000,
    "radian": 180 / pi,
}
_COURSES: Final = {"degree": 1.0, "0.1 degree": 0.1, "radian": 180 / pi}
_METRES: Final = {"metre": 1.0, "decimetre": 0.1, "foot": 0.3048}
UNITS: Final[Mapping[str, Mapping[str, float]]] = {
    "lat": _ANGLES,
    "lon": _ANGLES,
    # The international knot is 1852 m an hour, the mile 1609.344 m.
    "sog": {"knot": 1.0, "0.1 knot": 0.1, "m/s": 3600 / 1852, "km/h": 1 / 1.852, "mph": 1609.344 / 1852},
    "cog": _COURSES,
    "heading": _COURSES,
    "length": _METRES,
    "width": _METRES,
    "draught": _METRES,
}
"""By column and name, factors to degree, knot or metre, which is the default."""
UNIX_PLACES: Final = {"unix s": 9, "unix ms": 6, "unix us": 3, "unix ns": 0}
"""Units of a time: decimal places short of nanoseconds."""
MEANINGS: Final = {"mobile_type": schema.MOBILE_TYPES, "nav_status": schema.NAV_STATUSES}
"""What a text of these columns can mean."""
NEEDED: Final = ("t", "mmsi", "lat", "lon")

_FORMAT = re.compile(r"[\x20-\x7e]+")
_FORMAT_LETTERS = Counter("YYYYMMDDhhmmss")


class TableColumn(BaseModel):
    """Where one column of `schema.RAW_RECORDS` is in the table.

    Attributes:
        column: its name there.
        unit: of a number, one of UNITS; of a time, one of UNIX_PLACES; default: degree, knot, metre,
            or a text.
        format: of a time that is neither a number nor ISO 8601 nor DD/MM/YYYY hh:mm:ss: `MM/DD/YYYY hh:mm:ss`, …
        order: of a time, how its dates are to be read: "day first", as 01/03/2024 is the first of March, or "month
            first".
        clock: of a time whose column has the date alone, the column of the time of day.
        identity: of mmsi, "text" where the column has identities that are no MMSIs, such as hashes or longer numbers.
        values: of mobile_type and nav_status, the meaning of each text, beside the meanings and codes themselves.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str
    unit: str | None = None
    format: str | None = None
    order: Literal["day first", "month first"] | None = None
    clock: str | None = None
    identity: Literal["text"] | None = None
    values: dict[str, str] | None = None


class TableMapping(RootModel[dict[str, TableColumn]]):
    """Quantities of `schema.RAW_RECORDS` and where they are in the table."""

    model_config = ConfigDict(frozen=True)

    @property
    def has_texts_for_mmsis(self) -> bool:
        """Whether the table names its senders by texts."""
        return any(column.identity is not None for column in self.root.values())

    @model_validator(mode="after")
    def _possible(self) -> Self:
        # That of texts is the column of mmsi.
        known = [schema.quantity_in(column) for column in schema.RAW_RECORDS.names if column != "identity"]
        if unknown := [name for name in self.root if name not in known]:
            raise ValueError(f"has {', '.join(unknown)}; known are {', '.join(known)}")
        if missing := [name for name in NEEDED if name not in self.root]:
            raise ValueError(f"lacks {', '.join(missing)}; a position report needs {', '.join(NEEDED)}")
        names = Counter(column.column.strip().lower() for column in self.root.values())
        if twice := [name for name, count in names.items() if count > 1]:
            raise ValueError(f"uses the column {', '.join(twice)} more than once")
        for name, column in self.root.items():
            _check_unit(name, column)
            _check_format(name, column)
            _check_time(name, column)
            if column.identity is not None and name != "mmsi":
                raise ValueError(f"{name} has an identity; only mmsi has one")
            _check_values(name, column)
        return self


def _check_unit(name: str, column: TableColumn) -> None:
    units = UNIX_PLACES if name == "t" else UNITS.get(name, {})
    if column.unit is not None and column.unit not in units:
        known = f"known are {', '.join(units)}" if units else "it has none"
        raise ValueError(f"{name} has the unit {column.unit!r}; {known}")


def _check_format(name: str, column: TableColumn) -> None:
    if column.format is None:
        return
    if name != "t" or column.unit is not None:
        raise ValueError(f"{name} has a format; only t has one, and no unit beside it")
    letters = Counter(letter for letter in column.format if letter in _FORMAT_LETTERS)
    if letters != _FORMAT_LETTERS or not _FORMAT.fullmatch(column.format):
        raise ValueError(
            f"t has the format {column.format!r}; it must have YYYY, MM, DD, hh, mm and ss once each, "
            "and no other of these letters"
        )


def _check_time(name: str, column: TableColumn) -> None:
    if column.order is None and column.clock is None:
        return
    if name != "t" or column.unit is not None or column.format is not None:
        raise ValueError(f"{name} has an order or a clock; only t has them, and neither unit nor format beside them")


def _check_values(name: str, column: TableColumn) -> None:
    if column.values is None:
        return
    if name not in MEANINGS:
        raise ValueError(f"{name} has values; only {' and '.join(MEANINGS)} have")
    if unknown := [value for value in column.values.values() if value not in MEANINGS[name]]:
        raise ValueError(f"{name} has the values {', '.join(unknown)}; known are {', '.join(MEANINGS[name])}")
