"""One sample, drawn in one call: where she went, and what she reported meanwhile."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from ais_assets import schema
from ais_assets.publishing.figures.maps import (
    COASTLINE,
    LAND_CELLS,
    PARTS,
    SMALLEST_DEGREES,
    Box,
    box_of,
    degree_axes,
    draw_land,
    scale_bar,
)
from ais_assets.publishing.figures.picture import (
    INK,
    LINES,
    PAPER,
    PURPLE,
    Picture,
    drawing,
    headed,
    plain,
    sheet,
)

_SHOWN: Final = (("sog", "knots"), ("cog", "degrees"), ("dt_seconds", "seconds"))
"""Features beside the map, and their units."""
_SECONDS: Final = schema.FEATURE_NAMES.index("dt_seconds")


@drawing
def plot_sample(
    sample: ArrayLike, *, seq_len: int = schema.SEQ_LEN, forecast: ArrayLike | None = None, of: str = ""
) -> Picture:
    """A map of one sample, with speed, course and reporting interval beside it: what a model sees, and what follows.

    In a notebook the last expression of a cell is shown; `.png` has its bytes.

    Args:
        sample: (window_len, 5) in degrees, knots and seconds, as `schema.FEATURES`: a row of a batch, of `Lake.windows`
            or of a file. What a loader adds behind the five is not drawn. A tensor must be on the CPU.
        seq_len: positions that a model sees.
        forecast: (n, 2), latitudes and longitudes in degrees that a model forecast for the n positions after those.
        of: whose, or which sample it is.

    Raises ValueError for another shape, and for features that have been scaled.
    """
    window = _window(sample, seq_len)
    guessed = _guessed(forecast, len(window) - seq_len)
    lat, lon = window[:, 0], window[:, 1]
    figure = sheet(9.6, 4.9)
    places = figure.add_gridspec(len(_SHOWN), 2, width_ratios=(1.35, 1))
    axes = figure.add_subplot(places[:, 0])
    box = box_of(np.append(lat, guessed[:, 0]), np.append(lon, guessed[:, 1])).padded(0.1, SMALLEST_DEGREES).shaped(1.2)
    draw_land(axes, box, LAND_CELLS)
    _draw_way(axes, box, window, seq_len, guessed)
    _draw_reports(figure, [figure.add_subplot(places[row, 1]) for row in range(len(_SHOWN))], window, seq_len)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    minutes = round(window[1:, _SECONDS].sum() / 60)
    lasts = f"{minutes // 60}:{minutes % 60:02} h"
    title = f"Sample: {plain(of)}" if of else "Sample"
    headed(figure, title, f"{len(window):,} positions, {seq_len:,} of them seen; {lasts}; {COASTLINE}")
    alt = f"Map of {box}: {len(window):,} positions in {lasts}, at most {window[:, 2].max():.3g} knots."
    return Picture("sample", title, alt, figure)


def _draw_way(axes: Axes, box: Box, window: NDArray[np.float64], seq_len: int, guessed: NDArray[np.float64]) -> None:
    def along(lon: NDArray[np.float64]) -> NDArray[np.float64]:
        return (lon - box.west) % 360 + box.west

    lat, lon = window[:, 0], along(window[:, 1])
    (seen, blue), (ahead, red) = [(name, colour) for colour, name in PARTS]
    axes.plot(lon[:seq_len], lat[:seq_len], color=blue, lw=2.8, zorder=7, label=seen)
    axes.plot(lon[seq_len - 1 :], lat[seq_len - 1 :], color=red, lw=2, zorder=6, label=ahead)
    axes.plot(lon[:1], lat[:1], "o", color=PAPER, mec=blue, mew=1.4, ms=5, zorder=8)
    if len(guessed):
        last = np.vstack([window[seq_len - 1 : seq_len, :2], guessed])
        axes.plot(along(last[:, 1]), last[:, 0], color=PURPLE, lw=2, ls="--", zorder=8, label="forecast")
    degree_axes(axes, box)
    scale_bar(axes, box)


def _draw_reports(figure: Figure, panels: list[Axes], window: NDArray[np.float64], seq_len: int) -> None:
    """Each feature by hours since the window's first position; points, since a course jumps from 360° to 0°."""
    hours = np.append(0.0, np.cumsum(window[1:, _SECONDS])) / 3600
    for axes, (name, unit) in zip(panels, _SHOWN, strict=True):
        values = window[:, schema.FEATURE_NAMES.index(name)]
        for part, (colour, _) in zip((slice(None, seq_len), slice(seq_len, None)), PARTS, strict=True):
            axes.plot(hours[part], values[part], ".", color=colour, ms=2.5)
        axes.axvline(hours[seq_len - 1], color=LINES, lw=1)
        axes.set_title(f"{name}, {unit}", fontsize=9, color=INK)
        axes.tick_params(labelbottom=axes is panels[-1])
        axes.set_ylim(0, max(1.0, 1.1 * values.max()))
    panels[1].set_ylim(0, 360)
    panels[1].set_yticks([0, 90, 180, 270, 360])
    panels[-1].set_xlabel("hours")


def _window(sample: ArrayLike, seq_len: int) -> NDArray[np.float64]:
    window = np.asarray(sample, np.float64)
    if window.ndim != 2 or window.shape[1] < schema.FEATURE_COUNT:
        raise ValueError(
            f"a sample has shape {window.shape}; it must be (window_len, {schema.FEATURE_COUNT}), such as batch[0]"
        )
    if not 0 < seq_len <= len(window):
        raise ValueError(f"seq_len is {seq_len}; the sample has {len(window)} positions")
    window = window[:, : schema.FEATURE_COUNT]
    seconds = window[:, _SECONDS]
    if not np.array_equal(seconds, np.rint(seconds)) or (seconds < 0).any():
        raise ValueError("dt_seconds are no whole seconds: plot samples before they are normalized (normalize=None)")
    return window


def _guessed(forecast: Any, most: int) -> NDArray[np.float64]:
    if forecast is None:
        return np.empty((0, 2))
    guessed = np.asarray(forecast, np.float64)
    if guessed.ndim != 2 or guessed.shape[1] != 2 or len(guessed) > most:
        raise ValueError(f"the forecast has shape {guessed.shape}; it must be (n, 2) with n of at most {most}")
    return guessed
