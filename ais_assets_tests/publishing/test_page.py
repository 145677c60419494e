"""A page as Markdown and as HTML: what it shows, and that data never become markup."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ais_assets.publishing.figures.funnel import funnel
from ais_assets.publishing.page import (
    Code,
    Folded,
    Heading,
    Image,
    Items,
    Link,
    Paragraph,
    Rows,
    Snippet,
    Strong,
    to_html,
    to_markdown,
)

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</td></table><h1>mine</h1>",
    "a | b `c` **d** _e_ [f](http://g) ![h](i) ~~j~~",
    "&lt;b&gt; &amp; & \"quoted\" 'single'",
    "1. first\n# heading\n- item\n```\nfence",
    "http://auto.link and javascript:alert(1)",
    "` `` ```",
)


class Told(HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def shown_by_markdown(text: str) -> Told:
    """A page as GitHub and the hub would render it, tables and HTML included."""
    return Told(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_stands_on_the_page_as_it_is(hostile: str) -> None:
    blocks = [
        Heading(hostile),
        Paragraph(["It says: ", hostile, Strong(hostile), "."]),
        Items([hostile, [Code(hostile)]]),
        Rows(("name", hostile), [(hostile, Code(hostile))]),
        Folded(hostile, [Paragraph(hostile)]),
    ]
    harmless = {"html", "head", "meta", "title", "style", "body", "main", "nav", "ul", "li", "a", "h2", "p", "strong"}
    harmless |= {"code", "div", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"}
    page = Told(to_html(hostile, blocks))
    assert set(page.tags) <= harmless
    assert page.text.count(hostile) >= 10
    assert not [name for name, _ in page.attributes if name.startswith("on")]

    rendered = shown_by_markdown(to_markdown(blocks, "."))
    assert set(rendered.tags) <= harmless
    flat = " ".join("".join(letter if letter.isprintable() else " " for letter in hostile).split())
    assert " ".join(rendered.text.split()).count(flat) >= 6


@given(st.text(max_size=60))
def test_any_text_is_shown_and_is_nothing_but_text(text: str) -> None:
    rendered = shown_by_markdown(to_markdown([Paragraph(["It says: ", text, " ."])], "."))
    assert rendered.tags == ["p"]
    flat = "".join(letter if letter.isprintable() else " " for letter in text)
    assert " ".join(rendered.text.split()) == " ".join(f"It says: {flat} .".split())
    assert Told(to_html("page", [Paragraph(text)])).tags.count("p") == 1


@pytest.mark.parametrize("target", ["javascript:alert(1)", "data:text/html,x", "vbscript:x", " javascript:alert(1)"])
def test_a_link_leads_to_no_program(target: str) -> None:
    page = Told(to_html("page", [Paragraph(Link("here", target))]))
    assert ("href", "#") in page.attributes


def test_links_are_relative_to_the_root() -> None:
    blocks = [Paragraph([Link("index", "mds/index.json"), Link("web", "https://example.org/(a)")])]
    assert to_markdown(blocks, "..") == "[index](../mds/index.json)[web](https://example.org/%28a%29)\n"


def test_a_page_needs_no_other_file_and_no_network() -> None:
    picture = funnel({})
    page = to_html("A page", [Heading("One"), Image(picture, "figures/x.png"), Snippet("print('<b>')")])
    told = Told(page)
    sources = [value for name, value in told.attributes if name in ("src", "href", "srcset", "action", "data")]
    assert all(value is not None and value.startswith(("#", "data:image/png;base64,")) for value in sources)
    assert "default-src 'none'" in page
    assert "url(" not in page
    assert "@import" not in page
    assert ("alt", picture.alt) in told.attributes
    assert "print('<b>')" in told.text
    assert "prefers-color-scheme: dark" in page
    assert ("name", "viewport") in told.attributes


def test_markdown_shows_pictures_as_files_beside_it_or_not_at_all() -> None:
    picture = funnel({})
    blocks = [Image(picture, "figures/x.png"), Paragraph("below")]
    assert to_markdown(blocks, "..").startswith("![Stage by stage: .](../figures/x.png)")
    assert to_markdown(blocks, "..", pictures=False) == "below\n"
