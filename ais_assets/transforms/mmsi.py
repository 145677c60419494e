"""Which senders are ships, by their Maritime Mobile Service Identity and by what they say they are."""

from __future__ import annotations

from typing import Final

from numba import njit

from ais_assets import schema

FIRST_MID: Final = 201
LAST_MID: Final = 775
"""Maritime identification digits of flag states, the first three of a ship's MMSI (ITU-R M.585-9, annex 1)."""

MMSI_PER_MID: Final = 1_000_000
"""An MMSI is its MID times this and six digits of the ship's own."""
FIRST_SHIP: Final = FIRST_MID * MMSI_PER_MID
LAST_SHIP: Final = (LAST_MID + 1) * MMSI_PER_MID - 1

NINE_ONES: Final = 111_111_111
"""Its multiples are one digit nine times: a default or a joke (AISdb and HELCOM leave them out)."""

SHIP_TYPES: Final = ("class A", "class B", "unknown")
"""The mobile types of `schema.MOBILE_TYPES` that ships have, the preferred one first."""


@njit(cache=True, nogil=True)
def is_ship_number(mmsi: int) -> bool:
    """Whether an MMSI can be a ship's: nine digits, a flag state's MID in front, not one digit nine times.

    That leaves out coast stations (00…), SAR aircraft (111…), hand-held radios (8…), SART, MOB and EPIRB (97…),
    craft of a parent ship (98…) and aids to navigation (99…) (ITU-R M.585-9, annex 1). Numbers of identities that are
    no MMSIs (`schema.FIRST_IDENTITY`) are taken for ships'. For compiled kernels.
    """
    return (FIRST_SHIP <= mmsi <= LAST_SHIP and mmsi % NINE_ONES != 0) or mmsi >= schema.FIRST_IDENTITY
