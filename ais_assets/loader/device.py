"""Batches on their way to the accelerator: each one is copied while its predecessor is computed on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

Provenance = dict[str, torch.Tensor]
Batch = torch.Tensor | tuple[torch.Tensor, Provenance]


def destination(device: str | torch.device | None, pin_memory: bool) -> tuple[torch.device | None, bool]:
    """The device, and whether batches begin in pinned memory. Raises ValueError where that cannot be."""
    to = None if device is None else torch.device(device)
    pin_memory = pin_memory or (to is not None and to.type == "cuda")
    if pin_memory and not torch.cuda.is_available():
        raise ValueError("pin_memory and device='cuda' need a CUDA device, and torch finds none")
    return to, pin_memory


def check_worker(device: torch.device | None, *, pin_memory: bool) -> None:
    """Raises ValueError where a DataLoader worker would have to do what only the training process can."""
    if device is not None or pin_memory:
        what = "pin memory" if device is None else "copy to a device"
        raise ValueError(
            f"a DataLoader worker cannot {what}: iterate the dataset itself (num_workers=0), "
            "or give neither device nor pin_memory here and use the DataLoader's pin_memory"
        )


def features_of(batch: Batch) -> torch.Tensor:
    """The windows of a batch, with or without provenance."""
    return batch if isinstance(batch, torch.Tensor) else batch[0]


def each_tensor(batch: Batch, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
    """The batch with every tensor of it changed."""
    if isinstance(batch, torch.Tensor):
        return change(batch)
    features, provenance = batch
    return change(features), {name: change(column) for name, column in provenance.items()}


def delivered(batches: Iterator[Batch], device: torch.device | None, epoch: Callable[[], int]) -> Iterator[Batch]:
    """An epoch's batches, on the device if there is one, for as long as `epoch` says the same.

    Raises RuntimeError once another epoch was begun.
    """
    this_epoch = epoch()
    for batch in batches if device is None else on_device(batches, device):
        if this_epoch != epoch():
            raise RuntimeError("another epoch of this dataset was begun: one can be iterated at a time")
        yield batch


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
