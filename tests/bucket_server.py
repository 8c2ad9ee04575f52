"""Servers of object storage on loopback, asked past the client whose work is looked at, and a way to them on which
requests can go wrong."""

from __future__ import annotations

import http.client
import re
import threading
import urllib.parse
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar, TypeVar


@dataclass
class BucketServer(ABC):
    """A server of object storage, asked over plain HTTP."""

    scheme: ClassVar[str]
    endpoint: str

    @property
    @abstractmethod
    def variables(self) -> dict[str, str]:
        """What the environment of a process has to say so that URIs of the scheme lead here."""

    @property
    def secrets(self) -> list[str]:
        """Of these variables what nobody may tell."""
        return [value for name, value in self.variables.items() if "KEY" in name]

    @abstractmethod
    def make(self, bucket: str) -> str:
        """Makes a bucket, and returns its URI."""

    @abstractmethod
    def names(self, uri: str) -> list[str]:
        """The names of the objects below a URI, relative to it."""

    @abstractmethod
    def refusing(self) -> AbstractContextManager[None]:
        """Holds requests to rights, which nobody has."""

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        # (S3 wants to see a signature, and looks at none.)
        signed = {
            "Authorization": "AWS4-HMAC-SHA256 Credential=x/20261120/us-east-1/s3/aws4_request, Signature=x",
            "Content-Type": "application/octet-stream",
        }
        request = urllib.request.Request(f"{self.endpoint}/{path}", data=body, method=method, headers=signed)
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: bytes = answer.read()
        return found

    def put(self, uri: str, content: bytes) -> None:
        self.ask("PUT", _path(uri), content)

    def read(self, uri: str) -> bytes:
        return self.ask("GET", _path(uri))

    def delete(self, uri: str) -> None:
        self.ask("DELETE", _path(uri))

    def tree(self, uri: str) -> dict[str, bytes]:
        """What lies below a URI."""
        return {name: self.read(f"{uri}/{name}") for name in self.names(uri)}

    def upload(self, folder: Path, uri: str) -> None:
        for file in sorted(each for each in folder.rglob("*") if each.is_file()):
            self.put(f"{uri}/{file.relative_to(folder).as_posix()}", file.read_bytes())


def _path(uri: str) -> str:
    return urllib.parse.quote(uri.partition("://")[2])


Server = TypeVar("Server", bound=BucketServer)


@dataclass
class Fault:
    """What becomes of requests on the way.

    Attributes:
      of: method and path, as a pattern.
      times: how often; the requests after that reach the server.
      then: a status that is answered; `cut` for a connection that is cut before the server hears of it, `lost` after
        that, when only the answer is lost; `forward` for none of it.
      call: is called with the request's path before that.
    """

    of: str
    times: int = 1 << 30
    then: int | str = "cut"
    call: Callable[[str], object] = str
    seen: int = 0


@contextmanager
def way(to: Server, *faults: Fault) -> Iterator[Server]:
    """Another address of a server, on which requests go wrong."""
    host = urllib.parse.urlsplit(to.endpoint)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            pass

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except OSError:
                self.close_connection = True

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = self.fault()
            if fault:
                fault.call(urllib.parse.unquote(self.path))
            if fault and isinstance(fault.then, int):
                self.answer(fault.then, {}, b"<Error><Code>X</Code><Message>as the test wants it</Message></Error>")
                return
            if fault and fault.then == "cut":
                self.cut()
                return
            connection = http.client.HTTPConnection(str(host.hostname), host.port, timeout=60)
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            content, headers = answer.read(), dict(answer.getheaders())
            connection.close()
            if fault and fault.then == "lost":
                self.cut()
                return
            self.answer(answer.status, headers, content)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward

        def fault(self) -> Fault | None:
            # (Cloud Storage's client writes a name's slashes as %2F.)
            request = f"{self.command} {urllib.parse.unquote(self.path)}"
            with lock:
                for fault in faults:
                    if re.search(fault.of, request) and fault.seen < fault.times:
                        fault.seen += 1
                        return fault
            return None

        def cut(self) -> None:
            self.close_connection = True
            self.connection.close()

        def answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            kept = {name: it for name, it in headers.items() if name.lower() not in ("connection", "transfer-encoding")}
            kept.setdefault("Content-Length", str(len(content)))
            self.send_response(status)
            for name, value in kept.items():
                if name.lower() not in ("server", "date"):
                    self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield replace(to, endpoint=f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
