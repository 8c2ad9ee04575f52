"""A real S3 server on loopback (moto's, a process of its own), and a way to it on which requests can go wrong."""

from __future__ import annotations

import http.client
import re
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support import ROOT

_PROGRAM = ROOT / ".venv" / "storage" / "bin" / "python"
_XML = "{http://s3.amazonaws.com/doc/2006-03-01/}"


@dataclass
class S3:
    """The server, asked over plain HTTP: not by the client whose work is looked at."""

    endpoint: str

    @property
    def variables(self) -> dict[str, str]:
        """What the environment of a process has to say so that `s3://` leads here."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": "a-secret-of-theirs",
            "AWS_REGION": "us-east-1",
        }

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        # (It wants to see a signature, and looks at none.)
        signed = {
            "Authorization": "AWS4-HMAC-SHA256 Credential=x/20261120/us-east-1/s3/aws4_request, Signature=x",
            "Content-Type": "application/octet-stream",
        }
        request = urllib.request.Request(f"{self.endpoint}/{path}", data=body, method=method, headers=signed)
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: bytes = answer.read()
        return found

    def make(self, bucket: str) -> str:
        """Makes a bucket, and returns its URI."""
        self.ask("PUT", bucket, b"")
        return f"s3://{bucket}"

    def put(self, uri: str, content: bytes) -> None:
        self.ask("PUT", urllib.parse.quote(uri.removeprefix("s3://")), content)

    def names(self, uri: str) -> list[str]:
        """The names of the objects below a URI, relative to it."""
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        prefix = f"{prefix}/" if prefix else ""
        listed = self.ask("GET", f"{bucket}?list-type=2&prefix={urllib.parse.quote(prefix)}")
        return [str(each.text).removeprefix(prefix) for each in ElementTree.fromstring(listed).iter(f"{_XML}Key")]

    def tree(self, uri: str) -> dict[str, bytes]:
        """What lies below a URI."""
        return {name: self.read(f"{uri}/{name}") for name in self.names(uri)}

    def read(self, uri: str) -> bytes:
        return self.ask("GET", urllib.parse.quote(uri.removeprefix("s3://")))

    def delete(self, uri: str) -> None:
        self.ask("DELETE", urllib.parse.quote(uri.removeprefix("s3://")))

    def upload(self, folder: Path, uri: str) -> None:
        for file in sorted(each for each in folder.rglob("*") if each.is_file()):
            self.put(f"{uri}/{file.relative_to(folder).as_posix()}", file.read_bytes())

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Holds requests to rights, which nobody has."""
        self.ask("POST", "moto-api/reset-auth", b"0")
        try:
            yield
        finally:
            self.ask("POST", "moto-api/reset-auth", b"inf")


@contextmanager
def s3_server() -> Iterator[S3]:
    """Runs the server; skips the test where it is not installed."""
    if not _PROGRAM.exists():
        pytest.skip("needs the environment storage: make test-environments")
    command = [str(_PROGRAM), "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stderr
            line = next(line for line in server.stderr if "Running on" in line)
            found = re.search(r"http://[\d.]+:\d+", line)
            assert found
            # (Else it stops at a full pipe.)
            threading.Thread(target=server.stderr.read, daemon=True).start()
            yield S3(found[0])
        finally:
            server.terminate()


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
def way(to: S3, *faults: Fault) -> Iterator[S3]:
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
                fault.call(self.path)
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
            with lock:
                for fault in faults:
                    if re.search(fault.of, f"{self.command} {self.path}") and fault.seen < fault.times:
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
        yield S3(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
