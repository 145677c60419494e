"""Gathering windows from packed positions, beside a memcpy of the same bytes."""

from __future__ import annotations

import click
import numpy as np
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.bench._simulated import ONE_PILE, Traffic, simulated_traffic, traffic_options
from ais_assets.bench.race import Contender, Race, report, run_race
from ais_assets.transforms.shuffle import TABLE_WINDOWS, shuffle_pile
from ais_assets.transforms.windows import gather


def gather_windows(traffic: Traffic, windows: int, block: int = TABLE_WINDOWS) -> float:
    """Gathers `windows` windows in shuffled order, a block at a time as pass 2 does; returns their number."""
    packed = traffic.load_packed()
    rows = shuffled_rows(traffic, windows)
    done = 0
    for first in range(0, windows, block):
        part = rows[first : first + block]
        done += len(gather([packed], np.zeros(len(part), np.int64), part, traffic.window_len))
    return done


def copy_windows(traffic: Traffic, windows: int, block: int = TABLE_WINDOWS) -> float:
    """Copies as many windows from one buffer to new ones; returns their number."""
    shape = (min(block, windows), traffic.window_len, schema.FEATURE_COUNT)
    source = np.ones(shape, np.float32)
    done = 0
    for first in range(0, windows, block):
        done += len(source[: min(block, windows - first)].copy())
    return done


def shuffled_rows(traffic: Traffic, windows: int) -> NDArray[np.int64]:
    """First rows of `windows` windows, shuffled, going round as often as there are too few."""
    order = shuffle_pile([traffic.load_references()], traffic.seed, ONE_PILE)
    return np.resize(np.asarray(order.row, np.int64), windows)


def races(traffic: Traffic, windows: int, repeat: int) -> list[Race]:
    """The measured races."""
    race = Race("Gather", "windows", {"windows": windows, "positions": traffic.positions})
    arguments = (traffic, windows)
    contenders = [
        Contender("memcpy", copy_windows, arguments, copy_windows, baseline=True),
        Contender("gather", gather_windows, arguments, gather_windows),
    ]
    return [run_race(race, contenders, repeat=repeat)]


@click.command()
@traffic_options
@click.option("--windows", type=click.IntRange(min=1), default=200_000, show_default=True, help="To gather.")
def command(*, as_json: bool, repeat: int, vessels: int, days: int, windows: int, seed: int) -> None:
    """Windows a second from packed positions, beside a memcpy."""
    with simulated_traffic(vessels, days, seed) as traffic:
        report(races(traffic, windows, repeat), as_json=as_json)
