"""Scaling of batches and their division into what a model sees and what it forecasts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch

from ais_assets import schema

_COURSE: Final = schema.FEATURE_NAMES.index("cog")
_LOW: Final = tuple(feature.low for feature in schema.FEATURES)
_SPAN: Final = tuple(feature.high - feature.low for feature in schema.FEATURES)

_LONGEST_ROW: Final = 4096
"""Positions of a window whose offsets and scales are kept for each position."""
_MOST_KEPT: Final = 64
_CONSTANTS: dict[tuple[tuple[float, ...], int, torch.dtype, torch.device], torch.Tensor] = {}
"""What `_kept` has made."""


def normalize_batch(
    batch: torch.Tensor, statistics: Mapping[str, Any] | None = None, *, course_as_sine_cosine: bool = False
) -> torch.Tensor:
    """Scales each feature: its range to 0…1, or, with `statistics`, to mean 0 and standard deviation 1.

    Args:
        batch: (..., 5), floating, on any device; not changed. Half precision is scaled in float32.
        statistics: the content of mds/statistics.json; a feature that never varies is only centred.
        course_as_sine_cosine: the course becomes two features, its sine and cosine, which are not scaled any
            further: the result is (..., 6), `lat, lon, sog, sin(cog), cos(cog), dt_seconds`. North is then no jump.

    Returns:
        (..., 5) or (..., 6), of the batch's dtype and device.

    Raises:
        ValueError: the last dimension is not the 5 features.
        TypeError: the batch is not floating.
    """
    _check(batch, schema.FEATURE_COUNT)
    work = _computable(batch)
    rows, offset, scale = _rows(work, offsets_and_scales(statistics))
    # The difference is new memory, which the quotient may take.
    scaled = (rows - offset).div_(scale).view(work.shape)
    if course_as_sine_cosine:
        angle = torch.deg2rad(work[..., _COURSE])
        course = torch.stack([torch.sin(angle), torch.cos(angle)], dim=-1)
        scaled = torch.cat([scaled[..., :_COURSE], course, scaled[..., _COURSE + 1 :]], dim=-1)
    return scaled.to(batch.dtype)


def normalize_in_place(batch: torch.Tensor, statistics: Mapping[str, Any] | None = None) -> None:
    """As `normalize_batch`, in the batch's own memory: for one that nobody else has yet."""
    scale_in_place(batch, *offsets_and_scales(statistics))


def scale_in_place(batch: torch.Tensor, offsets: tuple[float, ...], scales: tuple[float, ...]) -> None:
    """Takes an offset from each feature and divides it by a scale, in the batch's own memory: (..., features)."""
    rows, offset, scale = _rows(batch, (offsets, scales))
    rows.sub_(offset).div_(scale)


def check_normalize(normalize: str | Mapping[str, Any] | None, names: Sequence[str]) -> None:
    """Raises ValueError unless it is one of these names, statistics with every feature's, or None."""
    if isinstance(normalize, Mapping):
        offsets_and_scales(normalize)
    elif normalize is not None and normalize not in names:
        raise ValueError(
            f"normalize is {normalize!r}; it must be one of {', '.join(map(repr, names))}, the content of a "
            "statistics.json, or None"
        )


def denormalize_batch(
    batch: torch.Tensor, statistics: Mapping[str, Any] | None = None, *, course_as_sine_cosine: bool = False
) -> torch.Tensor:
    """The inverse of `normalize_batch` with the same options: (..., 5) in the features' units.

    Sine and cosine need not lie on the unit circle, as a model's will not; the course is their angle, 0 to 360.
    """
    _check(batch, schema.FEATURE_COUNT + int(course_as_sine_cosine))
    work = _computable(batch)
    course = None
    if course_as_sine_cosine:
        course = torch.rad2deg(torch.atan2(work[..., _COURSE], work[..., _COURSE + 1])) % 360
        work = torch.cat([work[..., : _COURSE + 1], work[..., _COURSE + 2 :]], dim=-1)
    rows, offset, scale = _rows(work, offsets_and_scales(statistics))
    features = (rows * scale).add_(offset).view(work.shape)
    if course is not None:
        features = torch.cat([features[..., :_COURSE], course.unsqueeze(-1), features[..., _COURSE + 1 :]], dim=-1)
    return features.to(batch.dtype)


def split_input_target(batch: torch.Tensor, seq_len: int = schema.SEQ_LEN) -> tuple[torch.Tensor, torch.Tensor]:
    """What a model sees and what it forecasts: views (B, seq_len, k) and (B, window − seq_len, k) of the batch.

    Raises ValueError where a window is not longer than `seq_len`.
    """
    if batch.ndim != 3:
        raise ValueError(f"a batch has 3 dimensions (windows, positions, features); this one has {tuple(batch.shape)}")
    if not 0 < seq_len < batch.shape[1]:
        raise ValueError(
            f"seq_len is {seq_len}; a window of {batch.shape[1]} positions needs 1 to {batch.shape[1] - 1}"
        )
    return batch[:, :seq_len], batch[:, seq_len:]


def _check(batch: torch.Tensor, features: int) -> None:
    if batch.shape[-1] != features:
        raise ValueError(f"the last dimension is {batch.shape[-1]}; it must be the {features} features")
    if not batch.is_floating_point():
        raise TypeError(f"the batch is {batch.dtype}; it must be floating")


def _computable(batch: torch.Tensor) -> torch.Tensor:
    """Half precision knows a longitude to a tenth of a degree at best: 180 and 179.9 must not be subtracted in it."""
    return batch.float() if batch.dtype in (torch.float16, torch.bfloat16) else batch


def offsets_and_scales(statistics: Mapping[str, Any] | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What is taken from each of the five features, and what it is then divided by; without statistics, its range.

    Raises ValueError for statistics without a finite mean and std of every feature.
    """
    if statistics is None:
        return _LOW, _SPAN
    try:
        of_features = [statistics["features"][name] for name in schema.FEATURE_NAMES]
        means = tuple(float(values["mean"]) for values in of_features)
        deviations = tuple(float(values["std"]) or 1.0 for values in of_features)
    except (KeyError, TypeError) as error:
        raise ValueError(f"the statistics have no mean and std of every feature ({error!r})") from error
    if not all(math.isfinite(value) for value in means + deviations):
        raise ValueError(f"the statistics, means {means} and deviations {deviations}, are not all finite")
    return means, deviations


def _rows(
    work: torch.Tensor, numbers: tuple[tuple[float, ...], tuple[float, ...]]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What to compute on, and the offsets and scales that broadcast over it.

    A window is one row where it lies in memory as one: five numbers at a time would take three times as long.
    """
    compiling = torch.compiler.is_compiling()
    positions = work.shape[-2] if work.ndim > 1 else 1
    if compiling or not work.is_contiguous() or positions > _LONGEST_ROW:
        positions = 1
    rows = work if positions == 1 else work.flatten(-2)
    # A subclass stands for something else, as a compiler's fake tensors do, and so must what it meets.
    make = _kept if type(work) is torch.Tensor and not compiling else _constant
    offset, scale = (make(values, positions, work.dtype, work.device) for values in numbers)
    return rows, offset, scale


def _kept(values: tuple[float, ...], positions: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """A constant, made once: making it anew for every batch would copy from the host and wait for the GPU."""
    key = values, positions, dtype, device
    if key not in _CONSTANTS:
        # A tensor made in inference mode could not be used in a later training step.
        with torch.inference_mode(mode=False):
            made = _constant(*key)
        if type(made) is not torch.Tensor:
            return made
        if len(_CONSTANTS) >= _MOST_KEPT:
            _CONSTANTS.clear()
        _CONSTANTS[key] = made
    return _CONSTANTS[key]


def _constant(values: tuple[float, ...], positions: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """The numbers, once for each position: (positions × 5,)."""
    return torch.tensor(values, dtype=dtype, device=device).repeat(positions)
