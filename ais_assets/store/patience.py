"""How long a server is borne with: tries, pauses, and an end to every wait."""

from __future__ import annotations

import time
from dataclasses import dataclass

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
