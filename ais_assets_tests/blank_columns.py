"""Columns that a test does not care about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

UNREMARKABLE = {"heading", "nav_status", "coarse", "sog_held", "cog_held"}
"""Columns that say nothing of a position where they are null or false."""


def with_blanks(columns: Mapping[str, Any], like: pa.Schema, rows: int) -> dict[str, Any]:
    """These columns, and those of `UNREMARKABLE` that the schema has beside them: null, or false."""
    return dict(columns) | {
        field.name: pa.nulls(rows, field.type) if field.nullable else pa.array(np.zeros(rows, np.bool_))
        for field in like
        if field.name in UNREMARKABLE and field.name not in columns
    }


def integers_or_array(column: Any, field: pa.Field) -> pa.Array:
    """An array of the field's type over stored integers; one that is an array as it is."""
    if isinstance(column, pa.Array):
        return column
    return pa.Array.from_buffers(field.type, len(column), [None, pa.py_buffer(np.ascontiguousarray(column))])
