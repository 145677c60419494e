"""AIS of the Norwegian Coastal Administration as CSV exports: `;` between fields, codes as numbers, UTC.

`;mmsi;imo_nr;length;date_time_utc;lon;lat;sog;cog;true_heading;nav_status;message_nr`, an unnamed index first.
"""

from __future__ import annotations

from typing import ClassVar, Final

from ais_assets import schema
from ais_assets.sources.delimited_source import DelimitedSource
from ais_assets.sources.rows.layout import Layout

# By the number of the message (ITU-R M.1371-5, table 46).
_SENDERS: Final = {
    "class A": (1, 2, 3, 5, 27),
    "class B": (18, 19, 24),
    "base station": (4,),
    "search and rescue aircraft": (9,),
    "aid to navigation": (21,),
}
_UNDEFINED = schema.NAV_STATUSES.index("undefined")


def _spellings(code: int) -> tuple[str, str]:
    """A code as published and as pandas writes it once its column has had a gap."""
    return str(code), f"{code}.0"


LAYOUT: Final = Layout(
    name="Norwegian",
    delimiter=";",
    columns={
        "mmsi": "mmsi",
        "imo": "imo_nr",
        "length": "length",
        "t": "date_time_utc",
        "lon": "lon",
        "lat": "lat",
        "sog": "sog",
        "cog": "cog",
        "heading": "true_heading",
        "nav_status": "nav_status",
        "mobile_type": "message_nr",
    },
    mobile_types={
        text: schema.MOBILE_TYPES.index(sender)
        for sender, messages in _SENDERS.items()
        for message in messages
        for text in _spellings(message)
    },
    nav_statuses={
        text: None if code == _UNDEFINED else code
        for code in range(len(schema.NAV_STATUSES))
        for text in _spellings(code)
    },
)


class NorwaySource(DelimitedSource):
    """Daily exports of the Norwegian Coastal Administration, whatever else their names say."""

    name = "norway"
    margin_hours = 0.0
    publisher = "Norwegian Coastal Administration (Kystverket)"
    licence = "Norwegian Licence for Open Government Data (NLOD) 2.0"
    attribution = (
        "Contains data of the Norwegian Coastal Administration under the Norwegian Licence for Open Government Data."
    )
    examples: ClassVar[tuple[str, ...]] = ("vestland-2022-09-01.csv", "ais_20220901.csv.gz", "2022-09-01.zip")
    suffixes: ClassVar[tuple[str, ...]] = (".zip", ".csv.gz", ".csv")
    row_layouts = (LAYOUT,)
