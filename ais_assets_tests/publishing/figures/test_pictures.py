"""What holds of every picture: its bytes, its size, its words, its colours."""

from __future__ import annotations

import io
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from ais_assets.publishing.figures.picture import INK, MOST_BYTES, PAPER, QUIET, SERIES, Picture, drawing, large, sheet
from ais_assets_tests.publishing.figures.drawn import nothing, pictures

pytestmark = pytest.mark.usefixtures("drawn")

PNG_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}


@pytest.fixture(scope="module")
def composed() -> list[Picture]:
    """One of each kind."""
    return pictures()


def chunks(png: bytes) -> set[bytes]:
    """Kinds of the parts of a PNG file."""
    kinds, place = set(), 8
    while place < len(png):
        size = int.from_bytes(png[place : place + 4], "big")
        kinds.add(png[place + 4 : place + 8])
        place += size + 12
    return kinds


def test_the_same_data_give_the_same_bytes_whatever_the_machines_own_style(composed: list[Picture]) -> None:
    with mpl.rc_context({"font.size": 22, "axes.facecolor": "black", "savefig.dpi": 30}):
        again = [picture.png for picture in pictures()]
    assert again == [picture.png for picture in composed]


def test_drawing_leaves_the_style_of_others_alone() -> None:
    before = dict(mpl.rcParams)
    assert pictures()[5].png
    assert dict(mpl.rcParams) == before


def test_pictures_are_small_and_hold_neither_dates_nor_names_of_programs(composed: list[Picture]) -> None:
    for picture in composed:
        assert len(picture.png) < MOST_BYTES
        assert chunks(picture.png) <= PNG_CHUNKS, picture.name
        image = Image.open(io.BytesIO(picture.png))
        assert 900 < image.width < 1_300, "read on a phone and on a desk"
        assert len(set(np.asarray(image.convert("L")).ravel().tolist())) > 10, "something is drawn"


def test_each_says_in_words_what_it_shows(composed: list[Picture]) -> None:
    assert len({picture.name for picture in composed}) == len(composed)
    for picture in [*composed, *nothing()]:
        assert len(picture.alt) > 20
        assert picture.title
        assert picture.markdown().startswith(
            f"![{picture.alt.replace('[', '(').replace(']', ')')}](data:image/png;base64,"
        )


def test_nothing_to_draw_is_drawn_as_such() -> None:
    for picture in nothing():
        assert picture.png, picture.name


def test_a_picture_that_grew_too_large_is_refused() -> None:
    @drawing
    def noise() -> Picture:
        figure = sheet(9, 9)
        pixels = np.random.default_rng(0).random((900, 900, 3))
        figure.add_subplot().imshow(pixels, aspect="auto")
        return Picture("noise", "Noise", "noise", figure)

    with pytest.raises(ValueError, match=r"the picture noise takes [\d,]+ bytes; it may take 200,000"):
        _ = noise().png


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    values = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    """Contrast ratio (WCAG 2.2)."""
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_text_stands_out_from_the_paper() -> None:
    assert contrast(INK, PAPER) > 7
    assert contrast(QUIET, PAPER) > 4.5


# Viénot, Brettel and Mollon (1999), linear RGB: how people without long- or medium-wave cones see colours.
PROTANOPIA = [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]]
DEUTERANOPIA = [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]]


@pytest.mark.parametrize("seen_as", [np.eye(3), PROTANOPIA, DEUTERANOPIA])
def test_neighbouring_colours_are_told_apart_by_everyone(seen_as: list[list[float]]) -> None:
    seen = []
    for colour in SERIES:
        values = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
        seen.append(np.asarray(seen_as) @ values**2.2)
    assert min(np.abs(one - other).max() for one, other in pairwise(seen)) > 0.1


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "0"), (1_234, "1,234"), (12_345, "12.3 k"), (4_560_000, "4.56 M"), (7.891e9, "7.89 G")],
)
def test_large_numbers_are_short(value: float, written: str) -> None:
    assert large(value) == written
