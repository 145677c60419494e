"""The site's pages: the repository's own Markdown and notebooks, where they lie, so that links lead the same way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).parents[2]
PAGES = ("*.md", "docs/**/*.md", "docs/pictures/*", "ais_assets/**/*.md")
NOTEBOOKS = REPOSITORY / "docs" / "notebooks"
LINK = re.compile(r"(?<!!)\[(?P<text>[^]]+)\]\((?P<to>[^)#\s]+)(?:#[^)\s]*)?\)")


@event_priority(100)  # before the plugins that turn files into pages
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The repository's pages, and the theme's files; not what lies beside this file."""
    of_theme = [file for file in files if file.src_dir != config.docs_dir]
    paths = sorted({path for pattern in PAGES for path in REPOSITORY.glob(pattern)})
    pages = [
        File(str(path.relative_to(REPOSITORY)), str(REPOSITORY), config.site_dir, config.use_directory_urls)
        for path in paths
    ]
    notebooks = [
        File.generated(
            config, str(path.relative_to(REPOSITORY).with_suffix(".md")), content="\n\n".join(markdown_of(path))
        )
        for path in sorted(NOTEBOOKS.glob("*.ipynb"))
    ]
    return Files([*of_theme, *pages, *notebooks])


def markdown_of(notebook: Path) -> Iterator[str]:
    """Its cells and what they gave when it was last run, as Markdown."""
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "markdown":
            yield cell.source
            continue
        yield f"```python\n{cell.source}\n```"
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" in data:
                yield f'<img alt="what the cell above draws" src="data:image/png;base64,{data["image/png"].strip()}">'
            else:
                yield f"```text\n{output.get('text') or data['text/plain']}\n```"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to files that are no pages (code, the license) become their text; one that is not there warns."""

    def shown(link: re.Match[str]) -> str:
        to = (REPOSITORY / page.file.src_uri).parent / link["to"]
        if "://" in link["to"] or not to.exists():
            return link[0]
        if to.suffix == ".ipynb":
            return link[0].replace(".ipynb", ".md")
        is_page = files.get_file_from_path(str(to.resolve().relative_to(REPOSITORY))) is not None
        return link[0] if is_page else link["text"]

    return LINK.sub(shown, markdown)
