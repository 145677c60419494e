"""What a forecaster sees and what it should say, in nautical miles ahead and to the right.

Latitude and longitude as they are would make a network learn the map. Seen from the ship on her course, all places and
courses are the same: each position becomes its distance ahead and to the right of the last one seen. That is a flat
plane, which is good enough to look at; nothing is measured on it. What the network says is how far, and in which
direction from her course, the ship will be from where dead reckoning has her: on the ellipsoid, as the baselines and
all errors are (`transforms.geodesy`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.loader.normalize import split_input_target
from ais_assets.transforms.dead_reckoning import Places, Values, dead_reckoned, true_places
from ais_assets.transforms.geodesy import (
    EARTH_RADIUS_METRES,
    METRES_PER_NAUTICAL_MILE,
    ellipsoid_metres,
    great_circle_bearing,
    rhumb_destination,
)

INPUTS: Final = ("ahead", "right", "sog", "sin(turn)", "cos(turn)", "dt", "sog held", "course held")

_LAT, _LON, _SOG, _COG, _DT = (schema.FEATURE_NAMES.index(name) for name in ("lat", "lon", "sog", "cog", "dt_seconds"))
_MILES_PER_DEGREE: Final = math.radians(EARTH_RADIUS_METRES) / METRES_PER_NAUTICAL_MILE
_LEAST_COSINE: Final = 1e-6
"""At a pole a longitude says nothing; the plane must not be of no width."""


def inputs(batch: torch.Tensor, seq_len: int = schema.SEQ_LEN, received: torch.Tensor | None = None) -> torch.Tensor:
    """What the network sees, each about 1 in size.

    Args:
        batch: (B, window, 5) in the units of `schema.FEATURES`.
        seq_len: positions seen.
        received: bool (B, window, 5), the loader's mask: which values are not held; None: nobody knows, so all.

    Returns:
        (B, seq_len, 8), as in INPUTS: tens of nautical miles from the last position, tens of knots, sine and cosine
        of the course less the last one, the logarithm of 1 + seconds, by ten; 1 where SOG or course is only held.
    """
    seen, _ = split_input_target(batch, seq_len)
    course = torch.deg2rad(seen[..., _COG] - seen[:, -1:, _COG])
    dt = torch.log1p(seen[..., _DT]) / 10
    motion = torch.stack([seen[..., _SOG] / 10, torch.sin(course), torch.cos(course), dt], dim=-1)
    held = (
        torch.zeros_like(seen[..., :2]) if received is None else (~received[:, :seq_len, [_SOG, _COG]]).to(seen.dtype)
    )
    return torch.cat([_from_last_seen(seen, seen[:, -1:]) / 10, motion, held], dim=-1)


def corrections(
    features: NDArray[np.float32], minutes: Sequence[float], seq_len: int = schema.SEQ_LEN
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the network should say: where the ship really was at each horizon, from where dead reckoning has her.

    Args:
        features: (B, window, 5) in the units of `schema.FEATURES`.
        minutes: horizons, from the time of the last position seen on.
        seq_len: positions seen.

    Returns:
        (B, horizons, 2) float32 nautical miles ahead and to the right of the last course, and a mask (B, horizons):
        False, and the miles 0, where `transforms.dead_reckoning` does not score.
    """
    reckoned = dead_reckoned(features, seq_len, minutes)
    truth = true_places(features, seq_len, minutes)
    scored = ~np.isnan(truth.lat)
    lat, lon = (np.where(scored, there, here) for there, here in zip(truth, reckoned, strict=True))
    miles = ellipsoid_metres(*reckoned, lat, lon) / METRES_PER_NAUTICAL_MILE
    off_course = np.radians(great_circle_bearing(*reckoned, lat, lon) - _last_course(features, seq_len))
    ahead_right = np.stack([miles * np.cos(off_course), miles * np.sin(off_course)], axis=-1)
    return torch.from_numpy(ahead_right.astype(np.float32)), torch.from_numpy(scored)


def corrected(
    miles: NDArray[np.float32], features: NDArray[np.float32], minutes: Sequence[float], seq_len: int = schema.SEQ_LEN
) -> Places:
    """Where dead reckoning and the network's corrections, (B, horizons, 2), have the ship: the inverse."""
    reckoned = dead_reckoned(features, seq_len, minutes)
    ahead, right = np.moveaxis(miles.astype(np.float64), -1, 0)
    course = _last_course(features, seq_len) + np.degrees(np.arctan2(right, ahead))
    return Places(*rhumb_destination(*reckoned, course, np.hypot(ahead, right) * METRES_PER_NAUTICAL_MILE))


def _last_course(features: NDArray[np.float32], seq_len: int) -> Values:
    return features[:, seq_len - 1, _COG, None].astype(np.float64)


def _from_last_seen(positions: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """Nautical miles ahead and to the right of a position on its course: (B, n, 5) and (B, 1, 5) to (B, n, 2)."""
    # Subtracted in degrees: large numbers of miles would lose the metres.
    east = torch.remainder(positions[..., _LON] - last[..., _LON] + 180, 360) - 180
    north = (positions[..., _LAT] - last[..., _LAT]) * _MILES_PER_DEGREE
    east = east * _cosine(last[..., _LAT]) * _MILES_PER_DEGREE
    sine, cosine = _course(last)
    return torch.stack([north * cosine + east * sine, east * cosine - north * sine], dim=-1)


def _course(positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    course = torch.deg2rad(positions[..., _COG])
    return torch.sin(course), torch.cos(course)


def _cosine(lat: torch.Tensor) -> torch.Tensor:
    return torch.cos(torch.deg2rad(lat)).clamp(min=_LEAST_COSINE)
