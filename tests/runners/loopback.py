"""What the test servers share: HTTP on the loopback device, answered by one function."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    """A request: `target` as in its first line, `path` that without the query; header names in lower case."""

    method: str
    target: str
    path: str
    query: dict[str, str]
    body: bytes
    headers: dict[str, str]


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message


@contextmanager
def serving(answer: Callable[[Request], tuple[Any, ...]], bytes_type: str = "application/json") -> Iterator[str]:
    """Runs a server while the context lasts.

    Args:
      answer: gives the status and the reply, which is sent as JSON, or as it is when it is bytes; and headers, if any.
      bytes_type: content type of bytes.

    Yields:
      The server's address.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Else an answer waits for the client's acknowledgement of its headers, 40 ms.
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, reply, *more = answer(Request(self.command, self.path, parts.path, query, body, headers))
            data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            with suppress(BrokenPipeError, ConnectionResetError):
                self.send_response(status)
                self.send_header("content-type", bytes_type if isinstance(reply, bytes) else "application/json")
                self.send_header("content-length", str(len(data)))
                for name, value in (more[0] if more else {}).items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = handle_one

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
