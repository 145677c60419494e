"""A day landed before the file of the next day, which holds some of its records, is stale, and is landed anew."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from ais_assets.definitions import build_definitions
from ais_assets.io.lake import Lake
from ais_assets.io.provenance import Chain
from ais_assets.operating.building import passes
from ais_assets.operating.tasks import RANGE_END, RANGE_START
from ais_assets.settings import Settings, load_settings
from ais_assets_tests.integration.test_graph import run, stages_of

FIRST, NEXT = "2024-03-01", "2024-03-02"
HEAD = "t,mmsi,lat,lon\n"
COLUMNS = '{"t":{"column":"t"},"mmsi":{"column":"mmsi"},"lat":{"column":"lat"},"lon":{"column":"lon"}}'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    feed = tmp_path / "feed"
    feed.mkdir()
    (feed / f"log-{FIRST}.csv").write_text(f"{HEAD}{FIRST} 12:00:00,219000101,55,12\n")
    return load_settings(
        source="table",
        table_columns=COLUMNS,
        source_uri=str(feed),
        first_day=FIRST,
        last_day=NEXT,
        lake=str(tmp_path / "lake"),
        cache=tmp_path / "cache",
    )


def built(settings: Settings, instance: dg.DagsterInstance, asset: str, day: str) -> None:
    job = build_definitions(settings).resolve_implicit_global_asset_job_def()
    assert run(job, instance, asset, {RANGE_START: day, RANGE_END: day}).success


def test_a_day_whose_neighbour_came_later_is_stale(settings: Settings) -> None:
    archives, records = (stages_of(settings)[name] for name in ("raw_archives", "raw_records"))
    lake = Lake(settings.lake)

    def to_build() -> tuple[list[str], list[str]]:
        return archives.to_build(Chain(lake), settings), records.to_build(Chain(lake), settings)

    late = Path(settings.source_uri or "") / f"log-{NEXT}.csv"
    with dg.DagsterInstance.ephemeral() as instance:
        for asset in ("raw_archives", "raw_records"):
            built(settings, instance, asset, FIRST)
        assert to_build() == ([NEXT], [NEXT])
        # A logger that is late writes yesterday's last record into today's file.
        late.write_text(f"{HEAD}{FIRST} 23:59:59,219000101,55,12\n{NEXT} 12:00:00,219000101,55,12\n")
        built(settings, instance, "raw_archives", NEXT)
        assert archives.to_build(Chain(lake), settings) == [FIRST]
        reason = archives.stale_because(Chain(lake), FIRST, settings)
        assert reason is not None
        assert f"raw_archives[{NEXT}] had {late}, which was not there then" in reason
        built(settings, instance, "raw_archives", FIRST)
        assert to_build() == ([], [FIRST, NEXT])
        built(settings, instance, "raw_records", FIRST)
        assert lake.ledger("raw_records", FIRST).rows_out == 2
        # What the source mends in the file itself is seen once its own day was landed anew.
        late.write_text(late.read_text() + f"{FIRST} 23:59:58,219000101,55,12\n")
        assert to_build() == ([], [NEXT])
        built(settings, instance, "raw_archives", NEXT)
        assert archives.to_build(Chain(lake), settings) == [FIRST]


def test_a_build_looks_at_the_archives_once_more(settings: Settings) -> None:
    """So that what its first turn landed late for a day before is landed for that day too."""
    stages = stages_of(settings)
    turns = [(stages["raw_archives"],), (stages["raw_records"],)]
    assert [([stage.asset for stage in turn], again) for turn, again in passes(turns)] == [
        (["raw_archives"], False),
        (["raw_archives"], True),
        (["raw_records"], False),
    ]
