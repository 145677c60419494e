"""Every real file goes in, and what becomes of each of its rows is known. The same numbers are in sources/README.md."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from ais_assets.ledger import Ledger
from ais_assets.sources.dma import DmaSource
from ais_assets.sources.file_days import FileDays
from ais_assets.sources.landing.landing import FileSource
from ais_assets.sources.marinecadastre import MarineCadastreSource
from ais_assets.sources.nmea import NmeaSource
from ais_assets.sources.norway import NorwaySource
from ais_assets.sources.source import SourceError
from ais_assets_tests.sources.csv_rows import MAX_BYTES

PROJECT = Path(__file__).resolve().parents[2]
GUIDE = PROJECT / "ais_assets" / "sources" / "README.md"
SOURCES: dict[str, type[FileSource]] = {
    "dma": DmaSource,
    "marinecadastre": MarineCadastreSource,
    "nmea": NmeaSource,
    "norway": NorwaySource,
}


class Account(NamedTuple):
    day: date
    rows: int
    records: int
    rejects: dict[str, int]
    notes: dict[str, int]


FILES = {
    "dma/2021-09-07-extra-columns.csv": Account(date(2021, 9, 7), 99, 99, {}, {}),
    "dma/aisdk-2018-02-08-22-columns.csv": Account(date(2018, 2, 8), 10, 10, {}, {}),
    "dma/aisdk-2022-09-17-midday.csv": Account(date(2022, 9, 17), 10_001, 10_001, {}, {"no_position": 157}),
    "dma/aisdk-2024-09-09-head-padded.csv.gz": Account(date(2024, 9, 9), 10_000, 10_000, {}, {"no_position": 452}),
    "dma/aisdk-2024-09-09-head.csv": Account(date(2024, 9, 9), 10_000, 10_000, {}, {"no_position": 452}),
    "dma/ferry-2022-10-15-hand-edited.csv": Account(date(2022, 10, 15), 34, 34, {}, {"implausible_cog": 12}),
    "dma/ferry-2022-10-15.csv": Account(date(2022, 10, 15), 735, 735, {}, {}),
    "marinecadastre/2017-badMMSIData.csv": Account(date(2017, 12, 1), 10, 9, {"bad_mmsi": 1}, {"comment_lines": 1}),
    "marinecadastre/2017-badTimeData.csv": Account(
        date(2017, 12, 1), 10, 9, {"bad_timestamp": 1}, {"comment_lines": 1}
    ),
    "marinecadastre/2017-ten.csv": Account(date(2017, 12, 1), 10, 10, {}, {}),
    "marinecadastre/2017-track.csv": Account(date(2017, 12, 1), 12, 12, {}, {}),
    "marinecadastre/AIS_2020_01_01-head.csv": Account(date(2020, 1, 1), 9, 9, {}, {}),
    "marinecadastre/AIS_2020_01_02-head.csv": Account(date(2020, 1, 2), 9, 9, {}, {}),
    "marinecadastre/AIS_2022_03_31-head.csv": Account(date(2022, 3, 31), 51, 51, {}, {}),
    "marinecadastre/AIS_2024_01_01-head.csv": Account(date(2024, 1, 1), 499, 499, {}, {}),
    "marinecadastre/ais-2026-03-31-lowercase.csv": Account(date(2026, 3, 31), 2, 2, {}, {}),
    "nmea/AisLib__stream_example.txt": Account(
        date(2010, 6, 11),
        4051,
        3647,
        {"other_message": 398, "received_before": 6},
        {"no_position": 520, "other_lines": 4051, "joined_parts": 449},
    ),
    "nmea/SignalK__nais400-merrimac.log": Account(
        date(2024, 1, 1),
        668,
        0,
        {"other_message": 35, "no_time": 633},
        {"other_lines": 62, "joined_parts": 35},
    ),
    "nmea/aduvenhage__test_ais_data.log": Account(
        date(2019, 4, 18),
        988,
        974,
        {"other_message": 5, "received_before": 9},
        {"no_position": 15, "joined_parts": 12},
    ),
    "nmea/cvagner__norwegian.raw": Account(
        date(2024, 12, 9), 196, 176, {"no_time": 20}, {"no_position": 38, "joined_parts": 27}
    ),
    "nmea/pyais__nmea_data_sample.txt": Account(
        date(2024, 1, 1),
        898,
        0,
        {"empty_payload": 100, "orphaned_part": 20, "other_message": 8, "no_time": 770},
        {},
    ),
    "norway/vestland-2022-09-01-five-ships.csv": Account(date(2022, 9, 1), 10_001, 10_001, {}, {}),
}
REFUSED = {"marinecadastre/2017-badHeaders.csv": "lacks BaseDateTime or base_date_time. Found 'MMSI,Timestamp,LAT"}
NO_DATA = {"dma/DMA_README_information_CSV_files.txt"}


OF_LINES = {"blank_lines", "comment_lines", "other_lines", "joined_parts", "glued_sentences", "bad_tag_blocks"}
"""Notes of the file as a whole, whatever the day."""


def source_of(path: Path) -> FileSource:
    """Its source; rows without a time are of the file's first day, where its name says none."""
    days = FileDays(first_day=FILES[f"{path.parent.name}/{path.name}"].day) if is_known(path) else None
    return SOURCES[path.parent.name](str(path.parent), max_bytes=MAX_BYTES, days=days)


def is_known(path: Path) -> bool:
    return f"{path.parent.name}/{path.name}" in FILES


def days_of(name: str) -> list[date]:
    """The days that a file's rows are of: its own, that on which its name begins, and some that only one file has."""
    own = FILES[name].day
    begins = FileDays(first_day=own).reach(name).home
    return sorted({own, begins, own + timedelta(days=1), date(2017, 12, 25)})


def test_no_real_file_is_left_out(real_data: Path) -> None:
    there = {f"{path.parent.name}/{path.name}" for path in real_data.glob("*/*")}
    assert there == {*FILES, *REFUSED, *NO_DATA}


@pytest.mark.parametrize("name", FILES)
def test_every_row_is_accounted_for(real_data: Path, name: str) -> None:
    path, expected = real_data / name, FILES[name]
    total, stream = Ledger(), None
    for stream in (source_of(path).read(path, day) for day in days_of(name)):
        records = sum(table.num_rows for table in stream.tables)
        stream.ledger.balance(name)
        assert stream.ledger.rows_out == records
        total.add(stream.ledger)
    found = Account(
        expected.day,
        total.rows_in,
        total.rows_out,
        {reason: rows for reason, rows in total.dropped.items() if rows},
        {note: count for note, count in (stream.ledger.notes if stream else {}).items() if count and note in OF_LINES}
        | {note: count for note, count in total.notes.items() if count and note not in (*OF_LINES, "other_day")},
    )
    assert found == expected


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("nmea/")])
def test_every_line_of_a_log_is_accounted_for(real_data: Path, name: str) -> None:
    path = real_data / name
    stream = source_of(path).read(path, FILES[name].day)
    list(stream.tables)
    notes = stream.ledger.notes
    elsewhere = sum(notes[note] for note in ("other_day", "blank_lines", "other_lines", "joined_parts"))
    lines = len(path.read_bytes().splitlines())
    assert stream.ledger.rows_in + elsewhere - notes["glued_sentences"] == lines


@pytest.mark.parametrize("name", REFUSED)
def test_a_header_that_lacks_a_column_is_refused(real_data: Path, name: str) -> None:
    path = real_data / name
    with pytest.raises(SourceError) as refusal:
        list(source_of(path).read(path, date(2017, 12, 1)).tables)
    assert REFUSED[name] in str(refusal.value)
    assert "a MarineCadastre file needs the columns BaseDateTime" in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [("badMMSIData", "47730790x,2017-12-01T00:00:01"), ("badTimeData", "477307901,2017-12-01Txx:00:01")],
)
def test_planted_faults_are_found_where_they_are(real_data: Path, name: str, text: str) -> None:
    path = real_data / "marinecadastre" / f"2017-{name}.csv"
    # Its first row: of the day on which the file begins, by the year in its name.
    stream = source_of(path).read(path, date(2017, 1, 1))
    list(stream.tables)
    (reject,) = stream.facts["rejects"]
    assert reject["line"] == 3
    assert reject["text"].startswith(text)


def test_lost_decimal_points_are_found(real_data: Path) -> None:
    """COG 2103 for 210.3 is null and counted; its neighbours are as they were."""
    path = real_data / "dma" / "ferry-2022-10-15-hand-edited.csv"
    table = next(source_of(path).read(path, date(2022, 10, 15)).tables)
    printed = [line.split(",")[8] for line in path.read_text().splitlines()[1:]]
    expected = [None if float(text) >= 360 else float(text) for text in printed]
    assert expected.count(None) == 12
    assert [None if cog is None else cog / 10 for cog in table["cog_tenths"].to_pylist()] == expected


def test_the_guide_has_the_same_numbers() -> None:
    guide = GUIDE.read_text()
    for name, account in FILES.items():
        counts = [{**account.rejects}, {**account.notes}]
        rejects, notes = (", ".join(f"{key} {count:,}" for key, count in of.items()) or "–" for of in counts)
        assert f"| {name} | {account.rows:,} | {account.records:,} | {rejects} | {notes} |" in guide
