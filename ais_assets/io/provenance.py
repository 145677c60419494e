"""What every partition was made from and with: the chain from the archives to what is published.

A partition records the fingerprint of each partition that it was made from, and the settings that its stage goes by. As
its own fingerprint covers its rows and these records, it stands for all that is before it: equal input and equal
settings give equal fingerprints, on any machine. A partition is stale when what it was made from has another
fingerprint by now, or the settings say something else.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Final

from ais_assets.io.entries import Entry
from ais_assets.io.lake import MADE_FROM, MADE_WITH, Lake, PartitionMissingError
from ais_assets.io.layout import Kind, place_of
from ais_assets.settings import Settings
from ais_assets.settings.cutting import Cutting
from ais_assets.store.sealed_parquet import DamagedFileError

CODE_VERSION = "code_version"
ARCHIVES: Final = "raw_archives"
"""The asset at the beginning of the chain: what it was made from is files of a source."""
_DAYS_AROUND = 3  # a margin of 48 hours and a zone
WHOLE = ""
"""Stands for the partition of an asset without."""

Inputs = dict[str, dict[str, str]]


class StaleError(ValueError):
    """A partition is not made from what is there now, or not as the settings say; the message says what to do."""


@dataclass(frozen=True)
class Record:
    """What a partition says of itself.

    Attributes:
        fingerprint: hexadecimal; of its content and of what follows.
        made_from: fingerprints of its inputs, by asset and partition; None where it does not say.
        made_with: settings and code version that its content depends on.
        files: of a day's archives, where each is from, its sha256, and whether its name says that it is of the day, and
            of which days.
        damage: what is wrong with it, of one that cannot be read.
    """

    fingerprint: str
    made_from: Mapping[str, Mapping[str, str]] | None
    made_with: Mapping[str, Any]
    files: Sequence[Mapping[str, Any]] = ()
    damage: str | None = None


class Chain:
    """The records of a lake's partitions, each read once: a view of one moment, for one run or command."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self._versions: dict[str, dict[str, str]] = {}
        self._entries: dict[str, dict[str, Entry]] = defaultdict(dict)
        self._whole: dict[str, Record | None] = {}
        self._all: dict[tuple[str, Cutting], dict[str, str]] = {}

    def there(self, asset: str) -> frozenset[str]:
        """Keys of the asset's partitions that are there; `WHOLE` for one without partitions."""
        if place_of(asset).cut is None:
            return frozenset([] if self._record_of_whole(asset) is None else [WHOLE])
        return frozenset(self._listed(asset))

    def entries(self, asset: str, partitions: Iterable[str]) -> dict[str, Entry]:
        """What those of these partitions that are there say of themselves, by key; read side by side where need be."""
        listed, known = self._listed(asset), self._entries[asset]
        wanted = [key for key in partitions if key in listed]
        unread = {key: listed[key] for key in wanted if key not in known}
        if unread:
            known |= self.lake.entries_of(asset, unread, damaged_too=True)
        return {key: known[key] for key in wanted}

    def record(self, asset: str, partition: str) -> Record | None:
        """What the partition says; None where it is not there."""
        if place_of(asset).cut is None:
            return self._record_of_whole(asset)
        entry = self.entries(asset, [partition]).get(partition)
        return None if entry is None else replace(_record(asset, entry.fingerprint, entry.facts), damage=entry.damage)

    def _record_of_whole(self, asset: str) -> Record | None:
        if asset not in self._whole:
            try:
                self._whole[asset] = read_record(self.lake, asset, WHOLE)
            except PartitionMissingError:
                self._whole[asset] = None
            except DamagedFileError as error:
                self._whole[asset] = Record("damaged", None, {}, damage=str(error))
        return self._whole[asset]

    def _listed(self, asset: str) -> dict[str, str]:
        """By key of each partition that is there, its version."""
        if asset not in self._versions:
            self._versions[asset] = self.lake.versions(asset)
        return self._versions[asset]

    def inputs(self, asset: str, partition: str, upstream: Sequence[str], settings: Settings) -> Inputs:
        """Fingerprints of what a partition is to be made from, as far as it is there.

        Of assets that are cut as this one is, the same partition; of others every one that the settings name.
        """
        cut, found = place_of(asset).cut, {}
        for of in upstream:
            if place_of(of).cut is None:
                found[of] = self.fingerprints(of, [WHOLE])
            elif place_of(of).cut is cut:
                found[of] = self.fingerprints(of, [partition])
            else:
                found[of] = self._of_all(of, settings.cutting)
        return found

    def _of_all(self, asset: str, cutting: Cutting) -> dict[str, str]:
        """Fingerprints of all partitions so named, as far as they are there: each pile asks for every shard's."""
        if (asset, cutting) not in self._all:
            self._all[asset, cutting] = self.fingerprints(asset, place_of(asset).named_by(cutting))
        return self._all[asset, cutting]

    def fingerprints(self, asset: str, partitions: Iterable[str]) -> dict[str, str]:
        """Of those of these partitions that are there, by key; of `WHOLE`, of an asset without partitions."""
        if place_of(asset).cut is None:
            whole = self._record_of_whole(asset)
            return {} if whole is None else {WHOLE: whole.fingerprint}
        return {key: entry.fingerprint for key, entry in self.entries(asset, partitions).items()}


def read_record(lake: Lake, asset: str, partition: str) -> Record:
    """What a partition that is there says of itself. Raises PartitionMissingError where it is not."""
    kind = place_of(asset).kind
    if kind is Kind.PARQUET:
        file = lake.describe(asset, partition or None)
        return _record(asset, file.fingerprint, file.facts)
    if kind is Kind.FOLDER:
        manifest = lake.manifest(asset, partition)
        return _record(asset, manifest.get("fingerprint", manifest["folder"]), manifest["facts"])
    facts = lake.json(asset)
    return _record(asset, facts.get("release") or digest_of(facts), facts)


def _record(asset: str, fingerprint: str, facts: Mapping[str, Any]) -> Record:
    landed = facts.get("files", ()) if asset == ARCHIVES else ()
    return Record(fingerprint, facts.get(MADE_FROM), facts.get(MADE_WITH, {}), landed)


def came_later(chain: Chain, day: str) -> str | None:
    """Why a day's archives are not all that is known: a day nearby has since landed one that may hold records of this.

    None where none has. Files whose names say no day are left out: every day lands them all.
    """
    own = chain.record(ARCHIVES, day)
    if own is None:
        return None
    known = {file["from"]: file["sha256"] for file in own.files}
    around = (date.fromisoformat(day) + timedelta(days=k) for k in range(-_DAYS_AROUND, _DAYS_AROUND + 1) if k)
    for other in (near.isoformat() for near in around):
        record = chain.record(ARCHIVES, other)
        for file in () if record is None else record.files:
            first, last = file.get("days") or ("", "")
            if file.get("of_day") and first <= day <= last and known.get(file["from"]) != file["sha256"]:
                was = "was another" if file["from"] in known else "was not there"
                return (
                    f"was landed before {named(ARCHIVES, other)} had {file['from']}, which {was} then and may hold "
                    "records of it"
                )
    return None


def stale_because(
    chain: Chain,
    asset: str,
    partition: str,
    *,
    upstream: Sequence[str],
    made_with: Mapping[str, Any],
    settings: Settings,
) -> str | None:
    """Why a partition that is there is stale; None when it is what would be made now.

    Args:
        chain: what the lake's partitions say.
        asset: its name.
        partition: its key; `WHOLE` for an asset without.
        upstream: the assets that it is made from.
        made_with: the settings and the code version that it would be made with.
        settings: name the partitions.

    Raises PartitionMissingError when it is not there.
    """
    record = chain.record(asset, partition) or read_record(chain.lake, asset, partition)
    if record.damage is not None:
        return f"cannot be read: {record.damage}"
    if record.made_from is None:
        return "does not say what it was made from"
    fault = next(_faults(record, chain.inputs(asset, partition, upstream, settings), made_with), None)
    return came_later(chain, partition) if fault is None and asset == ARCHIVES else fault


def require_fresh(
    chain: Chain, wanted: Mapping[str, Sequence[str]], settings: Settings, through: Collection[str] | None = None
) -> None:
    """Goes from these partitions back to the archives, or through these assets only.

    Partitions that have come since, such as a new day's, are no fault: what was made without them is whole.

    Raises StaleError, naming the first stale partition, its reason and the command that mends it, and
    PartitionMissingError for one that is missing.
    """
    seen: set[tuple[str, str]] = set()
    values = setting_values(settings)

    def visit(asset: str, partition: str) -> None:
        if (asset, partition) in seen:
            return
        seen.add((asset, partition))
        record = chain.record(asset, partition) or read_record(chain.lake, asset, partition)
        if record.damage is not None:
            raise _stale(asset, partition, f"cannot be read: {record.damage}")
        if record.made_from is None:
            raise _stale(asset, partition, "does not say what it was made from")
        now: Inputs = {}
        for of, fingerprints in record.made_from.items():
            if through is not None and of not in through:
                now[of] = dict(fingerprints)
                continue
            now[of] = {}
            if place_of(of).cut is not None:
                chain.entries(of, fingerprints)
            for key in sorted(fingerprints):
                found = chain.record(of, key)
                if found is not None:
                    visit(of, key)
                    now[of][key] = found.fingerprint
        made_with = {name: values.get(name, value) for name, value in record.made_with.items()}
        for fault in _faults(record, now, made_with):
            raise _stale(asset, partition, fault)

    for asset, partitions in wanted.items():
        if place_of(asset).cut is not None:
            chain.entries(asset, partitions)
        for partition in partitions:
            visit(asset, partition)


def setting_values(settings: Settings) -> dict[str, Any]:
    """Every setting that a partition may be made with, by name, as JSON values."""
    derived = {"window_len": settings.window_len, "identity_fingerprint": settings.identity_fingerprint}
    return json.loads(settings.model_dump_json()) | derived


def digest_of(value: object) -> str:
    """Hexadecimal, of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def named(asset: str, partition: str) -> str:
    """How a partition is called in messages."""
    return f"{asset}[{partition}]" if partition else asset


def _stale(asset: str, partition: str, fault: str) -> StaleError:
    return StaleError(
        f"{named(asset, partition)} is stale: it {fault}. Materialize {asset} again and what is made from it; "
        "`ais build` does so"
    )


def _faults(record: Record, now: Inputs, made_with: Mapping[str, Any]) -> Iterator[str]:
    """Where a record differs from what would be recorded now."""
    for name, value in made_with.items():
        was = record.made_with.get(name)
        if was != value:
            setting = "code version " if name == CODE_VERSION else f"AIS_{name.upper()}="
            yield f"was made with {setting}{was}, now {setting}{value} is asked for"
    made_from = record.made_from or {}
    # A pile is made from hundreds of partitions, nearly always those that are there: as a whole they are soon compared.
    differing = [of for of in dict.fromkeys([*made_from, *now]) if made_from.get(of, {}) != now.get(of, {})]
    for of in differing:
        for key, fingerprint in made_from.get(of, {}).items():
            current = now.get(of, {}).get(key)
            if current is None:
                yield f"was made from {named(of, key)}, which is no longer there or asked for"
            elif current != fingerprint:
                yield f"was made before {named(of, key)}, which has changed since"
    for of in differing:
        for key in now.get(of, {}):
            if key not in made_from.get(of, {}):
                yield f"was made without {named(of, key)}, which is there now"
