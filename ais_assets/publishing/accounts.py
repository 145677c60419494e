"""The accounts of all stages, from the rows of the source's files to the windows, and whether they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ais_assets.io.lake import MADE_FROM, Lake
from ais_assets.io.references import holdout_from
from ais_assets.ledger import Ledger
from ais_assets.settings import Settings
from ais_assets.transforms.windows import IN_NO_WINDOW, IN_WINDOWS, coverage, window_counts

ACCOUNTS = {
    "raw_records": "rows of the source's files",
    "clean_records": "typed records",
    "track_shards": "clean position reports",
    "window_piles": "windows that the tracks hold",
}
"""Stages whose account the card shows, and what they count."""
_POSITIONS: Final = "positions of tracks"
_APART: Final = {"validation": "validation", "holdout": "held-out", "test": "test"}
"""What the windows of a split that has a file of its own are called."""


def accounts(lake: Lake, settings: Settings) -> dict[str, Ledger]:
    """The account of each stage over the partitions that the tracks were made from and that were made from them."""
    days, shards = tracked_days(lake, settings), settings.shard_keys
    keys = {"raw_records": days, "clean_records": days, "track_shards": shards}
    if settings.window_formats:
        keys["window_piles"] = shards
    found = {}
    for asset, wanted in keys.items():
        versions = lake.versions(asset)
        entries = lake.entries_of(asset, {key: versions[key] for key in wanted if key in versions})
        found[asset] = Ledger.total(entry.ledger for entry in entries.values())
    return found


def tracked_days(lake: Lake, settings: Settings) -> list[str]:
    """The days that the tracks were made from; there may be more by now.

    Raises PartitionMissingError when a shard is missing, ValueError when shards were made from different days.
    """
    shards = settings.shard_keys
    tracked: list[str] | None = None
    for shard, entry in lake.entries("track_shards", shards).items():
        of_shard = sorted((entry.facts.get(MADE_FROM) or {}).get("clean_records", {}))
        tracked = of_shard if tracked is None else tracked
        if of_shard != tracked:
            differing = sorted(set(of_shard) ^ set(tracked))
            raise ValueError(
                f"only one of track_shards[{shard}] and track_shards[{shards[0]}] was made from "
                f"{', '.join(differing)}: materialize track_shards again"
            )
    return tracked or []


@dataclass(frozen=True)
class Handover:
    """Rows that one stage gave, and as many that the next must have taken.

    Attributes:
        given: what was given.
        rows_given: how many.
        taken: what was taken.
        rows_taken: how many.
        again: the asset to materialize where they differ.
    """

    given: str
    rows_given: int
    taken: str
    rows_taken: int
    again: str

    @property
    def lost(self) -> bool:
        """Whether they differ."""
        return self.rows_given != self.rows_taken


def handovers(lake: Lake, settings: Settings, mds_samples: int | None) -> list[Handover]:
    """From stage to stage, from the accounts in the files, as far as AIS_WINDOW_FORMATS goes.

    `mds_samples` are the samples of all MDS shards; None where there are none to be.
    """
    stages = accounts(lake, settings)
    typed, clean, tracked = (stages[asset] for asset in ("raw_records", "clean_records", "track_shards"))
    found = [
        Handover("typed records", typed.rows_out, "records cleaned", clean.rows_in, "clean_records"),
        Handover("clean positions", clean.rows_out, "positions tracked", tracked.rows_in, "track_shards"),
    ]
    if not settings.window_formats:
        return found
    notes = stages["window_piles"].notes
    placed = _placed_positions(notes)
    found.append(
        Handover(
            *("positions in tracks", tracked.rows_out),
            *("positions in windows and in none", placed.rows_out + placed.rows_dropped, "window_piles"),
        )
    )
    training = ("training windows thrown", notes["windows_training"])
    if mds_samples is not None:
        found.append(Handover(*training, "training windows in MDS", mds_samples, "mds_shards"))
    if "parquet" in settings.window_formats:
        windows = sum(entry.rows for entry in lake.entries("materialized_windows", settings.pile_keys).values())
        found.append(Handover(*training, "training windows in Parquet", windows, "materialized_windows"))
    for split in settings.splits_apart:
        given, taken = (f"{_APART[split]} windows {what}" for what in ("thrown", "in Parquet"))
        found.append(Handover(given, notes.get(f"windows_{split}", 0), taken, lake.describe(split).rows, split))
    return found


def funnel(lake: Lake, settings: Settings, stages: Mapping[str, Ledger]) -> dict[str, Ledger]:
    """What became of the rows of the files, step by step, by what is counted: each step takes what the former gave.

    From positions to windows it is no row that is handed on: of the positions of tracks some are in windows, often in
    many; the last step counts windows. Arguments as `accounts` has them.
    """
    steps = {ACCOUNTS[asset]: ledger for asset, ledger in stages.items() if asset != "window_piles"}
    if "window_piles" not in stages:
        return {**steps, _POSITIONS: _placed_positions(counted_in_tracks(lake, settings))}
    windows = stages["window_piles"]
    return {**steps, _POSITIONS: _placed_positions(windows.notes), ACCOUNTS["window_piles"]: windows}


def _placed_positions(counts: Mapping[str, int]) -> Ledger:
    """The account of `windows.coverage`: positions out are those in windows, the rest is dropped by reason."""
    dropped = {reason.removeprefix("positions_"): counts[reason] for reason in IN_NO_WINDOW}
    return Ledger(counts[IN_WINDOWS] + sum(dropped.values()), counts[IN_WINDOWS], dropped)


def counted_in_tracks(lake: Lake, settings: Settings) -> dict[str, int]:
    """The windows that all tracks hold, and `windows.coverage` of them, counted anew by SQL over the positions."""
    until = holdout_from(settings)
    early = "count(*)" if until is None else f"count(*) filter (epoch_ms(t) < {until})"
    tracks = lake.sql_over(
        {"track_shards": lake.dataset("track_shards", settings.shard_keys)},
        f"select count(*) as positions, {early} as early from track_shards group by track",
    ).to_arrow_table()
    positions, before = (tracks[name].to_numpy() for name in ("positions", "early"))
    windows = int(window_counts(positions, settings.window_len, settings.stride).sum())
    return {"windows": windows, **coverage(positions, before, settings.window_len, settings.stride)}


def differing_days(lake: Lake, days: Sequence[str]) -> dict[str, dict[str, int]]:
    """Days of which cleaning saw other typed records than there are."""
    all_typed, all_clean = lake.ledgers("raw_records", days), lake.ledgers("clean_records", days)
    differing = {}
    for day in days:
        typed, seen = all_typed[day].rows_out, all_clean[day].rows_in
        if typed != seen:
            differing[day] = {"typed": typed, "seen by cleaning": seen}
    return differing


def require_conserved(lake: Lake, settings: Settings, mds_samples: int | None) -> None:
    """Raises ValueError, naming what to materialize, when rows were lost between stages; arguments as `handovers`."""
    lost = [
        f"{of.rows_given:,} {of.given} but {of.rows_taken:,} {of.taken}: materialize {of.again} again"
        for of in handovers(lake, settings, mds_samples)
        if of.lost
    ]
    if lost:
        days = list(differing_days(lake, tracked_days(lake, settings)))
        lost += [f"typed and cleaned differ on {', '.join(days[:_SHOWN])}"] if days else []
        raise ValueError("; ".join(lost))


def training_windows_in_tracks(lake: Lake, settings: Settings) -> int:
    """Windows that the tracks of training vessels hold, by SQL over the positions; held-out time is not left out."""
    tracks = lake.dataset("track_shards", settings.shard_keys)
    (count,) = lake.sql_over(
        {"track_shards": tracks},
        f"select coalesce(sum((n - {settings.window_len}) // {settings.stride} + 1), 0)::bigint from "
        "(select count(*) as n from track_shards where split = 'train' group by track) "
        f"where n >= {settings.window_len}",
    ).fetchall()[0]
    return count


_SHOWN = 12
"""Partitions that an error names."""
