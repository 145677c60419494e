"""From an unknown file to the settings that read it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from ais_assets.cli.main import main
from ais_assets.sources.look import look
from ais_assets.sources.source import SourceError


@pytest.mark.parametrize(
    ("name", "content", "source", "settings"),
    [
        (
            "x-2024-03-01.csv",
            "time;ship;lat;lon;speed\n1709294400;219000101;55,5;12,5;10,5\n",
            "table",
            ["AIS_TABLE_DELIMITER=';'", "AIS_FIRST_DAY=2024-03-01"],
        ),
        (
            "unknown.log",
            "2024-03-01 12:00:00 !AIVDM,1,1,,A,13@ne9@P1T0q>70OhN83Q2l1P000,0*67\n",
            "nmea",
            ["AIS_FIRST_DAY=2024-03-01", "AIS_LAST_DAY=2024-03-01"],
        ),
        (
            "catcher.json",
            '{"class":"AIS","type":1,"mmsi":219000101,"rxuxtime":1709294400,"lat":55.5,"lon":12.5}\n',
            "json",
            ["AIS_SOURCE=json"],
        ),
    ],
)
def test_what_a_file_is(tmp_path: Path, name: str, content: str, source: str, settings: list[str]) -> None:
    file = tmp_path / name
    file.write_text(content)
    found = look(file)
    assert (found["source"], found["rows"], found["records"]) == (source, 1, 1)
    assert found["span"] == "2024-03-01 12:00:00 to 2024-03-01 12:00:00 UTC"
    assert set(settings) <= set(found["settings"])


def test_a_file_that_nothing_reads_says_what_each_source_found(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(SourceError, match=r"no source reads any row of it\. dma: .*nmea: "):
        look(file)


def test_a_table_of_unknown_names_is_read_once_its_columns_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "logger.csv"
    file.write_text("Zeit|Kennung|Breite (Grad)|lon|km/h\n03/31/2024 12:00:00|219000101|55,5|12,5|18,52\n")
    first = CliRunner().invoke(main, ["look", str(file)])
    assert first.exit_code == 1
    asked = {"t": {"column": "…"}, "mmsi": {"column": "…"}, "lat": {"column": "…"}, "lon": {"column": "lon"}}
    assert f"export AIS_TABLE_COLUMNS='{json.dumps(asked, ensure_ascii=False)}'" in first.output
    assert "export AIS_TABLE_DELIMITER='|'" in first.output
    assert "'Breite (Grad)'" in first.output

    names = {"t": "Zeit", "mmsi": "Kennung", "lat": "Breite (Grad)", "lon": "lon"}
    columns = {name: {"column": column} for name, column in names.items()}
    monkeypatch.setenv("AIS_TABLE_DELIMITER", "|")
    monkeypatch.setenv("AIS_TABLE_COLUMNS", json.dumps(columns))
    second = CliRunner().invoke(main, ["look", str(file)])
    assert second.exit_code == 1
    assert "table: of 1 rows none is a record: {'bad_timestamp': 1}" in second.output

    columns["t"]["format"] = "MM/DD/YYYY hh:mm:ss"
    monkeypatch.setenv("AIS_TABLE_COLUMNS", json.dumps(columns))
    third = CliRunner().invoke(main, ["look", str(file)])
    assert third.exit_code == 0, third.output
    assert "records: 1\n" in third.output
    assert f"export AIS_TABLE_COLUMNS='{json.dumps(columns)}'" in third.output
    assert "export AIS_TABLE_DELIMITER='|'" in third.output


def test_the_sources_are_listed_with_their_terms() -> None:
    result = CliRunner().invoke(main, ["sources", "--json"])
    assert result.exit_code == 0, result.output
    assert "conditions for the use of Danish public data" in result.output
    assert "https://coast.noaa.gov" in result.output
    shown = CliRunner().invoke(main, ["sources"], catch_exceptions=False).output
    for source in json.loads(result.stdout)["sources"]:
        row = re.search(rf"^│ {source['source']} .*?(?=^│ \w|^└)", shown, re.MULTILINE | re.DOTALL)
        assert row is not None
        lines = (line.split("│")[1:-1] for line in row[0].splitlines())
        cells = ["".join("".join(parts).split()) for parts in zip(*lines, strict=True)]
        told = (source["source"], source["what"], source["files"][0], source["published"] or "–", source["licence"])
        assert cells == ["".join(cell.split()) for cell in told]
