"""What a build will take: time, memory, bytes and money by stage, from rates measured on a machine.

The model is plain. A stage's core-seconds are its units over the rate, and a little for every run; as many processes
work on it as there are cores, partitions, and peaks that fit into memory; meanwhile its bytes pass the network, where
the lake is remote. The slower of the two is the stage's time, and what holds it up is what binds it. `ais bench whole`
checks it against a run.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from ais_assets import schema

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
_RUN_SECONDS: Final = 0.65
"""Of a core, that Dagster takes for a run of a partition."""
_SMALLER: Final = {"track_shards": "shards", "window_piles": "shards", "materialized_windows": "piles"}
"""What makes a stage's partitions smaller."""
_TABLE_POSITIONS: Final = 1 << 20
_SHARD_BYTES: Final = 1 << 26
"""An MDS shard before compression."""


@dataclass(frozen=True)
class Rates:
    """What one core of a machine does a second, and what things weigh.

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
    machine="AMD EPYC, 4 virtual cores, 2026",
    rows_typed=1_985_000,
    records_cleaned=9_733_000,
    positions_tracked=15_264_000,
    positions_thrown=34_378_000,
    windows_gathered=25_763,
    windows_sharded=10_201,
    archive_bytes=13.83,
    record_bytes=12.73,
    clean_bytes=5.11,
    position_bytes=4.87,
    reference_bytes=3.80,
    window_bytes=8_296,
    mds_bytes=9_651,
    clean_share=0.45,
)
"""What `ais bench rates` printed there; of any other machine it is a guess, and the command says so."""


@dataclass(frozen=True)
class Load:
    """What there is to do, and on what.

    Attributes:
        records: rows of all archives.
        days: archives.
        positions: of tracks; None: as many of the records as in the reference year.
        windows: None: as many of the positions as in the reference year.
        cores: of the machine.
        memory: bytes of the machine.
        network: bytes a second to and from the lake, which is the disk's pace where the lake is local; None: no limit.
        shards: None: so many that a shard's positions take an eighth of a core's memory at most.
        piles: None: the power of two that makes them of some 425,000 windows each.
        core_hour: price of a core for an hour.
        gigabyte_month: price of a gigabyte in the lake for a month.
    """

    records: int = REFERENCE_RECORDS
    days: int = 363
    positions: int | None = None
    windows: int | None = None
    cores: int = 16
    memory: float = 128 * GIGABYTE
    network: float | None = 1 * GIGABYTE
    shards: int | None = None
    piles: int | None = None
    core_hour: float = 0.063
    gigabyte_month: float = 0.023

    def settled(self) -> Load:
        """With nothing left open."""
        positions = self.positions or round(self.records * POSITIONS_A_RECORD)
        windows = self.windows or round(positions * WINDOWS_A_POSITION)
        share = self.memory / self.cores / 8
        shards = self.shards or max(16, _power_of_two(16 * positions / share))
        piles = self.piles or max(8, 1 << round(math.log2(max(1.0, windows / 425_000))))
        return replace(self, positions=positions, windows=windows, shards=shards, piles=piles)


def _power_of_two(at_least: float) -> int:
    return 1 << max(0, math.ceil(math.log2(max(1.0, at_least))))


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
        processes: at a time.
        seconds: wall time.
        bound_by: "cpu", "memory", "partitions" or "network".
    """

    asset: str
    units: float
    unit: str
    partitions: int
    core_seconds: float
    bytes_read: float
    bytes_written: float
    peak_bytes: float
    processes: int = field(default=0)
    seconds: float = field(default=0.0)
    bound_by: str = field(default="")

    def scheduled(self, load: Load) -> Stage:
        """With processes, time and what binds it, on this machine."""
        fitting = max(1, int(load.memory // self.peak_bytes))
        processes = min(load.cores, self.partitions, fitting)
        working = (self.core_seconds + _RUN_SECONDS * self.partitions) / processes
        moving = (self.bytes_read + self.bytes_written) / load.network if load.network else 0.0
        if moving > working:
            bound_by = "network"
        elif processes == load.cores:
            bound_by = "cpu"
        else:
            bound_by = "memory" if fitting < self.partitions else "partitions"
        return replace(self, processes=processes, seconds=max(working, moving), bound_by=bound_by)


@dataclass(frozen=True)
class Plan:
    """All stages, and what they come to.

    Attributes:
        load: settled.
        rates: that it rests on.
        stages: in their order.
        packed_bytes: of the gather's cache, which should fit into memory beside the runs.
    """

    load: Load
    rates: Rates
    stages: list[Stage]
    packed_bytes: float

    @property
    def seconds(self) -> float:
        """Of all stages, one after the other."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def lake_bytes(self) -> float:
        """That lie in the lake in the end."""
        return sum(stage.bytes_written for stage in self.stages)

    @property
    def cost(self) -> dict[str, float]:
        """Of the machine for the time, and of the lake for a month."""
        return {
            "machine": self.seconds / 3600 * self.load.cores * self.load.core_hour,
            "lake a month": self.lake_bytes / GIGABYTE * self.load.gigabyte_month,
        }

    @property
    def packed_fits(self) -> bool:
        """Whether the gather finds its positions in memory; else set AIS_GATHER_GIGABYTES, or it waits for the disk."""
        gather = next(stage for stage in self.stages if stage.asset == "materialized_windows")
        return self.packed_bytes + gather.processes * gather.peak_bytes <= self.load.memory

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return {
            "load": asdict(self.load),
            "rates": asdict(self.rates),
            "stages": [asdict(stage) for stage in self.stages],
            "seconds": self.seconds,
            "lake_bytes": self.lake_bytes,
            "packed_bytes": self.packed_bytes,
            "packed_fits": self.packed_fits,
            "cost": self.cost,
        }


def plan(load: Load, rates: Rates) -> Plan:
    """Works out every stage that takes time.

    Peaks of memory are those that the transforms state: 55 bytes for each of a day's clean records; 16 for each of a
    shard's positions and 75 for each of a table's; 56 for each of a pile's references and two tables of windows; an
    MDS shard for each thread, raw and compressed, and two more.

    Raises ValueError for a load that is not positive, or a stage of which not even one process fits into memory.
    """
    settled = load.settled()
    wrong = [
        name
        for name, value in asdict(settled).items()
        if value is not None and not name.startswith(("core_hour", "gigabyte")) and not _is_positive(value)
    ]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} must be more than 0")
    records, positions, windows = settled.records, settled.positions or 0, settled.windows or 0
    shards, piles, days = settled.shards or 1, settled.piles or 1, settled.days
    clean = records * rates.clean_share
    tables = 2 * 1024 * WINDOW_BYTES
    stages = [
        Stage(
            *("raw_records", records, "rows", days, records / rates.rows_typed),
            records * rates.archive_bytes,
            records * rates.record_bytes,
            _PROCESS_BYTES + 150e6,
        ),
        Stage(
            *("clean_records", records, "rows", days, records / rates.records_cleaned),
            records * rates.record_bytes,
            clean * rates.clean_bytes,
            _PROCESS_BYTES + 55 * clean / days,
        ),
        Stage(
            *("track_shards", positions, "positions", shards, positions / rates.positions_tracked),
            clean * rates.clean_bytes,
            positions * rates.position_bytes,
            _PROCESS_BYTES + 16 * positions / shards + 75 * _TABLE_POSITIONS + 30 * positions / shards / days,
        ),
        Stage(
            *("window_piles", positions, "positions", shards, positions / rates.positions_thrown),
            positions * rates.position_bytes,
            windows * rates.reference_bytes,
            _PROCESS_BYTES + 24 * _TABLE_POSITIONS + 90 * windows / shards,
        ),
        Stage(
            *("materialized_windows", windows, "windows", piles, windows / rates.windows_gathered),
            positions * rates.position_bytes + windows * rates.reference_bytes,
            windows * rates.window_bytes,
            _PROCESS_BYTES + 56 * windows / piles + tables + 3 * (1 << 22),
        ),
        Stage(
            *("mds_shards", windows, "windows", piles, windows / rates.windows_sharded),
            windows * rates.window_bytes,
            windows * rates.mds_bytes,
            _PROCESS_BYTES + 2 * _SHARD_BYTES * (settled.cores + 2),
        ),
    ]
    for stage in stages:
        if stage.peak_bytes > settled.memory:
            raise ValueError(
                f"{stage.asset} takes {stage.peak_bytes / 1e6:,.0f} MB a process, and the machine has "
                f"{settled.memory / 1e6:,.0f}: take more {_SMALLER.get(stage.asset, 'memory')}"
            )
    return Plan(settled, rates, [stage.scheduled(settled) for stage in stages], PACKED_BYTES * positions)
