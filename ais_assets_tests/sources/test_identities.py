"""Identities that are no MMSIs: hashes and longer numbers become vessels, kept beside the number that they get."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ais_assets import schema
from ais_assets.settings.table_mapping import TableMapping
from ais_assets.sources.rows.numbers import identity_number
from ais_assets.sources.rows.text import PADDING
from ais_assets.sources.table import TableSource
from ais_assets.transforms.clean import clean_day
from ais_assets.transforms.vessels import vessel_table
from ais_assets_tests.sources.csv_rows import MAX_BYTES

DAY = date(2024, 3, 1)
MAPPING = TableMapping.model_validate(
    {
        "t": {"column": "t"},
        "mmsi": {"column": "ship", "identity": "text"},
        **{name: {"column": name} for name in ("lat", "lon", "name")},
    }
)
HASHED, LONG, MMSI_LIKE = "9f86d081884c7d65", "1234567890123", "219000101"
KNOWN = [1_082_998_571, 1_854_847_930, 1_299_984_062]
SHIPS = [HASHED, LONG, MMSI_LIKE, HASHED]


def number_of(text: str) -> int:
    raw = text.encode()
    return int(identity_number(np.frombuffer(raw + PADDING, np.uint8), 0, len(raw)))


def read(path: Path) -> tuple[pa.Table, dict[str, int]]:
    source = TableSource(str(path.parent), mapping=MAPPING, delimiter=",", max_bytes=MAX_BYTES)
    stream = source.read(path, DAY)
    table = pa.concat_tables(list(stream.tables))
    stream.ledger.balance(path.name)
    return table, {reason: rows for reason, rows in stream.ledger.dropped.items() if rows}


def as_csv(folder: Path, ships: Sequence[str | None]) -> Path:
    lines = [
        f"2024-03-01 12:00:0{k},{'' if ship is None else ship},55.5,{12 + k / 100},V" for k, ship in enumerate(ships)
    ]
    path = folder / f"{DAY}.csv"
    path.write_text("\n".join(["t,ship,lat,lon,name", *lines]))
    return path


def as_parquet(folder: Path, ships: Sequence[str | None]) -> Path:
    count = len(ships)
    columns: dict[str, list[Any]] = {"t": [f"2024-03-01 12:00:0{k}" for k in range(count)], "ship": list(ships)}
    columns |= {"lat": [55.5] * count, "lon": [12 + k / 100 for k in range(count)], "name": ["V"] * count}
    path = folder / f"{DAY}.parquet"
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("write", [as_csv, as_parquet])
def test_a_text_gets_a_number_and_stays_beside_it(tmp_path: Path, write: Any) -> None:
    table, rejects = read(write(tmp_path, [*SHIPS, None, "NULL"]))
    assert table["mmsi"].to_pylist() == [number_of(ship) for ship in SHIPS]
    assert table["identity"].to_pylist() == [HASHED, LONG, MMSI_LIKE, None]
    assert rejects == {"bad_mmsi": 2}


def test_numbers_are_no_mmsis_and_the_same_for_ever() -> None:
    """Another number for the same text would tear a vessel's days apart, so these stay as they are."""
    assert [number_of(ship) for ship in SHIPS[:3]] == KNOWN
    many = [number_of(f"ship {k}") for k in range(1000)]
    assert min(many) >= schema.FIRST_IDENTITY > 999_999_999
    assert max(many) < 2**31


def test_numbers_of_a_column_are_read_as_texts(tmp_path: Path) -> None:
    path = as_parquet(tmp_path, [LONG])
    table = pq.read_table(path)
    pq.write_table(table.set_column(1, "ship", pa.array([int(LONG)])), path)
    assert read(path)[0]["mmsi"].to_pylist() == [number_of(LONG)]


def test_they_are_vessels(tmp_path: Path) -> None:
    table, _ = read(as_csv(tmp_path, SHIPS))
    (vessels,) = vessel_table(table, validation_fraction=0.5, seed=1).tables
    shown = {row["identities"][0]: row for row in vessels.to_pylist()}
    assert {text: row["mmsi"] for text, row in shown.items()} == {text: number_of(text) for text in SHIPS[:3]}
    assert {(row["flag"], row["country"], row["name"], *row["conflicts"]) for row in shown.values()} == {(0, None, "V")}
    clean = clean_day(iter([table]), DAY, shards=1, repeat_seconds=120)
    (kept,) = clean.tables
    assert sorted(set(kept["mmsi"].to_pylist())) == sorted(map(number_of, SHIPS[:3]))


def test_two_texts_of_one_number_are_named(tmp_path: Path) -> None:
    numbers: dict[int, str] = {}
    pair = next(
        (numbers[n], text) for text in map(str, range(10**6)) if numbers.setdefault(n := number_of(text), text) != text
    )
    table, _ = read(as_csv(tmp_path, list(pair)))
    stream = vessel_table(table, validation_fraction=0.5, seed=1)
    (vessel,) = next(stream.tables).to_pylist()
    assert vessel["identities"] == sorted(pair)
    assert vessel["conflicts"] == ["identity"]
    assert stream.ledger.notes["conflicting_identity"] == 1


def test_only_mmsi_has_an_identity() -> None:
    columns = {name: {"column": name} for name in ("t", "mmsi", "lat", "lon")}
    with pytest.raises(ValueError, match="only mmsi has one"):
        TableMapping.model_validate(columns | {"lat": {"column": "lat", "identity": "text"}})
