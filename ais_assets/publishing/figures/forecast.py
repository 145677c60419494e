"""What forecasts are worth by how far they look ahead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from matplotlib.ticker import FuncFormatter

from ais_assets.publishing.figures.picture import (
    BLUE,
    GREEN,
    INK,
    RED,
    Picture,
    drawing,
    empty,
    headed,
    sheet,
    words,
)

_COLOURS: Final = {"last_position": GREEN, "dead_reckoning": BLUE, "kalman": RED}
_LINES: Final = {"kalman": "o--"}
"""A filter's forecasts may lie upon dead reckoning's, which is to be seen through them."""
_MOST_NAMES: Final = 13
_KINDS: Final = ("moving", "all")


@drawing
def error_by_horizon(report: Mapping[str, Any]) -> Picture:
    """Forecast error against horizon: the mean with its 95 % interval by vessel as a band, and the 90th percentile.

    Args:
        report: as `transforms.forecast_report.ForecastErrors.summary` has it: nautical miles by method, kind of ship
            and horizon in minutes.
    """
    figure = sheet(8, 3.9)
    methods = {name: of for name, of in report.items() if isinstance(of, Mapping) and "moving" in of}
    told = []
    for axes, kind in zip(figure.subplots(1, 2, sharey=True), _KINDS, strict=True):
        for method, of_kinds in methods.items():
            scored = {float(m): of for m, of in of_kinds[kind].items() if of["mean"] is not None}
            minutes = sorted(scored)
            if not minutes:
                continue
            color = _COLOURS.get(method, INK)
            means = [scored[m]["mean"] for m in minutes]
            bands = [scored[m]["interval"] or [scored[m]["mean"]] * 2 for m in minutes]
            axes.fill_between(
                minutes, [low for low, _ in bands], [high for _, high in bands], color=color, alpha=0.13, lw=0
            )
            axes.plot(
                minutes, means, _LINES.get(method, "o-"), color=color, ms=3.5, lw=1.6, label=f"{words(method)}, mean"
            )
            axes.plot(minutes, [scored[m]["p90"] for m in minutes], ":", color=color, lw=1.3)
            told.append(
                f"{words(method)}, {kind} ships: " + ", ".join(f"{m:g} min {scored[m]['mean']:.3g}" for m in minutes)
            )
        if not axes.lines:
            empty(axes, "no window is long enough to be scored")
            continue
        axes.set_xlabel("minutes ahead")
        axes.set_xticks(_apart(sorted({float(m) for of in methods.values() for m in of[kind]})))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_ylim(bottom=0)
        axes.set_title("ships under way" if kind == "moving" else "all ships", fontsize=9)
    figure.axes[0].set_ylabel("error, nautical miles")
    if handles := figure.axes[0].get_legend_handles_labels()[0]:
        handles.append(figure.axes[0].plot([], [], ":", color=INK, lw=1.3, label="90th percentile")[0])
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
    title = "The baselines that a model must beat"
    windows, vessels = report.get("windows", 0), report.get("vessels", 0)
    note = f"{windows:,} validation windows of {vessels:,} vessels; bands: 95 % of means over vessels drawn anew"
    headed(figure, title, note)
    alt = f"Mean error in nautical miles. {'; '.join(told) or 'No window is long enough'}."
    return Picture("error_by_horizon", title, alt, figure)


def _apart(minutes: list[float]) -> list[float]:
    """Those of the horizons, in order, that have room for their names beside each other."""
    shown: list[float] = []
    for minute in minutes:
        if not shown or minute - shown[-1] >= minutes[-1] / _MOST_NAMES:
            shown.append(minute)
    return shown
