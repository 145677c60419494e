"""A process has one client of S3 for each way to reach it."""

from __future__ import annotations

import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from ais_assets.resources.lake import LakeResource
from ais_assets.store.objects import S3Store
from ais_assets.store.s3_access import S3Access
from ais_assets_tests.patience import PATIENCE_SECONDS
from ais_assets_tests.s3_server import S3Server


@pytest.fixture(autouse=True)
def _server(s3_environment: S3Server) -> None:
    """All clients here are made for it."""


def opened_client(bucket: str) -> int:
    """Reads of the lake, opened once more; a name for the client that did."""
    store = LakeResource(uri=f"s3://{bucket}/lake").open().store
    assert isinstance(store, S3Store)
    assert store.read("mds/one") == b"kept"
    return id(store._client)


def test_a_lake_that_is_opened_again_asks_by_the_same_client(bucket: str) -> None:
    LakeResource(uri=f"s3://{bucket}/lake").open().store.publish_bytes(b"kept", "mds/one")
    assert opened_client(bucket) == opened_client(bucket)
    assert S3Access().client() is not S3Access(region="eu-central-1").client()


def test_other_keys_make_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = S3Access().client()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    second = S3Access().client()
    assert second is not first
    # Keys of a profile are changed in its file, while a process goes on.
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    found = []
    for key in ("old", "new"):
        file.write_text(f"[lake]\naws_access_key_id = {key}\naws_secret_access_key = secret\n")
        os.utime(file, ns=(time.time_ns(), len(found)))
        client = S3Access(profile="lake").client()
        found.append(client._request_signer._credentials.access_key)
    assert found == ["old", "new"]


def test_a_forked_process_does_not_talk_through_its_parents_connections(bucket: str) -> None:
    # In a process of its own: this one has threads of other tests, whose locks a fork of it may wait for forever.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
        found = alone.submit(_clients_here_and_in_a_fork, bucket).result(PATIENCE_SECONDS)
    here, in_fork, opened_in_fork, read = found
    # A child that had the parent's client would find it at the same place.
    assert here not in (in_fork, opened_in_fork)
    assert read == b"kept"


def _clients_here_and_in_a_fork(bucket: str) -> tuple[int, int, int, bytes]:
    store = LakeResource(uri=f"s3://{bucket}/lake").open().store
    store.publish_bytes(b"kept", "mds/one")
    here = S3Access().client()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        in_fork = pool.apply_async(_client_of_child).get(PATIENCE_SECONDS)
        opened_in_fork = pool.apply_async(opened_client, (bucket,)).get(PATIENCE_SECONDS)
    return id(here), in_fork, opened_in_fork, store.read("mds/one")


def _client_of_child() -> int:
    return id(S3Access().client())
