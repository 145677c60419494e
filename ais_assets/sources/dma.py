"""AIS as the Danish Maritime Authority publishes it: `aisdk-2024-03-01.zip`, CSV, one row a message.

Columns by the authority's own list (`!_README_information_CSV_files.txt`): 22 to 2018, 26 since. Timestamps
are UTC, day first. Static data are blank until a vessel's first static message of the day and then stand on
every row of hers; a row without a position carries them with latitude 91.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Final

from ais_assets import schema
from ais_assets.sources.delimited_source import DelimitedSource
from ais_assets.sources.rows.layout import Layout

_MOBILE_TYPES: Final = {
    "Class A": "class A",
    "Class B": "class B",
    "Base Station": "base station",
    "AtoN": "aid to navigation",
    "SAR Airborne": "search and rescue aircraft",
    "Search and Rescue Transponder": "search and rescue transponder",
    "Man Overboard Device": "man overboard device",
    "Emergency PIRB": "EPIRB",
    "EPIRB": "EPIRB",
}

# Codes 11 to 13 were reserved up to ITU-R M.1371-4, which older files' texts go by.
_NAV_STATUSES: Final = {
    "Under way using engine": 0,
    "At anchor": 1,
    "Not under command": 2,
    "Restricted maneuverability": 3,
    "Restricted manoeuverability": 3,
    "Constrained by her draught": 4,
    "Moored": 5,
    "Aground": 6,
    "Engaged in fishing": 7,
    "Under way sailing": 8,
    "Reserved for future amendment [HSC]": 9,
    "Reserved for future amendment [WIG]": 10,
    "Power-driven vessel towing astern": 11,
    "Reserved for future use [11]": 11,
    "Power-driven vessel pushing ahead or towing alongside": 12,
    "Reserved for future use [12]": 12,
    "Reserved for future use": 13,
    "Reserved for future use [13]": 13,
    "AIS-SART": 14,
    "AIS-SART (active)": 14,
    "Unknown value": None,
    "Undefined": None,
    "Unknown": None,
}

LAYOUT: Final = Layout(
    name="DMA",
    delimiter=",",
    columns={
        "t": "# Timestamp",
        "mobile_type": "Type of mobile",
        "mmsi": "MMSI",
        "lat": "Latitude",
        "lon": "Longitude",
        "nav_status": "Navigational status",
        "sog": "SOG",
        "cog": "COG",
        "heading": "Heading",
        "imo": "IMO",
        "callsign": "Callsign",
        "name": "Name",
        "ship_type": "Ship type",
        "width": "Width",
        "length": "Length",
        "draught": "Draught",
        "destination": "Destination",
    },
    mobile_types={text: schema.MOBILE_TYPES.index(name) for text, name in _MOBILE_TYPES.items()},
    nav_statuses=_NAV_STATUSES,
    static_company=frozenset(
        {"Cargo type", "Type of position fixing device", "ETA", "Data source type", "A", "B", "C", "D"}
    ),
)


# Before 2016: semicolons, decimal commas and no header, the columns in the order of the authority's list. This is built
# by that list and by descriptions of those files; no real one was at hand.
_LISTED: Final = (
    *("Timestamp", "Type of mobile", "MMSI", "Latitude", "Longitude", "Navigational status", "ROT", "SOG", "COG"),
    *("Heading", "IMO", "Callsign", "Name", "Ship type", "Cargo type", "Width", "Length"),
    *("Type of position fixing device", "Draught", "Destination", "ETA", "Data source type", "A", "B", "C", "D"),
)
_SEMICOLONS: Final = replace(LAYOUT, delimiter=";")
LAYOUTS: Final = (
    replace(_SEMICOLONS, without_header=_LISTED),
    LAYOUT,
    _SEMICOLONS,
)
"""The dialects, that without a header first: a row at once is not a header that lacks columns."""


class DmaSource(DelimitedSource):
    """The archive of the Danish Maritime Authority: a file a day since March 2024, a zip a month from 2006 until
    then."""

    name = "dma"
    home = "http://aisdata.ais.dk"
    layouts: ClassVar[tuple[str, ...]] = (
        "aisdk-{day}.zip",
        "{year}/aisdk-{day}.zip",
        "{year}/aisdk-{month}.zip",
    )
    margin_hours = 0.0
    publisher = "Danish Maritime Authority"
    licence = "the conditions for the use of Danish public data"
    attribution = (
        "Contains data from the Danish Maritime Authority that is used in accordance with the conditions for the use "
        "of Danish public data."
    )
    examples: ClassVar[tuple[str, ...]] = (
        "aisdk-2024-03-01.zip",
        "aisdk_20240301.csv",
        "aisdk-2024-03-01.csv.gz",
        "aisdk-2023-01.zip (monthly)",
    )
    suffixes: ClassVar[tuple[str, ...]] = (".zip", ".csv.gz", ".csv")
    monthly_suffixes: ClassVar[tuple[str, ...]] = (".zip",)
    row_layouts = LAYOUTS
