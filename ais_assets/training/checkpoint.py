"""Where a training run is, on disk: written aside and renamed, so that a kill leaves the former one whole."""

from __future__ import annotations

import os
import pickle
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch


class CheckpointError(ValueError):
    """A checkpoint cannot be gone on from; the message says why and what to do."""


@dataclass
class Checkpoint:
    """Everything that the next batch depends on.

    Attributes:
        settings: what the run was started with; another run must have the same.
        release: of the dataset that it is trained on; None where that says none.
        step: batches trained on.
        model: its state.
        optimizer: its state.
        loader: the training dataset's `state_dict`.
        random: the state of torch's generator.
        metrics: the last evaluation; empty before the first one.
    """

    settings: dict[str, Any]
    release: str | None
    step: int
    model: dict[str, Any]
    optimizer: dict[str, Any]
    loader: dict[str, Any]
    random: torch.Tensor
    metrics: dict[str, Any]

    def save(self, path: Path) -> None:
        """Replaces the file at once."""
        aside = path.with_suffix(".partial")
        with aside.open("wb") as file:
            torch.save(asdict(self), file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)


def load(path: Path, settings: dict[str, Any], release: str | None) -> Checkpoint | None:
    """The checkpoint, on the CPU; None where there is none.

    Raises CheckpointError when the file is damaged, or of a run with other settings or on another release.
    """
    if not path.exists():
        return None
    try:
        # Only tensors and plain values: a file that holds code is refused.
        found = Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
    except (pickle.UnpicklingError, RuntimeError, EOFError, TypeError) as error:
        raise CheckpointError(f"{path} is no checkpoint, or damaged ({error}): remove it to start anew") from error
    other = [name for name in settings if found.settings.get(name) != settings[name]]
    if other:
        differences = ", ".join(f"{name} {found.settings.get(name)} (now {settings[name]})" for name in other)
        raise CheckpointError(f"{path} is of a run with {differences}: set it back, or give another --out")
    if found.release != release:
        raise CheckpointError(
            f"{path} is of a run on release {found.release} of the dataset, which is now {release}: its vessels may be "
            "split and its windows counted otherwise. Publish that release again, or give another --out"
        )
    return found
