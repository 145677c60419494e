"""What several of these tests need."""

from __future__ import annotations

import subprocess

import pytest


@pytest.fixture
def isolated() -> list[str]:
    """A command before a command, with mounts of its own."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    try:
        subprocess.run([*command, "mount -t tmpfs none /mnt"], check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("mounts of its own need unshare(1) and user namespaces")
    return command
