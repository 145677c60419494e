"""Fixtures of the benches' tests."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pyarrow as pa
import pytest

from ais_assets.bench import race


@pytest.fixture
def turns_in_this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A race's turns are run here: what they do is the same, and a process of its own takes seconds to start."""
    threads = pa.cpu_count(), pa.io_thread_count()
    # What turns set for their process.
    monkeypatch.setenv("POLARS_MAX_THREADS", "1")
    monkeypatch.setattr(race, "_turn", race._timed)
    with warnings.catch_warnings():
        # As there: what contenders' packages warn of at their import is no fault of ours.
        warnings.simplefilter("default")
        yield
    pa.set_cpu_count(threads[0])
    pa.set_io_thread_count(threads[1])
