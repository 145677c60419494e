"""Ships that turn at a steady rate: what dead reckoning misses, and a network can learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ais_assets.io.lake import Lake
from ais_assets.ledger import Ledger
from ais_assets.stream import RecordStream
from ais_assets_tests.loader.mds.mds_datasets import windows_table, write_dataset
from ais_assets_tests.loader.tracks.track_datasets import publish
from ais_assets_tests.transforms.test_windows import NOON, SHIP, track_table

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


def voyage_tracks(
    features: NDArray[np.float32], split: str, first: int, *, held: NDArray[np.bool_] | None = None
) -> pa.Table:
    """Each window as the track of a vessel of this split, at the resolution of the sources; MMSIs from `first` on.

    `held`: bool (POSITIONS,), where SOG was held; None: nowhere.
    """
    count, positions, _ = features.shape
    mmsi = np.repeat(first + np.arange(count), positions).astype(np.int32)
    seconds = np.tile(NOON + (SECONDS * np.arange(positions)).astype(np.int64), count)
    lat, lon, sog, cog, _ = features.reshape(-1, 5).astype(np.float64).T
    columns = {
        "mmsi": mmsi,
        "track": (mmsi.astype(np.int64) << 32) | NOON,
        "t": 1_000 * seconds,
        "lat_microdegrees": np.rint(1e6 * lat).astype(np.int32),
        "lon_microdegrees": np.rint(1e6 * lon).astype(np.int32),
        "sog_tenths": np.rint(10 * sog).astype(np.int32),
        "cog_tenths": np.rint(10 * cog).astype(np.int32) % 3600,
        "split": np.full(len(mmsi), split),
    }
    table = track_table([positions] * count, columns=columns)
    if held is None:
        return table
    place = table.schema.get_field_index("sog_held")
    return table.set_column(place, table.schema.field(place), pa.array(np.tile(held, count)))


def small_lake(folder: Path, training: int = 160, validation: int = 40) -> Path:
    """A lake that holds what training reads: tracks, and windows as MDS and Parquet."""
    learned, evaluated = voyages(training), voyages(validation, seed=1)
    tracks = [voyage_tracks(learned, "train", SHIP), voyage_tracks(evaluated, "validation", SHIP + training)]
    publish(folder, tracks, {"seq_len": SEQ_LEN, "max_horizon": POSITIONS - SEQ_LEN, "stride": 32})
    write_dataset(folder / "mds", learned, limit=1 << 16)
    table = windows_table(evaluated)
    Lake(folder).write("validation", None, RecordStream(table.schema, iter([table]), Ledger(validation, validation)))
    return folder
