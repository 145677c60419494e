"""docs/your_file.md: its commands, as printed, take a small file of each kind to windows."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyais
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyais.util import checksum

from ais_assets.io.lake import Lake
from ais_assets_tests.ais_command import ais_here
from ais_assets_tests.conftest import PROJECT
from ais_assets_tests.sources.csv_rows import HEADER, MARINECADASTRE_HEADER, row

PAGE = PROJECT / "docs" / "your_file.md"
SECTION = re.compile(r"^## (.*?)\n.*?FILE is `(.*?)`.*?```\n(.*?)```", re.DOTALL | re.MULTILINE)
SECTIONS = {title: (file, block) for title, file, block in SECTION.findall(PAGE.read_text())}
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
SHIPS, REPORTS = 3, 40
SMALL = {"SHARDS": "1", "PILES": "1", "SEQ_LEN": "8", "MAX_HORIZON": "8", "STRIDE": "4", "WINDOW_FORMATS": ""}


def reports() -> Iterator[dict[str, Any]]:
    """Ships that go east at ten knots and say so every ten seconds."""
    for ship in range(SHIPS):
        for k in range(REPORTS):
            lon = round(12 + k * 10 / 3600 * 10 / 60 / 0.5664, 6)
            t = NOON + timedelta(seconds=10 * k)
            yield {"t": t, "mmsi": 219_000_101 + ship, "lat": 55.5 + ship / 10, "lon": lon, "sog": 10.0, "cog": 90.0}


def as_dma(file: Path) -> None:
    lines = [
        row(
            timestamp=f"{said['t']:%d/%m/%Y %H:%M:%S}",
            mmsi=str(said["mmsi"]),
            latitude=str(said["lat"]),
            longitude=str(said["lon"]),
            sog="10.0",
            cog="90.0",
        )
        for said in reports()
    ]
    file.write_text("\n".join([HEADER, *lines]) + "\n")


def as_marinecadastre(file: Path) -> None:
    lines = [
        f"{said['mmsi']},{said['t']:%Y-%m-%dT%H:%M:%S},{said['lat']},{said['lon']},10.0,90.0,90.0,,,,,0,,,,,A"
        for said in reports()
    ]
    file.write_text("\n".join([MARINECADASTRE_HEADER, *lines]) + "\n")


def as_log(file: Path) -> None:
    lines = []
    for said in reports():
        fields = {"type": 1, **{name: said[name] for name in ("mmsi", "lat", "lon")}, "speed": 10.0, "course": 90.0}
        tags = f"c:{said['t'].timestamp():.0f}".encode()
        (sentence,) = pyais.encode_dict(fields, talker_id="AI", sentence_type="VDM")
        lines.append(f"\\{tags.decode()}*{checksum(tags):02X}\\{sentence}")
    file.write_text("\n".join(lines) + "\n")


def as_json(file: Path) -> None:
    lines = [
        {"class": "AIS", "type": 1, "rxuxtime": said["t"].timestamp(), "speed": 10.0, "course": 90.0}
        | {name: said[name] for name in ("mmsi", "lat", "lon")}
        for said in reports()
    ]
    file.write_text("\n".join(map(json.dumps, lines)) + "\n")


def as_own_table(file: Path) -> None:
    lines = [
        f"{said['t'].timestamp() * 1000:.0f};{said['mmsi']};{said['lat']};{said['lon']};5.144" for said in reports()
    ]
    file.write_text("\n".join(["time;ship;y;x;speed", *lines]) + "\n")


def as_parquet(file: Path) -> None:
    pq.write_table(pa.Table.from_pylist(list(reports())), file)


WRITERS: dict[str, Callable[[Path], None]] = {
    "A day of the Danish Maritime Authority": as_dma,
    "A day of MarineCadastre": as_marinecadastre,
    "A receiver's log": as_log,
    "JSON, a message a line": as_json,
    "A table of your own": as_own_table,
    "Parquet": as_parquet,
}


def test_every_kind_is_here() -> None:
    assert set(SECTIONS) == set(WRITERS)


@pytest.mark.parametrize("title", WRITERS)
def test_the_commands_lead_to_windows(title: str, tmp_path: Path) -> None:
    file, block = SECTIONS[title]
    environment = {f"AIS_{name}": value for name, value in SMALL.items()}
    (tmp_path / file).parent.mkdir()
    WRITERS[title](tmp_path / file)
    exported, suggested = [], ""
    for line in block.splitlines():
        words = shlex.split(line)
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            environment[name] = value
            exported.append(f"{name}={value}")
            continue
        result = ais_here(tuple(file if word == "FILE" else word for word in words[1:]), environment, tmp_path)
        assert result.returncode == 0, result.stdout + result.stderr
        suggested = suggested or result.stdout
    if title != "A table of your own":
        # What the page exports is what `ais look` says.
        said = {shlex.split(line)[1] for line in suggested.splitlines() if line.strip().startswith("export ")}
        assert said == set(exported)
    assert f"rows: {SHIPS * REPORTS}" in suggested
    lake = Lake(str(tmp_path / "data" / "lake"))
    tracks = lake.table("tracks", ["0000"])
    assert tracks["positions"].to_pylist() == [REPORTS] * SHIPS
    # 16 of 40 positions, a new one every 4.
    assert tracks["windows"].to_pylist() == [(REPORTS - 16) // 4 + 1] * SHIPS
