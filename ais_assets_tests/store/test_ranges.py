"""An S3 object read by ranges: the same bytes, few requests, and one version of it."""

from __future__ import annotations

import io

import pytest
from boto3.session import Session
from hypothesis import given
from hypothesis import strategies as st

from ais_assets.store import ranges
from ais_assets.store.objects import ReplacedError, Store, open_store
from ais_assets.store.ranges import RangedObject, Tail
from ais_assets_tests.sources.landing.web_server import WebServer, broken_after, status
from ais_assets_tests.store.test_s3_patience import store, web  # noqa: F401 - fixtures

CONTENT = bytes(range(256)) * 1024
"""256 KiB: more than a tail."""


@given(
    reads=st.lists(st.tuples(st.integers(0, 1000), st.integers(-1, 1100)), max_size=8),
    tail=st.integers(0, 1000),
    held=st.tuples(st.integers(0, 1000), st.integers(0, 1000)).map(sorted),
    part=st.integers(1, 300),
)
def test_reads_are_those_of_a_file(reads: list[tuple[int, int]], tail: int, held: list[int], part: int) -> None:
    content = CONTENT[:1000]
    plain = io.BytesIO(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "_PART_BYTES", part)
        file = RangedObject(Tail("1", 1000, content[1000 - tail :]), lambda start, end: content[start:end])
        file.hold(*held)
        for place, size in reads:
            assert file.seek(place) == plain.seek(place)
            assert file.read(size) == plain.read(size)
            assert file.tell() == plain.tell()


@pytest.fixture
def asked(bucket: str) -> tuple[Store, list[str]]:
    """A store with one object, and the operations that S3 is asked for from now on."""
    client = Session().client("s3")
    client.put_object(Bucket=bucket, Key="lake/object", Body=CONTENT)
    client.put_object(Bucket=bucket, Key="lake/empty", Body=b"")
    found: list[str] = []
    client.meta.events.register("before-call.s3", lambda model, params, **_: found.append(_range_of(model, params)))
    return open_store(f"s3://{bucket}/lake", client), found


def _range_of(model: object, params: dict[str, dict[str, str]]) -> str:
    return params["headers"].get("Range", getattr(model, "name", ""))


def test_the_end_of_an_object_costs_one_request_and_once(asked: tuple[Store, list[str]]) -> None:
    place, requests = asked
    opened = place.open("object")
    assert opened.source.size() == len(CONTENT)
    assert opened.source.read_at(1000, len(CONTENT) - 1000) == CONTENT[-1000:]
    assert requests == ["bytes=-65536"]
    again = place.open("object", opened.tail)
    assert again.version == opened.version == place.version("object")
    again.hold(10, 5000)
    assert again.source.read_at(1000, 100) == CONTENT[100:1100]
    assert again.source.read_at(20, 4980) == CONTENT[4980:5000]
    assert requests[2:] == ["bytes=10-4999"], "one for what is held, and none for what the end has"


def test_an_empty_object_and_none(asked: tuple[Store, list[str]]) -> None:
    place, _ = asked
    assert place.open("empty").source.read() == b""
    with pytest.raises(FileNotFoundError):
        place.open("none")


def test_a_listing_has_the_versions_that_looks_have(lake_uri: str) -> None:
    place = open_store(lake_uri)
    place.publish_bytes(b"one", "folder/one")
    place.publish_bytes(b"other", "folder/deeper/other")
    (listed,) = place.listed("folder")
    assert (listed.key, listed.size) == ("folder/one", 3)
    assert listed.version == place.version("folder/one") == place.open("folder/one").version
    place.publish_bytes(b"two", "folder/one")
    (changed,) = place.listed("folder")
    assert changed.version != listed.version
    assert list(place.listed("none")) == []


def test_an_object_that_is_replaced_while_it_is_read_is_never_mixed(asked: tuple[Store, list[str]]) -> None:
    place, _ = asked
    source = place.open("object").source
    place.publish_bytes(CONTENT[::-1], "object")
    with pytest.raises(ReplacedError, match="object was published anew, or removed, since this read began"):
        source.read_at(100, 0)


def test_ranges_are_asked_for_again_while_s3_fails(store: Store, web: WebServer) -> None:  # noqa: F811
    key = "clean_records/2024-03-01.parquet"
    web.next_answers[f"/{store.path(key)}"] = [status(503), broken_after(100), status(500)]
    assert store.open(key).source.read(100) == CONTENT[:100]
