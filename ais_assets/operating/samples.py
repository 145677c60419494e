"""What people name: a vessel by her MMSI, a track by its number, a sample by its split and number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from ais_assets.io.lake import Lake
from ais_assets.io.mds import INDEX_FILE, read_shard, shard_entries
from ais_assets.settings import Settings

TRAINING: Final = "train"
_SAMPLE: Final = re.compile(r"([a-z]+):([0-9]+)")
_WINDOW: Final = re.compile(r"([0-9]+)@(.+)")
_OF_WINDOW: Final = ["mmsi", "track", "start"]
FIRST_TRACK: Final = 1 << 32
"""Tracks are numbered from here on, MMSIs are below."""


class UnknownNameError(LookupError):
    """Nothing in the lake is called so; the message says what names look like, or how many there are."""


@dataclass(frozen=True)
class Sample:
    """A window.

    Attributes:
        name: by which it was asked for.
        stored: where it lies, as "materialized_windows[00003], row 17"; None of one that only the tracks hold.
        mmsi: of its vessel.
        track: its track's number.
        start: Unix time of its first position, in milliseconds.
    """

    name: str
    stored: str | None
    mmsi: int
    track: int
    start: int


def vessel_or_track(name: str) -> int | None:
    """The number that a name is, of an MMSI or a track; None where it is none of a number."""
    return int(name) if name.isascii() and name.isdecimal() else None


def sample_of(lake: Lake, settings: Settings, name: str) -> Sample:
    """The window of a name: `train:17`, the 18th in the stored order, or `TRACK@2024-03-01T12:00:00`.

    Raises UnknownNameError where it is no such name or there is no such window, PartitionMissingError where windows
    are not stored.
    """
    if match := _SAMPLE.fullmatch(name):
        return _stored_sample(lake, settings, name, match[1], int(match[2]))
    if match := _WINDOW.fullmatch(name):
        track = int(match[1])
        try:
            start = datetime.fromisoformat(match[2])
        except ValueError:
            raise UnknownNameError(f"{match[2]!r} in {name!r} is no time such as 2024-03-01T12:00:00") from None
        start = start.replace(tzinfo=start.tzinfo or UTC)
        return Sample(name, None, track // FIRST_TRACK, track, round(start.timestamp()) * 1_000)
    raise UnknownNameError(
        f"{name!r} names no sample: write SPLIT:NUMBER such as train:17 (numbers count from 0, in the stored order), "
        "or TRACK@TIME such as 942053970321735680@2024-03-01T12:00:00 for a window that begins there"
    )


def _stored_sample(lake: Lake, settings: Settings, name: str, split: str, number: int) -> Sample:
    splits = [TRAINING, *settings.splits_apart]
    if split not in splits:
        raise UnknownNameError(f"{name!r}: the split is one of {', '.join(splits)}")
    if split != TRAINING:
        rows = lake.describe(split).rows
        _require(number, rows, name)
        return _sample(lake, name, split, None, number)
    asset = "materialized_windows" if "parquet" in settings.window_formats else "mds_shards"
    entries = lake.entries(asset, settings.pile_keys)
    _require(number, sum(entry.rows for entry in entries.values()), name)
    for pile, entry in entries.items():
        if number < entry.rows:
            return _sample(lake, name, asset, pile, number)
        number -= entry.rows
    raise AssertionError("unreachable: the number is below the sum")


def _require(number: int, there: int, name: str) -> None:
    if number >= there:
        raise UnknownNameError(f"{name!r}: there are {there:,}, numbered from 0")


def _sample(lake: Lake, name: str, asset: str, partition: str | None, row: int) -> Sample:
    read = _of_mds if asset == "mds_shards" else _of_parquet
    window = read(lake, asset, partition, row).select(_OF_WINDOW).to_pylist()[0]
    stored = f"{asset}[{partition}]" if partition else asset
    start = round(window["start"].timestamp() * 1_000)
    return Sample(name, f"{stored}, row {row:,}", window["mmsi"], window["track"], start)


def _of_parquet(lake: Lake, asset: str, partition: str | None, row: int) -> pa.Table:
    for table in lake.row_groups(asset, partition, _OF_WINDOW):
        if row < table.num_rows:
            return table.slice(row, 1)
        row -= table.num_rows
    raise AssertionError("unreachable: the row is below the file's number")


def _of_mds(lake: Lake, asset: str, partition: str | None, row: int) -> pa.Table:
    pile = partition or ""
    with lake.local_file(asset, pile, INDEX_FILE) as index:
        entries = shard_entries(index.read_bytes(), f"{lake.folder_uri(asset, pile)}/{INDEX_FILE}")
    for entry in entries:
        if row < entry["samples"]:
            with lake.local_file(asset, pile, entry["zip_data"]["basename"]) as path:
                return read_shard(path.parent, entry, None).slice(row, 1)
        row -= entry["samples"]
    raise AssertionError("unreachable: the row is below the pile's number")


def positions_of_window(lake: Lake, settings: Settings, sample: Sample) -> pa.Table:
    """The positions of a window as its track has them (`schema.TRACK_POSITIONS`), at most window_len.

    Raises UnknownNameError where the track is not there, or has too few positions from the window's start on.
    """
    positions = positions_of_track(lake, settings, sample.track)
    t = positions["t"].cast(pa.int64()).to_numpy()
    begin = int((t < sample.start).sum())
    if begin >= len(t) or t[begin] != sample.start or len(t) - begin < settings.window_len:
        first = datetime.fromtimestamp(sample.start / 1_000, UTC)
        raise UnknownNameError(
            f"{sample.name!r}: track {sample.track} has no window of {settings.window_len} positions that begins at "
            f"{first:%FT%TZ}; it has {len(t):,} positions"
        )
    return positions.slice(begin, settings.window_len)


def positions_of_track(lake: Lake, settings: Settings, track: int) -> pa.Table:
    """A track's positions (`schema.TRACK_POSITIONS`). Raises UnknownNameError where there is no such track."""
    of_vessel = positions_of_vessel(lake, settings, track // FIRST_TRACK)
    positions = of_vessel.filter(pc.equal(of_vessel["track"], track))  # pyright: ignore[reportAttributeAccessIssue]
    if not positions.num_rows:
        raise UnknownNameError(f"there is no track {track}; `ais inspect {track // FIRST_TRACK}` lists her tracks")
    return positions


def positions_of_vessel(lake: Lake, settings: Settings, mmsi: int) -> pa.Table:
    """All positions of a vessel's tracks (`schema.TRACK_POSITIONS`), by track and time; none of one without."""
    return lake.positions_of(mmsi, shards=settings.shards)


def utc(milliseconds: int) -> str:
    """A Unix time as people and programs read it."""
    return f"{datetime.fromtimestamp(milliseconds / 1_000, UTC):%FT%TZ}"


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row's values as JSON has them."""
    return {name: f"{value:%FT%TZ}" if isinstance(value, datetime) else value for name, value in row.items()}
