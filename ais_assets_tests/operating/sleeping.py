"""A code location with a run that takes longer than any test."""

from __future__ import annotations

import os
import time
from pathlib import Path

from dagster import Definitions, in_process_executor, job, op


@op
def sleeps() -> None:
    """Says which process it is in, and sleeps; where it has done so before, it is done at once."""
    told = Path(os.environ["SLEEPING_TELLS"])
    if told.exists():
        return
    told.with_suffix(".new").write_text(f"{os.getpid()} {os.getppid()}")
    told.with_suffix(".new").rename(told)
    time.sleep(600)


@job(executor_def=in_process_executor)
def sleeping() -> None:
    """One step."""
    sleeps()


defs = Definitions(jobs=[sleeping])
