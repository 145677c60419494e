"""Keys and passwords are nowhere after a whole build on S3: lake, databases, logs, caches, screen."""

from __future__ import annotations

import gzip
import shutil
from datetime import date
from pathlib import Path

from boto3.session import Session

from ais_assets.sources.simulated import SimulatedSource
from ais_assets_tests.ais_command import ais_here, run_ais
from ais_assets_tests.s3_server import S3Server
from ais_assets_tests.sources.landing.web_server import WebServer, running_web_server

DAY = date(2024, 3, 1)
PLANTED = {"user": "plantedanna", "password": "plantedgeheim", "query": "plantedtoken"}
"""Of the source's address."""
SESSION_TOKEN = "planted-session-token"
HOOK = "plantedhook"
"""Of the address that failures are told to."""


def settings_of(web: WebServer, bucket: str, folder: Path) -> dict[str, str]:
    """Of a build that must say all of its secrets to get anywhere."""
    host = web.url.removeprefix("http://")
    path = f"aisdk-{{day}}.zip?token={PLANTED['query']}"
    return {
        "AIS_SOURCE": "dma",
        "AIS_SOURCE_URI": f"http://{PLANTED['user']}:{PLANTED['password']}@{host}/{path}",
        "AIS_FAILURE_URL": f"{web.url}/services/{HOOK}",
        "AIS_LAKE": f"s3://{bucket}/lake",
        "AIS_CACHE": str(folder / "cache"),
        "AIS_FIRST_DAY": DAY.isoformat(),
        "AIS_LAST_DAY": DAY.isoformat(),
        "AIS_SHARDS": "1",
        "AIS_PILES": "1",
        "AIS_SEQ_LEN": "16",
        "AIS_MAX_HORIZON": "48",
        "AIS_VALIDATION_FRACTION": "0.3",
        "DAGSTER_HOME": str(folder / "dagster"),
        "TMPDIR": str(folder / "tmp"),
    }


# It takes as long as a build: secrets may come to light in any stage, and in whatever a whole run leaves behind.
def test_planted_secrets_are_nowhere(s3_environment: S3Server, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "feed").mkdir()
    (tmp_path / "tmp").mkdir()
    (archive,) = SimulatedSource(8, 0, DAY, 1 << 30).land(DAY, tmp_path / "feed")
    with running_web_server() as web:
        web.files[f"/{archive.path.name}"] = archive.path.read_bytes()
        settings = settings_of(web, bucket, tmp_path)
        wrong = {"AWS_SECRET_ACCESS_KEY": "planted-key", "AWS_SESSION_TOKEN": SESSION_TOKEN}
        refused = ais_here(("build", "--workers", "1"), {**settings, **wrong}, tmp_path)
        assert refused.returncode == 1
        built = run_ais(("build", "--workers", "1"), settings, tmp_path)
        assert built.returncode == 0, built.stderr
        status = ais_here(("status",), settings, tmp_path)
        assert any(PLANTED["query"] in path for path, _ in web.requests), "the source was asked with them"
    shutil.rmtree(tmp_path / "feed")
    client = Session().client("s3")
    found = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert any(path.suffix == ".db" for path in found)
    for entry in client.list_objects_v2(Bucket=bucket)["Contents"]:
        content = client.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
        found[Path(entry["Key"])] = gzip.decompress(content) if entry["Key"].endswith(".gz") else content
    assert Path("lake/track_shards/index.json") in found
    for process in (refused, built, status):
        found[Path("screen")] = found.get(Path("screen"), b"") + (process.stdout + process.stderr).encode()
    secrets = [*PLANTED.values(), SESSION_TOKEN, HOOK, "planted-key", s3_environment.secret_key]
    leaks = [(str(path), secret) for path, content in found.items() for secret in secrets if secret.encode() in content]
    assert not leaks
