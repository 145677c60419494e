"""Batches on their way to a device: their content, and on CUDA the order of copies, waits and uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
import torch

from ais_assets.loader.device import Batch, on_device


def batches(count: int) -> Iterator[tuple[torch.Tensor, dict[str, torch.Tensor]]]:
    """Batches with provenance, each of its number."""
    for number in range(count):
        yield torch.full((2, 3, 5), float(number)), {"track": torch.tensor([number, number])}


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_features_and_provenance_arrive_in_order(device: str) -> None:
    arrived = list(on_device(iter(batches(3)), torch.device(device)))
    assert len(arrived) == 3
    for number, batch in enumerate(arrived):
        assert isinstance(batch, tuple)
        features, provenance = batch
        assert features.device.type == provenance["track"].device.type == device
        if device == "cpu":
            assert features.unique().tolist() == provenance["track"].unique().tolist() == [number]


class RecordedTensor(torch.Tensor):
    """A tensor that notes what CUDA would be asked to do with it."""

    asked: list[str]

    def to(self, *_args: object, non_blocking: bool = False, **_kwargs: object) -> RecordedTensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Notes the copy and the stream that it runs on."""
        assert non_blocking
        self.asked.append(f"copy {int(self[0])} on {self.log_stream()}")
        return self

    def record_stream(self, s: object) -> None:
        """Notes which stream uses the memory."""
        self.asked.append(f"{s} uses {int(self[0])}")

    def log_stream(self) -> str:
        """The stream that work is queued on now."""
        return next((line.split()[1] for line in reversed(self.asked) if line.startswith(("enter", "leave"))), "main")


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What CUDA is asked for, in order, without a CUDA device."""
    log: list[str] = []

    class Stream:
        def __init__(self, name: object) -> None:
            self.name = "main" if name == "main" else "copies"

        def wait_event(self, event: object) -> None:
            log.append(f"{self} waits for {event}")

        def __str__(self) -> str:
            return self.name

    class Event:
        def __init__(self) -> None:
            self.number = -1

        def record(self, stream: object) -> None:
            self.number = sum(line.startswith("event") for line in log)
            log.append(f"event {self.number} on {stream}")

        def __str__(self) -> str:
            return f"event {self.number}"

    @contextmanager
    def queue_on(stream: object) -> Iterator[None]:
        log.append(f"enter {stream}")
        yield
        log.append("leave main")

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "stream", queue_on)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _device: Stream("main"))
    monkeypatch.setattr(RecordedTensor, "asked", log, raising=False)
    return log


def test_on_cuda_a_batch_is_copied_while_its_predecessor_is_used(log: list[str]) -> None:
    source = (cast("Batch", torch.tensor([number]).as_subclass(RecordedTensor)) for number in range(3))
    for batch in on_device(source, torch.device("cuda")):
        log.append(f"step {int(cast('Any', batch)[0])}")
    steps = [line for line in log if not line.startswith(("enter", "leave"))]
    assert steps == [
        "copy 0 on copies",
        "event 0 on copies",
        "copy 1 on copies",
        "event 1 on copies",
        "main waits for event 0",
        "main uses 0",
        "step 0",
        "copy 2 on copies",
        "event 2 on copies",
        "main waits for event 1",
        "main uses 1",
        "step 1",
        "main waits for event 2",
        "main uses 2",
        "step 2",
    ]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_every_batch_is_whole_while_others_are_copied() -> None:
    device = torch.device("cuda")
    shape = (64, 928, 5)
    source = (torch.full(shape, float(number)).pin_memory() for number in range(50))
    sums = [batch.sum() for batch in on_device(source, device) if isinstance(batch, torch.Tensor)]
    assert [total.item() for total in sums] == [number * 64.0 * 928 * 5 for number in range(50)]
