"""The example in sources/README.md is a source that works, and peers' ways of reading rows wrongly are not ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ais_assets.settings.table_mapping import TableMapping
from ais_assets.sources.delimited_source import DelimitedSource
from ais_assets.sources.rows.layout import Layout
from ais_assets.sources.table import TableSource
from ais_assets_tests.sources.csv_rows import MAX_BYTES

GUIDE = Path(__file__).resolve().parents[2] / "ais_assets" / "sources" / "README.md"
DAY = date(2024, 3, 1)


def test_the_source_in_the_guide_works(tmp_path: Path) -> None:
    """Landed and read, with spellings, a unit and a reject, in the lines that the guide shows."""
    (block,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    code = "\n".join(line.removeprefix("   ") for line in block.splitlines())
    room: dict[str, Any] = {"Layout": Layout, "DelimitedSource": DelimitedSource}
    exec(code, room)
    feed, into = tmp_path / "feed", tmp_path / "into"
    feed.mkdir()
    into.mkdir()
    rows = ["2024-03-01 00:00:01;219000873;55.5;10.5;5.144444", "2024-03-01 00:00:02;?;55.5;10.5;1"]
    (feed / "atlantis-2024-03-01.csv").write_text("\n".join(["time;MMSI_NO;lat;lon;speed", *rows]))
    source = room["AtlantisSource"](str(feed), max_bytes=MAX_BYTES)
    (landed,) = source.land(DAY, into)
    stream = source.read(landed.path, DAY)
    (record,) = next(stream.tables).to_pylist()
    list(stream.tables)
    assert (record["mmsi"], record["sog_tenths"]) == (219000873, 100)
    assert stream.ledger.dropped["bad_mmsi"] == 1


def as_csv(folder: Path, columns: dict[str, list[Any]]) -> Path:
    path = folder / "2024-03-01.csv"
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]))
    return path


def as_parquet(folder: Path, columns: dict[str, list[Any]]) -> Path:
    path = folder / "2024-03-01.parquet"
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("write", [as_csv, as_parquet])
class TestDefectsOfPeers:
    """What other tools did: a COG cast to unsigned, an MMSI whose stray decimals made it another vessel."""

    def read(self, path: Path) -> tuple[pa.Table, dict[str, int]]:
        mapping = TableMapping.model_validate({name: {"column": name} for name in ("t", "mmsi", "lat", "lon", "cog")})
        source = TableSource(str(path.parent), mapping=mapping, delimiter=",", max_bytes=MAX_BYTES)
        stream = source.read(path, DAY)
        return pa.concat_tables(list(stream.tables)), stream.ledger.notes

    def rows(self, mmsi: list[Any], cog: list[Any]) -> dict[str, list[Any]]:
        count = len(mmsi)
        return {"t": ["2024-03-01 00:00:01"] * count, "mmsi": mmsi, "lat": [1] * count, "lon": [2] * count, "cog": cog}

    def test_an_mmsi_with_stray_decimals_is_the_same_vessel(
        self, tmp_path: Path, write: Callable[[Path, dict[str, list[Any]]], Path]
    ) -> None:
        table, _ = self.read(write(tmp_path, self.rows([219000873.0, 219000873.0], [1.0, 2.0])))
        assert table["mmsi"].to_pylist() == [219000873, 219000873]

    def test_a_negative_cog_is_not_cast_to_unsigned(
        self, tmp_path: Path, write: Callable[[Path, dict[str, list[Any]]], Path]
    ) -> None:
        table, notes = self.read(write(tmp_path, self.rows([1, 1, 1], [-1.0, -0.1, 359.9])))
        assert table["cog_tenths"].to_pylist() == [None, None, 3599]
        assert notes["implausible_cog"] == 2
