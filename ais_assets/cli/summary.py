"""What the lake holds, as tables for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ais_assets.cli.progress import LookProgress
from ais_assets.io.lake import Lake
from ais_assets.io.stages import Stage, in_order
from ais_assets.operating.inventory import Holdings, inventory
from ais_assets.publishing.days import Days, days_of
from ais_assets.settings import Settings


@dataclass(frozen=True)
class Summary:
    """What the lake holds of each asset, and of the days of the range."""

    assets: list[Holdings]
    days: Days
    seconds: Mapping[str, float]
    faults: list[str]

    @classmethod
    def of(cls, lake: Lake, settings: Settings, seconds: Mapping[str, float] | None = None) -> Self:
        """As the files themselves have it; `seconds` are those that assets took to build just now.

        In a terminal a bar on standard error shows how far this is, where it takes a while.
        """
        stages = in_order(settings)
        with LookProgress(sum(map(_looks, stages))) as progress:
            held = list(inventory(lake, stages, settings, lambda stage: progress.begin(stage.asset, _looks(stage))))
        faults = [line for of_asset in held for line in of_asset.faults(settings)]
        return cls(held, days_of(lake, settings), seconds or {}, faults)

    @property
    def is_empty(self) -> bool:
        """Whether the lake holds nothing at all that the settings or others name."""
        return not any(held.there or held.unnamed for held in self.assets)

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        stages = [
            {
                "asset": held.asset,
                "partitions_there": held.there,
                "partitions": held.partitions,
                "missing": list(held.missing),
                "stale": held.stale,
                "empty": list(held.empty),
                "unpublished": list(held.unpublished),
                "unnamed": list(held.unnamed),
                "rows_in": held.ledger.rows_in if held.ledger else None,
                "rows_out": held.ledger.rows_out if held.ledger else None,
                "dropped": {rule: rows for rule, rows in held.ledger.dropped.items() if rows} if held.ledger else {},
                "notes": held.ledger.notes if held.ledger else {},
                "bytes": held.size,
                "seconds": self.seconds.get(held.asset),
            }
            for held in self.assets
        ]
        return {"days": asdict(self.days), "stages": stages, "faults": self.faults}


def _looks(stage: Stage) -> int:
    """How many partitions are to be looked at."""
    return max(1, len(stage.partitions))


def show(console: Console, summary: Summary, lake: str) -> None:
    """Prints both tables, and what is not as the settings ask for."""
    if summary.is_empty:
        console.print(f"nothing here: {lake} has no partition of any asset", highlight=False, markup=False)
        return
    console.print(stage_table(summary, lake))
    console.print(account_table(summary))
    console.print(str(summary.days), highlight=False)
    for fault in summary.faults:
        console.print(fault, highlight=False, markup=False, soft_wrap=True)


def stage_table(summary: Summary, title: str) -> Table:
    """What there is of each asset, for people."""
    table = Table(title=Text(title), title_justify="left")
    table.add_column("asset", no_wrap=True)
    for column in ("there", "stale", "rows in", "rows out", "bytes", *(("seconds",) if summary.seconds else ())):
        table.add_column(column, justify="right", no_wrap=True)
    for held in summary.assets:
        seconds = summary.seconds.get(held.asset)
        table.add_row(
            held.asset,
            f"{held.there:,}/{held.partitions:,}",
            f"{len(held.stale):,}" if held.stale else "",
            f"{held.ledger.rows_in:,}" if held.ledger else "",
            f"{held.ledger.rows_out:,}" if held.ledger else "",
            "" if held.size is None else f"{held.size:,}",
            *(["" if seconds is None else f"{seconds:.1f}"] if summary.seconds else []),
        )
    return table


def account_table(summary: Summary) -> Table:
    """Where each asset's rows went, by rule, and its other counts, for people."""
    table = Table(title="Where the rows went", title_justify="left")
    table.add_column("asset", no_wrap=True)
    table.add_column("dropped by rule, and counts", no_wrap=True)
    table.add_column("rows", justify="right", no_wrap=True)
    for held in summary.assets:
        if held.ledger is None:
            continue
        lines = [(f"dropped: {rule}", count) for rule, count in held.ledger.dropped.items() if count]
        lines += [(name.replace("_", " "), count) for name, count in held.ledger.notes.items() if count]
        for number, (name, count) in enumerate(lines):
            table.add_row(held.asset if number == 0 else "", name, f"{count:,}", end_section=number == len(lines) - 1)
    return table
