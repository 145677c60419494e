"""How S3 is reached, and how long it is waited for."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

from ais_assets.store.s3_answers import is_nobody_there, may_pass

T = TypeVar("T")
S3Client = Any
"""A boto3 S3 client; boto3 makes its classes at run time."""

PATIENCE_SECONDS: Final = 60.0
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 20.0
CONNECTIONS: Final = 32
"""Kept open to a server: requests are made so many at a time, in all."""
CONNECT_SECONDS: Final = 10
ANSWER_SECONDS: Final = 60

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class S3Access:
    """How S3 is reached where the standard AWS_* environment is not enough; None leaves it to that.

    Attributes:
        endpoint_url: a server other than AWS.
        region: of the bucket.
        profile: of the AWS configuration, with the credentials.
    """

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None

    def client(self) -> S3Client:
        """The process's boto3 client, whose credentials boto renews: one while nothing changes of what it is made by.

        Threads may share it; a forked process gets one of its own. Raises BotoCoreError where there is no such profile.
        """
        return _client(self, os.getpid(), frozenset(os.environ.items()), _stamps())


@lru_cache(maxsize=8)
def _client(
    access: S3Access, process: int, environment: frozenset[tuple[str, str]], files: tuple[int | None, ...]
) -> S3Client:
    """The last three are what else a client depends on, so that another is made where they differ."""
    del process, environment, files
    from boto3.session import Session  # noqa: PLC0415 - a local lake needs no boto
    from botocore.config import Config  # noqa: PLC0415

    config = Config(connect_timeout=CONNECT_SECONDS, read_timeout=ANSWER_SECONDS, max_pool_connections=CONNECTIONS)
    session = Session(profile_name=access.profile, region_name=access.region)
    return session.client("s3", endpoint_url=access.endpoint_url, config=config)


def _stamps() -> tuple[int | None, ...]:
    """When AWS's files were last changed, those with the keys of profiles among them; None of one that is not there."""
    files = (
        Path(os.environ.get(name, default)).expanduser()
        for name, default in (
            ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
            ("AWS_CONFIG_FILE", "~/.aws/config"),
        )
    )
    return tuple(file.stat().st_mtime_ns if file.is_file() else None for file in files)


def patiently(ask: Callable[[], T], seconds: float, where: str, *, was_there: bool = True) -> T:
    """What `ask` returns, asked again while it fails of what may pass; its error once that lasts longer.

    boto tries a request some times within seconds; this waits out what takes longer, and a body that was cut short,
    which boto does not ask for again.

    Args:
        ask: a request and the reading of its answer; it must be safe to repeat.
        seconds: how long an outage may last.
        where: what is asked for, for the log.
        was_there: whether the address is one that has been right; one that may be wrong is not waited for.
    """
    pause = _FIRST_PAUSE_SECONDS
    end: float | None = None
    while True:
        try:
            return ask()
        except Exception as error:
            now = time.monotonic()
            end = now + seconds if end is None else end
            wrong_address = not was_there and is_nobody_there(error)
            if wrong_address or not may_pass(error) or now + pause > end:
                raise
            _log.warning("%s: %s; asking again for %.0f s more", where, error, end - now)
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
