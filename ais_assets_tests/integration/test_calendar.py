"""Leap days are days, and the time zone of a machine, with its nights of 23 and 25 hours, is nobody's business."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from ais_assets.io.lake import Lake
from ais_assets_tests.ais_command import ais_here
from ais_assets_tests.conftest import PROJECT
from ais_assets_tests.patience import PATIENCE_SECONDS
from ais_assets_tests.sources.csv_rows import HEADER, row

SHIP = 219_000_873
EVERY = timedelta(minutes=10)
OF_DAYS = ("raw_archives", "raw_records", "clean_records")
OF_TRACKS = ("vessels", "track_shards", "tracks")
NIGHTS = [("Europe/Copenhagen", "CET CEST", date(2024, 3, 31)), ("America/New_York", "EST EDT", date(2024, 11, 3))]
"""Of zones, and what they are called: one leaves out an hour, the other has one twice."""
IN_ZONE = """
import json, sys, time
from pathlib import Path
from ais_assets_tests.ais_command import ais_here
print(*time.tzname)
arguments, settings, folder = json.loads(sys.argv[1])
built = ais_here(tuple(arguments), settings, Path(folder))
sys.exit(built.stderr if built.returncode else 0)
"""


def times(first: date, last: date) -> Iterator[datetime]:
    """Every ten minutes of these days."""
    now = datetime(first.year, first.month, first.day, tzinfo=UTC)
    while now.date() <= last:
        yield now
        now += EVERY


def write_days(folder: Path, first: date, last: date) -> None:
    """A file a day of a ship under way, slowly, without a pause."""
    folder.mkdir()
    lines: dict[date, list[str]] = {}
    for k, now in enumerate(times(first, last)):
        report = row(
            timestamp=f"{now:%d/%m/%Y %H:%M:%S}",
            mmsi=str(SHIP),
            latitude=f"{56 + k / 1_000:.6f}",
            sog="0.4",
            cog="0.0",
        )
        lines.setdefault(now.date(), [HEADER]).append(report)
    for day, of_day in lines.items():
        (folder / f"aisdk-{day}.csv").write_text("\n".join(of_day) + "\n")


def settings(folder: Path, source: Path, first: str, last: str) -> dict[str, str]:
    """Of a lake in the folder, with windows of eight positions."""
    return {
        "AIS_SOURCE": "dma",
        "AIS_SOURCE_URI": str(source),
        "AIS_LAKE": str(folder / "lake"),
        "AIS_CACHE": str(folder / "cache"),
        "AIS_FIRST_DAY": first,
        "AIS_LAST_DAY": last,
        "AIS_SHARDS": "1",
        "AIS_SEQ_LEN": "4",
        "AIS_MAX_HORIZON": "4",
        "AIS_DAYS_PER_RUN": "9",
    }


def build_of(*assets: str) -> tuple[str, ...]:
    """The command that makes them."""
    return ("build", "--workers", "1", *(word for asset in assets for word in ("--only", asset)))


def test_a_leap_day_is_a_day_like_any_other(tmp_path: Path) -> None:
    first, last = date(2024, 2, 28), date(2024, 3, 1)
    write_days(tmp_path / "source", first, last)
    variables = settings(tmp_path, tmp_path / "source", str(first), str(last))
    built = ais_here(build_of(*OF_DAYS, *OF_TRACKS), variables, tmp_path)
    assert built.returncode == 0, built.stderr
    lake = Lake(tmp_path / "lake")
    for asset in OF_DAYS:
        assert lake.partitions(asset) == ["2024-02-28", "2024-02-29", "2024-03-01"]
    (track,) = lake.table("tracks").to_pylist()
    every = list(times(first, last))
    assert (track["start"], track["end"], track["positions"]) == (every[0], every[-1], 3 * 144)
    windows = lake.windows(SHIP, seq_len=4, max_horizon=4, stride=4)
    assert windows["start"].to_pylist() == every[: 1 - 8 : 4]
    intervals = np.array(windows["features"].to_pylist(), np.float32).reshape(-1, 8, 5)[:, :, 4]
    assert intervals[0, 0] == 0
    assert set(intervals.ravel()[1:]) == {600.0}


def test_a_day_that_there_is_not_is_refused(tmp_path: Path) -> None:
    refused = ais_here(("build",), settings(tmp_path, tmp_path, "2023-02-28", "2023-02-29"), tmp_path)
    assert refused.returncode != 0
    assert "AIS_LAST_DAY" in refused.stderr
    assert "2023-02-29" in refused.stderr


@pytest.fixture
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process is."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_in_utc")
@pytest.mark.parametrize(("zone", "called", "night"), NIGHTS)
def test_the_time_zone_of_the_machine_changes_no_byte(zone: str, called: str, night: date, tmp_path: Path) -> None:
    write_days(tmp_path / "source", night, night)
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    arguments = build_of(*OF_DAYS, *OF_TRACKS)
    variables = settings(there, tmp_path / "source", str(night), str(night))
    built = subprocess.run(
        [sys.executable, "-c", IN_ZONE, json.dumps([arguments, variables, str(there)])],
        env={**os.environ, "TZ": zone},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    # The names say that there is such a zone here.
    assert built.stdout.splitlines()[0] == called
    assert ais_here(arguments, settings(here, tmp_path / "source", str(night), str(night)), here).returncode == 0
    assert {key.split("/")[0] for key in digests(here / "lake")} == {*OF_DAYS, *OF_TRACKS}
    assert digests(there / "lake") == digests(here / "lake")
    assert Lake(there / "lake").table("tracks")["positions"].to_pylist() == [144]


def digests(lake: Path) -> dict[str, str]:
    """sha256 of what each stage has made."""
    files = [file for asset in (*OF_DAYS, *OF_TRACKS) for file in (lake / asset).rglob("*") if file.is_file()]
    return {file.relative_to(lake).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
