"""What `where` and `weights` can ask of a window: facts of itself, of its track and of its vessel.

Facts of windows are computed once and kept in the cache by geometry and split. A window of a time grid has the facts of
the positions from the last one before its first step to the first one after its last.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numba import njit
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.loader.tracks.ahead import ahead
from ais_assets.loader.tracks.epochs import MOST_THREADS
from ais_assets.loader.tracks.packed_tracks import PackedRows, PackedTracks, first_row_from, starts_of, time_at
from ais_assets.loader.tracks.track_cache import TrackCache
from ais_assets.loader.tracks.window_plan import WindowPlan
from ais_assets.machine import usable_cores
from ais_assets.transforms.dead_reckoning import forecast_errors
from ais_assets.transforms.geodesy import METRES_PER_NAUTICAL_MILE, great_circle_metres
from ais_assets.transforms.windows import DEGREES_PER_STEP, TENTH, gather_shard, unpacked

SLOW_TENTHS: Final = 5
"""SOG below this, half a knot, is a ship lying still."""
RECKONED_MINUTES: Final = 30
_AT_ONCE: Final = 1 << 12
"""Windows whose facts are computed at once."""
_METRES_PER_MILE: Final = float(METRES_PER_NAUTICAL_MILE)


class Fact(NamedTuple):
    """A column that an expression may name."""

    name: str
    of: str
    """window, track or vessel."""
    unit: str
    description: str


FACTS: Final = (
    Fact("start", "window", "UTC", "time of the first position"),
    Fact("span_seconds", "window", "second", "from the first position to the last"),
    Fact("longest_gap_seconds", "window", "second", "longest time between two neighbouring positions"),
    Fact("moved_nm", "window", "nautical mile", "great-circle distance over all positions"),
    Fact("mean_sog", "window", "knot", "mean SOG of the positions"),
    Fact("share_slow", "window", "1", "share of positions with a SOG below 0.5 kn"),
    Fact("share_held", "window", "1", "share of positions whose SOG or COG was not received but held"),
    Fact(
        "reckoning_error_nm",
        "window",
        "nautical mile",
        "error of dead reckoning 30 minutes after the last position seen; null where the window ends before, or the "
        "ship was silent for over 15 minutes then",
    ),
    Fact("track", "track", "1", "its id"),
    Fact("track_start", "track", "UTC", "time of its first position"),
    Fact("track_seconds", "track", "second", "from its first position to its last"),
    Fact("track_positions", "track", "1", "how many it has"),
    Fact("mmsi", "vessel", "1", "Maritime Mobile Service Identity"),
    *(
        Fact(field.name, "vessel", (field.metadata or {}).get(b"unit", b"1").decode(), "of the table `vessels`")
        for field in schema.VESSELS
        if field.name != "mmsi"
    ),
)
"""All facts. Those of a vessel are null where the vessel is unknown."""
_FLOATS: Final = (
    "span_seconds",
    "longest_gap_seconds",
    "moved_nm",
    "mean_sog",
    "share_slow",
    "share_held",
    "reckoning_error_nm",
)


def facts_file(cache: TrackCache, tracks: PackedTracks, plan: WindowPlan, split: str) -> Path:
    """A Parquet file in the cache with a row a window, in their order: its track's place, its start and its facts.

    Raises LoaderError where the cache cannot be written.
    """
    name = f"facts-{plan.geometry.name}-{split}.parquet"
    return cache.derived(name, lambda path: _write_facts(path, tracks, plan))


def track_facts(tracks: PackedTracks) -> pa.Table:
    """A row a track, in their order."""
    return pa.table(
        {
            "track_number": np.arange(len(tracks.track)),
            "track": tracks.track,
            "mmsi": tracks.mmsi.astype(np.int32),
            "track_start": pa.array(1_000 * tracks.start, schema.UTC),
            "track_seconds": tracks.end - tracks.start,
            "track_positions": tracks.count,
        }
    )


def _write_facts(path: Path, tracks: PackedTracks, plan: WindowPlan) -> None:
    fields = [pa.field(name, pa.float32()) for name in _FLOATS]
    layout = pa.schema([("window_number", pa.int64()), ("track_number", pa.int32()), ("start", schema.UTC), *fields])

    def table(first: int) -> pa.Table:
        return _facts_of(np.arange(first, min(first + _AT_ONCE, plan.windows)), tracks, plan, layout)

    with pq.ParquetWriter(path, layout, compression="zstd") as writer:
        for part in ahead(table, range(0, plan.windows, _AT_ONCE), min(MOST_THREADS, usable_cores())):
            writer.write_table(part)


def _facts_of(numbers: NDArray[np.int64], tracks: PackedTracks, plan: WindowPlan, layout: pa.Schema) -> pa.Table:
    stretch, begin = plan.locate(numbers)
    track = plan.stretches.track[stretch]
    first, last = _rows_of(begin, track, tracks, plan)
    floats = np.empty((len(_FLOATS), len(numbers)), np.float32)
    starts = np.empty(len(numbers), np.int64)
    _fill_facts(tracks.rows, (first, last), (tracks.row[track], starts_of(tracks.track[track])), starts, floats)
    floats[-1] = _reckoning_errors(first, tracks, plan)
    columns = {
        "window_number": pa.array(numbers),
        "track_number": pa.array(track.astype(np.int32)),
        "start": pa.array(1_000 * starts, schema.UTC),
        **{name: pa.array(values, from_pandas=True) for name, values in zip(_FLOATS, floats, strict=True)},
    }
    return pa.Table.from_arrays([columns[name] for name in layout.names], schema=layout)


def _rows_of(
    begin: NDArray[np.int64], track: NDArray[np.int64], tracks: PackedTracks, plan: WindowPlan
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first and the last row of each window."""
    every = plan.geometry.every_seconds
    length = plan.geometry.window_len
    if every is None:
        return begin, begin + length - 1
    first = np.empty(len(begin), np.int64)
    last = np.empty(len(begin), np.int64)
    stretches = (tracks.row[track], tracks.count[track], starts_of(tracks.track[track]))
    _fill_rows(tracks.rows, stretches, (begin * every, (begin + length - 1) * every), first, last)
    return first, last


def _reckoning_errors(first: NDArray[np.int64], tracks: PackedTracks, plan: WindowPlan) -> NDArray[np.float32]:
    """Of windows of positions; on a time grid the error is not computed."""
    if plan.geometry.every_seconds is not None:
        return np.full(len(first), np.nan, np.float32)
    features = np.empty((len(first), plan.geometry.window_len, schema.FEATURE_COUNT), np.float32)
    gather_shard(tracks.rows.positions, 0, first, np.arange(len(first)), features)
    return forecast_errors(features, plan.geometry.seq_len, [RECKONED_MINUTES])[:, 0].astype(np.float32)


@njit(cache=True, nogil=True)
def _fill_rows(
    packed: PackedRows,
    stretches: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    times: tuple[NDArray[np.int64], NDArray[np.int64]],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
) -> None:
    for w in range(len(first)):
        stretch = (stretches[0][w], stretches[1][w], stretches[2][w])
        first[w] = first_row_from(packed, stretch, times[0][w] + 1) - 1
        last[w] = first_row_from(packed, stretch, times[1][w])


@njit(cache=True, nogil=True)
def _fill_facts(
    packed: PackedRows,
    rows: tuple[NDArray[np.int64], NDArray[np.int64]],
    tracks: tuple[NDArray[np.int64], NDArray[np.int64]],
    starts: NDArray[np.int64],
    facts: NDArray[np.float32],
) -> None:
    """Fills all facts but the last. `rows`: the first and the last one; `tracks`: their first rows and start times.

    The distance from a row to the next is kept as long as windows of a track follow one another.
    """
    legs = np.zeros(1)
    known_from = np.int64(0)
    known_to = np.int64(-1)
    for w in range(len(starts)):
        first, last = rows[0][w], rows[1][w]
        starts[w] = time_at(packed, first, tracks[0][w], tracks[1][w])
        if first < known_from or first > known_to or last - known_from >= len(legs):
            legs = np.zeros(max(len(legs), 16 * (last - first + 1)))
            known_from = first
            known_to = first
        for row in range(known_to, last):
            a, b = unpacked(packed.positions, row), unpacked(packed.positions, row + 1)
            metres = great_circle_metres(
                a[0] * DEGREES_PER_STEP, a[1] * DEGREES_PER_STEP, b[0] * DEGREES_PER_STEP, b[1] * DEGREES_PER_STEP
            )
            legs[row + 1 - known_from] = metres / _METRES_PER_MILE
        known_to = max(known_to, last)
        span, gap, sog, slow, held = 0, 0, 0, 0, 0
        moved = 0.0
        for row in range(first, last + 1):
            position = unpacked(packed.positions, row)
            if row > first:
                span += position[4]
                gap = max(gap, position[4])
                moved += legs[row - known_from]
            sog += position[2]
            slow += position[2] < SLOW_TENTHS
            held += position[5] != 0
        count = last - first + 1
        facts[0, w] = span
        facts[1, w] = gap
        facts[2, w] = moved
        facts[3, w] = sog * TENTH / count
        facts[4, w] = slow / count
        facts[5, w] = held / count
