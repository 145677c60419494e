"""The card says whose data the samples are made from, under which terms."""

from __future__ import annotations

import pytest

from ais_assets.publishing.card import source_terms
from ais_assets.settings import load_settings

DANISH = (
    "Contains data from the Danish Maritime Authority that is used in accordance with the conditions for the use of "
    "Danish public data."
)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("dma", ("Danish Maritime Authority", "the conditions for the use of Danish public data", f"> {DANISH}\n")),
        ("marinecadastre", ("NOAA", "CC0 1.0", "> AIS data of the U.S. Coast Guard", "MarineCadastre.gov")),
        ("norway", ("Kystverket", "(NLOD) 2.0", "> Contains data of the Norwegian Coastal Administration")),
        ("nmea", ("whoever gave the files", "as its owner says")),
    ],
)
def test_publisher_terms_and_the_words_that_they_ask_for(source: str, said: tuple[str, ...]) -> None:
    terms = source_terms(load_settings(source=source, source_uri="anywhere"))
    assert [text for text in said if text not in terms] == []


def test_simulated_ships_are_nobodys() -> None:
    assert source_terms(load_settings(source="simulated")) == ""
