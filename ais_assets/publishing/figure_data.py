"""What figures and card are drawn from: bounded parts of the lake, read once each.

Positions are whole row groups, as many as hold about _MOST_POSITIONS, evenly spread over the shards, so that a year
takes no more time and memory than a month; what is small, as accounts and the table of tracks, is read whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.io.lake import Lake
from ais_assets.io.provenance import read_record
from ais_assets.settings import Settings
from ais_assets.transforms.geodesy import METRES_PER_NAUTICAL_MILE, great_circle_metres
from ais_assets.transforms.kernels import run_starts
from ais_assets.transforms.quality import HOURS
from ais_assets.transforms.windows import features_of

_MOST_POSITIONS: Final = 2_000_000
_MOST_ORDERED: Final = 200_000
"""Windows whose place in the order is looked at."""
MOST_SAMPLES: Final = 256
"""Windows among which those are that are drawn."""
PANELS: Final = 12
_SAIL_MILES: Final = 0.5
"""A ship that does not leave a square of so many nautical miles lies still, and her window would be drawn as a dot."""
_MILES_A_DEGREE: Final = 60.0

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Positions:
    """Some of the positions of tracks.

    Attributes:
        every: one of so many row groups was read.
        lat: degrees, (n,).
        lon: degrees, (n,).
        split: codes in `schema.SPLITS`, (n,).
        features: by name, in the feature's unit, (n,).
        window_hours: how long the windows of these tracks last, (m,).
        window_miles: nautical miles along them, (m,).
    """

    every: int
    lat: Values
    lon: Values
    split: NDArray[np.int64]
    features: Mapping[str, Values]
    window_hours: Values
    window_miles: Values

    def by_split(self) -> dict[str, dict[str, Values]]:
        """The features of each split that has positions."""
        return {
            name: {feature: values[self.split == code] for feature, values in self.features.items()}
            for code, name in enumerate(schema.SPLITS)
            if np.any(self.split == code)
        }


_COLUMNS: Final = ("track", "t", "lat_microdegrees", "lon_microdegrees", "sog_tenths", "cog_tenths", "split")


def positions_of_tracks(lake: Lake, settings: Settings) -> Positions:
    """About _MOST_POSITIONS positions of the tracks at the most, or one row group. Raises PartitionMissingError."""
    shards = settings.shard_keys
    lake.require("track_shards", shards)
    every = max(1, -(-sum(lake.describe("track_shards", shard).rows for shard in shards) // _MOST_POSITIONS))
    parts = [_measured(table, settings) for table in _row_groups(lake, "track_shards", shards, _COLUMNS, every)]
    joined = {name: np.concatenate([np.empty(0), *(part[name] for part in parts)]) for name in _MEASURED}
    return Positions(
        every,
        joined["lat"],
        joined["lon"],
        joined["split"].astype(np.int64),
        {name: joined[name] for name in schema.FEATURE_NAMES},
        joined["window_hours"],
        joined["window_miles"],
    )


def positions_of_day(lake: Lake, day: str) -> tuple[Values, Values, int]:
    """Of a day's clean positions likewise: latitudes and longitudes in degrees, and one in how many."""
    every = max(1, -(-lake.describe("clean_records", day).rows // _MOST_POSITIONS))
    columns = ("lat_microdegrees", "lon_microdegrees")
    parts = [
        np.stack([table[column].to_numpy() for column in columns])
        for table in _row_groups(lake, "clean_records", [day], columns, every)
    ]
    lat, lon = np.concatenate([np.empty((2, 0), np.int32), *parts], axis=1) / schema.MICRODEGREES
    return lat, lon, every


def _row_groups(
    lake: Lake, asset: str, partitions: Sequence[str], columns: Sequence[str], every: int
) -> Iterator[pa.Table]:
    """One row group in so many, counted over all partitions."""
    number = 0
    for partition in partitions:
        with lake.open(asset, partition) as file:
            for group in range(file.num_row_groups):
                if number % every == 0:
                    yield file.read_row_group(group, columns=list(columns))
                number += 1


_MEASURED: Final = (*schema.FEATURE_NAMES, "split", "window_hours", "window_miles")


def _measured(table: pa.Table, settings: Settings) -> dict[str, NDArray[Any]]:
    """Of a row group's positions the features, and of the windows that lie in it whole how long they are."""
    t = table["t"].cast(pa.int64()).to_numpy() / 1_000
    track = table["track"].to_numpy()
    lat, lon = (table[f"{name}_microdegrees"].to_numpy() / schema.MICRODEGREES for name in ("lat", "lon"))
    begins = np.zeros(len(t), np.bool_)
    begins[run_starts(track)] = True
    dt = np.where(begins, 0.0, np.diff(t, prepend=t[:1]))
    metres = np.append(0.0, great_circle_metres(lat[:-1], lon[:-1], lat[1:], lon[1:])) if len(t) else np.empty(0)
    along = np.cumsum(np.where(begins, 0.0, metres))
    starts = _window_starts(track, settings)
    ends = starts + settings.window_len - 1
    split = table["split"].combine_chunks()
    codes = np.array([schema.SPLITS.index(name) for name in split.dictionary.to_pylist()], np.int64)
    return {
        "lat": lat,
        "lon": lon,
        "sog": table["sog_tenths"].to_numpy() / 10,
        "cog": table["cog_tenths"].to_numpy() / 10,
        "dt_seconds": dt,
        "split": codes[split.indices.to_numpy()] if len(t) else np.empty(0, np.int64),
        "window_hours": (t[ends] - t[starts]) / 3_600,
        "window_miles": (along[ends] - along[starts]) / METRES_PER_NAUTICAL_MILE,
    }


def _window_starts(track: NDArray[np.int64], settings: Settings) -> NDArray[np.int64]:
    first = run_starts(track)
    lengths = np.diff(np.append(first, len(track)))
    parts = [
        np.arange(begin, begin + length - settings.window_len + 1, settings.stride)
        for begin, length in zip(first.tolist(), lengths.tolist(), strict=True)
        if length >= settings.window_len
    ]
    return np.concatenate([np.empty(0, np.int64), *parts])


@dataclass(frozen=True)
class DailyCounts:
    """What there is of each day of the range.

    Attributes:
        days: of the range, in order.
        rows: of the source's files, (days,); NaN of a day that is not there or was never published.
        positions: clean ones, likewise.
        vessels: likewise; NaN also where the day's quality was not measured.
        dropped: rejected and dropped rows by rule, (days,) each.
        by_hour: clean positions, (days, 24).
    """

    days: list[date]
    rows: Values
    positions: Values
    vessels: Values
    dropped: dict[str, Values]
    by_hour: Values


def daily_counts(lake: Lake, days: Sequence[date], among: Collection[str] | None = None) -> DailyCounts:
    """From the accounts of each day's partitions, and the measures of `daily_quality` where there are any.

    Args:
        lake: where they are.
        days: in order and without gaps.
        among: those of which there may be anything, by key; default: all.
    """
    wanted = list(days)
    rows, positions, vessels = np.full((3, len(wanted)), np.nan)
    counts = DailyCounts(wanted, rows, positions, vessels, {}, np.full((len(wanted), HOURS), np.nan))
    keys = [day.isoformat() for day in wanted if among is None or day.isoformat() in among]
    landed, typed, cleaned, measured = (
        lake.entries(asset, sorted(lake.versions(asset).keys() & set(keys)))
        for asset in ("raw_archives", "raw_records", "clean_records", "daily_quality")
    )
    for place, day in enumerate(wanted):
        key = day.isoformat()
        if key not in typed.keys() & cleaned.keys():
            continue
        if key in landed and not landed[key].facts.get("published", True):
            continue
        accounts = (typed[key].ledger, cleaned[key].ledger)
        counts.rows[place], counts.positions[place] = accounts[0].rows_in, accounts[1].rows_out
        for account in accounts:
            for rule, rows in account.dropped.items():
                counts.dropped.setdefault(rule, np.zeros(len(wanted)))[place] += rows
        if key in measured:
            facts = measured[key].facts
            counts.vessels[place] = facts.get("vessels", 0)
            counts.by_hour[place] = facts.get("positions_by_hour", [0] * HOURS)
    return counts


def recent_days(settings: Settings, there: Sequence[str], most: int) -> list[date]:
    """The last days of the range, at the most so many, that end with the last one that is there."""
    last = max((date.fromisoformat(day) for day in there), default=settings.last_day)
    first = max(settings.first_day, last - timedelta(days=most - 1))
    return [first + timedelta(days=k) for k in range((last - first).days + 1)]


@dataclass(frozen=True)
class SplitCounts:
    """How much there is of a split.

    Attributes:
        vessels: that have a track.
        tracks: their number.
        positions: in them.
        windows: that they hold.
        independent: as many windows as have no position in common: those that windows cover over the window's length.
    """

    vessels: int = 0
    tracks: int = 0
    positions: int = 0
    windows: int = 0
    independent: float = 0.0


@dataclass(frozen=True)
class TrackFacts:
    """What the table of tracks says.

    Attributes:
        splits: by split.
        hours: how long each track lasts, (n,).
        miles: nautical miles along it, (n,).
        in_two_splits: MMSIs that have tracks in more than one split.
    """

    splits: dict[str, SplitCounts]
    hours: Values
    miles: Values
    in_two_splits: list[int]


def track_facts(lake: Lake, settings: Settings) -> TrackFacts | None:
    """From `tracks`; None where it is not there for every shard, or is of other tracks than there are now."""
    shards = settings.shard_keys
    if not set(shards) <= set(lake.partitions("tracks")):
        return None
    for shard in shards:
        made_from = (read_record(lake, "tracks", shard).made_from or {}).get("track_shards", {})
        if made_from.get(shard) != lake.describe("track_shards", shard).fingerprint:
            return None
    tracks = {"tracks": lake.dataset("tracks", shards)}
    length, stride = settings.window_len, settings.stride
    counted = lake.sql_over(
        tracks,
        f"select cast(split as varchar), count(distinct mmsi), count(*), sum(positions)::bigint, sum(windows)::bigint, "
        f"sum(case when windows > 0 then {length} + (windows - 1) * least({stride}, {length}) else 0 end) / {length} "
        "from tracks group by split order by split",
    ).fetchall()
    shared = lake.sql_over(
        tracks, "select mmsi from tracks group by mmsi having count(distinct split) > 1 order by mmsi"
    ).fetchall()
    spans = lake.sql_over(tracks, "select duration / 3600.0 as hours, length_nm as miles from tracks").fetchnumpy()
    return TrackFacts(
        {name: SplitCounts(*numbers) for name, *numbers in counted},
        np.asarray(spans["hours"], np.float64),
        np.asarray(spans["miles"], np.float64),
        [mmsi for (mmsi,) in shared],
    )


@dataclass(frozen=True)
class VesselFacts:
    """Who the vessels are that have records.

    Attributes:
        types: by type of ship, by class of transponder, their number.
        flags: by flag state, their number.
        hulls_in_two_splits: hulls whose MMSIs are in more than one split.
    """

    types: dict[str, dict[str, int]] = field(default_factory=dict)
    flags: dict[str, int] = field(default_factory=dict)
    hulls_in_two_splits: int = 0


UNKNOWN: Final = "not said"


def vessel_facts(lake: Lake) -> VesselFacts:
    """From `vessels`; nothing where it is not there."""
    if not lake.has("vessels"):
        return VesselFacts()
    return facts_of_vessels(lake.dataset("vessels").to_table(columns=list(_OF_VESSELS)))


_OF_VESSELS: Final = ("ship_type", "mobile_type", "country", "hull", "split")


def facts_of_vessels(vessels: pa.Table) -> VesselFacts:
    """From rows of `schema.VESSELS`, of which _OF_VESSELS are read."""
    types: dict[str, dict[str, int]] = {}
    by_type = vessels.group_by(["ship_type", "mobile_type"]).aggregate([([], "count_all")]).to_pylist()
    for row in sorted(by_type, key=lambda row: (row["ship_type"] or "", row["mobile_type"])):
        types.setdefault(row["ship_type"] or UNKNOWN, {})[row["mobile_type"]] = row["count_all"]
    by_flag = vessels.group_by("country").aggregate([([], "count_all")]).to_pylist()
    flags = {row["country"] or UNKNOWN: row["count_all"] for row in by_flag}
    splits = vessels.group_by("hull").aggregate([("split", "count_distinct")])["split_count_distinct"].to_numpy()
    return VesselFacts(types, dict(sorted(flags.items())), int(np.count_nonzero(splits > 1)))


@dataclass(frozen=True)
class Samples:
    """Some windows, to be looked at.

    Attributes:
        features: float32, (n, window_len, 5).
        labels: a line about each.
        looked_at: windows among which they were chosen.
        still: of these the ones whose ship lay still.
    """

    features: NDArray[np.float32]
    labels: list[str]
    looked_at: int
    still: int

    @property
    def chosen(self) -> str:
        """How they were chosen, for people."""
        share = self.still / max(1, self.looked_at)
        return f"the first in which a ship sails, each of another; {share:.0%} of {self.looked_at} lie still"


def sample_windows(lake: Lake, settings: Settings) -> Samples:
    """A dozen windows of as many vessels: the first in the global order, or without windows on disk in the tracks."""
    if "parquet" in settings.window_formats:
        candidates = _stored_windows(lake, settings)
    else:
        candidates = _cut_windows(lake, settings)
    kinds = _types_of_vessels(lake, {mmsi for mmsi, _ in candidates})
    chosen, labels, seen, still = [], [], set[int](), 0
    for mmsi, window in candidates:
        if _span_miles(window) < _SAIL_MILES:
            still += 1
        elif mmsi not in seen and len(chosen) < PANELS:
            seen.add(mmsi)
            chosen.append(window)
            labels.append(kinds.get(mmsi, UNKNOWN))
    shape = (0, settings.window_len, schema.FEATURE_COUNT)
    return Samples(np.stack(chosen) if chosen else np.empty(shape, np.float32), labels, len(candidates), still)


def _stored_windows(lake: Lake, settings: Settings) -> list[tuple[int, NDArray[np.float32]]]:
    found: list[tuple[int, NDArray[np.float32]]] = []
    for pile in settings.pile_keys:
        with lake.open("materialized_windows", pile) as file:
            batches = file.iter_batches(batch_size=MOST_SAMPLES, columns=["mmsi", "features"])
            for batch in batches:
                windows = features_of(pa.Table.from_batches([batch]))
                found += zip(batch["mmsi"].to_pylist(), windows, strict=True)
                if len(found) >= MOST_SAMPLES:
                    return found[:MOST_SAMPLES]
    return found


def _cut_windows(lake: Lake, settings: Settings) -> list[tuple[int, NDArray[np.float32]]]:
    """The first window of each track of one row group a shard, evenly."""
    found: list[tuple[int, NDArray[np.float32]]] = []
    for shard in settings.shard_keys:
        for table in _row_groups(lake, "track_shards", [shard], _COLUMNS, 1 << 30):
            measured, track = _measured(table, settings), table["track"].to_numpy()
            columns = np.stack([measured[name] for name in schema.FEATURE_NAMES], axis=1).astype(np.float32)
            for start in _window_starts(track, settings)[:: settings.piles].tolist():
                found.append((int(track[start] >> 32), columns[start : start + settings.window_len]))
        if len(found) >= MOST_SAMPLES:
            break
    return found[:MOST_SAMPLES]


def _types_of_vessels(lake: Lake, mmsis: set[int]) -> dict[int, str]:
    if not lake.has("vessels") or not mmsis:
        return {}
    chosen = ", ".join(str(mmsi) for mmsi in sorted(mmsis))
    query = f"select mmsi, coalesce(ship_type, mobile_type) from vessels where mmsi in ({chosen})"
    return dict(lake.sql_over({"vessels": lake.dataset("vessels")}, query).fetchall())


def _span_miles(window: NDArray[np.float32]) -> float:
    """The longer side of the square that a window stays in."""
    lat, lon = window[:, 0].astype(np.float64), window[:, 1].astype(np.float64)
    wide = float(np.ptp(lon)) * float(np.cos(np.radians(lat.mean())))
    return max(float(np.ptp(lat)), wide) * _MILES_A_DEGREE


@dataclass(frozen=True)
class Order:
    """The first windows in the order in which they are stored.

    Attributes:
        starts: Unix time of their first positions, (n,).
        vessels: their MMSI, (n,).
    """

    starts: Values
    vessels: NDArray[np.int64]


def stored_order(lake: Lake, settings: Settings) -> Order:
    """From the windows' names alone; without windows on disk nothing."""
    starts, vessels, left = [np.empty(0)], [np.empty(0, np.int64)], _MOST_ORDERED
    for pile in settings.pile_keys if "parquet" in settings.window_formats else ():
        for table in lake.row_groups("materialized_windows", pile, ("start", "mmsi")):
            first = table.slice(0, left)
            starts.append(first["start"].cast(pa.int64()).to_numpy() / 1_000)
            vessels.append(first["mmsi"].to_numpy().astype(np.int64))
            left -= first.num_rows
        if left <= 0:
            break
    return Order(np.concatenate(starts), np.concatenate(vessels))


def range_of_time(settings: Settings) -> tuple[float, float]:
    """Unix time at which the days of the range begin and end."""
    first = datetime.combine(settings.first_day, datetime.min.time(), tzinfo=UTC).timestamp()
    last = datetime.combine(settings.last_day + timedelta(days=1), datetime.min.time(), tzinfo=UTC).timestamp()
    return first, last
