"""What the stages' kernels share: Arrow columns as arrays, runs of equal keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import DTypeLike, NDArray

_TO_READ, _INTO_ALL_CACHES, _DATA = 0, 3, 1
"""Of `llvm.prefetch`."""


def stored_integers(table: pa.Table, name: str, like: pa.Schema, missing: int | None = None) -> NDArray[Any]:
    """The integers behind a column of integers or times, without a copy where it is one chunk.

    Args:
        table: holds the column.
        name: its name.
        like: the schema that says what its type must be.
        missing: stands for null; None where there must be no null.

    Raises:
        ValueError: the column is absent, of another type, or null where it must not be.
    """
    if name not in table.column_names:
        raise ValueError(f"there is no column {name!r}, only {', '.join(table.column_names)}")
    column, wanted = table[name], like.field(name).type
    if column.type != wanted:
        raise ValueError(f"column {name!r} is {column.type}; it must be {wanted}")
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    integers = array.view(pa.int32() if wanted.bit_width == 32 else pa.int64())
    if integers.null_count:
        if missing is None:
            raise ValueError(f"column {name!r} has {integers.null_count:,} nulls; it must have none")
        integers = integers.fill_null(missing)
    return integers.to_numpy()


def run_starts(keys: NDArray[np.integer]) -> NDArray[np.int64]:
    """Rows at which a sorted column of keys shows a new one, int64; the first is 0 unless there are none."""
    if len(keys) == 0:
        return np.empty(0, np.int64)
    return np.concatenate([np.zeros(1, np.int64), np.flatnonzero(keys[1:] != keys[:-1]) + 1])


def empty_columns(rows: int, kinds: Iterable[DTypeLike]) -> list[NDArray[Any]]:
    """An array of undefined values, shape (rows,), of each dtype."""
    return [np.empty(rows, kind) for kind in kinds]


@intrinsic
def prefetch(typing_context: Any, array: Any, index: Any) -> Any:
    """For compiled kernels: has the processor fetch the cache line of an array's element, and waits for nothing.

    The index may lie outside of the array: then nothing is fetched. Source: LLVM's language reference, `llvm.prefetch`.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer, number = ir.PointerType(ir.IntType(8)), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        place = builder.bitcast(builder.gep(data, [arguments[1]]), pointer)
        builder.call(fetch, [place, number(_TO_READ), number(_INTO_ALL_CACHES), number(_DATA)])
        return context.get_dummy_value()

    return types.void(array, types.intp), code
