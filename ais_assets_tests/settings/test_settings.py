"""A wrong setting is refused with its name and what it should be; what is in force is shown, secrets apart."""

from datetime import date
from pathlib import Path

import pytest

from ais_assets.settings import SettingsError, Variable, in_force, load_settings


def test_defaults_serve() -> None:
    settings = load_settings()
    assert (settings.lake, settings.source, settings.window_len, settings.stride) == ("data/lake", "simulated", 928, 32)
    assert settings.days[0] == settings.first_day
    assert settings.days[-1] == settings.last_day


def test_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIS_FIRST_DAY", "2024-02-28")
    monkeypatch.setenv("AIS_LAST_DAY", "2024-03-01")
    monkeypatch.setenv("AIS_SHARDS", "64")
    settings = load_settings()
    assert settings.days == [date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1)]
    assert settings.shards == 64


@pytest.mark.parametrize(
    ("text", "classes"), [("", ()), ("class A", ("class A",)), (" class A , unknown,", ("class A", "unknown"))]
)
def test_classes_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch, text: str, classes: tuple[str, ...]) -> None:
    monkeypatch.setenv("AIS_CLASSES", text)
    assert load_settings().classes == classes


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("AIS_SHARDS", "0", r"AIS_SHARDS: .*greater than or equal to 1 .*'0'"),
        ("AIS_SHARDS", "many", "AIS_SHARDS: .*integer"),
        ("AIS_SOURCE", "dmi", "AIS_SOURCE: .*'dma'"),
        ("AIS_SOURCE", "norway", "AIS_SOURCE=norway needs AIS_SOURCE_URI"),
        ("AIS_FIRST_DAY", "2024-13-01", "AIS_FIRST_DAY: .*date"),
        ("AIS_FIRST_DAY", "2030-01-01", "AIS_LAST_DAY 2024-03-03 is before AIS_FIRST_DAY 2030-01-01"),
        ("AIS_LAKE", "s3://", "AIS_LAKE: .*s3://bucket/prefix"),
        ("AIS_LAKE", "gs://bucket/x", "AIS_LAKE: .*scheme 'gs'"),
        ("AIS_LAKE", "https://host/x", "AIS_LAKE .*must be a folder or s3"),
        ("AIS_LAKE", " ", "AIS_LAKE: is empty"),
        ("AIS_LAKE", "s3://lake/year#2024", "AIS_LAKE: .*has a #"),
        ("AIS_LAKE", "s3://lake/a?b", r"AIS_LAKE: .*has a \?"),
        ("AIS_LAKE", "s3://lake/a//b", "AIS_LAKE: .*empty part"),
        ("AIS_LAKE", "s3://lake/a/../b", "AIS_LAKE: .*empty part"),
        ("AIS_LAKE", "~/lake", "AIS_LAKE: .*write the folder out: /.*/lake"),
        ("AIS_CACHE", "~/cache", "AIS_CACHE: .*write the folder out: /.*/cache"),
        ("AIS_LAKE", "file://server/x", "AIS_LAKE: .*names the host 'server'"),
        ("AIS_LAKE", "file:///x#y", "AIS_LAKE: .*write %3F or %23"),
        ("AIS_S3_ENCRYPTION", "aes256", "AIS_S3_ENCRYPTION: must be AES256, aws:kms or aws:kms:KEY.*'aes256'"),
        ("AIS_S3_ENCRYPTION", "aws:kms:", "AIS_S3_ENCRYPTION: must be AES256"),
        ("AIS_S3_ENCRYPTION", "aws:kms:dsse", "AIS_S3_ENCRYPTION: must be AES256"),
        ("AIS_S3_STORAGE_CLASS", "STANDARD IA", "AIS_S3_STORAGE_CLASS: must be a storage class"),
        ("AIS_S3_STORAGE_CLASS", "DEEP_ARCHIVE", "AIS_S3_STORAGE_CLASS: cannot be read before S3 has restored it"),
        ("AIS_S3_ANONYMOUS", "maybe", "AIS_S3_ANONYMOUS: .*valid boolean"),
        ("AIS_MAX_GAP_SECONDS", "20000", "AIS_MAX_GAP_SECONDS: .*14400"),
        ("AIS_VALIDATION_FRACTION", "1", "AIS_VALIDATION_FRACTION: .*less than 1"),
        ("AIS_HOLDOUT_FROM", "2024-03-01", "AIS_HOLDOUT_FROM 2024-03-01 must be after AIS_FIRST_DAY"),
        ("AIS_HOLDOUT_FROM", "2024-03-04", "not after AIS_LAST_DAY 2024-03-03"),
        ("AIS_GATHER_GIGABYTES", "0", "AIS_GATHER_GIGABYTES: .*greater than 0"),
        ("AIS_CLASSES", "class A,C", "AIS_CLASSES_1: .*'class A', 'class B' or 'unknown' .*'C'"),
        ("AIS_MOVING_KNOTS", "0", "AIS_MOVING_KNOTS: .*greater than or equal to 0.1"),
        ("AIS_QUALITY_DAYS", "6", "AIS_QUALITY_DAYS: .*greater than or equal to 7"),
        ("AIS_THIN_SECONDS", "14401", "AIS_THIN_SECONDS 14401 is above AIS_MAX_GAP_SECONDS 14400"),
        ("AIS_MDS_THREADS", "0", "AIS_MDS_THREADS: .*greater than or equal to 1"),
        ("AIS_THIN_SECONDS", "-1", "AIS_THIN_SECONDS: .*greater than or equal to 0"),
    ],
)
def test_wrong_settings_say_what_they_should_be(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=message):
        load_settings()


def test_nobody_pays_unnamed() -> None:
    with pytest.raises(SettingsError, match="AIS_S3_ANONYMOUS and AIS_S3_REQUESTER_PAYS exclude each other"):
        load_settings(s3_anonymous=True, s3_requester_pays=True)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("file:///x/sp%20ace", "/x/sp ace"),
        ("file:///x/a%23b/", "/x/a#b"),
        ("/x/a#b?c d[/b]", "/x/a#b?c d[/b]"),
        ("s3://lake/a%20b", "s3://lake/a%20b"),
        ("s3://lake/", "s3://lake"),
    ],
)
def test_an_address_is_taken_literally(monkeypatch: pytest.MonkeyPatch, given: str, taken: str) -> None:
    monkeypatch.setenv("AIS_LAKE", given)
    assert load_settings().lake == taken


def test_an_unknown_variable_is_refused_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIS_MAX_SPEED_KNOT", "30")
    with pytest.raises(SettingsError, match="AIS_MAX_SPEED_KNOT in the environment is no setting; AIS_MAX_SPEED_KNOTS"):
        load_settings()
    monkeypatch.delenv("AIS_MAX_SPEED_KNOT")
    monkeypatch.setenv("AIS_QQQ", "1")
    with pytest.raises(SettingsError, match="AIS_QQQ in the environment is no setting; `ais settings` lists them"):
        load_settings()


def test_an_unknown_override_is_refused() -> None:
    with pytest.raises(SettingsError, match="'shrads' is no setting"):
        load_settings(shrads=3)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("AIS_SHARD=3", r"AIS_SHARD in \.env line 2 is no setting; AIS_SHARDS is"),
        ("AIS_SHARDS", r"\.env line 2: AIS_SHARDS has no value"),
        ("AIS_SHARDS 4", r"\.env line 2 is not NAME=value"),
    ],
)
def test_a_wrong_line_of_the_env_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f"AWS_PROFILE=somebody\n{line}\n")
    with pytest.raises(SettingsError, match=message):
        load_settings()


def test_what_is_in_force_says_where_it_came_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("AIS_SHARDS=3\nAIS_PILES=5\n")
    monkeypatch.setenv("AIS_PILES", "7")
    monkeypatch.setenv("AIS_CLASSES", "class A,unknown")
    shown = {variable.name: variable for variable in in_force(load_settings())}
    assert (shown["AIS_SHARDS"].value, shown["AIS_SHARDS"].origin) == ("3", ".env")
    assert (shown["AIS_PILES"].value, shown["AIS_PILES"].origin) == ("7", "environment")
    assert shown["AIS_CLASSES"].value == "class A,unknown"
    assert shown["AIS_SEED"] == Variable("AIS_SEED", "17", "default", "keys every random stream")
    assert all(variable.meaning for variable in shown.values())


def test_what_is_shown_can_be_set_again(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = load_settings(holdout_from=date(2024, 3, 2), ships_only=False, table_delimiter=";", ship_types=("a", "b"))
    for variable in in_force(wanted):
        if variable.value:
            monkeypatch.setenv(variable.name, variable.value)
    assert load_settings() == wanted


def test_no_secret_of_an_address_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIS_SOURCE", "dma")
    monkeypatch.setenv("AIS_SOURCE_URI", "https://anna:geheim@host/{day}.zip?at={day}&token=geheim")
    shown = {variable.name: variable.value for variable in in_force(load_settings())}
    assert shown["AIS_SOURCE_URI"] == "https://***@host/{day}.zip?at={day}&token=***"
    monkeypatch.setenv("AIS_SOURCE_URI", "gs://anna:geheim@host/x")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert "geheim" not in str(refused.value)
