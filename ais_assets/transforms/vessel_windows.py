"""The windows of a few tracks, cut in plain NumPy: for looking at one vessel, without packed positions."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.transforms.kernels import run_starts

_MILLISECONDS = 1_000


def windows_of(positions: pa.Table, window_len: int, stride: int) -> pa.Table:
    """The windows of these tracks: `schema.windows_schema`, by track and start, the bits of those that are trained on.

    Args:
        positions: `schema.TRACK_POSITIONS` by (track, t), whole tracks.
        window_len: positions of a window.
        stride: from one window's start to the next one's in its track.
    """
    features, t = features_of(positions), positions["t"].cast(pa.int64()).to_numpy()
    track = positions["track"].to_numpy()
    starts = run_starts(track)
    ends = np.append(starts, len(track))[1:]
    begins = np.concatenate(
        [np.empty(0, np.int64)]
        + [np.arange(start, end - window_len + 1, stride) for start, end in zip(starts, ends, strict=True)]
    )
    schema_ = schema.windows_schema(window_len)
    if not len(begins):
        return schema_.empty_table()
    cut = np.lib.stride_tricks.sliding_window_view(features, window_len, axis=0)[begins].transpose(0, 2, 1)
    values = pa.array(np.ascontiguousarray(cut).reshape(-1))
    return pa.table(
        [
            pa.FixedSizeListArray.from_arrays(values, type=schema_.field("features").type),
            pa.array(positions["mmsi"].to_numpy()[begins]),
            pa.array(track[begins]),
            pa.array(t[begins]).cast(schema.UTC),
        ],
        schema=schema_,
    )


def features_of(positions: pa.Table) -> NDArray[np.float32]:
    """(n, 5) float32: the columns of `schema.FEATURES`; dt_seconds of a track's first position is 0."""
    track, t = positions["track"].to_numpy(), positions["t"].cast(pa.int64()).to_numpy()
    seconds = np.diff(t, prepend=t[:1]) // _MILLISECONDS
    seconds[run_starts(track)] = 0
    stored = [schema.STORED_AS[name] for name in schema.FEATURE_NAMES if name in schema.STORED_AS]
    values = [positions[of.column].to_numpy() / 10.0**of.places for of in stored]
    return np.column_stack([*values, seconds]).astype(np.float32)
