"""Where the rows went: from the source's files to samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ais_assets.ledger import Ledger
from ais_assets.publishing.figures.picture import (
    BLUE,
    INK,
    ORANGE,
    QUIET,
    Picture,
    drawing,
    headed,
    large,
    sheet,
    words,
)

_SHOWN: Final = 3


@drawing
def funnel(stages: Mapping[str, Ledger]) -> Picture:
    """How much of what came into each stage went on, and what dropped the rest.

    Args:
        stages: by what they count, such as "rows of the source's files", the account of each, in order.
    """
    figure = sheet(8, 0.9 + 0.72 * max(1, len(stages)))
    axes = figure.add_subplot()
    told = []
    for place, (name, account) in enumerate(stages.items()):
        whole = max(1, account.rows_in)
        kept = account.rows_out / whole
        axes.barh(place, kept, color=BLUE, height=0.42)
        axes.barh(place, 1 - kept, left=kept, color=ORANGE, alpha=0.75, height=0.42)
        dropped = sorted(((rows, rule) for rule, rows in account.dropped.items() if rows), reverse=True)
        named = [f"{words(rule)} {_share(rows / whole)}" for rows, rule in dropped[:_SHOWN]]
        named += [f"{len(dropped) - _SHOWN} more"] if len(dropped) > _SHOWN else []
        axes.text(
            0,
            place - 0.29,
            f"{name}: {large(account.rows_in)} in, {large(account.rows_out)} on",
            va="bottom",
            color=INK,
        )
        axes.text(
            0,
            place + 0.25,
            "dropped: " + ", ".join(named) if named else "none dropped",
            va="top",
            fontsize=7.5,
            color=QUIET,
        )
        told.append(f"{name} {account.rows_in:,} in, {account.rows_out:,} on")
    axes.set_ylim(len(stages) - 0.42, -0.62)
    axes.set_xlim(0, 1)
    axes.set_axis_off()
    title = "From rows to samples"
    headed(figure, title, "a bar is all that came in: what went on in blue, what was dropped in orange")
    return Picture("funnel", title, f"Stage by stage: {'; '.join(told)}.", figure)


def _share(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else f"{100 * share:.1g}%"
