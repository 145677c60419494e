"""Whose tracks `ais bench truth` judges: the platform's, and those of others' rules, run or written out.

Each rule says of every report which track it is of, or _DROPPED.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from ais_assets import schema
from ais_assets.bench._truth_faults import MISSING, Reports
from ais_assets.settings import Settings
from ais_assets.transforms.kernels import run_starts
from ais_assets.transforms.tracks import build_tracks

_DROPPED: Final = -1


def by_the_platform(reports: Reports) -> NDArray[np.int64]:
    """The track of every report by `build_tracks` with the default settings, or _DROPPED."""
    settings = Settings.model_construct()
    stream = build_tracks(
        iter([clean_records(reports)]),
        max_gap_seconds=settings.max_gap_seconds,
        max_speed_knots=settings.max_speed_knots,
        min_track_positions=settings.min_track_positions,
        validation_fraction=0.0,
        seed=settings.seed,
    )
    tracks = pa.concat_tables([schema.TRACK_POSITIONS.empty_table(), *stream.tables])
    found = np.full(len(reports.t), _DROPPED, np.int64)
    key = reports.mmsi.astype(np.int64) << 32 | reports.t
    of_tracks = tracks["mmsi"].to_numpy().astype(np.int64) << 32 | tracks["t"].cast(pa.int64()).to_numpy() // 1_000
    found[np.searchsorted(key, of_tracks)] = tracks["track"].to_numpy()
    return found


def clean_records(reports: Reports) -> pa.Table:
    """Reports by (MMSI, time) as CLEAN_RECORDS."""
    rows = len(reports.t)
    columns = {
        "mmsi": pa.array(reports.mmsi),
        "t": pa.array(reports.t * 1_000, pa.int64()).cast(schema.UTC),
        schema.stored_name("lat"): pa.array(reports.lat),
        schema.stored_name("lon"): pa.array(reports.lon),
        schema.stored_name("sog"): pa.array(reports.sog.astype(np.int32), mask=reports.sog == MISSING),
        schema.stored_name("cog"): pa.array(reports.cog.astype(np.int32), mask=reports.cog == MISSING),
        "coarse": pa.array(np.zeros(rows, np.bool_)),
    }
    arrays = [
        columns[field.name]
        if field.name in columns
        else pa.nulls(rows, field.type)
        if field.nullable
        else pa.array(["class A"] * rows, field.type)
        for field in schema.CLEAN_RECORDS
    ]
    return pa.Table.from_arrays(arrays, schema=schema.CLEAN_RECORDS)


_LAG: Final = """
with steps as (
  select row, mmsi, t, t - lag(t) over w as dt, 2 * 6371008.8 * asin(sqrt(
    pow(sin(radians(lat - lag(lat) over w) / 2), 2)
    + cos(radians(lat)) * cos(radians(lag(lat) over w)) * pow(sin(radians(lon - lag(lon) over w) / 2), 2))) as metres
  from reports window w as (partition by mmsi order by t)
), kept as (
  select *, t - lag(t) over (partition by mmsi order by t) as gap
  from steps where metres is null or metres <= {knots} * 1852 / 3600 * greatest(dt, 2)
)
select row, mmsi::bigint * 100000 + count(*) filter (gap > {gap}) over (partition by mmsi order by t) as track from kept
"""


def by_lag(reports: Reports) -> NDArray[np.int64]:
    """The track of every report by SQL window functions: too fast from the row before, or silent for too long."""
    import duckdb  # noqa: PLC0415 - a contender pays for its own libraries only

    settings = Settings.model_construct()
    table = pa.table(
        {
            "row": np.arange(len(reports.t)),
            "mmsi": reports.mmsi,
            "t": reports.t,
            "lat": reports.lat / 1e6,
            "lon": reports.lon / 1e6,
        }
    )
    query = _LAG.format(knots=settings.max_speed_knots, gap=settings.max_gap_seconds)
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("reports", table)
        answer = connection.sql(query).to_arrow_table()
    found = np.full(len(reports.t), _DROPPED, np.int64)
    found[answer["row"].to_numpy()] = answer["track"].to_numpy().astype(np.int64)
    return found


# What gpsdio-segment's `Segmentizer` has by default, but for its longest silence (8 h), which is the platform's here.
_PENALTY_HOURS: Final = 4.0
_BUFFER_HOURS: Final = 0.25
_LOOKBACK: Final = 5
_LOOKBACK_FACTOR: Final = 2.0
_MAX_KNOTS: Final = 25.0
_AMBIGUITY_FACTOR: Final = 10.0
_SHORT_SEGMENT: Final = 10
_PENALTY_KNOTS: Final = 5.0
_MAX_OPEN_SEGMENTS: Final = 20
_SHAPE_FACTOR: Final = 4.0
_VERY_SLOW_KNOTS: Final = 0.35
_EXCLUDED_KNOTS: Final = (51.2, 63.0, 102.3)
_NO_COURSE: Final = 360.0


class _Message(NamedTuple):
    """A report as gpsdio-segment compares it."""

    hours: float
    lat: float
    lon: float
    knots: float
    course: float
    """_NO_COURSE where it is not available."""


class _Sent(NamedTuple):
    """A message of a segment: its row, and how well it matched when it was added."""

    row: int
    message: _Message
    metric: float


class _Match(NamedTuple):
    """How well a message matches a segment, and how many of its last messages are to be dropped for that."""

    segment: list[_Sent]
    metric: float
    dropped: int


def by_gpsdio_segment(reports: Reports) -> NDArray[np.int64]:
    """The track of every report by gpsdio-segment 0.20.2 (Global Fishing Watch), which is in no package registry.

    Its rule is written out after `core.py` and `discrepancy.py` of its source. A message without SOG or COG is noise,
    and so is one that says of a moving ship what was said before. A message joins the segment that it misses by the
    least for the time, reckoned both ways; it may go back five messages, and those that it leaves out are dropped.
    Where segments of about equal merit compete, all of them end.
    """
    found = np.full(len(reports.t), _DROPPED, np.int64)
    number = 0
    for first, end in pairwise([*run_starts(reports.mmsi).tolist(), len(reports.mmsi)]):
        for segment in _segments(reports, first, end):
            found[[sent.row for sent in segment]] = number
            number += 1
    return found


def _segments(reports: Reports, first: int, end: int) -> list[list[_Sent]]:
    """Of one MMSI."""
    longest = Settings.model_construct().max_gap_seconds / 3_600
    ended: list[list[_Sent]] = []
    opened: list[list[_Sent]] = []
    said: set[tuple[int, ...]] = set()
    for row in range(first, end):
        message = _message(reports, row)
        if message is None:
            continue
        here = tuple(int(column[row]) for column in (reports.lat, reports.lon, reports.sog, reports.cog))
        if message.knots > 0 and here in said:
            continue
        said.add(here)
        ended += [segment for segment in opened if message.hours - segment[-1].message.hours > longest]
        opened = [segment for segment in opened if message.hours - segment[-1].message.hours <= longest]
        matches = [_match(segment, message) for segment in opened]
        best = _best([match for match in matches if match.metric > 0])
        if len(best) == 1:
            segment, metric, dropped = best[0]
            del segment[len(segment) - dropped :]
            segment.append(_Sent(row, message, metric))
            continue
        rivals = {id(match.segment) for match in best}
        ended += [segment for segment in opened if id(segment) in rivals]
        opened = [segment for segment in opened if id(segment) not in rivals]
        if len(opened) == _MAX_OPEN_SEGMENTS:
            ended.append(opened.pop(min(range(len(opened)), key=lambda k: opened[k][-1].message.hours)))
        opened.append([_Sent(row, message, 0.0)])
    return ended + opened


def _message(reports: Reports, row: int) -> _Message | None:
    """None for noise."""
    sog, cog = int(reports.sog[row]), int(reports.cog[row])
    knots = sog / 10
    excluded = any(abs(knots - other) < 0.05 for other in _EXCLUDED_KNOTS)
    if sog == MISSING or excluded or (cog == MISSING and knots > _VERY_SLOW_KNOTS):
        return None
    course = _NO_COURSE if cog == MISSING else cog / 10
    return _Message(int(reports.t[row]) / 3_600, reports.lat[row] / 1e6, reports.lon[row] / 1e6, knots, course)


def _match(segment: list[_Sent], message: _Message) -> _Match:
    """A metric of 0 where the message cannot be of the segment."""
    best = _Match(segment, 0.0, 0)
    best_weighted = existing = 0.0
    for back in range(min(_LOOKBACK, len(segment))):
        sent = segment[-1 - back]
        hours = message.hours - sent.message.hours
        penalized = hours / (1 + math.sqrt(hours / _PENALTY_HOURS))
        padded = math.hypot(hours, _BUFFER_HOURS)
        missed, most = _discrepancy(sent.message, message, penalized), padded * _MAX_KNOTS
        if missed <= most:
            metric = math.exp(-((_MAX_KNOTS / _PENALTY_KNOTS * missed / most) ** 2)) / padded
            weighted = metric / max(1.0, back * _LOOKBACK_FACTOR)
            if weighted > existing and weighted > best_weighted:
                best, best_weighted = _Match(segment, metric, back), weighted
        # What the message before this one, once dropped, was worth to the segment.
        existing = sent.metric
    return best


def _best(matches: list[_Match]) -> list[_Match]:
    """The segment that a message is of; several where it might be of several."""
    if len(matches) < 2:
        return matches
    shares = [len(match.segment) / _SHORT_SEGMENT for match in matches]
    weighted = [match.metric * a / math.sqrt(1 + a * a) for match, a in zip(matches, shares, strict=True)]
    least = max(weighted) / _AMBIGUITY_FACTOR
    return [match for match, metric in zip(matches, weighted, strict=True) if metric >= least]


@njit(cache=True)
def _discrepancy(a: _Message, b: _Message, hours: float) -> float:
    """Nautical miles by which a and b miss each other, the least of three ways to look at it."""
    parallel = math.cos(math.radians(0.5 * (a.lat + b.lat)))
    north, east = 60 * (b.lat - a.lat), 60 * parallel * _around(b.lon - a.lon)
    both = 0.0
    for who in (a, b):
        travelled = 0.0 if who.course >= _NO_COURSE else who.knots * hours
        angle = math.radians(who.course)
        both += math.hypot(north - travelled * math.cos(angle), east - travelled * math.sin(angle))
    distance = math.hypot(north, east)
    aside = 0.0
    for who in (a, b):
        angle = math.radians(who.course) - math.atan2(east, north)
        along = math.cos(angle) * distance
        aside += abs(math.sin(angle)) * distance if 0 < along <= who.knots * hours else math.inf
    return min(0.5 * both, _SHAPE_FACTOR * distance, _SHAPE_FACTOR * 0.5 * aside)


@njit(cache=True)
def _around(degrees: float) -> float:
    """Of longitude, the short way."""
    return (degrees + 180) % 360 - 180


def by_movingpandas(reports: Reports) -> NDArray[np.int64]:
    """The track of every report by MovingPandas' outlier cleaner (50 knots) and gap splitter."""
    import movingpandas  # noqa: PLC0415 # pyright: ignore[reportMissingImports] - an optional peer

    settings = Settings.model_construct()
    frame = pa.table({"lat": reports.lat / 1e6, "lon": reports.lon / 1e6, "row": np.arange(len(reports.t))}).to_pandas()
    frame["mmsi"], frame["t"] = reports.mmsi, reports.t.astype("datetime64[s]")
    tracks = movingpandas.TrajectoryCollection(frame, traj_id_col="mmsi", t="t", x="lon", y="lat")
    tracks = movingpandas.OutlierCleaner(tracks).clean(v_max=settings.max_speed_knots, units=("nm", "h"))
    split: Any = movingpandas.ObservationGapSplitter(tracks).split(gap=timedelta(seconds=settings.max_gap_seconds))
    found = np.full(len(reports.t), _DROPPED, np.int64)
    for number, track in enumerate(split):
        found[track.df["row"].to_numpy()] = number
    return found


RULES: Final[dict[str, Callable[[Reports], NDArray[np.int64]]]] = {
    "the platform": by_the_platform,
    "lag, DuckDB": by_lag,
    "gpsdio-segment": by_gpsdio_segment,
    "MovingPandas": by_movingpandas,
}
