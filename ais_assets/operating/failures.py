"""Runs that failed, told to whoever is to know of it: a JSON object each, posted to an address."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Collection
from dataclasses import asdict, dataclass
from html import escape
from typing import Final

from dagster import DagsterEventType, DagsterInstance, DagsterRun

from ais_assets.io.layout import PLACES
from ais_assets.operating.code_location import tried_again_in
from ais_assets.operating.tasks import RANGE_END, RANGE_START, faults_of
from ais_assets.store.http import AddressError, send
from ais_assets.store.patience import Deadline, OverdueError, Patience, TryAgainError

TELLING_SECONDS: Final = 10.0
"""For one failure, answer and all."""
_LONGEST_ERROR: Final = 1000
"""Characters of an error that are told: Slack cuts a text after 40,000, people stop before."""
_PARTITION: Final = "dagster/partition"


class NotToldError(RuntimeError):
    """A failure could not be delivered; the message says why, and nothing of the address."""


@dataclass(frozen=True)
class RunFailure:
    """A run that failed.

    Attributes:
        run: its id.
        job: its name; `__ASSET_JOB` is a backfill's.
        partition: its key, or the first and the last of a range; empty for a run without.
        step: which failed first, an asset's name; empty where the process was lost.
        error: its first line.
        tried_again: whether Dagster runs it again by itself.
        cure: what to do.
        page: the run's, below the address of Dagster's UI.
    """

    run: str
    job: str
    partition: str
    step: str
    error: str
    tried_again: bool
    cure: str
    page: str

    @property
    def text(self) -> str:
        """All of it for people, as Slack takes it: without markup of its own, so that nothing in it notifies anyone."""
        where = f"{self.step or self.job}[{self.partition}]" if self.partition else self.step or self.job
        said = f"{where} failed (job {self.job}, run {self.run}, page {self.page}): {self.error}\n{self.cure}"
        return escape(said, quote=False)

    def as_json(self) -> str:
        """The fields, and `text`."""
        return json.dumps({"text": self.text, **asdict(self)})


def run_failure(instance: DagsterInstance, run: DagsterRun, message: str, day_keys: Collection[str]) -> RunFailure:
    """What is to be told of a run that failed.

    Args:
        instance: which has its records.
        run: itself.
        message: of the event of its failure, which is all that there is of one that lost its process.
        day_keys: partition keys that are days, which `ais build` can be asked for.
    """
    failed = instance.get_records_for_run(run.run_id, of_type=DagsterEventType.STEP_FAILURE).records
    events = [record.event_log_entry.dagster_event for record in failed]
    step = next((event.step_key for event in events if event is not None and event.step_key), "")
    first, last = _ends(run)
    again = run.is_complete_and_waiting_to_retry or tried_again_in(run) is not None
    return RunFailure(
        run=run.run_id,
        job=run.job_name,
        partition=first if first == last else f"{first} … {last}",
        step=step,
        error=_first_line(next(iter(faults_of(instance, run.run_id)), message)),
        tried_again=again,
        cure=_AGAIN if again else _cure(_asset(run, step), first, last, day_keys),
        page=f"/runs/{run.run_id}",
    )


def tell(failure: RunFailure, address: str) -> None:
    """Posts it to a web address, once, within `TELLING_SECONDS`.

    Raises NotToldError where it was not taken: no answer in time, or one of another status than 2xx, a redirect too.
    """
    fault = _fault_of_telling(failure, address)
    # Raised here and not where it was caught, whose error may have the address in it.
    if fault is not None:
        raise NotToldError(
            f"the failure of run {failure.run} could not be told to AIS_FAILURE_URL, which {fault}; it is tried again "
            "at the next tick"
        )


def _fault_of_telling(failure: RunFailure, address: str) -> str | None:
    request = urllib.request.Request(
        address, data=failure.as_json().encode(), headers={"Content-Type": "application/json"}, method="POST"
    )
    deadline = Deadline(Patience(timeout_seconds=TELLING_SECONDS, total_seconds=TELLING_SECONDS))
    try:
        with send(request, deadline, as_it_is=True) as answer:
            return None if 200 <= answer.status < 300 else f"answered with the status {answer.status}"
    except TryAgainError as error:
        return str(error)
    except AddressError:
        return "is no valid address, or has a certificate that is not trusted"
    except OverdueError:
        return f"gave no answer within {TELLING_SECONDS:.0f} s"


_AGAIN: Final = "Dagster tries it again by itself: nothing to do unless that fails, too."


def _cure(asset: str | None, first: str, last: str, day_keys: Collection[str]) -> str:
    only = f" --only {asset}" if asset else ""
    days = f" --from {first} --to {last}" if first in day_keys and last in day_keys else ""
    return f"Mend what the error names, then `ais build{days}{only}`; what can go wrong is in docs/operating.md."


def _asset(run: DagsterRun, step: str) -> str | None:
    """Which one the run makes, where it is one."""
    selected = [key.path[-1] for key in run.asset_selection or ()]
    name = step or (selected[0] if len(selected) == 1 else run.job_name.removesuffix("_job"))
    return name if name in PLACES else None


def _ends(run: DagsterRun) -> tuple[str, str]:
    """The first and the last of its partitions' keys; empty without."""
    one = run.tags.get(_PARTITION, "")
    return run.tags.get(RANGE_START, one), run.tags.get(RANGE_END, one)


def _first_line(error: str) -> str:
    return next((line.strip() for line in error.splitlines() if line.strip()), "")[:_LONGEST_ERROR]
