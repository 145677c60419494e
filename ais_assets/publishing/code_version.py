"""Which code made a dataset: the package's release, and the commit where one is known."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

PACKAGE: Final = "ais_assets"
_SECONDS: Final = 10
"""After which git is not waited for."""


@cache
def code_version() -> str:
    """The release, and the commit of the checkout or of what pip installed from a repository: `0.1.0, commit 1a2b…`.

    A checkout with changes that are in no commit says so.
    """
    try:
        found = distribution(PACKAGE)
    except PackageNotFoundError:
        return f"unknown, {commit}" if (commit := _commit_of_checkout()) else "unknown"
    # PEP 610: what pip writes down of an install from a repository.
    origin = json.loads(found.read_text("direct_url.json") or "{}")
    commit = origin.get("vcs_info", {}).get("commit_id") or _commit_of_checkout()
    return f"{found.version}, commit {commit}" if commit else found.version


def _commit_of_checkout() -> str | None:
    """The commit of the repository that this file is a part of; None where it is not."""
    here = Path(__file__)
    if _git(here, "ls-files", "--error-unmatch", here.name) is None:
        return None
    commit = _git(here, "rev-parse", "HEAD")
    changed = _git(here, "status", "--porcelain", "--untracked-files=no")
    return f"{commit} with changes" if commit and changed else commit


def _git(beside: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=beside.parent, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
