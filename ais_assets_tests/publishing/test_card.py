"""The card answers what a datasheet is asked (Gebru et al., 2021), of real and simulated ships, by any words."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import yaml
from markdown_it import MarkdownIt

from ais_assets.ledger import Ledger
from ais_assets.publishing.card import Archive, CardFacts, card_html, card_markdown, card_page, hub_header
from ais_assets.publishing.dataset import PublishedMds, TrainingDataset
from ais_assets.publishing.days import Days
from ais_assets.publishing.figure_data import SplitCounts, TrackFacts, VesselFacts
from ais_assets.publishing.figures.maps import Box
from ais_assets.publishing.rules import MEANING, meaning
from ais_assets.publishing.terms import terms_of
from ais_assets.settings import Settings, load_settings
from ais_assets.sources.rows.row_plan import Reject
from ais_assets.transforms import clean
from ais_assets.transforms.durations import QUANTILES
from ais_assets.transforms.windows import IN_NO_WINDOW
from ais_assets_tests.publishing.figures.drawn import pictures, report

DANISH = (
    "Contains data from the Danish Maritime Authority that is used in accordance with the conditions for the use of "
    "Danish public data."
)
DIGEST = "5" * 64


def card_facts(settings: Settings, **changes: Any) -> CardFacts:
    """Of a made-up dataset."""
    spread = {
        "positions": 928,
        "windows": 900,
        "min": 60,
        "quantiles": {str(q): 7_384 for q in QUANTILES},
        "max": 9_000,
    }
    feature = {"count": 900 * 928, "min": 0.0, "max": 57.5, "mean": 56.0, "std": 0.5}
    mds = PublishedMds(
        "s3://secret-bucket/lake/mds",
        900,
        3,
        12_345,
        {"features": {"lat": feature}, "duration_seconds": {"window": spread}, "index": DIGEST},
        b"{}",
    )
    dataset = TrainingDataset(
        "0123456789abcdef",
        "s3://secret-bucket/lake",
        40_000,
        {"edges": [0, 2, 5], "counts": [10, 20, 30]},
        mds,
        {"validation": 50, "holdout": 0},
    )
    facts = {
        "dataset": dataset,
        "settings": settings,
        "funnel": {
            "rows of the source's files": Ledger(1_000, 900, {"bad_mmsi": 100}),
            "typed records": Ledger(900, 400, {"exact_duplicate": 450, "not_a_vessel": 50}),
            "windows that the tracks hold": Ledger(950, 950, {}, {"windows_training": 900}),
        },
        "days": Days(5, 2, 0, 1, 1, 1),
        "terms": terms_of(settings),
        "code": "0.1.0, commit abc",
        "empty": ["2024-03-03"],
        "unpublished": ["2024-03-04"],
        "not_made": ["2024-03-05"],
        "archives": [Archive("2024-03-01", "aisdk-2024-03-01.zip", 4_711, "a" * 64)],
        "tracks": TrackFacts(
            {"train": SplitCounts(7, 9, 36_000, 900, 32.5), "validation": SplitCounts(1, 2, 4_000, 50, 2.0)},
            np.ones(11),
            np.ones(11),
            [],
        ),
        "vessels": VesselFacts({"Cargo": {"class A": 6}, "Sailing": {"class B": 2}}, {"DK": 8}),
        "box": Box(54.0, 58.0, 7.0, 16.0),
        # All but that of one sample, which is drawn on request.
        "pictures": {picture.name: picture for picture in pictures() if picture.name != "sample"},
        "baseline": report(),
    }
    return CardFacts(**{**facts, **changes})


@pytest.fixture(scope="module")
def danish() -> CardFacts:
    """Of real ships."""
    return card_facts(load_settings(source="dma", contact="data@example.org", last_day="2024-03-05"))


ASKED = {
    "is it real?": r"^# AIS trajectory windows of real ships\n\n\*\*Real ships, as heard",
    "how many windows to train on?": r"training windows\*\* \| 900 of 928 positions",
    "how much of it is independent, by split?": r"\| train \| 7 \| 9 \| 36,000 \| 900 \| 32 \| 27\.7 \|",
    "how much do windows overlap?": "share 896 of their 928 positions",
    "where?": "54°N to 58°N, 7°E to 16°E",
    "who: classes of transponders": "8 vessels \\(MMSI\\) with any record; class of transponder: class A 6, class B 2",
    "who: types and flags": r"Vessels by type: Cargo 6, Sailing 2|\(\./figures/0123456789abcdef/types_and_flags\.png\)",
    "when: which days are there": "2 of 5 days with positions, 1 unpublished, 1 empty, 1 not made",
    "when: days never published": "never published by the source: 2024-03-04",
    "when: empty days": "without a clean position: 2024-03-03",
    "when: absent days": "not in this dataset: 2024-03-05",
    "licence": "the conditions for the use of Danish public data",
    "words that the licence asks for": re.escape(DANISH),
    "publisher": r"publisher\*\* \| Danish Maritime Authority",
    "settings": r"`AIS_MAX_SPEED_KNOTS` \| `50\.0` \| an implied speed",
    "code version and commit": r"ais_assets 0\.1\.0, commit abc",
    "release": "Release `0123456789abcdef`",
    "digests of the archives": r"`2024-03-01` \| `aisdk-2024-03-01\.zip` \| 4,711 \| `a{64}`",
    "what each rule means": r"`exact_duplicate` \| the same report once more",
    "how was it split?": r"0\.05 of the hulls for validation, drawn by a hash with seed 17",
    "does the split leak?": r"vessels \(MMSI\) with tracks in more than one split: 0",
    "do hulls leak?": "hulls in more than one split: 0",
    "is it shuffled?": "one global, uniformly random order",
    "what is a baseline?": r"\| dead reckoning \| 60 min \| 5 \| 2 \| 6 \| 3 to 9 \| 6 \| 12 \|",
    "what may it be used for?": "Intended use and limits\n\nFor research and development",
    "what may it not be used for?": "Not for navigation or collision avoidance",
    "what is wrong with it?": "switched off, mistyped, jammed and forged reports",
    "who is under-represented?": "small craft need no transponder",
    "privacy": "Of a pleasure craft these can lead to her owner",
    "are identities left out?": "neither hashed nor left out",
    "contact": r"data@example\.org",
    "citation": "Cite as: AIS trajectory windows of real ships, 2024-03-01 to 2024-03-05, release 0123456789abcdef",
    "how is it read?": "from streaming import StreamingDataset",
    "units": r"`sog` \| knot \| 0 to 102\.2",
    "how whole numbers are stored": r"lat\\_microdegrees is lat × 1,000,000|lat_microdegrees is lat × 1,000,000",
}


@pytest.mark.parametrize("question", ASKED)
def test_the_card_answers(danish: CardFacts, question: str) -> None:
    assert re.search(ASKED[question], card_markdown(danish), re.MULTILINE), question


def test_horizons_are_in_order_however_the_report_was_stored() -> None:
    card = card_markdown(card_facts(load_settings(source="simulated"), baseline=report((120, 5, 30))))
    assert re.findall(r"\| kalman \| (\d+) min", card) == ["5", "30", "120"]


def test_every_table_of_the_card_is_one(danish: CardFacts) -> None:
    rendered = MarkdownIt("commonmark", {"html": True}).enable("table").render(card_markdown(danish))
    assert rendered.count("<table>") == card_markdown(danish).count("\n|--")
    assert "<td>|" not in rendered


def test_html_says_the_same(danish: CardFacts) -> None:
    page = card_html(danish)
    for text in ("54°N to 58°N", DANISH, "0123456789abcdef", "900 of 928 positions", "data@example.org", "commit abc"):
        assert text in page
    assert page.count("<img ") == len(danish.pictures)
    assert len(page) < 2_000_000


def test_where_somebody_keeps_it_is_not_told(danish: CardFacts) -> None:
    for page in (card_page(danish), card_html(danish), card_markdown(danish, "..")):
        assert "secret-bucket" not in page
        assert "AIS_LAKE" not in page
        assert "AIS_SOURCE_URI" not in page


def test_paths_are_relative_to_where_the_card_is(danish: CardFacts) -> None:
    assert "](./figures/0123456789abcdef/funnel.png)" in card_page(danish)
    assert "](../figures/0123456789abcdef/funnel.png)" in card_markdown(danish, "..")


def test_simulated_ships_are_called_so_at_once() -> None:
    card = card_markdown(card_facts(load_settings(source="simulated")))
    assert card.startswith(
        "# AIS trajectory windows, simulated\n\n**Simulated: no ship, voyage or position in it is real.**"
    )
    assert "no result on it says anything of real ships" in card
    assert '"synthetic"' in hub_header(card_facts(load_settings(source="simulated")))


def test_the_hub_knows_licence_size_and_files(danish: CardFacts) -> None:
    page = card_page(danish)
    assert page.startswith("---\n")
    header = yaml.safe_load(page.split("---\n")[1])
    assert header["license"] == "other"
    assert header["license_name"] == "the conditions for the use of Danish public data"
    assert header["size_categories"] == ["n<1K"]
    configs = {config["config_name"]: config["data_files"] for config in header["configs"]}
    assert set(configs) == {"windows", "tracks", "track_positions", "records", "vessels"}
    assert {of["split"] for of in configs["windows"]} == {"train", "validation"}, "holdout is empty"
    assert {of["split"] for name in set(configs) - {"windows"} for of in configs[name]} == {"train"}
    assert not any(path.startswith(("/", "..")) or "://" in path for of in configs.values() for path in [of[0]["path"]])


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("dma", ("Danish Maritime Authority", "the conditions for the use of Danish public data", DANISH)),
        ("marinecadastre", ("NOAA", "CC0 1.0", "AIS data of the U.S. Coast Guard", "MarineCadastre.gov")),
        ("norway", ("Kystverket", "(NLOD) 2.0", "Contains data of the Norwegian Coastal Administration")),
        ("nmea", ("whoever gave the files", "as its owner says", "nothing that is known")),
    ],
)
def test_publisher_terms_and_the_words_that_they_ask_for(source: str, said: tuple[str, ...]) -> None:
    card = card_markdown(card_facts(load_settings(source=source, source_uri="anywhere")))
    assert [text for text in said if text not in card] == []


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "| x | <img src=x onerror=y> `", "---\nlicense: mit"])
def test_hostile_words_of_source_and_settings_stay_words(hostile: str) -> None:
    settings = load_settings(source="dma", contact=hostile, ship_types=(hostile,))
    archives = [Archive(hostile, hostile, 1, hostile)]
    facts = card_facts(settings, archives=archives, funnel={hostile: Ledger(1, 0, {hostile: 1})}, code=hostile)
    page = card_html(facts)
    assert "<script" not in page
    assert "<img src=x" not in page
    for block in MarkdownIt("commonmark", {"html": True}).enable("table").parse(card_markdown(facts)):
        inline = [token.content for token in block.children or [] if token.type == "html_inline"]
        assert not any(
            "script" in html or "onerror" in html
            for html in [*inline, *([block.content] * (block.type == "html_block"))]
        )
    assert yaml.safe_load(card_page(facts).split("---\n")[1])["license"] == "other"


def test_every_rule_has_a_meaning() -> None:
    in_no_window = {reason.removeprefix("positions_") for reason in IN_NO_WINDOW}
    assert not ({reason.name.lower() for reason in Reject} | in_no_window | set(clean.RULES)) - set(MEANING)
    assert meaning("a_rule_of_its_own") == "a rule of the source: a rule of its own"


def test_of_a_long_range_days_are_told_as_ranges() -> None:
    days = [f"2024-01-{day:02}" for day in range(2, 31)] + ["2024-02-05"]
    card = card_markdown(card_facts(load_settings(source="simulated"), unpublished=days))
    assert "never published by the source: 2024-01-02 to 2024-01-30, 2024-02-05" in card
