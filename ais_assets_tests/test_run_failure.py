"""Runs that fail are told to AIS_FAILURE_URL, each once, and of the address nothing is shown."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterInstance
from dagster._utils.error import serializable_error_info_from_exc_info

from ais_assets.definitions import build_definitions
from ais_assets.operating import failures
from ais_assets.settings import Settings, SettingsError, in_force, load_settings

DAY = "2024-03-01"
SECRET = "T0planted/B0planted"
"""Of the address: Slack's have theirs in the path."""


@dataclass
class Hook:
    """What takes failures.

    Attributes:
        url: its address.
        answers: statuses of the next answers; then 200.
        silent_seconds: before it answers.
        taken: what it was sent.
    """

    url: str = ""
    answers: list[int] = field(default_factory=list)
    silent_seconds: float = 0.0
    taken: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    hook, end = Hook(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/json"
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            end.wait(hook.silent_seconds)
            status = hook.answers.pop(0) if hook.answers else 200
            if status == 200:
                hook.taken.append(sent)
            self.send_response(status)
            self.send_header("Location", hook.url)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: tests read `taken`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.url = f"http://127.0.0.1:{server.server_address[1]}/services/{SECRET}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hook
    finally:
        end.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def settings(hook: Hook, tmp_path: Path) -> Settings:
    """Of a source that is not there."""
    return load_settings(
        source="dma",
        source_uri=str(tmp_path / "absent <!channel>"),
        lake=str(tmp_path / "lake"),
        cache=tmp_path / "cache",
        failure_url=hook.url,
    )


@pytest.fixture(params=["memory", "disk"])
def instance(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DagsterInstance]:
    """Dagster's storage on a disk keeps each run's events in a database of its own, the one in memory does not."""
    (tmp_path / "home").mkdir()
    on_disk = request.param == "disk"
    with DagsterInstance.local_temp(str(tmp_path / "home")) if on_disk else DagsterInstance.ephemeral() as instance:
        yield instance


def fail(settings: Settings, instance: DagsterInstance, tags: dict[str, str] | None = None) -> str:
    """Id of a run that does."""
    job = build_definitions(settings).resolve_job_def("raw_archives_job")
    run = job.execute_in_process(partition_key=DAY, instance=instance, raise_on_error=False, tags=tags)
    assert not run.success
    return run.run_id


class Ticks:
    """The sensor's, one after the other: the cursor goes on from those that did not raise, as in the daemon."""

    def __init__(self, settings: Settings, instance: DagsterInstance) -> None:
        self._repository = build_definitions(settings).get_repository_def()
        self._instance = instance
        self._cursor: str | None = None

    def next(self) -> dg.SensorExecutionData:
        """What the sensor says."""
        run_failure = self._repository.get_sensor_def("run_failure")
        with dg.build_sensor_context(
            instance=self._instance, repository_def=self._repository, cursor=self._cursor
        ) as context:
            said = run_failure.evaluate_tick(context)
        self._cursor = said.cursor
        return said


def test_each_failure_is_told_once(settings: Settings, instance: DagsterInstance, hook: Hook) -> None:
    ticks = Ticks(settings, instance)
    fail(settings, instance)
    ticks.next()
    assert hook.taken == [], "what failed before anybody asked for it to be told"
    runs = [fail(settings, instance), fail(settings, instance)]
    ticks.next()
    ticks.next()
    assert [sent["run"] for sent in hook.taken] == runs
    sent = hook.taken[0]
    assert (sent["job"], sent["step"], sent["partition"]) == ("raw_archives_job", "raw_archives", DAY)
    assert "absent <!channel>" in sent["error"]
    assert "AIS_SOURCE_URI must name a folder" in sent["error"]
    assert "\n" not in sent["error"]
    assert f"`ais build --from {DAY} --to {DAY} --only raw_archives`" in sent["cure"]
    assert sent["page"] == f"/runs/{runs[0]}"
    assert not sent["tried_again"]
    assert all(sent[name] in sent["text"] for name in ("run", "job", "step", "partition", "cure"))
    assert "<" not in sent["text"], "nothing in it is Slack's markup"


def test_what_is_not_taken_is_told_at_a_later_tick(settings: Settings, instance: DagsterInstance, hook: Hook) -> None:
    ticks = Ticks(settings, instance)
    ticks.next()
    runs = [fail(settings, instance), fail(settings, instance)]
    hook.answers = [503]
    with pytest.raises(failures.NotToldError, match=rf"{runs[0]} could not be told .* answered with the status 503"):
        ticks.next()
    hook.answers = [200, 302]
    assert f"1 failures were told; the failure of run {runs[1]}" in (ticks.next().skip_message or "")
    ticks.next()
    assert [sent["run"] for sent in hook.taken] == runs


def test_a_run_that_dagster_tries_again_is_said_to_be(settings: Settings, hook: Hook) -> None:
    with DagsterInstance.ephemeral() as instance:
        ticks = Ticks(settings, instance)
        ticks.next()
        fail(settings, instance, {"dagster/will_retry": "true"})
        ticks.next()
    assert hook.taken[0]["tried_again"]
    assert "by itself" in hook.taken[0]["cure"]


def test_a_run_that_lost_its_process_is_told_by_what_dagster_says(settings: Settings, hook: Hook) -> None:
    with DagsterInstance.ephemeral() as instance:
        ticks = Ticks(settings, instance)
        ticks.next()
        run = instance.create_run_for_job(
            build_definitions(settings).resolve_job_def("tracks_job"), tags={"dagster/partition": "0003"}
        )
        instance.report_run_failed(run, "the process is gone")
        ticks.next()
    (sent,) = hook.taken
    assert (sent["step"], sent["partition"], sent["error"]) == ("", "0003", "the process is gone")
    assert "`ais build --only tracks`" in sent["cure"]


def test_a_silent_hook_is_waited_for_within_bounds(
    settings: Settings, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "TELLING_SECONDS", 0.2)
    hook.silent_seconds = 60.0
    with DagsterInstance.ephemeral() as instance:
        ticks = Ticks(settings, instance)
        ticks.next()
        fail(settings, instance)
        with pytest.raises(failures.NotToldError, match="no answer"):
            ticks.next()


def test_nothing_of_the_address_is_in_what_dagster_keeps(
    settings: Settings, instance: DagsterInstance, hook: Hook, tmp_path: Path
) -> None:
    closed = settings.model_copy(
        update={"failure_url": load_settings(failure_url=f"http://127.0.0.1:1/{SECRET}").failure_url}
    )
    ticks = Ticks(closed, instance)
    ticks.next()
    fail(closed, instance)
    with pytest.raises(failures.NotToldError) as raised:
        ticks.next()
    told = serializable_error_info_from_exc_info((raised.type, raised.value, raised.tb))
    assert "cannot be reached" in str(told)
    kept = [str(told).encode(), *(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())]
    assert not [content for content in kept if SECRET.encode() in content]


def test_without_an_address_nobody_is_told(settings: Settings) -> None:
    quiet = settings.model_copy(update={"failure_url": None})
    with DagsterInstance.ephemeral() as instance:
        assert "AIS_FAILURE_URL is not set" in (Ticks(quiet, instance).next().skip_message or "")
    for given, status in ((quiet, dg.DefaultSensorStatus.STOPPED), (settings, dg.DefaultSensorStatus.RUNNING)):
        repository = build_definitions(given).get_repository_def()
        assert repository.get_sensor_def("run_failure").default_status is status


@pytest.mark.parametrize(
    "address",
    [SECRET, f"ftp://host/{SECRET}", f"https://a:b@host/{SECRET}", f"https:///{SECRET}", f"https://h:x/{SECRET}"],
)
def test_a_wrong_address_is_refused_without_being_shown(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIS_FAILURE_URL", address)
    with pytest.raises(SettingsError, match="AIS_FAILURE_URL: must be http") as refused:
        load_settings()
    assert SECRET not in str(refused.value)


def test_the_address_is_not_among_the_settings_that_are_shown(settings: Settings) -> None:
    shown = {variable.name: variable.value for variable in in_force(settings)}
    assert SECRET not in str(shown)
    assert shown["AIS_FAILURE_URL"]
    assert SECRET not in settings.model_dump_json() + repr(settings)
