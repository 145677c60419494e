"""Locks on files: who waits, who does not, and for how long."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ais_assets.store.file_locks import exclusively, if_free
from ais_assets_tests.patience import PATIENCE_SECONDS


def test_nobody_waits_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    refused = pytest.raises(TimeoutError, match=r"held it for over 0\.1 s.*lock")
    with exclusively(path), refused as error, exclusively(path, wait_seconds=0.1):
        pass
    assert error.value.filename == str(path)


def test_whoever_waits_comes_next(tmp_path: Path) -> None:
    path, order = tmp_path / "lock", []

    def enter() -> None:
        with exclusively(path, wait_seconds=60):
            order.append("second")

    with ThreadPoolExecutor(1) as pool:
        with exclusively(path):
            waiting = pool.submit(enter)
            order.append("first")
        waiting.result(timeout=PATIENCE_SECONDS)
    assert order == ["first", "second"]


def test_one_and_else_nobody(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with if_free(path) as first, if_free(path) as second:
        assert (first, second) == (True, False)
    with if_free(path) as again:
        assert again
