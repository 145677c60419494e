"""Dagster's default run launcher, which can be asked whether a run is still executed.

The default one cannot: a run whose process was killed, alone or with the code server that had started it, stays STARTED
and holds its slot, and a backfill waits for it, until `max_runtime_seconds` have passed. With this one, run monitoring
sees it at its next look (`poll_interval_seconds`), and the run is retried as `run_retries` says.
"""

from __future__ import annotations

import time

from dagster import DagsterRun, DefaultRunLauncher

from ais_assets.operating import code_location, local_runs

_LOOKS = 3
_PAUSE_SECONDS = 2.0
"""Between two looks: a code server that is busy may not answer at once."""


class WatchedRunLauncher(DefaultRunLauncher):
    """For the `run_launcher` of a dagster.yaml."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Whether `check_run_worker_health` can tell."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> code_location.Health:
        """FAILED of a run whose process is gone for sure; RUNNING of any other, also where nobody knows."""
        why = None
        for look in range(_LOOKS):
            if look:
                time.sleep(_PAUSE_SECONDS)
            why = local_runs.why_gone(run) or code_location.why_gone(run)
            if why is None:
                break
        return code_location.health(why)
