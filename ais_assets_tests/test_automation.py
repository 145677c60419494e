"""What happens by itself: days that appear late are landed."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import dagster as dg
import pytest

from ais_assets import automation
from ais_assets.assets import stage
from ais_assets.definitions import build_definitions
from ais_assets.resources.lake import LakeResource
from ais_assets.resources.source import SourceResource
from ais_assets.settings import Settings, load_settings
from ais_assets_tests.sources.csv_rows import HEADER, row
from ais_assets_tests.sources.landing.web_server import WebServer, running_web_server, status

TODAY = date(2024, 3, 2)
"""As the clock has it here, so that no test is one across midnight; the days before it end with a leap day."""
PUBLISHED_AFTER = 3
AWAITED_FOR = 60
FIRST = TODAY - timedelta(days=AWAITED_FOR + 9)
NEWEST = TODAY - timedelta(days=PUBLISHED_AFTER)
LATE = NEWEST - timedelta(days=1)


@pytest.fixture(autouse=True)
def _it_is_today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automation, "utc_today", lambda: TODAY)
    monkeypatch.setattr(stage, "utc_today", lambda: TODAY)


def write(folder: Path, day: date) -> None:
    (folder / f"aisdk-{day}.csv").write_text(f"{HEADER}\n{row(timestamp=f'{day:%d/%m/%Y} 00:00:00')}\n")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A source with one day, NEWEST, and a range far longer."""
    feed = tmp_path / "feed"
    feed.mkdir()
    write(feed, NEWEST)
    return load_settings(
        source="dma",
        source_uri=str(feed),
        first_day=FIRST,
        last_day=TODAY,
        lake=str(tmp_path / "lake"),
        cache=tmp_path / "cache",
    )


def tick(settings: Settings, instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SensorExecutionData:
    """What the sensor says."""
    repository = build_definitions(settings).get_repository_def()
    late_day = repository.get_sensor_def("late_day")
    resources = {"lake": LakeResource.from_settings(settings), "source": SourceResource.from_settings(settings)}
    with dg.build_sensor_context(
        instance=instance, repository_def=repository, resources=resources, cursor=cursor
    ) as context:
        return late_day.evaluate_tick(context)


def asked_for(settings: Settings, instance: dg.DagsterInstance) -> list[str | None]:
    """The days that the sensor wants landed."""
    return [request.partition_key for request in tick(settings, instance).run_requests or []]


def web_settings(web: WebServer, folder: Path, days: int) -> Settings:
    """A web source of the last `days` days due, which has NEWEST only."""
    web.files[f"/aisdk-{NEWEST}.csv"] = b"x"
    return load_settings(
        source="dma",
        source_uri=f"{web.url}/aisdk-{{day}}.csv",
        first_day=NEWEST - timedelta(days=days - 1),
        last_day=TODAY,
        lake=str(folder / "lake"),
        cache=folder / "cache",
    )


def land(settings: Settings, instance: dg.DagsterInstance, day: date) -> None:
    definitions = build_definitions(settings)
    job = definitions.resolve_job_def("raw_archives_job")
    assert job.execute_in_process(partition_key=day.isoformat(), instance=instance).success


def test_a_day_that_appears_late_is_landed_once_it_is_there(settings: Settings) -> None:
    feed = Path(settings.source_uri or "")
    with dg.DagsterInstance.ephemeral() as instance:
        assert asked_for(settings, instance) == [NEWEST.isoformat()]
        for day in (NEWEST, LATE):
            land(settings, instance, day)
        # LATE is stored as not published, and so asked for again once the source has it.
        assert asked_for(settings, instance) == []
        write(feed, LATE)
        assert asked_for(settings, instance) == [LATE.isoformat()]
        land(settings, instance, LATE)
        assert asked_for(settings, instance) == []


def test_days_too_young_and_too_old_are_not_waited_for(settings: Settings) -> None:
    feed = Path(settings.source_uri or "")
    for day in (TODAY, NEWEST + timedelta(days=1), TODAY - timedelta(days=AWAITED_FOR + 1)):
        write(feed, day)
    with dg.DagsterInstance.ephemeral() as instance:
        assert asked_for(settings, instance) == [NEWEST.isoformat()]


def test_how_long_a_day_is_waited_for_is_a_setting(settings: Settings) -> None:
    feed = Path(settings.source_uri or "")
    days = [TODAY - timedelta(days=age) for age in (0, 1, AWAITED_FOR, AWAITED_FOR + 1, AWAITED_FOR + 2)]
    for day in days:
        write(feed, day)
    patient = settings.model_copy(update={"published_after_days": 1, "awaited_for_days": AWAITED_FOR + 1})
    with dg.DagsterInstance.ephemeral() as instance:
        wanted = {day.isoformat() for day in (*days[1:4], NEWEST)}
        assert set(asked_for(patient, instance)) == wanted


def test_a_day_withdrawn_does_not_stop_the_others(tmp_path: Path) -> None:
    with running_web_server() as web, dg.DagsterInstance.ephemeral() as instance:
        settings = web_settings(web, tmp_path, 4)
        web.next_answers[f"/aisdk-{LATE}.csv"] = [status(410)] * 2
        assert asked_for(settings, instance) == [NEWEST.isoformat()]
        assert len(web.requests) == 4
        del web.files[f"/aisdk-{NEWEST}.csv"]
        skipped = tick(settings, instance).skip_message or ""
        assert f"1 could not be asked for, such as {LATE}: {web.url}/aisdk-{LATE}.csv: was withdrawn" in skipped


def test_a_tick_that_ran_out_of_time_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick asks for one day here; the one after the last day begins with the first again."""
    monkeypatch.setattr(automation, "ASKING_SECONDS", 0.0)
    with running_web_server() as web, dg.DagsterInstance.ephemeral() as instance:
        settings = web_settings(web, tmp_path, 3)
        cursor, found = None, []
        for _ in range(4):
            said = tick(settings, instance, cursor)
            cursor = said.cursor
            found.append([request.partition_key for request in said.run_requests or []])
    days = [NEWEST - timedelta(days=2), LATE, NEWEST, NEWEST - timedelta(days=2)]
    assert [path for path, _ in web.requests] == [f"/aisdk-{day}.csv" for day in days]
    assert found == [[], [], [NEWEST.isoformat()], []]


def test_whoever_opens_the_ui_is_told_what_everything_is_for() -> None:
    definitions = build_definitions(load_settings(lake="/nowhere"))
    for part in (*(definitions.sensors or ()), *(definitions.schedules or ())):
        assert part.description, part
    graph = definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description, key
        assert node.tags["cut"] in ("days", "parts", "whole")
        (reference,) = node.metadata["dagster/code_references"].code_references
        assert isinstance(reference, dg.LocalFileCodeReference)
        assert Path(reference.file_path).is_file(), "a link to where the asset's function stands"


@pytest.mark.parametrize(("ends_in_days", "fresh"), [(30, True), (-30, False)])
def test_days_are_to_be_fresh_as_long_as_the_range_goes_on(ends_in_days: int, fresh: bool) -> None:
    last = TODAY + timedelta(days=ends_in_days)
    graph = build_definitions(load_settings(lake="/nowhere", first_day=FIRST, last_day=last)).resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert (node.freshness_policy is not None) == (fresh and node.tags["cut"] == "days"), key


@pytest.mark.parametrize("due", [FIRST - timedelta(days=1), FIRST, NEWEST, TODAY, TODAY + timedelta(days=1)])
def test_every_morning_the_newest_day_due_is_landed(settings: Settings, due: date) -> None:
    repository = build_definitions(settings).get_repository_def()
    morning = datetime.combine(due + timedelta(days=PUBLISHED_AFTER), time(6), UTC)
    with dg.build_schedule_context(scheduled_execution_time=morning, repository_def=repository) as context:
        said = repository.get_schedule_def("newest_day").evaluate_tick(context)
    if FIRST <= due <= TODAY:
        assert [(request.run_key, request.partition_key) for request in said.run_requests or []] == [
            (due.isoformat(), due.isoformat())
        ]
    else:
        assert not said.run_requests
        assert said.skip_message == f"{due} is outside AIS_FIRST_DAY {FIRST} to AIS_LAST_DAY {TODAY}"
