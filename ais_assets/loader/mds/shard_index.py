"""The published index of an MDS dataset: which shards there are, and what is known of each.

The format is mosaicml-streaming's: an `index.json` with one entry a shard, which names its files, their sizes and
hashes, and the columns of its samples.
"""

from __future__ import annotations

import gc
import hashlib
import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from ais_assets.loader.errors import LoaderError
from ais_assets.store.names import stays_inside

INDEX_FILE: Final = "index.json"
INDEX_VERSION: Final = 2
FEATURES: Final = "features"
COMPRESSIONS: Final = ("", "zstd", "gz", "bz2")
"""That shards are unpacked from; the first is none."""


class StoredFile(NamedTuple):
    """A file that the index names.

    Attributes:
        name: its path in the dataset's folder.
        size: bytes.
        digest: a hash that can be computed here, as (algorithm, hexadecimal digits); None where the index has none.
    """

    name: str
    size: int
    digest: tuple[str, str] | None

    def matches(self, data: bytes) -> bool:
        """Whether the bytes are the index's, as far as it says."""
        return len(data) == self.size and (self.digest is None or _digest(self.digest[0], data) == self.digest[1])

    def described(self) -> str:
        """What the index says of it, for messages."""
        return f"{self.size:,} bytes" + (f", {self.digest[0]} {self.digest[1]}" if self.digest else "")


class Columns(NamedTuple):
    """The columns of a shard's samples, in the order of their values.

    Attributes:
        names: of the columns.
        encodings: by mosaicml-streaming's names.
        sizes: bytes of a value; None where they vary.
    """

    names: tuple[str, ...]
    encodings: tuple[str, ...]
    sizes: tuple[int | None, ...]


class Shard(NamedTuple):
    """A shard of the index.

    Attributes:
        samples: how many it holds.
        raw: the file of its samples, as it lies in the cache.
        packed: the file that is published instead of `raw`, where that is compressed.
        compression: one of COMPRESSIONS.
        columns: of its samples.
    """

    samples: int
    raw: StoredFile
    packed: StoredFile | None
    compression: str
    columns: Columns


class ShardIndex(NamedTuple):
    """What an index says: the shards in their order, and the release of the dataset, if it names one."""

    shards: list[Shard]
    release: str | None


def parsed_index(index: bytes, uri: str) -> ShardIndex:
    """The index. Raises LoaderError when it is damaged, has no samples, or they cannot be windows."""
    where = f"{uri}/{INDEX_FILE}"
    with _uncollected():
        parsed = _parsed(index, where)
    if not sum(shard.samples for shard in parsed.shards):
        raise LoaderError(f"{where} has no samples: materialize window_piles and what follows it with more data")
    return parsed


def _parsed(index: bytes, where: str) -> ShardIndex:
    try:
        parsed = json.loads(index)
        version, entries = parsed["version"], parsed["shards"]
    except (ValueError, KeyError, TypeError) as error:
        raise LoaderError(f"{where} is empty or damaged ({error}): materialize training_dataset again") from error
    if version != INDEX_VERSION:
        raise LoaderError(f"{where} has version {version}; this loader reads {INDEX_VERSION}")
    shards: list[Shard] = []
    # Nearly always all shards have the same columns.
    known: dict[Columns, Columns] = {}
    for number, entry in enumerate(entries):
        try:
            shards.append(_shard(entry, known))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LoaderError(f"{where}: shard {number} of {len(entries)}: {error!s}") from error
    release = parsed.get("release")
    return ShardIndex(shards, None if release is None else str(release))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keeps Python from looking for garbage meanwhile: among a million new objects that stay, that takes a second."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _shard(entry: Mapping[str, Any], known: dict[Columns, Columns]) -> Shard:
    """A shard of the index. Raises ValueError, KeyError or TypeError when it cannot hold windows."""
    if (entry["version"], entry["format"]) != (INDEX_VERSION, "mds"):
        raise ValueError(
            f"its format is {entry['format']!r}, version {entry['version']}; this loader reads 'mds', {INDEX_VERSION}"
        )
    columns = Columns(tuple(entry["column_names"]), tuple(entry["column_encodings"]), tuple(entry["column_sizes"]))
    if columns not in known:
        found = dict(zip(columns.names, columns.encodings, strict=True))
        if found.get(FEATURES) != "bytes" or len(columns.sizes) != len(columns.names):
            raise ValueError(f"it has the columns {found}; this loader needs {FEATURES}: bytes")
        known[columns] = columns
    compression = (entry["compression"] or "").partition(":")[0]
    if compression not in COMPRESSIONS:
        raise ValueError(f"its compression is {compression!r}; this loader reads {', '.join(COMPRESSIONS[1:])} or none")
    packed = _file(entry["zip_data"]) if entry["zip_data"] else None
    if bool(compression) != (packed is not None):
        raise ValueError(f"its compression is {compression!r}, but its compressed file is {entry['zip_data']!r}")
    return Shard(int(entry["samples"]), _file(entry["raw_data"]), packed, compression, known[columns])


def _file(entry: Mapping[str, Any]) -> StoredFile:
    name, size = entry["basename"], entry["bytes"]
    if not stays_inside(name):
        raise ValueError(f"it names the file {name!r}, which is not inside its folder")
    if not isinstance(size, int) or size < 0:
        raise ValueError(f"its file {name!r} has {size!r} bytes")
    hashes = entry["hashes"]
    # Of several the first by name, whatever the index's order.
    algorithm = next((name for name in sorted(hashes) if _computes(name)), None)
    return StoredFile(name, size, None if algorithm is None else (algorithm, hashes[algorithm]))


def _computes(algorithm: str) -> bool:
    """Whether hashes of this kind can be checked here."""
    return _hash_function(algorithm) is not None


def _digest(algorithm: str, data: bytes) -> str:
    function = _hash_function(algorithm)
    assert function is not None
    return function(data).hexdigest()


_functions: dict[str, Callable[[bytes], Any] | None] = {}
"""By the algorithm's name; found once."""


def _hash_function(algorithm: str) -> Callable[[bytes], Any] | None:
    if algorithm not in _functions:
        _functions[algorithm] = _find_hash_function(algorithm)
    return _functions[algorithm]


def _find_hash_function(algorithm: str) -> Callable[[bytes], Any] | None:
    if algorithm in hashlib.algorithms_guaranteed and not algorithm.startswith("shake_"):
        return getattr(hashlib, algorithm)
    if algorithm.startswith(("xxh", "xxh3_")):
        try:
            # Not needed for what is written here; where it is installed, other writers' hashes are checked too.
            return getattr(importlib.import_module("xxhash"), algorithm, None)
        except ImportError:
            return None
    return None
