"""Whatever an archive holds: each source gives records and a count for every row, or a SourceError that names it."""

from __future__ import annotations

import gzip
import io
import zipfile
from datetime import date
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ais_assets.settings import SourceName
from ais_assets.settings.table_mapping import TableMapping
from ais_assets.sources import source_for
from ais_assets.sources.source import Source, SourceError
from ais_assets_tests.sources.csv_rows import HEADER, MAX_BYTES, row

DAY = date(2024, 3, 1)
TABLE = TableMapping.model_validate(
    {
        "t": {"column": "when", "unit": "unix s"},
        "mmsi": {"column": "id"},
        "lat": {"column": "y", "unit": "radian"},
        "lon": {"column": "x"},
        "sog": {"column": "v", "unit": "m/s"},
        "name": {"column": "who"},
    }
)
# The header and a good row of each format, and the kind of file it comes in.
SAMPLES: dict[str, tuple[bytes, bytes, str]] = {
    "dma": (HEADER.encode(), row(name="FENJA").encode(), ".csv"),
    "simulated": (HEADER.encode(), row(name="FENJA").encode(), ".csv"),
    "marinecadastre": (
        b"MMSI,BaseDateTime,LAT,LON,SOG,COG,Heading,VesselName,IMO,CallSign,VesselType,Status,Length,Width,Draft,Cargo",
        b"338029922,2024-03-01T00:00:02,42.83931,-73.74403,-0.3,-49.6,511.0,SECOND,IMO9107370,,31,0,337,,2.5,31",
        ".csv",
    ),
    "norway": (
        b";mmsi;imo_nr;length;date_time_utc;lon;lat;sog;cog;true_heading;nav_status;message_nr",
        b"0;257706000;9436161;48;2024-03-01 20:27:05;5.3068;60.3937;3.0;4.0;5;0;1",
        ".csv",
    ),
    "table": (b"when,id,y,x,v,who", b"1709294401.5,219000873,0.986,10.25,5.1,FENJA", ".csv"),
    "nmea": (b"# a log", b"2024-03-01 12:00:01 !AIVDM,1,1,,B,13aGua?P00PHfERNFruh0?vN289E,0*35", ".log"),
}
SAMPLES["json"] = (
    b'{"class": "VERSION", "release": "3.25"}',
    b'{"class":"AIS","type":1,"mmsi":219000873,"rxtime":"20240301120001","lat":55.5,"lon":12.5,"speed":5.1,"course":9}',
    ".jsonl",
)
PACKINGS = {"dma": ".csv.gz", "marinecadastre": ".csv.zst", "norway": ".zip", "table": ".parquet", "nmea": ".log.zst"}


def source(name: str) -> Source:
    return source_for(name, "anywhere", first_day=DAY, max_bytes=MAX_BYTES, vessels=1, seed=1, table=TABLE)


def check_account(name: str, path: Path) -> None:
    """Either every row is accounted for, or the refusal names the file."""
    stream = source(name).read(path, DAY)
    refusal = ""
    records = 0
    try:
        records = sum(table.num_rows for table in stream.tables)
    except SourceError as error:
        refusal = str(error)
    assert not refusal or path.name in refusal
    if not refusal:
        stream.ledger.balance(path.name)
        assert stream.ledger.rows_out == records
        assert stream.ledger.rows_in > 0
        assert len(stream.facts["rejects"]) <= min(stream.ledger.rows_dropped, 100)


def test_every_source_is_here() -> None:
    assert set(SAMPLES) == set(get_args(SourceName))


@pytest.mark.parametrize("name", SAMPLES)
def test_the_samples_are_good(tmp_path: Path, name: str) -> None:
    header, line, suffix = SAMPLES[name]
    path = tmp_path / f"2024-03-01{suffix}"
    path.write_bytes(header + b"\n" + line + b"\n")
    stream = source(name).read(path, DAY)
    assert sum(table.num_rows for table in stream.tables) == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@pytest.mark.parametrize("name", SAMPLES)
@given(data=st.data())
def test_damaged_rows(tmp_path: Path, name: str, data: st.DataObject) -> None:
    """Good rows with bytes cut out of them, put into them or in their place."""
    header, line, suffix = SAMPLES[name]
    junk = st.one_of(st.binary(max_size=8), st.sampled_from([b'"', b",", b";", b"\n", b"\r", b"\0", b"-", b"9" * 30]))
    damage = st.tuples(st.integers(0, len(line)), st.integers(0, 12), junk)
    damaged = damage.map(lambda cut: line[: cut[0]] + cut[2] + line[cut[0] + cut[1] :])
    lines = data.draw(st.lists(st.one_of(st.just(line), damaged, st.binary(max_size=40)), max_size=20))
    path = tmp_path / f"2024-03-01{suffix}"
    path.write_bytes(header + b"\n" + b"\n".join(lines))
    check_account(name, path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@pytest.mark.parametrize("name", SAMPLES)
@given(content=st.binary(max_size=200), cut=st.integers(0, 100))
def test_damaged_headers_and_arbitrary_files(tmp_path: Path, name: str, content: bytes, cut: int) -> None:
    header, line, suffix = SAMPLES[name]
    path = tmp_path / f"2024-03-01{suffix}"
    path.write_bytes(header[:cut] + content + header[cut + 1 :] + b"\n" + line)
    check_account(name, path)
    path.write_bytes(content)
    check_account(name, path)


def packed(name: str) -> bytes:
    header, line, suffix = SAMPLES[name]
    content = header + b"\n" + (line + b"\n") * 200
    target = io.BytesIO()
    if PACKINGS[name].endswith(".gz"):
        return gzip.compress(content)
    if PACKINGS[name].endswith(".zst"):
        return zstandard.ZstdCompressor(write_checksum=True).compress(content)
    if PACKINGS[name].endswith(".parquet"):
        columns = zip(*(line.decode().split(",") for _ in range(200)), strict=True)
        pq.write_table(pa.table(dict(zip(header.decode().split(","), map(list, columns), strict=True))), target)
        return target.getvalue()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"2024-03-01{suffix}", content)
    return target.getvalue()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@pytest.mark.parametrize("name", PACKINGS)
@given(share=st.floats(0, 1, exclude_max=True), junk=st.binary(min_size=1, max_size=4), cut=st.booleans())
def test_damaged_archives(tmp_path: Path, name: str, share: float, junk: bytes, cut: bool) -> None:
    raw = packed(name)
    at = int(len(raw) * share)
    path = tmp_path / f"2024-03-01{PACKINGS[name]}"
    path.write_bytes(raw[:at] + (b"" if cut else junk + raw[at + len(junk) :]))
    check_account(name, path)
