"""How long a server is borne with: tries, pauses, and an end to every wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ais_assets.sources.source import SourceError

T = TypeVar("T")

_LONGEST_RETRY_AFTER = 60.0


@dataclass(frozen=True)
class Patience:
    """How long a server is borne with.

    Attributes:
        attempts: tries of one file or one range of it that bring nothing; a try goes on where the one before broke
            off, and one that got further renews them all.
        timeout_seconds: without a single byte, after which a try is over.
        pause_seconds: before the second try; doubled for each one after.
        total_seconds: for one file, whatever it still sends.
    """

    attempts: int = 5
    timeout_seconds: float = 60.0
    pause_seconds: float = 1.0
    total_seconds: float = 4 * 3600.0


class NotThereError(Exception):
    """The server says that it does not have the file."""


class TryAgainError(Exception):
    """What may pass: a busy server, a connection that breaks.

    Attributes:
        retry_after: seconds that the server asks for.
        progressed: whether the next try goes on further in the file than this one did.
    """

    def __init__(self, fault: str, *, retry_after: float = 0.0, progressed: bool = False) -> None:
        super().__init__(fault)
        self.retry_after = min(retry_after, _LONGEST_RETRY_AFTER)
        self.progressed = progressed


class RangeRefusedError(Exception):
    """The server has no bytes from where they were asked for (416).

    Attributes:
        total: the file's size, where the server says it.
    """

    def __init__(self, total: int | None) -> None:
        super().__init__(total)
        self.total = total


class OverdueError(Exception):
    """The time for a file is over. Not an OSError, which would be taken for a connection that breaks."""


class Deadline:
    """When a file has to be whole, counted from now."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self._end = time.monotonic() + patience.total_seconds

    def timeout(self) -> float:
        """Seconds that the next wait may take. Raises OverdueError where none are left."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise OverdueError
        return min(self.patience.timeout_seconds, left)

    def sleep(self, seconds: float) -> None:
        """Sleeps, though not beyond the end."""
        time.sleep(max(0.0, min(seconds, self._end - time.monotonic())))


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
