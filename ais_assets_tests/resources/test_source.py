"""What the source needs and nobody else may read: Dagster keeps its address without what is secret."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster_shared.serdes import serialize_value

from ais_assets.definitions import build_definitions
from ais_assets.resources.source import SourceResource
from ais_assets.settings import Settings, load_settings
from ais_assets.sources.source import SourceError
from ais_assets_tests.sources.csv_rows import HEADER, row
from ais_assets_tests.sources.landing.web_server import WebServer, running_web_server

DAY = date(2024, 3, 1)
SECRETS = ("anna", "geheim", "tokentoken")


@pytest.fixture
def web() -> Iterator[WebServer]:
    with running_web_server() as server:
        server.files["/aisdk-2024-03-01.csv"] = f"{HEADER}\n{row(timestamp='01/03/2024 00:00:00')}\n".encode()
        yield server


@pytest.fixture
def settings(web: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    host = web.url.removeprefix("http://")
    user, password, token = SECRETS
    monkeypatch.setenv("AIS_SOURCE_URI", f"http://{user}:{password}@{host}/aisdk-{{day}}.csv?token={token}")
    return load_settings(
        source="dma", first_day=DAY, last_day=DAY, lake=str(tmp_path / "lake"), cache=tmp_path / "cache"
    )


@pytest.mark.filterwarnings("ignore:Property `ScheduleDefinition.environment_vars`")  # Dagster's, of its own snapshot
def test_dagster_stores_no_secret_of_the_address(settings: Settings, web: WebServer, tmp_path: Path) -> None:
    definitions = build_definitions(settings)
    home = tmp_path / "dagster"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        job = definitions.resolve_job_def("raw_archives_job")
        assert job.execute_in_process(partition_key=DAY.isoformat(), instance=instance).success
        snapshot = serialize_value(RepositorySnap.from_def(definitions.get_repository_def()))
    path, headers = web.requests[-1]
    assert path.endswith("?token=tokentoken"), "the source was asked with them"
    assert headers["Authorization"].startswith("Basic ")
    assert "aisdk-{day}.csv" in snapshot
    files = [file for folder in ("dagster", "lake") for file in (tmp_path / folder).rglob("*") if file.is_file()]
    stored = {file: file.read_bytes() for file in files}
    assert any(file.suffix == ".db" for file in stored)
    for secret in SECRETS:
        assert secret not in snapshot
        assert not [file for file, content in stored.items() if secret.encode() in content]


def test_without_the_environment_of_the_address_it_says_what_is_missing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SourceResource.from_settings(settings)
    monkeypatch.setenv("AIS_SOURCE_URI", "http://elsewhere/aisdk-{day}.csv?token=x")
    with pytest.raises(SourceError, match="set AIS_SOURCE_URI to the whole address"):
        source.open()
