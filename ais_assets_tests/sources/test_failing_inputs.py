"""Small inputs of kinds that once were read wrongly or not at all, and what is right of each."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ais_assets.settings.table_mapping import TableMapping
from ais_assets.sources import source_for
from ais_assets.sources.file_days import FileDays
from ais_assets_tests.sources.csv_rows import MAX_BYTES

DAY = date(2024, 3, 1)
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
TABLE = TableMapping.model_validate({name: {"column": name} for name in ("t", "mmsi", "lat", "lon", "sog", "cog")})


class Right(NamedTuple):
    source: str
    seconds: list[int]  # after noon
    notes: dict[str, int]
    delimiter: str = ","


CASES = {
    "01-pghp-of-another-message": Right("nmea", [0, 1, 2], {"other_lines": 3, "unmatched_times": 3}),
    "04-tag-block-on-its-own-line": Right("nmea", [0, 1, 2, 9], {"other_lines": 5}),
    "05-one-message-on-one-line": Right("nmea", [0, 1], {"joined_parts": 1, "glued_sentences": 1, "no_position": 1}),
    "06-tagged-sentences-of-other-instruments": Right("nmea", [0], {"other_lines": 2}),
    "11-times-with-an-offset": Right("table", [0] * 6, {}),
    "14-decimal-comma": Right("table", [0], {}, ";"),
    "17-a-file-an-hour": Right("nmea", [0, 3600], {}),
}


@pytest.fixture(scope="session")
def failing_inputs() -> Path:
    default = Path(__file__).resolve().parents[3] / "shared" / "failing"
    folder = Path(os.environ.get("AIS_FAILING_INPUTS", default))
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: these inputs are not part of the project")
    return folder


def read_day(name: str, folder: Path, into: Path, delimiter: str) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Records of DAY in a folder, and every count that is not 0."""
    source = source_for(
        name,
        str(folder),
        first_day=DAY,
        vessels=1,
        seed=1,
        table=TABLE,
        table_delimiter=delimiter,
        max_bytes=MAX_BYTES,
        days=FileDays("UTC", timedelta(hours=24), DAY),
    )
    stream = source.read_all([archive.path for archive in source.land(DAY, into)], DAY)
    records = [record for table in stream.tables for record in table.to_pylist()]
    stream.ledger.balance(str(folder))
    return records, {k: v for k, v in {**stream.ledger.dropped, **stream.ledger.notes}.items() if v}


@pytest.mark.parametrize("case", CASES)
def test_the_right_values(failing_inputs: Path, tmp_path: Path, case: str) -> None:
    right = CASES[case]
    records, counts = read_day(right.source, failing_inputs / case, tmp_path, right.delimiter)
    assert [record["t"] for record in records] == [NOON + timedelta(seconds=second) for second in right.seconds]
    assert counts == right.notes
    if case == "05-one-message-on-one-line":
        assert records[1]["name"] == "TEST SHIP"


def test_every_case_is_here(failing_inputs: Path) -> None:
    assert {path.name for path in failing_inputs.iterdir() if path.is_dir()} == set(CASES)
