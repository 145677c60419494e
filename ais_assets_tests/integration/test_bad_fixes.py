"""Senders and fixes that are not what they seem, from a feed's own files to tracks."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pyais
import pyarrow as pa
import pytest

from ais_assets import schema
from ais_assets.definitions import build_definitions
from ais_assets.io.lake import Lake
from ais_assets.ledger import Ledger
from ais_assets.operating.tasks import RANGE_END, RANGE_START
from ais_assets.settings import load_settings
from ais_assets.sources.nmea import NmeaSource
from ais_assets.transforms.clean import clean_day
from ais_assets.transforms.tracks import build_tracks
from ais_assets_tests.integration.test_graph import run, stages_of
from ais_assets_tests.sources.csv_rows import MAX_BYTES
from ais_assets_tests.sources.test_nmea import DAY, SECONDS, tagged, write
from ais_assets_tests.transforms.track_reports import DEGREE, SHIP, Report, ahead, sailing

AIRCRAFT = 111_219_501
FIXES = 60
COLUMNS = ("t", "mmsi", "lat", "lon", "sog", "cog")


def flight(knots: int) -> list[str]:
    """The lines of an aircraft's messages 9, one every ten seconds, on her way east."""
    lines = []
    for k in range(FIXES):
        lat, lon = ahead(56 * DEGREE, 7 * DEGREE, 90, k * 10 * knots * 1_852 / 3_600)
        said = {"type": 9, "mmsi": AIRCRAFT, "alt": 300, "speed": knots, "course": 90.0}
        said |= {"lat": lat / DEGREE, "lon": lon / DEGREE}
        (sentence,) = pyais.encode_dict(said, talker_id="AI", sentence_type="VDM")
        lines.append(tagged(sentence, f"c:{SECONDS + 10 * k}"))
    return lines


def tracks_of_log(path: Path, *, ships_only: bool, max_speed_knots: float) -> tuple[pa.Table, Ledger, Ledger]:
    """What becomes of a log: its tracks, and the accounts of cleaning and of tracks."""
    records = NmeaSource(str(path.parent), max_bytes=MAX_BYTES).read(path, DAY)
    clean = clean_day(records.tables, DAY, shards=1, repeat_seconds=120, ships_only=ships_only)
    tracks = build_tracks(
        clean.tables,
        max_gap_seconds=schema.MAX_GAP_SECONDS,
        max_speed_knots=max_speed_knots,
        min_track_positions=2,
        validation_fraction=0.0,
        seed=17,
    )
    table = pa.concat_tables([schema.TRACK_POSITIONS.empty_table(), *tracks.tables])
    for name, ledger in (("clean", clean.ledger), ("tracks", tracks.ledger)):
        ledger.balance(name)
    return table, clean.ledger, tracks.ledger


@pytest.mark.parametrize("knots", [90, 150, 1_022])
def test_a_rescue_aircraft_is_no_vessel(knots: int, tmp_path: Path) -> None:
    tracks, clean, _ = tracks_of_log(write(tmp_path, flight(knots)), ships_only=True, max_speed_knots=50)
    assert tracks.num_rows == 0
    assert clean.dropped["not_a_vessel"] == FIXES


@pytest.mark.parametrize(
    ("knots", "max_speed_knots", "positions"),
    # Her SOG up to 102.2 kn is evidence; more is no SOG of the schema, and then only the setting says what can be.
    [(90, 50, FIXES), (150, 50, 0), (150, 200, FIXES), (1_022, 1_100, FIXES)],
)
def test_a_rescue_aircraft_that_is_wanted_is_one_track(
    knots: int, max_speed_knots: float, positions: int, tmp_path: Path
) -> None:
    path = write(tmp_path, flight(knots))
    tracks, clean, ledger = tracks_of_log(path, ships_only=False, max_speed_knots=max_speed_knots)
    assert clean.rows_out == FIXES
    assert clean.notes["sog_missing"] == (FIXES if knots > 102 else 0)
    assert tracks.num_rows == positions
    assert ledger.dropped["stray_position"] == FIXES - positions
    assert len(set(tracks["track"].to_pylist())) == min(positions, 1)
    # What the positions say is faster than the schema's most, which it is cut to and marked.
    assert set(tracks["sog_tenths"].to_pylist()) <= {min(10 * knots, 1_022)}
    assert set(tracks["sog_held"].to_pylist()) <= {knots > 102}
    assert set(tracks["cog_tenths"].to_pylist()) <= {900}


def test_rebroadcasts_over_midnight_are_dropped_by_the_whole_graph(tmp_path: Path) -> None:
    """Of two days' archives: what is heard again on the next day, with its SOG and without, is in no track."""
    first, following = "2024-03-01", "2024-03-02"
    sent = sailing(240, start=12 * 3_600 - 1_200)
    again = [
        sent[115]._replace(t=sent[115].t + 83),
        sent[111]._replace(t=sent[111].t + 147, sog=None),
        sent[112]._replace(t=sent[112].t + 185, sog=None, cog=None),
    ]
    feed = tmp_path / "feed"
    feed.mkdir()
    for day in (first, following):
        lines = [line_of(report) for report in sorted([*sent, *again]) if moment_of(report).startswith(day)]
        (feed / f"log-{day}.csv").write_text("\n".join([",".join(COLUMNS), *lines, ""]))
    assert all(moment_of(report).startswith(following) for report in again)
    settings = load_settings(
        source="table",
        table_columns=json.dumps({name: {"column": name} for name in COLUMNS}),
        source_uri=str(feed),
        first_day=first,
        last_day=following,
        shards=1,
        lake=str(tmp_path / "lake"),
        cache=tmp_path / "cache",
    )
    job = build_definitions(settings).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        for asset in ("raw_archives", "raw_records", "clean_records", "vessels", "track_shards"):
            keys = stages_of(settings)[asset].partitions
            tags = {RANGE_START: keys[0], RANGE_END: keys[-1]} if keys else {}
            assert run(job, instance, asset, tags).success
    lake = Lake(settings.lake)
    tracks = lake.table("track_shards")
    assert tracks["t"].cast(pa.int64()).to_pylist() == [1_000 * report.t for report in sent]
    assert len(set(tracks["track"].to_pylist())) == 1
    ledger = lake.ledger("track_shards", "0000")
    assert ledger.rows_in == len(sent) + len(again)
    assert ledger.dropped["stray_position"] + ledger.dropped["odd_one_out"] == len(again)


def moment_of(report: Report) -> str:
    return f"{datetime.fromtimestamp(report.t, UTC):%Y-%m-%d %H:%M:%S}"


def line_of(report: Report) -> str:
    """A report as the feed's file has it; what was not received is left empty."""
    sog, cog = ("" if value is None else value / 10 for value in (report.sog, report.cog))
    return f"{moment_of(report)},{SHIP},{report.lat / DEGREE},{report.lon / DEGREE},{sog},{cog}"
