"""The plan: every stage that takes time, in turns, and what they come to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from ais_assets.assets.training import MOST_RECKONED
from ais_assets.operating.planning import peaks
from ais_assets.operating.planning.gathering import Gather, gathers
from ais_assets.operating.planning.rates import Rates
from ais_assets.operating.planning.schedule import Stage, Turn, fitting
from ais_assets.operating.planning.workload import GIGABYTE, Load, Work

_TORCH_SECONDS: Final = 3.3
"""Of a core, that a process takes to load the loader's libraries."""
PUBLISHING: Final = "training_dataset"
FIRST_BATCH: Final = "first batch"
TRACKS: Final = "tracks"
"""What is published whatever AIS_WINDOW_FORMATS says."""


@dataclass(frozen=True)
class Plan:
    """All stages, and what they come to.

    Attributes:
        work: settled.
        rates: that it rests on.
        turns: in their order.
        gather: the way that was chosen; None where no windows are stored.
        others: ways that were not, and take longer.
        first_batch: of windows cut from the published tracks, on one more machine like these: no part of the build.
        published: seconds until "tracks" alone are, then each of AIS_WINDOW_FORMATS with nothing built for the others.
    """

    work: Work
    rates: Rates
    turns: list[Turn]
    gather: Gather | None
    others: list[Gather]
    first_batch: Stage
    published: dict[str, float]

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
        return any(gather.way == "memory" for gather in (self.gather, *self.others) if gather is not None)

    @property
    def environment(self) -> dict[str, str]:
        """Settings to build with."""
        chosen = {"AIS_SHARDS": f"{self.work.shards}", "AIS_PILES": f"{self.work.piles}"}
        if self.gather is not None and self.gather.gigabytes is not None:
            chosen["AIS_GATHER_GIGABYTES"] = f"{self.gather.gigabytes:g}"
        return chosen

    @property
    def notes(self) -> list[str]:
        """When what can be trained on, how windows are gathered and why, and what else people should know."""
        first = self.published[TRACKS] + self.first_batch.seconds
        when = ", ".join(f"{name} after {seconds / 60:,.1f}" for name, seconds in self.published.items())
        said = f"minutes until published: {when}; first batch cut from tracks after {first / 60:,.1f}"
        if len(self.published) > 1:
            said += "; each with AIS_WINDOW_FORMATS for it alone"
        return [*self.work.notes, said, *([] if self.gather is None else [self._gathering(self.gather)])]

    def _gathering(self, gather: Gather) -> str:
        packed = f"packed positions, {self.work.packed_bytes / GIGABYTE:,.1f} GB"
        fit = f"{'' if self.packed_fits else 'do NOT '}fit into memory beside the runs"
        hours = f"{gather.seconds / 3600:,.2f} hours"
        if gather.way == "memory":
            return f"{packed}, {fit}: the gather reads windows from there"
        if gather.way == "disk":
            said = (
                f"{packed}, {fit}: the gather reads windows from AIS_CACHE, which must be on a local disk with room "
                f"for them, in {hours}; do not set AIS_GATHER_GIGABYTES"
            )
        else:
            said = (
                f"{packed}, {fit}: the gather sweeps {gather.sweeps:,} times over the tracks with "
                f"AIS_GATHER_GIGABYTES={gather.gigabytes:g}, in {hours}"
            )
        return said + "".join(f"; {_way(other)} it would take {other.seconds / 3600:,.2f}" for other in self.others)

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        gather = self.gather
        return {
            "load": asdict(self.work.load)
            | {name: getattr(self.work, name) for name in ("positions", "windows", "shards", "piles")},
            "rates": asdict(self.rates),
            "stages": [asdict(stage) for stage in self.stages],
            "turns": [
                {"assets": [stage.asset for stage in turn.stages], "seconds": turn.seconds(self.work.load)}
                for turn in self.turns
            ],
            "gather": None
            if gather is None
            else {
                "way": gather.way,
                "gigabytes": gather.gigabytes,
                "sweeps": gather.sweeps,
                "seconds": gather.seconds,
                "others": {other.way: other.seconds for other in self.others},
            },
            "environment": self.environment,
            "notes": self.notes,
            "published_seconds": self.published,
            "first_batch_seconds": self.first_batch.seconds,
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
    turns, gather, others = _turns(work, rates)
    alone = {TRACKS: (), **{name: (name,) for name in load.window_formats}}
    published = {name: _until_published(work, rates, formats) for name, formats in alone.items()}
    (first_batch,) = fitting([_first_batch(work, rates)], replace(work, load=replace(load, machines=1)))
    return Plan(work, rates, turns, gather, others, first_batch, published)


def _until_published(work: Work, rates: Rates, formats: tuple[str, ...]) -> float:
    """Seconds until `training_dataset` is there, with these AIS_WINDOW_FORMATS."""
    turns, _, _ = _turns(replace(work, load=replace(work.load, window_formats=formats)), rates)
    last = next(number for number, turn in enumerate(turns) if any(of.asset == PUBLISHING for of in turn.stages))
    return sum(turn.seconds(work.load) for turn in turns[: last + 1])


def _turns(work: Work, rates: Rates) -> tuple[list[Turn], Gather | None, list[Gather]]:
    """All turns for AIS_WINDOW_FORMATS, and the gather's ways."""
    formats = work.load.window_formats
    before = [Turn(fitting(stages, work)) for stages in _before(work, rates)]
    publishing = _publishing(work, rates)
    if not formats:
        listing = before.pop()
        return [*before, Turn([*listing.stages, *fitting([publishing], work)])], None, []
    gather, others = gathers(work, rates)
    # The card shows the baseline.
    after = *([[_reckoning(work, rates)]] if "parquet" in formats else []), [publishing]
    return [*before, gather.turn, *(Turn(fitting(stages, work)) for stages in after)], gather, others


def _before(work: Work, rates: Rates) -> list[list[Stage]]:
    """Stages before the gather, by turns."""
    records, days, positions, shards = work.load.records, work.load.days, work.positions, work.shards
    clean = records * rates.clean_share
    record_bytes, clean_bytes = records * rates.record_bytes, clean * rates.clean_bytes
    track_bytes = positions * rates.position_bytes
    throwing = Stage(
        *("window_piles", positions, "positions", shards, positions / rates.positions_thrown),
        *(track_bytes, work.windows * rates.reference_bytes, peaks.throw_peak(work.windows / shards)),
    )
    return [
        [
            Stage(
                *("raw_records", records, "rows", days, records / rates.rows_typed),
                *(records * rates.archive_bytes, record_bytes, peaks.records_peak()),
            )
        ],
        [
            Stage(
                *("clean_records", records, "rows", days, records / rates.records_cleaned),
                *(record_bytes, clean_bytes, peaks.clean_peak(clean / days)),
            ),
            Stage(
                *("vessels", records, "rows", 1, records / rates.records_merged),
                *(records * rates.told_bytes, 0.0, peaks.vessels_peak(), work.load.cores),
            ),
        ],
        [
            Stage(
                *("daily_quality", records, "rows", days, records / rates.records_judged),
                *(records * rates.judged_bytes, 0.0, peaks.quality_peak()),
            ),
            Stage(
                *("track_shards", positions, "positions", shards, positions / rates.positions_tracked),
                *(clean_bytes, track_bytes, peaks.tracks_peak(positions / shards, days)),
            ),
        ],
        [
            Stage(
                *("tracks", positions, "positions", shards, positions / rates.positions_listed),
                *(track_bytes, 0.0, peaks.listing_peak()),
            ),
            *([throwing] if work.load.window_formats else []),
        ],
    ]


def _publishing(work: Work, rates: Rates) -> Stage:
    """The commit point, with its checks."""
    references = work.windows * rates.reference_bytes if work.load.window_formats else 0.0
    return Stage(
        *(PUBLISHING, work.positions, "positions", 1, work.positions / rates.positions_checked),
        *(work.positions * rates.position_bytes + references, 0.0, peaks.checks_peak(), work.load.cores),
    )


def _reckoning(work: Work, rates: Rates) -> Stage:
    """The baselines, over a sample of the validation windows."""
    windows = min(work.validation, MOST_RECKONED)
    return Stage(
        *("dead_reckoning", windows, "windows", 1, windows / rates.windows_reckoned),
        *(windows * rates.window_bytes, 0.0, peaks.reckoning_peak(windows)),
    )


def _first_batch(work: Work, rates: Rates) -> Stage:
    """Windows cut from tracks: what a training machine does until its first batch."""
    file = work.positions * rates.position_bytes / work.shards
    threads = peaks.packing_threads(work.load.cores, work.load.memory, file)
    return Stage(
        *(FIRST_BATCH, work.positions, "positions", 1),
        _TORCH_SECONDS * threads + work.positions / rates.positions_cached,
        *(work.positions * rates.position_bytes, 0.0, peaks.packing_peak(threads, file), threads),
    )
