"""How many runs of a stage fit into this machine's memory at a time, by the plan's peaks and what the lake holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ais_assets.io.lake import Lake
from ais_assets.machine import available_memory
from ais_assets.operating.planning import peaks
from ais_assets.operating.planning.workload import GIGABYTE
from ais_assets.settings import Settings


def runs_that_fit(
    assets: Sequence[str],
    lake: Lake,
    settings: Settings,
    *,
    processes: int,
    threads: int,
    on_note: Callable[[str], None],
) -> int:
    """Of so many processes, those that can run these assets at a time; a note says when that is not all of them."""
    available = available_memory()
    taken = {asset: _peak(asset, lake, settings, threads) for asset in assets}
    if not taken or available is None:
        return processes
    asset, peak = max(taken.items(), key=lambda item: item[1])
    fitting = max(1, int(available // peak)) if peak else processes
    if fitting < processes:
        on_note(
            f"{asset}: {fitting} of {processes} processes at a time, since each may take {peak / 1e6:,.0f} MB and "
            f"{available / 1e6:,.0f} MB are free; --workers {processes} would take them all"
        )
    return min(fitting, processes)


def _peak(asset: str, lake: Lake, settings: Settings, threads: int) -> float:
    """Bytes that a run may take; 0 where nobody knows, as where the stage before is not there."""

    def rows_out(of: str, named: Sequence[str]) -> list[int]:
        versions = lake.versions(of)
        found = lake.entries_of(of, {key: versions[key] for key in named if key in versions}, damaged_too=True)
        return [entry.ledger.rows_out for entry in found.values()]

    def gathering() -> float:
        windows = sum(rows_out("window_piles", settings.shard_keys)) / settings.piles
        if settings.gather_gigabytes is None:
            return peaks.gather_peak(windows)
        positions = max(rows_out("track_shards", settings.shard_keys), default=0)
        return peaks.sweep_peak(settings.gather_gigabytes * GIGABYTE, windows, positions)

    def tracking() -> float:
        positions = sum(rows_out("clean_records", settings.day_keys))
        return peaks.tracks_peak(positions / settings.shards, len(settings.days))

    known: dict[str, Callable[[], float]] = {
        "raw_records": peaks.records_peak,
        "clean_records": lambda: peaks.clean_peak(
            max(rows_out("raw_records", settings.day_keys), default=0), judged_by_land=settings.land_metres is not None
        ),
        "daily_quality": peaks.quality_peak,
        "track_shards": tracking,
        "window_piles": lambda: peaks.throw_peak(
            max(rows_out("track_shards", settings.shard_keys), default=0) / settings.stride
        ),
        "materialized_windows": gathering,
        "mds_shards": lambda: gathering() + peaks.sharding_bytes(threads),
        "training_dataset": peaks.checks_peak,
    }
    return known[asset]() if asset in known else 0.0
