"""What several of these tests need."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ais_assets_tests.loader.faulty_s3 import FaultyS3, faulty_s3


@pytest.fixture(autouse=True, scope="session")
def _workers_end_soon() -> Iterator[None]:
    """After an error a DataLoader waits for each of its workers as long as this says, for nothing, and then ends it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 1.0)
        yield


@pytest.fixture
def isolated() -> list[str]:
    """A command before a command, with mounts of its own."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    try:
        subprocess.run([*command, "mount -t tmpfs none /mnt"], check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("mounts of its own need unshare(1) and user namespaces")
    return command


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A folder for the loader's cache."""
    return tmp_path / "cache"


@pytest.fixture
def faulty_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyS3]:
    """What the test has in its folder, behind a server that can be told to fail."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr("ais_assets.loader.remote._FIRST_PAUSE_SECONDS", 0.01)
    with faulty_s3(tmp_path) as server:
        yield server
