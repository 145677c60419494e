"""Batches on their way to the accelerator: each one is copied while its predecessor is computed on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

Provenance = dict[str, torch.Tensor]
Batch = torch.Tensor | tuple[torch.Tensor, Provenance]


def each_tensor(batch: Batch, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
    """The batch with every tensor of it changed."""
    if isinstance(batch, torch.Tensor):
        return change(batch)
    features, provenance = batch
    return change(features), {name: change(column) for name, column in provenance.items()}


def on_device(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """Copies batches to the device, one ahead of the batch that is yielded.

    On CUDA the copies run on a stream of their own, from pinned memory, and a batch's first use on the caller's
    stream waits for its copy; the host waits for nothing. PyTorch's allocator of pinned memory does not hand a
    block out again before the copy from it is done.
    """
    if device.type != "cuda":
        for batch in batches:
            yield each_tensor(batch, lambda tensor: tensor.to(device, non_blocking=True))
        return
    stream = torch.cuda.Stream(device)
    waiting: tuple[Batch, torch.cuda.Event] | None = None
    for batch in batches:
        with torch.cuda.stream(stream):
            copy = each_tensor(batch, lambda tensor: tensor.to(device, non_blocking=True))
            copied = torch.cuda.Event()
            copied.record(stream)
        if waiting is not None:
            yield _arrived(*waiting, device)
        waiting = copy, copied
    if waiting is not None:
        yield _arrived(*waiting, device)


def _arrived(batch: Batch, copied: torch.cuda.Event, device: torch.device) -> Batch:
    stream = torch.cuda.current_stream(device)
    stream.wait_event(copied)

    def used_here(tensor: torch.Tensor) -> torch.Tensor:
        # The copying stream must not reuse the memory before this stream is done with it.
        tensor.record_stream(stream)
        return tensor

    return each_tensor(batch, used_here)
