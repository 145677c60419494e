"""Where positions are: boxes, polygons with holes, ±180°, and land, beside a plain reading of the same rule."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ais_assets.settings import SettingsError, load_settings
from ais_assets.settings.region import Region, read_region
from ais_assets.transforms.reports.places import INLAND, OUTSIDE, WANTED, Places, inland

SQUARE = [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]
HOLE = [[4, 4], [4, 6], [6, 6], [6, 4], [4, 4]]
PACIFIC = [[170, -10], [190, -10], [190, 10], [170, 10], [170, -10]]


def micro(values: list[float]) -> Any:
    return np.round(np.array(values) * 1e6).astype(np.int32)


def judged(region: Region, places: Sequence[tuple[float, float]]) -> list[int]:
    """Of places (longitude, latitude)."""
    lon, lat = zip(*places, strict=True)
    return Places(region, None).judge(micro(list(lat)), micro(list(lon))).tolist()


def region_of(folder: Path, geometry: dict[str, Any]) -> Region:
    path = folder / "region.geojson"
    path.write_text(json.dumps(geometry))
    return read_region(str(path))


def polygon(*rings: Sequence[Sequence[float]]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": rings}


def test_a_box_has_its_edges() -> None:
    box = read_region("7, 54, 16, 58.5")
    assert judged(box, [(7, 54), (16, 58.5), (10, 56)]) == [WANTED] * 3
    assert judged(box, [(6.999999, 56), (16.000001, 56), (10, 53.999999), (10, 58.500001)]) == [OUTSIDE] * 4


def test_a_box_over_the_antimeridian() -> None:
    box = read_region("170,-50,-170,-30")
    assert judged(box, [(175, -40), (-175, -40), (180, -40), (-180, -40)]) == [WANTED] * 4
    assert judged(box, [(0, -40), (169, -40), (-169, -40)]) == [OUTSIDE] * 3


@pytest.mark.parametrize("wrap", [lambda found: found, lambda found: {"type": "Feature", "geometry": found}])
def test_a_polygon_with_a_hole(tmp_path: Path, wrap: Any) -> None:
    region = region_of(tmp_path, wrap(polygon(SQUARE, HOLE)))
    assert judged(region, [(1, 1), (9, 9), (5, 5), (3.9, 5), (11, 5), (5, 11), (5, -1)]) == [
        *(WANTED, WANTED, OUTSIDE, WANTED, OUTSIDE, OUTSIDE, OUTSIDE)
    ]


def test_several_polygons_of_which_two_overlap(tmp_path: Path) -> None:
    """By the even-odd rule over all edges together the overlap would be outside."""
    shifted = [[x + 5, y] for x, y in SQUARE]
    features = [{"type": "Feature", "geometry": polygon(ring)} for ring in (SQUARE, shifted, PACIFIC)]
    region = region_of(tmp_path, {"type": "FeatureCollection", "features": features})
    places = [(7, 5), (1, 5), (14, 5), (175, 0), (-175, 0), (-169, 0)]
    assert judged(region, places) == [WANTED] * 5 + [OUTSIDE]
    together = {"type": "GeometryCollection", "geometries": [feature["geometry"] for feature in features]}
    assert judged(region_of(tmp_path, {"type": "Feature", "geometry": together}), places) == [WANTED] * 5 + [OUTSIDE]


def test_a_polygon_cut_at_the_antimeridian(tmp_path: Path) -> None:
    west = [[170, -10], [180, -10], [180, 10], [170, 10], [170, -10]]
    east = [[-180, -10], [-170, -10], [-170, 10], [-180, 10], [-180, -10]]
    region = region_of(tmp_path, {"type": "MultiPolygon", "coordinates": [[west], [east]]})
    assert judged(region, [(175, 0), (-175, 0), (0, 0)]) == [WANTED, WANTED, OUTSIDE]


CORNERS = st.lists(st.tuples(st.integers(-200, 200), st.integers(-80, 80)), min_size=3, max_size=12, unique=True)


@settings(max_examples=100)
@example(corners=[(-200, 0), (-100, 50), (-150, -20)], places=[(-170, 1), (175, 1)])
@given(corners=CORNERS, places=st.lists(st.tuples(st.floats(-180, 180), st.floats(-90, 90)), min_size=1, max_size=30))
def test_as_a_plain_reading_of_the_rule(corners: list[tuple[int, int]], places: list[tuple[float, float]]) -> None:
    ring = tuple((float(x), float(y)) for x, y in [*corners, corners[0]])
    region = Region("", "", polygons=((ring,),))
    places = [(round(x, 6), round(y, 6)) for x, y in places]

    def inside(x: float, y: float) -> bool:
        crossings = 0
        for (x1, y1), (x2, y2) in pairwise(ring):
            if min(y1, y2) <= y < max(y1, y2):
                crossings += x < x1 + (y - y1) / (y2 - y1) * (x2 - x1)
        return crossings % 2 == 1

    expected = [WANTED if any(inside(x + turn, y) for turn in (-360, 0, 360)) else OUTSIDE for x, y in places]
    assert judged(region, places) == expected


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("{", "is no GeoJSON of polygons"),
        ('{"type": "Point", "coordinates": [1, 2]}', "it has a Point, not only polygons"),
        ('{"type": "FeatureCollection", "features": []}', "has no polygon"),
        (json.dumps(polygon(SQUARE[:-1])), "is not closed"),
        (json.dumps(polygon([[170, 0], [-170, 0], [-170, 5], [170, 5], [170, 0]])), "the long way round"),
        (json.dumps(polygon([[0, 0], [1, 0], [1, 95], [0, 0]])), "a corner is at longitude 1.0, latitude 95.0"),
    ],
)
def test_what_is_no_region_is_refused(tmp_path: Path, content: str, fault: str) -> None:
    path = tmp_path / "region.geojson"
    path.write_text(content)
    with pytest.raises(SettingsError, match=f"AIS_REGION: .*{fault}"):
        load_settings(region=str(path))


@pytest.mark.parametrize("text", ["1,2,3", "5,50,5,60", "0,60,10,50", "0,50,190,60", "nowhere.geojson"])
def test_what_is_no_box_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="west,south,east,north"):
        load_settings(region=text)


def test_a_changed_file_is_another_setting(tmp_path: Path) -> None:
    region_of(tmp_path, polygon(SQUARE))
    path = str(tmp_path / "region.geojson")
    first = load_settings(region=path).model_dump(mode="json")["region"]
    (tmp_path / "elsewhere").mkdir()
    region_of(tmp_path / "elsewhere", polygon(SQUARE))
    assert (
        load_settings(region=str(tmp_path / "elsewhere" / "region.geojson")).model_dump(mode="json")["region"] == first
    )
    region_of(tmp_path, polygon(SQUARE, HOLE))
    assert load_settings(region=path).model_dump(mode="json")["region"] != first


def test_positions_inside_land(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jutland, the Kattegat, a quay in Aarhus; the mask is read without a network."""

    def no_network(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    lat, lon = np.array([56.2, 56.5, 56.155]), np.array([9.3, 11.5, 10.225])
    assert inland(lat, lon, 2000).tolist() == [True, False, False]
    places = Places(read_region("10,50,12,60"), 2000.0)
    assert places.judge(micro(list(lat)), micro(list(lon))).tolist() == [OUTSIDE, WANTED, WANTED]
    assert Places(None, 2000.0).judge(micro([56.2, 91]), micro([9.3, 0])).tolist() == [INLAND, WANTED]


def test_dropping_needs_a_distance() -> None:
    with pytest.raises(SettingsError, match="AIS_DROP_ON_LAND needs AIS_LAND_METRES"):
        load_settings(drop_on_land=True)
