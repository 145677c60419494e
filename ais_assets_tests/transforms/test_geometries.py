"""Geometries: known answers, read back by a parser of well-known binary that is not theirs."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from ais_assets.transforms.geometries import lines, points

Place = tuple[float, float]
"""Longitude and latitude."""


def parsed(wkb: bytes) -> tuple[str, list[list[Place]]]:
    """The kind of a geometry and its parts."""
    (kind,) = struct.unpack_from("<I", wkb, 1)
    assert wkb[0] == 1
    if kind == 1:
        assert len(wkb) == 21
        return "Point", [[struct.unpack_from("<dd", wkb, 5)]]
    parts, at = [], 0
    if kind == 5:
        at, kind = 9, 5
    while at < len(wkb):
        order, of, count = struct.unpack_from("<BII", wkb, at)
        assert (order, of) == (1, 2)
        parts.append([struct.unpack_from("<dd", wkb, at + 9 + 16 * place) for place in range(count)])
        at += 9 + 16 * count
    assert at == len(wkb)
    if kind == 5:
        assert struct.unpack_from("<I", wkb, 5) == (len(parts),)
    return {2: "LineString", 5: "MultiLineString"}[kind], parts


def line(*places: Place) -> tuple[str, list[list[Place]]]:
    """The geometry of one track."""
    lon, lat = np.array(places).T
    (found,) = lines(np.array([0]), lat, lon).to_pylist()
    return parsed(found)


def test_points_are_longitude_first() -> None:
    found = points(np.array([55.5, -12.0]), np.array([11.25, 180.0])).to_pylist()
    assert [parsed(wkb) for wkb in found] == [("Point", [[(11.25, 55.5)]]), ("Point", [[(180.0, -12.0)]])]
    assert len(points(np.empty(0), np.empty(0))) == 0


def test_every_track_has_its_own_line() -> None:
    lat, lon = np.arange(6.0), np.arange(10.0, 16.0)
    found = [parsed(wkb) for wkb in lines(np.array([0, 3, 4]), lat, lon).to_pylist()]
    assert found == [
        ("LineString", [[(10, 0), (11, 1), (12, 2)]]),
        ("Point", [[(13, 3)]]),
        ("LineString", [[(14, 4), (15, 5)]]),
    ]
    assert len(lines(np.empty(0, np.int64), np.empty(0), np.empty(0))) == 0


@pytest.mark.parametrize("east", [1, -1])
def test_a_line_is_cut_where_it_crosses_the_antimeridian(east: int) -> None:
    kind, parts = line((east * 178, 0), (east * 179, 10), (-east * 178, 16), (-east * 177, 17))
    assert kind == "MultiLineString"
    assert parts == [
        [(east * 178, 0), (east * 179, 10), (east * 180, 12)],
        [(-east * 180, 12), (-east * 178, 16), (-east * 177, 17)],
    ]


def test_a_line_that_crosses_and_comes_back_has_three_parts() -> None:
    kind, parts = line((179, 0), (-179, 0), (179, 0))
    assert (kind, [len(part) for part in parts]) == ("MultiLineString", [2, 3, 2])


def test_a_position_on_the_antimeridian_is_the_end_of_a_part() -> None:
    assert line((180, 1), (-180, 3))[1] == [[(180, 1), (180, 1)], [(-180, 1), (-180, 3)]]
    assert line((179, 1), (180, 3)) == ("LineString", [[(179, 1), (180, 3)]])
