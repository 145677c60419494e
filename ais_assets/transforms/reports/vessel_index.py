"""The vessels of a day, numbered as they appear: an open-addressing hash table for compiled kernels."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ais_assets.transforms.split import mix64

_FIRST_ROOM: Final = 4096
"""Vessels that a day has room for at first; the room doubles when it is full."""


class VesselIndex(NamedTuple):
    """Vessels by MMSI and by number."""

    slots: NDArray[np.int32]  # (power of two, 2): MMSI (0: free) and the vessel's number
    mmsi: NDArray[np.int32]  # by number; room for a quarter as many as slots
    reports: NDArray[np.int64]  # by number


def empty_index() -> VesselIndex:
    """An index without vessels."""
    return VesselIndex(
        np.zeros((4 * _FIRST_ROOM, 2), np.int32), np.empty(_FIRST_ROOM, np.int32), np.zeros(_FIRST_ROOM, np.int64)
    )


@njit(cache=True, nogil=True)
def slot_of(slots: NDArray[np.int32], mmsi: np.int32) -> np.int64:
    """The slot of an index that holds an MMSI, or the free one where it belongs."""
    mask = len(slots) - 1
    slot = np.int64(mix64(np.uint64(mmsi)) & np.uint64(mask))
    while slots[slot, 0] != 0 and slots[slot, 0] != mmsi:
        slot = (slot + 1) & mask
    return slot


@njit(cache=True, nogil=True)
def larger_index(index: VesselIndex) -> VesselIndex:
    """The same vessels, all numbers of `index` taken, with room for twice as many."""
    room = index.mmsi.size
    slots = np.zeros((2 * len(index.slots), 2), np.int32)
    mmsi = np.empty(2 * room, np.int32)
    reports = np.zeros(2 * room, np.int64)
    mmsi[:room] = index.mmsi
    reports[:room] = index.reports
    for vessel in range(room):
        slot = slot_of(slots, mmsi[vessel])
        slots[slot, 0] = mmsi[vessel]
        slots[slot, 1] = vessel
    return VesselIndex(slots, mmsi, reports)
