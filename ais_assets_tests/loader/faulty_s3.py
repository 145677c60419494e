"""A server that answers an S3 client's reads from a folder, with the faults that a test orders."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

Fault = Literal["throttled", "expired", "forbidden", "stalled", "trickling", "cut off", "flipped", "broken"]
STALL_SECONDS = 20.0
"""Longer than any test's timeout."""

_ANSWERS = {
    "throttled": (503, "SlowDown"),
    "expired": (400, "ExpiredToken"),
    "forbidden": (403, "AccessDenied"),
    "broken": (500, "InternalError"),
}


class FaultyS3:
    """Orders to the server, and what it was asked.

    Attributes:
        faults: by a part of the key: the fault, and for how many requests.
        asked: keys in the order of requests.
        signatures: their Authorization headers.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: dict[str, tuple[Fault, int]] = {}
        self.asked: list[str] = []
        self.signatures: list[str] = []
        self.endpoint = ""
        self.stop = threading.Event()
        self._lock = threading.Lock()

    def take(self, key: str) -> Fault | None:
        """Notes a request; returns the fault that is ordered for it."""
        with self._lock:
            self.asked.append(key)
            for part, (fault, times) in self.faults.items():
                if part in key and times > 0:
                    self.faults[part] = (fault, times - 1)
                    return fault
        return None


@contextmanager
def faulty_s3(folder: Path) -> Iterator[FaultyS3]:
    """Serves a folder's files as s3://bucket/<path> on a free loopback port."""
    orders = FaultyS3(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            key = self.path.partition("?")[0].removeprefix("/bucket/")
            orders.signatures.append(self.headers.get("Authorization", ""))
            fault = orders.take(key)
            file = orders.folder / key
            if fault in _ANSWERS:
                self._refuse(*_ANSWERS[fault])
            elif not file.is_file():
                self._refuse(404, "NoSuchKey")
            else:
                self._send(bytearray(file.read_bytes()), fault)

        def _refuse(self, status: int, code: str) -> None:
            body = f"<Error><Code>{code}</Code><Message>ordered by the test</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _send(self, data: bytearray, fault: Fault | None) -> None:
            if fault == "stalled":
                orders.stop.wait(STALL_SECONDS)
                self.close_connection = True
                return
            if fault == "flipped":
                data[len(data) // 2] ^= 1
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if fault == "cut off":
                self.wfile.write(data[: len(data) // 2])
                self.close_connection = True
            elif fault == "trickling":
                for byte in data:
                    self.wfile.write(bytes([byte]))
                    if orders.stop.wait(0.2):
                        break
                self.close_connection = True
            else:
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that gave up is what the test wants."""

    server = Server(("127.0.0.1", 0), Handler)
    orders.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield orders
    finally:
        orders.stop.set()
        server.shutdown()
        thread.join()
        server.server_close()
