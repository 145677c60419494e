"""`ais verify`: each kind of fault, made for real in a copy of a built lake, is named; the lake itself is whole."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from ais_assets.cli.main import main
from ais_assets.io.lake import Lake
from ais_assets.io.provenance import MADE_FROM, MADE_WITH
from ais_assets.ledger import Ledger
from ais_assets.operating.verification import Fault, verification, windows_unlike_tracks
from ais_assets.settings import Settings
from ais_assets.stream import RecordStream
from ais_assets_tests.integration.test_graph import SMALL, stages_of


@pytest.fixture
def copied(small_lake: Settings, tmp_path: Path) -> Settings:
    """A copy of the small set, to be damaged."""
    shutil.copytree(small_lake.lake, tmp_path / "lake")
    return small_lake.model_copy(update={"lake": str(tmp_path / "lake"), "cache": tmp_path / "cache"})


def faults(settings: Settings) -> list[Fault]:
    """What the verification finds, of every window."""
    parts = verification(Lake(settings.lake), list(stages_of(settings).values()), settings, 0)
    return [fault for part in parts for fault in part.faults]


def rewritten(lake: Lake, asset: str, partition: str | None, table: pa.Table) -> None:
    """A partition with other rows, as sound as any and of the same provenance."""
    was = lake.describe(asset, partition)
    facts = {**was.facts, MADE_FROM: was.facts[MADE_FROM], MADE_WITH: was.facts[MADE_WITH]}
    ledger = Ledger(table.num_rows, table.num_rows)
    lake.write(asset, partition, RecordStream(was.schema, iter([table.cast(was.schema)]), ledger, facts))


def test_a_whole_lake_has_no_fault_and_every_window_is_compared(small_lake: Settings) -> None:
    lake = Lake(small_lake.lake)
    parts = list(verification(lake, list(stages_of(small_lake).values()), small_lake, 0))
    assert [fault for part in parts for fault in part.faults] == []
    stored = sum(lake.describe("materialized_windows", pile).rows for pile in small_lake.pile_keys)
    assert parts[-1].looked_at == 2 * stored + lake.describe("validation").rows + lake.describe("holdout").rows


def test_a_flipped_byte_is_found_in_the_partition_that_has_it(copied: Settings) -> None:
    path = Path(copied.lake) / "materialized/windows/00001.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    parts = verification(Lake(copied.lake), list(stages_of(copied).values()), copied, 0)
    next(parts)
    assert {fault.where for fault in next(parts).faults} == {"materialized_windows[00001]"}


def test_a_missing_shard_of_mds_is_named(copied: Settings) -> None:
    lake = Lake(copied.lake)
    folder = Path(copied.lake) / lake.folder_key("mds_shards", "00000")
    next(path for path in folder.iterdir() if path.name != "index.json").unlink()
    parts = verification(lake, list(stages_of(copied).values()), copied, 1)
    next(parts)
    assert {fault.where for fault in next(parts).faults} == {"mds_shards[00000]"}


def test_an_archive_that_was_changed_since_it_was_landed_is_named(copied: Settings) -> None:
    lake = Lake(copied.lake)
    with lake.local_file("raw_archives", "2024-03-02", "aisdk-2024-03-02.zip") as path:
        path.write_bytes(path.read_bytes()[:-1])
    assert {fault.where for fault in faults(copied)} == {"raw_archives[2024-03-02]"}


def test_an_index_of_former_shards_is_stale(copied: Settings) -> None:
    path = Path(copied.lake) / "mds/index.json"
    index = json.loads(path.read_bytes())
    current = index["shards"][0]["zip_data"]["basename"].split("/")[0]
    path.write_text(path.read_text().replace(current, "00000-0123456789ab"))
    named = [fault for fault in faults(copied) if fault.where.endswith("mds/index.json")]
    assert [fault.what for fault in named] == [
        "is older than mds_shards: it names 00000-0123456789ab; materialize training_dataset again"
    ]


@pytest.mark.parametrize(
    ("key", "content", "where", "what"),
    [
        ("mds/index.json", None, "mds/index.json", "materialize training_dataset again"),
        ("mds/index.json", b'{"version"', "mds/index.json", "damaged \\(.*\\); materialize training_dataset again"),
        ("mds/index.json", b"{}", "mds/index.json", "damaged \\(.*\\); materialize training_dataset again"),
        ("mds/index.json", b"[]", "mds/index.json", "damaged \\(.*\\); materialize training_dataset again"),
        ("mds/statistics.json", None, "mds/index.json", "materialize training_dataset again"),
        ("mds/statistics.json", b"{}", "mds/index.json", "damaged \\(.*'index'.*; materialize training_dataset again"),
        ("mds/statistics.json", b'{"index": "x"}', "mds/statistics.json", "are of another index"),
        ("mds/statistics.json", b"null", "mds/index.json", "damaged \\(.*\\); materialize training_dataset again"),
        ("mds/00000.json", b"{", "mds_shards[00000]", "is damaged .*: materialize mds_shards\\[00000\\] again"),
        ("mds/00000.json", b"[]", "mds_shards[00000]", "it is no JSON object"),
        ("raw_archives/2024-03-01.json", b"{}", "raw_archives[2024-03-01]", "it has no folder"),
        ("reports/dead_reckoning.json", b"{", "dead_reckoning", "is damaged .*: materialize dead_reckoning again"),
        ("track_shards/index.json", b"null", "track_shards/index.json", ""),
        ("track_shards/index.json", None, "track_shards/index.json", "is not published; `ais build`"),
        ("track_shards/index.json", b"{}", "track_shards/index.json", ""),
        ("track_shards/0001.parquet", None, "track_shards/index.json", "names 0001.parquet, of which no file is as"),
        ("track_shards/0001.parquet", None, "validation", "cannot be held against the tracks: track_shards has"),
        ("vessels/vessels.parquet", None, "splits", "vessels"),
        ("materialized/validation.parquet", b"PAR1", "validation", "cannot be held against the tracks: .*validation"),
    ],
)
def test_what_an_index_does_not_hold_any_more_is_named(
    copied: Settings, key: str, content: bytes | None, where: str, what: str
) -> None:
    path = Path(copied.lake) / key
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    found = [fault for fault in faults(copied) if fault.where.removeprefix(f"{copied.lake}/") == where]
    assert any(re.search(what, fault.what) for fault in found), faults(copied)


def test_a_vessel_in_two_splits_is_named(copied: Settings) -> None:
    lake = Lake(copied.lake)
    validation, training = lake.table("validation"), lake.table("materialized_windows", ["00000"])
    leaked = training.slice(0, 1)
    rewritten(lake, "validation", None, pa.concat_tables([validation, leaked]))
    assert f"hull {leaked['mmsi'][0].as_py()}" in {fault.where for fault in faults(copied)}


def test_a_window_that_is_not_its_tracks_is_found_under_sound_checksums(copied: Settings) -> None:
    lake = Lake(copied.lake)
    windows = lake.table("materialized_windows", ["00000"])
    values = windows["features"].combine_chunks().flatten().to_numpy().copy()
    values[7] = np.nextafter(values[7], np.float32(np.inf))
    kind = windows.schema.field("features").type
    spoiled = windows.set_column(
        0, windows.schema.field(0), pa.FixedSizeListArray.from_arrays(pa.array(values), type=kind)
    )
    assert windows_unlike_tracks(lake, windows, copied) == []
    start = np.datetime64(windows["start"][0].as_py().replace(tzinfo=None), "ms")
    assert windows_unlike_tracks(lake, spoiled, copied) == [f"track {windows['track'][0].as_py()} at {start}"]
    rewritten(lake, "materialized_windows", "00000", spoiled)
    assert any(
        fault.where == "materialized_windows[00000]" and fault.what.startswith("1 of ") for fault in faults(copied)
    )


def test_a_chain_of_other_settings_is_stale_and_the_command_says_so(
    small_lake: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIS_LAKE", small_lake.lake)
    for name, value in SMALL.items():
        monkeypatch.setenv(f"AIS_{name.upper()}", str(value))
    sound = CliRunner().invoke(main, ["verify", "--windows", "2"])
    assert (sound.exit_code, sound.stdout) == (0, f"{small_lake.lake} is what it says\n")
    monkeypatch.setenv("AIS_MAX_SPEED_KNOTS", "20")
    stale = CliRunner().invoke(main, ["verify", "--windows", "2", "--json"])
    assert stale.exit_code == 1
    found = json.loads(stale.stdout)["parts"][0]["faults"]
    assert {fault["where"] for fault in found} >= {f"track_shards[{shard}]" for shard in small_lake.shard_keys}
    assert "AIS_MAX_SPEED_KNOTS=50" in found[0]["what"]
    shown = CliRunner().invoke(main, ["verify", "--windows", "2"], env={"COLUMNS": "200"})
    assert shown.exit_code == 1
    assert f"as the settings say: 26 partitions, {len(found)} faults\n" in shown.stderr
    assert f"{len(found):,} faults" in shown.stdout
    assert all(re.search(rf" {re.escape(fault['where'])} ", shown.stdout) for fault in found)
