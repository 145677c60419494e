"""Reads of a published dataset's files that end: with the bytes, or within a bound with an error that says why."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any, Final, Protocol

from ais_assets.loader.errors import LoaderError
from ais_assets.loader.mosaicml import OtherPlace
from ais_assets.loader.options import check_names
from ais_assets.store.objects import S3Store, Store, StoreError, open_store
from ais_assets.store.s3_access import S3Access, S3Client

S3_SETTINGS: Final = ("endpoint_url", "region_name", "profile_name", "requester_pays", "anonymous")
_YES: Final = ("1", "on", "t", "true", "y", "yes")
_NO: Final = ("", "0", "off", "f", "false", "n", "no")
_PIECE_BYTES: Final = 1 << 20
_CONNECT_SECONDS: Final = 10.0
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 15.0
_WORTH_REPEATING: Final = (408, 429)
"""HTTP errors of the client that pass: timeout, too many requests. So do all of the server's, 500 and up."""


_of_thread = threading.local()


def give_up_when(stop: threading.Event) -> None:
    """Lets this thread's reads end with an error once that is set: nobody waits for them any more."""
    _of_thread.stop = stop


def given_up() -> threading.Event:
    """The event given for this thread, or one that nobody sets."""
    return getattr(_of_thread, "stop", None) or threading.Event()


class _Place(Protocol):
    def read(self, key: str) -> bytes: ...


class _TimedS3Store(S3Store):
    """An S3 prefix whose reads end in time also when the server only trickles."""

    def __init__(self, uri: str, client: S3Client, timeout: float) -> None:
        super().__init__(uri, client)
        self._timeout = timeout

    def read(self, key: str) -> bytes:
        deadline = time.monotonic() + self._timeout
        pieces: list[bytes] = []
        size = 0
        stop = given_up()
        with self._errors(key):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key(key))
            # A chunked answer does not say it.
            expected = answer.get("ContentLength")
            of = "" if expected is None else f" of {expected:,}"
            with closing(answer["Body"]) as body:
                # botocore's own read waits until it has all that it was asked for, and the socket's timeout starts
                # anew with every byte; urllib3's read1 returns what has come.
                while piece := body._raw_stream.read1(_PIECE_BYTES):
                    pieces.append(piece)
                    size += len(piece)
                    if stop.is_set():
                        raise InterruptedError(f"{self.uri}/{key}: given up")
                    if time.monotonic() > deadline and size != expected:
                        raise TimeoutError(
                            f"{self.uri}/{key}: only {size:,}{of} bytes came within "
                            f"{self._timeout:g} s: check the network or raise download_timeout"
                        )
        if expected is not None and size != expected:
            raise ConnectionError(f"{self.uri}/{key}: the connection ended after {size:,}{of} bytes")
        return b"".join(pieces)


class Remote:
    """A published dataset's folder.

    A process opens its own connections, so a forked DataLoader worker never shares its parent's socket.

    Args:
        uri: a folder, s3://bucket/prefix, or another address that mosaicml-streaming knows.
        retries: further attempts after a timeout, a throttled request or an error of the server.
        timeout: seconds for one attempt.
        s3: settings where the standard AWS ones are not enough: endpoint_url, region_name, profile_name,
            requester_pays, anonymous. What is not given is as AIS_S3_ENDPOINT_URL, _REGION, _PROFILE, _REQUESTER_PAYS
            and _ANONYMOUS say.

    Raises TypeError when `s3` has any other name, ValueError where one of the last two variables is neither true nor
    false.
    """

    def __init__(self, uri: str, *, retries: int, timeout: float, s3: Mapping[str, str | bool] | None = None) -> None:
        self.uri = uri.rstrip("/") or "/"
        self.retries = retries
        self.timeout = timeout
        check_names("s3", s3 or {}, S3_SETTINGS)
        given = {name: value for name, value in (s3 or {}).items() if value not in (None, "")}
        self._s3: dict[str, Any] = {**_s3_of_environment(), **given}
        self._opened: tuple[int, _Place] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    @property
    def longest_read(self) -> float:
        """Seconds after which any read has ended."""
        return (1 + self.retries) * (self.timeout + _CONNECT_SECONDS + _LONGEST_PAUSE_SECONDS)

    def read(self, name: str) -> bytes:
        """The file's bytes.

        Raises:
            FileNotFoundError: there is no such file.
            LoaderError: it cannot be read, in time or at all.
        """
        started = time.monotonic()
        stop = given_up()
        for attempt in range(1 + self.retries):
            try:
                return self._place().read(name)
            except FileNotFoundError:
                raise
            except Exception as error:
                if attempt == self.retries or stop.is_set() or not _may_pass(error):
                    raise LoaderError(
                        f"{self.uri}/{name} cannot be read, attempt {attempt + 1} of {1 + self.retries}, "
                        f"{time.monotonic() - started:.1f} s: {error}"
                    ) from error
                # Jitter keeps the ranks of a job from coming back all at once to a server that throttles.
                pause = min(_FIRST_PAUSE_SECONDS * 2**attempt, _LONGEST_PAUSE_SECONDS)
                stop.wait(pause * random.uniform(0.5, 1.0))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def below(self, folder: str) -> list[str]:
        """Paths of the files anywhere below a folder of it, sorted; none at an address whose files cannot be listed.

        Raises LoaderError where the store cannot be reached.
        """
        place = self._place()
        try:
            return sorted(each.key for each in place.objects(folder)) if isinstance(place, Store) else []
        except (StoreError, OSError) as error:
            raise LoaderError(f"{self.uri}/{folder} cannot be listed: {error}") from error

    def _place(self) -> _Place:
        process = os.getpid()
        if self._opened is None or self._opened[0] != process:
            self._opened = (process, self._open())
        return self._opened[1]

    def _open(self) -> _Place:
        scheme = self.uri.partition("://")[0] if "://" in self.uri else ""
        if scheme in ("", "file"):
            return open_store(self.uri)
        if scheme != "s3":
            return OtherPlace(self.uri, self.timeout)
        return _TimedS3Store(self.uri, self._s3_client(), self.timeout)

    def _s3_client(self) -> S3Client:
        from botocore.config import Config  # noqa: PLC0415 - a local dataset needs no boto

        access = S3Access(
            self._s3.get("endpoint_url"),
            self._s3.get("region_name"),
            self._s3.get("profile_name"),
            requester_pays=self._s3["requester_pays"],
            anonymous=self._s3["anonymous"],
        )
        return access.new_client(
            Config(
                connect_timeout=min(_CONNECT_SECONDS, self.timeout),
                read_timeout=self.timeout,
                # Repeating is done here, so that its bound is the one documented.
                retries={"mode": "standard", "total_max_attempts": 1},
                max_pool_connections=64,
            )
        )


def _s3_of_environment() -> dict[str, str | bool]:
    names = {
        # The last is mosaicml-streaming's own name for it.
        "endpoint_url": ("AIS_S3_ENDPOINT_URL", "S3_ENDPOINT_URL"),
        "region_name": ("AIS_S3_REGION",),
        "profile_name": ("AIS_S3_PROFILE",),
    }
    found = {setting: next(filter(None, map(os.environ.get, known)), None) for setting, known in names.items()}
    return {
        **{setting: value for setting, value in found.items() if value},
        "requester_pays": _is_set("AIS_S3_REQUESTER_PAYS"),
        "anonymous": _is_set("AIS_S3_ANONYMOUS"),
    }


def _is_set(name: str) -> bool:
    said = os.environ.get(name, "").strip().lower()
    if said not in (*_YES, *_NO):
        raise ValueError(f"{name} is {said!r}; it must be true or false")
    return said in _YES


def _may_pass(error: Exception) -> bool:
    """Whether another attempt can succeed: not after a refusal (expired or wrong keys) or a wrong address."""
    cause = error.__cause__
    if isinstance(error, StoreError) and cause is not None:
        response = getattr(cause, "response", None)
        if response is None:
            return "Credentials" not in type(cause).__name__
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or status in _WORTH_REPEATING
    return isinstance(error, OSError)
