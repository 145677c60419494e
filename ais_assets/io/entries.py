"""What partitions say of themselves, for whoever asks for many: of one listing, each version read once and kept.

On S3 a look at a partition is a request that takes tens of milliseconds, on a disk it takes a millisecond. So what is
asked for is listed, a thousand partitions a request, and what each version says is kept: in this process, and where
there is much of it in an object beside the lake's datasets, one an asset. That object may be old, and whoever writes it
last wins: what it says of a version holds for that version alone, and what it does not say is read from the partitions
themselves, on S3 side by side.
"""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar

from ais_assets.ledger import Ledger
from ais_assets.store.objects import Store, StoreError

K = TypeVar("K")
T = TypeVar("T")
AT_ONCE: Final = 16
"""Requests side by side, of one reader."""
FOLDER: Final = ".entries"
_FORMAT: Final = 1
"""Of the kept objects; another one is not read."""
_FEW: Final = 4
"""Partitions of which each is rather read than looked for in the kept object."""
_MANY: Final = 16
"""Partitions that had to be read, from which on it pays to keep what they say."""
_MANY_ON_DISK: Final = 128
"""Both of these, where a partition is a file at hand."""
_MOST_KNOWN: Final = 100_000
"""Partitions that a process remembers."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """What is known of a partition without a look at its rows.

    Attributes:
        version: of its object, as `Store.version`.
        size: bytes of all its files.
        rows: in it.
        account: of the stage that wrote it, as JSON values.
        facts: what else that stage said of it.
        fingerprint: hexadecimal; of its content and how it was made.
        folder: where its files are, of a partition that is a folder.
        damage: what is wrong with it, of one that cannot be read; the rest is empty then.
    """

    version: str
    size: int
    rows: int
    account: Mapping[str, Any]
    facts: Mapping[str, Any]
    fingerprint: str
    folder: str | None = None
    damage: str | None = None

    @property
    def ledger(self) -> Ledger:
        """The account of the stage that wrote it."""
        return Ledger.from_dict(dict(self.account))


_known: dict[tuple[str, str], Entry] = {}
"""By store and key; an entry is of its version alone, whichever lake of this process asks."""


class Entries:
    """Those of one asset.

    Args:
        store: where its objects are.
        asset: its name.
        read: reads what the object of this key says.
    """

    def __init__(self, store: Store, asset: str, read: Callable[[str], Entry]) -> None:
        self._store = store
        self._kept_key = f"{FOLDER}/{asset}.json.gz"
        self._read = read

    def of(self, versions: Mapping[str, str]) -> dict[str, Entry]:
        """What each of these objects, by key, says; `versions` are those that a listing has.

        Raises FileNotFoundError where one has gone since, and as the reader does.
        """
        found = {key: entry for key, entry in self._remembered(versions) if entry.version == versions[key]}
        kept: dict[str, Entry] = {}
        few, many = (_FEW, _MANY) if self._store.requests_cost else (_MANY_ON_DISK, _MANY_ON_DISK)
        if len(versions) - len(found) > few:
            kept = self._kept()
            found |= {key: entry for key, entry in kept.items() if versions.get(key) == entry.version}
        unknown = [key for key in versions if key not in found]
        found |= zip(unknown, side_by_side(self._store, self._read, unknown), strict=True)
        self._remember(found)
        if len(unknown) >= many:
            self._keep({**kept, **found})
        return {key: found[key] for key in versions}

    def _remembered(self, keys: Iterable[str]) -> Iterator[tuple[str, Entry]]:
        for key in keys:
            entry = _known.get((self._store.uri, key))
            if entry is not None:
                yield key, entry

    def _remember(self, found: Mapping[str, Entry]) -> None:
        if len(_known) > _MOST_KNOWN:
            _known.clear()
        _known.update({(self._store.uri, key): entry for key, entry in found.items()})

    def _kept(self) -> dict[str, Entry]:
        """What the kept object says, of whatever versions."""
        try:
            kept = json.loads(gzip.decompress(self._store.read(self._kept_key)))
        except FileNotFoundError:
            return {}
        except (ValueError, EOFError, OSError) as error:
            if isinstance(error, StoreError):
                raise
            _log.warning("%s/%s is damaged (%s) and will be written anew", self._store.uri, self._kept_key, error)
            return {}
        if kept.get("format") != _FORMAT:
            return {}
        return {key: Entry(**fields) for key, fields in kept["entries"].items()}

    def _keep(self, entries: Mapping[str, Entry]) -> None:
        kept = {"format": _FORMAT, "entries": {key: asdict(entry) for key, entry in sorted(entries.items())}}
        data = gzip.compress(json.dumps(kept, sort_keys=True, separators=(",", ":")).encode(), 1, mtime=0)
        try:
            self._store.publish_bytes(data, self._kept_key)
        except OSError as error:
            # Who may read and not write is none the worse for it, but for the time.
            _log.warning("what %d partitions say is not kept for the next reader: %s", len(entries), error)


def forget() -> None:
    """Lets this process know nothing, as a new one does."""
    _known.clear()


def side_by_side(store: Store, read: Callable[[K], T], keys: Collection[K]) -> Iterable[T]:
    """What `read` returns for each, in order: many at once where each is a request."""
    if not store.requests_cost or len(keys) < 2:
        return map(read, keys)
    with ThreadPoolExecutor(min(AT_ONCE, len(keys)), thread_name_prefix="entries") as pool:
        return list(pool.map(read, keys))
