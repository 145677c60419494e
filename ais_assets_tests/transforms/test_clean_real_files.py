"""What cleaning makes of every real file. The same numbers are in transforms/README.md."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from ais_assets.transforms.clean import clean_day
from ais_assets_tests.sources.test_real_files import FILES, source_of

GUIDE = Path(__file__).resolve().parents[2] / "ais_assets" / "transforms" / "README.md"


class Account(NamedTuple):
    records: int
    kept: int
    dropped: dict[str, int]


CLEANED = {
    "dma/2021-09-07-extra-columns.csv": Account(99, 98, {"exact_duplicate": 1}),
    "dma/aisdk-2018-02-08-22-columns.csv": Account(10, 10, {}),
    "dma/aisdk-2022-09-17-midday.csv": Account(
        10_001,
        9_183,
        {"not_a_vessel": 506, "no_position": 24, "exact_duplicate": 66, "rebroadcast": 193, "same_second": 29},
    ),
    "dma/aisdk-2024-09-09-head-padded.csv.gz": Account(
        10_000,
        4_587,
        {"not_a_vessel": 931, "no_position": 375, "exact_duplicate": 3998, "rebroadcast": 105, "same_second": 4},
    ),
    "dma/aisdk-2024-09-09-head.csv": Account(
        10_000,
        4_587,
        {"not_a_vessel": 931, "no_position": 375, "exact_duplicate": 3998, "rebroadcast": 105, "same_second": 4},
    ),
    "dma/ferry-2022-10-15-hand-edited.csv": Account(34, 33, {"rebroadcast": 1}),
    "dma/ferry-2022-10-15.csv": Account(735, 716, {"exact_duplicate": 1, "rebroadcast": 16, "same_second": 2}),
    "marinecadastre/2017-badMMSIData.csv": Account(9, 9, {}),
    "marinecadastre/2017-badTimeData.csv": Account(9, 9, {}),
    "marinecadastre/2017-ten.csv": Account(9, 9, {}),
    "marinecadastre/2017-track.csv": Account(11, 11, {}),
    "marinecadastre/AIS_2020_01_01-head.csv": Account(9, 8, {"not_a_vessel": 1}),
    "marinecadastre/AIS_2020_01_02-head.csv": Account(9, 9, {}),
    "marinecadastre/AIS_2022_03_31-head.csv": Account(51, 51, {}),
    "marinecadastre/AIS_2024_01_01-head.csv": Account(499, 499, {}),
    "marinecadastre/ais-2026-03-31-lowercase.csv": Account(2, 2, {}),
    "nmea/AisLib__stream_example.txt": Account(
        3_647,
        2_921,
        {"not_a_vessel": 219, "no_position": 501, "exact_duplicate": 2, "rebroadcast": 2, "same_second": 2},
    ),
    "nmea/SignalK__nais400-merrimac.log": Account(0, 0, {}),
    "nmea/aduvenhage__test_ais_data.log": Account(19, 17, {"not_a_vessel": 1, "no_position": 1}),
    "nmea/cvagner__norwegian.raw": Account(176, 132, {"not_a_vessel": 15, "no_position": 29}),
    "nmea/pyais__nmea_data_sample.txt": Account(0, 0, {}),
    "norway/vestland-2022-09-01-five-ships.csv": Account(10_001, 10_001, {}),
}


def test_no_real_file_is_left_out() -> None:
    assert set(CLEANED) == set(FILES)


@pytest.mark.parametrize("name", CLEANED)
def test_every_record_is_accounted_for(real_data: Path, name: str) -> None:
    path, day = real_data / name, FILES[name].day
    stream = clean_day(source_of(path).read(path, day).tables, day, shards=4, repeat_seconds=120)
    kept = sum(table.num_rows for table in stream.tables)
    stream.ledger.balance(name)
    dropped = {rule: rows for rule, rows in stream.ledger.dropped.items() if rows}
    assert Account(stream.ledger.rows_in, kept, dropped) == CLEANED[name]


def test_the_table_has_the_same_numbers() -> None:
    guide = GUIDE.read_text()
    for name, account in CLEANED.items():
        dropped = ", ".join(f"{rule} {rows:,}" for rule, rows in account.dropped.items()) or "–"
        assert f"| {name} | {account.records:,} | {account.kept:,} | {dropped} |" in guide
