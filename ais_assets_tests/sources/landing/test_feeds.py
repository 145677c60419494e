"""Feeds by name: the authorities' layouts on a server that is laid out as theirs."""

from __future__ import annotations

import io
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path

import pytest

from ais_assets.sources.dma import DmaSource
from ais_assets.sources.file_days import FileDays
from ais_assets.sources.landing.turns import MOST_AT_ONCE, turn
from ais_assets.sources.marinecadastre import MarineCadastreSource
from ais_assets.sources.source import SourceError
from ais_assets.store.patience import Patience
from ais_assets_tests.sources.csv_rows import HEADER, MAX_BYTES, row
from ais_assets_tests.sources.landing.web_server import WebServer, running_web_server

FIRST, LAST = date(2024, 2, 27), date(2025, 3, 2)
HASTY = Patience(attempts=2, timeout_seconds=5, pause_seconds=0.01)


def days_between(first: date, last: date) -> list[date]:
    return [first + timedelta(days=k) for k in range((last - first).days + 1)]


def zip_of(*days: date) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for day in days:
            line = row(timestamp=f"{day:%d/%m/%Y} 12:00:00")
            archive.writestr(f"aisdk-{day}.csv", f"{HEADER}\n{line}\n")
    return raw.getvalue()


@pytest.fixture
def authority() -> Iterator[WebServer]:
    """Months to February 2024 and days to 25 February 2025 by year, later days in the root; one was never published."""
    with running_web_server() as web:
        web.files["/2024/aisdk-2024-02.zip"] = zip_of(*days_between(date(2024, 2, 1), date(2024, 2, 29)))
        for day in days_between(date(2024, 3, 1), LAST):
            folder = f"/{day.year}" if day < date(2025, 2, 26) else ""
            web.files[f"{folder}/aisdk-{day}.zip"] = zip_of(day)
        del web.files["/2024/aisdk-2024-07-14.zip"]
        yield web


def source(web: WebServer) -> DmaSource:
    days = FileDays(first_day=FIRST)
    return DmaSource(web.url, max_bytes=MAX_BYTES, patience=HASTY, days=days, last_day=LAST)


def test_days_of_all_three_layouts_land(authority: WebServer, tmp_path: Path) -> None:
    feed = source(authority)
    for day in days_between(FIRST, LAST):
        landed = feed.land(day, tmp_path)
        assert len(landed) == (day != date(2024, 7, 14))
        for archive in landed:
            stream = feed.read(archive.path, day)
            assert [t.date() for table in stream.tables for t in table["t"].to_pylist()] == [day]
            archive.path.unlink()


def test_whether_a_day_is_published_is_asked_of_every_layout(authority: WebServer) -> None:
    feed = source(authority)
    assert all(feed.published(day) for day in (date(2024, 3, 1), date(2025, 1, 1), date(2025, 3, 1)))
    assert not feed.published(date(2024, 7, 14))


def test_a_layout_that_fits_no_day_is_an_error(authority: WebServer, tmp_path: Path) -> None:
    uri = f"{authority.url}/moved/aisdk_{{day}}.zip"
    days = FileDays(first_day=FIRST)
    feed = DmaSource(uri, max_bytes=MAX_BYTES, patience=HASTY, days=days, last_day=LAST)
    with pytest.raises(SourceError, match=r"has neither 2024-03-01 nor any of \d other days.*correct AIS_SOURCE_URI"):
        feed.land(date(2024, 3, 1), tmp_path)


def test_layouts_of_ones_own_are_tried_in_their_order(authority: WebServer, tmp_path: Path) -> None:
    uri = f"{authority.url}/nowhere/{{day}}.zip {authority.url}/{{year}}/aisdk-{{day}}.zip"
    feed = DmaSource(uri, max_bytes=MAX_BYTES, patience=HASTY)
    (landed,) = feed.land(date(2024, 3, 1), tmp_path)
    assert landed.path.name == "aisdk-2024-03-01.zip"


def test_a_server_is_told_who_asks(authority: WebServer, tmp_path: Path) -> None:
    source(authority).land(date(2024, 3, 1), tmp_path)
    agents = {headers["User-Agent"] for _, headers in authority.requests}
    assert agents == {f"ais_assets/{version('ais_assets')}"}


def test_few_are_connected_at_once(tmp_path: Path) -> None:
    """Runs in threads of their own stand for processes: each opens the locks anew."""
    connected, most = 0, 0
    counting = threading.Lock()

    def fetch(_: int) -> None:
        nonlocal connected, most
        with turn(tmp_path, "authority.example", HASTY):
            with counting:
                connected += 1
                most = max(most, connected)
            time.sleep(0.02)
            with counting:
                connected -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fetch, range(12)))
    assert most == MOST_AT_ONCE


def test_a_turn_that_never_comes_is_an_error(tmp_path: Path) -> None:
    with ExitStack() as others:
        for _ in range(MOST_AT_ONCE):
            others.enter_context(turn(tmp_path, "authority.example", HASTY))
        with turn(tmp_path, "another.example", HASTY):
            pass
        with (
            pytest.raises(SourceError, match=r"authority\.example: 3 other runs were connected all the time"),
            turn(tmp_path, "authority.example", Patience(total_seconds=0.1)),
        ):
            pass


def test_where_the_feeds_are_without_an_address() -> None:
    assert DmaSource(None, max_bytes=MAX_BYTES).uri == "http://aisdata.ais.dk"
    assert MarineCadastreSource(None, max_bytes=MAX_BYTES).uri.startswith("https://coast.noaa.gov/")
