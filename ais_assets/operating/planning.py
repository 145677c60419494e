"""What a build will take: time, memory, bytes and money by stage, from rates measured on a machine.

The model is plain. A stage's core-seconds are its units over the rate, and a little for every run; as many processes
work on it as there are cores, partitions, and peaks that fit into memory; meanwhile its bytes pass the network, where
the lake is remote. The slower of the two is the stage's time, and what holds it up is what binds it. Stages that are
built at the same time share cores and network. `ais bench whole` checks it against a run.

What is not planned: `raw_archives`, at whose pace the publisher's server is asked, and whatever else the machines do.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from ais_assets import schema
from ais_assets.settings import MOST_PILES, MOST_SHARDS

GIGABYTE: Final = 1e9
WINDOW_BYTES: Final = 4 * schema.FEATURE_COUNT * (schema.SEQ_LEN + schema.MAX_HORIZON)
PACKED_BYTES: Final = 12
"""A position in the gather's cache."""

REFERENCE_RECORDS: Final = 6_900_000_000
POSITIONS_A_RECORD: Final = 3_500 / 6_900
WINDOWS_A_POSITION: Final = 109 / 3_500
"""Of the reference year: 6.9 G records, 3.5 G positions, 109 M windows."""

_PROCESS_BYTES: Final = 430e6
"""A run's process with Dagster, Arrow and the compiled kernels loaded, and what its allocators keep: as seen by
`ais bench whole`."""
_QUERY_BYTES: Final = 400e6
"""Of DuckDB for checks across stages."""
_SCAN_BYTES: Final = 1_500e6
"""Of DuckDB for vessels, and of what Arrow reads ahead for it."""
_TORCH_BYTES: Final = 400e6
"""Of the loader's libraries."""
_TORCH_SECONDS: Final = 3.3
"""Of a core, that a process takes to load them."""
_RUN_SECONDS: Final = 0.65
"""Of a core, that Dagster takes for a run of a partition."""
_SMALLER: Final = {"track_shards": "shards", "window_piles": "shards"}
"""What makes a stage's partitions smaller."""
_TABLE_POSITIONS: Final = 1 << 20
_TABLE_WINDOWS: Final = 1 << 10
_ORDERED_BYTES: Final = 56
"""A reference while it is put in order."""
_PAGE_BYTES: Final = 4096
WINDOW_PAGES: Final = 1 + PACKED_BYTES * (schema.SEQ_LEN + schema.MAX_HORIZON) / _PAGE_BYTES
"""Pages of the gather's cache that a window lies on, on average."""
_RUN_PILES: Final = 16
"""That a run of `ais build` takes at most."""
_SHARD_BYTES: Final = 1 << 26
"""An MDS shard before compression."""


@dataclass(frozen=True)
class Rates:
    """What one core of a machine does a second while the others do the same, and what things weigh.

    Attributes:
        machine: that it was measured on.
        rows_typed: rows of an archive parsed and stored as typed records.
        records_cleaned: typed records read, cleaned and stored.
        positions_tracked: clean records read, made tracks and stored.
        positions_thrown: positions of tracks read and referred to.
        windows_gathered: windows gathered and stored as Parquet.
        windows_sharded: windows read and stored as MDS.
        archive_bytes: a row in its archive.
        record_bytes: a typed record.
        clean_bytes: a clean record.
        position_bytes: a position of a track.
        reference_bytes: a reference to a window.
        window_bytes: a window as Parquet.
        mds_bytes: a window as MDS.
        clean_share: clean records of rows.
        records_merged: typed records read and merged into vessels.
        records_judged: typed records of a day read, with its clean ones, and measured.
        positions_listed: positions of tracks read into a row a track.
        positions_packed: positions of tracks read and packed.
        positions_checked: positions counted anew by the checks of the finished dataset.
        windows_reckoned: windows read by the loader and forecast by dead reckoning.
        pages_faulted: pages of 4 kB read from the disk, at random and one after the other, through a memory map.
    """

    machine: str
    rows_typed: float
    records_cleaned: float
    positions_tracked: float
    positions_thrown: float
    windows_gathered: float
    windows_sharded: float
    archive_bytes: float
    record_bytes: float
    clean_bytes: float
    position_bytes: float
    reference_bytes: float
    window_bytes: float
    mds_bytes: float
    clean_share: float
    records_merged: float
    records_judged: float
    positions_listed: float
    positions_packed: float
    positions_checked: float
    windows_reckoned: float
    pages_faulted: float

    @classmethod
    def from_json(cls, text: str) -> Rates:
        """Rates as `to_json` wrote them. Raises ValueError when something is missing or no positive number."""
        values = json.loads(text)
        names = {name for name in cls.__dataclass_fields__ if name != "machine"}
        wrong = sorted(name for name in names if not _is_positive(values.get(name)))
        if wrong:
            raise ValueError(f"the rates lack {', '.join(wrong)}: measure them again with `ais bench rates`")
        return cls(machine=str(values.get("machine", "unknown")), **{name: float(values[name]) for name in names})

    def to_json(self) -> str:
        """For a file."""
        return json.dumps(asdict(self), indent=1)


def _is_positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and value > 0


def rates_file() -> Path:
    """Where `ais bench rates` keeps this machine's."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "ais_assets" / "rates.json"


MEASURED_RATES: Final = Rates(
    machine="AMD EPYC, 2 virtual cores, 2026",
    rows_typed=2_530_000,
    records_cleaned=9_952_000,
    positions_tracked=15_115_000,
    positions_thrown=42_361_000,
    windows_gathered=21_535,
    windows_sharded=7_687,
    archive_bytes=15.84,
    record_bytes=12.71,
    clean_bytes=5.08,
    position_bytes=4.84,
    reference_bytes=3.27,
    window_bytes=8_778,
    mds_bytes=9_813,
    clean_share=0.46,
    records_merged=3_774_000,
    records_judged=18_978_000,
    positions_listed=16_072_000,
    positions_packed=43_359_000,
    positions_checked=52_585_000,
    windows_reckoned=31_748,
    pages_faulted=5_981,
)
"""What `ais bench rates` printed there; of any other machine it is a guess, and the command says so."""


@dataclass(frozen=True)
class Load:
    """What there is to do, and on what.

    Attributes:
        records: rows of all archives.
        days: archives.
        positions: of tracks; None: as many of the records as in the reference year.
        windows: of all vessels and times; None: as many of the positions as in the reference year.
        validation: share of the windows that is the validation vessels'.
        holdout: share of the windows that is held-out time's.
        machines: that share the work, each with cores, memory and network of its own.
        cores: of a machine.
        memory: bytes of a machine.
        network: bytes a second to and from the lake, which is the disk's pace where the lake is local; None: no limit.
        shards: None: so many that a shard's positions take an eighth of a core's memory at most.
        piles: None: the power of two that makes them of some 425,000 windows each.
        gather_gigabytes: AIS_GATHER_GIGABYTES; None: whatever is quickest.
        core_hour: price of a core for an hour.
        gigabyte_month: price of a gigabyte in the lake for a month.
    """

    records: int = REFERENCE_RECORDS
    days: int = 363
    positions: int | None = None
    windows: int | None = None
    validation: float = 0.05
    holdout: float = 0.0
    machines: int = 1
    cores: int = 16
    memory: float = 128 * GIGABYTE
    network: float | None = 1 * GIGABYTE
    shards: int | None = None
    piles: int | None = None
    gather_gigabytes: float | None = None
    core_hour: float = 0.063
    gigabyte_month: float = 0.023


@dataclass(frozen=True)
class Work:
    """A load with nothing left open.

    Attributes:
        load: as asked for.
        positions: of tracks.
        windows: of training, validation and hold-out together.
        shards: AIS_SHARDS.
        piles: AIS_PILES.
        notes: what people should know of the choice.
    """

    load: Load
    positions: int
    windows: int
    shards: int
    piles: int
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, load: Load) -> Work:
        """With shards and piles chosen. Raises ValueError for what is not positive or what settings do not allow."""
        may_be_nought = ("validation", "holdout", "core_hour", "gigabyte_month")
        wrong = [
            name
            for name, value in asdict(load).items()
            if value is not None and not (_is_positive(value) or (name in may_be_nought and value == 0))
        ]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} must be more than 0")
        if load.validation + load.holdout >= 1:
            raise ValueError(f"validation {load.validation:g} and holdout {load.holdout:g} leave no training windows")
        positions = load.positions or max(1, round(load.records * POSITIONS_A_RECORD))
        windows = load.windows or max(1, round(positions * WINDOWS_A_POSITION))
        share = load.memory / load.cores / 8
        wanted = {
            "AIS_SHARDS": (load.shards, max(16, _power_of_two(16 * positions / share)), MOST_SHARDS),
            "AIS_PILES": (load.piles, max(8, 1 << round(math.log2(max(1.0, windows / 425_000)))), MOST_PILES),
        }
        notes: list[str] = []
        chosen: dict[str, int] = {}
        for name, (given, fitting, most) in wanted.items():
            if given is not None and given > most:
                raise ValueError(f"{name} can be {most:,} at most, and {given:,} are asked for")
            if given is None and fitting > most:
                notes.append(f"{name} would be {fitting:,}, and can be {most:,} at most: partitions are larger for it")
            chosen[name] = given or min(fitting, most)
        return cls(load, positions, windows, chosen["AIS_SHARDS"], chosen["AIS_PILES"], notes)

    @property
    def validation(self) -> int:
        """Windows of it."""
        return round(self.windows * self.load.validation)

    @property
    def holdout(self) -> int:
        """Windows of it."""
        return round(self.windows * self.load.holdout)

    @property
    def training(self) -> int:
        """Windows of it."""
        return self.windows - self.validation - self.holdout

    @property
    def pile(self) -> float:
        """Windows of a pile, a large one's."""
        mean = self.training / self.piles
        return mean + 3 * math.sqrt(mean)

    @property
    def packed_bytes(self) -> float:
        """Of the gather's cache."""
        return PACKED_BYTES * self.positions


def _power_of_two(at_least: float) -> int:
    return 1 << max(0, math.ceil(math.log2(max(1.0, at_least))))


def records_peak() -> float:
    """Bytes of a run of `raw_records`: blocks of text, and a table."""
    return _PROCESS_BYTES + 150e6


def clean_peak(records: float) -> float:
    """Bytes of a run of `clean_records` of days with so many clean records: one, and what is kept of the day before."""
    return _PROCESS_BYTES + 90 * records


def tracks_peak(positions: float, days: int) -> float:
    """Bytes of a run of `track_shards` of a shard with so many positions."""
    return _PROCESS_BYTES + 20 * positions + 150 * _TABLE_POSITIONS + 30 * positions / days


def throw_peak(windows: float) -> float:
    """Bytes of a run of `window_piles` of a shard with so many windows."""
    return _PROCESS_BYTES + 24 * _TABLE_POSITIONS + 90 * windows


def gather_peak(windows: float) -> float:
    """Bytes of a run of `materialized_windows` of a pile with so many windows."""
    return _PROCESS_BYTES + _ORDERED_BYTES * windows + 2 * _TABLE_WINDOWS * WINDOW_BYTES + 3 * (1 << 22)


def sweep_peak(held: float, windows: float, positions: float) -> float:
    """The same by sweeps, with so many bytes of windows held and so many positions in a shard."""
    references = _ORDERED_BYTES * (max(windows, held / WINDOW_BYTES) + windows)
    return _PROCESS_BYTES + held + PACKED_BYTES * positions + references + 3 * _TABLE_WINDOWS * WINDOW_BYTES


def shards_peak(threads: int) -> float:
    """Bytes of a run of `mds_shards`: an MDS shard for each thread, raw and compressed, and two more."""
    return _PROCESS_BYTES + 2 * _SHARD_BYTES * (threads + 2)


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
        processes: at a time, on all machines.
        seconds: wall time, were it built alone.
        bound_by: "cpu", "memory", "partitions", "network" or "disk", which is that of the gather's cache.
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
    processes: int = field(default=0)
    seconds: float = field(default=0.0)
    bound_by: str = field(default="")

    def scheduled(self, load: Load) -> Stage:
        """With processes, time and what binds it, on these machines."""
        fitting = max(1, int(load.memory // self.peak_bytes))
        on_each = min(load.cores // self.threads, fitting)
        processes = min(load.machines * on_each, self.partitions)
        working = (self.core_seconds / self.threads + _RUN_SECONDS * self.partitions) / processes
        machines = min(load.machines, processes)
        moving = (self.bytes_read + self.bytes_written) / load.network / machines if load.network else 0.0
        if moving > working:
            bound_by = "network"
        elif processes * self.threads == load.machines * load.cores:
            bound_by = "cpu"
        else:
            bound_by = "partitions" if processes == self.partitions else "memory"
        return replace(self, processes=processes, seconds=max(working, moving), bound_by=bound_by)


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


@dataclass(frozen=True)
class Gather:
    """How windows are read from the tracks.

    Attributes:
        way: "memory", from packed positions that fit into memory; "disk", from those in the local cache that do not;
            "sweeps", with AIS_GATHER_GIGABYTES.
        gigabytes: AIS_GATHER_GIGABYTES; None: it is not to be set.
        sweeps: over all tracks, of all runs together.
        turn: `validation`, `holdout` and `materialized_windows`.
        seconds: it takes.
    """

    way: str
    gigabytes: float | None
    sweeps: int
    turn: Turn
    seconds: float


@dataclass(frozen=True)
class Plan:
    """All stages, and what they come to.

    Attributes:
        work: settled.
        rates: that it rests on.
        turns: in their order.
        gather: the way that was chosen.
        others: ways that were not, and take longer.
    """

    work: Work
    rates: Rates
    turns: list[Turn]
    gather: Gather
    others: list[Gather]

    @property
    def stages(self) -> list[Stage]:
        """Of all turns."""
        return [stage for turn in self.turns for stage in turn.stages]

    @property
    def seconds(self) -> float:
        """Of all turns, one after the other."""
        return sum(turn.seconds(self.work.load) for turn in self.turns)

    @property
    def lake_bytes(self) -> float:
        """That lie in the lake in the end."""
        return sum(stage.bytes_written for stage in self.stages)

    @property
    def cost(self) -> dict[str, float]:
        """Of the machines for the time, and of the lake for a month."""
        load = self.work.load
        return {
            "machine": self.seconds / 3600 * load.machines * load.cores * load.core_hour,
            "lake a month": self.lake_bytes / GIGABYTE * load.gigabyte_month,
        }

    @property
    def packed_fits(self) -> bool:
        """Whether the gather would find its positions in memory."""
        return any(gather.way == "memory" for gather in (self.gather, *self.others))

    @property
    def environment(self) -> dict[str, str]:
        """Settings to build with."""
        chosen = {"AIS_SHARDS": f"{self.work.shards}", "AIS_PILES": f"{self.work.piles}"}
        if self.gather.gigabytes is not None:
            chosen["AIS_GATHER_GIGABYTES"] = f"{self.gather.gigabytes:g}"
        return chosen

    @property
    def notes(self) -> list[str]:
        """How windows are gathered and why, and what else people should know."""
        packed = f"packed positions, {self.work.packed_bytes / GIGABYTE:,.1f} GB"
        fit = f"{'' if self.packed_fits else 'do NOT '}fit into memory beside the runs"
        hours = f"{self.gather.seconds / 3600:,.2f} hours"
        if self.gather.way == "memory":
            said = f"{packed}, {fit}: the gather reads windows from there"
        elif self.gather.way == "disk":
            said = (
                f"{packed}, {fit}: the gather reads windows from AIS_CACHE, which must be on a local disk with room "
                f"for them, in {hours}; do not set AIS_GATHER_GIGABYTES"
            )
        else:
            said = (
                f"{packed}, {fit}: the gather sweeps {self.gather.sweeps:,} times over the tracks with "
                f"AIS_GATHER_GIGABYTES={self.gather.gigabytes:g}, in {hours}"
            )
        if self.gather.way != "memory":
            said += "".join(f"; {_way(other)} it would take {other.seconds / 3600:,.2f}" for other in self.others)
        return [*self.work.notes, said]

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return {
            "load": asdict(self.work.load)
            | {name: getattr(self.work, name) for name in ("positions", "windows", "shards", "piles")},
            "rates": asdict(self.rates),
            "stages": [asdict(stage) for stage in self.stages],
            "turns": [
                {"assets": [stage.asset for stage in turn.stages], "seconds": turn.seconds(self.work.load)}
                for turn in self.turns
            ],
            "gather": {
                "way": self.gather.way,
                "gigabytes": self.gather.gigabytes,
                "sweeps": self.gather.sweeps,
                "seconds": self.gather.seconds,
                "others": {other.way: other.seconds for other in self.others},
            },
            "environment": self.environment,
            "notes": self.notes,
            "seconds": self.seconds,
            "lake_bytes": self.lake_bytes,
            "packed_bytes": self.work.packed_bytes,
            "packed_fits": self.packed_fits,
            "cost": self.cost,
        }


def _way(gather: Gather) -> str:
    if gather.way == "sweeps":
        return f"by {gather.sweeps:,} sweeps (AIS_GATHER_GIGABYTES={gather.gigabytes:g})"
    return "from AIS_CACHE on the local disk" if gather.way == "disk" else "from there, without AIS_GATHER_GIGABYTES,"


def plan(load: Load, rates: Rates) -> Plan:
    """Works out every stage that takes time.

    Raises ValueError for a load that is not positive or that settings do not allow, or a stage of which not even one
    process fits into memory.
    """
    work = Work.of(load)
    gather, others = _gathers(work, rates)
    turns = [
        *(Turn(_fitting(stages, work)) for stages in _before(work, rates)),
        gather.turn,
        *(Turn(_fitting(stages, work)) for stages in _after(work, rates)),
    ]
    return Plan(work, rates, turns, gather, others)


def _fitting(stages: list[Stage], work: Work, cure: str = "memory") -> list[Stage]:
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
    return [stage.scheduled(work.load) for stage in stages]


def _before(work: Work, rates: Rates) -> list[list[Stage]]:
    """Stages before the gather, by turns."""
    records, days, positions, shards = work.load.records, work.load.days, work.positions, work.shards
    clean = records * rates.clean_share
    record_bytes, clean_bytes = records * rates.record_bytes, clean * rates.clean_bytes
    track_bytes = positions * rates.position_bytes
    cores = work.load.cores
    return [
        [
            Stage(
                *("raw_records", records, "rows", days, records / rates.rows_typed),
                *(records * rates.archive_bytes, record_bytes, records_peak()),
            )
        ],
        [
            Stage(
                *("clean_records", records, "rows", days, records / rates.records_cleaned),
                *(record_bytes, clean_bytes, clean_peak(clean / days)),
            ),
            Stage(
                *("vessels", records, "rows", 1, records / rates.records_merged),
                *(record_bytes, 0.0, _PROCESS_BYTES + _SCAN_BYTES, cores),
            ),
        ],
        [
            Stage(
                *("daily_quality", records, "rows", days, records / rates.records_judged),
                *(record_bytes + clean_bytes, 0.0, records_peak()),
            ),
            Stage(
                *("track_shards", positions, "positions", shards, positions / rates.positions_tracked),
                *(clean_bytes, track_bytes, tracks_peak(positions / shards, days)),
            ),
        ],
        [
            Stage(
                *("tracks", positions, "positions", shards, positions / rates.positions_listed),
                *(track_bytes, 0.0, _PROCESS_BYTES + 80 * _TABLE_POSITIONS),
            ),
            Stage(
                *("window_piles", positions, "positions", shards, positions / rates.positions_thrown),
                *(track_bytes, work.windows * rates.reference_bytes, throw_peak(work.windows / shards)),
            ),
        ],
    ]


def _after(work: Work, rates: Rates) -> list[list[Stage]]:
    """Stages after the gather, by turns."""
    validation = work.validation
    tracks_and_references = work.positions * rates.position_bytes + work.windows * rates.reference_bytes
    cores = work.load.cores
    return [
        [
            Stage(
                *("training_dataset", work.positions, "positions", 1, work.positions / rates.positions_checked),
                *(tracks_and_references, 0.0, _PROCESS_BYTES + _QUERY_BYTES, cores),
            )
        ],
        [
            Stage(
                *("dead_reckoning", validation, "windows", 1, _TORCH_SECONDS + validation / rates.windows_reckoned),
                *(validation * rates.window_bytes, 0.0, _PROCESS_BYTES + _TORCH_BYTES + 24 * validation),
            )
        ],
    ]


def _gathers(work: Work, rates: Rates) -> tuple[Gather, list[Gather]]:
    """The quickest way to gather the windows, or the one that was asked for, and the others."""
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
    window_seconds = 1 / rates.windows_gathered + absent * WINDOW_PAGES / rates.pages_faulted
    # Every machine has a cache of its own, which its runs fill together.
    packed = load.machines * work.positions
    packing = packed / rates.positions_packed
    costs = {
        "validation": (work.validation * window_seconds, 0.0, gather_peak(work.validation)),
        "holdout": (work.holdout * window_seconds, 0.0, gather_peak(work.holdout)),
        "materialized_windows": (
            work.training * window_seconds + packing,
            packed * rates.position_bytes,
            peak,
        ),
        "mds_shards": (
            work.training * (window_seconds + 1 / rates.windows_sharded),
            0.0,
            peak + shards_peak(1) - _PROCESS_BYTES,
        ),
    }
    turn, seconds = _gather_turn(work, rates, costs, cure="memory")
    if window_seconds > 2 / rates.windows_gathered:
        # More than half of the time is spent waiting for pages.
        turn = Turn([replace(stage, bound_by="disk") for stage in turn.stages])
    return Gather("disk" if absent else "memory", None, 0, turn, seconds)


def _sweeps_that_fit(work: Work, rates: Rates) -> list[Gather]:
    """With as much held as fits, for each number of runs at a time."""
    found = []
    beside = sweep_peak(0.0, max(work.pile, work.validation, work.holdout), work.positions / work.shards)
    for runs in range(1, work.load.cores + 1):
        # A byte of windows brings that of its reference along.
        held = (work.load.memory / runs - beside) / (1 + _ORDERED_BYTES / WINDOW_BYTES)
        gigabytes = math.floor(held / GIGABYTE * 100) / 100
        if gigabytes * GIGABYTE >= _TABLE_WINDOWS * WINDOW_BYTES:
            found.append(_swept(work, rates, gigabytes))
    return found


def _swept(work: Work, rates: Rates, gigabytes: float) -> Gather:
    """By sweeps over the tracks, so many gigabytes of windows held by each run, as `shuffle.sweep_piles` does."""
    held = max(1, int(gigabytes * GIGABYTE / WINDOW_BYTES) // _TABLE_WINDOWS) * _TABLE_WINDOWS
    of_a_run = max(1, min(_RUN_PILES, -(-work.piles // (2 * work.load.cores * work.load.machines))))
    sweeps = sweeps_of(work.piles, work.pile, held, of_a_run)
    wanted = {
        "validation": (work.validation, work.validation, math.ceil(work.validation / held)),
        "holdout": (work.holdout, work.holdout, math.ceil(work.holdout / held)),
        "materialized_windows": (work.training, work.pile, sweeps),
        "mds_shards": (work.training, work.pile, sweeps),
    }
    sharding = {"mds_shards": (work.training / rates.windows_sharded, shards_peak(1) - _PROCESS_BYTES)}
    shard = work.positions / work.shards
    costs = {
        asset: (
            windows / rates.windows_gathered + times * work.positions / rates.positions_packed + seconds,
            times * work.positions * rates.position_bytes,
            sweep_peak(held * WINDOW_BYTES, pile, shard) + peak,
        )
        for asset, (windows, pile, times) in wanted.items()
        for seconds, peak in (sharding.get(asset, (0.0, 0.0)),)
    }
    times = sum(times for _, _, times in wanted.values())
    return Gather("sweeps", gigabytes, times, *_gather_turn(work, rates, costs, cure="memory, or hold less"))


def sweeps_of(piles: int, windows: float, held: int, runs_piles: int) -> int:
    """Times that `shuffle.sweep_piles` reads the tracks for so many piles of so many windows, some of a run.

    A run holds so many windows: as many of its piles as fit into that together, or one in parts.
    """
    if windows > held:
        return piles * math.ceil(windows / held)
    full, left = divmod(piles, runs_piles)
    together = int(held // windows)
    return full * math.ceil(runs_piles / together) + math.ceil(left / together)


def _gather_turn(
    work: Work, rates: Rates, costs: dict[str, tuple[float, float, float]], cure: str
) -> tuple[Turn, float]:
    """The stages with these core-seconds, bytes of tracks read and peaks; and the seconds they take together."""
    written = {
        "validation": (work.validation, 1, rates.window_bytes),
        "holdout": (work.holdout, 1, rates.window_bytes),
        "materialized_windows": (work.training, work.piles, rates.window_bytes),
        "mds_shards": (work.training, work.piles, rates.mds_bytes),
    }
    stages = [
        Stage(
            *(asset, windows, "windows", partitions, core_seconds),
            *(read + windows * rates.reference_bytes, windows * window_bytes, peak),
        )
        for asset, (core_seconds, read, peak) in costs.items()
        for windows, partitions, window_bytes in (written[asset],)
    ]
    turn = Turn(_fitting(stages, work, cure))
    return turn, turn.seconds(work.load)
