"""The rights that deploy/s3_policy.json gives are enough for a lake, and none of them is more than it needs.

moto looks at actions and resources and not at conditions: that listings are held to the prefix is not tested. Many
objects deleted in one request are to it a request to the bucket.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from boto3.session import Session

from ais_assets.store.objects import S3Store, StoreError, open_store
from ais_assets_tests.conftest import PROJECT
from ais_assets_tests.s3_server import S3Server

PREFIX = "some/prefix"
IN_PARTS = b"x" * (9 << 20)
"""More than boto3 sends in one request."""
POLICY = (PROJECT / "deploy" / "s3_policy.json").read_text()
REFUSED = r"AccessDenied|Forbidden|403"
ACTIONS = [
    action
    for statement in json.loads(POLICY)["Statement"]
    for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
]


def policy(bucket: str, without: str | None = None) -> str:
    """The policy for this bucket, without one of its actions."""
    said = json.loads(POLICY.replace("BUCKET", bucket).replace("PREFIX", PREFIX))
    for statement in said["Statement"]:
        of = statement["Action"]
        statement["Action"] = [action for action in ([of] if isinstance(of, str) else of) if action != without]
        if "s3:DeleteObject" in of:
            statement["Resource"] = [statement["Resource"], f"arn:aws:s3:::{bucket}"]
    said["Statement"] = [statement for statement in said["Statement"] if statement["Action"]]
    return json.dumps(said)


class User:
    """A user of the server who has what a policy gives.

    Args:
        server: where the test's own user may do everything.
    """

    def __init__(self, server: S3Server) -> None:
        self._server = server
        self._iam = Session().client("iam", endpoint_url=server.endpoint, region_name="us-east-1")
        self._iam.create_user(UserName="lake")
        self._keys: dict[str, Any] = self._iam.create_access_key(UserName="lake")["AccessKey"]

    def may(self, policy: str) -> None:
        """From now on this and nothing else."""
        self._iam.put_user_policy(UserName="lake", PolicyName="lake", PolicyDocument=policy)

    def store(self, bucket: str, prefix: str) -> S3Store:
        """The store as that user reaches it."""
        session = Session(self._keys["AccessKeyId"], self._keys["SecretAccessKey"], region_name="us-east-1")
        client = session.client("s3", endpoint_url=self._server.endpoint)
        store = open_store(f"s3://{bucket}/{prefix}", client, s3_patience_seconds=0)
        assert isinstance(store, S3Store)
        return store

    def leave(self) -> None:
        """Deletes the user."""
        self._iam.delete_access_key(UserName="lake", AccessKeyId=self._keys["AccessKeyId"])
        self._iam.delete_user_policy(UserName="lake", PolicyName="lake")
        self._iam.delete_user(UserName="lake")


@pytest.fixture
def user(s3_environment: S3Server) -> Iterator[User]:
    """Somebody who may do nothing yet."""
    user = User(s3_environment)
    user.may(policy("nobodys"))
    yield user
    user.leave()


def use(store: S3Store, bucket: str, folder: Path) -> None:
    """All that is asked of S3: written whole and in parts, listed, read, copied, deleted, and what was left behind."""
    store.try_out()
    for name, content in (("small", b"1"), ("large", IN_PARTS)):
        (folder / name).write_bytes(content)
        store.publish(folder / name, f"asset/{name}")
    assert {entry.key for entry in store.objects("asset")} == {"asset/small", "asset/large"}
    assert store.read("asset/small") == b"1"
    assert store.size("asset/large") == len(IN_PARTS)
    assert not store.exists("asset/other")
    store.keep("asset/large", "asset/kept")
    assert store.clock_ahead_seconds() is not None
    # Somebody else's is begun by the test's own user, who may do everything.
    Session().client("s3").create_multipart_upload(Bucket=bucket, Key=f"{PREFIX}/asset/never")
    (begun,) = store.unfinished_uploads()
    store.abandon(begun)
    store.delete("asset")
    assert not list(store.objects("asset"))


def test_they_are_enough(user: User, bucket: str, tmp_path: Path) -> None:
    user.may(policy(bucket))
    use(user.store(bucket, PREFIX), bucket, tmp_path)


@pytest.mark.parametrize("action", ACTIONS)
def test_each_is_needed(user: User, bucket: str, tmp_path: Path, action: str) -> None:
    user.may(policy(bucket, without=action))
    with pytest.raises(StoreError):
        use(user.store(bucket, PREFIX), bucket, tmp_path)


def test_what_is_beside_the_lake_is_refused(user: User, bucket: str, tmp_path: Path) -> None:
    user.may(policy(bucket))
    beside = user.store(bucket, "another/prefix")
    (tmp_path / "small").write_bytes(b"1")
    with pytest.raises(StoreError, match=REFUSED):
        beside.publish(tmp_path / "small", "asset/small")
    Session().client("s3").put_object(Bucket=bucket, Key="another/prefix/asset/small", Body=b"1")
    with pytest.raises(StoreError, match=REFUSED):
        beside.read("asset/small")
