"""A page as a list of blocks, written as Markdown or as HTML.

All text is plain: what looks like markup in it, as a hostile transponder's name may, stands on the page as it is. Only
`Code`, `Link` and `Strong` are anything else.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Final

from ais_assets.publishing.figures.picture import Picture


@dataclass(frozen=True)
class Code:
    """Text as a machine reads it: a name, a value, a digest."""

    text: str


@dataclass(frozen=True)
class Strong:
    """Text that is to be seen first."""

    text: str


@dataclass(frozen=True)
class Link:
    """Text that leads somewhere: a web address, or a path relative to the root of the dataset."""

    text: str
    target: str


Inline = str | Code | Strong | Link
Words = Inline | Sequence[Inline]


@dataclass(frozen=True)
class Heading:
    """A section's."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """Some sentences."""

    words: Words


@dataclass(frozen=True)
class Items:
    """A list."""

    items: Sequence[Words]


@dataclass(frozen=True)
class Rows:
    """A table. `right` are the columns, by number, whose figures stand below each other."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Words]]
    right: Sequence[int] = ()


@dataclass(frozen=True)
class Image:
    """A picture with the file that it is, relative to the root of the dataset."""

    picture: Picture
    file: str


@dataclass(frozen=True)
class Snippet:
    """Python that reads the dataset."""

    code: str


@dataclass(frozen=True)
class Folded:
    """Blocks that a reader opens who wants them: their summary, and they."""

    summary: str
    blocks: Sequence[Block] = field(default_factory=tuple)


Block = Heading | Paragraph | Items | Rows | Image | Snippet | Folded


def to_markdown(blocks: Iterable[Block], root: str, *, pictures: bool = True) -> str:
    """The page as GitHub and Hugging Face show it.

    Args:
        blocks: its content.
        root: the root of the dataset as seen from the page, such as "." or "..".
        pictures: whether it shows them.
    """
    shown = [block for block in blocks if pictures or not isinstance(block, Image)]
    return "\n\n".join(_markdown_block(block, root) for block in shown) + "\n"


def to_html(title: str, blocks: Iterable[Block]) -> str:
    """The page as one file that needs no other, light or dark as its reader has it; pictures are in it.

    Its contents are listed behind the first two blocks, its title and what is to be known at once.
    """
    blocks = list(blocks)
    contents = "".join(
        f'<li><a href="#{_anchor(block.text)}">{html.escape(block.text)}</a></li>'
        for block in blocks
        if isinstance(block, Heading) and block.level == 2
    )
    first, rest = ("\n".join(_html_block(block) for block in part) for part in (blocks[:2], blocks[2:]))
    return _PAGE.format(title=html.escape(title), style=_style(), first=first, contents=contents, rest=rest)


def _style() -> str:
    return files("ais_assets.publishing").joinpath("page.css").read_text(encoding="utf-8")


def _parts(words: Words) -> Sequence[Inline]:
    return [words] if isinstance(words, str | Code | Strong | Link) else words


def _markdown(words: Words, root: str, *, in_table: bool = False) -> str:
    text = "".join(_markdown_inline(part, root) for part in _parts(words))
    return text.replace("|", "\\|") if in_table else text


def _markdown_inline(part: Inline, root: str) -> str:
    if isinstance(part, Code):
        text = _one_line(part.text)
        longest = max((len(run) for run in re.findall("`+", text)), default=0)
        fence = "`" * (longest + 1)
        padding = " " if text.startswith("`") or text.endswith("`") else ""
        return f"{fence}{padding}{text}{padding}{fence}" if text else ""
    if isinstance(part, Strong):
        return f"**{_escaped(part.text)}**"
    if isinstance(part, Link):
        target = part.target if "://" in part.target or part.target.startswith("mailto:") else f"{root}/{part.target}"
        return f"[{_escaped(part.text)}]({target.translate(_IN_TARGET)})"
    return _escaped(part)


_IN_TARGET: Final = str.maketrans({" ": "%20", "(": "%28", ")": "%29", "<": "%3C", ">": "%3E", "\n": "", '"': "%22"})
_SPECIAL: Final = re.compile(r"([\\`*\[\]<>~])|(?<![^\W_])(_)|(_)(?![^\W_])|(&)(?=#?\w+;)|(!)(?=\[)")
_FIRST: Final = re.compile(r"^(\s*)([#+=-])|^(\s*\d+)([.)])(?=\s|$)")
"""What would begin a heading, a list or a rule."""


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is; underscores within words mean nothing to it."""
    escaped = _SPECIAL.sub(lambda found: "\\" + found[0], _one_line(text))
    return _FIRST.sub(lambda found: f"{found[1] or found[3] or ''}\\{found[2] or found[4]}", escaped)


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split(" "))


def _markdown_block(block: Block, root: str) -> str:  # noqa: PLR0911 - a kind of block each
    match block:
        case Heading(text, level):
            return f"{'#' * level} {_escaped(text)}"
        case Paragraph(words):
            return _markdown(words, root)
        case Items(items):
            return "\n".join(f"- {_markdown(item, root)}" for item in items)
        case Rows():
            return _markdown_table(block, root)
        case Image(picture, file):
            alt = _escaped(picture.alt)
            return f"![{alt}]({root}/{file})"
        case Snippet(code):
            return f"```python\n{code.strip()}\n```"
        case Folded(summary, blocks):
            inner = "\n\n".join(_markdown_block(inner, root) for inner in blocks)
            return f"<details><summary>{html.escape(summary)}</summary>\n\n{inner}\n\n</details>"


def _markdown_table(table: Rows, root: str) -> str:
    def line(cells: Iterable[Words]) -> str:
        return "| " + " | ".join(_markdown(cell, root, in_table=True) for cell in cells) + " |"

    rule = "|" + "|".join("--:" if column in table.right else "---" for column in range(len(table.columns))) + "|"
    return "\n".join([line(table.columns), rule, *(line(row) for row in table.rows)])


def _html(words: Words) -> str:
    return "".join(_html_inline(part) for part in _parts(words))


def _html_inline(part: Inline) -> str:
    if isinstance(part, Code):
        return f"<code>{html.escape(part.text)}</code>"
    if isinstance(part, Strong):
        return f"<strong>{html.escape(part.text)}</strong>"
    if isinstance(part, Link):
        return f'<a href="{html.escape(_safe_target(part.target))}">{html.escape(part.text)}</a>'
    return html.escape(part)


_SCHEMES: Final = ("https://", "http://", "mailto:")


def _safe_target(target: str) -> str:
    """An address of the web or a relative path; of any other kind, as one that runs a program, none."""
    relative = ":" not in target.partition("/")[0]
    return target if relative or target.startswith(_SCHEMES) else "#"


def _html_block(block: Block) -> str:  # noqa: PLR0911
    match block:
        case Heading(text, level):
            return f'<h{level} id="{_anchor(text)}">{html.escape(text)}</h{level}>'
        case Paragraph(words):
            return f"<p>{_html(words)}</p>"
        case Items(items):
            return "<ul>" + "".join(f"<li>{_html(item)}</li>" for item in items) + "</ul>"
        case Rows():
            return _html_table(block)
        case Image(picture, _):
            return f'<figure><img src="{picture.inline()}" alt="{html.escape(picture.alt)}" loading="lazy"></figure>'
        case Snippet(code):
            return f"<pre><code>{html.escape(code.strip())}</code></pre>"
        case Folded(summary, blocks):
            inner = "\n".join(_html_block(inner) for inner in blocks)
            return f"<details><summary>{html.escape(summary)}</summary>{inner}</details>"


def _html_table(table: Rows) -> str:
    def cells(tag: str, row: Sequence[Words]) -> str:
        return "".join(
            f"<{tag}{' class=n' if column in table.right else ''}>{_html(cell)}</{tag}>"
            for column, cell in enumerate(row)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in table.rows)
    head = f"<thead><tr>{cells('th', table.columns)}</tr></thead>" if any(table.columns) else ""
    return f'<div class="wide"><table>{head}<tbody>{body}</tbody></table></div>'


def _anchor(text: str) -> str:
    return "-".join(re.findall(r"\w+", text.lower()))


_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{first}
<nav><ul>{contents}</ul></nav>
{rest}
</main>
</body>
</html>
"""
