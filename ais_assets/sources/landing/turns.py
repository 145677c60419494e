"""Few connections to a server at once, however many runs of this machine want its files."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from ais_assets.sources.source import SourceError
from ais_assets.store.file_locks import if_free
from ais_assets.store.patience import Patience

MOST_AT_ONCE: Final = 3
"""Connections to one server: what it publishes is a gift."""
_LOOK_SECONDS = 0.2


@contextmanager
def turn(folder: Path | None, host: str, patience: Patience) -> Iterator[None]:
    """Waits until fewer than MOST_AT_ONCE runs of this machine are connected to the host.

    Args:
        folder: that these runs share; None: this one is by itself.
        host: its name.
        patience: says how long is waited.

    Raises:
        SourceError: no turn came in that time.
    """
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(host.encode()).hexdigest()[:16]
    end = time.monotonic() + patience.total_seconds
    places = [folder / f"turn-{name}-{number}.lock" for number in range(MOST_AT_ONCE)]
    with ExitStack() as taken:
        while not any(taken.enter_context(if_free(place)) for place in places):
            taken.close()
            if time.monotonic() >= end:
                raise SourceError(f"{host}: {MOST_AT_ONCE} other runs were connected all the time; try again later")
            time.sleep(_LOOK_SECONDS)
        yield
