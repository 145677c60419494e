"""What a server sends of a file: which bytes, of how many, and what says that the file is still the same."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol, cast

from ais_assets.sources.source import SourceError
from ais_assets.store.patience import TryAgainError

PARTIAL = 206
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_SUFFIX_OF_ENCODING = {"gzip": ".gz", "x-gzip": ".gz", "zstd": ".zst"}


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


def part_from(answer: http.client.HTTPResponse, where: str) -> Part:
    """The part that an answer holds. Raises SourceError as `part_of`."""
    headers = {name.lower(): value for name, value in cast(Mapping[str, str], answer.headers).items()}
    # read1 returns with what has come, so that nothing waits for a full block.
    return part_of(answer.status, headers, answer.read1, answer.close, where)
