"""Addresses of places: which are taken, each of them literally, and what of one may be shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

_SCHEME: Final = re.compile(r"^([a-z][a-z0-9+.-]*)://")
_S3: Final = re.compile(r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^\s]*)?$")
_VALUE: Final = re.compile(r"=[^&{}]*(?=&|$)")
_HIDDEN: Final = "***"


def checked_place(address: str) -> str:
    """A folder, `s3://bucket/prefix` or a web address, as it is taken: without a slash at its end, file:// as a folder.

    What one program would read otherwise than another is refused instead of guessed at: `#` and `?` end an address for
    some, `a//b` is a name of its own on S3 and `a/b` on a disk, and `~` means something to shells only.

    Raises ValueError that says what is wrong and what to write.
    """
    if not address.strip():
        raise ValueError("is empty; name a folder or s3://bucket/prefix")
    scheme = _SCHEME.match(address)
    if scheme is None:
        return _checked_folder(address)
    if scheme[1] == "s3":
        return _checked_s3(address.rstrip("/"))
    if scheme[1] == "file":
        return _folder_of(address)
    if scheme[1] not in ("http", "https"):
        raise ValueError(
            f"{shown_address(address)!r} has the scheme {scheme[1]!r}; known are s3, http(s), file and a plain folder"
        )
    return address.rstrip("/")


def is_plain_web_address(address: str) -> bool:
    """Whether it is http(s)://host[:port]/… of printable ASCII, without user, password and fragment."""
    if not re.fullmatch(r"https?://[!-~]+", address) or "#" in address:
        return False
    try:
        parts = urlsplit(address)
        return bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        return False


def without_credentials(address: str) -> str:
    """A web address without what may be secret: user, password, query and fragment. Others are as they were."""
    if not address.startswith(("http://", "https://")):
        return address
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def shown_address(address: str) -> str:
    """An address with *** where it has user and password, and where its query has values; braces stay."""
    if not _SCHEME.match(address):
        return address
    parts = urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    query = _VALUE.sub(f"={_HIDDEN}", parts.query)
    return parts._replace(netloc=f"{_HIDDEN if user else ''}{at}{host}", query=query).geturl()


def _checked_folder(folder: str) -> str:
    if folder.startswith("~"):
        try:
            written = str(Path(folder).expanduser())
        except RuntimeError:
            written = "/home/…"
        raise ValueError(f"{folder!r} begins with ~, which only shells replace; write the folder out: {written}")
    if "\0" in folder:
        raise ValueError(f"{folder!r} has a NUL, which no folder's name can have")
    return folder


def _checked_s3(address: str) -> str:
    if not _S3.match(address):
        raise ValueError(f"{address!r} is not s3://bucket/prefix")
    prefix = address.removeprefix("s3://").partition("/")[2]
    for sign in "#?":
        if sign in prefix:
            raise ValueError(f"{address!r} has a {sign}, where some programs end an address; choose another prefix")
    if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
        raise ValueError(f"{address!r} has an empty part, . or .. in its prefix, which is no folder; leave it out")
    return address


def _folder_of(address: str) -> str:
    parts = urlsplit(address)
    if parts.netloc not in ("", "localhost"):
        raise ValueError(f"{address!r} names the host {parts.netloc!r}; a file is on this one: file:///folder")
    if parts.query or parts.fragment or address.endswith(("?", "#")):
        raise ValueError(f"{address!r} has a ? or #, which end an address; write %3F or %23, or the plain folder")
    folder = unquote(parts.path).rstrip("/") or "/"
    if not folder.startswith("/"):
        raise ValueError(f"{address!r} is not file:///folder")
    return _checked_folder(folder)
