"""Days from files to clean records and their quality: rejects kept as a table, accounts in the UI, odd days named."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ais_assets import schema
from ais_assets.assets.ingest import LostDayError
from ais_assets.definitions import build_definitions
from ais_assets.io.lake import Lake
from ais_assets.operating.tasks import RANGE_END, RANGE_START, Task, done
from ais_assets.publishing.days import days_of
from ais_assets.settings import Settings, load_settings
from ais_assets_tests.integration.test_graph import partition_keys, run, stages_of
from ais_assets_tests.sources.csv_rows import HEADER, row

FIRST = date(2024, 3, 1)
DAYS = 10
UNPUBLISHED, BAD, THIN = "2024-03-04", "2024-03-05", "2024-03-10"
VESSELS = 40
GARBLED = "garbled,row"


def day_file(day: date) -> str:
    """A report of each vessel every two hours; on BAD every fifth is garbled, on THIN half the vessels are gone."""
    vessels = VESSELS // 2 if day.isoformat() == THIN else VESSELS
    lines = [
        row(timestamp=f"{day:%d/%m/%Y} {hour:02}:00:00", mmsi=str(219_000_001 + vessel), sog="0.0")
        for hour in range(0, 24, 2)
        for vessel in range(vessels)
    ]
    if day.isoformat() == BAD:
        lines[4::5] = [GARBLED] * len(lines[4::5])
    return "".join(f"{line}\n" for line in (HEADER, *lines))


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, dg.DagsterInstance]]:
    folder = tmp_path_factory.mktemp("ingest")
    feed = folder / "feed"
    feed.mkdir()
    for number in range(DAYS):
        day = FIRST + timedelta(days=number)
        if day.isoformat() != UNPUBLISHED:
            (feed / f"aisdk-{day}.csv").write_text(day_file(day))
    settings = load_settings(
        source="dma",
        source_uri=str(feed),
        first_day=FIRST,
        last_day=FIRST + timedelta(days=DAYS - 1),
        lake=str(folder / "lake"),
        cache=folder / "cache",
        shards=2,
    )
    with dg.DagsterInstance.ephemeral() as instance:
        for stage in stages_of(settings).values():
            if stage.of_days:
                assert materialized(settings, instance, stage.asset).success
        yield settings, instance


def materialized(settings: Settings, instance: dg.DagsterInstance, asset: str, *days: str) -> dg.ExecuteInProcessResult:
    """One run of the asset, with its checks: of every day, or from the first to the last of these."""
    keys = days or partition_keys(asset, settings)
    job = build_definitions(settings).resolve_implicit_global_asset_job_def()
    return run(job, instance, asset, {RANGE_START: keys[0], RANGE_END: keys[-1]})


def verdicts(instance: dg.DagsterInstance, asset: str, check: str) -> dict[str | None, tuple[str, bool]]:
    """By day, as the UI has it: the check's latest status, and whether it is of what was materialized last."""
    key = dg.AssetCheckKey(dg.AssetKey(asset), check)
    found = instance.event_log_storage.get_asset_check_partition_info([key])
    return {of.partition_key: (of.latest_execution_status.value, of.is_current) for of in found}


def metadata_of(instance: dg.DagsterInstance, asset: str, day: str) -> dict[str, Any]:
    """What the UI shows of a partition."""
    key = dg.AssetKey(asset)
    (event,) = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key, asset_partitions=[day]), limit=1
    ).records
    assert event.asset_materialization is not None
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def test_rejects_are_a_table_beside_the_records(ingested: tuple[Settings, dg.DagsterInstance]) -> None:
    settings, instance = ingested
    lake = Lake(settings.lake)
    rejects = lake.table("rejects", [BAD])
    assert rejects.schema.equals(schema.REJECTS, check_metadata=True)
    assert set(rejects["text"].to_pylist()) == {GARBLED}
    # The header is line 1, and every fifth row is garbled.
    assert rejects["line"].to_pylist() == [6 + 5 * k for k in range(rejects.num_rows)]
    counted = {reason: rows for reason, rows in lake.ledger("raw_records", BAD).dropped.items() if rows}
    assert set(rejects["reason"].to_pylist()) == set(counted)
    assert 0 < rejects.num_rows <= sum(counted.values())
    assert lake.describe("rejects", BAD).facts == {"files": [f"aisdk-{BAD}.csv"]}
    assert lake.sql("select distinct text from rejects").fetchall() == [(GARBLED,)]
    assert "rejects" not in lake.describe("raw_records", BAD).facts
    shown = metadata_of(instance, "raw_records", BAD)["some rejected rows"].records
    assert shown[0].data == rejects.to_pylist()[0]


def test_every_day_has_its_rejects_and_they_are_no_days_of_records(
    ingested: tuple[Settings, dg.DagsterInstance],
) -> None:
    settings, _ = ingested
    lake = Lake(settings.lake)
    assert lake.partitions("rejects") == lake.partitions("raw_records") == partition_keys("raw_records", settings)
    assert lake.table("rejects", [UNPUBLISHED]).num_rows == 0


def test_a_days_whole_account_is_in_the_ui(ingested: tuple[Settings, dg.DagsterInstance]) -> None:
    settings, instance = ingested
    for day in partition_keys("daily_quality", settings):
        shown = metadata_of(instance, "daily_quality", day)
        by_rule = {record.data["rule"]: record.data["rows"] for record in shown["dropped by rule"].records}
        assert shown["rows in"] == shown["rows out"] + sum(by_rule.values())
    bad = metadata_of(instance, "daily_quality", BAD)
    assert bad["rows in"] == VESSELS * 12
    # Every fifth row is every fifth vessel's.
    assert bad["vessels"] == VESSELS * 4 // 5
    assert bad["positions by hour"][1::2] == [0] * 12
    rejected = {name: value for name, value in bad.items() if name.startswith("rejected ")}
    assert sum(rejected.values()) == pytest.approx(0.2)


def test_measures_over_time_by_sql(ingested: tuple[Settings, dg.DagsterInstance]) -> None:
    settings, _ = ingested
    rows = Lake(settings.lake).sql(
        "select cast(day as varchar), value from daily_quality where measure = 'vessels' order by day"
    )
    expected = {day: VESSELS for day in partition_keys("daily_quality", settings) if day != UNPUBLISHED}
    assert dict(rows.fetchall()) == expected | {BAD: VESSELS * 4 // 5, THIN: VESSELS // 2}


def test_the_check_names_the_day_that_departs(ingested: tuple[Settings, dg.DagsterInstance]) -> None:
    settings, instance = ingested
    evaluations = materialized(settings, instance, "daily_quality").get_asset_check_evaluations()
    (evaluation,) = (found for found in evaluations if found.check_name == "like_the_days_before")
    assert not evaluation.passed
    assert evaluation.severity is dg.AssetCheckSeverity.WARN
    records: Any = evaluation.metadata["latest"].value
    found = {(record.data["day"], record.data["measure"]) for record in records.records}
    assert {day for day, _ in found} == {THIN}
    assert {measure for _, measure in found} >= {"vessels", "positions", "positions_02h", "source_rows"}
    assert (THIN, "median_interval_seconds") not in found


def test_what_days_lose_is_told(ingested: tuple[Settings, dg.DagsterInstance]) -> None:
    settings, instance = ingested
    strict = settings.model_copy(update={"most_lost_share": 0.15})
    for asset, check, day, said in (
        ("raw_archives", "every_day_published", UNPUBLISHED, "never published by the source"),
        ("raw_records", "most_rows_parse", BAD, "rows rejected: 20%, 96 of 480"),
    ):
        evaluations = materialized(strict, instance, asset).get_asset_check_evaluations()
        of_check = [evaluation for evaluation in evaluations if evaluation.check_name == check]
        assert [evaluation.partition for evaluation in of_check] == partition_keys(asset, settings)
        (found,) = (evaluation for evaluation in of_check if not evaluation.passed)
        assert found.severity is dg.AssetCheckSeverity.WARN
        assert (found.partition, found.description) == (day, said)
    assert str(days_of(Lake(settings.lake), settings)) == (
        "9 of 10 days with positions (7 not judged by those before), 1 unpublished"
    )


def test_each_day_of_a_run_has_its_own_verdict(ingested: tuple[Settings, dg.DagsterInstance]) -> None:
    settings, instance = ingested
    strict, after = settings.model_copy(update={"most_lost_share": 0.15}), "2024-03-06"
    result = materialized(strict, instance, "raw_records", BAD, after)
    found = verdicts(instance, "raw_records", "most_rows_parse")
    assert found.keys() == set(partition_keys("raw_records", settings))
    assert (found[BAD], found[after]) == (("FAILED", True), ("SUCCEEDED", True))
    told = done(instance, Task("raw_records", (BAD, after)), result.run_id, 0.0)
    assert told.warnings == (f"the check most_rows_parse did not pass: {BAD}: rows rejected: 20%, 96 of 480",)

    materialized(settings, instance, "raw_records", BAD)
    assert verdicts(instance, "raw_records", "most_rows_parse")[BAD] == ("SUCCEEDED", True)


def test_a_day_that_loses_every_row_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "aisdk-2024-03-01.csv").write_text(day_file(date(2024, 3, 2)))
    settings = load_settings(
        source="dma",
        source_uri=str(tmp_path),
        last_day=FIRST,
        lake=str(tmp_path / "lake"),
        cache=tmp_path / "cache",
    )
    with dg.DagsterInstance.ephemeral() as instance:
        assert materialized(settings, instance, "raw_archives").success
        with pytest.raises(
            LostDayError, match=r"^raw_records\[2024-03-01\], .*\.csv: all 480 rows are lost \(.* 480\)"
        ):
            materialized(settings, instance, "raw_records")
        assert not Lake(settings.lake).has("raw_records", "2024-03-01")
        allowed = settings.model_copy(update={"allow_lost_days": True})
        for asset in ("raw_records", "clean_records"):
            assert materialized(allowed, instance, asset).success
    assert str(days_of(Lake(settings.lake), settings)) == "0 of 1 days with positions, 1 empty"
