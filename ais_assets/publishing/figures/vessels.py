"""Who the vessels are: their types and their flags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from ais_assets.publishing.figures.picture import (
    ABSENT,
    BLUE,
    INK,
    ORANGE,
    Picture,
    drawing,
    empty,
    headed,
    plain,
    sheet,
)

_BARS: Final = 14
_CLASSES: Final = {"class A": BLUE, "class B": ORANGE}


@drawing
def types_and_flags(types: Mapping[str, Mapping[str, int]], flags: Mapping[str, int]) -> Picture:
    """Vessels by type, stacked by class of transponder, and by flag.

    Args:
        types: by type, by class of transponder, the number of vessels.
        flags: by flag state, the number of vessels.
    """
    figure = sheet(8, 4.6)
    left, right = figure.subplots(1, 2)
    by_type = _largest({name: sum(classes.values()) for name, classes in types.items()})
    classes = [*_CLASSES, *sorted({kind for of in types.values() for kind in of} - set(_CLASSES))]
    others = [name for name in types if name not in by_type]
    places = np.arange(len(by_type))
    lefts = np.zeros(len(by_type))
    for kind in classes:
        counts = np.array(
            [
                types[name].get(kind, 0) if name in types else sum(types[other].get(kind, 0) for other in others)
                for name in by_type
            ],
            np.float64,
        )
        if counts.sum():
            left.barh(places, counts, left=lefts, color=_CLASSES.get(kind, ABSENT), label=kind, height=0.8)
            lefts = lefts + counts
    by_flag = _largest(flags)
    right.barh(np.arange(len(by_flag)), list(by_flag.values()), color=BLUE, height=0.8)
    for axes, counted, what in ((left, by_type, "type of ship"), (right, by_flag, "flag")):
        if not counted:
            empty(axes, "no vessel")
            continue
        axes.set_yticks(range(len(counted)), [plain(name) for name in counted], fontsize=8)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_title(what)
        axes.set_xlabel("vessels")
        for place, count in enumerate(counted.values()):
            axes.text(count, place, f" {count:,}", va="center", fontsize=7.5, color=INK)
        axes.set_xlim(0, max(counted.values()) * 1.15)
    if handles := left.get_legend_handles_labels()[0]:
        figure.legend(handles=handles, loc="outside lower left", ncols=4)
    title = "Who the vessels are"
    headed(figure, title)
    told = [", ".join(f"{name} {count:,}" for name, count in counted.items()) for counted in (by_type, by_flag)]
    alt = f"Vessels by type: {told[0] or 'none'}. By flag: {told[1] or 'none'}."
    return Picture("types_and_flags", title, alt, figure)


def _largest(counts: Mapping[str, int]) -> dict[str, int]:
    """The most frequent first; those that have no room taken together."""
    ranked = sorted(counts.items(), key=lambda of: (-of[1], of[0]))
    if len(ranked) <= _BARS:
        return dict(ranked)
    shown, rest = ranked[: _BARS - 1], ranked[_BARS - 1 :]
    return {**dict(shown), f"{len(rest)} others": sum(count for _, count in rest)}
