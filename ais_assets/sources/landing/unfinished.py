"""Files that are being fetched, kept where a later run finds them and goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Final

from ais_assets.sources.landing.download import note_of
from ais_assets.store.file_locks import if_free

FOLDER: Final = "landing"
"""Their folder in the cache."""


@contextmanager
def unfinished(folder: Path | None, day: date, address: str, otherwise: Path) -> Iterator[Path]:
    """Where the file of `day` at an address is to be fetched, perhaps begun by a run that was killed or gave up.

    What is left there at the end stays if `Download` can go on with it.

    Args:
        folder: of such files on this machine; None: nothing is kept.
        day: of the file.
        address: without credentials.
        otherwise: where it is fetched while another run fetches the same.
    """
    if folder is None:
        with _gone_afterwards(otherwise) as path:
            yield path
        return
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{day.isoformat()}-{hashlib.sha256(address.encode()).hexdigest()[:16]}"
    with if_free(kept.with_name(f"{kept.name}.lock")) as mine:
        if not mine:
            with _gone_afterwards(otherwise) as path:
                yield path
            return
        try:
            yield kept
        finally:
            if not kept.exists() or not note_of(kept).exists():
                _remove(kept)


@contextmanager
def _gone_afterwards(path: Path) -> Iterator[Path]:
    try:
        yield path
    finally:
        _remove(path)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    note_of(path).unlink(missing_ok=True)
