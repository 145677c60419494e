"""What a forecaster sees and what it should say, in nautical miles and knots ahead and to the right.

Latitude and longitude as they are would make a network learn the map. Seen from the ship on her course, all places and
courses are the same: each position becomes its distance ahead and to the right of the last one seen. That is a flat
plane, which is good enough to look at; nothing is measured on it. What the network says is how far off dead reckoning
is: how far, and in which direction from her course, the ship will be from where it has her, on the ellipsoid, as the
baselines and all errors are (`transforms.geodesy`), and how much faster she will go ahead and to the right.

It learns from what was received alone: a speed or course that the feed held, or a place that lies between two that were
heard on a time grid, is no truth to be off from.
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
from ais_assets.transforms.dead_reckoning import (
    Around,
    Places,
    Values,
    around_horizons,
    dead_reckoned,
    true_places,
)
from ais_assets.transforms.geodesy import (
    EARTH_RADIUS_METRES,
    METRES_PER_NAUTICAL_MILE,
    ellipsoid_metres,
    great_circle_bearing,
    rhumb_destination,
)

INPUTS: Final = ("ahead", "right", "sog", "sin(turn)", "cos(turn)", "dt", "sog held", "course held")
OUTPUTS: Final = ("miles ahead", "miles right", "knots ahead", "knots right")

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
    features: NDArray[np.float32],
    minutes: Sequence[float],
    seq_len: int = schema.SEQ_LEN,
    received: NDArray[np.bool_] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the network should say: how far off dead reckoning is at each horizon, in place and in motion.

    Args:
        features: (B, window, 5) in the units of `schema.FEATURES`.
        minutes: horizons, from the time of the last position seen on.
        seq_len: positions seen.
        received: bool (B, window, 5), the loader's mask: which values are not held and not interpolated; None: nobody
            knows, so all.

    Returns:
        (B, horizons, 4) float32, as in OUTPUTS, ahead and to the right of the last course; and the loss's mask, bool
        (B, horizons, 4): False, and the value 0, where `transforms.dead_reckoning` does not score, or what was not
        received would be learned.
    """
    around = around_horizons(features, seq_len, minutes)
    values = np.concatenate([_place_off(features, minutes, seq_len), _motion_off(features, around, seq_len)], axis=-1)
    scored = ~np.isnan(around.share)[..., None] & np.ones(len(OUTPUTS), np.bool_)
    if received is not None:
        scored &= _known(around, received)
    return torch.from_numpy(np.where(scored, values, 0).astype(np.float32)), torch.from_numpy(scored)


def _place_off(features: NDArray[np.float32], minutes: Sequence[float], seq_len: int) -> Values:
    """Nautical miles ahead and to the right from the reckoned place to the true one: (B, horizons, 2)."""
    reckoned = dead_reckoned(features, seq_len, minutes)
    truth = true_places(features, seq_len, minutes)
    scored = ~np.isnan(truth.lat)
    lat, lon = (np.where(scored, there, here) for there, here in zip(truth, reckoned, strict=True))
    miles = ellipsoid_metres(*reckoned, lat, lon) / METRES_PER_NAUTICAL_MILE
    off_course = np.radians(great_circle_bearing(*reckoned, lat, lon) - _last_course(features, seq_len))
    return np.stack([miles * np.cos(off_course), miles * np.sin(off_course)], axis=-1)


def _motion_off(features: NDArray[np.float32], around: Around, seq_len: int) -> Values:
    """Knots ahead and to the right from the motion that dead reckoning holds to the true one: (B, horizons, 2)."""
    turn = np.radians(features[..., _COG].astype(np.float64) - _last_course(features, seq_len))
    sog = features[..., _SOG].astype(np.float64)
    motion = np.stack([sog * np.cos(turn), sog * np.sin(turn)], axis=-1)
    rows = np.arange(len(features))[:, None]
    share = np.nan_to_num(around.share)[..., None]
    there = (1 - share) * motion[rows, around.before] + share * motion[rows, around.after]
    return there - motion[:, seq_len - 1, None]


def _known(around: Around, received: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether the positions that a horizon lies between were received, in what each output is made from."""
    rows = np.arange(len(received))[:, None]
    # A position at the very horizon says all of it.
    both = received[rows, around.after] & (received[rows, around.before] | (around.share == 1)[..., None])
    place, motion = (both[..., columns].all(axis=-1) for columns in ([_LAT, _LON], [_SOG, _COG]))
    return np.stack([place, place, motion, motion], axis=-1)


def corrected(
    miles: NDArray[np.float32], features: NDArray[np.float32], minutes: Sequence[float], seq_len: int = schema.SEQ_LEN
) -> Places:
    """Where dead reckoning and the network's corrections, (B, horizons, 2 or all of OUTPUTS), have the ship."""
    reckoned = dead_reckoned(features, seq_len, minutes)
    ahead, right = np.moveaxis(miles[..., :2].astype(np.float64), -1, 0)
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
