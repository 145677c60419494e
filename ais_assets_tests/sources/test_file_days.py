"""Names of files and the days that they are about; a record is taken by the UTC day of its own time, and by no
other."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ais_assets.ledger import Ledger
from ais_assets.settings.table_mapping import TableMapping
from ais_assets.sources.file_days import FileDays, span_in_name
from ais_assets.sources.table import TableSource
from ais_assets_tests.sources.csv_rows import MAX_BYTES

TABLE = TableMapping.model_validate({name: {"column": name} for name in ("t", "mmsi", "lat", "lon")})
FIRST = date(2024, 3, 8)
MIDNIGHT = datetime(2024, 3, 8, tzinfo=UTC)
FORMS = (
    "ais-{local:%Y-%m-%d}.csv",
    "{local:%Y%m%d}_{part}.csv",
    "log-{local:%Y-%m-%dT%H}.csv",
    "{local:%Y%m%d%H%M}.csv",
    "ais.csv-{next:%Y%m%d}",
    "{local:%Y-%m}.csv",
    "{local:%Y}_fleet{part}.csv",
    "{local:%Y%m%d}-{next:%Y%m%d}.csv",
)


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("aisdk-2024-03-01.zip", date(2024, 3, 1), date(2024, 3, 1)),
        ("AIS_2024_01_31.zip", date(2024, 1, 31), date(2024, 1, 31)),
        ("219000873-2024-03-01.csv", date(2024, 3, 1), date(2024, 3, 1)),
        ("2024-13-01-then-2024-03-02.csv", date(2024, 3, 2), date(2024, 3, 2)),
        ("ais-2024-03-01T12.log", date(2024, 3, 1), date(2024, 3, 1)),
        ("20240301120000.nmea", date(2024, 3, 1), date(2024, 3, 1)),
        ("ais.log-20240302.gz", date(2024, 3, 2), date(2024, 3, 2)),
        ("20240301_20240307.csv", date(2024, 3, 1), date(2024, 3, 7)),
        ("ais-1709294400.log", date(2024, 3, 1), date(2024, 3, 1)),
        ("aisdk-2024-02.zip", date(2024, 2, 1), date(2024, 2, 29)),
        ("AIS_2017_12_Zone19.csv", date(2017, 12, 1), date(2017, 12, 31)),
        ("Zone10_2009_01.csv", date(2009, 1, 1), date(2009, 1, 31)),
        ("fleet-2023.parquet", date(2023, 1, 1), date(2023, 12, 31)),
    ],
)
def test_days_of_a_name(name: str, first: date, last: date) -> None:
    span = span_in_name(name)
    assert span is not None
    assert (span.first, span.last) == (first, last)


@pytest.mark.parametrize("name", ["219000873.csv", "readme.txt", "220240301.csv", "station12.log"])
def test_names_without_days(name: str) -> None:
    assert span_in_name(name) is None


def test_a_file_cut_at_local_midnight_is_of_two_days() -> None:
    reach = FileDays("America/New_York").reach("2024-03-01.csv")
    assert [day for day in range(28, 32) if reach.meets(date(2024, 2, 1) + timedelta(days=day))] == [29, 30]


ROWS = st.lists(st.tuples(st.integers(0, 4 * 86_400), st.booleans()), min_size=1, max_size=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    rows=ROWS,
    form=st.sampled_from(FORMS),
    zone=st.sampled_from(["UTC", "America/New_York", "Pacific/Auckland"]),
    late=st.integers(0, 3600),
)
def test_over_all_days_each_row_is_taken_once(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, bool]], form: str, zone: str, late: int
) -> None:
    """Rows in files by a logger's clock that is late, cut and named by a zone; some cannot be read."""
    folder = tmp_path_factory.mktemp("files")
    files: dict[str, list[str]] = {}
    for number, (second, good) in enumerate(rows):
        moment = MIDNIGHT + timedelta(seconds=second)
        local = (moment + timedelta(seconds=late)).astimezone(ZoneInfo(zone))
        name = form.format(local=local, next=local + timedelta(days=1), part=number % 2)
        files.setdefault(name, ["t,mmsi,lat,lon"]).append(
            f"{moment:%Y-%m-%d %H:%M:%S},{number + 1},{55 if good else 'x'},12"
        )
    for name, lines in files.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    days = FileDays(zone, timedelta(hours=24), FIRST - timedelta(days=1))
    source = TableSource(str(folder), mapping=TABLE, delimiter=",", max_bytes=MAX_BYTES, days=days)
    total, seen = Ledger(), []
    for day in (FIRST + timedelta(days=k) for k in range(-1, 7)):
        into = tmp_path_factory.mktemp("into")
        stream = source.read_all([archive.path for archive in source.land(day, into)], day)
        for table in stream.tables:
            assert {t.date() for t in table["t"].to_pylist()} == {day}
            seen += table["mmsi"].to_pylist()
        stream.ledger.balance(str(day))
        total.add(stream.ledger)
    assert sorted(seen) == [number + 1 for number, (_, good) in enumerate(rows) if good]
    bad = sum(not good for _, good in rows)
    yearly = any(span is not None and span.last - span.first > timedelta(days=9) for span in map(span_in_name, files))
    assert total.dropped.get("bad_latitude", 0) == bad or yearly
