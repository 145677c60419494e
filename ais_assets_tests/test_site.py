"""The documentation as a site: builds without a warning, all pages in it, links between them right."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ais_assets_tests.conftest import PROJECT
from ais_assets_tests.patience import PATIENCE_SECONDS


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make site` builds it; warnings are errors (mkdocs.yml)."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert ran.returncode == 0, ran.stderr
    return folder


def test_every_page_is_in_it(site: Path) -> None:
    pages = [path for folder in ("docs", "ais_assets") for path in (PROJECT / folder).rglob("*.md")]
    missing = [
        page.name
        for page in pages
        if page.name != "README.md" and not (site / page.relative_to(PROJECT).with_suffix("") / "index.html").exists()
    ]
    assert not missing
    assert (site / "ais_assets" / "sources" / "index.html").exists()


def test_the_reference_says_what_docstrings_say(site: Path) -> None:
    page = (site / "docs" / "reference" / "loaders" / "index.html").read_text()
    assert "TrackWindowDataset" in page
    assert "drop_last" in page


def test_what_pages_are_shown_with_is_there(site: Path) -> None:
    """Styles and scripts lie in the site itself: nothing is fetched from elsewhere."""
    page = (site / "index.html").read_text()
    files = re.findall(r'<(?:link rel="stylesheet" href|script src)="([^"]+)"', page)
    assert len(files) >= 3
    assert [file for file in files if not (site / file).is_file()] == []
