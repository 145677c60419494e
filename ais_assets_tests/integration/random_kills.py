"""Runs killed with SIGKILL at random moments: what readers see meanwhile, and what the run after them gives.

A few of them are a test; `make kills` takes twenty of each stage.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import click
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from ais_assets.io.layout import Kind, place_of
from ais_assets.io.stages import Stage
from ais_assets.operating import code_location
from ais_assets.operating.local_runs import end_orphans, run_task
from ais_assets.operating.tasks import Task
from ais_assets.settings import load_settings
from ais_assets.store.objects import STAGING
from ais_assets.store.pinned import local_version
from ais_assets_tests.integration.test_graph import SMALL, stages_of
from ais_assets_tests.patience import PATIENCE_SECONDS

_MOST_LATE = 20
"""Runs that may end before they are to be killed."""
_PAUSE_SECONDS = 0.03
"""Of a reader, between two looks."""

_forks = multiprocessing.get_context("forkserver")
# Each run is a process of its own, and would import for seconds what the one that they are forked from has.
_forks.set_forkserver_preload(["ais_assets.definitions", "ais_assets.io.streaming_loader", __name__])


@dataclass(frozen=True)
class Outcome:
    """What became of a stage.

    Attributes:
        asset: the stage's.
        kills: of runs that were under way.
        late: runs that ended before they were to be killed.
        torn: kills after which some of its partitions were new and some were not.
        looks: of readers, meanwhile.
    """

    asset: str
    kills: int
    late: int
    torn: int
    looks: int


@dataclass
class Workplace:
    """A lake, its cache and a Dagster instance in one folder, and runs in processes that can be killed."""

    folder: Path
    settings: Mapping[str, object] = field(default_factory=lambda: SMALL)
    _known: dict[tuple[str, str], str] = field(default_factory=dict)
    """Digests by name and version: readers look often, and little changes."""

    @property
    def lake(self) -> Path:
        return self.folder / "lake"

    @property
    def home(self) -> Path:
        return self.folder / "dagster"

    @property
    def variables(self) -> dict[str, str]:
        """The environment of its runs."""
        chosen = {f"AIS_{name.upper()}": str(value) for name, value in self.settings.items()}
        return {**chosen, "AIS_LAKE": str(self.lake), "AIS_CACHE": str(self.folder / "cache")}

    def make(self) -> Workplace:
        """The folder, with an instance in it."""
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
        return self

    @contextmanager
    def under_way(self, task: Task, **variables: str) -> Iterator[tuple[int, Connection]]:
        """A run that has begun: its process, and where it says what became of it."""
        here, there = _forks.Pipe(duplex=False)
        process = _forks.Process(target=_executes, args=(self.home, {**self.variables, **variables}, task, there))
        process.start()
        there.close()
        try:
            assert here.poll(PATIENCE_SECONDS), f"{task} did not begin"
            here.recv()
            assert process.pid is not None
            yield process.pid, here
        finally:
            process.kill()
            process.join(PATIENCE_SECONDS)
            here.close()

    def run(self, task: Task, **variables: str) -> float:
        """Runs the task to its end; seconds that it took. Raises AssertionError with its error where it fails."""
        with self.under_way(task, **variables) as (_, said):
            began = time.monotonic()
            assert said.poll(PATIENCE_SECONDS), f"{task} did not end"
            error = said.recv()
            assert error is None, error
            return time.monotonic() - began

    def killed(self, task: Task, seconds: float) -> bool:
        """Kills a run of the task, so many seconds after it has begun; whether it was under way until then."""
        with self.under_way(task) as (process, said):
            ended = said.poll(seconds)
            os.killpg(process, signal.SIGKILL)
        return not ended

    def digests(self) -> dict[str, str]:
        """sha256 of every object that readers may look at."""
        found = {}
        for parent, folders, names in os.walk(self.lake):
            folders[:] = [name for name in folders if name != STAGING]
            for name in names:
                path = Path(parent, name)
                with path.open("rb") as file:
                    version = path.relative_to(self.lake).as_posix(), local_version(os.fstat(file.fileno()))
                    if version not in self._known:
                        self._known[version] = hashlib.sha256(file.read()).hexdigest()
                found[version[0]] = self._known[version]
        return found


def _executes(home: Path, variables: Mapping[str, str], task: Task, said: Connection) -> None:
    """A process that executes a run as those of a build do."""
    os.setsid()
    os.chdir(home)
    for name in [name for name in os.environ if name.startswith("AIS_")]:
        del os.environ[name]
    os.environ.update(variables)
    code_location.repository()
    with DagsterInstance.from_config(str(home)) as instance:
        said.send("begins")
        said.send(run_task(instance.get_ref(), task).error)


def stages(settings: Mapping[str, object]) -> list[Stage]:
    """The stages of a build, in order."""
    return list(stages_of(load_settings(**settings)).values())


def undisturbed(folder: Path) -> Workplace:
    """A lake of which every stage was run to its end, in one run each."""
    workplace = Workplace(folder).make()
    for stage in stages(SMALL):
        workplace.run(Task(stage.asset, stage.partitions))
    return workplace


class TornError(AssertionError):
    """A reader saw what is neither the former version of an object nor the new one."""


class Readers:
    """Looks at all objects of a lake, again and again, for as long as the context lasts.

    Args:
        workplace: whose lake it is.
        versions: digests that each object may have.
    """

    def __init__(self, workplace: Workplace, versions: Mapping[str, set[str]]) -> None:
        self._workplace = workplace
        self._versions = versions
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, name="reader")
        self._torn: TornError | None = None
        self.looks = 0

    def __enter__(self) -> Readers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._torn is not None:
            raise self._torn

    def _read(self) -> None:
        while self._torn is None and not self._ended.wait(_PAUSE_SECONDS):
            try:
                self.look()
            except TornError as error:
                self._torn = error

    def look(self) -> dict[str, str]:
        """The objects' digests. Raises TornError for one that is no whole version, or lacks what it names."""
        self.looks += 1
        for asset in FOLDERS:
            _require_named_files(self._workplace.lake / place_of(asset).folder)
        found = self._workplace.digests()
        for key, digest in found.items():
            if digest not in self._versions.get(key, ()):
                raise TornError(f"{key} is neither the former version nor the new one")
        return found


FOLDERS = [asset for asset in ("raw_archives", "mds_shards") if place_of(asset).kind is Kind.FOLDER]
"""Assets whose partition is a manifest that names files."""


def _require_named_files(folder: Path) -> None:
    for manifest in folder.glob("*.json"):
        said = json.loads(manifest.read_bytes())
        absent = [name for name in said.get("files", ()) if not (folder / said["folder"] / name).is_file()]
        if absent:
            raise TornError(f"{manifest} names {absent}, which are not there")


def killed_at_random(whole: Workplace, stage: Stage, folder: Path, *, kills: int, seed: int) -> Outcome:
    """Kills runs of one stage at random moments, each of a run over all its partitions, and then lets one end.

    Each run begins with what the killed ones have left. The stage's objects are of a former version at first: the
    same content, compressed in another way.

    Args:
        whole: a lake that was built undisturbed.
        stage: the stage.
        folder: for a copy of it; made.
        kills: of runs that are under way.
        seed: of the moments.

    Raises TornError where a reader sees anything else than whole versions, AssertionError where the end is not what
    an undisturbed build gives.
    """
    workplace = Workplace(folder, whole.settings).make()
    shutil.copytree(whole.lake, workplace.lake, dirs_exist_ok=True)
    task = Task(stage.asset, stage.partitions)
    final = whole.digests()
    seconds = workplace.run(task, AIS_ZSTD_LEVEL="3")
    former = workplace.digests()
    versions = {key: {of[key] for of in (former, final) if key in of} for key in former | final}
    moments, under_way, late, torn = random.Random(f"{seed} {stage.asset}"), 0, 0, 0
    with Readers(workplace, versions) as readers:
        while under_way < kills and late < _MOST_LATE:
            moment = moments.uniform(0, seconds)
            if workplace.killed(task, moment):
                under_way += 1
            else:
                # A run takes less time than the first one did.
                late, seconds = late + 1, moment
            found = readers.look()
            news = {key: found.get(key) == digest for key, digest in final.items() if former.get(key) != digest}
            torn += len(set(news.values())) == 2
        workplace.run(task)
    _require_no_orphans(workplace, under_way)
    found = workplace.digests()
    differing = sorted(key for key, digest in final.items() if found.get(key) != digest)
    assert not differing, f"{stage.asset}, killed and run again, has other bytes than an undisturbed one: {differing}"
    left = [path for path in workplace.lake.glob(f"{STAGING}/*") if path.is_dir()]
    assert not left, f"killed runs of {stage.asset} left {left} behind"
    return Outcome(stage.asset, under_way, late, torn, readers.looks)


def _require_no_orphans(workplace: Workplace, killed: int) -> None:
    """Runs that were killed are recorded as failed, and none seems to go on."""
    with DagsterInstance.from_config(str(workplace.home)) as instance:
        end_orphans(instance)
        unfinished = instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED, DagsterRunStatus.STARTING]))
        failed = instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.FAILURE]))
    assert not unfinished
    # One that was killed before it was recorded is none.
    assert len(failed) <= killed


@click.command()
@click.option("--kills", type=click.IntRange(min=1), default=20, show_default=True, help="Of each stage.")
@click.option("--seed", default=0, show_default=True)
@click.option("--only", multiple=True, help="Assets; default: all.")
def command(*, kills: int, seed: int, only: tuple[str, ...]) -> None:
    """Kills runs of each stage at random moments, and says what became of them; exits with 1 where one is not whole."""
    with tempfile.TemporaryDirectory(prefix="ais-kills-") as folder:
        whole = undisturbed(Path(folder, "whole"))
        for stage in stages(SMALL):
            if only and stage.asset not in only:
                continue
            place = Path(folder, stage.asset)
            outcome = killed_at_random(whole, stage, place, kills=kills, seed=seed)
            shutil.rmtree(place)
            click.echo(
                f"{outcome.asset}: {outcome.kills} killed under way, {outcome.late} had ended before; after "
                f"{outcome.torn} of them some objects were new, some not; {outcome.looks:,} looks saw whole versions: "
                "the run after them gave the undisturbed bytes"
            )


if __name__ == "__main__":
    command()
