"""The servers of object storage that tests run, by the scheme of their URIs: what holds for one holds for the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bucket_server import BucketServer
from tests.gcs_server import GCS, gcs_server
from tests.object_storage import object_storage
from tests.s3_server import s3_server

SCHEMES = ("s3", "gs")
GS_SLOW = ("s3", pytest.param("gs", marks=pytest.mark.slow))
"""For what takes long, and depends on the storage least."""


@contextmanager
def bucket_server(scheme: str) -> Iterator[BucketServer]:
    """Runs the server of a scheme; skips the test where it is not installed."""
    with s3_server() if scheme == "s3" else gcs_server() as found:
        yield found


@dataclass
class Raw:
    """Buckets to read from, of which the test has the content in folders.

    Attributes:
      root: the folder whose folders are the buckets.
      scheme: of their URIs.
      place: of S3 the options that lead there, of Cloud Storage the server.
    """

    root: Path
    scheme: str
    place: str | GCS

    def uri(self, path: str) -> str:
        """The URI of what the folders have now; that of S3 has keys and options in it."""
        if isinstance(self.place, str):
            return f"s3://key:secret@{path}{self.place}"
        self.place.fill(self.root)
        return f"gs://{path}"

    def shown(self, path: str) -> str:
        """What people are told of it."""
        return f"{self.scheme}://{path}"


@contextmanager
def raw_buckets(root: Path, scheme: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Raw]:
    """Serves the folders of `root` as buckets to whoever reads."""
    root.mkdir(parents=True, exist_ok=True)
    if scheme == "s3":
        with object_storage(root) as options:
            yield Raw(root, scheme, options)
        return
    with gcs_server() as server:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        yield Raw(root, scheme, server)
