"""Contenders timed turn by turn in the same run, each turn in a process of its own."""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.table import Table

from ais_assets.cli.terminal import terminal

TURN_SECONDS = 1800.0
"""No turn may take longer."""

T = TypeVar("T")
_PROCESSES = multiprocessing.get_context("forkserver")
"""Forked of one that has little more than the imports: a fork of this one would inherit its memory, and with it the
peak; and a process that imports everything anew takes longer than many a turn."""

_PACKAGES = ("numpy", "pyarrow", "duckdb", "numba", "torch", "mosaicml-streaming", "polars")


@dataclass(frozen=True)
class Contender:
    """One way to do the work.

    Attributes:
        name: as people know it.
        run: does the work once; importable by name, since it runs in a process of its own. Returns how many
            units it did (`Race.unit`), so that a contender that does less is not taken for a faster one.
        arguments: what `run` is called with; picklable.
        prepare: called before the clock starts, with the same arguments: compiles kernels, imports, warms files.
        cores: threads or processes that the work may use, for the rate a core.
        baseline: others are compared with this one.
        needs: packages without which this one is left out, and said so.
    """

    name: str
    run: Callable[..., float]
    arguments: tuple[Any, ...] = ()
    prepare: Callable[..., object] | None = None
    cores: int = 1
    baseline: bool = False
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Turn:
    """One timed run.

    Attributes:
        units: work done.
        seconds: wall time.
        cpu_seconds: of the process and its children.
        peak_bytes: the process's largest resident set, imports included.
    """

    units: float
    seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Standing:
    """A contender's medians over its turns."""

    name: str
    rate: float
    rate_per_core: float
    times_baseline: float | None
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    turns: list[Turn]


@dataclass
class Race:
    """What is measured, and in the end how everyone did.

    Attributes:
        title: what the work is.
        unit: what `run` counts, such as "windows".
        work: the input in figures, for whoever reads the result.
        standings: in the order of the contenders.
        absent: contenders that were left out, and why.
    """

    title: str
    unit: str
    work: dict[str, Any] = field(default_factory=dict)
    standings: list[Standing] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)


def run_race(race: Race, contenders: Sequence[Contender], *, repeat: int = 5) -> Race:
    """Times every contender `repeat` times, turn by turn so that a slow minute slows all; fills the standings.

    Raises RuntimeError when a contender fails or takes longer than TURN_SECONDS.
    """
    able = []
    for contender in contenders:
        missing = [package for package in contender.needs if find_spec(package) is None]
        if missing:
            race.absent[contender.name] = f"{', '.join(missing)} not installed"
        else:
            able.append(contender)
    turns: dict[str, list[Turn]] = {contender.name: [] for contender in able}
    for _ in range(repeat):
        for contender in able:
            turns[contender.name].append(_turn(contender))
    base = next((_median_rate(turns[contender.name]) for contender in able if contender.baseline), None)
    race.standings = [_standing(contender, turns[contender.name], base) for contender in able]
    return race


def _turn(contender: Contender) -> Turn:
    try:
        return in_a_process(_timed, contender)
    except Exception as error:
        raise RuntimeError(f"{contender.name} failed: {error}") from error


def preload(*modules: str) -> None:
    """What turns import, once for all of them; to be called before the first."""
    _PROCESSES.set_forkserver_preload(list(modules))


def in_a_process(run: Callable[..., T], *arguments: Any) -> T:
    """What it returns, in a process of its own, with the environment as it is now.

    Raises what it raises, and TimeoutError where it takes longer than TURN_SECONDS.
    """
    with ProcessPoolExecutor(1, mp_context=_PROCESSES, initializer=take_over, initargs=(dict(os.environ),)) as pool:
        return pool.submit(run, *arguments).result(timeout=TURN_SECONDS)


def take_over(environment: dict[str, str]) -> None:
    """The environment as it is now, not as it was when the first of all processes was forked."""
    os.environ.clear()
    os.environ.update(environment)


def _timed(contender: Contender) -> Turn:
    if contender.prepare is not None:
        contender.prepare(*contender.arguments)
    cpu, wall = _cpu_seconds(), time.perf_counter()
    units = contender.run(*contender.arguments)
    seconds, cpu_seconds = time.perf_counter() - wall, _cpu_seconds() - cpu
    return Turn(units, seconds, cpu_seconds, peak_bytes())


def _cpu_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_bytes() -> int:
    """This process's largest resident set so far.

    Linux's own count: getrusage's ru_maxrss starts with what the parent had when it forked.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if platform.system() == "Darwin" else peak * 1024
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _median_rate(turns: Iterable[Turn]) -> float:
    return statistics.median(turn.units / turn.seconds for turn in turns)


def _standing(contender: Contender, turns: list[Turn], base: float | None) -> Standing:
    rate = _median_rate(turns)
    return Standing(
        name=contender.name,
        rate=rate,
        rate_per_core=rate / contender.cores,
        times_baseline=None if base is None else rate / base,
        seconds=statistics.median(turn.seconds for turn in turns),
        cpu_seconds=statistics.median(turn.cpu_seconds for turn in turns),
        peak_bytes=max(turn.peak_bytes for turn in turns),
        turns=turns,
    )


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "packages": versions,
    }


def report(races: Sequence[Race], *, as_json: bool) -> None:
    """Prints races: tables for people, one JSON object for a program."""
    if as_json:
        click.echo(json.dumps({"machine": machine(), "races": [asdict(race) for race in races]}, indent=1))
        return
    console = terminal()
    for race in races:
        console.print(_table(race))
        for name, why in race.absent.items():
            console.print(f"  left out: {name}, {why}", highlight=False)
    on = machine()
    console.print(f"{on['cpu']}, {on['cores']} cores, Python {on['python']}", highlight=False)


def _table(race: Race) -> Table:
    work = ", ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in race.work.items()
    )
    table = Table(title=race.title, caption=work or None, title_justify="left", caption_justify="left")
    table.add_column("", no_wrap=True)
    for column in (f"{race.unit}/s", "a core", "× baseline", "seconds", "CPU s", "peak MB"):
        table.add_column(column, justify="right", no_wrap=True)
    for standing in race.standings:
        table.add_row(
            standing.name,
            f"{standing.rate:,.0f}",
            f"{standing.rate_per_core:,.0f}",
            "" if standing.times_baseline is None else f"{standing.times_baseline:.2f}",
            f"{standing.seconds:.3f}",
            f"{standing.cpu_seconds:.3f}",
            f"{standing.peak_bytes / 1e6:,.0f}",
        )
    return table
