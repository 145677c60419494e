"""A wrong setting is refused with its name and what it should be."""

from datetime import date

import pytest

from ais_assets.settings import SettingsError, load_settings


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
        ("AIS_SOURCE", "dma", "AIS_SOURCE=dma needs AIS_SOURCE_URI"),
        ("AIS_FIRST_DAY", "2024-13-01", "AIS_FIRST_DAY: .*date"),
        ("AIS_FIRST_DAY", "2030-01-01", "AIS_LAST_DAY 2024-03-03 is before AIS_FIRST_DAY 2030-01-01"),
        ("AIS_LAKE", "s3://", "AIS_LAKE: .*s3://bucket/prefix"),
        ("AIS_LAKE", "gs://bucket/x", "AIS_LAKE: .*scheme 'gs'"),
        ("AIS_LAKE", "https://host/x", "AIS_LAKE .*must be a folder or s3"),
        ("AIS_LAKE", " ", "AIS_LAKE: is empty"),
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
