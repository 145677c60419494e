"""Two builds of one lake: those that would make the same go on side by side; one that would not does not begin."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import uuid
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ais_assets.io.lake import Lake
from ais_assets.operating import builders
from ais_assets.operating.builders import FOLDER, Builder, OtherBuildError, building, others

MADE_WITH: dict[str, Any] = {"track_shards": {"max_speed_knots": 50.0, "seed": 17}}
OTHERWISE: dict[str, Any] = {"track_shards": {"max_speed_knots": 20.0, "seed": 17}}
ELSEWHERE = Builder("another-host", 1, "2024-03-01T00:00:00+00:00", MADE_WITH, begun=True)


def say(lake: Lake, builder: Builder, name: str = "x") -> None:
    lake.store.publish_bytes(json.dumps(asdict(builder)).encode(), f"{FOLDER}/{name}.json")


def test_a_build_is_known_while_it_goes_on(lake_uri: str) -> None:
    lake = Lake(lake_uri)
    with building(lake, MADE_WITH, print):
        (mine,) = lake.store.listed(FOLDER)
        said = Builder(**json.loads(lake.store.read(mine.key)))
        assert said.begun
        assert said.made_with == MADE_WITH
        assert not said.is_gone
    assert list(lake.store.listed(FOLDER)) == []


def test_the_same_settings_go_on_side_by_side(lake_uri: str) -> None:
    lake, notes = Lake(lake_uri), list[str]()
    say(lake, ELSEWHERE)
    with building(lake, MADE_WITH, notes.append):
        assert len(notes) == 1
        assert "also built by process 1 on another-host, since 2024-03-01" in notes[0]
    assert list(others(lake).values()) == [ELSEWHERE]


def test_other_settings_do_not_begin(lake_uri: str) -> None:
    lake = Lake(lake_uri)
    say(lake, ELSEWHERE)
    message = "built by process 1 on another-host.*track_shards by max_speed_knots = 50.0, not 20.0.*Wait until"
    with pytest.raises(OtherBuildError, match=message), building(lake, OTHERWISE, print):
        pytest.fail("it began")
    assert len(list(lake.store.listed(FOLDER))) == 1, "what it said of itself is gone"


def test_of_two_that_begin_at_once_one_goes_on(lake_uri: str) -> None:
    lake, outcomes, both = Lake(lake_uri), list[str](), threading.Barrier(2)

    def begin(made_with: dict[str, Any]) -> None:
        both.wait(30)
        try:
            with building(lake, made_with, print):
                outcomes.append("began")
                both.wait(30)
        except OtherBuildError:
            outcomes.append("refused")
            both.wait(30)

    threads = [threading.Thread(target=begin, args=(made_with,)) for made_with in (MADE_WITH, OTHERWISE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == ["began", "refused"]


def test_a_build_that_was_killed_or_fell_silent_holds_nobody_up(lake_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(lake_uri)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(60)
    with building(lake, MADE_WITH, print):
        (mine,) = lake.store.listed(FOLDER)
        killed = replace(Builder(**json.loads(lake.store.read(mine.key))), process=ended.pid)
        say(lake, killed, "killed")
        assert others(lake, mine.key) == {}
        say(lake, ELSEWHERE, "silent")
        monkeypatch.setattr(builders, "FORGOTTEN_SECONDS", -60.0)
        assert others(lake, mine.key) == {}
        assert list(lake.store.listed(FOLDER)) == [mine]


def test_it_says_again_and_again_that_it_goes_on(lake_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, notes, told, said = Lake(lake_uri), list[str](), threading.Event(), threading.Event()
    publish = lake.store.publish_bytes

    def failing_once(data: bytes, key: str) -> None:
        if threading.current_thread().name != "builder":
            publish(data, key)
        elif not notes:
            raise builders.StoreError("S3 answered SlowDown")
        else:
            publish(data, key)
            said.set()

    def note(text: str) -> None:
        notes.append(text)
        told.set()

    monkeypatch.setattr(builders, "_RENEWED_SECONDS", 0.01)
    monkeypatch.setattr(lake.store, "publish_bytes", failing_once)
    with building(lake, MADE_WITH, note):
        assert told.wait(30)
        assert said.wait(30)
    assert "could not say that it goes on: S3 answered SlowDown" in notes[0]


def test_one_that_looked_before_the_other_was_there_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, looked, other_looked = Lake(str(tmp_path / "lake")), threading.Event(), threading.Event()
    # The one that comes later is the first by name.
    names = iter([uuid.UUID(int=2**128 - 1), uuid.UUID(int=0)])
    monkeypatch.setattr(builders, "uuid", SimpleNamespace(uuid4=lambda: next(names)))
    look = builders.others

    def slowly(*lake_and_key: Any) -> dict[str, builders.Builder]:
        found = look(*lake_and_key)
        if not looked.is_set():
            looked.set()
            other_looked.wait(30)
        else:
            other_looked.set()
        return found

    monkeypatch.setattr(builders, "others", slowly)
    began, end = threading.Event(), threading.Event()

    def first() -> None:
        with building(lake, MADE_WITH, print):
            began.set()
            end.wait(60)

    thread = threading.Thread(target=first)
    thread.start()
    assert looked.wait(30)
    with pytest.raises(OtherBuildError), building(lake, OTHERWISE, print):
        pass
    assert began.wait(30)
    end.set()
    thread.join(30)
