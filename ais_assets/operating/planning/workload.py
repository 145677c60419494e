"""What there is to do, and on what machines."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Final

from ais_assets import schema
from ais_assets.operating.planning.rates import is_positive
from ais_assets.settings import MOST_PILES, MOST_SHARDS, WINDOW_FORMATS

GIGABYTE: Final = 1e9
WINDOW_BYTES: Final = 4 * schema.FEATURE_COUNT * (schema.SEQ_LEN + schema.MAX_HORIZON)
PACKED_BYTES: Final = 12
"""A position in the gather's cache."""

REFERENCE_RECORDS: Final = 6_900_000_000
POSITIONS_A_RECORD: Final = 3_500 / 6_900
WINDOWS_A_POSITION: Final = 109 / 3_500
"""Of the reference year: 6.9 G records, 3.5 G positions, 109 M windows."""


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
        test: share of the windows that is the test vessels'.
        machines: that share the work, each with cores, memory and network of its own.
        cores: of a machine.
        memory: bytes of a machine.
        network: bytes a second to and from the lake, which is the disk's pace where the lake is local; None: no limit.
        latency: seconds until S3 answers a request; 0: of a folder.
        shards: None: so many that a shard's positions take an eighth of a core's memory at most.
        piles: None: the power of two that makes them of some 425,000 windows each.
        gather_gigabytes: AIS_GATHER_GIGABYTES; None: whatever is quickest.
        window_formats: AIS_WINDOW_FORMATS.
        core_hour: price of a core for an hour.
        gigabyte_month: price of a gigabyte in the lake for a month.
    """

    records: int = REFERENCE_RECORDS
    days: int = 363
    positions: int | None = None
    windows: int | None = None
    validation: float = 0.05
    holdout: float = 0.0
    test: float = 0.0
    machines: int = 1
    cores: int = 16
    memory: float = 128 * GIGABYTE
    network: float | None = 1 * GIGABYTE
    latency: float = 0.0
    shards: int | None = None
    piles: int | None = None
    gather_gigabytes: float | None = None
    window_formats: tuple[str, ...] = WINDOW_FORMATS
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
        may_be_nought = ("validation", "holdout", "test", "latency", "core_hour", "gigabyte_month")
        wrong = [
            name
            for name, value in asdict(load).items()
            if value is not None
            and name != "window_formats"
            and not (is_positive(value) or (name in may_be_nought and value == 0))
        ]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} must be more than 0")
        apart = {"validation": load.validation, "holdout": load.holdout, "test": load.test}
        if sum(apart.values()) >= 1:
            said = ", ".join(f"{name} {share:g}" for name, share in apart.items())
            raise ValueError(f"{said} leave no training windows")
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
    def test(self) -> int:
        """Windows of it."""
        return round(self.windows * self.load.test)

    @property
    def training(self) -> int:
        """Windows of it."""
        return self.windows - self.validation - self.holdout - self.test

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
