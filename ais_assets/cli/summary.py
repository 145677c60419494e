"""What the lake holds, as tables for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dagster import AssetsDefinition
from rich.console import Console
from rich.table import Table

from ais_assets.io.lake import Lake
from ais_assets.operating.inventory import holdings
from ais_assets.operating.stages import turns


@dataclass
class StageRow:
    """One asset in the summary."""

    asset: str
    there: int
    partitions: int
    rows_in: int | None = None
    rows_out: int | None = None
    dropped: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    size: int | None = None
    seconds: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The row for a program."""
        return {
            "asset": self.asset,
            "partitions_there": self.there,
            "partitions": self.partitions,
            "rows_in": self.rows_in,
            "rows_out": self.rows_out,
            "dropped": self.dropped,
            "notes": self.notes,
            "bytes": self.size,
            "seconds": self.seconds,
        }


def stage_summary(lake: Lake, assets: Iterable[AssetsDefinition], seconds: Mapping[str, float]) -> list[StageRow]:
    """What the lake holds of each asset, from the files' own accounts."""
    rows = []
    for stage in (stage for turn in turns(assets) for stage in turn):
        held = holdings(lake, stage.asset, stage.partitions)
        rows.append(
            StageRow(
                stage.asset,
                there=held.partitions,
                partitions=max(1, len(stage.partitions)),
                rows_in=held.ledger.rows_in if held.ledger else None,
                rows_out=held.ledger.rows_out if held.ledger else None,
                dropped={rule: count for rule, count in held.ledger.dropped.items() if count} if held.ledger else {},
                notes=held.ledger.notes if held.ledger else {},
                size=held.size,
                seconds=seconds.get(stage.asset),
            )
        )
    return rows


def show(console: Console, rows: Sequence[StageRow], title: str | None = None) -> None:
    """Prints both tables."""
    console.print(stage_table(rows, title))
    console.print(account_table(rows))


def stage_table(rows: Sequence[StageRow], title: str | None = None) -> Table:
    """What there is of each asset, for people."""
    table = Table(title=title, title_justify="left")
    table.add_column("asset", no_wrap=True)
    for column in ("there", "rows in", "rows out", "bytes", "seconds"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.asset,
            f"{row.there}/{row.partitions}",
            "" if row.rows_in is None else f"{row.rows_in:,}",
            "" if row.rows_out is None else f"{row.rows_out:,}",
            "" if row.size is None else f"{row.size:,}",
            "" if row.seconds is None else f"{row.seconds:.1f}",
        )
    return table


def account_table(rows: Sequence[StageRow]) -> Table:
    """Where each asset's rows went, by rule, and its other counts, for people."""
    table = Table(title="Where the rows went", title_justify="left")
    table.add_column("asset", no_wrap=True)
    table.add_column("dropped by rule, and counts", no_wrap=True)
    table.add_column("rows", justify="right", no_wrap=True)
    for row in rows:
        lines = [(f"dropped: {rule}", count) for rule, count in row.dropped.items()]
        lines += [(name.replace("_", " "), count) for name, count in row.notes.items() if count]
        for number, (name, count) in enumerate(lines):
            table.add_row(row.asset if number == 0 else "", name, f"{count:,}", end_section=number == len(lines) - 1)
    return table
