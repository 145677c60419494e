"""Where archives are: a folder, an S3 bucket or a web address, each giving whole files and parts of them."""

from __future__ import annotations

import shutil
import string
import urllib.error
import urllib.parse
import urllib.request
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property, partial
from http.client import HTTPResponse
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

from ais_assets.sources.landing.transfer import (
    BUSY,
    Deadline,
    Download,
    NotThereError,
    Part,
    Patience,
    RangeRead,
    RangeRefusedError,
    TryAgainError,
    check_size,
    part_from,
    part_of,
    persist,
    retry_after,
    seekable,
    send,
)
from ais_assets.sources.source import SourceError
from ais_assets.store.s3_answers import s3_cure

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse

_NOT_THERE = 404
_GONE = 410
_NO_SUCH_RANGE = 416
_MOST_LISTED_BYTES = 1 << 26
_READ_BYTES = 1 << 16


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


class Place(ABC):
    """Where files are, each under a key: its name, or for the web its address.

    Attributes:
        uri: the place's address, without credentials.
    """

    uri: str

    @abstractmethod
    def fetch(self, key: str, target: Path, max_bytes: int) -> None:
        """Copies a file. Where a server breaks off, `target` and its note are what `Download` goes on with.

        Raises NotThereError where it is not there, SourceError where it cannot be had, OSError where it cannot be
        stored.
        """

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

    @cached_property
    def names(self) -> list[str]:
        """Names of the files right there, sorted; listed once. Raises SourceError where the place cannot be had."""
        return sorted(self._list())

    @abstractmethod
    def _list(self) -> list[str]: ...


class FolderPlace(ListedPlace):
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.uri = str(folder)

    def _list(self) -> list[str]:
        try:
            return [entry.name for entry in self._folder.iterdir() if entry.is_file()]
        except OSError as error:
            raise SourceError(
                f"{self.uri}: {error.strerror}; AIS_SOURCE_URI must name a folder with the source's files"
            ) from error

    def fetch(self, key: str, target: Path, max_bytes: int) -> None:
        source = self._folder / key
        check_size(source.stat().st_size, max_bytes, self.shown(key))
        shutil.copyfile(source, target)

    def open(self, key: str, scratch: Path, max_bytes: int) -> BinaryIO:
        return (self._folder / key).open("rb")


class S3Place(ListedPlace):
    """A prefix of an S3 bucket. boto signs and understands; what it sends and receives goes by `transfer`, bounded."""

    def __init__(self, uri: str, access: S3Access, patience: Patience) -> None:
        from boto3.session import Session  # noqa: PLC0415 - only a source on S3 needs boto
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415
        from botocore.session import get_session  # noqa: PLC0415

        self.uri = uri.rstrip("/")
        self._bucket, _, prefix = self.uri.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._patience = patience
        self._deadline = Deadline(patience)
        # Tries are counted by `persist`; an object's checksum is that of the whole, not of a part.
        once = Config(retries={"total_max_attempts": 1}, response_checksum_validation="when_required")
        try:
            core = get_session()
            session = Session(profile_name=access.profile, region_name=access.region, botocore_session=core)
            self._client: Any = session.client("s3", endpoint_url=access.endpoint_url, config=once)
        except (BotoCoreError, ValueError) as error:
            raise SourceError(
                f"{self.uri}: S3 cannot be set up ({error}); check AIS_S3_* and the AWS_* environment"
            ) from error
        self._ca_bundle: str | None = core.get_config_variable("ca_bundle")
        self._client.meta.events.register("before-send.s3", self._send)

    def _list(self) -> list[str]:
        self._deadline = Deadline(self._patience)
        wanted = {"Bucket": self._bucket, "Prefix": self._prefix, "Delimiter": "/"}
        keys: list[str] = []
        while True:
            page = self._call("list_objects_v2", self.uri, **wanted)
            keys += [entry["Key"] for entry in page.get("Contents", [])]
            if not page.get("IsTruncated"):
                return [key.removeprefix(self._prefix) for key in keys if key != self._prefix]
            wanted["ContinuationToken"] = page["NextContinuationToken"]

    def fetch(self, key: str, target: Path, max_bytes: int) -> None:
        where = self.shown(key)
        self._deadline = Deadline(self._patience)
        with closing(Download(partial(self._part, key, None), target, max_bytes, where)) as file:
            persist(file.attempt, self._deadline, where, _S3_CURE)

    def open(self, key: str, scratch: Path, max_bytes: int) -> BinaryIO:
        where = self.shown(key)
        self._deadline = Deadline(self._patience)
        head = self._call("head_object", where, Bucket=self._bucket, Key=self._prefix + key)
        size, etag = head["ContentLength"], head["ETag"]

        def read_range(start: int, end: int) -> bytes:
            piece = RangeRead(lambda first, last: self._part(key, last, first, etag), start, end, size, where)
            return persist(piece.attempt, self._deadline, where, _S3_CURE)

        return seekable(size, read_range)

    def _call(self, operation: str, where: str, **wanted: Any) -> dict[str, Any]:
        def attempt() -> dict[str, Any]:
            with self._errors(where):
                return getattr(self._client, operation)(**wanted)

        return persist(attempt, self._deadline, where, _S3_CURE)

    def _part(self, key: str, end: int | None, start: int, etag: str) -> Part:
        """The object to its end, or to before `end`, from `start` on, if its entity tag is still `etag`."""
        from botocore.exceptions import IncompleteReadError  # noqa: PLC0415

        where = self.shown(key)
        wanted = {"Bucket": self._bucket, "Key": self._prefix + key}
        if start or end is not None:
            wanted["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        if etag:
            wanted["IfMatch"] = etag
        with self._errors(where):
            response = self._client.get_object(**wanted)
        body = response["Body"]

        def read(size: int) -> bytes:
            try:
                return body.read(size)
            except IncompleteReadError:
                return b""

        answer = response["ResponseMetadata"]
        return part_of(answer["HTTPStatusCode"], answer["HTTPHeaders"], read, body.close, where)

    def _send(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        """In place of boto's own sending, whose waits for a header or a body have no end in all."""
        from botocore.awsrequest import AWSResponse  # noqa: PLC0415

        headers = {
            name: value.decode() if isinstance(value, bytes) else str(value)
            for name, value in {"Accept-Encoding": "identity", **dict(request.headers.items())}.items()
        }
        signed = urllib.request.Request(request.url, headers=headers, method=request.method)
        answer = send(signed, self._deadline, self.uri, as_it_is=True, ca_bundle=self._ca_bundle)
        return AWSResponse(request.url, answer.status, dict(answer.headers.items()), _Body(answer, self.uri))

    @contextmanager
    def _errors(self, where: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "an error")
            answer = error.response.get("ResponseMetadata", {})
            if code in ("NoSuchKey", "404"):
                raise NotThereError(where) from error
            # Also where an object is not the one any more that was begun.
            if code in ("InvalidRange", "412", "PreconditionFailed"):
                raise RangeRefusedError(None) from error
            if code in ("SlowDown", "RequestTimeout") or answer.get("HTTPStatusCode") in BUSY:
                after = retry_after(answer.get("HTTPHeaders", {}))
                raise TryAgainError(f"S3 answered {code}", retry_after=after) from error
            cure = s3_cure(code, no_bucket="correct AIS_SOURCE_URI")
            raise SourceError(f"{where}: S3 answered {code}: {cure}") from None
        except BotoCoreError as error:
            raise SourceError(
                f"{where}: S3 cannot be reached or used ({error}); "
                "check AIS_S3_ENDPOINT_URL or AWS_ENDPOINT_URL, the network and the credentials"
            ) from error


_S3_CURE = "try again later, or check AIS_S3_ENDPOINT_URL or AWS_ENDPOINT_URL and the network"


class _Body:
    """The body of an answer as boto wants it: `read` gives what has come, `stream` all of an answer that is no file."""

    def __init__(self, answer: HTTPResponse, where: str) -> None:
        self._answer = answer
        self._where = where
        self.read = answer.read1
        self.close = answer.close

    def stream(self) -> Iterator[bytes]:
        size = 0
        with self._answer:
            part = part_from(self._answer, self._where)
            while chunk := part.take(_READ_BYTES):
                size += len(chunk)
                if size > _MOST_LISTED_BYTES:
                    raise SourceError(f"{self._where}: S3 answered with more than {_MOST_LISTED_BYTES:,} bytes")
                yield chunk
            if self._answer.length:
                raise TryAgainError(f"broke off {self._answer.length:,} bytes early")


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

    def key(self, day: date) -> str:
        """The address of the file of `day`, credentials included."""
        return self._template.format(day=_Stamp(day, "%Y-%m-%d"), month=_Stamp(day, "%Y-%m"), year=_Stamp(day, "%Y"))

    def shown(self, key: str) -> str:
        return _without_credentials(key)

    def file_name(self, key: str) -> str:
        return PurePosixPath(urllib.parse.unquote(urllib.parse.urlsplit(key).path)).name

    def fetch(self, key: str, target: Path, max_bytes: int) -> None:
        where = self.shown(key)
        deadline = Deadline(self._patience)

        def ask(start: int, validator: str) -> Part:
            wanted = {"Range": f"bytes={start}-", "If-Range": validator} if start else {}
            return part_from(self._answer(key, wanted, deadline), where)

        with closing(Download(ask, target, max_bytes, where)) as file:
            persist(file.attempt, deadline, where)

    def open(self, key: str, scratch: Path, max_bytes: int) -> BinaryIO:
        where = self.shown(key)
        deadline = Deadline(self._patience)
        size, validator = self._size_and_validator(key, deadline)
        if not size or not validator:
            self.fetch(key, scratch, max_bytes)
            return scratch.open("rb")

        def ask(start: int, end: int) -> Part:
            wanted = {"Range": f"bytes={start}-{end - 1}", "If-Range": validator}
            return part_from(self._answer(key, wanted, deadline), where)

        def read_range(start: int, end: int) -> bytes:
            return persist(RangeRead(ask, start, end, size, where).attempt, deadline, where)

        return seekable(size, read_range)

    def has(self, key: str) -> bool:
        """Whether the server has the file. Raises SourceError where it does not say."""
        try:
            self._size_and_validator(key, Deadline(self._patience))
        except NotThereError:
            return False
        return True

    def _size_and_validator(self, key: str, deadline: Deadline) -> tuple[int, str]:
        """A file's size and what tells it from another; 0 where the server gives no ranges."""

        def first_byte() -> tuple[int, str]:
            try:
                answer = self._answer(key, {"Range": "bytes=0-0"}, deadline)
            except RangeRefusedError:
                return 0, ""
            with answer:
                part = part_from(answer, self.shown(key))
                return (part.total or 0, part.validator) if part.ranged else (0, "")

        return persist(first_byte, deadline, self.shown(key))

    def _answer(self, key: str, headers: dict[str, str], deadline: Deadline) -> HTTPResponse:
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
            return send(request, deadline, self.shown(key))
        except urllib.error.HTTPError as error:
            error.close()
            raise self._refusal(key, error) from None

    def _refusal(self, key: str, error: urllib.error.HTTPError) -> Exception:
        where = self.shown(key)
        if error.code == _NOT_THERE:
            return NotThereError(where)
        if error.code == _GONE:
            return SourceError(
                f"{where}: was withdrawn for good (410 {error.reason}); find the day elsewhere and put it in a folder, "
                "or leave it out of AIS_FIRST_DAY to AIS_LAST_DAY"
            )
        if error.code == _NO_SUCH_RANGE:
            total = (error.headers.get("Content-Range") or "").rpartition("*/")[2]
            return RangeRefusedError(int(total) if total.isdecimal() else None)
        if error.code in BUSY:
            return TryAgainError(f"answered {error.code}", retry_after=retry_after(error.headers))
        cure = "check the credentials in AIS_SOURCE_URI" if error.code in (401, 403) else "correct AIS_SOURCE_URI"
        return SourceError(f"{where}: the server answered {error.code} {error.reason}; {cure}")


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


def _without_credentials(address: str) -> str:
    parts = urllib.parse.urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
