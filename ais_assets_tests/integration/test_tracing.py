"""A sample is led back to the very lines that it came from, and a vessel's rows are accounted for."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from ais_assets import schema
from ais_assets.cli.main import main
from ais_assets.io.lake import Lake
from ais_assets.ledger import Ledger
from ais_assets.operating.samples import UnknownNameError, sample_of
from ais_assets.operating.vessel_account import account_of
from ais_assets.settings import Settings, load_settings
from ais_assets_tests.integration.test_graph import SMALL, materialize

ONE_DAY: dict[str, Any] = {**SMALL, "last_day": "2024-03-01", "shards": 2}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake that nobody changes."""
    folder = tmp_path_factory.mktemp("traced")
    settings = load_settings(lake=str(folder / "lake"), cache=folder / "cache", **ONE_DAY)
    with dg.DagsterInstance.ephemeral() as instance:
        materialize(settings, instance, together=True)
    return settings


@pytest.fixture
def ais(built: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Runs a command of `ais` on it."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"lake": built.lake, "cache": built.cache, **ONE_DAY}.items():
        monkeypatch.setenv(f"AIS_{name.upper()}", str(value))

    def run(*words: str) -> Result:
        return CliRunner().invoke(main, list(words))

    return run


def archive_lines(lake: Lake, day: str) -> list[str]:
    """The lines of the day's file; the first is the header."""
    with lake.local_file("raw_archives", day, f"aisdk-{day}.zip") as path, zipfile.ZipFile(path) as archive:
        return archive.read(archive.namelist()[0]).decode().split("\n")


def test_every_position_of_a_sample_leads_to_the_lines_that_say_it(built: Settings, ais: Callable[..., Result]) -> None:
    lake = Lake(built.lake)
    result = ais("trace", "train:3", "--json")
    assert result.exit_code == 0, result.output
    traced = json.loads(result.stdout)
    window = lake.table("materialized_windows", built.pile_keys).slice(3, 1).to_pylist()[0]
    assert traced["sample"]["mmsi"] == window["mmsi"] == traced["vessel"]["mmsi"]
    assert traced["sample"]["track"] == window["track"] == traced["track"]["track"]
    assert traced["files_without_lines"] == {}
    features = np.array(window["features"], np.float32).reshape(-1, schema.FEATURE_COUNT)
    assert len(traced["positions"]) == built.window_len
    lines, clean = archive_lines(lake, "2024-03-01"), lake.table("clean_records", ["2024-03-01"]).to_pylist()
    raw = lake.table("raw_records", ["2024-03-01"]).to_pylist()
    for position, of in zip(traced["positions"], features, strict=True):
        assert (np.float32(position["lat"]), np.float32(position["lon"])) == (of[0], of[1])
        kept = clean[position["clean_records"]["row"]]
        assert (kept["mmsi"], f"{kept['t']:%FT%TZ}", kept["lat"]) == (window["mmsi"], position["t"], position["lat"])
        assert position["raw_records"]
        for row in position["raw_records"]:
            typed, fields = raw[row["row"]], lines[row["line"] - 1].split(",")
            assert (typed["mmsi"], typed["t"], typed["lat"]) == (kept["mmsi"], kept["t"], kept["lat"])
            assert int(fields[2]) == window["mmsi"]
            assert f"{kept['t']:%d/%m/%Y %T}" == fields[0]
            assert (float(fields[3]), float(fields[4])) == (position["lat"], position["lon"])
    assert any(len(position["raw_records"]) > 1 for position in traced["positions"]), "no duplicate among them"


def test_a_window_that_is_nowhere_stored_is_traced_by_track_and_time(
    built: Settings, ais: Callable[..., Result]
) -> None:
    lake = Lake(built.lake)
    validation = sample_of(lake, built, "validation:0")
    assert validation.stored == "validation, row 0"
    start = np.datetime64(validation.start, "ms").item()
    again = json.loads(ais("trace", f"{validation.track}@{start:%FT%TZ}", "--json").stdout)
    assert again["split"] == "validation"
    assert again["sample"]["stored"] is None
    assert again == {**json.loads(ais("trace", "validation:0", "--json").stdout), "sample": again["sample"]}
    shown = ais("trace", "validation:0")
    assert shown.exit_code == 0
    assert "aisdk-2024-03-01.zip: line" in shown.stdout


def test_windows_from_mds_have_the_same_numbers(built: Settings) -> None:
    lake = Lake(built.lake)
    only_mds = built.model_copy(update={"window_formats": ("mds",)})
    for number in (0, 1, 700):
        stored, cut = (sample_of(lake, of, f"train:{number}") for of in (built, only_mds))
        assert (stored.track, stored.start) == (cut.track, cut.start)
        assert str(cut.stored).startswith("mds_shards[0000")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("train:99999999", r"there are [\d,]+, numbered from 0"),
        ("test:0", "the split is one of train, validation, holdout"),
        ("holdout:0", "there are 0, numbered"),
        ("first", "names no sample: write SPLIT:NUMBER"),
        ("12@noon", "'noon' in '12@noon' is no time"),
    ],
)
def test_what_is_no_sample_is_refused(built: Settings, name: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        sample_of(Lake(built.lake), built, name)


def test_a_track_without_such_a_window_is_refused(built: Settings, ais: Callable[..., Result]) -> None:
    track = Lake(built.lake).sql("select track from tracks limit 1").fetchall()[0][0]
    refused = ais("trace", f"{track}@2024-03-01T23:59:59")
    assert refused.exit_code == 1
    assert f"track {track} has no window of 64 positions that begins at 2024-03-01T23:59:59Z" in refused.output


def test_all_vessels_accounts_are_the_days_account(built: Settings) -> None:
    lake = Lake(built.lake)
    mmsis = [mmsi for (mmsi,) in lake.sql("select distinct mmsi from raw_records order by mmsi").fetchall()]
    accounts = [account_of(lake, built, mmsi) for mmsi in mmsis]
    clean = Ledger.total(of.cleaned for of in accounts)
    stored = lake.ledger("clean_records", "2024-03-01")
    assert (clean.rows_in, clean.rows_out) == (stored.rows_in, stored.rows_out)
    assert {rule: rows for rule, rows in clean.dropped.items() if rows} == {
        rule: rows for rule, rows in stored.dropped.items() if rows
    }
    tracked = Ledger.total(of.tracked for of in accounts)
    shards = Ledger.total(lake.ledgers("track_shards", built.shard_keys).values())
    assert (tracked.rows_in, tracked.rows_out, tracked.rows_dropped) == (
        shards.rows_in,
        shards.rows_out,
        shards.rows_dropped,
    )
    assert sum(sum(of.windows.values()) for of in accounts) == sum(
        windows for (windows,) in lake.sql("select windows from tracks").fetchall()
    )


@pytest.mark.usefixtures("drawn")
def test_inspect_shows_and_draws_a_vessel_a_track_and_a_sample(
    built: Settings, ais: Callable[..., Result], tmp_path: Path
) -> None:
    lake = Lake(built.lake)
    sample = sample_of(lake, built, "train:0")
    for what in (str(sample.mmsi), str(sample.track), "train:0"):
        found = json.loads(ais("inspect", what, "--json").stdout)
        assert found["mmsi"] == sample.mmsi
        assert ("sample" in found) == (what == "train:0")
        assert all(of["mmsi"] == sample.mmsi for of in found["tracks"])
        if what != str(sample.mmsi):
            assert [of["track"] for of in found["tracks"]] == [sample.track]
    drawn = ais("inspect", "train:0", "--map", "map.png")
    assert drawn.exit_code == 0, drawn.output
    assert found["vessel"]["name"] in drawn.stdout
    assert Image.open(io.BytesIO((tmp_path / "map.png").read_bytes())).size[0] > 800
    hers = lake.track_lines([sample.mmsi])
    for what, tracks in ((str(sample.mmsi), hers["track"].to_pylist()), ("train:0", [sample.track])):
        written = ais("inspect", what, "--geoparquet", "lines.parquet")
        assert written.exit_code == 0, written.output
        lines = pq.read_table(tmp_path / "lines.parquet")
        assert b"geo" in lines.schema.metadata
        assert lines["track"].to_pylist() == tracks
    unknown = ais("inspect", "999999999")
    assert unknown.exit_code == 1
    assert "no vessel 999999999 has a record on the 1 days" in unknown.output


def test_windows_of_one_vessel_are_those_that_are_trained_on(built: Settings) -> None:
    lake = Lake(built.lake)
    stored = lake.table("materialized_windows", built.pile_keys)
    mmsi = stored["mmsi"][0].as_py()
    cut = lake.windows(mmsi)
    of_vessel = stored.filter(np.array(stored["mmsi"]) == mmsi).sort_by(
        [("track", "ascending"), ("start", "ascending")]
    )
    assert cut.num_rows == of_vessel.num_rows > 0
    for name in ("mmsi", "track", "start"):
        assert cut[name].to_pylist() == of_vessel[name].to_pylist()
    bits = [of["features"].combine_chunks().flatten().to_numpy().view(np.uint32) for of in (cut, of_vessel)]
    np.testing.assert_array_equal(*bits)
    assert lake.windows(mmsi, seq_len=4, max_horizon=4, stride=100).schema.field("features").type.list_size == 40
    assert lake.windows(1).num_rows == 0
