"""Bytes over HTTP within bounds: every wait has an end, and a transfer goes on where it broke off."""

from __future__ import annotations

import errno
import http.client
import io
import json
import os
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeVar, cast

from ais_assets.sources.source import SourceError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

T = TypeVar("T")

PARTIAL = 206
BUSY = (408, 425, 429, 500, 502, 503, 504)

_COPY_BYTES = 1 << 20
_READ_AHEAD_BYTES = 1 << 16
_LONGEST_RETRY_AFTER = 60.0
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_SUFFIX_OF_ENCODING = {"gzip": ".gz", "x-gzip": ".gz", "zstd": ".zst"}


@dataclass(frozen=True)
class Patience:
    """How long a server is borne with.

    Attributes:
        attempts: tries of one file or one range of it that bring nothing; a try goes on where the one before broke
            off, and one that got further renews them all.
        timeout_seconds: without a single byte, after which a try is over.
        pause_seconds: before the second try; doubled for each one after.
        total_seconds: for one file, whatever it still sends.
    """

    attempts: int = 5
    timeout_seconds: float = 60.0
    pause_seconds: float = 1.0
    total_seconds: float = 4 * 3600.0


class NotThereError(Exception):
    """The server says that it does not have the file."""


class TryAgainError(Exception):
    """What may pass: a busy server, a connection that breaks.

    Attributes:
        retry_after: seconds that the server asks for.
        progressed: whether the next try goes on further in the file than this one did.
    """

    def __init__(self, fault: str, *, retry_after: float = 0.0, progressed: bool = False) -> None:
        super().__init__(fault)
        self.retry_after = min(retry_after, _LONGEST_RETRY_AFTER)
        self.progressed = progressed


class RangeRefusedError(Exception):
    """The server has no bytes from where they were asked for (416).

    Attributes:
        total: the file's size, where the server says it.
    """

    def __init__(self, total: int | None) -> None:
        super().__init__(total)
        self.total = total


class _OverdueError(Exception):
    """The time for a file is over. Not an OSError, which would be taken for a connection that breaks."""


class Deadline:
    """When a file has to be whole, counted from now."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self._end = time.monotonic() + patience.total_seconds

    def timeout(self) -> float:
        """Seconds that the next wait may take. Raises _OverdueError where none are left."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise _OverdueError
        return min(self.patience.timeout_seconds, left)

    def sleep(self, seconds: float) -> None:
        """Sleeps, though not beyond the end."""
        time.sleep(max(0.0, min(seconds, self._end - time.monotonic())))


def persist(attempt: Callable[[], T], deadline: Deadline, where: str, cure: str = "try again later") -> T:
    """Makes attempts until one ends without TryAgainError.

    Raises SourceError, naming `where` and the `cure`, when as many as the deadline's patience allows brought nothing,
    or when time is up.
    """
    patience = deadline.patience
    failures = 0
    while True:
        try:
            return attempt()
        except TryAgainError as error:
            failures = 1 if error.progressed else failures + 1
            if failures >= patience.attempts:
                raise SourceError(f"{where}: {error}, at the last of {patience.attempts} tries; {cure}") from error
            deadline.sleep(max(patience.pause_seconds * 2 ** (failures - 1), error.retry_after))
        except _OverdueError as error:
            raise SourceError(
                f"{where}: not whole after {patience.total_seconds:,.0f} s; try again when the server is faster"
            ) from error


class _Headers(Protocol):
    """Of an answer, by lower-case name."""

    def get(self, name: str, /) -> str | None: ...


def retry_after(headers: _Headers) -> float:
    """Seconds that an answer asks to wait, given as such or as a date (RFC 9110, 10.2.3); 0 where it does not."""
    value = headers.get("retry-after") or ""
    if value.isdecimal():
        return float(value)
    when = _date(value)
    return 0.0 if when is None else max(0.0, (when - datetime.now(UTC)).total_seconds())


def _date(value: str | None) -> datetime | None:
    try:
        when = parsedate_to_datetime(value or "")
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _validator(headers: _Headers) -> str:
    """What says that a file is byte for byte the same: a strong entity tag, else a date of change that is one
    (RFC 9110, 8.8.2.2 and 8.8.3); nothing where there is neither."""
    etag = headers.get("etag") or ""
    if etag and not etag.startswith("W/"):
        return etag
    changed, sent = _date(headers.get("last-modified")), _date(headers.get("date"))
    if changed is None or sent is None or (sent - changed).total_seconds() < 1:
        return ""
    return headers.get("last-modified") or ""


@dataclass(frozen=True)
class Part:
    """What a server sends of a file.

    Attributes:
        read: gives up to so many bytes, as soon as any have come; none at the end.
        close: ends it.
        start: the byte of the file that comes first; None where a part of it was sent without saying which.
        total: bytes of the whole file; None where the server does not say.
        ranged: whether it is sent as a part.
        validator: see `_validator`.
    """

    read: Callable[[int], bytes]
    close: Callable[[], None]
    start: int | None
    total: int | None
    ranged: bool
    validator: str

    def take(self, size: int, *, progressed: bool = False) -> bytes:
        """Reads. Raises TryAgainError, `progressed` as it is given, where the connection breaks."""
        try:
            return self.read(size)
        except (OSError, http.client.HTTPException) as error:
            raise TryAgainError(f"broke off ({error or type(error).__name__})", progressed=progressed) from error


def part_of(
    status: int, headers: _Headers, read: Callable[[int], bytes], close: Callable[[], None], where: str
) -> Part:
    """The part that an answer of status 200 or 206 holds.

    Raises SourceError where the body is packed for the way, which was not asked for.
    """
    encoding = (headers.get("content-encoding") or "identity").strip().lower()
    # A .csv.gz that is announced as a .csv packed by gzip comes as it is.
    if encoding != "identity" and not where.lower().endswith(_SUFFIX_OF_ENCODING.get(encoding, "\0")):
        close()
        raise SourceError(
            f"{where}: the server packs what it sends (Content-Encoding: {encoding}) though asked not to; "
            "turn that off there, or fetch the file by other means and put it in a folder"
        )
    if status != PARTIAL:
        length = headers.get("content-length") or ""
        whole = int(length) if length.isdecimal() and not headers.get("transfer-encoding") else None
        return Part(read, close, 0, whole, False, _validator(headers))
    found = _CONTENT_RANGE.fullmatch((headers.get("content-range") or "").strip())
    start = int(found[1]) if found else None
    total = int(found[2]) if found and found[2] != "*" else None
    return Part(read, close, start, total, True, _validator(headers))


def check_size(size: int, max_bytes: int, where: str) -> None:
    """Raises SourceError for a file beyond the bound."""
    if size > max_bytes:
        raise SourceError(f"{where}: is larger than {max_bytes:,} bytes; raise AIS_MAX_ARCHIVE_GIGABYTES if it may be")


def note_of(target: Path) -> Path:
    """The file beside one that is on its way that says of which it is the beginning."""
    return target.with_name(f"{target.name}.json")


class Download:
    """A file on its way, in tries of which each goes on where the one before broke off, in this process or another.

    Args:
        ask: requests the file from a byte on; the second argument is the validator of what has come, empty where the
            whole file is wanted.
        target: where it goes; its beginning may be there, with its note.
        max_bytes: a larger one is refused.
        where: its address, for messages.
    """

    def __init__(self, ask: Callable[[int, str], Part], target: Path, max_bytes: int, where: str) -> None:
        self._ask = ask
        self._note = note_of(target)
        self._max_bytes = max_bytes
        self._where = where
        self._output = target.open("ab")
        self._recall()
        self._furthest = self._output.tell() if self._validator else 0

    def close(self) -> None:
        """Ends it, whole or not."""
        self._output.close()

    def _recall(self) -> None:
        """Takes up what a process before left."""
        try:
            note = json.loads(self._note.read_text())
            self._validator, self._total = note["validator"], note["total"]
        except (FileNotFoundError, ValueError):
            self._forget()

    def _forget(self) -> None:
        self._note.unlink(missing_ok=True)
        self._validator = ""
        self._total: int | None = None

    def attempt(self) -> None:
        """One try. Raises TryAgainError where it ends before the file does, SourceError for a file too large."""
        start = self._output.tell() if self._validator else 0
        try:
            part = self._ask(start, self._validator)
        except RangeRefusedError as refused:
            if start and refused.total == start and self._total in (None, start):
                return
            self._forget()
            raise TryAgainError(f"would not send from byte {start:,} on") from refused
        with closing(part):
            self._check(part, start)
            if not part.ranged:
                start = 0
                self._forget()
            self._output.seek(start)
            self._output.truncate()
            self._validator = self._validator or part.validator
            self._total = part.total if self._total is None else self._total
            if self._validator:
                self._note.write_text(json.dumps({"validator": self._validator, "total": self._total}))
            self._receive(part, start)

    def _check(self, part: Part, start: int) -> None:
        """Refuses a part that does not fit what has come, and what has come with it."""
        if not part.ranged or (part.start == start and (self._total is None or part.total in (None, self._total))):
            return
        of = "" if self._total is None else f" of {self._total:,}"
        self._forget()
        raise TryAgainError(f"sent bytes from {part.start} of {part.total}, asked for those from {start:,}{of}")

    def _receive(self, part: Part, start: int) -> None:
        check_size(self._total or 0, self._max_bytes, self._where)
        done = start
        progressed = False
        while chunk := part.take(_COPY_BYTES, progressed=progressed):
            self._output.write(chunk)
            done += len(chunk)
            check_size(done, self._max_bytes, self._where)
            progressed = bool(self._validator) and done > self._furthest
            self._furthest = max(self._furthest, done)
        if self._total is None or done == self._total:
            return
        fault = f"broke off after {done:,} of {self._total:,} bytes"
        if done > self._total:
            self._forget()
        raise TryAgainError(fault, progressed=progressed)


class RangeRead:
    """Some bytes of a file that is known, in tries as `Download` makes them.

    Args:
        ask: requests bytes from the first to before the second, if the file is still the same.
        start, end: which are wanted.
        size: of the whole file.
        where: its address, for messages.
    """

    def __init__(self, ask: Callable[[int, int], Part], start: int, end: int, size: int, where: str) -> None:
        self._ask = ask
        self._start, self._end, self._size = start, end, size
        self._where = where
        self._received = bytearray()

    def attempt(self) -> bytes:
        """One try. Raises TryAgainError where it ends early, SourceError where the file is another by now."""
        start = self._start + len(self._received)
        try:
            part = self._ask(start, self._end)
        except RangeRefusedError as refused:
            raise self._replaced() from refused
        with closing(part):
            if not part.ranged or part.total != self._size:
                raise self._replaced()
            if part.start != start:
                raise TryAgainError(f"sent bytes from {part.start}, asked for those from {start:,}")
            before = len(self._received)
            while left := self._end - self._start - len(self._received):
                chunk = part.take(min(left, _COPY_BYTES), progressed=len(self._received) > before)
                if not chunk:
                    raise TryAgainError(f"broke off {left:,} bytes early", progressed=len(self._received) > before)
                self._received += chunk
        return bytes(self._received)

    def _replaced(self) -> SourceError:
        return SourceError(f"{self._where}: was replaced while it was being read; try again")


class _BoundedSocket(io.RawIOBase):
    """What comes from a socket, no wait longer than the deadline allows: status line, headers and body alike."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        super().__init__()
        self._socket = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int | None:
        self._socket.settimeout(self._deadline.timeout())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, deadline: Deadline, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_BoundedSocket(sock, deadline), _READ_AHEAD_BYTES)


class _Handler(urllib.request.AbstractHTTPHandler):
    """Speaks http and https within a deadline."""

    def __init__(self, deadline: Deadline, ca_bundle: str | None) -> None:
        super().__init__()
        self._deadline = deadline
        self._ca_bundle = ca_bundle

    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(cast(Any, partial(self._connection, http.client.HTTPConnection)), request)

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        kind = partial(http.client.HTTPSConnection, context=ssl.create_default_context(cafile=self._ca_bundle))
        return self.do_open(cast(Any, partial(self._connection, kind)), request)

    def _connection(self, kind: Callable[..., http.client.HTTPConnection], host: str, **options: Any) -> Any:
        connection = kind(host, **{**options, "timeout": self._deadline.timeout()})
        cast(Any, connection).response_class = partial(_Answer, deadline=self._deadline)
        return connection


class _RedirectHandler(urllib.request.HTTPRedirectHandler):
    """Follows a redirect without reading what comes with it."""

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        fp.close()
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def send(
    request: urllib.request.Request,
    deadline: Deadline,
    where: str,
    *,
    as_it_is: bool = False,
    ca_bundle: str | None = None,
) -> http.client.HTTPResponse:
    """The answer to one request, its body yet to be read.

    Args:
        request: what is asked.
        deadline: until which the whole answer has to come.
        where: the address, for messages.
        as_it_is: whether an answer of any status is given; otherwise redirects are followed, and urllib's HTTPError is
            raised for a status that is no success.
        ca_bundle: file of the certificates that are trusted; None: the system's, or SSL_CERT_FILE's.

    Raises:
        TryAgainError: no answer, for a reason that may pass.
        SourceError: no answer, for another one.
    """
    # Only what is named here is spoken: no redirect may lead to a local file or to FTP.
    handlers = [urllib.request.ProxyHandler(), urllib.request.UnknownHandler(), _Handler(deadline, ca_bundle)]
    if not as_it_is:
        handlers += [
            urllib.request.HTTPDefaultErrorHandler(),
            _RedirectHandler(),
            urllib.request.HTTPErrorProcessor(),
        ]
    opener = urllib.request.OpenerDirector()
    for handler in handlers:
        opener.add_handler(handler)
    try:
        return cast(http.client.HTTPResponse, opener.open(request, timeout=deadline.timeout()))
    except urllib.error.HTTPError:
        raise
    except urllib.error.URLError as error:
        if isinstance(error.reason, OSError) and not isinstance(error.reason, ssl.SSLCertVerificationError):
            raise TryAgainError(f"cannot be reached ({error.reason})") from error
        raise SourceError(f"{where}: {error.reason}; correct AIS_SOURCE_URI") from error
    except http.client.InvalidURL as error:
        raise SourceError(f"{where}: is no valid address; correct AIS_SOURCE_URI") from error
    except (OSError, http.client.HTTPException) as error:
        raise TryAgainError(f"gave no answer ({error or type(error).__name__})") from error


def part_from(answer: http.client.HTTPResponse, where: str) -> Part:
    """The part that an answer holds. Raises SourceError as `part_of`."""
    headers = {name.lower(): value for name, value in cast(Mapping[str, str], answer.headers).items()}
    # read1 returns with what has come, so that nothing waits for a full block.
    return part_of(answer.status, headers, answer.read1, answer.close, where)


class _RangeReader(io.RawIOBase):
    """A file elsewhere as a file object: each read is one request for a range."""

    def __init__(self, size: int, read_range: Callable[[int, int], bytes]) -> None:
        super().__init__()
        self._size = size
        self._read_range = read_range
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, "seek before the beginning")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer)
        end = min(self._position + len(view), self._size)
        if end <= self._position:
            return 0
        data = self._read_range(self._position, end)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


def seekable(size: int, read_range: Callable[[int, int], bytes]) -> BinaryIO:
    """A file of `size` bytes for reading here and there, by what reads from one byte to before another."""
    return cast(BinaryIO, io.BufferedReader(_RangeReader(size, read_range), _READ_AHEAD_BYTES))
