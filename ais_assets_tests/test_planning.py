"""The plan's arithmetic, and the command."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from ais_assets.cli import main
from ais_assets.planning import MEASURED_RATES, Load, Plan, Rates, Stage, plan

ROUND = Rates("a machine", 1e6, 1e6, 1e6, 1e6, 1e4, 1e4, 10, 10, 10, 10, 10, 1e4, 1e4, 0.5)
"""A million rows or positions, and ten thousand windows, a second and core; ten bytes each."""


def stages(planned: Plan) -> dict[str, Stage]:
    return {stage.asset: stage for stage in planned.stages}


def test_the_reference_year() -> None:
    planned = plan(Load(), MEASURED_RATES)
    assert (planned.load.positions, planned.load.windows) == (3_500_000_000, 109_000_000)
    assert (planned.load.shards, planned.load.piles) == (64, 256)
    assert planned.packed_bytes == 42e9
    assert planned.packed_fits
    assert list(stages(planned)) == [
        *("raw_records", "clean_records", "track_shards", "window_piles"),
        *("materialized_windows", "mds_shards"),
    ]


def test_time_is_work_by_cores() -> None:
    load = Load(records=1_000_000_000, positions=500_000_000, windows=10_000_000, cores=10, network=None)
    found = stages(plan(load, ROUND))
    runs = {asset: 0.65 * stage.partitions / 10 for asset, stage in found.items()}
    assert found["raw_records"].seconds == pytest.approx(100 + runs["raw_records"])
    assert found["track_shards"].seconds == pytest.approx(50 + runs["track_shards"])
    assert found["mds_shards"].seconds == pytest.approx(100 + runs["mds_shards"])
    assert {stage.bound_by for stage in found.values()} == {"cpu"}


def test_a_slow_network_binds() -> None:
    load = Load(records=1_000_000_000, positions=500_000_000, windows=10_000_000, cores=10, network=1e8)
    found = stages(plan(load, ROUND))
    # 10 GB of archives in, 10 GB of records out.
    assert found["raw_records"].seconds == pytest.approx(200)
    assert found["raw_records"].bound_by == "network"


def test_little_memory_binds() -> None:
    found = stages(plan(Load(memory=8e9, shards=64, network=None), ROUND))
    tracks = found["track_shards"]
    assert tracks.bound_by == "memory"
    assert tracks.processes == 8e9 // tracks.peak_bytes < 16


def test_few_partitions_bind() -> None:
    found = stages(plan(Load(days=2, records=1_000_000, network=None), ROUND))
    assert (found["raw_records"].processes, found["raw_records"].bound_by) == (2, "partitions")


def test_a_stage_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"track_shards takes .* MB a process.*more shards"):
        plan(Load(memory=8e9, shards=1), ROUND)


def test_a_cache_that_does_not_fit_is_said() -> None:
    assert not plan(Load(memory=32e9), ROUND).packed_fits


@given(st.integers(10_000, 10**11), st.integers(1, 5000), st.integers(1, 128))
def test_more_cores_are_never_slower_where_there_is_memory(records: int, days: int, cores: int) -> None:
    load = Load(records=records, days=days, cores=cores, shards=64, piles=64, memory=1e15)
    planned = plan(load, ROUND)
    assert plan(replace(load, cores=cores + 1), ROUND).seconds <= planned.seconds * (1 + 1e-9)
    assert planned.cost["machine"] >= 0


def test_rates_are_read_as_they_were_written() -> None:
    assert Rates.from_json(ROUND.to_json()) == ROUND


@pytest.mark.parametrize("wrong", [0, -1, None, "fast", float("nan")])
def test_rates_that_cannot_be_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="lack mds_bytes: measure them again"):
        Rates.from_json(json.dumps(asdict(ROUND) | {"mds_bytes": wrong}))


def run(*words: str, home: Path) -> Result:
    return CliRunner().invoke(main, ["plan", *words], env={"XDG_CACHE_HOME": str(home)})


def test_the_command_says_whose_rates_it_uses(tmp_path: Path) -> None:
    shown = run(home=tmp_path)
    assert shown.exit_code == 0
    assert "AIS_SHARDS=64 AIS_PILES=256" in shown.output
    assert "of a machine that is not this one" in shown.output
    kept = tmp_path / "ais_assets" / "rates.json"
    kept.parent.mkdir()
    kept.write_text(ROUND.to_json())
    assert "measured on a machine" in run(home=tmp_path).output


def test_the_command_for_a_program(tmp_path: Path) -> None:
    found = json.loads(run("--json", "--network", "500", "--cores", "4", "--memory", "16", home=tmp_path).output)
    assert found["load"]["cores"] == 4
    assert found["load"]["network"] == 500e6
    assert found["seconds"] == pytest.approx(sum(stage["seconds"] for stage in found["stages"]))


def test_rates_of_something_else_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rates.json").write_text("{}")
    shown = run("--rates", str(tmp_path / "rates.json"), home=tmp_path)
    assert shown.exit_code == 1
    assert "measure them again" in shown.output
