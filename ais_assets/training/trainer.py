"""The training loop: one process, or one of several that torchrun started."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.nn.functional import smooth_l1_loss
from torch.nn.parallel import DistributedDataParallel

from ais_assets import schema
from ais_assets.io.streaming_loader import AISMDSDataset, TrackWindowDataset, ValidationDataset
from ais_assets.loader.device import Batch
from ais_assets.training.checkpoint import Checkpoint, load
from ais_assets.training.forecast import corrected, corrections
from ais_assets.training.model import Forecaster
from ais_assets.training.preemption import PreemptedError
from ais_assets.transforms.forecast_report import ForecastErrors

Log = Callable[[dict[str, Any]], None]
Training = AISMDSDataset | TrackWindowDataset
Validation = ValidationDataset | TrackWindowDataset

CHECKPOINT_FILE = "checkpoint.pt"
METRICS_FILE = "metrics.json"

_KNOTS = 5.0
"""Of error that count as 1 in the loss; of a place, so many miles for each hour ahead: each horizon has its say."""
_BEND = 0.05
"""Of the Huber loss: a ship in port should be forecast to lie there, and small errors count little when squared."""


@dataclass(frozen=True)
class Plan:
    """What a run does.

    Attributes:
        epochs: over the training windows.
        batch_size: windows a batch, on each rank.
        minutes: horizons.
        hidden: width of the GRU.
        learning_rate: of Adam.
        seed: of the network's first weights; the loader has its own.
        seq_len: positions that the network sees.
        format: what windows are of: "tracks", or "mds", which does not say what was held.
        checkpoint_every: batches between checkpoints.
        log_every: batches between lines of the log.
    """

    epochs: int = 5
    batch_size: int = 128
    minutes: tuple[float, ...] = (10.0, 30.0, 60.0)
    hidden: int = 64
    learning_rate: float = 2e-3
    seed: int = 17
    seq_len: int = schema.SEQ_LEN
    format: str = "tracks"
    checkpoint_every: int = 50
    log_every: int = 10

    def binding(self, ranks: int) -> dict[str, Any]:
        """What must not change between a checkpoint and the run that goes on from it."""
        return {
            "hidden": self.hidden,
            "minutes": list(self.minutes),
            "learning_rate": self.learning_rate,
            "seed": self.seed,
            "seq_len": self.seq_len,
            "format": self.format,
            # On other numbers of ranks the batches are the same as long as their windows together are as many.
            "windows_a_step": self.batch_size * ranks,
        }


@contextmanager
def process_group() -> Iterator[torch.device]:
    """Joins the others where torchrun started this process; yields the device to train on."""
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if "LOCAL_RANK" not in os.environ:
        yield device
        return
    if cuda:
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield device
    finally:
        distributed.destroy_process_group()


def ranks() -> int:
    """Processes that train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def leads() -> bool:
    """Whether this process logs and saves for all."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def train(
    plan: Plan,
    training: Training,
    validation: Validation,
    *,
    out: Path,
    device: torch.device,
    log: Log,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Trains, or goes on from the checkpoint in `out`; saves and evaluates after every epoch.

    Args:
        plan: what to do.
        training: windows to learn from, on the CPU, where what they should teach is computed; with a mask of what was
            received, if they are cut from tracks.
        validation: windows of vessels that are not among them, likewise, and with provenance.
        out: folder of the checkpoint and the metrics.
        device: of the network.
        log: called with {"epoch", "step", "loss"} and, after an epoch, with {"epoch", "drawn"}, what each group of
            windows drawn by weights got, and what `evaluate` found; with {"finished"} where a run was finished before.
        stop: asked after every batch, on every rank, whether to save and end there; one rank's word is enough.

    Returns:
        The last evaluation; it is also in `out`, as metrics.json. Of a run that was finished before, what it found.

    Raises:
        CheckpointError: the checkpoint there is damaged or of another run.
        PreemptedError: `stop` said so; the checkpoint is of the batch in progress.
    """
    torch.manual_seed(plan.seed)
    network = Forecaster(plan.minutes, plan.hidden, plan.seq_len).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=plan.learning_rate)
    path, binding = out / CHECKPOINT_FILE, plan.binding(ranks())
    step, epoch, metrics = 0, 0, {}
    if (found := load(path, binding, training.release)) is not None:
        network.load_state_dict(found.model)
        optimizer.load_state_dict(found.optimizer)
        training.load_state_dict(found.loader)
        torch.set_rng_state(found.random)
        step, epoch = found.step, found.loader["epoch"]
        metrics = found.metrics
    model = DistributedDataParallel(network) if distributed.is_initialized() else network

    def save() -> None:
        _save(path, Checkpoint(binding, training.release, step, *_states(network, optimizer, training), metrics))

    def end_epoch(number: int) -> None:
        nonlocal metrics
        save()  # The evaluation may be killed.
        metrics = {"epoch": number, "step": step, **evaluate(network, validation, plan, stop)}
        log(metrics)
        save()
        if leads():
            (out / METRICS_FILE).write_text(json.dumps(metrics, indent=1))

    first_step = step
    if found is not None and not found.loader["sample_in_epoch"] and step and metrics.get("step") != step:
        # The last start ended between an epoch and its evaluation.
        end_epoch(epoch - 1)
    for number in range(epoch, plan.epochs):
        model.train()
        for batch in training:
            optimizer.zero_grad()
            windows, received = parts_of(batch)
            loss = loss_of(model(windows.to(device), _moved(received, device)), windows, plan, received)
            loss.backward()
            optimizer.step()
            step += 1
            if step % plan.log_every == 0:
                log({"epoch": number, "step": step, "loss": _mean_over_ranks(loss.detach())})
            stopping = _any_rank(stop(), device)
            if stopping or step % plan.checkpoint_every == 0:
                save()
            if stopping:
                raise PreemptedError(f"asked to stop: {path} is of batch {step}, where the next start goes on")
        if isinstance(training, TrackWindowDataset) and training.is_weighed:
            log({"epoch": number, "drawn": training.drawn_report(number)})
        end_epoch(number)
    if step == first_step and found is not None and found.metrics == metrics:
        log({"epoch": metrics["epoch"], "step": step, "finished": True})
    return metrics


def parts_of(batch: Batch) -> tuple[torch.Tensor, torch.Tensor | None]:
    """A batch's windows, and which of their values were received, not held; None where the loader does not say."""
    return (batch, None) if isinstance(batch, torch.Tensor) else (batch[0], batch[1].get("mask"))


def _moved(received: torch.Tensor | None, device: torch.device) -> torch.Tensor | None:
    return None if received is None else received.to(device)


def loss_of(
    forecast: torch.Tensor, batch: torch.Tensor, plan: Plan, received: torch.Tensor | None = None
) -> torch.Tensor:
    """Huber loss of the forecast corrections, over those that are scored and whose truth was received.

    Horizons are times, so a place is known where the ship was heard around it. A held SOG or course is for the network
    to weigh among what it sees; what it should say is never learned from one.

    Args:
        forecast: (B, horizons, 4), as `forecast.OUTPUTS`, on the network's device.
        batch: (B, window, 5) the windows, on the CPU.
        plan: has the horizons.
        received: bool (B, window, 5), on the CPU: the loader's mask; None: nobody knows, so all count.
    """
    mask = None if received is None else received.numpy()
    truth, scored = (each.to(forecast.device) for each in corrections(batch.numpy(), plan.minutes, plan.seq_len, mask))
    scale = _scale(plan).to(forecast)
    losses = smooth_l1_loss(forecast / scale, truth / scale, reduction="none", beta=_BEND)
    return torch.where(scored, losses, 0).sum() / scored.sum().clamp(min=1)


def _scale(plan: Plan) -> torch.Tensor:
    """What counts as 1 in the loss: (horizons, 4), as `forecast.OUTPUTS`."""
    miles = _KNOTS * torch.tensor(plan.minutes) / 60
    knots = torch.full_like(miles, _KNOTS)
    return torch.stack([miles, miles, knots, knots], dim=-1)


@torch.inference_mode()
def evaluate(
    network: Forecaster, validation: Validation, plan: Plan, stop: Callable[[], bool] = lambda: False
) -> dict[str, Any]:
    """The errors at the horizons, in nautical miles, of the network and of the baselines on the same windows.

    Args:
        network: on its device.
        validation: with provenance, on the CPU.
        plan: has the horizons.
        stop: asked after every batch whether to end.

    Returns what `transforms.forecast_report` makes of them, over all ranks; the network is "model".
    Raises PreemptedError when `stop` says so.
    """
    network.eval()
    device = next(network.parameters()).device
    errors = ForecastErrors(plan.seq_len, plan.minutes)
    for batch, whose in validation:
        if stop():
            raise PreemptedError("asked to stop while evaluating: the next start evaluates the saved network again")
        features, vessels = batch.numpy(), whose["mmsi"].numpy()
        forecast = network(batch.to(device), _moved(whose.get("mask"), device)).cpu().numpy()
        errors.add(features, vessels, {"model": corrected(forecast, features, plan.minutes, plan.seq_len)})
    first, *others = _gathered(errors)
    return first.joined(others).summary()


def _states(
    network: Forecaster, optimizer: torch.optim.Optimizer, training: Training
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], torch.Tensor]:
    return network.state_dict(), optimizer.state_dict(), training.state_dict(), torch.get_rng_state()


def _save(path: Path, checkpoint: Checkpoint) -> None:
    if leads():
        path.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.save(path)


def _any_rank(here: bool, device: torch.device) -> bool:
    """Whether it is so on any rank: one that stopped alone would leave the others waiting for it."""
    if not distributed.is_initialized():
        return here
    anywhere = torch.tensor(int(here), device=device)
    distributed.all_reduce(anywhere, op=distributed.ReduceOp.MAX)
    return bool(anywhere)


def _mean_over_ranks(value: torch.Tensor) -> float:
    if distributed.is_initialized():
        distributed.all_reduce(value)
        value /= ranks()
    return float(value)


def _gathered(mine: Any) -> list[Any]:
    if not distributed.is_initialized():
        return [mine]
    everyones: list[Any] = [None] * ranks()
    distributed.all_gather_object(everyones, mine)
    return everyones
