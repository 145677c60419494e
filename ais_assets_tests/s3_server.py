"""S3 servers for tests, each a process of its own, over real HTTP, with signatures and keys checked.

moto is the one that most take; rclone's keeps its objects in a folder, and so has them when it was killed.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from boto3.session import Session

from ais_assets_tests.patience import PATIENCE_SECONDS

RCLONE = shutil.which("rclone", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
"""The command, where it is installed."""

SET_UP_CALLS = 3
"""Calls that moto accepts unsigned, to create the first user: create_user, put_user_policy, create_access_key."""

ALLOW_ALL = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'


@dataclass(frozen=True)
class S3Server:
    """Where it is, and the only keys it accepts."""

    endpoint: str
    access_key: str
    secret_key: str

    def environment(self) -> dict[str, str]:
        """The environment variables that clients need."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def free_port() -> int:
    """A port of the loopback address at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running_s3_server() -> Iterator[S3Server]:
    """Starts the server on a free loopback port; ends it afterwards."""
    port = free_port()
    environment = {**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": str(SET_UP_CALLS)}
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    endpoint = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(process, f"{endpoint}/moto-api/")
        yield S3Server(endpoint, *_first_user(endpoint))
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_SECONDS)


def _wait_until_ready(process: subprocess.Popen[bytes], address: str) -> None:
    """Until it answers there, with whatever."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the S3 server ended with {process.returncode}")
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except urllib.error.HTTPError:
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("the S3 server was not ready within 60 s")


def _first_user(endpoint: str) -> tuple[str, str]:
    session = Session(aws_access_key_id="set-up", aws_secret_access_key="set-up")
    iam = session.client("iam", endpoint_url=endpoint, region_name="us-east-1")
    iam.create_user(UserName="ais")
    iam.put_user_policy(UserName="ais", PolicyName="all", PolicyDocument=ALLOW_ALL)
    key = iam.create_access_key(UserName="ais")["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


class LastingS3Server:
    """A server that has its objects in a folder, so that they are there when it was killed and is started anew.

    It takes an upload whole or not at all; that it looks at ETags is not to be relied on.

    Args:
        folder: its buckets are the folders in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        self._server = S3Server(f"http://127.0.0.1:{self._port}", "ais-access-key", "ais-secret-key")
        self.start()

    def environment(self) -> dict[str, str]:
        """The environment variables that clients need."""
        # It says the checksum of a whole object with a range of it.
        when_required = {"AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required"}
        return {**self._server.environment(), **when_required}

    def start(self) -> None:
        """Starts it, and returns when it answers."""
        assert RCLONE is not None
        keys = f"{self._server.access_key},{self._server.secret_key}"
        address = f"127.0.0.1:{self._port}"
        self._process = subprocess.Popen(
            [RCLONE, "serve", "s3", "--addr", address, "--auth-key", keys, str(self._folder)],
            env={**os.environ, "RCLONE_CONFIG": os.devnull},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _wait_until_ready(self._process, self._server.endpoint)

    def kill(self) -> None:
        """Kills it with SIGKILL."""
        self._process.kill()
        self._process.wait(timeout=PATIENCE_SECONDS)
