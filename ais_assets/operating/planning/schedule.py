"""Stages on machines: how many run at a time, for how long, and what binds them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from ais_assets.operating.planning.requests import Requests, requests_of
from ais_assets.operating.planning.workload import Load, Work
from ais_assets.settings import MOST_PILES, MOST_SHARDS

_RUN_SECONDS: Final = 0.65
"""Of a core, that Dagster takes for a run of a partition."""
_SMALLER: Final = {"track_shards": "shards", "window_piles": "shards"}
"""What makes a stage's partitions smaller."""
_RUN_PARTITIONS: Final = 16
"""That a run of `ais build` takes at most."""


def partitions_of_a_run(partitions: int, load: Load) -> int:
    """That `ais build` gives a run: as many as leave every core two runs, and not too many."""
    return max(1, min(_RUN_PARTITIONS, -(-partitions // (2 * load.cores * load.machines))))


@dataclass(frozen=True)
class Stage:
    """What the plan says of a stage.

    Attributes:
        asset: its name.
        units: what it works through.
        unit: rows, positions or windows.
        partitions: independent runs, at most.
        core_seconds: of work.
        bytes_read: from the lake.
        bytes_written: to the lake.
        peak_bytes: memory of one process.
        threads: that a process keeps busy.
        requests: of S3, where the lake is there.
        processes: at a time, on all machines.
        seconds: wall time, were it built alone.
        bound_by: "cpu", "memory", "partitions", "network", "latency" or "disk", which is that of the gather's cache.
    """

    asset: str
    units: float
    unit: str
    partitions: int
    core_seconds: float
    bytes_read: float
    bytes_written: float
    peak_bytes: float
    threads: int = field(default=1)
    requests: Requests = field(default=Requests())
    processes: int = field(default=0)
    seconds: float = field(default=0.0)
    bound_by: str = field(default="")

    def scheduled(self, work: Work) -> Stage:
        """With processes, requests, time and what binds it, on these machines."""
        load = work.load
        fitting = max(1, int(load.memory // self.peak_bytes))
        on_each = min(load.cores // self.threads, fitting)
        processes = min(load.machines * on_each, self.partitions)
        working = (self.core_seconds / self.threads + _RUN_SECONDS * self.partitions) / processes
        machines = min(load.machines, processes)
        moving = (self.bytes_read + self.bytes_written) / load.network / machines if load.network else 0.0
        runs = -(-self.partitions // partitions_of_a_run(self.partitions, load))
        moved = self.bytes_read + self.bytes_written
        requests = requests_of(self.asset, runs, self.partitions, moved, work)
        waiting = requests.answers * load.latency / processes
        if moving > working + waiting:
            bound_by = "network"
        elif waiting > working:
            bound_by = "latency"
        elif processes * self.threads == load.machines * load.cores:
            bound_by = "cpu"
        else:
            bound_by = "partitions" if processes == self.partitions else "memory"
        seconds = max(working + waiting, moving)
        return replace(self, requests=requests, processes=processes, seconds=seconds, bound_by=bound_by)


@dataclass(frozen=True)
class Turn:
    """Stages that are built at the same time."""

    stages: list[Stage]

    def seconds(self, load: Load) -> float:
        """Of the longest, or of all their work together on what it shares."""
        working = sum(stage.core_seconds + _RUN_SECONDS * stage.partitions for stage in self.stages)
        busy = max(stage.processes * stage.threads for stage in self.stages)
        moved = sum(stage.bytes_read + stage.bytes_written for stage in self.stages)
        moving = moved / load.network / load.machines if load.network else 0.0
        return max(*(stage.seconds for stage in self.stages), working / busy, moving)


def fitting(stages: list[Stage], work: Work, cure: str = "memory") -> list[Stage]:
    """The stages, scheduled. Raises ValueError, with what to take more of, for one that does not fit into memory."""
    largest = {"shards": work.shards >= MOST_SHARDS, "piles": work.piles >= MOST_PILES}
    for stage in stages:
        if stage.peak_bytes > work.load.memory:
            smaller = _SMALLER.get(stage.asset)
            if smaller is not None and not largest[smaller]:
                cure = smaller
            raise ValueError(
                f"{stage.asset} takes {stage.peak_bytes / 1e6:,.0f} MB a process, and the machine has "
                f"{work.load.memory / 1e6:,.0f}: take more {cure}"
            )
    return [stage.scheduled(work) for stage in stages]
