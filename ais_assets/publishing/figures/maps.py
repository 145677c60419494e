"""Maps: where ships are heard, and windows on their coasts. Plate carrée, true to scale at its middle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.publishing.figures.picture import (
    BLUE,
    INK,
    PAPER,
    QUIET,
    RED,
    SERIES,
    Picture,
    drawing,
    empty,
    headed,
    large,
    plain,
    sheet,
)
from ais_assets.transforms.geodesy import METRES_PER_NAUTICAL_MILE, great_circle_metres
from ais_assets.transforms.land import CELL_DEGREES, on_land

SEA: Final = "#eef4f8"
LAND: Final = "#e6dfcf"
COAST: Final = "#a3967c"
COASTLINE: Final = "land: GSHHG shorelines"

Line = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Latitudes and longitudes in degrees, (n,) each."""

_CELLS: Final = 320
"""Of a density map along its longer side."""
LAND_CELLS: Final = 700
_PANEL_CELLS: Final = 160
_OUTLIERS: Final = 0.0005
"""The share of positions on each side that may lie outside the map, so that a few stray ones do not shrink it."""
SMALLEST_DEGREES: Final = 0.02
_PANELS: Final = 12


@dataclass(frozen=True)
class Box:
    """An area, in degrees; east is above 180 where it crosses the antimeridian."""

    south: float
    north: float
    west: float
    east: float

    @property
    def stretch(self) -> float:
        """A degree of latitude over one of longitude, at its middle."""
        return 1 / max(0.05, float(np.cos(np.radians((self.south + self.north) / 2))))

    def padded(self, share: float, least: float) -> Box:
        """With a margin of that share of its sides, and of at least so many degrees of latitude from side to side."""
        tall = max((self.north - self.south) * (1 + 2 * share), least)
        wide = max((self.east - self.west) * (1 + 2 * share), least * self.stretch)
        lat, lon = (self.south + self.north) / 2, (self.west + self.east) / 2
        return Box(max(-90.0, lat - tall / 2), min(90.0, lat + tall / 2), lon - wide / 2, lon + wide / 2)

    def shaped(self, aspect: float) -> Box:
        """Made wider or taller, so that its width is `aspect` times its height on the map."""
        tall, wide = self.north - self.south, (self.east - self.west) / self.stretch
        if wide < aspect * tall:
            more = (aspect * tall - wide) * self.stretch / 2
            return Box(self.south, self.north, self.west - more, self.east + more)
        more = (wide / aspect - tall) / 2
        return Box(max(-90.0, self.south - more), min(90.0, self.north + more), self.west, self.east)

    def __str__(self) -> str:
        return f"{_latitude(self.south)} to {_latitude(self.north)}, {_longitude(self.west)} to {_longitude(self.east)}"


def box_of(lat: NDArray[np.floating[Any]], lon: NDArray[np.floating[Any]], outliers: float = 0.0) -> Box:
    """The least box that holds positions in degrees, (n,) each, but for a share of outliers on each side.

    It follows the way around the earth on which no position lies for longest, so that a fleet on both sides of ±180°
    is not shown around the whole earth.
    """
    turned = (lon + 180) % 360
    bins = np.bincount(np.minimum(turned.astype(np.int64), 359), minlength=360)
    filled = np.flatnonzero(bins > outliers * len(lon))
    gaps = np.diff(np.append(filled, filled[0] + 360))
    widest = int(np.argmax(gaps))
    first = float(filled[(widest + 1) % len(filled)]) - 180 if gaps[widest] > 1 else -180.0
    along = (lon - first) % 360 + first
    south, north = np.quantile(lat, [outliers, 1 - outliers])
    west, east = np.quantile(along, [outliers, 1 - outliers])
    return Box(float(south), float(north), float(west), float(east))


def density(
    lat: NDArray[np.floating[Any]], lon: NDArray[np.floating[Any]], box: Box, cells: int = _CELLS
) -> NDArray[np.int64]:
    """Positions in each cell of a grid over the box, (rows from the south, columns from the west).

    Args:
        lat: degrees, (n,).
        lon: degrees, (n,).
        box: what lies outside it is not counted.
        cells: along the longer side of the map.
    """
    rows, columns = _shape(box, cells)
    along = (lon - box.west) % 360 + box.west
    row = np.floor((lat - box.south) / (box.north - box.south) * rows).astype(np.int64)
    column = np.floor((along - box.west) / (box.east - box.west) * columns).astype(np.int64)
    inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    counts = np.bincount(row[inside] * columns + column[inside], minlength=rows * columns)
    return counts.reshape(rows, columns)


@drawing
def traffic_density(
    lat: NDArray[np.floating[Any]],
    lon: NDArray[np.floating[Any]],
    *,
    of: str,
    every: int = 1,
) -> Picture:
    """Where ships are heard: positions by cell, logarithmic, over the coast.

    Args:
        lat: degrees, (n,).
        lon: degrees, (n,).
        of: what the positions are, such as a day.
        every: one of so many positions was looked at.
    """
    name = "traffic_density"
    figure = sheet(8, 6)
    title = f"Where ships were heard: {of}"
    if not len(lat):
        empty(figure.add_subplot(), "no position")
        headed(figure, title)
        return Picture(name, title, f"{title}. There is no position.", figure)
    box = box_of(lat, lon, _OUTLIERS).padded(0.04, SMALLEST_DEGREES).shaped(1.35)
    counts = density(lat, lon, box)
    axes = figure.add_subplot()
    draw_land(axes, box, LAND_CELLS)
    seen = np.ma.masked_equal(counts, 0)
    drawn = axes.imshow(
        seen,
        extent=(box.west, box.east, box.south, box.north),
        origin="lower",
        norm=LogNorm(1, max(10, int(counts.max()))),
        cmap="viridis_r",
        aspect=box.stretch,
        interpolation="nearest",
        zorder=2,
    )
    degree_axes(axes, box)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.7, pad=0.015, aspect=30)
    bar.set_label("positions in a cell", color=QUIET)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    tall = (box.north - box.south) / counts.shape[0] * 60
    looked = "all" if every == 1 else f"one in {every}"
    note = f"{looked} of the positions ({large(len(lat))}); cells {tall:.2g} nm tall; {COASTLINE}"
    headed(figure, title, note)
    alt = (
        f"Map of {box}. {large(len(lat))} positions ({looked}) fill {np.count_nonzero(counts):,} of {counts.size:,} "
        f"cells; the busiest has {counts.max():,}."
    )
    return Picture(name, title, alt, figure)


@drawing
def sample_windows(windows: NDArray[np.float32], labels: Sequence[str], *, seq_len: int, of: str) -> Picture:
    """Windows on their coasts: what a model sees, and what it is to forecast.

    Args:
        windows: (n, window_len, 5), columns as in `schema.FEATURES`; the first twelve are drawn.
        labels: a line about each, such as her type.
        seq_len: positions that a model sees.
        of: how the windows were chosen.
    """
    title = "Samples: what a model sees, and what it is to forecast"
    figure = sheet(8, 7.2)
    shown = windows[:_PANELS]
    if not len(shown):
        empty(figure.add_subplot(), "no window")
    told = []
    for panel, (window, label) in enumerate(zip(shown, labels, strict=False)):
        axes = figure.add_subplot(3, 4, panel + 1)
        told.append(_draw_window(axes, window, label, seq_len))
    handles = [
        *(figure.axes[0].plot([], [], color=color, lw=2, label=name)[0] for color, name in PARTS if len(shown)),
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
    headed(figure, title, f"{of}; {COASTLINE}")
    return Picture("sample_windows", title, f"{len(shown)} maps of a window each: {'; '.join(told)}.", figure)


@drawing
def voyages(tracks: Sequence[Line], *, of: str, window: Line | None = None, seq_len: int = 0) -> Picture:
    """Where one vessel went, a line a track, and in it a window: what a model sees and is to forecast.

    Args:
        tracks: each in degrees, (n,).
        of: whose they are.
        window: of one of the tracks.
        seq_len: its positions that a model sees.
    """
    figure = sheet(8, 6)
    title = f"Where she went: {plain(of)}"
    positions = sum(len(lat) for lat, _ in tracks)
    if not positions:
        empty(figure.add_subplot(), "no position")
        headed(figure, title)
        return Picture("voyages", title, f"{title}. There is no position.", figure)
    shown = tracks if window is None else [window]
    whole = box_of(np.concatenate([lat for lat, _ in shown]), np.concatenate([lon for _, lon in shown]))
    box = whole.padded(0.08, SMALLEST_DEGREES).shaped(1.35)
    axes = figure.add_subplot()
    draw_land(axes, box, LAND_CELLS)
    for number, (lat, lon) in enumerate(tracks):
        along = (lon - box.west) % 360 + box.west
        color = SERIES[number % len(SERIES)] if window is None else QUIET
        axes.plot(along, lat, color=color, lw=1.2, zorder=4, solid_capstyle="round")
        axes.plot(along[:1], lat[:1], "o", color=PAPER, mec=color, mew=1.2, ms=4, zorder=5)
    if window is not None:
        lat, lon = window[0], (window[1] - box.west) % 360 + box.west
        axes.plot(lon[:seq_len], lat[:seq_len], color=BLUE, lw=2.8, zorder=7, label=PARTS[0][1])
        axes.plot(lon[seq_len - 1 :], lat[seq_len - 1 :], color=RED, lw=2, zorder=6, label=PARTS[1][1])
        figure.legend(loc="outside lower center", ncols=2)
    degree_axes(axes, box)
    scale_bar(axes, box)
    headed(
        figure, title, f"tracks: {len(tracks):,}, positions: {large(positions)}, circles: where they begin; {COASTLINE}"
    )
    return Picture("voyages", title, f"Map of {box}: {len(tracks):,} tracks of {positions:,} positions.", figure)


PARTS: Final = ((BLUE, "seen"), (RED, "to forecast"))


def draw_land(axes: Axes, box: Box, cells: int) -> None:
    """Land as a quiet fill with the coast around it, by the land mask at the points of a grid."""
    # Finer than the mask, the coast would have its steps.
    rows, columns = (
        max(2, min(most, round(degrees / CELL_DEGREES)))
        for most, degrees in zip(_shape(box, cells), (box.north - box.south, box.east - box.west), strict=True)
    )
    lat = box.south + (np.arange(rows) + 0.5) * (box.north - box.south) / rows
    lon = box.west + (np.arange(columns) + 0.5) * (box.east - box.west) / columns
    grid_lat, grid_lon = np.meshgrid(lat, (lon + 180) % 360 - 180, indexing="ij")
    land = on_land(grid_lat.ravel(), grid_lon.ravel()).reshape(rows, columns).astype(np.float32)
    axes.set_facecolor(SEA)
    if land.any():
        axes.contourf(lon, lat, land, levels=[0.5, 1.5], colors=[LAND], zorder=1)
        if not land.all():
            axes.contour(lon, lat, land, levels=[0.5], colors=[COAST], linewidths=0.6, zorder=3)
    axes.set_xlim(box.west, box.east)
    axes.set_ylim(box.south, box.north)
    axes.set_aspect(box.stretch)


def _draw_window(axes: Axes, window: NDArray[np.float32], label: str, seq_len: int) -> str:
    """One window in a panel; what it shows in words."""
    lat, lon = (window[:, schema.FEATURE_NAMES.index(name)].astype(np.float64) for name in ("lat", "lon"))
    box = box_of(lat, lon)
    along = (lon - box.west) % 360 + box.west if box.east > 180 else lon
    area = box.padded(0.18, SMALLEST_DEGREES).shaped(1.0)
    draw_land(axes, area, _PANEL_CELLS)
    axes.grid(visible=False)
    axes.plot(along[seq_len - 1 :], lat[seq_len - 1 :], color=RED, lw=1.6, zorder=4, solid_capstyle="round")
    axes.plot(along[:seq_len], lat[:seq_len], color=BLUE, lw=2.4, zorder=5, solid_capstyle="round")
    axes.plot(along[:1], lat[:1], "o", color=PAPER, mec=BLUE, mew=1.4, ms=5, zorder=6)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    metres = great_circle_metres(lat[:-1], lon[:-1], lat[1:], lon[1:])
    miles = float(metres.sum()) / METRES_PER_NAUTICAL_MILE
    minutes = round(float(window[1:, schema.FEATURE_NAMES.index("dt_seconds")].sum()) / 60)
    told = f"{minutes // 60}:{minutes % 60:02} h, {miles:.3g} nm"
    axes.set_title(f"{plain(label)}\n{told}", fontsize=8, color=INK)
    scale_bar(axes, area)
    return f"{label}, {told}"


def scale_bar(axes: Axes, box: Box) -> None:
    """A bar of a round number of miles at the lower left."""
    wide = (box.east - box.west) / box.stretch * 60
    miles = max((m for m in _ROUND if m <= wide / 2.5), default=_ROUND[0])
    length = miles / wide
    axes.plot([0.05, 0.05 + length], [0.06, 0.06], color=INK, lw=1.6, transform=axes.transAxes, zorder=7)
    axes.text(0.05, 0.09, f"{miles:g} nm", fontsize=7, color=INK, transform=axes.transAxes, zorder=7)


_ROUND: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000)


def _shape(box: Box, cells: int) -> tuple[int, int]:
    tall, wide = box.north - box.south, (box.east - box.west) / box.stretch
    unit = max(tall, wide) / cells
    return max(1, round(tall / unit)), max(1, round(wide / unit))


def degree_axes(axes: Axes, box: Box) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _longitude(value, _TICK_DIGITS)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _latitude(value, _TICK_DIGITS)))
    axes.grid(visible=False)
    axes.set_xlim(box.west, box.east)


_TICK_DIGITS: Final = 6
"""Of a degree's number: on a map a mile wide, ticks are a thousandth of a degree apart."""


def _latitude(degrees: float, digits: int = 4) -> str:
    return f"{abs(degrees):.{digits}g}°{'N' if degrees > 0 else 'S' if degrees < 0 else ''}"


def _longitude(degrees: float, digits: int = 4) -> str:
    turned = (degrees + 180) % 360 - 180
    return f"{abs(turned):.{digits}g}°{'E' if turned > 0 else 'W' if turned < 0 else ''}"
