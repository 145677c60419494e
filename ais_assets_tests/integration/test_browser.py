"""Dagster's UI in a browser, as its users click: a backfill, the graph, a day's figures and checks, a failed run
that is executed again, and what is out of date.

Pictures of the pages are kept in BROWSER_PICTURES, where it names a folder: look at them after a change.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Page, expect, sync_playwright

from ais_assets.sources.simulated import SimulatedSource
from ais_assets_tests.conftest import PROJECT
from ais_assets_tests.integration.dagster_servers import GRACE_SECONDS, SERVER_START, wait
from ais_assets_tests.integration.test_graph import SMALL
from ais_assets_tests.patience import PATIENCE_SECONDS

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
PICTURES = os.environ.get("BROWSER_PICTURES")
DAYS = ("2024-03-01", "2024-03-02")
OPENS_WITHIN = 60
"""Seconds, for a dialog to know what can be launched."""

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no chromium on the path: apt-get install chromium"),
    pytest.mark.timeout(2400),
]


class DagsterUI:
    """A code location, its daemon and its webserver as `make dev` starts them, over archives in a folder.

    Attributes:
        archives: the source's folder.
        lake: the lake's.
        address: of the webserver.
    """

    def __init__(self, folder: Path) -> None:
        self.archives, self.lake, self._home = folder / "archives", folder / "lake", folder / "home"
        self.archives.mkdir()
        (self._home / ".nux").mkdir(parents=True)
        (self._home / ".nux" / "nux.yaml").touch()
        instance = yaml.safe_load((PROJECT / "ais_assets" / "operating" / "dagster.yaml").read_text())
        instance["run_coordinator"]["config"]["dequeue_interval_seconds"] = 1
        (self._home / "dagster.yaml").write_text(yaml.safe_dump(instance))
        (self._home / "sitecustomize.py").write_text(SERVER_START)
        for day in DAYS:
            self.publish(day, seed=17)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        self.address = f"http://127.0.0.1:{port}"
        given = {"lake": self.lake, "cache": folder / "cache", "source": "dma", "source_uri": self.archives}
        settings = {f"AIS_{name.upper()}": str(value) for name, value in {**SMALL, **given}.items()}
        self._log = (folder / "dagster.log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "dagster", "dev", "-m", "ais_assets.definitions", "-h", "127.0.0.1", "-p", port],
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("AIS_")},
                **settings,
                "DAGSTER_HOME": str(self._home),
                "PYTHONPATH": os.pathsep.join([str(self._home), str(PROJECT)]),
            },
            cwd=folder,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def publish(self, day: str, seed: int) -> None:
        """Puts an archive of the day where the source is, over one that may be there; another seed has other ships."""
        SimulatedSource(14, seed, date.fromisoformat(DAYS[0]), 1 << 30).land(date.fromisoformat(day), self.archives)

    def wait_until_it_answers(self) -> None:
        """Returns when the webserver does; fails when it ended or takes too long."""

        def answers() -> bool:
            assert self._process.poll() is None, Path(self._log.name).read_text()[-3000:]
            try:
                return urllib.request.urlopen(f"{self.address}/server_info", timeout=5).status == 200
            except OSError:
                return False

        wait(answers, "the webserver does not answer")

    def close(self) -> None:
        """Ends it with all that it started."""
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(PATIENCE_SECONDS)
        self._log.close()


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterUI]:
    """Dagster as `make dev` starts it."""
    started = DagsterUI(tmp_path_factory.mktemp("ui"))
    try:
        started.wait_until_it_answers()
        yield started
    finally:
        started.close()


@pytest.fixture(scope="module")
def browser_page(ui: DagsterUI) -> Iterator[Page]:
    """A browser's page, of a desk's size."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(base_url=ui.address, viewport={"width": 1500, "height": 1000})
        page.set_default_timeout(1_000 * PATIENCE_SECONDS)
        expect.set_options(timeout=1_000 * PATIENCE_SECONDS)
        yield page
        browser.close()


@pytest.fixture(scope="module")
def page(browser_page: Page) -> Page:
    """The page after a backfill of both days and of all that follows, launched from the graph."""
    launch_all(browser_page)
    browser_page.goto("/runs?view=backfills")
    browser_page.get_by_text("Manually launched").first.wait_for()

    def over() -> bool:
        # The page asks the server every quarter of a minute; to load it anew takes seconds from those that build.
        text = browser_page.inner_text("body")
        assert "Failure" not in text, text
        return "Success" in text

    wait(over, "the backfill does not end", pause=1.0)
    picture(browser_page, "backfills")
    return browser_page


def launch_all(page: Page) -> None:
    """Asks for all partitions of all assets, in the dialog of the graph.

    Where the server is slow the dialog may stay as it was when it knew of no partitions, and its button without effect:
    then the page is loaded anew, as whoever sits before it would do.
    """
    for tries_left in reversed(range(PATIENCE_SECONDS // OPENS_WITHIN)):
        page.goto("/asset-groups/")
        page.get_by_role("button", name="Materialize all").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_text("All", exact=True).click()
        button = dialog.get_by_role("button", name="Launch backfill")
        try:
            expect(button).to_be_enabled(timeout=1_000 * OPENS_WITHIN)
        except AssertionError:
            picture(page, "backfill_dialog_without_partitions")
            if tries_left:
                continue
            raise
        picture(page, "backfill_dialog")
        button.click()
        dialog.wait_for(state="detached")
        return


def picture(page: Page, name: str) -> None:
    """Keeps what the page looks like, where a folder for it is named."""
    if PICTURES:
        Path(PICTURES).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(PICTURES) / f"{name}.png")


def test_the_graph_shows_everything_materialized(page: Page) -> None:
    page.goto("/assets/training_dataset?view=lineage&lineageScope=upstream&lineageDepth=20")
    for asset in ("raw_archives", "clean_records", "track_shards", "window_piles", "mds_shards", "training_dataset"):
        expect(page.get_by_text(asset, exact=True).first).to_be_visible()
    picture(page, "graph")


def test_a_day_has_its_figures_and_account(page: Page) -> None:
    page.goto(f"/assets/daily_quality?view=partitions&partition={DAYS[0]}")
    expect(page.get_by_text("rows dropped", exact=True)).to_be_visible()
    page.get_by_text("[Show Markdown]").first.click()
    map_of_the_day = page.get_by_role("dialog").locator("img")
    expect(map_of_the_day).to_be_visible()
    assert map_of_the_day.evaluate("image => image.naturalWidth") > 300
    picture(page, "figure_of_a_day")
    page.keyboard.press("Escape")


def test_checks_say_what_they_found(page: Page) -> None:
    page.goto("/assets/daily_quality?view=checks")
    expect(page.get_by_text("2 have too few before them")).to_be_visible()
    expect(page.get_by_text("Passed", exact=True)).to_be_visible()
    picture(page, "checks")
    page.get_by_text("most_hours_have_positions", exact=True).first.click()
    expect(page.get_by_text("of 24 hours").first).to_be_visible()
    picture(page, "check_of_each_day")
    expect(page.get_by_text(DAYS[1], exact=True).first).to_be_visible()


def launch(page: Page, asset: str, day: str) -> None:
    """Has a day of an asset materialized from its page, and shows the run."""
    page.goto(f"/assets/{asset}?view=partitions&partition={day}")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Launch 1 run").click()
    dialog.wait_for(state="detached")
    page.goto("/runs")
    page.locator("a[href^='/runs/']:not([href*='/runs/b/'])").first.click()


def test_a_failed_run_is_executed_again(ui: DagsterUI, page: Page) -> None:
    records = ui.lake / "raw_records" / f"{DAYS[0]}.parquet"
    aside = records.rename(ui.lake / "aside.parquet")
    try:
        launch(page, "clean_records", DAYS[0])
        page.get_by_text("RUN_FAILURE").first.wait_for()
    finally:
        aside.rename(records)
    why = f"raw_records[{DAYS[0]}] is not in {ui.lake}: materialize it first"
    expect(page.get_by_text(why).first).to_be_attached()
    picture(page, "failed_run")
    failed = page.url
    page.get_by_role("button", name="Re-execute all").click()
    page.wait_for_url(lambda address: address.startswith(f"{ui.address}/runs/") and address != failed)
    page.get_by_text("RUN_SUCCESS").first.wait_for()
    expect(page.get_by_text("Re-executions (1)")).to_be_visible()
    picture(page, "executed_again")


def test_a_day_whose_archive_has_changed_is_marked(ui: DagsterUI, page: Page) -> None:
    ui.publish(DAYS[1], seed=18)
    launch(page, "raw_archives", DAYS[1])
    page.get_by_text("RUN_SUCCESS").first.wait_for()
    page.goto(f"/assets/raw_records?view=partitions&partition={DAYS[1]}")
    page.get_by_text("Unsynced").hover()
    expect(page.get_by_text("has a new data version").first).to_be_visible()
    picture(page, "day_out_of_date")
