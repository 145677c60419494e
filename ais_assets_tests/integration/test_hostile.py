"""What a source may send with ill intent: kept as the text that it is, or refused, and everything else goes in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from ais_assets.definitions import build_definitions
from ais_assets.io.lake import Lake
from ais_assets.settings import Settings, load_settings
from ais_assets_tests.integration.test_graph import run
from ais_assets_tests.sources.csv_rows import DAY as DATE
from ais_assets_tests.sources.csv_rows import HEADER, row

DAY = DATE.isoformat()

NAMES = {
    219_000_001: '=HYPERLINK("http://example.org")',
    219_000_002: "<img src=x onerror=alert(1)>",
    219_000_003: "<script>alert(1)</script>",
    219_000_004: "../../etc/passwd",
    219_000_005: "$(touch pwned) `touch pwned`",
    219_000_006: "'; drop table vessels; --",
    219_000_007: "[bold]x[/bold]",
    219_000_008: "| a | b |",
    219_000_009: "{{ 7 * 7 }}",
    219_000_010: "A\0B",
}
"""By MMSI, the name that a ship says of herself."""
BELOW_NUL = 219_000_011
LONG_LINE_BYTES = 3 << 20


def lines() -> Iterator[bytes]:
    """A day of these ships, and lines that are none."""
    yield HEADER.encode()
    for hour in range(24):
        for mmsi, name in NAMES.items():
            quoted = '"{}"'.format(name.replace('"', '""'))
            yield row(timestamp=f"01/03/2024 {hour:02}:00:00", mmsi=str(mmsi), name=quoted, destination=quoted).encode()
        yield row(timestamp=f"01/03/2024 {hour:02}:00:00", mmsi=str(BELOW_NUL), latitude="56.9\0", sog="\0").encode()
    yield b"9" * LONG_LINE_BYTES
    yield b"\0" * 1_000


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, dg.DagsterInstance, Path]]:
    """The day, with who its ships are."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "feed").mkdir()
    (folder / "feed" / f"aisdk-{DAY}.csv").write_bytes(b"\n".join(lines()) + b"\n")
    settings = load_settings(
        source="dma",
        source_uri=str(folder / "feed"),
        first_day=DATE,
        last_day=DATE,
        lake=str(folder / "lake"),
        cache=folder / "cache",
        shards=1,
    )
    job = build_definitions(settings).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        for asset in ("raw_archives", "raw_records", "clean_records", "daily_quality", "vessels"):
            tags = (
                {} if asset == "vessels" else {f"dagster/asset_partition_range_{end}": DAY for end in ("start", "end")}
            )
            assert run(job, instance, asset, tags).success
        yield settings, instance, folder


def test_text_is_kept_as_it_is(built: tuple[Settings, dg.DagsterInstance, Path]) -> None:
    lake = Lake(built[0].lake)
    found = dict(lake.sql("select mmsi, name from vessels").fetchall())
    assert {mmsi: found[mmsi] for mmsi in NAMES} == NAMES


def test_the_rest_goes_in_and_every_line_is_accounted_for(built: tuple[Settings, dg.DagsterInstance, Path]) -> None:
    lake = Lake(built[0].lake)
    parsed = lake.ledger("raw_records", DAY)
    assert parsed.rows_in == sum(1 for _ in lines()) - 1
    assert parsed.rows_dropped >= 2, "neither the long line nor the one of NUL bytes is a row"
    cleaned = dict(lake.sql("select mmsi, count(*) from clean_records group by mmsi").fetchall())
    assert {mmsi: cleaned[mmsi] for mmsi in NAMES} == dict.fromkeys(NAMES, 24)
    assert BELOW_NUL not in cleaned, "a latitude with a NUL byte is no number"


def test_nothing_of_it_is_markup_in_the_ui_and_nothing_is_executed(
    built: tuple[Settings, dg.DagsterInstance, Path],
) -> None:
    _, instance, folder = built
    shown = []
    for asset in ("raw_archives", "raw_records", "clean_records", "daily_quality", "vessels"):
        event = instance.get_latest_materialization_event(dg.AssetKey(asset))
        assert event is not None
        assert event.asset_materialization is not None
        values = event.asset_materialization.metadata.values()
        shown += [value.md_str for value in values if isinstance(value, dg.MarkdownMetadataValue)]
    assert shown
    for text in shown:
        assert not any(sign in text for sign in ("<script", "onerror", "HYPERLINK", "drop table")), text[:500]
    outside = {path.name for path in folder.rglob("*")}
    assert not outside & {"pwned", "passwd"}
    assert json.loads((folder / "lake" / "raw_archives" / f"{DAY}.json").read_text())["folder"].startswith(DAY)
