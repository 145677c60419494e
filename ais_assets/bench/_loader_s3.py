"""The S3 server that the loader's bench reads from: the one given, or a mock in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import uuid4

from ais_assets.store.s3_access import S3Access, S3Client

_START_SECONDS: Final = 60.0
_UPLOADS: Final = 8
_MOCK_KEYS: Final = {
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True)
class Bucket:
    """A prefix of a bucket.

    Attributes:
        name: of the bucket.
        prefix: of the keys, without a slash at its end.
        s3: how its server is reached.
    """

    name: str
    prefix: str
    s3: S3Access = field(default_factory=S3Access)

    @property
    def uri(self) -> str:
        """s3://bucket/prefix."""
        return f"s3://{self.name}/{self.prefix}"

    def client(self, connections: int) -> S3Client:
        """A client that keeps so many connections open."""
        from botocore.config import Config  # noqa: PLC0415 - only this part of the bench needs boto

        return self.s3.new_client(Config(max_pool_connections=connections))


@contextmanager
def uploaded(root: Path, files: Sequence[Path], bucket: Bucket) -> Iterator[Bucket]:
    """A published dataset's files, by their names below its root, in a new folder below the bucket's prefix.

    They are removed afterwards.
    """
    folder = Bucket(bucket.name, f"{bucket.prefix}/ais-bench-{uuid4().hex[:12]}".lstrip("/"), bucket.s3)
    client = folder.client(_UPLOADS)
    keys = {file: f"{folder.prefix}/{file.relative_to(root)}" for file in files}
    try:
        with ThreadPoolExecutor(_UPLOADS) as pool:
            list(pool.map(lambda file: client.upload_file(str(file), folder.name, keys[file]), keys))
        yield folder
    finally:
        for key in keys.values():
            client.delete_object(Bucket=folder.name, Key=key)


@contextmanager
def mock_server() -> Iterator[Bucket]:
    """A bucket on moto's server, on a free loopback port; its keys are in the environment meanwhile.

    Raises RuntimeError or TimeoutError when it does not start.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    before = {name: os.environ.get(name) for name in _MOCK_KEYS}
    # Contenders' processes inherit the environment.
    os.environ.update(_MOCK_KEYS)
    try:
        _wait_for(server, endpoint)
        bucket = Bucket("bench", "", S3Access(endpoint))
        bucket.client(1).create_bucket(Bucket=bucket.name)
        yield bucket
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        server.terminate()
        server.wait(timeout=20)


def _wait_for(server: subprocess.Popen[bytes], endpoint: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while server.poll() is None:
        try:
            urllib.request.urlopen(f"{endpoint}/moto-api/", timeout=5).close()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if time.monotonic() > deadline:
                raise TimeoutError(f"moto was not ready within {_START_SECONDS:g} s") from None
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"moto ended with {server.returncode}")
