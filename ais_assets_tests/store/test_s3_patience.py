"""What S3 does wrong for a while is waited out, and no longer than the patience; what will not pass is said at once."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from boto3.session import Session
from botocore.exceptions import ClientError

from ais_assets.store import s3_access
from ais_assets.store.objects import S3Store, StoreError, open_store
from ais_assets.store.s3_access import S3Access
from ais_assets_tests.conftest import PROJECT
from ais_assets_tests.s3_server import S3Server
from ais_assets_tests.sources.landing.web_server import (
    WebServer,
    broken_after,
    refusal,
    reset_after,
    running_web_server,
    stalled,
    status,
)

KEY = "clean_records/2024-03-01.parquet"
CONTENT = bytes(range(256)) * 40


@pytest.fixture
def web(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """A server before S3, which does wrong as it is told."""
    with running_web_server() as web:
        web.behind = s3_server.endpoint.removeprefix("http://")
        yield web


@pytest.fixture
def store(bucket: str, web: WebServer, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    """Of a lake with one object, reached by way of `web`; boto asks once, so that the rest is ours."""
    Session().client("s3").put_object(Bucket=bucket, Key=f"lake/{KEY}", Body=CONTENT)
    monkeypatch.setenv("AWS_ENDPOINT_URL", web.url)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3_access, "_FIRST_PAUSE_SECONDS", 0.01)
    store = open_store(f"s3://{bucket}/lake", s3_patience_seconds=20)
    assert isinstance(store, S3Store)
    return store


def path_of(store: S3Store) -> str:
    return f"/{store.path(KEY)}"


def test_a_body_cut_short_and_a_busy_server_are_asked_again(store: S3Store, web: WebServer) -> None:
    faults = [broken_after(100), status(503), broken_after(5000), status(500), status(429)]
    web.next_answers[path_of(store)] = list(faults)
    assert store.read(KEY) == CONTENT
    assert len(web.requests) == len(faults) + 1


def test_a_download_a_listing_and_a_head_too(store: S3Store, web: WebServer, tmp_path: Path) -> None:
    web.next_answers[path_of(store)] = [status(503), status(503)]
    assert store.size(KEY) == len(CONTENT)
    web.next_answers[path_of(store)] = [status(500)]
    assert store.fetch(KEY, tmp_path).read_bytes() == CONTENT
    web.next_answers[f"/{store.path(KEY).partition('/')[0]}"] = [status(503), status(503)]
    assert store.names("clean_records", ".parquet") == ["2024-03-01.parquet"]


@pytest.mark.parametrize("sent", [0, 37, 200])
def test_a_listing_that_is_cut_short_is_no_empty_folder(store: S3Store, web: WebServer, sent: int) -> None:
    bucket = f"/{store.path(KEY).partition('/')[0]}"
    web.next_answers[bucket] = [broken_after(sent)] * 2
    assert store.names("clean_records", ".parquet") == ["2024-03-01.parquet"]
    assert [each.key for each in store.objects("clean_records")] == [KEY]
    web.next_answers[bucket] = [broken_after(sent)] * 2
    assert list(store.unfinished_uploads()) == []
    assert not web.next_answers[bucket]


def test_a_connection_reset_at_any_byte(store: S3Store, web: WebServer) -> None:
    places = random.Random(0)
    for _ in range(20):
        web.next_answers[path_of(store)] = [reset_after(places.randrange(len(CONTENT)))] * 2
        assert store.read(KEY) == CONTENT
        assert not web.next_answers[path_of(store)]


@pytest.mark.parametrize("sent", [0, 5_000])
def test_a_server_that_falls_silent_is_asked_again(
    store: S3Store, web: WebServer, monkeypatch: pytest.MonkeyPatch, sent: int
) -> None:
    monkeypatch.setattr(s3_access, "ANSWER_SECONDS", 0.2)
    impatient = open_store(store.uri, s3_patience_seconds=20)
    web.next_answers[path_of(store)] = [stalled(1.0, sent)] * 2
    assert impatient.read(KEY) == CONTENT
    assert len(web.requests) == 3
    web.outage = stalled(1.0, sent)
    with pytest.raises(StoreError, match=r"S3 cannot be reached or used \(Read timeout in the middle of an answer\)"):
        open_store(store.uri, s3_patience_seconds=0.1).read(KEY)


def test_a_server_that_is_started_anew_is_waited_for(
    bucket: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    Session().client("s3").put_object(Bucket=bucket, Key=f"lake/{KEY}", Body=CONTENT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = open_store(f"s3://{bucket}/lake", S3Access(f"http://127.0.0.1:{port}").client(), s3_patience_seconds=60)
    # Nobody is there, and a build, which begins with a trial, says so at once.
    with pytest.raises(StoreError, match="cannot be reached"):
        store.try_out()
    command = [sys.executable, "-m", "ais_assets_tests.forwarder", str(port), s3_server.endpoint.partition("//")[2]]
    starting = threading.Timer(1.0, lambda: started.append(subprocess.Popen(command, cwd=PROJECT)))
    started: list[subprocess.Popen[bytes]] = []
    starting.start()
    try:
        assert store.read(KEY) == CONTENT
    finally:
        starting.join()
        started[0].kill()
        started[0].wait(60)


def test_an_upload_in_parts_whose_last_answer_is_lost(store: S3Store, web: WebServer, tmp_path: Path) -> None:
    content = bytes(9 << 20)
    with store.staging() as folder:
        (folder / "large").write_bytes(content)
        # The request that puts the parts together is the last one; it is done, and the client does not get to know.
        web.next_answers[path_of(store)] = [*[lambda handler: False] * 3, broken_after(20)]
        store.publish(folder / "large", KEY)
    assert not web.next_answers[path_of(store)]
    assert store.read(KEY) == content
    assert list(store.unfinished_uploads()) == []


def test_an_upload_is_made_again(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_access, "_FIRST_PAUSE_SECONDS", 0.01)
    client = Session().client("s3")
    upload, told = client.upload_file, [("SlowDown", 503), ("InternalError", 500)]

    def upload_at_last(*arguments: str) -> None:
        if told:
            code, answer = told.pop()
            refusal = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": answer}}
            raise ClientError(refusal, "PutObject")  # pyright: ignore[reportArgumentType] - botocore's own type
        upload(*arguments)

    monkeypatch.setattr(client, "upload_file", upload_at_last)
    store = open_store(f"s3://{bucket}/lake", client)
    store.publish_bytes(b"new", KEY)
    assert not told
    assert store.read(KEY) == b"new"


def test_an_outage_longer_than_the_patience_is_an_error(
    store: S3Store, web: WebServer, caplog: pytest.LogCaptureFixture
) -> None:
    web.next_answers[path_of(store)] = [status(503)] * 50
    impatient = open_store(store.uri, s3_patience_seconds=0.1)
    with pytest.raises(StoreError, match=f"{KEY}: S3 answered 503"):
        impatient.read(KEY)
    assert 2 <= len(web.requests) < 50
    assert "asking again for 0 s more" in caplog.text


def test_a_bucket_that_is_gone_is_no_missing_object(store: S3Store, web: WebServer) -> None:
    web.outage = refusal(404, "NoSuchBucket")
    for ask in (store.size, store.exists, store.version, store.read, store.open):
        with pytest.raises(StoreError, match="NoSuchBucket: create the bucket or correct AIS_LAKE"):
            ask(KEY)
    web.outage = refusal(400, "ExpiredToken")
    with pytest.raises(StoreError, match="400: renew the credentials"):
        store.size(KEY)


def test_what_will_not_pass_is_asked_once(
    store: S3Store, web: WebServer, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError):
        store.read("clean_records/2024-03-02.parquet")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    refused = open_store(f"s3://{bucket}/lake")
    with pytest.raises(StoreError, match="SignatureDoesNotMatch"):
        refused.read(KEY)
    assert len(web.requests) == 2
