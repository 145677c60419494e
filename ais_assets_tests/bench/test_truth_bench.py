"""The bench of the truth: what it counts, and that the platform's rule meets the bounds on a small feed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from ais_assets.bench._truth_contenders import RULES, by_gpsdio_segment, by_the_platform
from ais_assets.bench._truth_faults import (
    FAULTS,
    HARMLESS,
    LEAST_METRES,
    NO_FAULT,
    FaultRates,
    Reports,
    metres_from_truth,
    with_faults,
)
from ais_assets.bench.truth import judge, true_reports
from ais_assets.cli.main import main


@pytest.fixture(scope="module")
def reports() -> Reports:
    return true_reports(20, 1, 17)


def hand_made(sender: list[int], fault: list[int]) -> Reports:
    """Reports a minute apart under one MMSI."""
    rows = len(sender)
    zeros = np.zeros(rows, np.int32)
    t = 1_709_251_200 + 1_000 * np.arange(rows)
    motion = np.zeros(rows, np.int16)
    return Reports(
        t, zeros + 219_000_001, zeros, zeros, motion, motion, np.array(sender, np.int32), np.array(fault, np.int8)
    )


def test_the_verdict_counts_what_it_says() -> None:
    feed = hand_made([1, 1, 1, 1, 1, 2, 1, 1], [-1, 0, -1, -1, -1, -1, -1, -1])
    split = judge(feed, np.array([7, 7, 7, 7, 8, 8, -1, 8]), 3, 1)
    assert (split.true, split.true_dropped, split.false, split.false_kept) == (7, 1, 1, 1)
    assert (split.voyages, split.voyages_split, split.tracks_merged) == (2, 1, 1)
    assert split.windows == 2 + 1
    # 1 is heard thrice in the silence between its first and its last.
    silent = judge(feed, np.array([7, -1, -1, -1, -1, -1, -1, 7]), 2, 1)
    assert (silent.windows, silent.windows_with_false_silence) == (1, 1)


@pytest.mark.parametrize("fault", ["none", *FAULTS, "all"])
def test_faults_cost_little_one_by_one_and_all_together(reports: Reports, fault: str) -> None:
    none = FaultRates(**dict.fromkeys(FAULTS, 0.0))
    rates = {"none": none, "all": FaultRates()}.get(fault) or FaultRates(shared_by_many=0.4).only(fault)
    feed = with_faults(reports, rates, 17)
    verdict = judge(feed, by_the_platform(feed), 928, 32)
    assert verdict.voyages_split == verdict.tracks_merged == verdict.windows_with_false_silence == 0
    assert verdict.true_dropped <= 0.001 * verdict.true
    assert verdict.false_kept <= 0.01 * verdict.false
    assert verdict.windows > 0


def test_what_is_planted_within_the_least_distance_is_neither_true_nor_bad(reports: Reports) -> None:
    feed = with_faults(reports, FaultRates(late_stamp=0.02).only("late_stamp"), 17)
    off = metres_from_truth(feed, reports)
    assert (off[feed.fault >= 0] >= LEAST_METRES).all()
    assert 0 < (feed.fault == HARMLESS).sum() < (feed.fault >= 0).sum()
    assert (off[feed.fault == HARMLESS] < LEAST_METRES).all()
    assert off[feed.fault == NO_FAULT].max() < 1


def test_each_fault_falls_on_the_reports_it_is_said_to(reports: Reports) -> None:
    again = with_faults(reports, FaultRates(), 17)
    for column, other in zip(again, with_faults(reports, FaultRates(), 17), strict=True):
        np.testing.assert_array_equal(column, other)
    assert (np.diff(again.mmsi.astype(np.int64) << 32 | again.t) > 0).all()
    for number, fault in enumerate(FAULTS):
        feed = with_faults(reports, FaultRates().only(fault), 17)
        assert set(np.unique(feed.fault)) <= {NO_FAULT, HARMLESS, number}
        of_reports = {"near_stray", "far_stray", "late_stamp", "rebroadcast", "bit_flip", "jamming"}
        assert (number in feed.fault) == (fault in of_reports)
    shared = with_faults(reports, FaultRates().only("shared_by_two"), 17)
    assert len(np.unique(shared.mmsi)) < len(np.unique(shared.sender))


def test_gpsdio_segments_rule_as_its_source_has_it() -> None:
    feed = hand_made([1] * 6, [-1] * 6)
    # Those that say where they are at rest are one segment; one that has no SOG is noise, another far off a segment.
    sog, lat = feed.sog.copy(), feed.lat.copy()
    sog[2], lat[4] = -(2**15), 5_000_000
    assert by_gpsdio_segment(feed._replace(sog=sog, lat=lat)).tolist() == [0, 0, -1, 0, 1, 0]


def test_the_command_prints_every_rule_and_fault() -> None:
    rules = [rule for rule in RULES if rule != "MovingPandas"]
    chosen = [part for rule in rules for part in ("--rule", rule)]
    result = CliRunner().invoke(main, ["bench", "truth", "--vessels", "2", "--days", "1", "--json", *chosen])
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.output.splitlines()]
    assert {line["rule"] for line in lines} == set(rules)
    assert {line["fault"] for line in lines} == {"none", *FAULTS, "all"}


def test_the_command_prints_the_faults_asked_for() -> None:
    chosen = ["--rule", "the platform", "--fault", "fast_craft", "--fault", "none"]
    result = CliRunner().invoke(main, ["bench", "truth", "--vessels", "2", "--days", "1", "--json", *chosen])
    assert result.exit_code == 0, result.output
    assert [json.loads(line)["fault"] for line in result.output.splitlines()] == ["none", "fast_craft"]
