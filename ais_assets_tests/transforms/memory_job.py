"""Takes synthetic shards through one stage in this process and prints its peak resident memory in bytes.

Run by test_memory as `python -m ais_assets_tests.transforms.memory_job STAGE TIMES`, a process for each figure.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.transforms.shuffle import sweep_piles, throw_windows
from ais_assets.transforms.track_table import track_table
from ais_assets.transforms.tracks import build_tracks
from ais_assets.transforms.windows import pack_tables

FIRST_VESSEL = 219_000_000
FIRST_SECOND = 1_709_251_200
VESSELS = 20
DAY_POSITIONS = 1_000
"""Positions of a vessel on a day of `track_shards`."""
SHARD_DAYS = 40
TRACK_POSITIONS = 10_000
"""Positions of a vessel in a shard of `materialized_windows`."""
WINDOW_LEN = 64
STRIDE = 8


def column(values: NDArray[np.int32] | NDArray[np.int64], kind: pa.DataType) -> pa.Array:
    """Stored integers as a column of their type."""
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def motion(count: int) -> dict[str, pa.Array]:
    """Slowly northwards, everyone."""
    return {
        "lat": column(np.arange(count, dtype=np.int32) % DAY_POSITIONS, schema.DEGREES),
        "lon": column(np.zeros(count, np.int32), schema.DEGREES),
        "sog": column(np.full(count, 50, np.int32), schema.TENTHS),
        "cog": column(np.zeros(count, np.int32), schema.TENTHS),
    }


def clean_days(days: int, positions: int) -> Iterator[pa.Table]:
    """CLEAN_RECORDS of every vessel, `positions` a day, ten seconds apart over all days."""
    mmsi = np.repeat(np.arange(VESSELS, dtype=np.int32) + FIRST_VESSEL, positions)
    mobile_type = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(mmsi), np.int8)), pa.array(["class A"]))
    for day in range(days):
        second = FIRST_SECOND + 10 * (day * positions + np.arange(positions, dtype=np.int64))
        columns = motion(len(mmsi)) | {
            "mmsi": pa.array(mmsi),
            "t": column(np.tile(1_000 * second, VESSELS), schema.UTC),
            "mobile_type": mobile_type,
        }
        yield pa.Table.from_arrays([columns[name] for name in schema.CLEAN_RECORDS.names], schema=schema.CLEAN_RECORDS)


def shard_tracks(shard: int) -> pa.Table:
    """TRACK_POSITIONS of one shard: a track a vessel."""
    mmsi = np.repeat(np.arange(VESSELS, dtype=np.int32) + FIRST_VESSEL + VESSELS * shard, TRACK_POSITIONS)
    second = np.tile(FIRST_SECOND + 10 * np.arange(TRACK_POSITIONS, dtype=np.int64), VESSELS)
    columns = motion(len(mmsi)) | {
        "mmsi": pa.array(mmsi),
        "track": pa.array((mmsi.astype(np.int64) << 32) + FIRST_SECOND),
        "t": column(1_000 * second, schema.UTC),
        "split": pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(mmsi), np.int8)), pa.array(schema.SPLITS)),
    }
    return pa.Table.from_arrays([columns[name] for name in schema.TRACK_POSITIONS.names], schema=schema.TRACK_POSITIONS)


def track_shards(times: int) -> int:
    """A shard as large as ever, of `times` as many days: what more days in as many more shards make of it."""
    stream = build_tracks(
        clean_days(SHARD_DAYS * times, DAY_POSITIONS // times),
        max_gap_seconds=schema.MAX_GAP_SECONDS,
        max_speed_knots=50.0,
        min_track_positions=2,
        validation_fraction=0.0,
        seed=17,
    )
    return sum(table.num_rows for table in stream.tables)


def tracks(times: int) -> int:
    """The track table of `times` as many positions."""
    vessels = pa.table({"mmsi": pa.array([], pa.int32()), "mobile_type": pa.array([], pa.string())})
    vessels = vessels.append_column("ship_type", pa.array([], pa.string()))
    stream = track_table(
        (shard_tracks(shard) for shard in range(8 * times)), vessels, window_len=WINDOW_LEN, stride=STRIDE
    )
    return sum(table.num_rows for table in stream.tables)


def materialized_windows(times: int) -> int:
    """Pass 2 in bounded memory, over `times` as many shards and piles."""
    shards = piles = 4 * times
    thrown = [
        list(
            throw_windows(
                iter([shard_tracks(shard)]), shard=shard, piles=piles, window_len=WINDOW_LEN, stride=STRIDE, seed=17
            ).tables
        )
        for shard in range(shards)
    ]
    swept = sweep_piles(
        range(piles),
        lambda pile: [tables[pile + 1] for tables in thrown],
        lambda shard: np.concatenate(list(pack_tables([shard_tracks(shard)]))),
        window_len=WINDOW_LEN,
        seed=17,
        most_windows=30_000,
    )
    return sum(table.num_rows for pile in swept for table in pile.stream.tables)


STAGES = {stage.__name__: stage for stage in (track_shards, tracks, materialized_windows)}


def peak_bytes() -> int:
    """The most memory that this process ever had; unlike ru_maxrss without what its parent had when it forked."""
    status = Path("/proc/self/status").read_text()
    return 1_024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


if __name__ == "__main__":
    rows = STAGES[sys.argv[1]](int(sys.argv[2]))
    print(rows, peak_bytes())
