"""A real file of the Norwegian Coastal Administration, and the codes of its format."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from ais_assets import schema
from ais_assets.io.views import in_degrees_and_knots
from ais_assets.sources.norway import NorwaySource
from ais_assets_tests.sources.csv_rows import MAX_BYTES

DAY = date(2022, 9, 1)
HEADER = ";mmsi;imo_nr;length;date_time_utc;lon;lat;sog;cog;true_heading;nav_status;message_nr"


def read(path: Path) -> tuple[pa.Table, dict[str, int]]:
    stream = NorwaySource(str(path.parent), max_bytes=MAX_BYTES).read(path, DAY)
    table = in_degrees_and_knots(pa.concat_tables(list(stream.tables)))
    table.validate(full=True)
    stream.ledger.balance(path.name)
    return table, {**stream.ledger.dropped, **stream.ledger.notes}


def test_the_real_file(real_data: Path, tmp_path: Path) -> None:
    (landed,) = NorwaySource(str(real_data / "norway"), max_bytes=MAX_BYTES).land(DAY, tmp_path)
    assert landed.path == tmp_path / "vestland-2022-09-01-five-ships.csv"
    table, counts = read(landed.path)
    assert set(counts.values()) == {0}
    with landed.path.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    assert table.num_rows == len(rows) == 10_001
    assert table["mmsi"].to_pylist() == [int(row["mmsi"]) for row in rows]
    assert table["t"].to_pylist() == [datetime.fromisoformat(row["date_time_utc"]).replace(tzinfo=UTC) for row in rows]
    for column in ("lat", "lon", "sog", "cog"):
        assert table[column].to_pylist() == [float(row[column]) for row in rows]
    assert table["heading"].to_pylist() == [int(row["true_heading"]) for row in rows]
    assert table["nav_status"].to_pylist() == [schema.NAV_STATUSES[int(row["nav_status"])] for row in rows]
    assert set(table["mobile_type"].to_pylist()) == {"class A"}
    assert sorted(table["imo"].drop_null().to_pylist()) == [7716490, 9413444, 9432646, 9436161, 9596791]
    assert sorted(table["length"].drop_null().to_pylist()) == [48, 66, 70, 91, 94]


@pytest.mark.parametrize(
    ("message", "status", "mobile_type", "nav_status"),
    [
        ("1", "0", "class A", "under way using engine"),
        ("3.0", "5.0", "class A", "moored"),
        ("27", "15", "class A", None),
        ("18", "", "class B", None),
        ("4", "", "base station", None),
        ("9", "", "search and rescue aircraft", None),
        ("21", "", "aid to navigation", None),
        ("", "14", "unknown", "AIS-SART active"),
    ],
)
def test_codes(tmp_path: Path, message: str, status: str, mobile_type: str, nav_status: str | None) -> None:
    path = tmp_path / f"{DAY}.csv"
    path.write_text(f"{HEADER}\n0;257706000;9436161;48;2022-09-01 20:27:05;5.3068;60.3937;3.0;;;{status};{message}")
    table, _ = read(path)
    assert table["mobile_type"].to_pylist() == [mobile_type]
    assert table["nav_status"].to_pylist() == [nav_status]
    assert table["lon"].to_pylist() == [5.3068]
