"""Releases: what was published before stays readable until it is pruned, and can be compared with what is now."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
from click.testing import CliRunner

from ais_assets.cli.main import main
from ais_assets.io.lake import Lake, OtherReleaseError
from ais_assets.io.releases import ListedRelease
from ais_assets.io.streaming_loader import LoaderError, TrackWindowDataset
from ais_assets.loader.normalize import normalize_batch
from ais_assets.operating.prune import leftovers, releases_to_keep, remove
from ais_assets.operating.release_verification import release_verification
from ais_assets.operating.verification import Fault
from ais_assets.resources.lake import LakeResource
from ais_assets.resources.training_loader import TrainingLoaderResource
from ais_assets.settings import Settings, load_settings
from ais_assets_tests.integration.test_graph import SMALL, all_by_name, materialize, windows_by_name

FIRST: dict[str, Any] = {**SMALL, "last_day": "2024-03-01", "shards": 2, "piles": 1}
SECOND: dict[str, Any] = {**FIRST, "last_day": "2024-03-02", "shards": 1, "moving_knots": 0.6}


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, dict[str, Any]]:
    """A lake with two releases, and what training code read of the first while it was the current one."""
    folder = tmp_path_factory.mktemp("releases")
    where = {"lake": str(folder / "lake"), "cache": folder / "cache"}
    with dg.DagsterInstance.ephemeral() as instance:
        materialize(load_settings(**where, **FIRST), instance, together=True)
        before = read(Lake(where["lake"]), folder / "before", None)
        second = load_settings(**where, **SECOND)
        materialize(second, instance, together=True)
    return second, before


@pytest.fixture
def copied(twice: tuple[Settings, dict[str, Any]], tmp_path: Path) -> Lake:
    """A copy of it, to be pruned."""
    shutil.copytree(twice[0].lake, tmp_path / "lake")
    return Lake(tmp_path / "lake")


def read(lake: Lake, cache: Path, release: str | None) -> dict[str, Any]:
    """All windows of a release, from MDS and from tracks, and how the first of them are when normalized."""
    with lake.loader(cache / "mds", provenance=True, release=release) as mds:
        windows = all_by_name(mds)
    with lake.loader(cache / "mds", normalize="statistics", shuffle=False, release=release) as normalized:
        first = next(iter(normalized)).numpy()
    tracks = lake.loader(cache, "tracks", split="validation", provenance=True, release=release)
    return {
        "release": tracks.release,
        "mds": windows,
        "validation": windows_by_name(tracks.batch(np.arange(tracks.windows))),
        "normalized": first,
    }


def ids(lake: Lake) -> tuple[str, str]:
    """Of the former release and the current one."""
    now, before = lake.releases()
    return before.release.release, now.release.release


def test_a_former_release_is_read_as_it_was(twice: tuple[Settings, dict[str, Any]], tmp_path: Path) -> None:
    settings, before = twice
    lake = Lake(settings.lake)
    former, current = ids(lake)
    again = read(lake, tmp_path, former)
    assert again.pop("release") == before["release"] == former
    np.testing.assert_array_equal(again.pop("normalized"), before["normalized"])
    assert again == {name: before[name] for name in again}
    now = read(lake, tmp_path, current)
    assert now["mds"].keys() != before["mds"].keys()
    # The cache of the former release is none of the current one's.
    latest = read(lake, tmp_path, None)
    np.testing.assert_array_equal(latest.pop("normalized"), now.pop("normalized"))
    assert latest == now


def test_a_release_says_what_it_is(twice: tuple[Settings, dict[str, Any]]) -> None:
    settings, before = twice
    lake = Lake(settings.lake)
    now, former = lake.releases()
    assert (now.is_current, now.is_readable, former.is_current, former.is_readable) == (True, True, False, True)
    assert list(former.release.days) == ["2024-03-01"]
    assert former.release.windows["train"] == len(before["mds"])
    assert former.release.splits["validation"]["windows"] == len(before["validation"])
    assert former.release.settings["last_day"] == "2024-03-01"
    assert "lake" not in former.release.settings
    assert now.release.rows["clean_records"]["out"] == sum(
        lake.ledger("clean_records", day).rows_out for day in settings.day_keys
    )
    assert now.release.dropped["clean_records"].items() >= {"exact_duplicate": _dropped(lake, settings)}.items()
    assert now.release.bytes["tracks"] == lake.store.size("track_shards/0000.parquet")


def _dropped(lake: Lake, settings: Settings) -> int:
    return sum(lake.ledger("clean_records", day).dropped["exact_duplicate"] for day in settings.day_keys)


def test_a_release_that_is_not_there_is_named_with_those_that_are(
    twice: tuple[Settings, dict[str, Any]], tmp_path: Path
) -> None:
    lake = Lake(twice[0].lake)
    former, current = ids(lake)
    for wrong in ("0123456789abcdef", "../index"):
        for format_ in ("mds", "tracks"):
            with pytest.raises(LoaderError, match=rf"pruned, or never .*: {current} \(the current one\), {former}$"):
                lake.loader(tmp_path, format_, release=wrong)
    with pytest.raises(OtherReleaseError, match=r"validation.parquet is not of release .*cuts windows from its tracks"):
        lake.validation_loader(release=former)
    assert lake.validation_loader(release=current).release == current


def test_statistics_of_validation_are_those_of_its_release(twice: tuple[Settings, dict[str, Any]]) -> None:
    lake = Lake(twice[0].lake)
    _, current = ids(lake)
    statistics = json.loads(lake.store.read(f"mds/releases/{current}/statistics.json"))
    plain = next(iter(lake.validation_loader()))
    pinned = next(iter(lake.validation_loader(release=current, normalize="statistics")))
    np.testing.assert_array_equal(pinned.numpy(), normalize_batch(plain, statistics).numpy())


def test_the_resource_pins_a_release(twice: tuple[Settings, dict[str, Any]], tmp_path: Path) -> None:
    settings, before = twice
    former, _ = ids(Lake(settings.lake))
    resource = TrainingLoaderResource(
        lake=LakeResource.from_settings(settings), cache=str(tmp_path), format="tracks", release=former
    )
    training = resource.training_dataset()
    assert isinstance(training, TrackWindowDataset)
    assert training.windows == len(before["mds"])
    assert resource.validation_dataset().release == former


def gone(lake: Lake, tmp_path: Path, keep: set[str]) -> set[str]:
    """Prunes all that may go by the hour after next; returns what went."""
    found = leftovers(lake, tmp_path / "cache", time.time() + 7200, (), keep)
    for leftover in found:
        remove(lake, leftover)
    return {leftover.where for leftover in found}


def test_what_is_kept_outlives_a_prune(copied: Lake, twice: tuple[Settings, dict[str, Any]], tmp_path: Path) -> None:
    former, _ = ids(copied)
    assert gone(copied, tmp_path, releases_to_keep(copied, 2)) == set()
    assert gone(copied, tmp_path, releases_to_keep(copied, 1, [former])) == set()
    assert read(copied, tmp_path, former)["mds"] == twice[1]["mds"]
    with pytest.raises(ValueError, match="AIS_PINNED_RELEASES: abc is no release of"):
        releases_to_keep(copied, 1, ["abc"])


def test_what_is_pruned_stays_in_the_list_and_is_read_no_more(
    copied: Lake, twice: tuple[Settings, dict[str, Any]], tmp_path: Path
) -> None:
    former, current = ids(copied)
    now = read(copied, tmp_path / "before", None)
    went = gone(copied, tmp_path, releases_to_keep(copied, 1))
    assert {f"track_shards/releases/{former}", f"mds/releases/{former}", f"figures/{former}"} <= went
    assert sum(where.startswith("track_shards/kept/00") for where in went) == 2
    assert sum(where.startswith("mds/00000-") for where in went) == 1
    listed = copied.releases()
    assert [(each.release.release, each.is_readable) for each in listed] == [(current, True), (former, False)]
    with pytest.raises(LoaderError, match=rf"There are: {current} \(the current one\)$"):
        copied.loader(tmp_path / "after", "tracks", release=former)
    assert read(copied, tmp_path / "after", None)["mds"] == now["mds"]
    assert ids(copied)[0] == former


def faults(lake: Lake, release: str) -> list[Fault]:
    """What the verification of a release finds, of every window."""
    (listed,) = [each for each in lake.releases() if each.release.release == release]
    return [fault for part in release_verification(lake, listed, 0) for fault in part.faults]


def test_whole_releases_have_no_fault_and_every_window_is_compared(twice: tuple[Settings, dict[str, Any]]) -> None:
    lake = Lake(twice[0].lake)
    for listed in lake.releases():
        parts = list(release_verification(lake, listed, 0))
        assert [fault for part in parts for fault in part.faults] == []
        assert [part.looked_at > 0 for part in parts] == [True] * 5
        assert parts[-1].looked_at == listed.release.windows["train"]


def test_a_flipped_byte_of_a_former_releases_tracks_is_named(copied: Lake) -> None:
    former, current = ids(copied)
    index = json.loads(copied.store.read(f"track_shards/releases/{former}/index.json"))
    path = Path(copied.uri) / "track_shards" / index["files"][0]["kept"]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    found = faults(copied, former)
    assert found[0] == Fault(
        "track_shards/0000.parquet", "is not there as this release has it, under this name or another"
    )
    assert {fault.where for fault in found[1:]} > {"splits"}
    assert faults(copied, current) == []


def test_a_former_releases_lost_or_damaged_shards_are_named(copied: Lake) -> None:
    former, current = ids(copied)
    index = json.loads(copied.store.read(f"mds/releases/{former}/index.json"))
    lost, damaged = [shard["zip_data"]["basename"] for shard in index["shards"]][:2]
    (Path(copied.uri) / "mds" / lost).unlink()
    path = Path(copied.uri) / "mds" / damaged
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert [fault.where for fault in faults(copied, former)] == [f"mds/{lost}", f"mds/{damaged}"]
    assert faults(copied, current) == []


def test_an_index_that_is_not_the_releases_is_named(copied: Lake) -> None:
    former, _ = ids(copied)
    path = Path(copied.uri) / "track_shards" / "releases" / former / "index.json"
    index = json.loads(path.read_bytes())
    index["made_from"]["track_shards"]["0001"] = "0" * 16
    path.write_text(json.dumps(index))
    where = f"track_shards/releases/{former}/index.json"
    first, second = faults(copied, former)
    assert (first.where, second.where) == (where, where)
    assert first.what.startswith(f"is of release {former}, and what it names as made from is ")
    assert second.what == "track_shards[0001] is not the one that the release is made from"
    statistics = Path(copied.uri) / "mds" / "releases" / former / "statistics.json"
    statistics.write_text(statistics.read_text().replace('"index": "', '"index": "0'))
    assert Fault(f"mds/releases/{former}/statistics.json", "are of another index") in faults(copied, former)
    path.unlink()
    assert faults(copied, former) == [Fault(former, "was pruned: of this release only its record is left")]


def test_commands(twice: tuple[Settings, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings, before = twice
    former, current = ids(Lake(settings.lake))
    monkeypatch.chdir(tmp_path)
    for name, value in {"lake": settings.lake, "cache": tmp_path, **SECOND}.items():
        monkeypatch.setenv(f"AIS_{name.upper()}", str(value))

    def run(*words: str) -> Any:
        result = CliRunner().invoke(main, list(words))
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout) if "--json" in words else result.stdout

    listed = run("releases", "--json")["releases"]
    assert [each["release"] for each in listed] == [current, former]
    assert [each["current"] for each in listed] == [True, False]
    assert listed[1]["windows"]["train"] == len(before["mds"])
    shown = run("releases")
    assert current in shown
    assert former in shown
    found = run("diff", former[:6], "--json")
    assert (found["before"], found["after"]) == (former, current)
    assert (found["days_added"], found["days_removed"], found["days_changed"]) == (["2024-03-02"], [], ["2024-03-01"])
    assert found["settings"] == {
        "last_day": {"before": "2024-03-01", "after": "2024-03-02"},
        "shards": {"before": 2, "after": 1},
        "moving_knots": {"before": 0.5, "after": 0.6},
    }
    assert found["windows"]["train"]["before"] == len(before["mds"]) < found["windows"]["train"]["after"]
    assert found["features"]["sog mean"]["before"] != found["features"]["sog mean"]["after"]
    assert found["vessels_removed"] == []
    assert found["dropped"]["clean_records: exact_duplicate"]["before"] > 0
    assert "AIS" not in run("diff", former, current)
    assert run("diff", current) == f"{current} and {current} are of the same data and settings\n"
    verified = run("verify", "--release", former[:6], "--json")
    assert [part["faults"] for part in verified["parts"]] == [[]] * 5
    assert run("verify", "--release", former).endswith(f"the release {former} is what it says\n")
    wrong = CliRunner().invoke(main, ["diff", "zz"])
    assert wrong.exit_code == 1
    assert f"there are: {current}, {former}" in wrong.output
    assert json.loads(CliRunner().invoke(main, ["prune", "--dry-run", "--json"]).stdout)["leftovers"] == []
    pruned = json.loads(CliRunner().invoke(main, ["prune", "--dry-run", "--older-than", "0", "--json"]).stdout)
    assert {f"track_shards/releases/{former}"} <= {each["where"] for each in pruned["leftovers"]}
    kept = CliRunner().invoke(main, ["prune", "--dry-run", "--older-than", "0", "--keep-releases", "2", "--json"])
    assert not any(former in each["where"] for each in json.loads(kept.stdout)["leftovers"])


def test_a_lake_without_any_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIS_LAKE", str(tmp_path / "lake"))
    assert "has no release" in CliRunner().invoke(main, ["releases"]).output
    releases: list[ListedRelease] = Lake(tmp_path / "lake").releases()
    assert releases == []
