"""SIGTERM, by which a scheduler takes a machine back: noted at once, obeyed where a checkpoint can be saved."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

EXIT_CODE: Final = 128 + signal.SIGTERM
"""What shells and schedulers take for a process that SIGTERM ended."""


class PreemptedError(Exception):
    """The run was asked to stop and has; the message says from where it goes on."""


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Within it SIGTERM ends nothing; yields what tells whether one came. For the main thread."""
    came = False

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal came
        came = True

    former = signal.signal(signal.SIGTERM, note)
    try:
        yield lambda: came
    finally:
        signal.signal(signal.SIGTERM, former)
