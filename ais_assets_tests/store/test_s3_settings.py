"""What the settings say of requests to S3 is in every request of the lake, as the server gets it."""

from __future__ import annotations

import pickle
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from boto3.session import Session

from ais_assets.loader.remote import Remote
from ais_assets.resources.lake import LakeResource
from ais_assets.resources.source import SourceResource
from ais_assets.settings import load_settings
from ais_assets.store.objects import S3Store, Store, StoreError, UnfinishedUpload
from ais_assets_tests.s3_server import S3Server
from ais_assets_tests.sources.landing.web_server import WebServer, running_web_server, status

KEY_ARN = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
IN_PARTS = b"x" * (9 << 20)
"""More than boto3 sends in one request."""
PUBLIC = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"}]}'


@pytest.fixture
def web(s3_server: S3Server) -> Iterator[WebServer]:
    """A server before S3, which knows what was asked for."""
    with running_web_server() as web:
        web.behind = s3_server.endpoint.removeprefix("http://")
        yield web


def lake(bucket: str, **settings: Any) -> Store:
    """The store of a lake, as the settings say."""
    return LakeResource.from_settings(load_settings(lake=f"s3://{bucket}/lake", **settings)).open().store


def stored(bucket: str, key: str) -> tuple[str | None, str | None, str]:
    """How S3 says that it has an object: encryption, key, storage class."""
    head = Session().client("s3").head_object(Bucket=bucket, Key=f"lake/{key}")
    return head.get("ServerSideEncryption"), head.get("SSEKMSKeyId"), head.get("StorageClass", "STANDARD")


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, (None, None, "STANDARD")),
        ({"s3_encryption": "AES256"}, ("AES256", None, "STANDARD")),
        ({"s3_encryption": "aws:kms", "s3_storage_class": "STANDARD_IA"}, ("aws:kms", None, "STANDARD_IA")),
        ({"s3_encryption": f"aws:kms:{KEY_ARN}"}, ("aws:kms", KEY_ARN, "STANDARD")),
    ],
)
def test_objects_are_encrypted_and_kept_as_is_said(
    bucket: str, settings: dict[str, str], kept: tuple[str | None, str | None, str]
) -> None:
    store = lake(bucket, **settings)
    store.publish_bytes(b"small", "small")
    store.publish_bytes(IN_PARTS, "in_parts")
    store.keep("small", "copied")
    # As for a run's other processes.
    pickle.loads(pickle.dumps(store)).publish_bytes(b"small", "elsewhere")
    assert {key: stored(bucket, key) for key in ("small", "in_parts", "copied", "elsewhere")} == dict.fromkeys(
        ("small", "in_parts", "copied", "elsewhere"), kept
    )
    assert store.read("in_parts") == IN_PARTS


def test_an_unknown_storage_class_is_named_by_its_setting(bucket: str) -> None:
    with pytest.raises(StoreError, match=r"nothing can be written .*InvalidStorageClass: check AIS_S3_STORAGE_CLASS"):
        lake(bucket, s3_storage_class="STANDART").try_out()


def everything(store: Store, folder: Path) -> None:
    """All that a store can ask for."""
    store.try_out()
    store.publish_bytes(IN_PARTS, "mds/in_parts")
    store.publish_bytes(b"small", "mds/small")
    store.keep("mds/small", "mds/kept")
    store.fetch("mds/in_parts", folder)
    store.version("mds/small")
    store.open("mds/small").source.read()
    list(store.objects("mds"))
    list(store.unfinished_uploads())
    store.clock_ahead_seconds()
    store.delete_object("mds/kept")
    with pytest.raises(StoreError, match="NoSuchUpload"):
        store.abandon(UnfinishedUpload("mds/small", "none", 0.0))


@pytest.mark.parametrize("pays", [True, False])
def test_every_request_says_that_the_requester_pays(
    bucket: str, web: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, pays: bool
) -> None:
    monkeypatch.setenv("AIS_S3_ENDPOINT_URL", web.url)
    monkeypatch.setenv("AIS_S3_REQUESTER_PAYS", str(pays).lower())
    store = lake(bucket)
    everything(store, tmp_path)
    Remote(store.uri, retries=0, timeout=20).read("mds/small")
    monkeypatch.delenv("AIS_S3_REQUESTER_PAYS")
    Remote(store.uri, retries=0, timeout=20, s3=store.s3_access()).read("mds/small")
    store.publish_bytes(b"{}", "raw/2024-03-01.json")
    settings = load_settings(source="json", source_uri=f"s3://{bucket}/lake/raw", s3_requester_pays=pays)
    (tmp_path / "raw").mkdir()
    SourceResource.from_settings(settings).open().land(settings.first_day, tmp_path / "raw")
    said = "requester" if pays else None
    told = [({name.lower(): value for name, value in headers.items()}, path) for path, headers in web.requests]
    assert [path for headers, path in told if headers.get("x-amz-request-payer") != said] == []
    assert any("lake/raw/2024-03-01.json" in path for _, path in told)


def test_where_arrow_is_not_answered_without_paying_what_reads_is_said(bucket: str, web: WebServer) -> None:
    store = lake(bucket, s3_requester_pays=True, s3_endpoint_url=web.url)
    store.publish_bytes(b"small", "mds/small")
    web.next_answers[f"/{bucket}/lake"] = [status(403)]
    with pytest.raises(StoreError, match=r"the requester pays, which it cannot say, read with Lake\.table or a loader"):
        store.filesystem()
    # A bucket that asks for no payment answers.
    assert store.filesystem().open_input_file(store.path("mds/small")).read() == b"small"


@pytest.fixture
def public(bucket: str, s3_server: S3Server) -> Iterator[str]:
    """A bucket with a Parquet object that anybody can read, and an environment with keys that are not to be used."""
    table = pa.table({"mmsi": [219000001]})
    lake(bucket).publish_bytes(_parquet(table), "clean_records/one.parquet")
    Session().client("s3").put_bucket_policy(Bucket=bucket, Policy=PUBLIC)
    _let_in(s3_server, "inf")
    yield bucket
    _let_in(s3_server, "0")


def _let_in(server: S3Server, unsigned: str) -> None:
    """How many unsigned requests the server takes from now on: it knows no public bucket where it wants signatures."""
    told = urllib.request.Request(
        f"{server.endpoint}/moto-api/reset-auth", unsigned.encode(), {"Content-Type": "text/plain"}
    )
    urllib.request.urlopen(told, timeout=20).close()


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def test_a_public_bucket_is_read_without_signing(
    public: str, web: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "clean_records/one.parquet"
    monkeypatch.setenv("AIS_S3_ENDPOINT_URL", web.url)
    monkeypatch.setenv("AIS_S3_ANONYMOUS", "true")
    store = lake(public)
    assert isinstance(store, S3Store)
    content = store.read(key)
    assert store.fetch(key, tmp_path).read_bytes() == content
    assert [each.key for each in store.objects("clean_records")] == [key]
    files = ds.dataset([store.path(key)], filesystem=store.filesystem(), format="parquet")
    assert files.to_table().to_pydict() == {"mmsi": [219000001]}
    assert Remote(store.uri, retries=0, timeout=20).read(key) == content
    monkeypatch.delenv("AIS_S3_ANONYMOUS")
    assert Remote(store.uri, retries=0, timeout=20, s3=store.s3_access()).read(key) == content
    assert [path for path, headers in web.requests if "Authorization" in headers] == []


def test_nothing_is_written_without_signing(public: str, web: WebServer, tmp_path: Path) -> None:
    store = lake(public, s3_anonymous=True, s3_endpoint_url=web.url)
    with pytest.raises(StoreError, match=r"nothing can be written in s3.*AIS_S3_ANONYMOUS is for reading"):
        store.try_out()
    upload = UnfinishedUpload("clean_records/one.parquet", "any", 0.0)
    for write in (
        lambda: store.publish_bytes(IN_PARTS, "in_parts"),
        lambda: store.keep("clean_records/one.parquet", "kept"),
        lambda: store.delete("clean_records"),
        lambda: store.delete_object("clean_records/one.parquet"),
        lambda: store.abandon(upload),
    ):
        with pytest.raises(StoreError, match="AIS_S3_ANONYMOUS is for reading"):
            write()
    assert store.exists("clean_records/one.parquet")
    assert not store.exists("kept")


def test_a_loader_refuses_what_is_neither_true_nor_false(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIS_S3_ANONYMOUS", "maybe")
    with pytest.raises(ValueError, match="AIS_S3_ANONYMOUS is 'maybe'; it must be true or false"):
        Remote("s3://bucket/lake", retries=0, timeout=1)
