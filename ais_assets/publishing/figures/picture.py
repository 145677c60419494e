"""A picture: a drawn figure and what it shows in words; its style, and its bytes, which are the same every time."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any, Final, ParamSpec

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

MOST_BYTES: Final = 200_000
"""Of one picture: it is in the metadata of a run, and in a page that is to be opened over a slow line."""

PAPER: Final = "#fbfaf7"
"""A background of its own, so that a picture is read on a light page and on a dark one."""
INK: Final = "#1f262c"
QUIET: Final = "#59646e"
LINES: Final = "#dcdedb"
ABSENT: Final = "#d2d4d6"
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#56b4e9",
    "#f0e442",
)
"""Colours that people with any colour vision tell apart (Okabe and Ito, Color Universal Design, 2008)."""
SERIES: Final = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW)

_LETTERS: Final = 26
_NO_FONT: Final = 0x2E80
"""The font has Latin, Greek, Cyrillic, Arabic and Hebrew letters; from here on are those of East Asia."""
_DPI: Final = 130
_TITLE_INCHES: Final = 0.29
"""From the top of a figure to what is below its title."""
_COLOURS: Final = 255
_STYLE: Final[dict[Any, Any]] = {
    "font.family": "DejaVu Sans",  # matplotlib ships it, so that letters are the same everywhere
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": LINES,
    "axes.labelcolor": QUIET,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.facecolor": PAPER,
    "grid.color": LINES,
    "grid.linewidth": 0.6,
    "xtick.color": LINES,
    "ytick.color": LINES,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "figure.dpi": _DPI,
    "savefig.dpi": _DPI,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "hatch.linewidth": 0.6,
}


@dataclass(frozen=True)
class Picture:
    """A drawn figure.

    Attributes:
        name: of its file, without a suffix.
        title: a line above it.
        alt: what it shows, in words, for those who cannot see it.
        figure: as matplotlib has it.
    """

    name: str
    title: str
    alt: str
    figure: Figure

    @cached_property
    def png(self) -> bytes:
        """The picture as a PNG file of at most 255 colours, without a date: the same bytes for the same data.

        Raises ValueError when it takes more than MOST_BYTES.
        """
        # `savefig` gives the same pixels for 1.7 times the time: it draws once more for the layout alone.
        canvas = FigureCanvasAgg(self.figure)
        with _style():
            canvas.draw()
        image = Image.frombytes("RGBA", canvas.get_width_height(), bytes(canvas.buffer_rgba())).convert("RGB")
        reduced = image.quantize(_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        stored = io.BytesIO()
        reduced.save(stored, format="png", optimize=True)
        if stored.tell() > MOST_BYTES:
            raise ValueError(f"the picture {self.name} takes {stored.tell():,} bytes; it may take {MOST_BYTES:,}")
        return stored.getvalue()

    def _repr_png_(self) -> bytes:
        """How notebooks show it."""
        return self.png

    def inline(self) -> str:
        """The picture as an address that holds all of it."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"

    def markdown(self) -> str:
        """The picture within Markdown, whole, as Dagster's UI shows it."""
        return f"![{self.alt.translate(_NO_BRACKETS)}]({self.inline()})"


_NO_BRACKETS: Final = str.maketrans("[]\n", "() ")
_Arguments = ParamSpec("_Arguments")


def drawing(draw: Callable[_Arguments, Picture]) -> Callable[_Arguments, Picture]:
    """Has a function draw in the style of all pictures, whatever the machine's own matplotlib settings are."""

    @wraps(draw)
    def styled(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> Picture:
        with _style():
            return draw(*args, **kwargs)

    return styled


def sheet(width: float, height: float) -> Figure:
    """An empty figure of that many inches, that is no part of pyplot's state."""
    return Figure(figsize=(width, height), layout="constrained")


def headed(figure: Figure, title: str, subtitle: str = "") -> None:
    """Writes what the figure shows above it, and in a quieter line what to know about it."""
    # The layout leaves room for the title's lines alone.
    figure.suptitle(f"{title}\n" if subtitle else title, x=0.012, ha="left", fontsize=12.5, fontweight="bold")
    if subtitle:
        below = 1 - _TITLE_INCHES / figure.get_figheight()
        figure.text(0.012, below, subtitle, ha="left", va="top", fontsize=8, color=QUIET)


def large(value: float) -> str:
    """A count in few letters: 1,234 · 12.3 k · 4.56 M · 7.89 G."""
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= unit:
            divisor = 1e3 if name == " k" else unit
            return f"{value / divisor:.3g}{name}"
    return f"{value:,.0f}"


def words(rule: str) -> str:
    """A rule's name as people read it."""
    return rule.replace("_", " ")


def plain(name: str) -> str:
    """A name of the source's own, short and without what would be drawn as a formula or in a font that is not there."""
    shown = "".join(letter if letter.isprintable() and ord(letter) < _NO_FONT else "·" for letter in name)
    return (shown if len(shown) <= _LETTERS else shown[: _LETTERS - 1] + "…").replace("$", r"\$")


def empty(axes: Axes, why: str) -> None:
    """Says on axes that there is nothing to draw, and why."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, why, ha="center", va="center", color=QUIET, transform=axes.transAxes)


@contextmanager
def _style() -> Iterator[None]:
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield
