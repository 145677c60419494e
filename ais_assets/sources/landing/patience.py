"""A file is asked for again while its server may answer yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ais_assets.sources.source import SourceError
from ais_assets.store.patience import Deadline, OverdueError, TryAgainError

T = TypeVar("T")


class NotThereError(Exception):
    """The server says that it does not have the file."""


class RangeRefusedError(Exception):
    """The server has no bytes from where they were asked for (416).

    Attributes:
        total: the file's size, where the server says it.
    """

    def __init__(self, total: int | None) -> None:
        super().__init__(total)
        self.total = total


def persist(attempt: Callable[[], T], deadline: Deadline, where: str, cure: str = "try again later") -> T:
    """Makes attempts until one ends without TryAgainError.

    Raises SourceError, naming `where` and the `cure`, when as many as the deadline's patience allows brought nothing,
    or when time is up.
    """
    patience = deadline.patience
    failures = 0
    while True:
        try:
            return attempt()
        except TryAgainError as error:
            failures = 1 if error.progressed else failures + 1
            if failures >= patience.attempts:
                raise SourceError(f"{where}: {error}, at the last of {patience.attempts} tries; {cure}") from error
            deadline.sleep(max(patience.pause_seconds * 2 ** (failures - 1), error.retry_after))
        except OverdueError as error:
            raise SourceError(
                f"{where}: not whole after {patience.total_seconds:,.0f} s; try again when the server is faster"
            ) from error
