"""Large arrays from Arrow's memory pool."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray


def pooled(count: int, dtype: DTypeLike) -> NDArray[Any]:
    """An array of undefined values like `numpy.empty(count, dtype)`, for kernels that fill one block after another.

    NumPy gives a large array's memory back to the system, which clears every page of it before the next array gets
    it: a sixth of the time that a track shard takes. Arrow's pool keeps it at hand for a moment.
    """
    if count == 0:
        return np.empty(0, dtype)
    return np.frombuffer(pa.allocate_buffer(count * np.dtype(dtype).itemsize), dtype)
