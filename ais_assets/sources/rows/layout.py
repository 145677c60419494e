"""How a delimited format writes its rows: what its columns are called, and what its texts and numbers stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ais_assets import schema
from ais_assets.sources.rows.row_plan import TIME_IS_TEXT, Role
from ais_assets.sources.rows.times import DAY_FIRST

ROLES: Final = {
    "t": Role.TIME,
    "mmsi": Role.MMSI,
    "lat": Role.LATITUDE,
    "lon": Role.LONGITUDE,
    "mobile_type": Role.MOBILE_TYPE,
    "nav_status": Role.NAV_STATUS,
    "sog": Role.SOG,
    "cog": Role.COG,
    "heading": Role.HEADING,
}
"""The quantities that every row is read for."""
NEEDED: Final = ("t", "mmsi", "lat", "lon")
"""Those without which there is no position report."""
NEEDED_ROLES: Final = frozenset(ROLES[name] for name in NEEDED) | {Role.IDENTITY}
"""Their roles."""


@dataclass(frozen=True)
class TimeForm:
    """How a format writes its times, where it is not DD/MM/YYYY hh:mm:ss or ISO 8601.

    Attributes:
        text: each byte of it stands for one of the file's: Y, M, D, h, m and s for digits, the rest for itself.
        unix_places: instead of that a number since 1970: 9 of seconds, 6 of milliseconds, 3 of microseconds, 0 of
            nanoseconds.
        date_order: DAY_FIRST or MONTH_FIRST, of dates such as 01/03/2024.
    """

    text: str = ""
    unix_places: int = TIME_IS_TEXT
    date_order: int = DAY_FIRST


@dataclass(frozen=True)
class Layout:
    """How a format writes its rows. Names of columns are compared trimmed, in lower case and without a leading `#`.

    Attributes:
        name: the format, for messages.
        delimiter: one ASCII character.
        columns: the file's name for each quantity of `schema.RAW_RECORDS` it has, or several spellings of it. t,
            mmsi, lat and lon there must be.
        optional: columns that a file may lack, beside the static ones, which any file may.
        mobile_types: code in `schema.MOBILE_TYPES` by the file's text. A blank is 0, unknown.
        nav_statuses: code in `schema.NAV_STATUSES` by the file's text, None for a text that means unknown.
        static_company: other columns that change only with the static data (a vessel's ETA, her antenna's
            place). A row's static data are looked at only where their bytes are new for its MMSI, and what stands
            between two of them without being one of these parts them into runs, at some cost in speed.
        time: how its times are written.
        scales: by column what a number of the file is multiplied by to be in degrees, knots or metres.
        motion_wraps: whether a negative SOG or COG is one that ran over, as in MarineCadastre's of 2017 to 2021.
        clock: the file's name for the column of the time of day, where that of t has the date alone.
        text_identities: whether the column of mmsi has texts that are no MMSIs; `identity` is that column, too.
        without_header: names of the columns in their order, for files that begin with a row at once; these or as many
            of them as the first row has fields.
    """

    name: str
    delimiter: str
    columns: Mapping[str, str | tuple[str, ...]]
    mobile_types: Mapping[str, int]
    nav_statuses: Mapping[str, int | None]
    static_company: frozenset[str] = field(default=frozenset())
    optional: frozenset[str] = field(default=frozenset())
    time: TimeForm = field(default=TimeForm())
    scales: Mapping[str, float] = field(default_factory=dict)
    motion_wraps: bool = False
    clock: str | None = None
    text_identities: bool = False
    without_header: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        missing = [name for name in NEEDED if name not in self.columns]
        unknown = [name for name in self.columns if name not in ROLES and name not in schema.STATIC_COLUMNS]
        if missing or unknown:
            raise ValueError(f"layout {self.name}: columns lack {missing} and have unknown {unknown}")

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns that a file must have."""
        return tuple(name for name in ROLES if name in self.columns and name not in self.optional)

    def has(self, name: str) -> bool:
        """Whether a file's column of this name is one of `columns`, or the clock."""
        spelt = [spelling for column in self.columns for spelling in self.spellings(column)]
        return plain_name(name) in {plain_name(spelling) for spelling in (*spelt, self.clock or "")} - {""}

    def spellings(self, column: str) -> tuple[str, ...]:
        """The file's names for one of `columns`."""
        names = self.columns[column]
        return (names,) if isinstance(names, str) else names


def plain_name(name: str) -> str:
    """A column's name as names are compared."""
    return name.strip().removeprefix("#").strip().lower()
