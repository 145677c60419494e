"""Sorting a vessel's packed reports."""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

_RUN: Final = 32
"""Reports that insertion sort puts in order before merging begins."""


@njit(cache=True, nogil=True)
def sort_reports(reports: NDArray[np.int64], first: int, end: int, scratch: NDArray[np.int64]) -> None:
    """Sorts reports[first:end] by both integers: near linear where they are nearly in order, n log n at worst.

    `scratch` has room for as many. Insertion sort of short runs, then merges that touch only what overlaps, since most
    files are in time order.
    """
    for low in range(first, end, _RUN):
        for report in range(low + 1, min(low + _RUN, end)):
            a, b = reports[report, 0], reports[report, 1]
            hole = report
            while hole > low and (reports[hole - 1, 0] > a or (reports[hole - 1, 0] == a and reports[hole - 1, 1] > b)):
                reports[hole, 0] = reports[hole - 1, 0]
                reports[hole, 1] = reports[hole - 1, 1]
                hole -= 1
            reports[hole, 0] = a
            reports[hole, 1] = b
    width = _RUN
    while width < end - first:
        for low in range(first, end - width, 2 * width):
            _merge(reports, low, low + width, min(low + 2 * width, end), scratch)
        width *= 2


@njit(cache=True, nogil=True)
def _merge(reports: NDArray[np.int64], low: int, middle: int, end: int, scratch: NDArray[np.int64]) -> None:
    """Merges the sorted reports[low:middle] and reports[middle:end]."""
    a, b = reports[middle, 0], reports[middle, 1]
    left = middle
    while left > low and (reports[left - 1, 0] > a or (reports[left - 1, 0] == a and reports[left - 1, 1] > b)):
        left -= 1
        scratch[left - low, 0] = reports[left, 0]
        scratch[left - low, 1] = reports[left, 1]
    write = left
    right = middle
    while left < middle and right < end:
        a, b = scratch[left - low, 0], scratch[left - low, 1]
        if reports[right, 0] < a or (reports[right, 0] == a and reports[right, 1] < b):
            reports[write, 0] = reports[right, 0]
            reports[write, 1] = reports[right, 1]
            right += 1
        else:
            reports[write, 0] = a
            reports[write, 1] = b
            left += 1
        write += 1
    while left < middle:
        reports[write, 0] = scratch[left - low, 0]
        reports[write, 1] = scratch[left - low, 1]
        left += 1
        write += 1
