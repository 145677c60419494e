"""The most memory that one run of a stage takes."""

from __future__ import annotations

from typing import Final

from ais_assets.operating.planning.workload import PACKED_BYTES, WINDOW_BYTES

_PROCESS_BYTES: Final = 600e6
"""A run's process: 167 MB once it has loaded the definitions; the rest for compiled kernels, modules that stages before
needed, and what allocators keep of days of 20 M rows, as seen in processes of `ais build` from the first stage on."""
_QUERY_BYTES: Final = 400e6
"""Of DuckDB for checks across stages."""
_SCAN_BYTES: Final = 1_500e6
"""Of DuckDB for vessels, and of what Arrow reads ahead for it."""
_TORCH_BYTES: Final = 400e6
"""Of the loader's libraries."""
_AHEAD_BYTES: Final = 600e6
"""That Arrow reads ahead of DuckDB for checks."""
MASK_BYTES: Final = 400e6
"""Of the mask of land, as `transforms.land` unpacks it, in a process that draws a map or judges positions by it."""
_TABLE_POSITIONS: Final = 1 << 20
TABLE_WINDOWS: Final = 1 << 10
ORDERED_BYTES: Final = 56
"""A reference while it is put in order."""
ROW_GROUP_BYTES: Final = 150 << 20
"""That a thread of a track loader takes beside its track file."""
PACKING_SHARE: Final = 8
"""Of what is available, one in so many parts is for a track loader's files."""
_SHARD_BYTES: Final = 1 << 26
"""An MDS shard before compression."""


def records_peak() -> float:
    """Bytes of a run of `raw_records`: blocks of text, and a table."""
    return _PROCESS_BYTES + 150e6


def clean_peak(records: float, *, judged_by_land: bool = False) -> float:
    """Bytes of a run of `clean_records` of days with so many clean records: one, and what is kept of the day before."""
    return _PROCESS_BYTES + 90 * records + (MASK_BYTES if judged_by_land else 0.0)


def quality_peak() -> float:
    """Bytes of a run of `daily_quality`: blocks of records, and a map of the day."""
    return records_peak() + MASK_BYTES


def tracks_peak(positions: float, days: int) -> float:
    """Bytes of a run of `track_shards` of a shard with so many positions."""
    return _PROCESS_BYTES + 20 * positions + 170 * _TABLE_POSITIONS + 30 * positions / days


def throw_peak(windows: float) -> float:
    """Bytes of a run of `window_piles` of a shard with so many windows."""
    return _PROCESS_BYTES + 24 * _TABLE_POSITIONS + 90 * windows


def gather_peak(windows: float) -> float:
    """Bytes of a run that gathers a pile of so many windows from packed positions."""
    packing = 64 * _TABLE_POSITIONS
    return _PROCESS_BYTES + packing + ORDERED_BYTES * windows + 2 * TABLE_WINDOWS * WINDOW_BYTES + 3 * (1 << 22)


def sweep_peak(held: float, windows: float, positions: float) -> float:
    """The same by sweeps, with so many bytes of windows held and so many positions in a shard."""
    references = ORDERED_BYTES * (max(windows, held / WINDOW_BYTES) + windows)
    return _PROCESS_BYTES + held + PACKED_BYTES * positions + references + 3 * TABLE_WINDOWS * WINDOW_BYTES


def sharding_bytes(threads: int) -> float:
    """What a run of `mds_shards` takes beside the gather: a shard for each thread, raw and compressed, and two more."""
    return 2 * _SHARD_BYTES * (threads + 2)


def vessels_peak() -> float:
    """Bytes of the run of `vessels`."""
    return _PROCESS_BYTES + _SCAN_BYTES


def listing_peak() -> float:
    """Bytes of a run of `tracks`."""
    return _PROCESS_BYTES + 80 * _TABLE_POSITIONS


def checks_peak() -> float:
    """Bytes of the run of `training_dataset`, which draws maps, too."""
    return _PROCESS_BYTES + _QUERY_BYTES + _AHEAD_BYTES + MASK_BYTES


def reckoning_peak(windows: float) -> float:
    """Bytes of the run of `dead_reckoning`: a row group, forecasts for it, and the errors of so many windows."""
    return _PROCESS_BYTES + 10 * TABLE_WINDOWS * WINDOW_BYTES + 24 * windows


def packing_threads(cores: int, memory: float, file: float) -> int:
    """That a track loader takes to pack track files of so many bytes, where nobody says how many."""
    return max(1, min(cores, int(memory / PACKING_SHARE // (file + ROW_GROUP_BYTES))))


def packing_peak(threads: int, file: float) -> float:
    """Bytes of a track loader until its first batch."""
    return _PROCESS_BYTES + _TORCH_BYTES + threads * (file + ROW_GROUP_BYTES)
