"""A web address with a date in it as a place of archives."""

from __future__ import annotations

import string
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from contextlib import closing
from datetime import date
from http.client import HTTPResponse
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from ais_assets.settings.addresses import without_credentials
from ais_assets.sources.landing.download import Download
from ais_assets.sources.landing.part import Part, part_from, retry_after
from ais_assets.sources.landing.patience import NotThereError, RangeRefusedError, persist
from ais_assets.sources.landing.places import Place
from ais_assets.sources.landing.ranges import RangeRead, seekable
from ais_assets.sources.source import SourceError
from ais_assets.store.http import BUSY, AddressError, send
from ais_assets.store.patience import Deadline, Patience, TryAgainError

USER_AGENT: Final = f"ais_assets/{version('ais_assets')}"
"""Says to servers who asks."""
_NOT_THERE = 404
_GONE = 410
_NO_SUCH_RANGE = 416


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
                f"{without_credentials(template)}: a web address needs {{day}} or {{month}} (and may have {{year}}) "
                "where the file's date is, such as https://host/aisdk-{day}.zip, and nothing else in braces"
            )
        self._template = template
        self._patience = patience
        self.monthly = "day" not in fields
        self.uri = without_credentials(template)

    def key(self, day: date) -> str:
        """The address of the file of `day`, credentials included."""
        return self._template.format(day=_Stamp(day, "%Y-%m-%d"), month=_Stamp(day, "%Y-%m"), year=_Stamp(day, "%Y"))

    def shown(self, key: str) -> str:
        return without_credentials(key)

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
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers},
        )
        if parts.username is not None:
            user = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
            request.add_unredirected_header("Authorization", f"Basic {b64encode(user.encode()).decode()}")
        try:
            return send(request, deadline)
        except AddressError as error:
            raise SourceError(f"{self.shown(key)}: {error}; correct AIS_SOURCE_URI") from error
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
