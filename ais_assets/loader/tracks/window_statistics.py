"""Means and deviations of the five features over the training windows, computed from the tracks themselves.

A position counts as often as windows hold it, so these are the statistics of the windows, of any length and stride,
without cutting one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.loader.tracks.packed_tracks import PackedTracks
from ais_assets.loader.tracks.track_cache import TrackCache
from ais_assets.loader.tracks.window_plan import WindowPlan
from ais_assets.transforms.windows import DEGREES_PER_STEP, TENTH, unpacked


def window_statistics(cache: TrackCache, tracks: PackedTracks, plan: WindowPlan) -> dict[str, Any]:
    """What `normalize` takes: of each feature "mean" and "std" (of the population) over all positions of all windows.

    Kept in the cache, by the tracks' index and the windows' geometry: what computes them reads all positions once.

    Args:
        cache: of the tracks.
        tracks: all of them.
        plan: the training windows, of consecutive positions.

    Raises ValueError where there is no window, LoaderError where the cache cannot be written.
    """
    if not plan.windows:
        raise ValueError("there are no statistics of no training windows: give statistics, or normalize='ranges'")
    path = cache.derived(f"statistics-{plan.geometry.name}.json", lambda path: _write(path, tracks, plan))
    return json.loads(path.read_bytes())


def _write(path: Path, tracks: PackedTracks, plan: WindowPlan) -> None:
    sums = np.zeros((3, schema.FEATURE_COUNT))
    geometry = plan.geometry
    _add(
        tracks.rows.positions,
        (plan.stretches.begin, plan.stretches.windows),
        geometry.window_len,
        geometry.stride,
        sums,
    )
    origin, total, squares = sums
    count = plan.windows * geometry.window_len
    off = total / count
    deviations = np.sqrt(np.maximum(squares / count - off**2, 0))
    features = {
        name: {"count": count, "mean": mean, "std": std}
        for name, mean, std in zip(schema.FEATURE_NAMES, (origin + off).tolist(), deviations.tolist(), strict=True)
    }
    path.write_text(json.dumps({"features": features}))


@njit(cache=True, nogil=True)
def _add(
    positions: NDArray[np.uint32],
    stretches: tuple[NDArray[np.int64], NDArray[np.int64]],
    window_len: int,
    stride: int,
    sums: NDArray[np.float64],
) -> None:
    """Fills each feature's first value, the sum of differences from it, and that of their squares.

    `stretches`: the first row of each, and its windows. From the first value, so that squares do not swamp what varies.
    """
    values = np.empty(sums.shape[1])
    _values(positions, stretches[0][0], sums[0])
    for s in range(len(stretches[0])):
        first, windows = stretches[0][s], stretches[1][s]
        for at in range((windows - 1) * stride + window_len):
            # Windows that begin at multiples of the stride and hold this position.
            earliest = 0 if at < window_len else (at - window_len) // stride + 1
            weight = min(windows - 1, at // stride) - earliest + 1
            if weight > 0:
                _values(positions, first + at, values)
                for f in range(len(values)):
                    off = values[f] - sums[0, f]
                    sums[1, f] += weight * off
                    sums[2, f] += weight * off * off


@njit(cache=True, nogil=True)
def _values(positions: NDArray[np.uint32], row: int, values: NDArray[np.float64]) -> None:
    lat, lon, sog, cog, dt, _ = unpacked(positions, row)
    values[0] = lat * DEGREES_PER_STEP
    values[1] = lon * DEGREES_PER_STEP
    values[2] = sog * TENTH
    values[3] = cog * TENTH
    values[4] = dt
