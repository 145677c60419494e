"""Who builds a lake: each build says so in it, and one that would make something else of it does not begin.

Partitions are published whole, so builds with the same settings may go on side by side and at worst do work twice. With
other settings each would find the other's partitions stale, and build them again, for ever.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from ais_assets.io.lake import Lake
from ais_assets.machine import is_alive
from ais_assets.store.objects import StoreError

FOLDER: Final = ".builders"
_RENEWED_SECONDS: Final = 30.0
"""How often a build says that it goes on."""
_DECIDES_WITHIN_SECONDS: Final = 30.0
_LOOKS_AGAIN_SECONDS: Final = 0.1
"""At another build that has not said yet whether it goes on."""
FORGOTTEN_SECONDS: Final = 180.0
"""A build that has not said so for this long is taken for dead."""


@dataclass(frozen=True)
class Builder:
    """A build under way.

    Attributes:
        host: where it runs.
        process: its number there.
        since: when it began, ISO 8601.
        made_with: settings and code version of each asset, as its partitions record them.
        begun: whether it has seen who else builds, and gone on.
    """

    host: str
    process: int
    since: str
    made_with: dict[str, Any]
    begun: bool = False

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}, since {self.since}"

    @property
    def is_gone(self) -> bool:
        """Whether it is known to have ended: its process was on this machine and is no more."""
        return self.host == socket.gethostname() and not is_alive(self.process)


class OtherBuildError(RuntimeError):
    """Another build with other settings is under way; the message says which and what differs."""


@contextmanager
def building(lake: Lake, made_with: dict[str, Any], on_note: Callable[[str], None]) -> Iterator[None]:
    """Says in the lake that this process builds it, for as long as the context lasts.

    Args:
        lake: that is built.
        made_with: what its partitions are made with, by asset.
        on_note: told of others with the same settings.

    Raises OtherBuildError where one with other settings came first.
    """
    me = Builder(socket.gethostname(), os.getpid(), datetime.now(UTC).isoformat(timespec="seconds"), made_with)
    key, ended = f"{FOLDER}/{me.since.replace(':', '')}-{uuid.uuid4().hex}.json", threading.Event()

    def say(builder: Builder) -> None:
        lake.store.publish_bytes(json.dumps(asdict(builder), sort_keys=True).encode(), key)

    def renew() -> None:
        while not ended.wait(_RENEWED_SECONDS):
            try:
                say(replace(me, begun=True))
            except StoreError as error:
                # An outage is for the runs to bear with; the others wait longer than this.
                on_note(f"this build could not say that it goes on: {error}")

    say(me)
    try:
        # Of two that begin at once, one sees the other or both do; then the first by name goes on.
        for other_key, other in others(lake, key).items():
            differing = _difference(me.made_with, other.made_with)
            if differing is None:
                on_note(f"this lake is also built by {other}; both may go on, and at worst do work twice")
            elif other_key < key or _goes_on(lake, other_key, other):
                raise OtherBuildError(
                    f"{lake.uri} is being built by {other}, with {differing}. Wait until it has ended, or give this "
                    "build the same settings or another AIS_LAKE"
                )
        say(replace(me, begun=True))
        thread = threading.Thread(target=renew, daemon=True, name="builder")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
    finally:
        lake.store.delete_object(key)


def _goes_on(lake: Lake, key: str, other: Builder) -> bool:
    """Whether a build that is later by name goes on: it may have looked before this one was there to be seen."""
    deadline = time.monotonic() + _DECIDES_WITHIN_SECONDS
    while not other.begun and time.monotonic() < deadline:
        time.sleep(_LOOKS_AGAIN_SECONDS)
        try:
            other = Builder(**json.loads(lake.store.read(key)))
        except FileNotFoundError:
            return False
        if other.is_gone:
            return False
    # One that does not decide is taken for one that goes on.
    return True


def others(lake: Lake, own: str | None = None) -> dict[str, Builder]:
    """Other builds of the lake that go on, by their keys; what is left of those that do not is removed.

    `own` is this build's key: others are old by its time of publication; without one by the lake's clock, which dates
    what lies there.
    """
    listed = {each.key: each for each in lake.store.listed(FOLDER)}
    now = listed[own].modified if own in listed else lake.store.now()
    found = {}
    for key, each in sorted(listed.items()):
        if key == own:
            continue
        try:
            other = Builder(**json.loads(lake.store.read(key)))
        except FileNotFoundError:
            continue
        if other.is_gone or now - each.modified > FORGOTTEN_SECONDS:
            lake.store.delete_object(key)
        else:
            found[key] = other
    return found


def _difference(mine: dict[str, Any], theirs: dict[str, Any]) -> str | None:
    """The first setting that differs, with both values; None where none does."""
    for asset in sorted(mine.keys() & theirs.keys()):
        for name in sorted(mine[asset].keys() | theirs[asset].keys()):
            ours, others_value = mine[asset].get(name), theirs[asset].get(name)
            if ours != others_value:
                return f"{asset} by {name} = {others_value}, not {ours}"
    return None
