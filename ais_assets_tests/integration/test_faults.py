"""Bad input through the `ais` command: a clear error, nothing stored lost, and the next run after the cure succeeds."""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from ais_assets.cli.main import main
from ais_assets.cli.terminal import instance_home
from ais_assets.io.lake import Lake
from ais_assets_tests.ais_command import ais_here, run_ais
from ais_assets_tests.s3_server import S3Server

HEADER = (
    "# Timestamp,Type of mobile,MMSI,Latitude,Longitude,Navigational status,ROT,SOG,COG,Heading,IMO,Callsign,Name,"
    "Ship type,Cargo type,Width,Length,Type of position fixing device,Draught,Destination,ETA,Data source type,A,B,C,D"
)


def position_report(second: int, mmsi: int = 219000734) -> str:
    """A row as the Danish authority prints it, `second` seconds after midnight."""
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    return (
        f"01/03/2024 {clock},Class A,{mmsi},{57 + second / 1e5:.6f},10.921933,Under way using engine,,4.0,352.8,351,"
        "9107370,OXXL,ANE LAESOE,Passenger,,15,54,GPS,2.9,LAESOE,22/07/2024 11:00:00,AIS,24,30,7,8"
    )


def write_archive(folder: Path, day: str, rows: int) -> Path:
    """A daily archive of one ship under way."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"aisdk-{day}.zip"
    lines = [HEADER, *(position_report(10 * k) for k in range(rows))]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"aisdk-{day}.csv", "\n".join(lines) + "\n")
    return path


class Workplace:
    """A folder with a source and a lake, and the `ais` command in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = folder / "source"
        self.lake = Lake(folder / "lake")
        self.settings = {
            "AIS_SOURCE": "dma",
            "AIS_SOURCE_URI": str(self.source),
            "AIS_LAKE": str(folder / "lake"),
            "AIS_CACHE": str(folder / "cache"),
            "AIS_FIRST_DAY": "2024-03-01",
            "AIS_LAST_DAY": "2024-03-01",
            "AIS_SHARDS": "1",
            "AIS_PILES": "1",
        }

    def ais(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Runs the command; its output is text. A stack that a user would see is raised."""
        return ais_here(arguments, {**self.settings, **settings}, self.folder)

    def shell(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Runs the command as a user's shell does, in processes of its own."""
        return run_ais(arguments, {**self.settings, **settings}, self.folder)


DAY_STAGES = ("--only", "raw_archives", "--only", "raw_records", "--only", "clean_records", "--workers", "1")


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def test_a_truncated_archive_and_its_cure(workplace: Workplace) -> None:
    path = write_archive(workplace.source, "2024-03-01", 500)
    assert workplace.ais("build", *DAY_STAGES).returncode == 0
    stored = workplace.lake.table("clean_records")
    assert stored.num_rows == 500

    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    failed = workplace.ais("build", "--all", *DAY_STAGES)
    assert failed.returncode != 0
    assert "aisdk-2024-03-01.zip" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert workplace.lake.table("clean_records").equals(stored)

    path.write_bytes(whole)
    assert workplace.ais("build", "--all", *DAY_STAGES).returncode == 0
    assert workplace.lake.table("clean_records").equals(stored)


def test_a_home_that_is_not_there_is_made(workplace: Workplace) -> None:
    write_archive(workplace.source, "2024-03-01", 5)
    # Relative to the folder that the command runs in; Dagster itself takes absolute ones only.
    built = workplace.shell("build", "--only", "raw_archives", "--workers", "1", DAGSTER_HOME="some/where")
    assert built.returncode == 0, built.stderr
    home = workplace.folder / "some" / "where"
    assert yaml.safe_load((home / "dagster.yaml").read_text())["telemetry"] == {"enabled": False}
    assert (home / "history").is_dir()


def test_a_dagster_yaml_of_the_users_own_is_left_and_a_missing_one_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert instance_home() == tmp_path
    assert yaml.safe_load((tmp_path / "dagster.yaml").read_text())["telemetry"] == {"enabled": False}
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: true}")
    assert instance_home() == tmp_path
    assert (tmp_path / "dagster.yaml").read_text() == "telemetry: {enabled: true}"


def test_a_home_that_cannot_be_made_is_named(workplace: Workplace) -> None:
    (workplace.folder / "file").write_text("no folder")
    home = str(workplace.folder / "file" / "home")
    refused = CliRunner().invoke(main, ["build", *DAY_STAGES], env={**workplace.settings, "DAGSTER_HOME": home})
    assert refused.exit_code != 0
    assert "Traceback" not in refused.stderr
    assert re.search("runs cannot be recorded in .*file/home.* Set DAGSTER_HOME", refused.stderr.replace("\n", " "))


def test_what_is_damaged_at_rest_is_named_and_built_anew(workplace: Workplace) -> None:
    write_archive(workplace.source, "2024-03-01", 500)
    assert workplace.ais("build", *DAY_STAGES).returncode == 0
    whole = {}
    for name in ("raw_records/2024-03-01.parquet", "raw_archives/2024-03-01.json"):
        path = workplace.folder / "lake" / name
        whole[path] = path.read_bytes()
        # The last byte but the footer's length, and the first of JSON.
        place = len(whole[path]) - 20 if name.endswith(".parquet") else 0
        path.write_bytes(whole[path][:place] + b"\xff" + whole[path][place + 1 :])
    told = workplace.ais("status", "--check")
    assert told.returncode == 1
    assert "Traceback" not in told.stderr
    for asset in ("raw_records", "raw_archives"):
        assert re.search(rf"{asset}: 1 stale: 2024-03-01, which cannot be read: .*{asset}/2024-03-01", told.stdout)
    built = workplace.ais("build", *DAY_STAGES)
    assert built.returncode == 0, built.stderr
    assert {path: path.read_bytes() for path in whole} == whole


def test_an_empty_day(workplace: Workplace) -> None:
    write_archive(workplace.source, "2024-03-01", 0)
    failed = workplace.ais("build", *DAY_STAGES)
    assert failed.returncode != 0
    assert "no rows" in failed.stderr
    write_archive(workplace.source, "2024-03-01", 3)
    assert workplace.ais("build", "--all", *DAY_STAGES).returncode == 0


def test_no_such_place_and_no_such_files(workplace: Workplace) -> None:
    missing = workplace.ais("build", *DAY_STAGES)
    assert missing.returncode != 0
    assert str(workplace.source) in missing.stderr
    workplace.source.mkdir()
    (workplace.source / "holiday.jpg").write_bytes(b"x")
    foreign = workplace.ais("build", *DAY_STAGES)
    assert foreign.returncode != 0
    assert "aisdk-" in foreign.stderr, "says which names were expected"


def test_a_day_never_published_holds_nothing_up(workplace: Workplace) -> None:
    write_archive(workplace.source, "2024-03-01", 200)
    built = workplace.ais(
        "build", *DAY_STAGES, "--only", "vessels", "--only", "track_shards", "--json", AIS_LAST_DAY="2024-03-02"
    )
    assert built.returncode == 0, built.stderr
    assert workplace.lake.manifest("raw_archives", "2024-03-02")["facts"]["published"] is False
    assert workplace.lake.describe("track_shards", "0000").rows == 200
    shown = {stage["asset"]: stage for stage in json.loads(built.stdout)["stages"]}
    assert shown["clean_records"]["partitions_there"] == 2


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (("build", "--from", "2024-04-01"), {}, "2024-04-01.*(leaves the range|is after)"),
        (("build", "--only", "clean"), {}, "no asset 'clean'; there are raw_archives"),
        (("build",), {"AIS_PILES": "0"}, "AIS_PILES"),
        (("status",), {"AIS_LAKE": "ftp://x/y"}, "AIS_LAKE.*scheme 'ftp'"),
    ],
)
def test_wrong_words_are_refused_at_once(
    workplace: Workplace, arguments: tuple[str, ...], settings: dict[str, str], message: str
) -> None:
    refused = workplace.ais(*arguments, **settings)
    assert refused.returncode != 0
    assert "Traceback" not in refused.stderr
    assert re.search(message, refused.stderr.replace("\n", " "))


def test_unreachable_buckets_and_wrong_keys(workplace: Workplace, s3_environment: S3Server) -> None:
    write_archive(workplace.source, "2024-03-01", 3)
    absent = workplace.ais("build", *DAY_STAGES, AIS_LAKE="s3://no-such-bucket-at-all/p")
    assert absent.returncode != 0
    assert "nothing can be written in s3://no-such-bucket-at-all/p" in absent.stderr.replace("\n", " ")
    assert "NoSuchBucket" in absent.stderr
    assert "raw_archives" not in absent.stderr, "it is found before anything is made"
    wrong = workplace.ais("build", *DAY_STAGES, AIS_LAKE="s3://no-such-bucket-at-all/p", AWS_SECRET_ACCESS_KEY="wrong")
    assert wrong.returncode != 0
    assert "AWS_SECRET_ACCESS_KEY" in wrong.stderr
    assert s3_environment.secret_key not in wrong.stderr + wrong.stdout
    dead = workplace.ais(
        "status", AIS_LAKE="s3://bucket/p", AWS_ENDPOINT_URL="http://127.0.0.1:9", AIS_S3_PATIENCE_SECONDS="0"
    )
    assert dead.returncode != 0
    assert "cannot be reached" in dead.stderr


def test_changed_shards_are_noticed(workplace: Workplace) -> None:
    write_archive(workplace.source, "2024-03-01", 100)
    assert workplace.ais("build", *DAY_STAGES, "--only", "vessels").returncode == 0
    failed = workplace.ais("build", "--only", "track_shards", "--workers", "1", AIS_SHARDS="2")
    assert failed.returncode != 0
    assert "AIS_SHARDS=1, this run has 2: materialize clean_records again" in failed.stderr.replace("\n", " ")
