"""Dagster's default run launcher, which knows what became of a run's process.

The default one cannot: a run whose process was killed, alone or with the code server that had started it, stays STARTED
and holds its slot, and a backfill waits for it, until `max_runtime_seconds` have passed. With this one, run monitoring
sees it at its next look (`poll_interval_seconds`), and the run is retried as `run_retries` says.

And the default one takes a code server that does not say within a minute that the run's process has begun for one that
cannot be reached: the run goes back into the queue, the process, which on a busy machine needs its time, finds that it
is not wanted any more, and so on with the next one. This one asks whether there is a process. One that never begins is
for run monitoring (`start_timeout_seconds`).
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

    def launch_run(self, context: code_location.Launch) -> None:
        """Has the code server start a process for the run. Raises as the default launcher does where there is none."""
        try:
            super().launch_run(context)
        except code_location.UnreachableError:
            # With the tag that says which code server it was.
            run = self._instance.get_run_by_id(context.dagster_run.run_id)
            if run is None or not code_location.is_executed(run):
                raise
            self._instance.report_engine_event("The run's process is slow to begin; it is waited for", run)

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
