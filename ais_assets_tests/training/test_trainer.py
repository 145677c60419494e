"""Training runs: they learn, they go on where they were killed, and ranks train as one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from ais_assets.io.streaming_loader import AISMDSDataset, TrackWindowDataset, ValidationDataset
from ais_assets.training.__main__ import main
from ais_assets.training.checkpoint import Checkpoint, CheckpointError, load
from ais_assets.training.forecast import OUTPUTS
from ais_assets.training.preemption import PreemptedError
from ais_assets.training.trainer import CHECKPOINT_FILE, METRICS_FILE, Log, Plan, train
from ais_assets_tests.loader.tracks.track_datasets import publish
from ais_assets_tests.patience import PATIENCE_SECONDS
from ais_assets_tests.s3_server import S3Server
from ais_assets_tests.training.voyages import POSITIONS, SEQ_LEN, small_lake, voyage_tracks, voyages
from ais_assets_tests.transforms.test_windows import SHIP

STEPS = 20
"""Batches of two epochs of 160 windows, 16 at a time."""
MODULE = ("-m", "ais_assets.training")
COMMAND = (*MODULE, "--epochs", "2", "--log-every", "1", "--checkpoint-every", "3", "--json")
RANKS = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_lake(tmp_path_factory.mktemp("lake"))


def command(
    lake: Path, out: Path, *launcher: str, batch_size: int = 16, options: tuple[str, ...] = ()
) -> tuple[list[str], dict[str, str]]:
    places = ("--lake", str(lake), "--cache", str(out / "cache"), "--out", str(out))
    environment = {**os.environ, "AIS_SEQ_LEN": str(SEQ_LEN), "AIS_MAX_HORIZON": "64", "OMP_NUM_THREADS": "1"}
    return [sys.executable, *launcher, *COMMAND, *places, "--batch-size", str(batch_size), *options], environment


def run(lake: Path, out: Path, *launcher: str, **settings: Any) -> list[dict[str, Any]]:
    """What a whole run logs; without a launcher it is one of this process, which has imported torch already."""
    words, environment = command(lake, out, *launcher, **settings)
    if not launcher:
        # As OMP_NUM_THREADS says to the runs that are processes: sums of floats depend on it.
        torch.set_num_threads(1)
        here = CliRunner().invoke(main, words[len((sys.executable, *MODULE)) :], env=environment)
        assert here.exit_code == 0, here.output
        return [json.loads(line) for line in here.stdout.splitlines()]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def ended_at(
    lake: Path, out: Path, step: int, *launcher: str, by: signal.Signals = signal.SIGKILL, **options: Any
) -> tuple[list[dict[str, Any]], int, str]:
    """What a run logs until it gets a signal, as soon as it says this step, and after it; its exit code and stderr."""
    words, environment = command(lake, out, *launcher, **options)
    entries: list[dict[str, Any]] = []
    with (
        (out / "errors").open("w") as errors,
        subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            entries.append(json.loads(line))
            if entries[-1]["step"] == step:
                process.send_signal(by)
    return entries, process.returncode, (out / "errors").read_text()


def losses(entries: list[dict[str, Any]]) -> dict[int, float]:
    return {entry["step"]: entry["loss"] for entry in entries if "loss" in entry}


@pytest.fixture(scope="module")
def uninterrupted(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return run(lake, tmp_path_factory.mktemp("whole"))


def test_a_killed_run_goes_on_at_the_very_batch(
    lake: Path, tmp_path: Path, uninterrupted: list[dict[str, Any]]
) -> None:
    whole = losses(uninterrupted)
    assert sorted(whole) == list(range(1, STEPS + 1))
    before = losses(ended_at(lake, tmp_path, step=13)[0])
    entries = run(lake, tmp_path)
    after = losses(entries)
    # Killed after batch 13 or a little later; the last checkpoint is of batch 12, or that much later.
    assert min(after) in (13, 16, 19)
    assert {**before, **after} == whole
    assert [entry for entry in entries if "model" in entry][-1] == uninterrupted[-1]


@pytest.mark.parametrize("launcher", [(), RANKS])
def test_a_run_that_is_asked_to_stop_saves_the_batch_in_progress(
    lake: Path, tmp_path: Path, uninterrupted: list[dict[str, Any]], launcher: tuple[str, ...]
) -> None:
    size = 8 if launcher else 16
    entries, code, errors = ended_at(lake, tmp_path, 4, *launcher, by=signal.SIGTERM, batch_size=size)
    before = losses(entries)
    last = max(before)
    assert last < STEPS
    # torchrun, which passes the signal on, ends with a code of its own.
    assert code == (1 if launcher else 128 + signal.SIGTERM), errors[-3000:]
    assert f"checkpoint.pt is of batch {last}, where the next start goes on" in errors
    rest = run(lake, tmp_path, *launcher, batch_size=size)
    after = losses(rest)
    assert min(after) == last + 1
    # Ranks train as one process does.
    assert {**before, **after} == pytest.approx(losses(uninterrupted), rel=1e-3)
    assert rest[-1]["model"]["all"]["60"]["windows"] == uninterrupted[-1]["model"]["all"]["60"]["windows"]
    if launcher:
        # And from what they have saved, one goes on.
        assert set(losses(run(lake, tmp_path, options=("--epochs", "3")))) == set(range(STEPS + 1, STEPS + 11))


def test_a_finished_run_has_nothing_left_to_do(lake: Path, tmp_path: Path, uninterrupted: list[dict[str, Any]]) -> None:
    # So few batches that none is the one at which the settings have it saved.
    settings = ("--checkpoint-every", "50")
    done = run(lake, tmp_path, options=settings)
    assert losses(done) == losses(uninterrupted)
    found = load(tmp_path / CHECKPOINT_FILE, {}, "release-1")
    assert found is not None
    assert (found.step, found.metrics) == (STEPS, done[-1])
    assert run(lake, tmp_path, options=settings) == [{"epoch": 1, "step": STEPS, "finished": True}]
    # More epochs go on from the finished network.
    more = run(lake, tmp_path, options=("--epochs", "3"))
    assert sorted(losses(more)) == list(range(STEPS + 1, STEPS + 11))
    assert more[-1]["epoch"] == 2


def test_what_people_are_shown(lake: Path, tmp_path: Path) -> None:
    words, environment = command(lake, tmp_path, options=("--epochs", "1"))
    words = [word for word in words[len((sys.executable, *MODULE)) :] if word != "--json"]
    first, again = (
        CliRunner().invoke(main, words, env={**environment, "COLUMNS": "200"}, catch_exceptions=False) for _ in range(2)
    )
    assert re.findall(r"epoch 0  batch (\d+)  loss \d\.\d{4}\n", first.output) == [str(k) for k in range(1, 11)]
    mean = re.search(r"epoch 0 done; mean error of moving ships, .*60 min (\d+\.\d{3}) \(\d+\.\d{3}\)", first.output)
    assert mean is not None
    assert "Mean error in nautical miles with its 95 % interval" in first.output
    assert re.search(rf" moving .* 60 .* {mean[1]} \(\d+\.\d{{3}} to ", first.output)
    assert "All epochs were done before: there is nothing left to do." in again.output


def test_a_run_that_was_killed_while_it_evaluated_evaluates(lake: Path, tmp_path: Path) -> None:
    training = AISMDSDataset(str(lake / "mds"), str(tmp_path / "cache"), batch_size=16)
    validation = ValidationDataset(lake / "materialized/validation.parquet", provenance=True)
    plan = Plan(epochs=1, batch_size=16, seq_len=SEQ_LEN, format="mds")
    last = len(training)

    def go(stop: Callable[[], bool], log: Log) -> dict[str, Any]:
        return train(plan, training, validation, out=tmp_path, device=torch.device("cpu"), log=log, stop=stop)

    asked = iter(range(10**6))
    with pytest.raises(PreemptedError, match="while evaluating"):
        go(lambda: next(asked) == last, lambda _entry: None)
    entries: list[dict[str, Any]] = []
    metrics = go(lambda: False, entries.append)
    assert entries == [metrics]
    assert metrics["step"] == last


def test_it_learns_what_dead_reckoning_misses(lake: Path, tmp_path: Path) -> None:
    training = TrackWindowDataset(lake, tmp_path / "cache", batch_size=16, mask=True)
    validation = TrackWindowDataset(lake, tmp_path / "cache", split="validation", mask=True, provenance=True)
    entries: list[dict[str, Any]] = []
    plan = Plan(epochs=8, batch_size=16, seq_len=SEQ_LEN, learning_rate=0.01, log_every=1)
    metrics = train(plan, training, validation, out=tmp_path, device=torch.device("cpu"), log=entries.append)
    curve = list(losses(entries).values())
    assert sum(curve[-10:]) < 0.5 * sum(curve[:10])
    for minute, ours in metrics["model"]["moving"].items():
        assert ours["windows"] == ours["vessels"] == 40
        assert ours["interval"][0] < ours["mean"] < ours["interval"][1]
        assert ours["interval"][1] < metrics["dead_reckoning"]["moving"][minute]["interval"][0]
    assert json.loads((tmp_path / METRICS_FILE).read_text()) == metrics


def test_what_was_held_is_not_learned(tmp_path: Path) -> None:
    # At 30 and 60 minutes every speed is held, and says that the ship has stopped.
    held = np.arange(POSITIONS) > SEQ_LEN + 20
    windows = voyages(32)
    windows[:, held, 2] = 0
    tracks = [voyage_tracks(windows, "train", SHIP, held=held), voyage_tracks(windows, "validation", SHIP + 32)]
    publish(tmp_path, tracks, {"seq_len": SEQ_LEN, "max_horizon": POSITIONS - SEQ_LEN, "stride": 32})
    run(tmp_path, tmp_path, options=("--epochs", "2"))
    found = load(tmp_path / CHECKPOINT_FILE, {}, "release-1")
    assert found is not None
    learned = found.model["head.bias"].view(3, len(OUTPUTS)) != 0
    assert learned.tolist() == [[True] * 4, [True, True, False, False], [True, True, False, False]]


def test_what_each_group_got_is_logged(lake: Path, tmp_path: Path) -> None:
    options = ("--epochs", "1", "--weights", "1 + mean_sog", "--groups", "mean_sog > 12", "--where", "mean_sog > 8")
    (drawn,) = [entry["drawn"] for entry in run(lake, tmp_path, options=options) if "drawn" in entry]
    at_rest, under_way = sorted(drawn)
    assert at_rest.startswith("false: ")
    assert under_way.startswith("true: ")
    assert "% asked for)" in under_way


def test_windows_from_disk_are_taken_where_asked_for(lake: Path, tmp_path: Path) -> None:
    entries = run(lake, tmp_path, options=("--format", "mds", "--epochs", "1"))
    assert entries[-1]["model"]["all"]["60"]["windows"] == 40
    refused = CliRunner().invoke(main, ["--lake", str(lake), "--format", "mds", "--where", "mean_sog > 1"])
    assert refused.exit_code == 2
    assert "--where chooses windows of tracks" in refused.output


def a_checkpoint() -> Checkpoint:
    return Checkpoint(
        {"hidden": 64}, "one", 3, {"w": torch.ones(2)}, {}, {"epoch": 1, "index": None}, torch.get_rng_state(), {}
    )


def test_a_checkpoint_is_read_as_it_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    assert load(path, {}, "one") is None
    a_checkpoint().save(path)
    found = load(path, {"hidden": 64}, "one")
    assert found is not None
    assert (found.step, found.loader) == (3, {"epoch": 1, "index": None})
    assert found.model["w"].tolist() == [1, 1]
    assert [file.name for file in tmp_path.iterdir()] == ["c.pt"]


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    a_checkpoint().save(tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match=r"hidden 64 \(now 32\).*--out"):
        load(tmp_path / "c.pt", {"hidden": 32}, "one")


@pytest.mark.parametrize("now", ["two", None])
def test_a_checkpoint_on_another_release_is_refused(tmp_path: Path, now: str | None) -> None:
    a_checkpoint().save(tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match=f"on release one of the dataset, which is now {now}.*--out"):
        load(tmp_path / "c.pt", {"hidden": 64}, now)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 half a file"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match="remove it to start anew"):
        load(tmp_path / "c.pt", {}, "one")


def test_a_checkpoint_that_holds_code_is_refused(tmp_path: Path) -> None:
    class Code:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.system, ("true",))

    torch.save({"settings": Code()}, tmp_path / "c.pt")
    with pytest.raises(CheckpointError):
        load(tmp_path / "c.pt", {}, "one")


def test_an_empty_lake_is_said_so(tmp_path: Path) -> None:
    words, environment = command(tmp_path / "nothing", tmp_path)
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert done.returncode == 1
    assert "index.json is missing: materialize training_dataset" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_settings_say_where_s3_is(
    s3_environment: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    server = s3_environment.environment()
    settings = {"AIS_S3_ENDPOINT_URL": server["AWS_ENDPOINT_URL"], "AIS_S3_REGION": "eu-north-1"}
    words = ["--lake", f"s3://{bucket}/lake", "--cache", str(tmp_path), "--out", str(tmp_path)]
    done = CliRunner().invoke(main, words, env=settings)
    assert done.exit_code == 1
    assert f"s3://{bucket}/lake/track_shards/index.json is missing: materialize training_dataset" in done.output
