"""How a build, or a look at what is there, is followed on the terminal."""

from __future__ import annotations

import time
from threading import Timer
from typing import TYPE_CHECKING, Final

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


class LookProgress:
    """A bar over the partitions that are looked at: in a terminal, once it takes longer than a moment, gone at its end.

    Args:
        partitions: to be looked at, of all assets.
    """

    def __init__(self, partitions: int) -> None:
        console = Console(stderr=True, markup=False)
        self._progress = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._bar = self._progress.add_task("", total=partitions)
        self._under_way = 0
        self._shown = Timer(_MOMENT_SECONDS, self._progress.start)

    def __enter__(self) -> LookProgress:
        self._shown.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.cancel()
        self._shown.join()
        self._progress.stop()

    def begin(self, asset: str, partitions: int) -> None:
        """An asset is looked at; the one before it is done."""
        self._progress.update(self._bar, description=asset, advance=self._under_way)
        self._under_way = partitions


_MOMENT_SECONDS: Final = 0.5
