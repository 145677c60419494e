"""The rule on what a vessel says she is."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ais_assets.transforms.reports.row_rules import require_columns

OTHER_TYPE: Final = "other_type"
"""The vessel is of none of the `ship_types` wanted. Off by default. Types are the source's own words ("Cargo", or "70"
where a feed has numbers), whatever their case. What a vessel showed at any time of the day describes it all day, since
feeds leave static columns blank until its first static message; of one that showed several types any will do, and one
that showed none is "unknown"."""

UNKNOWN_TYPE: Final = "unknown"
"""Ship type of a vessel that showed none all day."""


class ShownTypes:
    """Which types the vessels of a day showed, and so which of them are of none that is wanted."""

    def __init__(self, wanted: Collection[str]) -> None:
        self._wanted = frozenset(map(str.casefold, wanted))
        self._shown: dict[int, set[str]] = {}

    def take(self, table: pa.Table, where: str) -> None:
        """Remembers a table's; few rows show one, since sources keep static data where they are new.

        Raises ValueError, naming `where`, when the column is missing.
        """
        if not self._wanted:
            return
        require_columns(table, ("ship_type",), where)
        showing = table.select(["mmsi", "ship_type"]).filter(table["ship_type"].is_valid())
        for mmsi, ship_type in zip(*(showing[name].to_pylist() for name in showing.column_names), strict=True):
            self._shown.setdefault(mmsi, set()).add(ship_type.casefold())

    def unwanted(self, mmsi: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which of these vessels are OTHER_TYPE, once all tables were taken; bool, shape (n,)."""
        if not self._wanted:
            return np.zeros(mmsi.size, np.bool_)
        unknown = {UNKNOWN_TYPE}
        return np.array([self._wanted.isdisjoint(self._shown.get(int(ship), unknown)) for ship in mmsi], np.bool_)
