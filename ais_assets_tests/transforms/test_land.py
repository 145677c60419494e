"""Land and sea, by places that everybody can look up."""

from __future__ import annotations

import numpy as np
import pytest

from ais_assets.transforms.land import CELL_DEGREES, on_land

LAND = {
    "Copenhagen": (55.68, 12.55),
    "Paris": (48.86, 2.35),
    "Ayers Rock": (-25.34, 131.03),
    "South Pole": (-89.9, 0.0),
}
SEA = {"Kattegat": (56.7, 11.5), "Null Island": (0.0, 0.0), "Bering Sea": (58.0, -179.9), "Point Nemo": (-48.9, -123.4)}


@pytest.mark.parametrize(("places", "land"), [(LAND, True), (SEA, False)])
def test_known_places(places: dict[str, tuple[float, float]], land: bool) -> None:
    lat, lon = np.array(list(places.values())).T
    found = on_land(lat, lon)
    assert dict(zip(places, found.tolist(), strict=True)) == dict.fromkeys(places, land)


def test_a_shore_is_true_to_a_cell() -> None:
    # The Øresund between Helsingør and Helsingborg is 4 km wide; along this parallel it is crossed once.
    lon = np.arange(12.55, 12.75, CELL_DEGREES)
    land = on_land(np.full(len(lon), 56.035), lon)
    water = lon[~land]
    assert land[0]
    assert land[-1]
    assert 2 < np.ptp(water) * 60 * np.cos(np.radians(56)) < 4, "nautical miles"
    assert np.count_nonzero(np.diff(land)) == 2


@pytest.mark.parametrize(("lat", "lon"), [(91.0, 0.0), (0.0, 181.0), (np.nan, 0.0)])
def test_what_is_not_on_the_globe_is_refused(lat: float, lon: float) -> None:
    with pytest.raises(ValueError, match="must be −90 to 90"):
        on_land(np.array([lat]), np.array([lon]))


def test_no_place_is_no_place() -> None:
    assert on_land(np.empty(0), np.empty(0)).shape == (0,)
