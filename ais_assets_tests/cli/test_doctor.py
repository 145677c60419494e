"""`ais doctor`: what will not do is named with its cure, and told by the exit code."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from boto3.session import Session
from click.testing import CliRunner

from ais_assets.cli.main import main
from ais_assets.operating import doctor
from ais_assets.store.objects import STAGING, S3Store
from ais_assets_tests.s3_server import S3Server


class Usage(NamedTuple):
    """Of a disk, as `shutil.disk_usage` has it."""

    total: int
    used: int
    free: int


@pytest.fixture
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIS_LAKE", str(tmp_path / "lake"))
    monkeypatch.setenv("AIS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 0, 1 << 40))
    monkeypatch.setattr(doctor, "available_memory", lambda: 1 << 40)


def examined() -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and each finding by what it is of."""
    run = CliRunner().invoke(main, ["doctor", "--json"], catch_exceptions=False)
    return run.exit_code, {finding["what"]: finding for finding in json.loads(run.stdout)["findings"]}


@pytest.mark.usefixtures("_workplace")
def test_a_machine_where_all_is_well(tmp_path: Path) -> None:
    code, found = examined()
    assert (code, {finding["verdict"] for finding in found.values()}) == (0, {"well"})
    assert found.keys() >= {"settings", "versions", "machine", "disk of AIS_LAKE", "disk of TMPDIR", "lake", "source"}
    assert list((tmp_path / "lake").rglob("*object*")) == [], "what was tried is gone"
    shown = CliRunner().invoke(main, ["doctor"], catch_exceptions=False)
    assert "can be written, listed, read and deleted in" in " ".join(shown.output.split())


@pytest.mark.usefixtures("_workplace")
def test_what_killed_runs_left(tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / "lake" / STAGING / "left"
    left.mkdir(parents=True)
    left.with_suffix(".lock").touch()
    assert examined()[1]["leftovers"]["verdict"] == "well"
    assert not left.exists(), "what is published by a trial takes it"
    monkeypatch.setenv("AIS_LAKE", f"s3://{bucket}/lake")
    Session().client("s3").create_multipart_upload(Bucket=bucket, Key="lake/mds/shard")
    # The server here dates it in 2010.
    code, found = examined()
    assert (code, found["leftovers"]["verdict"]) == (0, "warning")
    assert found["leftovers"]["found"] == "1 uploads that killed runs left: `ais prune` removes them"


@pytest.mark.usefixtures("_workplace")
def test_a_bucket(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIS_LAKE", f"s3://{bucket}/lake")
    code, found = examined()
    assert code == 0
    assert {found[what]["verdict"] for what in ("clock", "latency", "lake", "publishing")} == {"well"}
    assert "disk of AIS_LAKE" not in found
    assert Session().client("s3").list_objects_v2(Bucket=bucket)["KeyCount"] == 0, "what was tried is gone"


@pytest.mark.usefixtures("_workplace")
@pytest.mark.parametrize(
    ("variables", "what", "message"),
    [
        ({"AIS_LAKE": "s3://no-such-bucket-at-all/x"}, "lake", "nothing can be written in .*NoSuchBucket: create the"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "lake", "SignatureDoesNotMatch: check AWS_SECRET_ACCESS_KEY"),
        ({"AIS_SOURCE": "dma", "AIS_SOURCE_URI": "/no/such/folder"}, "source", "/no/such/folder"),
        ({"AIS_CACHE": "/proc/cache"}, "disk of AIS_CACHE", "cannot be written: set AIS_CACHE|free at /proc"),
    ],
)
def test_what_will_not_do(
    s3_environment: S3Server,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    what: str,
    message: str,
) -> None:
    monkeypatch.setenv("AIS_LAKE", f"s3://{bucket}/lake")
    monkeypatch.setenv("AIS_S3_PATIENCE_SECONDS", "0")
    if "AIS_CACHE" in variables:
        monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(1, 1, 0 if "proc" in str(place) else 1 << 40))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    code, found = examined()
    assert code == 1
    assert found[what]["verdict"] == "fault"
    assert re.search(message, found[what]["found"]), found[what]
    assert s3_environment.secret_key not in json.dumps(found)


@pytest.mark.usefixtures("_workplace")
def test_little_room_and_a_little_shared_memory_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(1, 1, (64 << 20) if "shm" in str(place) else 2 << 30))
    code, found = examined()
    assert code == 0
    assert found["disk of TMPDIR"]["verdict"] == found["shared memory"]["verdict"] == "warning"
    assert "--shm-size" in found["shared memory"]["found"]


@pytest.mark.usefixtures("_workplace")
@pytest.mark.parametrize(("hours", "verdict"), [(0.1, "warning"), (-0.5, "fault")])
def test_a_clock_that_is_wrong(bucket: str, monkeypatch: pytest.MonkeyPatch, hours: float, verdict: str) -> None:
    monkeypatch.setenv("AIS_LAKE", f"s3://{bucket}/lake")
    monkeypatch.setattr(S3Store, "clock_ahead_seconds", lambda _: 3600 * hours)
    code, found = examined()
    assert code == (verdict == "fault")
    assert found["clock"]["verdict"] == verdict
    assert ("ahead of" if hours > 0 else "behind") in found["clock"]["found"]


@pytest.mark.usefixtures("_workplace")
def test_an_instance_without_bounds_and_with_telemetry(tmp_path: Path) -> None:
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: true}")
    code, found = examined()
    assert code == 0
    assert found["telemetry"]["verdict"] == found["run monitoring"]["verdict"] == "warning"


@pytest.mark.usefixtures("_workplace")
def test_a_wrong_setting_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIS_PILES", "0")
    run = CliRunner().invoke(main, ["doctor"])
    assert run.exit_code == 1
    assert "AIS_PILES" in run.output
