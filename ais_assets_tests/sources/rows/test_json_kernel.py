"""The compiled reader of JSON takes nothing that the json module and the rules in Python would read otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ais_assets.sources.json_lines import JsonLinesSource, LogLines
from ais_assets.sources.rows.json_kernel import NAMES
from ais_assets_tests.sources.csv_rows import MAX_BYTES
from ais_assets_tests.sources.test_json_lines import CATCHER, FEATURE, GPSD, STREAM, T

DAY = date(2024, 3, 1)


def read(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    stream = JsonLinesSource(str(path.parent), max_bytes=MAX_BYTES).read(path, DAY)
    tables = list(stream.tables)
    stream.ledger.balance(path.name)
    counts = {**stream.ledger.dropped, **stream.ledger.notes, "in": stream.ledger.rows_in}
    return pa.concat_tables(tables) if tables else pa.table({}), {**counts, "rejects": stream.facts["rejects"]}


def read_line_by_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[pa.Table, dict[str, Any]]:
    """Without the compiled reader: it finds no line plain."""
    with monkeypatch.context() as patch:
        patch.setattr(LogLines, "plain", _none_is_plain)
        return read(path)


def _none_is_plain(lines: LogLines, block: bytes, position: int) -> int:
    del block
    lines.is_plain = False
    return position


NUMBERS = st.sampled_from(
    [
        *(
            "0",
            "-0",
            "5",
            "55.5",
            "12.5",
            "-12.123456",
            "91",
            "181",
            "90.0000001",
            "511",
            "359.97",
            "360",
            "102.27",
            "102.3",
        ),
        *("1e2", "5.55e1", "1E400", "-1", "1.", "01", "+1", ".5", "NaN", "-Infinity", "219000101", "219000101.0", "64"),
        *(
            "55.123456666666664",
            "12.0000005",
            "12.00000049999999999999",
            "0.35",
            "8.45",
            "102.25",
            "1023",
            "105",
            "63.9",
        ),
        *("1709294400", "1709294400.25", "1709294400.9999999", "1709294400123", "1709294400123.5", "1709294400123456"),
        *("20240301120000", "33300000", "7500000", "15", "14.9", "123456789012345678901234567890", "1" * 18),
    ]
)
TEXTS = st.sampled_from(
    [
        *(
            "",
            "AIS",
            "ais",
            "PositionReport",
            "positionreport",
            "LongRangeAisBroadcastMessage",
            "FENJA@@",
            "20240301120000",
        ),
        *(
            "2024-03-01 12:00:00.123456789 +0000 UTC",
            "2024-03-01T12:00:00Z",
            " 1709294400",
            "1709294400",
            "1709294400123",
        ),
        *(
            "219000101",
            "55.5",
            "nan",
            "Infinity",
            "Point",
            "n/a",
            "x\\u0041",
            'x\\"y',
            "\\n",
            "\\x",
            "K\u212a",
            "ø",
            "\t",
        ),
        "2024-03-01 12:00:00 CET",
    ]
)
SCALARS = st.one_of(
    NUMBERS,
    TEXTS.map('"{}"'.format),
    st.sampled_from(["null", "true", "false", "nul", "[]", "[12.5, 55.5]", "[1,[2]]", '["a"]']),
)
KEYS = st.one_of(
    st.sampled_from(
        [*NAMES, "MMSI", "Lat", "rxTime", "MetaData", "metadata", "Message", "geometry", "coordinates", "other"]
    ),
    st.sampled_from(["features", "m\\u006dsi", "ø", ""]),
)


def objects(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.tuples(KEYS, st.sampled_from([":", " : ", ""]), inner).map(lambda m: f'"{m[0]}"{m[1] or ":"}{m[2]}')
    return st.lists(member, max_size=5).map(lambda members: "{" + ", ".join(members) + "}")


VALUES = st.recursive(SCALARS, objects, max_leaves=12)
# A good message with members before and behind: what changes it is what is tested.
GOOD = [json.dumps(said)[1:-1] for said in (CATCHER, STREAM, FEATURE, GPSD)]
MEMBERS = st.lists(st.tuples(KEYS, VALUES).map(lambda m: f'"{m[0]}":{m[1]}'), max_size=4)
MESSAGES = st.tuples(MEMBERS, st.sampled_from(GOOD), MEMBERS).map(
    lambda parts: "{" + ",".join([*parts[0], parts[1], *parts[2]]) + "}"
)
REPLACED = st.tuples(st.sampled_from([CATCHER, GPSD]), KEYS, VALUES).map(
    lambda parts: json.dumps({**parts[0], parts[1]: "@"}).replace('"@"', parts[2])
)
DAMAGED = st.tuples(st.sampled_from([f"{{{good}}}" for good in GOOD]), st.integers(0, 400), st.text(max_size=3)).map(
    lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + 1 :]
)
LINES = st.lists(
    st.one_of(
        MESSAGES,
        REPLACED,
        DAMAGED,
        VALUES,
        st.sampled_from(["", " \t", "\r", "\x0b", f"{{{GOOD[0]}}}", f"{{{GOOD[1]}}}"]),
    ),
    min_size=1,
    max_size=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@example(lines=['{"a":{"mmsi":1},"a":{"lat":1},' + GOOD[0] + "}"])
@example(lines=['{"MetaData":{"lat":1},' + GOOD[0] + "}", "{" + GOOD[0] + ',"MetaData":{"lat":1}}'])
@example(lines=["{" + GOOD[0] + ',"lat":1}', "{" + GOOD[0] + ',"LAT":1}', "{" + GOOD[0] + ',"x":{"lat":1}}'])
@example(lines=["{" + GOOD[0] + "}\r", " {" + GOOD[0] + "} ", "{" + GOOD[0] + "}x", "{" + GOOD[0]])
@given(lines=LINES)
def test_it_reads_as_the_json_module(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, lines: list[str]
) -> None:
    path = tmp_path_factory.mktemp("log") / f"ais-{DAY}.jsonl"
    anchor = json.dumps({**CATCHER, "rxuxtime": T + 1})
    path.write_bytes("\n".join([anchor, *lines, anchor]).encode("utf-8", "surrogatepass"))
    found, counts = read(path)
    expected, expected_counts = read_line_by_line(path, monkeypatch)
    assert found.equals(expected)
    assert counts == expected_counts


@pytest.mark.parametrize("said", [CATCHER, STREAM, FEATURE, GPSD])
def test_lines_of_each_kind_are_plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: dict[str, Any]) -> None:
    """Else the rate of that kind would be the json module's."""
    path = tmp_path / f"ais-{DAY}.jsonl"
    path.write_text("\n".join([json.dumps(said)] * 5))

    def none_may_come(*_: object) -> Iterator[pa.Table]:
        raise AssertionError("a line was not plain")

    monkeypatch.setattr(LogLines, "any", none_may_come)
    assert read(path)[0].num_rows == 5


def test_one_line_of_thousands_of_ships(tmp_path: Path) -> None:
    path = tmp_path / f"ais-{DAY}.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [FEATURE] * 10_000}))
    table, counts = read(path)
    assert (table.num_rows, counts["in"]) == (10_000, 10_000)
