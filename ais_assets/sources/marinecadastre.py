"""AIS of the United States as MarineCadastre (NOAA, BOEM, USCG) publishes it: one row a vessel and minute, UTC.

`AIS_2024_01_01.zip` of 2015 to 2024, `ais-2025-01-01.csv.zst` and GeoParquet since; 2015 to 2017 without the
transceiver's class and with texts for the status, 2020 with a misspelt header, since 2025 in lower case, longitude
first. Rows are not in order of time. 2009 to 2014 were published as File Geodatabases, which others export to CSV.
"""

from __future__ import annotations

from typing import ClassVar, Final

from ais_assets import schema
from ais_assets.sources.delimited_source import DelimitedSource
from ais_assets.sources.rows.layout import Layout

_UNDEFINED = schema.NAV_STATUSES.index("undefined")

# The texts of 2015 to 2017. Any other is null and counted.
_STATUS_TEXTS: Final = {
    "under way using engine": 0,
    "underway using engines": 0,
    "at anchor": 1,
    "not under command": 2,
    "restricted maneuverability": 3,
    "constrained by her draught": 4,
    "moored": 5,
    "aground": 6,
    "engaged in fishing": 7,
    "under way sailing": 8,
    "power-driven vessel towing astern": 11,
    "power-driven vessel pushing ahead or towing alongside": 12,
    "ais-sart": 14,
    "undefined": None,
}
_STATUS_CODES: Final = {
    text: None if code == _UNDEFINED else code
    for code in range(len(schema.NAV_STATUSES))
    # The second as Parquet files have it once the column has had a gap.
    for text in (str(code), f"{code}.0")
}

LAYOUT: Final = Layout(
    name="MarineCadastre",
    delimiter=",",
    columns={
        "mmsi": "MMSI",
        "t": ("BaseDateTime", "base_date_time"),
        "lat": ("LAT", "latitude"),
        "lon": ("LON", "longitude"),
        "sog": "SOG",
        "cog": "COG",
        "heading": "Heading",
        "nav_status": "Status",
        "mobile_type": ("TransceiverClass", "TranscieverClass", "transceiver"),
        "imo": "IMO",
        "callsign": ("CallSign", "call_sign"),
        "name": ("VesselName", "vessel_name"),
        "ship_type": ("VesselType", "vessel_type"),
        "length": "Length",
        "width": "Width",
        "draught": "Draft",
    },
    mobile_types={letter: schema.MOBILE_TYPES.index(f"class {letter}") for letter in "AB"},
    nav_statuses={**_STATUS_TEXTS, **_STATUS_CODES},
    static_company=frozenset({"Cargo", "TransceiverClass", "TranscieverClass", "transceiver"}),
    # 2015 to 2017 have none: what sent the message is unknown.
    optional=frozenset({"mobile_type"}),
    motion_wraps=True,
)

# Of the table Broadcast (https://www.fisheries.noaa.gov/inport/item/49026) as GDAL exports it with GEOMETRY=AS_XY and
# ArcGIS with its points' coordinates added. Built by the published list of columns; no real file was at hand. Static
# data stand in two other tables.
BEFORE_2015: Final = Layout(
    name="MarineCadastre before 2015",
    delimiter=",",
    columns={
        "lon": ("X", "POINT_X"),
        "lat": ("Y", "POINT_Y"),
        "sog": "SOG",
        "cog": "COG",
        "heading": "Heading",
        "t": "BaseDateTime",
        "nav_status": "Status",
        "mmsi": "MMSI",
    },
    mobile_types={},
    nav_statuses=_STATUS_CODES,
)


class MarineCadastreSource(DelimitedSource):
    """Archives of MarineCadastre: a day each, and a UTM zone and month each, as they were until 2017."""

    name = "marinecadastre"
    home = "https://coast.noaa.gov/htdata/CMSP/AISDataHandler"
    layouts: ClassVar[tuple[str, ...]] = ("{year}/ais-{day}.csv.zst", "{year}/AIS_{day:%Y_%m_%d}.zip")
    margin_hours = 0.0
    publisher = "NOAA Office for Coastal Management, Bureau of Ocean Energy Management, U.S. Coast Guard"
    licence = "CC0 1.0, public domain"
    attribution = (
        "AIS data of the U.S. Coast Guard, as the Bureau of Ocean Energy Management and the National Oceanic and "
        "Atmospheric Administration publish them (MarineCadastre.gov)."
    )
    examples: ClassVar[tuple[str, ...]] = (
        "AIS_2024_01_01.zip",
        "ais-2025-01-01.csv.zst",
        "ais-2025-01-01.parquet",
        "AIS_2024_01_01.csv",
        "AIS_2017_01_Zone10.csv",
        "Zone10_2009_01.csv",
    )
    suffixes: ClassVar[tuple[str, ...]] = (".zip", ".csv.zst", ".parquet", ".csv.gz", ".csv")
    row_layouts = (LAYOUT, BEFORE_2015)
