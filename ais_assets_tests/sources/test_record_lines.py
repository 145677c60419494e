"""Records are found in the lines that they were read from, whatever stands between."""

from __future__ import annotations

import gzip
import json
from datetime import date
from pathlib import Path

import pytest

from ais_assets.sources import source_for
from ais_assets.sources.record_lines import LINE, records_by_line

DAY = date(2024, 3, 1)
HEADER = "# Timestamp,Type of mobile,MMSI,Latitude,Longitude,Navigational status,ROT,SOG,COG,Heading,IMO,Callsign,Name,"
HEADER += "Ship type,Cargo type,Width,Length,Type of position fixing device,Draught,Destination,ETA,Data source type"


def row(mmsi: int, second: int, lat: str = "55.5", name: str = "") -> str:
    """One row of the authority's form."""
    return f"01/03/2024 00:00:{second:02d},Class A,{mmsi},{lat},11.0,,,5.0,90.0,,,,{name}" + "," * 9


@pytest.mark.parametrize("packed", [False, True])
def test_rejects_blanks_comments_and_other_vessels_do_not_shift_lines(tmp_path: Path, packed: bool) -> None:
    lines = ["# a comment", HEADER]
    for second in range(40):
        lines += [row(219000001, second), "", row(219000001, second, "north"), row(219000002, second)]
    lines[2 + 4 * 7] = row(219000003, 7, name="EX 219000001")
    path = tmp_path / ("aisdk-2024-03-01.csv.gz" if packed else "aisdk-2024-03-01.csv")
    text = "\n".join(lines).encode()
    path.write_bytes(gzip.compress(text) if packed else text)
    source = source_for("dma", str(tmp_path), first_day=DAY, vessels=1, seed=0, max_bytes=1 << 30)
    found = records_by_line(source, path, DAY, [b"219000001"], 1 << 30)
    assert found is not None
    assert found[LINE].to_pylist() == [3 + 4 * second for second in range(40)]
    for mmsi, t, line in zip(found["mmsi"].to_pylist(), found["t"].to_pylist(), found[LINE].to_pylist(), strict=True):
        assert lines[line - 1].split(",")[2] == str(mmsi)
        assert t.second == (line - 3) // 4
    assert records_by_line(source, path, DAY, [b"219000009"], 1 << 30).num_rows == 0  # pyright: ignore[reportOptionalMemberAccess]


def test_lines_far_into_a_file_are_counted_over_its_blocks(tmp_path: Path) -> None:
    path = tmp_path / "aisdk-2024-03-01.csv"
    filler = row(219000002, 1) + "\n"
    many = 1 + (3 << 20) // len(filler)
    path.write_text(HEADER + "\n" + filler * many + row(219000001, 2) + "\n" + filler + row(219000001, 3))
    source = source_for("dma", str(tmp_path), first_day=DAY, vessels=1, seed=0, max_bytes=1 << 30)
    found = records_by_line(source, path, DAY, [b"219000001"], 1 << 30)
    assert found is not None
    assert found[LINE].to_pylist() == [many + 2, many + 4]


def test_a_line_of_json_may_hold_several_records(tmp_path: Path) -> None:
    path = tmp_path / "ais-2024-03-01.jsonl"
    message = {"mmsi": 219000001, "lat": 55.5, "lon": 11.0, "timestamp": "2024-03-01T00:00:01Z", "type": 1}
    path.write_text("\n".join([json.dumps(message), "no json 219000001", json.dumps({**message, "lat": 55.6})]))
    source = source_for("json", str(tmp_path), first_day=DAY, vessels=1, seed=0, max_bytes=1 << 30)
    found = records_by_line(source, path, DAY, [b"219000001"], 1 << 30)
    assert found is not None
    assert found[LINE].to_pylist() == [1, 3]


def test_lines_that_belong_together_are_not_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "2024-03-01.nmea"
    path.write_text("!AIVDM,1,1,,A,13aDr3P000PD;8LMEFF@0?wR0<0u,0*1C\n")
    source = source_for("nmea", str(tmp_path), first_day=DAY, vessels=1, seed=0, max_bytes=1 << 30)
    assert records_by_line(source, path, DAY, [b"219000001"], 1 << 30) is None
