"""The account every stage keeps: rows in, rows out, and rows dropped by each rule."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


class LedgerError(ValueError):
    """A stage's account does not add up: rows vanished, or appeared from nowhere."""


@dataclass
class Ledger:
    """Rows in, rows out, rows dropped by rule.

    Attributes:
        rows_in: rows the stage was given.
        rows_out: rows it passed on.
        dropped: rows it did not pass on, by the rule that dropped them. A rule that dropped none may be
            present with 0, which tells a reader that the rule was on.
        notes: other counts worth showing (values nulled, tracks, windows); outside the balance.
    """

    rows_in: int = 0
    rows_out: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)

    def drop(self, rule: str, rows: int) -> None:
        """Adds `rows` to what `rule` dropped."""
        self.dropped[rule] = self.dropped.get(rule, 0) + int(rows)

    def note(self, name: str, count: int) -> None:
        """Adds `count` to a note."""
        self.notes[name] = self.notes.get(name, 0) + int(count)

    def add(self, other: Ledger) -> None:
        """Adds another account of the same stage to this one."""
        self.rows_in += other.rows_in
        self.rows_out += other.rows_out
        for rule, rows in other.dropped.items():
            self.drop(rule, rows)
        for name, count in other.notes.items():
            self.note(name, count)

    @property
    def rows_dropped(self) -> int:
        """Rows dropped by all rules together."""
        return sum(self.dropped.values())

    def balance(self, where: str) -> None:
        """Raises LedgerError, naming `where`, unless rows in = rows out + rows dropped."""
        if self.rows_in != self.rows_out + self.rows_dropped:
            raise LedgerError(
                f"{where}: {self.rows_in:,} rows in, {self.rows_out:,} out and {self.rows_dropped:,} dropped "
                f"({self.dropped}) do not add up. This is a defect of the stage; nothing was stored."
            )

    def to_json(self) -> str:
        """The account as one JSON object, keys sorted, for a file's own metadata."""
        return json.dumps(
            {"rows_in": self.rows_in, "rows_out": self.rows_out, "dropped": self.dropped, "notes": self.notes},
            sort_keys=True,
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Ledger:
        """The account that `to_json` wrote."""
        return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Ledger:
        """The account in a parsed JSON object."""
        return cls(values["rows_in"], values["rows_out"], dict(values["dropped"]), dict(values["notes"]))

    @classmethod
    def total(cls, ledgers: Iterable[Ledger]) -> Ledger:
        """The sum of several accounts of one stage."""
        total = cls()
        for ledger in ledgers:
            total.add(ledger)
        return total
