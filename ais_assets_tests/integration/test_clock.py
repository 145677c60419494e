"""This machine's clock a day off that of S3, which dates what lies there: nothing is forgotten or deleted for it."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from ais_assets.cli.main import main
from ais_assets.io.lake import Lake
from ais_assets.loader.errors import LoaderError
from ais_assets.loader.remote import Remote
from ais_assets.operating.builders import FOLDER, others
from ais_assets.operating.prune import leftovers
from ais_assets.sources.landing import unfinished
from ais_assets.store.objects import S3Store, StoreError
from ais_assets_tests.operating.test_builders import ELSEWHERE, say
from ais_assets_tests.sources.landing.web_server import WebServer, refusal
from ais_assets_tests.store.test_s3_patience import KEY, store, web  # noqa: F401 - fixtures

SHARDS = "mds/00000-0123456789ab"


@pytest.fixture(params=[26, -26])
def lake(request: pytest.FixtureRequest, store: S3Store, web: WebServer) -> Lake:  # noqa: F811
    """Of a server whose clock is so many hours ahead of this machine's, which is that of the tests."""
    web.clock_ahead = timedelta(hours=request.param)
    lake = Lake(store.uri)
    assert lake.store.clock_ahead_seconds() == pytest.approx(-3600 * request.param, abs=120)
    return lake


def test_a_build_that_goes_on_is_not_forgotten(lake: Lake) -> None:
    say(lake, ELSEWHERE)
    assert list(others(lake).values()) == [ELSEWHERE]
    assert len(list(lake.store.listed(FOLDER))) == 1


def test_what_was_written_just_now_is_not_pruned(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.store.publish_bytes(b"shard", f"{SHARDS}/shard.00000.mds.zstd")
    begun = tmp_path / "cache" / unfinished.FOLDER / "2024-03-01-download"
    begun.parent.mkdir(parents=True)
    begun.write_bytes(b"half")
    monkeypatch.setenv("AIS_LAKE", lake.uri)
    monkeypatch.setenv("AIS_CACHE", str(tmp_path / "cache"))
    pruned = CliRunner().invoke(main, ["prune", "--json"], catch_exceptions=False)
    assert json.loads(pruned.stdout)["leftovers"] == []
    assert lake.store.exists(f"{SHARDS}/shard.00000.mds.zstd")
    assert begun.exists()


def test_what_is_old_is_pruned(lake: Lake, tmp_path: Path) -> None:
    lake.store.publish_bytes(b"shard", f"{SHARDS}/shard.00000.mds.zstd")
    begun = tmp_path / unfinished.FOLDER / "2024-03-01-download"
    begun.parent.mkdir(parents=True)
    begun.write_bytes(b"half")
    found = leftovers(lake, tmp_path, lake.store.now() + 120)
    assert [of.where for of in found] == [SHARDS, str(begun)]
    assert found[0].since == pytest.approx(lake.store.now(), abs=120)
    assert found[1].since == pytest.approx(time.time(), abs=120)


def test_a_request_that_is_refused_for_the_clock_names_the_cure(store: S3Store, web: WebServer) -> None:  # noqa: F811
    web.outage = refusal(403, "RequestTimeTooSkewed")
    cure = r"RequestTimeTooSkewed: set this machine's clock, which is more than 15 minutes off the server's"
    with pytest.raises(StoreError, match=cure):
        store.try_out()
    with pytest.raises(LoaderError, match=cure):
        Remote(store.uri, retries=0, timeout=20).read(KEY)
    # To a HEAD nothing more is said.
    with pytest.raises(StoreError, match=r"403: check the credentials.* and this machine's clock"):
        store.size(KEY)
