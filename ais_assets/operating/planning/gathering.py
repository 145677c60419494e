"""How windows are gathered from the tracks: from packed positions in memory or on disk, or by sweeps."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from ais_assets import schema
from ais_assets.operating.planning.peaks import ORDERED_BYTES, TABLE_WINDOWS, gather_peak, sharding_bytes, sweep_peak
from ais_assets.operating.planning.rates import Rates
from ais_assets.operating.planning.schedule import Stage, Turn, fitting, partitions_of_a_run
from ais_assets.operating.planning.workload import GIGABYTE, PACKED_BYTES, WINDOW_BYTES, Work

_PAGE_BYTES: Final = 4096
WINDOW_PAGES: Final = 1 + PACKED_BYTES * (schema.SEQ_LEN + schema.MAX_HORIZON) / _PAGE_BYTES
"""Pages of the gather's cache that a window lies on, on average."""


@dataclass(frozen=True)
class Gather:
    """How windows are read from the tracks.

    Attributes:
        way: "memory", from packed positions that fit into memory; "disk", from those in the local cache that do not;
            "sweeps", with AIS_GATHER_GIGABYTES.
        gigabytes: AIS_GATHER_GIGABYTES; None: it is not to be set.
        sweeps: over all tracks, of all runs together.
        turn: the assets that hold windows.
        seconds: it takes.
    """

    way: str
    gigabytes: float | None
    sweeps: int
    turn: Turn
    seconds: float


@dataclass(frozen=True)
class _Windows:
    """Windows that an asset gathers.

    Attributes:
        asset: its name.
        count: all of them.
        partitions: independent runs, at most.
        of_run: windows of one partition, a large one.
        rate: windows that a core gathers and stores a second.
        stored_bytes: of one.
        beside: bytes that a process takes beside the gather.
    """

    asset: str
    count: int
    partitions: int
    of_run: float
    rate: float
    stored_bytes: float
    beside: float

    def stage(self, rates: Rates, core_seconds: float, tracks_read: float, peak: float) -> Stage:
        """Its stage, which reads so many bytes of tracks and takes so many beside what it takes for itself."""
        return Stage(
            *(self.asset, self.count, "windows", self.partitions, self.count / self.rate + core_seconds),
            *(tracks_read + self.count * rates.reference_bytes, self.count * self.stored_bytes, peak + self.beside),
        )


def _windows(work: Work, rates: Rates) -> list[_Windows]:
    """Of every asset that holds any."""
    as_parquet, as_mds = (rates.windows_gathered, rates.window_bytes, 0.0), (rates.windows_sharded, rates.mds_bytes)
    found = {
        "parquet": [
            _Windows("validation", work.validation, 1, work.validation, *as_parquet),
            _Windows("holdout", work.holdout, 1, work.holdout, *as_parquet),
            *([_Windows("test", work.test, 1, work.test, *as_parquet)] if work.test else []),
            _Windows("materialized_windows", work.training, work.piles, work.pile, *as_parquet),
        ],
        "mds": [_Windows("mds_shards", work.training, work.piles, work.pile, *as_mds, sharding_bytes(1))],
    }
    return [each for name in found if name in work.load.window_formats for each in found[name]]


def gathers(work: Work, rates: Rates) -> tuple[Gather, list[Gather]]:
    """The quickest way to gather the windows, or the one that was asked for, and the others.

    Raises ValueError when not even one process fits into memory.
    """
    mapped = _mapped(work, rates)
    if work.load.gather_gigabytes is not None:
        return _swept(work, rates, work.load.gather_gigabytes), [mapped]
    if mapped.way == "memory":
        return mapped, []
    ways = [mapped, *_sweeps_that_fit(work, rates)]
    quickest = min(ways, key=lambda way: way.seconds)
    sweeps = min(ways[1:], key=lambda way: way.seconds, default=None)
    return (quickest, [way for way in (mapped, sweeps) if way is not None and way is not quickest])


def _mapped(work: Work, rates: Rates) -> Gather:
    """From packed positions, in memory as far as there is room."""
    load, peak = work.load, gather_peak(work.pile)
    runs = min(load.cores, max(1, int(load.memory // peak)), -(-work.piles // load.machines))
    absent = min(1.0, max(0.0, 1 - (load.memory - runs * peak) / work.packed_bytes))
    waiting = absent * WINDOW_PAGES / rates.pages_faulted
    # Every machine has a cache of its own, which the runs of its piles fill together.
    packed = load.machines * work.positions
    wanted = _windows(work, rates)
    packer = next(of.asset for of in wanted if of.partitions == work.piles)
    stages = [
        of.stage(
            rates,
            of.count * waiting + (packed / rates.positions_packed if of.asset == packer else 0.0),
            packed * rates.position_bytes if of.asset == packer else 0.0,
            gather_peak(of.of_run),
        )
        for of in wanted
    ]
    turn = Turn(fitting(stages, work))
    # Where more than half of the time is spent waiting for pages.
    bound = {of.asset for of in wanted if waiting > 1 / of.rate}
    turn = Turn([replace(stage, bound_by="disk") if stage.asset in bound else stage for stage in turn.stages])
    return Gather("disk" if absent else "memory", None, 0, turn, turn.seconds(load))


def _sweeps_that_fit(work: Work, rates: Rates) -> list[Gather]:
    """With as much held as fits, for each number of runs at a time."""
    found = []
    wanted = _windows(work, rates)
    beside = sweep_peak(0.0, max(of.of_run for of in wanted), work.positions / work.shards)
    beside += max(of.beside for of in wanted)
    for runs in range(1, work.load.cores + 1):
        # A byte of windows brings that of its reference along.
        held = (work.load.memory / runs - beside) / (1 + ORDERED_BYTES / WINDOW_BYTES)
        gigabytes = math.floor(held / GIGABYTE * 100) / 100
        if gigabytes * GIGABYTE >= TABLE_WINDOWS * WINDOW_BYTES:
            found.append(_swept(work, rates, gigabytes))
    return found


def _swept(work: Work, rates: Rates, gigabytes: float) -> Gather:
    """By sweeps over the tracks, so many gigabytes of windows held by each run, as `shuffle.sweep_piles` does."""
    held = max(1, int(gigabytes * GIGABYTE / WINDOW_BYTES) // TABLE_WINDOWS) * TABLE_WINDOWS
    of_a_run = partitions_of_a_run(work.piles, work.load)
    wanted = _windows(work, rates)
    sweeps = {of.asset: sweeps_of(of.partitions, of.of_run, held, min(of.partitions, of_a_run)) for of in wanted}
    stages = [
        of.stage(
            rates,
            sweeps[of.asset] * work.positions / rates.positions_packed,
            sweeps[of.asset] * work.positions * rates.position_bytes,
            sweep_peak(held * WINDOW_BYTES, of.of_run, work.positions / work.shards),
        )
        for of in wanted
    ]
    turn = Turn(fitting(stages, work, cure="memory, or hold less"))
    return Gather("sweeps", gigabytes, sum(sweeps.values()), turn, turn.seconds(work.load))


def sweeps_of(piles: int, windows: float, held: int, runs_piles: int) -> int:
    """Times that `shuffle.sweep_piles` reads the tracks for so many piles of so many windows, some of a run.

    A run holds so many windows: as many of its piles as fit into that together, or one in parts.
    """
    if windows == 0:
        return 0
    if windows > held:
        return piles * math.ceil(windows / held)
    full, left = divmod(piles, runs_piles)
    together = int(held // windows)
    return full * math.ceil(runs_piles / together) + math.ceil(left / together)
