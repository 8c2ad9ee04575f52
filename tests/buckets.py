"""The servers of object storage that tests run, by the scheme of their URIs: what holds for one holds for the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.bucket_server import BucketServer
from tests.gcs_server import gcs_server
from tests.s3_server import s3_server

SCHEMES = ("s3", "gs")


@contextmanager
def bucket_server(scheme: str) -> Iterator[BucketServer]:
    """Runs the server of a scheme; skips the test where it is not installed."""
    with s3_server() if scheme == "s3" else gcs_server() as found:
        yield found
