"""The demo's feed, faults and all, from its archives to tracks: a track ends only where its ship is silent."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from ais_assets import schema
from ais_assets.bench._simulated import clean_days
from ais_assets.settings import Settings
from ais_assets.transforms.tracks import build_tracks

SETTINGS = Settings.model_construct()
SHARED = {273_132_108, 538_023_764}
"""MMSIs that two of the demo's ships use at once."""
ONCE_BROKEN = {248_009_234: 1, 219_306_819: 1, 219_109_449: 2}
"""Vessels that a single bad fix had split, and the tracks that their silences make: the last has one of 8.5 hours."""


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    days = clean_days(
        tmp_path_factory.mktemp("demo"), SETTINGS.simulated_vessels, 3, SETTINGS.seed, SETTINGS.repeat_seconds
    )
    stream = build_tracks(
        days,
        max_gap_seconds=SETTINGS.max_gap_seconds,
        max_speed_knots=SETTINGS.max_speed_knots,
        min_track_positions=SETTINGS.min_track_positions,
        validation_fraction=0.0,
        seed=SETTINGS.seed,
    )
    return pa.concat_tables(stream.tables)


def test_a_track_ends_only_where_its_ship_is_silent(tracks: pa.Table) -> None:
    spans = defaultdict(list)
    for track in tracks.group_by(["mmsi", "track"]).aggregate([("t", "min"), ("t", "max")]).to_pylist():
        spans[track["mmsi"]].append((track["t_min"], track["t_max"]))
    silence = timedelta(seconds=SETTINGS.max_gap_seconds)
    for mmsi in spans.keys() - SHARED:
        of_ship = sorted(spans[mmsi])
        assert all(begin - end > silence for (_, end), (begin, _) in pairwise(of_ship)), mmsi
    assert {mmsi: len(spans[mmsi]) for mmsi in ONCE_BROKEN} == ONCE_BROKEN


def test_no_ship_leaps_within_a_track(tracks: pa.Table) -> None:
    """No step of a track is faster than any of the demo's ships sails, so that no stray was kept."""
    lat, lon = (
        np.radians(tracks[schema.stored_name(name)].to_numpy() / schema.MICRODEGREES) for name in ("lat", "lon")
    )
    seconds = np.diff(tracks["t"].cast(pa.int64()).to_numpy()) / 1_000
    within = np.diff(tracks["track"].to_numpy()) == 0
    step = np.hypot(np.diff(lat), np.diff(lon) * np.cos(lat[1:])) * 6_371_008.8 / 1_852
    # Within two seconds the last decimals and a receiver's scatter are faster than a ship.
    sailed = within & (seconds > 2)
    assert (step[sailed] / seconds[sailed] * 3_600).max() < SETTINGS.max_speed_knots
