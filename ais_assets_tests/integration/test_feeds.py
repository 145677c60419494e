"""A source and two dates are all that a newcomer types: days of every layout of an authority land by one command."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from ais_assets.io.lake import Lake
from ais_assets_tests.ais_command import ais_here
from ais_assets_tests.sources.landing.test_feeds import days_between, zip_of
from ais_assets_tests.sources.landing.web_server import running_web_server


@pytest.mark.parametrize(
    ("first", "last", "missing"),
    [
        # From the last month in one zip to the first day with a zip of its own.
        (date(2024, 2, 28), date(2024, 3, 2), None),
        # From the last day in its year's folder to the first in the root; one was never published.
        (date(2025, 2, 24), date(2025, 2, 28), date(2025, 2, 27)),
    ],
)
def test_a_build_over_a_boundary_of_layouts(first: date, last: date, missing: date | None, tmp_path: Path) -> None:
    with running_web_server() as web:
        web.files["/2024/aisdk-2024-02.zip"] = zip_of(*days_between(date(2024, 2, 1), date(2024, 2, 29)))
        for day in days_between(max(first, date(2024, 3, 1)), last):
            if day != missing:
                web.files[f"{f'/{day.year}' if day < date(2025, 2, 26) else ''}/aisdk-{day}.zip"] = zip_of(day)
        settings = {"SOURCE": "dma", "SOURCE_URI": web.url, "FIRST_DAY": first, "LAST_DAY": last}
        result = ais_here(
            ("build", "--only", "raw_archives", "--only", "raw_records", "--workers", "1", "--json"),
            {f"AIS_{name}": str(value) for name, value in settings.items()},
            tmp_path,
        )
    assert result.returncode == 0, result.stdout + result.stderr
    lake = Lake(str(tmp_path / "data" / "lake"))
    rows = {day: lake.ledger("raw_records", day.isoformat()).rows_out for day in days_between(first, last)}
    assert rows == {day: int(day != missing) for day in days_between(first, last)}
    said = json.loads(result.stdout)
    assert any(str(missing) in warning for warning in said["warnings"]) == (missing is not None)
