"""A process has one client of S3 for each way to reach it."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from boto3.session import Session

from ais_assets.loader.remote import Remote
from ais_assets.resources.lake import LakeResource
from ais_assets.store.objects import S3Store
from ais_assets.store.s3_access import S3Access
from ais_assets_tests.io.test_lake import positions, stream
from ais_assets_tests.patience import PATIENCE_SECONDS
from ais_assets_tests.s3_server import ALLOW_ALL, S3Server


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


class Profile:
    """A profile `lake` whose keys a command gives, for five minutes each, of a user whose keys are changed."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._iam = Session().client("iam")
        self._iam.create_user(UserName="renewed")
        self._iam.put_user_policy(UserName="renewed", PolicyName="all", PolicyDocument=ALLOW_ALL)
        self._answer = folder / "keys.json"
        self._key: dict[str, Any] = {}
        (folder / "config").write_text(f"[profile lake]\nregion = us-east-1\ncredential_process = cat {self._answer}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))

    def renew(self) -> None:
        """The command gives another key; the server refuses the former one."""
        former, self._key = self._key, self._iam.create_access_key(UserName="renewed")["AccessKey"]
        said = {
            "Version": 1,
            "AccessKeyId": self._key["AccessKeyId"],
            "SecretAccessKey": self._key["SecretAccessKey"],
            "Expiration": (datetime.now(UTC) + timedelta(minutes=5)).isoformat(),
        }
        self._answer.write_text(json.dumps(said))
        if former:
            self._iam.delete_access_key(UserName="renewed", AccessKeyId=former["AccessKeyId"])

    def end(self) -> None:
        """Deletes the user."""
        self._iam.delete_access_key(UserName="renewed", AccessKeyId=self._key["AccessKeyId"])
        self._iam.delete_user_policy(UserName="renewed", PolicyName="all")
        self._iam.delete_user(UserName="renewed")


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Profile]:
    """With a first key."""
    profile = Profile(tmp_path, monkeypatch)
    profile.renew()
    yield profile
    profile.end()


def test_credentials_that_expire_in_a_long_run_are_renewed(bucket: str, profile: Profile) -> None:
    lake = LakeResource(uri=f"s3://{bucket}/lake", s3_profile="lake").open()
    lake.write("clean_records", "2024-03-01", stream(positions([219000001, 219000002, 219000003])))
    remote = Remote(lake.uri, retries=0, timeout=20, s3=lake.store.s3_access())
    dataset = lake.dataset("clean_records")
    filtered = dataset.filter(ds.field("mmsi") > 219000001)
    former = lake.store.filesystem()
    key = lake.store.path("clean_records/2024-03-01.parquet")

    def counted() -> list[int]:
        return [
            dataset.count_rows(),
            filtered.to_table().num_rows,
            lake.dataset("clean_records").to_table().num_rows,
            lake.sql("select * from clean_records").to_arrow_table().num_rows,
            lake.table("clean_records").num_rows,
            pq.read_table(pa.BufferReader(remote.read("clean_records/2024-03-01.parquet"))).num_rows,
        ]

    assert counted() == [3, 2, 3, 3, 3, 3]
    assert former.open_input_file(key).read(4) == b"PAR1"
    profile.renew()
    with pytest.raises(OSError, match=r"ACCESS_DENIED|INVALID_ACCESS_KEY|403"):
        former.open_input_file(key)
    assert counted() == [3, 2, 3, 3, 3, 3]
