"""Runs in processes that have what a run's has and no more, so that their memory is a run's.

They import this module, and with it whatever it imports: a bench that reads windows would bring torch, 290 MB, along.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from pathlib import Path

from ais_assets.bench.race import take_over
from ais_assets.operating import code_location
from ais_assets.operating.local_runs import run_task
from ais_assets.operating.tasks import Task


class Runs:
    """Dagster runs in processes of their own, timed together.

    A stage's processes are new, so that no other's memory is counted as its own. They are forked from one that has done
    the imports, which eleven stages would otherwise wait for, and has no threads, locks or sockets to share.
    """

    def __init__(self, reference: code_location.Reference, workers: int) -> None:
        self._reference = reference
        self._workers = workers
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload([code_location.MODULE])

    def take(self, tasks: Sequence[Task]) -> tuple[float, int]:
        """Runs the tasks; returns the seconds they took together, and the largest peak. Raises RuntimeError."""
        with ProcessPoolExecutor(
            self._workers, mp_context=self._context, initializer=take_over, initargs=(dict(os.environ),)
        ) as pool:
            # Everyone loads the definitions before the clock starts, as a run's process does once for many partitions.
            for ready in [pool.submit(_load) for _ in range(4 * self._workers)]:
                ready.result(timeout=600)
            with peaks_of([process.pid for process in active_children() if process.pid]) as peaks:
                started = time.perf_counter()
                for done in [pool.submit(run_task, self._reference, task) for task in tasks]:
                    error = done.result(timeout=7200).error
                    if error is not None:
                        raise RuntimeError(error)
                seconds = time.perf_counter() - started
        return seconds, max(peaks.values(), default=0)


def _load() -> None:
    code_location.repository()
    time.sleep(0.2)


@contextmanager
def peaks_of(processes: Sequence[int]) -> Iterator[dict[int, int]]:
    """The most memory of its own that each process is seen with, looked at twenty times a second."""
    peaks: dict[int, int] = {}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            for process in processes:
                peaks[process] = max(peaks.get(process, 0), own_bytes(process))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peaks
    finally:
        ended.set()
        watcher.join(timeout=10)


def own_bytes(process: int) -> int:
    """Of a process, what it has mapped of files not counted; 0 of one that has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    line = next((line for line in status.splitlines() if line.startswith("RssAnon:")), "RssAnon: 0 kB")
    return int(line.split()[1]) * 1024
