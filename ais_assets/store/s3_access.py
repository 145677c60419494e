"""How S3 is reached, and how long it is waited for."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ais_assets.store.pinned import StoreError
from ais_assets.store.s3_answers import is_nobody_there, may_pass

if TYPE_CHECKING:
    from botocore.config import Config
    from botocore.session import Session as BotocoreSession

    from ais_assets.settings import Settings

T = TypeVar("T")
S3Client = Any
"""A boto3 S3 client; boto3 makes its classes at run time."""

PATIENCE_SECONDS: Final = 60.0
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 20.0
CONNECTIONS: Final = 32
"""Kept open to a server: requests are made so many at a time, in all."""
CONNECT_SECONDS: Final = 10
_READS: Final = ("Get", "Head", "List")
"""What names of S3's operations that change nothing begin with."""
ANSWER_SECONDS: Final = 60

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class S3Access:
    """How S3 is reached where the standard AWS_* environment is not enough; None leaves it to that.

    Attributes:
        endpoint_url: a server other than AWS.
        region: of the bucket.
        profile: of the AWS configuration, with the credentials.
        encryption: of what is written: AES256, aws:kms or aws:kms:KEY.
        storage_class: of what is written.
        requester_pays: whether whoever asks agrees to pay.
        anonymous: whether requests are not signed; then those that would write are refused here, with StoreError.
    """

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    encryption: str | None = None
    storage_class: str | None = None
    requester_pays: bool = False
    anonymous: bool = False

    @classmethod
    def of(cls, settings: Settings) -> S3Access:
        """As the settings say."""
        return cls(
            settings.s3_endpoint_url,
            settings.s3_region,
            settings.s3_profile,
            settings.s3_encryption,
            settings.s3_storage_class,
            settings.s3_requester_pays,
            settings.s3_anonymous,
        )

    def for_loaders(self) -> dict[str, str | bool]:
        """What reading needs and is not standard, as `AISMDSDataset(s3=…)` takes it."""
        access = {
            "endpoint_url": self.endpoint_url,
            "region_name": self.region,
            "profile_name": self.profile,
            "requester_pays": self.requester_pays,
            "anonymous": self.anonymous,
        }
        return {name: value for name, value in access.items() if value}

    def new_client(self, config: Config, session: BotocoreSession | None = None) -> S3Client:
        """A boto3 client of the caller's own, of that session if there is one, whose every request is as this says.

        Raises BotoCoreError where there is no such profile.
        """
        from boto3.session import Session  # noqa: PLC0415 - a local lake needs no boto
        from botocore import UNSIGNED  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415

        if self.anonymous:
            config = config.merge(Config(signature_version=UNSIGNED))
        of_profile = Session(profile_name=self.profile, region_name=self.region, botocore_session=session)
        client = of_profile.client("s3", endpoint_url=self.endpoint_url, config=config)
        # Also what boto3 asks for by itself, as in an upload in parts, comes by here.
        client.meta.events.register("provide-client-params.s3", self._completed)
        return client

    def _completed(self, params: dict[str, Any], model: Any, **_: object) -> dict[str, Any]:
        """A request's parameters, with those of these that its operation, botocore's `model` of it, has.

        Raises StoreError for one that is refused.
        """
        if self.anonymous and not model.name.startswith(_READS):
            raise StoreError(
                f"{model.name} in bucket {params.get('Bucket')} writes, which nobody can without credentials: "
                "AIS_S3_ANONYMOUS is for reading"
            )
        known = model.input_shape.members if model.input_shape else {}
        return {**{name: value for name, value in self._everywhere().items() if name in known}, **params}

    def _everywhere(self) -> dict[str, str]:
        said: dict[str, str] = {}
        if self.encryption is not None:
            kind, _, key = self.encryption.partition("aws:kms:")
            said |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else {"ServerSideEncryption": kind}
        if self.storage_class is not None:
            said["StorageClass"] = self.storage_class
        if self.requester_pays:
            said["RequestPayer"] = "requester"
        return said

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
    from botocore.config import Config  # noqa: PLC0415 - a local lake needs no boto

    config = Config(connect_timeout=CONNECT_SECONDS, read_timeout=ANSWER_SECONDS, max_pool_connections=CONNECTIONS)
    return access.new_client(config)


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
