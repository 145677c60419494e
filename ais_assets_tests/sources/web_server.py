"""A web server on loopback that can be told to misbehave."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[["Handler"], bool]
"""A misbehaviour: True where it has answered, False to let the file be sent as usual."""


@dataclass
class WebServer:
    """Its address and files, and for each path the misbehaviours of its next answers, one a request.

    Attributes:
        requests: (path, headers) of every request so far.
        ranges: whether ranges and entity tags are given.
    """

    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    next_answers: dict[str, list[Answer]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    ranges: bool = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    site: WebServer

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.site.requests.append((self.path, dict(self.headers)))
        waiting = self.site.next_answers.get(path, [])
        if waiting and waiting.pop(0)(self):
            return
        content = self.site.files.get(path)
        if content is None:
            self.send_error(404)
            return
        self.send_file(content)

    def send_file(self, content: bytes, only: int | None = None) -> None:
        """The file or the range asked for, or just its first bytes while announcing all of them."""
        start, end = 0, len(content)
        wanted = self.headers.get("Range")
        if self.site.ranges and wanted and self.headers.get("If-Range", '"1"') == '"1"':
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last) + 1, end) if last else end
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")
        else:
            self.send_response(200)
        if self.site.ranges:
            self.send_header("ETag", '"1"')
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
        handler.send_file(handler.site.files[handler.path], count)
        return True

    return answer


def stalled(seconds: float) -> Answer:
    """Sends a little and then nothing for a while."""

    def answer(handler: Handler) -> bool:
        handler.send_file(handler.site.files[handler.path], 10)
        handler.wfile.flush()
        time.sleep(seconds)
        return True

    return answer


def trickling(seconds: float) -> Answer:
    """Sends byte by byte, too fast to time out and too slow to end."""

    def answer(handler: Handler) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                handler.wfile.write(b"x")
            except OSError:
                break
            time.sleep(0.01)
        return True

    return answer


@contextmanager
def running_web_server() -> Iterator[WebServer]:
    """Starts a server on a free port; ends it afterwards."""
    site = WebServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("SiteHandler", (Handler,), {"site": site}))
    server.daemon_threads = True
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
