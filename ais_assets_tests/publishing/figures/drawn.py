"""Each kind of picture, drawn of a few made-up numbers that tests know."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.ledger import Ledger
from ais_assets.publishing.figures.days import dropped_by_day, hours_by_day, volume_by_day
from ais_assets.publishing.figures.forecast import error_by_horizon
from ais_assets.publishing.figures.funnel import funnel
from ais_assets.publishing.figures.maps import sample_windows, traffic_density
from ais_assets.publishing.figures.picture import Picture
from ais_assets.publishing.figures.sample import plot_sample
from ais_assets.publishing.figures.spans import lengths_and_durations, reporting_intervals
from ais_assets.publishing.figures.vessels import types_and_flags
from ais_assets.publishing.figures.windows import feature_distributions, shuffle_evidence

DAYS = [date(2024, 3, 1) + timedelta(days=k) for k in range(5)]
ROWS = np.array([100.0, 200.0, np.nan, 50.0, 400.0])
"""Of a range whose third day is not there."""
SEEN = 20


def positions(count: int = 4_000) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latitudes and longitudes in the Kattegat."""
    rng = np.random.default_rng(1)
    return rng.uniform(56.0, 57.5, count), rng.uniform(10.8, 12.0, count)


def windows(count: int = 3) -> NDArray[np.float32]:
    """Ships that sail north-east, ten seconds from position to position."""
    made = np.zeros((count, 100, schema.FEATURE_COUNT), np.float32)
    made[..., 0] = 56.0 + np.arange(100) * 1e-3
    made[..., 1] = 11.0 + np.arange(100) * 1e-3
    made[..., 2], made[..., 3], made[:, 1:, 4] = 12, 45, 10
    return made


def report(minutes: tuple[int, ...] = (10, 60)) -> dict[str, Any]:
    """As `ForecastErrors.summary` has it; errors grow by 0.1 nautical miles a minute."""

    def of(minute: int) -> dict[str, Any]:
        mean = 0.1 * minute
        scored = {"windows": 5, "vessels": 2, "mean": mean, "median": mean, "p90": 2 * mean}
        return {**scored, "interval": [mean / 2, mean * 1.5]}

    kinds = {kind: {f"{minute:g}": of(minute) for minute in minutes} for kind in ("all", "moving", "easy")}
    return {"windows": 5, "vessels": 2, "unit": "nautical mile", "dead_reckoning": kinds, "kalman": kinds}


def pictures() -> list[Picture]:
    """One of each kind."""
    rng = np.random.default_rng(2)
    split = {
        name: {
            "lat": rng.uniform(55, 57, 500),
            "lon": rng.uniform(10, 12, 500),
            "sog": rng.gamma(3, 3, 500),
            "cog": rng.uniform(0, 360, 500),
            "dt_seconds": rng.exponential(30, 500),
        }
        for name in ("train", "validation")
    }
    stages = {"rows of the source's files": Ledger(100, 90, {"bad_mmsi": 10}), "typed records": Ledger(90, 90)}
    return [
        traffic_density(*positions(), of="2024-03-01"),
        sample_windows(windows(), ["Cargo", "Tug", "Pilot"], seq_len=SEEN, of="three"),
        volume_by_day(DAYS, ROWS, ROWS / 2, ROWS / 10),
        dropped_by_day(DAYS, {"exact_duplicate": np.array([50.0, 20, 0, 5, 40])}, ROWS),
        hours_by_day(DAYS, np.repeat(ROWS[:, None], 24, axis=1)),
        reporting_intervals((0, 2, 5, 10, 60, 600, 14_400), (3, 1, 2, 3, 4, 5, 6)),
        lengths_and_durations(rng.exponential(9, 40), rng.exponential(50, 40), rng.exponential(3, 90), np.ones(90)),
        types_and_flags({"Cargo": {"class A": 3}, "Sailing": {"class B": 2}}, {"DK": 4, "SE": 1}),
        feature_distributions(split),
        shuffle_evidence(rng.uniform(0, 86_400, 900), rng.integers(1, 9, 900), 0.0, 86_400.0),
        error_by_horizon(report()),
        funnel(stages),
        plot_sample(windows(1)[0], seq_len=SEEN, forecast=windows(1)[0, SEEN : SEEN + 9, :2], of="train:0"),
    ]


def nothing() -> list[Picture]:
    """One of each kind of which there is nothing to draw, as in a lake of a day without ships."""
    none = np.empty(0)
    return [
        traffic_density(none, none, of="2024-03-01"),
        sample_windows(np.empty((0, 100, 5), np.float32), [], seq_len=SEEN, of="none"),
        volume_by_day(DAYS[:1], np.array([np.nan]), np.array([np.nan]), np.array([np.nan])),
        dropped_by_day(DAYS[:1], {}, np.array([0.0])),
        hours_by_day(DAYS[:1], np.full((1, 24), np.nan)),
        reporting_intervals((0, 2, 5), (0, 0, 0)),
        lengths_and_durations(none, none, none, none),
        types_and_flags({}, {}),
        feature_distributions({}),
        shuffle_evidence(none, none.astype(np.int64), 0.0, 86_400.0),
        error_by_horizon({"windows": 0, "vessels": 0}),
        funnel({"rows of the source's files": Ledger()}),
    ]
