"""Work made ahead of its use: in order, by the caller too, so much at a time, and no longer than it is asked for."""

from __future__ import annotations

import threading
from itertools import islice

import pytest

from ais_assets.loader.tracks.ahead import ahead

THREADS = (1, 2, 3, 8)


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("count", [0, 1, 2, 200])
def test_results_come_once_and_in_order(threads: int, count: int) -> None:
    numbers = range(5, 5 + count)
    assert list(ahead(lambda number: number * number, numbers, threads)) == [number * number for number in numbers]


@pytest.mark.parametrize("threads", THREADS)
def test_an_error_comes_in_its_turn(threads: int) -> None:
    def make(number: int) -> int:
        if number == 7:
            raise LookupError("seven")
        return number

    results = ahead(make, range(20), threads)
    assert list(islice(results, 7)) == list(range(7))
    with pytest.raises(LookupError, match="seven"):
        next(results)


@pytest.mark.parametrize("threads", THREADS[1:])
def test_no_more_is_made_than_so_much_ahead(threads: int) -> None:
    begun = used = most = 0
    counting = threading.Lock()

    def make(number: int) -> int:
        nonlocal begun, most
        with counting:
            begun += 1
            most = max(most, begun - used)
        return number

    for _ in ahead(make, range(500), threads):
        used += 1
    # One more has left the count before the caller has it.
    assert most <= threads + 2


def test_the_caller_makes_what_it_would_wait_for() -> None:
    here = threading.current_thread()
    by_caller: list[int] = []
    helped = threading.Event()

    def make(number: int) -> int:
        if threading.current_thread() is here:
            by_caller.append(number)
            helped.set()
            return number
        # Whoever is ahead ends only once the caller has made something, too.
        assert helped.wait(30)
        return number

    assert list(ahead(make, range(50), 2)) == list(range(50))
    assert by_caller


def test_threads_end_with_the_iterator() -> None:
    before = set(threading.enumerate())
    results = ahead(lambda number: number, range(10**6), 4)
    assert list(islice(results, 3)) == [0, 1, 2]
    started = set(threading.enumerate()) - before
    results.close()  # pyright: ignore[reportAttributeAccessIssue] - it is a generator
    for thread in started:
        thread.join(30)
    assert started
    assert not [thread for thread in started if thread.is_alive()]
