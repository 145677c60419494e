"""A proxy before an S3 server that counts requests and answers each as late as it is told."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

ANSWER_SECONDS = 120
_METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")
_OF_A_CONNECTION = ("connection", "keep-alive", "transfer-encoding", "expect")
"""Headers that are not handed on."""


class CountingProxy:
    """What is counted, and how late answers are.

    Attributes:
        endpoint: its address.
        delay: of each answer, seconds.
        requests: since they were last taken, by method.
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.delay = 0.0
        self.requests: Counter[str] = Counter()
        self._lock = threading.Lock()

    def note(self, method: str) -> None:
        """Counts a request."""
        with self._lock:
            self.requests[method] += 1

    def take(self) -> Counter[str]:
        """The counts so far, which begin anew."""
        with self._lock:
            taken, self.requests = self.requests, Counter()
        return taken


@contextmanager
def counting_proxy(server: str) -> Iterator[CountingProxy]:
    """Stands before the server at this http address, on a free loopback port.

    Requests are handed on as they came, with the client's Host, which its signature covers.
    """
    behind = urlsplit(server).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def relay(self) -> None:
            proxy.note(self.command)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            time.sleep(proxy.delay)
            connection = http.client.HTTPConnection(behind, timeout=ANSWER_SECONDS)
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _OF_A_CONNECTION:
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            data = answer.read()
            self.send_response_only(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in (*_OF_A_CONNECTION, "content-length"):
                    self.send_header(name, value)
            # Of a HEAD, what a GET would send.
            self.send_header("Content-Length", answer.headers.get("Content-Length", str(len(data))))
            self.end_headers()
            self.wfile.write(data)
            connection.close()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: they are counted."""

    for method in _METHODS:
        setattr(Handler, f"do_{method}", Handler.relay)

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that hung up is no fault here."""

    listening = Server(("127.0.0.1", 0), Handler)
    proxy = CountingProxy(f"http://127.0.0.1:{listening.server_port}")
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
