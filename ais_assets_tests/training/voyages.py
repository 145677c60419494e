"""Ships that turn at a steady rate: what dead reckoning misses, and a network can learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ais_assets.io.lake import Lake
from ais_assets.ledger import Ledger
from ais_assets.stream import RecordStream
from ais_assets_tests.loader.mds.mds_datasets import windows_table, write_dataset

SEQ_LEN = 16
POSITIONS = 80
SECONDS = 60.0
"""Between positions, so that a window reaches an hour beyond what is seen."""


def voyages(count: int, seed: int = 0, *, turn: float = 0.5) -> NDArray[np.float32]:
    """Windows (count, POSITIONS, 5) of ships that turn `turn` degrees a minute to starboard, at 5 to 20 knots."""
    rng = np.random.default_rng(seed)
    step = np.arange(POSITIONS)
    speed = rng.uniform(5, 20, (count, 1))
    course = rng.uniform(0, 360, (count, 1)) + turn * step
    miles = speed * SECONDS / 3600
    # Along the chord of each minute's arc.
    along = np.radians(course[:, :-1] + turn / 2)
    north = np.cumsum(np.pad(miles * np.cos(along), ((0, 0), (1, 0))), axis=1)
    east = np.cumsum(np.pad(miles * np.sin(along), ((0, 0), (1, 0))), axis=1)
    lat = rng.uniform(50, 60, (count, 1)) + north / 60
    lon = rng.uniform(-180, 180, (count, 1)) + east / (60 * np.cos(np.radians(lat)))
    features = np.empty((count, POSITIONS, 5), np.float32)
    features[..., 0], features[..., 1] = lat, (lon + 180) % 360 - 180
    features[..., 2], features[..., 3] = speed, course % 360
    features[..., 4] = SECONDS
    return features


def small_lake(folder: Path, training: int = 160, validation: int = 40) -> Path:
    """A lake that holds what training reads."""
    write_dataset(folder / "mds", voyages(training), limit=1 << 16)
    table = windows_table(voyages(validation, seed=1))
    Lake(folder).write("validation", None, RecordStream(table.schema, iter([table]), Ledger(validation, validation)))
    return folder
