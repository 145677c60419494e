"""Finding and fetching the archive of a day: from a folder, an S3 bucket or a web address."""

from __future__ import annotations

import errno
import http.client
import io
import os
import shutil
import ssl
import string
import time
import urllib.error
import urllib.parse
import urllib.request
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, TypeVar, cast

from ais_assets.sources.archive import Month, copy_member, day_in_name, member_of_day, month_in_name, open_zip
from ais_assets.sources.source import LandedArchive, Source, SourceError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

T = TypeVar("T")

_COPY_BYTES = 1 << 20
_READ_AHEAD_BYTES = 1 << 16
_MAGICS = {b"PK\x03\x04": ".zip", b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst", b"PAR1": ".parquet"}
_PARQUET_MAGIC = b"PAR1"
_LONGEST_MAGIC = 4
_NOT_THERE = 404
_GONE = 410
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_PARTIAL = 206
_LONGEST_RETRY_AFTER = 60.0


@dataclass(frozen=True)
class Patience:
    """How long a server is borne with.

    Attributes:
        attempts: tries of one file or one range of it; a try goes on where the one before broke off.
        timeout_seconds: without a single byte, after which a try is over.
        pause_seconds: before the second try; doubled for each one after.
        total_seconds: for one file, whatever it still sends.
    """

    attempts: int = 5
    timeout_seconds: float = 60.0
    pause_seconds: float = 1.0
    total_seconds: float = 4 * 3600.0


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


class FileSource(Source):
    """A source of files whose names carry their day, or their month.

    A format says which kinds of file it has and reads them; finding them is done here.

    Attributes:
        uri: a folder, file:///folder, s3://bucket/prefix, or a web address with {day}, {month} or {year} in it
            (2024-03-01, 2024-03, 2024; `{day:%Y%m%d}` for another form). A web address without {day} names
            archives of a month.
        max_bytes: an archive larger than this, packed or unpacked, is refused.
        examples: names of its files, for messages.
        suffixes: of files of one day, in order of preference.
        monthly_suffixes: of files of one month.
    """

    examples: ClassVar[tuple[str, ...]]
    suffixes: ClassVar[tuple[str, ...]]
    monthly_suffixes: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, uri: str, *, max_bytes: int, s3: S3Access | None = None, patience: Patience | None = None
    ) -> None:
        self.uri = uri
        self.max_bytes = max_bytes
        self._s3 = s3 or S3Access()
        self._patience = patience or Patience()

    def period(self, name: str) -> date | Month | None:
        """The day or the month that the file `name` holds; None where it is none of this source's."""
        lower = name.lower()
        if name.startswith("."):
            return None
        day = day_in_name(name)
        if day is not None:
            return day if lower.endswith(self.suffixes) else None
        return month_in_name(name) if lower.endswith(self.monthly_suffixes) else None

    def land(self, day: date, into: Path) -> LandedArchive | None:
        place = self._place()
        if isinstance(place, WebPlace):
            key, monthly = place.key(day), place.monthly
        else:
            key = self._listed(place, day)
            monthly = key is not None and isinstance(self.period(key), Month)
        if key is None:
            return None
        landing = into / f".landing-{day.isoformat()}"
        try:
            if monthly:
                return self._land_member(place, key, day, landing)
            return self._land_whole(place, key, day, landing)
        except FileNotFoundError as error:
            if isinstance(place, WebPlace):
                return None
            raise SourceError(f"{place.shown(key)}: vanished while it was being fetched; try again") from error
        finally:
            landing.unlink(missing_ok=True)

    def published(self, day: date) -> bool:
        place = self._place()
        if isinstance(place, WebPlace):
            return place.has(place.key(day))
        return self._listed(place, day) is not None

    def _place(self) -> ListedPlace | WebPlace:
        scheme, separator, _ = self.uri.partition("://")
        if not separator:
            return FolderPlace(Path(self.uri))
        if scheme == "file":
            return FolderPlace(Path(urllib.parse.unquote(urllib.parse.urlsplit(self.uri).path)))
        if scheme == "s3":
            return S3Place(self.uri, self._s3, self._patience)
        if scheme in ("http", "https"):
            return WebPlace(self.uri, self._patience)
        raise SourceError(f"AIS_SOURCE_URI has the scheme {scheme!r}; known are s3, http(s), file and a plain folder")

    def _listed(self, place: ListedPlace, day: date) -> str | None:
        """The name of the file of `day`, or of its month; None where the place has others only."""
        names = place.names()
        periods = {name: period for name in names if (period := self.period(name)) is not None}
        if not periods:
            other = f"{len(names):,} other files, such as {names[0]!r}" if names else "no files"
            raise SourceError(
                f"{place.uri}: holds {other}, but none of source {self.name!r}; "
                f"expected names such as {', '.join(self.examples)}. Correct AIS_SOURCE_URI or AIS_SOURCE"
            )
        for wanted in (day, Month(day.year, day.month)):
            found = [name for name, period in periods.items() if period == wanted]
            if found:
                return self._best(found, place, day)
        return None

    def _best(self, names: list[str], place: Place, day: date) -> str:
        """Of several forms of one file the first kind in `suffixes`. Raises SourceError for several files."""
        kinds = (*self.suffixes, *self.monthly_suffixes)
        kind = {name: next(k for k, suffix in enumerate(kinds) if name.lower().endswith(suffix)) for name in names}
        stems = {name[: -len(kinds[kind[name]])] for name in names}
        if len(stems) > 1:
            raise SourceError(
                f"{place.uri}: several files carry {day} in their names ({', '.join(sorted(names))}); keep one"
            )
        return min(names, key=kind.__getitem__)

    def _land_whole(self, place: Place, key: str, day: date, landing: Path) -> LandedArchive:
        place.fetch(key, landing, self.max_bytes)
        final = landing.with_name(self._file_name(place.file_name(key), day, landing))
        _verify(landing, place.shown(key), final.suffix.lower())
        landing.replace(final)
        return LandedArchive(final, place.shown(key))

    def _land_member(self, place: Place, key: str, day: date, landing: Path) -> LandedArchive | None:
        """Takes one day out of a month's zip. Its file is named after the source: no name from inside is used."""
        shown = place.shown(key)
        part = landing.with_name(f"{landing.name}-member")
        with place.open(key, landing, self.max_bytes) as file, open_zip(file, shown) as archive:
            member = member_of_day(archive, day, shown)
            if member is None:
                return None
            try:
                copy_member(archive, member, part, shown)
                final = part.replace(landing.with_name(f"{self.name}-{day.isoformat()}.zip"))
            finally:
                part.unlink(missing_ok=True)
        return LandedArchive(final, f"{shown}#{member.filename}")

    def _file_name(self, published: str, day: date, landed: Path) -> str:
        if published.lower().endswith(self.suffixes) and not published.startswith("."):
            return published
        # A web address such as https://host/download?day=… says nothing of what it sends.
        with landed.open("rb") as file:
            start = file.read(_LONGEST_MAGIC)
        packing = next((packing for magic, packing in _MAGICS.items() if start.startswith(magic)), None)
        packings = tuple(_MAGICS.values())
        kinds = [kind for kind in self.suffixes if (kind.endswith(packing) if packing else not kind.endswith(packings))]
        if not kinds:
            raise SourceError(
                f"{published or 'the file'} of {day} is a {packing} file, which source {self.name!r} does not have; "
                f"it has {', '.join(self.suffixes)}. Correct AIS_SOURCE_URI or AIS_SOURCE"
            )
        return f"{self.name}-{day.isoformat()}{kinds[0]}"


class Place(ABC):
    """Where files are, each under a key: its name, or for the web its address.

    Attributes:
        uri: the place's address, without credentials.
    """

    uri: str

    @abstractmethod
    def fetch(self, key: str, target: Path, max_bytes: int) -> None:
        """Copies a file. Raises FileNotFoundError where it is not there, SourceError where it cannot be had."""

    @abstractmethod
    def open(self, key: str, scratch: Path, max_bytes: int) -> BinaryIO:
        """A file for reading here and there, fetched to `scratch` where the place gives only whole files."""

    def shown(self, key: str) -> str:
        """A file's address without credentials."""
        return f"{self.uri}/{key}"

    def file_name(self, key: str) -> str:
        """A file's name as published, without any folder."""
        return key


class ListedPlace(Place):
    """A place that tells what it holds."""

    @abstractmethod
    def names(self) -> list[str]:
        """Names of the files right there, sorted. Raises SourceError where the place cannot be had."""


class FolderPlace(ListedPlace):
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.uri = str(folder)

    def names(self) -> list[str]:
        try:
            return sorted(entry.name for entry in self._folder.iterdir() if entry.is_file())
        except OSError as error:
            raise SourceError(
                f"{self.uri}: {error.strerror}; AIS_SOURCE_URI must name a folder with the source's files"
            ) from error

    def fetch(self, key: str, target: Path, max_bytes: int) -> None:
        source = self._folder / key
        _check_size(source.stat().st_size, max_bytes, self.shown(key))
        shutil.copyfile(source, target)

    def open(self, key: str, scratch: Path, max_bytes: int) -> BinaryIO:
        return (self._folder / key).open("rb")


class S3Place(ListedPlace):
    """A prefix of an S3 bucket."""

    def __init__(self, uri: str, access: S3Access, patience: Patience) -> None:
        from boto3.session import Session  # noqa: PLC0415 - only a source on S3 needs boto
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415

        self.uri = uri.rstrip("/")
        self._bucket, _, prefix = self.uri.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._patience = patience
        config = Config(
            connect_timeout=patience.timeout_seconds,
            read_timeout=patience.timeout_seconds,
            retries={"total_max_attempts": patience.attempts, "mode": "standard"},
        )
        try:
            session = Session(profile_name=access.profile, region_name=access.region)
            self._client: Any = session.client("s3", endpoint_url=access.endpoint_url, config=config)
        except (BotoCoreError, ValueError) as error:
            raise SourceError(
                f"{self.uri}: S3 cannot be set up ({error}); check AIS_S3_* and the AWS_* environment"
            ) from error

    def names(self) -> list[str]:
        with self._errors(self.uri):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix, Delimiter="/"
            )
            keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return sorted(key.removeprefix(self._prefix) for key in keys if key != self._prefix)

    def fetch(self, key: str, target: Path, max_bytes: int) -> None:
        with self._errors(self.shown(key)):
            size = self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)["ContentLength"]
            _check_size(size, max_bytes, self.shown(key))
            self._client.download_file(self._bucket, self._prefix + key, str(target))

    def open(self, key: str, scratch: Path, max_bytes: int) -> BinaryIO:
        with self._errors(self.shown(key)):
            head = self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)
        return _seekable(head["ContentLength"], lambda start, end: self._range(key, start, end, head["ETag"]))

    def _range(self, key: str, start: int, end: int, etag: str) -> bytes:
        from botocore.exceptions import HTTPClientError, IncompleteReadError  # noqa: PLC0415

        wanted = {"Bucket": self._bucket, "Key": self._prefix + key, "IfMatch": etag}

        def attempt() -> bytes:
            with self._errors(self.shown(key)):
                try:
                    return self._client.get_object(**wanted, Range=f"bytes={start}-{end - 1}")["Body"].read()
                except (HTTPClientError, IncompleteReadError) as error:
                    # botocore tries a request again, but not a body that breaks off.
                    raise _TryAgainError(str(error)) from error

        return _persist(attempt, self._patience, self.shown(key))

    @contextmanager
    def _errors(self, where: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "an error")
            if code in ("NoSuchKey", "404"):
                raise FileNotFoundError(where) from error
            cure = {
                "NoSuchBucket": "correct AIS_SOURCE_URI",
                "403": "check the credentials and their rights on this bucket",
                "AccessDenied": "check the credentials and their rights on this bucket",
                "InvalidAccessKeyId": "check AWS_ACCESS_KEY_ID or the AWS profile",
                "SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY or the AWS profile",
                "ExpiredToken": "renew the credentials",
                "PreconditionFailed": "the file was replaced while it was being read; try again",
            }.get(code, "see S3's documentation of this code")
            raise SourceError(f"{where}: S3 answered {code}: {cure}") from None
        except BotoCoreError as error:
            raise SourceError(
                f"{where}: S3 cannot be reached or used ({error}); "
                "check AIS_S3_ENDPOINT_URL or AWS_ENDPOINT_URL, the network and the credentials"
            ) from error


class WebPlace(Place):
    """A web address with a date in it: one file for each day or month, nothing to list.

    User and password in the address are sent as basic authentication, to this host only; neither they nor a
    query (which may be a token) are shown.

    Attributes:
        monthly: whether the address names a file of one month, not of one day.
    """

    def __init__(self, template: str, patience: Patience) -> None:
        fields = _template_fields(template)
        if not fields or not fields <= {"day", "month", "year"}:
            raise SourceError(
                f"{_without_credentials(template)}: a web address needs {{day}} or {{month}} (and may have {{year}}) "
                "where the file's date is, such as https://host/aisdk-{day}.zip, and nothing else in braces"
            )
        self._template = template
        self._patience = patience
        self.monthly = "day" not in fields
        self.uri = _without_credentials(template)
        # Only what is named here is spoken: no redirect may lead to a local file or to FTP.
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler,
            urllib.request.UnknownHandler,
            urllib.request.HTTPHandler,
            urllib.request.HTTPSHandler,
            urllib.request.HTTPDefaultErrorHandler,
            urllib.request.HTTPRedirectHandler,
            urllib.request.HTTPErrorProcessor,
        ):
            self._opener.add_handler(handler())

    def key(self, day: date) -> str:
        """The address of the file of `day`, credentials included."""
        return self._template.format(day=_Stamp(day, "%Y-%m-%d"), month=_Stamp(day, "%Y-%m"), year=_Stamp(day, "%Y"))

    def shown(self, key: str) -> str:
        return _without_credentials(key)

    def file_name(self, key: str) -> str:
        return PurePosixPath(urllib.parse.unquote(urllib.parse.urlsplit(key).path)).name

    def fetch(self, key: str, target: Path, max_bytes: int) -> None:
        deadline = time.monotonic() + self._patience.total_seconds
        etag = ""
        with target.open("wb") as output:

            def attempt() -> None:
                nonlocal etag
                done = output.tell() if etag else 0
                with self._answer(key, {"Range": f"bytes={done}-", "If-Range": etag} if done else {}) as answer:
                    if answer.status != _PARTIAL:
                        done = 0
                    output.seek(done)
                    output.truncate()
                    etag = _strong_etag(answer)
                    self._receive(answer, output, deadline, max_bytes)

            _persist(attempt, self._patience, self.shown(key))

    def open(self, key: str, scratch: Path, max_bytes: int) -> BinaryIO:
        size, etag = self._size_and_etag(key)
        if not size or not etag:
            self.fetch(key, scratch, max_bytes)
            return scratch.open("rb")
        return _seekable(size, lambda start, end: self._range(key, start, end, etag))

    def has(self, key: str) -> bool:
        """Whether the server has the file. Raises SourceError where it does not say."""
        try:
            self._size_and_etag(key)
        except FileNotFoundError:
            return False
        return True

    def _size_and_etag(self, key: str) -> tuple[int, str]:
        """A file's size and entity tag; 0 where the server gives no ranges."""

        def first_byte() -> tuple[int, str]:
            with self._answer(key, {"Range": "bytes=0-0"}) as answer:
                total = (answer.headers.get("Content-Range") or "").rpartition("/")[2]
                ranged = answer.status == _PARTIAL and total.isdecimal()
                return int(total) if ranged else 0, _strong_etag(answer)

        return _persist(first_byte, self._patience, self.shown(key))

    def _range(self, key: str, start: int, end: int, etag: str) -> bytes:
        where = self.shown(key)
        deadline = time.monotonic() + self._patience.total_seconds

        def attempt() -> bytes:
            received = io.BytesIO()
            with self._answer(key, {"Range": f"bytes={start}-{end - 1}", "If-Range": etag}) as answer:
                if answer.status != _PARTIAL:
                    raise SourceError(f"{where}: was replaced while it was being read; try again")
                self._receive(answer, received, deadline, end - start)
            return received.getvalue()

        return _persist(attempt, self._patience, where)

    def _answer(self, key: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        """The server's answer to one request: 200 or 206."""
        parts = urllib.parse.urlsplit(key)
        host = parts.netloc.rpartition("@")[2]
        request = urllib.request.Request(
            parts._replace(netloc=host, fragment="").geturl(),
            headers={"User-Agent": "ais_assets", "Accept-Encoding": "identity", **headers},
        )
        if parts.username is not None:
            user = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
            request.add_unredirected_header("Authorization", f"Basic {b64encode(user.encode()).decode()}")
        try:
            return cast(http.client.HTTPResponse, self._opener.open(request, timeout=self._patience.timeout_seconds))
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(key, error) from None
        except urllib.error.URLError as error:
            if isinstance(error.reason, OSError) and not isinstance(error.reason, ssl.SSLCertVerificationError):
                raise _TryAgainError(f"cannot be reached ({error.reason})") from error
            raise SourceError(f"{self.shown(key)}: {error.reason}; correct AIS_SOURCE_URI") from error
        except http.client.InvalidURL as error:
            raise SourceError(f"{self.shown(key)}: is no valid address; correct AIS_SOURCE_URI") from error
        except (OSError, http.client.HTTPException) as error:
            raise _TryAgainError(f"gave no answer ({error or type(error).__name__})") from error

    def _refusal(self, key: str, error: urllib.error.HTTPError) -> Exception:
        where = self.shown(key)
        if error.code == _NOT_THERE:
            return FileNotFoundError(where)
        if error.code == _GONE:
            return SourceError(
                f"{where}: was withdrawn for good (410 {error.reason}); find the day elsewhere and put it in a folder, "
                "or leave it out of AIS_FIRST_DAY to AIS_LAST_DAY"
            )
        if error.code in _BUSY:
            after = error.headers.get("Retry-After") or ""
            return _TryAgainError(f"answered {error.code}", float(after) if after.isdecimal() else 0.0)
        cure = "check the credentials in AIS_SOURCE_URI" if error.code in (401, 403) else "correct AIS_SOURCE_URI"
        return SourceError(f"{where}: the server answered {error.code} {error.reason}; {cure}")

    def _receive(self, answer: http.client.HTTPResponse, output: BinaryIO, deadline: float, max_bytes: int) -> None:
        """Writes an answer's body. Raises _TryAgainError where it breaks off."""
        expected = answer.length
        received = 0
        while True:
            try:
                # read1 returns with what has come, so that a trickle cannot outlast the deadline.
                chunk = answer.read1(_COPY_BYTES)
            except (OSError, http.client.HTTPException) as error:
                raise _TryAgainError(f"broke off ({error or type(error).__name__})") from error
            if not chunk:
                break
            received += len(chunk)
            output.write(chunk)
            where = _without_credentials(answer.geturl())
            _check_size(output.tell(), max_bytes, where)
            if time.monotonic() > deadline:
                raise SourceError(
                    f"{where}: not whole after {self._patience.total_seconds:,.0f} s "
                    f"({output.tell():,} bytes came); try again when the server is faster"
                )
        if expected is not None and received < expected:
            raise _TryAgainError(f"broke off after {received:,} of {expected:,} bytes")


def _template_fields(template: str) -> set[str]:
    """What stands in braces; nothing where the braces do not match."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError:
        return set()
    names = {name for _, name, _, _ in parts if name is not None}
    nested = {form for _, _, form, _ in parts if form and "{" in form}
    return names | nested


class _Stamp:
    """A date in a template: in a form of its own unless the template asks for another."""

    def __init__(self, day: date, form: str) -> None:
        self._day = day
        self._form = form

    def __format__(self, form: str) -> str:
        return self._day.strftime(form or self._form)


class _TryAgainError(Exception):
    """What may pass: a busy server, a connection that breaks."""

    def __init__(self, fault: str, retry_after: float = 0.0) -> None:
        super().__init__(fault)
        self.retry_after = min(retry_after, _LONGEST_RETRY_AFTER)


def _persist(attempt: Callable[[], T], patience: Patience, where: str) -> T:
    """Makes attempts until one ends without _TryAgainError. Raises SourceError after the last."""
    pause = patience.pause_seconds
    for _ in range(patience.attempts - 1):
        try:
            return attempt()
        except _TryAgainError as error:
            time.sleep(max(pause, error.retry_after))
            pause *= 2
    try:
        return attempt()
    except _TryAgainError as error:
        raise SourceError(f"{where}: {error}, at the last of {patience.attempts} tries; try again later") from error


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


def _seekable(size: int, read_range: Callable[[int, int], bytes]) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(_RangeReader(size, read_range), _READ_AHEAD_BYTES))


def _strong_etag(answer: http.client.HTTPResponse) -> str:
    """An entity tag that says byte for byte the same (RFC 9110, 8.8.3), else nothing."""
    etag = answer.headers.get("ETag") or ""
    return "" if etag.startswith("W/") else etag


def _without_credentials(address: str) -> str:
    parts = urllib.parse.urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _check_size(size: int, max_bytes: int, where: str) -> None:
    if size > max_bytes:
        raise SourceError(f"{where}: is larger than {max_bytes:,} bytes; raise AIS_MAX_ARCHIVE_GIGABYTES if it may be")


def _verify(path: Path, where: str, suffix: str) -> None:
    """What can be told without unpacking: a file cut off or empty is refused before it is stored."""
    if not path.stat().st_size:
        raise SourceError(f"{where}: is empty; fetch it again, or remove it if the source never published the day")
    if suffix == ".zip":
        open_zip(path, where).close()
    elif suffix == ".parquet":
        with path.open("rb") as file:
            file.seek(-min(len(_PARQUET_MAGIC), path.stat().st_size), os.SEEK_END)
            if file.read() != _PARQUET_MAGIC:
                raise SourceError(f"{where}: does not end as a Parquet file does: it was cut off; fetch it again")
