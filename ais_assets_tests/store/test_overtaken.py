"""What is published over one version replaces no other, whoever else publishes and whatever answer is lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from boto3.session import Session

from ais_assets.store.objects import OvertakenError, S3Store, open_store
from ais_assets_tests.patience import PATIENCE_SECONDS
from ais_assets_tests.sources.landing.web_server import Handler, WebServer, answer_lost, refusal, status
from ais_assets_tests.store.test_s3_patience import CONTENT, KEY, path_of, store, web  # noqa: F401 - fixtures

KEY_OF_INDEX = "mds/index.json"


def test_only_the_version_that_was_seen_is_replaced(lake_uri: str) -> None:
    place = open_store(lake_uri)
    place.publish_bytes(b"first", KEY_OF_INDEX, over="")
    first = place.version(KEY_OF_INDEX)
    with pytest.raises(OvertakenError, match=f"{KEY_OF_INDEX} was published anew"):
        place.publish_bytes(b"another first", KEY_OF_INDEX, over="")
    place.publish_bytes(b"second", KEY_OF_INDEX, over=first)
    with pytest.raises(OvertakenError):
        place.publish_bytes(b"older", KEY_OF_INDEX, over=first)
    assert place.read(KEY_OF_INDEX) == b"second"
    # Whoever has the same to say finds it said.
    place.publish_bytes(b"second", KEY_OF_INDEX, over=first)
    place.publish_bytes(b"second", KEY_OF_INDEX, over="")
    assert place.read(KEY_OF_INDEX) == b"second"


def test_what_was_removed_meanwhile_is_not_put_back(lake_uri: str) -> None:
    place = open_store(lake_uri)
    place.publish_bytes(b"first", KEY_OF_INDEX)
    seen = place.version(KEY_OF_INDEX)
    place.delete_object(KEY_OF_INDEX)
    with pytest.raises(OvertakenError, match="or removed"):
        place.publish_bytes(b"second", KEY_OF_INDEX, over=seen)
    assert not place.exists(KEY_OF_INDEX)


def test_of_many_at_once_none_is_lost_on_a_disk(tmp_path: Path) -> None:
    place = open_store(tmp_path / "lake")
    place.publish_bytes(b"nothing yet", KEY_OF_INDEX)

    def publish(name: int) -> list[str]:
        """Those that this one has published, each over the one that it saw."""
        done = []
        while len(done) < 25:
            seen, said = place.version(KEY_OF_INDEX), place.read(KEY_OF_INDEX).decode()
            mine = f"{said} {name}"
            try:
                place.publish_bytes(mine.encode(), KEY_OF_INDEX, over=seen)
            except OvertakenError:
                continue
            done.append(mine)
        return done

    with ThreadPoolExecutor(4) as pool:
        published = [each for of in pool.map(publish, range(4), timeout=PATIENCE_SECONDS) for each in of]
    last = place.read(KEY_OF_INDEX).decode()
    assert all(last.startswith(each) for each in published)
    assert len(last.split()) == 2 + len(published)


def passed(handler: Handler) -> bool:
    """Nothing goes wrong."""
    return False


def test_an_answer_that_is_lost_is_no_other_publication(store: S3Store, web: WebServer) -> None:  # noqa: F811
    seen = store.version(KEY)
    web.next_answers[path_of(store)] = [passed, answer_lost]
    store.publish_bytes(b"newer", KEY, over=seen)
    assert web.next_answers[path_of(store)] == []
    assert store.read(KEY) == b"newer"
    web.next_answers[path_of(store)] = [passed, answer_lost]
    with pytest.raises(OvertakenError):
        store.publish_bytes(b"older", KEY, over=seen)
    assert store.read(KEY) == b"newer"


def test_a_server_that_compares_etags_without_quotes(store: S3Store, web: WebServer) -> None:  # noqa: F811
    """As Ceph does."""

    def refused(handler: Handler) -> bool:
        quoted = handler.command == "PUT" and handler.headers["If-Match"].startswith('"')
        return quoted and refusal(412, "PreconditionFailed")(handler)

    seen = store.version(KEY)
    web.outage = refused
    store.publish_bytes(b"newer", KEY, over=seen)
    assert store.read(KEY) == b"newer"
    with pytest.raises(OvertakenError):
        store.publish_bytes(b"older", KEY, over=seen)


def test_a_conflict_that_passes_is_none(store: S3Store, web: WebServer) -> None:  # noqa: F811
    seen = store.version(KEY)
    web.next_answers[path_of(store)] = [passed, refusal(409, "ConditionalRequestConflict")]
    store.publish_bytes(CONTENT[::-1], KEY, over=seen)
    assert web.next_answers[path_of(store)] == []
    assert store.read(KEY) == CONTENT[::-1]


def test_an_object_that_went_between_look_and_put(store: S3Store, web: WebServer) -> None:  # noqa: F811
    seen = store.version(KEY)

    def removed(handler: Handler) -> bool:
        store.delete_object(KEY)
        return False

    web.next_answers[path_of(store)] = [passed, removed, passed]
    with pytest.raises(OvertakenError):
        store.publish_bytes(b"newer", KEY, over=seen)
    assert not store.exists(KEY)


def test_an_object_that_came_between_look_and_put(store: S3Store, web: WebServer) -> None:  # noqa: F811
    seen = store.version(KEY)

    def overtaken(handler: Handler) -> bool:
        store.publish_bytes(b"meanwhile", KEY)
        return False

    web.next_answers[path_of(store)] = [passed, overtaken, passed]
    with pytest.raises(OvertakenError):
        store.publish_bytes(b"newer", KEY, over=seen)
    assert store.read(KEY) == b"meanwhile"


def test_a_server_that_does_not_look_at_conditions_is_found_out(store: S3Store, web: WebServer) -> None:  # noqa: F811
    def deaf(handler: Handler) -> bool:
        """Takes whatever there is a condition for."""
        return "If-None-Match" in handler.headers and status(200, ETag='"1"')(handler)

    assert store.heeds_versions()
    web.outage = deaf
    assert not store.heeds_versions()
    listed = Session().client("s3").list_objects_v2(Bucket=store.path(KEY).partition("/")[0])
    assert [each["Key"] for each in listed["Contents"]] == [f"lake/{KEY}"], "what was tried is gone"
