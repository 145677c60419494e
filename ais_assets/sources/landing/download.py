"""A whole file on its way to this machine, going on where it broke off, in this process or another."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from ais_assets.sources.landing.part import Part
from ais_assets.sources.landing.patience import RangeRefusedError
from ais_assets.sources.source import SourceError
from ais_assets.store.patience import TryAgainError

_COPY_BYTES = 1 << 20


def check_size(size: int, max_bytes: int, where: str) -> None:
    """Raises SourceError for a file beyond the bound."""
    if size > max_bytes:
        raise SourceError(f"{where}: is larger than {max_bytes:,} bytes; raise AIS_MAX_ARCHIVE_GIGABYTES if it may be")


def note_of(target: Path) -> Path:
    """The file beside one that is on its way that says of which it is the beginning."""
    return target.with_name(f"{target.name}.json")


class Download:
    """A file on its way, in tries of which each goes on where the one before broke off, in this process or another.

    Args:
        ask: requests the file from a byte on; the second argument is the validator of what has come, empty where the
            whole file is wanted.
        target: where it goes; its beginning may be there, with its note.
        max_bytes: a larger one is refused.
        where: its address, for messages.
    """

    def __init__(self, ask: Callable[[int, str], Part], target: Path, max_bytes: int, where: str) -> None:
        self._ask = ask
        self._note = note_of(target)
        self._max_bytes = max_bytes
        self._where = where
        self._output = target.open("ab")
        self._recall()
        self._furthest = self._output.tell() if self._validator else 0

    def close(self) -> None:
        """Ends it, whole or not."""
        self._output.close()

    def _recall(self) -> None:
        """Takes up what a process before left."""
        try:
            note = json.loads(self._note.read_text())
            self._validator, self._total = note["validator"], note["total"]
        except (FileNotFoundError, ValueError):
            self._forget()

    def _forget(self) -> None:
        self._note.unlink(missing_ok=True)
        self._validator = ""
        self._total: int | None = None

    def attempt(self) -> None:
        """One try. Raises TryAgainError where it ends before the file does, SourceError for a file too large."""
        start = self._output.tell() if self._validator else 0
        try:
            part = self._ask(start, self._validator)
        except RangeRefusedError as refused:
            if start and refused.total == start and self._total in (None, start):
                return
            self._forget()
            raise TryAgainError(f"would not send from byte {start:,} on") from refused
        with closing(part):
            self._check(part, start)
            if not part.ranged:
                start = 0
                self._forget()
            self._output.seek(start)
            self._output.truncate()
            self._validator = self._validator or part.validator
            self._total = part.total if self._total is None else self._total
            if self._validator:
                self._note.write_text(json.dumps({"validator": self._validator, "total": self._total}))
            self._receive(part, start)

    def _check(self, part: Part, start: int) -> None:
        """Refuses a part that does not fit what has come, and what has come with it."""
        if not part.ranged or (part.start == start and (self._total is None or part.total in (None, self._total))):
            return
        of = "" if self._total is None else f" of {self._total:,}"
        self._forget()
        raise TryAgainError(f"sent bytes from {part.start} of {part.total}, asked for those from {start:,}{of}")

    def _receive(self, part: Part, start: int) -> None:
        check_size(self._total or 0, self._max_bytes, self._where)
        done = start
        progressed = False
        while chunk := part.take(_COPY_BYTES, progressed=progressed):
            self._output.write(chunk)
            done += len(chunk)
            check_size(done, self._max_bytes, self._where)
            progressed = bool(self._validator) and done > self._furthest
            self._furthest = max(self._furthest, done)
        if self._total is None or done == self._total:
            return
        fault = f"broke off after {done:,} of {self._total:,} bytes"
        if done > self._total:
            self._forget()
        raise TryAgainError(fault, progressed=progressed)
