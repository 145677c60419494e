"""How a build is followed on the terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from ais_assets.operating.tasks import Done


class BuildProgress:
    """A bar for each asset in a terminal, a line for each when piped.

    Attributes:
        seconds: of each asset, from its first run's start to its last one's end.
        notes: what was said beside that, such as the runs' warnings, each once.
    """

    def __init__(self, *, quiet: bool) -> None:
        self.seconds: dict[str, float] = {}
        self._started: dict[str, float] = {}
        self._left: dict[str, int] = {}
        self._bars: dict[str, TaskID] = {}
        self.notes: list[str] = []
        self._console = Console(stderr=True, quiet=quiet, markup=False)
        self._progress = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> BuildProgress:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def start(self, asset: str, partitions: int) -> None:
        """An asset's runs begin; of one that is up to date there are none."""
        if not partitions:
            self._console.print(f"{asset}: up to date", highlight=False)
            return
        self._started[asset] = time.monotonic()
        self._left[asset] = partitions
        self._bars[asset] = self._progress.add_task(asset, total=partitions)

    def note(self, text: str) -> None:
        """Something that people should know, above the bars; the same is said once."""
        if text in self.notes:
            return
        self.notes.append(text)
        self._console.print(text, highlight=False, soft_wrap=True)

    def advance(self, done: Done) -> None:
        """One of its runs ended."""
        for warning in done.warnings:
            self.note(f"{done.task}: {warning}")
        asset, count = done.task.asset, max(1, len(done.task.partitions))
        self._left[asset] -= count
        self._progress.advance(self._bars[asset], count)
        self.seconds[asset] = time.monotonic() - self._started[asset]
        if self._left[asset] == 0 and not self._console.is_terminal:
            self._console.print(f"{asset}: {self.seconds[asset]:.1f} s", highlight=False)
