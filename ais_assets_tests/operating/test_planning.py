"""The plan's arithmetic, and the command."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ais_assets.cli.main import main
from ais_assets.io.stages import turns
from ais_assets.operating.planning.gathering import Gather, sweeps_of
from ais_assets.operating.planning.plan import Plan, plan
from ais_assets.operating.planning.rates import MEASURED_RATES, Rates
from ais_assets.operating.planning.schedule import Stage
from ais_assets.operating.planning.workload import Load
from ais_assets.schema import UTC
from ais_assets.settings import load_settings
from ais_assets.transforms.shuffle import sweep_piles

ROUND = Rates(
    *("a machine", 1e6, 1e6, 1e6, 1e6, 1e4, 1e4, 10, 10, 10, 10, 10, 10, 10, 1e4, 1e4, 0.5),
    *(1e6, 1e6, 1e6, 2e7, 1e6, 1e6, 1e4, 1e4),
)
"""A million rows or positions, twenty to pack, and ten thousand windows or pages, a second and core; ten bytes each."""


def stages(planned: Plan) -> dict[str, Stage]:
    return {stage.asset: stage for stage in planned.stages}


def way(planned: Plan) -> Gather:
    """How windows are gathered."""
    assert planned.gather is not None
    return planned.gather


def test_the_reference_year() -> None:
    planned = plan(Load(), MEASURED_RATES)
    work = planned.work
    assert (work.positions, work.windows) == (3_500_000_000, 109_000_000)
    assert (work.training, work.validation, work.holdout) == (103_550_000, 5_450_000, 0)
    assert (work.shards, work.piles) == (64, 256)
    assert work.packed_bytes == 42e9
    assert planned.packed_fits
    assert way(planned).way == "memory"
    assert "AIS_GATHER_GIGABYTES" not in planned.environment


@pytest.mark.parametrize("test", [0.0, 0.1])
@pytest.mark.parametrize("formats", [("parquet", "mds"), ("parquet",), ("mds",), ()])
def test_every_stage_is_planned_in_the_order_of_the_build(formats: tuple[str, ...], test: float) -> None:
    planned = plan(Load(window_formats=formats, test=test), MEASURED_RATES)
    settings = load_settings(window_formats=formats, test_fraction=test)
    built = [{stage.asset for stage in turn} for turn in turns(settings)]
    assert built == [{"raw_archives"}, *({stage.asset for stage in turn.stages} for turn in planned.turns)]


def test_tracks_are_published_before_any_windows_and_trained_on_once_they_are_packed() -> None:
    load = Load(records=1_000_000_000, positions=500_000_000, windows=10_000_000, network=None, cores=10)
    planned = plan(load, ROUND)
    assert list(planned.published) == ["tracks", "parquet", "mds"]
    assert planned.published["tracks"] == pytest.approx(plan(replace(load, window_formats=()), ROUND).seconds)
    assert planned.published["mds"] == pytest.approx(plan(replace(load, window_formats=("mds",)), ROUND).seconds)
    assert planned.published["tracks"] < planned.published["parquet"] < planned.seconds
    # A million positions a second with a thread on each core, and libraries.
    assert planned.first_batch.seconds == pytest.approx(500 / 10 + 3.3, rel=0.02)


def test_tracks_alone_hold_no_windows() -> None:
    planned = plan(Load(window_formats=()), MEASURED_RATES)
    assert planned.gather is None
    assert planned.lake_bytes < plan(Load(window_formats=("mds",)), MEASURED_RATES).lake_bytes / 5
    assert planned.as_json()["gather"] is None


def test_mds_is_gathered_from_the_tracks_not_read_back_from_parquet() -> None:
    load = Load(records=1_000_000_000, positions=500_000_000, windows=10_000_000, network=None)
    both, alone = (stages(plan(replace(load, window_formats=of), ROUND)) for of in (("parquet", "mds"), ("mds",)))
    assert both["mds_shards"].bytes_read == both["mds_shards"].units * ROUND.reference_bytes
    # Which of the two packs the positions is all that differs.
    assert alone["mds_shards"].bytes_read - both["mds_shards"].bytes_read == 500_000_000 * ROUND.position_bytes


def test_stages_that_one_run_does_bind_on_many_cores() -> None:
    load = Load(cores=128, memory=1e12, network=None)
    planned = plan(load, MEASURED_RATES)
    found = stages(planned)
    assert found["validation"].seconds == pytest.approx(5_450_000 / MEASURED_RATES.windows_gathered, rel=0.01)
    assert found["validation"].bound_by == "partitions"
    turn = next(turn for turn in planned.turns if found["validation"] in turn.stages)
    assert turn.seconds(load) == found["validation"].seconds > found["materialized_windows"].seconds
    assert planned.seconds == pytest.approx(sum(turn.seconds(load) for turn in planned.turns))


def test_time_is_work_by_cores() -> None:
    load = Load(records=1_000_000_000, positions=500_000_000, windows=10_000_000, validation=0, cores=10, network=None)
    found = stages(plan(load, ROUND))
    runs = {asset: 0.65 * stage.partitions / 10 for asset, stage in found.items()}
    assert found["raw_records"].seconds == pytest.approx(100 + runs["raw_records"])
    assert found["track_shards"].seconds == pytest.approx(50 + runs["track_shards"])
    assert found["mds_shards"].seconds == pytest.approx(100 + runs["mds_shards"])
    assert {stage.bound_by for stage in found.values() if stage.partitions > 1} == {"cpu"}
    # DuckDB takes every core for its one run.
    assert found["vessels"].seconds == pytest.approx(100 + 0.65)


def test_stages_of_a_turn_share_the_cores() -> None:
    load = Load(records=1_000_000_000, positions=500_000_000, windows=10_000_000, cores=10, network=None)
    turn = next(turn for turn in plan(load, ROUND).turns if turn.stages[-1].asset == "vessels")
    assert turn.seconds(load) == pytest.approx(sum(stage.seconds for stage in turn.stages), rel=0.01)


def test_a_slow_network_binds() -> None:
    load = Load(records=1_000_000_000, positions=500_000_000, windows=10_000_000, cores=10, network=1e8)
    found = stages(plan(load, ROUND))
    # 10 GB of archives in, 10 GB of records out.
    assert found["raw_records"].seconds == pytest.approx(200)
    assert found["raw_records"].bound_by == "network"


def test_answers_are_waited_for_one_after_the_other_or_many_at_a_time() -> None:
    load = Load(records=1_000_000, days=32, network=None, shards=16, piles=16, cores=2)
    at_once, late = (stages(plan(replace(load, latency=latency), ROUND)) for latency in (0.0, 0.1))
    tracks = late["track_shards"]
    # Each of four runs, of four shards: the days' footers; each shard: a row group of each day, sixteen at a time.
    assert tracks.requests.answers == pytest.approx(4 * (5 + 32 / 16) + 16 * (9 + 32 / 16), rel=0.01)
    assert tracks.requests.count == pytest.approx(4 * (5 + 32) + 16 * (9 + 32), rel=0.01)
    assert tracks.seconds - at_once["track_shards"].seconds == pytest.approx(tracks.requests.answers * 0.1 / 2)
    assert tracks.bound_by == "latency"
    assert {stage.asset for stage in late.values() if not stage.requests.count} == set(), "every stage's are known"
    assert plan(replace(load, latency=0.1), ROUND).seconds > plan(load, ROUND).seconds


def test_parts_of_large_objects_are_asked_for_side_by_side() -> None:
    small, large = (stages(plan(Load(records=of, days=32, shards=16, piles=16), ROUND)) for of in (10**6, 10**9))
    moved = large["raw_records"].bytes_read + large["raw_records"].bytes_written
    more = large["raw_records"].requests.count - small["raw_records"].requests.count
    assert more == pytest.approx(moved / 2**23, rel=0.01)


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


SMALL = Load(cores=2, memory=4e9)
"""The reference year on a machine with a tenth of the memory that its positions take."""
QUICK_DISK, SLOW_DISK = replace(ROUND, pages_faulted=1e5), replace(ROUND, pages_faulted=100)


def test_a_cache_that_does_not_fit_is_read_from_a_quick_disk() -> None:
    planned = plan(SMALL, QUICK_DISK)
    assert not planned.packed_fits
    assert way(planned).way == "disk"
    assert stages(plan(SMALL, replace(ROUND, pages_faulted=8e3)))["materialized_windows"].bound_by == "disk"
    assert "AIS_GATHER_GIGABYTES" not in planned.environment
    # All but some three of 42 GB, a window on 3.7 pages: work of the processor and waiting for the disk.
    work = 103_550_000 * (1e-4 + 0.93 * 3.72 * 1e-5) + 3.5e9 / 2e7
    assert stages(planned)["materialized_windows"].core_seconds == pytest.approx(work, rel=0.02)
    assert "do NOT fit" in planned.notes[-1]
    assert "AIS_CACHE" in planned.notes[-1]
    assert "sweeps" in planned.notes[-1], "what was not chosen is said, with its time"


def test_a_cache_that_does_not_fit_is_not_read_from_a_slow_one() -> None:
    planned = plan(SMALL, SLOW_DISK)
    assert way(planned).way == "sweeps"
    held = way(planned).gigabytes
    assert held is not None
    assert planned.environment["AIS_GATHER_GIGABYTES"] == f"{held:g}"
    gather = stages(planned)["materialized_windows"]
    assert gather.processes * gather.peak_bytes <= 4e9
    assert gather.processes * held > 2, "most of the memory holds windows"


@pytest.mark.parametrize(("gigabytes", "memory", "sweeps"), [(1, 4e9, 2023), (8, 12e9, 253)])
def test_sweeps_are_window_bytes_over_what_is_held(gigabytes: float, memory: float, sweeps: int) -> None:
    load = Load(cores=2, memory=memory, gather_gigabytes=gigabytes, validation=0, network=None)
    planned = plan(load, ROUND)
    # Once for Parquet and once for MDS; the last part of each pile does not fill what is held.
    assert 2 * sweeps <= way(planned).sweeps <= 1.15 * 2 * sweeps
    gather = stages(planned)["materialized_windows"]
    assert gather.bytes_read == pytest.approx(way(planned).sweeps / 2 * 3.5e9 * ROUND.position_bytes, rel=0.01)
    assert gather.core_seconds == pytest.approx(109e6 / 1e4 + way(planned).sweeps / 2 * 3.5e9 / 2e7, rel=0.01)
    assert gather.peak_bytes > gigabytes * 1e9


def test_sweeps_are_those_of_the_code() -> None:
    """Twenty piles of 100 windows, of which a sweep holds some."""
    read: list[int] = []
    pile = pa.table({"pile": np.zeros(100, np.int16)})
    for name in ("row", "track"):
        pile = pile.append_column(name, pa.array(np.zeros(100, np.int64)))
    pile = pile.append_column("start", pa.array(np.zeros(100, np.int64)).view(UTC))
    packed = np.array([[0, 0, dt] for dt in (0, 1, 1, 1)], np.uint32)

    def references(number: int) -> list[pa.Table]:
        return [pile.set_column(0, "pile", pa.array(np.full(100, number, np.int16)))]

    def reading(shard: int) -> NDArray[np.uint32]:
        read.append(shard)
        return packed

    for held in (30, 100, 250):
        read.clear()
        for swept in sweep_piles(range(20), references, reading, window_len=2, seed=1, most_windows=held, batch=10):
            list(swept.stream.tables)
        assert len(read) == sweeps_of(20, 100, held, runs_piles=20)


def test_many_small_machines_are_one_large_one_but_for_single_runs_and_caches() -> None:
    one = stages(plan(Load(cores=32, memory=512e9, network=None), ROUND))
    many = stages(plan(Load(machines=16, cores=2, memory=64e9, network=None, shards=64, piles=256), ROUND))
    for asset in ("raw_records", "clean_records", "mds_shards"):
        assert many[asset].seconds == pytest.approx(one[asset].seconds)
    packing = 15 * 3.5e9 / ROUND.positions_packed
    gather = "materialized_windows"
    assert many[gather].core_seconds - one[gather].core_seconds == pytest.approx(packing)
    assert many["vessels"].seconds > 10 * one["vessels"].seconds


def test_a_network_of_each_machine() -> None:
    one = stages(plan(Load(cores=2, network=1e7, piles=256), ROUND))
    many = stages(plan(Load(machines=4, cores=2, network=1e7, piles=256), ROUND))
    assert many["mds_shards"].seconds == pytest.approx(one["mds_shards"].seconds / 4)


def test_partitions_are_what_settings_allow() -> None:
    planned = plan(Load(records=10**12), ROUND)
    load_settings(shards=planned.work.shards, piles=planned.work.piles)
    assert "AIS_SHARDS would be 8,192, and can be 4,096 at most" in planned.notes[0]
    assert "AIS_PILES" in planned.notes[1]
    with pytest.raises(ValueError, match="AIS_PILES can be 10,000 at most, and 10,001 are asked for"):
        plan(Load(piles=10_001), ROUND)


def test_more_partitions_than_there_can_be_are_not_advised() -> None:
    with pytest.raises(ValueError, match="take more memory"):
        plan(Load(records=10**12, cores=1, memory=2e9, days=10**6), ROUND)


def test_more_held_than_there_is_memory_for_is_refused() -> None:
    with pytest.raises(ValueError, match="hold less"):
        plan(Load(cores=2, memory=4e9, gather_gigabytes=8), ROUND)


@given(st.integers(10_000, 10**11), st.integers(1, 5000), st.integers(1, 128))
def test_more_cores_are_never_slower_where_there_is_memory(records: int, days: int, cores: int) -> None:
    load = Load(records=records, days=days, cores=cores, shards=64, piles=64, memory=1e16)
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
    assert found["seconds"] == pytest.approx(sum(turn["seconds"] for turn in found["turns"]))


def test_the_command_takes_the_latency(tmp_path: Path) -> None:
    at_once, late = (json.loads(run("--json", *words, home=tmp_path).output) for words in ((), ("--latency", "100")))
    assert late["load"]["latency"] == 0.1
    assert late["seconds"] > at_once["seconds"]
    assert late["stages"][0]["requests"]["count"] > 0


def test_the_command_prints_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "rates.json").write_text(SLOW_DISK.to_json())
    shown = run("--cores", "2", "--memory", "4", "--rates", str(tmp_path / "rates.json"), home=tmp_path)
    assert re.search(r"AIS_SHARDS=\d+ AIS_PILES=256 AIS_GATHER_GIGABYTES=[\d.]+\n", shown.output)


def test_the_command_knows_the_formats_of_windows(tmp_path: Path) -> None:
    for words, variables in ((["--window-formats", ""], {}), ([], {"AIS_WINDOW_FORMATS": ""})):
        shown = CliRunner().invoke(main, ["plan", *words], env={"XDG_CACHE_HOME": str(tmp_path), **variables})
        assert "minutes until published: tracks after" in shown.output
        assert "mds" not in shown.output
    refused = run("--window-formats", "csv", home=tmp_path)
    assert refused.exit_code == 2
    assert "csv: there are parquet, mds" in refused.output


def test_rates_of_something_else_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rates.json").write_text("{}")
    shown = run("--rates", str(tmp_path / "rates.json"), home=tmp_path)
    assert shown.exit_code == 1
    assert "measure them again" in shown.output
