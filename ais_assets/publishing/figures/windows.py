"""Windows as models get them: each feature's distribution, training beside validation, and that they are shuffled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.publishing.figures.picture import (
    BLUE,
    GREEN,
    INK,
    QUIET,
    RED,
    SKY,
    Picture,
    drawing,
    empty,
    headed,
    large,
    sheet,
)

_BINS: Final = 60
_POINTS: Final = 3_000
_SPLIT_COLOURS: Final = {"train": BLUE, "validation": RED, "test": GREEN, "holdout": QUIET}
APART: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""How many places lie between the windows of a pair."""
_DEVIATIONS: Final = 2.58
"""A fair shuffle is outside as many standard deviations once in a hundred times."""

Values = NDArray[np.floating[Any]]


@drawing
def feature_distributions(features: Mapping[str, Mapping[str, Values]], *, every: int = 1) -> Picture:
    """Each feature's distribution over the positions of tracks, training vessels' beside the other splits'.

    Args:
        features: by split, by feature (`schema.FEATURE_NAMES`), values in the feature's unit, (n,).
        every: one of so many positions was looked at.
    """
    figure = sheet(8, 4.8)
    told = []
    for place, feature in enumerate(schema.FEATURES):
        axes = figure.add_subplot(2, 3, place + 1)
        parts = {split: of[feature.name] for split, of in features.items() if len(of[feature.name])}
        if not parts:
            empty(axes, "no position")
            continue
        bins = _bins(feature.name, np.concatenate(list(parts.values())))
        for split, values in parts.items():
            counts, _ = np.histogram(np.clip(values, bins[0], bins[-1]), bins)
            color = _SPLIT_COLOURS.get(split, INK)
            axes.stairs(
                counts / len(values), bins, color=color, lw=1.5, label=f"{split} ({large(len(values))} positions)"
            )
            told.append(f"{split} {feature.name} median {np.median(values):.4g}")
        axes.set_title(f"{feature.name}, {feature.unit}s", fontsize=9)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_ylim(bottom=0)
        if feature.name == "dt_seconds":
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
    if figure.axes and (handles := figure.axes[0].get_legend_handles_labels()[0]):
        figure.legend(handles=handles, loc="outside lower left", ncols=2)
    title = "Each feature, training beside the other splits"
    looked = "all positions" if every == 1 else f"one in {every} of the positions"
    headed(figure, title, f"share of each split's positions in a bin; {looked} of tracks")
    return Picture("feature_distributions", title, f"Five histograms. {', '.join(told) or 'No position'}.", figure)


@drawing
def shuffle_evidence(starts: Values, vessels: NDArray[np.integer[Any]], first: float, last: float) -> Picture:
    """That windows are shuffled: when they begin by their place in the order, and how often neighbours share a vessel.

    Args:
        starts: Unix time of each window's first position, in the order in which they are stored, (n,).
        vessels: their MMSI, (n,).
        first: Unix time at which the days begin.
        last: at which they end.
    """
    figure = sheet(8, 3.7)
    left, right = figure.subplots(1, 2)
    title = "The order of training windows"
    if len(starts) < 2:
        empty(left, "fewer than two windows")
        right.set_axis_off()
        headed(figure, title)
        return Picture("shuffle_evidence", title, "There are fewer than two windows.", figure)
    step = max(1, len(starts) // _POINTS)
    days = (starts[::step] - first) / 86_400
    size = 3 if len(days) > 500 else 8
    left.scatter(np.arange(len(starts))[::step], days, s=size, color=BLUE, alpha=0.45, lw=0)
    left.set_ylim(0, max(1e-3, (last - first) / 86_400))
    left.set_xlim(0, len(starts))
    left.set_xlabel("place in the order")
    left.set_ylabel("day at which the window begins")
    left.xaxis.set_major_formatter(FuncFormatter(lambda value, _: large(value)))
    left.set_title("when they begin: no pattern", fontsize=9)
    apart = [places for places in APART if places < len(vessels)]
    shares = shared_vessel(vessels, apart)
    chance = by_chance(vessels)
    spread = [_DEVIATIONS * np.sqrt(chance * (1 - chance) / (len(vessels) - places)) for places in apart]
    low, high = (np.maximum(0, chance + sign * np.array(spread)) for sign in (-1, 1))
    right.fill_between(apart, low, high, color=SKY, alpha=0.4, lw=0, label="a fair shuffle, 99 times in 100")
    right.axhline(chance, color=QUIET, lw=1, label="by chance")
    right.plot(apart, shares, "o-", color=BLUE, ms=4, lw=1.2, label="found")
    right.set_xscale("log", base=2)
    right.set_xticks(apart, [str(places) for places in apart])
    right.xaxis.set_minor_formatter(NullFormatter())
    right.set_ylim(0, max(float(high.max()), *shares) * 1.6 + 1e-6)
    right.yaxis.set_major_formatter(PercentFormatter(1, decimals=1 if chance > 0.005 else 2))
    right.set_xlabel("places apart")
    right.set_title("pairs of the same vessel", fontsize=9)
    right.legend(loc="upper right")
    headed(
        figure,
        title,
        f"the first {len(starts):,} windows as stored; unshuffled, nearly all neighbours would share a vessel",
    )
    alt = f"Of neighbours among {len(starts):,} windows {shares[0]:.2%} are of one vessel; chance gives {chance:.2%}."
    return Picture("shuffle_evidence", title, alt, figure)


def shared_vessel(vessels: NDArray[np.integer[Any]], apart: Sequence[int]) -> list[float]:
    """The share of pairs, so many places apart, that are of one vessel."""
    return [float(np.mean(vessels[places:] == vessels[:-places])) for places in apart]


def by_chance(vessels: NDArray[np.integer[Any]]) -> float:
    """The share of all pairs of different windows that are of one vessel."""
    _, counts = np.unique(vessels, return_counts=True)
    n = len(vessels)
    return float((counts.astype(np.float64) * (counts - 1)).sum() / (n * (n - 1)))


def _bins(name: str, values: Values) -> NDArray[np.float64]:
    """Edges that suit a feature: over its range where that is fixed, else over what there is but for outliers."""
    if name == "dt_seconds":
        return np.geomspace(1, schema.MAX_GAP_SECONDS, _BINS)
    if name == "cog":
        return np.linspace(0, 360, 37)
    low, high = np.quantile(values, [0.001, 0.999])
    low = 0.0 if name == "sog" else float(low)
    return np.linspace(low, max(float(high), low + 1e-3), _BINS)
