"""A dataset on its way to storage: columns over memory, tables that come one after the other, and their account."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ais_assets.ledger import Ledger

if TYPE_CHECKING:
    import duckdb

REJECTS: Final = "rejects"
"""The fact that is a sample of rejected rows, each a dict of `schema.REJECTS`. Stored as a table of its own."""


@dataclass
class RecordStream:
    """One partition, part by part, so that no stage needs to hold it whole.

    Attributes:
        schema: what every table has.
        tables: the rows. Each table becomes one Parquet row group, also one without rows: some datasets
            promise a row group for every shard or pile.
        ledger: the stage's account. Complete once `tables` is exhausted, not before.
        facts: what else describes the partition (settings it was built with, statistics, samples of
            rejects) as JSON values, kept in the file's own metadata, REJECTS apart. Complete once `tables` is
            exhausted.
    """

    schema: pa.Schema
    tables: Iterator[pa.Table]
    ledger: Ledger = field(default_factory=Ledger)
    facts: dict[str, Any] = field(default_factory=dict)


def arrow_array(kind: pa.DataType, values: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> pa.Array:
    """A column over the memory of values of the type's own width; null where not valid."""
    validity = None if valid is None or valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(kind, values.size, [validity, pa.py_buffer(np.ascontiguousarray(values))])


def sql_connection() -> duckdb.DuckDBPyConnection:
    """A new DuckDB in memory, whose times are UTC and which draws no progress bar."""
    import duckdb  # noqa: PLC0415 - training needs none, unless windows are chosen by SQL

    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    # Off already in Jupyter without ipywidgets, where setting it, even to false, is an error.
    if connection.execute("select current_setting('enable_progress_bar')").fetchall() == [(True,)]:
        connection.execute("set enable_progress_bar = false")
    return connection
