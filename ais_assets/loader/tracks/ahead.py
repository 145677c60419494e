"""Work made in order by several threads, of which the caller's is one, and some of it ahead of its use.

The caller helps rather than waits: while nobody uses what is made, all threads make; and whoever is long at work with
each result finds the next one made. So there are no more threads than are asked for, and they seldom wait for one
another, which in a virtual machine takes longer than to cut a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Condition, Thread
from typing import Final, Generic, TypeVar

_N = TypeVar("_N")
_T = TypeVar("_T")
_LONGEST_WAIT_SECONDS: Final = 1.0
"""After which a thread looks again whether there is something to do."""


def ahead(make: Callable[[_N], _T], numbers: Sequence[_N], threads: int) -> Iterator[_T]:
    """What is made of each number, in order, by so many threads; with one by the caller's own, when it is asked for.

    Raises what `make` raised, in its turn.
    """
    if threads == 1:
        yield from map(make, numbers)
        return
    work = _Work(make, numbers, most=threads + 2)
    for _ in range(threads - 1):
        # The process does not wait for those that are ahead when it ends.
        Thread(target=work.help, name="windows", daemon=True).start()
    try:
        yield from work.results()
    finally:
        work.stop()


class _Failed:
    """In place of a result."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Work(Generic[_N, _T]):
    """What is to be made and what is made, of which at most so many at a time are not used yet."""

    def __init__(self, make: Callable[[_N], _T], numbers: Sequence[_N], *, most: int) -> None:
        self._make = make
        self._numbers = numbers
        self._most = most
        self._changed = Condition()
        self._begun = 0
        self._used = 0
        self._end = len(numbers)
        self._made: dict[int, _T | _Failed] = {}

    def help(self) -> None:
        """Makes what is to be made, until there is nothing more."""
        while True:
            with self._changed:
                if self._begun == self._end:
                    return
                place = self._next()
                if place is None:
                    self._changed.wait(_LONGEST_WAIT_SECONDS)
                    continue
            self._do(place)

    def results(self) -> Iterator[_T]:
        """Each result in its turn."""
        for wanted in range(self._end):
            made = self._wanted(wanted)
            if isinstance(made, _Failed):
                raise made.error
            yield made
            # Else it would be kept until the next one is there.
            del made

    def stop(self) -> None:
        """Nothing more is begun, and what was made is forgotten."""
        with self._changed:
            self._end = self._begun
            self._made.clear()
            self._changed.notify_all()

    def _wanted(self, wanted: int) -> _T | _Failed:
        while True:
            with self._changed:
                if wanted in self._made:
                    self._used += 1
                    self._changed.notify_all()
                    return self._made.pop(wanted)
                place = self._next()
                if place is None:
                    # All that may be begun is, and others are at it.
                    self._changed.wait(_LONGEST_WAIT_SECONDS)
                    continue
            self._do(place)

    def _next(self) -> int | None:
        """The place of what to make next; None where nothing may be begun now. To be called locked."""
        if self._begun == self._end or self._begun - self._used >= self._most:
            return None
        self._begun += 1
        return self._begun - 1

    def _do(self, place: int) -> None:
        try:
            made = self._make(self._numbers[place])
        except Exception as error:
            made = _Failed(error)
        with self._changed:
            self._made[place] = made
            self._changed.notify_all()
