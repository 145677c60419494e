"""Where processes meet at an epoch's start: with real processes, some of which never come, or are killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from ais_assets.loader.errors import LoaderError
from ais_assets.loader.mds.barrier import EpochBarrier
from ais_assets.loader.world import World
from ais_assets_tests.patience import PATIENCE_SECONDS

FORK = multiprocessing.get_context("fork")

pytestmark = [
    # Python 3.12 warns of any fork of a process with threads.
    pytest.mark.filterwarnings("ignore:.*use of fork\\(\\) may lead to deadlocks:DeprecationWarning"),
]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """The file that processes share."""
    return str(tmp_path / "barrier")


@pytest.fixture
def started() -> Iterator[list[BaseProcess]]:
    """Processes, which are killed at the end."""
    processes: list[BaseProcess] = []
    yield processes
    for process in processes:
        process.kill()
        process.join()


def come(path: str, number: int, start: int, meetings: int, ranks: int = 1, workers: int = 3) -> None:
    """Comes to so many meetings as one process of `ranks` ranks with `workers` workers each."""
    barrier = EpochBarrier(path)
    barrier.take_place(World(1, ranks, workers, number), (start, 1), is_worker=True)
    for _ in range(meetings):
        barrier(ranks * workers)


def start_process(started: list[BaseProcess], *arguments: object) -> BaseProcess:
    """`come` in a process of its own."""
    process = FORK.Process(target=come, args=arguments)
    process.start()
    started.append(process)
    return process


def test_all_go_on_when_all_have_come(path: str, started: list[BaseProcess]) -> None:
    for _ in range(2):
        processes = [start_process(started, path, number, 7, 20, 2, 2) for number in range(4)]
        for process in processes:
            process.join(30)
        assert [process.exitcode for process in processes] == [0] * 4


def test_nobody_goes_on_alone(path: str, started: list[BaseProcess]) -> None:
    waiting = [start_process(started, path, number, 7, 1) for number in (0, 2)]
    waiting[0].join(0.5)
    assert [process.exitcode for process in waiting] == [None, None]


@pytest.mark.parametrize("killed", [True, False])
def test_places_of_a_start_that_was_broken_off_count_for_nothing(
    path: str, started: list[BaseProcess], killed: bool
) -> None:
    left = [start_process(started, path, number, 7, 1) for number in (0, 1)]
    left[0].join(0.3)
    if killed:
        for process in left:
            process.kill()
            process.join()
    waiting = [start_process(started, path, number, 8, 3) for number in (2, 0)]
    waiting[0].join(0.3)
    assert [process.exitcode for process in waiting] == [None, None]
    last = start_process(started, path, 1, 8, 3)
    for process in (*waiting, last):
        process.join(30)
        assert process.exitcode == 0


def test_a_killed_process_of_another_rank_has_not_come(path: str, started: list[BaseProcess]) -> None:
    killed = start_process(started, path, 1, 0, 1, 2, 1)
    killed.join(0.3)
    killed.kill()
    killed.join()
    waiting = start_process(started, path, 0, 0, 1, 2, 1)
    waiting.join(0.3)
    assert waiting.exitcode is None
    come(path, 1, 0, 1, 2, 1)
    waiting.join(30)
    assert waiting.exitcode == 0


def test_who_waits_for_ever_is_told(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ais_assets.loader.mds.barrier._MOST_SECONDS", 0.1)
    with pytest.raises(LoaderError, match=r"not all of this machine's 3 processes have begun.*Start the job again"):
        come(path, 0, 7, 1)


def _orphan(path: str, pids: multiprocessing.Queue[int]) -> None:
    process = FORK.Process(target=come, args=(path, 0, 7, 1))
    process.start()
    assert process.pid is not None
    pids.put(process.pid)
    process.join()


def test_a_worker_does_not_outlive_its_parent(path: str, started: list[BaseProcess]) -> None:
    pids: multiprocessing.Queue[int] = FORK.Queue()  # pyright: ignore[reportAssignmentType]
    parent = FORK.Process(target=_orphan, args=(path, pids))
    parent.start()
    started.append(parent)
    orphan = pids.get(timeout=PATIENCE_SECONDS)
    descriptor = os.pidfd_open(orphan)
    try:
        parent.join(0.3)
        assert Path(path).exists()
        parent.kill()
        parent.join()
        assert select_readable(descriptor, 20)
    finally:
        os.close(descriptor)
        if Path(f"/proc/{orphan}/stat").exists():
            os.kill(orphan, signal.SIGKILL)


def select_readable(descriptor: int, seconds: float) -> bool:
    """Whether the process of a pidfd ends in time."""
    import select

    return bool(select.select([descriptor], [], [], seconds)[0])
