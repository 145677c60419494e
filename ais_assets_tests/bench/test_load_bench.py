"""`ais bench load`: what a build's runs took, by their records and looks at their processes.

The whole bench is in `test_whole_bench`, after those whose processes compile each kernel once for all.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from subprocess import CalledProcessError

import pytest

from ais_assets.bench import load
from ais_assets.bench.load import Built, Look, Run, Taken, peak_of, seconds_of, watched

LOOKS = [Look(at, {7: memory, 8: 5}, 0) for at, memory in ((1.0, 90), (2.0, 20), (3.0, 40), (4.0, 80))]


@pytest.mark.parametrize(
    ("run", "peak"),
    [
        (Run("tracks", 7, 1.5, 3.5), 40),
        (Run("tracks", 7, 2.0, 4.0), 80),
        (Run("tracks", 8, 1.5, 3.5), 5),
        (Run("tracks", 9, 1.5, 3.5), 0),
        (Run("tracks", 7, 3.1, 3.2), 0),
    ],
)
def test_a_run_took_what_its_process_was_seen_with_meanwhile(run: Run, peak: int) -> None:
    assert peak_of(run, LOOKS) == peak


def test_seconds_of_runs_that_overlap_count_once() -> None:
    runs = [Run("tracks", 1, begin, end) for begin, end in ((10, 12), (1, 4), (3, 6), (2, 3))]
    assert seconds_of(runs) == 7
    assert seconds_of([]) == 0


def test_only_what_has_a_bound_can_be_over_it() -> None:
    taken = {"archives": Taken(1, 1.0, 10, None), "tracks": Taken(1, 1.0, 10, 10), "vessels": Taken(1, 1.0, 11, 10)}
    assert Built(1.0, 1, 1, taken).over == ["vessels"]


def test_what_a_command_starts_is_looked_at_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_LOOK_SECONDS", 0.02)
    holds = "import time; held = bytearray(40 << 20); time.sleep(2)"
    starts = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {holds!r}], check=True)"
    looks = watched([sys.executable, "-c", starts], tmp_path)
    most = max(looks, key=lambda look: max(look.bytes.values(), default=0))
    assert len(most.bytes) == 2
    large, small = sorted(most.bytes.values(), reverse=True)
    assert large > 40 << 20 > small
    assert looks[0].at <= looks[-1].at <= time.time()


def test_a_command_that_fails_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CalledProcessError):
        watched([sys.executable, "-c", "raise SystemExit(3)"], tmp_path)
