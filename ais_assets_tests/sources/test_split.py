"""Files that span many days, cut into days: nothing lost, nothing twice, byte for byte."""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyais
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyais.util import checksum

from ais_assets.cli.main import main
from ais_assets.ledger import Ledger
from ais_assets.settings.table_mapping import TableMapping
from ais_assets.sources import FILE_SOURCES, source_class
from ais_assets.sources.delimited_source import DelimitedSource
from ais_assets.sources.dma import DmaSource
from ais_assets.sources.file_days import FileDays
from ais_assets.sources.json_lines import JsonLinesSource
from ais_assets.sources.landing.landing import FileSource
from ais_assets.sources.marinecadastre import MarineCadastreSource
from ais_assets.sources.nmea import NmeaSource
from ais_assets.sources.rows.day_rows import Undated
from ais_assets.sources.source import SourceError
from ais_assets.sources.split import UNDATED_FILE, Cut, split
from ais_assets.sources.table import TableSource
from ais_assets_tests.sources.csv_rows import HEADER, MARINECADASTRE_HEADER, MAX_BYTES, row, write_zip

MIDNIGHT = datetime(2024, 3, 1, tzinfo=UTC)
TABLE = TableMapping.model_validate({name: {"column": name} for name in ("t", "mmsi", "lat", "lon")})
TABLE_HEAD = b"id,t,mmsi,lat,lon\n"


def table_source(folder: Path) -> TableSource:
    return TableSource(str(folder), mapping=TABLE, delimiter=",", max_bytes=MAX_BYTES, days=FileDays())


def cut_into(source: FileSource, files: list[Path], into: Path, memory: int = 1 << 20) -> Cut:
    cut, _ = split(source, files, into, memory_bytes=memory, read_with={})
    return cut


def rows_of(path: Path, head: bytes) -> list[bytes]:
    text = gzip.decompress(path.read_bytes())
    assert text.startswith(head)
    return text.removeprefix(head).splitlines(keepends=True)


def undated(into: Path) -> list[dict[str, str]]:
    with (into / UNDATED_FILE).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


GOOD_TIMES = st.integers(0, 5 * 86_400 - 1).map(
    lambda s: f"{MIDNIGHT + timedelta(seconds=s):%Y-%m-%d %H:%M:%S}".encode()
)
BAD_TIMES = st.sampled_from([b"", b"noon", b"2024-03-01 12:00:00 CET", b'"2024-03-01 12:00:00', b"2024-02-30 00:00:00"])
RESTS = st.sampled_from([b"219000101,55,12", b"x,55,12", b"219000101,55,12,more", b'219000101,"55",\xe6\xf8\xe5', b"1"])
LINES = st.lists(
    st.one_of(st.tuples(st.one_of(GOOD_TIMES, BAD_TIMES), RESTS), st.just((b"", b"")), st.just((b" ", b""))),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@example(files=[[(b"2024-03-01 23:59:59", b"1,2,3"), (b"2024-03-02 00:00:00", b"1,2,3")]], memory=1, newline=b"\r\n")
@given(
    files=st.lists(LINES, min_size=1, max_size=4),
    memory=st.sampled_from([1, 200, 1 << 20]),
    newline=st.sampled_from([b"\n", b"\r\n"]),
)
def test_every_row_is_in_the_file_of_its_day_or_named(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[tuple[bytes, bytes]]], memory: int, newline: bytes
) -> None:
    folder = tmp_path_factory.mktemp("ships")
    into = folder / "days"
    written: list[bytes] = []
    blank = number = 0
    for ship, rows in enumerate(files):
        lines = []
        for time, rest in rows:
            number += 1
            line = f"r{number},".encode() + time + b"," + rest if rest else time
            lines.append(line + newline)
            blank += not rest
            written += [line] if rest else []
        (folder / f"{ship}.csv").write_bytes(TABLE_HEAD + b"".join(lines))
    cut = cut_into(table_source(folder), [folder / f"{ship}.csv" for ship in range(len(files))], into, memory)
    kept: list[bytes] = []
    for path in into.glob("*.csv.gz"):
        day = path.name[6:16]
        of_day = rows_of(path, TABLE_HEAD)
        assert all(line.split(b",")[1].decode().startswith(day) for line in of_day)
        assert cut.days[day] == len(of_day)
        kept += [line.removesuffix(newline) for line in of_day]
    named = undated(into)
    numbers = [line.partition(b",")[0].decode() for line in kept] + [name["text"].partition(",")[0] for name in named]
    assert sorted(numbers) == sorted(line.partition(b",")[0].decode() for line in written)
    assert Counter(kept) <= Counter(written)
    assert cut.ledger.rows_in == len(written)
    assert cut.ledger.rows_out == len(kept)
    assert Counter(name["reason"] for name in named) == Counter(cut.ledger.dropped)
    assert cut.ledger.notes.get("blank_lines", 0) == blank
    if kept:
        assert records_and_rejects(table_source(into), cut, folder) == len(kept)


def records_and_rejects(source: FileSource, cut: Cut, folder: Path) -> int:
    """Over all days of what was cut, as the platform lands and reads them."""
    total = Ledger()
    for number, key in enumerate(cut.days):
        day = date.fromisoformat(key)
        landing = folder / f"landing-{number}"
        landing.mkdir()
        stream = source.read_all([archive.path for archive in source.land(day, landing)], day)
        for table in stream.tables:
            assert {t.date() for t in table["t"].to_pylist()} <= {day}
        stream.ledger.balance(key)
        total.add(stream.ledger)
    return total.rows_in


def test_rows_keep_their_order_and_their_numbers_are_true(tmp_path: Path) -> None:
    ship = tmp_path / "219000101.csv"
    first, bad = b"b,2024-03-01 01:00:00,1,2,3", b"c,?,1,2,3"
    second = [b"a,2024-03-02 01:00:00,1,2,3\n", b"d,2024-03-02 00:00:00,1,2,3\n"]
    ship.write_bytes(TABLE_HEAD + second[0] + first + b"\n\n" + bad + b"\n" + second[1].rstrip())
    cut = cut_into(table_source(tmp_path), [ship], tmp_path / "days", memory=1)
    assert rows_of(tmp_path / "days" / "table-2024-03-02.csv.gz", TABLE_HEAD) == second
    assert undated(tmp_path / "days") == [
        {"file": "219000101.csv", "line": "5", "reason": "bad_timestamp", "text": "c,?,1,2,3"}
    ]
    assert (cut.files, cut.days) == ({"219000101.csv": 4}, {"2024-03-01": 1, "2024-03-02": 2})


def test_zones_and_months_of_marinecadastre(tmp_path: Path) -> None:
    """Two zones, their rows in no order of time, cut as they were published: zips."""
    feed, into = tmp_path / "feed", tmp_path / "days"
    feed.mkdir()
    head = MARINECADASTRE_HEADER.removesuffix(",TransceiverClass")
    for zone in (10, 19):
        lines = [
            f"{338_000_000 + zone},2017-01-{1 + k * 7 % 31:02d}T0{k % 10}:00:00,42.5,-70.5,1.0,90.0,511.0,,,,,,,,,"
            for k in range(93)
        ]
        content = "\n".join([head, *lines]).encode()
        write_zip(feed / f"AIS_2017_01_Zone{zone}.zip", {f"AIS_ASCII_by_UTM_Month/AIS_2017_01_Zone{zone}.csv": content})
    source = MarineCadastreSource(str(feed), max_bytes=MAX_BYTES, days=FileDays())
    cut = cut_into(source, [feed], into, memory=2_000)
    assert len(cut.days) == 31
    assert set(cut.days.values()) == {6}
    days = MarineCadastreSource(str(into), max_bytes=MAX_BYTES, days=FileDays())
    assert records_and_rejects(days, cut, tmp_path) == cut.ledger.rows_in == 186


def test_days_of_the_third_dialect_without_a_header_and_of_a_zip_of_several(tmp_path: Path) -> None:
    members = {}
    for first in (1, 2):
        rest = "12:00:00;Class A;219000101;55,5;12,5;Unknown value;;1,5;9,5;;"
        lines = [f"0{day}/06/2010 {rest}" for day in (first, first + 1)]
        members[f"aisdk_2010060{first}.csv"] = "\n".join(lines).encode()
    feed = write_zip(tmp_path / "aisdk-2010-06.zip", members)
    source = DmaSource(str(tmp_path), max_bytes=MAX_BYTES, days=FileDays())
    cut = cut_into(source, [feed], tmp_path / "days")
    assert cut.days == {"2010-06-01": 1, "2010-06-02": 2, "2010-06-03": 1}
    assert set(cut.files) == {f"aisdk-2010-06.zip#{name}" for name in members}
    days = DmaSource(str(tmp_path / "days"), max_bytes=MAX_BYTES, days=FileDays())
    assert records_and_rejects(days, cut, tmp_path) == 4


def test_other_headers_go_to_files_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("t,mmsi,lat,lon\n2024-03-01 12:00:00,1,2,3\n")
    (tmp_path / "b.csv").write_text("mmsi,lat,lon,t\n1,2,3,2024-03-01 12:00:00\n")
    cut = cut_into(table_source(tmp_path), [tmp_path / "a.csv", tmp_path / "b.csv"], tmp_path / "days")
    assert {p.name for p in (tmp_path / "days").glob("*.gz")} == {
        "table-2024-03-01.csv.gz",
        "table-2024-03-01-02.csv.gz",
    }
    assert records_and_rejects(table_source(tmp_path / "days"), cut, tmp_path) == 2


def test_parquet_stays_parquet_with_its_types(tmp_path: Path) -> None:
    times: list[Any] = [MIDNIGHT + timedelta(hours=7 * k) for k in range(20)]
    times[5] = None
    table = pa.table(
        {
            "t": pa.array(times, pa.timestamp("ms", "UTC")),
            "mmsi": pa.array(range(20), pa.int64()),
            "lat": [55.5] * 20,
            "lon": [12.5] * 20,
            "more": [[1, 2]] * 20,
        }
    )
    pq.write_table(table, tmp_path / "ship.parquet", row_group_size=6)
    cut = cut_into(table_source(tmp_path), [tmp_path / "ship.parquet"], tmp_path / "days", memory=300)
    kept = pa.concat_tables([pq.read_table(path) for path in sorted((tmp_path / "days").glob("*.parquet"))])
    assert kept.sort_by("mmsi").equals(table.filter(table["t"].is_valid()))
    assert (cut.ledger.rows_in, cut.ledger.dropped) == (20, {"bad_timestamp": 1})
    assert [name["line"] for name in undated(tmp_path / "days")] == ["7"]
    assert records_and_rejects(table_source(tmp_path / "days"), cut, tmp_path) == 19


def test_it_can_be_done_again(tmp_path: Path) -> None:
    ship, into = tmp_path / "1.csv", tmp_path / "days"
    ship.write_bytes(TABLE_HEAD + b"a,2024-03-01 01:00:00,1,2,3\n")
    first = cut_into(table_source(tmp_path), [ship], into)
    before = {path.name: path.read_bytes() for path in into.iterdir()}
    assert split(table_source(tmp_path), [ship], into, memory_bytes=1, read_with={}) == (first, False)
    assert split(table_source(tmp_path), [ship], into, memory_bytes=1, read_with={"source_zone": "Europe/Oslo"})[1]
    cut_into(table_source(tmp_path), [ship], into)
    assert {path.name: path.read_bytes() for path in into.iterdir()} == before
    ship.write_bytes(TABLE_HEAD + b"a,2024-03-05 01:00:00,1,2,3\n")
    assert cut_into(table_source(tmp_path), [ship], into).days == {"2024-03-05": 1}
    assert [path.name for path in into.glob("*.gz")] == ["table-2024-03-05.csv.gz"]


def test_what_goes_wrong_leaves_the_former_days(tmp_path: Path) -> None:
    ship, into = tmp_path / "1.csv", tmp_path / "days"
    ship.write_bytes(TABLE_HEAD + b"a,2024-03-01 01:00:00,1,2,3\n")
    cut_into(table_source(tmp_path), [ship], into)
    before = {path.name: path.read_bytes() for path in into.iterdir()}
    damaged = tmp_path / "2.csv.gz"
    damaged.write_bytes(gzip.compress(TABLE_HEAD + b"a,2024-03-01 01:00:00,1,2,3\n" * 9)[:-20])
    with pytest.raises(SourceError, match=r"2\.csv\.gz is damaged"):
        cut_into(table_source(tmp_path), [ship, damaged], into)
    assert {path.name: path.read_bytes() for path in into.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.csv", "2.csv.gz", "days"]


def test_a_process_killed_at_any_point_is_recovered_from(tmp_path: Path) -> None:
    ship, into = tmp_path / "1.csv", tmp_path / "days"
    ship.write_bytes(TABLE_HEAD + b"a,2024-03-01 01:00:00,1,2,3\n")
    cut_into(table_source(tmp_path), [ship], into)
    # Between the two renamings, with a part of another cut left.
    into.rename(tmp_path / ".days.old")
    left = tmp_path / ".days.splitting"
    left.mkdir()
    (left / "table-2020-01-01.csv.gz").write_bytes(b"half")
    assert not split(table_source(tmp_path), [ship], into, memory_bytes=1, read_with={})[1]
    ship.write_bytes(ship.read_bytes() * 1 + b"b,2024-03-01 02:00:00,1,2,3\n")
    assert cut_into(table_source(tmp_path), [ship], into).days == {"2024-03-01": 2}
    assert not (into / "table-2020-01-01.csv.gz").exists()


def test_a_folder_with_other_files_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_bytes(TABLE_HEAD)
    with pytest.raises(SourceError, match=r"holds 1 files that no cut made, such as '1\.csv'"):
        cut_into(table_source(tmp_path), [tmp_path / "1.csv"], tmp_path)


def test_every_table_source_has_a_packed_form_for_its_days() -> None:
    delimited = [source_class(name) for name in FILE_SOURCES if issubclass(source_class(name), DelimitedSource)]
    assert len(delimited) == 4
    assert all(".csv.gz" in kind.suffixes for kind in delimited)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "219.csv").write_text(
        "\n".join([HEADER, row(), row(timestamp="02/03/2024 00:00:00"), row(timestamp="?")])
    )
    monkeypatch.chdir(tmp_path)
    without = CliRunner().invoke(main, ["split", "219.csv", "--into", "days"])
    assert (without.exit_code, "`ais look FILE` says which" in without.output) == (1, True)
    monkeypatch.setenv("AIS_SOURCE", "dma")
    result = CliRunner().invoke(main, ["split", "219.csv", "--into", "days", "--json"])
    assert result.exit_code == 0, result.output
    said = json.loads(result.output)
    assert (said["rows_in"], said["rows_out"], said["dropped"]) == (3, 2, {"bad_timestamp": 1})
    assert said["settings"] == [
        "AIS_SOURCE_URI=days",
        "AIS_FILE_ZONE=UTC",
        "AIS_FILE_MARGIN_HOURS=0",
        "AIS_FIRST_DAY=2024-03-01",
        "AIS_LAST_DAY=2024-03-02",
    ]
    shown = CliRunner().invoke(main, ["split", "219.csv", "--into", "days"]).output
    assert "cut before" in shown
    assert f"is named in days{os.sep}{UNDATED_FILE}" in shown


def records_of(source: FileSource, days: list[str], folder: Path) -> tuple[list[Any], Ledger]:
    """Of all days, as the platform lands and reads them."""
    total, records = Ledger(), []
    for number, key in enumerate(days):
        day = date.fromisoformat(key)
        landing = folder / f"landed-{number}"
        landing.mkdir(parents=True)
        stream = source.read_all([archive.path for archive in source.land(day, landing)], day)
        records += [(r["t"], r["mmsi"], r["name"]) for table in stream.tables for r in table.to_pylist()]
        total.add(stream.ledger)
    return sorted(records, key=str), total


def voyage_log(folder: Path) -> Path:
    """Three days of a receiver: tag blocks, times above, a two-part message round midnight with another in between."""
    log = []
    for k in range(60):
        t = MIDNIGHT + timedelta(hours=k, minutes=59)
        tags = f"c:{t.timestamp():.0f}"
        fields = {"type": 1, "mmsi": 219_000_101 + k % 3, "lat": 55.5, "lon": 12 + k / 100, "course": k}
        (sentence,) = pyais.encode_dict(fields, talker_id="AI", sentence_type="VDM")
        log += ["# a comment", f"\\{tags}*{checksum(tags.encode()):02X}\\{sentence}", "!AIVDM,1,1,,A,13a,0*00"]
    voyage = {"type": 5, "mmsi": 219_000_101, "shipname": "FENJA", "callsign": "OXAB"}
    first, second = pyais.encode_dict(voyage, talker_id="AI", sentence_type="VDM", seq_id=1)
    before, after = (f"c:{(MIDNIGHT + timedelta(days=1, seconds=s)).timestamp():.0f}" for s in (-1, 0))
    at = 24 * 3
    parts = [f"\\{before}*{checksum(before.encode()):02X}\\{first}"]
    (other,) = pyais.encode_dict(
        {"type": 1, "mmsi": 219_000_109, "lat": 1, "lon": 2}, talker_id="AI", sentence_type="VDM"
    )
    parts += [f"\\{after}*{checksum(after.encode()):02X}\\{other}", second]
    path = folder / "voyage.log"
    path.write_text("\n".join([*log[:at], *parts, *log[at:]]) + "\n")
    return path


def voyage_json(folder: Path) -> Path:
    lines = [
        json.dumps(
            {"class": "AIS", "type": 1, "mmsi": 219_000_101, "lat": 55.5, "lon": 12.5, "rxuxtime": t.timestamp()}
        )
        for t in (MIDNIGHT + timedelta(hours=5 * k) for k in range(14))
    ]
    path = folder / "voyage.jsonl"
    path.write_text("\n".join([*lines[:3], "{broken", "", '{"mmsi": 1, "lat": 1, "lon": 1}', *lines[3:]]))
    return path


@pytest.mark.parametrize(("kind", "write"), [(NmeaSource, voyage_log), (JsonLinesSource, voyage_json)])
def test_a_voyage_a_file(tmp_path: Path, kind: type[FileSource], write: Any) -> None:
    """What the days read is what the voyage reads, record by record, and the log's lines are all there."""
    feed, into = tmp_path / "feed", tmp_path / "days"
    feed.mkdir()
    log = write(feed)
    days = FileDays("UTC", timedelta(hours=24), MIDNIGHT.date())
    cut = cut_into(kind(str(feed), max_bytes=MAX_BYTES, days=days), [log], into, memory=500)
    assert list(cut.days) == ["2024-03-01", "2024-03-02", "2024-03-03"]
    lines = b"".join(gzip.decompress(path.read_bytes()) for path in into.glob("*.gz")).splitlines()
    named = {name["text"] for name in undated(into)}
    assert Counter(line.decode() for line in lines if line) + Counter(named) == Counter(
        log.read_text().split("\n")
    ) - Counter([""] * 99)
    expected, whole = records_of(kind(str(feed), max_bytes=MAX_BYTES, days=days), list(cut.days), tmp_path / "whole")
    found, total = records_of(kind(str(into), max_bytes=MAX_BYTES, days=days), list(cut.days), tmp_path / "cut")
    assert found == expected
    assert total.rows_out == whole.rows_out > 10
    assert total.rows_in + len(named) == whole.rows_in


def test_lines_of_a_log_without_any_time_are_named(tmp_path: Path) -> None:
    log = tmp_path / "station-2024.nmea"
    log.write_bytes(b"hello\r\n\n!AIVDM,1,1,,B,13aGua?P00PHfERNFruh0?vN289E,0*35\r\n")
    source = NmeaSource(str(tmp_path), max_bytes=MAX_BYTES)
    ledger = Ledger()
    assert list(source.rows_by_day(log, ledger)) == [
        Undated(1, "no_time", "hello"),
        Undated(3, "no_time", "!AIVDM,1,1,,B,13aGua?P00PHfERNFruh0?vN289E,0*35"),
    ]
    assert ledger.notes["blank_lines"] == 1
