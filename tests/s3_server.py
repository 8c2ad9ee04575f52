"""A real S3 server on loopback (moto's, a process of its own)."""

from __future__ import annotations

import re
import subprocess
import threading
import urllib.parse
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import pytest

from tests.bucket_server import BucketServer
from tests.support import ROOT

_PROGRAM = ROOT / ".venv" / "storage" / "bin" / "python"
_XML = "{http://s3.amazonaws.com/doc/2006-03-01/}"


@dataclass
class S3(BucketServer):
    """The server."""

    scheme: ClassVar[str] = "s3"

    @property
    def variables(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "a-key-of-theirs",
            "AWS_SECRET_ACCESS_KEY": "a-secret-of-theirs",
            "AWS_REGION": "us-east-1",
        }

    def make(self, bucket: str) -> str:
        self.ask("PUT", bucket, b"")
        return f"s3://{bucket}"

    def names(self, uri: str) -> list[str]:
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        prefix = f"{prefix}/" if prefix else ""
        listed = self.ask("GET", f"{bucket}?list-type=2&prefix={urllib.parse.quote(prefix)}")
        return [str(each.text).removeprefix(prefix) for each in ElementTree.fromstring(listed).iter(f"{_XML}Key")]

    @contextmanager
    def refusing(self) -> Iterator[None]:
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
