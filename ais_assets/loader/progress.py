"""How far a fetch is that training waits for: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_QUIET_SECONDS: Final = 1.0
"""What is done sooner needs no bar."""
_LINE_SECONDS: Final = 10.0
"""Between lines where there is no terminal."""


class FetchProgress:
    """Says on stderr how much of the files is there.

    Args:
        what: is fetched.
        total: bytes of all files.
        shown: whether to say anything: one process of a machine does.
    """

    def __init__(self, what: str, total: int, *, shown: bool) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._shown = shown
        self._started = self._said = time.monotonic()
        self._bar: tuple[Progress, TaskID] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar[0].stop()

    def advance(self, size: int) -> None:
        """A file of so many bytes is there."""
        self._done += size
        if not self._shown:
            return
        if sys.stderr.isatty():
            self._draw()
        elif time.monotonic() - self._said >= _LINE_SECONDS:
            self._said = time.monotonic()
            print(self.line(), file=sys.stderr, flush=True)

    def line(self) -> str:
        """How far it is, and about how long it still takes."""
        seconds = time.monotonic() - self._started
        left = seconds * (self._total - self._done) / max(1, self._done)
        amount = f"{self._done / 1e9:.2f} of {self._total / 1e9:.2f} GB"
        return f"{self._what}: {amount}, {seconds:.0f} s; about {left:.0f} s left"

    def _draw(self) -> None:
        if self._bar is None:
            if time.monotonic() - self._started < _QUIET_SECONDS:
                return
            from rich.console import Console  # noqa: PLC0415 - most starts have nothing to show
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

            bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True, markup=False),
            )
            bar.start()
            self._bar = bar, bar.add_task(self._what, total=self._total)
        progress, task = self._bar
        progress.update(task, completed=self._done)
