"""Tracks judged by the truth: what each fault of a feed does to the platform's tracks, and to others' rules.

Simulated vessels' true reports get the faults of real feeds (`_truth_faults`), one kind at a time and all
together; each rule says which reports are one track, and is told what it got wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ais_assets.bench._simulated import FIRST_DAY
from ais_assets.bench._truth_contenders import RULES
from ais_assets.bench._truth_faults import FAULTS, NO_FAULT, FaultRates, Reports, position_reports, with_faults
from ais_assets.settings import Settings
from ais_assets.sources.simulated import Fleet

_SLOW: Final = "MovingPandas"
"""Takes a minute for each fault, and is an optional peer: run only when asked for."""
_FALSE_SILENCE: Final = 900
"""Seconds between two positions of a track, between which the ship was heard all the same."""
_HEARD: Final = 3
"""Reports in such a silence, at least."""


class Verdict(NamedTuple):
    """What a rule made of a feed."""

    true: int
    true_dropped: int
    false: int
    false_kept: int
    """In one track with true positions."""
    voyages: int
    voyages_split: int
    tracks_merged: int
    """With positions of more than one ship."""
    windows: int
    windows_with_false_silence: int


def true_reports(vessels: int, days: int, seed: int) -> Reports:
    """True position reports of a simulated fleet by (sender, time); each ship under an MMSI of her own."""
    parts = []
    for number in range(days):
        midnight = int(datetime.combine(FIRST_DAY + timedelta(days=number), datetime.min.time(), UTC).timestamp())
        parts.append(position_reports(Fleet.on(seed, vessels, midnight).plan(seed), midnight, vessels))
    reports = Reports._make(np.concatenate(columns) for columns in zip(*parts, strict=True))
    reports = reports.take(np.lexsort((reports.t, reports.sender)))
    again = (np.diff(reports.t, prepend=-1) == 0) & (np.diff(reports.sender, prepend=-1) == 0)
    return reports.take(~again)


def judge(reports: Reports, track: NDArray[np.int64], window_len: int, stride: int) -> Verdict:
    """What is wrong with tracks.

    Args:
        reports: by (MMSI, time).
        track: of each report, or negative.
        window_len: positions of a window.
        stride: from one window to the next.
    """
    true, bad = reports.fault == NO_FAULT, reports.fault >= 0
    kept = track >= 0
    voyage = _voyages(reports, true)
    own = true & kept
    pairs = np.unique(np.stack([track[own], voyage[own]], axis=1), axis=0)
    voyages_of_track = np.unique(np.stack([track[own], reports.sender[own]], axis=1), axis=0)
    false_kept = bad & kept & np.isin(track, track[own])
    windows, silent = _windows(reports, track, true, window_len, stride)
    return Verdict(
        int(true.sum()),
        int((true & ~kept).sum()),
        int(bad.sum()),
        int(false_kept.sum()),
        len(np.unique(voyage[true])),
        int((np.unique(pairs[:, 1], return_counts=True)[1] > 1).sum()),
        int((np.unique(voyages_of_track[:, 0], return_counts=True)[1] > 1).sum()),
        windows,
        silent,
    )


def _voyages(reports: Reports, true: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Of every true report, its sender's voyage: what lies between two silences over the limit."""
    voyage = np.full(len(reports.t), -1, np.int64)
    rows = np.flatnonzero(true)
    rows = rows[np.lexsort((reports.t[rows], reports.sender[rows]))]
    new = np.diff(reports.sender[rows], prepend=-1) != 0
    new |= np.diff(reports.t[rows], prepend=0) > Settings.model_construct().max_gap_seconds
    voyage[rows] = np.cumsum(new)
    return voyage


def _windows(
    reports: Reports, track: NDArray[np.int64], true: NDArray[np.bool_], window_len: int, stride: int
) -> tuple[int, int]:
    """How many windows the tracks hold, and how many of these a silence in which the ship was heard all the same."""
    heard = {int(sender): reports.t[true & (reports.sender == sender)] for sender in np.unique(reports.sender)}
    windows = silent = 0
    order = np.lexsort((reports.t, track))
    order = order[track[order] >= 0]
    for rows in np.split(order, np.flatnonzero(np.diff(track[order])) + 1):
        if len(rows) < window_len:
            continue
        t = reports.t[rows]
        false = np.zeros(len(rows), np.bool_)
        for k in np.flatnonzero(np.diff(t) > _FALSE_SILENCE):
            of = heard[int(reports.sender[rows[k]])]
            between = np.searchsorted(of, t[k + 1]) - np.searchsorted(of, t[k], side="right")
            false[k + 1] = between >= _HEARD
        for start in range(0, len(rows) - window_len + 1, stride):
            windows += 1
            silent += bool(false[start + 1 : start + window_len].any())
    return windows, silent


def verdicts(
    reports: Reports, cases: Mapping[str, FaultRates], seed: int, rules: list[str]
) -> Iterator[tuple[str, str, Verdict]]:
    """Case by case, the fault, the rule and the verdict."""
    settings = Settings.model_construct()
    for fault, of_case in cases.items():
        feed = with_faults(reports, of_case, seed)
        for rule in rules:
            yield fault, rule, judge(feed, RULES[rule](feed), settings.window_len, settings.stride)


def _cases(rates: FaultRates) -> dict[str, FaultRates]:
    """No fault, each that happens alone, and all together."""
    cases = {"none": FaultRates(**dict.fromkeys(FAULTS, 0.0))}
    cases |= {fault: rates.only(fault) for fault in FAULTS if getattr(rates, fault) > 0}
    return {**cases, "all": rates}


def _installed(rule: str) -> bool:
    if rule != _SLOW:
        return True
    from importlib.util import find_spec  # noqa: PLC0415

    return find_spec("movingpandas") is not None


@click.command()
@click.option("--vessels", type=click.IntRange(min=2), default=60, show_default=True, help="Simulated fleet.")
@click.option("--days", type=click.IntRange(min=1), default=2, show_default=True, help="Simulated days.")
@click.option("--seed", type=click.IntRange(min=0), default=17, show_default=True, help="Of simulation and faults.")
@click.option(
    "--rule", "rules", multiple=True, type=click.Choice(list(RULES)), help=f"Only these.  [default: all but {_SLOW}]"
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    type=click.Choice(["none", *FAULTS, "all"]),
    help="Only these.  [default: every]",
)
@click.option("--many", type=click.FloatRange(0, 1), default=0.2, show_default=True, help="Vessels in shared eights.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line instead of a table.")
def command(
    *,
    vessels: int,
    days: int,
    seed: int,
    rules: tuple[str, ...],
    faults: tuple[str, ...],
    many: float,
    as_json: bool,
) -> None:
    """What each fault of a feed does to tracks, by the truth that a simulator knows."""
    chosen = [rule for rule in rules or (rule for rule in RULES if rule != _SLOW) if _installed(rule)]
    table = Table("fault", "rule", *(name.replace("_", " ") for name in Verdict._fields))
    cases = _cases(FaultRates(shared_by_many=many))
    cases = {fault: rates for fault, rates in cases.items() if not faults or fault in faults}
    for fault, rule, verdict in verdicts(true_reports(vessels, days, seed), cases, seed, chosen):
        if as_json:
            click.echo(json.dumps({"fault": fault, "rule": rule, **verdict._asdict()}))
        table.add_row(fault, rule, *(f"{count:,}" for count in verdict))
    if not as_json:
        Console(width=200).print(table)
        if _SLOW not in chosen:
            missing = "takes a minute for each fault" if _installed(_SLOW) else "is not installed"
            click.echo(f"{_SLOW} {missing} and was left out.")
