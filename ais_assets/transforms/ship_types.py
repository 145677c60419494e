"""The rule on what a vessel says she is.

It is one of tracks and not of a day's cleaning: many a vessel has days without a single static message, while the whole
lake knows her.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

OTHER_TYPE: Final = "other_type"
"""The vessel is of none of the types wanted. Off by default. Types are the source's own words ("Cargo", or "70" where a
feed has numbers), whatever their case. What a vessel showed at any time describes her at all times; of one that showed
several types any will do, and one that never showed one is UNKNOWN_TYPE."""

UNKNOWN_TYPE: Final = "unknown"


def vessels_of_types(vessels: pa.Table, wanted: Collection[str]) -> NDArray[np.int32]:
    """The vessels that are of one of these types: int32, shape (n,), ascending.

    Args:
        vessels: `schema.VESSELS`, of which mmsi and ship_types are read.
        wanted: types, in any case; at least one.
    """
    names = frozenset(map(str.casefold, wanted))
    shown = ([UNKNOWN_TYPE] if not types else map(str.casefold, types) for types in vessels["ship_types"].to_pylist())
    chosen = [not names.isdisjoint(types) for types in shown]
    return np.sort(vessels["mmsi"].to_numpy()[np.array(chosen, np.bool_)])


def positions_of(table: pa.Table, vessels: NDArray[np.int32]) -> pa.Table:
    """The rows of `schema.CLEAN_RECORDS` that these vessels sent."""
    return table.filter(pc.is_in(table["mmsi"], value_set=pa.array(vessels)))  # pyright: ignore[reportAttributeAccessIssue]
