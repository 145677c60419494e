"""Tracks judged by the truth: what each fault of a feed does to the platform's tracks, and to others' rules.

Simulated vessels' true reports get the faults of real feeds (`sources.simulation.faults`), one kind at a time and all
together; each rule says which reports are one track, and is told what it got wrong.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import click
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ais_assets import schema
from ais_assets.bench._simulated import FIRST_DAY
from ais_assets.settings import Settings
from ais_assets.sources.simulated import Fleet, position_reports
from ais_assets.sources.simulation.faults import FAULTS, MISSING, NO_FAULT, FaultRates, Reports, with_faults
from ais_assets.transforms.tracks import build_tracks

_DROPPED: Final = -1
_FALSE_SILENCE: Final = 900
"""Seconds between two positions of a track, between which the ship was heard all the same."""
_HEARD: Final = 3
"""Reports in such a silence, at least."""


class Verdict(NamedTuple):
    """What a rule made of a feed."""

    true: int
    true_dropped: int
    false: int
    false_kept: int
    """In one track with true positions."""
    voyages: int
    voyages_split: int
    tracks_merged: int
    """With positions of more than one ship."""
    windows: int
    windows_with_false_silence: int


def true_reports(vessels: int, days: int, seed: int) -> Reports:
    """True position reports of a simulated fleet by (sender, time); each ship under an MMSI of her own."""
    parts = []
    for number in range(days):
        midnight = int(datetime.combine(FIRST_DAY + timedelta(days=number), datetime.min.time(), UTC).timestamp())
        parts.append(position_reports(Fleet.on(seed, vessels, midnight).plan(seed), midnight, vessels))
    reports = Reports._make(np.concatenate(columns) for columns in zip(*parts, strict=True))
    reports = reports.take(np.lexsort((reports.t, reports.sender)))
    again = (np.diff(reports.t, prepend=-1) == 0) & (np.diff(reports.sender, prepend=-1) == 0)
    return reports.take(~again)


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


class _Segment(NamedTuple):
    """The end of a segment, as gpsdio-segment keeps it."""

    number: int
    t: int
    lat: float
    lon: float
    knots: float
    course: float


def by_gpsdio_segment(reports: Reports) -> NDArray[np.int64]:
    """The track of every report by gpsdio-segment's rule, written out after its README and source.

    Each segment's end is extrapolated by its SOG and COG; a report joins the segment whose extrapolated place it misses
    by the least nautical miles an hour, if by no more than its noise allowance and 25 knots; a segment is closed after
    the platform's silence (the package's own is 24 h); a segment of one is noise.
    """
    gap = Settings.model_construct().max_gap_seconds
    found = np.full(len(reports.t), _DROPPED, np.int64)
    segments: list[_Segment] = []
    mmsi, number = -1, 0
    for row, (t, sender, lat, lon, sog, cog) in enumerate(
        zip(*(column.tolist() for column in reports[:6]), strict=True)
    ):
        if sender != mmsi:
            mmsi, segments = sender, []
        segments = [segment for segment in segments if t - segment.t <= gap]
        here = lat / 1e6, lon / 1e6
        best = min(((_miles_off(segment, t, here), k) for k, segment in enumerate(segments)), default=(math.inf, -1))
        hours = (t - segments[best[1]].t) / 3_600 if segments else 0.0
        end = _Segment(number, t, *here, 0.0 if sog == MISSING else sog / 10, 0.0 if cog == MISSING else cog / 10)
        if best[1] >= 0 and best[0] <= 50 / 1852 + 25 * hours:
            found[row] = segments[best[1]].number
            segments[best[1]] = end._replace(number=segments[best[1]].number)
        else:
            found[row] = number
            segments.append(end)
            number += 1
    count = np.bincount(found)
    return np.where(count[found] > 1, found, _DROPPED)


def _miles_off(segment: _Segment, t: int, here: tuple[float, float]) -> float:
    """Nautical miles from where a segment's end leads."""
    travelled = segment.knots * (t - segment.t) / 3_600
    course, parallel = math.radians(segment.course), math.cos(math.radians(segment.lat))
    north = (here[0] - segment.lat) * 60 - travelled * math.cos(course)
    east = ((here[1] - segment.lon + 180) % 360 - 180) * 60 * parallel - travelled * math.sin(course)
    return math.hypot(north, east)


def by_movingpandas(reports: Reports) -> NDArray[np.int64]:
    """The track of every report by MovingPandas' outlier cleaner (50 knots) and gap splitter."""
    import movingpandas  # noqa: PLC0415 # pyright: ignore[reportMissingImports] - an optional peer

    settings = Settings.model_construct()
    frame = pa.table({"lat": reports.lat / 1e6, "lon": reports.lon / 1e6, "row": np.arange(len(reports.t))}).to_pandas()
    frame["mmsi"], frame["t"] = reports.mmsi, reports.t.astype("datetime64[s]")
    tracks = movingpandas.TrajectoryCollection(frame, traj_id_col="mmsi", t="t", x="lon", y="lat")
    tracks = movingpandas.OutlierCleaner(tracks).clean(v_max=settings.max_speed_knots, units=("nm", "h"))
    split = movingpandas.ObservationGapSplitter(tracks).split(gap=timedelta(seconds=settings.max_gap_seconds))
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


def judge(reports: Reports, track: NDArray[np.int64], window_len: int, stride: int) -> Verdict:
    """What is wrong with tracks.

    Args:
        reports: by (MMSI, time).
        track: of each report, or negative.
        window_len: positions of a window.
        stride: from one window to the next.
    """
    true = reports.fault == NO_FAULT
    kept = track >= 0
    voyage = _voyages(reports, true)
    own = true & kept
    pairs = np.unique(np.stack([track[own], voyage[own]], axis=1), axis=0)
    voyages_of_track = np.unique(np.stack([track[own], reports.sender[own]], axis=1), axis=0)
    false_kept = ~true & kept & np.isin(track, track[own])
    windows, silent = _windows(reports, track, true, window_len, stride)
    return Verdict(
        int(true.sum()),
        int((true & ~kept).sum()),
        int((~true).sum()),
        int(false_kept.sum()),
        len(np.unique(voyage[true])),
        int((np.unique(pairs[:, 1], return_counts=True)[1] > 1).sum()),
        int((np.unique(voyages_of_track[:, 0], return_counts=True)[1] > 1).sum()),
        windows,
        silent,
    )


def _voyages(reports: Reports, true: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Of every true report, its sender's voyage: what lies between two silences over the limit."""
    voyage = np.full(len(reports.t), -1, np.int64)
    rows = np.flatnonzero(true)
    rows = rows[np.lexsort((reports.t[rows], reports.sender[rows]))]
    new = np.diff(reports.sender[rows], prepend=-1) != 0
    new |= np.diff(reports.t[rows], prepend=0) > Settings.model_construct().max_gap_seconds
    voyage[rows] = np.cumsum(new)
    return voyage


def _windows(
    reports: Reports, track: NDArray[np.int64], true: NDArray[np.bool_], window_len: int, stride: int
) -> tuple[int, int]:
    """How many windows the tracks hold, and how many of these a silence in which the ship was heard all the same."""
    heard = {int(sender): reports.t[true & (reports.sender == sender)] for sender in np.unique(reports.sender)}
    windows = silent = 0
    order = np.lexsort((reports.t, track))
    order = order[track[order] >= 0]
    for rows in np.split(order, np.flatnonzero(np.diff(track[order])) + 1):
        if len(rows) < window_len:
            continue
        t = reports.t[rows]
        false = np.zeros(len(rows), np.bool_)
        for k in np.flatnonzero(np.diff(t) > _FALSE_SILENCE):
            of = heard[int(reports.sender[rows[k]])]
            between = np.searchsorted(of, t[k + 1]) - np.searchsorted(of, t[k], side="right")
            false[k + 1] = between >= _HEARD
        for start in range(0, len(rows) - window_len + 1, stride):
            windows += 1
            silent += bool(false[start + 1 : start + window_len].any())
    return windows, silent


def verdicts(reports: Reports, rates: FaultRates, seed: int, rules: list[str]) -> Iterator[tuple[str, str, Verdict]]:
    """Fault by fault, and all together: the fault, the rule and the verdict."""
    settings = Settings.model_construct()
    cases = {"none": FaultRates(**dict.fromkeys(FAULTS, 0.0))}
    cases |= {fault: rates.only(fault) for fault in FAULTS if getattr(rates, fault) > 0}
    cases["all"] = rates
    for fault, of_case in cases.items():
        feed = with_faults(reports, of_case, seed)
        for rule in rules:
            yield fault, rule, judge(feed, RULES[rule](feed), settings.window_len, settings.stride)


def _installed(rule: str) -> bool:
    if rule != "MovingPandas":
        return True
    from importlib.util import find_spec  # noqa: PLC0415

    return find_spec("movingpandas") is not None


@click.command()
@click.option("--vessels", type=click.IntRange(min=2), default=60, show_default=True, help="Simulated fleet.")
@click.option("--days", type=click.IntRange(min=1), default=2, show_default=True, help="Simulated days.")
@click.option("--seed", type=click.IntRange(min=0), default=17, show_default=True, help="Of simulation and faults.")
@click.option("--rule", "rules", multiple=True, type=click.Choice(list(RULES)), help="Only these.  [default: all]")
@click.option("--many", type=click.FloatRange(0, 1), default=0.2, show_default=True, help="Vessels in shared eights.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line instead of a table.")
def command(*, vessels: int, days: int, seed: int, rules: tuple[str, ...], many: float, as_json: bool) -> None:
    """What each fault of a feed does to tracks, by the truth that a simulator knows."""
    chosen = [rule for rule in rules or RULES if _installed(rule)]
    table = Table("fault", "rule", *(name.replace("_", " ") for name in Verdict._fields))
    rates = FaultRates(shared_by_many=many)
    for fault, rule, verdict in verdicts(true_reports(vessels, days, seed), rates, seed, chosen):
        if as_json:
            click.echo(json.dumps({"fault": fault, "rule": rule, **verdict._asdict()}))
        table.add_row(fault, rule, *(f"{count:,}" for count in verdict))
    if not as_json:
        Console(width=200).print(table)
        for rule in [rule for rule in RULES if not _installed(rule)]:
            click.echo(f"{rule} is not installed and was left out.")
