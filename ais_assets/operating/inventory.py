"""What the lake holds of each asset, and whether that is what the settings ask for, from the files themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ais_assets.io.lake import Lake
from ais_assets.io.layout import Kind, place_of
from ais_assets.io.provenance import WHOLE, Chain
from ais_assets.io.stages import Stage
from ais_assets.ledger import Ledger
from ais_assets.settings import Settings


@dataclass(frozen=True)
class Holdings:
    """One asset in the lake.

    Attributes:
        asset: its name.
        partitions: those that the settings name; one for an asset without partitions.
        missing: keys of those that are not there.
        stale: of those that are there and are not what would be made now, the reason by key.
        unpublished: of the archives, days that the source never published.
        empty: days that lost every row that they had.
        unnamed: keys of partitions that are there and that the settings do not name.
        size: bytes; None where nothing is there.
        ledger: the account of all; None where nothing is there, or no rows are counted.
    """

    asset: str
    partitions: int
    missing: tuple[str, ...]
    stale: dict[str, str]
    unpublished: tuple[str, ...]
    empty: tuple[str, ...]
    unnamed: tuple[str, ...]
    size: int | None
    ledger: Ledger | None

    @property
    def there(self) -> int:
        """Partitions that are there, of those that the settings name."""
        return self.partitions - len(self.missing)

    def faults(self, settings: Settings) -> list[str]:
        """What is not as the settings ask for, a line each; nothing where all is well."""
        lines = [f"{self.asset}: {_counted(self.missing)} missing"] if self.missing else []
        if self.stale:
            key, reason = next(iter(self.stale.items()))
            first = f"{key}, which {reason}" if key else reason
            lines.append(f"{self.asset}: {len(self.stale):,} stale: {first}")
        if self.unnamed:
            lines.append(f"{self.asset}: {_counted(self.unnamed)} there that the settings do not name")
        if self.unpublished and not settings.allow_lost_days:
            lines.append(f"{self.asset}: {_counted(self.unpublished)} never published by the source")
        if self.empty and not settings.allow_lost_days:
            lines.append(f"{self.asset}: {_counted(self.empty)} that lost every row")
        return lines


def inventory(
    lake: Lake, stages: Iterable[Stage], settings: Settings, on_stage: Callable[[Stage], None] = lambda stage: None
) -> Iterator[Holdings]:
    """What the lake holds of each stage; `on_stage` is told of each before it is looked at."""
    chain = Chain(lake)
    for stage in stages:
        on_stage(stage)
        yield holdings(chain, stage, settings)


def holdings(chain: Chain, stage: Stage, settings: Settings) -> Holdings:
    """What the lake holds of a stage."""
    named, there = stage.partitions or (WHOLE,), chain.there(stage.asset)
    present = [key for key in named if key in there]
    ledgers = _ledgers(chain, stage.asset, present)
    stale = {key: reason for key in present if (reason := stage.stale_because(chain, key, settings))}
    return Holdings(
        asset=stage.asset,
        partitions=len(named),
        missing=tuple(key for key in named if key not in there),
        stale=stale,
        unpublished=tuple(_never_published(chain, present)) if stage.asset == "raw_archives" else (),
        empty=tuple(key for key in ledgers if stage.of_days and ledgers[key].rows_in and not ledgers[key].rows_out),
        unnamed=tuple(sorted(there - set(named))),
        size=_size(chain, stage.asset, present) if present else None,
        ledger=Ledger.total(ledgers.values()) if ledgers else None,
    )


def _never_published(chain: Chain, days: Sequence[str]) -> list[str]:
    return [day for day, entry in chain.entries("raw_archives", days).items() if entry.facts.get("published") is False]


def _ledgers(chain: Chain, asset: str, present: Sequence[str]) -> dict[str, Ledger]:
    place = place_of(asset)
    if place.kind is Kind.JSON:
        return {}
    if place.cut is None:
        whole = {key: chain.record(asset, key) for key in present}
        return {key: chain.lake.ledger(asset) for key, record in whole.items() if record and record.damage is None}
    return {key: entry.ledger for key, entry in chain.entries(asset, present).items()}


def _size(chain: Chain, asset: str, present: Sequence[str]) -> int:
    place = place_of(asset)
    if place.cut is None:
        return chain.lake.store.size(place.key(None))
    return sum(entry.size for entry in chain.entries(asset, present).values())


_SHOWN = 5
"""Partitions that a line names."""


def _counted(keys: Sequence[str]) -> str:
    """How many, and the first of them."""
    if list(keys) == [WHOLE]:
        return "it is"
    shown = ", ".join(keys[:_SHOWN]) + (", …" if len(keys) > _SHOWN else "")
    return f"{len(keys):,} ({shown})"
