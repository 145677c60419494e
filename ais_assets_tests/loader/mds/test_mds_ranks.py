"""The training loader on several ranks, started as by torchrun: their order is mosaicml-streaming's, on any number."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from ais_assets.io.streaming_loader import AISMDSDataset
from ais_assets_tests.loader.mds.mds_datasets import numbers, windows, write_dataset

COUNT = 201
GLOBAL_BATCH = 12
EPOCHS = 3
WORKERS = "1 3 0"
"""DataLoader workers in each of them; stock cannot fork workers once it was iterated without."""
PROJECT = Path(__file__).resolve().parents[3]


def run_job(
    *launcher: str | Path, job: Sequence[str | int | Path], beside_stock: bool = False
) -> subprocess.CompletedProcess[str]:
    """Runs `rank_job` by a module that starts ranks."""
    return subprocess.run(
        [sys.executable, "-m", *launcher, "ais_assets_tests.loader.mds.rank_job", *map(str, job)],
        cwd=PROJECT,
        env={**os.environ, "STOCK": "too", "WORKERS": WORKERS} if beside_stock else None,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the dataset lies, as `remote`."""
    folder = tmp_path_factory.mktemp("ranks")
    write_dataset(folder / "remote", windows(COUNT))
    return folder


def results(folder: Path, ranks: int, *state: Path, beside_stock: bool) -> list[dict[str, Any]]:
    """What each rank saw."""
    out = folder / str(ranks)
    out.mkdir()
    job = (folder / "remote", out, GLOBAL_BATCH // ranks, *state)
    launcher = ("ais_assets_tests.loader.forked_ranks", str(ranks), out / "logs")
    done = run_job(*launcher, job=job, beside_stock=beside_stock)
    assert done.returncode == 0, done.stderr
    return [json.loads((out / f"{rank}.json").read_text()) for rank in range(ranks)]


@pytest.fixture(scope="module")
def four(folder: Path) -> list[dict[str, Any]]:
    """What each of four ranks saw."""
    return results(folder, 4, beside_stock=False)


@pytest.fixture(scope="module")
def two(folder: Path, four: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each of two ranks saw, which then resumed where the four were."""
    assert all(seen["state"] == four[0]["state"] for seen in four)
    state = folder / "state.json"
    state.write_text(json.dumps(four[0]["state"]))
    return results(folder, 2, state, beside_stock=True)


def together(per_rank: list[list[list[int]]]) -> list[list[int]]:
    """The samples of all ranks' batches, each step's sorted."""
    return [sorted(chain.from_iterable(step)) for step in zip(*per_rank, strict=True)]


def test_the_order_on_ranks_is_mosaicml_streamings(two: list[dict[str, Any]]) -> None:
    # On any number of them its division is; test_order.py.
    for of_rank in two:
        assert of_rank["ours"] == of_rank["stock"]


@pytest.mark.parametrize("ranks", ["two", "four"])
def test_ranks_share_every_window(ranks: str, request: pytest.FixtureRequest) -> None:
    seen = request.getfixturevalue(ranks)
    for of_rank in seen:
        assert [len(epoch) for epoch in of_rank["ours"]] == [of_rank["len"]] * EPOCHS
    for epoch in range(EPOCHS):
        times = Counter(chain.from_iterable(chain.from_iterable(of_rank["ours"][epoch] for of_rank in seen)))
        assert sorted(times) == list(range(COUNT))
        # Ranks get equally many, so some samples come twice.
        assert times.total() == len(seen) * ceil(COUNT / len(seen))


def test_four_ranks_are_resumed_by_two(four: list[dict[str, Any]], two: list[dict[str, Any]]) -> None:
    assert together([seen["before"] for seen in two]) == together([seen["before"] for seen in four])
    rest = together([seen["after"] for seen in four])
    resumed = together([seen["resumed"] for seen in two])
    # What the four had to repeat at the end, to be equally many, the two need not.
    assert resumed[:-1] == rest[:-1]
    assert set(resumed[-1]) == set(rest[-1])


def test_two_ranks_are_resumed_by_one(folder: Path, two: list[dict[str, Any]]) -> None:
    dataset = AISMDSDataset(str(folder / "remote"), str(folder / "one"), batch_size=GLOBAL_BATCH)
    dataset.load_state_dict(two[0]["state"])
    rest = together([seen["after"] for seen in two])
    resumed = [sorted(batch) for batch in numbers(dataset)]
    assert resumed[:-1] == rest[:-1]
    assert set(resumed[-1]) == set(rest[-1])


class TwoMachines:
    """Two nodes of a job, each with shared memory and temporary files of its own, as machines have them."""

    def __init__(self, isolated: list[str], remote: Path, out: Path, state: Path) -> None:
        self.out = out
        self._job = f"-m ais_assets_tests.loader.mds.rank_job {remote} {{out}} {GLOBAL_BATCH // 2} {state}"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.nodes = [self._node(isolated, number, port) for number in range(2)]

    def _node(self, isolated: list[str], number: int, port: int) -> subprocess.Popen[str]:
        out = self.out / str(number)
        (out / "tmp").mkdir(parents=True)
        # What torchrun has in the environment of its ranks.
        rank = {"RANK": str(number), "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
        master = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        return subprocess.Popen(
            [*isolated, f"mount -t tmpfs none /dev/shm && exec {sys.executable} {self._job.format(out=out)}"],
            cwd=PROJECT,
            env={**os.environ, **rank, **master, "STOCK": "too", "TMPDIR": str(out / "tmp")},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def results(self) -> list[dict[str, Any]]:
        """What each rank saw."""
        try:
            said = [node.communicate(timeout=120)[1] for node in self.nodes]
        finally:
            for node in self.nodes:
                if node.poll() is None:
                    os.killpg(node.pid, signal.SIGKILL)
        assert [node.returncode for node in self.nodes] == [0, 0], said
        return [json.loads((self.out / str(rank) / f"{rank}.json").read_text()) for rank in range(2)]


def test_the_order_on_two_machines_is_mosaicml_streamings(folder: Path, isolated: list[str]) -> None:
    """And a job that was begun on three is gone on with by ranks that have equally many of all that was left."""
    state = folder / "three.json"
    begun = {"epoch": 1, "sample_in_epoch": 2 * GLOBAL_BATCH, "num_canonical_nodes": 3, "initial_physical_nodes": 3}
    state.write_text(json.dumps({**begun, "shuffle_seed": 9176}))
    seen = TwoMachines(isolated, folder / "remote", folder / "machines", state).results()
    resumed = [list(chain.from_iterable(of_rank["resumed"])) for of_rank in seen]
    assert [len(samples) for samples in resumed] == [ceil((COUNT - 2 * GLOBAL_BATCH) / 2)] * 2
    assert len(set(chain.from_iterable(resumed))) == COUNT - 2 * GLOBAL_BATCH
    for of_rank in seen:
        assert of_rank["ours"] == of_rank["stock"]
    for epoch in range(EPOCHS):
        times = Counter(chain.from_iterable(chain.from_iterable(of_rank["ours"][epoch] for of_rank in seen)))
        assert sorted(times) == list(range(COUNT))
        assert times.total() == 2 * ceil(COUNT / 2)


def test_a_missing_shard_ends_all_ranks_with_an_error(tmp_path: Path) -> None:
    remote = write_dataset(tmp_path / "remote", windows(COUNT))
    gone = sorted(remote.glob("*.zstd"))[3]
    gone.unlink()
    launcher = ("torch.distributed.run", "--standalone", "--nproc-per-node=2", f"--log-dir={tmp_path / 'logs'}", "-m")
    done = run_job(*launcher, job=(remote, tmp_path, 8))
    assert done.returncode == 1
    assert f"{gone} is missing, though the index names it" in done.stderr
