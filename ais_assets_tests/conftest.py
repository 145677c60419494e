"""Fixtures shared by all tests."""

from __future__ import annotations

import gc
import os
import signal
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from absl import logging as absl_logging
from boto3.session import Session
from botocore.loaders import JSONFileLoader
from hypothesis import settings

from ais_assets.machine import own_temporary_folder
from ais_assets.publishing.figures.picture import Picture
from ais_assets_tests import kernels
from ais_assets_tests.s3_server import S3Server, running_s3_server

PROJECT = Path(__file__).resolve().parents[1]
DRAWN = vars(Picture)["png"]

# Several processes test at once, and each, and each that it starts, would otherwise have a thread a core for torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A handler of absl, which mlcroissant brings, takes for its own what is standard error when it is imported, here
# pytest's, and closes it when Dagster configures logging while a test has another one.
absl_logging.get_absl_handler().python_handler.setStream(sys.__stderr__)

# Each client parses a megabyte of JSON, the same for all, which takes it longer than most tests with one.
_loaded_once = cache(partial(JSONFileLoader.load_file, JSONFileLoader()))
JSONFileLoader.load_file = lambda self, file_path: _loaded_once(file_path)

kernels.compile_each_once(own_temporary_folder() / "kernel_locks")

# The same examples every time, so that a red run can be repeated; `make explore` looks for others. No deadlines:
# compiling a kernel at its first call takes longer than any example may.
settings.register_profile("ci", derandomize=True, deadline=None, database=None)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile("ci")


def pytest_collection_finish() -> None:
    """From now on the garbage collector need not look through all modules, which takes it half a second each time."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """DuckDB's bindings say at the end what they take for leaked."""
    gc.unfreeze()


@contextmanager
def pictures_are(png: Any) -> Iterator[None]:
    """For as long as the context lasts: `DRAWN`, or these bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Picture, "png", png)
        yield


@pytest.fixture(scope="session", autouse=True)
def _undrawn() -> Iterator[None]:
    """Pictures are composed and not drawn, which takes a third of a small build's time, unless a test is `drawn`."""
    with pictures_are(b"\x89PNG, not drawn"):
        yield


@pytest.fixture
def drawn() -> Iterator[None]:
    """Pictures are drawn, for tests that look at them, or compare what is built byte by byte."""
    with pictures_are(DRAWN):
        yield


@pytest.fixture(autouse=True)
def _may_be_ended() -> None:
    """Dagster has SIGTERM do what SIGINT does, and xdist's processes ignore that, as would all that they start then."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AIS_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with slices of real AIS files."""
    folder = Path(os.environ.get("REAL_AIS_DATA", PROJECT.parent / "shared" / "real"))
    if not folder.is_dir():
        pytest.skip(f"no real AIS data at {folder}; REAL_AIS_DATA can name another folder")
    return folder


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A running S3 server, shared by this process's tests."""
    with running_s3_server() as server:
        yield server


@pytest.fixture
def s3_environment(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server's address and keys in this test's environment."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
def bucket(s3_environment: S3Server) -> str:
    """A new bucket's name."""
    name = f"lake-{uuid.uuid4().hex[:12]}"
    Session().client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture(params=["local", "s3"])
def lake_uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for a lake: once a folder, once a prefix of a bucket."""
    if request.param == "local":
        return str(tmp_path / "lake")
    return f"s3://{request.getfixturevalue('bucket')}/some/prefix"
