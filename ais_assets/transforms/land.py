"""Land and sea: whether places are on land, by a mask that its package carries, so that no network is needed.

The mask is a bitmap in steps of 1/240 degree (460 m) of the GSHHG shorelines (Wessel and Smith, J. Geophys. Res. 101,
1996). The same package's vector shapes would be exact, and take 27 s and 1.4 GB to load where the bitmap takes 1 s and
0.4 GB.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

CELL_DEGREES: Final = 1 / 240
"""Of the mask, in latitude and longitude."""


def on_land(lat: NDArray[np.floating[Any]], lon: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Whether places are in a cell of the mask that has land; lakes are land.

    Args:
        lat: degrees north, (n,), −90 to 90.
        lon: degrees east, (n,), −180 to 180.

    Returns:
        bool, (n,).

    Raises:
        ValueError: a place is not on the globe.
    """
    lat, lon = np.asarray(lat, np.float64), np.asarray(lon, np.float64)
    if not (np.all(np.abs(lat) <= 90) and np.all(np.abs(lon) <= 180)):
        raise ValueError("latitudes must be −90 to 90 degrees, longitudes −180 to 180")
    return _mask().contains_many(lon, lat)


def forget() -> None:
    """Gives back the memory that the mask takes, until it is needed again."""
    _mask.cache_clear()


@cache
def _mask() -> Any:
    # It is unpacked when it is needed, which in most processes it is not. Its package has no types.
    from roaring_landmask import LandmaskProvider, RoaringMask  # noqa: PLC0415 # pyright: ignore[reportAttributeAccessIssue]

    return RoaringMask.new(LandmaskProvider.Gshhg)
