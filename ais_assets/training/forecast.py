"""What a forecaster sees and what it should say, in nautical miles ahead and to the right of the last position seen.

Latitude and longitude as they are would make a network learn the map. Seen from the ship on her course, all places and
courses are the same: each position becomes its distance ahead and to the right of the last one seen, and so do the
horizons' true positions. A flat plane is good enough for the hour ahead, and at ±180° nothing jumps; errors are
great-circle distances all the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch

from ais_assets import schema
from ais_assets.loader.normalize import split_input_target
from ais_assets.transforms.dead_reckoning import LONGEST_SILENCE_SECONDS
from ais_assets.transforms.geodesy import EARTH_RADIUS_METRES, METRES_PER_NAUTICAL_MILE

INPUTS: Final = ("ahead", "right", "sog", "sin(turn)", "cos(turn)", "dt")

_LAT, _LON, _SOG, _COG, _DT = (schema.FEATURE_NAMES.index(name) for name in ("lat", "lon", "sog", "cog", "dt_seconds"))
_RADIUS_NM: Final = EARTH_RADIUS_METRES / METRES_PER_NAUTICAL_MILE
_MILES_PER_DEGREE: Final = _RADIUS_NM * math.pi / 180
_LEAST_COSINE: Final = 1e-6
"""At a pole a longitude says nothing; the plane must not be of no width."""


def inputs(batch: torch.Tensor, seq_len: int = schema.SEQ_LEN) -> torch.Tensor:
    """What the network sees, each about 1 in size.

    Args:
        batch: (B, window, 5) in the units of `schema.FEATURES`.
        seq_len: positions seen.

    Returns:
        (B, seq_len, 6), as in INPUTS: tens of nautical miles from the last position, tens of knots, sine and cosine
        of the course less the last one, the logarithm of 1 + seconds, by ten.
    """
    seen, _ = split_input_target(batch, seq_len)
    course = torch.deg2rad(seen[..., _COG] - seen[:, -1:, _COG])
    dt = torch.log1p(seen[..., _DT]) / 10
    motion = torch.stack([seen[..., _SOG] / 10, torch.sin(course), torch.cos(course), dt], dim=-1)
    return torch.cat([_from_last_seen(seen, seen[:, -1:]) / 10, motion], dim=-1)


def dead_reckoned(batch: torch.Tensor, minutes: Sequence[float], seq_len: int = schema.SEQ_LEN) -> torch.Tensor:
    """Where the last speed leads on the last course: (B, horizons, 2), nautical miles ahead and, none, to the right."""
    ahead = batch[:, seq_len - 1, _SOG, None] * torch.tensor(minutes, dtype=batch.dtype, device=batch.device) / 60
    return torch.stack([ahead, torch.zeros_like(ahead)], dim=-1)


def truths(
    batch: torch.Tensor, minutes: Sequence[float], seq_len: int = schema.SEQ_LEN
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the ship really was at each horizon.

    Args:
        batch: (B, window, 5) in the units of `schema.FEATURES`.
        minutes: horizons, from the last position seen on.
        seq_len: positions seen.

    Returns:
        (B, horizons, 2) nautical miles ahead and to the right of the last position seen, interpolated in time, and a
        mask (B, horizons): False where the window ends before the horizon or has a silence of more than 15 minutes
        around it, which `transforms.dead_reckoning` does not score either.
    """
    from_last = batch[:, seq_len - 1 :]
    # Whole seconds of at most 11.5 million in all: float32 is exact.
    elapsed = torch.cumsum(from_last[:, 1:, _DT], dim=1)
    horizons = 60 * torch.tensor(minutes, dtype=batch.dtype, device=batch.device)
    after = torch.searchsorted(elapsed, horizons.expand(len(batch), -1).contiguous())
    reached = after < elapsed.shape[1]
    after = after.clamp(max=elapsed.shape[1] - 1)
    arrival, silence = elapsed.gather(1, after), from_last[:, 1:, _DT].gather(1, after)
    scored = reached & ((silence <= LONGEST_SILENCE_SECONDS) | (arrival == horizons))
    places = _from_last_seen(from_last, from_last[:, :1])
    pairs = after[..., None].expand(-1, -1, 2)
    start, end = places.gather(1, pairs), places.gather(1, pairs + 1)
    share = 1 - (arrival - horizons) / silence.clamp(min=1)
    return start + share[..., None] * (end - start), scored


def error_miles(
    forecast: torch.Tensor, truth: torch.Tensor, batch: torch.Tensor, seq_len: int = schema.SEQ_LEN
) -> torch.Tensor:
    """Great-circle distance (haversine) of two places that are given from the last position seen.

    Args:
        forecast: (B, horizons, 2) nautical miles ahead and to the right.
        truth: the same.
        batch: (B, window, 5) the windows they are of.
        seq_len: positions seen.

    Returns:
        (B, horizons) nautical miles, float64.
    """
    last = batch[:, seq_len - 1, None].double()
    (lat_a, lon_a), (lat_b, lon_b) = (_place(miles.double(), last) for miles in (forecast, truth))
    across = torch.cos(lat_a) * torch.cos(lat_b) * torch.sin((lon_b - lon_a) / 2) ** 2
    haversine = torch.sin((lat_b - lat_a) / 2) ** 2 + across
    return 2 * _RADIUS_NM * torch.asin(haversine.clamp(0, 1).sqrt())


def _from_last_seen(positions: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """Nautical miles ahead and to the right of a position on its course: (B, n, 5) and (B, 1, 5) to (B, n, 2)."""
    # Subtracted in degrees: large numbers of miles would lose the metres.
    east = torch.remainder(positions[..., _LON] - last[..., _LON] + 180, 360) - 180
    north = (positions[..., _LAT] - last[..., _LAT]) * _MILES_PER_DEGREE
    east = east * _cosine(last[..., _LAT]) * _MILES_PER_DEGREE
    sine, cosine = _course(last)
    return torch.stack([north * cosine + east * sine, east * cosine - north * sine], dim=-1)


def _place(miles: torch.Tensor, last: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The inverse: latitude and longitude in radians, (B, n) each."""
    ahead, right = miles[..., 0], miles[..., 1]
    sine, cosine = _course(last)
    north, east = ahead * cosine - right * sine, ahead * sine + right * cosine
    lat = last[..., _LAT] + north / _MILES_PER_DEGREE
    lon = last[..., _LON] + east / (_MILES_PER_DEGREE * _cosine(last[..., _LAT]))
    return torch.deg2rad(lat), torch.deg2rad(lon)


def _course(positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    course = torch.deg2rad(positions[..., _COG])
    return torch.sin(course), torch.cos(course)


def _cosine(lat: torch.Tensor) -> torch.Tensor:
    return torch.cos(torch.deg2rad(lat)).clamp(min=_LEAST_COSINE)
