"""The way to the accelerator: the loader's batches beside a bare copy, and a GRU's steps that wait for them or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import chain, repeat

import numpy as np
import torch

from ais_assets import schema
from ais_assets.bench._loader_contenders import Epoch, ours
from ais_assets.bench._loader_data import Windows
from ais_assets.loader.normalize import normalize_batch

_HIDDEN = 256
_COPIES = 64
"""Batches copied before the clock is looked at."""


@lru_cache(maxsize=1)
def _loader(windows: Windows, device: str, batch_size: int) -> Epoch:
    return ours(windows, batch_size, device=device)


@lru_cache(maxsize=1)
def _one_batch(windows: Windows, device: str, batch_size: int) -> torch.Tensor:
    """A batch in host memory, pinned where the device is a CUDA one."""
    batch = torch.from_numpy(np.array(np.load(windows.matrix, mmap_mode="r")[:batch_size]))
    return batch.pin_memory() if device.startswith("cuda") else batch


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def prepare_copy(windows: Windows, device: str, batch_size: int, seconds: float) -> None:
    """Copies once, which starts CUDA."""
    _one_batch(windows, device, batch_size).to(device)


def copy(windows: Windows, device: str, batch_size: int, seconds: float) -> float:
    """Copies one batch to the device again and again; returns the windows copied."""
    batch = _one_batch(windows, device, batch_size)
    return _timed(lambda: repeat(batch, _COPIES), lambda batch: batch.to(device, non_blocking=True), device, seconds)


def prepare_arrive(windows: Windows, device: str, batch_size: int, seconds: float) -> None:
    """Reads an epoch, which starts CUDA and pins memory."""
    _timed(_loader(windows, device, batch_size), lambda batch: batch, device, 0.0)


def arrive(windows: Windows, device: str, batch_size: int, seconds: float) -> float:
    """Reads epochs whose batches arrive on the device; returns their windows."""
    return _timed(_loader(windows, device, batch_size), lambda batch: batch, device, seconds)


def prepare_train(windows: Windows, device: str, batch_size: int, fed: bool, seconds: float) -> None:
    """Takes some steps."""
    train(windows, device, batch_size, fed, 0.0)


def train(windows: Windows, device: str, batch_size: int, fed: bool, seconds: float) -> float:
    """Trains a GRU on the loader's batches, or for comparison on one that is there; returns the windows.

    The difference between the two is what a step waits for its batch.
    """
    if fed:
        return _timed(_loader(windows, device, batch_size), _stepper(device), device, seconds)
    resident = _one_batch(windows, device, batch_size).to(device)
    batches = -(-windows.samples // batch_size)
    return _timed(lambda: repeat(resident, batches), _stepper(device), device, seconds)


@lru_cache(maxsize=1)
def _stepper(device: str) -> Callable[[torch.Tensor], object]:
    """A step of a GRU that forecasts the next position from the former ones."""
    torch.manual_seed(0)
    gru = torch.nn.GRU(schema.FEATURE_COUNT, _HIDDEN, batch_first=True).to(device)
    head = torch.nn.Linear(_HIDDEN, schema.FEATURE_COUNT).to(device)
    optimizer = torch.optim.Adam(chain(gru.parameters(), head.parameters()))

    def step(batch: torch.Tensor) -> None:
        scaled = normalize_batch(batch)
        loss = torch.nn.functional.mse_loss(head(gru(scaled[:, :-1])[0]), scaled[:, 1:])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def _timed(epoch: Epoch, use: Callable[[torch.Tensor], object], device: str, seconds: float) -> float:
    """Uses every batch of whole epochs, one at least, until the time is over; returns the windows."""
    windows = 0
    deadline = time.perf_counter() + seconds
    while True:
        batches: Iterator[torch.Tensor] = epoch()
        for batch in batches:
            use(batch)
            windows += len(batch)
        # Only then has the device done what it was asked for.
        _wait(device)
        if time.perf_counter() >= deadline:
            return windows
