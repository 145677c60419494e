"""A prefix of an S3 bucket as a place of archives."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.client import HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ais_assets.sources.landing.download import Download
from ais_assets.sources.landing.part import Part, part_from, part_of, retry_after
from ais_assets.sources.landing.patience import NotThereError, RangeRefusedError, persist
from ais_assets.sources.landing.places import ListedPlace
from ais_assets.sources.landing.ranges import RangeRead, seekable
from ais_assets.sources.source import SourceError
from ais_assets.store.http import BUSY, AddressError, send
from ais_assets.store.patience import Deadline, Patience, TryAgainError
from ais_assets.store.s3_access import S3Access
from ais_assets.store.s3_answers import s3_refusal, s3_unreachable

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse

_MOST_LISTED_BYTES = 1 << 26
_READ_BYTES = 1 << 16
_S3_CURE = "try again later, or check AIS_S3_ENDPOINT_URL or AWS_ENDPOINT_URL and the network"


class S3Place(ListedPlace):
    """A prefix of an S3 bucket. boto signs and understands; what it sends and receives goes by `transfer`, bounded."""

    def __init__(self, uri: str, access: S3Access, patience: Patience) -> None:
        from botocore.config import Config  # noqa: PLC0415 - only a source on S3 needs boto
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
            self._client = access.new_client(once, core)
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
        try:
            answer = send(signed, self._deadline, as_it_is=True, ca_bundle=self._ca_bundle)
        except AddressError as error:
            raise SourceError(
                f"{self.uri}: S3 cannot be asked ({error}); check AIS_S3_ENDPOINT_URL or AWS_ENDPOINT_URL, and "
                "AWS_CA_BUNDLE"
            ) from error
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
            raise SourceError(s3_refusal(where, code, "correct AIS_SOURCE_URI")) from None
        except BotoCoreError as error:
            raise SourceError(s3_unreachable(where, error)) from error


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
