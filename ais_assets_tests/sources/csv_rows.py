"""DMA files for tests: rows written field by field, and an independent reading of them by the csv module."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pyarrow as pa

from ais_assets.io.views import in_degrees_and_knots
from ais_assets.sources.dma import LAYOUTS
from ais_assets.sources.rows.delimited import DelimitedReader
from ais_assets.stream import RecordStream

DAY = date(2024, 3, 1)
MAX_BYTES = 10**9

HEADER = (
    "# Timestamp,Type of mobile,MMSI,Latitude,Longitude,Navigational status,ROT,SOG,COG,Heading,IMO,Callsign,Name,"
    "Ship type,Cargo type,Width,Length,Type of position fixing device,Draught,Destination,ETA,Data source type,A,B,C,D"
)
MARINECADASTRE_HEADER = (
    "MMSI,BaseDateTime,LAT,LON,SOG,COG,Heading,VesselName,IMO,CallSign,VesselType,Status,Length,Width,Draft,Cargo,"
    "TransceiverClass"
)


def row(**fields: str) -> str:
    """A row of a DMA file; fields by the header's names in lower case with underscores."""
    values = {
        "timestamp": "01/03/2024 00:00:00",
        "type_of_mobile": "Class A",
        "mmsi": "219000873",
        "latitude": "56.990925",
        "longitude": "10.304547",
        "navigational_status": "Under way using engine",
        "sog": "10.4",
        "cog": "43.8",
        "heading": "44",
        "data_source_type": "AIS",
        **fields,
    }
    names = [name.strip("# ").lower().replace(" ", "_") for name in HEADER.split(",")]
    unknown = set(values) - set(names)
    assert not unknown, unknown
    return ",".join(values.get(name, "") for name in names)


def write_csv(folder: Path, rows: Sequence[str], header: str = HEADER, newline: str = "\n") -> Path:
    """A file of these rows in `folder`."""
    path = folder / f"aisdk-{DAY}.csv"
    path.write_bytes("".join(line + newline for line in (header, *rows)).encode("utf-8", "surrogateescape"))
    return path


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    """A deflated zip of these members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def read_table(archive: Path, reader: DelimitedReader | None = None) -> tuple[pa.Table, RecordStream]:
    """All records of an archive in degrees and knots, with the stream that gave them; its account is checked."""
    reader = reader or DelimitedReader(LAYOUTS, MAX_BYTES)
    stream = reader.read(archive, DAY)
    table = pa.Table.from_batches([b for t in stream.tables for b in t.to_batches()], stream.schema)
    table.validate(full=True)
    stream.ledger.balance(archive.name)
    assert stream.ledger.rows_out == table.num_rows
    return in_degrees_and_knots(table), stream
