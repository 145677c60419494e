"""One request over HTTP within a deadline: no wait for an answer, a header or a body is without end."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from ais_assets.store.patience import Deadline, TryAgainError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

BUSY = (408, 425, 429, 500, 502, 503, 504)
"""Statuses of a server that may answer soon."""
_READ_AHEAD_BYTES = 1 << 16


class AddressError(Exception):
    """Nothing can be asked at this address, and not later either; the message says why, without the address."""


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
    *,
    as_it_is: bool = False,
    ca_bundle: str | None = None,
) -> http.client.HTTPResponse:
    """The answer to one request, its body yet to be read.

    Args:
        request: what is asked.
        deadline: until which the whole answer has to come.
        as_it_is: whether an answer of any status is given; otherwise redirects are followed, and urllib's HTTPError is
            raised for a status that is no success.
        ca_bundle: file of the certificates that are trusted; None: the system's, or SSL_CERT_FILE's.

    Raises:
        TryAgainError: no answer, for a reason that may pass.
        AddressError: no answer, for another one.
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
        raise AddressError(str(error.reason)) from error
    except http.client.InvalidURL as error:
        raise AddressError("is no valid address") from error
    except (OSError, http.client.HTTPException) as error:
        raise TryAgainError(f"gave no answer ({error or type(error).__name__})") from error
