"""Days beside each other: how much there is of each, what each rule dropped, and in which hours ships were heard.

Dagster's own plots of day partitions end today and show 120 days; these show the days of the lake.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from ais_assets.publishing.figures.picture import (
    ABSENT,
    BLUE,
    GREEN,
    QUIET,
    RED,
    SERIES,
    SKY,
    Picture,
    drawing,
    headed,
    large,
    sheet,
    words,
)

_RULES: Final = 7
"""That have a colour of their own; what the others dropped is taken together."""
_OTHERS: Final = "other rules"
_TICKS: Final = 9
HOURS: Final = 24

Counts = NDArray[np.floating[Any]]


@drawing
def volume_by_day(days: Sequence[date], rows: Counts, positions: Counts, vessels: Counts) -> Picture:
    """Rows of the files, clean positions and vessels, by day.

    Args:
        days: in order, without gaps.
        rows: of the source's files, (days,); NaN of a day that is not there.
        positions: clean ones, likewise.
        vessels: MMSIs of ships with a clean position, likewise.
    """
    figure = sheet(8, 4.6)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    edges = _edges(days)
    top.stairs(rows, edges, fill=True, color=SKY, label="rows of the source's files")
    top.stairs(positions, edges, fill=True, color=BLUE, label="clean positions")
    bottom.stairs(vessels, edges, fill=True, color=GREEN, label="vessels")
    for axes in (top, bottom):
        _absent(axes, np.isnan(rows))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: large(value)))
        axes.set_ylim(bottom=0)
        axes.grid(visible=False, axis="x")
    handles = [*top.get_legend_handles_labels()[0], *bottom.get_legend_handles_labels()[0]]
    _day_axis(bottom, days)
    _legend_below(figure, handles, np.isnan(rows).any())
    title = "Rows and vessels by day"
    headed(figure, title)
    there = int(np.count_nonzero(~np.isnan(rows)))
    alt = (
        f"{there} of {len(days)} days, {_range(days)}. In all {large(float(np.nansum(rows)))} rows and "
        f"{large(float(np.nansum(positions)))} clean positions; {_least_and_most(vessels)} vessels a day."
    )
    return Picture("volume_by_day", title, alt, figure)


@drawing
def dropped_by_day(days: Sequence[date], dropped: Mapping[str, Counts], rows: Counts) -> Picture:
    """Rows that were rejected or dropped, by rule, stacked by day, as shares of the rows of the source's files.

    Args:
        days: in order, without gaps.
        dropped: rows by rule, (days,) each; 0 on days that are not there.
        rows: of the source's files, (days,); NaN of a day that is not there.
    """
    figure = sheet(8, 4.2)
    axes = figure.add_subplot()
    edges, stacked = _edges(days), np.zeros(len(days))
    for color, (rule, counts) in zip((*SERIES, QUIET), largest_first(dropped).items(), strict=False):
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = np.where(rows > 0, counts / rows, 0.0)
        axes.stairs(stacked + shares, edges, baseline=stacked, fill=True, color=color, label=words(rule))
        stacked = stacked + shares
    axes.set_ylim(0, max(0.01, min(1.0, float(stacked.max(initial=0)) * 1.08)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _share(value)))
    axes.set_ylabel("share of the day's rows")
    _absent(axes, np.isnan(rows))
    _day_axis(axes, days)
    handles = axes.get_legend_handles_labels()[0]
    if np.isnan(rows).any():
        handles = [*handles, _absent_patch()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    title = "What was dropped, by rule"
    headed(figure, title)
    total = float(np.nansum(rows))
    told = ", ".join(
        f"{words(rule)} {large(counts.sum())} ({counts.sum() / max(1.0, total):.2%})"
        for rule, counts in largest_first(dropped).items()
    )
    alt = f"Of {large(total)} rows, {_range(days)}, were dropped: {told or 'none'}."
    return Picture("dropped_by_day", title, alt, figure)


@drawing
def hours_by_day(days: Sequence[date], positions: Counts) -> Picture:
    """In which hours ships were heard: clean positions by hour and day; hours without any stand out.

    Args:
        days: in order, without gaps.
        positions: (days, 24), UTC; NaN of a day that is not there.
    """
    figure = sheet(8, 3.9)
    axes = figure.add_subplot()
    edges = _edges(days)
    hours = np.arange(HOURS + 1)
    busiest = float(np.nanmax(positions, initial=1.0)) if np.isfinite(positions).any() else 1.0
    heard = np.ma.masked_invalid(np.where(positions > 0, positions, np.nan)).T
    drawn = axes.pcolormesh(edges, hours, heard, cmap="cividis_r", vmin=0, vmax=busiest, rasterized=True)
    silent = np.where(positions == 0, 1.0, np.nan).T
    axes.pcolormesh(edges, hours, np.ma.masked_invalid(silent), cmap=ListedColormap([RED]), rasterized=True)
    absent = np.isnan(positions).all(axis=1)
    _absent(axes, absent)
    axes.set_yticks(range(0, HOURS + 1, 6))
    axes.set_ylabel("hour of the day, UTC")
    axes.grid(visible=False)
    _day_axis(axes, days)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.9, pad=0.015, format=FuncFormatter(lambda value, _: large(value)))
    bar.set_label("clean positions in the hour", color=QUIET)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    without = int(np.count_nonzero(positions == 0))
    handles = [Patch(color=RED, label=f"hour without a position: {without:,}")] if without else []
    handles += [_absent_patch()] if absent.any() else []
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
    title = "In which hours ships were heard"
    headed(figure, title)
    alt = (
        f"Clean positions by hour, {_range(days)}: at most {large(busiest)} in an hour; {without} hours have none, "
        f"{np.count_nonzero(absent)} days are not there."
    )
    return Picture("hours_by_day", title, alt, figure)


def largest_first(dropped: Mapping[str, Counts]) -> dict[str, Counts]:
    """Rules by how much they dropped, the most first; beyond the seventh taken together; none that dropped nothing."""
    ranked = sorted(
        ((rule, counts) for rule, counts in dropped.items() if counts.sum()), key=lambda of: (-of[1].sum(), of[0])
    )
    if len(ranked) <= _RULES + 1:
        return dict(ranked)
    others = np.sum([counts for _, counts in ranked[_RULES:]], axis=0)
    return {**dict(ranked[:_RULES]), _OTHERS: others}


def _edges(days: Sequence[date]) -> NDArray[np.float64]:
    return np.arange(len(days) + 1) - 0.5


def _day_axis(axes: Axes, days: Sequence[date]) -> None:
    """Dates below the bars, as many as have room."""
    step = max(1, -(-len(days) // _TICKS))
    places = list(range(0, len(days), step))
    years = {day.year for day in days}
    form = "%-d %b" if len(years) == 1 else "%-d %b %Y"
    axes.set_xticks(places, [days[place].strftime(form) for place in places])
    axes.set_xlim(-0.5, len(days) - 0.5)
    axes.grid(visible=False, axis="x")
    if len(years) == 1:
        axes.set_xlabel(str(years.pop()))


def _absent(axes: Axes, absent: NDArray[np.bool_]) -> None:
    """Shades days that are not there, so that they are not taken for days of nothing."""
    for place in np.flatnonzero(absent):
        axes.axvspan(place - 0.5, place + 0.5, color=ABSENT, alpha=0.5, lw=0, zorder=0)


def _absent_patch() -> Patch:
    return Patch(color=ABSENT, alpha=0.5, lw=0, label="day that is not there")


def _legend_below(figure: Any, handles: list[Any], some_absent: Any) -> None:
    handles = [*handles, _absent_patch()] if some_absent else handles
    figure.legend(handles=handles, loc="outside lower center", ncols=4)


def _share(value: float) -> str:
    return f"{value:.0%}" if value >= 0.1 or value == 0 else f"{value:.1%}"


def _range(days: Sequence[date]) -> str:
    return f"{days[0]} to {days[-1]}" if len(days) else "no day"


def _least_and_most(counts: Counts) -> str:
    there = counts[~np.isnan(counts)]
    return f"{there.min():,.0f} to {there.max():,.0f}" if len(there) else "no"
