"""The command: trains on a lake's windows and shows how far off the forecasts are."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import torch
from rich.table import Table

from ais_assets.cli.terminal import terminal
from ais_assets.io.lake import Lake
from ais_assets.loader.errors import LoaderError
from ais_assets.loader.given import TrackOptions
from ais_assets.settings import Settings, load_settings
from ais_assets.store.s3_access import S3Access
from ais_assets.training.checkpoint import CheckpointError
from ais_assets.training.preemption import EXIT_CODE, PreemptedError, asked_to_stop
from ais_assets.training.trainer import Log, Plan, Training, Validation, leads, process_group, train

_METHODS = ("model", "dead_reckoning", "kalman", "last_position")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--lake", help="Folder or s3://bucket/prefix.  [default: AIS_LAKE]")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder for the loader's.  [default: AIS_CACHE]")
@click.option("--format", type=click.Choice(["tracks", "mds"]), default=Plan.format, help="What windows are read from.")
@click.option("--release", help="Id of the release to train on, see `ais releases`.  [default: the current one]")
@click.option("--where", help="SQL: train on windows for which it is true.  [of tracks]")
@click.option("--weights", help="SQL: draw windows in proportion to it.  [of tracks]")
@click.option("--groups", help="SQL: whose shares are counted, with --weights.  [of tracks]")
@click.option("--out", type=click.Path(path_type=Path), default=Path("data/training"), help="Checkpoint and metrics.")
@click.option("--epochs", type=click.IntRange(min=1), default=Plan.epochs, help="Over the training windows.")
@click.option("--batch-size", type=click.IntRange(min=1), default=Plan.batch_size, help="Windows, on each rank.")
@click.option("--hidden", type=click.IntRange(min=1), default=Plan.hidden, help="Width of the GRU.")
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), default=Plan.learning_rate)
@click.option("--seed", type=click.IntRange(min=0), default=Plan.seed, help="Of the first weights.")
@click.option("--checkpoint-every", type=click.IntRange(min=1), default=Plan.checkpoint_every, help="Batches.")
@click.option("--log-every", type=click.IntRange(min=1), default=Plan.log_every, help="Batches.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line instead.")
def main(
    *,
    lake: str | None,
    cache: Path | None,
    out: Path,
    release: str | None,
    where: str | None,
    weights: str | None,
    groups: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Trains a small GRU to forecast where ships will be in 10, 30 and 60 minutes, beside dead reckoning.

    Killed and started again, it goes on at the batch after its last checkpoint; SIGTERM saves one at the batch in
    progress and ends with code 143. Under torchrun, ranks train together.
    """
    settings = load_settings()
    if "OMP_NUM_THREADS" not in os.environ:
        # The network is small: on cores that others use too, threads that wait for one another took five times as long.
        torch.set_num_threads(1)
    plan = Plan(seq_len=settings.seq_len, **options)
    chosen = TrackOptions(where=where, weights=weights, groups=groups)
    given = [name for name, value in chosen.items() if value]
    if given and plan.format != "tracks":
        raise click.UsageError(f"--{given[0]} chooses windows of tracks: give --format tracks")
    place = _opened(lake or settings.lake, settings)
    with asked_to_stop() as stop, process_group() as device:
        log = _logger(as_json=as_json) if leads() else _silence
        try:
            plan, training, validation = _loaders(place, cache or settings.cache, plan, release, chosen)
        except (LoaderError, LookupError, ValueError) as error:
            raise click.ClickException(str(error)) from error
        try:
            metrics = train(plan, training, validation, out=out, device=device, log=log, stop=stop)
        except PreemptedError as preempted:
            if leads():
                click.echo(str(preempted), err=True)
            sys.exit(EXIT_CODE)
        except (CheckpointError, LoaderError) as error:
            raise click.ClickException(str(error)) from error
        if leads() and not as_json:
            _show(metrics)


def _loaders(
    place: Lake, cache: Path, plan: Plan, release: str | None, chosen: TrackOptions
) -> tuple[Plan, Training, Validation]:
    """The windows to learn from and to evaluate on, and the plan with their own number of positions to see."""
    size = plan.batch_size
    if plan.format == "mds":
        training = place.loader(cache / "mds", batch_size=size, release=release)
        return plan, training, place.validation_loader(size, release=release, provenance=True)
    of = TrackOptions(batch_size=size, release=release, mask=True)
    to_learn: TrackOptions = {**of, **chosen}
    to_evaluate: TrackOptions = {**of, "split": "validation", "shuffle": False, "provenance": True}
    training, validation = place.loader(cache, "tracks", **to_learn), place.loader(cache, "tracks", **to_evaluate)
    return replace(plan, seq_len=training.geometry.seq_len), training, validation


def _opened(uri: str, settings: Settings) -> Lake:
    return Lake(uri, s3_access=S3Access.of(settings))


def _logger(*, as_json: bool) -> Log:
    started = time.monotonic()

    def log(entry: dict[str, Any]) -> None:
        if as_json:
            click.echo(json.dumps(entry))
        elif "loss" in entry:
            seconds = time.monotonic() - started
            click.echo(f"{seconds:6.1f} s  epoch {entry['epoch']}  batch {entry['step']}  loss {entry['loss']:.4f}")
        elif "drawn" in entry:
            click.echo("\n".join(entry["drawn"]))
        elif "finished" in entry:
            click.echo("All epochs were done before: there is nothing left to do. Give more --epochs, or another --out")
        else:
            ours, theirs = (entry[method]["moving"] for method in ("model", "dead_reckoning"))
            errors = ", ".join(f"{m} min {_miles(ours[m])} ({_miles(theirs[m])})" for m in ours)
            click.echo(
                f"epoch {entry['epoch']} done; mean error of moving ships, nautical miles (dead reckoning's): {errors}"
            )

    return log


def _silence(entry: dict[str, Any]) -> None:
    del entry


def _miles(summary: dict[str, Any]) -> str:
    return "–" if summary["mean"] is None else f"{summary['mean']:.3f}"


def _show(metrics: dict[str, Any]) -> None:
    table = Table(
        title="Mean error in nautical miles with its 95 % interval, on vessels it never saw", title_justify="left"
    )
    for column in ("ships", "minutes", "windows", "vessels", *_METHODS):
        table.add_column(column.replace("_", " "), justify="right")
    for kind, by_minute in metrics["model"].items():
        for minute, ours in by_minute.items():
            cells = (_with_interval(metrics[method][kind][minute]) for method in _METHODS)
            table.add_row(kind, minute, f"{ours['windows']:,}", f"{ours['vessels']:,}", *cells)
    terminal().print(table)
    terminal().print("Intervals resample vessels: windows overlap, and would make them far too narrow.")


def _with_interval(summary: dict[str, Any]) -> str:
    if summary["interval"] is None:
        return _miles(summary)
    low, high = summary["interval"]
    return f"{_miles(summary)} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
