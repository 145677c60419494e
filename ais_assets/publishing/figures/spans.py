"""Time and way: how often ships are heard, and how long tracks and windows are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from matplotlib.ticker import FuncFormatter, PercentFormatter
from numpy.typing import NDArray

from ais_assets.publishing.figures.picture import (
    BLUE,
    INK,
    ORANGE,
    Picture,
    drawing,
    empty,
    headed,
    large,
    sheet,
)

_BINS: Final = 48
_HOUR: Final = 3_600.0

Values = NDArray[np.floating[Any]]


@drawing
def reporting_intervals(edges: Sequence[int], counts: Sequence[int]) -> Picture:
    """How often ships are heard: the seconds since a track's previous position, over all tracks.

    Args:
        edges: seconds; counts[k] positions have edges[k - 1] < dt <= edges[k].
        counts: as many; counts[0] positions begin a track and are left out.
    """
    figure = sheet(8, 3.6)
    axes = figure.add_subplot()
    heard = np.asarray(counts[1:], np.float64)
    shares = heard / max(1.0, heard.sum())
    names = [_interval(above, most) for above, most in pairwise(edges)]
    bars = axes.bar(range(len(names)), shares, width=0.85, color=BLUE)
    axes.bar_label(
        bars, [f"{share:.1%}" if share >= 0.0005 else "" for share in shares], fontsize=7.5, padding=2, color=INK
    )
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_ylabel("share of positions")
    axes.grid(visible=False, axis="x")
    title = "How often ships are heard"
    headed(figure, title, "time since the track's previous position, over all tracks")
    told = ", ".join(f"{name} {share:.1%}" for name, share in zip(names, shares, strict=True) if share >= 0.01)
    alt = f"Share of {large(heard.sum())} positions by the time since the one before: {told}."
    return Picture("reporting_intervals", title, alt, figure)


@drawing
def lengths_and_durations(
    track_hours: Values, track_miles: Values, window_hours: Values, window_miles: Values, *, every: int = 1
) -> Picture:
    """How long tracks and windows last, and how far they go.

    Args:
        track_hours: of tracks, (n,).
        track_miles: nautical miles along them, (n,).
        window_hours: of windows, (m,).
        window_miles: along them, (m,).
        every: one of so many positions was looked at.
    """
    figure = sheet(8, 3.6)
    left, right = figure.subplots(1, 2)
    told = []
    for axes, unit, tracks, windows, least in (
        (left, "hours", track_hours, window_hours, 0.01),
        (right, "nautical miles", track_miles, window_miles, 0.01),
    ):
        most = max([least * 10, *(float(values.max()) for values in (tracks, windows) if len(values))])
        bins = np.geomspace(least, most * 1.001, _BINS)
        for values, color, name in ((tracks, BLUE, "tracks"), (windows, ORANGE, "windows")):
            if not len(values):
                continue
            counts, _ = np.histogram(np.maximum(values, least), bins)
            shares = counts / len(values)
            axes.stairs(shares, bins, fill=True, color=color, alpha=0.25)
            axes.stairs(shares, bins, color=color, lw=1.6, label=f"{name} ({large(len(values))})")
            middle = np.quantile(values, [0.25, 0.5, 0.75])
            told.append(f"{name}: {unit} quartiles {middle[0]:.3g}, {middle[1]:.3g}, {middle[2]:.3g}")
        if not len(tracks) and not len(windows):
            empty(axes, "no track")
            continue
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_xlabel(f"{unit}; the first bin holds what is less")
        axes.set_ylim(bottom=0)
    left.set_title("how long they last")
    right.set_title("how far they go")
    if handles := left.get_legend_handles_labels()[0]:
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
    title = "Tracks and windows: how long, how far"
    looked = "all tracks" if every == 1 else f"windows from one in {every} of the positions"
    headed(figure, title, f"share of tracks and of windows in each bin; {looked}")
    return Picture("lengths_and_durations", title, f"Two histograms. {'; '.join(told) or 'No track'}.", figure)


def _interval(above: int, most: int) -> str:
    """A bin of seconds in the unit that people use for it."""
    if most < 60:
        return f"{most} s" if most == above + 1 else f"{above + 1}–{most} s"
    if most < _HOUR:
        return f"to {_short(most / 60)} min"
    return f"to {_short(most / _HOUR)} h"


def _short(value: float) -> str:
    return f"{value:.3g}"
