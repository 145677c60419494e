"""What a team starts from: files that Dagster takes, that say the same as each other, and hold no secret."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from boto3.session import Session
from dagster import DagsterInstance
from dagster._cli.api import grpc_command
from dagster._core.instance.config import dagster_instance_config
from dagster._core.storage.compute_log_manager import ComputeIOType

from ais_assets.cli.terminal import DAGSTER_YAML
from ais_assets_tests.conftest import PROJECT
from ais_assets_tests.patience import PATIENCE_SECONDS
from ais_assets_tests.s3_server import S3Server

DEPLOY = PROJECT / "deploy"
RAY = DEPLOY / "ray" / "dagster.yaml"
COMPOSE = DEPLOY / "compose" / "compose.yaml"


def read(*parts: Path) -> dict[str, Any]:
    """The parts, one below the other, as `cat` puts them."""
    return yaml.safe_load("\n".join(part.read_text() for part in parts))


def test_parts_of_a_dagster_yaml_say_nothing_twice() -> None:
    parts = [DAGSTER_YAML, DEPLOY / "postgres.yaml", DEPLOY / "logs_in_s3.yaml"]
    assert len(read(*parts)) == sum(len(read(part)) for part in parts)


@pytest.mark.parametrize("logs", [False, True], ids=["postgres", "and logs in S3"])
def test_dagster_takes_the_parts(tmp_path: Path, *, logs: bool) -> None:
    parts = [DAGSTER_YAML, DEPLOY / "postgres.yaml", *([DEPLOY / "logs_in_s3.yaml"] if logs else [])]
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(read(*parts)))
    config, _ = dagster_instance_config(str(tmp_path))
    assert config["storage"]["postgres"]["postgres_db"]["scheme"] == "postgresql+psycopg2"
    assert ("compute_logs" in config) is logs


def test_logs_of_runs_are_kept_in_the_bucket(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_LOGS_BUCKET", bucket)
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(read(DAGSTER_YAML, DEPLOY / "logs_in_s3.yaml")))
    with (
        DagsterInstance.from_config(str(tmp_path)) as instance,
        instance.compute_log_manager.open_log_stream(["run", "step"], ComputeIOType.STDOUT) as stream,
    ):
        # It takes text, whatever Dagster's annotation says.
        said: Any = stream
        said.write("said by a run")
    client = Session().client("s3")
    (entry,) = client.list_objects_v2(Bucket=bucket)["Contents"]
    assert entry["Key"].startswith("dagster-logs/")
    assert b"said by a run" in client.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()


def test_ray_has_the_same_rules_as_one_machine() -> None:
    one, ray = read(DAGSTER_YAML, DEPLOY / "postgres.yaml"), read(RAY)
    assert ray.pop("run_launcher")["module"] == "dagster_ray"
    assert one.pop("run_launcher")
    # Only a launcher that starts runs from the code server needs to wait for that.
    assert one.pop("run_coordinator")
    assert ray["concurrency"]["runs"].pop("max_concurrent_runs") > one["concurrency"]["runs"].pop("max_concurrent_runs")
    assert ray == one


@pytest.mark.skipif(find_spec("dagster_ray") is None, reason="the extra ais_assets[ray] is not installed")
def test_dagster_takes_the_launcher_of_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_DASHBOARD_ADDRESS", "http://127.0.0.1:8265")
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({**read(RAY), "storage": {"sqlite": {"base_dir": "."}}}))
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        assert type(instance.run_launcher).__name__ == "RayRunLauncher"


def test_kubernetes_has_the_same_rules_as_one_machine() -> None:
    values, one = read(DEPLOY / "kubernetes" / "values.yaml"), read(DAGSTER_YAML)

    def in_camels(settings: dict[str, Any]) -> dict[str, Any]:
        return {re.sub(r"_(.)", lambda found: found[1].upper(), name): value for name, value in settings.items()}

    monitoring = values["dagsterDaemon"]["runMonitoring"]
    assert monitoring.pop("maxResumeRunAttempts") == 0
    assert monitoring == in_camels(one["run_monitoring"])
    assert values["dagsterDaemon"]["runRetries"] == in_camels(one["run_retries"])
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    assert_options(deployment["dagsterApiGrpcArgs"])


def assert_options(arguments: list[str]) -> None:
    """`dagster api grpc` knows these."""
    known = {option for parameter in grpc_command.params for option in parameter.opts}
    assert {argument for argument in arguments if argument.startswith("--")} <= known


def test_containers_share_image_and_settings_and_only_loopback_reaches_them() -> None:
    services = read(COMPOSE)["services"]
    for name in ("webserver", "daemon", "code", "buckets"):
        assert services[name]["image"] == "ais_assets"
        assert services[name]["env_file"] == ".env"
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports == ["127.0.0.1:3000:3000"]
    assert all(":" in services[name]["image"] for name in ("postgres", "s3")), "of a release"
    module, place = services["code"]["command"].split(" grpc ")
    assert module == "dagster api"
    assert_options(place.split())
    (server,) = read(DEPLOY / "compose" / "workspace.yaml")["load_from"]
    assert server["grpc_server"]["host"] in services
    assert f"--port {server['grpc_server']['port']}" in place


def test_no_secret_stands_in_a_file() -> None:
    example = dict(
        line.split("=", 1) for line in (COMPOSE.parent / "example.env").read_text().splitlines() if "=" in line
    )
    wanted = {"DAGSTER_POSTGRES_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert {name for name, value in example.items() if not value} == wanted
    for name, value in re.findall(r"(\w*(?:PASSWORD|SECRET|KEY)\w*): (\S+)", COMPOSE.read_text()):
        assert value.startswith("${"), name


def test_buckets_are_made_once(s3_environment: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    del s3_environment
    program, option, code = read(COMPOSE)["services"]["buckets"]["command"]
    assert (program, option) == ("python", "-c")
    for _ in range(2):
        subprocess.run([sys.executable, option, code], check=True, timeout=PATIENCE_SECONDS)
    assert {"ais", "dagster-logs"} <= {bucket["Name"] for bucket in Session().client("s3").list_buckets()["Buckets"]}


def test_the_image_gets_files_that_are_there() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    sent = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = {name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]}
    assert copied
    for name in copied:
        assert (PROJECT / name).exists(), name
        assert any(name == place or name.startswith(f"{place}/") for place in sent), (
            f"{name} is not sent to the builder"
        )
