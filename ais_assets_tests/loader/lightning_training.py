"""A model that Lightning trains for the tests. Importing Lightning costs every process that collects tests ten seconds
of a core, so tests import this when they run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from ais_assets_tests.loader.mds.mds_datasets import numbers

CHECKPOINT_AFTER = 5
"""Batches."""


class Watcher(LightningModule):
    """Learns a mean, and remembers the numbers of the samples that it saw, batch by batch, as `read` has them."""

    def __init__(self, stop_after: int | None = None, read: Callable[[Any], list[list[int]]] = numbers) -> None:
        super().__init__()
        self.mean = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[list[int]] = []
        self._stop_after = stop_after
        self._read = read

    def training_step(self, batch: torch.Tensor, batch_index: int) -> torch.Tensor:
        del batch_index
        self.seen += self._read([batch])
        if len(self.seen) == self._stop_after:
            raise InterruptedError("as if the job were ended")
        return (batch.mean() - self.mean).square().sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def trainer(folder: Path, **options: Any) -> Trainer:
    """Trains on the CPU, and keeps what it keeps in the folder."""
    return Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


def checkpoints(folder: Path) -> ModelCheckpoint:
    """Kept in the folder, one after every CHECKPOINT_AFTER batches."""
    return ModelCheckpoint(folder, every_n_train_steps=CHECKPOINT_AFTER, save_top_k=-1)
