"""What a lake has of one vessel, and what became of each of her rows: cleaned and tracked once more, she alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ais_assets.assets.ingest import cleaned
from ais_assets.assets.tracks import shared_hulls, tracks_of_shard
from ais_assets.io.lake import Lake
from ais_assets.io.row_groups import GroupOfEach
from ais_assets.ledger import Ledger
from ais_assets.operating.samples import UnknownNameError, plain
from ais_assets.operating.tracing import known_vessel, number_of, sender_of
from ais_assets.settings import Settings
from ais_assets.stream import RecordStream
from ais_assets.transforms.reports.row_rules import RAW_COLUMNS
from ais_assets.transforms.split import shard_of
from ais_assets.transforms.tracks import CLEAN_COLUMNS, OTHER_TYPE


@dataclass(frozen=True)
class VesselAccount:
    """What a lake has of a vessel.

    Attributes:
        mmsi: hers, or what stands for it under AIS_IDENTITIES.
        vessel: her row of `vessels`; None where that is not there.
        days: typed records and clean positions of each day that has any of hers.
        cleaned: what became of her typed records.
        tracked: what became of her clean positions.
        tracks: her rows of `tracks`, by their start.
    """

    mmsi: int
    vessel: dict[str, Any] | None
    days: dict[str, dict[str, int]]
    cleaned: Ledger
    tracked: Ledger
    tracks: list[dict[str, Any]]

    @property
    def windows(self) -> dict[str, int]:
        """By split of vessels the windows that her tracks hold."""
        found: dict[str, int] = {}
        for track in self.tracks:
            found[track["split"]] = found.get(track["split"], 0) + track["windows"]
        return found


def account_of(lake: Lake, settings: Settings, mmsi: int, days: Collection[str] | None = None) -> VesselAccount:
    """The vessel's account over these days (default: all that the settings name), as far as the lake has them.

    Reads the typed records of each of the days. Raises UnknownNameError where no day has a record of hers, nor
    `vessels` a row.
    """
    mmsi = number_of(settings, mmsi)
    sent_by = sender_of(settings, mmsi)
    there = set(lake.partitions("raw_records"))
    wanted = [day for day in settings.day_keys if day in there and (days is None or day in days)]
    by_day: dict[str, dict[str, int]] = {}
    total = Ledger()
    for day in wanted:
        ledger = _spent(cleaned(_of_vessel(lake, day, sent_by), date.fromisoformat(day), settings))
        if ledger.rows_in:
            by_day[day] = {"typed records": ledger.rows_in, "clean positions": ledger.rows_out}
        total.add(ledger)
    vessel = known_vessel(lake, mmsi)
    if vessel is None and not by_day:
        raise UnknownNameError(
            f"no vessel {mmsi} has a record on the {len(wanted):,} days from {settings.first_day} to "
            f"{settings.last_day} that are in {lake.uri}"
        )
    return VesselAccount(mmsi, vessel, by_day, total, _tracked(lake, settings, mmsi), _tracks(lake, mmsi))


def _of_vessel(lake: Lake, day: str, mmsi: int) -> Iterator[pa.Table]:
    for table in lake.row_groups("raw_records", day, RAW_COLUMNS):
        yield table.filter(pc.equal(table["mmsi"], mmsi))  # pyright: ignore[reportAttributeAccessIssue]


def _tracked(lake: Lake, settings: Settings, mmsi: int) -> Ledger:
    """Her positions of the clean days, tracked as her shard was."""
    listed = set(lake.partitions("clean_records"))
    days = {
        day: entry.fingerprint for day, entry in lake.entries("clean_records", listed & set(settings.day_keys)).items()
    }
    if not days or not lake.has("vessels"):
        return Ledger()
    vessel = np.array([mmsi], np.int32)
    (shard,) = shard_of(vessel, settings.shards).tolist()
    clean = GroupOfEach(lake, "clean_records", CLEAN_COLUMNS)
    stream = tracks_of_shard(
        clean, shard, dict(sorted(days.items())), settings, hulls=shared_hulls(lake), vessels=vessel
    )
    ledger = _spent(stream)
    others = ledger.dropped.pop(OTHER_TYPE, 0)
    ledger.rows_in -= others
    return ledger


def _tracks(lake: Lake, mmsi: int) -> list[dict[str, Any]]:
    if not lake.partitions("tracks"):
        return []
    return [
        plain(row)
        for row in lake.sql(f"select * from tracks where mmsi = {mmsi} order by start").to_arrow_table().to_pylist()
    ]


def _spent(stream: RecordStream) -> Ledger:
    """The account of a stream, whose tables are of no interest."""
    for _ in stream.tables:
        pass
    return stream.ledger
