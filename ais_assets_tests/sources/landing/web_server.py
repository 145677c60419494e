"""A web server on loopback that can be told to misbehave."""

from __future__ import annotations

import http.client
import io
import os
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_LISTED = re.compile(rb"(<LastModified>)([0-9-]+T[0-9:]+)")
Answer = Callable[["Handler"], bool]
"""A misbehaviour: True where it has answered, False to let the file be sent as usual."""


@dataclass
class WebServer:
    """Its address and files, and for each path the misbehaviours of its next answers, one a request.

    Attributes:
        requests: (path, headers) of every request so far.
        ranges: whether ranges and entity tags are given.
        etag: of every file.
        behind: host and port of a server that answers instead of the files, where it is not told to misbehave.
        storm: misbehaviours that come in turn, one after so many requests that are answered as usual.
        calm: so many requests.
        outage: the only answer, from the request of the number `outage_from` on; None: there is none.
        outage_from: counted from the first.
        clock_ahead: of the server behind, as its answers say.
    """

    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    next_answers: dict[str, list[Answer]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    ranges: bool = True
    etag: str = '"1"'
    behind: str = ""
    scheme: str = "http"
    storm: list[Answer] = field(default_factory=list)
    calm: int = 0
    outage: Answer | None = None
    outage_from: int = 0
    clock_ahead: timedelta = timedelta()

    def due(self) -> Answer | None:
        """The misbehaviour of the outage or the storm that is due now."""
        if self.outage is not None and len(self.requests) > self.outage_from:
            return self.outage
        number, left = divmod(len(self.requests), self.calm + 1)
        return self.storm[number % len(self.storm)] if self.storm and left == 0 else None

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    site: WebServer
    body = b""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.site.requests.append((self.path, dict(self.headers)))
        waiting, due = self.site.next_answers.get(path, []), self.site.due()
        if due is not None and due(self):
            return
        if waiting and waiting.pop(0)(self):
            return
        self.send_usual()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        """With a body, which the server behind gets, or nobody."""
        if self.headers.get("Expect") == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def do_POST(self) -> None:
        self.do_PUT()

    def do_DELETE(self) -> None:
        self.do_GET()

    def send_usual(self, only: int | None = None) -> None:
        """What is there, or just its first bytes while announcing all of them."""
        if self.site.behind:
            self.relay(only)
            return
        content = self.site.files.get(self.path.partition("?")[0])
        if content is None:
            self.send_error(404)
            return
        self.send_file(content, only)

    def relay(self, only: int | None) -> None:
        """The answer of the server behind."""
        connection = http.client.HTTPConnection(self.site.behind, timeout=20)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() != "expect":
                connection.putheader(name, value)
        connection.endheaders(self.body)
        answer = connection.getresponse()
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            if name.lower() == "date":
                self.send_header(name, format_datetime(parsedate_to_datetime(value) + self.site.clock_ahead, True))
            elif name.lower() not in ("connection", "transfer-encoding"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(_LISTED.sub(self._later, answer.read())[:only])
        connection.close()

    def _later(self, listed: re.Match[bytes]) -> bytes:
        """A time in a listing, by the clock of the server behind."""
        time = datetime.fromisoformat(listed[2].decode()) + self.site.clock_ahead
        return listed[1] + time.isoformat().encode()

    def send_file(self, content: bytes, only: int | None = None) -> None:
        """The file or the range asked for, or just its first bytes while announcing all of them."""
        start, end = 0, len(content)
        wanted = self.headers.get("Range")
        if self.site.ranges and wanted and self.headers.get("If-Range", self.site.etag) == self.site.etag:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last) + 1, end) if last else end
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")
        else:
            self.send_response(200)
        if self.site.ranges:
            self.send_header("ETag", self.site.etag)
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        self.wfile.write(content[start:end][:only])

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: tests read `requests`."""


def status(code: int, **headers: str) -> Answer:
    """Answers with this status."""

    def answer(handler: Handler) -> bool:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    return answer


def broken_after(count: int) -> Answer:
    """Announces the whole file, sends `count` bytes and closes."""

    def answer(handler: Handler) -> bool:
        handler.send_usual(count)
        return True

    return answer


def reset_after(count: int) -> Answer:
    """Announces the whole file, sends `count` bytes and resets the connection, with what the client has not read."""

    def answer(handler: Handler) -> bool:
        handler.send_usual(count)
        # Nothing lingers: the client gets a reset where it waits for the end.
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(handler.connection.detach())
        return True

    return answer


def answer_lost(handler: Handler) -> bool:
    """Has done what was asked for, and does not say so."""
    handler.wfile = io.BytesIO()
    handler.send_usual()
    return True


def refusal(code: int, name: str) -> Answer:
    """Answers as S3 does where it refuses: with a name in the body, but to a HEAD."""

    def answer(handler: Handler) -> bool:
        body = b"" if handler.command == "HEAD" else f"<Error><Code>{name}</Code></Error>".encode()
        handler.send_response(code)
        handler.send_header("Content-Type", "application/xml")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
        return True

    return answer


def stalled(seconds: float, after: int = 10) -> Answer:
    """Sends so many bytes and then nothing for a while."""

    def answer(handler: Handler) -> bool:
        handler.send_usual(after)
        handler.wfile.flush()
        time.sleep(seconds)
        return True

    return answer


def dripping(seconds: float, start: bytes, drop: bytes) -> Answer:
    """Sends `start` and then again and again `drop`, too fast to time out and without an end for so long."""

    def answer(handler: Handler) -> bool:
        end = time.monotonic() + seconds
        try:
            handler.wfile.write(start)
            while time.monotonic() < end:
                handler.wfile.write(drop)
                time.sleep(0.01)
        except OSError:
            pass  # The client has had enough.
        return True

    return answer


def trickling(seconds: float) -> Answer:
    """A body byte by byte."""
    return dripping(seconds, b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x")


def header_without_end(seconds: float) -> Answer:
    """A header byte by byte."""
    return dripping(seconds, b"HTTP/1.1 200 OK\r\nX: ", b"x")


def never_more_than_continue(seconds: float) -> Answer:
    """Interim answers only."""
    return dripping(seconds, b"", b"HTTP/1.1 100 Continue\r\n\r\n")


def redirect_with_endless_body(seconds: float, location: str) -> Answer:
    """A redirect whose own body does not end."""
    return dripping(seconds, f"HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n".encode(), b"x" * 1000)


def sent(head: str, body: bytes) -> Answer:
    """Answers with these lines and this body, whatever was asked for."""

    def answer(handler: Handler) -> bool:
        handler.wfile.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        return True

    return answer


@contextmanager
def running_web_server(tls: ssl.SSLContext | None = None) -> Iterator[WebServer]:
    """Starts a server on a free port, https where there is a context for it; ends it afterwards."""
    site = WebServer(scheme="https" if tls else "http")
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("SiteHandler", (Handler,), {"site": site}))
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
