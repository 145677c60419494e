"""Stored whole numbers as people want them: latitude and longitude in degrees, SOG in knots, COG in degrees, float64.

Files hold integers in steps of 10^-6 degree, 0.1 knot and 0.1 degree (`schema.STORED_AS` says why). Divided by the
steps of a unit they are the float64 nearest to the decimal number, in Arrow and in SQL alike, so that multiplied and
rounded they are the same integers again.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from ais_assets.schema import STORED_AS, quantity_in


def in_degrees_and_knots(table: pa.Table) -> pa.Table:
    """The table with `lat`, `lon`, `sog` and `cog` (float64) in the places of the columns that store them.

    Other columns, also a table that has none of these, stay as they are. Nulls stay null.
    """
    for quantity, of in STORED_AS.items():
        place = table.schema.get_field_index(of.column)
        if place >= 0:
            field = table.schema.field(place)
            values = pc.call_function("divide", [table[of.column].cast(pa.float64()), pa.scalar(float(of.steps))])
            table = table.set_column(place, _viewed(quantity, field), values)
    return table


def columns_in_degrees_and_knots(schema: pa.Schema) -> str:
    """The columns of a SQL `select` that shows such a table as `in_degrees_and_knots` does."""
    return ", ".join(_shown(name) for name in schema.names)


def _shown(column: str) -> str:
    quantity = quantity_in(column)
    if quantity in STORED_AS:
        # 1e6 and not 1000000: the division is one of float64.
        return f'"{column}" / 1e{STORED_AS[quantity].places} as {quantity}'
    return f'"{column}"'


def _viewed(quantity: str, stored: pa.Field) -> pa.Field:
    metadata = dict(stored.metadata or {})
    if b"unit" in metadata:
        metadata[b"unit"] = metadata[b"unit"].split()[-1]
    return pa.field(quantity, pa.float64(), stored.nullable, metadata)
