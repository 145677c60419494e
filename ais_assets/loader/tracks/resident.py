"""Packed positions kept in an accelerator's memory, and windows gathered there.

Some 12 bytes a position are copied once, and of each batch only where its windows begin.

The kernel is Triton's, which torch brings on Linux. Each of its programs decodes a stretch of one window, with the same
arithmetic as `transforms.windows.gather`, so batches are the same to the bit.
"""

# Triton's language only looks like Python to a type checker.
# pyright: reportArgumentType=false, reportAssignmentType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ais_assets.loader.errors import LoaderError
from ais_assets.loader.tracks import channels as of_host
from ais_assets.loader.tracks.packed_tracks import HEADING_BITS, NO_HEADING, NO_STATUS, PackedRows
from ais_assets.transforms import windows as packed

try:
    import triton
    import triton.language as tl
except ImportError as error:
    raise LoaderError(
        "resident=True gathers windows by a Triton kernel, and triton is not installed: torch's builds for Linux bring "
        "it; or leave resident out, and batches are copied while their predecessors are computed on"
    ) from error

_BLOCK: Final = 256
"""Positions that a program decodes."""
_PIECE: Final = 1 << 24
"""Numbers that are copied to the device at once."""

_WORDS = tl.constexpr(packed.PACKED_WORDS)
_LAT_MASK = tl.constexpr(packed.LAT_MASK)
_LON_MASK = tl.constexpr(packed.LON_MASK)
_LAT_OFFSET = tl.constexpr(packed.LAT_OFFSET)
_LON_OFFSET = tl.constexpr(packed.LON_OFFSET)
_LAT_BITS = tl.constexpr(packed.LAT_BITS)
_LON_BITS = tl.constexpr(packed.LON_BITS)
_DT_BITS = tl.constexpr(packed.DT_BITS)
_DT_MASK = tl.constexpr(packed.DT_MASK)
_COG_MASK = tl.constexpr(packed.COG_MASK)
_SOG_LOW_BITS = tl.constexpr(packed.SOG_LOW_BITS)
_SOG_HIGH_SHIFT = tl.constexpr(packed.SOG_HIGH_SHIFT)
_DEGREES_PER_STEP = tl.constexpr(packed.DEGREES_PER_STEP)
_TENTH = tl.constexpr(packed.TENTH)
_HEADING_BITS = tl.constexpr(HEADING_BITS)
_NO_HEADING = tl.constexpr(NO_HEADING)
_NO_STATUS = tl.constexpr(NO_STATUS)
_LAT = tl.constexpr(of_host.LAT)
_LON = tl.constexpr(of_host.LON)
_SOG = tl.constexpr(of_host.SOG)
_COG = tl.constexpr(of_host.COG)
_DT = tl.constexpr(of_host.DT)
_COURSE_SIN = tl.constexpr(of_host.COURSE_SIN)
_COURSE_COS = tl.constexpr(of_host.COURSE_COS)
_SOG_HELD = tl.constexpr(of_host.SOG_HELD)
_HEADING = tl.constexpr(of_host.HEADING)
_HEADING_SIN = tl.constexpr(of_host.HEADING_SIN)
_HEADING_COS = tl.constexpr(of_host.HEADING_COS)
_STATUS = tl.constexpr(of_host.STATUS)


class DeviceWindows(NamedTuple):
    """Windows in the device's memory."""

    features: torch.Tensor
    """float32 (k, window_len, c)."""
    mask: torch.Tensor | None
    """bool (k, window_len, c): what was received; None: not asked for."""
    seconds: torch.Tensor | None
    """int64 (k, window_len): since the window's first position; None: not asked for."""


class ResidentTracks:
    """All packed positions in a device's memory.

    Args:
        rows: all of them, on the host.
        numbers: int64 (c,), the channels that windows will have, as `channel_numbers` has them.
        device: where to.

    Raises LoaderError where the device has no room for them.
    """

    def __init__(self, rows: PackedRows, numbers: NDArray[np.int64], device: torch.device) -> None:
        self._numbers = tuple(numbers.tolist())
        of_channels = rows.channels if of_host.needs_channels(numbers) else rows.channels[:0]
        _require_room(rows.positions.nbytes + of_channels.nbytes, device)
        self._device = device
        self._positions = _copied(rows.positions.reshape(-1).view(np.int32), device)
        self._channels = _copied(of_channels.view(np.int16), device)
        self._sines = _copied(of_host.SINES, device)
        self._cosines = _copied(of_host.COSINES, device)

    def windows(self, begin: NDArray[np.int64], window_len: int, *, mask: bool, seconds: bool) -> DeviceWindows:
        """Windows that begin at these rows, int64 (k,); the host does not wait for them."""
        shape = len(begin), window_len, len(self._numbers)
        features = torch.empty(shape, dtype=torch.float32, device=self._device)
        received = torch.empty(shape if mask else (0,), dtype=torch.uint8, device=self._device)
        elapsed = torch.empty(shape[:2] if seconds else (0,), dtype=torch.int64, device=self._device)
        _gather[len(begin), triton.cdiv(window_len, _BLOCK)](
            (self._positions, self._channels, self._sines, self._cosines),
            self.of_batch(begin),
            (features, received, elapsed),
            window_len,
            self._numbers,
            mask,
            seconds,
            _BLOCK,
        )
        return DeviceWindows(
            features,
            received.view(torch.bool) if mask else None,
            torch.cumsum(elapsed, 1) if seconds else None,
        )

    def of_batch(self, column: NDArray[np.int64]) -> torch.Tensor:
        """A batch's column, on its way to the device."""
        here = torch.from_numpy(np.ascontiguousarray(column))
        if self._device.type == "cuda":
            here = here.pin_memory()
        return here.to(self._device, non_blocking=True)


def is_interpreted() -> bool:
    """Whether Triton interprets kernels, on the CPU (TRITON_INTERPRET=1), as tests have it."""
    return bool(triton.knobs.runtime.interpret)  # pyright: ignore[reportAttributeAccessIssue]


def _require_room(needed: int, device: torch.device) -> None:
    if device.type != "cuda":
        return
    free, total = torch.cuda.mem_get_info(device)
    if needed > free:
        raise LoaderError(
            f"the packed positions take {needed / 1e9:.1f} GB, and {device} has {free / 1e9:.1f} of "
            f"{total / 1e9:.1f} GB free: leave resident out, or train on fewer tracks"
        )


def _copied(values: NDArray[Any], device: torch.device) -> torch.Tensor:
    """The numbers in the device's memory, by way of pieces: maps of files are read-only, and larger than memory."""
    kind = torch.from_numpy(np.empty(0, values.dtype)).dtype
    there = torch.empty(max(1, len(values)), dtype=kind, device=device)
    for first in range(0, len(values), _PIECE):
        piece = np.array(values[first : first + _PIECE])
        there[first : first + len(piece)].copy_(torch.from_numpy(piece))
    return there


@triton.jit
def _gather(  # noqa: PLR0917 - a kernel has no keywords
    tables,
    begins,
    outputs,
    window_len,
    channels: tl.constexpr,
    masked: tl.constexpr,
    timed: tl.constexpr,
    block: tl.constexpr,
):
    """Decodes a block of positions of a window, as `channels.cut_windows` does."""
    positions, of_channels, sines, cosines = tables
    features, received, elapsed = outputs
    window = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * block + tl.arange(0, block)
    inside = place < window_len
    row = tl.load(begins + window) + place
    into = window * window_len + place
    first = tl.load(positions + _WORDS * row, mask=inside, other=0).to(tl.uint32, bitcast=True)
    second = tl.load(positions + _WORDS * row + 1, mask=inside, other=0).to(tl.uint32, bitcast=True)
    third = tl.load(positions + _WORDS * row + 2, mask=inside, other=0).to(tl.uint32, bitcast=True)
    if timed:
        seconds = (third & _DT_MASK).to(tl.int64)
        tl.store(elapsed + into, tl.where(place > 0, seconds, 0), mask=inside)
    count: tl.constexpr = len(channels)
    for c in tl.static_range(count):
        channel: tl.constexpr = channels[c]
        if channel < _HEADING:
            value = _of_position(first, second, third, sines, cosines, channel)
            known = _is_received(second, channel)
        else:
            word = tl.load(of_channels + row, mask=inside, other=0).to(tl.uint16, bitcast=True).to(tl.int32)
            known = (
                ((word >> _HEADING_BITS) != _NO_STATUS) if channel == _STATUS else (word & _NO_HEADING) != _NO_HEADING
            )
            value = tl.where(known, _of_channels(word, sines, cosines, channel), float("nan"))
        tl.store(features + into * count + c, value, mask=inside)
        if masked:
            tl.store(received + into * count + c, known.to(tl.uint8), mask=inside)


@triton.jit
def _of_position(first, second, third, sines, cosines, channel: tl.constexpr):  # noqa: PLR0917 - as above
    """A channel's value, float32, of packed positions."""
    cog = ((third >> _DT_BITS) & _COG_MASK).to(tl.int32)
    held = (second >> _LON_BITS).to(tl.int32)
    if channel == _LAT:
        value = _scaled((first & _LAT_MASK).to(tl.int32) - _LAT_OFFSET, _DEGREES_PER_STEP)
    elif channel == _LON:
        value = _scaled((second & _LON_MASK).to(tl.int32) - _LON_OFFSET, _DEGREES_PER_STEP)
    elif channel == _SOG:
        value = _scaled(((first >> _LAT_BITS) | ((third >> _SOG_HIGH_SHIFT) << _SOG_LOW_BITS)).to(tl.int32), _TENTH)
    elif channel == _COG:
        value = _scaled(cog, _TENTH)
    elif channel == _DT:
        value = (third & _DT_MASK).to(tl.int32).to(tl.float32)
    elif channel == _COURSE_SIN:
        value = tl.load(sines + cog)
    elif channel == _COURSE_COS:
        value = tl.load(cosines + cog)
    else:
        value = ((held >> (channel - _SOG_HELD)) & 1).to(tl.float32)
    return value


@triton.jit
def _of_channels(word, sines, cosines, channel: tl.constexpr):
    """A channel's value, float32, of packed headings and statuses; of one that is missing, any."""
    heading = tl.minimum(word & _NO_HEADING, 360)
    if channel == _STATUS:
        value = (word >> _HEADING_BITS).to(tl.float32)
    elif channel == _HEADING_SIN:
        value = tl.load(sines + 10 * heading)
    elif channel == _HEADING_COS:
        value = tl.load(cosines + 10 * heading)
    else:
        value = heading.to(tl.float32)
    return value


@triton.jit
def _is_received(second, channel: tl.constexpr):
    """Whether a value of a packed position is what the ship sent: SOG and courses may be held."""
    held = second >> _LON_BITS
    if channel == _SOG:
        received = (held & 1) == 0
    elif channel == _COG or channel == _COURSE_SIN or channel == _COURSE_COS:  # noqa: PLR1714, SIM109 - no `in`
        received = (held & 2) == 0
    else:
        received = held < 4
    return received


@triton.jit
def _scaled(steps, unit: tl.constexpr):
    """Whole numbers of a unit as float32, by way of a product in double precision."""
    return (steps.to(tl.float64) * tl.full((), unit, tl.float64)).to(tl.float32)
